/*
 * Options: defaults, every value form, the warnings, text in and out, the help table.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "base/option.h"

SUITE(option);

static const struct {
    const char *name;
    enum option_id id;
    uint64_t standard;
    const char *standard_text;
    const char *allowed;
} options[] = {
    {"on_error", OPTION_ON_ERROR, 0, "abort", "abort|report|ignore"},
    {"foreign", OPTION_FOREIGN, 0, "abort", "abort|report|ignore"},
    {"decay", OPTION_DECAY, 1000, "1000", "0..3600000"},
    {"large_stock", OPTION_LARGE_STOCK, 16 * MIB, "16M", "0..64G"},
    {"dirty_limit", OPTION_DIRTY_LIMIT, 64 * MIB, "64M", "0..64G"},
    {"huge_pages", OPTION_HUGE_PAGES, 1, "large", "never|large|system|always"},
    {"stats", OPTION_STATS, 0, "off", "off|exit"},
    {"stats_file", OPTION_STATS_FILE, 0, "", "NAME"},
    {"stats_seconds", OPTION_STATS_SECONDS, 0, "0", "0..86400"},
    {"stats_signal", OPTION_STATS_SIGNAL, 0, "0", "0..64"},
    {"stats_children", OPTION_STATS_CHILDREN, 1, "1", "0|1"},
    {"background_thread", OPTION_BACKGROUND_THREAD, 0, "0", "0|1"},
    {"profile", OPTION_PROFILE, 0, "0", "0..64G"},
    {"profile_samples", OPTION_PROFILE_SAMPLES, 65536, "65536", "0..16777216"},
    {"trace", OPTION_TRACE, 0, "0", "0..16777216"},
    {"guard", OPTION_GUARD, 0, "0", "0..1000000000"},
    {"hardened", OPTION_HARDENED, 0, "0", "0|1"},
    {"fill", OPTION_FILL, 0, "0", "0|1"},
    {"mismatch", OPTION_MISMATCH, ON_ERROR_IGNORE, "ignore", "abort|report|ignore"},
    {"limit", OPTION_LIMIT, 0, "0", "0..16384G|cgroup[-N%]"},
};

_Static_assert(COUNT_OF(options) == OPTION_COUNT, "an option has no test");

/* Each is parsed from the defaults; the option then has the value. */
static const struct {
    const char *list;
    enum option_id id;
    uint64_t value;
} accepted[] = {
    {"on_error:report", OPTION_ON_ERROR, ON_ERROR_REPORT},
    {"on_error:ignore", OPTION_ON_ERROR, ON_ERROR_IGNORE},
    {"foreign:report", OPTION_FOREIGN, ON_ERROR_REPORT},
    {"foreign:ignore", OPTION_FOREIGN, ON_ERROR_IGNORE},
    {"mismatch:abort", OPTION_MISMATCH, ON_ERROR_ABORT},
    {"mismatch:report", OPTION_MISMATCH, ON_ERROR_REPORT},
    {"decay:0", OPTION_DECAY, 0},
    {"decay:3600000", OPTION_DECAY, 3600000},
    {"large_stock:0", OPTION_LARGE_STOCK, 0},
    {"large_stock:12345", OPTION_LARGE_STOCK, 12345},
    {"large_stock:3K", OPTION_LARGE_STOCK, 3 * KIB},
    {"large_stock:3k", OPTION_LARGE_STOCK, 3 * KIB},
    {"large_stock:3m", OPTION_LARGE_STOCK, 3 * MIB},
    {"large_stock:3g", OPTION_LARGE_STOCK, 3 * GIB},
    {"dirty_limit:64G", OPTION_DIRTY_LIMIT, 64 * GIB},
    {"dirty_limit:68719476736", OPTION_DIRTY_LIMIT, 64 * GIB},
    {"huge_pages:always", OPTION_HUGE_PAGES, 3},
    {"huge_pages:system", OPTION_HUGE_PAGES, 2},
    {"stats:exit", OPTION_STATS, 1},
    {"stats_seconds:15", OPTION_STATS_SECONDS, 15},
    {"stats_signal:64", OPTION_STATS_SIGNAL, 64},
    {"stats_children:0", OPTION_STATS_CHILDREN, 0},
    {"stats_file:/a,stats_file:", OPTION_STATS_FILE, 0},
    {"background_thread:1", OPTION_BACKGROUND_THREAD, 1},
    {"profile:512K", OPTION_PROFILE, 512 * KIB},
    {"profile_samples:1000", OPTION_PROFILE_SAMPLES, 1000},
    {"hardened:1", OPTION_HARDENED, 1},
    {"fill:1", OPTION_FILL, 1},
    {"limit:100M", OPTION_LIMIT, 100 * MIB},
    {"limit:16384g", OPTION_LIMIT, 16384 * GIB},
    {"limit:1000", OPTION_LIMIT, 1000},
    {"limit:cgroup", OPTION_LIMIT, OPTION_LIMIT_GROUP | 10},
    {"limit:cgroup-0%", OPTION_LIMIT, OPTION_LIMIT_GROUP},
    {"limit:cgroup-7%", OPTION_LIMIT, OPTION_LIMIT_GROUP | 7},
    {"limit:cgroup-99%", OPTION_LIMIT, OPTION_LIMIT_GROUP | 99},
    {"decay:5,decay:7", OPTION_DECAY, 7},
    {",,stats:exit,,decay:8,", OPTION_DECAY, 8},
    {"", OPTION_DECAY, 1000},
    {"on_error:report, decay:9", OPTION_DECAY, 9},
    {"  decay :\t9 \n, on_error:report", OPTION_DECAY, 9},
    {"decay: 9", OPTION_DECAY, 9},
    {" , ,", OPTION_DECAY, 1000},
};

