/*
 * Starting and ending: the environment, the fork handlers, the statistics at exit.
 */
#include "test.h"
#include "capture.h"
#include "child.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"

#include <sys/stat.h>

SUITE(init);

TEST(options_come_from_the_environment)
{
    char *environment[] = {"HOME=/", "ACRE_OPTIONS=decay:77,on_error:report", "TERM=dumb", NULL};

    init_start(NULL);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 1000);
    ck_assert_uint_eq(option_value(OPTION_ON_ERROR), ON_ERROR_ABORT);
    init_start(environment);
    ck_assert_uint_eq(option_value(OPTION_DECAY), 77);
    ck_assert_uint_eq(option_value(OPTION_ON_ERROR), ON_ERROR_REPORT);
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

static struct arena *own;

static int count_second(void)
{
    return fork_generation() == 2 && arena_adopt() != own ? 0 : 1;
}

static int count_first(void)
{
    return fork_generation() == 1 && thread_own_arena() == own ? result_in_child(count_second) : 2;
}

TEST(each_fork_is_a_generation)
{
    init_start(NULL);
    ck_assert_ptr_nonnull(alloc_block(1));
    own = thread_own_arena();
    ck_assert_int_eq(result_in_child(count_first), 0);
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

/* Runs run(argument) in a child, which must print the statistics and nothing else. */
static void check_statistics(void (*run)(void *))
{
    struct capture capture;

    capture_child(&capture, run, NULL);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_msg(strncmp(capture.text, "acre ", 5) == 0, "%s", capture.text);
    ck_assert_ptr_nonnull(strstr(capture.text, "live TINY and SMALL"));
}

TEST(statistics_at_exit_are_asked_for)
{
    capture_exit(end_without_option, NULL, "");
    check_statistics(end_without_stderr);
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
    capture_exit(end_with_own_descriptors, NULL, "");
    check_statistics(end_with_stderr_alone);
    capture_exit(end_begun_without_stderr, NULL, "");
}
