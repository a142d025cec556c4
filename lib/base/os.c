/*
 * The system calls of the library; os.h is the contract.
 *
 * System calls are made by system_call.h, so malloc and free are not cancellation points, as libc's
 * read and write are, and errno stays as it is.
 */
#define _GNU_SOURCE 1
#include "base/os.h"

#include "base/elf.h"
#include "base/probe.h"
#include "base/system_call.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum {
    SMALLEST_PAGE = 4096,   /* bytes; assumed if the kernel does not say */
    LOWEST_DUPLICATE = 100, /* descriptors below are the program's: it may count on their numbers */
    STATM_TEXT = 128,       /* bytes; /proc/self/statm is seven numbers */
    LARGEST_ERROR = 4095,   /* errno code; a system call returns its negative */
    PAGES_AT_ONCE = 512,    /* for which mincore is asked in one call */
    ABORTED = 128 + SIGABRT, /* the exit status a shell shows for SIGABRT */
};

/* reads the persona and changes nothing: personality(2) */
#define PERSONA_ASKED 0xffffffffUL

/* riscv64 has only the later call, whose flags are 0 here. */
#ifndef SYS_renameat
#define SYS_renameat SYS_renameat2
#endif

enum {
    MS_PER_S = 1000,
    NS_PER_MS = 1000 * 1000,
};

unsigned long os_auxiliary(unsigned long type)
{
    int saved = errno;
    unsigned long value = getauxval(type);
    errno = saved;
    return value;
}

size_t os_page_size(void)
{
    static START_DATA size_t cached; /* [any] bytes, 0 until first asked; all write the same */
    size_t size = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (UNLIKELY(size == 0)) {
        size = os_auxiliary(AT_PAGESZ);
        if (size == 0)
            size = SMALLEST_PAGE;
        __atomic_store_n(&cached, size, __ATOMIC_RELAXED);
    }
    return size;
}

START_DATA struct os_counts os_counts;

