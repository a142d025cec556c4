/* Carrying out a step: see play.h. */
#include "play.h"

#include "attempt.h"
#include "check.h"
#include "ground.h"
#include "libc_blocks.h"
#include "model.h"
#include "reports.h"
#include "threads.h"

#include <acre/acre.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BLOCK_ALIGNMENT = 16,
    ERRNO_BEFORE = ERANGE, /* what errno is before each call */
};

#define UNIT_SIZE ((uintptr_t)64 << 10)
#define HEAP_SIZE ((uintptr_t)32 << 20)
#define LARGE_FROM ((size_t)1 << 20)      /* bytes; larger blocks are LARGE */
#define IMPOSSIBLE_FROM ((size_t)1 << 48) /* bytes; nothing as large can be had */

bool play_address(const struct place *place, uintptr_t *address)
{
    uintptr_t base = ground_base(place->kind);
    if (place->kind == PLACE_BLOCK || place->kind == PLACE_UNIT || place->kind == PLACE_HEAP) {
        struct block *block = model_named(place->step, place->number);
        if (block == NULL)
            return false;
        base = (uintptr_t)block->start;
        if (place->kind == PLACE_UNIT)
            base &= ~(UNIT_SIZE - 1);
        if (place->kind == PLACE_HEAP)
            base &= ~(HEAP_SIZE - 1);
    }
    *address = base + (uintptr_t)place->offset;
    return true;
}

bool play_is_possible(const struct step *step)
{
    uintptr_t address;
    switch (step->call) {
    case CALL_REALLOC:
    case CALL_FREE:
    case CALL_USABLE_SIZE:
        if (model_room() == 0)
            return false;
        return play_address(&step->place, &address) && !libc_blocks_starting(address);
    case CALL_SWEEP:
    case CALL_WRITE:
        return step->place.kind == PLACE_BLOCK && play_address(&step->place, &address);
    case CALL_FREE_MANY:
        return model_made(step->place.step) != 0;
    case CALL_RACE:
        return model_made(step->place.step) != 0 && model_room() > step->count;
    default:
        return model_room() > step->count;
    }
}

/* ---- what an allocation gives ---- */

/* Adds what a call has returned, which must be a block as asked for. */
static void take(const struct step *step, char *start, size_t alignment)
{
    uintptr_t address = (uintptr_t)start;
    if (address % BLOCK_ALIGNMENT != 0 || address % alignment != 0)
        attempt_found(FOUND_MISALIGNED, "block %p is not aligned to %zu", (void *)start, alignment);
    if (ground_is_own(address, address + (step->size != 0 ? step->size : 1)))
        attempt_found(FOUND_OUTSIDE, "block %p of %zu bytes is in the program's own memory",
                      (void *)start, step->size);
    size_t usable = malloc_usable_size(start);
    if (usable < step->size || usable == 0)
        attempt_found(FOUND_SIZE, "block %p of %zu bytes has %zu usable ones", (void *)start,
                      step->size, usable);
    if (libc_blocks_overlapping(address, address + usable))
        attempt_found(FOUND_OVERLAP, "block %p of %zu bytes overlaps one of the C library's",
                      (void *)start, usable);
    const struct block *other = model_overlapping(address, address + usable);
    if (other != NULL)
        attempt_found(FOUND_OVERLAP,
                      "block %p of %zu bytes overlaps block %p of %zu, which is live",
                      (void *)start, usable, (void *)other->start, other->usable);
    attempt->wide_blocks += usable <= LARGE_FROM && usable != acre_good_size(usable);
    model_add(step->number, start, step->size, usable);
}

/* Checks that calloc's bytes are zero: those that the attacker has not written. Of a LARGE block
 * the ends of pages alone, since looking at all takes long. */
