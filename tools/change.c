/* Changing a process from outside: see change.h. */
#define _GNU_SOURCE 1
#include "change.h"

#include "base/option.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATUS_USAGE = 2,
    TEXT = 64, /* bytes of an option's name or of what it allows */
};

static_assert((int)OPTION_COUNT <= (int)CHANGE_OPTIONS, "as the structure says");

/* The values that change_add reads go through the library's own parser, into this program's own
 * table of options. */
void change_add(struct change *change, const char *text)
{
    char key[TEXT];
    size_t length = strcspn(text, ":");
    int option = 0;
    if (length >= sizeof(key))
        length = sizeof(key) - 1;
    memcpy(key, text, length);
    key[length] = '\0';
    while (option < OPTION_COUNT && strcmp(option_table[option].name, key) != 0)
        option++;
    if (option == OPTION_COUNT) {
        fprintf(stderr, "acre-inspect: there is no option \"%s\"; there are:", key);
        for (option = 0; option < OPTION_COUNT; option++)
            fprintf(stderr, " %s", option_table[option].name);
        fputc('\n', stderr);
        exit(STATUS_USAGE);
    }
    /* its value is an address, in the memory of the process that has set it */
    if (option_table[option].type == TYPE_TEXT)
        errx(STATUS_USAGE, "--set: %s is a text, which only the process itself can set", key);
    if (option == OPTION_STATS_SIGNAL)
        errx(STATUS_USAGE, "--set: %s holds from the start only, when its handler is installed",
             key);
    const char *value = text[length] == ':' ? text + length + 1 : "";
    if (option_set_text(key, value) != 0)
        errx(STATUS_USAGE, "--set: %s cannot be \"%s\"; allowed: %s", key, value,
             option_table[option].allowed);
    change->bits |= UINT64_C(1) << option;
    change->values[option] = option_value(option);
}

bool change_is_any(const struct change *change)
{
    return change->bits != 0 || change->trims;
}

/* Copies a text of the process to which the field of the structure at `address` points. */
static bool read_text(struct view *view, uint64_t address, enum acre_field_id field, char *text)
{
    uint64_t at = view_field(view, address, field);
    for (size_t i = 0; i < TEXT; i++)
        if (!view->read_now(view, at + i, &text[i], 1))
            return false;
        else if (text[i] == '\0')
            return true;
    return false;
}

/* The number, in the process, of this program's option, which allows the same there. Exits if there
 * is none. */
static uint32_t find_option(struct memory *memory, const struct option *option)
{
    struct view *view = &memory->view;
    uint64_t table = (uintptr_t)view->root.addresses[ACRE_AT_OPTIONS];
    uint64_t size = view->root.fields[ACRE_FIELD_OPTION_SIZE].size;
    char name[TEXT], allowed[TEXT];
    for (uint32_t i = 0; i < view->root.option_count && i < CHANGE_OPTIONS; i++)
        if (read_text(view, table + i * size, ACRE_FIELD_OPTION_NAME, name) &&
            strcmp(name, option->name) == 0 &&
            read_text(view, table + i * size, ACRE_FIELD_OPTION_ALLOWED, allowed) &&
            strcmp(allowed, option->allowed) == 0)
            return i;
    errx(EXIT_FAILURE,
         "the acre in %s, version %s, has no option \"%s\" of which the values are %s: use the "
         "%s that came with it",
         memory->name, view->root.version, option->name, option->allowed,
         program_invocation_short_name);
}

static void write_word(struct memory *memory, uint64_t address, uint64_t word)
{
    if (!memory_write(memory, address, &word, sizeof(word)))
        err(EXIT_FAILURE, "cannot write to %s", memory->name);
}

/* Where the value of this program's option is in the process. */
static uint64_t value_address(struct memory *memory, uint32_t number)
{
    struct view *view = &memory->view;
    return (uintptr_t)view->root.addresses[ACRE_AT_OPTIONS] +
           number * view->root.fields[ACRE_FIELD_OPTION_SIZE].size +
           view->root.fields[ACRE_FIELD_OPTION_VALUE].offset;
}

bool change_is_made(struct memory *memory, const struct change *change)
{
    struct view *view = &memory->view;
    for (int i = 0; i < OPTION_COUNT; i++) {
        uint64_t word;
        if ((change->bits >> i & 1) == 0)
            continue;
        uint64_t address = value_address(memory, find_option(memory, &option_table[i]));
        if (!view->read_now(view, address, &word, sizeof(word)) || word != change->values[i])
            return false;
    }
    return true;
}

void change_apply(struct memory *memory, const struct change *change)
{
    struct view *view = &memory->view;
    const struct acre_field value = view->root.fields[ACRE_FIELD_OPTION_VALUE];
    uint32_t numbers[CHANGE_OPTIONS];
    uint64_t requests = change->trims ? ACRE_REQUEST_TRIM : 0;
    if (memory->pid == 0)
        errx(EXIT_FAILURE, "%s is a core: only a process can be changed", memory->name);
    if (value.size != sizeof(uint64_t))
        errx(EXIT_FAILURE, "the options of %s are damaged", memory->name);
    /* all are found before the first is written */
    for (int i = 0; i < OPTION_COUNT; i++)
        if ((change->bits >> i & 1) != 0)
            numbers[i] = find_option(memory, &option_table[i]);
    for (int i = 0; i < OPTION_COUNT; i++) {
        char text[TEXT];
        if ((change->bits >> i & 1) == 0)
            continue;
        write_word(memory, value_address(memory, numbers[i]), change->values[i]);
        requests |= UINT64_C(1) << numbers[i];
        if (!change->silent && option_get_text(option_table[i].name, text, sizeof(text)) == 0)
            printf("%s (%s): %s is %s\n", memory->name, memory->program, option_table[i].name,
                   text);
    }
    if (change->quiet)
        requests |= ACRE_REQUEST_QUIET;
    /* what an earlier writer has asked for stays */
    write_word(memory, (uintptr_t)view->root.addresses[ACRE_AT_REQUESTS],
               requests | view_word(view, ACRE_AT_REQUESTS));
    if (change->trims)
        printf("%s (%s): trims when malloc or free next takes a slow path\n", memory->name,
               memory->program);
}
