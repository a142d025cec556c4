/*
 * A block goes back by another function than the one that belongs to it, or with another size or
 * alignment: mismatch ALLOCATION FREE SIZE CALLER. Without a report it ends with status 0.
 */
#include "misuse.h"

/* Exported by acre; the headers of older C libraries do not declare them. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void *_ZnamSt11align_val_t(size_t size, size_t alignment);
void _ZdlPv(void *block);
void _ZdaPv(void *block);
void _ZdlPvm(void *block, size_t size);
void _ZdaPvm(void *block, size_t size);
void _ZdlPvSt11align_val_t(void *block, size_t alignment);
void _ZdaPvSt11align_val_t(void *block, size_t alignment);
void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);

enum { ALIGNMENT = 64 };

static size_t size;
static char *block;

#define ALLOCATIONS(X)                                                                             \
    X(malloc, malloc(size))                                                                        \
    X(calloc, calloc(1, size))                                                                     \
    X(realloc, realloc(malloc(1), size))                                                           \
    X(reallocarray, reallocarray(NULL, size, 1))                                                   \
    X(aligned_alloc, aligned_alloc(ALIGNMENT, size))                                               \
    X(new, _Znwm(size))                                                                            \
    X(new_array, _Znam(size))                                                                      \
    X(new_aligned, _ZnwmSt11align_val_t(size, ALIGNMENT))                                          \
    X(new_array_aligned, _ZnamSt11align_val_t(size, ALIGNMENT))

/* Those with a size or an alignment: as it was asked for, and another one. */
#define FREES(X)                                                                                   \
    X(free, free(block))                                                                           \
    X(cfree, cfree(block))                                                                         \
    X(free_sized, free_sized(block, size))                                                         \
    X(free_wrong_size, free_sized(block, size + 8))                                                \
    X(free_aligned, free_aligned_sized(block, ALIGNMENT, size))                                    \
    X(free_aligned_wrong_size, free_aligned_sized(block, ALIGNMENT, size - 8))                     \
    X(free_wrong_alignment, free_aligned_sized(block, 2 * ALIGNMENT, size))                        \
    X(resize, free(hide(realloc(block, size + 8))))                                                \
    X(resize_larger, free(hide(realloc(block, 3 * size))))                                         \
    X(resize_to_zero, (void)hide(realloc(block, hide_size(0))))                                    \
    X(delete, _ZdlPv(block))                                                                       \
    X(delete_sized, _ZdlPvm(block, size))                                                          \
    X(delete_wrong_size, _ZdlPvm(block, size + 8))                                                 \
    X(delete_aligned, _ZdlPvSt11align_val_t(block, ALIGNMENT))                                     \
    X(delete_wrong_alignment, _ZdlPvSt11align_val_t(block, 2 * ALIGNMENT))                         \
    X(delete_aligned_sized, _ZdlPvmSt11align_val_t(block, size, ALIGNMENT))                        \
    X(delete_array, _ZdaPv(block))                                                                 \
    X(delete_array_sized, _ZdaPvm(block, size))                                                    \
    X(delete_array_wrong_size, _ZdaPvm(block, size - 8))                                           \
    X(delete_array_aligned, _ZdaPvSt11align_val_t(block, ALIGNMENT))                               \
    X(delete_array_aligned_wrong_size, _ZdaPvmSt11align_val_t(block, size + 8, ALIGNMENT))

#define DEFINE_ALLOCATION(word, call)                                                              \
    static void allocate_by_##word(void)                                                           \
    {                                                                                              \
        block = call;                                                                              \
    }
#define DEFINE_FREE(word, call)                                                                    \
    static void free_by_##word(void)                                                               \
    {                                                                                              \
        call;                                                                                      \
    }
ALLOCATIONS(DEFINE_ALLOCATION)
FREES(DEFINE_FREE)

struct way {
    const char *name;
    void (*call)(void);
};

#define LIST_ALLOCATION(word, call) {#word, allocate_by_##word},
#define LIST_FREE(word, call) {#word, free_by_##word},
static const struct way allocations[] = {ALLOCATIONS(LIST_ALLOCATION)};
static const struct way frees[] = {FREES(LIST_FREE)};

static void call(const struct way *ways, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(ways[i].name, name) == 0) {
            ways[i].call();
            return;
        }
    _exit(STATUS_USAGE);
}

static void *free_in_thread(void *name)
{
    call(frees, COUNT_OF(frees), name);
    return NULL;
}

int main(int count, char **words)
{
    if (count != 5)
        return STATUS_USAGE;
    size = misuse_size(words[3]);
    call(allocations, COUNT_OF(allocations), words[1]);
    CHECK(block != NULL);
    memset(block, 'm', size);
    misuse_print(block, block, size);
    if (strcmp(words[4], "other") == 0)
        in_thread(free_in_thread, words[2]);
    else
        call(frees, COUNT_OF(frees), words[2]);
    /* what was freed may be used again */
    call(allocations, COUNT_OF(allocations), words[1]);
    CHECK(block != NULL);
    return 0;
}