static void check_zero(const char *start, size_t size)
{
    enum { CHUNK = 2048, PART = 64 };
    size_t part = size > LARGE_FROM ? PART : CHUNK;
    static const char zero[CHUNK];
    for (size_t at = 0; at < size; at += CHUNK) {
        size_t bytes = size - at < part ? size - at : part;
        uintptr_t address = (uintptr_t)start + at;
        if (memcmp(start + at, zero, bytes) != 0 && !ground_is_dirtied(address, address + bytes))
            attempt_found(FOUND_NOT_ZERO, "calloc: %p of %zu bytes is not zero from %zu on",
                          (const void *)start, size, at);
    }
}

/* A request that failed must not be one that can be met. */
static void check_refused(const struct step *step, int error)
{
    if (error != ENOMEM)
        attempt_found(FOUND_ERRNO, "errno is %d where %zu bytes were refused", error, step->size);
    attempt->refusals++;
    if (step->size < IMPOSSIBLE_FROM && attempt->set->address_space == 0)
        attempt_found(FOUND_REFUSED, "%zu bytes aligned to %zu were refused", step->size,
                      step->alignment);
}

static void check_granted(const struct step *step, const char *block)
{
    if (step->size >= IMPOSSIBLE_FROM)
        attempt_found(FOUND_GRANTED, "%zu bytes at %p", step->size, (const void *)block);
}

static void *request(const struct step *step)
{
    void *block = NULL;
    switch (step->call) {
    case CALL_CALLOC:
        return libc_blocks_calloc(1, step->size);
    case CALL_ALIGNED_ALLOC:
        return aligned_alloc(step->alignment, step->size);
    case CALL_POSIX_MEMALIGN:
        errno = posix_memalign(&block, step->alignment, step->size);
        if (block != NULL)
            errno = ERRNO_BEFORE;
        return block;
    case CALL_MEMALIGN:
        return memalign(step->alignment, step->size);
    default:
        return malloc(step->size);
    }
}

/* False if it was refused, as it may be. */
static bool make_one(const struct step *step)
{
    bool aligned = step->call == CALL_ALIGNED_ALLOC || step->call == CALL_POSIX_MEMALIGN ||
                   step->call == CALL_MEMALIGN;
    errno = ERRNO_BEFORE;
    char *block = request(step);
    int error = errno;
    if (block == NULL) {
        check_refused(step, error);
        return false;
    }
    check_granted(step, block);
    if (error != ERRNO_BEFORE)
        attempt_found(FOUND_ERRNO, "errno is %d where %zu bytes were given", error, step->size);
    if (step->call == CALL_CALLOC)
        check_zero(block, step->size);
    take(step, block, aligned ? step->alignment : 1);
    return true;
}

static void make(void *argument)
{
    const struct step *step = argument;
    for (unsigned i = 0; i < step->count; i++) {
        attempt->calls++;
        if (!make_one(step))
            break;
    }
}

/* ---- what takes a block ---- */

/* What a step is given, and the live block that starts there, or NULL. */
struct given {
    uintptr_t address;
    char *p;
    struct block *block;
    bool misuse;
};

static struct given given_to(const struct step *step)
{
    struct given given;
    (void)play_address(&step->place, &given.address);
    given.p = (char *)given.address;
    __asm__ volatile("" : "+r"(given.p)); /* or the compiler warns of what it knows about it */
    given.block = model_starting(given.address);
    given.misuse = given.block == NULL && given.p != NULL;
    attempt->calls++;
    attempt->misuses += given.misuse;
    if (given.block != NULL)
        check_block(given.block);
    return given;
}

static void expect_reports(const struct given *given, const char *function)
{
    if (given->misuse)
        reports_expect_misuse(function, given->address);
    else
        reports_expect(0);
}

/* Frees a live block that was checked. */
static void free_live(struct block *block)
{
    errno = ERRNO_BEFORE;
    free(block->start);
    if (errno != ERRNO_BEFORE)
        attempt_found(FOUND_ERRNO, "free(%p) has set errno to %d", (void *)block->start, errno);
    model_remove(block);
}

