/*
 * The heap map: see html.h.
 *
 * The data are one JSON object: what detail_print_json prints, as "totals", and the heaps. What
 * there are many of is packed into strings, of digits of 6 bits (`digits`): a number has 5 bits in
 * each digit, the lowest first, and the sixth bit says that another digit follows. Of a heap:
 *
 *   slabs   ten numbers for each: units between it and the one before it, its units, its class,
 *           its places, those of live blocks, these less the live blocks, cached, remote, purged,
 *           pinned pages
 *   live    a digit for each unit: 0 if nothing in it is live, else 1 + 62ths of its bytes
 *   pages   a digit for each unit: its resident pages, plus PAGES_DIRTY if its dirty bit is set
 */
#define _GNU_SOURCE 1
#include "html.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/size_class.h"
#include "base/states.h"
#include "heap/heap.h"
#include "large/extents.h"

enum {
    PAGES_DIRTY = 32,
    PAGES_OF_UNIT = 16,   /* at most */
    SPARSE_SHARE = 4,     /* as in count.c: a page is sparse if less than 1/4 of it is live */
    TRIES = 4,            /* how often a slab that changes is read */
    MOST_EXTENTS = 20000, /* of those that are shown, the largest */
};

static const char marker[] = "@DATA@";
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* What is known of a heap's units. */
struct map {
    uint32_t page_live[HEAP_UNITS * PAGES_OF_UNIT]; /* bytes of live blocks in each page */
    uint64_t places, live, cached, remote, purged;  /* of the slab that was read last */
    uint64_t pinned;                                /* likewise, in pages */
};

static void put_number(FILE *file, uint64_t number)
{
    for (; number >= 32; number >>= 5)
        putc(digits[32 + number % 32], file);
    putc(digits[number], file);
}

/* A text in quotes, as JSON; bytes outside of ASCII, and controls, are shown as `?`. */
static void put_text(FILE *file, const char *text)
{
    putc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', file);
        putc(*text >= ' ' && *text <= '~' ? *text : '?', file);
    }
    putc('"', file);
}

/* ---- heaps ---- */

/* Bytes from .. to-1 of a heap are live. */
static void add_live(struct map *map, uint64_t page_size, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t page = from / page_size, end = min_size((page + 1) * page_size, to);
        map->page_live[page] += (uint32_t)(end - from);
        from = end;
    }
}

/* Forgets what is known of a slab. */
static void clear_slab(const struct view *view, const struct view_slab *slab, struct map *map)
{
    uint64_t pages = UNIT_SIZE / view->root.page_size; /* of a unit */
    memset(map->page_live + slab->first_unit * pages, 0,
           slab->units * pages * sizeof(map->page_live[0]));
    map->places = map->pinned = 0;
}

/* Reads the states of a slab. False if it changed meanwhile. */
static bool read_states(struct view *view, const struct view_slab *slab, struct map *map)
{
    uint8_t states[SLAB_MAX_BLOCKS];
    uint64_t counts[BLOCK_END + 1] = {0};
    uint64_t page_size = view->root.page_size, base = (uint64_t)slab->first_unit * UNIT_SIZE;
    size_t first = base / page_size, pages = (uint64_t)slab->units * UNIT_SIZE / page_size;
    bool held = false;
    clear_slab(view, slab, map);
    if (!view_states(view, slab, 0, slab->count, states))
        return false;
    for (size_t i = 0; i < slab->count;) {
        size_t begin = i;
        uint8_t state = min_size(states[i], BLOCK_END);
        while (i < slab->count && min_size(states[i], BLOCK_END) == state)
            i++;
        counts[state] += i - begin;
        held = state_is_live(state) || (state == BLOCK_REST && held);
        if (!held)
            continue;
        map->places += i - begin;
        add_live(map, page_size, base + begin * slab->block_size, base + i * slab->block_size);
    }
    for (size_t i = first; i < first + pages; i++)
        map->pinned += map->page_live[i] != 0 && map->page_live[i] < page_size / SPARSE_SHARE;
    map->live = counts[BLOCK_LIVE] + counts[BLOCK_WIDE] + counts[BLOCK_SAMPLED];
    map->cached = counts[BLOCK_CACHED] + counts[BLOCK_QUARANTINED];
    map->remote = counts[BLOCK_REMOTE];
    map->purged = counts[BLOCK_PURGED];
    return view_slab_stayed(view, slab);
}

