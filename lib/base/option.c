/* The table of options, which has all that parsing, printing and help need: see option.h. */
#define _GNU_SOURCE 1
#include "base/option.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/meta.h"
#include "base/os.h"
#include "base/out.h"
#include "base/report.h"

enum {
    SHOWN_TEXT = 48,  /* characters of the user's text that a warning repeats, at most */
    NAME_COLUMN = 18, /* characters, likewise for the next two */
    ALLOWED_COLUMN = 26,
    DEFAULT_COLUMN = 8,
    FILE_MOST = 8 << 10, /* bytes of a file of options */
    PATH_ROOM = 512,     /* bytes of a path; a file with a longer one is not found */
    GROUP_LEFT = 10,     /* per cent of the group's limit that are left to what is not acre's */
};

/* The default of a row, and with it its first value. */
#define DEFAULT(number) .standard = (number), .value = (number)

struct option option_table[OPTION_COUNT] = {
    [OPTION_ON_ERROR] = {"on_error", TYPE_NAME, "abort|report|ignore", DEFAULT(ON_ERROR_ABORT),
                         .help = "at a misuse; report, ignore: the program goes on"},
    [OPTION_FOREIGN] = {"foreign", TYPE_NAME, "abort|report|ignore", DEFAULT(ON_ERROR_ABORT),
                        .help = "the same for pointers that acre did not give"},
    /* after an hour and more, idle memory is as good as never given back */
    [OPTION_DECAY] = {"decay", TYPE_NUMBER, "0..3600000", 3600000, DEFAULT(1000),
                      .help = "ms after which free pages go back to the system"},
    [OPTION_LARGE_STOCK] = {"large_stock", TYPE_BYTES, "0..64G", 64 * GIB, DEFAULT(16 * MIB),
                            .help = "free LARGE memory kept whatever is live; 0: none"},
    [OPTION_DIRTY_LIMIT] = {"dirty_limit", TYPE_BYTES, "0..64G", 64 * GIB, DEFAULT(64 * MIB),
                            .help = "most dirty free memory that an arena keeps"},
    [OPTION_HUGE_PAGES] = {"huge_pages", TYPE_NAME, "never|large|system|always",
                           DEFAULT(HUGE_PAGES_LARGE),
                           .help = "huge pages; large: blocks of 4, heaps of 6 MiB"},
    [OPTION_STATS] = {"stats", TYPE_NAME, "off|exit", DEFAULT(STATS_OFF),
                      .help = "whether to write the statistics at exit"},
    [OPTION_STATS_FILE] = {"stats_file", TYPE_TEXT, "NAME", 255,
                           .help = "their file: %p id, %n name; .json, .prom, .xml"},
    [OPTION_STATS_SECONDS] = {"stats_seconds", TYPE_NUMBER, "0..86400", 86400, DEFAULT(0),
                              .help = "also write them after this many seconds; 0: no"},
    [OPTION_STATS_SIGNAL] = {"stats_signal", TYPE_NUMBER, "0..64", 64, DEFAULT(0),
                             .help = "also write them at that signal; 0: none"},
    [OPTION_STATS_CHILDREN] = {"stats_children", TYPE_NAME, "0|1", DEFAULT(1),
                               .help = "children of fork write them, too (1: yes)"},
    [OPTION_BACKGROUND_THREAD] = {"background_thread", TYPE_NAME, "0|1", DEFAULT(0),
                                  .help = "have a thread give idle memory back (1: yes)"},
    [OPTION_PROFILE] = {"profile", TYPE_BYTES, "0..64G", 64 * GIB, DEFAULT(0),
                        .help = "bytes between samples of the heap; 0: off"},
    [OPTION_PROFILE_SAMPLES] = {"profile_samples", TYPE_NUMBER, "0..16777216", 1 << 24,
                                DEFAULT(65536), .help = "live samples that there is room for"},
    [OPTION_TRACE] = {"trace", TYPE_NUMBER, "0..16777216", 1 << 24, DEFAULT(0),
                      .help = "last calls kept for reports, with stacks; 0: off"},
    [OPTION_GUARD] = {"guard", TYPE_NUMBER, "0..1000000000", 1000000000, DEFAULT(0),
                      .help = "one small block in that many has guards; 0: none"},
    [OPTION_HARDENED] = {"hardened", TYPE_NAME, "0|1", DEFAULT(0),
                         .help = "random places, quarantine, canaries, guard pages"},
    [OPTION_FILL] = {"fill", TYPE_NAME, "0|1", DEFAULT(0),
                     .help = "fill what is allocated and freed (1: yes)"},
    [OPTION_MISMATCH] = {"mismatch", TYPE_NAME, "abort|report|ignore", DEFAULT(ON_ERROR_IGNORE),
                         .help = "the same for new and free, wrong sizes, at start"},
    [OPTION_LIMIT] = {"limit", TYPE_LIMIT, "0..16384G|cgroup[-N%]", 16384 * GIB, DEFAULT(0),
                      .help = "bytes that acre may hold; 0: no limit"},
};

