/*
 * The intrusive list: each operation by itself, then random ones against a plain array.
 */
#include "test.h"
#include "random.h"
#include "base/list.h"

#include <inttypes.h>
#include <string.h>

enum { ELEMENTS = 24, STEPS = 5000 };

struct element {
    int number;
    struct list_node node;
};

static struct list list;
static struct element elements[ELEMENTS];

static struct element *element_of(struct list_node *node)
{
    return CONTAINER_OF(node, struct element, node);
}

static void make_empty_list(void)
{
    list_init(&list);
    memset(elements, 0, sizeof(elements));
    for (int i = 0; i < ELEMENTS; i++)
        elements[i].number = i;
}

SUITE(list, .begin = make_empty_list);

/* Fails unless the list holds the elements with these numbers, forwards and backwards. */
static void check_order(const int *numbers, size_t count, uint64_t seed)
{
    struct list_node *node = list_first(&list), *back = list.head.previous;

    ck_assert_msg(list_is_empty(&list) == (count == 0), "%zu elements; seed %" PRIu64, count, seed);
    for (size_t i = 0; i < count; i++, node = list_next(&list, node), back = back->previous) {
        ck_assert_msg(node != NULL && element_of(node)->number == numbers[i],
                      "element %zu of %zu from the front; seed %" PRIu64, i, count, seed);
        ck_assert_msg(back != &list.head && element_of(back)->number == numbers[count - 1 - i],
                      "element %zu of %zu from the back; seed %" PRIu64, i, count, seed);
    }
    ck_assert_msg(node == NULL && back == &list.head, "more than %zu elements; seed %" PRIu64,
                  count, seed);
}

TEST(begins_empty)
{
    ck_assert(list_is_empty(&list));
    ck_assert_ptr_null(list_first(&list));
    check_order(NULL, 0, 0);
}

TEST(pushes_at_both_ends)
{
    list_push_back(&list, &elements[1].node);
    list_push_back(&list, &elements[2].node);
    list_push_front(&list, &elements[0].node);
    check_order((const int[]){0, 1, 2}, 3, 0);
}

TEST(inserts_before_a_position)
{
    list_push_back(&list, &elements[0].node);
    list_push_back(&list, &elements[1].node);
    list_insert_before(&elements[1].node, &elements[2].node);
    list_insert_before(&elements[0].node, &elements[3].node);
    check_order((const int[]){3, 0, 2, 1}, 4, 0);
}

TEST(removes_and_takes_back)
{
    for (int i = 0; i < 4; i++)
        list_push_back(&list, &elements[i].node);
    list_remove(&elements[1].node);
    list_remove(&elements[3].node);
    ck_assert(!list_contains(&elements[1].node));
    ck_assert(list_contains(&elements[2].node));
    check_order((const int[]){0, 2}, 2, 0);
    list_push_front(&list, &elements[1].node);
    ck_assert(list_contains(&elements[1].node));
    list_remove(&elements[0].node);
    list_remove(&elements[2].node);
    check_order((const int[]){1}, 1, 0);
    list_remove(&elements[1].node);
    ck_assert(list_is_empty(&list));
}

/* Puts `number` at `index` of the plain array, which holds `count` numbers. */
static void plain_insert(int *numbers, size_t count, size_t index, int number)
{
    memmove(numbers + index + 1, numbers + index, (count - index) * sizeof(numbers[0]));
    numbers[index] = number;
}

/* Takes `number` out of the plain array, which holds `count` numbers. */
static void plain_remove(int *numbers, size_t count, int number)
{
    size_t index = 0;

    while (numbers[index] != number)
        index++;
    memmove(numbers + index, numbers + index + 1, (count - index - 1) * sizeof(numbers[0]));
}

TEST(agrees_with_an_array)
{
    struct random random = random_begin();
    int numbers[ELEMENTS];
    size_t count = 0;

    for (unsigned step = 0; step < STEPS; step++) {
        int number = (int)random_below(&random, ELEMENTS);
        struct list_node *node = &elements[number].node;
        size_t index;

        if (list_contains(node)) {
            plain_remove(numbers, count--, number);
            list_remove(node);
        } else {
            switch (random_below(&random, 3)) {
            case 0:
                plain_insert(numbers, count++, 0, number);
                list_push_front(&list, node);
                break;
            case 1:
                numbers[count++] = number;
                list_push_back(&list, node);
                break;
            default:
                index = random_below(&random, count + 1);
                list_insert_before(index < count ? &elements[numbers[index]].node : &list.head,
                                   node);
                plain_insert(numbers, count++, index, number);
            }
        }
        check_order(numbers, count, random.seed);
    }
}
