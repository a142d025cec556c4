/*
 * Sequences of calls of malloc's family, chosen by libFuzzer, against a model: which blocks are
 * live, how long, and what they hold. Each byte of a block depends on its place in the list and its
 * round, so that blocks that overlap damage each other. acre's functions have the prefix acre_ here
 * (the fuzzer keeps the C library's malloc).
 *
 * The first byte of an input says which options are set and whether a second thread frees.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acre/acre.h"
#include "acre/malloc.h"

enum { SLOTS = 64, ALIGNMENT_LEAST = 16, CHECKED = 512, LARGEST = 4 << 20 };

static struct slot {
    unsigned char *block;
    size_t size;
    unsigned char seed;
} slots[SLOTS];

static const uint8_t *input, *input_end;

static uint8_t next_byte(void)
{
    return input < input_end ? *input++ : 0;
}

/* Two bytes stand for a size: small ones exactly, others by a mantissa and an exponent; a few for
 * what no block may have. */
static size_t next_size(void)
{
    uint8_t high = next_byte(), low = next_byte();
    if (high < 0x80)
        return (size_t)(high & 15) << 8 | low;
    if (high >= 0xf8)
        return (size_t)PTRDIFF_MAX - 2048 + ((size_t)(high & 7) << 9 | low);
    size_t size = ((size_t)low | 0x100) << (high & 15);
    return size > LARGEST ? low : size;
}

static void fail(const char *what)
{
    fprintf(stderr, "calls: %s\n", what);
    abort();
}

#define EXPECT(condition) ((condition) ? (void)0 : fail(#condition))

static unsigned char byte_at(const struct slot *slot, size_t i)
{
    return (unsigned char)(slot->seed + i * 7);
}

/* The first and the last CHECKED bytes are written and compared: the inputs are short, the blocks
 * not. */
static void each_byte(struct slot *slot, size_t size, bool write)
{
    for (size_t i = 0; i < size; i++) {
        if (i == CHECKED && size > 2 * CHECKED)
            i = size - CHECKED;
        if (write)
            slot->block[i] = byte_at(slot, i);
        else
            EXPECT(slot->block[i] == byte_at(slot, i));
    }
}

static void expect_apart(const struct slot *new)
{
    for (const struct slot *slot = slots; slot < slots + SLOTS; slot++)
        EXPECT(slot == new || slot->block == NULL || slot->block + slot->size <= new->block ||
               new->block + new->size <= slot->block);
}

/* A call has answered with a block, or with none for lack of memory. */
static void take(struct slot *slot, void *block, size_t size, size_t alignment)
{
    if (block == NULL) {
        EXPECT(errno == ENOMEM);
        EXPECT(size > LARGEST);
        return;
    }
    static unsigned char seed;
    *slot = (struct slot){block, size, seed++};
    EXPECT(size <= PTRDIFF_MAX);
    EXPECT((uintptr_t)block % alignment == 0 && (uintptr_t)block % ALIGNMENT_LEAST == 0);
    EXPECT(acre_malloc_usable_size(block) >= size);
    expect_apart(slot);
    each_byte(slot, size, true);
}

static void *free_it(void *block)
{
    acre_free(block);
    return NULL;
}

static void release(struct slot *slot, uint8_t how)
{
    if (slot->block != NULL)
        each_byte(slot, slot->size, false);
    errno = EXDEV;
    pthread_t other;
    if (how == 0)
        acre_free_sized(slot->block, slot->size);
    else if (how != 1 || pthread_create(&other, NULL, free_it, slot->block) != 0)
        acre_free(slot->block);
    else
        pthread_join(other, NULL);
    EXPECT(errno == EXDEV);
    *slot = (struct slot){0};
}

static void resize(struct slot *slot, size_t size)
{
    if (slot->block == NULL || size == 0)
        return;
    struct slot old = *slot;
    void *block = acre_realloc(old.block, size);
    if (block == NULL) {
        EXPECT(errno == ENOMEM && size > LARGEST);
        each_byte(slot, old.size, false);
        return;
    }
    slot->block = block;
    size_t kept = size < old.size ? size : old.size;
    for (size_t i = 0; i < kept && i < CHECKED; i++)
        EXPECT(slot->block[i] == byte_at(&old, i));
    take(slot, block, size, 1);
}

static void allocate(struct slot *slot)
{
    uint8_t how = next_byte();
    size_t size = next_size(), count, total;
    size_t alignment = (size_t)1 << (how >> 4);
    unsigned char *block = NULL;
    switch (how & 7) {
    case 0:
        count = next_byte() & 15;
        block = acre_calloc(size, count);
        if (__builtin_mul_overflow(size, count, &total))
            total = SIZE_MAX;
        for (size_t i = 0; block != NULL && i < total; i++)
            EXPECT(block[i] == 0);
        take(slot, block, total, 1);
        break;
    case 1:
        take(slot, acre_aligned_alloc(alignment, size), size, alignment);
        break;
    case 2:
        if (alignment < sizeof(void *)) {
            EXPECT(acre_posix_memalign((void **)&block, alignment, size) == EINVAL);
            break;
        }
        errno = acre_posix_memalign((void **)&block, alignment, size);
        take(slot, block, size, alignment);
        break;
    case 3:
        EXPECT(acre_posix_memalign((void **)&block, alignment * 24, size) == EINVAL);
        EXPECT(block == NULL);
        break;
    default:
        take(slot, acre_malloc(size), size, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const settings[] = {
        "decay:0",    "decay:1000", "huge_pages:always", "large_stock:0", "decay:0,dirty_limit:0",
        "profile:1K", "profile:0"};
    input = data;
    input_end = data + size;
    const char *setting = settings[next_byte() % (sizeof(settings) / sizeof(settings[0]))];
    EXPECT(acre_options_parse(setting, "calls") == 0);
    while (input < input_end) {
        uint8_t how = next_byte();
        struct slot *slot = &slots[next_byte() % SLOTS];
        if ((how & 3) == 3)
            resize(slot, next_size());
        else if (slot->block != NULL)
            release(slot, how >> 4);
        else
            allocate(slot);
        if (how == 0xff)
            acre_thread_flush();
    }
    EXPECT(acre_check(2) == 0);
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++)
        release(slot, 2);
    return 0;
}
