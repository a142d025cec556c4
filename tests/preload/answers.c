/*
 * A trace of random calls of malloc's family, its arguments good and bad; prints of each answer
 * what C and POSIX fix, and glibc's manual for what is glibc's own: success or errno, alignment,
 * contents, zeroes, what free leaves in errno. answers.sh compares the output of two allocators.
 *
 *   answers SEED CALLS
 *
 * Blocks of no bytes are asked for, and there glibc's answer is taken as fixed: programs rely on
 * it. Sizes are below 4 MiB, so that there is memory, or above PTRDIFF_MAX, for which there is
 * none.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

enum { SLOTS = 300, ALIGNMENT_LEAST = 16, PAGE = 4096 };

static struct slot {
    unsigned char *block;
    size_t size;
    unsigned char fill;
} slots[SLOTS];

static struct random numbers;

/* Most are small, some none at all, some larger than any object may be. */
static size_t some_size(void)
{
    switch (random_below(&numbers, 16)) {
    case 0:
        return 0;
    case 1:
        return (size_t)PTRDIFF_MAX + random_below(&numbers, 3) + 1;
    case 2:
        return SIZE_MAX - random_below(&numbers, 5000);
    case 3:
        return random_below(&numbers, 4 << 20);
    case 4:
    case 5:
        return random_below(&numbers, 40000);
    default:
        return random_below(&numbers, 700);
    }
}

static size_t some_alignment(void)
{
    return (size_t)1 << random_below(&numbers, 15);
}

static bool holds(const unsigned char *block, size_t size, unsigned char byte)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != byte)
            return false;
    return true;
}

/* Prints what there is to say of a new block, and takes it into the slot. */
static void take(struct slot *slot, unsigned char *block, size_t size, size_t alignment, int error)
{
    if (block == NULL) {
        printf(" no, %s\n", strerrorname_np(error));
        return;
    }
    if (alignment < ALIGNMENT_LEAST)
        alignment = ALIGNMENT_LEAST;
    printf(" yes%s%s\n", (uintptr_t)block % alignment == 0 ? "" : ", misaligned",
           malloc_usable_size(block) >= size ? "" : ", too short");
    slot->block = block;
    slot->size = size;
    slot->fill = (unsigned char)random_next(&numbers);
    memset(block, slot->fill, size);
}

/* realloc and reallocarray: the block stays where there is no memory. */
static void resize(struct slot *slot, size_t size, size_t count)
{
    size_t total;
    bool fits = !__builtin_mul_overflow(size, count, &total);
    if (fits && total == 0 && slot->block != NULL)
        return; /* C leaves it open whether that frees */
    size_t kept = fits && total < slot->size ? total : slot->size;
    errno = 0;
    unsigned char *block =
        count == 1 ? realloc(slot->block, size) : reallocarray(slot->block, size, count);
    int error = errno;
    printf("resize %zu to %zu * %zu:%s", slot->size, size, count,
           slot->block == NULL || holds(block != NULL ? block : slot->block,
                                        block != NULL ? kept : slot->size, slot->fill)
               ? ""
               : " damaged,");
    take(slot, block, total, 1, error);
}

static void release(struct slot *slot)
{
    bool whole = holds(slot->block, slot->block != NULL ? slot->size : 0, slot->fill);
    errno = ERANGE;
    free(slot->block);
    printf("free %zu: %s, %s\n", slot->size, whole ? "whole" : "damaged", strerrorname_np(errno));
    *slot = (struct slot){0};
}

static void allocate(struct slot *slot)
{
    size_t size = some_size(), count = random_below(&numbers, 40), alignment = some_alignment();
    void *block = NULL;
    int error;
    errno = 0;
    switch (random_below(&numbers, 7)) {
    case 0:
    case 1:
        block = malloc(size);
        error = errno;
        printf("malloc(%zu):", size);
        alignment = 1;
        break;
    case 2: {
        size_t total;
        bool fits = !__builtin_mul_overflow(size, count, &total);
        if (fits && total > 4 << 20 && total <= PTRDIFF_MAX)
            return;
        block = calloc(size, count);
        error = errno;
        printf("calloc(%zu, %zu):%s", size, count,
               block == NULL || holds(block, total, 0) ? "" : " not zero,");
        size = total;
        alignment = 1;
        break;
    }
    case 3:
        block = aligned_alloc(alignment, size);
        error = errno;
        printf("aligned_alloc(%zu, %zu):", alignment, size);
        break;
    case 4:
        alignment +=
            random_below(&numbers, 4) == 0 ? 4 : 0; /* no power of two then, or too small */
        error = posix_memalign(&block, alignment, size);
        printf("posix_memalign(%zu, %zu): errno %d,", alignment, size, errno);
        if (error != 0)
            block = NULL;
        break;
    case 5:
        block = memalign(alignment, size);
        error = errno;
        printf("memalign(%zu, %zu):", alignment, size);
        break;
    default:
        block = valloc(size);
        error = errno;
        printf("valloc(%zu):", size);
        alignment = PAGE;
    }
    take(slot, block, size, alignment, error);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    numbers = (struct random){random_mix(strtoull(argv[1], NULL, 0))};
    printf("usable size of nothing: %zu\n", malloc_usable_size(NULL));
    for (long calls = atol(argv[2]); calls > 0; calls--) {
        struct slot *slot = &slots[random_below(&numbers, SLOTS)];
        if (random_below(&numbers, 3) == 0)
            resize(slot, some_size(),
                   random_below(&numbers, 2) == 0 ? 1 : random_below(&numbers, 9));
        else if (slot->block == NULL)
            allocate(slot);
        else
            release(slot);
    }
    for (size_t i = 0; i < SLOTS; i++)
        release(&slots[i]);
    return 0;
}
