/* Slabs and bins: see slab.h. */
#include "slab/slab.h"

#include "base/chance.h"
#include "base/probe.h"
#include "base/size_class.h"

enum {
    /* blocks that a class's first slab has room for, if 1 MiB does */
    FIRST_BLOCKS = 8,
    /* a later slab is 1/8 of all slabs of the class: at most that much is not wanted yet, and
     * churn leaves no block untouched for long */
    GROWTH_PART = 8,
    /* down to 1/4 of it, where what is free and has memory has no longer run */
    SMALLER_PART = 4,
    RANDOM_TRIES = 3,           /* of bin_take_random after its first, until it looks at a group */
    NEVER_CHECKED = 0x7fffffff, /* until_check of a current slab that is shared: it is kept */
};

static_assert(SLAB_MAX_UNITS * UNIT_SIZE == SIZE_CLASS_LIMIT,
              "the largest class fills the largest slab");
static_assert((int)SLAB_SHARED_LIMIT == (int)SIZE_CLASS_TABLE_LIMIT,
              "the fast path serves the classes that share slabs");
static_assert(SLAB_MAX_BLOCKS / STATES_GROUP == 64, "summary has a bit for each group");
static_assert(SLAB_MAX_BLOCKS * BLOCK_ALIGNMENT % UNIT_SIZE == 0,
              "a slab of SLAB_MAX_BLOCKS blocks fills its units");

size_t magazine_capacity(unsigned class)
{
    size_t size = size_class_sizes[class];
    size_t most = size <= SIZE_CLASS_TINY_LIMIT ? MAGAZINE_MOST : MAGAZINE_MOST_SMALL;
    return min_size(most, (size <= SLAB_SHARED_LIMIT ? MAGAZINE_BYTES : MAGAZINE_LARGEST) / size);
}

void bin_init(struct bin *bin, unsigned class, struct magazine_entry *entries)
{
    bin->top = bin->bottom = entries;
    bin->limit = entries + magazine_capacity(class);
    bin->window = 0;
    bin->slab = NULL;
    bin->class = (uint8_t) class;
    bin->block_size = size_class_sizes[class];
    list_init(&bin->partial);
}

/* ---- making a slab ---- */

static size_t units_for(size_t bytes)
{
    return (bytes + UNIT_SIZE - 1) >> UNIT_SHIFT;
}

static size_t most_blocks(const struct bin *bin)
{
    if (bin->block_size > SLAB_SHARED_LIMIT)
        return 1;
    return min_size(SLAB_MAX_BLOCKS, (size_t)SLAB_MAX_UNITS * UNIT_SIZE / bin->block_size);
}

/* How large the next slab of a bin is: a share of all that it has, within the bounds, so that slabs
 * grow with what the class needs at a time. */
static size_t next_units(const struct bin *bin)
{
    size_t most = most_blocks(bin);
    size_t least_units = units_for(min_size(FIRST_BLOCKS, most) * bin->block_size);
    return min_size(units_for(most * bin->block_size),
                    max_size(least_units, bin->units / GROWTH_PART));
}

size_t bin_next_slab_bytes(const struct bin *bin)
{
    return next_units(bin) * UNIT_SIZE;
}

/* Takes a run of `units` for a slab, which its blocks fill: what is left over is shorter than
 * a block, so that each place in it has a state (geometry_lines). */
static struct slab *take_run(const struct bin *bin, struct heap_set *set, size_t units, bool fresh)
{
    struct slab_geometry geometry = {
        .class = bin->class,
        .count = (unsigned)min_size(most_blocks(bin), units * UNIT_SIZE / bin->block_size),
        .units = (unsigned)units,
    };
    return heap_set_take(set, &geometry, fresh);
}

static unsigned slab_units(const struct slab *slab)
{
    return geometry_unpack(slab->geometry).units;
}

/* The slab has blocks of the bin's class. */
static void set_bin(struct slab *slab, struct bin *bin)
{
    slab->bin = bin;
    slab->class = bin->class;
    slab->block_size = (uint32_t)bin->block_size;
    slab->reciprocal = size_class_reciprocals[bin->class];
}

/* Fills in a descriptor, all but what heap_take has set and the states tell. */
static void slab_fill(struct slab *slab, struct bin *bin)
{
    slab->owner = slab_heap(slab)->set->arena;
    slab->count = (uint16_t)geometry_unpack(slab->geometry).count;
    set_bin(slab, bin);
    slab->live_hint = 0;
    slab->fresh_group = 0;
    slab->purged = slab->purged_for_owner = slab->wide = slab->sampled = false;
    slab->node.next = slab->node.previous = NULL;
}