uint64_t option_value(enum option_id id)
{
    return __atomic_load_n(&option_table[id].value, __ATOMIC_RELAXED);
}

const char *option_text(enum option_id id)
{
    /* acquire: the bytes were written before their address */
    uint64_t value = __atomic_load_n(&option_table[id].value, __ATOMIC_ACQUIRE);
    return value == 0 ? "" : (const char *)(uintptr_t)value;
}

/* A part of a list. */
struct text {
    const char *start;
    size_t length;
};

static bool is_text(struct text text, const char *start, size_t length)
{
    return text.length == length && memcmp(text.start, start, length) == 0;
}

static struct text whole(const char *text)
{
    return (struct text){text, strlen(text)};
}

/* The text without the blanks at its ends. */
static struct text strip(struct text text)
{
    static const char blanks[] = " \t\r\n";
    while (text.length != 0 && strchr(blanks, text.start[0]) != NULL) {
        text.start++;
        text.length--;
    }
    while (text.length != 0 && strchr(blanks, text.start[text.length - 1]) != NULL)
        text.length--;
    return text;
}

/* The option of that name, or NULL. */
static struct option *find(struct text name)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_text(name, option_table[i].name, strlen(option_table[i].name)))
            return &option_table[i];
    return NULL;
}

/* The factor that a suffix stands for, 1 if it is none. */
static uint64_t suffix_factor(char suffix)
{
    static const char suffixes[] = {'K', 'M', 'G', 'k', 'm', 'g'};
    const char *found = memchr(suffixes, suffix, sizeof(suffixes));
    return found == NULL ? 1 : KIB << (found - suffixes) % 3 * 10;
}

