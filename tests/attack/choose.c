/* Choosing steps: see choose.h. */
#include "choose.h"

#include "attempt.h"
#include "model.h"
#include "random.h"

#include <stdint.h>

enum {
    SIZES = 4,             /* that a sequence asks for, mostly */
    BYTES_MOST = 96 << 20, /* live bytes from which on blocks are freed rather than made */
    RECENT = 64,  /* dead blocks are chosen among the blocks made last, this many, mostly */
    SWEEPS = 200, /* one misuse in that many is a sweep */
    PERCENT = 100,
};

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define UNIT_SIZE (64 * KIB)
#define HEAP_SIZE (32 * MIB)

static struct {
    size_t sizes[SIZES];
    size_t count_most;  /* blocks made at a time */
    unsigned misuses;   /* of 100 steps, how many are misuses */
    unsigned writes;    /* likewise */
    bool leaves_pieces; /* begins with many small blocks of which few stay: then wide blocks are
                           made of what is between them */
    bool forks;
} temper;

static struct random numbers;

static bool one_in(size_t share)
{
    return random_below(&numbers, share) == 0;
}

static size_t choose_large_size(void)
{
    return 1 * MIB - 1 + random_small(&numbers, 5 * MIB);
}

/* A size: TINY and SMALL ones as often as those that are slabs of their own, LARGE ones rarely. */
static size_t choose_any_size(void)
{
    switch (random_below(&numbers, 8)) {
    case 0:
    case 1:
    case 2:
        return random_below(&numbers, 1 * KIB + 1);
    case 3:
    case 4:
        return random_below(&numbers, 8 * KIB);
    case 5:
        return random_below(&numbers, 32 * KIB + 1);
    case 6:
        return 32 * KIB + random_small(&numbers, 1 * MIB - 32 * KIB);
    default:
        return choose_large_size();
    }
}

unsigned choose_temper(void)
{
    static const size_t counts[] = {1, 8, 300, 1000};
    numbers.state = attempt->seed * UINT64_C(0xd1342543de82ef95) + attempt->sequence + 1;
    bool large = one_in(8);
    for (unsigned i = 0; i < SIZES; i++)
        temper.sizes[i] = large       ? choose_large_size()
                          : one_in(2) ? random_small(&numbers, 320)
                                      : choose_any_size();
    temper.count_most = counts[random_below(&numbers, 4)];
    temper.misuses = (unsigned)random_below(&numbers, 60);
    temper.writes = one_in(2) ? (unsigned)random_below(&numbers, 20) : 0;
    temper.forks = one_in(8);
    temper.leaves_pieces = one_in(10);
    attempt->threads = one_in(temper.leaves_pieces ? 2 : 3)
                           ? (unsigned)(2 + random_below(&numbers, THREADS - 1))
                           : 1;
    return 8 + (unsigned)random_small(&numbers, STEPS_MOST - 8);
}

static size_t choose_size(void)
{
    size_t size = temper.sizes[random_below(&numbers, SIZES)];
    if (one_in(8))
        size = choose_any_size();
    else if (one_in(4))
        size += random_small(&numbers, size + 16);
    if (one_in(200))
        size = SIZE_MAX >> random_below(&numbers, 16); /* can never be met */
    return size;
}

/* How many blocks of that size to make at a time. */
static unsigned choose_count(size_t size)
{
    size_t most = size == 0 ? COUNT_MOST : 16 * MIB / size;
    if (most > temper.count_most)
        most = temper.count_most;
    return most < 2 || one_in(2) ? 1 : 1 + (unsigned)random_below(&numbers, most);
}

/* ---- blocks and places ---- */

/* A block, live or dead; NULL if none was made yet. */
static const struct block *choose_block(void)
{
    size_t count = model_block_count();
    if (count == 0)
        return NULL;
    if (model_live_count() != 0 && one_in(2))
        return model_live(random_below(&numbers, model_live_count()));
    if (one_in(2))
        return model_block(random_below(&numbers, count));
    return model_block(count - 1 - random_below(&numbers, count < RECENT ? count : RECENT));
}

static struct place place_at(const struct block *block, enum place_kind kind, intptr_t offset)
{
    return (struct place){kind, block->step, block->number, offset};
}

static struct place number_place(intptr_t number)
{
    return (struct place){.kind = PLACE_NUMBER, .offset = number};
}

/* A multiple of 16, below limit. */
static intptr_t sixteens(size_t limit)
{
    return (intptr_t)(random_below(&numbers, limit / 16 + 1) * 16);
}

/* An address that is no block's: low, high, or not even one of user space. */
static struct place choose_number(void)
{
    switch (random_below(&numbers, 4)) {
    case 0:
        return number_place((intptr_t)random_below(&numbers, 4096));
    case 1:
        return number_place(-(intptr_t)(1 + random_below(&numbers, 4096)));
    case 2:
        return number_place((intptr_t)((uintptr_t)1 << random_below(&numbers, 64)));
    default:
        return number_place((intptr_t)(random_below(&numbers, UINT64_C(1) << 48) / 16 * 16));
    }
}

