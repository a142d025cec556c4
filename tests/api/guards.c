/*
 * A linear overflow out of a block of each kind reaches blocks, and then a page without access,
 * never acre's metadata. Each case is this program started again: it writes byte by byte from an
 * end of a block until a fault stops it. Then the figures are what they were, every block can be
 * freed, and blocks can be allocated as before. See doc/guarantees.md, "What a linear overflow
 * reaches".
 */
#include "check.h"
#include "stats.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define HEAP ((uintptr_t)32 << 20) /* bytes, and alignment, of a heap */
#define UNIT ((uintptr_t)64 << 10)

enum {
    MOST = 700000, /* blocks of a case */
    TINY = 64,     /* bytes */
    SMALL = 5120,  /* this and UNIT are sizes of classes: hardened blocks have no canary, which an
                      overflow would damage and free would report */
    SLAB = 200000, /* a block that is a slab of its own */
    LARGE = 3 << 20,
    PIECES = 100000, /* blocks, most of them freed, whose places wide ones take */
    PIECE = 256,
    WIDES = 4000,
    WIDE = 2000,
    AFTER = 20000,           /* blocks taken at the end */
    MAPPINGS_MOST = 1 << 17, /* with a higher limit it takes too long to use up */
    GUARD_INSTALL = 102,     /* MADV_GUARD_INSTALL */
};

static char *blocks[MOST]; /* static: an overflow does not reach it */
static size_t count;

/* ---- writing until a fault ---- */

static sigjmp_buf fault;
static char *volatile fault_at;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    fault_at = (char *)info->si_addr;
    siglongjmp(fault, 1);
}

/* Writes from p on in steps of 1 or -1, until a fault. */
__attribute__((noinline)) static void write_on(volatile char *p, ptrdiff_t step)
{
    for (;; p += step)
        *p = 0x41;
}

/* The same; returns where the fault was. */
static char *write_until_fault(char *p, ptrdiff_t step)
{
    static char stack[1 << 16];
    stack_t signal_stack = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction before;
    CHECK(sigaltstack(&signal_stack, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &action, &before) == 0);
    if (sigsetjmp(fault, 1) == 0)
        write_on(p, step);
    CHECK(sigaction(SIGSEGV, &before, NULL) == 0);
    return fault_at;
}

/* ---- what must be as it was ---- */

static void check_all_works(const struct acre_stats *before)
{
    static char *again[AFTER];
    struct acre_stats after = stats_now();
    after.resident = before->resident; /* of the process */
    CHECK(memcmp(before, &after, sizeof(after)) == 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(malloc_usable_size(blocks[i]) != 0);
        free(blocks[i]);
    }
    for (unsigned i = 0; i < AFTER; i++)
        again[i] = take(16 + i % 3000, i);
    for (unsigned i = 0; i < AFTER; i++)
        give(again[i], 16 + i % 3000, i);
    free(hide(malloc(LARGE)));
    malloc_trim(0);
    CHECK(stats_now().small_blocks <= before->small_blocks - count + 1);
}

/* ---- the cases ---- */

static void add(size_t size)
{
    CHECK(count < MOST);
    blocks[count] = malloc(size);
    CHECK(blocks[count] != NULL);
    blocks[count++][0] = 1;
}

static void add_until_the_next_heap(size_t size)
{
    do
        add(size);
    while ((uintptr_t)blocks[count - 1] / HEAP == (uintptr_t)blocks[0] / HEAP);
}

/* Takes blocks until the heap of the first one is full. */
static void fill_a_heap(size_t size)
{
    add_until_the_next_heap(size);
    add_until_the_next_heap(UNIT); /* in units that were too few for a slab of those */
}

/* The lowest or highest block in the heap of blocks[0]. */
static char *outermost(bool highest)
{
    char *found = blocks[0];
    for (size_t i = 1; i < count; i++)
        if ((uintptr_t)blocks[i] / HEAP == (uintptr_t)found / HEAP &&
            (highest ? blocks[i] > found : blocks[i] < found))
            found = blocks[i];
    return found;
}

/* From a block of a full heap: over all blocks at higher addresses, and not to the header of the
 * next heap. */
static void overflow_of_a_heap(char *p)
{
    struct acre_stats before = stats_now();
    char *end = write_until_fault(p + malloc_usable_size(p), 1);
    char *last = outermost(true);
    CHECK(end >= last + malloc_usable_size(last));
    CHECK((uintptr_t)end < (uintptr_t)last + malloc_usable_size(last) + UNIT);
    CHECK((uintptr_t)end / HEAP == ((uintptr_t)end + (size_t)sysconf(_SC_PAGESIZE) - 1) / HEAP);
    check_all_works(&before);
}

static void from_the_lowest(size_t size)
{
    fill_a_heap(size);
    overflow_of_a_heap(outermost(false));
}

static void from_the_highest(size_t size)
{
    fill_a_heap(size);
    overflow_of_a_heap(outermost(true));
}

