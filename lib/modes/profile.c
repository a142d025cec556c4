/* The heap profile: see profile.h. */
#include "modes/profile.h"

#include "base/lock.h"
#include "base/option.h"
#include "base/os.h"
#include "base/probe.h"
#include "base/report.h"
#include "base/size_class.h"
#include "base/chance.h"
#include "modes/stack.h"

#include <errno.h>
#include <string.h>

enum {
    STACK_DEPTH = 64,    /* frames of a stack, at most; the outermost ones are left out */
    SLOTS_LEAST = 64,    /* of option profile_samples */
    SLOTS_PER_SITE = 2,  /* room for samples for each site that there is room for ... */
    SLOTS_PER_STACK = 4, /* ... and for each stack ... */
    FRAMES_PER_SLOT = 4, /* ... so that there are 16 frames for each stack */
    MODE_SHIFT = 48,     /* of the mode word: bits above the interval */
};

/* What is live is a new peak if it is more than the last one times this. */
#define PEAK_GROWTH 1.1

struct profile profile;
START_DATA uint64_t profile_mode;
START_DATA uint64_t profile_samples;
START_DATA uint64_t profile_followed;
__thread struct profile_thread profile_thread;

/* [lock] Hash tables of slots, sites and stacks, and the list of unused slots: rebuild() can make
 * them again. */
static struct {
    struct lock lock;
    uint32_t unused; /* slots that are not in use: index + 1 of the first; 0: none */
    uint32_t bits;   /* of a bucket's number */
    uint32_t *slots, *sites, *stacks; /* buckets: index + 1 of the first; 0: none */
    void *memory;                     /* the mapping */
    size_t bytes;                     /* of it */
} own = {.lock = {.rank = LOCK_RANK_PROFILE}};

/* ---- the mode ---- */

static double random_number(void)
{
    if (profile_thread.generator == 0)
        profile_thread.generator = os_random();
    return chance_number(&profile_thread.generator);
}

static uint64_t interval_of(uint64_t mode)
{
    return mode & ((UINT64_C(1) << MODE_SHIFT) - 1);
}

static uint64_t mode_word(void)
{
    return (uint64_t)profile.session << MODE_SHIFT | profile.interval;
}

/* The probability that a block of `size` bytes is a sample. */
static double chance_at(uint64_t size, uint64_t interval)
{
    return chance_of((double)size / (double)interval);
}

/* Draws the bytes until the next sample. With an interval of 1 each block is one. */
static void draw_countdown(void)
{
    uint64_t interval = interval_of(profile_thread.mode);
    profile_thread.countdown =
        interval == 1 ? 1 : (uint64_t)(chance_minus_log(random_number()) * (double)interval) + 1;
}

bool profile_draw(size_t bytes)
{
    uint64_t mode = __atomic_load_n(&profile_mode, __ATOMIC_RELAXED);
    if (mode == 0)
        return false;
    if (profile_thread.mode != mode) {
        profile_thread.mode = mode;
        draw_countdown();
    }
    if (profile_thread.countdown > bytes) {
        profile_count(bytes);
        return false;
    }
    draw_countdown();
    return true;
}

/* ---- buckets ---- */

static uint32_t *bucket_of(uint32_t *buckets, uint64_t key)
{
    /* Fibonacci hashing (Knuth, volume 3, 6.4): 2^64 over the golden ratio */
    return &buckets[key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - own.bits)];
}

static uint32_t *slot_bucket(uint64_t address)
{
    return bucket_of(own.slots, address);
}

static uint32_t *site_bucket(uint64_t stack, uint64_t size)
{
    return bucket_of(own.sites, stack << 32 ^ size);
}

static void link_slot(uint32_t slot)
{
    uint32_t *bucket = slot_bucket(profile.slots[slot].address);
    profile.slots[slot].next = *bucket;
    *bucket = slot + 1;
}

static void link_site(uint32_t site)
{
    uint32_t *bucket = site_bucket(profile.sites[site].stack, profile.sites[site].size);
    profile.sites[site].next = *bucket;
    *bucket = site + 1;
}

static void link_stack(uint32_t stack)
{
    uint32_t *bucket = bucket_of(own.stacks, profile.stacks[stack].hash);
    profile.stacks[stack].next = *bucket;
    *bucket = stack + 1;
}

/* Stores a word after all that it announces: for readers outside and children of fork. */
static void publish(uint32_t *count, uint32_t value)
{
    __atomic_store_n(count, value, __ATOMIC_RELEASE);
}

