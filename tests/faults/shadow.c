/* The program's blocks: see shadow.h. */
#include "check.h"

#include "intercept.h"
#include "plan.h"
#include "shadow.h"

#include <acre/acre.h>
#include <malloc.h>

enum {
    FILLED = 1024,         /* bytes at both ends of a block that are filled */
    ZEROED = 64 << 10,     /* bytes of a calloc, at both ends, that are looked at */
    ERRNO_OF_PROGRAM = 99, /* what errno is when a request begins */
    REFUSED_IN_ROW = 12,   /* requests of a row; further ones would be refused likewise */
    REFUSED_MOST = 40,     /* requests of a process, after which no more calls fail */
};

static struct shadow {
    char *address; /* NULL: no block */
    size_t size;
    bool found; /* while they are counted: the library knows it as live */
} shadows[SHADOW_BLOCKS];

static int limit; /* one more than the highest number in use */

int shadow_limit(void)
{
    return limit;
}

/* ---- contents ---- */

static size_t head_of(size_t size)
{
    return size < FILLED ? size : (size_t)FILLED;
}

/* Both ends depend on the number, so that they tell blocks apart. */
static void fill_ends(int number)
{
    struct shadow *shadow = &shadows[number];
    size_t head = head_of(shadow->size);
    fill(shadow->address, head, (unsigned)number);
    if (shadow->size >= 2 * FILLED)
        fill(shadow->address + shadow->size - FILLED, FILLED, (unsigned)number + 1);
}

static bool head_is_filled(int number, size_t size)
{
    return is_filled(shadows[number].address, head_of(size), (unsigned)number);
}

static void check_ends(int number)
{
    const struct shadow *shadow = &shadows[number];
    CHECK(head_is_filled(number, shadow->size));
    if (shadow->size >= 2 * FILLED)
        CHECK(is_filled(shadow->address + shadow->size - FILLED, FILLED, (unsigned)number + 1));
}

/* ---- requests ---- */

static size_t failed_before, refused;
static bool limited;

void shadow_under_limit(bool now)
{
    limited = now;
}

static void begin_request(void)
{
    failed_before = plan->failed;
    errno = ERRNO_OF_PROGRAM;
}

/* What a request gave, checked. */
static char *end_request(void *address)
{
    if (address == NULL) {
        CHECK(errno == ENOMEM);
        CHECK(intercept_may_fail(limited ? 0 : failed_before));
        __atomic_fetch_add(&plan->refused, 1, __ATOMIC_RELAXED);
        if (++refused == REFUSED_MOST && plan->at != 0)
            intercept_end();
    } else {
        CHECK(errno == ERRNO_OF_PROGRAM);
    }
    return address;
}

static int add(char *address, size_t size)
{
    static int next;
    if (address == NULL)
        return SHADOW_NONE;
    CHECK(malloc_usable_size(address) >= size);
    int tried = 0;
    while (shadows[next].address != NULL && tried++ < SHADOW_BLOCKS)
        next = (next + 1) % SHADOW_BLOCKS;
    CHECK(tried < SHADOW_BLOCKS);
    int number = next;
    next = (next + 1) % SHADOW_BLOCKS;
    shadows[number].address = address;
    shadows[number].size = size;
    if (number >= limit)
        limit = number + 1;
    fill_ends(number);
    return number;
}

int shadow_malloc(size_t size)
{
    begin_request();
    return add(end_request(malloc(size)), size);
}

void shadow_take(size_t count, size_t size, size_t more)
{
    for (size_t i = 0, refused = 0; i < count && refused < REFUSED_IN_ROW; i++)
        refused += shadow_malloc(size + i * more) == SHADOW_NONE;
}

int shadow_calloc(size_t size)
{
    begin_request();
    char *address = end_request(calloc(1, size));
    if (address != NULL) {
        size_t head = size < ZEROED ? size : (size_t)ZEROED;
        CHECK(is_zero(address, head) && is_zero(address + size - head, head));
    }
    return add(address, size);
}

