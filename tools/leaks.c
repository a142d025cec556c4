/*
 * Leaks: see leaks.h.
 *
 * Mark and sweep, conservatively (H.-J. Boehm and M. Weiser, 1988): each aligned word of what the
 * program may read and write, outside of acre's own memory, and each register is taken for a
 * pointer; it leads to the block that it points into. What is below a thread's stack pointer does
 * not count: it is of calls that have returned. Of the blocks that are left those count as indirect
 * leaks that other leaks lead to; of a cycle one is direct.
 */
#define _GNU_SOURCE 1
#include "leaks.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap/heap.h"
#include "inspect/walk.h"

enum {
    REACHED = 1,
    INDIRECT = 2,
    MOST_BLOCKS = 1 << 28,
    PIECE = 1 << 20,   /* bytes of a root that are read at once */
    WINDOW = 64 << 10, /* bytes of blocks that are read at once */
    WINDOWS = 512,     /* that are kept */
    RED_ZONE = 128,    /* bytes below the stack pointer that are in use: the ABI of x86-64 */
    PAGE = 4096,       /* bytes; what is read one by one where not all can be read */
};

struct block {
    uint64_t address, size;
    uint8_t marks;
};

struct range {
    uint64_t start, end;
};

struct search {
    struct memory *memory;
    struct block *blocks; /* sorted */
    size_t count;
    uint64_t lowest, highest; /* blocks have addresses lowest .. highest-1 */
    size_t *waiting;          /* blocks that are marked and not yet looked into */
    size_t waiting_count;
    uint8_t mark;             /* that is being given */
    const struct block *self; /* gets none */
    struct range *left_out;   /* acre's own memory, and stacks that are not in use; sorted */
    size_t left_out_count;
    uint64_t window_at[WINDOWS]; /* addresses of the windows + 1; 0: empty */
    char *windows;
};

static void *grown(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return array;
    array = reallocarray(array, count != 0 ? 2 * count : 1, size);
    if (array == NULL)
        err(EXIT_FAILURE, NULL);
    return array;
}

/* ---- blocks ---- */

static int add_block(void *context, const struct acre_block *block)
{
    struct search *search = context;
    if (block->state != ACRE_BLOCK_LIVE || block->size == 0)
        return 0;
    if (search->count >= MOST_BLOCKS)
        errx(EXIT_FAILURE, "%s has too many blocks", search->memory->name);
    search->blocks = grown(search->blocks, search->count, sizeof(search->blocks[0]));
    search->blocks[search->count++] =
        (struct block){.address = (uintptr_t)block->address, .size = block->size};
    return 0;
}

static int compare_blocks(const void *left, const void *right)
{
    const struct block *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static void list_blocks(struct search *search)
{
    (void)walk_blocks(&search->memory->view, add_block, search);
    if (search->count == 0)
        return;
    qsort(search->blocks, search->count, sizeof(search->blocks[0]), compare_blocks);
    const struct block *last = &search->blocks[search->count - 1];
    search->lowest = search->blocks[0].address;
    search->highest = last->address + last->size;
    search->waiting = calloc(search->count, sizeof(search->waiting[0]));
    search->windows = malloc((size_t)WINDOWS * WINDOW);
    if (search->waiting == NULL || search->windows == NULL)
        err(EXIT_FAILURE, NULL);
}

/* ---- marking ---- */

/* Marks the block that a word points into, if it does. */
static void follow(struct search *search, uint64_t word)
{
    if (word - search->lowest >= search->highest - search->lowest)
        return;
    size_t low = 0, high = search->count; /* the one that is looked for is in low .. high-1 */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (search->blocks[middle].address <= word)
            low = middle;
        else
            high = middle;
    }
    struct block *block = &search->blocks[low];
    if (word - block->address >= block->size || (block->marks & (REACHED | search->mark)) != 0 ||
        block == search->self)
        return;
    block->marks |= search->mark;
    search->waiting[search->waiting_count++] = low;
}

static void follow_words(struct search *search, const char *bytes, size_t size)
{
    uint64_t word;
    for (size_t i = 0; i + sizeof(word) <= size; i += sizeof(word)) {
        memcpy(&word, bytes + i, sizeof(word));
        follow(search, word);
    }
}

/* Reads what can be read; the rest becomes zero. */
static void read_all(struct search *search, uint64_t address, char *into, size_t size)
{
    struct view *view = &search->memory->view;
    if (view->read_now(view, address, into, size))
        return;
    for (size_t i = 0; i < size; i += PAGE) {
        size_t part = size - i < PAGE ? size - i : PAGE;
        if (!view->read_now(view, address + i, into + i, part))
            memset(into + i, 0, part);
    }
}

