/*
 * The program's error handler (acre_set_error_handler): it may allocate, free, fork and jump, since
 * no lock is held; and the process ends or goes on as it and the options say.
 */
#include "check.h"

#include <acre/acre.h>
#include <malloc.h>
#include <setjmp.h>
#include <sys/resource.h>

enum { STATUS_HANDLED = 3 };

static const size_t sizes[] = {48, 1000, 40000, 300000, 3000000};

static unsigned calls;
static struct acre_error last;

/* ---- what the handler does ---- */

static void use_memory(void)
{
    void *blocks[COUNT_OF(sizes)];
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        CHECK((blocks[i] = malloc(sizes[i])) != NULL);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        blocks[i] = realloc(blocks[i], sizes[i] * 2);
        CHECK(blocks[i] != NULL);
        free(blocks[i]);
    }
    malloc_trim(0);
    /* takes every lock: one that the thread held already would end the process */
    CHECK(acre_check(STDERR_FILENO) == 0);
}

static void note(const struct acre_error *error)
{
    calls++;
    last = *error;
    CHECK(error->depth > 0 && error->stack[0] != 0);
}

static void allocate(const struct acre_error *error)
{
    note(error);
    use_memory();
}

static void *use_in_thread(void *unused)
{
    use_memory();
    return unused;
}

static void fork_there(const struct acre_error *error)
{
    note(error);
    in_child(use_memory);
    in_thread(use_in_thread, NULL);
}

static jmp_buf back;

static void jump(const struct acre_error *error)
{
    note(error);
    longjmp(back, 1);
}

static void end(const struct acre_error *error)
{
    note(error);
    _exit(STATUS_HANDLED);
}

static void free_twice_more(const struct acre_error *error)
{
    note(error);
    free((void *)(uintptr_t)error->pointer);
}

/* ---- misuses ---- */

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static void *resize_it(void *p)
{
    CHECK(hide(realloc(p, 100)) == NULL);
    return NULL;
}

static void *ask_it(void *p)
{
    CHECK(malloc_usable_size(p) == 0);
    return NULL;
}

static const struct {
    const char *function;
    void *(*call)(void *p);
} misuses[] = {{"free", free_it}, {"realloc", resize_it}, {"malloc_usable_size", ask_it}};

/* Makes a misuse by this thread, or, with a handler that does not jump, by another one. */
static void make(size_t misuse, void *p, bool by_other)
{
    if (by_other)
        in_thread(misuses[misuse].call, p);
    else if (setjmp(back) == 0)
        (void)hide(misuses[misuse].call(p)); /* not as its last call, which would end this frame */
}

/* Each misuse of blocks of each size calls the handler once, with what is known of it. */
static void try_handler(acre_error_handler *handler, bool by_other)
{
    CHECK(acre_options_parse("on_error:ignore,foreign:ignore", "test") == 0);
    acre_set_error_handler(handler);
    for (size_t m = 0; m < COUNT_OF(misuses); m++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            char *volatile block = hide(malloc(sizes[s]));
            size_t usable = malloc_usable_size(block);
            memset(block, 'b', usable);
            calls = 0;
            make(m, block + 16, by_other);
            CHECK(calls == 1 && last.pointer == block + 16);
            CHECK(strcmp(last.function, misuses[m].function) == 0);
            CHECK(last.kind == ACRE_ERROR_INTERIOR && last.block == block &&
                  last.block_size == usable && (last.arena == 0) == (usable > 1 << 20));
            make(m, block + 1, by_other);
            CHECK(calls == 2 && last.kind == ACRE_ERROR_MISALIGNED && last.block == block);
            make(m, &calls, by_other);
            CHECK(calls == 3 && last.kind == ACRE_ERROR_FOREIGN && last.block == NULL);
            for (size_t i = 0; i < usable; i++)
                CHECK(block[i] == 'b');
            free(block);
        }
    CHECK(acre_set_error_handler(NULL) == handler);
    use_memory();
}

static void free_twice(void)
{
    char *block = hide(malloc(100));
    free(block);
    free(hide(block));
}

static void test_may_do_all(void)
{
    try_handler(allocate, false);
    try_handler(allocate, true);
    try_handler(fork_there, false);
    try_handler(fork_there, true);
    try_handler(jump, false);
}

/* The process ends after the handler, unless that jumps. */
static void end_after(void)
{
    acre_set_error_handler(allocate);
    free_twice();
}

static void end_by_handler(void)
{
    acre_set_error_handler(end);
    free_twice();
}

static void end_by_second(void)
{
    acre_set_error_handler(free_twice_more);
    free_twice();
}

static void survive(void)
{
    acre_set_error_handler(jump);
    for (volatile int i = 0; i < 100; i++)
        if (setjmp(back) == 0)
            free_twice();
    CHECK(calls == 100);
    use_memory();
    _exit(0);
}

/* Runs it in a child with the options of the start; returns the status. */
static int status_of(void (*run)(void))
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        CHECK(null >= 0 && dup2(null, STDERR_FILENO) >= 0);
        run();
        _exit(1);
    }
    return wait_for(child);
}

static void test_ends(void)
{
    int status = status_of(end_after);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = status_of(end_by_second);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = status_of(end_by_handler);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == STATUS_HANDLED);
    CHECK(status_of(survive) == 0);
}

int main(void)
{
    check_begin();
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    test_ends();
    test_may_do_all();
    return 0;
}
