/* The memory of another process, or of a core: see memory.h. */
#define _GNU_SOURCE 1
#include "memory.h"

#include <elf.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "array.h"
#include "core.h"
#include "process.h"

enum {
    MOST_SEGMENTS = 256,   /* program headers of a mapped file */
    MOST_NOTES = 64 << 10, /* bytes of a segment of notes */
    MOST_RANGES = 1 << 20, /* mappings; the system's limit may be raised to this */
    MOST_WINDOW = 2 << 20, /* bytes of a prefetch: more than a heap's header and states */
};

/* ---- reading ---- */

static size_t read_part(struct memory *memory, uint64_t address, void *into, size_t size)
{
    return memory->pid != 0 ? process_read(memory, address, into, size)
                            : core_read(memory, address, into, size);
}

static bool read_now(struct view *view, uint64_t address, void *into, size_t size)
{
    return read_part(view->context, address, into, size) == size;
}

static bool read_window(struct view *view, uint64_t address, void *into, size_t size)
{
    struct memory *memory = view->context;
    uint64_t offset = address - memory->window_start;
    if (offset < memory->window_used && size <= memory->window_used - offset) {
        memcpy(into, memory->window + offset, size);
        return true;
    }
    return read_now(view, address, into, size);
}

static void prefetch(struct view *view, uint64_t address, size_t size)
{
    struct memory *memory = view->context;
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

/* ---- what process.c and core.c use ---- */

void memory_add_range(struct memory *memory, struct memory_range range)
{
    if (memory->range_count >= MOST_RANGES)
        errx(EXIT_FAILURE, "%s has too many mappings", memory->name);
    memory->ranges = array_grow(memory->ranges, memory->range_count, sizeof(range));
    memory->ranges[memory->range_count++] = range;
}

void memory_hide_controls(char *name)
{
    for (; *name != '\0'; name++)
        if ((*name >= 0 && *name < ' ') || *name == 0x7f)
            *name = '?';
}

/* ---- finding the root ---- */

/* Finds a note among notes[0..size-1]; where its descriptor is, `size` if there is none. */
static size_t find_note(const char *notes, size_t size, struct memory_note *note)
{
    Elf64_Nhdr header;
    for (size_t at = 0; size - at >= sizeof(header);) {
        memcpy(&header, notes + at, sizeof(header));
        uint64_t name = at + sizeof(header), text = ((uint64_t)header.n_namesz + 3) / 4 * 4;
        uint64_t descriptor = name + text, more = ((uint64_t)header.n_descsz + 3) / 4 * 4;
        if (text > size || more > size || descriptor + more > size)
            break;
        if (header.n_type == note->type && header.n_namesz == strlen(note->name) + 1 &&
            header.n_descsz <= sizeof(note->descriptor) &&
            memcmp(notes + name, note->name, header.n_namesz) == 0) {
            note->size = header.n_descsz;
            memcpy(note->descriptor, notes + descriptor, note->size);
            return descriptor;
        }
        at = descriptor + more;
    }
    return size;
}

bool memory_find_note(struct memory *memory, uint64_t start, struct memory_note *note)
{
    static char notes[MOST_NOTES];
    static Elf64_Phdr segments[MOST_SEGMENTS];
    struct view *view = &memory->view;
    Elf64_Ehdr header;
    uint64_t bias = start;
    if (!view->read_now(view, start, &header, sizeof(header)) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(segments[0]))
        return false;
    size_t count = header.e_phnum < MOST_SEGMENTS ? header.e_phnum : MOST_SEGMENTS;
    if (!view->read_now(view, start + header.e_phoff, segments, count * sizeof(segments[0])))
        return false;
    for (size_t i = 0; i < count; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_offset == 0)
            bias = start - segments[i].p_vaddr;
    for (size_t i = 0; i < count; i++) {
        size_t size = segments[i].p_filesz < MOST_NOTES ? segments[i].p_filesz : MOST_NOTES;
        uint64_t address = bias + segments[i].p_vaddr;
        if (segments[i].p_type != PT_NOTE || !view->read_now(view, address, notes, size))
            continue;
        size_t at = find_note(notes, size, note);
        note->address = address + at;
        if (at < size)
            return true;
    }
    return false;
}

/* The root of the ELF file whose first byte is mapped at `start`; 0: it has none. */
static uint64_t find_root_in(struct memory *memory, uint64_t start)
{
    struct memory_note note = {.type = ACRE_NOTE_ROOT, .name = ACRE_NOTE_NAME};
    struct acre_note root;
    if (!memory_find_note(memory, start, &note) || note.size != sizeof(root))
        return 0;
    memcpy(&root, note.descriptor, sizeof(root));
    return note.address + (uint64_t)root.distance;
}

/* Explains what is wrong with the root that was found, and exits. */
_Noreturn static void refuse_root(const struct memory *memory, enum view_opened opened)
{
    if (opened == VIEW_OTHER_LAYOUT)
        errx(EXIT_FAILURE,
             "the acre in %s has layout %" PRIu32 ", this program reads layout %d: use the "
             "%s that came with it",
             memory->name, memory->view.root.layout, ACRE_LAYOUT, program_invocation_short_name);
    if (opened == VIEW_NO_ROOT)
        errx(EXIT_FAILURE, "%s has acre's note, but where it leads to is no root%s", memory->name,
             memory->pid == 0 ? ": is the file that was mapped another build now?" : "");
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
        uint64_t root = find_root_in(memory, range->start);
        if (root == 0)
            continue;
        if (memory->pid == 0)
            core_compare_build(memory, range->start);
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
        process_open(memory);
    } else {
        snprintf(memory->program, sizeof(memory->program), "?");
        core_open(memory, what);
    }
    memory->root = find_root(memory);
}

bool memory_has_acre(pid_t id)
{
    static struct memory memory;
    uint64_t root = 0;
    memory = (struct memory){.pid = id, .file = -1, .pagemap = -1, .mapped_file = -1};
    memory.view = (struct view){.read_now = read_now, .context = &memory};
    if (process_try(&memory))
        for (size_t i = 0; i < memory.range_count && root == 0; i++)
            if (memory.ranges[i].file_offset == 0)
                root = find_root_in(&memory, memory.ranges[i].start);
    memory_close(&memory);
    return root != 0;
}

void memory_name_process(struct memory *memory, pid_t process)
{
    (void)process_read_name(memory, process);
    free(memory->name);
    if (asprintf(&memory->name, "process %d", (int)process) < 0)
        err(EXIT_FAILURE, NULL);
}

bool memory_reopen(struct memory *memory)
{
    memory->window_used = 0;
    process_read_resident(memory);
    return view_open(&memory->view, memory->root) == VIEW_OPEN;
}

bool memory_write(struct memory *memory, uint64_t address, const void *from, size_t size)
{
    errno = EROFS;
    return memory->pid != 0 && process_write(memory, address, from, size);
}

int memory_own_id(const struct memory *memory)
{
    return memory->pid != 0 ? process_own_id(memory->program_pid) : memory->program_pid;
}

char *memory_thread_name(struct memory *memory, int id)
{
    return memory->pid != 0 && id > 0 ? process_thread_name(memory, id) : NULL;
}

bool memory_is_alive(struct memory *memory)
{
    if (memory->pid == 0 || process_has_memory(memory))
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
