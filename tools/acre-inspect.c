/*
 * acre-inspect: shows what a process, or a core, holds in acre's heaps; acre-inspect(1) is the
 * manual. It reads the memory from outside: nothing is called there and nothing stops.
 */
#define _GNU_SOURCE 1
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acre/acre.h"
#include "base/states.h"
#include "change.h"
#include "detail.h"
#include "find.h"
#include "find_sample.h"
#include "html.h"
#include "memory.h"
#include "watch.h"

enum {
    STATUS_USAGE = 2,
    FILL_STEPS = 10, /* rows of the table of how full slabs are */
    NEIGHBOURS = 3,  /* blocks in front of an address that are shown, and after it */
};

enum format { TEXT, JSON, PROMETHEUS, HTML };

static const char usage[] =
    "usage: acre-inspect [OPTION...] PID|CORE\n"
    "\n"
    "Shows what a process that uses acre, or a core of one, holds. Reads it from outside, without\n"
    "stopping it.\n"
    "\n"
    "  --json           print one JSON object\n"
    "  --prometheus     print in Prometheus's text format\n"
    "  --html FILE      write a page with a map of every heap to FILE\n"
    "  --arena N        only the arena of that number\n"
    "  --class SIZE     the size class that serves SIZE bytes: how full its slabs are\n"
    "  --find ADDRESS   what that address is\n"
    "  --watch[=SECONDS] show a process again and again, each second by default\n"
    "  --set KEY:VALUE  change an option of the process\n"
    "  --trim           have it give back the memory that is idle\n"
    "  --quiet          with these two: it says nothing of that on its standard error\n"
    "  --version        print the version\n"
    "  --help           print this\n";

/* What the command line asks for. */
struct request {
    enum format format;
    uint32_t arena;   /* 0: all */
    bool finds;       /* an address */
    uint64_t address; /* likewise */
    size_t size;      /* of --class; 0: none */
    const char *html; /* the file of --html */
    struct change change;
    unsigned watch;   /* ms; 0: not asked for */
    const char *what; /* the process or core */
};

/* ---- the command line ---- */

_Noreturn static void refuse_usage(void)
{
    fputs(usage, stderr);
    exit(STATUS_USAGE);
}

/* A number in decimal, or in hexadecimal after 0x, of at least 1. Exits if it is none. */
static uint64_t parse_number(const char *option, const char *text)
{
    char *end;
    errno = 0;
    bool hexadecimal = strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0;
    uint64_t number = strtoull(text, &end, hexadecimal ? 16 : 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number == 0)
        errx(STATUS_USAGE,
             "%s cannot be \"%s\"; allowed: a number from 1 on, in hexadecimal after 0x", option,
             text);
    return number;
}

/* An address, which gdb and reports print in hexadecimal; 0x may be missing. */
static uint64_t parse_address(const char *text)
{
    char *end;
    errno = 0;
    uint64_t address = strtoull(text, &end, 16);
    if (*text == '\0' || *text == '-' || *end != '\0' || errno != 0)
        errx(STATUS_USAGE, "--find cannot be \"%s\"; allowed: an address in hexadecimal", text);
    return address;
}

/* The milliseconds of --watch. */
static unsigned parse_seconds(const char *text)
{
    char *end;
    if (text == NULL)
        return 1000;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0.1 && seconds <= 86400))
        errx(STATUS_USAGE, "--watch cannot be \"%s\"; allowed: 0.1 to 86400 seconds", text);
    return (unsigned)(seconds * 1000);
}

static void take_option(struct request *request, int letter)
{
    switch (letter) {
    case 'j':
        request->format = JSON;
        break;
    case 'p':
        request->format = PROMETHEUS;
        break;
    case 'm':
        request->format = HTML;
        request->html = optarg;
        break;
    case 'a':
        request->arena = (uint32_t)parse_number("--arena", optarg);
        break;
    case 'c':
        request->size = parse_number("--class", optarg);
        if (request->size > SIZE_CLASS_LIMIT)
            errx(STATUS_USAGE, "--class: blocks above %d bytes have no class", SIZE_CLASS_LIMIT);
        break;
    case 'f':
        request->finds = true;
        request->address = parse_address(optarg);
        break;
    case 'w':
        request->watch = parse_seconds(optarg);
        break;
    case 's':
        change_add(&request->change, optarg);
        break;
    case 't':
        request->change.trims = true;
        break;
    case 'q':
        request->change.quiet = true;
        break;
    case 'v':
        puts("acre-inspect " ACRE_VERSION_STRING);
        exit(EXIT_SUCCESS);
    case 'h':
        fputs(usage, stdout);
        exit(EXIT_SUCCESS);
    default:
        refuse_usage();
    }
}

