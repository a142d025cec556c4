/* Making system calls fail: see refuse.h. */
#define _GNU_SOURCE 1
#include "refuse.h"

#include <errno.h>
#include <stddef.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>

static struct {
    bool on, lasts;
    unsigned calls, at, failed;
    int error;
} refuse;

void refuse_begin(unsigned at, uint8_t how)
{
    static const int errors[] = {ENOMEM, EINVAL, EAGAIN, EPERM, ENOSYS, EFAULT};
    refuse.calls = refuse.failed = 0;
    refuse.at = at;
    refuse.lasts = (how & 1) != 0;
    refuse.error = errors[how / 2 % (sizeof(errors) / sizeof(errors[0]))];
    refuse.on = true;
}

void refuse_end(void)
{
    __atomic_store_n(&refuse.on, false, __ATOMIC_RELAXED);
}

unsigned refuse_count(void)
{
    return __atomic_load_n(&refuse.failed, __ATOMIC_RELAXED);
}

bool refuse_goes_on(void)
{
    return refuse.lasts && refuse.on && refuse_count() != 0;
}

/* Counts a call. True, with errno set, if it fails. */
static bool fails(void)
{
    if (!__atomic_load_n(&refuse.on, __ATOMIC_RELAXED))
        return false;
    unsigned now = __atomic_add_fetch(&refuse.calls, 1, __ATOMIC_RELAXED);
    if (now != refuse.at && !(refuse.lasts && now > refuse.at))
        return false;
    __atomic_fetch_add(&refuse.failed, 1, __ATOMIC_RELAXED);
    errno = refuse.error;
    return true;
}

/* Those that have no error, or whose errors are answers. */
static bool cannot_fail(long number)
{
    static const long numbers[] = {SYS_getpid,       SYS_gettid, SYS_geteuid,   SYS_rt_sigprocmask,
                                   SYS_rt_sigaction, SYS_tgkill, SYS_exit_group};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (numbers[i] == number)
            return true;
    return false;
}

void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t size);
void *__real_mremap(void *old, size_t old_size, size_t size, int flags, ...);
long __real_syscall(long number, ...);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *address, size_t size);
void *__wrap_mremap(void *old, size_t old_size, size_t size, int flags, ...);
long __wrap_syscall(long number, ...);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(address, size, protection, flags, fd, offset);
}

int __wrap_munmap(void *address, size_t size)
{
    return fails() ? -1 : __real_munmap(address, size);
}

void *__wrap_mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *place = va_arg(list, void *);
    va_end(list);
    return fails() ? MAP_FAILED : __real_mremap(old, old_size, size, flags, place);
}

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    return !cannot_fail(number) && fails()
               ? -1
               : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
