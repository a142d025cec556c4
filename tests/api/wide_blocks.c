/*
 * Blocks in the place of several smaller ones: what is left free among small blocks serves larger
 * ones, through every function that takes, resizes and frees blocks, by the thread that took them
 * and by others, and in the children of forks that catch their thread at any instant.
 */
#include "check.h"
#include <acre/acre.h>
#include <malloc.h>

enum {
    SMALL = 100000, /* small blocks, of which one in KEPT_SHARE is kept */
    SMALL_LEAST = 128,
    SMALL_LIMIT = 512,
    KEPT_SHARE = 10,
    MEDIUM = 4000, /* larger blocks */
    MEDIUM_SIZE = 2000,
    ZEROED_SIZE = 5000, /* a size of which calloc asks whether it is known to be zero */
    CHANGING = 500,     /* of them, that the thread goes on to replace */
    FORKS = 60,
    OF_THREAD = 1, /* block that libc keeps of a thread that has ended, for the next one */
    LOST_MOST = 1, /* the block that the thread was being given, or was giving back */
};

static void *kept[SMALL / KEPT_SHARE];
static char *medium[MEDIUM]; /* CHANGING: atomic, NULL while it is replaced */
static bool ready, go, stop; /* atomic */

static struct acre_stats stats_now(void)
{
    struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    return stats;
}

/* Places that blocks have beyond one for each. */
static size_t wide_places(const struct acre_stats *stats)
{
    size_t places = 0;
    for (size_t i = 0; i < stats->class_count; i++)
        places += stats->classes[i].live_blocks;
    return places - stats->small_blocks;
}

static void leave_pieces(void)
{
    static void *blocks[SMALL];
    uint64_t random = 3;
    for (size_t i = 0; i < SMALL; i++) {
        blocks[i] = malloc(SMALL_LEAST + next_random(&random) % (SMALL_LIMIT - SMALL_LEAST));
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = SMALL; i-- > 1;) {
        size_t other = next_random(&random) % (i + 1);
        void *block = blocks[i];
        blocks[i] = blocks[other];
        blocks[other] = block;
    }
    for (size_t i = 0; i < SMALL; i++)
        if (i < SMALL / KEPT_SHARE)
            kept[i] = blocks[i];
        else
            free(blocks[i]);
}

static char *take_medium(size_t i)
{
    char *block = malloc(MEDIUM_SIZE);
    CHECK(block != NULL && is_aligned(block, 16) && malloc_usable_size(block) >= MEDIUM_SIZE);
    fill(block, MEDIUM_SIZE, (unsigned)i);
    return block;
}

static void give_medium(size_t i)
{
    CHECK(is_filled(medium[i], MEDIUM_SIZE, (unsigned)i));
    free(medium[i]);
    medium[i] = NULL;
}

static void the_pieces_serve(void)
{
    leave_pieces();
    struct acre_stats before = stats_now();
    for (size_t i = 0; i < MEDIUM; i++)
        medium[i] = take_medium(i);
    struct acre_stats after = stats_now();
    CHECK(wide_places(&before) == 0 && wide_places(&after) > MEDIUM);
    CHECK(after.small_blocks == before.small_blocks + MEDIUM);
    CHECK(after.heap_in_slabs - before.heap_in_slabs < MEDIUM * MEDIUM_SIZE / 2);
}

/* Wide ones, too, have at most twice what was asked for, so they grow where they are. */
static void they_grow_in_place(void)
{
    for (size_t i = 0; i < MEDIUM; i++) {
        uintptr_t address = (uintptr_t)medium[i];
        size_t usable = malloc_usable_size(medium[i]);
        medium[i] = realloc(hide(medium[i]), (MEDIUM_SIZE + usable) / 2);
        CHECK((uintptr_t)medium[i] == address);
        medium[i] = realloc(hide(medium[i]), usable);
        CHECK((uintptr_t)medium[i] == address && malloc_usable_size(medium[i]) == usable);
        medium[i] = realloc(hide(medium[i]), MEDIUM_SIZE);
        CHECK((uintptr_t)medium[i] == address);
    }
}

