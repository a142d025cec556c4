/*
 * What the program knows of its blocks: size and contents of each. Requests go by here: each gives
 * a block, with errno as it was, or NULL with ENOMEM and all else as it was, and that only where a
 * system call has failed meanwhile. One thread at a time calls; nothing here is allocated.
 */
#ifndef ACRE_TESTS_FAULTS_SHADOW_H
#define ACRE_TESTS_FAULTS_SHADOW_H

#include <stdbool.h>
#include <stddef.h>

enum { SHADOW_BLOCKS = 1 << 14 }; /* live at once, at most */

/* While the process has a limit, a system call that failed at any time before is an excuse, too:
 * address space that could not be unmapped is missing. */
void shadow_under_limit(bool limited);

/* A block of the program's, by its number from 0; NONE: the request failed. */
enum { SHADOW_NONE = -1 };

int shadow_malloc(size_t size);

/* `count` blocks of `size`, `more` bytes more each; until as many as REFUSED_IN_ROW were refused.
 */
void shadow_take(size_t count, size_t size, size_t more);
int shadow_calloc(size_t size);
int shadow_aligned(size_t alignment, size_t size);

/* Resizes a block: whether it has the new size. */
bool shadow_realloc(int block, size_t size);

/* Frees a block, whose contents are as they were. SHADOW_NONE: nothing. */
void shadow_free(int block);

/* All blocks numbered from `first` on, or each `step`-th of them. */
void shadow_free_from(int first, int step);

/* Writes to each page of all blocks, between the bytes that are looked at. */
void shadow_write_pages(void);

/* One more than the highest number of a block. */
int shadow_limit(void);

/* Checks the contents of all blocks, and that the library knows each as live. Returns how many live
 * blocks there are beside them. */
size_t shadow_check(void);

/* Checks that nothing was lost: the library's structures, the blocks, and that requests of all
 * kinds succeed again. Frees all. */
void shadow_finish(void);

#endif
