/*
 * acre: a memory allocator for multithreaded programs on Linux.
 *
 * Linking or preloading libacre.so replaces malloc and its family; a program needs this header only
 * for what the standard interface lacks. All functions are thread-safe and may be called from any
 * thread at any time after the dynamic linker has relocated the library.
 */
#ifndef ACRE_ACRE_H
#define ACRE_ACRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ACRE_VERSION_MAJOR 0
#define ACRE_VERSION_MINOR 1
#define ACRE_VERSION_PATCH 0
#define ACRE_VERSION_STRING "0.1.0"

/* The number of entries of `classes` in struct acre_stats; entries past `class_count` are zero. */
#define ACRE_STATS_CLASSES 64

/* What is in use of one size class, over all arenas. */
struct acre_class_stats {
    size_t block_size;  /* bytes of one block */
    size_t slabs;       /* slabs of this class */
    size_t blocks;      /* blocks in those slabs, free ones included */
    size_t live_blocks; /* of those, what the program holds: a block may have the place of several,
                           and counts as those here */
};

/*
 * A snapshot of the allocator. Sizes are in bytes. The figures are counted from the block states
 * while other threads go on, so they may be off by what those threads do meanwhile; in a process
 * whose other threads are quiet they are exact.
 */
struct acre_stats {
    size_t arenas;          /* arenas made so far */
    size_t arenas_pooled;   /* of those, without a thread now */
    size_t heaps;           /* heaps mapped */
    size_t heap_mapped;     /* address space of those heaps */
    size_t heap_in_slabs;   /* of that, in slabs */
    size_t heap_free_dirty; /* of that, in free units not yet given back to the system */
    size_t small_live;      /* bytes of live TINY and SMALL blocks, as sized by their classes */
    size_t small_blocks;    /* number of live TINY and SMALL blocks */
    size_t large_live;      /* bytes of live LARGE blocks */
    size_t large_blocks;    /* number of live LARGE blocks */
    size_t large_stock;     /* bytes of free extents kept mapped for the next LARGE block */
    size_t metadata; /* bytes of the allocator's own metadata pages (heap headers excluded) */
    size_t live;     /* small_live + large_live */
    size_t mapped;   /* heap_mapped + large_live + large_stock + metadata */
    size_t resident; /* resident bytes of the whole process, from /proc/self/statm; 0 if unknown */
    size_t class_count; /* size classes in use by this build */
    struct acre_class_stats classes[ACRE_STATS_CLASSES];
};

/* The version of the library that runs, "MAJOR.MINOR.PATCH"; a constant string. */
const char *acre_version(void);

/*
 * The size that malloc(size) rounds up to, in bytes: the block that it returns has that many usable
 * ones at least. 0 if size cannot be had (above PTRDIFF_MAX). acre_good_size(0) is the smallest
 * block. A thread's first few blocks of a size may be larger: see doc/design.md, "Blocks".
 */
size_t acre_good_size(size_t size);

/*
 * Fills *stats. size is sizeof(struct acre_stats) as the caller was compiled; no more than that is
 * written, so a program built against an older header keeps working. Takes no lock. Returns 0, or
 * EINVAL if stats is NULL.
 */
int acre_stats(struct acre_stats *stats, size_t size);

enum acre_stats_format {
    ACRE_STATS_TEXT,       /* the table that `acre-run --stats` prints */
    ACRE_STATS_JSON,       /* one object; its members are in acre(3) */
    ACRE_STATS_PROMETHEUS, /* text format 0.0.4, labelled with the process's name and id */
    ACRE_STATS_XML,        /* the document of glibc's malloc_info */
};

/*
 * Writes the statistics to file descriptor fd. Allocates nothing and takes no lock: it may be
 * called in a signal handler, and in a child of fork.
 */
void acre_stats_print(int fd, enum acre_stats_format format);

enum acre_block_state {
    ACRE_BLOCK_LIVE,   /* the program holds it */
    ACRE_BLOCK_FREE,   /* may be handed out */
    ACRE_BLOCK_CACHED, /* free, in the magazine of its thread */
    ACRE_BLOCK_REMOTE, /* freed by another thread than its own, which has not collected it yet */
    ACRE_BLOCK_PURGED, /* free, and its pages went back to the system */
    ACRE_BLOCK_STOCK,  /* a free extent, kept mapped for LARGE blocks */
};

/* A block, live or not. */
struct acre_block {
    void *address;
    size_t size;        /* bytes */
    size_t block_class; /* bytes of the size class of its slab, of which a block may take several
                           places; 0: LARGE, with pages of its own */
    uint32_t arena;     /* number of its arena, from 1; 0: LARGE */
    enum acre_block_state state;
};

/* Called for a block with the context of acre_heap_walk; 0: go on. */
typedef int acre_heap_callback(void *context, const struct acre_block *block);

