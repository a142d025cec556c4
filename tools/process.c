/* The memory of another process: see process.h. */
#define _GNU_SOURCE 1
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PAGES_AT_ONCE = 4096, /* entries of pagemap */
    PATH_TEXT = 64,       /* bytes of /proc/PID/task/TID/status */
    STATUS_TEXT = 4096,   /* more than a status has */
};

/* ---- reading and writing ---- */

size_t process_read(struct memory *memory, uint64_t address, void *into, size_t size)
{
    ssize_t got;
    if (!memory->by_file) {
        struct iovec local = {into, size};
        struct iovec remote = {(void *)(uintptr_t)address, size};
        got = process_vm_readv(memory->pid, &local, 1, &remote, 1, 0);
    } else {
        got = pread(memory->file, into, size, (off_t)address);
    }
    return got > 0 ? (size_t)got : 0;
}

/* Counts the pages that are present by /proc/PID/pagemap, of whose entries bit 63 says so. */
static size_t count_resident(struct view *view, uint64_t address, size_t size)
{
    static uint64_t entries[PAGES_AT_ONCE];
    struct memory *memory = view->context;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first = address / page, count = size / page;
    size_t bytes = 0;
    while (count != 0 && memory->pagemap >= 0) {
        size_t wanted = count < PAGES_AT_ONCE ? count : PAGES_AT_ONCE;
        ssize_t got = pread(memory->pagemap, entries, wanted * sizeof(entries[0]),
                            (off_t)(first * sizeof(entries[0])));
        if (got <= 0)
            break;
        wanted = (size_t)got / sizeof(entries[0]);
        for (size_t i = 0; i < wanted; i++)
            bytes += entries[i] >> 63 != 0 ? page : 0;
        first += wanted;
        count -= wanted;
    }
    return bytes;
}

bool process_write(struct memory *memory, uint64_t address, const void *from, size_t size)
{
    struct iovec local = {(void *)(uintptr_t)from, size};
    struct iovec remote = {(void *)(uintptr_t)address, size};
    if (process_vm_writev(memory->pid, &local, 1, &remote, 1, 0) == (ssize_t)size)
        return true;
    char path[PATH_TEXT];
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)memory->pid);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool done = pwrite(file, from, size, (off_t)address) == (ssize_t)size;
    int saved = errno;
    close(file);
    errno = saved;
    return done;
}

/* ---- opening ---- */

/* Reads a small file of /proc/PID into text; false if it cannot be read. */
static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    char path[PATH_TEXT];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, size - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static int open_proc(pid_t pid, const char *name)
{
    char path[PATH_TEXT];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Explains why a process that is there may not be read, and exits. */
_Noreturn static void refuse_process(const struct memory *memory)
{
    char path[PATH_TEXT], scope[8] = "";
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d", (int)memory->pid);
    if (stat(path, &status) != 0)
        errx(EXIT_FAILURE, "there is no %s", memory->name);
    if (geteuid() != 0 && status.st_uid != geteuid()) {
        struct passwd *user = getpwuid(status.st_uid);
        errx(EXIT_FAILURE, "no right to read %s, which is user %s's: run this as root",
             memory->name, user != NULL ? user->pw_name : "another");
    }
    int file = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (file >= 0 && read(file, scope, 1) == 1 && scope[0] != '0' && geteuid() != 0)
        errx(EXIT_FAILURE,
             "no right to read %s: kernel.yama.ptrace_scope is %s, which lets %s read a process "
             "that is not its child; run this as root%s",
             memory->name, scope, scope[0] == '3' ? "nobody" : "only root",
             scope[0] == '1' ? ", or set it to 0" : "");
    if (geteuid() != 0)
        errx(EXIT_FAILURE,
             "no right to read %s: it has more rights than this user, or is not dumpable "
             "(prctl(2)); run this as root",
             memory->name);
    errx(EXIT_FAILURE,
         "no right to read %s, not even as root: is this a container without CAP_SYS_PTRACE?",
         memory->name);
}

/* Reads /proc/PID/maps; false if that cannot be. */
static bool read_maps(struct memory *memory)
{
    char path[PATH_TEXT], *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)memory->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (getline(&line, &room, file) > 0) {
        struct memory_range range = {0};
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " r%*3s %" SCNx64, &range.start, &range.end,
                   &range.file_offset) == 3)
            memory_add_range(memory, range);
    }
    free(line);
    fclose(file);
    return true;
}

