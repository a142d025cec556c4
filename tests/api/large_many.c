/*
 * More LARGE blocks at once than a process may have mappings: 70,000 that are each at a multiple of
 * 128 KiB, of a page to two multiples, and 100,000 of a little more than 1 MiB. All are served with
 * few mappings, also when every second one was freed and its address space has decayed.
 */
#include "check.h"
#include "stats.h"
#include <malloc.h>

enum {
    COUNT_MOST = 100000,
    MAPPINGS_MOST = 2000,
};

static const struct kind {
    size_t count, alignment, size; /* of the blocks; bytes; alignment 0: by malloc */
} kinds[] = {
    {70000, 128 << 10, 100},
    {70000, 128 << 10, 200000},
    {COUNT_MOST, 0, (1 << 20) + 1},
};

static char *blocks[COUNT_MOST];

/* Mappings of this process; found out without a call to the allocator. */
static size_t mappings(void)
{
    static char text[1 << 24];
    size_t count = 0, length = read_file("/proc/self/maps", text, sizeof(text));
    for (size_t i = 0; i < length; i++)
        count += text[i] == '\n';
    return count;
}

static void take_some(const struct kind *kind, size_t first, size_t step)
{
    for (size_t i = first; i < kind->count; i += step) {
        if (kind->alignment != 0)
            CHECK(posix_memalign((void **)&blocks[i], kind->alignment, kind->size) == 0);
        else
            CHECK((blocks[i] = malloc(kind->size)) != NULL);
        CHECK(kind->alignment == 0 || is_aligned(blocks[i], kind->alignment));
        blocks[i][0] = blocks[i][kind->size - 1] = (char)i;
    }
}

static void give_some(const struct kind *kind, size_t first, size_t step)
{
    for (size_t i = first; i < kind->count; i += step) {
        CHECK(blocks[i][0] == (char)i && blocks[i][kind->size - 1] == (char)i);
        free(blocks[i]);
    }
}

static void serve(const struct kind *kind)
{
    size_t before = mappings(), resident = resident_bytes();
    take_some(kind, 0, 1);
    size_t with = mappings() - before;
    struct acre_stats stats = stats_now();
    CHECK(stats.large_blocks >= kind->count && with <= MAPPINGS_MOST);
    CHECK(stats.large_stock <= kind->count * kind->alignment);
    give_some(kind, 1, 2);
    malloc_trim(0);
    CHECK(kind->alignment == 0 || mappings() - before <= MAPPINGS_MOST);
    take_some(kind, 1, 2);
    printf("%zu bytes: %zu mappings, %zu after every second one came again\n", kind->size, with,
           mappings() - before);
    give_some(kind, 0, 1);
    malloc_trim(0);
    CHECK(stats_now().large_stock == 0);
    CHECK(resident_bytes() < resident + 256 * CHECK_MIB);
}

int main(void)
{
    char mode[4];
    check_begin();
    read_file("/proc/sys/vm/overcommit_memory", mode, sizeof(mode));
    if (mode[0] == '2')
        check_skip("vm.overcommit_memory is 2");
    free(hide(malloc(10)));
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        serve(&kinds[i]);
    return 0;
}
