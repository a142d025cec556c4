/*
 * A library whose constructors run before most others (priority 101) and allocate, and whose
 * destructor frees and allocates. Preloaded before or after acre, or linked.
 */
#include "check.h"
#include "early.h"

void *early_blocks[EARLY_BLOCKS];
static char *from_second_constructor;

__attribute__((constructor(101))) static void allocate_first(void)
{
    for (unsigned i = 0; i < EARLY_BLOCKS; i++) {
        early_blocks[i] = malloc(early_size(i));
        CHECK(early_blocks[i] != NULL);
        fill(early_blocks[i], early_size(i), i);
    }
    for (unsigned i = 0; i < EARLY_BLOCKS; i += 3) {
        early_blocks[i] = realloc(early_blocks[i], early_size(i));
        CHECK(is_filled(early_blocks[i], early_size(i), i));
    }
}

__attribute__((constructor)) static void allocate_later(void)
{
    from_second_constructor = calloc(1000, 3);
    CHECK(from_second_constructor != NULL && is_zero(from_second_constructor, 3000));
}

__attribute__((destructor)) static void free_last(void)
{
    free(from_second_constructor);
    char *block = malloc(500);
    CHECK(block != NULL);
    fill(block, 500, 1);
    CHECK(is_filled(block, 500, 1));
    free(block);
}
