/* Estimates of the heap profile against what was allocated; the peak; what happens when its tables
 * are full. */
#include "test.h"
#include "profile_begin.h"
#include "base/os.h"
#include "base/chance.h"
#include "paths/free.h"

#include <math.h>

SUITE(profile_estimates, .begin = begin_with_seed, .timeout = 300);

/* ---- estimates ---- */

/* What an estimate of `blocks` blocks, of which each is a sample with that probability, may be off
 * by: three standard deviations. */
static double most_off(double blocks, double p)
{
    return 3 * sqrt(blocks * (1 - p)) / p + 1e-6 * blocks;
}

static void check_estimate(double estimate, double blocks, double most, const char *what)
{
    ck_assert_msg(fabs(estimate - blocks) <= most, "%s: %.1f of %.0f, which may be off by %.1f",
                  what, estimate, blocks, most);
}

/* Blocks of one size: allocated, and of these the live ones. */
static const struct estimate {
    size_t size, interval, blocks, live;
} estimates[] = {
    {16, 16 << 10, 400000, 100000},   {16, 512 << 10, 4000000, 100000},
    {1000, 512 << 10, 400000, 50000}, {4096, 64 << 10, 40000, 20000},
    {40 << 10, 512 << 10, 4000, 400}, {1 << 20, 512 << 10, 1000, 64},
    {1 << 20, 16 << 20, 1000, 64},    {3 << 20, 16 << 20, 1000, 64},
    {64 << 20, 64 << 20, 200, 8},     {64 << 20, 512 << 10, 100, 8},
};

/* What all sites have together. */
static struct profile_site sum_of_sites(void)
{
    struct profile_site sum = {.size = 0};
    for (uint32_t i = 0; i < profile.sites_used; i++) {
        const struct profile_site *site = &profile.sites[i];
        sum.blocks += site->blocks;
        sum.bytes += site->bytes;
        sum.peak_blocks += site->peak_blocks;
        sum.peak_bytes += site->peak_bytes;
    }
    return sum;
}

TEST_LOOP(estimates_are_right, 0, COUNT_OF(estimates))
{
    const struct estimate *of = &estimates[_i];
    static void *blocks[100000];
    size_t size = alloc_good_size(of->size);
    double p = 1 - exp(-(double)size / (double)of->interval);
    ck_assert_uint_le(of->live, COUNT_OF(blocks));
    /* the first blocks of a class are larger */
    for (int i = 0; i < 8; i++)
        alloc_block(of->size);
    start(of->interval);
    for (size_t i = 0; i < of->live; i++)
        blocks[i] = alloc_block(of->size);
    for (size_t i = of->live; i < of->blocks; i++)
        free_block(alloc_block(of->size));
    ck_assert_uint_eq(profile.interval, of->interval);
    ck_assert_uint_eq(profile.thinned, 0);
    struct profile_site sum = sum_of_sites();
    check_estimate(sum.blocks, (double)of->blocks, most_off((double)of->blocks, p), "allocated");
    check_estimate(profile.live_blocks, (double)of->live, most_off((double)of->live, p), "live");
    ck_assert_double_eq_tol(sum.bytes, sum.blocks * (double)size, 1e-6 * sum.bytes);
    ck_assert_double_eq_tol(profile.live_bytes, profile.live_blocks * (double)size,
                            1e-6 * profile.live_bytes + 1);
    for (size_t i = 0; i < of->live; i++)
        free_block(blocks[i]);
    ck_assert(has_samples(0));
    ck_assert_double_eq(profile.live_bytes, 0);
    ck_assert_uint_eq(profile.taken, profile.ended);
}

/* What a site of one size has, of all stacks. */
static struct profile_site sites_of_size(size_t size)
{
    struct profile_site sum = {.size = size};
    for (uint32_t i = 0; i < profile.sites_used; i++)
        if (profile.sites[i].size == size) {
            sum.blocks += profile.sites[i].blocks;
            sum.bytes += profile.sites[i].bytes;
        }
    return sum;
}