/* Reads a number of the option's type. False if it is none, or too large. */
static bool parse_number(const struct option *option, struct text text, uint64_t *value)
{
    uint64_t factor = 1, number = 0;
    if (option->type != TYPE_NUMBER && text.length > 1)
        factor = suffix_factor(text.start[text.length - 1]);
    if (factor != 1)
        text.length--;
    for (size_t i = 0; i < text.length; i++) {
        if (text.start[i] < '0' || text.start[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.start[i] - '0');
        if (number > option->most / factor)
            return false;
    }
    *value = number * factor;
    return text.length != 0;
}

static const char group_name[] = "cgroup";

/* Reads a value of TYPE_LIMIT. False if it is none. */
static bool parse_limit(const struct option *option, struct text text, uint64_t *value)
{
    static const struct option percentage = {.type = TYPE_NUMBER, .most = 99};
    size_t length = strlen(group_name);
    if (text.length < length || memcmp(text.start, group_name, length) != 0)
        return parse_number(option, text, value);
    size_t rest = text.length - length;
    const char *share = text.start + length;
    *value = GROUP_LEFT;
    bool right =
        rest == 0 || (rest >= 3 && share[0] == '-' && share[rest - 1] == '%' &&
                      parse_number(&percentage, (struct text){share + 1, rest - 2}, value));
    *value |= OPTION_LIMIT_GROUP;
    return right;
}

/* The name that follows this one in a row's `allowed`; NULL after the last. */
static const char *next_name(const char *name)
{
    name += strcspn(name, "|");
    return *name == '|' ? name + 1 : NULL;
}

/* The text's address, 0 if it is empty: a copy for ever, since other threads may read it when the
 * option has changed. False if it is too long, or there is no memory. */
static bool keep_text(const struct option *option, struct text text, uint64_t *value)
{
    const char *old = option_text((enum option_id)(option - option_table));
    char *copy = NULL;
    if (text.length > option->most)
        return false;
    if (is_text(text, old, strlen(old))) {
        *value = option->value;
        return true;
    }
    if (text.length != 0) {
        copy = meta_alloc(text.length + 1);
        if (copy == NULL)
            return false;
        memcpy(copy, text.start, text.length);
    }
    *value = (uintptr_t)copy;
    return true;
}

/* Sets the option to the value that the text is. False if that is not allowed. */
static bool set_text(struct option *option, struct text text)
{
    uint64_t value = 0;
    if (option->type == TYPE_NAME) {
        const char *name = option->allowed;
        for (; name != NULL && !is_text(text, name, strcspn(name, "|")); name = next_name(name))
            value++;
        if (name == NULL)
            return false;
    } else if (!(option->type == TYPE_TEXT    ? keep_text(option, text, &value)
                 : option->type == TYPE_LIMIT ? parse_limit(option, text, &value)
                                              : parse_number(option, text, &value))) {
        return false;
    }
    __atomic_store_n(&option->value, value, __ATOMIC_RELEASE);
    return true;
}

/* Formats a value as the user would write it, sizes with the largest suffix that is exact. */
static void format_value(struct out *out, const struct option *option, uint64_t value)
{
    out_to_memory(out);
    if (option->type == TYPE_NAME) {
        const char *name = option->allowed;
        for (; value != 0; value--)
            name = next_name(name);
        out_format(out, "%.*s", (int)strcspn(name, "|"), name);
        return;
    }
    if (option->type == TYPE_TEXT) {
        out_format(out, "%s", value == 0 ? "" : (const char *)(uintptr_t)value);
        return;
    }
    if ((value & OPTION_LIMIT_GROUP) != 0) {
        out_format(out, "%s-%d%%", group_name, (int)(value & ~OPTION_LIMIT_GROUP));
        return;
    }
    const char *suffix = "";
    for (const char *larger = "KMG"; option->type != TYPE_NUMBER && *larger != '\0'; larger++)
        if (value != 0 && value % suffix_factor(*larger) == 0)
            suffix = larger;
    out_format(out, "%zu%.1s", (size_t)(value / suffix_factor(*suffix)), suffix);
}

/* For "%.*s": the part of a text that a warning repeats. */
#define SHOWN(text) (int)min_size((text).length, SHOWN_TEXT), (text).start

static void warn_unknown(const char *source, struct text key)
{
    struct out known;
    out_to_memory(&known);
    for (int i = 0; i < OPTION_COUNT; i++)
        out_format(&known, "%s%s", i == 0 ? "" : ", ", option_table[i].name);
    report_warning("%s: unknown option \"%.*s\"; there are: %s", source, SHOWN(key), known.text);
}

static void warn_value(const char *source, const struct option *option, struct text value)
{
    bool has_colon = memchr(value.start, ':', value.length) != NULL;
    if (value.length == 0)
        report_warning("%s: %s has no value; allowed: %s", source, option->name, option->allowed);
    else
        report_warning("%s: %s cannot be \"%.*s\"; allowed: %s%s", source, option->name,
                       SHOWN(value), option->allowed,
                       has_colon ? "; options are separated by commas" : "");
}

/* Applies one "key:value". False, after a warning, if it is not one. */
static bool parse_item(struct text item, const char *source)
{
    size_t key_length = 0;
    while (key_length < item.length && strchr(":=", item.start[key_length]) == NULL)
        key_length++;
    size_t used = min_size(key_length + 1, item.length); /* the key and what follows it */
    struct text key = strip((struct text){item.start, key_length});
    struct text value = strip((struct text){item.start + used, item.length - used});

    struct option *option = find(key);
    if (option == NULL)
        warn_unknown(source, key);
    else if (used != key_length && item.start[key_length] == '=')
        report_warning("%s: \"%.*s\" must be written \"%s:%.*s\"", source, SHOWN(item),
                       option->name, SHOWN(value));
    else if (set_text(option, value))
        return true;
    else
        warn_value(source, option, value);
    return false;
}

bool option_parse(const char *list, const char *source)
{
    bool right = true;
    for (;;) {
        size_t length = strcspn(list, ",");
        struct text item = strip((struct text){list, length});
        if (item.length != 0 && !parse_item(item, source))
            right = false;
        if (list[length] == '\0')
            return right;
        list += length + 1;
    }
}

/* What follows `prefix` in an environment, which may be NULL; NULL if it is not there. */
static const char *variable(char *const *environment, const char *prefix)
{
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, prefix, strlen(prefix)) == 0)
            return *environment + strlen(prefix);
    return NULL;
}

