/*
 * Hardened blocks and patterns: where blocks are taken, what stays in quarantine, what is found of
 * writes to freed memory and above what was asked for, and that all of the interface works on.
 */
#include "arena/idle.h"
#include "base/option.h"
#include "block_places.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "large/large.h"
#include "memory.h"
#include "modes/hardened.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "process/check.h"

#include <stdio.h>

enum { KEPT_MOST = 256, KEPT_BYTES = 256 << 10, FREED = 0x5a, ALLOCATED = 0xa5 };

SUITE(hardened, .begin = begin_without_decay);

static const char *const modes[] = {"hardened:1", "fill:1", "hardened:1,fill:1"};

static bool is_hardened(int mode)
{
    return mode != 1;
}

static uint8_t freed_byte(int mode)
{
    return mode == 0 ? 0 : FREED;
}

static void begin_mode(int mode)
{
    ck_assert(option_parse(modes[mode], "test"));
    hardened_start(free_report_damage);
    ck_assert_int_eq(hardened_mode, is_hardened(mode) ? HARDENED_BLOCKS : HARDENED_FILL);
}

static size_t quarantined(void)
{
    return blocks_in_state(thread_own_arena(), BLOCK_QUARANTINED);
}

static const size_t sizes[] = {0, 1, 16, 50, 64, 100, 1000, 1025, 5000, 32768, 40000, 1 << 20};

static void *allocate(size_t size, int how)
{
    return how == 0   ? alloc_block(size)
           : how == 1 ? alloc_zeroed(1, size)
           : how == 2 ? alloc_aligned(256, size)
                      : alloc_resize(NULL, size, "realloc");
}

static void free_it(void *block)
{
    free_block(block);
}

/* ---- Blocks ---- */

TEST(off_by_default)
{
    hardened_start(free_report_damage);
    ck_assert_int_eq(hardened_mode, HARDENED_OFF);
    ck_assert_uint_ne(size_class_short_path[0] / SIZE_CLASS_STRIDE, SIZE_CLASS_COUNT);
    skip_first_blocks();
    char *block = alloc_block(4096);
    ck_assert_uint_eq(*state_of(block), BLOCK_LIVE);
    ck_assert_ptr_null(heap_containing(block)->notes);
    ck_assert_ptr_null(thread_own_arena()->quarantine);
}

/* Each way to allocate gives a block that is seen again, with its size; what is freed is filled. */
TEST_LOOP(each_block_is_seen, 0, 12)
{
    int mode = _i % 3, how = _i / 3;
    begin_mode(mode);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char *block = allocate(sizes[i], how);
            size_t usable = free_usable_size(block, "test");
            size_t asked = sizes[i] == 0 ? 1 : sizes[i];
            if (usable > SIZE_CLASS_LIMIT) {
                ck_assert_uint_eq(usable, alloc_good_size(sizes[i]));
                continue;
            }
            ck_assert_uint_eq(*state_of(block), BLOCK_SAMPLED);
            if (is_hardened(mode))
                ck_assert_uint_eq(usable, asked);
            ck_assert_uint_ge(usable, asked);
            ck_assert_uint_ge(usable, alloc_good_size(sizes[i]));
            if (how == 1)
                ck_assert(is_filled(block, sizes[i], 0));
            else if (mode != 0)
                ck_assert(is_filled(block, asked, ALLOCATED));
            memset(block, 'x', usable);
            uint8_t *state = state_of(block);
            size_t size = slab_of(block)->block_size;
            free_block(block);
            ck_assert_uint_ne(*state, BLOCK_LIVE);
            ck_assert_uint_ne(*state, BLOCK_SAMPLED);
            if (size <= SLAB_SHARED_LIMIT)
                ck_assert(is_filled(block, size, freed_byte(mode)));
        }
    ck_assert(own_arena_is_valid());
    ck_assert_uint_eq(check_process(&(struct out){.fd = -1}), 0);
}