/*
 * Calls `callback` for each block of the process, until it returns something other than 0, which is
 * returned then; 0 at the end. No lock is held meanwhile: the callback may allocate and free. What
 * it, or another thread, allocates and frees may be seen as it was before or after; blocks of a
 * thread that is quiet are seen exactly once.
 */
int acre_heap_walk(acre_heap_callback *callback, void *context);

/*
 * Checks the library's own structures and writes to file descriptor fd (-1: nothing) what is wrong,
 * a line for each. Returns the number of lines; 0: nothing was found. The arena of the calling
 * thread and arenas without a thread are checked whole; of arenas that other threads use, what
 * those may not change meanwhile: headers, units, geometry. Not to be called in a signal handler.
 * Where memory is damaged badly, it may end the process as any use of that memory would.
 */
size_t acre_check(int fd);

/* What is wrong with a pointer. */
enum acre_error_kind {
    ACRE_ERROR_DOUBLE_FREE, /* its block was freed before */
    ACRE_ERROR_INTERIOR,    /* it lies inside a block, not at its start */
    ACRE_ERROR_MISALIGNED,  /* no block can start there: it is no multiple of 16 */
    ACRE_ERROR_FOREIGN,     /* it lies in no memory of this library's blocks; or, with
                               acre_heap_free and acre_heap_realloc: in no block of that heap */
    ACRE_ERROR_OVERFLOW,    /* with option hardened: its block was written to at or above the size
                               that was asked for */
    ACRE_ERROR_WRITTEN_AFTER_FREE, /* with option hardened or fill: its block was written to after
                                      it was freed; function is the one that found it */
    ACRE_ERROR_USE_AFTER_FREE,     /* realloc or malloc_usable_size of a block that was freed */
    ACRE_ERROR_MISMATCH,        /* with option mismatch, as the next two: its block was allocated by
                                   another family of functions (malloc, new, new[]) than
                                   function is of */
    ACRE_ERROR_WRONG_SIZE,      /* function was told another size than was asked for */
    ACRE_ERROR_WRONG_ALIGNMENT, /* likewise another alignment; one up to 16 counts as 16 */
    ACRE_ERROR_ENDED_HEAP,      /* the pointer is no block but an acre_heap that was destroyed */
};

/* A misuse of free or another function that takes a block. Later versions may add fields at the
 * end. */
struct acre_error {
    enum acre_error_kind kind;
    const char *function;   /* that was called, such as "free" or "operator delete" */
    const void *pointer;    /* as passed */
    const void *block;      /* the start of the block that the pointer lies in; NULL if unknown */
    size_t block_size;      /* bytes of that */
    uint32_t arena;         /* number of its arena, from 1; 0: LARGE, or unknown */
    uint32_t depth;         /* frames in `stack` */
    const uintptr_t *stack; /* return addresses of the caller and its callers, that first */
    size_t requested;       /* overflow, wrong size, wrong alignment: what was asked for, bytes */
    size_t offset; /* overflow, written after free: of the first byte that changed, in the block */
    size_t given;  /* wrong size, wrong alignment: what function was told, bytes */
    const char *allocated_by; /* mismatch: "malloc", "operator new" or "operator new[]" */
};

/* Called at a misuse. What it gets is valid until it returns. */
typedef void acre_error_handler(const struct acre_error *error);

/*
 * Sets the function that is called at each misuse, by the thread that made the call, after the
 * report, if there is one, and before the process ends, if it does (options on_error, foreign).
 * NULL, as at first: none. Returns the one before it.
 *
 * The handler may do what any function may: no lock is held, so it may allocate, free, fork and
 * set another handler, and it may leave by longjmp. If it returns, the program goes on as the
 * options say. A misuse that it makes itself does not call it again.
 */
acre_error_handler *acre_set_error_handler(acre_error_handler *handler);

/*
 * Reads option `key` (see acre-run --help-options) as text into value[0..size-1], NUL-terminated.
 * Returns 0, ENOENT if there is no such option, ERANGE if value is too short, or EINVAL if key is
 * NULL, or if value is NULL and size is not 0.
 */
int acre_option_get(const char *key, char *value, size_t size);

/*
 * Sets option `key` from text, for what happens from now on. Returns 0, ENOENT if there is no such
 * option, or EINVAL if the value is not allowed or an argument is NULL.
 */
int acre_option_set(const char *key, const char *value);

/*
 * Sets the options of a list in the form of ACRE_OPTIONS, "key:value,key:value", for what happens
 * from now on. Each mistake is one line on standard error, which names `source`, a word such as the
 * name of a file, and says what is allowed; the other items apply. Returns 0, or EINVAL if there
 * was a mistake or an argument is NULL.
 */
