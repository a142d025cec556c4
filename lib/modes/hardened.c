/* Blocks that are hard to attack: see hardened.h. */
#include "modes/hardened.h"

#include "base/meta.h"
#include "base/option.h"
#include "base/os.h"
#include "base/size_class.h"
#include "modes/chance.h"
#include "slab/slab.h"

#include <string.h>

enum {
    KEPT_BLOCKS = 256,      /* in the quarantine of an arena, and ... */
    KEPT_BYTES = 256 << 10, /* ... bytes */
    CANARY_MOST = 256,      /* bytes */
    ALLOCATED = 0xa5,       /* what fill fills with; as jemalloc does */
    FREED = 0x5a,
    LOOKS = 3, /* at a canary that does not fit: a thread may be resizing the block */
};

#define NOTE_FREED (UINT32_C(1) << 31)

/* [owner] */
struct quarantine {
    uint64_t generator; /* state of its random numbers */
    size_t bytes;       /* of the blocks */
    uint32_t count;
    void *blocks[KEPT_BLOCKS + 1]; /* one more while it is being put there */
};

enum hardened_mode hardened_mode;
static bool fills;                     /* [constant] option fill */
static uint64_t secret;                /* [constant] of canaries */
static hardened_report *report_damage; /* [constant] */

void hardened_start(hardened_report *report)
{
    fills = option_value(OPTION_FILL) != 0;
    hardened_mode = option_value(OPTION_HARDENED) != 0 ? HARDENED_BLOCKS
                    : fills                            ? HARDENED_FILL
                                                       : HARDENED_OFF;
    if (hardened_mode == HARDENED_OFF)
        return;
    secret = os_random();
    report_damage = report;
    size_class_divert_for_good();
}

/* ---- blocks and their notes ---- */

struct block {
    struct heap *heap;
    struct slab *slab;
    size_t number;
    char *base;
    size_t size;
    uint32_t *note; /* NULL: the heap has none yet */
};

/* The block of a slab that starts at p, and is not free to be taken meanwhile. False if p is in no
 * slab: then it is LARGE. */
static bool find(const void *p, struct block *block)
{
    struct heap *heap = heap_find(p);
    if (heap == NULL)
        return false;
    struct slab *slab = heap_slab_of(heap, p);
    struct slab_geometry g = geometry_unpack(__atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE));
    if (g.count == 0)
        return false;
    *block = (struct block){.heap = heap, .slab = slab, .size = size_class_sizes[g.class]};
    block->number = (size_t)((const char *)p - geometry_base(heap, g)) / block->size;
    block->base = geometry_base(heap, g) + block->number * block->size;
    uint32_t *notes = __atomic_load_n(&heap->notes, __ATOMIC_ACQUIRE);
    if (notes != NULL)
        block->note = notes + (size_t)g.first_line * STATES_GROUP + block->number;
    return true;
}

/* The same for one that is in a slab. */
static void find_in_slab(const void *p, struct block *block)
{
    if (!find(p, block))
        __builtin_unreachable();
}

static uint32_t note_of(const struct block *block)
{
    return block->note == NULL ? 0 : __atomic_load_n(block->note, __ATOMIC_ACQUIRE);
}

static void set_note(const struct block *block, uint32_t note)
{
    if (block->note != NULL)
        __atomic_store_n(block->note, note, __ATOMIC_RELEASE);
}

/* Without memory the heap has no notes, and nothing is known of its blocks. */
void hardened_prepare(const void *p)
{
    struct block block;
    find_in_slab(p, &block);
    if (LIKELY(block.note != NULL))
        return;
    size_t bytes = block.heap->size / HEAP_BYTES_OF_STATE * sizeof(*block.note);
    uint32_t *notes = meta_map(align_up(bytes, os_page_size()));
    __atomic_store_n(&block.heap->notes, notes, __ATOMIC_RELEASE);
}

/* ---- what was freed ---- */

static uint8_t freed_byte(void)
{
    return fills ? FREED : 0;
}