/* Downwards from the lowest block of a heap, below which are the heap's guard and states. */
static void underflow(size_t size)
{
    for (size_t i = 0; i < 100; i++)
        add(size);
    struct acre_stats before = stats_now();
    char *p = outermost(false);
    char *below = write_until_fault(p - 1, -1);
    CHECK((uintptr_t)below / HEAP == (uintptr_t)p / HEAP && (uintptr_t)(below + 1) % UNIT == 0);
    CHECK((uintptr_t)p - (uintptr_t)below <= 16 * UNIT); /* free units, of other classes */
    check_all_works(&before);
}

/* From the lowest wide block. */
static void from_a_wide_one(size_t size)
{
    leave_pieces(blocks, PIECES, 10, PIECE - 100, PIECE + 200);
    count = PIECES / 10;
    size_t places = wide_places();
    char *lowest = NULL;
    for (size_t i = 0; i < WIDES; i++) {
        add(size);
        if (wide_places() > places && (lowest == NULL || blocks[count - 1] < lowest))
            lowest = blocks[count - 1];
        places = wide_places();
    }
    CHECK(lowest != NULL);
    struct acre_stats before = stats_now();
    char *end = write_until_fault(lowest + malloc_usable_size(lowest), 1);
    CHECK((uintptr_t)end / HEAP == (uintptr_t)lowest / HEAP && (uintptr_t)end % UNIT == 0);
    check_all_works(&before);
}

/* From the process's first LARGE block: only metadata was mapped by acre before it. */
static void from_the_first_large_one(size_t size)
{
    add(size);
    struct acre_stats before = stats_now();
    char *end = blocks[0] + malloc_usable_size(blocks[0]);
    CHECK(write_until_fault(end, 1) == end);
    check_all_works(&before);
}

/* From the lowest of several LARGE blocks that touch: over these, and no further. */
static void from_one_of_many_large_ones(size_t size)
{
    for (size_t i = 0; i < 20; i++)
        add(size);
    struct acre_stats before = stats_now();
    char *lowest = blocks[0], *end;
    for (size_t i = 1; i < count; i++)
        if (blocks[i] < lowest)
            lowest = blocks[i];
    end = lowest;
    for (size_t i = 0; i < count; i++) /* the end of those that touch */
        for (size_t j = 0; j < count; j++)
            if (blocks[j] == end)
                end += malloc_usable_size(blocks[j]);
    CHECK(end > lowest);
    CHECK(write_until_fault(lowest + malloc_usable_size(lowest), 1) == end);
    check_all_works(&before);
}

/* ---- with option hardened ---- */

/* No byte after a block can be written to, nor one in front of it if it touches another block. */
static void check_guards(void)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = malloc_usable_size(blocks[i]);
        blocks[i][size - 1] = 1;
        CHECK(write_until_fault(blocks[i] + size, 1) == blocks[i] + size);
        for (size_t j = 0; j < count; j++)
            if (blocks[j] > blocks[i] && (size_t)(blocks[j] - blocks[i]) < size + UNIT)
                CHECK(write_until_fault(blocks[j] - 1, -1) == blocks[j] - 1);
    }
}

static void resize(size_t number, size_t size)
{
    fill(blocks[number], LARGE / 2, (unsigned)number);
    blocks[number] = realloc(blocks[number], size);
    CHECK(blocks[number] != NULL && is_filled(blocks[number], LARGE / 2, (unsigned)number));
}

/* From each of many LARGE blocks, also when they were resized, and made of freed ones. */
static void from_each_large_one(size_t size)
{
    enum { BLOCKS = 24, ALIGNED = 4 << 20 };
    for (int round = 0; round < 2; round++) {
        while (count < BLOCKS)
            add(size + count % 4 * UNIT);
        CHECK(malloc_usable_size(blocks[count - 1]) == size + (count - 1) % 4 * UNIT);
        check_guards();
        for (size_t i = 0; i < BLOCKS; i += 3) {
            resize(i, 2 * size);
            resize(i + 1, size / 2 + UNIT);
        }
        check_guards();
        struct acre_stats before = stats_now();
        char *zeroes = calloc(1, 4 * size);
        CHECK(zeroes != NULL && is_zero(zeroes, 4 * size));
        CHECK(write_until_fault(zeroes + 4 * size, 1) == zeroes + 4 * size);
        free(zeroes);
        void *aligned = aligned_alloc(ALIGNED, ALIGNED);
        CHECK(aligned != NULL && is_aligned(aligned, ALIGNED));
        free(aligned);
        if (round == 1) {
            check_all_works(&before);
            break;
        }
        while (count > BLOCKS / 2)
            free(blocks[--count]);
    }
    malloc_trim(0);
}

