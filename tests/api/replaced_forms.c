/*
 * Every form of operators new and delete as a program may define it: counts its calls and takes its
 * blocks from malloc. replaced.sh links a program with some of them, the others made local. With a
 * header in front of each block, it ends the program at a block that did not come from here.
 */
#include "replaced.h"

#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

struct nothrow; /* std::nothrow_t */

struct replaced replaced;

static const char mark[] = "made by a form";

void _ZSt17__throw_bad_allocv(void); /* std::__throw_bad_alloc() */

static void *make(size_t size, int throws)
{
    char *block = size < REPLACED_IMPOSSIBLE ? malloc(replaced.header + size) : NULL;
    if (block == NULL && throws)
        _ZSt17__throw_bad_allocv();
    if (block == NULL || replaced.header == 0)
        return block;
    memcpy(block, mark, sizeof(mark));
    return block + replaced.header;
}

static void *make_aligned(size_t size, size_t alignment, int throws)
{
    char *block = NULL;
    if (size < REPLACED_IMPOSSIBLE)
        block = aligned_alloc(alignment, (size / alignment + 2) * alignment);
    if (block == NULL && throws)
        _ZSt17__throw_bad_allocv();
    if (block == NULL || !replaced.aligned_header)
        return block;
    memcpy(block, mark, sizeof(mark));
    return block + alignment;
}

/* Frees a block that has `header` bytes in front of it. */
static void give(void *p, size_t header)
{
    if (p == NULL)
        return;
    char *block = (char *)p - header;
    if (header != 0 && memcmp(block, mark, sizeof(mark)) != 0)
        abort();
    if (header != 0)
        memset(block, 0, sizeof(mark));
    free(block);
}

static void give_aligned(void *p, size_t alignment)
{
    give(p, replaced.aligned_header ? alignment : 0);
}

#define COUNT(symbol) replaced.calls[NUMBER_##symbol]++

#define NEW(symbol, throws, ...)                                                                   \
    void *symbol(size_t size, ##__VA_ARGS__)                                                       \
    {                                                                                              \
        COUNT(symbol);                                                                             \
        return make(size, throws);                                                                 \
    }

#define NEW_ALIGNED(symbol, throws, ...)                                                           \
    void *symbol(size_t size, size_t alignment, ##__VA_ARGS__)                                     \
    {                                                                                              \
        COUNT(symbol);                                                                             \
        return make_aligned(size, alignment, throws);                                              \
    }

#define DELETE(symbol, ...)                                                                        \
    void symbol(void *p, ##__VA_ARGS__)                                                            \
    {                                                                                              \
        COUNT(symbol);                                                                             \
        give(p, replaced.header);                                                                  \
    }

#define DELETE_ALIGNED(symbol, ...)                                                                \
    void symbol(void *p, __VA_ARGS__)                                                              \
    {                                                                                              \
        COUNT(symbol);                                                                             \
        give_aligned(p, alignment);                                                                \
    }

NEW(_Znwm, 1)
NEW(_Znam, 1)
NEW(_ZnwmRKSt9nothrow_t, 0, UNUSED const struct nothrow *tag)
NEW(_ZnamRKSt9nothrow_t, 0, UNUSED const struct nothrow *tag)
NEW_ALIGNED(_ZnwmSt11align_val_t, 1)
NEW_ALIGNED(_ZnamSt11align_val_t, 1)
NEW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t, 0, UNUSED const struct nothrow *tag)
NEW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t, 0, UNUSED const struct nothrow *tag)

DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm, UNUSED size_t size)
DELETE(_ZdaPvm, UNUSED size_t size)
DELETE(_ZdlPvRKSt9nothrow_t, UNUSED const struct nothrow *tag)
DELETE(_ZdaPvRKSt9nothrow_t, UNUSED const struct nothrow *tag)
DELETE_ALIGNED(_ZdlPvSt11align_val_t, size_t alignment)
DELETE_ALIGNED(_ZdaPvSt11align_val_t, size_t alignment)
DELETE_ALIGNED(_ZdlPvmSt11align_val_t, UNUSED size_t size, size_t alignment)
DELETE_ALIGNED(_ZdaPvmSt11align_val_t, UNUSED size_t size, size_t alignment)
DELETE_ALIGNED(_ZdlPvSt11align_val_tRKSt9nothrow_t, size_t alignment,
               UNUSED const struct nothrow *tag)
DELETE_ALIGNED(_ZdaPvSt11align_val_tRKSt9nothrow_t, size_t alignment,
               UNUSED const struct nothrow *tag)
