/*
 * A child that calls exec or _exit at once pays next to nothing: of the pages that acre has written
 * to in the parent, it writes to a few at most, however many threads and blocks there are. The
 * parent reads the child's /proc/PID/smaps while the child waits: a page that is private to it is
 * one that it has written to.
 */
#include "check.h"
#include "clone.h"
#include "smaps.h"

enum {
    THREADS = 40,
    BLOCKS = 400,      /* of each thread */
    STACK = 128 << 10, /* bytes */
    PAGES_ALLOWED = 2, /* that a child may write to; see doc/fork.md */
};

static pthread_barrier_t allocated;

/* Of the program's own, so that they are not among the anonymous mappings: libc writes to them in
 * the child. */
static char stacks[THREADS][STACK] __attribute__((aligned(4096)));

static size_t size_of(size_t number)
{
    return number % 40 == 0 ? 300000 : 1 + number * 23 % 3000;
}

/* Leaves arenas, slabs and lists as a program does that has been running for a while. */
static void *allocate_and_sleep(void *unused)
{
    char *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = take(size_of(i), i);
    for (size_t i = 0; i < BLOCKS; i += 3)
        free(blocks[i]);
    free(hide(malloc(3000000)));
    pthread_barrier_wait(&allocated);
    (void)unused;
    sleep_for_ever();
}

/* What is summed up over the mappings of a child. */
struct sum {
    uintptr_t last_end;   /* of the mapping before */
    bool last_was_others; /* that one belongs to a file that is not acre's */
    size_t acre;          /* private dirty bytes of acre's mappings */
};

/*
 * acre's mappings are those of the library, what directly follows it (.bss), and the anonymous ones
 * that are not the main thread's stack or control block and do not directly follow another file's.
 */
static void add(void *context, const struct smap *map)
{
    struct sum *sum = context;
    uintptr_t here = (uintptr_t)&sum, self = (uintptr_t)pthread_self();
    bool others = map->name[0] != '\0' && strstr(map->name, "libacre") == NULL;
    if (map->name[0] == '\0' && map->start == sum->last_end)
        others = sum->last_was_others;
    if ((map->start <= here && here < map->end) || (map->start <= self && self < map->end))
        others = true;
    sum->last_end = map->end;
    sum->last_was_others = others;
    if (!others)
        sum->acre += map->private_dirty;
}

typedef pid_t make_child(void);

/* Without any handler, of acre or of libc; and the child allocates: the proof that pages which are
 * written to show. */
static pid_t clone_child_that_allocates(void)
{
    pid_t child = clone_child();
    if (child == 0)
        memset(hide(malloc(20000)), 1, 20000);
    return child;
}

/* Pages of acre's that a child which does nothing has to itself. */
static size_t pages_written(make_child *make)
{
    struct sum sum = {.acre = 0};
    int said[2], may_end[2];
    char byte = 0;
    CHECK(pipe(said) == 0 && pipe(may_end) == 0);
    pid_t child = make();
    CHECK(child >= 0);
    if (child == 0) {
        syscall(SYS_write, said[1], &byte, 1);
        syscall(SYS_close, may_end[1]);
        syscall(SYS_read, may_end[0], &byte, 1);
        syscall(SYS_exit_group, 0);
    }
    CHECK(read(said[0], &byte, 1) == 1);
    smaps_for_each(child, add, &sum);
    close(may_end[0]);
    close(may_end[1]);
    close(said[0]);
    close(said[1]);
    check_child(child);
    return sum.acre / (size_t)sysconf(_SC_PAGESIZE);
}

int main(void)
{
    check_begin();
    CHECK(pthread_barrier_init(&allocated, NULL, THREADS + 1) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        pthread_attr_t attributes;
        CHECK(pthread_attr_init(&attributes) == 0);
        CHECK(pthread_attr_setstack(&attributes, stacks[i], STACK) == 0);
        CHECK(pthread_create(&thread, &attributes, allocate_and_sleep, NULL) == 0);
    }
    pthread_barrier_wait(&allocated);
    size_t without = pages_written(clone_child);
    size_t with = pages_written(fork);
    printf("pages of acre's that a child writes to: %zu, without handlers %zu\n", with, without);
    CHECK(without == 0);
    CHECK(pages_written(clone_child_that_allocates) > 5);
    CHECK(with <= PAGES_ALLOWED);
    return 0;
}
