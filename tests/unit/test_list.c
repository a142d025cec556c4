/*
 * The intrusive list: random operations against a plain array.
 */
#include "test.h"
#include "common/random.h"
#include "base/list.h"

#include <string.h>

SUITE(list);

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
    for (int i = 0; i < ELEMENTS; i++)
        elements[i].number = i;
}

/* Fails unless the list holds just the elements with these numbers, forwards and backwards. */
static void check_order(const int *numbers, size_t count)
{
    struct list_node *node = list_first(&list), *back = list.head.previous;
    size_t contained = 0;

    for (int i = 0; i < ELEMENTS; i++)
        contained += list_contains(&elements[i].node);
    ck_assert_msg(contained == count && (list_first(&list) == NULL) == (count == 0), "%zu elements",
                  count);
    for (size_t i = 0; i < count; i++, node = list_next(&list, node), back = back->previous) {
        ck_assert_msg(node != NULL && element_of(node)->number == numbers[i],
                      "element %zu of %zu from the front", i, count);
        ck_assert_msg(back != &list.head && element_of(back)->number == numbers[count - 1 - i],
                      "element %zu of %zu from the back", i, count);
    }
    ck_assert_msg(node == NULL && back == &list.head, "more than %zu elements", count);
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

TEST(a_list_agrees_with_an_array)
{
    struct random random = random_begin();
    int numbers[ELEMENTS] = {0};
    size_t count = 0;

    make_empty_list();
    check_order(numbers, 0);
    for (unsigned step = 0; step < STEPS; step++) {
        int number = (int)random_below(&random, ELEMENTS);
        struct list_node *node = &elements[number].node;

        if (list_contains(node)) {
            plain_remove(numbers, count--, number);
            list_remove(node);
        } else {
            size_t index = random_below(&random, count + 1);
            if (index == 0)
                list_push_front(&list, node);
            else if (index == count)
                list_push_back(&list, node);
            else
                list_insert_before(&elements[numbers[index]].node, node);
            plain_insert(numbers, count++, index, number);
        }
        check_order(numbers, count);
    }
}
