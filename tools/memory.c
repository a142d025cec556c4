/* The memory of another process, or of a core: see memory.h. */
#define _GNU_SOURCE 1
#include "memory.h"

#include <ctype.h>
#include <dirent.h>
#include <elfutils/libdwelf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    MOST_SEGMENTS = 256,   /* program headers of a mapped file */
    MOST_NOTES = 64 << 10, /* bytes of a segment of notes */
    MOST_FILES = 1 << 16,  /* mapped files of a core */
    MOST_RANGES = 1 << 20, /* mappings; the system's limit may be raised to this */
    MOST_WINDOW = 2 << 20, /* bytes of a prefetch: more than a heap's header and states */
    PAGES_AT_ONCE = 4096,  /* entries of pagemap */
    PATH_TEXT = 64,        /* bytes of /proc/PID/task/TID/status */
};

/* ---- reading a process ---- */

static struct memory *memory_of(struct view *view)
{
    return view->context;
}

/* Reads as much as there is from `address` on; returns bytes. */
static size_t read_process_part(struct memory *memory, uint64_t address, void *into, size_t size)
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
static size_t resident_in_process(struct view *view, uint64_t address, size_t size)
{
    static uint64_t entries[PAGES_AT_ONCE];
    struct memory *memory = memory_of(view);
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

/* ---- reading a core ---- */

static bool read_file(int file, uint64_t offset, void *into, size_t size)
{
    return offset <= INT64_MAX && pread(file, into, size, (off_t)offset) == (ssize_t)size;
}

/* Reads bytes of a mapped file that the core leaves out. */
static bool read_mapped(struct memory *memory, const struct memory_range *range, uint64_t offset,
                        void *into, size_t size)
{
    if (range->path == NULL)
        return false;
    if (memory->mapped_path != range->path) {
        if (memory->mapped_file >= 0)
            close(memory->mapped_file);
        memory->mapped_file = open(range->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        memory->mapped_path = range->path;
    }
    return memory->mapped_file >= 0 && read_file(memory->mapped_file, offset, into, size);
}

/* Of ranges[0..count-1], which are sorted, the one with that address; NULL if there is none. */
static const struct memory_range *find_range(const struct memory_range *ranges, size_t count,
                                             uint64_t address)
{
    size_t low = 0, high = count; /* the one that is looked for is in low .. high-1 */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].start <= address)
            low = middle;
        else
            high = middle;
    }
    bool found = count != 0 && address - ranges[low].start < ranges[low].end - ranges[low].start;
    return found ? &ranges[low] : NULL;
}

/* Reads as much as there is from `address` on; returns bytes. */
static size_t read_core_part(struct memory *memory, uint64_t address, char *into, size_t size)
{
    const struct memory_range *files = memory->ranges + memory->segment_count;
    size_t file_count = memory->range_count - memory->segment_count, done = 0, part;
    for (; done < size; done += part) {
        uint64_t at = address + done;
        const struct memory_range *range = find_range(memory->ranges, memory->segment_count, at);
        if (range != NULL && at - range->start < range->in_core) {
            uint64_t left = range->in_core - (at - range->start);
            part = left < size - done ? left : size - done;
            if (!read_file(memory->file, range->file_offset + (at - range->start), into + done,
                           part))
                break;
            continue;
        }
        range = find_range(files, file_count, at);
        if (range == NULL)
            break;
        part = range->end - at < size - done ? range->end - at : size - done;
        if (!read_mapped(memory, range, range->file_offset + (at - range->start), into + done,
                         part))
            break;
    }
    return done;
}

/* ---- reading either ---- */

static size_t read_part(struct memory *memory, uint64_t address, void *into, size_t size)
{
    return memory->pid != 0 ? read_process_part(memory, address, into, size)
                            : read_core_part(memory, address, into, size);
}

static bool read_now(struct view *view, uint64_t address, void *into, size_t size)
{
    return read_part(memory_of(view), address, into, size) == size;
}

static bool read_window(struct view *view, uint64_t address, void *into, size_t size)
{
    struct memory *memory = memory_of(view);
    uint64_t offset = address - memory->window_start;
    if (offset < memory->window_used && size <= memory->window_used - offset) {
        memcpy(into, memory->window + offset, size);
        return true;
    }
    return read_now(view, address, into, size);
}

