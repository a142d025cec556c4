/*
 * Techniques that turn a fault of a program into a block where the attacker wants one: those that
 * shellphish's how2heap shows for glibc, each against acre by default and with option hardened.
 * Each must be a report, or have no effect: no block lies over another one or over `target`,
 * nothing outside the blocks changes, and acre_check finds nothing.
 *
 * Without arguments the program starts itself once for each technique and each list of options;
 * with one it tries that technique.
 */
#include "check.h"

#include <acre/acre.h>
#include <malloc.h>
#include <signal.h>

enum {
    BLOCKS = 600, /* that are allocated afterwards; more than a quarantine keeps */
    TEXT = 4096,  /* bytes of messages */
    FAKE_SIZE = 0x60,
    EXACT = 112, /* bytes of a block whose size is that of its class, */
    ODD = 105,   /* and one that leaves a canary with hardened */
    LARGE = 3 << 20,
};

static const size_t sizes[] = {24, EXACT, 500, 6000};

/* What an attacker wants to have a block at. */
static __attribute__((aligned(64))) uintptr_t target[64];

static char *block_of(size_t size)
{
    char *block = malloc(size);
    CHECK(block != NULL);
    return hide(block);
}

/* Blocks that are allocated now lie neither over one another nor over the target, which has not
 * changed; each is writable. `held` is one that the program has. */
static void check_no_effect(size_t size, char *held, size_t held_size)
{
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = block_of(size);
        CHECK(blocks[i] + size <= (char *)target ||
              blocks[i] >= (char *)(target + COUNT_OF(target)));
        CHECK(held == NULL || blocks[i] + size <= held || blocks[i] >= held + held_size);
        memset(blocks[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t at = 0; at < size; at++)
            CHECK((unsigned char)blocks[i][at] == i % 251);
    for (size_t i = 0; i < COUNT_OF(target); i++)
        CHECK(target[i] == 0);
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

/* fastbin_dup, tcache_dup: freed twice, with another free between. */
static void freed_twice(void)
{
    char *a = block_of(EXACT), *b = block_of(EXACT);
    free(a);
    free(b);
    free(hide(a));
}

/* house_of_botcake: freed again after a block of its size was taken from what was freed later. */
static void freed_twice_after_others(void)
{
    char *blocks[7], *before = block_of(EXACT), *a = block_of(EXACT);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = block_of(EXACT);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        free(blocks[i]);
    free(a);
    free(before);
    (void)block_of(EXACT);
    free(hide(a));
}

/* house_of_spirit: a free of a false chunk, with the sizes that glibc looks for. */
static void false_chunk(void)
{
    target[1] = FAKE_SIZE;
    target[1 + FAKE_SIZE / sizeof(*target)] = FAKE_SIZE;
    free(hide(&target[2]));
}

/* overlapping_chunks, house_of_einherjar: a free of a false chunk inside a block. */
static void false_chunk_inside(void)
{
    char *a = block_of(500);
    ((uintptr_t *)(void *)a)[1] = FAKE_SIZE | 1;
    free(hide(a + 16));
}

/* fastbin_dup_into_stack, tcache_poisoning, large_bin_attack, unsorted_bin_attack, house_of_lore:
 * the links that glibc has in a freed block lead to the target. */
static void links_overwritten(void)
{
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        char *a = block_of(sizes[s]), *b = block_of(sizes[s]);
        free(a);
        free(b);
        uintptr_t *links = hide(b);
        for (size_t i = 0; i < 3; i++)
            links[i] = (uintptr_t)target;
        check_no_effect(sizes[s], NULL, 0);
    }
}

/* unsafe_unlink, mmap_overlapping_chunks: an overflow over the 16 bytes where glibc has the size of
 * the next block, which is freed then. */
static void size_overwritten(size_t size)
{
    char *blocks[32], *next = NULL, *a = NULL;
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = block_of(size);
    for (size_t i = 1; i < COUNT_OF(blocks); i++)
        if (blocks[i] == blocks[i - 1] + malloc_usable_size(blocks[i - 1])) {
            a = blocks[i - 1];
            next = blocks[i];
        }
    if (a == NULL)
        a = blocks[0]; /* no two lie side by side, which they need not with hardened */
    uintptr_t *end = hide(a + malloc_usable_size(a));
    if (next != NULL)
        end[0] = end[1] = 2 * malloc_usable_size(a) + 1;
    free(next);
    check_no_effect(size, a, malloc_usable_size(a));
    free(a);
}

static void sizes_overwritten(void)
{
    size_overwritten(EXACT);
    size_overwritten(500);
}

/* poison_null_byte, house_of_einherjar: one byte beyond the block becomes 0. */
static void nul_beyond(void)
{
    char *a = block_of(ODD);
    size_t usable = malloc_usable_size(a);
    a[usable] = '\0';
    free(a);
    check_no_effect(ODD, NULL, 0);
}

/* house_of_force, house_of_orange: what follows the last block looks like a huge free chunk. */
static void top_overwritten(void)
{
    char *last = block_of(EXACT);
    uintptr_t *end = hide(last + malloc_usable_size(last));
    end[0] = UINTPTR_MAX;
    CHECK(malloc((size_t)hide((void *)((uintptr_t)target - (uintptr_t)last))) != (void *)target);
    check_no_effect(EXACT, last, EXACT);
    check_no_effect(6000, last, EXACT);
}

/* decrypt_safe_linking, heap leaks: a freed block has no address in it that was not there before.
 */
static void links_read(void)
{
    uintptr_t pattern = UINT64_C(0x4141414141414141);
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        char *a = block_of(sizes[s]), *b = block_of(sizes[s]);
        memset(a, 0x41, sizes[s]);
        memset(b, 0x41, sizes[s]);
        free(a);
        free(b);
        const uintptr_t *words = hide(b);
        for (size_t i = 0; i < sizes[s] / sizeof(*words); i++)
            CHECK(words[i] == pattern || words[i] == 0);
    }
}

