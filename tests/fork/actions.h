/*
 * What scenarios are made of: calls that are prepared and calls that are stepped, both kept in the
 * ledger, and the arrangements that several scenarios need. Each checks that things are as its
 * name says, so that a scenario cannot silently take another path than the one it is for.
 */
#ifndef ACRE_TESTS_FORK_ACTIONS_H
#define ACRE_TESTS_FORK_ACTIONS_H

#include "stats.h"

enum { ACTIONS_BLOCKS = 512 };

/* The sizes of blocks, chosen so that slabs have few of them. */
enum {
    TINY = 48,
    TINY_SLAB = 1024,  /* the first slab has 64 blocks, one window */
    SMALL = 16384,     /* the first slab has 8 blocks */
    MEDIUM = 32768,    /* the largest that share slabs; the first one has 8 */
    OWN_SLAB = 131072, /* a slab each, of 2 units of 64 KiB */
    BIG = 1 << 20,     /* likewise, of 16 */
    OTHER = 64,        /* a size that is not under test; its first blocks are like all others */
    LARGE = 2 << 20,
    MIB = 1 << 20,
    WINDOW = 64, /* blocks */
};

/* The blocks that prepared calls took, in that order; the main, the stepped and the helping threads
 * use it one after the other. */
extern char *blocks[ACTIONS_BLOCKS];
extern size_t block_count;

/* Takes blocks of `size` bytes, not stepped. */
void hold(size_t count, size_t size);

/* Frees blocks first .. first+count-1 of the array, not stepped. */
void drop(size_t first, size_t count);

/* The calls themselves, stepped. */
char *stepped_malloc(size_t size);
char *stepped_calloc(size_t size);
char *stepped_memalign(size_t alignment, size_t size);
void stepped_refusal(size_t size); /* a malloc for which there is no memory */
char *stepped_realloc(char *block, size_t size);
void stepped_free(char *block);
void stepped_trim(void);
void stepped_flush(void);

/* Takes the block that tells this thread's arena from others; it is the one under test. */
void anchor_here(void);

/* Takes blocks until no block of that size is free in any slab; returns how many. */
size_t take_slab(size_t size);

/* Fills one slab and makes another one current, of which one block is taken. The blocks of the
 * first are blocks[0..result-1]. */
size_t take_slab_and_begin_next(size_t size);

/* Takes blocks until the next one would need another heap. */
void take_heap(size_t size);

/* Drops blocks from the first on until the next one would release a slab; returns how many. */
size_t drop_until_release(size_t size);

/* How many blocks of a size are kept by the thread that freed them. */
size_t magazine_size(size_t size);

/* The slabs of the class with blocks of that size. */
size_t slabs_of(size_t size);

/* Runs a function in a thread that ends, or in one that keeps its arena and sleeps. */
void in_ended_thread(void (*function)(void));
void in_sleeping_thread(void (*function)(void));

/*
 * A thread is started, prepares, and is lost in the middle of the stepped call of `run`: the
 * scenario goes on in a child that finds what it has left. prepare may be NULL.
 */
void lose(void (*prepare)(void), void (*run)(void));

/* Sets an option of the library. */
void set_option(const char *key, const char *value);

/* Lets some milliseconds pass, more than the library's clock needs to tick. */
void let_time_pass(void);

/* From now on the process gets `more` bytes of address space, or of memory that it may write to,
 * beyond what it has. */
void pressure_on_address_space(size_t more);
void pressure_on_data(size_t more);

/* Ends that. A child is under its parent's limits until it calls this. */
void pressure_end(void);

/* ---- preparations and calls that several scenarios have in common ---- */

/* An arena under test, with some blocks; with some of them free. */
void prepare_tiny(void);
void prepare_tiny_freed(void);

/* Slabs of two classes, with blocks live and free, in windows and magazines. */
void prepare_much(void);

/* For threads that need an arena: this one has it. */
void prepare_own_arena(void);

/* Drops a few of the first blocks; takes and drops some of a size that is not under test. */
void drop_some(void);
void use_other_size(void);

/* Steps through a malloc of that size. */
void malloc_other(void);

#endif