/* Exits with a message if options were given that do not go together. */
static void check_request(const struct request *request)
{
    bool changes = change_is_any(&request->change);
    bool shows_part = request->arena != 0 || request->finds || request->size != 0;
    if (request->format == HTML && shows_part)
        errx(STATUS_USAGE,
             "--html shows everything: it goes with none of --arena, --class, --find");
    if (request->change.quiet && !changes)
        errx(STATUS_USAGE, "--quiet goes with --set or --trim");
    if (changes && (shows_part || request->format != TEXT))
        errx(STATUS_USAGE, "--set and --trim show nothing: they go with no other option");
    if (request->watch != 0 && (changes || shows_part || request->format != TEXT))
        errx(STATUS_USAGE, "--watch goes with no other option");
}

static struct request read_command_line(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"prometheus", no_argument, NULL, 'p'},
        {"arena", required_argument, NULL, 'a'},
        {"class", required_argument, NULL, 'c'},
        {"find", required_argument, NULL, 'f'},
        {"version", no_argument, NULL, 'v'},
        {"html", required_argument, NULL, 'm'},
        {"set", required_argument, NULL, 's'},
        {"trim", no_argument, NULL, 't'},
        {"quiet", no_argument, NULL, 'q'},
        {"watch", optional_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct request request = {.format = TEXT};
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(&request, letter);
    if (optind != argc - 1) {
        warnx(optind == argc ? "no process or core given" : "more than one process or core given");
        refuse_usage();
    }
    check_request(&request);
    request.what = argv[optind];
    return request;
}

/* ---- counting ---- */

/* The arena with the most in slabs first. */
static int compare_arenas(const void *left, const void *right)
{
    const struct figures_arena *a = left, *b = right;
    if (a->in_slabs != b->in_slabs)
        return a->in_slabs > b->in_slabs ? -1 : 1;
    return a->arena.number < b->arena.number ? -1 : 1;
}

/* Says what was left out. True if the figures are whole. */
static bool report_gaps(struct memory *memory)
{
    const struct view *view = &memory->view;
    if (view->damage != NULL && memory_is_alive(memory))
        warnx("%s: %s, at 0x%" PRIx64 ": left out, with what it leads to", memory->name,
              view->damage, view->damage_at);
    if (view->changed != 0)
        warnx("%s: %zu slabs or extents changed each time they were read: left out", memory->name,
              view->changed);
    return view->damage == NULL;
}

/* ---- text ---- */

static void print_arenas(struct out *out, struct memory *memory, const struct detail *detail)
{
    out_format(out, "  %5s %7s %-15s %5s %10s %10s %10s %10s\n", "arena", "thread", "name", "heaps",
               "in slabs", "live", "pinned", "resident");
    for (size_t i = 0; i < detail->arena_count; i++) {
        const struct figures_arena *each = &detail->arenas[i];
        bool thread = !each->pooled && !each->of_heap;
        char *name = thread ? memory_thread_name(memory, each->arena.thread) : NULL;
        out_format(out, "  %5zu ", (size_t)each->arena.number);
        if (!thread)
            out_format(out, "%7s %-15s", "-", each->pooled ? "(no thread)" : "(own heap)");
        else
            out_format(out, "%7d %-15.15s", each->arena.thread, name != NULL ? name : "?");
        out_format(out, " %5zu ", (size_t)each->heaps);
        out_size(out, each->in_slabs, 10);
        out_format(out, " ");
        out_size(out, each->live, 10);
        out_format(out, " ");
        out_size(out, each->pinned, 10);
        out_format(out, " ");
        out_size(out, each->heap_resident, 10);
        out_format(out, "\n");
        free(name);
    }
}

static void print_large(struct out *out, const struct figures *figures)
{
    if (figures->large_blocks == 0)
        return;
    out_format(out, "  %22s %12s %12s\n", "LARGE from", "blocks", "bytes");
    for (unsigned i = 0; i < FIGURES_LARGE_SIZES; i++) {
        if (figures->large[i].blocks == 0)
            continue;
        out_format(out, "  ");
        out_size(out, (size_t)1 << (FIGURES_LARGE_SHIFT + i), 22);
        out_format(out, " %12zu ", (size_t)figures->large[i].blocks);
        out_size(out, figures->large[i].bytes, 12);
        out_format(out, "\n");
    }
}

