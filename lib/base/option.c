/*
 * The table of options and its text forms; option.h is the contract.
 *
 * Everything about an option stands in its row of the table: parsing, printing and help are driven
 * by it. Values stand in the rows too and are relaxed atomics; the rest is constant.
 */
#include "base/option.h"

#include <errno.h>
#include <string.h>

#include "base/os.h"
#include "base/report.h"

enum {
    SHOWN_TEXT = 48,   /* characters of the user's text that a warning repeats, at most */
    ALLOWED_TEXT = 64, /* characters; the longest range in the table is far shorter */
    VALUE_TEXT = 24,   /* characters; the longest value is a number of 20 digits and a suffix */
    NAME_COLUMN = 18,  /* characters, likewise for the next two */
    ALLOWED_COLUMN = 26,
    DEFAULT_COLUMN = 8,
};

/* Milliseconds, an hour: longer than that, idle memory is as good as never given back. */
#define LONGEST_DECAY ((uint64_t)3600 * 1000)

#define MOST_BYTES ((uint64_t)64 * GIB)

/* The default of a row, and with it its first value. */
#define DEFAULT(number) .standard = (number), .value = (number)

static const char *const switch_names[] = {"0", "1", NULL};
static const char *const huge_pages_names[] = {[HUGE_PAGES_NEVER] = "never",
                                               [HUGE_PAGES_LARGE] = "large",
                                               [HUGE_PAGES_SYSTEM] = "system",
                                               [HUGE_PAGES_ALWAYS] = "always",
                                               NULL};
static const char *const stats_names[] = {[STATS_OFF] = "off", [STATS_AT_EXIT] = "exit", NULL};

struct option option_table[OPTION_COUNT] = {
    [OPTION_ABORT] = {"abort", TYPE_NAME, switch_names, DEFAULT(1),
                      .help = "end the process at a misuse (0: report, go on)"},
    [OPTION_DECAY] = {"decay", TYPE_MILLISECONDS, NULL, LONGEST_DECAY, DEFAULT(1000),
                      .help = "free pages go back to the system after this time"},
    [OPTION_LARGE_STOCK] = {"large_stock", TYPE_BYTES, NULL, MOST_BYTES, DEFAULT(16 * MIB),
                            .help = "free LARGE memory kept whatever is live; 0: none"},
    [OPTION_DIRTY_LIMIT] = {"dirty_limit", TYPE_BYTES, NULL, MOST_BYTES, DEFAULT(64 * MIB),
                            .help = "most dirty free memory that an arena keeps"},
    [OPTION_HUGE_PAGES] = {"huge_pages", TYPE_NAME, huge_pages_names, DEFAULT(HUGE_PAGES_LARGE),
                           .help = "huge pages; large: blocks of 4, heaps of 8 MiB"},
    [OPTION_STATS] = {"stats", TYPE_NAME, stats_names, DEFAULT(STATS_OFF),
                      .help = "when to print the statistics to standard error"},
    [OPTION_BACKGROUND_THREAD] = {"background_thread", TYPE_NAME, switch_names, DEFAULT(0),
                                  .help = "have a thread give idle memory back (1: yes)"},
};

uint64_t option_value(enum option_id id)
{
    return __atomic_load_n(&option_table[id].value, __ATOMIC_RELAXED);
}

/* The option whose name is name[0..length-1], or NULL. */
static struct option *find(const char *name, size_t length)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strlen(option_table[i].name) == length &&
            memcmp(option_table[i].name, name, length) == 0)
            return &option_table[i];
    return NULL;
}

/* The factor that a suffix stands for, 0 if it is none. */
static uint64_t suffix_factor(char suffix)
{
    switch (suffix) {
    case 'K':
    case 'k':
        return KIB;
    case 'M':
    case 'm':
        return MIB;
    case 'G':
    case 'g':
        return GIB;
    default:
        return 0;
    }
}

/* Reads text[0..length-1] as a number of the option's type. False if it is none, or too large. */
static bool parse_number(const struct option *option, const char *text, size_t length,
                         uint64_t *value)
{
    uint64_t factor = 1;
    if (option->type == TYPE_BYTES && length > 1 && suffix_factor(text[length - 1]) != 0)
        factor = suffix_factor(text[--length]);
    uint64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text[i] - '0');
        if (number > option->most / factor)
            return false;
    }
    *value = number * factor;
    return length != 0;
}

