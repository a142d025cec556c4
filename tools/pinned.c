/* What blocks pin: see pinned.h. */
#define _GNU_SOURCE 1
#include "pinned.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "base/states.h"
#include "heap/heap.h"
#include "slab/slab.h"

enum {
    SPARSE_SHARE = 4,  /* as in count.c: a page is sparse if less than 1/4 of it is live */
    LEAST_PAGE = 4096, /* bytes, as view_open sees to */
};

/* A sample of the list that is sorted by address. */
struct entry {
    uint64_t address, size;
    size_t number; /* in samples->live */
};

struct pinned {
    struct view *view;
    const struct samples *samples;
    struct entry *entries;
    double *bytes;                                            /* the result */
    uint32_t live[SLAB_MAX_UNITS * (UNIT_SIZE / LEAST_PAGE)]; /* bytes, of each page of a slab */
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

/* The first entry at an address or after it. */
static size_t first_entry(const struct pinned *pinned, uint64_t address)
{
    size_t low = 0, high = pinned->samples->live_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pinned->entries[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Bytes from .. to-1 of a slab are live. */
static void add_live(struct pinned *pinned, uint64_t from, uint64_t to)
{
    uint64_t page_size = pinned->view->root.page_size;
    while (from < to) {
        uint64_t end = min_size((from / page_size + 1) * page_size, to);
        pinned->live[from / page_size] += (uint32_t)(end - from);
        from = end;
    }
}

/* Counts what is live on each page of a slab. False if it changed meanwhile. */
static bool read_pages(struct pinned *pinned, const struct view_slab *slab)
{
    uint8_t states[SLAB_MAX_BLOCKS];
    bool live = false;
    memset(pinned->live, 0, sizeof(pinned->live));
    if (!view_states(pinned->view, slab, 0, slab->count, states) ||
        !view_slab_stayed(pinned->view, slab))
        return false;
    for (size_t i = 0; i < slab->count; i++) {
        live = state_is_live(states[i]) || (states[i] == BLOCK_REST && live);
        if (live)
            add_live(pinned, i * slab->block_size, (i + 1) * slab->block_size);
    }
    return true;
}

/* The share that a block has of the sparse pages of its slab, in bytes. */
static double share_of(const struct pinned *pinned, const struct view_slab *slab,
                       const struct entry *entry)
{
    uint64_t page_size = pinned->view->root.page_size, from = entry->address - slab->base;
    uint64_t to = min_size(from + entry->size, (uint64_t)slab->units * UNIT_SIZE);
    double share = 0;
    while (from < to) {
        uint64_t page = from / page_size, end = min_size((page + 1) * page_size, to);
        if (pinned->live[page] != 0 && pinned->live[page] < page_size / SPARSE_SHARE)
            share += (double)page_size * (double)(end - from) / pinned->live[page];
        from = end;
    }
    return share;
}

static void add_slab(struct pinned *pinned, const struct view_slab *slab)
{
    uint64_t end = slab->base + (uint64_t)slab->units * UNIT_SIZE;
    size_t i = first_entry(pinned, slab->base);
    if (i == pinned->samples->live_count || pinned->entries[i].address >= end)
        return;
    if (!read_pages(pinned, slab)) {
        pinned->view->changed++;
        return;
    }
    for (; i < pinned->samples->live_count && pinned->entries[i].address < end; i++) {
        const struct entry *entry = &pinned->entries[i];
        pinned->bytes[entry->number] =
            pinned->samples->live[entry->number].weight * share_of(pinned, slab, entry);
    }
}

double *pinned_count(struct memory *memory, const struct samples *samples)
{
    static struct pinned pinned;
    size_t count = samples->live_count;
    struct view_arena arena;
    struct view_heap heap;
    struct view_slab slab;
    pinned = (struct pinned){.view = &memory->view, .samples = samples};
    pinned.bytes = calloc(count + 1, sizeof(pinned.bytes[0]));
    pinned.entries = calloc(count + 1, sizeof(pinned.entries[0]));
    if (pinned.bytes == NULL || pinned.entries == NULL)
        err(EXIT_FAILURE, NULL);
    for (size_t i = 0; i < count; i++)
        pinned.entries[i] = (struct entry){samples->live[i].address, samples->live[i].size, i};
    qsort(pinned.entries, count, sizeof(pinned.entries[0]), compare_entries);
    for (bool more = view_first_arena(pinned.view, &arena); more;
         more = view_next_arena(pinned.view, &arena))
        for (bool next = view_first_heap(pinned.view, &arena, &heap); next;
             next = view_next_heap(pinned.view, &arena, &heap))
            for (unsigned unit = heap.first_unit; view_next_slab(pinned.view, &heap, &unit, &slab);)
                add_slab(&pinned, &slab);
    free(pinned.entries);
    return pinned.bytes;
}