/* Finds out how the process can be read. Exits if it cannot. */
static void try_reading(struct memory *memory)
{
    char bytes[SELFMAG];
    uint64_t address = memory->ranges[0].start;
    if (process_read(memory, address, bytes, sizeof(bytes)) != 0)
        return;
    memory->by_file = true;
    memory->file = open_proc(memory->pid, "mem");
    if (memory->file < 0 || process_read(memory, address, bytes, sizeof(bytes)) == 0)
        refuse_process(memory);
}

void process_read_resident(struct memory *memory)
{
    char text[512];
    unsigned long resident;
    if (read_proc(memory->pid, "statm", text, sizeof(text)) &&
        sscanf(text, "%*u %lu", &resident) == 1)
        memory->resident = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool process_has_memory(struct memory *memory)
{
    char text[512];
    unsigned long mapped = 0;
    return read_proc(memory->pid, "statm", text, sizeof(text)) &&
           sscanf(text, "%lu", &mapped) == 1 && mapped != 0;
}

bool process_read_name(struct memory *memory, pid_t process)
{
    char text[512];
    if (!read_proc(process, "comm", text, sizeof(text)))
        return false;
    text[strcspn(text, "\n")] = '\0';
    snprintf(memory->program, sizeof(memory->program), "%.63s", text);
    memory_hide_controls(memory->program);
    memory->program_pid = (int)process;
    return true;
}

bool process_try(struct memory *memory)
{
    memory->by_file = true;
    memory->file = open_proc(memory->pid, "mem");
    return memory->file >= 0 && read_maps(memory);
}

void process_open(struct memory *memory)
{
    struct view *view = &memory->view;
    if (!process_read_name(memory, memory->pid))
        errx(EXIT_FAILURE, "there is no %s", memory->name);
    if (!read_maps(memory))
        refuse_process(memory);
    if (memory->range_count == 0)
        errx(EXIT_FAILURE, "%s (%s) has no memory: it has ended, or is a kernel thread",
             memory->name, memory->program);
    memory->pagemap = open_proc(memory->pid, "pagemap");
    view->resident = memory->pagemap >= 0 ? count_resident : NULL;
    try_reading(memory);
    process_read_resident(memory);
}

/* ---- ids and threads ---- */

/* The number at the end of the line "NSpid:" of a status: the id in its own namespace; 0 if there
 * is no such line. */
static int parse_own_id(const char *status)
{
    const char *line = strstr(status, "\nNSpid:");
    if (line == NULL)
        return 0;
    line++;
    const char *end = line + strcspn(line, "\n"), *digit = end;
    while (digit > line && isdigit((unsigned char)digit[-1]))
        digit--;
    return atoi(digit);
}

int process_own_id(pid_t process)
{
    char text[STATUS_TEXT];
    int id = read_proc(process, "status", text, sizeof(text)) ? parse_own_id(text) : 0;
    return id != 0 ? id : (int)process;
}

/* The name of the thread with that directory in /proc/PID, allocated, if it has `id` in its own
 * namespace. */
static char *read_thread_name(struct memory *memory, const char *directory, int id)
{
    char path[PATH_TEXT], text[STATUS_TEXT];
    snprintf(path, sizeof(path), "%.20s/status", directory);
    if (!read_proc(memory->pid, path, text, sizeof(text)) || parse_own_id(text) != id)
        return NULL;
    snprintf(path, sizeof(path), "%.20s/comm", directory);
    if (!read_proc(memory->pid, path, text, sizeof(text)))
        return NULL;
    text[strcspn(text, "\n")] = '\0';
    memory_hide_controls(text);
    return strdup(text);
}

char *process_thread_name(struct memory *memory, int id)
{
    char path[PATH_TEXT], *name = NULL;
    /* outside of containers it has the same id here */
    snprintf(path, sizeof(path), "task/%d", id);
    if ((name = read_thread_name(memory, path, id)) != NULL)
        return name;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)memory->pid);
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory != NULL && name == NULL && (entry = readdir(directory)) != NULL) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "task/%.10s", entry->d_name);
        name = read_thread_name(memory, path, id);
    }
    if (directory != NULL)
        closedir(directory);
    return name;
}
