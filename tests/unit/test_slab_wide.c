/*
 * Wide blocks of bins without an arena: which places they take. In random traces:
 * test_slab_trace.c; with an arena: test_alloc_wide.c.
 */
#include "test.h"
#include "common/random.h"
#include "wide_blocks.h"

SUITE(slab_wide, .begin = begin);

/* ---- Which places are taken ---- */

static const struct pair {
    size_t place, size; /* bytes: of the host's blocks and of the wide one */
    size_t places;
} pairs[] = {{32, 2048, 64},    {48, 3072, 64},  {64, 2048, 32},   {192, 2048, 11},
             {256, 1792, 7},    {512, 2048, 4},  {512, 32768, 64}, {640, 5120, 8},
             {1280, 20480, 16}, {4096, 8192, 2}, {1024, 28672, 28}};

enum { PAIRS = sizeof(pairs) / sizeof(pairs[0]), MODELS = 3, ROUNDS = 6, MOST_TAKEN = 2000 };

/* What the states of a slab are to be. */
static struct model {
    struct slab *slab;
    uint8_t states[SLAB_MAX_BLOCKS] __attribute__((aligned(STATES_GROUP)));
} models[MODELS];

/* True if at most a quarter of the model's blocks is in use. */
static bool is_sparse(const struct model *model)
{
    size_t count = model->slab->count, in_use = 0;

    for (size_t i = 0; i < count; i++)
        in_use += model->states[i] != BLOCK_FREE && model->states[i] != BLOCK_PURGED;
    return in_use <= count / 4;
}

/* The first of the lowest `places` FREE ones in a row, from `from` on; SIZE_MAX if there are none.
 */
static size_t find_places(const struct model *model, size_t from, size_t places)
{
    size_t run = 0;

    for (size_t i = from; i < model->slab->count; i++) {
        run = model->states[i] == BLOCK_FREE ? run + 1 : 0;
        if (run == places)
            return i + 1 - places;
    }
    return SIZE_MAX;
}

/* Writes random states with LIVE and PURGED ones at distances that leave room for some blocks. */
static void fill_model(struct model *model, size_t places, struct random *random)
{
    size_t count = model->slab->count, in_use = 0;
    uint64_t distance = 4 + random_below(random, 4 * places);
    bool dense = random_below(random, 8) == 0; /* more than a quarter is in use */

    for (size_t i = 0; i < count; i++) {
        bool held = random_below(random, dense ? 2 : distance) == 0;
        bool live = held && (dense || in_use < count / 4) && random_below(random, 8) != 0;
        model->states[i] = live ? BLOCK_LIVE : held ? BLOCK_PURGED : BLOCK_FREE;
        in_use += live;
    }
    model->states[random_below(random, count)] = BLOCK_LIVE;
    model->states[random_below(random, count)] = BLOCK_FREE;
    if (states_find(model->states, count, BLOCK_LIVE) == count)
        model->states[0] = BLOCK_LIVE;
    for (size_t i = 0; i < count; i++)
        state_set(&model->slab->states[i], model->states[i]);
}

/* Where the next block is to be found. */
struct place {
    size_t model, group;
    bool seen; /* the slab was found to be sparse */
};

/* The address of the next wide block, which is put into its model; NULL if there is none. Whether a
 * slab is sparse is asked once, when the search comes to it. */
static char *expect_wide(struct place *at, const struct pair *pair)
{
    for (; at->model < MODELS; at->model++, at->group = 0, at->seen = false) {
        struct model *model = &models[at->model];
        if (!at->seen && !is_sparse(model))
            continue;
        at->seen = true;
        size_t first = find_places(model, at->group * STATES_GROUP, pair->places);
        if (first == SIZE_MAX)
            continue;
        memset(&model->states[first], BLOCK_REST, pair->places);
        model->states[first] = BLOCK_WIDE;
        at->group = first / STATES_GROUP;
        return model->slab->base + first * pair->place;
    }
    return NULL;
}

static bool is_as_in_models(void)
{
    for (int i = 0; i < MODELS; i++)
        for (size_t n = 0; n < models[i].slab->count; n++)
            if (state_get(&models[i].slab->states[n]) != models[i].states[n])
                return false;
    return true;
}

/* Makes slabs of the host's class, the last one current in some rounds. */
static void make_models(const struct pair *pair, struct random *random)
{
    struct bin *host = begin_bin(pair->place);

    host->units = LARGEST_SLABS;
    for (int i = 0; i < MODELS; i++) {
        models[i].slab = make_used_slab(host);
        fill_model(&models[i], pair->places, random);
        if (i < MODELS - 1 || random_below(random, 2) == 0)
            list_slab(models[i].slab);
        else
            models[i].slab->summary = ~UINT64_C(0) >> (64 - (models[i].slab->count + 63) / 64);
        models[i].slab->purged = true;
    }
}

static size_t expected_sparse_bytes(const struct pair *pair)
{
    size_t places = 0;

    for (int i = 0; i < MODELS; i++)
        if (is_sparse(&models[i]))
            places += states_count(models[i].states, models[i].slab->count, BLOCK_FREE);
    return places * pair->place;
}

/* Frees all of them. The class finds the places of each again: all of their groups are marked. */
static void check_freed(char **taken, size_t count)
{
    for (int i = 0; i < MODELS; i++)
        models[i].slab->summary =
            states_summary(models[i].states, models[i].slab->count, BLOCK_FREE);
    for (size_t i = 0; i < count; i++) {
        size_t places = places_of(taken[i]);
        give(taken[i]);
        ck_assert(all_are(slab_of(taken[i]), number_of(taken[i]), places, BLOCK_FREE));
        ck_assert(all_valid());
    }
}

