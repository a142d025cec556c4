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
static inline struct slab *find_own(void *p, struct hardened_block *block, size_t *number)
{
    struct slab *slab = heap_slab_of(heap_containing(p), p);
    (void)slab_starts_block((size_t)((char *)p - slab->base), slab->reciprocal, number);
    *block = (struct hardened_block){p, slab->states + *number, slab->block_size};
    return slab;
}

/* The place of a block's note; NULL: the heap has none yet. */
static inline uint32_t *note_at(const struct hardened_block *block)
{
    return notes_at(block->base, block->state);
}

static inline void set_note(uint32_t *note, uint32_t value)
{
    __atomic_store_n(note, value, __ATOMIC_RELEASE);
}

/* ---- what was freed ---- */

static uint8_t freed_byte(void)
{
    return fills ? FREED : 0;
}

/* True if all bytes, a multiple of BLOCK_ALIGNMENT, are 0. */
static inline bool is_zero(const char *bytes, size_t size)
{
    typedef uint64_t words __attribute__((vector_size(BLOCK_ALIGNMENT), may_alias));
    const words *at = (const void *)bytes;
    words any = {0};
    for (size_t four = size / sizeof(*at) / 4; four != 0; four--, at += 4) {
        any |= at[0];
        any |= at[1];
        any |= at[2];
        any |= at[3];
    }
    for (size_t left = size / sizeof(*at) % 4; left != 0; left--, at++)
        any |= *at;
    return (any[0] | any[1]) == 0;
}

/* The first of `size` bytes, at least one, that is not `byte`; `size` if all are. */
static size_t find_other(const char *bytes, size_t size, uint8_t byte)
{
    size_t i = 0;
    /* each byte is as the first one if it is as the one before */
    if ((uint8_t)bytes[0] == byte && memcmp(bytes, bytes + 1, size - 1) == 0)
        return size;
    while (i < size && (uint8_t)bytes[i] == byte)
        i++;
    return i;
}

/* The first byte of a block that was written to since it was filled; its size if none was. */
static size_t find_written(const struct hardened_block *block)
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
static NOINLINE bool check_unwritten(const struct hardened_block *block, const char *function)
{
    size_t written = find_written(block);
    if (written == block->size)
        return true;
    report_damage(ACRE_ERROR_WRITTEN_AFTER_FREE, block->base, 0, written, function);
    memset(block->base, freed_byte(), block->size);
    return false;
}

static ALWAYS_INLINE bool is_unwritten(const struct hardened_block *block, const char *function)
{
    return LIKELY(!fills && is_zero(block->base, block->size)) || check_unwritten(block, function);
}

