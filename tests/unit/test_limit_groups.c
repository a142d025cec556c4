/* The limit of control groups: which group counts, the share that is left to others, changes. */
#include "test.h"
#include "arena/idle.h"
#include "limit_blocks.h"
#include "own_arena.h"

#include <stdlib.h>
#include <sys/stat.h>

SUITE(limit_groups, .begin = begin_without_decay);

static char root[64];

/* Writes a file below the directory that stands for the root, and makes the directories on the way.
 */
static void write_below_root(const char *path, const char *text)
{
    char whole[2048];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        ck_assert(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void make_root(void)
{
    snprintf(root, sizeof root, "/tmp/acre-limit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    limit_root = root;
}

static void remove_root(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/memory"
#define LONG_NAME                                                                                  \
    "/a23456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"

/* What files say, and the limit that `cgroup-0%` makes of it; 0: none. */
static const struct {
    const char *groups;      /* /proc/self/cgroup */
    const char *files[6][2]; /* paths and contents */
    uint64_t bytes;
} systems[] = {
    {"", {{NULL}}, 0},
    {"0::/\n", {{V2 "/memory.max", "50000000\n"}}, 50000000},
    {"0::/\n", {{V2 "/memory.max", "max\n"}}, 0},
    {"0::/\n", {{NULL}}, 0},
    {"0::/a/b\n", {{V2 "/a/b/memory.max", "50000000\n"}}, 50000000},
    {"0::/a/b\n", {{V2 "/a/b/memory.max", "max\n"}, {V2 "/a/memory.max", "60000000\n"}}, 60000000},
    {"0::/a/b\n",
     {{V2 "/a/b/memory.max", "70000000\n"}, {V2 "/a/memory.max", "60000000\n"}},
     60000000},
    {"0::/a/b\n",
     {{V2 "/a/b/memory.max", "50000000\n"}, {V2 "/a/memory.max", "60000000\n"}},
     50000000},
    /* a container that sees its own group at the top, under a name that is the host's */
    {"0::/x/y/z\n", {{V2 "/memory.max", "40000000\n"}}, 40000000},
    {"7:cpu:/\n4:memory:/a\n0::/\n", {{V1 "/a/memory.limit_in_bytes", "30000000\n"}}, 30000000},
    {"4:memory:/a\n", {{V1 "/memory.limit_in_bytes", "30000000\n"}}, 30000000},
    {"4:memory:/a\n", {{V1 "/a/memory.limit_in_bytes", "9223372036854771712\n"}}, 0},
    {"4:cpu:/a\n5:memory2:/a\n10::/a\n", {{V1 "/a/memory.limit_in_bytes", "30000000\n"}}, 0},
    {"10::/a\n", {{V2 "/a/memory.max", "30000000\n"}}, 0},
    /* both versions: the tightest */
    {"4:memory:/a\n0::/b\n",
     {{V1 "/a/memory.limit_in_bytes", "30000000\n"}, {V2 "/b/memory.max", "20000000\n"}},
     20000000},
    {"nonsense\n\n::\n0:/x\n0::/a", {{V2 "/a/memory.max", "50000000"}}, 50000000},
    {"0::/a\n", {{V2 "/a/memory.max", "word\n"}, {V2 "/memory.max", ""}}, 0},
};

TEST_LOOP(the_tightest_group_counts, 0, COUNT_OF(systems))
{
    make_root();
    write_below_root("/proc/self/cgroup", systems[_i].groups);
    for (size_t i = 0; systems[_i].files[i][0] != NULL; i++)
        write_below_root(systems[_i].files[i][0], systems[_i].files[i][1]);
    set_limit_text("cgroup-0%");
    remove_root();
    ck_assert_uint_eq(limit.bytes, systems[_i].bytes);
}

TEST(a_group_with_a_long_path_is_found_or_has_no_limit)
{
    char groups[2048] = "0::", line[sizeof groups + 1];
    make_root();
    write_below_root(V2 "/memory.max", "50000000");
    for (int i = 0; i < 20; i++) {
        strcat(groups, LONG_NAME);
        snprintf(line, sizeof line, "%s\n", groups);
        write_below_root("/proc/self/cgroup", line);
        ck_assert_int_eq(option_set_text("limit", "cgroup-0%"), 0);
        limit_tick(os_now_ms() + (uint64_t)i * 2000);
        ck_assert_uint_eq(limit.bytes, i < 9 ? 50000000 : i > 10 ? 0 : limit.bytes);
    }
    remove_root();
}

TEST(a_share_is_left_to_others)
{
    make_root();
    write_below_root("/proc/self/cgroup", "0::/\n");
    write_below_root(V2 "/memory.max", "100000000");
    set_limit_text("cgroup");
    ck_assert_uint_eq(limit.bytes, 90000000);
    set_limit_text("cgroup-25%");
    ck_assert_uint_eq(limit.bytes, 75000000);
    set_limit_text("cgroup-99%");
    ck_assert_uint_eq(limit.bytes, 1000000);
    remove_root();
    set_limit_text("cgroup");
    ck_assert_uint_eq(limit.bytes, 0);
}

TEST(the_group_is_read_again)
{
    be_quiet();
    make_root();
    write_below_root("/proc/self/cgroup", "0::/\n");
    write_below_root(V2 "/memory.max", "67108864");
    set_limit_text("cgroup-0%");
    write_below_root(V2 "/memory.max", "80000000");
    uint64_t now = limit.read_at;
    idle_tick(now + 900);
    ck_assert_uint_eq(limit.bytes, LIMIT);
    idle_tick(now + 1100);
    ck_assert_uint_eq(limit.bytes, 80000000);
    write_below_root(V2 "/memory.max", "max");
    idle_tick(now + 2500);
    ck_assert_uint_eq(limit.bytes, 0);
    ck_assert_ptr_nonnull(alloc_block(200 << 20));
    remove_root();
}
