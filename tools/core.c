/* The memory that a core has: see core.h. */
#define _GNU_SOURCE 1
#include "core.h"

#include "array.h"
#include "mapped_file.h"

#include <err.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_FILES = 1 << 16, /* mapped files of a core */
};

/* ---- reading ---- */

static bool read_file(int file, uint64_t offset, void *into, size_t size)
{
    return offset <= INT64_MAX && pread(file, into, size, (off_t)offset) == (ssize_t)size;
}

/* The first of the core's mapped files; *count: how many there are. */
static struct memory_range *files_of(struct memory *memory, size_t *count)
{
    *count = memory->range_count - memory->segment_count;
    return memory->ranges + memory->segment_count;
}

/* Where a mapped file's first byte is in the memory; 0 if it was not mapped. */
static uint64_t start_of(struct memory *memory, const char *path)
{
    size_t count;
    const struct memory_range *files = files_of(memory, &count);
    for (size_t i = 0; i < count; i++)
        if (files[i].file_offset == 0 && strcmp(files[i].path, path) == 0)
            return files[i].start;
    return 0;
}

/* True if the file has another build-id than what the core has of it. False if the core lacks its
 * headers, which coredump_filter decides. */
static bool is_other_build(struct memory *memory, const char *path, int file)
{
    struct memory_note note = {.type = NT_GNU_BUILD_ID, .name = ELF_NOTE_GNU};
    memory->own_pages = true;
    bool known = memory_find_note(memory, start_of(memory, path), &note);
    memory->own_pages = false;
    return known && !mapped_file_has_build_id(file, note.descriptor, note.size);
}

/* Compares the build-ids of a mapped file, which is open; warns if it is another build. Called once
 * for each file. */
static void compare_build(struct memory *memory, const char *path, int file)
{
    size_t count;
    struct memory_range *files = files_of(memory, &count);
    bool other = is_other_build(memory, path, file);
    char *name = strdup(path);
    if (name == NULL)
        err(EXIT_FAILURE, NULL);
    memory_hide_controls(name);
    if (other)
        warnx("%s: %s is another build now, by its build-id: what the core leaves out of it is not "
              "read",
              memory->name, name);
    free(name);
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].path, path) == 0) {
            files[i].compared = true;
            files[i].other_build = other;
        }
}

/* Opens a mapped file; *range is of the core's mapped files. False if it is not there, or is
 * another build. */
static bool open_mapped(struct memory *memory, const struct memory_range *range)
{
    if (memory->mapped_path != range->path) {
        if (memory->mapped_file >= 0)
            close(memory->mapped_file);
        memory->mapped_file = mapped_file_open(range->path);
        memory->mapped_path = range->path;
    }
    if (memory->mapped_file < 0)
        return false;
    if (!range->compared)
        compare_build(memory, range->path, memory->mapped_file);
    return !range->other_build;
}

/* Of ranges[0..count-1], which are sorted, the one with that address; NULL if there is none. */
static const struct memory_range *find_range(const struct memory_range *ranges, size_t count,
                                             uint64_t address)
{
    if (count == 0)
        return NULL;
    const struct memory_range *range =
        &ranges[array_find(ranges, count, sizeof(ranges[0]), address)];
    return address - range->start < range->end - range->start ? range : NULL;
}

size_t core_read(struct memory *memory, uint64_t address, char *into, size_t size)
{
    size_t file_count, done = 0, part;
    const struct memory_range *files = files_of(memory, &file_count);
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
        range = memory->own_pages ? NULL : find_range(files, file_count, at);
        if (range == NULL || !open_mapped(memory, range))
            break;
        part = range->end - at < size - done ? range->end - at : size - done;
        if (!read_file(memory->mapped_file, range->file_offset + (at - range->start), into + done,
                       part))
            break;
    }
    return done;
}

void core_compare_build(struct memory *memory, uint64_t start)
{
    size_t count;
    const struct memory_range *files = files_of(memory, &count);
    const struct memory_range *range = find_range(files, count, start);
    if (range != NULL)
        (void)open_mapped(memory, range);
}

/* ---- opening ---- */

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
            memory_add_range(memory, (struct memory_range){
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
            memory_hide_controls(memory->program);
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

void core_open(struct memory *memory, const char *path)
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
        memory_add_range(memory, (struct memory_range){
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