/* Reads the first slab at unit *unit or after it, with its states; *unit is the one after it.
 * False at the end. */
static bool next_slab(struct view *view, struct view_heap *heap, unsigned *unit,
                      struct view_slab *slab, struct map *map)
{
    unsigned from = *unit;
    for (int tries = 0; view_next_slab(view, heap, unit, slab);) {
        if (read_states(view, slab, map))
            return true;
        clear_slab(view, slab, map);
        if (++tries == TRIES) {
            view->changed++;
            tries = 0;
            from = *unit;
        }
        /* it changed: its entries of the map and its geometry are to be read again */
        heap->entries_from = HEAP_UNITS;
        if (view->prefetch != NULL)
            view->prefetch(view, slab->word_at, sizeof(slab->word));
        *unit = from;
    }
    return false;
}

/* The digit of a unit's live bytes. */
static char live_digit(const struct map *map, uint64_t page_size, unsigned unit)
{
    uint64_t bytes = 0, pages = UNIT_SIZE / page_size;
    for (uint64_t i = 0; i < pages; i++)
        bytes += map->page_live[unit * pages + i];
    bytes = min_size(bytes, UNIT_SIZE);
    return digits[bytes == 0 ? 0 : 1 + bytes * 62 / UNIT_SIZE];
}

/* The digit of a unit's pages. */
static char pages_digit(struct view *view, const struct view_heap *heap, unsigned unit)
{
    uint64_t pages = 0, dirty = heap->dirty[unit / 64] >> unit % 64 & 1;
    if (view->resident != NULL)
        pages = view->resident(view, heap->address + (uint64_t)unit * UNIT_SIZE, UNIT_SIZE) /
                view->root.page_size;
    return digits[min_size(pages, PAGES_OF_UNIT) + dirty * PAGES_DIRTY];
}

static void put_heap(FILE *file, struct view *view, struct view_heap *heap, uint32_t arena)
{
    static struct map map;
    struct view_slab slab;
    unsigned end = heap->first_unit; /* of the last slab */
    memset(map.page_live, 0, sizeof(map.page_live));
    fprintf(file, "\n[\"%" PRIx64 "\",%" PRIu32 ",%u,\"", heap->address, arena, heap->first_unit);
    for (unsigned unit = heap->first_unit; next_slab(view, heap, &unit, &slab, &map); end = unit) {
        const uint64_t numbers[] = {
            slab.first_unit - end, slab.units, slab.cls,   slab.count, map.places,
            map.places - map.live, map.cached, map.remote, map.purged, map.pinned,
        };
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
            put_number(file, numbers[i]);
    }
    unsigned limit = (unsigned)min_size(max_size(heap->unit_limit, end), HEAP_UNITS);
    fputs("\",\"", file);
    for (unsigned unit = 0; unit < limit; unit++)
        putc(live_digit(&map, view->root.page_size, unit), file);
    fputs("\",\"", file);
    for (unsigned unit = 0; unit < limit; unit++)
        putc(pages_digit(view, heap, unit), file);
    fputs("\"]", file);
}

static void put_heaps(FILE *file, struct view *view)
{
    struct view_arena arena;
    struct view_heap heap;
    const char *separator = "";
    for (bool more = view_first_arena(view, &arena); more; more = view_next_arena(view, &arena)) {
        for (bool next = view_first_heap(view, &arena, &heap); next;
             next = view_next_heap(view, &arena, &heap)) {
            fputs(separator, file);
            put_heap(file, view, &heap, arena.number);
            separator = ",";
        }
    }
}

/* ---- LARGE ---- */

static int compare_extents(const void *left, const void *right)
{
    const struct view_extent *a = left, *b = right;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->base < b->base ? -1 : a->base > b->base;
}