/* realloc keeps contents, the size that was asked for, and all checks, from each size to each. */
TEST_LOOP(realloc_goes_from_each_size_to_each, 0, COUNT_OF(modes))
{
    begin_mode(_i);
    for (size_t from = 0; from < COUNT_OF(sizes); from++)
        for (size_t to = 1; to < COUNT_OF(sizes); to++) {
            char *block = alloc_block(sizes[from]);
            size_t kept = min_size(sizes[from], sizes[to]);
            memset(block, 'k', sizes[from]);
            char *resized = alloc_resize(block, sizes[to], "realloc");
            ck_assert(is_filled(resized, kept, 'k'));
            if (is_hardened(_i))
                ck_assert_uint_eq(free_usable_size(resized, "test"), sizes[to]);
            if (resized != block && _i != 2 && is_hardened(_i) && sizes[to] > sizes[from])
                ck_assert(is_filled(resized + kept, sizes[to] - kept, 0));
            memset(resized, 'n', sizes[to]);
            free_block(resized);
        }
    ck_assert(own_arena_is_valid());
}

/* In a slab of 1024 blocks each group, and each place in a group, is as likely as the others, to
 * five standard deviations. */
TEST(places_are_random)
{
    enum { ROUNDS = 1 << 14, GROUPS = 16, AT_LEAST = 864, AT_MOST = 1184, IN_LEAST = 176 };
    static unsigned groups[GROUPS], inside[STATES_GROUP];
    begin_mode(0);
    (void)alloc_block(64); /* keeps the slab */
    for (int i = 0; i < ROUNDS; i++) {
        char *block = alloc_block(64);
        struct slab *slab = slab_of(block);
        size_t number = (size_t)(block - slab->base) / 64;
        ck_assert_uint_eq(slab->count, GROUPS * STATES_GROUP);
        groups[number / STATES_GROUP]++;
        inside[number % STATES_GROUP]++;
        free_block(block);
        hardened_empty(thread_own_arena()->quarantine);
    }
    for (int i = 0; i < GROUPS; i++)
        ck_assert(groups[i] >= AT_LEAST && groups[i] <= AT_MOST);
    for (int i = 0; i < STATES_GROUP; i++)
        ck_assert(inside[i] >= IN_LEAST && inside[i] <= 2 * 256 - IN_LEAST);
}

/* Where few are free, each group that has one is as likely as the others, and each of its places.
 */
TEST(the_last_places_are_random)
{
    enum { BLOCKS = 1024, PLACES = 8, ROUNDS = 4096, EACH = ROUNDS / PLACES, FIVE_SIGMA = 106 };
    static const size_t places[PLACES] = {130, 131, 150, 190, 704, 730, 766, 767};
    static char *blocks[BLOCKS];
    unsigned taken[BLOCKS] = {0};
    begin_mode(0);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(64);
    struct slab *slab = slab_of(blocks[0]);
    ck_assert_uint_eq(slab->count, BLOCKS);
    for (int i = 0; i < PLACES; i++)
        free_block(slab->base + places[i] * 64);
    hardened_empty(thread_own_arena()->quarantine);
    for (int i = 0; i < ROUNDS; i++) {
        char *block = alloc_block(64);
        ck_assert_ptr_eq(slab_of(block), slab);
        taken[(block - slab->base) / 64]++;
        free_block(block);
        hardened_empty(thread_own_arena()->quarantine);
    }
    for (int i = 0; i < PLACES; i++)
        ck_assert(taken[places[i]] >= EACH - FIVE_SIGMA && taken[places[i]] <= EACH + FIVE_SIGMA);
}

/* Blocks of before stay what they are, and what they leave in magazines serves again. */
TEST_LOOP(blocks_of_before_stay_valid, 0, COUNT_OF(modes))
{
    enum { BLOCKS = 100 };
    char *blocks[BLOCKS];
    skip_first_blocks();
    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i] = alloc_block(64), 'b', 64);
    void *wide = alloc_block(3000);
    begin_mode(_i);
    for (int i = 0; i < BLOCKS; i++) {
        ck_assert_uint_eq(free_usable_size(blocks[i], "test"), 64);
        free_block(blocks[i]);
    }
    free_block(wide);
    for (int i = 0; i < 20 * BLOCKS; i++)
        memset(alloc_block(64), 'n', 64);
    ck_assert(own_arena_is_valid());
}

