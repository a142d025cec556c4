/*
 * Under RLIMIT_AS of 64 MiB: memory is had until it is all in use, then NULL and ENOMEM, and after
 * frees it can be had again. The limit stands before the program starts, so acre begins under it.
 */
#include "check.h"
#include <sys/resource.h>

enum {
    LIMIT = 64 << 20,  /* bytes of address space */
    WANTED = 40 << 20, /* bytes that must be had in small blocks */
    SMALL = 1024,      /* bytes of a block */
    MOST = LIMIT / SMALL,
    LARGE = 16 << 20, /* bytes */
};

static char *blocks[MOST];

/* Allocates small blocks until there are no more; returns how many. */
static size_t allocate_until_refused(size_t from)
{
    size_t count = from;
    for (;;) {
        CHECK(count < MOST);
        errno = 0;
        blocks[count] = malloc(SMALL);
        if (blocks[count] == NULL)
            break;
        fill(blocks[count], SMALL, (unsigned)count);
        count++;
    }
    CHECK(errno == ENOMEM);
    errno = 0;
    CHECK(malloc(LARGE) == NULL && errno == ENOMEM);
    return count;
}

static void check_blocks(size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(is_filled(blocks[i], SMALL, (unsigned)i));
}

static void free_from(size_t from, size_t count)
{
    for (size_t i = from; i < count; i++)
        free(blocks[i]);
}

/* A realloc that finds no memory leaves its block alone. */
static void check_refused_realloc(char *block, unsigned seed)
{
    errno = 0;
    CHECK(realloc(block, LARGE) == NULL && errno == ENOMEM);
    CHECK(is_filled(block, SMALL, seed));
}

static int run_limited(void)
{
    check_begin();
    size_t first = allocate_until_refused(0);
    CHECK(first * SMALL >= WANTED);
    check_refused_realloc(blocks[0], 0);
    check_blocks(first);

    free_from(first / 2, first);
    size_t second = allocate_until_refused(first / 2);
    check_blocks(second);
    CHECK(second >= first - first / 20);

    free_from(0, second);
    size_t third = allocate_until_refused(0);
    check_blocks(third);
    CHECK(third >= first - first / 20);

    free_from(0, third);
    char *large = malloc(LARGE);
    CHECK(large != NULL);
    large[0] = large[LARGE - 1] = 'x';
    free(large);
    return 0;
}

int main(int argument_count, char **arguments)
{
    (void)arguments;
    if (argument_count > 1)
        return run_limited();
    check_is_acre("malloc");
    struct rlimit limit = {LIMIT, LIMIT};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    start_again("again");
}
