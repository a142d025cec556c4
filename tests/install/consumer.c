/*
 * A program that is linked with the installed library: prints "acre VERSION" if the blocks of
 * malloc are acre's and the library has the version of the header, else what is wrong. Compiled as
 * C and as C++.
 */
#include <acre/acre.h>
#include <acre/inspect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#include <acre/allocator.hpp>
#include <string>
#include <vector>

/* Allocates by operator new. */
static size_t count_characters(size_t strings)
{
    std::vector<std::string> words(strings, std::string(100, 'w'));
    size_t characters = 0;
    for (const std::string &word : words)
        characters += word.size();
    return characters;
}

/* Allocates by acre's allocator, and by its memory resource, which C++17 has. */
static size_t count_numbers(size_t numbers)
{
    std::vector<size_t, acre::allocator<size_t>> first(numbers, 1);
#if __cplusplus >= 201703L
    std::pmr::vector<size_t> second(numbers, 1, acre::resource());
#else
    std::vector<size_t, acre::allocator<size_t>> second(first);
#endif
    size_t sum = 0;
    for (size_t i = 0; i < numbers; i++)
        sum += first[i] + second[i];
    return sum;
}
#endif

enum { BLOCKS = 1000, BLOCK_SIZE = 3000 };

static void *blocks[BLOCKS];

static int fail(const char *what)
{
    fprintf(stderr, "consumer: %s\n", what);
    return EXIT_FAILURE;
}

int main(void)
{
    struct acre_stats before;
    struct acre_stats after;
    if (strcmp(acre_version(), ACRE_VERSION_STRING) != 0)
        return fail("the library is of another version than the header");
    if (acre_stats(&before, sizeof(before)) != 0)
        return fail("there are no statistics");
    for (size_t i = 0; i < BLOCKS; i++)
        if ((blocks[i] = malloc(BLOCK_SIZE)) == NULL)
            return fail("there is no memory");
    if (acre_stats(&after, sizeof(after)) != 0 || after.live < before.live + BLOCKS * BLOCK_SIZE)
        return fail("malloc is not acre's");
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    if (acre_root.layout != ACRE_LAYOUT)
        return fail("the root is of another layout than the header");
#ifdef __cplusplus
    if (count_characters(BLOCKS) != BLOCKS * 100)
        return fail("strings are wrong");
    if (count_numbers(BLOCKS) != 2 * BLOCKS)
        return fail("containers with an allocator are wrong");
#endif
    if (acre_check(2) != 0)
        return fail("acre's structures are damaged");
    printf("acre %s\n", acre_version());
    return EXIT_SUCCESS;
}