/* The places of a slab that was released are another's, with other notes. */
TEST(a_new_slab_has_no_notes)
{
    begin_mode(0);
    void *kept = alloc_block(40000);
    for (int i = 0; i < 700; i++)
        free_block(alloc_block(64));
    char *block = alloc_block(64);
    uint8_t *states = slab_of(block)->states;
    free_block(block);
    arena_flush(thread_own_arena());
    block = alloc_block(96);
    struct slab *slab = slab_of(block);
    struct heap *heap = heap_containing(block);
    ck_assert(slab->states < states + 1024 && states < slab->states + slab->count);
    for (size_t i = 0; i < slab->count; i++)
        ck_assert_uint_eq(heap->notes[slab->states - heap->states + (ptrdiff_t)i],
                          slab->base + i * 96 == block ? 96 : 0);
    ck_assert_uint_eq(*state_of(kept), BLOCK_SAMPLED);
    free_block(kept);
}

/* ---- Quarantine ---- */

TEST(the_quarantine_is_bounded)
{
    begin_mode(0);
    static void *blocks[1000];
    for (int i = 0; i < 1000; i++)
        blocks[i] = alloc_block(64);
    for (int i = 0; i < 1000; i++) {
        free_block(blocks[i]);
        ck_assert_uint_eq(quarantined(), min_size((size_t)i + 1, KEPT_MOST));
    }
    for (int i = 0; i < 100; i++) {
        free_block(alloc_block(32768));
        ck_assert_uint_le(quarantined(), KEPT_MOST);
    }
    size_t kept = quarantined();
    free_block(alloc_block(1 << 20)); /* is not kept, and takes nothing out */
    ck_assert_uint_eq(quarantined(), kept);
    ck_assert(own_arena_is_valid());
    arena_flush(thread_own_arena());
    ck_assert_uint_eq(quarantined(), 0);
    ck_assert(own_arena_is_valid());
    for (int i = 0; i < 100; i++)
        free_block(alloc_block(32768));
    ck_assert_uint_le(quarantined(), KEPT_BYTES / 32768);
}

/* Each block that leaves is one of all that are kept: of the first 256 each is there after 256 more
 * with the chance 255/256 to the power of 256. */
TEST(blocks_leave_the_quarantine_at_random)
{
    enum { ROUNDS = 16, EXPECTED = ROUNDS * 94, FIVE_SIGMA = 5 * 26 };
    static char *blocks[2 * KEPT_MOST];
    size_t left = 0;
    begin_mode(0);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 2 * KEPT_MOST; i++)
            blocks[i] = alloc_block(64);
        for (int i = 0; i < 2 * KEPT_MOST; i++)
            free_block(blocks[i]);
        for (int i = 0; i < KEPT_MOST; i++)
            left += *state_of(blocks[i]) == BLOCK_QUARANTINED;
        hardened_empty(thread_own_arena()->quarantine);
    }
    ck_assert_uint_ge(left, EXPECTED - FIVE_SIGMA);
    ck_assert_uint_le(left, EXPECTED + FIVE_SIGMA);
}

static bool wipe(char *block)
{
    return hardened_wipe(
        &(struct hardened_block){block, state_of(block), slab_of(block)->block_size});
}

/* Threads that free a block at the same time have both found it SAMPLED. */
TEST(of_several_frees_one_succeeds)
{
    begin_mode(0);
    char *block = alloc_block(64);
    ck_assert(wipe(block));
    ck_assert(!wipe(block));
    ck_assert_uint_eq(*state_of(block), BLOCK_QUARANTINED);
}

/* No block comes again as long as it is kept, and a second free is found meanwhile. */
TEST(what_is_kept_is_not_handed_out)
{
    struct capture capture;
    static char *freed[KEPT_MOST];
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    for (int i = 0; i < KEPT_MOST; i++) {
        freed[i] = alloc_block(64);
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(freed[i], freed[j]);
        free_block(freed[i]);
    }
    for (int i = 0; i < KEPT_MOST; i += 16) {
        capture_stderr(&capture, free_it, freed[i]);
        ck_assert_ptr_nonnull(strstr(capture.text, "double free: free("));
        ck_assert(!free_is_live(freed[i]));
    }
}

