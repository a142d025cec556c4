/* A memory that is not to be trusted: see hostile.h. */
#define _GNU_SOURCE 1
#include "hostile.h"

#include <string.h>
#include <unistd.h>

#include "base/meta.h"

enum {
    KEYS = 12, /* typed to --watch, at most */
};

struct notes *notes;
struct random choices;
struct hostile hostile;

/* Only options with a text need it, which acre-inspect does not set. */
void *meta_alloc(size_t size)
{
    (void)size;
    return NULL;
}

/* ---- changes ---- */

void hostile_change(uint8_t *bytes, size_t size)
{
    static const uint64_t edges[] = {0,          1,          UINT64_MAX, INT64_MAX, UINT32_MAX,
                                     UINT16_MAX, 0x7fffffff, 4096,       65536,     1 << 20};
    uint64_t word = 0;
    size = size < WORD ? size : WORD;
    memcpy(&word, bytes, size);
    switch (random_below(&choices, 7)) {
    case 0:
        word ^= UINT64_C(1) << random_below(&choices, 8 * size);
        break;
    case 1:
        word = edges[random_below(&choices, sizeof(edges) / sizeof(edges[0]))];
        break;
    case 2:
        word += random_small(&choices, 1 << 22) - (1 << 21);
        break;
    case 3:
        word = random_next(&choices);
        break;
    case 4: /* an address that leads to another structure */
        if (notes->count != 0)
            word = notes->reads[random_below(&choices, notes->count)].at;
        break;
    case 5:
        word = (word & ~UINT64_C(0xff)) | random_below(&choices, 256);
        break;
    default:
        word <<= random_below(&choices, 63);
    }
    memcpy(bytes, &word, size);
}

/* Changes what a read of the process gave. */
static void change_read(uint8_t *bytes, size_t size)
{
    size_t changes = 1 + random_small(&choices, 64);
    for (size_t i = 0; i < changes; i++) {
        /* fields are near the beginning */
        size_t near = random_below(&choices, 2) == 0 && size > 4096 ? 4096 : size;
        size_t at = random_below(&choices, near);
        if (random_below(&choices, 4) != 0)
            at = at / WORD * WORD;
        hostile_change(bytes + at, size - at);
    }
}

/* Changes what a read gave, or how much; returns how much. */
static ssize_t change_answer(uint8_t *bytes, size_t size)
{
    if (random_below(&choices, 16) == 0)
        return (ssize_t)random_below(&choices, size + 1);
    change_read(bytes, size);
    return (ssize_t)size;
}

/* ---- what acre-inspect reads with ---- */

static void note(uint64_t at, size_t size)
{
    if (hostile.notes_reads && size != 0 && notes->count < MOST_READS)
        notes->reads[notes->count++] = (struct noted){at, size};
}

ssize_t __wrap_pread(int file, void *into, size_t size, off_t offset);
ssize_t __real_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                                const struct iovec *remote, unsigned long remote_count,
                                unsigned long flags);
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                                const struct iovec *remote, unsigned long remote_count,
                                unsigned long flags);

ssize_t __wrap_pread(int file, void *into, size_t size, off_t offset)
{
    ssize_t got = __real_pread(file, into, size, offset);
    if (got > 0)
        note((uint64_t)offset, (size_t)got);
    return got;
}

ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                                const struct iovec *remote, unsigned long remote_count,
                                unsigned long flags)
{
    ssize_t got = __real_process_vm_readv(pid, local, local_count, remote, remote_count, flags);
    if (got <= 0)
        return got;
    note((uintptr_t)remote->iov_base, (size_t)got);
    if (hostile.left_alone != 0)
        hostile.left_alone--;
    else if (hostile.change_one_in != 0 && random_below(&choices, hostile.change_one_in) == 0)
        return change_answer(local->iov_base, (size_t)got);
    return got;
}

/* ---- what acre-inspect writes with ---- */

ssize_t __wrap_process_vm_writev(pid_t pid, const struct iovec *local, unsigned long local_count,
                                 const struct iovec *remote, unsigned long remote_count,
                                 unsigned long flags);

ssize_t __wrap_process_vm_writev(pid_t pid, const struct iovec *local, unsigned long local_count,
                                 const struct iovec *remote, unsigned long remote_count,
                                 unsigned long flags)
{
    uintptr_t address = (uintptr_t)remote->iov_base;
    if (pid != hostile.subject || local_count != 1 || remote_count != 1 || flags != 0 ||
        local->iov_len != WORD || remote->iov_len != WORD || address < 4096)
        _exit(SANITIZER_FOUND);
    return WORD;
}

/* ---- the terminal of --watch ---- */

int __wrap_isatty(int file);
int __wrap_wgetch(void *window);

int __wrap_isatty(int file)
{
    (void)file;
    return 1;
}

/* Types a key, or lets the time of the next look come. */
int __wrap_wgetch(void *window)
{
    static const char keys[] = "nlpswx";
    static unsigned typed;
    (void)window;
    if (typed++ == KEYS)
        return 'q';
    if (random_below(&choices, 3) != 0)
        return keys[random_below(&choices, sizeof(keys) - 1)];
    usleep(100000);
    return -1;
}
