/*
 * The heap profile of a real process: started by the option, by the functions and by a word that is
 * written from outside; switched while threads allocate, and in processes that fork meanwhile.
 */
#include "check.h"

#include <acre/acre.h>
#include <acre/inspect.h>
#include <malloc.h>

enum { BLOCKS = 200, THREADS = 4, SWITCHES = 300, FORKS = 60 };

/* ---- as a reader sees it ---- */

static uint64_t word_at(const void *structure, enum acre_field_id field)
{
    const struct acre_field *place = &acre_root.fields[field];
    const char *at = (const char *)structure + place->offset;
    CHECK(place->size == 8 || place->size == 4);
    return place->size == 8 ? __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED)
                            : __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_RELAXED);
}

static uint64_t of_profile(enum acre_field_id field)
{
    return word_at(acre_root.addresses[ACRE_AT_PROFILE], field);
}

/* The sample of the block at p; NULL if there is none. */
static const char *sample_of(const void *p)
{
    const char *slots = (const char *)(uintptr_t)of_profile(ACRE_FIELD_PROFILE_SLOTS);
    uint64_t used = of_profile(ACRE_FIELD_PROFILE_SLOTS_USED);
    for (uint64_t i = 0; i < used; i++) {
        const char *slot = slots + i * acre_root.fields[ACRE_FIELD_PROFILE_SLOT_SIZE].size;
        if (word_at(slot, ACRE_FIELD_PROFILE_SLOT_ADDRESS) == (uintptr_t)p)
            return slot;
    }
    return NULL;
}

static uint64_t live_samples(void)
{
    return of_profile(ACRE_FIELD_PROFILE_TAKEN) - of_profile(ACRE_FIELD_PROFILE_ENDED) -
           of_profile(ACRE_FIELD_PROFILE_THINNED);
}

/* ---- starting ---- */

/* In a process of its own, which has profile:1 from its start on. */
static void has_option(void)
{
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 1);
    void *block = hide(malloc(1000));
    const char *sample = sample_of(block);
    CHECK(sample != NULL);
    CHECK(word_at(sample, ACRE_FIELD_PROFILE_SLOT_BYTES) == malloc_usable_size(block));
    free(block);
    CHECK(sample_of(block) == NULL);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

static void check_option_at_start(void)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("ACRE_OPTIONS", "profile:1", 1);
        start_again("option");
    }
    check_child(child);
}

static void check_functions(void)
{
    char value[16];
    CHECK(acre_profile_stop() == EINVAL);
    CHECK(acre_profile_mark() == EINVAL);
    CHECK(acre_profile_start(0) == EINVAL);
    CHECK(acre_profile_start(512 * CHECK_KIB) == 0);
    CHECK(acre_option_get("profile", value, sizeof(value)) == 0 && strcmp(value, "512K") == 0);
    CHECK(acre_profile_mark() == 0);
    CHECK(of_profile(ACRE_FIELD_PROFILE_MARKED_AT) >= of_profile(ACRE_FIELD_PROFILE_STARTED_AT));
    CHECK(acre_profile_stop() == 0);
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 0);
    CHECK(acre_option_set("profile", "4K") == 0);
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 4 * CHECK_KIB);
    CHECK(acre_options_parse("profile:0", "test") == 0);
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 0);
}

/* Writes an option's value and the request that it be followed, as acre-inspect --set does. */
static void set_from_outside(const char *name, uint64_t value)
{
    char *options = (char *)(uintptr_t)acre_root.addresses[ACRE_AT_OPTIONS];
    for (uint32_t i = 0; i < acre_root.option_count; i++) {
        char *option = options + i * acre_root.fields[ACRE_FIELD_OPTION_SIZE].size;
        const char *its_name = (const char *)(uintptr_t)word_at(option, ACRE_FIELD_OPTION_NAME);
        if (strcmp(its_name, name) != 0)
            continue;
        char *place = option + acre_root.fields[ACRE_FIELD_OPTION_VALUE].offset;
        __atomic_store_n((uint64_t *)(void *)place, value, __ATOMIC_RELAXED);
        __atomic_fetch_or((uint64_t *)(uintptr_t)acre_root.addresses[ACRE_AT_REQUESTS],
                          UINT64_C(1) << i | ACRE_REQUEST_QUIET, __ATOMIC_RELAXED);
        return;
    }
    CHECK(!"there is such an option");
}

