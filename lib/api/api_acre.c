/* The functions of include/acre/acre.h. */
#include "api/api.h"

#include "arena/background.h"
#include "arena/idle.h"
#include "arena/soft_limit.h"
#include "large/large.h"
#include "modes/misuse.h"
#include "modes/profile.h"
#include "base/limit.h"
#include "base/option.h"
#include "base/os.h"
#include "inspect/root.h"
#include "inspect/walk.h"
#include "process/check.h"
#include "process/stats.h"
#include "arena/thread.h"
#include "paths/heaps.h"

#include <acre/acre.h>
#include <errno.h>

EXPORT const char *acre_version(void)
{
    return ACRE_VERSION_STRING;
}

EXPORT size_t acre_good_size(size_t size)
{
    return alloc_good_size(size);
}

EXPORT int acre_stats(struct acre_stats *stats, size_t size)
{
    if (stats == NULL)
        return EINVAL;
    stats_collect(stats, size);
    return 0;
}

EXPORT void acre_stats_print(int fd, enum acre_stats_format format)
{
    stats_print_to(fd, format);
}

EXPORT int acre_heap_walk(acre_heap_callback *callback, void *context)
{
    struct view own;
    root_view_own(&own);
    return walk_blocks(&own, callback, context);
}

EXPORT size_t acre_check(int fd)
{
    struct out out;
    out_to_fd(&out, fd);
    size_t faults = check_process(&out);
    (void)out_end(&out);
    return faults;
}

EXPORT acre_error_handler *acre_set_error_handler(acre_error_handler *handler)
{
    return misuse_set_handler(handler);
}

EXPORT void acre_options_print(int fd)
{
    option_print_help(fd);
}

EXPORT int acre_option_get(const char *key, char *value, size_t size)
{
    if (key == NULL || (value == NULL && size != 0))
        return EINVAL;
    return option_get_text(key, value, size);
}

/* What an option changes at once. */
static void follow_options(void)
{
    limit_tick(os_now_ms());
    profile_tick();
}

EXPORT int acre_option_set(const char *key, const char *value)
{
    if (key == NULL || value == NULL)
        return EINVAL;
    int error = option_set_text(key, value);
    follow_options();
    return error;
}

EXPORT int acre_options_parse(const char *list, const char *source)
{
    if (list == NULL || source == NULL)
        return EINVAL;
    bool right = option_parse(list, source);
    follow_options();
    return right ? 0 : EINVAL;
}

EXPORT size_t acre_limit(size_t *held)
{
    limit_tick(os_now_ms());
    if (held != NULL)
        *held = idle_count_held();
    return __atomic_load_n(&limit.bytes, __ATOMIC_RELAXED);
}

EXPORT int acre_set_limit_callback(acre_limit_callback *callback, unsigned percent)
{
    return soft_limit_set(callback, percent);
}

EXPORT int acre_profile_start(size_t interval)
{
    return profile_start(interval);
}

EXPORT int acre_profile_stop(void)
{
    return profile_stop();
}

EXPORT int acre_profile_mark(void)
{
    return profile_mark();
}

EXPORT void acre_thread_flush(void)
{
    struct arena *arena = thread_own_arena();
    if (arena != NULL) {
        arena_flush(arena);
        background_ring_if_idle(arena);
    }
}

EXPORT struct acre_heap *acre_heap_new(void)
{
    return heaps_begin();
}

EXPORT void *acre_heap_alloc(struct acre_heap *heap, size_t size)
{
    struct own_heap *own = heaps_find(heap, "acre_heap_alloc");
    return own != NULL ? alloc_of_heap(own, size) : NULL;
}

EXPORT void *acre_heap_calloc(struct acre_heap *heap, size_t count, size_t size)
{
    struct own_heap *own = heaps_find(heap, "acre_heap_calloc");
    return own != NULL ? alloc_zeroed_of_heap(own, count, size) : NULL;
}

EXPORT void *acre_heap_aligned(struct acre_heap *heap, size_t alignment, size_t size)
{
    struct own_heap *own = heaps_find(heap, "acre_heap_aligned");
    if (own != NULL && is_power_of_two(alignment))
        return alloc_aligned_of_heap(own, alignment, size);
    errno = EINVAL;
    return NULL;
}

EXPORT void *acre_heap_realloc(struct acre_heap *heap, void *p, size_t size)
{
    static const char name[] = "acre_heap_realloc";
    struct own_heap *own = heaps_find(heap, name);
    if (own == NULL || !free_is_of_heap(p, &own->arena, name))
        return NULL;
    return alloc_resize_of_heap(own, p, size, name);
}

EXPORT void acre_heap_free(struct acre_heap *heap, void *p)
{
    static const char name[] = "acre_heap_free";
    struct own_heap *own = heaps_find(heap, name);
    if (own != NULL && free_is_of_heap(p, &own->arena, name))
        free_block_named(p, name);
}

EXPORT void acre_heap_destroy(struct acre_heap *heap)
{
    if (heap != NULL)
        heaps_end(heap, "acre_heap_destroy");
}

#ifdef ACRE_DEBUG
/* For the stress programs, in a debug build: 1 if all structures are valid. Other threads must be
 * quiet. */
EXPORT int acre_debug_validate(void);

int acre_debug_validate(void)
{
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        if (!arena_is_valid(arena))
            return 0;
    return large_is_valid();
}
#endif
