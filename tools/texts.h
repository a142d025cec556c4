/* Texts, each kept once and known by its number. Number 0 is the empty text. */
#ifndef ACRE_TOOLS_TEXTS_H
#define ACRE_TOOLS_TEXTS_H

#include <stddef.h>
#include <stdint.h>

struct texts {
    char **all;
    size_t count;
    uint32_t *places; /* a hash table of numbers + 1; 0: empty */
    size_t place_count;
};

/* The number of a text, which is added if need be. What a terminal would obey in it, and all that
 * is not ASCII, becomes `?`; a text that is too long ends in dots. */
uint32_t texts_add(struct texts *texts, const char *text);

void texts_free(struct texts *texts);

#endif
