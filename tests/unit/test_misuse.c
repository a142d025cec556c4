/*
 * Reports of misuse: the first line exactly as misuse.h documents it, in one write, and the
 * details.
 */
#define _GNU_SOURCE 1
#include "test.h"
#include "child.h"
#include "in_thread.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <regex.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "capture.h"
#include "base/option.h"
#include "base/os.h"
#include "modes/misuse.h"
#include "modes/profile.h"
#include "modes/symbol.h"

static void begin(void)
{
    ck_assert(option_parse("on_error:report,foreign:report", "test"));
}

SUITE(misuse, .begin = begin);

#define MISUSE(fault, name, p, start, size, class, number, ...)                                    \
    {                                                                                              \
        .error = {.kind = fault,                                                                   \
                  .function = name,                                                                \
                  .pointer = (void *)(p),                                                          \
                  .block = (void *)(start),                                                        \
                  .block_size = size,                                                              \
                  .arena = number},                                                                \
        .block_class = class, ##__VA_ARGS__                                                        \
    }

static const struct {
    struct misuse misuse;
    const char *line;
} reports[] = {
    {MISUSE(ACRE_ERROR_DOUBLE_FREE, "free", 0x7f0000010030, 0x7f0000010030, 48, "TINY", 1),
     "acre: double free: free(0x7f0000010030): block 0x7f0000010030 of 48 bytes, TINY, arena 1\n"},
    {MISUSE(ACRE_ERROR_INTERIOR, "free", 0x7f0000010040, 0x7f0000010030, 48, "TINY", 1),
     "acre: interior pointer: free(0x7f0000010040): "
     "block 0x7f0000010030 of 48 bytes, TINY, arena 1\n"},
    {MISUSE(ACRE_ERROR_MISALIGNED, "realloc", 0x7f0000010031, 0x7f0000010030, 48, "TINY", 1),
     "acre: misaligned pointer: realloc(0x7f0000010031): "
     "block 0x7f0000010030 of 48 bytes, TINY, arena 1\n"},
    {MISUSE(ACRE_ERROR_FOREIGN, "free", 0x7ffc12345678, NULL, 0, NULL, 0),
     "acre: foreign pointer: free(0x7ffc12345678): not a block of this allocator\n"},
    {MISUSE(ACRE_ERROR_DOUBLE_FREE, "free", 0x7f0000100000, NULL, 0, NULL, 0),
     "acre: double free: free(0x7f0000100000): the block was released\n"},
    {MISUSE(ACRE_ERROR_INTERIOR, "free", 0x7f0000101000, 0x7f0000100000, 2097152, "LARGE", 0),
     "acre: interior pointer: free(0x7f0000101000): block 0x7f0000100000 of 2097152 bytes, "
     "LARGE\n"},
    {MISUSE(ACRE_ERROR_MISALIGNED, "free", 0x1, NULL, 0, NULL, 0),
     "acre: misaligned pointer: free(0x1)\n"},
    {MISUSE(ACRE_ERROR_USE_AFTER_FREE, "realloc", 0x7f0000100000, NULL, 0, NULL, 0),
     "acre: use after free: realloc(0x7f0000100000): the block was released\n"},
    {MISUSE(ACRE_ERROR_MISMATCH, "free", 0x7f0000010030, 0x7f0000010030, 48, "TINY", 1,
            .error.allocated_by = "operator new"),
     "acre: mismatch: free(0x7f0000010030): block 0x7f0000010030 of 48 bytes, TINY, arena 1, "
     "allocated by operator new\n"},
    {MISUSE(ACRE_ERROR_WRONG_SIZE, "free_sized", 0x7f0000010030, 0x7f0000010030, 48, "TINY", 1,
            .error.requested = 40, .error.given = 48),
     "acre: wrong size: free_sized(0x7f0000010030): block 0x7f0000010030 of 48 bytes, TINY, "
     "arena 1, 40 asked for, 48 given\n"},
    {MISUSE(ACRE_ERROR_WRONG_ALIGNMENT, "operator delete", 0x7f0000100000, 0x7f0000100000, 2097152,
            "LARGE", 0, .error.requested = 64, .error.given = 16),
     "acre: wrong alignment: operator delete(0x7f0000100000): block 0x7f0000100000 of 2097152 "
     "bytes, LARGE, alignment 64 asked for, 16 given\n"},
};

static void report(void *misuse)
{
    errno = EXDEV;
    misuse_report(misuse);
    ck_assert_int_eq(errno, EXDEV);
}

TEST_LOOP(a_misuse_is_named_in_one_write, 0, COUNT_OF(reports))
{
    struct misuse misuse = reports[_i].misuse;
    struct capture capture;
    capture_stderr(&capture, report, &misuse);
    ck_assert_str_eq(capture.text, reports[_i].line);
    ck_assert_uint_eq(capture.writes, 1);
}