static void check_from_outside(void)
{
    set_from_outside("profile", 1);
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 0);
    free(hide(malloc(2 * CHECK_MIB))); /* a slow path */
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 1);
    void *block = hide(malloc(100));
    CHECK(sample_of(block) != NULL);
    set_from_outside("profile", 0);
    free(hide(malloc(2 * CHECK_MIB)));
    CHECK(of_profile(ACRE_FIELD_PROFILE_INTERVAL) == 0);
    CHECK(sample_of(block) != NULL);
    free(block);
    CHECK(sample_of(block) == NULL);
}

/* ---- while threads allocate ---- */

static bool stop;     /* atomic, relaxed */
static void *mailbox; /* atomic, exchanged: blocks that other threads free */

static size_t random_size(struct random *random)
{
    size_t kind = random_below(random, 100);
    return kind < 90 ? 1 + kind * 20 : kind < 99 ? 5000 + kind * 900 : 1200000;
}

static void *allocate_and_free(void *argument)
{
    void *blocks[BLOCKS] = {NULL};
    struct random random = random_begin_for((uintptr_t)argument);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t i = random_below(&random, BLOCKS), size = random_size(&random);
        switch (random_below(&random, 5)) {
        case 0:
            blocks[i] = realloc(blocks[i], size);
            break;
        case 1:
            free(blocks[i]);
            blocks[i] = aligned_alloc(64, size);
            break;
        case 2:
            free(__atomic_exchange_n(&mailbox, blocks[i], __ATOMIC_ACQ_REL));
            blocks[i] = calloc(1, size);
            CHECK(is_zero(blocks[i], size));
            break;
        default:
            free(blocks[i]);
            blocks[i] = malloc(size);
        }
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 'b', size < 64 ? size : 64);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return NULL;
}

static void begin_threads(pthread_t *threads)
{
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    start_threads(threads, THREADS, allocate_and_free);
}

static void end_threads(const pthread_t *threads)
{
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join_threads(threads, THREADS);
    free(__atomic_exchange_n(&mailbox, NULL, __ATOMIC_ACQ_REL));
}

static void check_switching(void)
{
    static const size_t intervals[] = {1, 4096, 512 << 10};
    pthread_t threads[THREADS];
    begin_threads(threads);
    for (size_t i = 0; i < SWITCHES; i++) {
        CHECK(acre_profile_start(intervals[i % COUNT_OF(intervals)]) == 0);
        CHECK(acre_profile_mark() == 0);
        usleep(500);
        if (i % 2 == 0)
            CHECK(acre_profile_stop() == 0);
        CHECK(acre_check(STDERR_FILENO) == 0);
    }
    end_threads(threads);
    CHECK(acre_check(STDERR_FILENO) == 0);
    (void)acre_profile_stop();
}

/* Room for few samples: the interval doubles all the time. */
static void check_thinning(void)
{
    pthread_t threads[THREADS];
    CHECK(acre_option_set("profile_samples", "100") == 0);
    CHECK(acre_profile_start(1) == 0);
    begin_threads(threads);
    while (of_profile(ACRE_FIELD_PROFILE_TAKEN) < 20000)
        usleep(1000);
    end_threads(threads);
    CHECK(of_profile(ACRE_FIELD_PROFILE_THINNED) > 0);
    CHECK(of_profile(ACRE_FIELD_PROFILE_SLOTS_USED) <= 100);
    CHECK(acre_check(STDERR_FILENO) == 0);
    CHECK(acre_profile_stop() == 0);
    CHECK(acre_option_set("profile_samples", "65536") == 0);
}

static void use_in_child(void)
{
    CHECK(acre_check(STDERR_FILENO) == 0); /* takes the lock, which a thread may have had */
    uint64_t before = live_samples();
    void *block = hide(malloc(100));
    CHECK(sample_of(block) != NULL);
    CHECK(live_samples() == before + 1);
    use_all_sizes();
    free(block);
    CHECK(live_samples() == before);
    CHECK(acre_check(STDERR_FILENO) == 0);
    CHECK(acre_profile_start(1) == 0);
    use_all_sizes();
    CHECK(acre_profile_stop() == 0);
}

static void check_forks(void)
{
    pthread_t threads[THREADS];
    CHECK(acre_profile_start(1) == 0);
    begin_threads(threads);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(CHECK_HANG_SECONDS);
            use_in_child();
            _exit(0);
        }
        check_child(child);
    }
    end_threads(threads);
    CHECK(acre_check(STDERR_FILENO) == 0);
    CHECK(acre_profile_stop() == 0);
}

int main(int count, char **arguments)
{
    (void)arguments;
    check_begin();
    if (count > 1) {
        has_option();
        return 0;
    }
    check_option_at_start();
    check_functions();
    check_from_outside();
    check_switching();
    check_thinning();
    check_forks();
    return 0;
}
