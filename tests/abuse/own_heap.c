/*
 * Misuse of a heap of one's own: own_heap WHAT FUNCTION SIZE CALLER. WHAT is one of:
 *
 * - destroyed: the block's heap is destroyed, and then FUNCTION is called with the block.
 * - reused: the same, but another heap has used the memory meanwhile.
 * - twice: a block of a heap is freed twice.
 * - foreign: acre_heap_free with a block of another heap. FUNCTION: "no".
 * - ended: acre_heap_alloc from a heap that was destroyed. FUNCTION: "no".
 */
#include "misuse.h"

#include <acre/acre.h>
#include <malloc.h>

enum { OTHERS = 200 };

static struct acre_heap *heap, *other;
static void *foreign; /* a block of the other one */

static void *misuse_heap(void *what)
{
    if (strcmp(what, "foreign") == 0)
        acre_heap_free(heap, foreign);
    else
        hide(acre_heap_alloc(heap, 100));
    return NULL;
}

static void use_again(size_t size)
{
    struct acre_heap *again = acre_heap_new();
    for (int i = 0; i < OTHERS && i * size < 100 * CHECK_MIB; i++)
        acre_heap_free(again, acre_heap_alloc(again, size));
}

int main(int count, char **words)
{
    if (count != 5)
        return STATUS_USAGE;
    const char *what = words[1];
    size_t size = misuse_size(words[3]);
    bool of_heap = strcmp(what, "foreign") == 0 || strcmp(what, "ended") == 0;
    heap = acre_heap_new();
    other = acre_heap_new();
    foreign = acre_heap_alloc(other, size);
    struct call call = {words[2], acre_heap_alloc(heap, size), 0};
    if (call.pointer == NULL || foreign == NULL)
        return STATUS_USAGE;
    call.size = malloc_usable_size(call.pointer);

    if (strcmp(what, "foreign") == 0)
        misuse_print(foreign, foreign, malloc_usable_size(foreign));
    else if (strcmp(what, "ended") == 0)
        misuse_print(heap, NULL, 0);
    else
        misuse_print(call.pointer, call.pointer, call.size);
    if (strcmp(what, "twice") == 0)
        acre_heap_free(heap, call.pointer);
    else if (strcmp(what, "foreign") != 0)
        acre_heap_destroy(heap);
    if (strcmp(what, "reused") == 0)
        use_again(size);
    if (of_heap && strcmp(words[4], "other") == 0)
        in_thread(misuse_heap, words[1]);
    else if (of_heap)
        misuse_heap(words[1]);
    else
        misuse_call_by(words[4], &call);
    return STATUS_SURVIVED;
}