/* ---- what the program holds ---- */

struct slab_live slab_count_live(const uint8_t *states, size_t count)
{
    /* in this order: an owner may make a LIVE block SAMPLED meanwhile */
    size_t single = states_count(states, count, BLOCK_LIVE);
    single += states_count(states, count, BLOCK_SAMPLED);
    struct slab_live live = {.blocks = single, .places = single};
    for (size_t first = 0; first < count; first += STATES_GROUP) {
        uint64_t wide = states_match(states + first, BLOCK_WIDE);
        live.blocks += (size_t)__builtin_popcountll(wide);
        for (; wide != 0; wide &= wide - 1)
            live.places += slab_wide_places(states, count, first + lowest_bit(wide));
    }
    /* what was LIVE a moment ago may be SAMPLED, or part of a WIDE one, now */
    live.places = min_size(live.places, count);
    live.blocks = min_size(live.blocks, live.places);
    return live;
}

size_t slab_live_blocks(const struct slab *slab)
{
    if (UNLIKELY(slab->wide || slab->sampled))
        return slab_count_live(slab->states, slab->count).blocks +
               states_count(slab->states, slab->count, BLOCK_QUARANTINED);
    return states_count(slab->states, slab->count, BLOCK_LIVE);
}

/* ---- current slab and window ---- */

/* After how many give-backs a slab with `live` LIVE blocks may be empty: all of them, less what
 * ends in the magazine. */
static uint32_t give_backs_until_empty(const struct bin *bin, size_t live)
{
    size_t cached = (size_t)(bin->limit - bin->bottom);
    return live > cached ? (uint32_t)(live - cached) : 1;
}

/* True if the slab has blocks of a class that share slabs; else it goes when its block does. */
static bool is_shared(const struct slab *slab)
{
    return slab->block_size <= SLAB_SHARED_LIMIT;
}

/* The bin has no current slab any more. */
static void leave(struct bin *bin)
{
    bin->slab->until_check = 1;
    bin->slab = NULL;
}

/* The current slab is exhausted: every block of it is LIVE, or REMOTE and not yet collected. */
static void leave_exhausted(struct bin *bin)
{
    if (bin->slab == NULL)
        return;
    ASSERT(bin->slab->summary == 0 && !bin->slab->purged);
    leave(bin);
}

static void make_current(struct bin *bin, struct slab *slab)
{
    bin->slab = slab;
    slab->until_check = is_shared(slab) ? NEVER_CHECKED : 1;
}

static void free_place(struct slab *slab, size_t number)
{
    state_set(&slab->states[number], BLOCK_FREE);
    slab->summary |= UINT64_C(1) << (number / STATES_GROUP);
}

/* Makes a block that was freed FREE, and the REST that may follow it: in this order, so that the
 * child of a fork never finds a WIDE block with fewer places. */
static void free_places(struct slab *slab, size_t number)
{
    free_place(slab, number);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (UNLIKELY(slab->wide))
        for (size_t left = slab_wide_places(slab->states, slab->count, number); left > 1; left--)
            free_place(slab, ++number);
}

/* Makes all PURGED blocks of a slab FREE. False if there is none. */
static bool take_back_purged(struct slab *slab)
{
    if (!slab->purged)
        return false;
    slab->purged = false;
    for (size_t i = 0; i < slab->count; i++)
        /* acquire: the pages went back, by any thread, before the block is used again */
        if (__atomic_load_n(&slab->states[i], __ATOMIC_ACQUIRE) == BLOCK_PURGED)
            free_places(slab, i);
    return slab->summary != 0;
}

bool bin_open_window(struct bin *bin)
{
    struct slab *slab = bin->slab;
    if (slab == NULL)
        return false;
    while (slab->summary != 0 || take_back_purged(slab)) {
        unsigned group = lowest_bit(slab->summary);
        slab->summary &= slab->summary - 1;
        uint8_t *states = slab->states + group * STATES_GROUP;
        uint64_t window = states_match(states, BLOCK_FREE);
        if (window == 0)
            continue;
        counter_add(&bin->windows, 1);
        bin->window = window;
        bin->window_states = states;
        bin->window_base = slab->base + (size_t)group * STATES_GROUP * slab->block_size;
        bin->window_zero = slab->zero && group >= slab->fresh_group;
        slab->fresh_group = (uint16_t)max_size(slab->fresh_group, group + 1);
        return true;
    }
    return false;
}

