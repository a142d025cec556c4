/*
 * libacre-jemalloc: jemalloc's calls for programs that were written for it, on acre's exported
 * functions. See include/acre/compat/jemalloc/jemalloc.h.
 *
 * mallctl's names stand in a table. A name's management information base (mib) has a number for
 * each of its words, as in jemalloc: the first is the index in the table, one that stands for an
 * arena's number can be changed by the program, the others are 0.
 */
#define _GNU_SOURCE 1

#include <acre/acre.h>
#include <acre/compat/jemalloc/jemalloc.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Not declared by all libcs. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t alignment, size_t size);

enum {
    BLOCK_ALIGNMENT = 16, /* every block of acre's is aligned to as much */
    LG_ALIGN_MASK = 63,
};

/* ---- blocks ---- */

static size_t alignment_of(int flags)
{
    return (size_t)1 << (flags & LG_ALIGN_MASK);
}

EXPORT void *mallocx(size_t size, int flags)
{
    size_t alignment = alignment_of(flags);
    if (alignment <= BLOCK_ALIGNMENT)
        return flags & MALLOCX_ZERO ? calloc(1, size) : malloc(size);
    void *block = aligned_alloc(alignment, size);
    if (block != NULL && flags & MALLOCX_ZERO)
        memset(block, 0, size);
    return block;
}

/* realloc to a multiple of `alignment`; NULL: p is as it was. */
static void *resize(void *p, size_t old_size, size_t size, size_t alignment)
{
    if (alignment <= BLOCK_ALIGNMENT)
        return realloc(p, size);
    if ((uintptr_t)p % alignment == 0 && size <= old_size && size >= old_size / 2)
        return p;
    void *block = aligned_alloc(alignment, size);
    if (block != NULL) {
        memcpy(block, p, size < old_size ? size : old_size);
        free(p);
    }
    return block;
}

EXPORT void *rallocx(void *p, size_t size, int flags)
{
    size_t old_size = malloc_usable_size(p);
    void *block = resize(p, old_size, size == 0 ? 1 : size, alignment_of(flags));
    /* the old block's usable size is where the bytes begin that are to be zero */
    if (block != NULL && flags & MALLOCX_ZERO && size > old_size)
        memset((char *)block + old_size, 0, malloc_usable_size(block) - old_size);
    return block;
}

EXPORT size_t xallocx(void *p, size_t size, size_t extra, int flags)
{
    (void)size;
    (void)extra;
    (void)flags;
    return malloc_usable_size(p);
}

EXPORT size_t sallocx(const void *p, int flags)
{
    (void)flags;
    return malloc_usable_size((void *)(uintptr_t)p);
}

EXPORT void dallocx(void *p, int flags)
{
    (void)flags;
    free(p);
}

EXPORT void sdallocx(void *p, size_t size, int flags)
{
    (void)size; /* the size that was asked for, the usable one, or any in between */
    (void)flags;
    free(p);
}

EXPORT size_t nallocx(size_t size, int flags)
{
    (void)flags;
    return acre_good_size(size);
}

/* ---- figures ---- */

/* Those of jemalloc's "stats.": each is at least as large as the one before it. */
struct figures {
    uint64_t epoch;
    size_t allocated; /* bytes of live blocks */
    size_t active;    /* of slabs and LARGE blocks */
    size_t metadata;
    size_t resident; /* all that may be resident: active, metadata, and what is kept for reuse */
    size_t mapped;   /* active, and what is kept for reuse */
    size_t retained; /* address space of heaps that is in no use */
};

/* The figures at the last epoch; counted at the first call that asks. */
static struct figures figures;
static pthread_mutex_t figures_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_figures(void)
{
    pthread_mutex_lock(&figures_lock);
}

static void unlock_figures(void)
{
    pthread_mutex_unlock(&figures_lock);
}

