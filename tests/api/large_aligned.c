/*
 * 70,000 blocks that are each at a multiple of 128 KiB, from a page to more than 1 MiB: more than a
 * process may have mappings. All are served, and with few mappings, also when every second one was
 * freed and what was free was given back.
 */
#include "check.h"
#include <acre/acre.h>
#include <fcntl.h>
#include <malloc.h>

enum {
    COUNT = 70000,
    ALIGNMENT = 128 << 10, /* bytes */
    MAPPINGS_MOST = 2000,
};

static const size_t sizes[] = {100, 200000, (1 << 20) + 1};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static char *blocks[COUNT];

/* Mappings of this process; found out without a call to the allocator. */
static size_t mappings(void)
{
    static char text[1 << 16];
    size_t count = 0;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    while ((got = read(fd, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < got; i++)
            count += text[i] == '\n';
    close(fd);
    return count;
}

static bool has_address_space(void)
{
    char mode = 0;
    int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, &mode, 1) == 1);
    close(fd);
    return mode != '2';
}

static struct acre_stats stats_now(void)
{
    struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    return stats;
}

static void take(size_t i, size_t size)
{
    CHECK(posix_memalign((void **)&blocks[i], ALIGNMENT, size) == 0);
    CHECK(is_aligned(blocks[i], ALIGNMENT) && malloc_usable_size(blocks[i]) >= size);
    blocks[i][0] = blocks[i][size - 1] = (char)i;
}

static void give(size_t i, size_t size)
{
    CHECK(blocks[i][0] == (char)i && blocks[i][size - 1] == (char)i);
    free(blocks[i]);
    blocks[i] = NULL;
}

static void serve(size_t size)
{
    size_t before = mappings();
    for (size_t i = 0; i < COUNT; i++)
        take(i, size);
    size_t with = mappings() - before;
    struct acre_stats stats = stats_now();
    CHECK(stats.large_blocks >= COUNT);
    CHECK(with <= MAPPINGS_MOST);
    CHECK(stats.large_stock <= (size_t)COUNT * ALIGNMENT);
    for (size_t i = 1; i < COUNT; i += 2)
        give(i, size);
    malloc_trim(0);
    CHECK(mappings() - before <= MAPPINGS_MOST);
    for (size_t i = 1; i < COUNT; i += 2)
        take(i, size);
    printf("%zu bytes: %zu mappings, %zu after every second one came again\n", size, with,
           mappings() - before);
    for (size_t i = 0; i < COUNT; i++)
        give(i, size);
    malloc_trim(0);
    CHECK(stats_now().large_stock == 0);
}

int main(void)
{
    check_begin();
    if (!has_address_space())
        check_skip("vm.overcommit_memory is 2");
    free(hide(malloc(10)));
    for (size_t i = 0; i < SIZES; i++)
        serve(sizes[i]);
    return 0;
}
