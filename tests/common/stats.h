/* acre's figures, for programs that are linked with it. To be included after check.h. */
#ifndef ACRE_TESTS_COMMON_STATS_H
#define ACRE_TESTS_COMMON_STATS_H

#include <acre/acre.h>

static inline struct acre_stats stats_now(void)
{
    struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    return stats;
}

static inline size_t live_blocks(void)
{
    struct acre_stats stats = stats_now();
    return stats.small_blocks + stats.large_blocks;
}

/* Places that wide blocks have beyond one for each. */
static inline size_t wide_places(void)
{
    struct acre_stats stats = stats_now();
    size_t places = 0;
    for (size_t i = 0; i < stats.class_count; i++)
        places += stats.classes[i].live_blocks;
    return places - stats.small_blocks;
}

/*
 * Leaves room for wide blocks: takes `count` blocks of `least` to `limit` - 1 bytes and frees all
 * but count / `share` of them, at random. Those stand in blocks[0 ..].
 */
static inline void leave_pieces(char **blocks, size_t count, size_t share, size_t least,
                                size_t limit)
{
    struct random random = {3};
    for (size_t i = 0; i < count; i++)
        CHECK((blocks[i] = (char *)malloc(least + random_below(&random, limit - least))) != NULL);
    for (size_t i = count; i-- > 1;) {
        size_t other = random_below(&random, i + 1);
        char *block = blocks[i];
        blocks[i] = blocks[other];
        blocks[other] = block;
    }
    for (size_t i = count / share; i < count; i++)
        free(blocks[i]);
}

#endif
