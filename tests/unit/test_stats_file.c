/*
 * Statistics as the options ask for them: where they go, in which format, when, and that a reader
 * never sees a part of a file. Times are passed in, so nothing depends on how fast it runs.
 */
#include "test.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "arena/background.h"
#include "arena/idle.h"
#include "base/os.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "process/stats_file.h"
#include "sanitized.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT = 1 << 16, SECOND = 1000 };

static char directory[] = "/tmp/acre-stats.XXXXXX";

static void set_option(const char *key, const char *value)
{
    ck_assert_int_eq(option_set_text(key, value), 0);
}

/* The path of a file in the directory. */
static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void set_file(const char *pattern)
{
    set_option("stats_file", path_of(pattern));
}

/* Files in the directory; the last one's name is in `name`. */
static size_t count_files(char name[256])
{
    size_t count = 0;
    DIR *files = opendir(directory);
    ck_assert_ptr_nonnull(files);
    for (struct dirent *file; (file = readdir(files)) != NULL;) {
        if (file->d_name[0] == '.')
            continue;
        snprintf(name, 256, "%s", file->d_name);
        count++;
    }
    closedir(files);
    return count;
}

static void remove_directory(void)
{
    char name[256];
    while (count_files(name) != 0)
        unlink(path_of(name));
    rmdir(directory);
}

static void begin_in_directory(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    begin_without_decay();
    alloc_block(100);
}

SUITE(stats_file, .begin = begin_in_directory);

/* The file's text; "" if there is none. */
static const char *text_of(const char *name)
{
    static char text[TEXT];
    FILE *file = fopen(path_of(name), "re");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (file != NULL)
        fclose(file);
    text[length] = '\0';
    return text;
}

static bool ends_in(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* Checks that there is one file, of that name, with a text that begins and ends so. */
static void check_file(const char *name, const char *first, const char *last)
{
    char found[256] = "";
    ck_assert_uint_eq(count_files(found), 1);
    ck_assert_str_eq(found, name);
    const char *text = text_of(name);
    ck_assert_msg(strncmp(text, first, strlen(first)) == 0 && ends_in(text, last), "%s", text);
    unlink(path_of(name));
}

TEST(the_name_says_the_process_and_the_format)
{
    char wanted[256];
    set_option("stats", "exit");
    set_file("a.%n.%p.%%.%x");
    stats_file_end();
    snprintf(wanted, sizeof wanted, "a.%s.%d.%%.%%x", program_invocation_short_name, getpid());
    check_file(wanted, "acre ", "\n");
    set_file("a.json");
    stats_file_end();
    check_file("a.json", "{\"version\": ", "}\n");
    set_file(".xml.prom");
    set_file("a.prom");
    stats_file_end();
    check_file("a.prom", "# HELP acre_arenas ", "\n");
    set_file("a.xml");
    stats_file_end();
    check_file("a.xml", "<malloc version=\"1\">\n", "</malloc>\n");
    set_file("xml");
    stats_file_end();
    check_file("xml", "acre ", "\n");
    remove_directory();
}

TEST(nothing_is_written_unless_it_is_asked_for)
{
    char name[256];
    set_file("a");
    stats_file_end();
    idle_tick(os_now_ms() + 100 * SECOND);
    ck_assert_uint_eq(count_files(name), 0);
    remove_directory();
}

TEST(a_tick_writes_when_it_is_time)
{
    char name[256];
    uint64_t start = os_now_ms();
    set_file("a");
    set_option("stats_seconds", "10");
    idle_tick(start + 9 * SECOND);
    ck_assert_uint_eq(count_files(name), 0);
    idle_tick(start + 11 * SECOND);
    check_file("a", "acre ", "\n");
    idle_tick(start + 20 * SECOND);
    ck_assert_uint_eq(count_files(name), 0);
    idle_tick(start + 5 * SECOND); /* a thread that read the clock long ago */
    ck_assert_uint_eq(count_files(name), 0);
    idle_tick_all(start + 21 * SECOND);
    check_file("a", "acre ", "\n");
    set_option("stats_seconds", "0");
    idle_tick(start + 1000 * SECOND);
    ck_assert_uint_eq(count_files(name), 0);
    remove_directory();
}

TEST(the_slow_paths_tick)
{
    set_file("a");
    set_option("stats_seconds", "1");
    while (*text_of("a") == '\0')
        free_block(alloc_block(2 * MIB));
    remove_directory();
}

static void *wait_for_file(void *unused)
{
    WAIT_UNTIL(*text_of("a") != '\0');
    return unused;
}

TEST(the_background_thread_writes_while_others_sleep)
{
    set_file("a");
    set_option("decay", "0"); /* nothing is idle, so it would sleep until it is rung */
    set_option("stats_seconds", "1");
    set_option("background_thread", "1");
    background_start();
    wait_for_file(NULL);
    unlink(path_of("a"));
    wait_for_file(NULL);
    remove_directory();
}

/* ---- signals ---- */

static void start_with_signal(void *number)
{
    option_set_text("stats_signal", number);
    stats_file_start();
}

TEST(a_signal_asks_for_a_writing)
{
    char name[256];
    set_file("a");
    start_with_signal("10");
    errno = 77;
    raise(SIGUSR1);
    ck_assert_int_eq(errno, 77);
    ck_assert_uint_eq(count_files(name), 0);
    idle_tick(os_now_ms());
    check_file("a", "acre ", "\n");
    idle_tick(os_now_ms() + 100 * SECOND);
    ck_assert_uint_eq(count_files(name), 0);
    remove_directory();
}

TEST(a_signal_wakes_the_background_thread)
{
    set_option("decay", "0"); /* nothing is idle, so it sleeps until it is rung */
    set_option("background_thread", "1");
    set_file("a");
    start_with_signal("12");
    background_start();
    for (int round = 0; round < 3; round++) {
        raise(SIGUSR2);
        wait_for_file(NULL);
        unlink(path_of("a"));
        usleep(100000); /* the first signal may come before it sleeps, the others do not */
    }
    remove_directory();
}

static int signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

TEST(a_signal_of_the_programs_stays_the_programs)
{
    struct capture capture;
    char name[256];
    set_file("a");
    signal(SIGUSR1, count_signal);
    start_with_signal("10");
    raise(SIGUSR1);
    idle_tick(os_now_ms());
    ck_assert_int_eq(signals, 1);
    ck_assert_uint_eq(count_files(name), 0);
    capture_stderr(&capture, start_with_signal, "9");
    ck_assert_str_eq(capture.text, "acre: stats_signal cannot be 9\n");
    capture_stderr(&capture, start_with_signal, "11");
    ck_assert_str_eq(capture.text, "acre: stats_signal cannot be 11\n");
    remove_directory();
}

/* ---- children, errors ---- */

static int end(void)
{
    stats_file_end();
    return 0;
}

TEST(a_child_writes_a_file_of_its_own)
{
    char name[256], own[32];
    set_option("stats", "exit");
    set_file("a");
    ck_assert_int_eq(result_in_child(end), 0);
    ck_assert_uint_eq(count_files(name), 0);
    set_file("%p");
    ck_assert_int_eq(result_in_child(end), 0);
    ck_assert_uint_eq(count_files(name), 1);
    snprintf(own, sizeof own, "%d", getpid());
    ck_assert_str_ne(name, own);
    unlink(path_of(name));
    set_option("stats_children", "0");
    ck_assert_int_eq(result_in_child(end), 0);
    ck_assert_uint_eq(count_files(name), 0);
    stats_file_end();
    check_file(own, "acre ", "\n");
    remove_directory();
}

static void end_twice(void *unused)
{
    (void)unused;
    stats_file_end();
    stats_file_end();
}

TEST(a_file_that_cannot_be_written_is_said_once)
{
    struct capture capture;
    char wanted[600];
    set_option("stats", "exit");
    set_file("none/a");
    capture_stderr(&capture, end_twice, NULL);
    snprintf(wanted, sizeof wanted, "acre: cannot write the statistics to %s: error %d\n",
             path_of("none/a"), ENOENT);
    ck_assert_str_eq(capture.text, wanted);
    remove_directory();
}

static void ask_after_the_start(void *unused)
{
    (void)unused;
    stats_file_start();
    set_option("stats", "exit");
    stats_file_end();
}

TEST(what_is_asked_for_later_goes_to_standard_error)
{
    struct capture capture;
    capture_stderr(&capture, ask_after_the_start, NULL);
    ck_assert_msg(strncmp(capture.text, "acre ", 5) == 0, "%s", capture.text);
}

TEST(the_last_file_stays_if_a_new_one_cannot_be_written)
{
    char name[256], text[TEXT];
    struct capture capture;
    set_option("stats", "exit");
    set_file("a");
    stats_file_end();
    snprintf(text, sizeof text, "%s", text_of("a"));
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}), 0);
    alloc_block(3 * MIB);
    capture_stderr(&capture, end_twice, NULL);
    ck_assert_ptr_nonnull(strstr(capture.text, "cannot write the statistics to "));
    ck_assert_uint_eq(count_files(name), 1);
    ck_assert_str_eq(text_of("a"), text);
    remove_directory();
}