static void call_free(void *argument)
{
    struct given given = given_to(argument);
    errno = ERRNO_BEFORE;
    free(given.p);
    if (errno != ERRNO_BEFORE)
        attempt_found(FOUND_ERRNO, "free(%#lx) has set errno to %d", given.address, errno);
    if (given.block != NULL)
        model_remove(given.block);
    expect_reports(&given, "free");
}

static void call_usable_size(void *argument)
{
    struct given given = given_to(argument);
    size_t usable = malloc_usable_size(given.p);
    size_t expected = given.block != NULL ? given.block->usable : 0;
    expect_reports(&given, "malloc_usable_size");
    if (usable != expected)
        attempt_found(FOUND_SIZE, "malloc_usable_size(%#lx) is %zu, not %zu", given.address, usable,
                      expected);
}

/* The block was resized: what it had is where it is now. */
static void take_resized(const struct step *step, struct block *old, char *now)
{
    size_t kept = old->usable < step->size ? old->usable : step->size;
    model_remove(old);
    if (!model_is_intact(old, now, kept))
        attempt_found(FOUND_CONTENTS, "realloc(%p, %zu) of %zu bytes: contents have changed",
                      (void *)old->start, step->size, old->usable);
    take(step, now, 1);
}

static void call_realloc(void *argument)
{
    const struct step *step = argument;
    struct given given = given_to(step);
    errno = ERRNO_BEFORE;
    char *now = realloc(given.p, step->size);
    int error = errno;
    expect_reports(&given, "realloc");
    if (given.misuse) {
        if (now != NULL)
            attempt_found(FOUND_ACTED, "realloc(%#lx) returned %p", given.address, (void *)now);
        if (error != ENOMEM)
            attempt_found(FOUND_ERRNO, "realloc(%#lx) has set errno to %d", given.address, error);
    } else if (given.block != NULL && step->size == 0) {
        if (now != NULL)
            attempt_found(FOUND_ACTED, "realloc(%#lx, 0) returned %p", given.address, (void *)now);
        model_remove(given.block);
    } else if (now == NULL) {
        check_refused(step, error);
    } else {
        check_granted(step, now);
        if (given.block != NULL)
            take_resized(step, given.block, now);
        else
            take(step, now, 1);
    }
}

/* Each 16th address of the unit that a block starts in, header and states of its heap if these are
 * there, and as many odd ones: all that are no block's. */
static void sweep(void *argument)
{
    const struct step *step = argument;
    struct step one = *step;
    for (uintptr_t offset = 0; offset < UNIT_SIZE; offset += BLOCK_ALIGNMENT / 2) {
        uintptr_t address;
        one.place.kind = PLACE_UNIT;
        one.place.offset = (intptr_t)(offset % BLOCK_ALIGNMENT == 0 ? offset : offset | step->byte);
        (void)play_address(&one.place, &address);
        if (model_starting(address) != NULL || libc_blocks_starting(address))
            continue;
        call_usable_size(&one);
        call_free(&one);
        if (offset % (64 * BLOCK_ALIGNMENT) == 0)
            call_realloc(&one);
    }
}

/* ---- many at once ---- */

/* True if the step frees the block of that number. */
static bool frees(const struct step *step, unsigned number)
{
    const struct block *block = model_named(step->place.step, number);
    return block->live && number % step->keep != 0;
}

static void free_many(void *argument)
{
    const struct step *step = argument;
    for (unsigned i = 0; i < model_made(step->place.step); i++)
        if (frees(step, i)) {
            check_block(model_named(step->place.step, i));
            free_live(model_named(step->place.step, i));
            attempt->calls++;
        }
}

/* What the helper of a race frees, and before each the place in its middle, if the step says so. */
static struct {
    char *blocks[COUNT_MOST];
    unsigned count;
    bool middles;
} racing;

static void race(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < racing.count; i++) {
        if (racing.middles)
            free(racing.blocks[i] + BLOCK_ALIGNMENT);
        free(racing.blocks[i]);
    }
}

