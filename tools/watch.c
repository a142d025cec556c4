/* A view of a process like that of top: see watch.h. */
#define _GNU_SOURCE 1
#include "watch.h"

#include <curses.h>
#include <err.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "detail.h"

enum {
    SIZE_TEXT = 16,
    TABLES_AT = 8, /* the first row of the tables */
    HEADS = 2,     /* rows of a table that are not its lines */
};

/* What is counted at one time. */
struct sample {
    struct detail detail;
    uint64_t time; /* ms */
};

/* What is sorted by, and the key that chooses it. */
enum order { BY_NUMBER = 'n', BY_LIVE = 'l', BY_PINNED = 'p', BY_SLABS = 's', BY_EVENTS = 'w' };

static enum order order = BY_LIVE;
static const struct sample *before, *after; /* the last two samples; the same at first */

/* ---- sampling ---- */

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* Counts again. False if the process cannot be read any more. */
static bool take_sample(struct memory *memory, struct sample *sample)
{
    if (!memory_reopen(memory))
        return false;
    sample->time = now_ms();
    detail_count(&memory->view, 0, &sample->detail);
    return true;
}

/* ---- sorting ---- */

static uint64_t class_windows(unsigned cls)
{
    return after->detail.events[cls].windows - before->detail.events[cls].windows;
}

static uint64_t class_live(unsigned cls)
{
    return after->detail.figures.classes[cls].places * size_class_sizes[cls];
}

static uint64_t class_key(unsigned cls)
{
    const struct figures_class *figures = &after->detail.figures.classes[cls];
    return order == BY_LIVE     ? class_live(cls)
           : order == BY_PINNED ? figures->pinned
           : order == BY_SLABS  ? (uint64_t)figures->units * FIGURES_UNIT
           : order == BY_EVENTS ? class_windows(cls)
                                : 0;
}

static uint64_t arena_key(const struct figures_arena *arena)
{
    return order == BY_LIVE     ? arena->live
           : order == BY_PINNED ? arena->pinned
           : order == BY_SLABS  ? arena->in_slabs
           : order == BY_EVENTS ? arena->arena.collected
                                : 0;
}

/* The largest first, of equal ones the lowest number. */
static int compare_keys(uint64_t a, uint64_t b, uint32_t a_number, uint32_t b_number)
{
    if (a != b)
        return a > b ? -1 : 1;
    return a_number < b_number ? -1 : a_number > b_number;
}

static int compare_classes(const void *left, const void *right)
{
    const unsigned *a = left, *b = right;
    return compare_keys(class_key(*a), class_key(*b), *a, *b);
}

static int compare_arenas(const void *left, const void *right)
{
    const struct figures_arena *a = left, *b = right;
    return compare_keys(arena_key(a), arena_key(b), a->arena.number, b->arena.number);
}

/* ---- showing ---- */

/* A size as text, which is good until the fourth call after this one. */
static const char *size_text(uint64_t bytes)
{
    static char texts[4][SIZE_TEXT];
    static unsigned next;
    struct out out;
    char *text = texts[next++ % 4];
    out_to_memory(&out);
    out_size(&out, bytes, 0);
    snprintf(text, SIZE_TEXT, "%.*s", SIZE_TEXT - 1, out.text);
    return text;
}

/* Prints a row as far as the terminal has room. */
__attribute__((format(printf, 3, 4))) static void put(int row, attr_t attributes,
                                                      const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (row >= LINES)
        return;
    attron(attributes);
    mvaddnstr(row, 0, text, COLS);
    if ((attributes & A_REVERSE) != 0)
        for (int column = (int)strlen(text); column < COLS; column++)
            addch(' ');
    attroff(attributes);
}

/* Events in a second. */
static uint64_t rate(uint64_t was, uint64_t is)
{
    uint64_t ms = after->time - before->time;
    return ms != 0 && is > was ? (is - was) * 1000 / ms : 0;
}

#define RATE(member) rate(before->detail.figures.member, after->detail.figures.member)

static void show_totals(const struct memory *memory)
{
    const struct figures *figures = &after->detail.figures;
    put(0, A_BOLD, "acre %s, %s[%d], arenas %" PRIu64 " (%" PRIu64 " without thread)",
        memory->view.root.version, memory->program, memory->program_pid, figures->arenas,
        figures->arenas_pooled);
    put(1, 0, "live      %10s   small %10s in %" PRIu64 "   LARGE %10s in %" PRIu64,
        size_text(figures_live(figures)), size_text(figures->small_live), figures->small_blocks,
        size_text(figures->large_live), figures->large_blocks);
    put(2, 0, "mapped    %10s   resident %10s   pinned %10s", size_text(figures_mapped(figures)),
        size_text(memory->resident), size_text(figures_pinned(figures)));
    put(3, 0, "in slabs  %10s   free units %10s   LARGE stock %10s", size_text(figures->in_slabs),
        size_text(figures->free_dirty), size_text(figures->stock));
    put(4, 0,
        "each second: windows %" PRIu64 "  slabs made %" PRIu64 " released %" PRIu64
        "  collected %" PRIu64,
        RATE(events.windows), RATE(events.slabs_made), RATE(events.slabs_released),
        RATE(collected));
    put(5, 0, "             mmap %" PRIu64 "  munmap %" PRIu64 "  madvise %" PRIu64 "  purged %s",
        RATE(mmap), RATE(munmap), RATE(madvise), size_text(RATE(purged_bytes)));
    put(6, A_DIM, "sorted by %c of: (n)umber (l)ive (p)inned (s)labs (w)indows   (q)uit%s", order,
        memory->view.damage != NULL ? "   some is damaged" : "");
}