/* A child of fork may ask, too. */
__attribute__((constructor)) static void register_handlers(void)
{
    (void)pthread_atfork(lock_figures, unlock_figures, unlock_figures);
}

static void count_figures_locked(void)
{
    struct acre_stats stats;
    (void)acre_stats(&stats, sizeof(stats));
    size_t idle = stats.heap_free_dirty + stats.large_stock;
    size_t active = stats.heap_in_slabs + stats.large_live;
    size_t used = stats.heap_in_slabs + stats.heap_free_dirty;
    figures.epoch++;
    figures.allocated = stats.live;
    /* other threads may allocate while acre counts */
    figures.active = active > stats.live ? active : stats.live;
    figures.metadata = stats.metadata;
    figures.mapped = figures.active + idle;
    figures.resident = figures.mapped + stats.metadata;
    figures.retained = stats.heap_mapped > used ? stats.heap_mapped - used : 0;
}

static struct figures get_figures(bool anew)
{
    lock_figures();
    if (anew || figures.epoch == 0)
        count_figures_locked();
    struct figures copy = figures;
    unlock_figures();
    return copy;
}

/* ---- mallctl: how a value is read and written ---- */

enum type { TYPE_NONE, TYPE_TEXT, TYPE_BOOL, TYPE_UNSIGNED, TYPE_SIZE, TYPE_SSIZE, TYPE_UINT64 };

static const size_t type_sizes[] = {
    [TYPE_NONE] = 0,
    [TYPE_TEXT] = sizeof(const char *),
    [TYPE_BOOL] = sizeof(bool),
    [TYPE_UNSIGNED] = sizeof(unsigned),
    [TYPE_SIZE] = sizeof(size_t),
    [TYPE_SSIZE] = sizeof(ssize_t),
    [TYPE_UINT64] = sizeof(uint64_t),
};

union value {
    const char *text;
    bool truth;
    unsigned number;
    size_t size;
    ssize_t ssize;
    uint64_t uint64;
};

/* The value of an option of acre's that is a number. */
static long option_number(const char *key)
{
    char text[32] = "";
    (void)acre_option_get(key, text, sizeof(text));
    return strtol(text, NULL, 10);
}

static int set_option_number(const char *key, long number)
{
    char text[32];
    snprintf(text, sizeof(text), "%ld", number);
    return acre_option_set(key, text);
}

static union value get_version(void)
{
    return (union value){.text = JEMALLOC_VERSION "-" ACRE_VERSION_STRING};
}

static union value get_empty(void)
{
    return (union value){.text = ""};
}

static union value get_true(void)
{
    return (union value){.truth = true};
}

static union value get_false(void)
{
    return (union value){.truth = false};
}

static union value get_epoch(void)
{
    return (union value){.uint64 = get_figures(false).epoch};
}

static int set_epoch(union value value)
{
    (void)value;
    (void)get_figures(true);
    return 0;
}

#define DEFINE_FIGURE(name)                                                                        \
    static union value get_##name(void)                                                            \
    {                                                                                              \
        return (union value){.size = get_figures(false).name};                                     \
    }

DEFINE_FIGURE(allocated)
DEFINE_FIGURE(active)
DEFINE_FIGURE(metadata)
DEFINE_FIGURE(resident)
DEFINE_FIGURE(mapped)
DEFINE_FIGURE(retained)

static union value get_narenas(void)
{
    struct acre_stats stats;
    (void)acre_stats(&stats, sizeof(stats));
    return (union value){.number = (unsigned)stats.arenas};
}

static union value get_page(void)
{
    return (union value){.size = (size_t)sysconf(_SC_PAGESIZE)};
}

static union value get_quantum(void)
{
    return (union value){.size = BLOCK_ALIGNMENT};
}

static union value get_background(void)
{
    return (union value){.truth = option_number("background_thread") != 0};
}

static int set_background(union value value)
{
    return set_option_number("background_thread", value.truth);
}

static union value get_decay(void)
{
    return (union value){.ssize = option_number("decay")};
}