/* The quarantine of a thread that ended goes on with the thread that adopts its arena. */
static void *use_some(void *unused)
{
    for (int i = 0; i < 100; i++)
        free_block(alloc_block((size_t)i * 10));
    ck_assert(own_arena_is_valid());
    return unused;
}

TEST(threads_that_end_leave_nothing_behind)
{
    begin_mode(0);
    void *own = alloc_block(64);
    for (int i = 0; i < 10; i++)
        run_thread(use_some, NULL);
    idle_trim();
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        ck_assert_uint_eq(blocks_in_state(arena, BLOCK_QUARANTINED), 0);
        ck_assert(arena_is_valid(arena));
    }
    free_block(own);
}

/* ---- Other threads ---- */

TEST_LOOP(a_block_that_another_thread_frees_is_filled, 0, COUNT_OF(modes))
{
    begin_mode(_i);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *block = alloc_block(sizes[i]);
        uint8_t *state = state_of(block);
        size_t size = slab_of(block)->block_size;
        memset(block, 'x', free_usable_size(block, "test"));
        run_thread(free_in_thread, block);
        ck_assert_uint_eq(*state, BLOCK_REMOTE);
        ck_assert(is_filled(block, size, freed_byte(_i)));
        arena_flush(thread_own_arena());
        if (size <= SLAB_SHARED_LIMIT)
            free_block(alloc_block(sizes[i]));
    }
    ck_assert(own_arena_is_valid());
}

static struct partner partner;
static void *blocks_of_partner[100], *alone_of_partner;

static void act_allocate(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++)
        blocks_of_partner[i] = alloc_block(64);
    alone_of_partner = alloc_block(32768); /* alone in its slab */
    for (int i = 0; i < 50; i++)
        free_block(blocks_of_partner[i]);
}

/* In a child the arena of a lost thread has nothing in quarantine, and live blocks stay; and what
 * another thread is filling meanwhile is that thread's. */
static int check_orphan(void)
{
    struct arena *lost = NULL;
    state_set(state_of(blocks_of_partner[49]), BLOCK_SAMPLED); /* in the list, but not there */
    uint8_t *filling = state_of(blocks_of_partner[50]);
    if (!wipe(blocks_of_partner[50]) || !wipe(alone_of_partner))
        return 5;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        if (arena != thread_own_arena() && arena_borrow(arena)) {
            lost = arena;
            if (blocks_in_state(arena, BLOCK_QUARANTINED) != 2 ||
                blocks_in_state(arena, BLOCK_SAMPLED) != 50 || !arena_is_valid(arena))
                return 2;
            if (!remote_free(&arena->remote, slab_of(alone_of_partner), size_class_of(32768),
                             state_of(alone_of_partner), BLOCK_QUARANTINED) ||
                !remote_free(&arena->remote, slab_of(blocks_of_partner[50]), size_class_of(64),
                             filling, BLOCK_QUARANTINED))
                return 6;
            arena_flush(arena);
            /* as if they were handed out again */
            for (int i = 0; i < 50; i++)
                state_set(state_of(blocks_of_partner[i]), BLOCK_SAMPLED);
            hardened_empty(arena->quarantine);
            if (blocks_in_state(arena, BLOCK_SAMPLED) != 99)
                return 3;
            for (int i = 0; i < 50; i++)
                state_set(state_of(blocks_of_partner[i]), BLOCK_FREE);
            if (!arena_is_valid(arena))
                return 4;
            arena_retire(arena);
        }
    for (int i = 51; i < 100; i++)
        free_block(blocks_of_partner[i]);
    for (int i = 0; i < 1000; i++)
        free_block(alloc_block(64));
    return lost != NULL && own_arena_is_valid() ? 0 : 1;
}

TEST(a_child_of_fork_forgets_what_lost_threads_kept)
{
    begin_mode(0);
    free_block(alloc_block(64));
    partner_begin(&partner);
    partner_does(&partner, act_allocate, NULL);
    ck_assert_int_eq(result_in_child(check_orphan), 0);
    partner_end(&partner);
}

/* ---- Writes after free ---- */

/* Where the bytes are written: the first, one inside, the last. */
static size_t place_of(int which, size_t size)
{
    return which == 0 ? 0 : which == 1 ? size / 2 + 3 : size - 1;
}

