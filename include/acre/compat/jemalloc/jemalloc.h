/*
 * The interface of jemalloc 5.3 beside malloc's own, on acre: for programs that were written for
 * jemalloc. With pkg-config's package acre-jemalloc, #include <jemalloc/jemalloc.h> finds this
 * file, and the library libacre-jemalloc has the functions. What each does is in jemalloc(3); where
 * acre differs is said here.
 *
 * Left out: extent hooks, arenas and thread caches of the program's own (flags that name one change
 * nothing), jemalloc's heap profile, and its options: malloc_conf and malloc_message.
 */
#ifndef JEMALLOC_H_
#define JEMALLOC_H_

#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of jemalloc whose interface this is. */
#define JEMALLOC_VERSION "5.3.0-acre"
#define JEMALLOC_VERSION_MAJOR 5
#define JEMALLOC_VERSION_MINOR 3
#define JEMALLOC_VERSION_BUGFIX 0

/* Flags: the alignment's exponent in the lowest 6 bits. */
#define MALLOCX_LG_ALIGN(la) ((int)(la))
#define MALLOCX_ALIGN(a) (__builtin_ctzl((unsigned long)(a)))
#define MALLOCX_ZERO ((int)0x40)
#define MALLOCX_TCACHE(tc) ((int)(((tc) + 2) << 8))
#define MALLOCX_TCACHE_NONE MALLOCX_TCACHE(-1)
#define MALLOCX_ARENA(a) ((int)((((unsigned)(a)) + 1) << 20))

/* "arena.<i>.purge": all arenas. */
#define MALLCTL_ARENAS_ALL 4096

/* The names that programs use for a jemalloc with a prefix. */
#ifndef JEMALLOC_NO_RENAME
#define je_malloc malloc
#define je_calloc calloc
#define je_realloc realloc
#define je_free free
#define je_aligned_alloc aligned_alloc
#define je_posix_memalign posix_memalign
#define je_memalign memalign
#define je_valloc valloc
#define je_malloc_usable_size malloc_usable_size
#define je_mallocx mallocx
#define je_rallocx rallocx
#define je_xallocx xallocx
#define je_sallocx sallocx
#define je_dallocx dallocx
#define je_sdallocx sdallocx
#define je_nallocx nallocx
#define je_mallctl mallctl
#define je_mallctlnametomib mallctlnametomib
#define je_mallctlbymib mallctlbymib
#define je_malloc_stats_print malloc_stats_print
#endif

void *mallocx(size_t size, int flags) __attribute__((__malloc__, __alloc_size__(1)));
void *rallocx(void *p, size_t size, int flags) __attribute__((__alloc_size__(2)));

/* Moves nothing, and resizes nothing: returns the usable size of the block, which is enough for
 * what was asked for, or not, as after a failure of jemalloc's. */
size_t xallocx(void *p, size_t size, size_t extra, int flags);

size_t sallocx(const void *p, int flags) __attribute__((__pure__));
void dallocx(void *p, int flags);
void sdallocx(void *p, size_t size, int flags);

/* What a block of mallocx has at least: some have more. */
size_t nallocx(size_t size, int flags) __attribute__((__pure__));

/*
 * Names, with the type of the value:
 *
 *   version, config.malloc_conf                     const char *
 *   epoch                                           uint64_t; written: the figures are counted anew
 *   stats.allocated, .active, .metadata, .resident, .mapped, .retained       size_t, at that time
 *   background_thread, opt.background_thread        bool; acre's option of that name
 *   arenas.narenas, opt.narenas                     unsigned; arenas made so far
 *   arenas.page, arenas.quantum                     size_t
 *   arenas.dirty_decay_ms, arenas.muzzy_decay_ms,   ssize_t; acre's option decay, of all arenas
 *   opt.dirty_decay_ms, opt.muzzy_decay_ms,
 *   arena.<i>.dirty_decay_ms, arena.<i>.muzzy_decay_ms
 *   arena.<i>.purge, arena.<i>.decay                none; idle memory of all arenas goes back
 *   thread.tcache.flush                             none; as acre_thread_flush
 *   config.prof, opt.prof, prof.active              bool; false
 *   config.stats                                    bool; true
 *
 * A name that is not in the list is ENOENT, one that cannot be written EPERM.
 */
int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen);
int mallctlnametomib(const char *name, size_t *mibp, size_t *miblenp);
int mallctlbymib(const size_t *mib, size_t miblen, void *oldp, size_t *oldlenp, void *newp,
                 size_t newlen);

/* Acre's statistics; `options`: JSON if there is a J in it, else the table. */
void malloc_stats_print(void (*write_text)(void *context, const char *text), void *context,
                        const char *options);

#ifdef __cplusplus
}
#endif

#endif
