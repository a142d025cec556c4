/* Reports: see reports.h. */
#include "reports.h"

#include "attempt.h"
#include "ground.h"
#include "model.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    BLOCK_ALIGNMENT = 16,
    LINES = 4096,    /* characters that are kept of them */
    TEXT = 64 << 10, /* characters that are read at a time */
    PAGE = 4096,
};

static char lines[LINES];

void reports_begin(void)
{
    int fd = memfd_create("reports", MFD_CLOEXEC);
    if (fd < 0 || dup2(fd, STDERR_FILENO) != STDERR_FILENO)
        attempt_failed("memfd_create");
    close(fd);
}

/* True if a line is none of the details that follow the first line of a report. */
static bool is_first(const char *line, size_t length)
{
    const char *end = memmem(line, length, "]: ", 3);
    return end == NULL || end + 3 == line + length || end[3] != ' ';
}

/* Takes the first lines of the reports since the last call into lines[], as far as they fit;
 * returns their number. */
static unsigned take_lines(void)
{
    static char text[TEXT];
    off_t size = lseek(STDERR_FILENO, 0, SEEK_CUR);
    unsigned count = 0;
    size_t used = 0, next = 0, part = 0;
    for (off_t at = 0; at < size; at += (off_t)next) {
        part = size - at < TEXT ? (size_t)(size - at) : TEXT;
        if (pread(STDERR_FILENO, text, part, at) != (ssize_t)part)
            attempt_failed("pread");
        for (next = 0; next < part;) {
            const char *end = memchr(text + next, '\n', part - next);
            if (end == NULL)
                break;
            size_t length = (size_t)(end + 1 - (text + next));
            if (is_first(text + next, length)) {
                count++;
                if (length < LINES - used) {
                    memcpy(lines + used, text + next, length);
                    used += length;
                }
            }
            next += length;
        }
        if (next == 0)
            attempt_failed("a line that does not end");
    }
    lines[used] = '\0';
    if (size != 0 && (lseek(STDERR_FILENO, 0, SEEK_SET) != 0 || ftruncate(STDERR_FILENO, 0) != 0))
        attempt_failed("ftruncate");
    return count;
}

void reports_expect(unsigned count)
{
    unsigned found = take_lines();
    if (found < count)
        attempt_found(FOUND_UNREPORTED, "%u reports, %u were due: %s", found, count, lines);
    if (found > count)
        attempt_found(FOUND_REPORTED, "%u reports, %u were due: %s", found, count, lines);
}

/* True if the report has these words. */
static bool has(const char *words)
{
    return strstr(lines, words) != NULL;
}

/* True if the report says what is wrong with p, as far as the program can know. */
static bool is_well_named(const char *function, uintptr_t p)
{
    const struct block *inside = model_overlapping(p, p + 1);
    bool aligned = p % BLOCK_ALIGNMENT == 0;
    char block[80];
    if (inside != NULL) {
        snprintf(block, sizeof(block), "block %p of %zu bytes", (void *)inside->start,
                 inside->usable);
        return has(aligned ? "interior pointer: " : "misaligned pointer: ") && has(block);
    }
    if (p < PAGE || ground_is_own(p, p + 1))
        return has("foreign pointer: ");
    if (!aligned)
        return has("misaligned pointer: ") || has("foreign pointer: ");
    bool uses = strcmp(function, "realloc") == 0 || strcmp(function, "malloc_usable_size") == 0;
    return has(uses ? "use after free: " : "double free: ") || has("interior pointer: ") ||
           has("foreign pointer: ");
}

void reports_expect_misuse(const char *function, uintptr_t p)
{
    char call[64];
    unsigned found = take_lines();
    if (found == 0)
        attempt_found(FOUND_UNREPORTED, "%s(%#lx) was not reported, and no live block starts there",
                      function, p);
    if (found > 1)
        attempt_found(FOUND_REPORTED, "%s(%#lx) was reported %u times: %s", function, p, found,
                      lines);
    snprintf(call, sizeof(call), "%s(%#lx)", function, p);
    if (!has(call) || !is_well_named(function, p))
        attempt_found(FOUND_MISNAMED, "%s(%#lx) was reported as: %s", function, p, lines);
}
