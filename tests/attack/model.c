/* What is live: see model.h. */
#include "model.h"

#include "attempt.h"

#include <string.h>

enum {
    BLOCKS_MOST = 1 << 16, /* made in a sequence */
    WORD = sizeof(uint64_t),
    FULL_PATTERN = 4096, /* bytes; larger blocks are filled in parts: */
    END_PATTERN = 512,   /* bytes at each end */
    SPOTS = 14,          /* places in between */
    SPOT_PATTERN = 64,   /* bytes at each */
};

static struct {
    struct block blocks[BLOCKS_MOST]; /* as they were made, so those of a step side by side */
    size_t count;
    struct {
        size_t first; /* index of the step's first block */
        unsigned made;
    } steps[STEPS_MOST];
    struct block *live[BLOCKS_MOST]; /* by address */
    size_t live_count;
    size_t live_bytes;
} model;

/* ---- contents ---- */

/* A part of a block that is filled. */
struct part {
    size_t begin, end; /* bytes from the start; multiples of WORD */
};

/* The part of that number of a block of `size` bytes; empty where there is none. */
static struct part part_of(size_t size, unsigned number)
{
    if (size <= FULL_PATTERN)
        return (struct part){0, number == 0 ? size : 0};
    if (number == 0)
        return (struct part){0, END_PATTERN};
    if (number > SPOTS)
        return (struct part){size - END_PATTERN, size};
    size_t begin = END_PATTERN + (size - 2 * END_PATTERN) / (SPOTS + 1) * number / WORD * WORD;
    return (struct part){begin, begin + SPOT_PATTERN};
}

static unsigned parts_of(size_t size)
{
    return size <= FULL_PATTERN ? 1 : SPOTS + 2;
}

static uint64_t pattern(uint64_t key, size_t offset)
{
    return key + offset * UINT64_C(0x9e3779b97f4a7c15);
}

void model_fill(const struct block *block)
{
    for (unsigned i = 0; i < parts_of(block->usable); i++) {
        struct part part = part_of(block->usable, i);
        for (size_t at = part.begin; at < part.end; at += WORD) {
            uint64_t word = pattern(block->key, at);
            memcpy(block->start + at, &word, WORD);
        }
    }
}

bool model_is_intact(const struct block *block, const char *at, size_t size)
{
    for (unsigned i = 0; i < parts_of(block->usable); i++) {
        struct part part = part_of(block->usable, i);
        for (size_t offset = part.begin; offset < part.end && offset < size; offset += WORD) {
            uint64_t word = pattern(block->key, offset);
            size_t bytes = size - offset < WORD ? size - offset : WORD;
            if (memcmp(at + offset, &word, bytes) != 0)
                return false;
        }
    }
    return true;
}

/* ---- the live ones ---- */

/* The index of the first live block that starts at or above the address. */
static size_t first_from(uintptr_t address)
{
    size_t low = 0, high = model.live_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uintptr_t)model.live[middle]->start < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct block *block)
{
    size_t index = first_from((uintptr_t)block->start);
    memmove(&model.live[index + 1], &model.live[index],
            (model.live_count - index) * sizeof(model.live[0]));
    model.live[index] = block;
    model.live_count++;
    model.live_bytes += block->usable;
    block->live = true;
}

void model_remove(struct block *block)
{
    size_t index = first_from((uintptr_t)block->start);
    model.live_count--;
    memmove(&model.live[index], &model.live[index + 1],
            (model.live_count - index) * sizeof(model.live[0]));
    model.live_bytes -= block->usable;
    block->live = false;
}

struct block *model_overlapping(uintptr_t start, uintptr_t end)
{
    size_t index = first_from(start);
    if (index > 0) {
        struct block *below = model.live[index - 1];
        if ((uintptr_t)below->start + below->usable > start)
            return below;
    }
    if (index < model.live_count && (uintptr_t)model.live[index]->start < end)
        return model.live[index];
    return NULL;
}

struct block *model_starting(uintptr_t start)
{
    size_t index = first_from(start);
    bool found = index < model.live_count && (uintptr_t)model.live[index]->start == start;
    return found ? model.live[index] : NULL;
}

struct block *model_live(size_t index)
{
    return model.live[index];
}

size_t model_live_count(void)
{
    return model.live_count;
}

/* ---- all of them ---- */

size_t model_room(void)
{
    return BLOCKS_MOST - model.count;
}

struct block *model_add(unsigned step, char *start, size_t asked, size_t usable)
{
    struct block *block = &model.blocks[model.count];
    unsigned number = model.steps[step].made++;
    if (number == 0)
        model.steps[step].first = model.count;
    model.count++;
    *block = (struct block){
        .start = start,
        .asked = asked,
        .usable = usable,
        .key = (model.count + attempt->seed) * UINT64_C(0xbf58476d1ce4e5b9),
        .step = step,
        .number = number,
    };
    insert(block);
    model_fill(block);
    return block;
}

struct block *model_named(unsigned step, unsigned number)
{
    if (number >= model.steps[step].made)
        return NULL;
    return &model.blocks[model.steps[step].first + number];
}

unsigned model_made(unsigned step)
{
    return model.steps[step].made;
}

struct block *model_block(size_t index)
{
    return &model.blocks[index];
}

size_t model_block_count(void)
{
    return model.count;
}

struct model_totals model_totals(void)
{
    return (struct model_totals){model.live_count, model.live_bytes};
}
