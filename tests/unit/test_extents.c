/*
 * The table of LARGE blocks and free extents on made-up addresses, against a plain array of pages
 * on random data. What a fork may leave of it: test_extents_steps.c.
 */
#include "test.h"
#include "common/random.h"
#include "large/extents.h"

#include <string.h>

SUITE(extents);

enum {
    PAGES = 160,  /* of the made-up address space */
    CHUNKS = 2,   /* more entries than pages */
    LONGEST = 12, /* pages of a mapped range */
    ROUNDS = 20000,
};

#define PAGE ((size_t)256 << 10) /* so that some extents have a whole huge page, and some none */
#define BASE ((uintptr_t)0x7f1234540000)

/* What the plain reference knows of a page. */
struct page {
    enum extent_state state; /* UNUSED, LIVE or STOCK */
    bool first;              /* an entry begins here */
    bool zero;               /* of the STOCK extent it belongs to */
    uint64_t stamp;          /* likewise */
};

static struct extents table;
static struct extent_chunk chunks[CHUNKS];
static struct page pages[PAGES + 1]; /* one more, unused, as an end */

static void begin(void)
{
    memset(&table, 0, sizeof(table));
    memset(chunks, 0, sizeof(chunks));
    memset(pages, 0, sizeof(pages));
    for (int i = 0; i < CHUNKS; i++)
        extents_add_chunk(&table, &chunks[i]);
}

static uintptr_t address_of(size_t page)
{
    return BASE + page * PAGE;
}

static size_t page_of(const struct extent *entry)
{
    return (entry->base - BASE) / PAGE;
}

/* Pages of the entry that begins at `page`, according to the reference. */
static size_t plain_length(size_t page)
{
    size_t end = page + 1;

    while (end < PAGES && pages[end].state != EXTENT_UNUSED && !pages[end].first)
        end++;
    return end - page;
}

static void plain_fill(size_t page, size_t count, struct page value)
{
    for (size_t i = 0; i < count; i++) {
        pages[page + i] = value;
        pages[page + i].first = value.first && i == 0;
    }
}

/* What an extent is chosen by that is to lose its contents, the least first: whether a whole huge
 * page lies in it, and its stamp. */
static uint64_t plain_rank(size_t page)
{
    const struct page *plain = &pages[page];
    uintptr_t end = address_of(page + plain_length(page));

    if (plain->state != EXTENT_STOCK || plain->zero || plain->stamp == EXTENT_KEPT)
        return EXTENT_KEPT;
    for (uintptr_t start = address_of(page); start + EXTENT_HUGE_PAGE <= end; start += PAGE)
        if (start % EXTENT_HUGE_PAGE == 0)
            return plain->stamp;
    return plain->stamp + ((uint64_t)1 << 62);
}

/* ---- Comparing ---- */

/* True if an entry is the one that begins at `page`, according to the reference. */
static bool agrees(const struct extent *entry, size_t page)
{
    const struct page *plain = &pages[page];

    if (entry == NULL || entry->base != address_of(page) || entry->state != plain->state ||
        entry->size != plain_length(page) * PAGE)
        return false;
    return plain->state == EXTENT_LIVE ||
           (entry->zero == plain->zero && entry->stamp == plain->stamp);
}

