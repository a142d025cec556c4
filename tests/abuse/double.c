/*
 * A block is freed and then passed again: double FUNCTION SIZE FIRST-CALLER SECOND-CALLER HISTORY.
 * HISTORY is one of:
 *
 * - fresh: nothing happens in between.
 * - full: the magazine is full when the block is freed, and neighbours stay live.
 * - between: blocks of all sizes are allocated and freed between the two calls.
 * - released: all blocks of the size are freed, and their memory is given back, between the two.
 */
#include "misuse.h"

#include <acre/acre.h>
#include <malloc.h>

enum {
    NEIGHBOURS = 1000,          /* other blocks of the same size, at most */
    NEIGHBOUR_BYTES = 64 << 20, /* and their bytes, at most */
    OTHERS = 3000,              /* blocks of other sizes in between */
};

static char *neighbours[NEIGHBOURS];

static size_t neighbour_count(const char *size_name)
{
    size_t fitting = NEIGHBOUR_BYTES / misuse_size(size_name);
    return fitting < NEIGHBOURS ? fitting : NEIGHBOURS;
}

/* Frees each `stride`-th of them. */
static void free_neighbours(size_t count, size_t stride)
{
    for (size_t i = 0; i < count; i += stride)
        free(neighbours[i]);
}

/* Allocates and frees blocks of all sizes; none of them stays. */
static void use_memory_between(const char *size_name)
{
    static void *others[OTHERS];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < OTHERS; i++)
            others[i] = malloc(i % 3 == 0     ? misuse_size(size_name) / (i % 60 == 0 ? 1 : 7)
                               : i % 500 == 1 ? 2000000 + i
                                              : i % 2500);
        for (size_t i = 0; i < OTHERS; i++)
            free(others[(i * 7) % OTHERS]);
    }
}

int main(int count, char **words)
{
    if (count != 6)
        return STATUS_USAGE;
    const char *size_name = words[2], *history = words[5];
    struct call first = {"free", NULL, 0}, second = {words[1], NULL, 0};
    bool full = strcmp(history, "full") == 0, released = strcmp(history, "released") == 0;
    size_t others = full || released ? neighbour_count(size_name) : 0;
    if (released)
        acre_option_set("large_stock", "0");
    /* A first thread: what the C library allocates for one, it keeps for the next. */
    misuse_call_in_thread(&(struct call){"free", NULL, 0});
    for (size_t i = 0; i < others / 2; i++)
        neighbours[i] = malloc(misuse_size(size_name));
    first.pointer = second.pointer = misuse_block(size_name, &second.size);
    for (size_t i = others / 2; i < others; i++)
        neighbours[i] = malloc(misuse_size(size_name));
    misuse_print(second.pointer, second.pointer, second.size);

    if (full)
        free_neighbours(others, 2);
    misuse_call_by(words[3], &first);
    if (released) {
        free_neighbours(others, 1);
        acre_thread_flush();
        malloc_trim(0);
    } else if (strcmp(history, "between") == 0) {
        use_memory_between(size_name);
    }
    misuse_call_by(words[4], &second);
    return STATUS_SURVIVED;
}