/* Follows what is in a block. */
static void look_into(struct search *search, const struct block *block)
{
    uint64_t at = block->address, end = block->address + block->size;
    while (at < end) {
        uint64_t start = at / WINDOW * WINDOW, to = start + WINDOW < end ? start + WINDOW : end;
        size_t slot = start / WINDOW % WINDOWS;
        char *window = search->windows + slot * WINDOW;
        if (search->window_at[slot] != start + 1) {
            read_all(search, start, window, WINDOW);
            search->window_at[slot] = start + 1;
        }
        follow_words(search, window + (at - start), to - at);
        at = to;
    }
}

static void look_into_waiting(struct search *search)
{
    while (search->waiting_count != 0)
        look_into(search, &search->blocks[search->waiting[--search->waiting_count]]);
}

/* ---- roots ---- */

static void leave_out(struct search *search, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    search->left_out = grown(search->left_out, search->left_out_count, sizeof(search->left_out[0]));
    search->left_out[search->left_out_count++] = (struct range){start, end};
}

/* A mapping with metadata has nothing else: there are guards around it. */
static void leave_out_mapping(struct search *search, const struct maps *maps, uint64_t address)
{
    const struct map *map = maps_find(maps, address);
    if (map != NULL)
        leave_out(search, map->start, map->end);
}

static void leave_out_heaps(struct search *search, const struct maps *maps)
{
    struct view *view = &search->memory->view;
    struct view_arena arena;
    struct view_heap heap;
    struct view_extents at = {0};
    struct view_extent extent;
    uint64_t chunk = 0;
    for (bool more = view_first_arena(view, &arena); more; more = view_next_arena(view, &arena)) {
        leave_out_mapping(search, maps, arena.address);
        for (bool next = view_first_heap(view, &arena, &heap); next;
             next = view_next_heap(view, &arena, &heap))
            leave_out(search, heap.address, heap.address + (uint64_t)heap.unit_limit * UNIT_SIZE);
    }
    while (view_next_extent(view, &at, &extent)) {
        leave_out(search, extent.base, extent.base + extent.size);
        if (at.chunk != chunk)
            leave_out_mapping(search, maps, at.chunk);
        chunk = at.chunk;
    }
}

static uint64_t profile_field(struct search *search, enum acre_field_id field)
{
    struct view *view = &search->memory->view;
    return view_field(view, (uintptr_t)view->root.addresses[ACRE_AT_PROFILE], field);
}

/* The profile's slots have the addresses of blocks, and so have those of guarded blocks. */
static void leave_out_profile(struct search *search)
{
    const struct view *view = &search->memory->view;
    uint64_t slots = profile_field(search, ACRE_FIELD_PROFILE_SLOTS);
    uint64_t limit = profile_field(search, ACRE_FIELD_PROFILE_SLOT_LIMIT);
    leave_out(search, slots, slots + limit * view->root.fields[ACRE_FIELD_PROFILE_SLOT_SIZE].size);
    struct view_guarded guarded;
    for (size_t i = 0; view_guarded(&search->memory->view, i, &guarded); i++)
        leave_out(search, guarded.slot,
                  guarded.slot + view->root.fields[ACRE_FIELD_GUARD_SLOT_SIZE].size);
}

/* What libacre has of its own when it is a library: the writable mappings of its file, and what
 * follows them at once without a name, the data that begins as zero. */
static void leave_out_library(struct search *search, const struct maps *maps)
{
    const struct module *module = maps_module(maps, search->memory->root);
    if (module == NULL || strncmp(module->name, "libacre.so", strlen("libacre.so")) != 0)
        return;
    for (size_t i = 0; i < maps->count; i++) {
        const struct map *map = &maps->all[i];
        bool of_file = map->start >= module->start && map->start < module->end;
        if (of_file || (map->start == module->end && map->path[0] == '\0' && map->writable))
            leave_out(search, map->start, map->end);
    }
}

/* What is below a thread's stack pointer, if that is in a stack as the system or libpthread makes
 * them: the main thread's, or one with a guard below it. */
static void leave_out_stack(struct search *search, const struct maps *maps,
                            const struct leaks_thread *thread)
{
    const struct map *map = maps_find(maps, thread->stack);
    if (map == NULL || thread->stack - map->start < RED_ZONE)
        return;
    bool guarded = map > maps->all && map[-1].end == map->start && !map[-1].readable &&
                   !map[-1].writable && map[-1].path[0] == '\0';
    if (guarded || strcmp(map->path, "[stack]") == 0)
        leave_out(search, map->start, thread->stack - RED_ZONE);
}

