/*
 * What a core of a process with many threads holds: about what is resident. Address space that was
 * never handed out is not readable, and so in no core, nor does a debugger copy it; and the
 * mappings that this takes are few.
 */
#include "check.h"
#include "smaps.h"
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
    GUARDED = 256, /* heaps that have all guards; a thread has one */
    THREADS = 400,
    BLOCKS = 20,       /* of each thread */
    BLOCK = 1000,      /* bytes */
    STACK = 128 << 10, /* bytes */
    FEW = 24,          /* mappings: of metadata, and where neighbours differ */
};

/* Bytes that a debugger copies for each thread, with its 20 KiB of blocks. */
#define DUMPED_MOST (512 * CHECK_KIB)
/* The same where a heap has no guard in front of its units: its lines are open as well. */
#define DUMPED_LATER (1024 * CHECK_KIB)

/* Static, so that their pages are not part of what threads add. */
static char stacks[THREADS][STACK] __attribute__((aligned(65536)));
static pthread_barrier_t holding;

static void *hold(void *unused)
{
    for (size_t i = 0; i < BLOCKS; i++)
        memset(hide(malloc(BLOCK)), 1, BLOCK);
    pthread_barrier_wait(&holding);
    for (;;)
        pause();
    return unused;
}

static void start_threads(size_t from, size_t to)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_barrier_init(&holding, NULL, (unsigned)(to - from) + 1) == 0);
    CHECK(pthread_attr_init(&attributes) == 0);
    for (size_t i = from; i < to; i++) {
        CHECK(pthread_attr_setstack(&attributes, stacks[i], STACK) == 0);
        int error = pthread_create(&thread, &attributes, hold, NULL);
        if (error == EAGAIN)
            check_skip("the system does not allow this process as many threads");
        CHECK(error == 0);
    }
    pthread_barrier_wait(&holding);
}

struct sum {
    size_t dumped, resident; /* bytes */
    size_t missing;          /* bytes that are resident and not dumped */
    size_t mappings;
};

static void add(void *context, const struct smap *map)
{
    struct sum *sum = context;
    sum->mappings++;
    sum->dumped += map->dumped ? map->end - map->start : 0;
    sum->resident += map->resident;
    sum->missing += map->dumped ? 0 : map->resident;
}

static struct sum sum_now(void)
{
    struct sum sum = {0};
    smaps_for_each(getpid(), add, &sum);
    return sum;
}

/* Threads from..to-1 begin; what that adds is within the bounds. */
static void check_growth(size_t from, size_t to, size_t dumped_each, size_t mappings_each)
{
    size_t threads = to - from;
    struct sum before = sum_now();
    start_threads(from, to);
    struct sum after = sum_now();
    printf("%zu threads: %zu KiB dumped, %zu KiB resident, %zu mappings more\n", threads,
           (after.dumped - before.dumped) / CHECK_KIB,
           (after.resident - before.resident) / CHECK_KIB, after.mappings - before.mappings);
    CHECK(after.dumped - before.dumped <= threads * dumped_each);
    CHECK(after.missing == before.missing);
    CHECK(after.mappings - before.mappings <= threads * mappings_each + FEW);
}

/* True if a core would be a file in the working directory. */
static bool cores_are_files(void)
{
    char pattern[128] = "|";
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
    if (file != NULL) {
        if (fgets(pattern, sizeof(pattern), file) == NULL)
            pattern[0] = '|';
        fclose(file);
    }
    return strchr(pattern, '|') == NULL && strchr(pattern, '/') == NULL &&
           setrlimit(RLIMIT_CORE, &limit) == 0;
}

/* Bytes of the files in a directory, which are removed. */
static size_t take_files(const char *path)
{
    size_t bytes = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        CHECK(fstatat(dirfd(directory), entry->d_name, &status, 0) == 0);
        bytes += (size_t)status.st_size;
        CHECK(unlinkat(dirfd(directory), entry->d_name, 0) == 0);
    }
    closedir(directory);
    return bytes;
}

/* A process of 300 threads dumps core. */
static void check_core(void)
{
    enum { CORE_THREADS = 300 };
    char path[] = "/tmp/acre-cores-XXXXXX";
    int status = 0;
    CHECK(mkdtemp(path) != NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(chdir(path) == 0);
        start_threads(0, CORE_THREADS);
        abort();
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    size_t core = take_files(path);
    CHECK(rmdir(path) == 0);
    if (!WCOREDUMP(status) || core == 0) {
        printf("no core file was made\n");
        return;
    }
    printf("core of %d threads: %zu MiB\n", (int)CORE_THREADS, core / CHECK_MIB);
    /* beside the heaps the program's own data, the stacks among it */
    CHECK(core <= sizeof(stacks) + 16 * CHECK_MIB + GUARDED * DUMPED_MOST +
                      (CORE_THREADS - GUARDED) * DUMPED_LATER);
}

int main(void)
{
    check_begin();
    free(hide(malloc(100)));
    if (cores_are_files())
        check_core();
    else
        printf("the system makes no core files in the working directory\n");
    check_growth(0, GUARDED / 2, DUMPED_MOST, 4);
    check_growth(GUARDED / 2, GUARDED - 1, DUMPED_MOST, 4);
    check_growth(GUARDED - 1, THREADS, DUMPED_LATER, 2);
    return 0;
}