/* A place of the program's own, on the stack or elsewhere. */
static struct place choose_own(void)
{
    static const enum place_kind kinds[] = {PLACE_STACK, PLACE_DATA, PLACE_CODE, PLACE_MAPPED};
    return (struct place){.kind = kinds[random_below(&numbers, 4)],
                          .offset = (intptr_t)random_below(&numbers, 1024)};
}

/* Any address, that of a live block too. */
static struct place choose_place(void)
{
    const struct block *block = choose_block();
    if (block == NULL)
        return one_in(2) ? choose_own() : choose_number();
    const struct block *removed = model_removed(random_small(&numbers, MODEL_REMOVED));
    size_t other_size = block->usable;
    if (one_in(2)) /* that of another class, perhaps */
        other_size = (temper.sizes[random_below(&numbers, SIZES)] + 16) & ~(size_t)15;
    switch (random_below(&numbers, 14)) {
    case 0:
        return place_at(block, PLACE_BLOCK, 0);
    case 1:
        return place_at(removed != NULL ? removed : block, PLACE_BLOCK, 0);
    case 2: /* inside, or just past its end */
        return place_at(block, PLACE_BLOCK, sixteens(block->usable));
    case 3:
        return place_at(block, PLACE_BLOCK, (intptr_t)random_below(&numbers, block->usable));
    case 4: /* past its end, and below its start */
        return place_at(block, PLACE_BLOCK, (intptr_t)block->usable + sixteens(UNIT_SIZE));
    case 5:
        return place_at(block, PLACE_BLOCK, -(intptr_t)sixteens(UNIT_SIZE));
    case 6: /* where blocks of that size start in the unit, and past the last one */
    case 7:
        return place_at(
            block, PLACE_UNIT,
            (intptr_t)(other_size * random_below(&numbers, UNIT_SIZE / other_size + 2)));
    case 8:
        return place_at(block, PLACE_UNIT, sixteens(UNIT_SIZE));
    case 9: /* in units around it */
        return place_at(block, PLACE_UNIT,
                        ((intptr_t)random_below(&numbers, 33) - 16) * (intptr_t)UNIT_SIZE +
                            (one_in(2) ? 0 : sixteens(UNIT_SIZE)));
    case 10: /* in the heap's header and states, in its units, and in the heaps next to it */
        if (one_in(2))
            return place_at(block, PLACE_HEAP, sixteens(10 * UNIT_SIZE));
        return place_at(block, PLACE_HEAP, sixteens(3 * HEAP_SIZE) - (intptr_t)HEAP_SIZE);
    case 11: /* a bit of the address is another one */
        return place_at(
            block, PLACE_BLOCK,
            (intptr_t)(((uintptr_t)block->start ^ (uintptr_t)1 << random_below(&numbers, 48)) -
                       (uintptr_t)block->start));
    case 12:
        return choose_own();
    default:
        return choose_number();
    }
}

/* ---- steps ---- */

static void choose_make(struct step *step)
{
    static const enum call calls[] = {CALL_MALLOC,  CALL_MALLOC,        CALL_MALLOC,
                                      CALL_CALLOC,  CALL_ALIGNED_ALLOC, CALL_POSIX_MEMALIGN,
                                      CALL_MEMALIGN};
    step->call = calls[random_below(&numbers, one_in(2) ? 4 : 7)];
    step->size = choose_size();
    step->count = choose_count(step->size);
    step->alignment = (size_t)8 << random_small(&numbers, one_in(16) ? 15 : 10);
    if (step->call == CALL_MALLOC || step->call == CALL_CALLOC)
        step->alignment = 1;
}

/* A size to resize a block of `usable` bytes to: a little or much more or less, or another one. */
static size_t choose_new_size(size_t usable)
{
    switch (random_below(&numbers, 4)) {
    case 0:
        return usable + random_small(&numbers, usable + 1);
    case 1:
        return usable - random_small(&numbers, usable + 1);
    case 2:
        return random_small(&numbers, 2 * usable + 1);
    default:
        return choose_size();
    }
}

/* A call that takes a block, with a live one. */
static void choose_proper(struct step *step)
{
    static const enum call calls[] = {CALL_FREE, CALL_FREE, CALL_REALLOC};
    step->call = one_in(16) ? CALL_USABLE_SIZE : calls[random_below(&numbers, 3)];
    if (model_live_count() == 0)
        return;
    const struct block *block = model_live(random_below(&numbers, model_live_count()));
    step->place = place_at(block, PLACE_BLOCK, 0);
    step->size = choose_new_size(block->usable);
}