/* After an unknown option. */
#define KNOWN                                                                                      \
    "; there are: on_error, foreign, decay, large_stock, dirty_limit, huge_pages, stats, "         \
    "stats_file, "                                                                                 \
    "stats_seconds, stats_signal, stats_children, background_thread, profile, profile_samples, "   \
    "trace, guard, hardened, fill, mismatch, limit"

#define LIMIT_ALLOWED "; allowed: 0..16384G|cgroup[-N%]"

/* Each is one warning, exactly this; valid options around it still apply. */
static const struct {
    const char *item;
    const char *warning; /* what follows "acre: ACRE_OPTIONS: " */
} rejected[] = {
    {"colour:red", "unknown option \"colour\"" KNOWN},
    {"deca:1", "unknown option \"deca\"" KNOWN},
    {":1", "unknown option \"\"" KNOWN},
    {"on_error:2", "on_error cannot be \"2\"; allowed: abort|report|ignore"},
    {"on_error", "on_error has no value; allowed: abort|report|ignore"},
    {"large_stock: ", "large_stock has no value; allowed: 0..64G"},
    {"decay=5", "\"decay=5\" must be written \"decay:5\""},
    {"huge_pages = always", "\"huge_pages = always\" must be written \"huge_pages:always\""},
    {"colour=5", "unknown option \"colour\"" KNOWN},
    {"decay:5 foreign:report",
     "decay cannot be \"5 foreign:report\"; allowed: 0..3600000; options are separated by commas"},
    {"decay:5\nx", "decay cannot be \"5?x\"; allowed: 0..3600000"},
    {"decay:3600001", "decay cannot be \"3600001\"; allowed: 0..3600000"},
    {"decay:1K", "decay cannot be \"1K\"; allowed: 0..3600000"},
    {"decay:-1", "decay cannot be \"-1\"; allowed: 0..3600000"},
    {"decay:1 0", "decay cannot be \"1 0\"; allowed: 0..3600000"},
    {"decay:5ms", "decay cannot be \"5ms\"; allowed: 0..3600000"},
    {"large_stock:65G", "large_stock cannot be \"65G\"; allowed: 0..64G"},
    {"large_stock:K", "large_stock cannot be \"K\"; allowed: 0..64G"},
    {"large_stock:1T", "large_stock cannot be \"1T\"; allowed: 0..64G"},
    {"dirty_limit:99999999999999999999999",
     "dirty_limit cannot be \"99999999999999999999999\"; allowed: 0..64G"},
    {"dirty_limit:18014398509481985K", /* times 1024 it is 2^64 + 1024 */
     "dirty_limit cannot be \"18014398509481985K\"; allowed: 0..64G"},
    {"huge_pages:alway", "huge_pages cannot be \"alway\"; allowed: never|large|system|always"},
    {"huge_pages:always:1", "huge_pages cannot be \"always:1\"; allowed: "
                            "never|large|system|always; options are separated by commas"},
    {"limit:cgroup-100%", "limit cannot be \"cgroup-100%\"" LIMIT_ALLOWED},
    {"limit:cgroup-%", "limit cannot be \"cgroup-%\"" LIMIT_ALLOWED},
    {"limit:cgroup-5", "limit cannot be \"cgroup-5\"" LIMIT_ALLOWED},
    {"limit:cgroup5%", "limit cannot be \"cgroup5%\"" LIMIT_ALLOWED},
    {"limit:cgroup-5K%", "limit cannot be \"cgroup-5K%\"" LIMIT_ALLOWED},
    {"limit:cgrou", "limit cannot be \"cgrou\"" LIMIT_ALLOWED},
    {"limit:16385G", "limit cannot be \"16385G\"" LIMIT_ALLOWED},
    {"stats:on", "stats cannot be \"on\"; allowed: off|exit"},
};

