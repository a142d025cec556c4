/* Stacks: see stack.h. */
#define _GNU_SOURCE 1
#include "modes/stack.h"

#include "base/os.h"
#include "modes/abi.h"
#include "modes/eh_frame.h"
#include "modes/loaded.h"

#include <string.h>

enum {
    RULES = 4096,        /* of the cache; 32 bytes each, touched as used */
    SPAN_MOST = 8 << 20, /* bytes of stack that one call looks at */
    IDENTITY_WORDS = 4,  /* of an image's tables: how large they are, the first function */
    RED_ZONE = 128,      /* bytes: System V ABI for x86-64, 3.2.2 */
    WORD = sizeof(uintptr_t),
    STEPS_OF_OWN = 32, /* frames of this library, which are not stored */
};

#define MIX 0x9e3779b97f4a7c15 /* 2^64 / golden ratio */

/* [any] A rule of the cache, with the place and a sum of what it was made from. */
static struct entry {
    uint64_t check; /* key ^ all else: does not fit a mixture of two entries */
    uint64_t rule, source, sum;
} rules[RULES];

struct walk {
    uintptr_t pc, sp, fp;
    uintptr_t link; /* the register of that name, in a frame that a signal interrupted */
    bool exact;     /* pc is where a signal arrived, not a return address */
    uintptr_t bottom, readable; /* the stack can be read from the one to the other */
    struct loaded image;        /* has pc */
    uint64_t identity;          /* tells the image from others that were loaded there */
    struct readable memory;     /* tables and code */
};

/* ---- reading ---- */

/* For reads of other functions' frames and of code, which a sanitizer would report. */
#define UNCHECKED __attribute__((no_sanitize("address"), no_sanitize("thread")))

UNCHECKED static uintptr_t load(uintptr_t address)
{
    return *(const uintptr_t *)address;
}

/* Begins a stack. The red zone below `sp` can be read, too: a function that a signal interrupted
 * may have stored there, or have popped a moment ago what its rule still looks for there. */
static void begin_stack(struct walk *walk, uintptr_t sp)
{
    walk->sp = sp;
    walk->bottom = sp - RED_ZONE;
    walk->readable = align_down(walk->bottom, os_page_size());
}

/* Reads the word of the stack at `address`, at or above the place where it began; false if that is
 * no place of this stack. */
static bool read_word(struct walk *walk, uintptr_t address, uintptr_t *word)
{
    if (address % WORD != 0 || address < walk->bottom || address - walk->bottom > SPAN_MOST)
        return false;
    for (; walk->readable <= address; walk->readable += os_page_size())
        if (!os_is_readable(walk->readable))
            return false;
    *word = load(address);
    return true;
}

/* ---- rules ---- */

static uint64_t mix(uint64_t x)
{
    x *= MIX;
    return x ^ x >> 32;
}

static uint64_t load_part(const uint64_t *part)
{
    return __atomic_load_n(part, __ATOMIC_RELAXED);
}

/* The rule of that key; its word is 0 if the cache does not have it. Another image may lie at that
 * place by now, so the bytes that the rule was read from must have their old sum. */
static union frame_rule recall(uint64_t key)
{
    const struct entry *entry = &rules[key % RULES];
    union frame_rule rule = {.word = load_part(&entry->rule)};
    uint64_t source = load_part(&entry->source), sum = load_part(&entry->sum);
    if ((load_part(&entry->check) ^ rule.word ^ source ^ sum) != key ||
        (source != 0 && eh_frame_sum(source) != sum))
        rule.word = 0;
    return rule;
}

static void remember(uint64_t key, union frame_rule rule, uintptr_t source)
{
    struct entry *entry = &rules[key % RULES];
    uint64_t sum = source != 0 ? eh_frame_sum(source) : 0;
    __atomic_store_n(&entry->rule, rule.word, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->source, source, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->sum, sum, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->check, key ^ rule.word ^ source ^ sum, __ATOMIC_RELAXED);
}

/*
 * A number that tells the image from one that is loaded at its place later, unless the tables of
 * both begin with the same words. 0 if the tables cannot be read. Whether they can is asked once
 * for each image: it was found a moment ago, so it is loaded, and only an odd header leads
 * elsewhere.
 */
static uint64_t identify(struct walk *walk)
{
    const struct loaded *image = &walk->image;
    uint64_t words[IDENTITY_WORDS], sum = mix(mix(image->from ^ image->tables) ^ image->to);
    if (recall(sum).word == 0) {
        if (!readable_has(&walk->memory, image->tables, sizeof words))
            return 0;
        remember(sum, (union frame_rule){.word = FRAME_UNKNOWN}, 0);
    }
    memcpy(words, (const void *)image->tables, sizeof words);
    for (size_t i = 0; i < IDENTITY_WORDS; i++)
        sum = mix(sum ^ words[i]);
    return sum;
}

static union frame_rule find_rule(struct walk *walk)
{
    union frame_rule rule = {.word = FRAME_UNKNOWN};
    uintptr_t pc = walk->exact ? walk->pc : walk->pc - 1, source;
    if (pc - walk->image.from >= walk->image.to - walk->image.from) {
        loaded_find(&walk->memory, pc, &walk->image);
        walk->identity = walk->image.tables != 0 ? identify(walk) : 0;
    }
    if (walk->identity == 0)
        return rule;
    uint64_t key = mix(pc ^ walk->identity);
    union frame_rule known = recall(key);
    if (known.word != 0)
        return known;
    rule = eh_frame_rule(&walk->memory, walk->image.tables, pc, &source);
    remember(key, rule, source);
    return rule;
}

