/*
 * What a system refuses by its own limits: address space, data, mappings, memory that is not
 * committed, a cgroup's memory, /proc, and calls that a filter denies or kills for. Each case is a
 * process of this same program. Under the limit each request succeeds or gives NULL with ENOMEM,
 * and no block is lost or damaged; when it is lifted all requests succeed.
 *
 *   limits [CASE...]
 */
#include "check.h"

#include "intercept.h"
#include "plan.h"
#include "shadow.h"

#include <acre/acre.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* As if a call had failed, and all further ones did: any request may be refused. */
static struct plan refusing = {.failed = 1, .how = PLAN_SAME_ON};

/* ---- what is done under each limit ---- */

static void *use_in_thread(void *unused)
{
    shadow_take(60, 100, 1500);
    shadow_realloc(shadow_calloc(CHECK_MIB + 5000), 3 * CHECK_MIB);
    shadow_free_from(1, 3);
    return unused;
}

static void use_all(void)
{
    for (int round = 0; round < 3; round++) {
        shadow_take(3000, 40, 0);
        shadow_take(200, 5000, 11);
        shadow_take(60, 100000, 3000);
        for (int i = 0; i < 4; i++)
            shadow_realloc(shadow_malloc(2 * CHECK_MIB), 5 * CHECK_MIB);
        shadow_aligned(4 * CHECK_MIB, 3 * CHECK_MIB);
        shadow_calloc(70000);
        pthread_t thread;
        if (pthread_create(&thread, NULL, use_in_thread, NULL) == 0)
            join(thread);
        shadow_check();
        shadow_free_from(round, 2);
        malloc_trim(0);
    }
    /* a child has what its parent had */
    pid_t child = fork();
    if (child == 0) {
        use_in_thread(NULL);
        shadow_check();
        shadow_free_from(0, 1);
        CHECK(acre_check(STDERR_FILENO) == 0);
        _exit(0);
    }
    check_child(child);
}

/* Requests until one is refused, of a size that goes down: nothing is left then. */
static void use_up(void)
{
    for (size_t size = 8 * CHECK_MIB; size >= 64; size /= 2)
        for (int i = 0; i < 400 && shadow_malloc(size) != SHADOW_NONE; i++)
            continue;
    CHECK(plan->refused != 0);
    shadow_check();
    shadow_free_from(0, 2);
    shadow_take(100, 3000, 0);
}

/* ---- limits of bytes ---- */

/* Field `name` of /proc/self/status, in bytes. */
static size_t status_of(const char *name)
{
    char text[1 << 12];
    read_file("/proc/self/status", text, sizeof(text));
    const char *line = strstr(text, name);
    CHECK(line != NULL);
    return strtoul(line + strlen(name) + 1, NULL, 10) * CHECK_KIB;
}

static void set_limit(int resource, rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(resource, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(resource, &limit) == 0);
}

/* Leaves some room, or next to none, and takes it away while blocks live. */
static void under_bytes(int resource, const char *field)
{
    static const size_t rooms[] = {0, 1, 5, 40, 150};
    use_in_thread(NULL);
    for (size_t i = 0; i < COUNT_OF(rooms); i++) {
        set_limit(resource, status_of(field) + rooms[i] * CHECK_MIB);
        use_all();
        use_up();
        set_limit(resource, RLIM_INFINITY);
        malloc_trim(0);
    }
    shadow_finish();
}

static void address_space(void)
{
    under_bytes(RLIMIT_AS, "VmSize:");
}

static void data(void)
{
    under_bytes(RLIMIT_DATA, "VmData:");
}

/* ---- mappings ---- */

enum { MAPPINGS_MOST = 1 << 18 }; /* with a higher limit it takes too long */

static size_t number_in(const char *path)
{
    char text[64] = "";
    if (access(path, R_OK) == 0)
        read_file(path, text, sizeof(text));
    return strtoul(text, NULL, 10);
}

/* Takes all mappings that the process may have: pages of another protection than their neighbours.
 */
