/*
 * The heap profile in a child of fork: one thread changes the profile, and another forks after each
 * instruction that has changed it. The child rebuilds what the lost thread's lock guarded, and goes
 * on.
 */
#include "test.h"
#include "child.h"
#include "in_thread.h"
#include "own_arena.h"
#include "modes/chance.h"
#include "modes/profile.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "sanitized.h"
#include "step.h"

#include <string.h>

SUITE(profile_steps, .begin = begin, .timeout = 300);

/* Children are made where something has changed, and every STRIDE instructions. */
enum { STRIDE = UNDER_SANITIZER ? 503 : 131 };

enum { SLOTS = 64, BLOCKS = 60 };

enum { CHILDREN_STEPPED = 61 }; /* one child in that many steps, too */

static void *blocks[BLOCKS]; /* of the main thread */
static sem_t stopped, looked;
static unsigned failed, failed_at, children; /* a child's status, and at which instruction */

/* ---- the child ---- */

/* How many sizes malloc's table leads to the slow path: 1: all, 0: none, 2: some. */
static int diverted(void)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(size_class_short_path); i++)
        count += size_class_short_path[i] == SIZE_CLASS_COUNT * SIZE_CLASS_STRIDE;
    return count == 0 ? 0 : count == COUNT_OF(size_class_short_path) ? 1 : 2;
}

static bool weights_are_right(void)
{
    for (uint32_t i = 0; profile.slots != NULL && i < profile.slots_used; i++) {
        const struct profile_slot *slot = &profile.slots[i];
        double p = slot->address == 0 || profile.interval == 0
                       ? 1
                       : chance_of((double)slot->size / (double)profile.interval) * slot->weight;
        if (p < 1 - 1e-6 || (p > 1 + 1e-6 && slot->address != 0 && profile.interval != 0))
            return false;
    }
    return true;
}

static bool valid, count_was_0;

/* What a thread that frees may find meanwhile: the count is 0 where there are no samples. */
static void look_at_count(void)
{
    count_was_0 = count_was_0 || profile_samples == 0;
}

static void look_whether_valid(void)
{
    valid = profile_is_valid(); /* takes the lock */
}

/* True if the profile is valid. Some children go through that step by step: of what the lock
 * guarded, the count of samples is read without it. */
static bool is_valid_at_last(void)
{
    if (profile_samples == 0 || children % CHILDREN_STEPPED != 0) {
        look_whether_valid();
        return valid;
    }
    step_through(look_whether_valid, look_at_count);
    return valid && !count_was_0;
}

/* True if a look at the option, which the other thread may have been about to change, leaves the
 * profile on, or off. */
static bool is_as_the_option_says(void)
{
    bool on = profile_mode != 0;
    profile_tick();
    return (profile_mode != 0) == on;
}

static int go_on(void)
{
    bool is_valid = is_valid_at_last();
    if (!is_valid || profile.changing % 2 != 0 || !weights_are_right())
        return 1;
    if (diverted() != (profile_mode != 0) || (profile_mode == 0) != (profile.interval == 0))
        return 2;
    if (!is_as_the_option_says())
        return 7;
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(64);
    if (!profile_is_valid() || !weights_are_right() || !own_arena_is_valid())
        return 3;
    if (profile_mode != 0 && profile_stop() != 0)
        return 4;
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
    if (profile_start(1) != 0)
        return 5;
    void *block = alloc_block(64);
    bool sampled = profile_samples == 1;
    free_block(block);
    return sampled && profile_samples == 0 && profile_is_valid() && diverted() == 1 ? 0 : 6;
}

/* ---- the thread that is stepped: it must not call what takes a lock of libc, such as Check ----
 */

/* What was true of the profile at the last instruction. */
static struct {
    struct profile profile;
    uint64_t mode, samples, option, followed;
    struct profile_slot slots[SLOTS];
    struct profile_site sites[SLOTS];
} seen;

/* True if the tables are as they were. */
static bool tables_are_as_seen(void)
{
    return profile.slots == NULL ||
           (memcmp(seen.slots, profile.slots, sizeof(seen.slots)) == 0 &&
            memcmp(seen.sites, profile.sites, profile.sites_used * sizeof(seen.sites[0])) == 0);
}

static bool has_changed(void)
{
    if (memcmp(&seen.profile, &profile, sizeof(profile)) == 0 && seen.mode == profile_mode &&
        seen.samples == profile_samples && seen.option == option_value(OPTION_PROFILE) &&
        seen.followed == profile_followed && tables_are_as_seen())
        return false;
    seen.profile = profile;
    seen.mode = profile_mode;
    seen.samples = profile_samples;
    seen.option = option_value(OPTION_PROFILE);
    seen.followed = profile_followed;
    if (profile.slots != NULL) {
        memcpy(seen.slots, profile.slots, sizeof(seen.slots));
        memcpy(seen.sites, profile.sites, profile.sites_used * sizeof(seen.sites[0]));
    }
    return true;
}

/* Lets the main thread fork. */
static void look(void)
{
    if (failed != 0 || (!has_changed() && steps % STRIDE != 0))
        return;
    sem_post(&stopped);
    partner_wait(&looked);
}

static void *own_block; /* of that thread */

static void alloc_new(void)
{
    own_block = alloc_block(64);
}

static void alloc_large(void)
{
    own_block = alloc_block(2 << 20);
}

static void free_own(void)
{
    free_block(own_block);
}

static void free_others(void)
{
    void *block = blocks[0];
    blocks[0] = NULL;
    free_block(block);
}

static void start_anew(void)
{
    (void)profile_start(64);
}

static void stop(void)
{
    (void)profile_stop();
}

static void nothing(void)
{
}

static void fill(void)
{
    while (profile_samples < SLOTS)
        alloc_block(64);
}

static const struct operation {
    void (*prepare)(void), (*run)(void);
    size_t interval;
} operations[] = {
    {nothing, alloc_new, 1},   {alloc_new, alloc_new, 1},  {alloc_new, free_own, 1},
    {nothing, alloc_large, 1}, {alloc_large, free_own, 1}, {nothing, free_others, 1},
    {fill, alloc_new, 32},     {nothing, start_anew, 1},   {nothing, stop, 1},
};

static void *run_operation(void *operation)
{
    const struct operation *of = operation;
    of->prepare();
    profile_thread.countdown = 1; /* the next block is a sample */
    has_changed();
    step_through(of->run, look);
    __atomic_store_n(&stepping, 2, __ATOMIC_SEQ_CST);
    sem_post(&stopped);
    return NULL;
}

TEST_LOOP_UNLESS(NO_STEPS, a_child_of_another_thread_goes_on, 0, COUNT_OF(operations))
{
    const struct operation *of = &operations[_i];
    sem_init(&stopped, 0, 0);
    sem_init(&looked, 0, 0);
    ck_assert_int_eq(option_set_text("profile_samples", "64"), 0);
    profile_thread.generator = 1;
    ck_assert_int_eq(profile_start(of->interval), 0);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(64);
    pthread_t thread = begin_thread(run_operation, (void *)(uintptr_t)of);
    for (;;) {
        partner_wait(&stopped);
        if (stepping == 2)
            break;
        children++;
        failed = (unsigned)result_in_child(go_on);
        failed_at = (unsigned)steps;
        sem_post(&looked);
    }
    end_thread(thread);
    ck_assert_msg(failed == 0, "status %u, at instruction %u", failed, failed_at);
    ck_assert_uint_gt(children, 4);
    ck_assert(profile_is_valid());
}