static size_t mappings(void)
{
    static char text[1 << 16];
    size_t lines = 0;
    ssize_t length;
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(maps >= 0);
    while ((length = read(maps, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < length; i++)
            lines += text[i] == '\n';
    close(maps);
    return lines;
}

static size_t mappings_most(void)
{
    char text[64];
    read_file("/proc/sys/vm/max_map_count", text, sizeof(text));
    return strtoul(text, NULL, 10);
}

/* A guard of the kernel's takes no mapping. */
static void count_mappings_of_marks(size_t size)
{
    add(size);
    size_t before = mappings();
    for (int i = 0; i < 500; i++)
        add(size);
    check_guards();
    CHECK(mappings() < before + 50);
}

/* Others take half of the mappings at most; then there are none, which is said once. What is freed
 * makes room for others. */
static void use_up_mappings(size_t size)
{
    enum { ALIGNMENT = 128 << 10, TRIED = 3 };
    size_t most = mappings_most();
    char said[1 << 12];
    int pipes[2], error = dup(STDERR_FILENO);
    CHECK(pipe(pipes) == 0 && fcntl(pipes[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK(error >= 0 && dup2(pipes[1], STDERR_FILENO) == STDERR_FILENO);
    while (count < most / 2) {
        blocks[count] = aligned_alloc(ALIGNMENT, size);
        CHECK(blocks[count] != NULL);
        blocks[count++][0] = 1;
    }
    CHECK(dup2(error, STDERR_FILENO) == STDERR_FILENO && close(pipes[1]) == 0);
    read_all(pipes[0], said, sizeof(said));
    CHECK(strstr(said, "max_map_count") != NULL && strchr(said, '\n')[1] == '\0');
    size_t now = mappings();
    CHECK(now > most / 4 && now < most * 3 / 4);
    for (size_t i = 0; i < TRIED; i++) {
        size_t usable = malloc_usable_size(blocks[i]);
        CHECK(write_until_fault(blocks[i] + usable, 1) == blocks[i] + usable);
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    count = 0;
    malloc_trim(0);
    CHECK(mappings() < most / 8);
    add(LARGE);
    check_guards();
}

/* Has the system refuse the kernel's guards, as one before 6.13 does. */
static void refuse_marks(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, GUARD_INSTALL, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT_OF(code), code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static bool kernel_has_marks(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *trial = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool has = trial != MAP_FAILED && madvise(trial, page, GUARD_INSTALL) == 0;
    munmap(trial, page);
    return has;
}

static const struct {
    const char *name;
    void (*run)(size_t);
    size_t size;
    enum { PLAIN, HARDENED, WITHOUT_MARKS } how;
} cases[] = {
    {"TINY, from the lowest block of a heap", from_the_lowest, TINY, PLAIN},
    {"TINY, from the highest", from_the_highest, TINY, PLAIN},
    {"TINY, downwards", underflow, TINY, PLAIN},
    {"SMALL, from the lowest block of a heap", from_the_lowest, SMALL, PLAIN},
    {"SMALL, from the highest", from_the_highest, SMALL, PLAIN},
    {"SMALL, downwards", underflow, SMALL, PLAIN},
    {"a slab of its own, from the lowest block of a heap", from_the_lowest, SLAB, PLAIN},
    {"a slab of its own, from the highest", from_the_highest, SLAB, PLAIN},
    {"a slab of its own, downwards", underflow, SLAB, PLAIN},
    {"wide", from_a_wide_one, WIDE, PLAIN},
    {"LARGE, the first one", from_the_first_large_one, LARGE, PLAIN},
    {"LARGE, the first one, with huge pages", from_the_first_large_one, 2 * LARGE, PLAIN},
    {"LARGE, one of many", from_one_of_many_large_ones, LARGE, PLAIN},
    {"hardened, LARGE", from_each_large_one, LARGE, HARDENED},
    {"hardened, LARGE, with huge pages", from_each_large_one, 2 * LARGE, HARDENED},
    {"hardened, LARGE, by mprotect", from_each_large_one, LARGE, WITHOUT_MARKS},
    {"hardened, mappings", count_mappings_of_marks, LARGE, HARDENED},
    {"hardened, mappings of mprotect", use_up_mappings, SMALL, WITHOUT_MARKS},
    {"hardened, SMALL, from the highest", from_the_highest, SMALL, HARDENED},
};

int main(int argument_count, char **arguments)
{
    if (argument_count > 1) {
        size_t number = strtoul(arguments[1], NULL, 10);
        check_begin();
        free(hide(malloc(10))); /* there is a heap, and the map of its units */
        cases[number].run(cases[number].size);
        return 0;
    }
    check_begin();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char number[8];
        snprintf(number, sizeof(number), "%zu", i);
        printf("%s\n", cases[i].name);
        if ((cases[i].run == count_mappings_of_marks && !kernel_has_marks()) ||
            (cases[i].run == use_up_mappings && mappings_most() > MAPPINGS_MOST))
            continue;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            if (cases[i].how != PLAIN)
                setenv("ACRE_OPTIONS", "hardened:1", 1);
            if (cases[i].how == WITHOUT_MARKS)
                refuse_marks();
            start_again(number);
        }
        check_child(child);
    }
    return 0;
}