static bool show_figures(struct memory *memory, const struct request *request)
{
    static struct detail detail;
    const struct print_process process = {
        .name = memory->program,
        .id = memory->program_pid,
        .version = memory->view.root.version,
        .resident = memory->resident,
    };
    struct out out;
    detail_count(&memory->view, request->arena, &detail);
    if (request->arena != 0 && detail.arena_count == 0 && memory->view.damage == NULL)
        errx(EXIT_FAILURE, "%s has no arena %" PRIu32, memory->name, request->arena);
    if (detail.arena_count != 0)
        qsort(detail.arenas, detail.arena_count, sizeof(detail.arenas[0]), compare_arenas);
    out_to_fd(&out, STDOUT_FILENO);
    switch (request->format) {
    case JSON:
        detail_print_json(&out, &process, &detail);
        break;
    case PROMETHEUS:
        detail_print_prometheus(&out, &process, &detail);
        break;
    case HTML:
        html_write(memory, &process, &detail, request->html);
        break;
    case TEXT:
        print_text(&out, &process, &detail.figures);
        print_large(&out, &detail.figures);
        print_arenas(&out, memory, &detail);
    }
    out_end(&out);
    detail_free(&detail);
    return report_gaps(memory);
}

/* ---- one class ---- */

/* How full the slabs of a class are. */
struct fill {
    size_t slabs[FILL_STEPS];
    size_t live[FILL_STEPS]; /* places of live blocks in them */
};

/* Places of live blocks in a slab. */
static size_t count_places(struct view *view, const struct view_slab *slab)
{
    uint8_t states[4096];
    size_t places = 0;
    bool held = false;
    if (!view_states(view, slab, 0, slab->count, states))
        return 0;
    for (size_t i = 0; i < slab->count; i++) {
        held = state_is_live(states[i]) || (states[i] == BLOCK_REST && held);
        places += held;
    }
    return places;
}

static void add_heap(struct view *view, struct view_heap *heap, unsigned cls, struct fill *fill)
{
    struct view_slab slab;
    for (unsigned unit = heap->first_unit; view_next_slab(view, heap, &unit, &slab);) {
        if (slab.cls != cls)
            continue;
        size_t places = count_places(view, &slab);
        size_t step = places * FILL_STEPS / slab.count;
        step = step < FILL_STEPS ? step : FILL_STEPS - 1;
        fill->slabs[step]++;
        fill->live[step] += places;
    }
}

static bool show_class(struct memory *memory, const struct request *request)
{
    unsigned cls = size_class_of(request->size);
    size_t size = size_class_sizes[cls];
    struct view *view = &memory->view;
    struct fill fill = {0};
    struct view_arena arena;
    struct view_heap heap;
    for (bool more = view_first_arena(view, &arena); more; more = view_next_arena(view, &arena)) {
        if (request->arena != 0 && request->arena != arena.number)
            continue;
        for (bool next = view_first_heap(view, &arena, &heap); next;
             next = view_next_heap(view, &arena, &heap))
            add_heap(view, &heap, cls, &fill);
    }
    static struct detail detail;
    detail_count(view, request->arena, &detail);
    const struct figures_class *sums = &detail.figures.classes[cls];
    const struct view_bin *events = &detail.events[cls];
    struct out out;
    out_to_fd(&out, STDOUT_FILENO);
    out_format(&out, "class of %zu bytes, for %zu to %zu\n", size,
               cls == 0 ? (size_t)0 : (size_t)size_class_sizes[cls - 1] + 1, size);
    out_format(&out, "  %zu slabs of ", (size_t)sums->slabs);
    out_size(&out, (size_t)sums->units * FIGURES_UNIT, 0);
    out_format(&out, ": %zu live blocks, %zu cached, %zu freed by other threads, ",
               (size_t)sums->live, (size_t)sums->cached, (size_t)sums->remote);
    out_format(&out, "%zu without pages\n  pages of which less than a quarter is live: ",
               (size_t)sums->purged);
    out_size(&out, sums->pinned, 0);
    out_format(&out, "\n  %zu windows opened, %zu slabs made, %zu released\n",
               (size_t)events->windows, (size_t)events->slabs_made, (size_t)events->slabs_released);
    detail_free(&detail);
    out_format(&out, "  %12s %12s %12s\n", "live", "slabs", "blocks");
    for (size_t i = 0; i < FILL_STEPS; i++)
        out_format(&out, "  %4zu - %3zu %% %12zu %12zu\n", i * 100 / FILL_STEPS,
                   (i + 1) * 100 / FILL_STEPS, fill.slabs[i], fill.live[i]);
    out_end(&out);
    return report_gaps(memory);
}

/* ---- what an address is ---- */

static const char *const state_names[] = {
    [BLOCK_FREE] = "free",
    [BLOCK_LIVE] = "live",
    [BLOCK_CACHED] = "free, in its thread's magazine",
    [BLOCK_REMOTE] = "freed by another thread, not yet collected",
    [BLOCK_PURGED] = "free, its pages were given back",
    [BLOCK_WIDE] = "live, in the place of several smaller blocks",
    [BLOCK_REST] = "free, was part of a larger block",
    [BLOCK_QUARANTINED] = "free, kept back by its thread",
    [BLOCK_SAMPLED] = "live, in the heap profile, or seen by another mode",
};

