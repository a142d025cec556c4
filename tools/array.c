/* Arrays: see array.h. */
#define _GNU_SOURCE 1
#include "array.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

void *array_grow(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return array;
    array = reallocarray(array, count != 0 ? 2 * count : 1, size);
    if (array == NULL)
        err(EXIT_FAILURE, NULL);
    return array;
}

size_t array_find(const void *array, size_t count, size_t size, uint64_t address)
{
    size_t low = 0, high = count; /* the one that is looked for is in low .. high-1 */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        uint64_t found;
        memcpy(&found, (const char *)array + middle * size, sizeof(found));
        if (found <= address)
            low = middle;
        else
            high = middle;
    }
    return low;
}