/* The position of a set bit of `bits`, which is not 0: each is as likely as the others. */
static unsigned random_bit(uint64_t bits, uint64_t random)
{
    uint64_t left = chance_below(random, (unsigned)__builtin_popcountll(bits));
    for (; left != 0; left--)
        bits &= bits - 1;
    return lowest_bit(bits);
}

/* Makes a FREE block SAMPLED. */
static inline void *take_place(struct slab *slab, size_t number, uint8_t **state)
{
    *state = &slab->states[number];
    slab->sampled = true;
    slab->fresh_group = (uint16_t)max_size(slab->fresh_group, number / STATES_GROUP + 1);
    state_set(*state, BLOCK_SAMPLED);
    return slab->base + number * slab->block_size;
}

/* bin_take_random in a slab that has few FREE blocks. */
static NOINLINE void *take_one_of_few(struct slab *slab, uint64_t random, uint8_t **state)
{
    for (unsigned i = 0; i < RANDOM_TRIES && is_shared(slab); i++) {
        random = chance_bits(&random);
        size_t number = chance_below(random, slab->count);
        if (state_get(&slab->states[number]) == BLOCK_FREE)
            return take_place(slab, number, state);
    }
    while (slab->summary != 0) {
        unsigned group = random_bit(slab->summary, random);
        uint64_t free = states_match(slab->states + group * STATES_GROUP, BLOCK_FREE);
        if ((free & (free - 1)) == 0) /* the last one, or none */
            slab->summary &= ~(UINT64_C(1) << group);
        random = chance_bits(&random);
        if (free != 0)
            return take_place(slab, group * STATES_GROUP + random_bit(free, random), state);
    }
    return NULL;
}

void *bin_take_random(struct bin *bin, uint64_t random, uint8_t **state)
{
    struct slab *slab = bin->slab;
    if (UNLIKELY(slab == NULL))
        return NULL;
    bin_close_window(bin);
    size_t number = chance_below(random, slab->count);
    if (LIKELY(is_shared(slab)) && state_get(&slab->states[number]) == BLOCK_FREE)
        return take_place(slab, number, state);
    return take_one_of_few(slab, random, state);
}

bool bin_next_slab(struct bin *bin)
{
    struct list_node *node = list_first(&bin->partial);
    if (node == NULL)
        return false;
    struct slab *slab = CONTAINER_OF(node, struct slab, node);
    list_remove(node);
    leave_exhausted(bin);
    make_current(bin, slab);
    return true;
}

bool bin_make_slab(struct bin *bin, struct heap_set *set)
{
    size_t units = next_units(bin), least = units_for(bin->block_size);
    struct slab *slab = NULL;
    for (size_t some = units; slab == NULL && some >= max_size(least, units / SMALLER_PART);
         some /= 2)
        slab = take_run(bin, set, some, false);
    if (slab == NULL)
        slab = take_run(bin, set, units, true);
    if (slab == NULL)
        slab = take_run(bin, set, least, true); /* a smaller one may still fit */
    if (slab == NULL)
        return false;
    slab_fill(slab, bin);
    size_t groups = (slab->count + STATES_GROUP - 1u) / STATES_GROUP;
    slab->summary = ~UINT64_C(0) >> (64 - groups);
    leave_exhausted(bin);
    make_current(bin, slab);
    heap_forget_notes(slab);
    bin->units += slab_units(slab);
    counter_add(&bin->slabs_made, 1);
    PROBE(slab_made, slab->base, slab->block_size);
    heap_show_slab(slab);
    return true;
}

/* ---- giving back ---- */

/* Takes the blocks of a slab out of its bin's magazine. */
static void uncache(struct bin *bin, const struct slab *slab)
{
    struct magazine_entry *kept = bin->bottom;
    for (struct magazine_entry *entry = bin->bottom; entry < bin->top; entry++) {
        bool of_slab = entry->state >= slab->states && entry->state < slab->states + slab->count;
        if (!of_slab)
            *kept++ = *entry;
    }
    bin->top = kept;
}

/* Turns all REMOTE blocks of a slab FREE; returns their number. */
static size_t take_remote(struct slab *slab)
{
    size_t taken = 0;
    for (size_t first = 0; first < slab->count; first += STATES_GROUP) {
        uint64_t remote = states_match(slab->states + first, BLOCK_REMOTE);
        if (remote == 0)
            continue;
        taken += (size_t)__builtin_popcountll(remote);
        for (; remote != 0; remote &= remote - 1) {
            size_t number = first + lowest_bit(remote);
            /* acquire: what the freeing thread did to the block happens before its next life */
            (void)__atomic_load_n(&slab->states[number], __ATOMIC_ACQUIRE);
            free_places(slab, number);
        }
    }
    return taken;
}