/* The first of `size` bytes that is not `byte`; `size` if all are. */
static size_t find_other(const char *bytes, size_t size, uint8_t byte)
{
    size_t i = 0;
    while (i < size && i < BLOCK_ALIGNMENT && (uint8_t)bytes[i] == byte)
        i++;
    if (i == BLOCK_ALIGNMENT && memcmp(bytes, bytes + i, size - i) == 0)
        return size;
    while (i < size && (uint8_t)bytes[i] == byte)
        i++;
    return i;
}

/* The first byte of a block that was written to since it was filled; its size if none was. */
static size_t find_written(const struct block *block)
{
    size_t page = os_page_size(), end;
    for (size_t from = 0; from < block->size; from = end) {
        end = min_size(align_up((uintptr_t)block->base + from + 1, page) - (uintptr_t)block->base,
                       block->size);
        size_t other = find_other(block->base + from, end - from, freed_byte());
        if (other != end - from &&
            (!fills || find_other(block->base + from, end - from, 0) != end - from))
            return from + other;
    }
    return block->size;
}

/* Reports a write to a block that was filled, and fills it again. True if there was none. */
static bool is_unwritten(const struct block *block, const char *function)
{
    size_t written = find_written(block);
    if (LIKELY(written == block->size))
        return true;
    report_damage(ACRE_ERROR_WRITTEN_AFTER_FREE, block->base, 0, written, function);
    memset(block->base, freed_byte(), block->size);
    return false;
}

