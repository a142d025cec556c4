/* The limit: see limit.h. */
#include "base/limit.h"

#include "base/fork.h"
#include "base/option.h"
#include "base/os.h"
#include "base/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEAR_PART = 16,    /* near the limit is above 15/16 of it */
    STEP_PART = 64,    /* near it 1/64 of it is allowed at a time */
    RESERVE_PART = 64, /* 1/64 of it, but at most RESERVE_MOST bytes, are for what is counted */
    RESERVE_MOST = 1 << 20, /* in any case: headers, states and metadata */
    SHARE_PART = 16,        /* use has fallen when it is 1/16 of the share below it */
    SHARE_STEP_PART = 64,   /* 1/64 of the share is allowed at a time where idle memory went back */
    LIMIT_READ_MS = 1000,   /* the group's limit is read again after this time */
};

#define NO_LIMIT (UINT64_C(1) << 62) /* a group with this number or more has none */

START_DATA struct limit limit;
const char *limit_root = "";

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* ---- taking ---- */

static bool is_allowed(uint64_t taken, size_t bytes)
{
    uint64_t allowed = load(&limit.allowed);
    return taken <= allowed && bytes <= allowed - taken;
}

bool limit_has_room(size_t bytes)
{
    return !limit_is_on() || is_allowed(load(&limit.taken), bytes);
}

bool limit_take(size_t bytes)
{
    uint64_t taken = load(&limit.taken);
    while (limit_is_on() && bytes != 0) {
        if (!is_allowed(taken, bytes))
            return false;
        if (__atomic_compare_exchange_n(&limit.taken, &taken, taken + bytes, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            break;
    }
    return true;
}

void limit_count(size_t bytes)
{
    if (limit_is_on())
        __atomic_fetch_add(&limit.taken, bytes, __ATOMIC_SEQ_CST);
}

void limit_forget(void)
{
    store(&limit.allowed, 0);
}

/* What may be held of a limit of `bytes`. */
static uint64_t usable_of(uint64_t bytes)
{
    return bytes - min_size(bytes / RESERVE_PART, RESERVE_MOST);
}

/* The share in bytes; 0: there is none. */
static uint64_t share_of(uint64_t bytes)
{
    return usable_of(bytes) / 100 * load(&limit.share);
}

bool limit_crosses(size_t held, size_t size, bool note)
{
    uint64_t bytes = load(&limit.bytes), share = share_of(bytes);
    if (share == 0 || held + size <= share || size > usable_of(bytes) || load(&limit.crossed) != 0)
        return false;
    return !note || __atomic_exchange_n(&limit.crossed, 1, __ATOMIC_SEQ_CST) == 0;
}

void limit_set_share(unsigned percent)
{
    store(&limit.share, percent);
    store(&limit.crossed, 0);
    limit_forget();
}

/* What is allowed until the next count because of the share, for a request of `size` bytes. Notes
 * that use has fallen below the share. */
static uint64_t room_at_share(size_t held, size_t size, uint64_t share, bool purged)
{
    uint64_t gap = share / SHARE_PART;
    if (share == 0)
        return UINT64_MAX;
    if (held + size <= share - gap)
        store(&limit.crossed, 0);
    if (held + size > share)
        return max_size(size, gap);
    return max_size(share - held, purged ? share / SHARE_STEP_PART : 0);
}

bool limit_allow(uint64_t begun, size_t held, size_t size, bool purged)
{
    static uint32_t reported; /* [any] */
    uint64_t bytes = load(&limit.bytes);
    uint64_t room = usable_of(bytes) - min_size(usable_of(bytes), held);
    uint64_t near = bytes / NEAR_PART;
    bool fits = size <= room;
    if (room > near && size <= room - near)
        room -= near;
    else if (purged)
        room = min_size(room, max_size(fits ? size : 0, bytes / STEP_PART));
    else
        return false;
    if (!fits && __atomic_exchange_n(&reported, 1, __ATOMIC_RELAXED) == 0)
        report_warning("limit of %zu bytes reached: a request of %zu bytes is refused",
                       (size_t)bytes, size);
    room = min_size(room, room_at_share(held, size, share_of(bytes), purged));
    store(&limit.allowed, begun + room);
    if (load(&limit.bytes) != bytes)
        limit_forget();
    return fits;
}

/* ---- control groups ---- */

/* What reading takes; small stacks have no room for it. [the thread that has set `reading`] */
static char groups[4096], path[1024];

/* The least limit of the group that follows `mark` in `groups` and of those that it is in, as far
 * as they can be seen: of the files `file` in its directory below `mount` and in those above. */
static uint64_t least_of(const char *mark, const char *mount, const char *file)
{
    const char *group = strstr(groups, mark);
    uint64_t least = NO_LIMIT;
    if (group == NULL)
        return NO_LIMIT;
    group += strlen(mark);
    size_t top = strlen(limit_root) + strlen(mount);
    size_t end = (size_t)snprintf(path, sizeof(path), "%s%s%.*s", limit_root, mount,
                                  (int)strcspn(group, "\n"), group);
    while (end >= top && end + strlen(file) < sizeof(path)) {
        char number[32];
        memcpy(path + end, file, strlen(file) + 1);
        os_read_file(path, OS_ANY, number, sizeof(number));
        uint64_t bytes = strtoull(number, NULL, 10);
        if (bytes != 0) /* there, and not "max" */
            least = min_size(least, bytes);
        while (path[--end] != '/')
            continue;
    }
    return least;
}

/* Of both versions: a line of the file is NUMBER:CONTROLLERS:GROUP (cgroups(7)). */
static uint64_t group_limit(void)
{
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", limit_root);
    groups[0] = '\n';
    if (os_read_file(path, OS_ANY, groups + 1, sizeof(groups) - 1) <= 0)
        return NO_LIMIT;
    return min_size(least_of("\n0::", "/sys/fs/cgroup", "/memory.max"),
                    least_of(":memory:", "/sys/fs/cgroup/memory", "/memory.limit_in_bytes"));
}

/* The limit that a value of the option stands for. */
static uint64_t limit_of(uint64_t value)
{
    if ((value & OPTION_LIMIT_GROUP) == 0)
        return value;
    uint64_t bytes = group_limit(), percent = 100 - (value & ~OPTION_LIMIT_GROUP);
    return bytes >= NO_LIMIT ? 0 : (uint64_t)((unsigned __int128)bytes * percent / 100);
}

void limit_tick(uint64_t now)
{
    static uint32_t reading; /* [any] fork generation, plus 1, of the thread that reads; 0: none */
    uint64_t value = option_value(OPTION_LIMIT);
    bool group = (value & OPTION_LIMIT_GROUP) != 0;
    if (LIKELY(value == __atomic_load_n(&limit.followed, __ATOMIC_RELAXED)) &&
        (!group || (int64_t)(now - load(&limit.read_at)) < LIMIT_READ_MS))
        return;
    if (__atomic_exchange_n(&reading, fork_generation() + 1, __ATOMIC_ACQUIRE) ==
        fork_generation() + 1)
        return;
    uint64_t bytes = limit_of(value);
    store(&limit.read_at, now);
    store(&limit.followed, value);
    if (bytes != load(&limit.bytes)) {
        limit_forget();
        store(&limit.bytes, bytes);
        limit_forget(); /* a count may have ended in between */
    }
    __atomic_store_n(&reading, 0, __ATOMIC_RELEASE);
}