static void show_classes(int row, int rows)
{
    unsigned numbers[SIZE_CLASS_COUNT] = {0};
    size_t count = 0;
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        if (detail_has_class(&after->detail, cls))
            numbers[count++] = cls;
    qsort(numbers, count, sizeof(numbers[0]), compare_classes);
    put(row, A_REVERSE, "%10s %10s %12s %10s %10s %12s", "class", "slabs", "live", "live bytes",
        "pinned", "windows/s");
    for (int i = 0; i < rows && (size_t)i < count; i++) {
        unsigned cls = numbers[i];
        const struct figures_class *figures = &after->detail.figures.classes[cls];
        put(row + 1 + i, 0, "%10zu %10" PRIu32 " %12" PRIu64 " %10s %10s %12" PRIu64,
            (size_t)size_class_sizes[cls], figures->slabs, figures->live,
            size_text(class_live(cls)), size_text(figures->pinned),
            rate(before->detail.events[cls].windows, after->detail.events[cls].windows));
    }
}

static void show_arenas(struct memory *memory, int row, int rows)
{
    size_t count = after->detail.arena_count;
    struct figures_arena *arenas = after->detail.arenas;
    if (count != 0)
        qsort(arenas, count, sizeof(arenas[0]), compare_arenas);
    put(row, A_REVERSE, "%6s %8s %-15s %10s %10s %10s %10s", "arena", "thread", "name", "in slabs",
        "live", "pinned", "resident");
    for (int i = 0; i < rows && (size_t)i < count; i++) {
        const struct figures_arena *each = &arenas[i];
        char thread[16] = "-";
        bool has_thread = !each->pooled && !each->of_heap;
        char *name = has_thread ? memory_thread_name(memory, each->arena.thread) : NULL;
        if (has_thread)
            snprintf(thread, sizeof(thread), "%" PRId32, each->arena.thread);
        put(row + 1 + i, 0, "%6" PRIu32 " %8s %-15.15s %10s %10s %10s %10s", each->arena.number,
            thread,
            name != NULL    ? name
            : each->pooled  ? "(no thread)"
            : each->of_heap ? "(own heap)"
                            : "?",
            size_text(each->in_slabs), size_text(each->live), size_text(each->pinned),
            size_text(each->heap_resident));
        free(name);
    }
}

static void show(struct memory *memory)
{
    int rows = LINES - TABLES_AT - HEADS;
    int arenas = rows > 0 ? rows / 2 : 0;
    if ((size_t)arenas > after->detail.arena_count)
        arenas = (int)after->detail.arena_count;
    erase();
    show_totals(memory);
    show_arenas(memory, TABLES_AT - 1, arenas);
    show_classes(TABLES_AT + 1 + arenas, rows - arenas);
    refresh();
}

/* ---- the loop ---- */

static void end_screen(void)
{
    if (!isendwin())
        endwin();
}

/* Waits until `until`, and obeys what is typed. False if it is to end. */
static bool obey_keys(struct memory *memory, uint64_t until)
{
    for (;;) {
        uint64_t now = now_ms();
        if (now >= until)
            return true;
        timeout((int)(until - now));
        int key = getch();
        if (key == 'q')
            return false;
        if (key != ERR && strchr("nlpsw", key) != NULL && key != 0)
            order = (enum order)key;
        if (key != ERR)
            show(memory);
    }
}

void watch(struct memory *memory, unsigned milliseconds)
{
    static struct sample samples[2];
    if (memory->pid == 0)
        errx(EXIT_FAILURE, "%s is a core, which does not change", memory->name);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        errx(EXIT_FAILURE, "--watch needs a terminal");
    bool alive = take_sample(memory, &samples[0]);
    before = after = &samples[0];
    initscr();
    atexit(end_screen);
    cbreak();
    noecho();
    curs_set(0);
    bool goes_on = alive;
    for (unsigned i = 1; goes_on; i++) {
        show(memory);
        goes_on = obey_keys(memory, after->time + milliseconds);
        if (!goes_on)
            break;
        struct sample *next = &samples[i % 2];
        goes_on = alive = take_sample(memory, next);
        before = after;
        after = next;
    }
    end_screen();
    detail_free(&samples[0].detail);
    detail_free(&samples[1].detail);
    if (!alive)
        errx(EXIT_FAILURE, "%s (%s) has ended, or runs another program", memory->name,
             memory->program);
}
