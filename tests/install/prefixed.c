/*
 * A program with two families of malloc: libc's by its own names, and that of an acre that was
 * configured --with-prefix. Both are used by several threads, across forks, and each keeps to its
 * own blocks. Prints "acre VERSION", or what is wrong. Compiled as C and as C++.
 */
#include <acre/acre.h>
#include <acre/inspect.h>
#include <acre/malloc.h>
#ifdef __cplusplus
#include <acre/allocator.hpp>
#include <vector>
#endif
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 1000, BLOCK_SIZE = 3000, THREADS = 4, ROUNDS = 20000, SLOTS = 64, FORKS = 50 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "prefixed: line %d: not true: %s\n", __LINE__, #condition);            \
            exit(EXIT_FAILURE);                                                                    \
        }                                                                                          \
    } while (0)

/* Names that acre has inside: those of an archive are not in the way. */
const char *lock_acquire(void);
const char *report_start(void);

const char *lock_acquire(void)
{
    return "the program's lock_acquire";
}

const char *report_start(void)
{
    return "the program's report_start";
}

/* ---- which family a block is of ---- */

static size_t live(void)
{
    struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    return stats.live;
}

static void *blocks[BLOCKS];

static void test_families(void)
{
    size_t before = live();
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = malloc(BLOCK_SIZE)) != NULL);
    CHECK(live() == before);
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
#ifdef __cplusplus
    char *characters = new char[BLOCK_SIZE];
    memset(characters, 'c', BLOCK_SIZE);
    CHECK(live() == before);
    delete[] characters;

    /* acre's, beside libc's */
    std::vector<char, acre::allocator<char>> vector(BLOCK_SIZE, 'c');
    CHECK(live() >= before + BLOCK_SIZE);
    vector = std::vector<char, acre::allocator<char>>();
    CHECK(live() == before);
#if __cplusplus >= 201703L
    void *aligned = acre::resource()->allocate(BLOCK_SIZE, 256);
    CHECK((uintptr_t)aligned % 256 == 0 && live() >= before + BLOCK_SIZE);
    acre::resource()->deallocate(aligned, BLOCK_SIZE, 256);
    CHECK(live() == before);
#endif
#endif
    char *copy = strdup("libc allocates this one by its own malloc");
    CHECK(copy != NULL && live() == before);
    free(copy);

    for (size_t i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = ACRE_PREFIXED(malloc)(BLOCK_SIZE)) != NULL);
    CHECK(live() >= before + (size_t)BLOCKS * BLOCK_SIZE);
    for (size_t i = 0; i < BLOCKS; i++)
        ACRE_PREFIXED(free)(blocks[i]);
    CHECK(live() == before);
}

/* Each function that gives a block, and each that takes one back. */
static void test_family(void)
{
    size_t before = live();
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *zeroes = (char *)ACRE_PREFIXED(calloc)(100, 10);
    CHECK(zeroes != NULL && live() > before);
    for (size_t i = 0; i < 1000; i++)
        CHECK(zeroes[i] == 0);
    memset(zeroes, 'z', 1000);
    zeroes = (char *)ACRE_PREFIXED(realloc)(zeroes, 5000);
    CHECK(zeroes != NULL && zeroes[0] == 'z' && zeroes[999] == 'z');
    zeroes = (char *)ACRE_PREFIXED(reallocarray)(zeroes, 100, 100);
    CHECK(zeroes != NULL && zeroes[0] == 'z' && zeroes[999] == 'z');
    CHECK(ACRE_PREFIXED(malloc_usable_size)(zeroes) >= 10000);
    ACRE_PREFIXED(free_sized)(zeroes, 10000);

    void *aligned = ACRE_PREFIXED(aligned_alloc)(256, 512);
    CHECK(aligned != NULL && (uintptr_t)aligned % 256 == 0);
    ACRE_PREFIXED(free_aligned_sized)(aligned, 256, 512);
    aligned = ACRE_PREFIXED(memalign)(512, 100);
    CHECK(aligned != NULL && (uintptr_t)aligned % 512 == 0);
    ACRE_PREFIXED(free)(aligned);
    CHECK(ACRE_PREFIXED(posix_memalign)(&aligned, 1024, 100) == 0);
    CHECK((uintptr_t)aligned % 1024 == 0);
    ACRE_PREFIXED(free)(aligned);
    aligned = ACRE_PREFIXED(valloc)(100);
    CHECK(aligned != NULL && (uintptr_t)aligned % page == 0);
    ACRE_PREFIXED(free)(aligned);
    aligned = ACRE_PREFIXED(pvalloc)(page + 1);
    CHECK(aligned != NULL && ACRE_PREFIXED(malloc_usable_size)(aligned) >= 2 * page);
    CHECK(ACRE_PREFIXED(mallinfo2)().uordblks + ACRE_PREFIXED(mallinfo2)().hblkhd == live());
    CHECK(ACRE_PREFIXED(mallinfo)().uordblks + ACRE_PREFIXED(mallinfo)().hblkhd == (int)live());
    ACRE_PREFIXED(free)(aligned);
    CHECK(live() == before);

    CHECK(ACRE_PREFIXED(mallopt)(M_CHECK_ACTION, 3) == 1);
    (void)ACRE_PREFIXED(malloc_trim)(0);
    FILE *null = fopen("/dev/null", "w");
    CHECK(null != NULL && ACRE_PREFIXED(malloc_info)(0, null) == 0);
    fclose(null);
}

