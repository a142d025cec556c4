/* Blocks that are hard to attack: see hardened.h. */
#include "modes/hardened.h"

#include "base/meta.h"
#include "base/option.h"
#include "base/os.h"
#include "base/size_class.h"
#include "base/chance.h"
#include "modes/notes.h"
#include "slab/slab.h"

#include <assert.h>
#include <string.h>

enum {
    KEPT_BLOCKS = 256,      /* in the quarantine of an arena, and ... */
    KEPT_BYTES = 256 << 10, /* ... bytes */
    CANARY_MOST = 256,      /* bytes */
    ALLOCATED = 0xa5,       /* what fill fills with; as jemalloc does */
    FREED = 0x5a,
    LOOKS = 3, /* at a canary that does not fit: a thread may be resizing the block */
};

#define NO_THREAD_SANITIZER __attribute__((no_sanitize("thread")))

/* [owner] */
struct quarantine {
    uint64_t generator; /* state of its random numbers */
    size_t bytes;       /* of the blocks */
    uint32_t count;
    void *blocks[KEPT_BLOCKS];
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
    size_class_see_all();
}

/* ---- blocks ---- */

/* The block of the calling thread's own arena that starts at p, and the number that it has in its
 * slab, which is returned. */
static struct slab *find_own(void *p, struct hardened_block *block, size_t *number)
{
    struct slab *slab = heap_slab_of(heap_containing(p), p);
    (void)slab_starts_block((size_t)((char *)p - slab->base), slab->reciprocal, number);
    *block = (struct hardened_block){p, slab->states + *number, slab->block_size};
    return slab;
}

static uint32_t note_of(const struct hardened_block *block)
{
    return notes_get(block->base, block->state);
}

static void set_note(const struct hardened_block *block, uint32_t note)
{
    notes_set(block->base, block->state, note);
}

/* ---- what was freed ---- */

static uint8_t freed_byte(void)
{
    return fills ? FREED : 0;
}

/* The first of `size` bytes, a multiple of BLOCK_ALIGNMENT, that is not `byte`; `size` if all are.
 */
static size_t find_other(const char *bytes, size_t size, uint8_t byte)
{
    uint64_t wanted = byte * UINT64_C(0x0101010101010101), first[2];
    size_t i = 0;
    memcpy(first, bytes, sizeof(first));
    /* each 16 bytes are as the first 16 if what begins there is as what begins 16 bytes before */
    if (first[0] == wanted && first[1] == wanted &&
        memcmp(bytes, bytes + sizeof(first), size - sizeof(first)) == 0)
        return size;
    while (i < size && (uint8_t)bytes[i] == byte)
        i++;
    return i;
}

static_assert(sizeof(uint64_t[2]) == BLOCK_ALIGNMENT,
              "the first bytes are all of a smallest block");