/* ---- stacks and sites ---- */

static uint32_t hash_of(const uintptr_t *frames, size_t depth)
{
    uint64_t hash = depth;
    for (size_t i = 0; i < depth; i++)
        hash = (hash ^ frames[i]) * UINT64_C(0x9e3779b97f4a7c15) ^ hash >> 29;
    return (uint32_t)(hash >> 32);
}

/* The stack's index; 0 if there is none, or no room for it. */
static uint32_t find_stack(const uintptr_t *frames, size_t depth)
{
    uint32_t hash = hash_of(frames, depth), number = profile.stacks_used;
    for (uint32_t i = *bucket_of(own.stacks, hash); i != 0; i = profile.stacks[i - 1].next) {
        const struct profile_stack *stack = &profile.stacks[i - 1];
        if (stack->hash == hash && stack->depth == depth &&
            memcmp(&profile.frames[stack->first], frames, depth * sizeof(*frames)) == 0)
            return i - 1;
    }
    if (depth == 0 || number == profile.stack_limit ||
        depth > profile.frame_limit - profile.frames_used)
        return 0;
    uint32_t first = profile.frames_used;
    memcpy(&profile.frames[first], frames, depth * sizeof(*frames));
    profile.stacks[number] = (struct profile_stack){first, (uint32_t)depth, hash, 0};
    publish(&profile.frames_used, first + (uint32_t)depth);
    publish(&profile.stacks_used, number + 1);
    link_stack(number);
    return number;
}

/* The site's index; 0 if the stack was lost, or if there is no room for it. */
static uint32_t find_site(uint32_t stack, uint64_t size)
{
    uint32_t number = profile.sites_used;
    if (stack == 0)
        return 0;
    for (uint32_t i = *site_bucket(stack, size); i != 0; i = profile.sites[i - 1].next)
        if (profile.sites[i - 1].stack == stack && profile.sites[i - 1].size == size)
            return i - 1;
    if (number == profile.site_limit)
        return 0;
    profile.sites[number] = (struct profile_site){.stack = stack, .size = size};
    publish(&profile.sites_used, number + 1);
    link_site(number);
    return number;
}

/* ---- slots ---- */

static void add_live(const struct profile_slot *slot, double blocks)
{
    profile.live_blocks += blocks;
    profile.live_bytes += blocks * (double)slot->size;
}

/* Sums up the live samples; with `peak` also at each site, as its part of the peak. */
static void count_live(bool peak)
{
    profile.live_blocks = profile.live_bytes = 0;
    for (uint32_t i = 0; peak && i < profile.sites_used; i++)
        profile.sites[i].peak_blocks = profile.sites[i].peak_bytes = 0;
    for (uint32_t i = 0; i < profile.slots_used; i++) {
        const struct profile_slot *slot = &profile.slots[i];
        if (slot->address == 0)
            continue;
        add_live(slot, slot->weight);
        if (peak) {
            profile.sites[slot->site].peak_blocks += slot->weight;
            profile.sites[slot->site].peak_bytes += slot->weight * (double)slot->size;
        }
    }
}

