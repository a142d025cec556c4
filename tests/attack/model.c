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
    struct block *root;
    struct block *live[BLOCKS_MOST]; /* in no order */
    size_t live_count;
    struct block *removed[MODEL_REMOVED]; /* a ring */
    size_t removed_count;
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

/* A word of a block; the program may store other types there. */
typedef uint64_t __attribute__((may_alias)) block_word;

void model_fill(const struct block *block)
{
    for (unsigned i = 0; i < parts_of(block->usable); i++) {
        struct part part = part_of(block->usable, i);
        for (size_t at = part.begin; at < part.end; at += WORD)
            *(block_word *)(void *)(block->start + at) = pattern(block->key, at);
    }
}

bool model_is_intact(const struct block *block, const char *at, size_t size)
{
    for (unsigned i = 0; i < parts_of(block->usable); i++) {
        struct part part = part_of(block->usable, i);
        size_t offset = part.begin;
        for (; offset < part.end && offset + WORD <= size; offset += WORD)
            if (*(const block_word *)(const void *)(at + offset) != pattern(block->key, offset))
                return false;
        uint64_t word = pattern(block->key, offset);
        if (offset < part.end && offset < size && memcmp(at + offset, &word, size - offset) != 0)
            return false;
    }
    return true;
}

/* ---- the live ones ---- */

/* Splits a treap into the blocks below the address and the others. */
static void split(struct block *root, const char *start, struct block **below, struct block **rest)
{
    if (root == NULL) {
        *below = *rest = NULL;
    } else if (root->start < start) {
        *below = root;
        split(root->right, start, &root->right, rest);
    } else {
        *rest = root;
        split(root->left, start, below, &root->left);
    }
}

/* Joins two treaps, all of one being below all of the other. */
static struct block *join(struct block *below, struct block *above)
{
    if (below == NULL || above == NULL)
        return below != NULL ? below : above;
    if (below->key > above->key) {
        below->right = join(below->right, above);
        return below;
    }
    above->left = join(below, above->left);
    return above;
}

static void insert(struct block *block)
{
    struct block *below, *above;
    split(model.root, block->start, &below, &above);
    model.root = join(join(below, block), above);
    block->index = model.live_count++;
    model.live[block->index] = block;
    model.live_bytes += block->usable;
    block->live = true;
}

void model_remove(struct block *block)
{
    struct block **link = &model.root;
    while (*link != block)
        link = (*link)->start < block->start ? &(*link)->right : &(*link)->left;
    *link = join(block->left, block->right);
    block->left = block->right = NULL;
    struct block *last = model.live[--model.live_count];
    model.live[block->index] = last;
    last->index = block->index;
    model.live_bytes -= block->usable;
    block->live = false;
    model.removed[model.removed_count++ % MODEL_REMOVED] = block;
}

struct block *model_removed(size_t back)
{
    if (back >= MODEL_REMOVED || back >= model.removed_count)
        return NULL;
    return model.removed[(model.removed_count - 1 - back) % MODEL_REMOVED];
}

/* Of the live blocks that start below the address, the last one; NULL if there is none. */
static struct block *last_below(uintptr_t address)
{
    struct block *found = NULL;
    for (struct block *block = model.root; block != NULL;) {
        if ((uintptr_t)block->start < address) {
            found = block;
            block = block->right;
        } else {
            block = block->left;
        }
    }
    return found;
}

struct block *model_overlapping(uintptr_t start, uintptr_t end)
{
    struct block *block = last_below(end);
    return block != NULL && (uintptr_t)block->start + block->usable > start ? block : NULL;
}

struct block *model_starting(uintptr_t start)
{
    struct block *block = last_below(start + 1);
    return block != NULL && (uintptr_t)block->start == start ? block : NULL;
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
