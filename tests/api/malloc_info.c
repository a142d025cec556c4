/*
 * malloc_info: well-formed XML with glibc's element names, each figure of which is that of
 * acre_stats. The reader below knows the part of XML 1.0 that such a document may use: elements,
 * attributes in either kind of quotes, text, a declaration, comments.
 */
#include "check.h"
#include "acre_calls.h"
#include <ctype.h>
#include <malloc.h>

enum { DEEPEST = 32, LONGEST_NAME = 64, MOST_ELEMENTS = 128, MOST_ATTRIBUTES = 8 };

/* An element and its attributes. */
struct element {
    char name[LONGEST_NAME];
    char names[MOST_ATTRIBUTES][LONGEST_NAME];
    char values[MOST_ATTRIBUTES][LONGEST_NAME];
    size_t attributes;
    bool seen; /* by a check: at the end all are */
};

/* A document being read. */
struct reader {
    const char *at;                         /* what comes next */
    char open[DEEPEST][LONGEST_NAME];       /* the names of the elements that are open */
    size_t depth;                           /* how many those are */
    size_t roots;                           /* elements seen at the top */
    struct element elements[MOST_ELEMENTS]; /* in the order of their start tags */
    size_t count;                           /* how many those are */
};

static void skip_space(struct reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
}

/* Reads an XML name. */
static void read_name(struct reader *reader, char name[LONGEST_NAME])
{
    size_t length = 0;
    CHECK(isalpha((unsigned char)*reader->at) || *reader->at == '_');
    while (isalnum((unsigned char)*reader->at) || strchr("_-.:", *reader->at) != NULL) {
        CHECK(*reader->at != '\0' && length < LONGEST_NAME - 1);
        name[length++] = *reader->at++;
    }
    name[length] = '\0';
}

/* Reads attributes up to the tag's end; no name may stand twice. */
static void read_attributes(struct reader *reader, struct element *element)
{
    for (;;) {
        const char *before = reader->at;
        size_t length = 0, number = element->attributes;
        skip_space(reader);
        if (*reader->at == '>' || *reader->at == '/' || *reader->at == '?')
            return;
        CHECK(reader->at != before && number < MOST_ATTRIBUTES);
        read_name(reader, element->names[number]);
        for (size_t i = 0; i < number; i++)
            CHECK(strcmp(element->names[i], element->names[number]) != 0);
        CHECK(*reader->at++ == '=');
        char quote = *reader->at++;
        CHECK(quote == '"' || quote == '\'');
        while (*reader->at != quote) {
            CHECK(*reader->at != '\0' && *reader->at != '<' && *reader->at != '&');
            CHECK(length < LONGEST_NAME - 1);
            element->values[number][length++] = *reader->at++;
        }
        reader->at++;
        element->attributes++;
    }
}

static void read_end_tag(struct reader *reader)
{
    char name[LONGEST_NAME];
    read_name(reader, name);
    skip_space(reader);
    CHECK(*reader->at++ == '>');
    CHECK(reader->depth > 0 && strcmp(reader->open[--reader->depth], name) == 0);
}

static void read_start_tag(struct reader *reader)
{
    CHECK(reader->depth < DEEPEST);
    char *name = reader->open[reader->depth];
    read_name(reader, name);
    reader->roots += reader->depth == 0;
    reader->depth++;
    CHECK(reader->count < MOST_ELEMENTS);
    struct element *element = &reader->elements[reader->count++];
    strcpy(element->name, name);
    read_attributes(reader, element);
    if (*reader->at == '/') {
        reader->at++;
        reader->depth--;
    }
    CHECK(*reader->at++ == '>');
}

/* Reads a whole document and checks that it is well-formed. */
static void read_document(struct reader *reader, const char *text)
{
    memset(reader, 0, sizeof(*reader));
    reader->at = text;
    if (strncmp(reader->at, "<?xml", 5) == 0) {
        struct element declaration = {.attributes = 0};
        reader->at += 5;
        read_attributes(reader, &declaration);
        CHECK(strncmp(reader->at, "?>", 2) == 0);
        reader->at += 2;
    }
    while (*reader->at != '\0') {
        if (strncmp(reader->at, "<!--", 4) == 0) {
            reader->at = strstr(reader->at + 4, "-->");
            CHECK(reader->at != NULL);
            reader->at += 3;
        } else if (strncmp(reader->at, "</", 2) == 0) {
            reader->at += 2;
            read_end_tag(reader);
        } else if (*reader->at == '<') {
            reader->at++;
            read_start_tag(reader);
        } else {
            CHECK(*reader->at != '&' && (reader->depth > 0 || isspace((unsigned char)*reader->at)));
            reader->at++;
        }
    }
    CHECK(reader->depth == 0 && reader->roots == 1);
}

/* The document that malloc_info writes now, and the statistics of the same instant: nothing is
 * allocated between the two. */
