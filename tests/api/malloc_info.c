/*
 * malloc_info: well-formed XML with glibc's element names, and figures that move with what is
 * allocated. The reader below knows the part of XML 1.0 that such a document may use: elements,
 * attributes in either kind of quotes, text, a declaration, comments.
 */
#include "check.h"
#include <ctype.h>
#include <malloc.h>

enum { DEEPEST = 32, LONGEST_NAME = 64 };

/* A document being read. */
struct reader {
    const char *at;                   /* what comes next */
    char open[DEEPEST][LONGEST_NAME]; /* the names of the elements that are open */
    size_t depth;                     /* how many those are */
    size_t roots;                     /* elements seen at the top */
    bool sees_malloc, sees_total, sees_system;
    size_t largest_size; /* the largest value of any attribute called size */
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
static void read_attributes(struct reader *reader)
{
    char names[DEEPEST][LONGEST_NAME];
    size_t count = 0;
    for (;;) {
        const char *before = reader->at;
        skip_space(reader);
        if (*reader->at == '>' || *reader->at == '/' || *reader->at == '?')
            return;
        CHECK(reader->at != before && count < DEEPEST);
        read_name(reader, names[count]);
        for (size_t i = 0; i < count; i++)
            CHECK(strcmp(names[i], names[count]) != 0);
        CHECK(*reader->at++ == '=');
        char quote = *reader->at++;
        CHECK(quote == '"' || quote == '\'');
        if (strcmp(names[count], "size") == 0) {
            size_t size = strtoull(reader->at, NULL, 10);
            reader->largest_size = size > reader->largest_size ? size : reader->largest_size;
        }
        while (*reader->at != quote) {
            CHECK(*reader->at != '\0' && *reader->at != '<' && *reader->at != '&');
            reader->at++;
        }
        reader->at++;
        count++;
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
    reader->sees_malloc |= reader->depth == 0 && strcmp(name, "malloc") == 0;
    reader->sees_total |= strcmp(name, "total") == 0;
    reader->sees_system |= strcmp(name, "system") == 0;
    reader->depth++;
    read_attributes(reader);
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
        reader->at += 5;
        read_attributes(reader);
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

/* The document that malloc_info writes now. */
static void read_malloc_info(struct reader *reader)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream != NULL);
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(strlen(text) == size);
    read_document(reader, text);
    free(text);
}

int main(void)
{
    check_begin();
    struct reader before, with, after;
    read_malloc_info(&before);
    CHECK(before.sees_malloc && before.sees_total && before.sees_system);
    void *blocks[3] = {malloc(48), malloc(5000), malloc(700 * CHECK_MIB)};
    read_malloc_info(&with);
    CHECK(with.largest_size >= 700 * CHECK_MIB && before.largest_size < 700 * CHECK_MIB);
    for (size_t i = 0; i < 3; i++)
        free(blocks[i]);
    read_malloc_info(&after);
    CHECK(after.largest_size < 700 * CHECK_MIB);
    CHECK(malloc_info(1, stderr) != 0);
    return 0;
}
