/*
 * Images are found by an address in them, in two ways that give the same: by the function of glibc
 * for unwinders, and by the dynamic linker's list.
 */
#include "test.h"
#include "modes/loaded.h"

#include <link.h>
#include <stdlib.h>

SUITE(loaded);

static struct readable everything = {.to = UINTPTR_MAX};

typedef bool find(struct readable *memory, uintptr_t address, struct loaded *image);
static find *const ways[] = {loaded_find, loaded_find_on_list};

/* What dl_iterate_phdr says of the image that has an address. */
struct image {
    uintptr_t address, tables;
    bool found;
};

static int look_at_image(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct image *image = argument;
    uintptr_t tables = 0;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_GNU_EH_FRAME)
            tables = from;
        if (header->p_type == PT_LOAD && image->address - from < header->p_memsz)
            image->found = true;
    }
    if (image->found)
        image->tables = tables;
    return image->found;
}

static size_t checked;

static void check(find *way, uintptr_t address)
{
    struct image expected = {.address = address};
    struct loaded image;
    dl_iterate_phdr(look_at_image, &expected);
    bool found = way(&everything, address, &image);
    ck_assert_int_eq(found, expected.found);
    ck_assert_uint_eq(image.tables, expected.tables);
    ck_assert(!found || (address >= image.from && address < image.to));
    checked++;
}

/* Every segment's first and last byte, and what lies next to the first and the last segment. */
static int check_image(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || header->p_memsz == 0)
            continue;
        find *const *way = argument;
        check(*way, info->dlpi_addr + header->p_vaddr);
        check(*way, info->dlpi_addr + header->p_vaddr + header->p_memsz - 1);
        if (*way == loaded_find_on_list) /* the other one has no gaps between segments */
            check(*way, info->dlpi_addr + header->p_vaddr + header->p_memsz);
    }
    return 0;
}

TEST_LOOP(each_image_is_found, 0, COUNT_OF(ways))
{
    find *way = ways[_i];
    dl_iterate_phdr(check_image, &way);
    ck_assert_uint_gt(checked, 10);
}

TEST_LOOP(what_is_in_no_image_is_not_found, 0, COUNT_OF(ways))
{
    int here;
    void *block = malloc(64);
    const uintptr_t addresses[] = {
        0, 1, 4096, UINTPTR_MAX, (uintptr_t)1 << 63, (uintptr_t)&here, (uintptr_t)block};
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct loaded image = {1, 1, 1, NULL};
        ck_assert(!ways[_i](&everything, addresses[i], &image));
        ck_assert(image.from == 0 && image.to == 0 && image.tables == 0);
    }
    free(block);
}

/* This library is the program here. */
TEST(the_library_is_none_in_a_program_that_contains_it)
{
    struct loaded image = {1, 1, 1, NULL};
    loaded_find_library(&everything, &image);
    ck_assert(image.from == 0 && image.to == 0 && image.tables == 0);
}
