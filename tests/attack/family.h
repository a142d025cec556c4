/*
 * The calls of the malloc family that a sequence makes: acre's (family.c), or those of an allocator
 * that has a fault (faulty.c), for the test of the search itself.
 */
#ifndef ACRE_TESTS_ATTACK_FAMILY_H
#define ACRE_TESTS_ATTACK_FAMILY_H

#include <stddef.h>

void *family_malloc(size_t size);
void *family_calloc(size_t count, size_t size);
void *family_aligned_alloc(size_t alignment, size_t size);
int family_posix_memalign(void **block, size_t alignment, size_t size);
void *family_memalign(size_t alignment, size_t size);
void *family_realloc(void *block, size_t size);
void family_free(void *block);
size_t family_usable_size(void *block);

#endif
