/*
 * Scans over state bytes (see states.h): a group of 64 is compared at once into a 64-bit word, and
 * everything else is built on that word. The loads are not atomic as a whole, which does not
 * matter: a byte is never torn, and each state is a byte.
 */
#include "base/states.h"

#include <string.h>

#if defined(__SSE2__) && !defined(ACRE_TSAN)

#include <emmintrin.h>

/* A byte for each of the 16 states from `states` on, 16-byte aligned: -1 if it is wanted[i], else
 * 0. */
static inline __m128i equal_16(const uint8_t *states, __m128i wanted)
{
    return _mm_cmpeq_epi8(_mm_load_si128((const __m128i *)(const void *)states), wanted);
}

/* The same as bits. */
static inline uint64_t match_16(const uint8_t *states, __m128i wanted)
{
    return (uint32_t)_mm_movemask_epi8(equal_16(states, wanted));
}

uint64_t states_match(const uint8_t *states, uint8_t value)
{
    const __m128i wanted = _mm_set1_epi8((char)value);

    return match_16(states, wanted) | match_16(states + 16, wanted) << 16 |
           match_16(states + 32, wanted) << 32 | match_16(states + 48, wanted) << 48;
}

/* How many of the 64 states from `states` on are `value`. SSE2 cannot count bits, but add bytes. */
static size_t count_in_group(const uint8_t *states, uint8_t value)
{
    const __m128i wanted = _mm_set1_epi8((char)value), zero = _mm_setzero_si128();
    __m128i low = _mm_add_epi8(equal_16(states, wanted), equal_16(states + 16, wanted));
    __m128i high = _mm_add_epi8(equal_16(states + 32, wanted), equal_16(states + 48, wanted));
    __m128i sums = _mm_sad_epu8(_mm_sub_epi8(zero, _mm_add_epi8(low, high)), zero);

    return (size_t)_mm_cvtsi128_si32(sums) +
           (size_t)_mm_cvtsi128_si32(_mm_unpackhi_epi64(sums, sums));
}

#define COUNTS_IN_GROUP

#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__) && !defined(ACRE_TSAN)

#include <arm_neon.h>

/*
 * NEON has no movemask: each equal byte is reduced to the bit of its place within eight bytes, and
 * three rounds of pairwise sums bring the eight bits of each eight bytes together in one byte.
 */
uint64_t states_match(const uint8_t *states, uint8_t value)
{
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t place = vld1q_u8(places), wanted = vdupq_n_u8(value);
    uint8x16_t first = vandq_u8(vceqq_u8(vld1q_u8(states), wanted), place);
    uint8x16_t second = vandq_u8(vceqq_u8(vld1q_u8(states + 16), wanted), place);
    uint8x16_t third = vandq_u8(vceqq_u8(vld1q_u8(states + 32), wanted), place);
    uint8x16_t fourth = vandq_u8(vceqq_u8(vld1q_u8(states + 48), wanted), place);
    uint8x16_t sum = vpaddq_u8(vpaddq_u8(first, second), vpaddq_u8(third, fourth));

    sum = vpaddq_u8(sum, sum);
    return vgetq_lane_u64(vreinterpretq_u64_u8(sum), 0);
}

#else

/*
 * The eight states from `states` on: bit i is set if states[i] is `value`. A byte of `different` is
 * zero where they are equal; adding 0x7f to its low seven bits carries into the top bit unless
 * they are zero, and never into the next byte, so `equal` has the top bit of just the equal bytes
 * (Warren, Hacker's Delight, 6-1). The product moves the bit at 8i to 56 + i; no two of its terms
 * meet in one place, so nothing carries.
 */
static inline uint64_t match_8(const uint8_t *states, uint8_t value)
{
    const uint64_t ones = 0x0101010101010101, low_sevens = 0x7f * ones;
    uint64_t different = 0, equal;

#ifdef ACRE_TSAN
    for (unsigned i = 0; i < 8; i++)
        different |= (uint64_t)state_get(states + i) << (8 * i);
#else
    __builtin_memcpy(&different, states, sizeof(different));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    different = __builtin_bswap64(different);
#endif
#endif
    different ^= ones * value;
    equal = ~(((different & low_sevens) + low_sevens) | different | low_sevens);
    return ((equal >> 7) * 0x0102040810204080) >> 56;
}

uint64_t states_match(const uint8_t *states, uint8_t value)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < STATES_GROUP; i += 8)
        word |= match_8(states + i, value) << i;
    return word;
}

#endif

#ifndef COUNTS_IN_GROUP
/* How many of the 64 states from `states` on are `value`. */
static size_t count_in_group(const uint8_t *states, uint8_t value)
{
    return (size_t)__builtin_popcountll(states_match(states, value));
}
#endif

void states_reset(uint8_t *states, size_t count, size_t groups)
{
#ifdef ACRE_TSAN
    for (size_t i = 0; i < groups * STATES_GROUP; i++)
        state_set(&states[i], i < count ? BLOCK_FREE : BLOCK_END);
#else
    memset(states, BLOCK_FREE, count);
    memset(states + count, BLOCK_END, groups * STATES_GROUP - count);
#endif
}

/* The matches in the group that begins at `first`, without those at or above `count`. */
static uint64_t match_below(const uint8_t *states, size_t first, size_t count, uint8_t value)
{
    uint64_t word = states_match(states + first, value);

    return count - first < STATES_GROUP ? word & (((uint64_t)1 << (count - first)) - 1) : word;
}

size_t states_count(const uint8_t *states, size_t count, uint8_t value)
{
    size_t matches = 0, first = 0;

    for (; count - first >= STATES_GROUP; first += STATES_GROUP)
        matches += count_in_group(states + first, value);
    if (first != count)
        matches += (size_t)__builtin_popcountll(match_below(states, first, count, value));
    return matches;
}

size_t states_find(const uint8_t *states, size_t count, uint8_t value)
{
    for (size_t first = 0; first < count; first += STATES_GROUP) {
        uint64_t word = match_below(states, first, count, value);

        if (word != 0)
            return first + lowest_bit(word);
    }
    return count;
}

uint64_t states_summary(const uint8_t *states, size_t count, uint8_t value)
{
    uint64_t summary = 0;

    ASSERT(count <= (size_t)STATES_GROUP * 64);
    for (size_t first = 0; first < count; first += STATES_GROUP)
        summary |= (uint64_t)(match_below(states, first, count, value) != 0)
                   << (first / STATES_GROUP);
    return summary;
}