/* ---- Details ---- */

static struct misuse freed_twice = MISUSE(
    ACRE_ERROR_DOUBLE_FREE, "free", 0x7f0000010040, 0x7f0000010040, 64, "TINY", 1,
    .before = {(void *)0x7f0000010000, 64, "live"}, .after = {(void *)0x7f0000010080, 64, "free"});

static void check_matches(const char *text, const char *pattern)
{
    regex_t expression;
    ck_assert_int_eq(regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB), 0);
    ck_assert_msg(regexec(&expression, text, 0, NULL, 0) == 0, "%snot %s", text, pattern);
    regfree(&expression);
}

static void *report_as_worker(void *misuse)
{
    prctl(PR_SET_NAME, "a \x1b worker");
    misuse_handle(misuse);
    return NULL;
}

static void report_in_thread(void *misuse)
{
    run_thread(report_as_worker, misuse);
}

#define FRAME "acre:     #[0-9]+ 0x[0-9a-f]+ [^ ]+\\+0x[0-9a-f]+( \\([^ ]+\\+0x[0-9a-f]+\\))?\n"

TEST(neighbours_and_the_threads_name_and_stack_are_told)
{
    struct capture capture;
    capture_stderr(&capture, report_in_thread, &freed_twice);
    check_matches(capture.details, "^acre:   before it: block 0x7f0000010000 of 64 bytes, live\n"
                                   "acre:   after it: block 0x7f0000010080 of 64 bytes, free\n"
                                   "acre:   called by thread [0-9]+ \\(a \\? worker\\) at\n"
                                   "(" FRAME ")+$");
}

TEST(an_unknown_neighbour_is_not_told)
{
    struct misuse misuse = freed_twice;
    struct capture capture;
    misuse.before.block = NULL;
    capture_stderr(&capture, report_in_thread, &misuse);
    check_matches(capture.details, "^acre:   after it: block 0x7f0000010080 of 64 bytes, free\n"
                                   "acre:   called by");
}

/* What a report says of the function that returns to `caller`. */
static void format_call(char *text, size_t size, const void *caller)
{
    snprintf(text, size, " %#zx ", (size_t)(uintptr_t)caller - 1);
}

static const void *caller;

static NOINLINE void report_here(void *misuse)
{
    caller = __builtin_return_address(0);
    misuse_handle(misuse);
}

TEST(a_stack_has_the_callers_call)
{
    struct capture capture;
    char call[64];
    capture_stderr(&capture, report_here, &freed_twice);
    format_call(call, sizeof call, caller);
    ck_assert_ptr_nonnull(strstr(capture.details, call));
}

static NOINLINE void *sample(uintptr_t address)
{
    caller = __builtin_return_address(0);
    ck_assert(profile_draw(64));
    profile_add((void *)address, 64);
    return (void *)address;
}

/* A sample of the heap profile has its stack; of other blocks nothing is told. */
TEST_LOOP(a_sampled_block_has_the_stack_of_its_allocation, 0, 2)
{
    struct misuse misuse = freed_twice;
    struct capture capture;
    char call[64], line[64];
    ck_assert_int_eq(profile_start(1), 0);
    sample(0x7f0000010040);
    const char *allocated_by = caller;
    if (_i == 1)
        profile_end_sample(misuse.error.block);
    capture_stderr(&capture, report, &misuse);
    snprintf(line, sizeof line, "acre:   allocated by thread %d at\n", os_thread_id());
    const char *found = strstr(capture.details, line);
    ck_assert_int_eq(found != NULL, _i == 0);
    format_call(call, sizeof call, allocated_by);
    ck_assert(_i == 1 || strstr(found, call) != NULL);
}

/* Also of those that share a bucket: there are fewer buckets than samples. */
TEST(each_sample_has_its_own_stack)
{
    enum { SAMPLES = 90 };
    static const void *callers[SAMPLES];
    uintptr_t frames[MISUSE_DEPTH];
    int thread;
    ck_assert_int_eq(option_set_text("profile_samples", "96"), 0);
    ck_assert_int_eq(profile_start(1), 0);
    for (size_t i = 0; i < SAMPLES; i++) {
        sample(0x7f0000010000 + 64 * i);
        callers[i] = caller;
        i++;
        sample(0x7f0000010000 + 64 * i);
        callers[i] = caller;
    }
    ck_assert_ptr_ne(callers[0], callers[1]);
    for (size_t i = 0; i < SAMPLES; i++) {
        void *block = (void *)(0x7f0000010000 + 64 * i);
        size_t depth = profile_stack_of(block, frames, MISUSE_DEPTH, &thread), at = 0;
        while (at < depth && frames[at] != (uintptr_t)callers[i])
            at++;
        ck_assert_uint_lt(at, depth);
    }
}

