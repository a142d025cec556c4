/*
 * The heap map on made-up addresses: any address at all may be looked up.
 */
#include "test.h"
#include "random.h"
#include "heap/heap_map.h"

#include <inttypes.h>

/* The heap-sized piece of the address space with a number. */
static struct heap *piece(size_t number)
{
    return (struct heap *)((uintptr_t)number << HEAP_SHIFT);
}

/* An address in or around a piece: plain numbers, since piece 0 begins at NULL. */
static const void *address_in(size_t number, intptr_t offset)
{
    return (const void *)(((uintptr_t)number << HEAP_SHIFT) + (uintptr_t)offset);
}

START_TEST(any_address_may_be_looked_up)
{
    const uintptr_t addresses[] = {
        0,
        1,
        HEAP_SIZE - 1,
        HEAP_SIZE,
        UINTPTR_MAX,
        UINTPTR_MAX - HEAP_SIZE,
        (uintptr_t)1 << ADDRESS_BITS,
        ((uintptr_t)1 << ADDRESS_BITS) - 1,
        (uintptr_t)1 << 63,
        (uintptr_t)&addresses,
    };

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        ck_assert(!heap_map_covers((void *)addresses[i]));
        ck_assert_ptr_null(heap_map_find((void *)addresses[i]));
    }
}
END_TEST

START_TEST(an_entry_covers_exactly_its_heap)
{
    const size_t pieces[] = {0, 1, 1000, HEAP_MAP_SIZE - 1};
    const intptr_t inside[] = {0, 1, HEAP_SIZE / 2 + 3, HEAP_SIZE - 1};
    struct heap *heap = piece(pieces[_i]);

    ck_assert(heap_map_publish(heap));
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        const void *address = address_in(pieces[_i], inside[i]);
        ck_assert(heap_map_covers(address));
        ck_assert_ptr_eq(heap_containing(address), heap);
        ck_assert_ptr_eq(heap_map_find(address), heap);
    }
    ck_assert(!heap_map_covers(address_in(pieces[_i], -1)));
    ck_assert(!heap_map_covers(address_in(pieces[_i], HEAP_SIZE)));
}
END_TEST

START_TEST(an_address_beyond_the_map_is_refused)
{
    ck_assert(!heap_map_publish(piece(HEAP_MAP_SIZE)));
    ck_assert(!heap_map_publish((struct heap *)(void *)align_down(UINTPTR_MAX, HEAP_SIZE)));
    ck_assert(!heap_map_covers(piece(HEAP_MAP_SIZE)));
}
END_TEST

START_TEST(agrees_with_a_reference)
{
    enum { PIECES = 256, STEPS = 20000, STEPS_EACH = 100 };
    static bool published[PIECES];
    struct random random = random_begin();
    size_t first = random_below(&random, HEAP_MAP_SIZE - PIECES);

    for (int step = 0; step < STEPS; step++) {
        size_t added = random_below(&random, PIECES), asked = random_below(&random, PIECES);
        const void *address = address_in(first + asked, (intptr_t)random_below(&random, HEAP_SIZE));

        if (step % STEPS_EACH == 0) {
            if (!heap_map_publish(piece(first + added)))
                ck_abort_msg("refused; seed %" PRIu64, random.seed);
            published[added] = true;
        }
        struct heap *expected = published[asked] ? piece(first + asked) : NULL;
        if (heap_map_find(address) != expected)
            ck_abort_msg("step %d, piece %zu; seed %" PRIu64, step, first + asked, random.seed);
    }
}
END_TEST

Suite *heap_map_suite(void)
{
    Suite *suite = suite_create("heap_map");
    TCase *tests = tcase_create("heap_map");

    tcase_add_test(tests, any_address_may_be_looked_up);
    tcase_add_loop_test(tests, an_entry_covers_exactly_its_heap, 0, 4);
    tcase_add_test(tests, an_address_beyond_the_map_is_refused);
    tcase_add_test(tests, agrees_with_a_reference);
    suite_add_tcase(suite, tests);
    return suite;
}