bool hardened_wipe(const struct hardened_block *block)
{
    uint32_t *note = note_at(block);
    uint8_t expected = BLOCK_SAMPLED;
    /* of several threads that free the block one succeeds; acquire, release: as in remote_free */
    if (!__atomic_compare_exchange_n(block->state, &expected, BLOCK_QUARANTINED, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    memset(block->base, freed_byte(), block->size);
    if (LIKELY(note != NULL))
        set_note(note, NOTE_FREED);
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
static inline void give_back(struct quarantine *quarantine, void *p)
{
    struct hardened_block block;
    size_t number;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    struct slab *slab = find_own(p, &block, &number);
    quarantine->bytes -= block.size;
    (void)is_unwritten(&block, "free");
    slab_give_back(slab, number);
}

static inline size_t random_index(struct quarantine *quarantine)
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

/* The canary's end; it has a byte at least. */
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

/* The word in which byte `offset` of a block lies. */
static inline block_word *word_at(const struct hardened_block *block, size_t offset)
{
    return (block_word *)(void *)(block->base + align_down(offset, sizeof(block_word)));
}

static inline void set_canary(const struct hardened_block *block, size_t requested)
{
    block_word *at = word_at(block, requested), *end = word_at(block, canary_end(block, requested));
    uint64_t word = canary_word(block), mask = bytes_from(requested % sizeof(word));
    *at = (*at & ~mask) | (word & mask);
    while (++at < end)
        *at = word;
}

/* The first byte of the canary that has changed; the block's size if none has. ThreadSanitizer does
 * not check it: hardened_find_damage calls it while the block's thread may write there, and then
 * looks again. */
NO_THREAD_SANITIZER static size_t find_overflow(const struct hardened_block *block,
                                                size_t requested)
{
    block_word *at = word_at(block, requested), *end = word_at(block, canary_end(block, requested));
    uint64_t word = canary_word(block);
    uint64_t changed = (*at ^ word) & bytes_from(requested % sizeof(word));
    while (changed == 0 && ++at < end)
        changed = *at ^ word;
    if (LIKELY(changed == 0))
        return block->size;
    size_t first = max_size((size_t)((char *)at - block->base), requested);
    while (first < block->size && block->base[first] == ((const char *)&word)[first % sizeof(word)])
        first++;
    return first;
}

/* The size that was asked for of a block that the program holds; 0 if not known. */
static inline size_t requested_of(const struct hardened_block *block)
{
    uint32_t note = hardened_mode == HARDENED_BLOCKS ? notes_get(block->base, block->state) : 0;
    return note % (UINT32_C(1) << NOTE_SIZE_BITS); /* 0 of NOTE_FREED */
}

size_t hardened_requested(const struct hardened_block *block)
{
    return requested_of(block);
}

void hardened_check(const struct hardened_block *block, const char *function)
{
    size_t requested = requested_of(block);
    if (requested == 0 || requested == block->size)
        return;
    size_t changed = find_overflow(block, requested);
    if (UNLIKELY(changed != block->size))
        report_damage(ACRE_ERROR_OVERFLOW, block->base, requested, changed, function);
}

static inline void set_requested(const struct hardened_block *block, uint32_t *note, size_t size)
{
    size = max_size(size, 1);
    /* in this order: see hardened_find_damage */
    set_note(note, 0);
    if (size != block->size)
        set_canary(block, size);
    set_note(note, (uint32_t)size);
}

void hardened_resized(const struct hardened_block *block, size_t size)
{
    size_t requested = requested_of(block);
    if (requested == 0)
        return;
    set_note(note_at(block), 0); /* as in set_requested */
    if (size > requested)        /* the program is not to see the canary */
        memset(block->base + requested, fills ? ALLOCATED : 0, size - requested);
    set_requested(block, note_at(block), size);
}

void hardened_allocated(const struct hardened_block *block, size_t size, bool *zero)
{
    uint32_t *note = note_at(block);
    if (LIKELY(note != NULL) && __atomic_load_n(note, __ATOMIC_RELAXED) == NOTE_FREED)
        *zero = is_unwritten(block, "malloc") && !fills;
    if (UNLIKELY(fills)) {
        memset(block->base, ALLOCATED, block->size);
        *zero = false;
    }
    if (UNLIKELY(note == NULL))
        return;
    if (hardened_mode == HARDENED_BLOCKS)
        set_requested(block, note, size);
    else
        set_note(note, 0);
}

const void *hardened_find_damage(struct slab *slab)
{
    for (size_t i = 0; hardened_is_on() && i < slab->count; i++) {
        struct hardened_block block = {slab->base + i * slab->block_size, &slab->states[i],
                                       slab->block_size};
        unsigned looks = 0;
        size_t requested = 0;
        while (looks < LOOKS && state_get(block.state) == BLOCK_SAMPLED &&
               (requested = requested_of(&block)) != 0 && requested != block.size &&
               find_overflow(&block, requested) != block.size)
            looks++;
        /* its thread may have freed or resized it meanwhile */
        if (looks == LOOKS && requested_of(&block) == requested &&
            state_get(block.state) == BLOCK_SAMPLED)
            return block.base;
    }
    return NULL;
}