/* Records what is live as the peak. */
static void count_peak(void)
{
    publish(&profile.changing, profile.changing | 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    count_live(true);
    profile.peak_bytes = profile.live_bytes;
    profile.peak_at = os_now_ms();
    publish(&profile.changing, profile.changing + 1);
}

/* Puts a slot among those not in use. */
static void set_unused(uint32_t slot)
{
    profile.slots[slot].next = own.unused;
    own.unused = slot + 1;
}

/* Ends the sample in the slot that *link, in its bucket, leads to. */
static void give_up(uint32_t *link)
{
    uint32_t number = *link - 1;
    struct profile_slot *slot = &profile.slots[number];
    __atomic_store_n(&slot->address, 0, __ATOMIC_RELEASE);
    *link = slot->next;
    set_unused(number);
    __atomic_store_n(&profile_samples, profile_samples - 1, __ATOMIC_RELAXED);
    add_live(slot, -slot->weight);
    if (profile_samples == 0)
        profile.live_blocks = profile.live_bytes = 0; /* no rounding adds up for ever */
}

/* Thins one sample, taken at this interval or a shorter one: it stays with the probability
 * p(new) / p(old), and then has the weight 1 / p(new). False if it does not stay. */
static bool survives_thinning(struct profile_slot *slot)
{
    double p = chance_at(slot->size, profile.interval);
    if (random_number() > p * slot->weight)
        return false;
    slot->weight = 1 / p;
    return true;
}

/* Thins all samples to the interval as it is now. */
static void thin_all(void)
{
    for (uint64_t bucket = 0; bucket < UINT64_C(1) << own.bits; bucket++)
        for (uint32_t *link = &own.slots[bucket]; *link != 0;) {
            struct profile_slot *slot = &profile.slots[*link - 1];
            if (survives_thinning(slot)) {
                link = &slot->next;
            } else {
                give_up(link);
                profile.thinned++;
            }
        }
    count_live(false);
}

/* A slot that is not in use; doubles the interval until there is one. */
static uint32_t take_slot(void)
{
    while (own.unused == 0 && profile.slots_used == profile.slot_limit) {
        profile.interval *= 2;
        __atomic_store_n(&profile_mode, mode_word(), __ATOMIC_RELAXED);
        thin_all();
    }
    if (own.unused == 0) {
        publish(&profile.slots_used, profile.slots_used + 1);
        return profile.slots_used - 1;
    }
    uint32_t slot = own.unused - 1;
    own.unused = profile.slots[slot].next;
    return slot;
}

/* ---- the lock ---- */

/* Makes all again that follows from the mode word, slots, sites and stacks. In a child of fork,
 * after a lost thread has held the lock. */
static void rebuild(void)
{
    uint64_t samples = 0;
    own.unused = 0;
    bool peak = profile.changing % 2 != 0;
    publish(&profile.changing, profile.changing + peak);
    if (profile_mode == 0)
        profile.interval = 0;
    else /* the interval may have doubled */
        __atomic_store_n(&profile_mode, mode_word(), __ATOMIC_RELAXED);
    size_class_divert(profile_mode != 0);
    if (profile.slots == NULL) {
        __atomic_store_n(&profile_samples, 0, __ATOMIC_RELAXED);
        return;
    }
    memset(own.slots, 0, sizeof(uint32_t) * 3 << own.bits);
    for (uint32_t i = 0; i < profile.slots_used; i++) {
        if (profile.slots[i].address == 0) {
            set_unused(i);
        } else {
            link_slot(i);
            samples++;
        }
    }
    /* at once: where it is 0 a thread that frees does not take the lock */
    __atomic_store_n(&profile_samples, samples, __ATOMIC_RELAXED);
    for (uint32_t i = 1; i < profile.sites_used; i++)
        link_site(i);
    for (uint32_t i = 1; i < profile.stacks_used; i++)
        link_stack(i);
    profile.ended = profile.taken - profile.thinned - profile_samples;
    if (profile_mode != 0)
        thin_all();
    if (peak)
        count_peak();
    else
        count_live(false);
}

static void lock(void)
{
    if (UNLIKELY(lock_acquire(&own.lock)))
        rebuild();
}

static void unlock(void)
{
    lock_release(&own.lock);
}

/* ---- samples ---- */

void profile_add(const void *p, size_t size)
{
    uintptr_t frames[STACK_DEPTH];
    uint64_t mode = profile_thread.mode;
    size_t depth = stack_take(frames, STACK_DEPTH);
    int thread = os_thread_id();
    lock();
    struct profile_slot sample = {
        .size = size,
        .weight = 1 / chance_at(size, interval_of(mode)),
        .time = os_now_ms(),
        .thread = thread,
    };
    /* the profile may have been stopped, or started anew, or its interval doubled meanwhile */
    if (profile_mode >> MODE_SHIFT != mode >> MODE_SHIFT)
        goto done;
    uint32_t number = take_slot();
    if (profile_mode != mode && !survives_thinning(&sample)) {
        set_unused(number);
        goto done;
    }
    sample.site = find_site(find_stack(frames, depth), size);
    profile.lost_stacks += sample.site == 0;
    profile.taken++;
    profile.sites[sample.site].blocks += sample.weight;
    profile.sites[sample.site].bytes += sample.weight * (double)size;
    profile.slots[number] = sample;
    __atomic_store_n(&profile.slots[number].address, (uintptr_t)p, __ATOMIC_RELEASE);
    link_slot(number);
    __atomic_store_n(&profile_samples, profile_samples + 1, __ATOMIC_RELAXED);
    add_live(&sample, sample.weight);
    if (profile.live_bytes > profile.peak_bytes * PEAK_GROWTH)
        count_peak();
    PROBE3(sample, p, size, (uint64_t)(sample.weight + 0.5));
done:
    unlock();
}

/* What leads to the slot of the block at p, in its bucket; to 0 if it is no sample. */
static uint32_t *find_slot(const void *p)
{
    static uint32_t none;
    if (profile_samples == 0)
        return &none;
    uint32_t *link = slot_bucket((uintptr_t)p);
    while (*link != 0 && profile.slots[*link - 1].address != (uintptr_t)p)
        link = &profile.slots[*link - 1].next;
    return link;
}

void profile_end_sample(const void *p)
{
    lock();
    uint32_t *link = find_slot(p);
    if (*link != 0) {
        give_up(link);
        profile.ended++;
    }
    unlock();
}

size_t profile_stack_of(const void *p, uintptr_t *frames, size_t most, int *thread)
{
    size_t depth = 0;
    lock();
    uint32_t slot = *find_slot(p);
    if (slot != 0) {
        const struct profile_slot *sample = &profile.slots[slot - 1];
        const struct profile_stack *stack = &profile.stacks[profile.sites[sample->site].stack];
        depth = min_size(stack->depth, most);
        memcpy(frames, &profile.frames[stack->first], depth * sizeof(*frames));
        *thread = sample->thread;
    }
    unlock();
    return depth;
}

/* ---- starting and stopping ---- */

/* The parts of the mapping, in their order. */
enum part { PART_SLOTS, PART_SITES, PART_STACKS, PART_FRAMES, PART_BUCKETS, PARTS };

/* Puts the parts one after the other: *ends are where each ends. */
static void lay_out(uint32_t slots, uint32_t bits, size_t ends[PARTS])
{
    const size_t sizes[PARTS] = {
        [PART_SLOTS] = slots * sizeof(struct profile_slot),
        [PART_SITES] = slots / SLOTS_PER_SITE * sizeof(struct profile_site),
        [PART_STACKS] = slots / SLOTS_PER_STACK * sizeof(struct profile_stack),
        [PART_FRAMES] = (size_t)slots * FRAMES_PER_SLOT * sizeof(uintptr_t),
        [PART_BUCKETS] = sizeof(uint32_t) * 3 << bits,
    };
    size_t end = 0;
    for (int part = 0; part < PARTS; part++)
        ends[part] = end = align_up(end + sizes[part], CACHE_LINE);
}

/* Makes an empty profile in `memory`, for the next session. Needs the lock, and no mode. A child
 * forked in between may have no mapping, never one with the bytes of another. */
static void clear(char *memory, size_t bytes, uint32_t slots, uint32_t bits,
                  const size_t ends[PARTS])
{
    own.memory = NULL;
    publish(&profile.changing, profile.changing | 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&profile.slots, NULL, __ATOMIC_SEQ_CST);
    __atomic_store_n(&profile_samples, 0, __ATOMIC_RELAXED);
    profile = (struct profile){
        .session = profile.session + 1,
        .changing = profile.changing,
        .started_at = os_now_ms(),
        .slot_limit = slots,
        .site_limit = slots / SLOTS_PER_SITE,
        .stack_limit = slots / SLOTS_PER_STACK,
        .frame_limit = slots * FRAMES_PER_SLOT,
        .sites_used = 1,
        .stacks_used = 1,
        .sites = (void *)(memory + ends[PART_SLOTS]),
        .stacks = (void *)(memory + ends[PART_SITES]),
        .frames = (void *)(memory + ends[PART_STACKS]),
    };
    own.unused = 0;
    own.bits = bits;
    own.slots = (void *)(memory + ends[PART_FRAMES]);
    own.sites = own.slots + (UINT64_C(1) << bits);
    own.stacks = own.sites + (UINT64_C(1) << bits);
    own.bytes = bytes;
    __atomic_store_n(&profile.slots, (void *)memory, __ATOMIC_SEQ_CST);
    own.memory = memory;
    publish(&profile.changing, profile.changing + 1);
}

/* In this order: a child that is forked in between rebuilds, and diverts the table by the mode
 * word. */
static void switch_on(uint64_t interval)
{
    profile.interval = profile.first_interval = interval;
    __atomic_store_n(&profile_mode, mode_word(), __ATOMIC_SEQ_CST);
    size_class_divert(true);
}

static void switch_off(void)
{
    size_class_divert(false);
    __atomic_store_n(&profile_mode, 0, __ATOMIC_SEQ_CST);
    profile.interval = 0;
    profile.stopped_at = os_now_ms();
}

/* In this order: a child forked in between does once more what has just been done. */
static void set_option(uint64_t interval)
{
    __atomic_store_n(&option_table[OPTION_PROFILE].value, interval, __ATOMIC_SEQ_CST);
    __atomic_store_n(&profile_followed, interval, __ATOMIC_SEQ_CST);
}

/* Notes what was done: `interval` as the option says it (which says something else already if a
 * writer outside has changed it meanwhile), or on the program's own account, and the option says so
 * from now on. */
static void note(uint64_t interval, bool follows)
{
    if (follows)
        __atomic_store_n(&profile_followed, interval, __ATOMIC_RELAXED);
    else
        set_option(interval);
}

/* Takes the lock. False, without it, if another thread has followed the option meanwhile, or what
 * seemed to be another value was a change in progress. */
static bool lock_to(uint64_t interval, bool follows)
{
    lock();
    bool wanted =
        !follows || (option_value(OPTION_PROFILE) == interval && profile_followed != interval);
    if (!wanted)
        unlock();
    return wanted;
}

static int start(size_t interval, bool follows)
{
    uint32_t slots = (uint32_t)max_size(option_value(OPTION_PROFILE_SAMPLES), SLOTS_LEAST);
    uint32_t bits = highest_bit(slots);
    size_t ends[PARTS];
    if (interval == 0 || interval > option_table[OPTION_PROFILE].most)
        return EINVAL;
    lay_out(slots, bits, ends);
    size_t bytes = align_up(ends[PART_BUCKETS], os_page_size());
    char *memory = os_map(bytes);
    if (memory == NULL)
        return ENOMEM;
    os_huge_pages(memory, bytes, false); /* it fills slowly */
    if (!lock_to(interval, follows)) {
        (void)os_unmap(memory, bytes);
        return 0;
    }
    if (profile_mode != 0)
        switch_off();
    char *old = own.memory;
    size_t old_bytes = own.bytes;
    clear(memory, bytes, slots, bits, ends);
    switch_on(interval);
    note(interval, follows);
    unlock();
    if (old != NULL)
        (void)os_unmap(old, old_bytes);
    return 0;
}

static int stop(bool follows)
{
    if (!lock_to(0, follows))
        return 0;
    bool was_on = profile_mode != 0;
    if (was_on)
        switch_off();
    note(0, follows);
    unlock();
    return was_on ? 0 : EINVAL;
}

int profile_start(size_t interval)
{
    return start(interval, false);
}

int profile_stop(void)
{
    return stop(false);
}

int profile_mark(void)
{
    lock();
    bool is_on = profile_mode != 0;
    if (is_on)
        __atomic_store_n(&profile.marked_at, os_now_ms(), __ATOMIC_RELAXED);
    unlock();
    return is_on ? 0 : EINVAL;
}

void profile_follow_option(void)
{
    uint64_t wanted = option_value(OPTION_PROFILE);
    if (wanted == 0) {
        (void)stop(true);
    } else if (start(wanted, true) != 0) {
        (void)profile_stop();
        report_warning("profile: there is no memory for its samples");
    }
}

/* ---- validity ---- */

/* True if a slot that is in use is right. */
static bool slot_is_valid(const struct profile_slot *slot)
{
    const struct profile_site *site = &profile.sites[slot->site];
    return slot->site < profile.sites_used && slot->weight >= 1 &&
           (slot->site == 0 || (site->size == slot->size && site->stack < profile.stacks_used));
}

static bool own_is_valid(void)
{
    double bytes = 0;
    uint64_t linked = 0, unused = 0;
    for (uint64_t bucket = 0; bucket < UINT64_C(1) << own.bits; bucket++)
        for (uint32_t i = own.slots[bucket]; i != 0; i = profile.slots[i - 1].next) {
            const struct profile_slot *slot = &profile.slots[i - 1];
            if (i > profile.slots_used || slot->address == 0 || !slot_is_valid(slot) ||
                slot_bucket(slot->address) != &own.slots[bucket])
                return false;
            bytes += slot->weight * (double)slot->size;
            linked++;
        }
    for (uint32_t i = own.unused; i != 0; i = profile.slots[i - 1].next) {
        if (i > profile.slots_used || profile.slots[i - 1].address != 0)
            return false;
        unused++;
    }
    double difference = bytes - profile.live_bytes, most = 1 + bytes / (1 << 20);
    return linked == profile_samples && linked + unused == profile.slots_used &&
           profile.taken == profile.ended + profile.thinned + linked && difference <= most &&
           -difference <= most;
}

bool profile_is_valid(void)
{
    lock();
    bool valid = profile.slots == NULL || own_is_valid();
    unlock();
    return valid;
}