static void prefetch(struct view *view, uint64_t address, size_t size)
{
    struct memory *memory = memory_of(view);
    size = size < MOST_WINDOW ? size : MOST_WINDOW;
    if (size > memory->window_size) {
        free(memory->window);
        memory->window = malloc(size);
        if (memory->window == NULL)
            err(EXIT_FAILURE, NULL);
        memory->window_size = size;
    }
    memory->window_start = address;
    memory->window_used = read_part(memory, address, memory->window, size);
}

/* ---- finding the root ---- */

/* Adds a range; takes `path` over. */
static void add_range(struct memory *memory, struct memory_range range)
{
    if (memory->range_count >= MOST_RANGES)
        errx(EXIT_FAILURE, "%s has too many mappings", memory->name);
    if ((memory->range_count & (memory->range_count - 1)) == 0) {
        size_t room = memory->range_count != 0 ? 2 * memory->range_count : 1;
        memory->ranges = reallocarray(memory->ranges, room, sizeof(range));
        if (memory->ranges == NULL)
            err(EXIT_FAILURE, NULL);
    }
    memory->ranges[memory->range_count++] = range;
}

/* Finds acre's note among notes[0..size-1], which lie at `address`; the root's address, 0: none. */
static uint64_t find_note(const char *notes, size_t size, uint64_t address)
{
    Elf64_Nhdr header;
    for (size_t at = 0; size - at >= sizeof(header);) {
        memcpy(&header, notes + at, sizeof(header));
        uint64_t name = at + sizeof(header), text = ((uint64_t)header.n_namesz + 3) / 4 * 4;
        uint64_t descriptor = name + text, more = ((uint64_t)header.n_descsz + 3) / 4 * 4;
        struct acre_note note;
        if (text > size || more > size || descriptor + more > size)
            return 0;
        if (header.n_type == ACRE_NOTE_ROOT && header.n_namesz == sizeof(ACRE_NOTE_NAME) &&
            header.n_descsz == sizeof(note) &&
            memcmp(notes + name, ACRE_NOTE_NAME, sizeof(ACRE_NOTE_NAME)) == 0) {
            memcpy(&note, notes + descriptor, sizeof(note));
            return address + descriptor + (uint64_t)note.distance;
        }
        at = descriptor + more;
    }
    return 0;
}

/* The root of the ELF file whose first byte is mapped at `start`; 0: it has none. */
static uint64_t find_root_in(struct view *view, uint64_t start)
{
    static char notes[MOST_NOTES];
    static Elf64_Phdr segments[MOST_SEGMENTS];
    Elf64_Ehdr header;
    uint64_t bias = start, root = 0;
    if (!view->read_now(view, start, &header, sizeof(header)) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(segments[0]))
        return 0;
    size_t count = header.e_phnum < MOST_SEGMENTS ? header.e_phnum : MOST_SEGMENTS;
    if (!view->read_now(view, start + header.e_phoff, segments, count * sizeof(segments[0])))
        return 0;
    for (size_t i = 0; i < count; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_offset == 0)
            bias = start - segments[i].p_vaddr;
    for (size_t i = 0; i < count && root == 0; i++) {
        size_t size = segments[i].p_filesz < MOST_NOTES ? segments[i].p_filesz : MOST_NOTES;
        uint64_t address = bias + segments[i].p_vaddr;
        if (segments[i].p_type == PT_NOTE && view->read_now(view, address, notes, size))
            root = find_note(notes, size, address);
    }
    return root;
}

/* Explains what is wrong with the root that was found, and exits. */
_Noreturn static void refuse_root(const struct memory *memory, enum view_opened opened)
{
    if (opened == VIEW_OTHER_LAYOUT)
        errx(EXIT_FAILURE,
             "the acre in %s has layout %" PRIu32 ", this program reads layout %d: use the "
             "acre-inspect that came with it",
             memory->name, memory->view.root.layout, ACRE_LAYOUT);
    if (opened == VIEW_NO_ROOT)
        errx(EXIT_FAILURE, "%s has acre's note, but where it leads to is no root", memory->name);
    errx(EXIT_FAILURE, "%s has acre in it, but its data cannot be read%s", memory->name,
         memory->pid == 0 ? ": the core lacks these pages (see coredump_filter in core(5))" : "");
}

