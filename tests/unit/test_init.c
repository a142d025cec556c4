/*
 * Starting and ending: the environment, the fork handlers, the statistics at exit.
 */
#include "test.h"
#include "paths/alloc.h"
#include "arena/arena.h"
#include "capture.h"
#include "paths/free.h"
#include "process/init.h"
#include "base/lock.h"
#include "base/option.h"
#include "arena/thread.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

SUITE(init);

TEST(options_come_from_the_environment)
{
    char *environment[] = {"HOME=/", "ACRE_OPTIONS=decay:77,abort:0", "TERM=dumb", NULL};

    init_start(environment);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 77);
    ck_assert_uint_eq(option_value(OPTION_ABORT), 0);
}

TEST(no_environment_leaves_the_defaults)
{
    init_start(NULL);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
    ck_assert_uint_eq(option_value(OPTION_ABORT), 1);
}

TEST(allocation_works_before_starting)
{
    char *block = alloc_block(100);

    ck_assert_ptr_nonnull(block);
    memset(block, 1, 100);
    init_start(NULL);
    ck_assert_uint_ge(free_usable_size(block, "test"), 100);
    free_block(block);
    ck_assert(arena_is_valid(thread_own_arena()));
}

static void count_generations(void *argument)
{
    struct arena *arena = argument;

    if (fork_generation() != 1 || thread_own_arena() != arena)
        _exit(1);
    pid_t child = fork();
    if (child == 0)
        _exit(fork_generation() == 2 && arena_adopt() != arena ? 0 : 1);
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        _exit(2);
}

TEST(each_fork_is_a_generation)
{
    struct capture capture;

    init_start(NULL);
    ck_assert_ptr_nonnull(alloc_block(1));
    capture_child(&capture, count_generations, thread_own_arena());
    ck_assert_int_eq(capture.status, 0);
    ck_assert_uint_eq(fork_generation(), 0);
}

static void begin_with_statistics(void)
{
    char *environment[] = {"ACRE_OPTIONS=stats:exit", NULL};

    init_start(environment);
}

/* A program that closes its standard error before destructors run, as many do. */
static void end_without_stderr(void *unused)
{
    (void)unused;
    begin_with_statistics();
    alloc_block(100);
    close(STDERR_FILENO);
    init_end();
}

static void end_without_option(void *unused)
{
    (void)unused;
    init_start(NULL);
    alloc_block(100);
    init_end();
}

TEST(statistics_at_exit_are_asked_for)
{
    struct capture capture;

    capture_child(&capture, end_without_option, NULL);
    ck_assert_str_eq(capture.text, "");
    capture_child(&capture, end_without_stderr, NULL);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_msg(strncmp(capture.text, "acre ", 5) == 0, "%s", capture.text);
    ck_assert_ptr_nonnull(strstr(capture.text, "live TINY and SMALL"));
}

/* Descriptors that a program has to itself, above the lowest that is duplicated. */
enum { DESCRIPTORS = 110 };

/* Makes all descriptors from `lowest` on those of a file of the program's own. */
static void open_own_file(int lowest)
{
    FILE *file = tmpfile();

    if (file == NULL)
        _exit(9);
    for (int fd = lowest; fd < DESCRIPTORS; fd++)
        if (fd != fileno(file) && dup2(fileno(file), fd) != fd)
            _exit(9);
}

/* To end with: the program's file, which `fd` is of, has nothing in it. */
static void check_own_file(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0 || status.st_size != 0)
        _exit(8);
}

/* A daemon that closes all descriptors and opens its own files. */
static void end_with_own_descriptors(void *unused)
{
    (void)unused;
    begin_with_statistics();
    open_own_file(STDERR_FILENO);
    init_end();
    check_own_file(STDERR_FILENO);
    check_own_file(DESCRIPTORS - 1);
}

/* The same, but for standard error. */
static void end_with_stderr_alone(void *unused)
{
    (void)unused;
    begin_with_statistics();
    open_own_file(STDERR_FILENO + 1);
    init_end();
    check_own_file(DESCRIPTORS - 1);
}

/* A program that was started without standard error: its first file gets that number. */
static void end_begun_without_stderr(void *unused)
{
    (void)unused;
    close(STDERR_FILENO);
    begin_with_statistics();
    open_own_file(STDERR_FILENO);
    init_end();
    check_own_file(STDERR_FILENO);
}

TEST(statistics_do_not_go_into_files_of_the_program)
{
    struct capture capture;

    capture_child(&capture, end_with_own_descriptors, NULL);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_str_eq(capture.text, "");
    capture_child(&capture, end_with_stderr_alone, NULL);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_msg(strncmp(capture.text, "acre ", 5) == 0, "%s", capture.text);
    capture_child(&capture, end_begun_without_stderr, NULL);
    ck_assert_int_eq(capture.status, 0);
}
