/* What the misuse programs share: see misuse.h. */
#include "misuse.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exported by acre; the headers of older C libraries do not declare them. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);

/* Operators delete and delete[]: plain, sized, aligned, and both. */
void _ZdlPv(void *block);
void _ZdaPv(void *block);
void _ZdlPvm(void *block, size_t size);
void _ZdaPvm(void *block, size_t size);
void _ZdlPvSt11align_val_t(void *block, size_t alignment);
void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);

enum { ALIGNMENT = 16, NEW_SIZE = 100 };

static void call_free(void *block, size_t size)
{
    (void)size;
    free(block);
}

static void call_cfree(void *block, size_t size)
{
    (void)size;
    cfree(block);
}

static void call_free_aligned_sized(void *block, size_t size)
{
    free_aligned_sized(block, ALIGNMENT, size);
}

static void call_realloc(void *block, size_t size)
{
    (void)size;
    misuse_hide(realloc(block, NEW_SIZE));
}

static void call_realloc_larger(void *block, size_t size)
{
    misuse_hide(realloc(block, 3 * size));
}

static void call_realloc_zero(void *block, size_t size)
{
    (void)size;
    misuse_hide(realloc(block, 0));
}

static void call_reallocarray(void *block, size_t size)
{
    (void)size;
    misuse_hide(reallocarray(block, NEW_SIZE, 2));
}

static void call_usable_size(void *block, size_t size)
{
    if (malloc_usable_size(block) == size + 1)
        abort();
}

static void call_delete(void *block, size_t size)
{
    (void)size;
    _ZdlPv(block);
}

static void call_delete_array(void *block, size_t size)
{
    (void)size;
    _ZdaPv(block);
}

static void call_delete_aligned(void *block, size_t size)
{
    (void)size;
    _ZdlPvSt11align_val_t(block, ALIGNMENT);
}

static void call_delete_array_sized_aligned(void *block, size_t size)
{
    _ZdaPvmSt11align_val_t(block, size, ALIGNMENT);
}

static const struct {
    const char *name;
    void (*call)(void *block, size_t size);
} functions[] = {
    {"free", call_free},
    {"cfree", call_cfree},
    {"free_sized", free_sized},
    {"free_aligned_sized", call_free_aligned_sized},
    {"realloc", call_realloc},
    {"realloc_larger", call_realloc_larger},
    {"realloc_zero", call_realloc_zero},
    {"reallocarray", call_reallocarray},
    {"malloc_usable_size", call_usable_size},
    {"delete", call_delete},
    {"delete_array", call_delete_array},
    {"delete_sized", _ZdlPvm},
    {"delete_array_sized", _ZdaPvm},
    {"delete_aligned", call_delete_aligned},
    {"delete_array_sized_aligned", call_delete_array_sized_aligned},
};

void misuse_call(const struct call *call)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (strcmp(functions[i].name, call->function) == 0) {
            functions[i].call(misuse_hide(call->pointer), call->size);
            return;
        }
    _exit(STATUS_USAGE);
}

static void *call_in_thread(void *call)
{
    misuse_call(call);
    return NULL;
}

void misuse_call_in_thread(const struct call *call)
{
    pthread_t thread;
    struct call copy = *call;
    if (pthread_create(&thread, NULL, call_in_thread, &copy) != 0 ||
        pthread_join(thread, NULL) != 0)
        _exit(STATUS_USAGE);
}

void misuse_call_by(const char *caller, const struct call *call)
{
    if (strcmp(caller, "same") == 0)
        misuse_call(call);
    else if (strcmp(caller, "other") == 0)
        misuse_call_in_thread(call);
    else
        _exit(STATUS_USAGE);
}

size_t misuse_size(const char *name)
{
    static const struct {
        const char *name;
        size_t size; /* bytes */
    } sizes[] = {{"tiny", 48}, {"small", 5000}, {"big", 300000}, {"large", 3000000}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (strcmp(sizes[i].name, name) == 0)
            return sizes[i].size;
    _exit(STATUS_USAGE);
}

char *misuse_block(const char *size_name, size_t *usable)
{
    char *block = misuse_hide(malloc(misuse_size(size_name)));
    if (block == NULL)
        _exit(STATUS_USAGE);
    *usable = malloc_usable_size(block);
    return block;
}

void misuse_print(const void *pointer, const void *block, size_t size)
{
    char text[128];
    int length = snprintf(text, sizeof(text), "%#jx %#jx %zu\n", (uintmax_t)(uintptr_t)pointer,
                          (uintmax_t)(uintptr_t)block, size);
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(STATUS_USAGE);
}
