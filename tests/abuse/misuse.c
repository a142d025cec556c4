/* What the misuse programs share: see misuse.h. */
#include "misuse.h"

#include <malloc.h>

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

#define DEFINE(word, call, reported)                                                               \
    static void call_##word(void *block, size_t size)                                              \
    {                                                                                              \
        (void)size;                                                                                \
        call;                                                                                      \
    }
MISUSE_FUNCTIONS(DEFINE)

#define LIST(word, call, reported) {#word, call_##word},
static const struct {
    const char *name;
    void (*call)(void *block, size_t size);
} functions[] = {MISUSE_FUNCTIONS(LIST)};

void misuse_call(const struct call *call)
{
    for (size_t i = 0; i < COUNT_OF(functions); i++)
        if (strcmp(functions[i].name, call->function) == 0) {
            functions[i].call(hide(call->pointer), call->size);
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
    struct call copy = *call;
    in_thread(call_in_thread, &copy);
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
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        if (strcmp(sizes[i].name, name) == 0)
            return sizes[i].size;
    _exit(STATUS_USAGE);
}

char *misuse_block(const char *size_name, size_t *usable)
{
    char *block = hide(malloc(misuse_size(size_name)));
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
