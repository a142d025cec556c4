/* Misuses of a block: what is done with it, and then, wrongly, with a pointer into it. */
#ifndef ACRE_TESTS_UNIT_MISUSES_H
#define ACRE_TESTS_UNIT_MISUSES_H

#include "capture.h"
#include "in_thread.h"
#include "paths/alloc.h"

enum act { NOTHING, FREE, FREE_AMID_OTHERS, FREE_IN_THREAD, GROW, SHRINK, RESIZE_TO_0, ASK_SIZE };

struct misuse {
    enum act first, wrong;
    size_t offset; /* bytes; of the pointer, in the block */
};

static char *block; /* the one that is misused */

/* Other blocks of its class are taken before and given back after. */
static inline void free_amid_others(char *p)
{
    enum { OTHERS = 70 }; /* more than a magazine and a window hold */
    static void *others[OTHERS];

    for (int i = 0; i < OTHERS; i++)
        others[i] = alloc_block(free_usable_size(p, "test"));
    free_block(p);
    for (int i = 0; i < OTHERS; i++)
        free_block(others[i]);
}

static inline void do_act(enum act act, char *p)
{
    switch (act) {
    case NOTHING:
        break;
    case FREE:
        free_block(p);
        break;
    case FREE_AMID_OTHERS:
        free_amid_others(p);
        break;
    case FREE_IN_THREAD:
        run_thread(free_in_thread, p);
        break;
    case GROW:
        alloc_resize(p, 5 * MIB, "realloc");
        break;
    case SHRINK:
        alloc_resize(p, 10, "realloc");
        break;
    case RESIZE_TO_0:
        alloc_resize(p, 0, "realloc");
        break;
    case ASK_SIZE:
        free_usable_size(p, "malloc_usable_size");
        break;
    }
}

static inline void do_misuse(void *argument)
{
    const struct misuse *misuse = argument;

    do_act(misuse->first, block);
    do_act(misuse->wrong, block + misuse->offset);
}

/* Checks that a misuse ends the process, with a report that is about its pointer, and then `rest`.
 */
static inline void check_misuse(const struct misuse *misuse, const char *rest)
{
    const char *fault = misuse->offset == 0                     ? "double free"
                        : misuse->offset % BLOCK_ALIGNMENT != 0 ? "misaligned pointer"
                                                                : "interior pointer";
    const char *function = misuse->wrong == ASK_SIZE ? "malloc_usable_size"
                           : misuse->wrong >= GROW   ? "realloc"
                                                     : "free";
    char text[256];

    snprintf(text, sizeof(text), "acre: %s: %s(%p): %s", fault, function,
             (void *)(block + misuse->offset), rest);
    capture_abort(do_misuse, (void *)(uintptr_t)misuse, text);
}

#endif
