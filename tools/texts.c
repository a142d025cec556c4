/* Texts by number: see texts.h. */
#define _GNU_SOURCE 1
#include "texts.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 2000 }; /* characters of a text */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

/* The place of a text in the table, or an empty one for it. */
static uint32_t *find_place(const struct texts *texts, const char *text)
{
    size_t at = hash_of(text) & (texts->place_count - 1);
    while (texts->places[at] != 0 && strcmp(texts->all[texts->places[at] - 1], text) != 0)
        at = (at + 1) & (texts->place_count - 1);
    return &texts->places[at];
}

/* Makes room for one more; the table is at most half full. */
static void make_room(struct texts *texts)
{
    if (2 * (texts->count + 1) <= texts->place_count)
        return;
    texts->place_count = texts->place_count != 0 ? 2 * texts->place_count : 64;
    free(texts->places);
    texts->places = calloc(texts->place_count, sizeof(texts->places[0]));
    texts->all = reallocarray(texts->all, texts->place_count, sizeof(texts->all[0]));
    if (texts->places == NULL || texts->all == NULL)
        err(EXIT_FAILURE, NULL);
    for (size_t i = 0; i < texts->count; i++)
        *find_place(texts, texts->all[i]) = (uint32_t)i + 1;
}

static uint32_t add_clean(struct texts *texts, const char *text)
{
    make_room(texts);
    uint32_t *place = find_place(texts, text);
    if (*place == 0) {
        texts->all[texts->count] = strdup(text);
        if (texts->all[texts->count] == NULL)
            err(EXIT_FAILURE, NULL);
        *place = (uint32_t)++texts->count;
    }
    return *place - 1;
}

uint32_t texts_add(struct texts *texts, const char *text)
{
    char clean[LONGEST + 4];
    size_t length = strnlen(text, LONGEST + 1), used = length < LONGEST ? length : LONGEST;
    if (texts->count == 0)
        (void)add_clean(texts, "");
    for (size_t i = 0; i < used; i++)
        clean[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    strcpy(clean + used, length > LONGEST ? "..." : "");
    return add_clean(texts, clean);
}

void texts_free(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->all[i]);
    free(texts->all);
    free(texts->places);
}