static int compare_ranges(const void *left, const void *right)
{
    const struct range *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

/* True if any page of a range is in memory or swapped out; bits 63 and 62 of its entries say so. */
static bool has_pages(const struct memory *memory, uint64_t start, uint64_t size)
{
    static uint64_t entries[PIECE / PAGE];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), count = (size + page - 1) / page;
    if (memory->pagemap < 0)
        return true;
    ssize_t got = pread(memory->pagemap, entries, count * sizeof(entries[0]),
                        (off_t)(start / page * sizeof(entries[0])));
    if (got < (ssize_t)(count * sizeof(entries[0])))
        return true;
    for (uint64_t i = 0; i < count; i++)
        if (entries[i] >> 62 != 0)
            return true;
    return false;
}

static void follow_range(struct search *search, uint64_t start, uint64_t end)
{
    static char bytes[PIECE];
    for (uint64_t at = start, to; at < end; at = to) {
        to = (at / PIECE + 1) * PIECE < end ? (at / PIECE + 1) * PIECE : end;
        if (!has_pages(search->memory, at, to - at))
            continue;
        read_all(search, at, bytes, to - at);
        follow_words(search, bytes, to - at);
    }
}

/* Follows what is in a mapping, except what is left out. */
static void follow_map(struct search *search, const struct map *map)
{
    uint64_t at = map->start;
    for (size_t i = 0; i < search->left_out_count && at < map->end; i++) {
        const struct range *range = &search->left_out[i];
        if (range->end <= at || range->start >= map->end)
            continue;
        if (range->start > at)
            follow_range(search, at, range->start);
        at = range->end;
    }
    if (at < map->end)
        follow_range(search, at, map->end);
}

static void follow_roots(struct search *search, const struct maps *maps,
                         const struct leaks_thread *threads, size_t count)
{
    leave_out_heaps(search, maps);
    leave_out_profile(search);
    leave_out_library(search, maps);
    for (size_t i = 0; i < count; i++)
        leave_out_stack(search, maps, &threads[i]);
    if (search->left_out_count != 0)
        qsort(search->left_out, search->left_out_count, sizeof(search->left_out[0]),
              compare_ranges);
    search->mark = REACHED;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < threads[i].count; k++)
            follow(search, threads[i].registers[k]);
    for (size_t i = 0; i < maps->count; i++) {
        const struct map *map = &maps->all[i];
        /* what devices map is no memory of the program, and reading it may have effects */
        if (map->readable && map->writable && strncmp(map->path, "/dev/", 5) != 0)
            follow_map(search, map);
        look_into_waiting(search);
    }
}

/* ---- leaks ---- */

static void mark_indirect(struct search *search)
{
    search->mark = INDIRECT;
    for (size_t i = 0; i < search->count; i++) {
        if (search->blocks[i].marks != 0)
            continue;
        search->self = &search->blocks[i];
        look_into(search, search->self);
        look_into_waiting(search);
    }
    search->self = NULL;
}

static void list_leaks(const struct search *search, struct leaks *leaks)
{
    for (size_t i = 0; i < search->count; i++) {
        const struct block *block = &search->blocks[i];
        if ((block->marks & REACHED) != 0) {
            leaks->reachable++;
            leaks->reachable_bytes += block->size;
            continue;
        }
        bool indirect = (block->marks & INDIRECT) != 0;
        leaks->addresses = grown(leaks->addresses, leaks->count, sizeof(leaks->addresses[0]));
        leaks->addresses[leaks->count++] = block->address;
        leaks->bytes += block->size;
        leaks->direct += !indirect;
        leaks->direct_bytes += indirect ? 0 : block->size;
    }
}

void leaks_find(struct memory *memory, const struct maps *maps, const struct leaks_thread *threads,
                size_t count, struct leaks *leaks)
{
    static struct search search;
    search = (struct search){.memory = memory};
    *leaks = (struct leaks){0};
    list_blocks(&search);
    if (search.count != 0) {
        follow_roots(&search, maps, threads, count);
        mark_indirect(&search);
        list_leaks(&search, leaks);
    }
    free(search.blocks);
    free(search.waiting);
    free(search.windows);
    free(search.left_out);
}

void leaks_free(struct leaks *leaks)
{
    free(leaks->addresses);
}