/* A large block that is freed twice, and one that is freed from inside. */
static void large_freed_twice(void)
{
    char *a = block_of(LARGE);
    free(a);
    free(hide(a));
}

static void large_from_inside(void)
{
    free(hide(block_of(LARGE) + 4096));
}

static const struct technique {
    const char *name;
    void (*run)(void);
    const char *report;   /* part of the one that must come; NULL: no effect */
    const char *hardened; /* likewise with hardened:1; "?": a report of damage or no effect */
} techniques[] = {
    {"freed_twice", freed_twice, "double free", "double free"},
    {"freed_twice_after_others", freed_twice_after_others, "double free", "double free"},
    {"false_chunk", false_chunk, "foreign pointer", "foreign pointer"},
    {"false_chunk_inside", false_chunk_inside, "interior pointer", "interior pointer"},
    {"links_overwritten", links_overwritten, NULL, "?"},
    {"sizes_overwritten", sizes_overwritten, NULL, "?"},
    {"nul_beyond", nul_beyond, NULL, "overflow"},
    {"top_overwritten", top_overwritten, NULL, "?"},
    {"links_read", links_read, NULL, NULL},
    {"large_freed_twice", large_freed_twice, "double free", "double free"},
    {"large_from_inside", large_from_inside, "interior pointer", "interior pointer"},
};

/* Runs a technique in a process of its own; false if something else came of it than `report`. */
static bool try(const char *self, const struct technique *technique, const char *options,
                const char *report)
{
    static char text[TEXT];
    int status, ends[2];
    size_t length = 0;
    ssize_t got;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(dup2(ends[1], STDERR_FILENO) >= 0 && setenv("ACRE_OPTIONS", options, 1) == 0);
        (void)execl(self, self, technique->name, (char *)NULL);
        _exit(CHECK_SKIPPED);
    }
    close(ends[1]);
    while ((got = read(ends[0], text + length, TEXT - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    text[length] = '\0';
    CHECK(waitpid(child, &status, 0) == child);
    bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0,
         aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    bool damage =
        aborted && (strstr(text, ": overflow: ") || strstr(text, ": written after free: "));
    bool good = report == NULL             ? passed
                : strcmp(report, "?") == 0 ? passed || damage
                                           : aborted && strstr(text, report) != NULL;
    if (!good)
        printf("%s with \"%s\": not %s, status %#x\n%s", technique->name, options,
               report == NULL ? "without effect" : report, (unsigned)status, text);
    return good;
}

int main(int count, char **words)
{
    int failed = 0;
    check_is_acre("malloc");
    for (size_t i = 0; i < COUNT_OF(techniques); i++) {
        const struct technique *technique = &techniques[i];
        if (count == 1) {
            failed += !try(words[0], technique, "", technique->report);
            failed += !try(words[0], technique, "hardened:1", technique->hardened);
        } else if (strcmp(words[1], technique->name) == 0) {
            technique->run();
        }
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