int shadow_aligned(size_t alignment, size_t size)
{
    begin_request();
    char *address = end_request(aligned_alloc(alignment, size));
    CHECK(is_aligned(address, alignment));
    return add(address, size);
}

bool shadow_realloc(int number, size_t size)
{
    if (number == SHADOW_NONE)
        return false;
    struct shadow *shadow = &shadows[number];
    check_ends(number);
    begin_request();
    char *address = end_request(realloc(shadow->address, size));
    if (address == NULL) {
        check_ends(number);
        return false;
    }
    shadow->address = address;
    CHECK(head_is_filled(number, size < shadow->size ? size : shadow->size));
    shadow->size = size;
    fill_ends(number);
    return true;
}

void shadow_free(int number)
{
    if (number == SHADOW_NONE)
        return;
    check_ends(number);
    begin_request();
    free(shadows[number].address);
    CHECK(errno == ERRNO_OF_PROGRAM);
    shadows[number].address = NULL;
}

void shadow_free_from(int first, int step)
{
    for (int i = first; i < limit; i += step)
        if (shadows[i].address != NULL)
            shadow_free(i);
}

void shadow_write_pages(void)
{
    for (int i = 0; i < limit; i++)
        for (size_t at = FILLED; at + FILLED < shadows[i].size && shadows[i].address != NULL;
             at += 4096)
            shadows[i].address[at] = 1;
}

/* ---- all of it ---- */

/* The number of the block at an address; SHADOW_NONE if there is none. Sorted by a hash, as there
 * may be thousands. */
enum { HASHES = 2 * SHADOW_BLOCKS };

static int by_hash[HASHES]; /* numbers, plus 1 */

static size_t hash_of(const void *address)
{
    return random_mix((uintptr_t)address) % HASHES;
}

static int find(const void *address)
{
    size_t place = hash_of(address);
    while (by_hash[place] != 0 && shadows[by_hash[place] - 1].address != address)
        place = (place + 1) % HASHES;
    return by_hash[place] - 1;
}

static void hash_all(void)
{
    memset(by_hash, 0, sizeof(by_hash));
    for (int i = 0; i < limit; i++) {
        if (shadows[i].address == NULL)
            continue;
        size_t place = hash_of(shadows[i].address);
        while (by_hash[place] != 0)
            place = (place + 1) % HASHES;
        by_hash[place] = i + 1;
        shadows[i].found = false;
    }
}

static int see_block(void *others, const struct acre_block *block)
{
    if (block->state != ACRE_BLOCK_LIVE)
        return 0;
    int number = find(block->address);
    if (number == SHADOW_NONE) {
        ++*(size_t *)others;
        return 0;
    }
    CHECK(!shadows[number].found && block->size >= shadows[number].size);
    shadows[number].found = true;
    return 0;
}

size_t shadow_check(void)
{
    size_t others = 0;
    hash_all();
    CHECK(acre_heap_walk(see_block, &others) == 0);
    for (int i = 0; i < limit; i++) {
        if (shadows[i].address == NULL)
            continue;
        CHECK(shadows[i].found);
        check_ends(i);
    }
    return others;
}

static void use_all_kinds(void)
{
    int first = limit, block;
    for (size_t size = 1; size < 4 * CHECK_MIB; size += size / 2 + 1)
        shadow_malloc(size);
    block = shadow_calloc(50000);
    shadow_realloc(block, 2 * CHECK_MIB);
    shadow_realloc(block, 100);
    shadow_free(block);
    shadow_free(shadow_aligned(4096, 100));
    shadow_free(shadow_aligned(2 * CHECK_MIB, 3 * CHECK_MIB));
    shadow_free_from(first, 1);
}

void shadow_finish(void)
{
    intercept_end();
    CHECK(acre_check(STDERR_FILENO) == 0);
    shadow_check();
    use_all_kinds();
    shadow_check();
    shadow_free_from(0, 1);
    CHECK(acre_check(STDERR_FILENO) == 0);
}