/* Compares the whole table with the reference. Few ck_asserts: each is a system call. */
static void check_all(void)
{
    const struct extent_summary *sum = extents_sum(&table);
    const struct extent *current = NULL;
    uint64_t oldest = EXTENT_KEPT, oldest_dirty = EXTENT_KEPT;
    size_t live = 0, blocks = 0, stock = 0, dirty = 0, pieces = 0;
    bool same = extents_is_valid(&table);

    for (size_t i = 0; i < PAGES; i++) {
        const struct page *page = &pages[i];
        bool is_live = page->state == EXTENT_LIVE, is_stock = page->state == EXTENT_STOCK;
        if (page->first) {
            current = extents_at(&table, address_of(i));
            same = same && agrees(current, i);
            blocks += is_live;
            oldest = is_stock && page->stamp < oldest ? page->stamp : oldest;
            oldest_dirty = plain_rank(i) < oldest_dirty ? plain_rank(i) : oldest_dirty;
        } else if (page->state == EXTENT_UNUSED) {
            current = NULL;
        }
        same = same && extents_at(&table, address_of(i) + PAGE - 1) == current;
        pieces += current != NULL && (i == 0 || pages[i - 1].state == EXTENT_UNUSED);
        live += is_live ? PAGE : 0;
        stock += is_stock ? PAGE : 0;
        dirty += is_stock && !page->zero ? PAGE : 0;
    }
    const struct extent *due = extents_oldest(&table), *dirty_one = extents_oldest_dirty(&table);
    same = same && sum->live == live && sum->blocks == blocks && sum->stock == stock &&
           sum->dirty == dirty && sum->pieces == pieces && sum->oldest == oldest &&
           (due != NULL ? due->stamp : EXTENT_KEPT) == oldest &&
           (dirty_one != NULL ? plain_rank(page_of(dirty_one)) : EXTENT_KEPT) == oldest_dirty;
    ck_assert(same);
}

/* Pages of the run that goes on at `page`: STOCK pages side by side, of whatever extents. */
static size_t plain_run_length(size_t page)
{
    size_t end = page;

    while (end < PAGES && pages[end].state == EXTENT_STOCK)
        end++;
    return end - page;
}

static bool is_inside_run(size_t page)
{
    return page > 0 && pages[page].state == EXTENT_STOCK && pages[page - 1].state == EXTENT_STOCK;
}

/* The first page of the lowest run of `count` pages from `from` on; PAGES if none. */
static size_t plain_run_from(size_t from, size_t count)
{
    for (size_t i = from; i < PAGES; i++)
        if (pages[i].state == EXTENT_STOCK && !is_inside_run(i) && plain_run_length(i) >= count)
            return i;
    return PAGES;
}

/* Where `count` pages are free at a multiple of the alignment, as extents.h says; 0 if nowhere. */
static uintptr_t plain_find_room(size_t count, size_t alignment)
{
    uintptr_t best = 0;
    size_t tightest = PAGES + 1;
    size_t i = plain_run_from(0, count);
    int fits = 0;

    for (int tries = 0; i < PAGES && tries < EXTENTS_ALIGNED_TRIES; tries++) {
        size_t length = plain_run_length(i);
        uintptr_t start = align_up(address_of(i), alignment);
        if (start + count * PAGE <= address_of(i + length)) {
            best = length < tightest ? start : best;
            tightest = length < tightest ? length : tightest;
            if (length == count || ++fits == EXTENTS_FIT_TRIES)
                return best;
        }
        i = plain_run_from(i + length, count);
    }
    if (best != 0 || i == PAGES)
        return best;
    i = plain_run_from(i, count + (alignment + PAGE - 2) / PAGE);
    return i < PAGES ? align_up(address_of(i), alignment) : 0;
}

static void check_searches(struct random *random)
{
    size_t count = 1 + random_below(random, LONGEST);
    size_t from = random_below(random, PAGES);
    size_t alignment = random_below(random, 2) != 0 ? PAGE << random_below(random, 5) : 1;
    struct extent_run run;

    from += is_inside_run(from) ? plain_run_length(from) : 0;
    size_t expected = plain_run_from(from, count);
    bool found = extents_run_from(&table, address_of(from), count * PAGE, &run);
    bool same = found == (expected < PAGES);
    if (found)
        same = same && run.base == address_of(expected) &&
               run.size == plain_run_length(expected) * PAGE;
    same = same &&
           extents_find_room(&table, count * PAGE, alignment) == plain_find_room(count, alignment);
    ck_assert_msg(same, "%zu pages at a multiple of %zu", count, alignment);
}

/* ---- Random operations, each done to the table and to the reference ---- */