void slab_release(struct slab *slab)
{
    uncache(slab->bin, slab);
    take_remote(slab);
    if (slab_is_listed(slab))
        list_remove(&slab->node);
    if (slab_is_current(slab))
        leave(slab->bin);
    slab->bin->units -= slab_units(slab);
    counter_add(&slab->bin->slabs_released, 1);
    PROBE(slab_released, slab->base, slab->block_size);
    heap_set_give(slab);
}

/* Looks whether a slab that is not current is empty; if it is not, when to look again. `hinted`: it
 * was looked at before, and is not empty if a block that was LIVE then still is. */
static bool is_empty(struct slab *slab, bool hinted)
{
    if (hinted && state_is_live(state_get(&slab->states[slab->live_hint]))) {
        slab->until_check = 1;
        return false;
    }
    size_t live = slab_live_blocks(slab);
    if (live != 0) {
        size_t first = states_find(slab->states, slab->count, BLOCK_LIVE);
        if (UNLIKELY(first == slab->count))
            first = states_find(slab->states, slab->count, BLOCK_WIDE);
        if (UNLIKELY(first == slab->count))
            first = states_find(slab->states, slab->count, BLOCK_SAMPLED);
        /* count: another thread has freed it meanwhile. A wrong hint only costs a look */
        slab->live_hint = (uint16_t)min_size(first, slab->count - 1u);
        slab->until_check = give_backs_until_empty(slab->bin, live);
        return false;
    }
    return true;
}

void slab_check(struct slab *slab)
{
    if (!is_shared(slab)) {
        ASSERT(!state_is_live(state_get(&slab->states[0])));
        slab_release(slab);
        return;
    }
    if (slab_is_current(slab)) {
        slab->until_check = NEVER_CHECKED;
        return;
    }
    bool was_listed = slab_is_listed(slab);
    if (!was_listed)
        list_push_back(&slab->bin->partial, &slab->node);
    if (is_empty(slab, was_listed))
        slab_release(slab);
}

/* Counts blocks that became FREE, and looks at the slab when it is due. */
static void count_give_backs(struct slab *slab, size_t blocks)
{
    slab->until_check = slab->until_check > blocks ? slab->until_check - (uint32_t)blocks : 0;
    if (slab->until_check == 0)
        slab_check(slab);
}

uint8_t *slab_mark_sampled(void *block)
{
    struct slab *slab = heap_slab_of(heap_containing(block), block);
    size_t number;
    (void)slab_starts_block((size_t)((char *)block - slab->base), slab->reciprocal, &number);
    slab->sampled = true;
    state_set(&slab->states[number], BLOCK_SAMPLED);
    return &slab->states[number];
}

void slab_give_back(struct slab *slab, size_t number)
{
    free_places(slab, number);
    count_give_backs(slab, 1);
}

void slab_collect(struct slab *slab)
{
    size_t collected = take_remote(slab);
    counter_add(&slab_heap(slab)->set->collected_blocks, collected);
    bool purged = __atomic_load_n(&slab->purged_for_owner, __ATOMIC_ACQUIRE);
    if (UNLIKELY(purged)) {
        __atomic_store_n(&slab->purged_for_owner, false, __ATOMIC_RELAXED);
        slab->purged = true;
        slab->until_check = 0; /* how many there are is not known: it may be empty */
    }
    if (collected != 0 || purged)
        count_give_backs(slab, collected);
}

/* ---- resizing ---- */

bool slab_resize(struct slab *slab, struct bin *to)
{
    struct slab_geometry geometry = geometry_unpack(slab->geometry);
    size_t units = geometry.units;
    ASSERT(!is_shared(slab) && to->block_size > SLAB_SHARED_LIMIT);
    geometry.class = to->class;
    geometry.units = (unsigned)units_for(to->block_size);
    if (!heap_set_resize(slab, geometry))
        return false;
    if (slab_is_current(slab))
        leave_exhausted(slab->bin);
    slab->bin->units -= (uint32_t)units;
    to->units += geometry.units;
    set_bin(slab, to);
    return true;
}

/* ---- magazines ---- */

void bin_flush(struct bin *bin)
{
    while (bin->top != bin->bottom) {
        struct magazine_entry *entry = --bin->top;
        struct slab *slab = heap_slab_of(heap_containing(entry->block), entry->block);
        slab_give_back(slab, (size_t)(entry->state - slab->states));
    }
}

