/* Scans over words of bits, a word at a time: see bits.h. */
#include "base/bits.h"

enum { WORD_BITS = 64 };

/* Those bits of the word with number `index` that lie within first .. limit-1; it overlaps them. */
static inline uint64_t mask_within(size_t index, size_t first, size_t limit)
{
    const size_t start = index * WORD_BITS;
    uint64_t mask = UINT64_MAX;

    if (first > start)
        mask &= UINT64_MAX << (first - start);
    if (limit - start < WORD_BITS)
        mask &= ((uint64_t)1 << (limit - start)) - 1;
    return mask;
}

void bits_set(uint64_t *words, size_t first, size_t count)
{
    const size_t limit = first + count;

    for (size_t i = first / WORD_BITS; i * WORD_BITS < limit; i++)
        __atomic_store_n(&words[i], words[i] | mask_within(i, first, limit), __ATOMIC_RELAXED);
}

void bits_clear(uint64_t *words, size_t first, size_t count)
{
    const size_t limit = first + count;

    for (size_t i = first / WORD_BITS; i * WORD_BITS < limit; i++)
        __atomic_store_n(&words[i], words[i] & ~mask_within(i, first, limit), __ATOMIC_RELAXED);
}

/*
 * The lowest bit at or above `from` and below `limit` that is set once every word is XORed with
 * `flip`: 0 looks for a set bit, all ones for a clear one. `limit` if there is none.
 */
static inline size_t lowest_flipped(const uint64_t *words, uint64_t flip, size_t from, size_t limit)
{
    for (size_t i = from / WORD_BITS; i * WORD_BITS < limit; i++) {
        uint64_t word = (words[i] ^ flip) & mask_within(i, from, limit);

        if (word != 0)
            return i * WORD_BITS + lowest_bit(word);
    }
    return limit;
}

size_t bits_lowest(const uint64_t *words, size_t from, size_t limit)
{
    return lowest_flipped(words, 0, from, limit);
}

size_t bits_lowest_clear(const uint64_t *words, size_t from, size_t limit)
{
    return lowest_flipped(words, UINT64_MAX, from, limit);
}

uint64_t bits_run_starts(uint64_t word, uint64_t next, size_t run)
{
    /* a set bit stands for `known` set ones from there on */
    for (size_t known = 1, step; known < run && word != 0; known += step) {
        step = min_size(known, run - known);
        word &= word >> step | next << (WORD_BITS - step);
        next &= next >> step;
    }
    return word;
}

size_t bits_find_run(const uint64_t *words, size_t from, size_t limit, size_t run)
{
    ASSERT(run <= WORD_BITS + 1);
    if (from >= limit)
        return limit;
    uint64_t word = words[from / WORD_BITS] & mask_within(from / WORD_BITS, from, limit);
    for (size_t i = from / WORD_BITS; i * WORD_BITS < limit; i++) {
        size_t end = (i + 1) * WORD_BITS;
        uint64_t next = end < limit ? words[i + 1] & mask_within(i + 1, from, limit) : 0;
        uint64_t starts = bits_run_starts(word, next, run);
        if (starts != 0)
            return i * WORD_BITS + lowest_bit(starts);
        word = next;
    }
    return limit;
}

size_t bits_count(const uint64_t *words, size_t first, size_t count)
{
    const size_t limit = first + count;
    size_t set = 0;

    for (size_t i = first / WORD_BITS; i * WORD_BITS < limit; i++)
        set += (size_t)__builtin_popcountll(words[i] & mask_within(i, first, limit));
    return set;
}
