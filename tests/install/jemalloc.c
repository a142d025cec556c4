/*
 * A program that was written for jemalloc, on the installed library: prints "acre VERSION", or what
 * is wrong. Compiled as C and as C++.
 */
#include <jemalloc/jemalloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "jemalloc: %s\n", what);
    return EXIT_FAILURE;
}

/* A figure as of now. */
static size_t figure(const char *name)
{
    uint64_t epoch = 1;
    size_t value = 0, length = sizeof(value);
    if (je_mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) != 0 ||
        je_mallctl(name, &value, &length, NULL, 0) != 0)
        exit(fail(name));
    return value;
}

int main(void)
{
    size_t before = figure("stats.allocated");
    char *block = (char *)je_mallocx(3000000, MALLOCX_ALIGN(4096) | MALLOCX_ZERO);
    if (block == NULL || (uintptr_t)block % 4096 != 0 || block[2999999] != 0)
        return fail("mallocx");
    if (figure("stats.allocated") < before + 3000000)
        return fail("the block is not counted");
    block = (char *)je_rallocx(block, 6000000, MALLOCX_ZERO);
    if (block == NULL || block[5999999] != 0 || je_sallocx(block, 0) < je_nallocx(6000000, 0))
        return fail("rallocx");
    je_sdallocx(block, 6000000, 0);
    if (figure("stats.allocated") != before)
        return fail("the block is still counted");

    const char *version = NULL;
    size_t length = sizeof(version);
    if (je_mallctl("version", &version, &length, NULL, 0) != 0 ||
        strncmp(version, JEMALLOC_VERSION "-", strlen(JEMALLOC_VERSION "-")) != 0)
        return fail("the version");
    printf("acre %s\n", version + strlen(JEMALLOC_VERSION "-"));
    return EXIT_SUCCESS;
}