int acre_options_parse(const char *list, const char *source);

/* Writes the table of options that `acre-run --help-options` prints to fd. Allocates nothing. */
void acre_options_print(int fd);

/*
 * The limit on what acre holds (option `limit`) as it is now, in bytes; 0: none. What is held now
 * goes to *held, unless held is NULL, whether there is a limit or not: to be asked for by a program
 * that gives up caches of its own before the limit is reached. Not in a signal handler.
 */
size_t acre_limit(size_t *held);

/* Called when use crosses a share of the limit: `held` is what acre_limit gives, `limit` the limit,
 * both in bytes. */
typedef void acre_limit_callback(size_t held, size_t limit);

/*
 * Sets the function that is called when what acre holds crosses `percent` (1 to 100) of the limit,
 * after all that is idle has gone back to the system: to give up caches before requests fail. NULL:
 * none. While there is no limit it is not called. Returns 0, or EINVAL if percent is out of range.
 *
 * It is called by the thread whose request crosses the share, before the request is served; a
 * request that would be refused is tried again after it. It is called once for each crossing, by
 * one thread; others go on meanwhile. It is called again when use has fallen by 1/8 of the share
 * (not before it has fallen by 1/16) and crosses it anew. What was freed is in use until it goes
 * back to the system; what the function itself frees does so when it returns.
 *
 * The function may do what any function may: no lock is held, so it may allocate, free, fork, wait
 * for other threads and call this function, and it may leave by longjmp. Its own requests do not
 * call it. As malloc cannot, it cannot throw.
 */
int acre_set_limit_callback(acre_limit_callback *callback, unsigned percent);

/*
 * Starts the heap profile: from now on about one block in `interval` allocated bytes is sampled,
 * with its stack, until it is freed; 1: each block. The profile before it is forgotten.
 * It is read from outside, by acre-profile(1). A child of fork goes on with a copy. Returns 0,
 * EINVAL if interval is 0 or above 64 GiB, or ENOMEM.
 */
int acre_profile_start(size_t interval);

/* Samples no more blocks; those that were sampled stay in the profile until they are freed. Returns
 * 0, or EINVAL if the profile is off. */
int acre_profile_stop(void);

/* Sets the mark: acre-profile(1) can show the blocks that were allocated after this call. Returns
 * 0, or EINVAL if the profile is off. */
int acre_profile_mark(void);

/*
 * Gives the blocks in the calling thread's magazines back to their slabs and collects what other
 * threads freed to it, so that empty slabs can be released. For a thread that is about to sleep
 * long.
 */
void acre_thread_flush(void);

/*
 * A heap of one's own: blocks that are freed together, at once, by acre_heap_destroy. Any number of
 * threads may use a heap at the same time; they take turns at it. Its blocks are ordinary ones: any
 * thread may pass them to free, realloc or malloc_usable_size as well, and each misuse is reported.
 * A heap takes about 24 KiB and 32 MiB of address space, which the next one uses again.
 */
struct acre_heap;

/* Makes a heap. NULL, with errno ENOMEM, if there is no memory. */
struct acre_heap *acre_heap_new(void);

/*
 * As malloc, calloc and aligned_alloc: a block of the heap, NULL and ENOMEM if there is no memory,
 * NULL and EINVAL if `alignment` (bytes) is no power of two. The block is the heap's until it is
 * freed, or the heap is destroyed. A heap that was destroyed is reported (ACRE_ERROR_ENDED_HEAP);
 * where reporting returns, the result is NULL.
 */
void *acre_heap_alloc(struct acre_heap *heap, size_t size);
void *acre_heap_calloc(struct acre_heap *heap, size_t count, size_t size);
void *acre_heap_aligned(struct acre_heap *heap, size_t alignment, size_t size);

/*
 * As realloc: a block that moves stays in the heap. p is NULL or a block of this heap; one of
 * another heap, or of none, is reported (ACRE_ERROR_FOREIGN), and left alone. realloc itself also
 * takes the block, but moves it out of the heap when it does not stay where it is.
 */
void *acre_heap_realloc(struct acre_heap *heap, void *p, size_t size);

/* As free(p), which does the same, but reports a block that is not of this heap, and leaves it
 * alone. NULL: nothing is done. Preserves errno. */
void acre_heap_free(struct acre_heap *heap, void *p);

/*
 * Frees all blocks of the heap and ends it. NULL: nothing is done. Preserves errno. No thread may
 * use the heap or a block of it from here on: the heap is reported as one that has ended, a block
 * as freed twice, as with any block until its memory is used again. (What another thread does in
 * the same instant need not be found.) A child of fork has a copy of each heap.
 */
void acre_heap_destroy(struct acre_heap *heap);

#ifdef __cplusplus
}
#endif

#endif
