/*
 * Allocation before main: from the executable's preinit function, which runs before any constructor
 * of any library, and from constructors; allocation after main from atexit and destructors.
 */
#include "check.h"
#include "early.h"

static char *from_preinit, *from_constructor;

static void allocate_in_preinit(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments, (void)environment;
    from_preinit = malloc(1000);
    CHECK(from_preinit != NULL);
    fill(from_preinit, 1000, 1);
    free(hide(malloc(2000000)));
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = allocate_in_preinit;

__attribute__((constructor(101))) static void allocate_in_constructor(void)
{
    from_constructor = realloc(malloc(10), 20000);
    CHECK(from_constructor != NULL);
    fill(from_constructor, 20000, 2);
}

static void free_at_exit(void)
{
    CHECK(is_filled(from_constructor, 20000, 2));
    free(from_constructor);
    free(hide(malloc(100)));
}

__attribute__((destructor)) static void allocate_in_destructor(void)
{
    free(hide(calloc(10, 10)));
}

int main(void)
{
    check_begin();
    CHECK(atexit(free_at_exit) == 0);
    CHECK(is_filled(from_preinit, 1000, 1));
    free(from_preinit);
    for (unsigned i = 0; i < EARLY_BLOCKS; i++) {
        CHECK(is_filled(early_blocks[i], early_size(i), i));
        free(early_blocks[i]);
    }
    return 0;
}