/* ---- steps: each leads to the caller's frame, or returns false ---- */

static bool saved_word(struct walk *walk, enum frame_saved where, uintptr_t frame, int64_t words,
                       uintptr_t *value)
{
    uintptr_t offset = (uintptr_t)words * WORD;
    if (where == SAVED_LOST)
        *value = 0;
    return where == SAVED_NOWHERE || where == SAVED_LOST ||
           read_word(walk, (where == SAVED_AT_FP ? walk->fp : frame) + offset, value);
}

static bool step_by_rule(struct walk *walk, union frame_rule rule)
{
    uintptr_t frame = rule.address == FRAME_FROM_SP ? walk->sp : walk->fp;
    uintptr_t fp = walk->fp, link = walk->exact ? walk->link : 0;
    frame += (uintptr_t)(int64_t)rule.offset;
    if (rule.address == FRAME_AT_FP && !read_word(walk, frame, &frame))
        return false;
    if (frame < walk->sp || (frame == walk->sp && !walk->exact) ||
        !saved_word(walk, rule.fp, frame, rule.fp_offset, &fp) ||
        !saved_word(walk, rule.link, frame, rule.link_offset, &link))
        return false;
    walk->pc = abi_plain_address(link);
    walk->sp = frame;
    walk->fp = fp;
    walk->exact = false;
    return true;
}

UNCHECKED static bool read_code(struct walk *walk, uintptr_t address, unsigned char *code,
                                size_t size)
{
    if (!readable_has(&walk->memory, address, size))
        return false;
    for (size_t i = 0; i < size; i++)
        code[i] = ((const unsigned char *)address)[i];
    return true;
}

/* True if the instruction that ends at `address` is a call. */
static bool follows_call(struct walk *walk, uintptr_t address)
{
    unsigned char code[ABI_CALL_CODE];
    return read_code(walk, address - sizeof code, code, sizeof code) && abi_ends_with_call(code);
}

static bool step_by_frame_pointer(struct walk *walk)
{
    uintptr_t fp, link, record = walk->fp - ABI_ABOVE_RECORD;
    if (record < walk->sp || !read_word(walk, record, &fp) ||
        !read_word(walk, record + WORD, &link))
        return false;
    link = abi_plain_address(link);
    if (!follows_call(walk, link))
        return false;
    walk->pc = link;
    walk->sp = record + 2 * WORD;
    walk->fp = fp;
    walk->exact = false;
    return true;
}

/* ---- signals ---- */

/* True if the code that the frame returns to ends a signal handler. */
static bool is_signal_return(struct walk *walk)
{
    unsigned char code[sizeof abi_signal_return];
    return read_code(walk, walk->pc, code, sizeof code) &&
           memcmp(code, abi_signal_return, sizeof code) == 0;
}

/* Leads to the frame that was interrupted, which may be on another stack. */
static bool step_out_of_signal(struct walk *walk)
{
    uintptr_t context = walk->sp + ABI_CONTEXT, sp;
    if (!read_word(walk, context + ABI_CONTEXT_PC, &walk->pc) ||
        !read_word(walk, context + ABI_CONTEXT_FP, &walk->fp) ||
        !read_word(walk, context + ABI_CONTEXT_LINK, &walk->link) ||
        !read_word(walk, context + ABI_CONTEXT_SP, &sp))
        return false;
    begin_stack(walk, sp);
    walk->exact = true;
    return true;
}

static bool step(struct walk *walk)
{
    union frame_rule rule = find_rule(walk);
    if (rule.address == FRAME_OUTERMOST)
        return false;
    if (rule.address != FRAME_UNKNOWN)
        return step_by_rule(walk, rule);
    return is_signal_return(walk) ? step_out_of_signal(walk) : step_by_frame_pointer(walk);
}

/* Begins a walk with the frame of a function, to which its frame pointer leads. */
static void begin_walk(struct walk *walk, uintptr_t frame_pointer, uintptr_t frame)
{
    const uintptr_t *record = (const uintptr_t *)(frame_pointer - ABI_ABOVE_RECORD);
    *walk = (struct walk){
        .fp = record[0], .pc = abi_plain_address(record[1]), .memory.to = UINTPTR_MAX};
    begin_stack(walk, frame);
    walk->readable = align_down((uintptr_t)record, os_page_size()) + os_page_size();
}

NOINLINE bool stack_has(const struct stack_call *call)
{
    struct walk walk;
    begin_walk(&walk, (uintptr_t)__builtin_frame_address(0), (uintptr_t)__builtin_dwarf_cfa());
    while (walk.pc != 0 && (walk.sp != call->frame || walk.pc != call->returns_to))
        if (!step(&walk))
            return walk.sp < call->frame && find_rule(&walk).address != FRAME_OUTERMOST;
    return walk.pc != 0;
}

NOINLINE size_t stack_take(uintptr_t *frames, size_t most)
{
    struct walk walk;
    struct loaded library;
    begin_walk(&walk, (uintptr_t)__builtin_frame_address(0), (uintptr_t)__builtin_dwarf_cfa());
    loaded_find_library(&walk.memory, &library);
    size_t count = 0;
    for (size_t steps = 0; count < most && walk.pc != 0 && steps < most + STEPS_OF_OWN; steps++) {
        if (walk.pc - library.from >= library.to - library.from)
            frames[count++] = walk.pc + walk.exact;
        if (!step(&walk))
            break;
    }
    return count;
}