/* A helper frees blocks while the main thread makes others. */
static void run_race(const struct step *step)
{
    racing.count = 0;
    racing.middles = step->byte % 2 != 0;
    for (unsigned i = 0; i < model_made(step->place.step); i++) {
        struct block *block = model_named(step->place.step, i);
        if (!frees(step, i) || (racing.middles && block->usable <= BLOCK_ALIGNMENT))
            continue;
        check_block(block);
        racing.blocks[racing.count++] = block->start;
        model_remove(block);
    }
    attempt->calls += racing.count;
    attempt->misuses += racing.middles ? racing.count : 0;
    threads_start(step->thread, race, NULL);
    struct step made = *step;
    made.call = CALL_MALLOC;
    make(&made);
    threads_wait(step->thread);
    reports_expect(racing.middles ? racing.count : 0);
}

/* ---- other steps ---- */

/* The attacker's write. Live blocks that it reached are filled again: that is no fault of acre's.
 */
static void write_bytes(struct step *step)
{
    uintptr_t address;
    const struct block *from = model_named(step->place.step, step->place.number);
    (void)play_address(&step->place, &address);
    /* the system may have put anything where a LARGE block was */
    if (from->gone)
        step->size = 0;
    step->size = ground_write((char *)address, step->size, step->byte);
    uintptr_t end = address + step->size;
    ground_dirtied(address, end);
    const struct block *reached;
    while ((reached = model_overlapping(address, end)) != NULL) {
        model_fill(reached);
        end = (uintptr_t)reached->start;
    }
}

static void flush(void *unused)
{
    (void)unused;
    acre_thread_flush();
}

static void trim(void *unused)
{
    (void)unused;
    malloc_trim(0);
}

/* The child goes on; its parent ends as it does. */
static void fork_and_go_on(void)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        attempt_failed("fork");
    if (child == 0) {
        alarm(HANG_SECONDS);
        threads_begin();
        return;
    }
    alarm(0);
    while (waitpid(child, &status, 0) != child)
        continue;
    if (WIFSIGNALED(status))
        attempt_found(FOUND_SIGNAL, "signal %d in a child of fork", WTERMSIG(status));
    _exit(WEXITSTATUS(status));
}

void play_step(struct step *step)
{
    switch (step->call) {
    case CALL_FREE:
        threads_call(step->thread, call_free, step);
        break;
    case CALL_REALLOC:
        threads_call(step->thread, call_realloc, step);
        break;
    case CALL_USABLE_SIZE:
        threads_call(step->thread, call_usable_size, step);
        break;
    case CALL_SWEEP:
        threads_call(step->thread, sweep, step);
        break;
    case CALL_FREE_MANY:
        threads_call(step->thread, free_many, step);
        break;
    case CALL_RACE:
        run_race(step);
        break;
    case CALL_FLUSH:
        threads_call(step->thread, flush, NULL);
        break;
    case CALL_TRIM:
        threads_call(step->thread, trim, NULL);
        break;
    case CALL_WRITE:
        write_bytes(step);
        break;
    case CALL_THREAD_END:
        threads_renew(step->thread);
        break;
    case CALL_FORK:
        fork_and_go_on();
        break;
    case CALL_SLEEP:
        usleep((useconds_t)step->size);
        break;
    default:
        threads_call(step->thread, make, step);
        break;
    }
    reports_expect(0);
}

static void free_rest_of(void *argument)
{
    unsigned thread = *(unsigned *)argument;
    for (size_t i = 0; i < model_block_count(); i++) {
        struct block *block = model_block(i);
        if (block->live && i % attempt->threads == thread) {
            free_live(block);
            reports_expect(0);
        }
    }
}

void play_free_rest(void)
{
    for (unsigned i = 0; i < attempt->threads; i++)
        threads_call(i, free_rest_of, &i);
}