/* A call that takes a block, with any address. */
static void choose_misuse(struct step *step)
{
    static const enum call calls[] = {CALL_FREE,    CALL_FREE,    CALL_FREE,
                                      CALL_REALLOC, CALL_REALLOC, CALL_USABLE_SIZE};
    step->call = calls[random_below(&numbers, 6)];
    step->place = choose_place();
    step->size = one_in(8) ? 0 : choose_size();
    const struct block *block = choose_block();
    if (one_in(SWEEPS) && block != NULL) {
        step->call = CALL_SWEEP;
        step->place = place_at(block, PLACE_BLOCK, 0);
        step->byte = 1 + (unsigned char)random_below(&numbers, 7);
    }
}

/* One byte, one NUL, or more, past a block's end, or into one, dead or alive. */
static void choose_write(struct step *step)
{
    static const unsigned char bytes[] = {0, 0, 1, 2, 3, 4, 5, 6, 0x41, 0xff};
    const struct block *block = choose_block();
    step->call = CALL_WRITE;
    if (block == NULL)
        return;
    step->byte = bytes[random_below(&numbers, 10)];
    step->size = one_in(2) ? 1 : 1 + random_small(&numbers, WRITE_MOST);
    size_t offset =
        block->live || one_in(2) ? block->usable : random_below(&numbers, block->usable);
    step->place = place_at(block, PLACE_BLOCK, (intptr_t)offset);
}

/* Frees most or many of the blocks that a step has made. */
static void choose_free_many(struct step *step)
{
    static const unsigned keeps[] = {2, 3, 8, 50, COUNT_MOST};
    step->call = CALL_FREE_MANY;
    step->keep = keeps[random_below(&numbers, 5)];
    if (model_live_count() != 0)
        step->place =
            place_at(model_live(random_below(&numbers, model_live_count())), PLACE_BLOCK, 0);
}

static void choose_race(struct step *step)
{
    choose_make(step);
    choose_free_many(step);
    step->call = CALL_RACE;
    step->byte = (unsigned char)random_below(&numbers, 2);
    step->alignment = 1;
}

/* What is neither a call with a block nor one that makes some. */
static void choose_other(struct step *step)
{
    switch (random_below(&numbers, 8)) {
    case 0:
    case 1:
        step->call = CALL_FLUSH;
        return;
    case 2:
        step->call = CALL_TRIM;
        return;
    case 3:
        step->call = CALL_SLEEP;
        step->size = random_below(&numbers, 3000);
        return;
    case 4:
        step->call = temper.forks && one_in(4) ? CALL_FORK : CALL_TRIM;
        step->thread = 0;
        return;
    default:
        step->thread =
            attempt->threads > 1 ? 1 + (unsigned)random_below(&numbers, attempt->threads - 1) : 0;
        if (step->thread == 0)
            choose_free_many(step);
        else if (one_in(2))
            step->call = CALL_THREAD_END;
        else
            choose_race(step);
        return;
    }
}

/* The steps that leave pieces: many blocks, few of them kept, and larger ones from then on, which
 * any thread frees and makes again. */
static bool choose_piece_step(struct step *step)
{
    static const size_t smaller[] = {200, 300, 400, 500, 700, 1000};
    static size_t size;
    static unsigned keep;
    step->thread = step->number < 16 ? 0 : (unsigned)random_below(&numbers, attempt->threads);
    if (step->number == 0) {
        size = smaller[random_below(&numbers, 6)];
        keep = 6 + (unsigned)random_below(&numbers, 16);
        temper.sizes[0] = size;
        temper.sizes[1] = 1 * KIB + 1 + random_below(&numbers, 4 * size);
        temper.sizes[2] = 1 * KIB + 1 + size * random_below(&numbers, keep - 4);
    }
    if (step->number < 6) {
        step->call = CALL_MALLOC;
        step->size = size;
        step->count = COUNT_MOST < 14 * MIB / size / 6 ? COUNT_MOST : 14 * MIB / size / 6;
    } else if (step->number < 12) {
        step->call = CALL_FREE_MANY;
        step->place = (struct place){.kind = PLACE_BLOCK, .step = step->number - 6};
        step->keep = keep;
    } else if (step->number < 16 || step->number >= 20) {
        step->call = CALL_MALLOC;
        step->size = temper.sizes[1 + random_below(&numbers, 2)];
        step->count = 100 + (unsigned)random_below(&numbers, 900);
    } else {
        choose_free_many(step);
        step->place.step = step->number - 4;
    }
    return step->number < 24;
}

struct step choose_step(unsigned number)
{
    struct step step = {.number = number, .keep = 2, .count = 1, .alignment = 1};
    if (temper.leaves_pieces && choose_piece_step(&step))
        return step;
    step.thread = (unsigned)random_below(&numbers, attempt->threads);
    unsigned roll = (unsigned)random_below(&numbers, PERCENT);
    bool full = model_totals().bytes > BYTES_MOST;
    if (roll < temper.misuses)
        choose_misuse(&step);
    else if (roll < temper.misuses + temper.writes)
        choose_write(&step);
    else if (one_in(8))
        choose_other(&step);
    else if (full || one_in(3))
        choose_proper(&step);
    else
        choose_make(&step);
    return step;
}