static void flush_own(void *unused)
{
    (void)unused;
    arena_flush(thread_own_arena());
}

static void allocate_all(void *block)
{
    size_t size = slab_of(block)->block_size;
    for (int i = 0; i < 4096 && *state_of(block) != BLOCK_SAMPLED; i++)
        (void)alloc_block(size);
}

static void expect_written(const struct capture *capture, const void *block, size_t offset)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "(%p): block %p of ", block, block);
    ck_assert_ptr_nonnull(strstr(capture->text, "written after free: "));
    ck_assert_ptr_nonnull(strstr(capture->text, wanted));
    snprintf(wanted, sizeof wanted, ", byte %zu has changed\n", offset);
    ck_assert_ptr_nonnull(strstr(capture->text, wanted));
    ck_assert_uint_eq(capture->writes, 1);
}

/* Found when the block leaves the quarantine, and when it is handed out again; and once. */
TEST_LOOP(a_write_after_free_is_found, 0, 9)
{
    static const size_t written[] = {16, 64, 100, 1000, 8192, 32768};
    struct capture capture;
    int mode = _i / 3;
    begin_mode(mode);
    ck_assert(option_parse("on_error:report", "test"));
    for (size_t i = 0; i < COUNT_OF(written); i++) {
        (void)alloc_block(written[i]); /* keeps the slab */
        char *block = alloc_block(written[i]);
        size_t size = slab_of(block)->block_size, offset = place_of(_i % 3, size);
        free_block(block);
        if (is_hardened(mode)) {
            block[offset] ^= 1;
            capture_stderr(&capture, flush_own, NULL);
            expect_written(&capture, block, offset);
            ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
        }
        block[offset] ^= 1;
        capture_stderr(&capture, allocate_all, block);
        expect_written(&capture, block, offset);
    }
    ck_assert(own_arena_is_valid());
}

/* What another thread freed, once it was collected. */
TEST(a_write_after_a_remote_free_is_found)
{
    struct capture capture;
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    (void)alloc_block(64);
    char *block = alloc_block(64);
    run_thread(free_in_thread, block);
    block[7] = 1;
    flush_own(NULL);
    capture_stderr(&capture, allocate_all, block);
    expect_written(&capture, block, 7);
}

static void take_many(void *number)
{
    for (int i = 0; i < *(int *)number; i++)
        memset(alloc_block(3000), 'q', 3000);
}

/* Pages that went back to the system are zero, which is no write. */
TEST_LOOP(purged_pages_are_no_writes, 0, COUNT_OF(modes))
{
    enum { BLOCKS = 300 };
    static char *blocks[BLOCKS];
    struct capture capture;
    begin_mode(_i);
    ck_assert(option_parse("on_error:report", "test"));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++)
            memset(blocks[i] = alloc_block(3000), 'p', 3000);
        for (int i = 0; i < BLOCKS; i++)
            if (i % 60 != 0)
                free_block(blocks[i]);
        idle_trim();
        ck_assert_uint_gt(blocks_in_state(thread_own_arena(), BLOCK_PURGED), 0);
        capture_stderr(&capture, flush_own, NULL);
        ck_assert_uint_eq(capture.writes, 0);
        /* in a child: capture_stderr reads only at the end, and many reports do not fit */
        capture_child(&capture, take_many, &(int){2 * BLOCKS});
        ck_assert_uint_eq(capture.writes, 0);
    }
}

/* ---- Overflows ---- */

static void resize_to_60(void *block)
{
    (void)alloc_resize(block, 60, "realloc");
}

static void free_remotely(void *block)
{
    run_thread(free_in_thread, block);
}

static void (*const finders[])(void *) = {free_it, resize_to_60, free_remotely};

/* Each byte above what was asked for, at free, realloc and a free by another thread. */
TEST_LOOP(an_overflow_is_found, 0, COUNT_OF(finders))
{
    struct capture capture;
    char wanted[128];
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    for (size_t asked = 50; asked < 64; asked++)
        for (size_t offset = asked; offset < 64; offset++) {
            char *block = alloc_block(asked);
            block[offset] = 0; /* no byte of a canary is 0 */
            capture_stderr(&capture, finders[_i], block);
            snprintf(wanted, sizeof wanted,
                     "acre: overflow: %s(%p): block %p of 64 bytes, TINY, arena 1, %zu asked for, "
                     "byte %zu has changed\n",
                     _i == 1 ? "realloc" : "free", block, block, asked, offset);
            ck_assert_str_eq(capture.text, wanted);
        }
}