void option_parse_environment(char *const *environment)
{
    const char *list = variable(environment, "ACRE_OPTIONS=");
    if (list != NULL && !os_is_secure())
        option_parse(list, "ACRE_OPTIONS");
}

/* True if the section that a line begins, [NAME], is for the executable `own`. */
static bool is_own_section(struct text line, const char *own, const char *source)
{
    if (line.start[line.length - 1] != ']') {
        report_warning("%s: a section begins with [NAME]", source);
        return false;
    }
    struct text name = strip((struct text){line.start + 1, line.length - 2});
    return own != NULL && is_text(name, own, strlen(own));
}

void option_read_file(const char *path, enum os_owner owner)
{
    static char text[FILE_MOST + 2];
    char source[PATH_ROOM + 16], executable[PATH_ROOM];
    long length = os_read_file(path, owner, text, sizeof(text));
    bool has_nul = length > 0 && strlen(text) != (size_t)length;
    if (length == -EPERM || length > FILE_MOST || has_nul)
        report_warning("%s is not read: %s", path,
                       length > FILE_MOST  ? "it is longer than 8192 bytes"
                       : has_nul           ? "there is a NUL byte in it"
                       : owner == OS_ROOTS ? "it must be root's, and no other may write to it"
                                           : "it must be the user's, and no other may write to it");
    if (length <= 0 || length > FILE_MOST || has_nul)
        return;
    os_executable(executable, sizeof(executable));
    const char *own = strrchr(executable, '/');
    char *line, *rest = text;
    bool applies = true;
    for (unsigned number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        struct text stripped = strip(whole(line));
        snprintf(source, sizeof(source), "%s:%u", path, number);
        if (stripped.length != 0 && stripped.start[0] == '[')
            applies = is_own_section(stripped, own != NULL ? own + 1 : NULL, source);
        else if (applies && stripped.start[0] != '#')
            option_parse(line, source);
    }
}

void option_read_files(char *const *environment)
{
    static const char name[] = "/acre.conf";
    char path[PATH_ROOM];
    const char *directory = variable(environment, "XDG_CONFIG_HOME="), *below = "";
    option_read_file("/etc/acre.conf", OS_ROOTS);
    if (directory == NULL || directory[0] != '/') { /* as the XDG specification says */
        directory = variable(environment, "HOME=");
        below = "/.config";
    }
    if (directory != NULL && directory[0] == '/' && !os_is_secure() &&
        strlen(directory) + strlen(below) + sizeof(name) <= PATH_ROOM) {
        /* without snprintf, whose pages few programs have touched when they start */
        char *end = stpcpy(stpcpy(path, directory), below);
        memcpy(end, name, sizeof(name));
        option_read_file(path, OS_OWN);
    }
}

int option_get_text(const char *key, char *value, size_t size)
{
    const struct option *option = find(whole(key));
    if (option == NULL)
        return ENOENT;
    struct out text;
    format_value(&text, option, __atomic_load_n(&option->value, __ATOMIC_ACQUIRE));
    return (size_t)snprintf(value, size, "%s", text.text) < size ? 0 : ERANGE;
}

int option_set_text(const char *key, const char *value)
{
    struct option *option = find(whole(key));
    if (option == NULL)
        return ENOENT;
    return set_text(option, whole(value)) ? 0 : EINVAL;
}

void option_print_help(int fd)
{
    struct out out;
    out_to_fd(&out, fd);
    static const char row[] = "%-*s%-*s%-*s%s\n";
    out_format(&out, row, NAME_COLUMN, "option", ALLOWED_COLUMN, "values", DEFAULT_COLUMN,
               "default", "meaning");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        struct out standard;
        format_value(&standard, option, option->standard);
        out_format(&out, row, NAME_COLUMN, option->name, ALLOWED_COLUMN, option->allowed,
                   DEFAULT_COLUMN, standard.used == 0 ? "none" : standard.text, option->help);
    }
    out_end(&out);
}