TEST(sizes_that_are_mixed_at_one_place_are_kept_apart)
{
    enum { ROUNDS = 20000, INTERVAL = 64 << 10, BLOCKS = 16 };
    static const size_t sizes[] = {16, 128, 1024, 10 << 10, 96 << 10, 2 << 20};
    double most_bytes = 0, bytes = 0;
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int j = 0; j < BLOCKS; j++)
            alloc_block(sizes[i]); /* the first blocks of a class are larger */
    start(INTERVAL);
    for (int i = 0; i < ROUNDS; i++)
        for (size_t j = 0; j < COUNT_OF(sizes); j++)
            free_block(alloc_block(sizes[j]));
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        double p = 1 - exp(-(double)sizes[i] / INTERVAL);
        double most = most_off(ROUNDS, p);
        check_estimate(sites_of_size(sizes[i]).blocks, ROUNDS, most, "blocks of a size");
        most_bytes += most * (double)sizes[i] * most * (double)sizes[i];
        bytes += ROUNDS * (double)sizes[i];
    }
    check_estimate(sum_of_sites().bytes, bytes, sqrt(most_bytes), "bytes");
    ck_assert(has_samples(0));
}

TEST(a_thread_counts_its_own_bytes_down)
{
    enum { THREADS = 40, BLOCKS = 500 };
    double allocated = 0;
    start(256 << 10);
    /* each allocates less than the interval: no thread's first sample is its right or duty */
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < BLOCKS; j++) {
            if (j == 0)
                profile_thread = (struct profile_thread){.generator = (uint64_t)i + 1};
            free_block(alloc_block(256));
            allocated += 256;
        }
    double p = 1 - exp(-1.0 / 1024);
    check_estimate(sum_of_sites().blocks, allocated / 256, most_off(THREADS * BLOCKS, p),
                   "of all threads");
}

TEST(a_countdown_is_drawn_anew_for_each_start)
{
    start((size_t)64 << 30);
    free_block(alloc_block(100));
    ck_assert(has_samples(0));
    start(1);
    void *block = alloc_block(100);
    ck_assert(has_samples(1));
    free_block(block);
    ck_assert(has_samples(0));
}

/* ---- the peak ---- */

TEST(the_peak_is_what_was_live_then)
{
    enum { BLOCKS = 1000, SIZE = 1024 };
    void *blocks[BLOCKS];
    start(1);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(SIZE);
    double all = profile.live_bytes;
    ck_assert_double_ge(profile.peak_bytes, all / 1.1 - SIZE);
    ck_assert_double_le(profile.peak_bytes, all);
    ck_assert_uint_ge(profile.peak_at, profile.started_at);
    double peak = profile.peak_bytes;
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
    for (int i = 0; i < BLOCKS / 2; i++)
        blocks[i] = alloc_block(SIZE);
    ck_assert_double_eq(profile.peak_bytes, peak);
    struct profile_site sum = sum_of_sites();
    ck_assert_double_eq_tol(sum.peak_bytes, peak, 1e-6 * peak);
    ck_assert_double_eq_tol(sum.peak_blocks * SIZE, peak, 1e-6 * peak);
    ck_assert_uint_eq(profile.changing % 2, 0);
    /* a larger one takes its place, at each site */
    for (int i = BLOCKS / 2; i < BLOCKS; i++)
        blocks[i] = alloc_block(2 * SIZE);
    sum = sum_of_sites();
    ck_assert_double_ge(profile.peak_bytes, profile.live_bytes / 1.1 - 2 * SIZE);
    ck_assert_double_eq_tol(sum.peak_bytes, profile.peak_bytes, 1e-6 * profile.peak_bytes);
}

/* ---- room ---- */

/* Sets the room for samples and starts. */
static void start_with(const char *samples, size_t interval)
{
    ck_assert_int_eq(option_set_text("profile_samples", samples), 0);
    start(interval);
}