/* jemalloc: -1 is never, 0 at once. acre's longest is as near to never as it has. */
static int set_decay(union value value)
{
    enum { LONGEST = 3600000 };
    if (value.ssize < -1)
        return EFAULT;
    bool is_long = value.ssize == -1 || value.ssize > LONGEST;
    return set_option_number("decay", is_long ? LONGEST : value.ssize) == 0 ? 0 : EFAULT;
}

static int purge(union value value)
{
    (void)value;
    (void)malloc_trim(0);
    return 0;
}

static int flush(union value value)
{
    (void)value;
    acre_thread_flush();
    return 0;
}

/* ---- mallctl: its names ---- */

static const struct control {
    const char *name; /* its words are parted by dots; "*" is a number */
    enum type type;
    union value (*get)(void);      /* NULL: has no value */
    int (*set)(union value value); /* NULL: cannot be written; without a value: is done */
} controls[] = {
    {"version", TYPE_TEXT, get_version, NULL},
    {"epoch", TYPE_UINT64, get_epoch, set_epoch},
    {"stats.allocated", TYPE_SIZE, get_allocated, NULL},
    {"stats.active", TYPE_SIZE, get_active, NULL},
    {"stats.metadata", TYPE_SIZE, get_metadata, NULL},
    {"stats.resident", TYPE_SIZE, get_resident, NULL},
    {"stats.mapped", TYPE_SIZE, get_mapped, NULL},
    {"stats.retained", TYPE_SIZE, get_retained, NULL},
    {"background_thread", TYPE_BOOL, get_background, set_background},
    {"thread.tcache.flush", TYPE_NONE, NULL, flush},
    {"arena.*.purge", TYPE_NONE, NULL, purge},
    {"arena.*.decay", TYPE_NONE, NULL, purge},
    {"arena.*.dirty_decay_ms", TYPE_SSIZE, get_decay, set_decay},
    {"arena.*.muzzy_decay_ms", TYPE_SSIZE, get_decay, set_decay},
    {"arenas.narenas", TYPE_UNSIGNED, get_narenas, NULL},
    {"arenas.page", TYPE_SIZE, get_page, NULL},
    {"arenas.quantum", TYPE_SIZE, get_quantum, NULL},
    {"arenas.dirty_decay_ms", TYPE_SSIZE, get_decay, set_decay},
    {"arenas.muzzy_decay_ms", TYPE_SSIZE, get_decay, set_decay},
    {"opt.background_thread", TYPE_BOOL, get_background, NULL},
    {"opt.narenas", TYPE_UNSIGNED, get_narenas, NULL},
    {"opt.dirty_decay_ms", TYPE_SSIZE, get_decay, NULL},
    {"opt.muzzy_decay_ms", TYPE_SSIZE, get_decay, NULL},
    {"opt.prof", TYPE_BOOL, get_false, NULL},
    {"prof.active", TYPE_BOOL, get_false, NULL},
    {"config.malloc_conf", TYPE_TEXT, get_empty, NULL},
    {"config.prof", TYPE_BOOL, get_false, NULL},
    {"config.stats", TYPE_BOOL, get_true, NULL},
};

enum { WORDS_MOST = 3 }; /* of a name */

/* Compares a name with one of the table; its mib's numbers go to mib, their count is returned. 0:
 * they are different. */
static size_t match_name(const char *pattern, const char *name, size_t mib[WORDS_MOST])
{
    size_t words = 0;
    for (;; pattern++, name++) {
        mib[words] = 0;
        if (*pattern == '*') {
            char *end;
            if (!isdigit((unsigned char)*name))
                return 0;
            mib[words] = strtoul(name, &end, 10);
            name = end;
            pattern++;
        }
        while (*pattern == *name && *name != '.' && *name != '\0') {
            pattern++;
            name++;
        }
        words++;
        if (*pattern != *name)
            return 0;
        if (*name == '\0')
            return words;
    }
}