static void parse(void *list)
{
    ck_assert(option_parse(list, "ACRE_OPTIONS"));
}

static void parse_wrong(void *list)
{
    ck_assert(!option_parse(list, "ACRE_OPTIONS"));
}

static void parse_from_elsewhere(void *list)
{
    ck_assert(!option_parse(list, "settings.conf"));
}

TEST(every_option_starts_at_its_default)
{
    char text[32];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        ck_assert_uint_eq(option_value(options[i].id), options[i].standard);
        ck_assert_int_eq(option_get_text(options[i].name, text, sizeof text), 0);
        ck_assert_str_eq(text, options[i].standard_text);
    }
}

TEST_LOOP(allowed_values_are_taken_silently, 0, COUNT_OF(accepted))
{
    struct capture capture;
    char list[128];
    snprintf(list, sizeof list, "%s", accepted[_i].list);
    capture_stderr(&capture, parse, list);
    ck_assert_str_eq(capture.text, "");
    ck_assert_uint_eq(option_value(accepted[_i].id), accepted[_i].value);
    ck_assert_str_eq(list, accepted[_i].list);
}

TEST_LOOP(others_are_one_warning_and_the_rest_applies, 0, COUNT_OF(rejected))
{
    struct capture capture;
    char list[128], wanted[1024];
    snprintf(list, sizeof list, "decay:11,%s,on_error:report", rejected[_i].item);
    snprintf(wanted, sizeof wanted, "acre: ACRE_OPTIONS: %s\n", rejected[_i].warning);
    capture_stderr(&capture, parse_wrong, list);
    ck_assert_str_eq(capture.text, wanted);
    ck_assert_uint_eq(capture.writes, 1);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = options[i].id;
        ck_assert_uint_eq(option_value(id), id == OPTION_DECAY      ? 11
                                            : id == OPTION_ON_ERROR ? ON_ERROR_REPORT
                                                                    : options[i].standard);
    }
}

TEST(each_warning_names_what_is_long_in_short)
{
    char list[1024];
    struct capture capture;
    memset(list, 'y', sizeof list - 1);
    memcpy(list, "decay:", strlen("decay:"));
    list[sizeof list - 1] = '\0';
    capture_stderr(&capture, parse_wrong, list);
    ck_assert_ptr_nonnull(strstr(capture.text, "yyy\"; allowed: 0..3600000\n"));
}

