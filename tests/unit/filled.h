/* What memory holds. */
#ifndef ACRE_TESTS_UNIT_FILLED_H
#define ACRE_TESTS_UNIT_FILLED_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* True if each of the bytes has the value, as memset gives it. */
static inline bool is_filled(const void *memory, size_t size, int value)
{
    const unsigned char *bytes = memory;
    return size == 0 ||
           (bytes[0] == (unsigned char)value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

#endif