/* Finds the acre that the program allocates from: the first one that has an arena, else the first
 * one. Returns the address of its root. Exits if there is none. */
static uint64_t find_root(struct memory *memory)
{
    struct view *view = &memory->view;
    enum view_opened opened = VIEW_OPEN;
    uint64_t first = 0, last_start = 0;
    for (size_t i = 0; i < memory->range_count; i++) {
        const struct memory_range *range = &memory->ranges[i];
        if (range->file_offset != 0 && memory->pid != 0)
            continue;
        if (range->start == last_start && i != 0)
            continue;
        last_start = range->start;
        uint64_t root = find_root_in(view, range->start);
        if (root == 0)
            continue;
        enum view_opened is = view_open(view, root);
        if (is == VIEW_OPEN && view_word(view, ACRE_AT_ARENAS) != 0)
            return root;
        if (first == 0) {
            first = root;
            opened = is;
        }
    }
    if (first == 0)
        errx(EXIT_FAILURE,
             "there is no acre in %s (%s): was it started with acre-run, or linked with libacre?",
             memory->name, memory->program);
    if (opened != VIEW_OPEN)
        (void)view_open(view, first);
    if (opened != VIEW_OPEN || view_open(view, first) != VIEW_OPEN)
        refuse_root(memory, opened);
    return first;
}

/* Replaces what a terminal would obey in a name, which another user may have chosen. */
static void hide_controls(char *name)
{
    for (; *name != '\0'; name++)
        if ((*name >= 0 && *name < ' ') || *name == 0x7f)
            *name = '?';
}

/* ---- opening a process ---- */

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

/* Reads /proc/PID/maps. Exits if that cannot be. */
static void read_maps(struct memory *memory)
{
    char path[PATH_TEXT], *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)memory->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        refuse_process(memory);
    while (getline(&line, &room, file) > 0) {
        struct memory_range range = {0};
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " r%*3s %" SCNx64, &range.start, &range.end,
                   &range.file_offset) == 3)
            add_range(memory, range);
    }
    free(line);
    fclose(file);
}

/* Finds out how the process can be read. Exits if it cannot. */
static void try_reading(struct memory *memory)
{
    char bytes[SELFMAG];
    uint64_t address = memory->ranges[0].start;
    if (read_process_part(memory, address, bytes, sizeof(bytes)) != 0)
        return;
    memory->by_file = true;
    memory->file = open_proc(memory->pid, "mem");
    if (memory->file < 0 || read_process_part(memory, address, bytes, sizeof(bytes)) == 0)
        refuse_process(memory);
}