static const char *state_name(uint8_t state)
{
    return state < BLOCK_END ? state_names[state] : "?";
}

/* Prints the places around a block. */
static void print_neighbours(struct view *view, const struct found *found)
{
    uint8_t states[4096];
    const struct view_slab *slab = &found->slab;
    if (!view_states(view, slab, 0, slab->count, states))
        return;
    size_t first = found->number > NEIGHBOURS ? found->number - NEIGHBOURS : 0;
    size_t end = found->number + found->places + NEIGHBOURS;
    puts("  neighbours:");
    for (size_t i = first; i < end && i < slab->count; i++)
        if (i < found->number || i >= found->number + found->places)
            printf("    0x%" PRIx64 " %s\n", slab->base + i * slab->block_size,
                   states[i] == BLOCK_REST ? "part of the block before it, or free"
                                           : state_name(states[i]));
}

static void print_owner(struct memory *memory, const struct view_arena *arena)
{
    char *name = memory_thread_name(memory, arena->thread);
    printf("  arena %" PRIu32 ", ", arena->number);
    if ((arena->status & 3) == 1)
        printf("which has no thread now\n");
    else if ((arena->status & 3) == 0)
        printf("of a heap of the program's own\n");
    else
        printf("of thread %" PRId32 " (%s)\n", arena->thread, name != NULL ? name : "?");
    free(name);
}

static void print_guarded(struct memory *memory, uint64_t address, const struct found *found)
{
    uint64_t end = found->block + found->size;
    bool before = address < found->block, after = address >= end;
    printf("%s a guarded block: %s\n",
           before  ? "before"
           : after ? "after"
                   : "in",
           found->live ? "live" : "freed");
    printf("  from 0x%" PRIx64 ", %" PRIu64 " bytes; the address is %" PRIu64 " bytes %s\n",
           found->block, found->size,
           before  ? found->block - address
           : after ? address - end
                   : address - found->block,
           before  ? "before it"
           : after ? "after its end"
                   : "into it");
    find_guarded_calls(memory, found->slot, !found->live);
}

static bool show_address(struct memory *memory, uint64_t address)
{
    static const char *const kinds[] = {
        [FIND_NOT_ACRE] = "not in a block, heap or free extent of acre's",
        [FIND_SLAB_REST] = "in a slab, after its last block",
        [FIND_FREE_UNIT] = "in a heap, where no slab is",
        [FIND_HEAP_HEADER] = "in a heap's header",
        [FIND_LARGE] = "in a LARGE block",
        [FIND_STOCK] = "in a free extent of LARGE memory",
        [FIND_POOL] = "in the pool of guarded blocks, where none was",
    };
    static struct found found;
    find_address(&memory->view, address, &found);
    printf("0x%" PRIx64 ": ", address);
    if (found.kind == FIND_GUARDED) {
        print_guarded(memory, address, &found);
    } else if (found.kind != FIND_BLOCK) {
        puts(kinds[found.kind]);
    } else {
        printf("in a block: %s\n", state_name(found.state));
    }
    if (found.kind == FIND_BLOCK || found.kind == FIND_LARGE || found.kind == FIND_STOCK)
        printf("  from 0x%" PRIx64 ", %" PRIu64 " bytes; the address is %" PRIu64
               " bytes into it\n",
               found.block, found.size, address - found.block);
    if (found.kind == FIND_BLOCK)
        printf("  block %" PRIu32 " of %" PRIu32 " in a slab of class %" PRIu32 ", from 0x%" PRIx64
               "\n",
               found.number, found.slab.count, found.slab.block_size, found.slab.base);
    if (found.kind == FIND_BLOCK || found.kind == FIND_SLAB_REST || found.kind == FIND_FREE_UNIT ||
        found.kind == FIND_HEAP_HEADER)
        print_owner(memory, &found.arena);
    if (found.kind == FIND_BLOCK || found.kind == FIND_LARGE)
        find_sample(memory, found.block);
    if (found.kind == FIND_BLOCK)
        print_neighbours(&memory->view, &found);
    fflush(stdout);
    return report_gaps(memory);
}

int main(int argc, char **argv)
{
    static struct memory memory;
    struct request request = read_command_line(argc, argv);
    memory_open(&memory, request.what);
    if (change_is_any(&request.change)) {
        change_apply(&memory, &request.change);
        memory_close(&memory);
        return EXIT_SUCCESS;
    }
    if (request.watch != 0) {
        watch(&memory, request.watch);
        memory_close(&memory);
        return EXIT_SUCCESS;
    }
    bool whole = request.finds       ? show_address(&memory, request.address)
                 : request.size != 0 ? show_class(&memory, &request)
                                     : show_figures(&memory, &request);
    memory_close(&memory);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}
