/*
 * The only user of mmap, munmap, mprotect, madvise, mremap, getrandom, futex, clocks and /proc.
 * Every function preserves errno and never allocates; none takes a lock of acre's. Addresses and
 * sizes are multiples of os_page_size() unless said otherwise.
 *
 * System calls are made, and clocks read, without libc, so that no library between acre and libc
 * (libfaketime, a memory profiler) runs there: it may allocate, and much of this is called under a
 * lock, or in a thread's first allocation. Of libc's functions os.c calls getauxval, string
 * functions, and in os_in_program_namespace dl_iterate_phdr.
 */
#ifndef ACRE_LIB_OS_H
#define ACRE_LIB_OS_H

#include "base/base.h"

/*
 * [any] What was asked of the system: calls, the failed ones included, and the bytes that went back
 * to it while they stayed mapped.
 */
extern struct os_counts {
    CACHE_ALIGNED uint64_t mmap;
    uint64_t munmap, mremap, mprotect, madvise;
    uint64_t purged;
} os_counts;

/* ---- pages ---- */

/* The page size in bytes, 4096 to 65536. Works before any constructor has run (getauxval). */
size_t os_page_size(void);

/* Address space without access (PROT_NONE, not counted as commit), in no core, or NULL. */
void *os_reserve(size_t size);

/* The same at exactly `address` (MAP_FIXED_NOREPLACE); false, with nothing mapped, if that is not
 * free. */
bool os_reserve_at(void *address, size_t size);

/* Readable, writable, zero bytes, or NULL. */
void *os_map(size_t size);
bool os_map_at(void *address, size_t size);

/* The same with a page without access in front of it and one that follows it, both mapped. */
void *os_map_guarded(size_t size);

/* True if the page that starts at `page` can be read. */
bool os_is_readable(uintptr_t page);

/* True if what is mapped now can be unmapped again. Asked for before something is mapped for a
 * trial: where the system refuses to unmap, each trial would cost address space. */
bool os_can_unmap(void);

/* True if os_map(size) would work now. */
bool os_can_map(size_t size);

/* Unmaps. False, with nothing changed, if the system refuses (vm.max_map_count). */
bool os_unmap(void *address, size_t size);

/* Grows or shrinks a mapping, moving it if need be; the new address, or NULL with nothing
 * changed. */
void *os_remap(void *address, size_t old_size, size_t new_size);

/* Makes mapped pages readable and writable, or forbids access; their contents stay. False, with
 * nothing changed, if the system refuses (commit limit, number of mappings). */
bool os_allow(void *address, size_t size, bool access);

/* Makes reserved pages readable and writable, and part of a core. False, with nothing changed, if
 * the system refuses (commit limit, number of mappings). */
bool os_open(void *address, size_t size);

/* Makes pages what os_reserve gave, without contents or commit. False, with nothing changed, if the
 * system refuses. */
bool os_close(void *address, size_t size);

/* Takes contents and access from a page, and gives access back: a mark of the page, which costs no
 * mapping (MADV_GUARD_INSTALL, Linux 6.13). False if the system cannot. */
bool os_mark_guard(void *page);
bool os_unmark_guard(void *page);

/* Gives the memory of pages back to the system; they read as zero afterwards. False if the system
 * did not do it (locked pages; an emulator that ignores advice): the contents are then unknown. */
bool os_purge(void *address, size_t size);

/* Marks pages so that a child of fork sees them zeroed (MADV_WIPEONFORK, Linux 4.14). False if the
 * system cannot (an older one; an emulator that ignores advice). */
bool os_wipe_on_fork(void *address, size_t size);

/* Tests whether advice is followed or ignored, on a page without contents, which stays so.
 * Called once, before threads exist; until then they are assumed to work. */
void os_try_purge(void *page);

/* Asks that the range be (or not be) backed by transparent huge pages. A hint. */
void os_huge_pages(void *address, size_t size, bool wanted);

/* Bytes of the pages in a mapped range that have memory (mincore). 0 if the system does not say. */
size_t os_filled_in(void *pages, size_t size);

static inline bool os_is_filled_in(void *page)
{
    return os_filled_in(page, os_page_size()) != 0;
}

