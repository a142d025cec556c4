/*
 * The allocator's own memory: cache lines, zeroes, no two pieces that overlap, from several
 * threads.
 */
#include "test.h"
#include "memory.h"
#include "in_thread.h"
#include "common/random.h"
#include "base/meta.h"

SUITE(meta);

enum { THREADS = 4, PIECES = 2000, LARGEST = 3000 };

TEST(pieces_have_cache_lines_of_their_own)
{
    for (size_t size = 1; size <= 64 * KIB; size = size * 3 + 1) {
        unsigned char *piece = meta_alloc(size);
        ck_assert_ptr_nonnull(piece);
        ck_assert_uint_eq((uintptr_t)piece % CACHE_LINE, 0);
        ck_assert(is_filled(piece, size, 0));
        memset(piece, 0xa5, size);
    }
}

/* Small pieces share chunks: what is mapped stays near what was asked for. */
TEST(little_is_wasted)
{
    size_t before = meta_bytes;
    size_t asked = 0;

    for (int i = 0; i < PIECES; i++, asked += 1000)
        ck_assert_ptr_nonnull(meta_alloc(1000));
    ck_assert_uint_ge(meta_bytes - before + 256 * KIB, asked);
    ck_assert_uint_le(meta_bytes - before, asked + asked / 4 + MIB);
}

/* Whatever the system puts next to the mapping that a piece is in, a page without access is between
 * them. */
TEST(mappings_have_guards)
{
    size_t page = os_page_size();

    for (size_t size = 100; size <= 64 * KIB; size += 16 * KIB) {
        char *piece = meta_alloc(size);
        ck_assert_ptr_nonnull(piece);
        char *start = (char *)align_down((uintptr_t)piece, page), *end = start;
        while (is_accessible(start) && piece - start < (ptrdiff_t)(2 * MIB))
            start -= page;
        while (is_accessible(end) && end - piece < (ptrdiff_t)(2 * MIB))
            end += page;
        ck_assert(is_guard(start));
        ck_assert(is_guard(end));
        ck_assert(end >= piece + size);
    }
}

struct worker {
    unsigned char mark; /* fills this thread's pieces */
    unsigned char *pieces[PIECES];
    size_t sizes[PIECES];
    bool failed; /* a piece was not zero when it came */
};

static void *take_pieces(void *argument)
{
    struct worker *worker = argument;
    struct random random = random_begin_for(worker->mark);

    for (int i = 0; i < PIECES && !worker->failed; i++) {
        size_t size = 1 + random_below(&random, LARGEST);
        unsigned char *piece = meta_alloc(size);
        worker->failed = piece == NULL || !is_filled(piece, size, 0);
        memset(piece, worker->mark, size);
        worker->pieces[i] = piece;
        worker->sizes[i] = size;
    }
    return NULL;
}

/* A piece that is given out twice loses its thread's mark. */
TEST(threads_get_pieces_of_their_own)
{
    static struct worker workers[THREADS];

    for (int i = 0; i < THREADS; i++)
        workers[i].mark = (unsigned char)(i + 1);
    run_threads(take_pieces, workers, THREADS, sizeof(workers[0]));
    for (int i = 0; i < THREADS; i++) {
        ck_assert(!workers[i].failed);
        for (int j = 0; j < PIECES; j++)
            ck_assert(is_filled(workers[i].pieces[j], workers[i].sizes[j], workers[i].mark));
    }
}