/* ---- The handler ---- */

static unsigned calls;

static void count_call(const struct acre_error *error)
{
    const struct acre_error *expected = &freed_twice.error;
    ck_assert(error->kind == expected->kind && error->function == expected->function &&
              error->pointer == expected->pointer && error->block == expected->block &&
              error->block_size == expected->block_size && error->arena == expected->arena);
    ck_assert_uint_gt(error->depth, 0);
    calls++;
    errno = ENOENT;
}

/* It is called whether or not the misuse is reported. */
TEST_LOOP(the_handler_is_called_once_for_each_misuse, 0, 2)
{
    struct misuse misuse = freed_twice;
    struct capture capture;
    ck_assert(option_parse(_i == 0 ? "on_error:report" : "on_error:ignore", "test"));
    ck_assert_ptr_null(misuse_set_handler(count_call));
    errno = EXDEV;
    capture_stderr(&capture, report_here, &misuse);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(capture.writes, _i == 0);
    ck_assert(misuse_set_handler(NULL) == count_call);
    capture_stderr(&capture, report_here, &misuse);
    ck_assert_uint_eq(calls, 1);
}

static void misuse_again(const struct acre_error *error)
{
    struct misuse misuse = freed_twice;
    (void)error;
    calls++;
    ck_assert_uint_le(calls, 3);
    misuse_handle(&misuse);
}

TEST(a_misuse_by_the_handler_does_not_call_it)
{
    struct misuse misuse = freed_twice;
    struct capture capture;
    misuse_set_handler(misuse_again);
    for (unsigned i = 1; i <= 3; i++) {
        capture_stderr(&capture, report_here, &misuse);
        ck_assert_uint_eq(calls, i);
        ck_assert_uint_eq(capture.writes, 2);
    }
}

static jmp_buf back;

static void jump(const struct acre_error *error)
{
    (void)error;
    calls++;
    longjmp(back, 1);
}

/* Calls the handler from a frame that is `depth` calls deeper, and leaves what it has of the stack
 * as it was. */
static NOINLINE void misuse_at_depth(unsigned depth)
{
    struct misuse misuse = freed_twice;
    if (depth != 0)
        misuse_at_depth(depth - 1);
    else
        misuse_handle(&misuse);
    __asm__ volatile("" : : "r"(&misuse) : "memory");
}

/* From a deeper frame, the same one and a higher one. */
TEST(after_a_jump_out_of_the_handler_it_is_called_again)
{
    static const unsigned depths[] = {3, 3, 9, 4, 0, 5, 200, 3};
    static volatile unsigned i;
    ck_assert(option_parse("on_error:ignore", "test"));
    misuse_set_handler(jump);
    for (i = 0; i < COUNT_OF(depths); i++)
        if (setjmp(back) == 0)
            misuse_at_depth(depths[i]);
    ck_assert_uint_eq(calls, COUNT_OF(depths));
}

/* ---- Names ---- */

/* As the dynamic linker says it. */
static void check_symbol(const void *function, bool in_program)
{
    struct readable memory = {.to = UINTPTR_MAX};
    struct symbol symbol;
    struct link_map *map;
    Dl_info info;
    symbol_find(&memory, (uintptr_t)function + 1, &symbol);
    ck_assert_int_ne(dladdr1(function, &info, (void **)&map, RTLD_DL_LINKMAP), 0);
    ck_assert_ptr_nonnull(symbol.image);
    ck_assert_uint_eq(symbol.offset, (uintptr_t)function + 1 - map->l_addr);
    if (in_program)
        return;
    ck_assert_str_eq(symbol.image, info.dli_fname);
    ck_assert_ptr_nonnull(symbol.function);
    ck_assert_ptr_eq(dlsym(RTLD_DEFAULT, symbol.function), function);
    ck_assert_uint_eq(symbol.function_offset, 1);
}

TEST(functions_of_libraries_are_found_by_address)
{
    static const char *const names[] = {"printf", "qsort", "regcomp", "ck_assert_failed"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const void *function = dlsym(RTLD_DEFAULT, names[i]);
        if (function != NULL)
            check_symbol(function, false);
    }
    check_symbol((const void *)(uintptr_t)report_here, true);
}

TEST(what_lies_in_no_image_has_no_name)
{
    int here;
    const uintptr_t addresses[] = {0, 1, 4096, UINTPTR_MAX, (uintptr_t)&here};
    struct readable memory = {.to = UINTPTR_MAX};
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct symbol symbol = {"", 1, "", 1};
        symbol_find(&memory, addresses[i], &symbol);
        ck_assert(symbol.image == NULL && symbol.function == NULL);
    }
}
