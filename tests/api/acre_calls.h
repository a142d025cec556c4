/*
 * The functions of acre.h for tests that also run preloaded: those programs are not linked with
 * acre, so the functions are looked up.
 */
#ifndef ACRE_TESTS_API_ACRE_CALLS_H
#define ACRE_TESTS_API_ACRE_CALLS_H

#include "check.h"

#include <acre/acre.h>

static inline void *find_acre_function(const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    CHECK(function != NULL);
    return function;
}

/* The current statistics. */
static inline struct acre_stats stats_now(void)
{
    int (*call)(struct acre_stats *, size_t);
    struct acre_stats stats;
    *(void **)&call = find_acre_function("acre_stats");
    CHECK(call(&stats, sizeof(stats)) == 0);
    return stats;
}

/* The blocks in all slabs that the program does not hold. */
static inline size_t free_blocks_of(const struct acre_stats *stats)
{
    size_t blocks = 0;
    for (size_t class = 0; class < stats->class_count; class ++)
        blocks += stats->classes[class].blocks - stats->classes[class].live_blocks;
    return blocks;
}

static inline void set_option(const char *key, const char *value)
{
    int (*call)(const char *, const char *);
    *(void **)&call = find_acre_function("acre_option_set");
    CHECK(call(key, value) == 0);
}

static inline void check_option(const char *key, const char *value)
{
    int (*call)(const char *, char *, size_t);
    char now[64];
    *(void **)&call = find_acre_function("acre_option_get");
    CHECK(call(key, now, sizeof(now)) == 0);
    CHECK(strcmp(now, value) == 0);
}

#endif