static void read_resident(struct memory *memory)
{
    char text[512];
    unsigned long resident;
    if (read_proc(memory->pid, "statm", text, sizeof(text)) &&
        sscanf(text, "%*u %lu", &resident) == 1)
        memory->resident = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Reads the name of a process. */
static bool read_name(struct memory *memory, pid_t process)
{
    char text[512];
    if (!read_proc(process, "comm", text, sizeof(text)))
        return false;
    text[strcspn(text, "\n")] = '\0';
    snprintf(memory->program, sizeof(memory->program), "%.63s", text);
    hide_controls(memory->program);
    memory->program_pid = (int)process;
    return true;
}

static void open_process(struct memory *memory)
{
    struct view *view = &memory->view;
    if (!read_name(memory, memory->pid))
        errx(EXIT_FAILURE, "there is no %s", memory->name);
    read_maps(memory);
    if (memory->range_count == 0)
        errx(EXIT_FAILURE, "%s (%s) has no memory: it has ended, or is a kernel thread",
             memory->name, memory->program);
    memory->pagemap = open_proc(memory->pid, "pagemap");
    view->resident = memory->pagemap >= 0 ? resident_in_process : NULL;
    try_reading(memory);
    read_resident(memory);
}

/* ---- opening a core ---- */

/* Reads NT_FILE: count and page size, then start, end and page offset of each, then the paths. */
static void read_mapped_files(struct memory *memory, const char *data, size_t size)
{
    uint64_t head[2], entry[3];
    if (size < sizeof(head))
        return;
    memcpy(head, data, sizeof(head));
    if (head[0] > MOST_FILES || size - sizeof(head) < head[0] * sizeof(entry))
        return;
    const char *path = data + sizeof(head) + head[0] * sizeof(entry), *end = data + size;
    for (uint64_t i = 0; i < head[0]; i++) {
        size_t length = strnlen(path, (size_t)(end - path));
        if (path + length == end)
            return;
        memcpy(entry, data + sizeof(head) + i * sizeof(entry), sizeof(entry));
        if (entry[0] < entry[1])
            add_range(memory, (struct memory_range){
                                  .start = entry[0],
                                  .end = entry[1],
                                  .file_offset = entry[2] * head[1],
                                  .path = strdup(path),
                              });
        path += length + 1;
    }
}

/* Reads what the notes tell of the process. */
static void read_core_notes(struct memory *memory, Elf_Data *data)
{
    GElf_Nhdr header;
    size_t at = 0, name, descriptor;
    while (data != NULL && (at = gelf_getnote(data, at, &header, &name, &descriptor)) > 0) {
        const char *bytes = (const char *)data->d_buf + descriptor;
        if (header.n_type == NT_FILE) {
            read_mapped_files(memory, bytes, header.n_descsz);
        } else if (header.n_type == NT_PRPSINFO && header.n_descsz == sizeof(struct elf_prpsinfo)) {
            struct elf_prpsinfo info;
            memcpy(&info, bytes, sizeof(info));
            snprintf(memory->program, sizeof(memory->program), "%.*s", (int)sizeof(info.pr_fname),
                     info.pr_fname);
            hide_controls(memory->program);
            memory->program_pid = info.pr_pid;
        }
    }
}

/* Segments come before mapped files, each by address. */
static int compare_ranges(const void *left, const void *right)
{
    const struct memory_range *a = left, *b = right;
    if ((a->path != NULL) != (b->path != NULL))
        return a->path != NULL ? 1 : -1;
    return a->start < b->start ? -1 : a->start > b->start;
}

static void open_core(struct memory *memory, const char *path)
{
    struct stat status;
    GElf_Ehdr header;
    size_t count;
    memory->file = open(path, O_RDONLY | O_CLOEXEC);
    if (memory->file < 0 || fstat(memory->file, &status) != 0)
        err(EXIT_FAILURE, "%s", path);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(memory->file, ELF_C_READ_MMAP, NULL);
    if (elf == NULL || gelf_getehdr(elf, &header) == NULL)
        errx(EXIT_FAILURE, "%s is neither the id of a process nor a core", path);
    if (header.e_type != ET_CORE)
        errx(EXIT_FAILURE, "%s is an ELF file, but not a core", path);
    if (header.e_ident[EI_CLASS] != ELFCLASS64)
        errx(EXIT_FAILURE, "%s is the core of a 32-bit program", path);
    if (elf_getphdrnum(elf, &count) != 0)
        errx(EXIT_FAILURE, "%s: %s", path, elf_errmsg(-1));
    bool cut = false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (gelf_getphdr(elf, (int)i, &segment) == NULL)
            break;
        if (segment.p_type == PT_NOTE)
            read_core_notes(memory, elf_getdata_rawchunk(elf, (int64_t)segment.p_offset,
                                                         segment.p_filesz, ELF_T_NHDR));
        if (segment.p_type != PT_LOAD || segment.p_memsz == 0 ||
            segment.p_vaddr + segment.p_memsz < segment.p_vaddr)
            continue;
        cut = cut || segment.p_filesz > (uint64_t)status.st_size ||
              segment.p_offset > (uint64_t)status.st_size - segment.p_filesz;
        add_range(memory, (struct memory_range){
                              .start = segment.p_vaddr,
                              .end = segment.p_vaddr + segment.p_memsz,
                              .file_offset = segment.p_offset,
                              .in_core = segment.p_filesz,
                          });
    }
    elf_end(elf);
    if (cut)
        warnx("%s is cut off: it lacks pages", path);
    if (memory->range_count != 0)
        qsort(memory->ranges, memory->range_count, sizeof(memory->ranges[0]), compare_ranges);
    while (memory->segment_count < memory->range_count &&
           memory->ranges[memory->segment_count].path == NULL)
        memory->segment_count++;
}