static struct page random_stock(struct random *random)
{
    return (struct page){.state = EXTENT_STOCK,
                         .first = true,
                         .zero = random_below(random, 2) != 0,
                         .stamp = random_below(random, 8) != 0 ? random_next(random) >> 20
                                                               : EXTENT_KEPT};
}

/* Maps pages that are in no entry, LIVE or STOCK. */
static void random_map(struct random *random, size_t page)
{
    size_t count = 1 + random_below(random, LONGEST);
    struct page value = random_stock(random);
    struct extent *entry = extents_take_entry(&table);

    value.state = random_below(random, 2) != 0 ? EXTENT_LIVE : EXTENT_STOCK;
    for (size_t i = 0; i < count; i++)
        if (page + i >= PAGES || pages[page + i].state != EXTENT_UNUSED)
            count = i;
    entry->base = address_of(page);
    entry->size = count * PAGE;
    entry->stamp = value.stamp;
    entry->zero = value.zero;
    extents_publish(&table, entry, value.state);
    plain_fill(page, count, value);
}

static void random_unmap(struct extent *entry)
{
    size_t page = page_of(entry);
    size_t count = entry->size / PAGE;

    extents_withdraw(&table, entry);
    ck_assert_int_eq(entry->state, EXTENT_PRIVATE);
    extents_recycle(&table, entry);
    plain_fill(page, count, (struct page){.state = EXTENT_UNUSED});
}

/* Makes one extent of some pages of a run, from `page` on, and a block of it or not. */
static void random_carve(struct random *random, size_t page)
{
    size_t length = plain_run_length(page);
    size_t count = 1 + random_below(random, length);
    struct page joined = pages[page];
    struct extent *extent = extents_isolate(&table, address_of(page), count * PAGE);

    for (size_t i = 1; i < count; i++) {
        joined.zero = joined.zero && pages[page + i].zero;
        joined.stamp = pages[page + i].stamp < joined.stamp ? pages[page + i].stamp : joined.stamp;
    }
    joined.first = true;
    ck_assert_int_eq(extent->zero, joined.zero);
    if (random_below(random, 2) != 0) {
        extents_set_live(&table, extent);
        joined.state = EXTENT_LIVE;
    }
    plain_fill(page, count, joined);
    if (count < length)
        pages[page + count].first = true;
}

/* Grows a LIVE block over the run that follows it, or tries to grow it over more; or cuts it. */
static void random_resize(struct random *random, struct extent *block)
{
    size_t page = page_of(block);
    size_t length = block->size / PAGE;
    size_t room = plain_run_length(page + length);
    size_t count = 1 + random_below(random, room + 1);

    if (random_below(random, 2) != 0) {
        ck_assert_int_eq(extents_grow(&table, block, (length + count) * PAGE), count <= room);
        if (count > room)
            return;
        if (count < room)
            pages[page + length + count].first = true;
        plain_fill(page + length, count, (struct page){.state = EXTENT_LIVE});
    } else if (length > 1) {
        size_t kept = 1 + random_below(random, length - 1);
        struct page tail = random_stock(random);
        extents_cut(&table, block, kept * PAGE, tail.stamp, tail.zero);
        plain_fill(page + kept, length - kept, tail);
    }
}

static void random_free(struct random *random, struct extent *block)
{
    struct page value = random_stock(random);
    extents_set_stock(&table, block, value.stamp, value.zero);
    plain_fill(page_of(block), block->size / PAGE, value);
}

static void random_step(struct random *random)
{
    size_t page = random_below(random, PAGES);
    struct extent *entry = extents_at(&table, address_of(page));

    if (entry == NULL)
        random_map(random, page);
    else if (random_below(random, 8) == 0)
        random_unmap(entry);
    else if (entry->state == EXTENT_STOCK)
        random_carve(random, page);
    else if (random_below(random, 2) != 0)
        random_resize(random, entry);
    else
        random_free(random, entry);
}

