/*
 * 100,000 LARGE blocks at once, more than a process may have mappings; each second one is freed
 * first, which leaves as many holes.
 */
#include "check.h"

enum {
    COUNT = 100000,
    SIZE = (1 << 20) + 1, /* bytes */
};

static char *blocks[COUNT];

/* Whether the system lets a process have that much address space at all. */
static bool has_address_space(void)
{
    int mode = 0;
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
    CHECK(file != NULL && fscanf(file, "%d", &mode) == 1);
    fclose(file);
    return mode != 2;
}

static void allocate_every_second(size_t first)
{
    for (size_t i = first; i < COUNT; i += 2) {
        blocks[i] = malloc(SIZE);
        CHECK(blocks[i] != NULL);
        blocks[i][SIZE / 2] = (char)i;
    }
}

static void free_every_second(size_t first)
{
    for (size_t i = first; i < COUNT; i += 2) {
        CHECK(blocks[i][SIZE / 2] == (char)i);
        free(blocks[i]);
    }
}

int main(void)
{
    check_begin();
    if (!has_address_space())
        check_skip("vm.overcommit_memory is 2");
    size_t before = resident_bytes();
    allocate_every_second(0);
    allocate_every_second(1);
    free_every_second(0);
    allocate_every_second(0);
    free_every_second(1);
    free_every_second(0);
    CHECK(resident_bytes() < before + 256 * CHECK_MIB);
    free(hide(malloc(SIZE)));
    return 0;
}
