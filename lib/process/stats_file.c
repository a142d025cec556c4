/* Statistics as the options ask for them: see stats_file.h. */
#include "process/stats_file.h"

#include "arena/background.h"
#include "arena/idle.h"
#include "base/fork.h"
#include "base/option.h"
#include "base/os.h"
#include "base/out.h"
#include "base/report.h"
#include "process/stats.h"

#include <acre/acre.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct {
    /* [constant] A duplicate of standard error (-1: none could be had), which some programs close
     * before destructors run, and what it was of at the start. A program that closes all its
     * descriptors closes the duplicate, too, and may get its number for a file of its own; then
     * `error_file` tells. */
    int error_fd;
    struct os_file error_file;
    uint32_t writing;    /* [any, acquire and release] fork generation, plus 1, in which a thread
                            began to write; 0: none does */
    uint32_t wanted;     /* [any] a signal came */
    uint64_t written_at; /* [any] ms: when they were written last, or the start */
    uint32_t refused;    /* [any] a file could not be written, and that was said */
} stats_file = {.error_fd = -1};

/* What writing needs. The thread that writes in a tick may have little stack, so it uses this one;
 * [any] the thread that has set `writing`. */
struct room {
    struct out path, beside, out;
    struct figures figures;
};

static struct room tick_room;

/* ---- where ---- */

/* Puts the name together. False if it is too long. */
static bool put_path(struct out *path, const char *pattern)
{
    char name[REPORT_NAME];
    report_process_name(name);
    out_to_memory(path);
    for (; *pattern != '\0'; pattern++) {
        char kind = pattern[0] == '%' ? pattern[1] : '\0';
        if (kind == 'p')
            out_format(path, "%d", os_process_id());
        else
            out_format(path, kind == 'n' ? "%s" : "%.1s", kind == 'n' ? name : pattern);
        if (kind == 'p' || kind == 'n' || kind == '%')
            pattern++;
    }
    return path->used < sizeof(path->text) - 1;
}

/* The format that a file's name ends in. */
static enum acre_stats_format format_of(const struct out *path)
{
    static const struct {
        const char *suffix;
        enum acre_stats_format format;
    } formats[] = {
        {".json", ACRE_STATS_JSON}, {".prom", ACRE_STATS_PROMETHEUS}, {".xml", ACRE_STATS_XML}};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        size_t length = strlen(formats[i].suffix);
        if (path->used > length && strcmp(path->text + path->used - length, formats[i].suffix) == 0)
            return formats[i].format;
    }
    return ACRE_STATS_TEXT;
}

/* True if the process is to write to that pattern: a child of fork leaves a file without its own
 * id in the name to its parent. */
static bool may_write(const char *pattern)
{
    return fork_generation() == 0 || (option_value(OPTION_STATS_CHILDREN) != 0 &&
                                      (*pattern == '\0' || strstr(pattern, "%p") != NULL));
}

/* Writes the file at room->path beside its place, then renames it. Returns 0 or an errno code. */
static int write_file(struct room *room)
{
    const struct out *path = &room->path;
    struct out *beside = &room->beside;
    out_to_memory(beside);
    out_format(beside, "%s.%d.tmp", path->text, os_thread_id());
    if (beside->used >= sizeof(beside->text) - 1)
        return ENAMETOOLONG;
    int fd = os_create_file(beside->text);
    if (fd < 0)
        return -fd;
    out_to_fd(&room->out, fd);
    bool whole = stats_print(&room->out, format_of(path), &room->figures);
    int error = os_place_file(fd, beside->text, whole ? path->text : NULL);
    return whole ? error : EIO;
}

static void write_to_error(struct room *room)
{
    bool kept = os_is_of(stats_file.error_fd, stats_file.error_file);
    out_to_fd(&room->out, kept ? stats_file.error_fd : STDERR_FILENO);
    if (os_is_of(room->out.fd, stats_file.error_file))
        (void)stats_print(&room->out, ACRE_STATS_TEXT, &room->figures);
}

static void write_stats(struct room *room)
{
    const char *pattern = option_text(OPTION_STATS_FILE);
    if (!may_write(pattern))
        return;
    if (*pattern == '\0') {
        write_to_error(room);
        return;
    }
    int error = put_path(&room->path, pattern) ? write_file(room) : ENAMETOOLONG;
    if (error != 0 && __atomic_exchange_n(&stats_file.refused, 1, __ATOMIC_RELAXED) == 0)
        report_warning("cannot write the statistics to %.300s: error %d", room->path.text, error);
}

/* ---- when ---- */

static bool is_due(uint64_t now)
{
    uint64_t ms = option_value(OPTION_STATS_SECONDS) * 1000;
    uint64_t last = __atomic_load_n(&stats_file.written_at, __ATOMIC_RELAXED);
    /* `now` may have been read before another thread wrote */
    return __atomic_load_n(&stats_file.wanted, __ATOMIC_RELAXED) != 0 ||
           (ms != 0 && (int64_t)(now - last) >= (int64_t)ms);
}

/* True for one thread. The one that is lost in a fork does not count in the child. */
static bool begin_writing(void)
{
    uint32_t own = fork_generation() + 1;
    uint32_t held = __atomic_load_n(&stats_file.writing, __ATOMIC_RELAXED);
    return held != own && __atomic_compare_exchange_n(&stats_file.writing, &held, own, false,
                                                      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void stats_file_tick(uint64_t now)
{
    if (!is_due(now) || !begin_writing())
        return;
    if (is_due(now)) { /* and no other thread has done it meanwhile */
        __atomic_store_n(&stats_file.wanted, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&stats_file.written_at, now, __ATOMIC_RELAXED);
        write_stats(&tick_room);
    }
    __atomic_store_n(&stats_file.writing, 0, __ATOMIC_RELEASE);
}

static void on_signal(int number)
{
    (void)number;
    __atomic_store_n(&stats_file.wanted, 1, __ATOMIC_RELAXED);
    background_wake();
}

/* Installs the handler of option `stats_signal`, unless the program or its parent has decided what
 * the signal does. */
static void start_signal(int number)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigaction old;
    bool refused = sigaction(number, NULL, &old) != 0;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        refused = refused || number == faults[i]; /* its cause would come again, for ever */
    if (!refused && old.sa_handler != SIG_DFL)
        return;
    sigemptyset(&action.sa_mask);
    if (refused || sigaction(number, &action, NULL) != 0)
        report_warning("stats_signal cannot be %d", number);
}

void stats_file_start(void)
{
    int number = (int)option_value(OPTION_STATS_SIGNAL);
    bool on = option_value(OPTION_STATS) != STATS_OFF || number != 0 ||
              option_value(OPTION_STATS_SECONDS) != 0;
    /* without a duplicate, too: the options may be set later, from outside */
    stats_file.error_file = os_file_of(STDERR_FILENO);
    if (on && *option_text(OPTION_STATS_FILE) == '\0')
        stats_file.error_fd = os_duplicate(STDERR_FILENO);
    if (number != 0)
        start_signal(number);
    __atomic_store_n(&stats_file.written_at, os_now_ms(), __ATOMIC_RELAXED);
    idle_report = stats_file_tick;
}

void stats_file_end(void)
{
    struct room room; /* a thread of the program may be writing in a tick */
    if (option_value(OPTION_STATS) != STATS_OFF)
        write_stats(&room);
}