TEST(random_changes_agree_with_a_plain_array)
{
    struct random random = random_begin();

    begin();
    for (int i = 0; i < ROUNDS; i++) {
        random_step(&random);
        check_all();
        check_searches(&random);
        if (i % 64 == 0) {
            extents_rebuild(&table);
            check_all();
        }
    }
}

/* ---- Aligned room among many runs ---- */

static struct extent *add_run(size_t page, size_t count)
{
    struct extent *entry = extents_take_entry(&table);
    entry->base = address_of(page);
    entry->size = count * PAGE;
    extents_publish(&table, entry, EXTENT_STOCK);
    return entry;
}

/* Runs at odd pages that are long enough, but not from a multiple of the alignment on: after the
 * first tries only a run that has room wherever it begins is looked for. */
TEST(aligned_room_is_found_beyond_the_tries)
{
    enum { COUNT = 2, SURE = 2 * COUNT, APART = 6 };
    size_t page = address_of(0) / PAGE % COUNT != 0 ? 0 : 1;

    begin();
    for (int i = 0; i < EXTENTS_ALIGNED_TRIES; i++, page += APART)
        add_run(page, COUNT);
    ck_assert_uint_eq(extents_find_room(&table, COUNT * PAGE, COUNT * PAGE), 0);
    add_run(page, SURE - 1); /* has room, but not for each alignment */
    ck_assert_uint_eq(extents_find_room(&table, COUNT * PAGE, COUNT * PAGE), 0);
    add_run(page + APART, SURE);
    ck_assert_uint_eq(extents_find_room(&table, COUNT * PAGE, COUNT * PAGE),
                      address_of(page + APART + 1));
    ck_assert(extents_is_valid(&table));
}

/* ---- The table itself ---- */

static void write_entry(int index, size_t page, size_t count, enum extent_state state)
{
    chunks[0].entries[index] =
        (struct extent){.base = address_of(page), .size = count * PAGE, .state = (uint8_t)state};
}

/* Each defect that the checker is there for is one it sees. */
TEST(checker_sees_defects)
{
    struct extent *entry;

    begin();
    for (int i = 0; i < 8; i++)
        write_entry(i, (size_t)i * 4, 4, i % 2 != 0 ? EXTENT_LIVE : EXTENT_STOCK);
    extents_rebuild(&table);
    ck_assert(extents_is_valid(&table));
    entry = table.root->left != NULL ? table.root->left : table.root->right;
    entry->size += PAGE; /* overlaps the next, and disagrees with the totals */
    ck_assert(!extents_is_valid(&table));
    entry->size -= PAGE;
    entry->state = EXTENT_PRIVATE;
    ck_assert(!extents_is_valid(&table));
    extents_rebuild(&table);
    ck_assert(extents_is_valid(&table));
    table.root->below.largest++;
    ck_assert(!extents_is_valid(&table));
    table.root->below.largest--;
    table.spare--;
    ck_assert(!extents_is_valid(&table));
    table.spare++;
    ck_assert(extents_is_valid(&table));
}

/* Ascending bases are the worst order for a tree without balance: the path must stay short. */
TEST(index_stays_shallow)
{
    enum { ENTRIES = CHUNKS * EXTENTS_PER_CHUNK, DEEPEST = 40 };
    int deepest = 0;

    begin();
    for (size_t i = 0; i < ENTRIES; i++) {
        struct extent *entry = extents_take_entry(&table);
        entry->base = address_of(i);
        entry->size = PAGE;
        extents_publish(&table, entry, EXTENT_LIVE);
    }
    ck_assert_ptr_null(extents_take_entry(&table));
    ck_assert(extents_is_valid(&table));
    for (size_t i = 0; i < ENTRIES; i++) {
        int depth = 1;
        for (const struct extent *down = table.root; down->base != address_of(i); depth++)
            down = address_of(i) < down->base ? down->left : down->right;
        deepest = depth > deepest ? depth : deepest;
    }
    ck_assert_int_le(deepest, DEEPEST);
}