/* ---- the rest ---- */

void memory_open(struct memory *memory, const char *what)
{
    size_t digits = strspn(what, "0123456789");
    *memory = (struct memory){.file = -1, .pagemap = -1, .mapped_file = -1};
    memory->view = (struct view){
        .read = read_window, .read_now = read_now, .prefetch = prefetch, .context = memory};
    bool is_id = digits != 0 && what[digits] == '\0';
    if (asprintf(&memory->name, is_id ? "process %s" : "%s", what) < 0)
        err(EXIT_FAILURE, NULL);
    if (is_id) {
        errno = 0;
        long id = strtol(what, NULL, 10);
        if (errno != 0 || id <= 0 || id > INT_MAX)
            errx(EXIT_FAILURE, "there is no %s", memory->name);
        memory->pid = (pid_t)id;
        open_process(memory);
    } else {
        snprintf(memory->program, sizeof(memory->program), "?");
        open_core(memory, what);
    }
    memory->root = find_root(memory);
}

bool memory_has_acre(pid_t id)
{
    static struct memory memory;
    uint64_t root = 0;
    memory = (struct memory){.file = open_proc(id, "mem"), .pid = id, .by_file = true};
    memory.pagemap = memory.mapped_file = -1;
    memory.view = (struct view){.read_now = read_now, .context = &memory};
    int maps = open_proc(id, "maps"); /* as read_maps will */
    if (memory.file >= 0 && maps >= 0)
        read_maps(&memory);
    for (size_t i = 0; i < memory.range_count && root == 0; i++)
        if (memory.ranges[i].file_offset == 0)
            root = find_root_in(&memory.view, memory.ranges[i].start);
    if (maps >= 0)
        close(maps);
    memory_close(&memory);
    return root != 0;
}

void memory_name_process(struct memory *memory, pid_t process)
{
    (void)read_name(memory, process);
    free(memory->name);
    if (asprintf(&memory->name, "process %d", (int)process) < 0)
        err(EXIT_FAILURE, NULL);
}

bool memory_reopen(struct memory *memory)
{
    memory->window_used = 0;
    read_resident(memory);
    return view_open(&memory->view, memory->root) == VIEW_OPEN;
}

bool memory_write(struct memory *memory, uint64_t address, const void *from, size_t size)
{
    struct iovec local = {(void *)(uintptr_t)from, size};
    struct iovec remote = {(void *)(uintptr_t)address, size};
    errno = EROFS;
    if (memory->pid == 0)
        return false;
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

/* The number at the end of the line "NSpid:" of a thread's status: its id in its own namespace; 0
 * if there is no such line. */
static int own_id(const char *status)
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

/* The name of the thread with that directory in /proc/PID, allocated, if it has `id` in its own
 * namespace. */
static char *read_thread_name(struct memory *memory, const char *directory, int id)
{
    char path[PATH_TEXT], text[4096]; /* more than a status has */
    snprintf(path, sizeof(path), "%.20s/status", directory);
    if (!read_proc(memory->pid, path, text, sizeof(text)) || own_id(text) != id)
        return NULL;
    snprintf(path, sizeof(path), "%.20s/comm", directory);
    if (!read_proc(memory->pid, path, text, sizeof(text)))
        return NULL;
    text[strcspn(text, "\n")] = '\0';
    hide_controls(text);
    return strdup(text);
}

char *memory_thread_name(struct memory *memory, int id)
{
    char path[PATH_TEXT], *name = NULL;
    if (memory->pid == 0 || id <= 0)
        return NULL;
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

bool memory_is_alive(struct memory *memory)
{
    if (memory->pid == 0 || kill(memory->pid, 0) == 0 || errno != ESRCH)
        return true;
    warnx("%s ended while it was read", memory->name);
    return false;
}

void memory_close(struct memory *memory)
{
    for (size_t i = 0; i < memory->range_count; i++)
        free(memory->ranges[i].path);
    free(memory->ranges);
    free(memory->window);
    free(memory->name);
    if (memory->file >= 0)
        close(memory->file);
    if (memory->pagemap >= 0)
        close(memory->pagemap);
    if (memory->mapped_file >= 0)
        close(memory->mapped_file);
}