/* Makes open pages zero. Those that have memory are written to; those that have none get none. */
void os_zero(void *pages, size_t size);

/* ---- time, threads ---- */

/* Milliseconds of a monotonic clock, coarse (a few ms), cheap (vDSO), the system's own: not one
 * that a library between acre and libc shows to the program. Never 0. */
uint64_t os_now_ms(void);

/* Waits until *word is not `expected` or woken or `timeout_ms` have passed (0: no limit); may
 * return early. Private futex. */
void os_wait(uint32_t *word, uint32_t expected, unsigned timeout_ms);

/* Wakes a waiter of word, if there is one. */
void os_wake(uint32_t *word);

/* Threads of this process, ended ones that are not yet gone included: a main thread that has ended
 * stays until the process does. 0 if not known. */
size_t os_threads(void);

/* The calling thread's id, in its pid namespace. */
int os_thread_id(void);

/* The process's id, in its pid namespace: the same in all its threads, another one in a child of
 * fork, unless that begins a namespace. */
int os_process_id(void);

/* True in the thread that the process began with; in a child of fork, in the one that forked. */
bool os_is_main_thread(void);

/* Names the calling thread for ps, top and debuggers; up to 15 characters. */
void os_name_thread(const char *name);

enum { OS_THREAD_NAME = 16 }; /* bytes of a thread's name with its NUL */

/* The calling thread's name; empty if the system does not say. */
void os_thread_name(char name[OS_THREAD_NAME]);

/* ---- the process and its files ---- */

/* The entry AT_... of the auxiliary vector, 0 if there is none. */
unsigned long os_auxiliary(unsigned long type);

/* Bytes resident in this process (second field of /proc/self/statm); 0 if it cannot be read. */
size_t os_resident(void);

/* Bytes of address space that the process may have (RLIMIT_AS), SIZE_MAX if there is no limit. */
size_t os_address_space_limit(void);

/* False if the process was started without address space randomisation, as debuggers do. */
bool os_addresses_are_random(void);

/* 64 random bits (getrandom without blocking; mixed clock and address where it has none). */
uint64_t os_random(void);

/* True in set-user-ID, set-group-ID and file-capability programs (AT_SECURE). */
bool os_is_secure(void);

/* True if the library is in the program's own namespace, as it is unless dlmopen has loaded it. To
 * be called by a constructor: takes the dynamic linker's lock. */
bool os_in_program_namespace(void);

/* A regular file to which its owner alone may write: root, or, OS_OWN, the effective user. */
enum os_owner { OS_ANY, OS_ROOTS, OS_OWN };

/* Reads the first size - 1 bytes of a file, followed by NUL, without waiting. The number of bytes,
 * or a negative errno code, with text[0] NUL: -EPERM for another owner's. */
long os_read_file(const char *path, enum os_owner owner, char *text, size_t size);

/* The path of the process's executable; "" if it is not known or longer than there is room. */
void os_executable(char *path, size_t size);

/* Writes all of the text, going on after EINTR and short writes. False, with a part of it written
 * perhaps, after another error. */
bool os_write(int fd, const char *text, size_t size);

/* Makes a new file, in the place of one that has that name; 0644 less the umask, closed on exec.
 * The descriptor, or a negative errno code. */
int os_create_file(const char *path);

/* Closes fd, of the file `path`, and renames that to `place`, or removes it if that is NULL or the
 * system refuses. 0 or an errno code. */
int os_place_file(int fd, const char *path, const char *place);

/* A duplicate of fd at or above 100 that is closed on exec, or -1. */
int os_duplicate(int fd);

/* What a descriptor is of, as far as the system's numbers tell: a number may come again when the
 * file is gone, and descriptors without a file (eventfd, epoll) share one. */
struct os_file {
    uint64_t device, inode; /* both 0: of nothing */
};

/* What fd is of; of nothing if it is not open. */
struct os_file os_file_of(int fd);

/* True if fd is open and of `file`; false if `file` is of nothing. */
bool os_is_of(int fd, struct os_file file);

/* Sends the calling thread a signal. */
void os_raise(int signal);

/* Ends the process by SIGABRT, which a handler may see first, but not prevent. */
_Noreturn void os_abort(void);

/* The same without a handler. */
_Noreturn void os_abort_by_default(void);

#endif
