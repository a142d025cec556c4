/*
 * Options from files: lists, comments, sections by executable, mistakes with file and line, files
 * that are not trusted, and where the user's file is.
 */
#include "test.h"
#include "base/option.h"
#include "base/os.h"
#include "capture.h"
#include "child.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char directory[] = "/tmp/acre-conf-XXXXXX";
static char path[64];
static char own_name[NAME_MAX + 1];

static void begin(void)
{
    char link[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", link, sizeof link - 1);
    ck_assert_int_gt((int)length, 0);
    link[length] = '\0';
    snprintf(own_name, sizeof own_name, "%s", strrchr(link, '/') + 1);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/acre.conf", directory);
}

SUITE(conf, .begin = begin);

static void remove_all(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

/* Writes the file; `%s` in the text is this program's name. */
static void write_conf(const char *at, const char *text)
{
    FILE *file = fopen(at, "w");
    ck_assert_ptr_nonnull(file);
    const char *name = strstr(text, "%s");
    if (name != NULL) {
        fwrite(text, 1, (size_t)(name - text), file);
        fputs(own_name, file);
        text = name + 2;
    }
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(at, 0644), 0);
}

static void read_file_here(void *roots)
{
    option_read_file(path, roots != NULL ? OS_ROOTS : OS_OWN);
}

/* Reads the file with that text: it must write `warnings`, in which `PATH` is the file's path. */
static void read_text(const char *text, const char *warnings)
{
    struct capture capture;
    char wanted[1024] = "";
    write_conf(path, text);
    for (const char *at; (at = strstr(warnings, "PATH")) != NULL; warnings = at + 4) {
        strncat(wanted, warnings, (size_t)(at - warnings));
        strcat(wanted, path);
    }
    strcat(wanted, warnings);
    capture_stderr(&capture, read_file_here, NULL);
    remove_all();
    ck_assert_str_eq(capture.text, wanted);
}

/* What a file says, and `decay` and `stats_children` then; 1000 and 1 by default. */
static const struct {
    const char *text;
    uint64_t decay, children;
    const char *warnings;
} files[] = {
    {"", 1000, 1, ""},
    {"decay:5", 5, 1, ""},
    {"decay:5\nstats_children:0\n", 5, 0, ""},
    {"decay:5, stats_children:0\n\n", 5, 0, ""},
    {"# decay:5\n  # stats_children:0\n\t\r\n", 1000, 1, ""},
    {" decay:5\t\r\ndecay:6 \n", 6, 1, ""},
    {"[%s]\ndecay:5\n", 5, 1, ""},
    {"  [ %s ]  \ndecay:5\n", 5, 1, ""},
    {"[%s2]\ndecay:5\n", 1000, 1, ""},
    {"[2%s]\ndecay:5\n", 1000, 1, ""},
    {"[]\ndecay:5\n", 1000, 1, ""},
    {"[other]\ndecay:5\n[%s]\nstats_children:0\n[third]\ndecay:6\nstats_children:1", 1000, 0, ""},
    {"decay:5\n[%s]\ndecay:6\n", 6, 1, ""},
    {"[other]\nno_such:5\n", 1000, 1, ""},
    {"stats_children:0\n\ndecay:x\ndecay:7\n", 7, 0,
     "acre: PATH:3: decay cannot be \"x\"; allowed: 0..3600000\n"},
    {"decay=5\n[%s]\ndecay\n", 1000, 1,
     "acre: PATH:1: \"decay=5\" must be written \"decay:5\"\n"
     "acre: PATH:3: decay has no value; allowed: 0..3600000\n"},
    {"[%s\ndecay:5\n", 1000, 1, "acre: PATH:1: a section begins with [NAME]\n"},
    {"[\ndecay:5\n", 1000, 1, "acre: PATH:1: a section begins with [NAME]\n"},
};

TEST_LOOP(a_file_is_read, 0, COUNT_OF(files))
{
    read_text(files[_i].text, files[_i].warnings);
    ck_assert_uint_eq(option_value(OPTION_DECAY), files[_i].decay);
    ck_assert_uint_eq(option_value(OPTION_STATS_CHILDREN), files[_i].children);
}

TEST(a_file_that_is_not_there_is_no_mistake)
{
    struct capture capture;
    capture_stderr(&capture, read_file_here, NULL);
    remove_all();
    ck_assert_str_eq(capture.text, "");
}

TEST(a_file_that_is_too_long_is_not_read)
{
    enum { MOST = 8192 };
    static char text[MOST + 2];
    memset(text, ' ', MOST);
    memcpy(text, "stats_children:0\n", 17);
    memcpy(text + MOST - 8, "\ndecay:5", 8);
    read_text(text, "");
    ck_assert_uint_eq(option_value(OPTION_STATS_CHILDREN), 0);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 5);
    option_set_text("stats_children", "1");
    memcpy(text + MOST - 8, "\ndecay:6\n", 9);
    strcpy(directory, "/tmp/acre-conf-XXXXXX");
    begin();
    read_text(text, "acre: PATH is not read: it is longer than 8192 bytes\n");
    ck_assert_uint_eq(option_value(OPTION_STATS_CHILDREN), 1);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 5);
}