TEST(each_warning_names_the_source)
{
    char list[] = "colour:red,decay:soon,decay=7,stats,foreign:report";
    struct capture capture;
    capture_stderr(&capture, parse_from_elsewhere, list);
    ck_assert_uint_eq(capture.writes, 4);
    for (char *line = strtok(capture.text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        ck_assert_int_eq(strncmp(line, "acre: settings.conf: ", 21), 0);
    ck_assert_uint_eq(option_value(OPTION_FOREIGN), ON_ERROR_REPORT);
}

TEST(the_environment_is_searched)
{
    char other[] = "XACRE_OPTIONS=decay:1";
    char longer[] = "ACRE_OPTIONS_=decay:2";
    char ours[] = "ACRE_OPTIONS=decay:3,stats:exit";
    char *without[] = {other, longer, NULL};
    char *with[] = {other, longer, ours, NULL};
    option_parse_environment(NULL);
    option_parse_environment(without);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
    option_parse_environment(with);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 3);
    ck_assert_uint_eq(option_value(OPTION_STATS), 1);
    ck_assert_str_eq(ours, "ACRE_OPTIONS=decay:3,stats:exit");
}

TEST(text_goes_in_and_out)
{
    static const struct {
        const char *key, *in, *out;
    } texts[] = {
        {"large_stock", "2048", "2K"},     {"large_stock", "1025", "1025"},
        {"large_stock", "1024M", "1G"},    {"large_stock", "0", "0"},
        {"large_stock", "3000M", "3000M"}, {"huge_pages", "system", "system"},
        {"limit", "cgroup", "cgroup-10%"}, {"limit", "cgroup-0%", "cgroup-0%"},
        {"limit", "2048K", "2M"},          {"decay", "2048", "2048"},
        {"foreign", "report", "report"},
    };
    char text[32];
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        ck_assert_int_eq(option_set_text(texts[i].key, texts[i].in), 0);
        ck_assert_int_eq(option_get_text(texts[i].key, text, sizeof text), 0);
        ck_assert_str_eq(text, texts[i].out);
    }
}

TEST(text_errors_are_told_apart)
{
    char text[6] = "-----";
    ck_assert_int_eq(option_set_text("nothing", "1"), ENOENT);
    ck_assert_int_eq(option_set_text("decay", "soon"), EINVAL);
    ck_assert_int_eq(option_set_text("decay", ""), EINVAL);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
    ck_assert_int_eq(option_get_text("nothing", text, sizeof text), ENOENT);
    ck_assert_int_eq(option_get_text("huge_pages", text, 5), ERANGE); /* "large" needs 6 */
    ck_assert_int_eq(option_get_text("huge_pages", NULL, 0), ERANGE);
    ck_assert_int_eq(text[5], '\0');
    ck_assert_int_eq(option_get_text("huge_pages", text, 6), 0);
    ck_assert_str_eq(text, "large");
}

TEST(a_text_is_kept_as_it_was)
{
    char longest[257], text[300];
    memset(longest, 'x', sizeof longest);
    longest[256] = '\0';
    ck_assert_int_eq(option_set_text("stats_file", longest), EINVAL);
    longest[255] = '\0';
    ck_assert_str_eq(option_text(OPTION_STATS_FILE), "");
    ck_assert_int_eq(option_set_text("stats_file", longest), 0);
    const char *kept = option_text(OPTION_STATS_FILE);
    ck_assert_int_eq(option_set_text("stats_file", longest), 0);
    ck_assert_ptr_eq(option_text(OPTION_STATS_FILE), kept);
    ck_assert(option_parse("stats_file: /a:b=c d ,decay:1", "ACRE_OPTIONS"));
    ck_assert_int_eq(option_get_text("stats_file", text, sizeof text), 0);
    ck_assert_str_eq(text, "/a:b=c d");
    ck_assert_str_eq(kept, longest);
    ck_assert_int_eq(option_set_text("stats_file", ""), 0);
    ck_assert_str_eq(option_text(OPTION_STATS_FILE), "");
}

static void print_help(void *unused)
{
    (void)unused;
    option_print_help(STDERR_FILENO);
}

TEST(help_has_a_line_for_each_option_and_its_default)
{
    struct capture capture;
    option_set_text("decay", "77"); /* help tells the default, not the value */
    capture_stderr(&capture, print_help, NULL);

    char *line = strtok(capture.text, "\n");
    char wanted[128];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        line = strtok(NULL, "\n");
        ck_assert_ptr_nonnull(line);
        const char *standard = options[i].standard_text;
        snprintf(wanted, sizeof wanted, "%-18s%-26s%-8s", options[i].name, options[i].allowed,
                 *standard == '\0' ? "none" : standard);
        ck_assert_int_eq(strncmp(line, wanted, strlen(wanted)), 0);
        ck_assert_uint_gt(strlen(line), strlen(wanted));
        ck_assert_uint_le(strlen(line), 100);
    }
    ck_assert_ptr_null(strtok(NULL, "\n"));
}
