/*
 * What glibc adds to malloc: mallinfo, mallinfo2, malloc_stats, malloc_info, malloc_trim, mallopt.
 * Their figures are acre's own, counted when asked for.
 */
#include "api/api.h"

#include "arena/idle.h"
#include "base/option.h"
#include "process/stats.h"

#include <acre/acre.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct figures figures;
    stats_count(false, &figures);
    size_t heap_bytes = figures.in_slabs + figures.free_dirty, free_blocks = 0;
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        free_blocks += figures.classes[cls].blocks - figures.classes[cls].places;
    return (struct mallinfo2){
        .arena = heap_bytes,
        .ordblks = free_blocks,
        .hblks = figures.large_blocks,
        .hblkhd = figures.large_live,
        .uordblks = figures.small_live,
        .fordblks = heap_bytes - figures.small_live,
        .keepcost = figures.free_dirty + figures.stock,
    };
}

EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();
    return (struct mallinfo){
        .arena = (int)info.arena,
        .ordblks = (int)info.ordblks,
        .hblks = (int)info.hblks,
        .hblkhd = (int)info.hblkhd,
        .uordblks = (int)info.uordblks,
        .fordblks = (int)info.fordblks,
        .keepcost = (int)info.keepcost,
    };
}

EXPORT void malloc_stats(void)
{
    stats_print_to(STDERR_FILENO, ACRE_STATS_TEXT);
}

EXPORT int malloc_info(int options, FILE *stream)
{
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    struct out out;
    struct figures figures;
    out_to_stream(&out, stream);
    (void)stats_print(&out, ACRE_STATS_XML, &figures);
    return 0;
}

OWN_ALIAS(malloc_info) int own_malloc_info(int options, FILE *stream) __THROW;

EXPORT int malloc_trim(size_t pad)
{
    (void)pad; /* glibc: bytes to leave at the top of the heap; there is no such top here */
    int saved = errno;
    size_t bytes = idle_trim();
    errno = saved;
    return bytes != 0;
}

/* Sets an option from a number; a value out of its range is left alone, as glibc does. */
static void set_number(const char *key, int value)
{
    char text[24];
    snprintf(text, sizeof(text), "%d", value);
    (void)option_set_text(key, text);
}

EXPORT int mallopt(int parameter, int value)
{
    enum { REPORTS = 1, ABORTS = 2 }; /* mallopt(3): bits of M_CHECK_ACTION */
    if (parameter == M_TRIM_THRESHOLD) {
        set_number("dirty_limit", value);
    } else if (parameter == M_CHECK_ACTION) {
        const char *action = value & ABORTS ? "abort" : value & REPORTS ? "report" : "ignore";
        (void)option_set_text("on_error", action);
        (void)option_set_text("foreign", action);
    }
    return 1;
}