bool hardened_wipe(void *p, uint8_t *state)
{
    struct block block;
    uint8_t expected = BLOCK_SAMPLED;
    /* of several threads that free the block one succeeds; acquire, release: as in remote_free */
    if (!__atomic_compare_exchange_n(state, &expected, BLOCK_QUARANTINED, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    find_in_slab(p, &block);
    memset(p, freed_byte(), block.size);
    set_note(&block, NOTE_FREED);
    return true;
}

/* ---- the quarantine ---- */

uint64_t hardened_random(struct quarantine **quarantine)
{
    if (UNLIKELY(*quarantine == NULL)) {
        *quarantine = meta_alloc(sizeof(**quarantine));
        if (*quarantine == NULL)
            return os_random();
        (*quarantine)->generator = os_random();
    }
    return chance_bits(&(*quarantine)->generator);
}

/* Takes a block out of the quarantine and gives it back; in this order: see hardened_forget. */
static void give_back(struct quarantine *quarantine, size_t index)
{
    struct block block;
    find_in_slab(quarantine->blocks[index], &block);
    quarantine->blocks[index] = quarantine->blocks[--quarantine->count];
    quarantine->bytes -= block.size;
    (void)is_unwritten(&block, "free");
    slab_give_back(block.slab, block.number);
}

bool hardened_keep(struct quarantine *quarantine, void *p)
{
    struct block block;
    if (hardened_mode != HARDENED_BLOCKS || quarantine == NULL)
        return false;
    find_in_slab(p, &block);
    quarantine->blocks[quarantine->count] = p;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    quarantine->count++; /* after the block, as a child of fork may find it so */
    quarantine->bytes += block.size;
    while (quarantine->count > KEPT_BLOCKS || quarantine->bytes > KEPT_BYTES)
        give_back(quarantine, chance_bits(&quarantine->generator) % quarantine->count);
    return true;
}

void hardened_empty(struct quarantine *quarantine)
{
    while (quarantine != NULL && quarantine->count != 0)
        give_back(quarantine, quarantine->count - 1);
}

void hardened_forget(struct quarantine *quarantine)
{
    struct block block;
    if (quarantine == NULL)
        return;
    for (size_t i = 0; i < quarantine->count; i++) {
        find_in_slab(quarantine->blocks[i], &block);
        uint8_t *state = block.slab->states + block.number;
        if (state_get(state) == BLOCK_QUARANTINED) /* one may be there twice */
            state_set(state, BLOCK_FREE);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    quarantine->count = 0;
    quarantine->bytes = 0;
}

/* ---- sizes and canaries ---- */

/* The canary's end. */
static size_t canary_end(const struct block *block, size_t requested)
{
    return min_size(block->size, align_up(requested, sizeof(uint64_t)) + CANARY_MOST);
}

/* A word of a block's canary; no byte of it is 0, so that the end of a string is not one. */
static uint64_t canary_word(const struct block *block)
{
    return (secret ^ (uintptr_t)block->base * UINT64_C(0x9e3779b97f4a7c15)) |
           UINT64_C(0x0101010101010101);
}

static void set_canary(const struct block *block, size_t requested)
{
    uint64_t word = canary_word(block);
    size_t from = requested, end = canary_end(block, requested);
    for (; from < end; from += sizeof(word) - from % sizeof(word))
        memcpy(block->base + from, (char *)&word + from % sizeof(word),
               sizeof(word) - from % sizeof(word));
}

/* The first byte of the canary that has changed; the block's size if none has. ThreadSanitizer does
 * not check it: hardened_find_damage calls it while the block's thread may write there, and then
 * looks again. */
__attribute__((no_sanitize("thread"))) static size_t find_overflow(const struct block *block,
                                                                   size_t requested)
{
    uint64_t word = canary_word(block);
    size_t end = canary_end(block, requested);
    for (size_t i = requested; i < end; i++)
        if (block->base[i] != ((const char *)&word)[i % sizeof(word)])
            return i;
    return block->size;
}

/* The size that was asked for of a block that the program holds; 0 if not known. */
static size_t requested_of(const struct block *block)
{
    uint32_t note = note_of(block);
    return note != NOTE_FREED ? note : 0;
}

size_t hardened_requested(const void *p)
{
    struct block block;
    return hardened_is_on() && find(p, &block) ? requested_of(&block) : 0;
}

void hardened_check(const void *p, const char *function)
{
    struct block block;
    size_t requested = hardened_is_on() && find(p, &block) ? requested_of(&block) : 0;
    if (requested == 0)
        return;
    size_t changed = find_overflow(&block, requested);
    if (UNLIKELY(changed != block.size))
        report_damage(ACRE_ERROR_OVERFLOW, p, requested, changed, function);
}

static void set_requested(const struct block *block, size_t size)
{
    size = max_size(size, 1);
    /* in this order: see hardened_find_damage */
    set_note(block, 0);
    set_canary(block, size);
    set_note(block, (uint32_t)size);
}

void hardened_resized(void *p, size_t size)
{
    struct block block;
    size_t requested = find(p, &block) ? requested_of(&block) : 0;
    if (requested == 0)
        return;
    set_note(&block, 0);  /* as in set_requested */
    if (size > requested) /* the program is not to see the canary */
        memset(block.base + requested, fills ? ALLOCATED : 0, size - requested);
    set_requested(&block, size);
}

void hardened_allocated(void *p, size_t size, bool *zero)
{
    struct block block;
    find_in_slab(p, &block);
    if (note_of(&block) == NOTE_FREED)
        *zero = is_unwritten(&block, "malloc") && !fills;
    if (fills) {
        memset(p, ALLOCATED, block.size);
        *zero = false;
    }
    if (hardened_mode == HARDENED_BLOCKS && block.note != NULL)
        set_requested(&block, size);
    else
        set_note(&block, 0);
}

const void *hardened_find_damage(struct slab *slab)
{
    for (size_t i = 0; hardened_is_on() && i < slab->count; i++) {
        struct block block;
        unsigned looks = 0;
        size_t requested = 0;
        while (looks < LOOKS && state_get(&slab->states[i]) == BLOCK_SAMPLED &&
               find(slab->base + i * slab->block_size, &block) &&
               (requested = requested_of(&block)) != 0 &&
               find_overflow(&block, requested) != block.size)
            looks++;
        /* its thread may have freed or resized it meanwhile */
        if (looks == LOOKS && requested_of(&block) == requested &&
            state_get(&slab->states[i]) == BLOCK_SAMPLED)
            return block.base;
    }
    return NULL;
}
