/* Arrays that grow by one element at a time, and arrays that are sorted by address. */
#ifndef ACRE_TOOLS_ARRAY_H
#define ACRE_TOOLS_ARRAY_H

#include <stddef.h>
#include <stdint.h>

/*
 * Makes room for element `count` in an array of `count` elements of `size` bytes; NULL is an array
 * of none. Returns the array, which may have moved. Exits with status 1 if there is no memory. The
 * room is the lowest power of two that is enough, so every element must be added by this function.
 */
void *array_grow(void *array, size_t count, size_t size);

/*
 * The index of the last element whose address is at or below `address`; 0 if there is none. Each
 * element begins with its address, a uint64_t; they are sorted by it.
 */
size_t array_find(const void *array, size_t count, size_t size, uint64_t address);

#endif