static void read_malloc_info(struct reader *reader, struct acre_stats *stats)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream != NULL);
    *stats = stats_now();
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(strlen(text) == size);
    read_document(reader, text);
    free(text);
}

/* The value of an attribute, which the element has. */
static const char *value_of(const struct element *element, const char *name)
{
    size_t i = 0;
    while (i < element->attributes && strcmp(element->names[i], name) != 0)
        i++;
    CHECK(i < element->attributes);
    return element->values[i];
}

static size_t number_of(const struct element *element, const char *name)
{
    char *end;
    const char *text = value_of(element, name);
    CHECK(isdigit((unsigned char)*text));
    size_t number = strtoull(text, &end, 10);
    CHECK(*end == '\0');
    return number;
}

/* The element of that name and, if it is not NULL, that type: there is one. It is seen now. */
static struct element *find_element(struct reader *reader, const char *name, const char *type)
{
    struct element *found = NULL;
    for (size_t i = 0; i < reader->count; i++) {
        struct element *element = &reader->elements[i];
        if (strcmp(element->name, name) != 0 ||
            (type != NULL && strcmp(value_of(element, "type"), type) != 0))
            continue;
        CHECK(found == NULL);
        found = element;
    }
    CHECK(found != NULL && !found->seen);
    found->seen = true;
    return found;
}

static void check_counted(struct reader *reader, const char *name, const char *type, size_t count,
                          size_t size)
{
    const struct element *element = find_element(reader, name, type);
    CHECK(number_of(element, "count") == count && number_of(element, "size") == size);
    CHECK(element->attributes == 3);
}

static void check_sized(struct reader *reader, const char *name, const char *type, size_t size)
{
    const struct element *element = find_element(reader, name, type);
    CHECK(number_of(element, "size") == size && element->attributes == 2);
}

/* An element for each class that has free blocks, in their order, and no other one. */
static void check_sizes(struct reader *reader, const struct acre_stats *stats)
{
    size_t at = 0, smallest = 1;
    for (size_t i = 0; i < stats->class_count; i++) {
        const struct acre_class_stats *class = &stats->classes[i];
        size_t free_blocks = class->blocks - class->live_blocks;
        if (free_blocks != 0) {
            while (at < reader->count && strcmp(reader->elements[at].name, "size") != 0)
                at++;
            CHECK(at < reader->count);
            struct element *element = &reader->elements[at++];
            CHECK(number_of(element, "from") == smallest);
            CHECK(number_of(element, "to") == class->block_size);
            CHECK(number_of(element, "count") == free_blocks);
            CHECK(number_of(element, "total") == free_blocks * class->block_size);
            CHECK(element->attributes == 4);
            element->seen = true;
        }
        smallest = class->block_size + 1;
    }
}

/* Checks the whole document against the statistics. */
static void check_document(struct reader *reader, const struct acre_stats *stats)
{
    size_t heap_bytes = stats->heap_in_slabs + stats->heap_free_dirty;
    CHECK(strcmp(value_of(find_element(reader, "malloc", NULL), "version"), "acre-1") == 0);
    CHECK(find_element(reader, "sizes", NULL)->attributes == 0);
    check_sizes(reader, stats);
    check_counted(reader, "total", "rest", free_blocks_of(stats), heap_bytes - stats->small_live);
    check_counted(reader, "total", "mmap", stats->large_blocks, stats->large_live);
    check_sized(reader, "system", "current", heap_bytes);
    check_sized(reader, "aspace", "total", stats->heap_mapped);
    check_counted(reader, "live", "small", stats->small_blocks, stats->small_live);
    check_counted(reader, "live", "large", stats->large_blocks, stats->large_live);
    for (size_t i = 0; i < reader->count; i++)
        CHECK(reader->elements[i].seen);
}

int main(void)
{
    enum { SMALL_HAS = 5120, LARGE = 700 << 20 }; /* bytes; 5120: the size class of 5000 */
    static struct reader reader;
    struct acre_stats before, with, after;
    void *large, *blocks[100];
    check_begin();
    read_malloc_info(&reader, &before);
    check_document(&reader, &before);
    for (size_t i = 0; i < 100; i++)
        blocks[i] = malloc(5000);
    CHECK((large = malloc(LARGE)) != NULL);
    read_malloc_info(&reader, &with);
    check_document(&reader, &with);
    CHECK(with.small_blocks - before.small_blocks == 100);
    CHECK(with.small_live - before.small_live == (size_t)100 * SMALL_HAS);
    CHECK(with.large_blocks - before.large_blocks == 1);
    CHECK(with.large_live - before.large_live == LARGE);
    for (size_t i = 0; i < 100; i++)
        free(blocks[i]);
    free(large);
    read_malloc_info(&reader, &after);
    check_document(&reader, &after);
    CHECK(after.small_live == before.small_live && after.large_live == before.large_live);
    errno = 0;
    CHECK(malloc_info(1, stderr) == -1 && errno == EINVAL);
    return 0;
}