static void mappings(void)
{
    size_t most = number_in("/proc/sys/vm/max_map_count"), page = (size_t)getpagesize();
    if (most == 0 || most > MAPPINGS_MOST)
        check_skip("vm.max_map_count is unknown, or so high that it takes too long to reach");
    use_in_thread(NULL);
    char *pages =
        mmap(NULL, 2 * most * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(pages != MAP_FAILED);
    size_t taken = 0;
    while (taken < most && mprotect(pages + 2 * taken * page, page, PROT_READ) == 0)
        taken++;
    CHECK(errno == ENOMEM && taken < most);
    use_all();
    use_up();
    /* a few come free, as when a thread ends */
    for (size_t left = 1; left < 200; left *= 3) {
        CHECK(mprotect(pages + 2 * (taken - left) * page, page, PROT_NONE) == 0);
        use_all();
    }
    CHECK(munmap(pages, 2 * most * page) == 0);
    shadow_finish();
}

/* ---- memory that is not committed ---- */

static void overcommit(void)
{
    if (number_in("/proc/sys/vm/overcommit_memory") != 2)
        check_skip("vm.overcommit_memory is not 2; faults refuses what it would (memory-on)");
    use_up();
    shadow_finish();
}

/* ---- a cgroup ---- */

enum { GROUP_BYTES = 96 << 20 };

/* Writes to a file of a group. False if the system does not let the program. */
static bool write_to(const char *group, const char *file, const char *text)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", group, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Makes a group for memory in the process's own, version 2 or 1; false if that may not be. */
static bool make_group(char *group, size_t size, const char **limit)
{
    static const char *const places[][3] = {
        {"0::", "/sys/fs/cgroup", "memory.max"},
        {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
    };
    char text[1 << 12];
    read_file("/proc/self/cgroup", text, sizeof(text));
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char *line = strstr(text, places[i][0]), name[256] = "", file[400];
        if (line == NULL || sscanf(line + strlen(places[i][0]), "%255[^\n]", name) != 1)
            continue;
        snprintf(group, size, "%s%s/acre-limits-%d", places[i][1], name, (int)getpid());
        *limit = places[i][2];
        if (mkdir(group, 0755) != 0)
            continue;
        snprintf(file, sizeof(file), "%s/%s", group, *limit);
        if (access(file, W_OK) == 0)
            return true;
        rmdir(group);
    }
    return false;
}

/* What was given back does not count: several times the group's memory is used, one size after the
 * other. */
static void use_group(void)
{
    static const size_t sizes[] = {64, 3000, 60000, 900000, 3000000};
    alarm(CHECK_HANG_SECONDS);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            enum { BYTES = GROUP_BYTES / 2 };
            char *last = NULL;
            for (size_t bytes = 0; bytes < BYTES; bytes += sizes[i]) {
                char *block = malloc(sizes[i]);
                CHECK(block != NULL);
                memset(block, 1, sizes[i]);
                memcpy(block, &last, sizeof(last));
                last = block;
            }
            while (last != NULL) {
                char *block = last;
                memcpy(&last, block, sizeof(last));
                free(block);
            }
            malloc_trim(0);
        }
    _exit(acre_check(STDERR_FILENO) == 0 ? 0 : 1);
}

/* With limit:cgroup, requests are refused before the group is full, and the system kills nobody. */
static void use_group_with_limit(void)
{
    enum { SIZES = 3, BYTES_LEAST = GROUP_BYTES / 2 };
    static const size_t sizes[SIZES] = {700, 50000, 3000000};
    alarm(CHECK_HANG_SECONDS);
    CHECK(acre_option_set("limit", "cgroup-25%") == 0);
    size_t limit = acre_limit(NULL), held;
    CHECK(limit != 0 && limit <= GROUP_BYTES - GROUP_BYTES / 4);
    for (int round = 0; round < 2 * SIZES; round++) {
        size_t size = sizes[round % SIZES], bytes = 0;
        char *last = NULL, *block;
        while ((block = malloc(size)) != NULL) {
            memset(block, 1, size);
            memcpy(block, &last, sizeof(last));
            last = block;
            bytes += size;
        }
        CHECK(errno == ENOMEM && bytes >= BYTES_LEAST);
        CHECK(acre_limit(&held) == limit && held <= limit);
        while (last != NULL) {
            block = last;
            memcpy(&last, block, sizeof(last));
            free(block);
        }
    }
    _exit(acre_check(STDERR_FILENO) == 0 ? 0 : 1);
}

/* Runs `use` in a group of GROUP_BYTES. */
static void in_group(void (*use)(void))
{
    char group[360], number[32];
    const char *limit;
    bool ready = make_group(group, sizeof(group), &limit);
    if (ready) {
        snprintf(number, sizeof(number), "%d", GROUP_BYTES);
        ready = write_to(group, limit, number);
        pid_t child = fork();
        if (child == 0) {
            if (!write_to(group, "cgroup.procs", "0"))
                _exit(CHECK_SKIPPED);
            use();
        }
        int status = wait_for(child);
        while (rmdir(group) != 0) { /* a process that was waited for may be in it for a moment */
            CHECK(errno == EBUSY);
            sched_yield();
        }
        ready = ready && !(WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED);
        CHECK(!ready || status == 0);
    }
    if (!ready)
        check_skip("no group for memory can be made");
}