/* Reads text[0..length-1] as a value of the option. False if it is not allowed. */
static bool parse_value(const struct option *option, const char *text, size_t length,
                        uint64_t *value)
{
    if (option->type != TYPE_NAME)
        return parse_number(option, text, length, value);
    for (size_t i = 0; option->names[i] != NULL; i++) {
        if (strlen(option->names[i]) == length && memcmp(option->names[i], text, length) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

/* Adds a value as the user would write it, sizes with the largest suffix that is exact. */
static void format_value(struct out *out, const struct option *option, uint64_t value)
{
    if (option->type == TYPE_NAME) {
        out_format(out, "%s", option->names[value]);
        return;
    }
    const char *suffix = "";
    if (option->type == TYPE_BYTES && value != 0) {
        for (const char *larger = "KMG"; *larger != '\0'; larger++) {
            if (value % suffix_factor(*larger) == 0)
                suffix = larger;
        }
    }
    uint64_t factor = *suffix != '\0' ? suffix_factor(*suffix) : 1;
    out_format(out, "%zu%.1s", (size_t)(value / factor), suffix);
}

/* Adds what the option allows: "never|system|always", "0..64G", or "0..3600000" followed by `ms`,
 * the text for milliseconds. */
static void format_allowed(struct out *out, const struct option *option, const char *ms)
{
    if (option->type == TYPE_NAME) {
        for (size_t i = 0; option->names[i] != NULL; i++)
            out_format(out, "%s%s", i == 0 ? "" : "|", option->names[i]);
        return;
    }
    out_format(out, "0..");
    format_value(out, option, option->most);
    out_format(out, "%s", option->type == TYPE_MILLISECONDS ? ms : "");
}

static void set(struct option *option, uint64_t value)
{
    __atomic_store_n(&option->value, value, __ATOMIC_RELAXED);
}

/* A part of a list. */
struct text {
    const char *start;
    size_t length;
};

/* For "%.*s": the part of a text that a warning repeats. */
#define SHOWN(text) (int)min_size((text).length, SHOWN_TEXT), (text).start

/* text[0..length-1] without the blanks at its ends. */
static struct text trim(const char *text, size_t length)
{
    static const char blanks[] = " \t\r\n";
    while (length != 0 && strchr(blanks, text[0]) != NULL) {
        text++;
        length--;
    }
    while (length != 0 && strchr(blanks, text[length - 1]) != NULL)
        length--;
    return (struct text){text, length};
}

static void warn_unknown(const char *source, struct text key)
{
    char known[ALLOWED_TEXT * 2];
    struct out out;
    out_to_memory(&out, known, sizeof known);
    for (int i = 0; i < OPTION_COUNT; i++)
        out_format(&out, "%s%s", i == 0 ? "" : ", ", option_table[i].name);
    out_end(&out);
    report_warning("%s: unknown option \"%.*s\"; there are: %s", source, SHOWN(key), known);
}

static void warn_value(const char *source, const struct option *option, struct text value)
{
    char allowed[ALLOWED_TEXT];
    struct out out;
    out_to_memory(&out, allowed, sizeof allowed);
    format_allowed(&out, option, ", in ms"); /* "5ms" is not a value */
    out_end(&out);
    if (value.length == 0)
        report_warning("%s: %s has no value; allowed: %s", source, option->name, allowed);
    else
        report_warning(
            "%s: %s cannot be \"%.*s\"; allowed: %s%s", source, option->name, SHOWN(value), allowed,
            memchr(value.start, ':', value.length) != NULL ? "; options are separated by commas"
                                                           : "");
}

/* Applies one "key:value". False, after a warning, if it is not one. */
static bool parse_item(struct text item, const char *source)
{
    size_t key_length = 0;
    while (key_length < item.length && strchr(":=", item.start[key_length]) == NULL)
        key_length++;
    size_t used = min_size(key_length + 1, item.length); /* the key and what follows it */
    struct text key = trim(item.start, key_length);
    struct text value = trim(item.start + used, item.length - used);

    uint64_t parsed;
    struct option *option = find(key.start, key.length);
    if (option == NULL)
        warn_unknown(source, key);
    else if (used != key_length && item.start[key_length] == '=')
        report_warning("%s: \"%.*s\" must be written \"%s:%.*s\"", source, SHOWN(item),
                       option->name, SHOWN(value));
    else if (!parse_value(option, value.start, value.length, &parsed))
        warn_value(source, option, value);
    else {
        set(option, parsed);
        return true;
    }
    return false;
}

bool option_parse(const char *list, const char *source)
{
    bool right = true;
    for (;;) {
        size_t length = strcspn(list, ",");
        struct text item = trim(list, length);
        if (item.length != 0 && !parse_item(item, source))
            right = false;
        if (list[length] == '\0')
            return right;
        list += length + 1;
    }
}

void option_parse_environment(char *const *environment)
{
    static const char prefix[] = "ACRE_OPTIONS=";
    if (environment == NULL || os_is_secure())
        return;
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, prefix, strlen(prefix)) == 0) {
            option_parse(*environment + strlen(prefix), "ACRE_OPTIONS");
            return;
        }
    }
}

int option_get_text(const char *key, char *value, size_t size)
{
    const struct option *option = find(key, strlen(key));
    if (option == NULL)
        return ENOENT;
    struct out out;
    out_to_memory(&out, value, size);
    format_value(&out, option, __atomic_load_n(&option->value, __ATOMIC_RELAXED));
    return out_end(&out) < size ? 0 : ERANGE;
}

int option_set_text(const char *key, const char *value)
{
    struct option *option = find(key, strlen(key));
    if (option == NULL)
        return ENOENT;
    uint64_t parsed;
    if (!parse_value(option, value, strlen(value), &parsed))
        return EINVAL;
    set(option, parsed);
    return 0;
}

void option_print_help(struct out *out)
{
    out_format(out, "%-*s%-*s%-*s%s\n", NAME_COLUMN, "option", ALLOWED_COLUMN, "values",
               DEFAULT_COLUMN, "default", "meaning");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        char allowed[ALLOWED_TEXT];
        char standard[VALUE_TEXT];
        struct out cell;
        out_to_memory(&cell, allowed, sizeof allowed);
        format_allowed(&cell, option, " ms");
        out_end(&cell);
        out_to_memory(&cell, standard, sizeof standard);
        format_value(&cell, option, option->standard);
        out_end(&cell);
        out_format(out, "%-*s%-*s%-*s%s\n", NAME_COLUMN, option->name, ALLOWED_COLUMN, allowed,
                   DEFAULT_COLUMN, standard, option->help);
    }
}