/* For each extent: its address and size in pages; 0: live, 1: free, 2: free and zero. */
static void put_extents(FILE *file, struct view *view)
{
    static struct view_extent all[2 * MOST_EXTENTS];
    struct view_extents at = {0};
    struct view_extent extent;
    size_t count = 0, used = 0;
    for (; view_next_extent(view, &at, &extent); count++) {
        if (used == 2 * MOST_EXTENTS) {
            qsort(all, used, sizeof(all[0]), compare_extents);
            used = MOST_EXTENTS;
        }
        all[used++] = extent;
    }
    qsort(all, used, sizeof(all[0]), compare_extents);
    fprintf(file, ",\"extent_count\":%zu,\"extents\":\"", count);
    for (size_t i = 0; i < used && i < MOST_EXTENTS; i++) {
        put_number(file, all[i].base / view->root.page_size);
        put_number(file, all[i].size / view->root.page_size);
        put_number(file, all[i].state == EXTENT_LIVE ? 0 : 1 + (uint64_t)all[i].zero);
    }
    fputs("\"", file);
}

/* ---- the page ---- */

static void put_names(FILE *file, struct memory *memory, const struct detail *detail)
{
    const struct figures_arena *arenas = detail->arenas;
    const char *separator = "";
    for (size_t i = 0; i < detail->arena_count; i++) {
        bool thread = !arenas[i].pooled && !arenas[i].of_heap;
        char *name = thread ? memory_thread_name(memory, arenas[i].arena.thread) : NULL;
        if (name == NULL)
            continue;
        fprintf(file, "%s[%" PRIu32 ",", separator, arenas[i].arena.number);
        put_text(file, name);
        fputs("]", file);
        separator = ",";
        free(name);
    }
}

/* Writes the data to a file of its own: detail_print_json writes to a descriptor. */
static FILE *write_data(struct memory *memory, const struct print_process *process,
                        const struct detail *detail)
{
    struct view *view = &memory->view;
    FILE *file = tmpfile();
    char date[64];
    time_t now = time(NULL);
    struct out out;
    if (file == NULL)
        err(EXIT_FAILURE, "a temporary file");
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %Z", localtime(&now));
    fprintf(file,
            "{\"date\":\"%s\",\"core\":%s,\"page\":%zu,\"unit\":%d,\"resident\":%s,\"totals\":",
            date, memory->pid == 0 ? "true" : "false", (size_t)view->root.page_size, UNIT_SIZE,
            view->resident != NULL ? "true" : "false");
    fflush(file);
    out_to_fd(&out, fileno(file));
    detail_print_json(&out, process, detail);
    out_end(&out);
    fseek(file, 0, SEEK_END);
    fputs(",\"sizes\":[", file);
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        fprintf(file, "%s%" PRIu32, cls == 0 ? "" : ",", size_class_sizes[cls]);
    fputs("],\"names\":[", file);
    put_names(file, memory, detail);
    fputs("],\"heaps\":[", file);
    put_heaps(file, view);
    fputs("]", file);
    put_extents(file, view);
    fprintf(file, ",\"left_out\":%zu,\"damaged\":%s}", view->changed,
            view->damage != NULL ? "true" : "false");
    if (fflush(file) != 0 || ferror(file))
        err(EXIT_FAILURE, "a temporary file");
    rewind(file);
    return file;
}

void html_write(struct memory *memory, const struct print_process *process,
                const struct detail *detail, const char *path)
{
    FILE *data = write_data(memory, process, detail);
    FILE *page = fopen(path, "we");
    const char *place = strstr(html_template, marker);
    if (page == NULL)
        err(EXIT_FAILURE, "%s", path);
    fwrite(html_template, 1, (size_t)(place - html_template), page);
    /* names may have any characters: in JSON `<` is in texts only, and ends no script so */
    for (int byte; (byte = getc(data)) != EOF;) {
        if (byte == '<')
            fputs("\\u003c", page);
        else
            putc(byte, page);
    }
    fputs(place + sizeof(marker) - 1, page);
    fclose(data);
    if (ferror(page) | (fclose(page) != 0))
        err(EXIT_FAILURE, "%s", path);
}