void bin_close_window(struct bin *bin)
{
    if (bin->window == 0)
        return;
    bin->slab->summary |= UINT64_C(1)
                          << ((size_t)(bin->window_states - bin->slab->states) / STATES_GROUP);
    bin->window = 0;
}

void bin_leave_slab(struct bin *bin)
{
    struct slab *slab = bin->slab;
    if (slab == NULL)
        return;
    bin_close_window(bin);
    leave(bin);
    if (slab->summary != 0 || slab->purged)
        slab_check(slab);
}

/* ---- rebuilding from the states ---- */

void slab_rebuild(struct slab *slab, struct bin *bin)
{
    slab_fill(slab, bin);
    slab->fresh_group = SLAB_MAX_BLOCKS / STATES_GROUP;
    bool in_wide = false;
    for (size_t i = 0; i < slab->count; i++) {
        uint8_t state = state_get(&slab->states[i]);
        in_wide = state == BLOCK_WIDE || (in_wide && state == BLOCK_REST);
        slab->wide = slab->wide || in_wide;
        bool sampled = state == BLOCK_SAMPLED || state == BLOCK_QUARANTINED;
        slab->sampled = slab->sampled || sampled;
        if (state != BLOCK_LIVE && !sampled && !in_wide)
            state_set(&slab->states[i], BLOCK_FREE);
    }
    slab->summary = states_summary(slab->states, slab->count, BLOCK_FREE);
    slab->until_check = 1;
    if (slab->summary != 0) {
        slab->until_check = (uint32_t)max_size(slab_live_blocks(slab), 1);
        list_push_back(&bin->partial, &slab->node);
    }
    bin->units += slab_units(slab);
}

/* ---- validity ---- */

bool slab_is_valid(const struct slab *slab)
{
    struct slab_geometry g = geometry_unpack(slab->geometry);
    if (g.class != slab->class || g.count != slab->count ||
        slab->block_size != size_class_sizes[g.class])
        return false;
    /* each place in the units has a state: a block's, or the sentinel (geometry_lines) */
    if ((size_t)(g.count + 1) * slab->block_size <= (size_t)g.units * UNIT_SIZE)
        return false;
    if (!is_shared(slab) && (slab->count != 1 || slab->until_check != 1))
        return false;
    bool current = slab_is_current(slab), listed = slab_is_listed(slab);
    if (listed && current)
        return false;
    uint64_t window = 0;
    if (current && slab->bin->window != 0)
        window = UINT64_C(1) << ((size_t)(slab->bin->window_states - slab->states) / STATES_GROUP);
    uint64_t has_free = states_summary(slab->states, slab->count, BLOCK_FREE);
    if ((has_free & ~(slab->summary | window)) != 0)
        return false;
    if (!current && !listed && (slab->summary != 0 || slab->purged || slab->until_check != 1))
        return false;
    for (size_t i = 0; i < slab->count; i++) {
        uint8_t state = state_get(&slab->states[i]);
        uint8_t before = i == 0 ? BLOCK_FREE : state_get(&slab->states[i - 1]);
        bool follows = before != BLOCK_FREE && before != BLOCK_CACHED && before != BLOCK_LIVE &&
                       before != BLOCK_SAMPLED && before != BLOCK_QUARANTINED;
        bool wide = state == BLOCK_WIDE || state == BLOCK_REST;
        if (state >= BLOCK_END || (state == BLOCK_REST && !follows) || (wide && !slab->wide) ||
            ((state == BLOCK_SAMPLED || state == BLOCK_QUARANTINED) && !slab->sampled))
            return false;
    }
    return true;
}

bool bin_is_valid(const struct bin *bin)
{
    if (bin->block_size == 0)
        return bin->top == bin->limit && bin->window == 0 && bin->slab == NULL;
    if (bin->top < bin->bottom || bin->top > bin->limit)
        return false;
    for (const struct magazine_entry *entry = bin->bottom; entry < bin->top; entry++)
        if (state_get(entry->state) != BLOCK_CACHED)
            return false;
    for (uint64_t left = bin->window; left != 0; left &= left - 1)
        if (state_get(&bin->window_states[lowest_bit(left)]) != BLOCK_FREE)
            return false;
    for (struct list_node *node = list_first(&bin->partial); node != NULL;
         node = list_next(&bin->partial, node)) {
        const struct slab *slab = CONTAINER_OF(node, struct slab, node);
        if (slab->bin != bin || (slab->summary == 0 && !slab->purged) || !slab_is_valid(slab))
            return false;
    }
    return bin->slab == NULL || (bin->slab->bin == bin && slab_is_valid(bin->slab));
}