static const struct control *find_control(const char *name, size_t mib[WORDS_MOST], size_t *words)
{
    for (size_t i = 0; i < COUNT_OF(controls); i++)
        if ((*words = match_name(controls[i].name, name, mib)) != 0) {
            mib[0] = i;
            return &controls[i];
        }
    return NULL;
}

static int read_value(const struct control *control, void *oldp, size_t *oldlenp)
{
    if (oldp == NULL || oldlenp == NULL)
        return 0;
    size_t size = type_sizes[control->type], room = *oldlenp;
    if (control->get == NULL)
        return EPERM;
    union value value = control->get();
    *oldlenp = size < room ? size : room;
    memcpy(oldp, &value, *oldlenp);
    return room == size ? 0 : EINVAL;
}

/* Reads the value, if it is asked for, after it was written, if one is given. */
static int operate(const struct control *control, void *oldp, size_t *oldlenp, void *newp,
                   size_t newlen)
{
    bool writes = newp != NULL || newlen != 0;
    if (control->type == TYPE_NONE) {
        if (writes || (oldp != NULL && oldlenp != NULL))
            return EPERM;
        return control->set((union value){.size = 0});
    }
    if (writes && control->set == NULL)
        return EPERM;
    if (writes && (newp == NULL || newlen != type_sizes[control->type]))
        return EINVAL;
    union value value = {.uint64 = 0};
    if (writes)
        memcpy(&value, newp, newlen);
    /* what is read is what was there before, except the epoch, as in jemalloc */
    bool reads_first = control->get != get_epoch;
    int error = reads_first ? read_value(control, oldp, oldlenp) : 0;
    if (error == 0 && writes)
        error = control->set(value);
    if (error == 0 && !reads_first)
        error = read_value(control, oldp, oldlenp);
    return error;
}

EXPORT int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen)
{
    size_t mib[WORDS_MOST], words;
    const struct control *control = find_control(name, mib, &words);
    return control == NULL ? ENOENT : operate(control, oldp, oldlenp, newp, newlen);
}

EXPORT int mallctlnametomib(const char *name, size_t *mibp, size_t *miblenp)
{
    size_t mib[WORDS_MOST], words;
    if (find_control(name, mib, &words) == NULL)
        return ENOENT;
    if (words > *miblenp)
        return EINVAL;
    memcpy(mibp, mib, words * sizeof(mib[0]));
    *miblenp = words;
    return 0;
}

static size_t count_words(const char *name)
{
    size_t words = 1;
    for (; *name != '\0'; name++)
        words += *name == '.';
    return words;
}

EXPORT int mallctlbymib(const size_t *mib, size_t miblen, void *oldp, size_t *oldlenp, void *newp,
                        size_t newlen)
{
    if (miblen == 0 || mib[0] >= COUNT_OF(controls) || count_words(controls[mib[0]].name) != miblen)
        return ENOENT;
    return operate(&controls[mib[0]], oldp, oldlenp, newp, newlen);
}

/* ---- malloc_stats_print ---- */

/* acre writes to files: the text goes through one without a name. */
EXPORT void malloc_stats_print(void (*write_text)(void *context, const char *text), void *context,
                               const char *options)
{
    bool json = options != NULL && strchr(options, 'J') != NULL;
    enum acre_stats_format format = json ? ACRE_STATS_JSON : ACRE_STATS_TEXT;
    if (write_text == NULL) {
        acre_stats_print(STDERR_FILENO, format);
        return;
    }
    int file = memfd_create("acre-stats", MFD_CLOEXEC);
    if (file < 0)
        return;
    acre_stats_print(file, format);
    char text[4096];
    ssize_t length;
    off_t at = 0;
    while ((length = pread(file, text, sizeof(text) - 1, at)) > 0) {
        text[length] = '\0';
        write_text(context, text);
        at += length;
    }
    close(file);
}