/* A link in the place of the file that is written beside: the file that it leads to stays. */
TEST(no_link_is_followed)
{
    char beside[64], other[512];
    struct stat status;
    set_option("stats", "exit");
    set_file("a");
    snprintf(other, sizeof other, "%s", path_of("other"));
    snprintf(beside, sizeof beside, "a.%d.tmp", os_thread_id());
    ck_assert_int_eq(symlink(other, path_of(beside)), 0);
    stats_file_end();
    ck_assert_int_ne(stat(other, &status), 0);
    check_file("a", "acre ", "\n");
    remove_directory();
}

enum { SMALLEST_STACK = 16384 /* bytes: PTHREAD_STACK_MIN where that is a constant */ };

/* With as much of the stack in use as malloc has when it ticks. */
static void *tick_deep(void *unused)
{
    char used[3500];
    memset(used, 1, sizeof used);
    __asm__ volatile("" : : "r"(used) : "memory");
    idle_tick(os_now_ms() + 100 * SECOND);
    __asm__ volatile("" : : "r"(used) : "memory");
    return unused;
}

TEST_UNLESS(NO_LIMITS, the_smallest_stack_has_room)
{
    char *stack = os_map_guarded(SMALLEST_STACK);
    ck_assert_ptr_nonnull(stack);
    set_option("stats_seconds", "1");
    set_file("a.json");
    run_thread_on(stack, SMALLEST_STACK, tick_deep, NULL);
    check_file("a.json", "{\"version\": ", "}\n");
    remove_directory();
}

static int done; /* [any] */

/* Reads the file again and again: each time it is whole. */
static void *read_files(void *unused)
{
    while (__atomic_load_n(&done, __ATOMIC_RELAXED) == 0) {
        const char *text = text_of("a.xml");
        ck_assert(*text == '\0' || ends_in(text, "</malloc>\n"));
    }
    return unused;
}

TEST(a_reader_never_sees_a_part)
{
    enum { ROUNDS = 200 };
    uint64_t start = os_now_ms();
    set_file("a.xml");
    set_option("stats_seconds", "1");
    pthread_t reader = begin_thread(read_files, NULL);
    for (uint64_t i = 1; i <= ROUNDS; i++)
        idle_tick(start + i * SECOND);
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    end_thread(reader);
    remove_directory();
}
