/*
 * The heap profile, switched while everything goes on: each worker replaces and resizes blocks of
 * one table of slots, its own and the others', so that samples are ended by other threads; worker 0
 * starts, stops and marks the profile meanwhile, by its functions and by the option, as a writer
 * outside does. Children go on for a while by themselves.
 *
 * A start must leave the profile on, and a stop off, whatever other threads do; and when it is off,
 * with all blocks freed, nothing is left of them.
 */
#include "common.h"

#include <acre/acre.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLOTS = 6000,
    OPERATIONS = 6000, /* of a round */
    CHILD_OPERATIONS = 300,
    CHILD_SECONDS = 100, /* a child that lives longer hangs */
    SWITCH_SHARE = 200,  /* one in that many operations of worker 0 switches the profile */
    FORK_SHARE = 4000,   /* one in that many operations of any worker is a fork */
    TRIM_SHARE = 3000,   /* ... and a malloc_trim */
    RESIZE_SHARE = 8,    /* ... and a realloc */
    SMALL_LIMIT = 2000,  /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 200,   /* one in that many blocks may be larger */
};

#define SIZE_LIMIT ((size_t)3 << 20) /* bytes; sizes of all blocks are below */
#define MEMORY (STRESS_MEMORY / 4)   /* bytes for all blocks; a child has as much */

/* A slot is in the hands of one thread while `busy` is not 0; atomic. */
static struct slot {
    int busy;
    struct block block;
} slots[SLOTS];

static size_t live; /* atomic, relaxed: bytes of all blocks */

static bool claim(struct slot *slot)
{
    int found = 0;
    return __atomic_compare_exchange_n(&slot->busy, &found, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void leave(struct slot *slot)
{
    __atomic_store_n(&slot->busy, 0, __ATOMIC_RELEASE);
}

static void release(struct slot *slot)
{
    __atomic_fetch_sub(&live, slot->block.size, __ATOMIC_RELAXED);
    block_release(&slot->block);
    slot->block = (struct block){0};
}

/* Gives a slot's block another size, or replaces it; leaves it empty where memory is short. */
static void change(struct random *random, struct slot *slot)
{
    size_t size = random_size(random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT);
    bool resizes = random_below(random, RESIZE_SHARE) == 0;
    if (!claim(slot))
        return;
    if (__atomic_load_n(&live, __ATOMIC_RELAXED) + size > MEMORY)
        size = 0;
    size_t before = slot->block.size;
    if (resizes && slot->block.address != NULL && size != 0) {
        slot->block = block_resize(&slot->block, size);
        __atomic_fetch_add(&live, slot->block.size - before, __ATOMIC_RELAXED);
    } else {
        if (slot->block.address != NULL)
            release(slot);
        if (size != 0) {
            slot->block = block_allocate(random, size);
            __atomic_fetch_add(&live, slot->block.size, __ATOMIC_RELAXED);
        }
    }
    leave(slot);
}

/* ---- switching, by one thread ---- */

static bool is_on; /* of worker 0 */

static void check_switch(const char *what, int found, int wanted)
{
    if (found != wanted)
        stress_fail("%s: %d (%s), %d is right", what, found, strerror(found), wanted);
}

static void switch_by_option(struct random *random)
{
    static const char *const values[] = {"0", "1", "100", "4K", "512K", "64G"};
    const char *value = values[random_below(random, sizeof(values) / sizeof(values[0]))];
    char now[32];
    check_switch("acre_option_set", acre_option_set("profile", value), 0);
    is_on = value[0] != '0';
    check_switch("acre_option_get", acre_option_get("profile", now, sizeof(now)), 0);
    if (strcmp(now, value) != 0)
        stress_fail("profile:%s is profile:%s", value, now);
}

static void switch_profile(struct random *random)
{
    static const char *const samples[] = {"0", "100", "5000", "65536"};
    check_switch("acre_profile_mark", acre_profile_mark(), is_on ? 0 : EINVAL);
    switch (random_below(random, 4)) {
    case 0:
        check_switch("acre_profile_stop", acre_profile_stop(), is_on ? 0 : EINVAL);
        is_on = false;
        break;
    case 1:
        acre_option_set("profile_samples", samples[random_below(random, 4)]);
        /* fall through */
    case 2:
        check_switch("acre_profile_start",
                     acre_profile_start((size_t)1 << random_below(random, 20)), 0);
        is_on = true;
        break;
    default:
        switch_by_option(random);
    }
}

/* ---- processes and rounds ---- */

/* Other threads are quiet, or lost. */
static void check_all(void)
{
    if (acre_check(STDERR_FILENO) != 0)
        stress_fail("acre_check");
}

static void operate(struct random *random, int operations)
{
    for (int i = 0; i < operations; i++)
        change(random, &slots[random_below(random, SLOTS)]);
}

static void release_all(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (claim(&slots[i])) {
            if (slots[i].block.address != NULL)
                release(&slots[i]);
            leave(&slots[i]);
        }
}

/* What was in the hands of the other threads is lost. */
_Noreturn static void live_as_child(struct random *random)
{
    alarm(CHILD_SECONDS);
    operate(random, CHILD_OPERATIONS);
    check_all();
    if (random_below(random, 2) == 0)
        check_switch("acre_profile_start", acre_profile_start(1), 0);
    operate(random, CHILD_OPERATIONS);
    release_all();
    malloc_trim(0);
    check_all();
    _exit(0);
}

static void make_child(struct random *random)
{
    struct random of_child = {random_next(random)};
    pid_t child = fork();
    if (child < 0)
        stress_fail("fork: errno %d", errno);
    if (child == 0)
        live_as_child(&of_child);
    stress_wait_for(child);
}

static void round_of(struct worker *worker, unsigned long round)
{
    struct random *random = &worker->random;
    (void)round;
    for (int i = 0; i < OPERATIONS; i++) {
        change(random, &slots[random_below(random, SLOTS)]);
        if (worker->number == 0 && random_below(random, SWITCH_SHARE) == 0)
            switch_profile(random);
        if (random_below(random, FORK_SHARE) == 0)
            make_child(random);
        if (random_below(random, TRIM_SHARE) == 0)
            malloc_trim(0);
    }
}

/* In every eighth round everything is freed, with samples of each kind. */
static void between_rounds(unsigned long round)
{
    if (round % 8 == 7)
        release_all();
    check_all();
}

static void start(struct worker *worker)
{
    if (worker->number == 0)
        acre_option_set("decay", "1");
}

static void finish(struct worker *worker)
{
    if (worker->number == 0)
        release_all();
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "profile",
                                           .start = start,
                                           .round = round_of,
                                           .between_rounds = between_rounds,
                                           .finish = finish};
    return stress_main(&program, argc, argv);
}