static void cgroup(void)
{
    in_group(use_group);
}

static void cgroup_limit(void)
{
    in_group(use_group_with_limit);
}

/* ---- no /proc ---- */

static void no_proc(void)
{
    struct acre_stats stats;
    struct stat proc;
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0)
        check_skip("no namespace of mounts can be made");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", 0, NULL) != 0)
        check_skip("nothing can be mounted over /proc");
    CHECK(stat("/proc/self", &proc) != 0);
    CHECK(acre_option_set("background_thread", "1") == 0);
    use_all();
    CHECK(acre_stats(&stats, sizeof(stats)) == 0 && stats.resident == 0 && stats.live != 0);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    acre_stats_print(null, ACRE_STATS_JSON);
    close(null);
    shadow_finish();
    CHECK(plan->refused == 0);
}

/* ---- filters ---- */

/* Has each of some system calls end as `action` says. False if the system has no filters. */
static bool filter(const unsigned *numbers, size_t count, uint32_t action)
{
    struct sock_filter code[64] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned short used = 1;
    for (size_t i = 0; i < count; i++) {
        code[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, 1);
        code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {used, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Calls that acre can do without, and that neither libc nor this program needs. */
static const unsigned optional_calls[] = {
    SYS_getrandom,   SYS_madvise,       SYS_mincore,  SYS_mremap,
    SYS_personality, SYS_clock_gettime, SYS_unlinkat, SYS_renameat,
};

static const char denied_from_start[] = "--denied-from-start";
static const char unknown_from_start[] = "--unknown-from-start";

/* In a process that began under the filter. */
static int run_refused(int error)
{
    errno = 0;
    CHECK(syscall(SYS_getrandom, &refusing, 0, 0) == -1 && errno == error);
    CHECK(madvise(&refusing, 0, MADV_NORMAL) == -1 && errno == error);
    use_all();
    shadow_finish();
    CHECK(plan->refused == 0);
    return 0;
}

static void denied(void)
{
    if (!filter(optional_calls, COUNT_OF(optional_calls), SECCOMP_RET_ERRNO | EPERM))
        check_skip("no filters of system calls");
    start_again(denied_from_start);
}

static void unknown(void)
{
    if (!filter(optional_calls, COUNT_OF(optional_calls), SECCOMP_RET_ERRNO | ENOSYS))
        check_skip("no filters of system calls");
    start_again(unknown_from_start);
}

/* Those that doc/loading.md names for the first block alone. */
static void killed(void)
{
    static const unsigned first_block[] = {SYS_getrandom, SYS_personality};
    free(hide(malloc(1)));
    if (!filter(first_block, COUNT_OF(first_block), SECCOMP_RET_KILL_PROCESS))
        check_skip("no filters of system calls");
    use_all();
    shadow_finish();
    CHECK(plan->refused == 0);
}

/* ---- the cases ---- */

static const struct test_case {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"address_space", address_space},
    {"data", data},
    {"mappings", mappings},
    {"overcommit", overcommit},
    {"cgroup", cgroup},
    {"cgroup_limit", cgroup_limit},
    {"no_proc", no_proc},
    {"denied", denied},
    {"unknown", unknown},
    {"killed", killed},
};

/* Runs a case in a process of its own. False if it failed. */
static bool run_case(const struct test_case *test)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        start_again(test->name);
    int status = wait_for(child);
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED;
    printf("%-16s %s\n", test->name, status == 0 ? "ok" : skipped ? "skipped" : "FAILED");
    return status == 0 || skipped;
}

int main(int count, char **arguments)
{
    unsigned failed = 0;
    plan = &refusing;
    check_begin();
    if (count == 2 && strcmp(arguments[1], denied_from_start) == 0)
        return run_refused(EPERM);
    if (count == 2 && strcmp(arguments[1], unknown_from_start) == 0)
        return run_refused(ENOSYS);
    for (size_t i = 0; i < COUNT_OF(cases) && count == 2; i++)
        if (strcmp(arguments[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        failed += !run_case(&cases[i]);
    return failed == 0 ? 0 : 1;
}
