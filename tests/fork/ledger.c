/* The ledger: see ledger.h. */
#include "check.h"

#include "ledger.h"
#include "step.h"

#include <malloc.h>
#include <sys/mman.h>

enum {
    KNOWN_MOST = 1024,
    END_FILLED = 64, /* bytes at each end of a block that are filled */
};

struct known {
    char *block;
    size_t size; /* bytes asked for */
    unsigned seed;
};

static struct {
    struct known known[KNOWN_MOST];
    size_t count;
    unsigned next_seed;
    struct known argument;    /* of the stepped call; block NULL: none */
    struct ledger_rest *rest; /* shared with children; see ledger_begin_call */
} ledger;

/* ---- contents ---- */

static size_t end_size(size_t size)
{
    return size < END_FILLED ? size : END_FILLED;
}

static void fill_ends(const struct known *known)
{
    size_t end = end_size(known->size);
    fill(known->block + known->size - end, end, known->seed + 1);
    fill(known->block, end, known->seed);
}

/* Where the ends overlap, the front is whole. */
static bool is_unharmed(const struct known *known)
{
    size_t end = end_size(known->size);
    size_t overlap = known->size < 2 * end ? 2 * end - known->size : 0;
    struct known copy = {.size = end, .seed = known->seed + 1};
    unsigned char expected[END_FILLED];
    copy.block = (char *)expected;
    fill(copy.block, end, copy.seed);
    return is_filled(known->block, end, known->seed) &&
           memcmp(known->block + known->size - end + overlap, expected + overlap, end - overlap) ==
               0;
}

/* ---- the blocks ---- */

static struct known *find(const void *block)
{
    for (size_t i = 0; i < ledger.count; i++)
        if (ledger.known[i].block == block)
            return &ledger.known[i];
    return NULL;
}

void ledger_add(void *block, size_t size)
{
    CHECK(block != NULL && size != 0 && ledger.count < KNOWN_MOST);
    struct known *known = &ledger.known[ledger.count++];
    *known = (struct known){block, size, ledger.next_seed};
    ledger.next_seed += 2;
    fill_ends(known);
}

/* Takes a block off and returns what was known of it. */
static struct known take_off(void *block)
{
    struct known *known = find(block);
    CHECK(known != NULL);
    struct known result = *known;
    CHECK(is_unharmed(&result));
    *known = ledger.known[--ledger.count];
    return result;
}

void ledger_remove(void *block)
{
    (void)take_off(block);
}

void ledger_check(void)
{
    for (size_t i = 0; i < ledger.count; i++) {
        const struct known *known = &ledger.known[i];
        CHECK(malloc_usable_size(known->block) >= known->size);
        CHECK(is_unharmed(known));
    }
}

void ledger_check_apart(const void *block, size_t size)
{
    uintptr_t start = (uintptr_t)block;
    for (size_t i = 0; i < ledger.count; i++) {
        uintptr_t known = (uintptr_t)ledger.known[i].block;
        CHECK(start + size <= known || known + ledger.known[i].size <= start);
    }
}

void ledger_free_all(void)
{
    while (ledger.count != 0) {
        char *block = ledger.known[ledger.count - 1].block;
        ledger_remove(block);
        free(block);
    }
}

/* ---- the rest ---- */

unsigned ledger_class(const struct acre_stats *stats, size_t size)
{
    unsigned class = 0;
    while (stats->classes[class].block_size < size)
        class ++;
    return class;
}

void ledger_rest_now(struct ledger_rest *rest)
{
    struct acre_stats stats = stats_now();
    for (unsigned class = 0; class < stats.class_count; class ++)
        rest->blocks[class] = stats.classes[class].live_blocks;
    rest->large_blocks = stats.large_blocks;
    rest->address_space = mapped_bytes() - stats.mapped;
    for (size_t i = 0; i < ledger.count; i++) {
        size_t size = malloc_usable_size(ledger.known[i].block); /* perhaps of a wider class */
        size_t *counted = ledger.known[i].size >= LEDGER_LARGE_FROM
                              ? &rest->large_blocks
                              : &rest->blocks[ledger_class(&stats, size)];
        CHECK(*counted != 0);
        --*counted;
    }
}

const struct ledger_rest *ledger_rest_before(void)
{
    return ledger.rest;
}

void ledger_init(void)
{
    ledger.rest =
        mmap(NULL, sizeof(*ledger.rest), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(ledger.rest != MAP_FAILED);
}

/* A child of its own counts, so that the counting repairs nothing that the call is to find. */
static void count_rest(void)
{
    pid_t child = fork();
    if (child == 0) {
        ledger_rest_now(ledger.rest);
        _exit(0);
    }
    check_child(child);
}

/* Not for further calls of a child's, which must give what there was before its parent's. */
void ledger_begin_call(void *argument)
{
    if (!step_in_child())
        count_rest();
    ledger.argument = argument != NULL ? take_off(argument) : (struct known){.block = NULL};
}

void ledger_end_call(void)
{
    ledger.argument.block = NULL;
}

/* The usable size of a block that may not be live: 0 then, without a report. */
static size_t usable_size_if_live(void *block)
{
    CHECK(acre_options_parse("on_error:ignore,foreign:ignore", "ledger") == 0);
    size_t usable = malloc_usable_size(block);
    CHECK(acre_options_parse("on_error:abort,foreign:abort", "ledger") == 0);
    return usable;
}

/* The call may have changed the block's size already: only its front is sure to be unharmed. */
void ledger_find_argument(void)
{
    struct known argument = ledger.argument;
    ledger.argument.block = NULL;
    if (argument.block == NULL)
        return;
    size_t usable = usable_size_if_live(argument.block);
    if (usable == 0)
        return;
    CHECK(is_filled(argument.block, end_size(argument.size), argument.seed));
    ledger_add(argument.block, usable);
}
