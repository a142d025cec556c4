/*
 * The scans over states against a plain byte-by-byte reference on random data, for the version that
 * the library uses on this machine and for the portable one.
 */
#include "test.h"
#include "in_thread.h"
#include "common/random.h"
#include "base/states.h"
#include "states_portable.h"

#include <inttypes.h>
#include <string.h>

SUITE(states);

enum { MOST_STATES = 4096, ROUNDS = 1000 };

static const struct scans {
    const char *name;
    uint64_t (*match)(const uint8_t *states, uint8_t value);
    size_t (*count)(const uint8_t *states, size_t count, uint8_t value);
    size_t (*find)(const uint8_t *states, size_t count, uint8_t value);
    uint64_t (*summary)(const uint8_t *states, size_t count, uint8_t value);
} versions[] = {
    {"library", states_match, states_count, states_find, states_summary},
    {"portable", portable_states_match, portable_states_count, portable_states_find,
     portable_states_summary},
};

enum { VERSIONS = COUNT_OF(versions) };

static uint8_t states[MOST_STATES] __attribute__((aligned(64)));

/* What the scans must give, found byte by byte. */
struct reference {
    uint64_t summary;
    size_t count;
    size_t find;
};

static struct reference reference_scan(size_t count, uint8_t value)
{
    struct reference expected = {.find = count};

    for (size_t i = 0; i < count; i++) {
        if (states[i] != value)
            continue;
        if (expected.count++ == 0)
            expected.find = i;
        expected.summary |= (uint64_t)1 << (i / STATES_GROUP);
    }
    return expected;
}

/* Fails unless version `scans` agrees with the reference on the first `count` states. */
static void check_scans(const struct scans *scans, size_t count, uint8_t value)
{
    struct reference expected = reference_scan(count, value);
    struct reference found = {.count = scans->count(states, count, value),
                              .find = scans->find(states, count, value),
                              .summary = scans->summary(states, count, value)};

    ck_assert_msg(found.count == expected.count && found.find == expected.find &&
                      found.summary == expected.summary,
                  "%s (%zu, %u): count %zu, not %zu; find %zu, not %zu; summary %" PRIx64
                  ", not %" PRIx64 "",
                  scans->name, count, value, found.count, expected.count, found.find, expected.find,
                  found.summary, expected.summary);
}

/* Fails unless version `scans` agrees with the reference on the group that begins at `first`. */
static void check_match(const struct scans *scans, size_t first, uint8_t value)
{
    uint64_t expected = 0, word = scans->match(states + first, value);

    for (unsigned i = 0; i < STATES_GROUP; i++)
        expected |= (uint64_t)(states[first + i] == value) << i;
    ck_assert_msg(word == expected, "%s match(%u): %" PRIx64 ", not %" PRIx64 "", scans->name,
                  value, word, expected);
}

/* All states are `rest`, but one in `rarity` is any of `kinds` values. */
static void fill_sparse(struct random *random, uint8_t rest, uint64_t rarity, uint64_t kinds)
{
    memset(states, rest, sizeof(states));
    for (size_t i = 0; i < MOST_STATES; i++)
        if (random_below(random, rarity) == 0)
            states[i] = (uint8_t)random_below(random, kinds);
}

TEST_LOOP(agrees_on_random_states, 0, VERSIONS)
{
    const struct scans *scans = &versions[_i];
    struct random random = random_begin();

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t value = (uint8_t)random_below(&random, BLOCK_END + 1);
        size_t count = random_below(&random, MOST_STATES + 1);

        fill_sparse(&random, (uint8_t)random_below(&random, BLOCK_END + 1),
                    (uint64_t)1 << random_below(&random, 12), BLOCK_END + 1);
        check_scans(scans, count, value);
        check_match(scans, align_down(random_below(&random, MOST_STATES), STATES_GROUP), value);
    }
}

/* Values that differ in one bit, or by a borrow, from a neighbour's are where SWAR goes wrong. */
TEST_LOOP(tells_similar_bytes_apart, 0, VERSIONS)
{
    const struct scans *scans = &versions[_i];
    struct random random = random_begin();

    for (unsigned value = 0; value <= UINT8_MAX; value++) {
        for (size_t i = 0; i < MOST_STATES; i++) {
            unsigned change = (unsigned)random_below(&random, 10);

            states[i] = (uint8_t)(change < 8    ? value ^ 1u << change
                                  : change == 8 ? value
                                                : value - 1);
        }
        for (size_t first = 0; first < MOST_STATES; first += STATES_GROUP)
            check_match(scans, first, (uint8_t)value);
    }
}

TEST(get_returns_what_was_set)
{
    for (unsigned value = 0; value <= UINT8_MAX; value++) {
        state_set(&states[1], (uint8_t)value);
        ck_assert_uint_eq(state_get(&states[1]), value);
    }
}

/* What a thread does that does not own the slab: it frees every LIVE block. */
static void *free_remotely(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < MOST_STATES; i++) {
        uint8_t expected = BLOCK_LIVE;

        __atomic_compare_exchange_n(&states[i], &expected, BLOCK_REMOTE, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED);
    }
    return NULL;
}

/* While another thread makes LIVE states REMOTE, the FREE ones stay as they are for a scan. */
TEST_LOOP(bears_remote_frees, 0, VERSIONS)
{
    const struct scans *scans = &versions[_i];
    struct random random = random_begin();
    struct reference free_ones, live_ones;
    size_t remote;

    fill_sparse(&random, BLOCK_LIVE, 64, BLOCK_LIVE + 1);
    free_ones = reference_scan(MOST_STATES, BLOCK_FREE);
    live_ones = reference_scan(MOST_STATES, BLOCK_LIVE);
    pthread_t thread = begin_thread(free_remotely, NULL);
    do {
        remote = scans->count(states, MOST_STATES, BLOCK_REMOTE);
        ck_assert_uint_eq(scans->count(states, MOST_STATES, BLOCK_FREE), free_ones.count);
        ck_assert_uint_eq(scans->find(states, MOST_STATES, BLOCK_FREE), free_ones.find);
        ck_assert_uint_eq(scans->summary(states, MOST_STATES, BLOCK_FREE), free_ones.summary);
    } while (remote < live_ones.count);
    end_thread(thread);
    ck_assert_uint_eq(scans->count(states, MOST_STATES, BLOCK_REMOTE), live_ones.count);
    ck_assert_uint_eq(scans->count(states, MOST_STATES, BLOCK_LIVE), 0);
}
