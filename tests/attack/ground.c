/*
 * The program's own memory, and the attacker's writes: see ground.h. A write is a pread of a file
 * that is full of the byte: the system stops it where memory is not writable, and no signal comes.
 */
#include "ground.h"

#include "attempt.h"
#include "libc_blocks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    RANGES_MOST = 512,
    MAPPED_SIZE = 1 << 20,  /* bytes of the program's own mapping */
    STACK_GROWS = 16 << 20, /* bytes below the stack that may become part of it */
    BYTE_VALUES = 256,
    PAGES_MOST = 4096, /* that ground_is_mapped asks about at once */
};

/* A range of addresses. */
struct range {
    uintptr_t start, end;
};

static struct range own[RANGES_MOST]; /* ascending; constant in children */
static size_t own_count;

static struct range dirtied[RANGES_MOST];
static size_t dirtied_count; /* above RANGES_MOST: it may be anything */

static int bytes_file[BYTE_VALUES]; /* descriptor, plus 1, of the file of that byte; 0: none yet */
static char *mapped;
static char data[4096];

/* The first range of the program's own memory that ends above the address, or the end of all. */
static size_t first_own_above(uintptr_t address)
{
    size_t index = 0;
    while (index < own_count && own[index].end <= address)
        index++;
    return index;
}

static void add_own(const char *line)
{
    char *rest;
    uintptr_t start = strtoul(line, &rest, 16);
    uintptr_t end = strtoul(rest + 1, NULL, 16);
    if (own_count == RANGES_MOST)
        attempt_failed("the program has too many mappings");
    if (strstr(line, "[stack]") != NULL)
        start -= STACK_GROWS;
    own[own_count++] = (struct range){start, end};
}

/* Notes what is mapped now, line by line. */
static void read_maps(void)
{
    static char text[1 << 16];
    size_t used = 0;
    ssize_t got;
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0)
        attempt_failed("/proc/self/maps cannot be read");
    while ((got = read(maps, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    close(maps);
    if (used == sizeof(text) - 1)
        attempt_failed("/proc/self/maps is too long");
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        add_own(line);
    }
}

void ground_prepare(void)
{
    mapped = mmap(NULL, MAPPED_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        attempt_failed("mmap");
    read_maps();
}

uintptr_t ground_base(enum place_kind kind)
{
    switch (kind) {
    case PLACE_STACK:
        return (uintptr_t)__builtin_frame_address(0);
    case PLACE_DATA:
        return (uintptr_t)data;
    case PLACE_CODE:
        return (uintptr_t)ground_base;
    case PLACE_MAPPED:
        return (uintptr_t)mapped;
    default:
        return 0;
    }
}

bool ground_is_own(uintptr_t start, uintptr_t end)
{
    size_t index = first_own_above(start);
    return index < own_count && own[index].start < end;
}

bool ground_is_mapped(const char *start, size_t size)
{
    static unsigned char resident[PAGES_MOST];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)start & ~(page - 1);
    uintptr_t end = (uintptr_t)start + size;
    while (at < end) {
        size_t bytes = end - at < PAGES_MOST * page ? end - at : PAGES_MOST * page;
        if (mincore((void *)at, bytes, resident) != 0)
            return false;
        at += bytes;
    }
    return true;
}

/* A file of WRITE_MOST bytes of that value. */
static int file_of(unsigned char byte)
{
    static char bytes[WRITE_MOST];
    if (bytes_file[byte] == 0) {
        int fd = memfd_create("bytes", MFD_CLOEXEC);
        memset(bytes, byte, sizeof(bytes));
        if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
            attempt_failed("memfd_create");
        bytes_file[byte] = fd + 1;
    }
    return bytes_file[byte] - 1;
}

size_t ground_write(char *at, size_t size, unsigned char byte)
{
    uintptr_t start = (uintptr_t)at;
    uintptr_t end = libc_blocks_bound(start, start + size);
    size_t index = first_own_above(start);
    if (index < own_count && own[index].start < end)
        end = own[index].start > start ? own[index].start : start;
    if (end == start)
        return 0;
    ssize_t written = pread(file_of(byte), at, end - start, 0);
    return written > 0 ? (size_t)written : 0;
}

void ground_dirtied(uintptr_t start, uintptr_t end)
{
    if (dirtied_count < RANGES_MOST)
        dirtied[dirtied_count] = (struct range){start, end};
    dirtied_count += dirtied_count <= RANGES_MOST;
}

bool ground_is_dirtied(uintptr_t start, uintptr_t end)
{
    if (dirtied_count > RANGES_MOST)
        return true;
    for (size_t i = 0; i < dirtied_count; i++)
        if (dirtied[i].start < end && start < dirtied[i].end)
            return true;
    return false;
}