static void functions_know_them(void)
{
    for (size_t i = 0; i < MEDIUM; i += 7) {
        size_t larger = MEDIUM_SIZE + malloc_usable_size(medium[i]);
        medium[i] = realloc(medium[i], larger);
        CHECK(medium[i] != NULL && is_filled(medium[i], MEDIUM_SIZE, (unsigned)i));
        medium[i] = realloc(medium[i], MEDIUM_SIZE);
        CHECK(medium[i] != NULL && is_filled(medium[i], MEDIUM_SIZE, (unsigned)i));
    }
    for (size_t i = 1; i < MEDIUM; i += 7) {
        give_medium(i);
        medium[i] = calloc(1, ZEROED_SIZE);
        CHECK(medium[i] != NULL && is_zero(medium[i], ZEROED_SIZE));
        fill(medium[i], MEDIUM_SIZE, (unsigned)i);
    }
    for (size_t i = 2; i < MEDIUM; i += 7) {
        size_t alignment = (size_t)32 << i % 7;
        give_medium(i);
        medium[i] = aligned_alloc(alignment, MEDIUM_SIZE);
        CHECK(medium[i] != NULL && is_aligned(medium[i], alignment));
        fill(medium[i], MEDIUM_SIZE, (unsigned)i);
    }
}

static void *give_all(void *unused)
{
    for (size_t i = 0; i < MEDIUM; i++)
        give_medium(i);
    return unused;
}

static void another_thread_frees_them(void)
{
    struct acre_stats before = stats_now();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, give_all, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    /* their places are found again: nothing grows */
    for (size_t i = 0; i < MEDIUM; i++)
        medium[i] = take_medium(i);
    struct acre_stats after = stats_now();
    CHECK(after.heap_in_slabs <= before.heap_in_slabs + 2 * CHECK_MIB);
    give_all(NULL);
    after = stats_now();
    CHECK(wide_places(&after) == 0);
    for (size_t i = 0; i < SMALL / KEPT_SHARE; i++)
        free(kept[i]);
}

/* ---- forks ---- */

static void *replace_for_ever(void *unused)
{
    the_pieces_serve();
    __atomic_store_n(&ready, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&go, __ATOMIC_RELAXED))
        sched_yield();
    for (size_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i = (i + 1) % CHANGING) {
        char *old = __atomic_exchange_n(&medium[i], NULL, __ATOMIC_RELAXED);
        free(old);
        __atomic_store_n(&medium[i], take_medium(i), __ATOMIC_RELAXED);
    }
    return unused;
}

/* Adopts the arena of the thread that the fork has lost, and takes and frees blocks there. */
static void *use_what_is_left(void *unused)
{
    for (size_t i = 0; i < MEDIUM; i++)
        if (medium[i] == NULL)
            medium[i] = take_medium(i);
    return give_all(unused);
}

/* `others`: blocks that live in the process beside those of the two tables. */
static void check_in_child(size_t others)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_what_is_left, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (size_t i = 0; i < SMALL / KEPT_SHARE; i++)
        free(kept[i]);
    CHECK(stats_now().small_blocks <= others + LOST_MOST);
    _exit(0);
}

static void children_lose_nothing(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, replace_for_ever, NULL) == 0);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        sched_yield();
    size_t others = stats_now().small_blocks - MEDIUM - SMALL / KEPT_SHARE + OF_THREAD;
    __atomic_store_n(&go, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0)
            check_in_child(others);
        check_child(child);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    CHECK(pthread_join(thread, NULL) == 0);
    give_all(NULL);
}

int main(void)
{
    check_begin();
    the_pieces_serve();
    they_grow_in_place();
    functions_know_them();
    another_thread_frees_them();
    children_lose_nothing();
    return 0;
}