TEST_LOOP(the_lowest_run_of_enough_free_places_is_taken, 0, PAIRS *ROUNDS)
{
    const struct pair *pair = &pairs[_i % PAIRS];
    struct random random = random_begin_for((uint64_t)_i);
    struct bin *bin = begin_bin(pair->size);
    make_models(pair, &random);
    ck_assert_uint_eq(bin_sparse_bytes(&bins[size_class_of(pair->place)]),
                      expected_sparse_bytes(pair));
    struct place at = {.model = 0};
    char *expected, *taken[MOST_TAKEN];
    size_t count = 0;
    look++;
    do {
        expected = expect_wide(&at, pair);
        taken[count] = bin_take_wide(bin, bins, look);
        if (taken[count] != expected || !is_as_in_models())
            ck_abort_msg("not %p", (void *)expected);
    } while (expected != NULL && ++count < MOST_TAKEN);
    ck_assert(all_valid());
    check_freed(taken, count);
    ck_assert_ptr_null(bin_take_wide(bin, bins, look)); /* until the next look */
}

/* ---- Bounds ---- */

static bool serves(size_t place, size_t size)
{
    size_t places = (size + place - 1) / place;

    return size > SIZE_CLASS_TINY_LIMIT && size <= SLAB_SHARED_LIMIT && places <= 64 &&
           8 * places * place <= 9 * size;
}

/* With a slab of each class that has a LIVE block and nothing else. */
TEST(a_class_serves_what_it_wastes_little_of)
{
    unsigned served = 0;

    for (unsigned host = 0; size_class_sizes[host] <= SLAB_SHARED_LIMIT; host++) {
        size_t place = size_class_sizes[host];
        struct slab *slab = make_used_slab(begin_bin(place));
        for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
            size_t size = size_class_sizes[class];
            state_set(&slab->states[0], BLOCK_LIVE);
            list_slab(slab);
            struct bin *bin = class == host ? &bins[host] : begin_bin(size);
            char *block = take_wide(bin);
            bool expected = class > host && serves(place, size);
            if (block != (expected ? slab->base + place : NULL))
                ck_abort_msg("%zu bytes in places of %zu: %p", size, place, (void *)block);
            if (expected)
                ck_assert_uint_eq(places_of(block), (size + place - 1) / place);
            served += expected;
            if (class != host)
                bins[class] = (struct bin){.block_size = 0};
            memset(slab->states, BLOCK_FREE, slab->count);
        }
        bins[host] = (struct bin){.block_size = 0};
    }
    ck_assert_uint_gt(served, 100);
}

/* Of several classes the largest one serves first; one that was never used serves none. */
TEST(larger_places_come_first)
{
    static const size_t places[] = {1024, 512, 256};
    struct bin *bin = begin_bin(2048);
    struct slab *slabs[3];

    ck_assert_ptr_null(take_wide(bin));
    for (int i = 2; i >= 0; i--) {
        slabs[i] = list_used_slab(begin_bin(places[i]));
    }
    look++;
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_eq(bin_take_wide(bin, bins, look), slabs[i]->base + places[i]);
        /* no place is left, for the class below to come next */
        for (size_t n = 0; n < slabs[i]->count; n++)
            if (state_get(&slabs[i]->states[n]) == BLOCK_FREE)
                state_set(&slabs[i]->states[n], BLOCK_LIVE);
    }
    ck_assert_ptr_null(bin_take_wide(bin, bins, look));
    ck_assert(all_valid());
}

TEST(only_what_its_class_has_used_is_taken)
{
    struct bin *bin = begin_bin(2048), *host = begin_bin(32); /* 64 places */

    ck_assert(bin_make_slab(host, &set));
    struct slab *slab = host->slab;
    ck_assert_uint_gt(slab->count, 2 * STATES_GROUP);
    ck_assert_ptr_null(take_wide(bin));
    char *live = take_place(host);
    ck_assert_ptr_null(take_wide(bin));
    ck_assert(slab_is_listed(slab));
    ck_assert_uint_eq(count_states(slab, BLOCK_FREE), slab->count - 1u);
    while (number_of(live) != STATES_GROUP) {
        live = take_place(host);
        ck_assert_ptr_nonnull(live);
    }
    memset(slab->states + 1, BLOCK_FREE, STATES_GROUP);
    ck_assert_ptr_eq(take_wide(bin), slab->base + 32);
    ck_assert_uint_eq(places_of(slab->base + 32), 64);
}

/* A call leaves off after 512 groups of states, inside a slab here, and the next one goes on there.
 * Each slab is gone over twice: for whether it is sparse, and for its runs. */
TEST(a_call_looks_at_so_many_states)
{
    enum { SLABS = 5, RUN = 3951 };
    struct bin *bin = begin_bin(2048), *host = begin_bin(32); /* 64 places */
    struct slab *slab = NULL;

    for (int i = 0; i < SLABS; i++) { /* of 3 groups and then of 64 */
        slab = make_used_slab(host);
        for (size_t n = 0; n < slab->count; n += 50)
            state_set(&slab->states[n], BLOCK_LIVE);
        list_slab(slab);
        host->units = LARGEST_SLABS;
    }
    ck_assert_uint_gt(2 * 3 + 2 * 64 * (SLABS - 2) + 64 + RUN / STATES_GROUP, 512);
    ck_assert_uint_lt(2 * 3 + 2 * 64 * (SLABS - 2) + 64, 512);
    state_set(&slab->states[RUN + 49], BLOCK_FREE);
    ck_assert_ptr_null(take_wide(bin));
    ck_assert_ptr_eq(bin_take_wide(bin, bins, look), slab->base + (size_t)RUN * 32);
}