struct sought {
    const void *address;
    int found;
};

static int compare_block(void *context, const struct acre_block *block)
{
    struct sought *sought = (struct sought *)context;
    sought->found += block->address == sought->address && block->state == ACRE_BLOCK_LIVE;
    return 0;
}

static int walk_finds(const void *address)
{
    struct sought sought = {address, 0};
    CHECK(acre_heap_walk(compare_block, &sought) == 0);
    return sought.found;
}

static void test_figures(void)
{
    void *acres = ACRE_PREFIXED(malloc)(100);
    void *libcs = malloc(100);
    CHECK(walk_finds(acres) == 1);
    CHECK(walk_finds(libcs) == 0);
    ACRE_PREFIXED(free)(acres);
    free(libcs);
    CHECK(strcmp(acre_version(), ACRE_VERSION_STRING) == 0);
    CHECK(acre_root.magic == ACRE_MAGIC && acre_root.layout == ACRE_LAYOUT);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

/* In a child: a block of libc's that is freed to acre ends the process, which says so first. */
static void test_misuse(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        ACRE_PREFIXED(free)(malloc(100));
        _exit(EXIT_SUCCESS);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- threads and forks ---- */

/* A place for a block that any thread may take and free, of either family. */
struct slot {
    pthread_mutex_t lock;
    unsigned char *block; /* filled with its size's lowest byte */
    size_t size;
    int is_acres;
};

static struct slot slots[SLOTS];

static unsigned next_random(unsigned *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

static void free_slot(struct slot *slot)
{
    if (slot->block == NULL)
        return;
    CHECK(slot->block[0] == (unsigned char)slot->size);
    CHECK(slot->block[slot->size - 1] == (unsigned char)slot->size);
    if (slot->is_acres)
        ACRE_PREFIXED(free)(slot->block);
    else
        free(slot->block);
    slot->block = NULL;
}

static void fill_slot(struct slot *slot, unsigned random)
{
    slot->size = 1 + (random >> 8) % (random % 97 == 0 ? 300000 : 2000);
    slot->is_acres = (random >> 30) % 2;
    slot->block =
        (unsigned char *)(slot->is_acres ? ACRE_PREFIXED(malloc)(slot->size) : malloc(slot->size));
    CHECK(slot->block != NULL);
    memset(slot->block, (unsigned char)slot->size, slot->size);
}

static void *work(void *argument)
{
    unsigned random = (unsigned)(uintptr_t)argument;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct slot *slot = &slots[(next_random(&random) >> 16) % SLOTS];
        pthread_mutex_lock(&slot->lock);
        free_slot(slot);
        fill_slot(slot, next_random(&random));
        pthread_mutex_unlock(&slot->lock);
    }
    return NULL;
}

/* What a child does while its threads are lost: takes and gives back blocks of both families, and
 * those of the parent whose slots no thread holds. */
static void live_in_child(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (pthread_mutex_trylock(&slots[i].lock) == 0) {
            free_slot(&slots[i]);
            fill_slot(&slots[i], (unsigned)(i * 2654435761u));
        }
    CHECK(acre_check(STDERR_FILENO) == 0);
}

static void test_threads_and_forks(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < SLOTS; i++)
        pthread_mutex_init(&slots[i].lock, NULL);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)) == 0);
    for (size_t i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            live_in_child();
            _exit(EXIT_SUCCESS);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SLOTS; i++)
        free_slot(&slots[i]);
    CHECK(live() == 0);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

int main(void)
{
    test_families();
    test_family();
    test_figures();
    test_misuse();
    test_threads_and_forks();
    printf("acre %s\n", acre_version());
    return EXIT_SUCCESS;
}