/* Otherwise what follows the NUL would be left out without a word. */
TEST(a_file_with_a_nul_byte_is_not_read)
{
    static const char text[] = "decay:5\n\0stats_children:0\n";
    struct capture capture;
    char wanted[128];
    write_conf(path, "");
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
    ck_assert_int_eq(fclose(file), 0);
    snprintf(wanted, sizeof wanted, "acre: %s is not read: there is a NUL byte in it\n", path);
    capture_stderr(&capture, read_file_here, NULL);
    remove_all();
    ck_assert_str_eq(capture.text, wanted);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
    ck_assert_uint_eq(option_value(OPTION_STATS_CHILDREN), 1);
}

/* ---- files that are not trusted ---- */

#define NOT_ROOTS "acre: PATH is not read: it must be root's, and no other may write to it\n"
#define NOT_USERS "acre: PATH is not read: it must be the user's, and no other may write to it\n"

/* Reads a file with that mode and owner. */
static void check_trust(bool roots, mode_t mode, uid_t owner, bool trusted)
{
    struct capture capture;
    char wanted[256] = "";
    write_conf(path, "decay:5\n");
    ck_assert_int_eq(chown(path, owner, getegid()), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    option_set_text("decay", "1000");
    capture_stderr(&capture, read_file_here, roots ? path : NULL);
    if (!trusted)
        snprintf(wanted, sizeof wanted, "acre: %s%s", path,
                 (roots ? NOT_ROOTS : NOT_USERS) + strlen("acre: PATH"));
    ck_assert_str_eq(capture.text, wanted);
    ck_assert_uint_eq(option_value(OPTION_DECAY), trusted ? 5 : 1000);
}

TEST(others_must_not_be_able_to_write_to_it)
{
    check_trust(false, 0644, geteuid(), true);
    check_trust(false, 0600, geteuid(), true);
    check_trust(false, 0664, geteuid(), false);
    check_trust(false, 0646, geteuid(), false);
    check_trust(true, 0644, geteuid(), geteuid() == 0);
    remove_all();
}

TEST(it_is_of_root_or_of_the_user)
{
    enum { USER = 1234, OTHER = 1235 };
    if (geteuid() == 0) {
        check_trust(false, 0644, OTHER, false); /* root reads no other user's */
        check_trust(true, 0644, OTHER, false);
        check_trust(true, 0646, 0, false);
        ck_assert_int_eq(chmod(directory, 0777), 0);
        check_trust(true, 0644, USER, false);
        ck_assert_int_eq(chown(directory, USER, USER), 0);
        ck_assert_int_eq(chown(path, USER, USER), 0);
        struct capture capture;
        ck_assert_int_eq(seteuid(USER), 0);
        capture_stderr(&capture, read_file_here, NULL);
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_str_eq(capture.text, "");
        ck_assert_uint_eq(option_value(OPTION_DECAY), 5);
        /* root's file is good for every user */
        ck_assert_int_eq(chown(path, 0, 0), 0);
        option_set_text("decay", "1000");
        ck_assert_int_eq(seteuid(USER), 0);
        capture_stderr(&capture, read_file_here, NULL);
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_str_eq(capture.text, "");
        ck_assert_uint_eq(option_value(OPTION_DECAY), 5);
    }
    remove_all();
}

/* As where HOME is another user's: nothing is said. */
TEST(a_directory_that_may_not_be_entered_is_no_mistake)
{
    struct capture capture;
    write_conf(path, "decay:5\n");
    ck_assert_int_eq(chmod(directory, 0), 0);
    bool root = geteuid() == 0;
    ck_assert(!root || seteuid(1234) == 0);
    capture_stderr(&capture, read_file_here, NULL);
    ck_assert(!root || seteuid(0) == 0);
    ck_assert_int_eq(chmod(directory, 0700), 0);
    remove_all();
    ck_assert_str_eq(capture.text, "");
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
}

TEST(it_is_a_regular_file)
{
    struct capture capture;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    capture_stderr(&capture, read_file_here, NULL); /* does not wait for a writer */
    remove_all();
    ck_assert_ptr_nonnull(strstr(capture.text, "is not read"));
}

/* ---- the user's file ---- */

/* The value of `decay` when the user's file is looked for with these variables. */
static uint64_t decay_with(const char *xdg, const char *home)
{
    char first[200], second[200], other[] = "HOMER=/nonexistent";
    char *environment[] = {other, first, second, NULL};
    option_set_text("decay", "1000");
    if (home == NULL)
        environment[2] = NULL;
    else
        snprintf(second, sizeof second, "HOME=%s", home);
    if (xdg == NULL)
        memmove(&environment[1], &environment[2], 2 * sizeof environment[0]);
    else
        snprintf(first, sizeof first, "XDG_CONFIG_HOME=%s", xdg);
    option_read_files(environment);
    return option_value(OPTION_DECAY);
}

TEST(the_users_file_is_where_xdg_says)
{
    char config[100], below[200], no_place[100];
    snprintf(config, sizeof config, "%s/.config", directory);
    snprintf(below, sizeof below, "%s/.config/acre.conf", directory);
    snprintf(no_place, sizeof no_place, "%s/none", directory);
    ck_assert_int_eq(mkdir(config, 0700), 0);
    write_conf(path, "decay:5\n");
    write_conf(below, "decay:6\n");
    ck_assert_uint_eq(decay_with(directory, NULL), 5);
    ck_assert_uint_eq(decay_with(directory, directory), 5);
    ck_assert_uint_eq(decay_with(NULL, directory), 6);
    ck_assert_uint_eq(decay_with("", directory), 6);
    ck_assert_uint_eq(decay_with("relative", directory), 6);
    ck_assert_uint_eq(decay_with(no_place, directory), 1000);
    ck_assert_uint_eq(decay_with(NULL, no_place), 1000);
    ck_assert_uint_eq(decay_with(NULL, ""), 1000);
    ck_assert_uint_eq(decay_with(NULL, NULL), 1000);
    option_read_files(NULL);
    remove_all();
}

TEST(a_path_that_is_too_long_is_no_file)
{
    static char home[900], variable[1010];
    char *environment[] = {variable, NULL};
    memset(home, '/', sizeof home - 1);
    memcpy(home, directory, strlen(directory));
    snprintf(variable, sizeof variable, "XDG_CONFIG_HOME=%s", home);
    write_conf(path, "decay:5\n");
    option_read_files(environment);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
    variable[strlen("XDG_CONFIG_HOME=") + 400] = '\0';
    option_read_files(environment);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 5);
    remove_all();
}