static size_t faults_found(const char **text)
{
    static struct out out;
    out_to_memory(&out);
    *text = out.text;
    return check_process(&out);
}

/* acre_check finds it in live blocks, once each arena; blocks that fill their place have no canary.
 */
TEST(acre_check_finds_an_overflow)
{
    const char *text;
    begin_mode(0);
    char *block = alloc_block(100), *next = alloc_block(100);
    memset(block, 1, 100);
    ck_assert_uint_eq(faults_found(&text), 0);
    next[100] ^= 1;
    ck_assert_uint_eq(faults_found(&text), 1);
    ck_assert_ptr_nonnull(strstr(text, "was written to above the size"));
    next[100] ^= 1;
    ck_assert_uint_eq(faults_found(&text), 0);
}

/* Two blocks, and two processes, have other canaries. */
TEST(canaries_differ)
{
    begin_mode(0);
    char *one = alloc_block(17), *other = alloc_block(17);
    ck_assert_mem_ne(one + 24, other + 24, 8);
    ck_assert_ptr_null(memchr(one + 17, 0, 15));
    ck_assert_mem_eq(one + 17, one + 25, 7);
}

/* A block that shrinks and grows where it is has its canary where its end is. */
TEST(a_block_that_stays_has_its_canary_at_its_end)
{
    struct capture capture;
    begin_mode(0);
    ck_assert(option_parse("on_error:report", "test"));
    char *block = alloc_block(50);
    ck_assert_ptr_eq(alloc_resize(block, 60, "realloc"), block);
    ck_assert(is_filled(block + 50, 10, 0)); /* and what is new shows nothing of it */
    memset(block, 'x', 60);
    ck_assert_ptr_eq(alloc_resize(block, 40, "realloc"), block);
    block[40] = 0;
    capture_stderr(&capture, free_it, block);
    ck_assert_ptr_nonnull(strstr(capture.text, ", 40 asked for, byte 40 has changed"));
}

/* ---- Threads ---- */

static bool over; /* atomic */

static void *check_often(void *unused)
{
    const char *text;
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
        ck_assert_uint_eq(faults_found(&text), 0);
    return unused;
}

struct passed {
    char *block;
    size_t size;
};

static struct passed passed[64]; /* atomic block: what one thread passes to another */

static void *pass_around(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    for (int i = 0; i < 30000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t size = random >> 40 & 0x7ff;
        char *block = alloc_block(size);
        memset(block, 'x', size);
        if (i % 3 == 0)
            block = alloc_resize(block, size = 1 + (random >> 33 & 0x7ff), "realloc");
        block = __atomic_exchange_n(&passed[random >> 58].block, block, __ATOMIC_ACQ_REL);
        if (block != NULL)
            free_block(block);
    }
    return NULL;
}

/* Threads free each other's blocks; nothing is reported, and at the end nothing is live. */
TEST_LOOP(threads_free_each_others_blocks, 0, COUNT_OF(modes))
{
    pthread_t threads[3], checker;
    begin_mode(_i);
    (void)alloc_block(1);
    size_t before = blocks_in_state(thread_own_arena(), BLOCK_SAMPLED);
    checker = begin_thread(check_often, NULL);
    for (uintptr_t i = 0; i < 3; i++)
        threads[i] = begin_thread(pass_around, (void *)(i + 1));
    for (int i = 0; i < 3; i++)
        end_thread(threads[i]);
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    end_thread(checker);
    for (size_t i = 0; i < COUNT_OF(passed); i++)
        if (passed[i].block != NULL)
            free_block(passed[i].block);
    idle_trim();
    size_t live = 0;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        ck_assert(arena_is_valid(arena));
        live += blocks_in_state(arena, BLOCK_SAMPLED);
    }
    ck_assert_uint_eq(live, before);
}