/* The first byte of a block that was written to since it was filled; its size if none was. */
static size_t find_written(const struct hardened_block *block)
{
    size_t page = os_page_size(), end;
    if (LIKELY(find_other(block->base, block->size, freed_byte()) == block->size))
        return block->size;
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
static bool is_unwritten(const struct hardened_block *block, const char *function)
{
    size_t written = find_written(block);
    if (LIKELY(written == block->size))
        return true;
    report_damage(ACRE_ERROR_WRITTEN_AFTER_FREE, block->base, 0, written, function);
    memset(block->base, freed_byte(), block->size);
    return false;
}

bool hardened_wipe(const struct hardened_block *block)
{
    uint8_t expected = BLOCK_SAMPLED;
    /* of several threads that free the block one succeeds; acquire, release: as in remote_free */
    if (!__atomic_compare_exchange_n(block->state, &expected, BLOCK_QUARANTINED, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    memset(block->base, freed_byte(), block->size);
    set_note(block, NOTE_FREED);
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

/* Gives back a block that was taken out of the quarantine; in this order: see hardened_forget. */
static void give_back(struct quarantine *quarantine, void *p)
{
    struct hardened_block block;
    size_t number;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    struct slab *slab = find_own(p, &block, &number);
    quarantine->bytes -= block.size;
    (void)is_unwritten(&block, "free");
    slab_give_back(slab, number);
}

static size_t random_index(struct quarantine *quarantine)
{
    return chance_below(chance_bits(&quarantine->generator), quarantine->count);
}

/* Takes a block out. */
static void *take(struct quarantine *quarantine, size_t index)
{
    void *block = quarantine->blocks[index];
    quarantine->blocks[index] = quarantine->blocks[--quarantine->count];
    return block;
}

bool hardened_keep(struct quarantine *quarantine, const struct hardened_block *block)
{
    if (hardened_mode != HARDENED_BLOCKS || quarantine == NULL || block->size > KEPT_BYTES)
        return false;
    quarantine->bytes += block->size;
    if (LIKELY(quarantine->count == KEPT_BLOCKS)) {
        void **place = &quarantine->blocks[random_index(quarantine)], *other = *place;
        *place = block->base;
        give_back(quarantine, other);
    } else {
        quarantine->blocks[quarantine->count] = block->base;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        quarantine->count++; /* after the block, as a child of fork may find it so */
    }
    while (UNLIKELY(quarantine->bytes > KEPT_BYTES))
        give_back(quarantine, take(quarantine, random_index(quarantine)));
    return true;
}

void hardened_empty(struct quarantine *quarantine)
{
    while (quarantine != NULL && quarantine->count != 0)
        give_back(quarantine, take(quarantine, quarantine->count - 1));
}

void hardened_forget(struct quarantine *quarantine)
{
    struct hardened_block block;
    size_t number;
    if (quarantine == NULL)
        return;
    for (size_t i = 0; i < quarantine->count; i++) {
        (void)find_own(quarantine->blocks[i], &block, &number);
        if (state_get(block.state) == BLOCK_QUARANTINED) /* one may be there twice */
            state_set(block.state, BLOCK_FREE);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    quarantine->count = 0;
    quarantine->bytes = 0;
}

/* ---- sizes and canaries ---- */

/* The canary's end. */
static size_t canary_end(const struct hardened_block *block, size_t requested)
{
    return min_size(block->size, align_up(requested, sizeof(uint64_t)) + CANARY_MOST);
}

/* A word of a block's canary; no byte of it is 0, so that the end of a string is not one. */
static uint64_t canary_word(const struct hardened_block *block)
{
    return (secret ^ (uintptr_t)block->base * UINT64_C(0x9e3779b97f4a7c15)) |
           UINT64_C(0x0101010101010101);
}

/* The bits of a word's bytes from number `first` on, in the order of addresses; first is below 8.
 */
static uint64_t bytes_from(size_t first)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return ~UINT64_C(0) >> 8 * first;
#else
    return ~UINT64_C(0) << 8 * first;
#endif
}

typedef uint64_t __attribute__((may_alias)) block_word;

static block_word *word_at(const struct hardened_block *block, size_t offset)
{
    return (block_word *)(void *)(block->base + offset);
}

static void set_canary(const struct hardened_block *block, size_t requested)
{
    size_t at = align_down(requested, sizeof(uint64_t)), end = canary_end(block, requested);
    uint64_t word = canary_word(block), mask = bytes_from(requested - at);
    for (; at < end; at += sizeof(word), mask = ~UINT64_C(0))
        *word_at(block, at) = (*word_at(block, at) & ~mask) | (word & mask);
}

/* The first byte of the canary that has changed; the block's size if none has. ThreadSanitizer does
 * not check it: hardened_find_damage calls it while the block's thread may write there, and then
 * looks again. */
NO_THREAD_SANITIZER static size_t find_overflow(const struct hardened_block *block,
                                                size_t requested)
{
    size_t at = align_down(requested, sizeof(uint64_t)), end = canary_end(block, requested);
    uint64_t word = canary_word(block), mask = bytes_from(requested - at);
    for (; at < end; at += sizeof(word), mask = ~UINT64_C(0)) {
        if (LIKELY(((*word_at(block, at) ^ word) & mask) == 0))
            continue;
        for (size_t i = max_size(at, requested); i < at + sizeof(word); i++)
            if (block->base[i] != ((const char *)&word)[i % sizeof(word)])
                return i;
    }
    return block->size;
}

/* The size that was asked for of a block that the program holds; 0 if not known. */
size_t hardened_requested(const struct hardened_block *block)
{
    uint32_t note = hardened_mode == HARDENED_BLOCKS ? note_of(block) : 0;
    return note % (UINT32_C(1) << NOTE_SIZE_BITS); /* not of NOTE_FREED */
}

void hardened_check(const struct hardened_block *block, const char *function)
{
    size_t requested = hardened_requested(block);
    if (requested == 0)
        return;
    size_t changed = find_overflow(block, requested);
    if (UNLIKELY(changed != block->size))
        report_damage(ACRE_ERROR_OVERFLOW, block->base, requested, changed, function);
}

static void set_requested(const struct hardened_block *block, size_t size)
{
    size = max_size(size, 1);
    /* in this order: see hardened_find_damage */
    set_note(block, 0);
    set_canary(block, size);
    set_note(block, (uint32_t)size);
}

void hardened_resized(const struct hardened_block *block, size_t size)
{
    size_t requested = hardened_requested(block);
    if (requested == 0)
        return;
    set_note(block, 0);   /* as in set_requested */
    if (size > requested) /* the program is not to see the canary */
        memset(block->base + requested, fills ? ALLOCATED : 0, size - requested);
    set_requested(block, size);
}

void hardened_allocated(const struct hardened_block *block, size_t size, bool *zero)
{
    notes_make(block->base);
    if (note_of(block) == NOTE_FREED)
        *zero = is_unwritten(block, "malloc") && !fills;
    if (fills) {
        memset(block->base, ALLOCATED, block->size);
        *zero = false;
    }
    if (hardened_mode == HARDENED_BLOCKS && heap_containing(block->base)->notes != NULL)
        set_requested(block, size);
    else
        set_note(block, 0);
}

const void *hardened_find_damage(struct slab *slab)
{
    for (size_t i = 0; hardened_is_on() && i < slab->count; i++) {
        struct hardened_block block = {slab->base + i * slab->block_size, &slab->states[i],
                                       slab->block_size};
        unsigned looks = 0;
        size_t requested = 0;
        while (looks < LOOKS && state_get(block.state) == BLOCK_SAMPLED &&
               (requested = hardened_requested(&block)) != 0 &&
               find_overflow(&block, requested) != block.size)
            looks++;
        /* its thread may have freed or resized it meanwhile */
        if (looks == LOOKS && hardened_requested(&block) == requested &&
            state_get(block.state) == BLOCK_SAMPLED)
            return block.base;
    }
    return NULL;
}