static void check_weights(void)
{
    for (uint32_t i = 0; i < profile.slots_used; i++) {
        const struct profile_slot *slot = &profile.slots[i];
        double weight = 1 / chance_of((double)slot->size / (double)profile.interval);
        if (slot->address != 0)
            ck_assert_double_eq_tol(slot->weight, weight, 1e-6 * weight);
    }
}

/* Where samples do not fit, some go, and those that stay stand for more: whatever the sizes, the
 * mean of many runs is what is live. */
TEST(thinning_changes_no_estimate)
{
    enum { RUNS = 400, BLOCKS = 1000 };
    static void *blocks[BLOCKS];
    static const size_t mixed[] = {64, 512, 4096, 512, 64, 64, 64, 16 << 10};
    double sum = 0, squares = 0, truth = 0;
    for (int run = 0; run < RUNS; run++) {
        start_with("256", 64);
        truth = 0;
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = alloc_block(mixed[i % 8]);
            truth += (double)free_usable_size(blocks[i], "test");
        }
        ck_assert_uint_gt(profile.thinned, 0);
        ck_assert_uint_gt(profile.interval, profile.first_interval);
        ck_assert_uint_le(profile_samples, 256);
        ck_assert(profile_is_valid());
        check_weights();
        sum += profile.live_bytes;
        squares += profile.live_bytes * profile.live_bytes;
        for (int i = 0; i < BLOCKS; i++)
            free_block(blocks[i]);
        ck_assert(has_samples(0));
    }
    double mean = sum / RUNS, deviation = sqrt((squares / RUNS - mean * mean) / RUNS);
    ck_assert_double_lt(deviation, truth / 50);
    check_estimate(mean, truth, 3 * deviation, "live");
}

TEST(a_thread_whose_interval_has_doubled_meanwhile_draws_anew)
{
    enum { BLOCKS = 3000 };
    start_with("64", 64);
    struct profile_thread old = profile_thread;
    for (int i = 0; i < BLOCKS; i++)
        alloc_block(64);
    ck_assert_uint_gt(profile.interval, 64);
    /* as another thread that last allocated at the start */
    profile_thread.mode = old.mode;
    profile_thread.countdown = 1;
    uint64_t taken = profile.taken;
    free_block(alloc_block(16));
    ck_assert_uint_eq(profile_thread.mode, profile_mode);
    ck_assert_uint_eq(profile.taken, taken);
}

TEST(where_there_is_no_room_for_a_stack_it_is_lost)
{
    enum { DEPTHS = 40, STACKS = 16 }; /* a quarter of the slots, and stack 0 is one of them */
    start_with("64", 1);
    for (int depth = 0; depth < DEPTHS; depth++)
        alloc_at_depth(depth, 100);
    ck_assert_uint_eq(profile.stack_limit, STACKS);
    ck_assert_uint_le(profile.stacks_used, STACKS);
    ck_assert_uint_ge(profile.lost_stacks, DEPTHS - STACKS);
    ck_assert_double_eq_tol(profile.sites[0].blocks, (double)profile.lost_stacks, 1e-3);
    ck_assert_double_eq_tol(sum_of_sites().blocks, DEPTHS, 1e-3);
    ck_assert_uint_eq(profile.sites[0].size, 0);
    ck_assert(has_samples(DEPTHS));
}

TEST(where_there_is_no_room_for_a_site_its_stack_is_lost)
{
    enum { SIZES = 60, SITES = 32 };
    start_with("64", 1);
    for (size_t i = 0; i < SIZES; i++)
        alloc_at_depth(0, (2 << 20) + i * os_page_size());
    ck_assert_uint_eq(profile.site_limit, SITES);
    ck_assert_uint_eq(profile.sites_used, SITES);
    ck_assert_uint_gt(profile.lost_stacks, 0);
    ck_assert_double_eq_tol(sum_of_sites().blocks, SIZES, 1e-3);
    ck_assert(has_samples(SIZES));
}