static void count(uint64_t *counter, size_t by)
{
    __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

/* Pages went back that stay mapped. */
static void count_purged(void *address, size_t size)
{
    count(&os_counts.purged, size);
    PROBE(memory_returned, address, size);
}

/* The address that mmap or mremap gave, or NULL. */
static void *address_or_null(long result)
{
    return (unsigned long)result >= -(unsigned long)LARGEST_ERROR ? NULL : (void *)result;
}

/* Private anonymous memory of the given protection, or NULL. */
static void *map_anonymous(void *address, size_t size, int protection, int flags)
{
    count(&os_counts.mmap, 1);
    return address_or_null(system_call(SYS_mmap, address, size, protection,
                                       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));
}

static bool advise(void *address, size_t size, int advice)
{
    count(&os_counts.madvise, 1);
    return system_call(SYS_madvise, address, size, advice) == 0;
}

/* A hint. Debuggers copy also what cannot be read. */
static void keep_out_of_cores(void *address, size_t size)
{
    advise(address, size, MADV_DONTDUMP);
}

void *os_reserve(size_t size)
{
    void *pages = map_anonymous(NULL, size, PROT_NONE, 0);
    if (pages != NULL)
        keep_out_of_cores(pages, size);
    return pages;
}

static bool map_anonymous_at(void *address, size_t size, int protection)
{
    void *result = map_anonymous(address, size, protection, MAP_FIXED_NOREPLACE);
    if (result == address)
        return true;
    if (result != NULL) /* a kernel before 4.17 took the address as a hint only */
        os_unmap(result, size);
    return false;
}

bool os_reserve_at(void *address, size_t size)
{
    if (!map_anonymous_at(address, size, PROT_NONE))
        return false;
    keep_out_of_cores(address, size);
    return true;
}

void *os_map(size_t size)
{
    return map_anonymous(NULL, size, PROT_READ | PROT_WRITE, 0);
}

bool os_map_at(void *address, size_t size)
{
    return map_anonymous_at(address, size, PROT_READ | PROT_WRITE);
}

bool os_is_readable(uintptr_t page)
{
    /* The system reads the new set before it refuses `how` (~0 is none): EFAULT if it cannot be
     * read. No filter forbids the call, and it changes nothing (as in Abseil's
     * AddressIsReadable). A set at address 0 would not be read. */
    return page != 0 &&
           system_call(SYS_rt_sigprocmask, ~0, page, NULL, sizeof(uint64_t)) != -EFAULT;
}

/* [any] The system has refused to unmap, and has not done it since. */
static START_DATA bool unmap_is_refused;

bool os_can_unmap(void)
{
    static void *trial; /* [any] a page that could not be unmapped, to be tried again; or NULL */
    if (LIKELY(!__atomic_load_n(&unmap_is_refused, __ATOMIC_RELAXED)))
        return true;
    void *page = __atomic_exchange_n(&trial, NULL, __ATOMIC_RELAXED);
    if (page == NULL)
        page = os_reserve(os_page_size());
    if (page == NULL || os_unmap(page, os_page_size()))
        return page != NULL;
    __atomic_store_n(&trial, page, __ATOMIC_RELAXED);
    return false;
}

bool os_can_map(size_t size)
{
    void *pages = os_can_unmap() ? os_map(size) : NULL;
    return pages != NULL && os_unmap(pages, size);
}

bool os_allow(void *address, size_t size, bool access)
{
    count(&os_counts.mprotect, 1);
    return system_call(SYS_mprotect, address, size, access ? PROT_READ | PROT_WRITE : PROT_NONE) ==
           0;
}

void *os_map_guarded(size_t size)
{
    size_t page = os_page_size();
    char *guard = map_anonymous(NULL, page + size + page, PROT_NONE, 0);
    if (guard == NULL)
        return NULL;
    if (os_allow(guard + page, size, true))
        return guard + page;
    os_unmap(guard, page + size + page);
    return NULL;
}

bool os_open(void *address, size_t size)
{
    if (!os_allow(address, size, true))
        return false;
    advise(address, size, MADV_DODUMP);
    return true;
}

bool os_close(void *address, size_t size)
{
    if (map_anonymous(address, size, PROT_NONE, MAP_FIXED) == NULL)
        return false;
    count_purged(address, size);
    keep_out_of_cores(address, size);
    return true;
}

/* [constant] MADV_DONTNEED succeeds and leaves the contents, as in older emulators. */
static START_DATA bool advice_is_ignored;

/* [constant] Advice that there is not succeeds, as in qemu-user 7: other advice is not believed. */
static START_DATA bool any_advice_succeeds;

enum { NO_ADVICE = 1 << 30 }; /* EINVAL in every kernel */

void os_try_purge(void *page)
{
    volatile char *byte = page;
    *byte = 1;
    bool advised = advise(page, os_page_size(), MADV_DONTNEED);
    /* exchanged, since a page that is read first costs a second fault when it is written to */
    advice_is_ignored = __atomic_exchange_n(byte, 0, __ATOMIC_RELAXED) != 0 && advised;
    any_advice_succeeds = advise(page, os_page_size(), NO_ADVICE);
}

bool os_purge(void *address, size_t size)
{
    if (advice_is_ignored || !advise(address, size, MADV_DONTNEED))
        return false;
    count_purged(address, size);
    return true;
}

/* Of <linux/mman.h> from 6.13 on. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

bool os_mark_guard(void *page)
{
    return !any_advice_succeeds && advise(page, os_page_size(), MADV_GUARD_INSTALL);
}

bool os_unmark_guard(void *page)
{
    return advise(page, os_page_size(), MADV_GUARD_REMOVE);
}

bool os_unmap(void *address, size_t size)
{
    count(&os_counts.munmap, 1);
    bool refused = system_call(SYS_munmap, address, size) != 0;
    __atomic_store_n(&unmap_is_refused, refused, __ATOMIC_RELAXED);
    if (!refused)
        PROBE(memory_returned, address, size);
    return !refused;
}

void *os_remap(void *address, size_t old_size, size_t new_size)
{
    count(&os_counts.mremap, 1);
    return address_or_null(system_call(SYS_mremap, address, old_size, new_size, MREMAP_MAYMOVE));
}

void os_huge_pages(void *address, size_t size, bool wanted)
{
    advise(address, size, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

bool os_wipe_on_fork(void *address, size_t size)
{
    return !any_advice_succeeds && advise(address, size, MADV_WIPEONFORK);
}

/* ---- time ---- */

typedef int read_clock(clockid_t clock, struct timespec *now);

static int read_clock_by_call(clockid_t clock, struct timespec *now)
{
    return (int)system_call(SYS_clock_gettime, clock, now);
}

/* Reads a clock, or leaves *now alone. */
static void read_clock_now(clockid_t clock, struct timespec *now)
{
#ifdef __aarch64__
    static const char name[] = "__kernel_clock_gettime";
#else
    static const char name[] = "__vdso_clock_gettime";
#endif
    static START_DATA read_clock *cached; /* [any] NULL until first asked; all write the same */
    read_clock *function = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (UNLIKELY(function == NULL)) {
        function =
            (read_clock *)(uintptr_t)elf_find_vdso((void *)os_auxiliary(AT_SYSINFO_EHDR), name);
        if (function == NULL)
            function = read_clock_by_call;
        __atomic_store_n(&cached, function, __ATOMIC_RELAXED);
    }
    function(clock, now);
}

uint64_t os_now_ms(void)
{
    struct timespec now = {0};
    read_clock_now(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t ms = (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
    return ms != 0 ? ms : 1;
}

/* ---- resident memory ---- */

size_t os_resident(void)
{
    char text[STATM_TEXT];
    os_read_file("/proc/self/statm", OS_ANY, text, sizeof text);
    const char *second = strchr(text, ' '); /* the first field: address space */
    return second == NULL ? 0 : strtoul(second, NULL, 10) * os_page_size();
}

/* Sets filled[i] to 1 if page i has memory, else, and if the system does not say, to 0, for the
 * first PAGES_AT_ONCE pages of a range. Returns their number. */
static size_t ask_filled_in(void *pages, size_t size, unsigned char filled[PAGES_AT_ONCE])
{
    size_t count = min_size(size / os_page_size(), PAGES_AT_ONCE);
    bool known = system_call(SYS_mincore, pages, count * os_page_size(), filled) == 0;
    for (size_t i = 0; i < count; i++)
        filled[i] = known ? filled[i] & 1 : 0;
    return count;
}

size_t os_filled_in(void *pages, size_t size)
{
    unsigned char filled[PAGES_AT_ONCE] = {0};
    size_t page = os_page_size(), bytes = 0;
    for (size_t done = 0, count; done < size; done += count * page) {
        count = ask_filled_in((char *)pages + done, size - done, filled);
        for (size_t i = 0; i < count; i++)
            bytes += filled[i] * page;
    }
    return bytes;
}

/* Makes pages zero all of which, or none of which, have memory. */
static void zero_stretch(char *pages, size_t size, bool filled)
{
    /* pages without memory may have contents in the swap space */
    if (filled || (size != 0 && !os_purge(pages, size)))
        memset(pages, 0, size);
}

/* Stretches are as long as they can be: processors write 64 MiB at once in half to a quarter of the
 * time that 2 MiB at a time take. */
void os_zero(void *pages, size_t size)
{
    unsigned char filled[PAGES_AT_ONCE] = {0};
    size_t page = os_page_size();
    size_t first = 0; /* offset of the current stretch */
    bool has_memory = false;
    for (size_t done = 0, count; done < size; done += count * page) {
        count = ask_filled_in((char *)pages + done, size - done, filled);
        for (size_t i = 0; i < count; i++) {
            if (filled[i] == has_memory)
                continue;
            zero_stretch((char *)pages + first, done + i * page - first, has_memory);
            first = done + i * page;
            has_memory = filled[i];
        }
    }
    zero_stretch((char *)pages + first, size - first, has_memory);
}

/* ---- waiting ---- */

void os_wait(uint32_t *word, uint32_t expected, unsigned timeout_ms)
{
    struct timespec timeout = {
        .tv_sec = timeout_ms / MS_PER_S,
        .tv_nsec = (long)(timeout_ms % MS_PER_S) * NS_PER_MS,
    };
    system_call(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ms != 0 ? &timeout : NULL);
}

void os_wake(uint32_t *word)
{
    system_call(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
}

/* ---- the process and its files ---- */

size_t os_threads(void)
{
    struct stat task;
    /* a directory has a link from its parent, one from itself and one from each below it */
    bool known = system_call(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &task, 0) == 0;
    return known && task.st_nlink > 2 ? task.st_nlink - 2 : 0;
}

int os_process_id(void)
{
    return (int)system_call(SYS_getpid);
}

int os_thread_id(void)
{
    return (int)system_call(SYS_gettid);
}

bool os_is_main_thread(void)
{
    return os_thread_id() == os_process_id();
}

void os_name_thread(const char *name)
{
    system_call(SYS_prctl, PR_SET_NAME, name);
}

void os_thread_name(char name[OS_THREAD_NAME])
{
    name[0] = '\0';
    system_call(SYS_prctl, PR_GET_NAME, name);
}

static bool is_owned_by(int fd, enum os_owner owner)
{
    struct stat file;
    return owner == OS_ANY ||
           (system_call(SYS_newfstatat, fd, "", &file, AT_EMPTY_PATH) == 0 &&
            S_ISREG(file.st_mode) && (file.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
            (file.st_uid == 0 ||
             (owner == OS_OWN && file.st_uid == (uid_t)system_call(SYS_geteuid))));
}

long os_read_file(const char *path, enum os_owner owner, char *text, size_t size)
{
    int fd =
        (int)system_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    long length = fd;
    if (fd >= 0) {
        length = is_owned_by(fd, owner) ? system_call(SYS_read, fd, text, size - 1) : -EPERM;
        system_call(SYS_close, fd);
    }
    text[length > 0 ? length : 0] = '\0';
    return length;
}

void os_executable(char *path, size_t size)
{
    long length = system_call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, size);
    path[length > 0 && (size_t)length < size ? length : 0] = '\0';
}

bool os_write(int fd, const char *text, size_t size)
{
    while (size != 0) {
        long written = system_call(SYS_write, fd, text, size);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (written != -EINTR) {
            return false;
        }
    }
    return true;
}

int os_create_file(const char *path)
{
    /* exclusively: not through a link that another user has put there */
    system_call(SYS_unlinkat, AT_FDCWD, path, 0);
    return (int)system_call(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                            0644);
}

int os_place_file(int fd, const char *path, const char *place)
{
    long error = system_call(SYS_close, fd);
    if (place != NULL && error == 0)
        error = system_call(SYS_renameat, AT_FDCWD, path, AT_FDCWD, place);
    if (place == NULL || error != 0)
        system_call(SYS_unlinkat, AT_FDCWD, path, 0);
    return (int)-error;
}

int os_duplicate(int fd)
{
    long copy = system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, LOWEST_DUPLICATE);
    return copy >= 0 ? (int)copy : -1;
}

struct os_file os_file_of(int fd)
{
    struct stat status;
    struct os_file file = {0};
    if (system_call(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) == 0)
        file = (struct os_file){status.st_dev, status.st_ino};
    return file;
}

bool os_is_of(int fd, struct os_file file)
{
    struct os_file now = os_file_of(fd);
    return (file.device | file.inode) != 0 && now.device == file.device && now.inode == file.inode;
}

/* Nonzero, which ends the search, for the executable. */
static int is_executable(struct dl_phdr_info *info, size_t size, void *headers)
{
    (void)size;
    return info->dlpi_phdr == headers;
}

bool os_in_program_namespace(void)
{
    int saved = errno;
    /* only the objects of the caller's namespace are visited */
    void *headers = (void *)os_auxiliary(AT_PHDR);
    bool found = headers == NULL || dl_iterate_phdr(is_executable, headers) != 0;
    errno = saved;
    return found;
}

bool os_is_secure(void)
{
    return os_auxiliary(AT_SECURE) != 0;
}

bool os_addresses_are_random(void)
{
    long persona = system_call(SYS_personality, PERSONA_ASKED);
    return persona < 0 || (persona & ADDR_NO_RANDOMIZE) == 0;
}

size_t os_address_space_limit(void)
{
    struct rlimit limit;
    if (system_call(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur;
}

uint64_t os_random(void)
{
    uint64_t random = 0;
    if (system_call(SYS_getrandom, &random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        struct timespec now = {0};
        read_clock_now(CLOCK_MONOTONIC, &now);
        random = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32 ^ (uintptr_t)&now;
        random = __builtin_bswap64(random * 0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
    }
    return random;
}

void os_raise(int signal)
{
    system_call(SYS_tgkill, os_process_id(), os_thread_id(), signal);
}

static void raise_abort(void)
{
    uint64_t abort_only = UINT64_C(1) << (SIGABRT - 1); /* the kernel's set of signals */
    system_call(SYS_rt_sigprocmask, SIG_UNBLOCK, &abort_only, NULL, sizeof abort_only);
    os_raise(SIGABRT);
}

_Noreturn void os_abort(void)
{
    raise_abort();
    os_abort_by_default(); /* ignored, or its handler returned */
}

_Noreturn void os_abort_by_default(void)
{
    /* the kernel's struct sigaction, which is no larger: SIG_DFL, no flags, no signals */
    static const uint64_t by_default[4];
    system_call(SYS_rt_sigaction, SIGABRT, by_default, NULL, sizeof(uint64_t));
    raise_abort();
    for (;;) /* the first process of a container survives its own signals */
        system_call(SYS_exit_group, ABORTED);
}
