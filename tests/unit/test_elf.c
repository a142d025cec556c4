/*
 * Functions of the vDSO are found, in the one of this process and in copies that have only one of
 * the tables by which its symbols can be counted.
 */
#include "test.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "base/elf.h"

SUITE(elf);

#ifdef __aarch64__
#define CLOCK_FUNCTION "__kernel_clock_gettime"
#else
#define CLOCK_FUNCTION "__vdso_clock_gettime"
#endif

/* The image of this process; NULL, with a word, where it has none. */
static const void *own_image(void)
{
    const void *image = (const void *)getauxval(AT_SYSINFO_EHDR);
    if (image == NULL)
        printf("not tried: this process has no vDSO\n");
    return image;
}

TEST(nothing_is_found_where_nothing_is)
{
    ck_assert_ptr_null(elf_find_vdso(NULL, CLOCK_FUNCTION));
    ck_assert_ptr_null(elf_find_vdso(own_image(), "__vdso_clock"));
    ck_assert_ptr_null(elf_find_vdso(own_image(), ""));
}

static uint64_t ns_of(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

TEST(the_clock_is_found_and_tells_the_time)
{
    const void *image = own_image();
    int (*read_clock)(clockid_t, struct timespec *);
    struct timespec before, now, after;

    if (image == NULL)
        return;
    *(void **)&read_clock = elf_find_vdso(image, CLOCK_FUNCTION);
    ck_assert(read_clock != NULL);
    clock_gettime(CLOCK_MONOTONIC, &before);
    ck_assert_int_eq(read_clock(CLOCK_MONOTONIC, &now), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_uint_le(ns_of(before), ns_of(now));
    ck_assert_uint_le(ns_of(now), ns_of(after));
}

/* Copies what of the image is loaded. */
static void copy_image(unsigned char *copy, size_t size, const Elf64_Ehdr *image)
{
    const Elf64_Phdr *segments = (const void *)((const char *)image + image->e_phoff);
    size_t end = 0;
    for (size_t i = 0; i < image->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD)
            end = max_size(end, segments[i].p_offset + segments[i].p_filesz);
    ck_assert_uint_le(end, size);
    memcpy(copy, image, end);
}

/* Takes an entry of the dynamic section out; false if there is none. */
static bool take_out(unsigned char *copy, Elf64_Sxword tag)
{
    const Elf64_Ehdr *header = (const void *)copy;
    const Elf64_Phdr *segment = (const void *)(copy + header->e_phoff);
    while (segment->p_type != PT_DYNAMIC)
        segment++;
    for (Elf64_Dyn *entry = (void *)(copy + segment->p_offset); entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == tag) {
            entry->d_tag = DT_DEBUG; /* means nothing there */
            return true;
        }
    }
    return false;
}

static const Elf64_Sxword hash_tables[] = {DT_HASH, DT_GNU_HASH};

/* Those of x86-64 and arm64, some of which any one has. */
static const char *const names[] = {
    "__vdso_clock_gettime",   "__vdso_gettimeofday",   "__vdso_time",
    "__vdso_getcpu",          "__vdso_clock_getres",   "__vdso_getrandom",
    "__kernel_clock_gettime", "__kernel_gettimeofday", "__kernel_clock_getres",
    "__kernel_rt_sigreturn",  "__kernel_rt_sigreturn", "LINUX_2.6.39",
};

enum { NAMES = COUNT_OF(names) };

/* With one of the two tables all is found where it is, with neither nothing. */
TEST_LOOP(either_hash_table_does, 0, 2)
{
    static unsigned char copy[256 * KIB] __attribute__((aligned(4096)));
    const char *image = own_image();

    if (image == NULL)
        return;
    copy_image(copy, sizeof(copy), (const void *)image);
    take_out(copy, hash_tables[_i]);
    const unsigned char *found[NAMES];
    for (size_t i = 0; i < NAMES; i++)
        found[i] = elf_find_vdso(copy, names[i]);
    bool had_other = take_out(copy, hash_tables[1 - _i]);
    if (!had_other)
        printf("not tried: this vDSO has only one hash table\n");
    for (size_t i = 0; i < NAMES; i++) {
        const char *original = had_other ? elf_find_vdso(image, names[i]) : NULL;
        ck_assert_int_eq(found[i] == NULL, original == NULL);
        ck_assert(original == NULL || found[i] - copy == original - image);
        ck_assert_ptr_null(elf_find_vdso(copy, names[i]));
    }
}
