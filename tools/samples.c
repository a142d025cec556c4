/*
 * The heap profile of a process, copied: see samples.h.
 *
 * The process goes on meanwhile. A slot counts if it was the same in two copies; what it leads to
 * was there before it. The figures of the peak count if the word `changing` was even, and the same,
 * before and after.
 */
#define _GNU_SOURCE 1
#include "samples.h"

#include "array.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MOST_ENTRIES = 1 << 24, /* of each table; the option's own limit is lower */
    MOST_FRAMES = 1 << 27,
    MOST_DEPTH = 1024,       /* frames of a stack */
    ENTRY_SIZE = 256,        /* bytes of an entry, at most */
    HEAD_SIZE = 1024,        /* of struct profile, at most */
    PIECE = 1 << 20,         /* bytes that are read at once */
    TRIES = 8,               /* how often a slot, or the peak, is read */
    PAUSE = 2 * 1000 * 1000, /* ns between tries for the peak */
    MS = 1000,               /* in a second */
    NS_OF_MS = 1000 * 1000,
};

/* A field of the structure in bytes[0..size-1]; 0 if it does not lie in these. */
static uint64_t pick(const struct view *view, const uint8_t *bytes, size_t size,
                     enum acre_field_id field)
{
    const struct acre_field *at = &view->root.fields[field];
    uint32_t word;
    uint64_t number;
    if (at->offset > size || at->size > size - at->offset)
        return 0;
    if (at->size == sizeof(word)) {
        memcpy(&word, bytes + at->offset, sizeof(word));
        return word;
    }
    if (at->size != sizeof(number))
        return 0;
    memcpy(&number, bytes + at->offset, sizeof(number));
    return number;
}

/* The same, a finite number from 0 on. */
static double pick_double(const struct view *view, const uint8_t *bytes, size_t size,
                          enum acre_field_id field)
{
    uint64_t bits = pick(view, bytes, size, field);
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number >= 0 && number < 1e18 ? number : 0;
}

/* ---- the head ---- */

struct tables {
    uint64_t slots, sites, stacks, frames; /* addresses */
    size_t slot_count, site_count, stack_count, frame_count;
    uint32_t changing;
};

/* The difference of the process's monotonic clock from this program's, in ms. */
static int64_t clock_offset(pid_t pid)
{
    char path[64], line[128];
    int64_t offset = 0;
    for (int own = 0; own < 2; own++) {
        if (own)
            strcpy(path, "/proc/self/timens_offsets");
        else
            snprintf(path, sizeof(path), "/proc/%d/timens_offsets", (int)pid);
        FILE *file = fopen(path, "re");
        int64_t seconds, nanoseconds;
        while (file != NULL && fgets(line, sizeof(line), file) != NULL)
            if (sscanf(line, "monotonic %" SCNd64 " %" SCNd64, &seconds, &nanoseconds) == 2)
                offset += (own ? -1 : 1) * (seconds * MS + nanoseconds / NS_OF_MS);
        if (file != NULL)
            fclose(file);
    }
    return offset;
}

static size_t bounded(uint64_t used, uint64_t limit, size_t most)
{
    used = used < limit ? used : limit;
    return used < most ? (size_t)used : most;
}

/* Bytes of struct profile that have these fields. */
static size_t head_size(const struct view *view)
{
    size_t size = 0;
    for (int i = ACRE_FIELD_PROFILE_INTERVAL; i <= ACRE_FIELD_PROFILE_FRAMES; i++) {
        size_t end = (size_t)view->root.fields[i].offset + view->root.fields[i].size;
        size = size > end ? size : end;
    }
    return size < HEAD_SIZE ? size : HEAD_SIZE;
}

static bool read_head(struct memory *memory, struct samples *samples, struct tables *tables)
{
    struct view *view = &memory->view;
    uint8_t bytes[HEAD_SIZE];
    size_t size = head_size(view);
    uint64_t address = (uintptr_t)view->root.addresses[ACRE_AT_PROFILE];
    if (!view->read_now(view, address, bytes, size))
        return false;
#define PICK(name) pick(view, bytes, size, ACRE_FIELD_PROFILE_##name)
    samples->interval = PICK(INTERVAL);
    samples->first_interval = PICK(FIRST_INTERVAL);
    samples->session = (uint32_t)PICK(SESSION);
    samples->started_at = PICK(STARTED_AT);
    samples->stopped_at = PICK(STOPPED_AT);
    samples->marked_at = PICK(MARKED_AT);
    samples->peak_at = PICK(PEAK_AT);
    samples->peak_bytes = pick_double(view, bytes, size, ACRE_FIELD_PROFILE_PEAK_BYTES);
    samples->taken = PICK(TAKEN);
    samples->ended = PICK(ENDED);
    samples->thinned = PICK(THINNED);
    samples->lost_stacks = PICK(LOST_STACKS);
    *tables = (struct tables){
        .slots = PICK(SLOTS),
        .sites = PICK(SITES),
        .stacks = PICK(STACKS),
        .frames = PICK(FRAMES),
        .slot_count = bounded(PICK(SLOTS_USED), PICK(SLOT_LIMIT), MOST_ENTRIES),
        .site_count = bounded(PICK(SITES_USED), PICK(SITE_LIMIT), MOST_ENTRIES),
        .stack_count = bounded(PICK(STACKS_USED), PICK(STACK_LIMIT), MOST_ENTRIES),
        .frame_count = bounded(PICK(FRAMES_USED), PICK(FRAME_LIMIT), MOST_FRAMES),
        .changing = (uint32_t)PICK(CHANGING),
    };
#undef PICK
    return true;
}

bool samples_head(struct memory *memory, struct samples *samples)
{
    struct tables tables;
    return read_head(memory, samples, &tables);
}

/* ---- tables ---- */

/* Copies a table, piece by piece; *count is what could be read. Allocated. */
static uint8_t *copy_table(struct samples *samples, struct view *view, uint64_t address,
                           size_t entry, size_t *count)
{
    size_t size = *count * entry, done = 0, room = 0;
    uint8_t *bytes = NULL;
    while (done < size) {
        size_t part = size - done < PIECE ? size - done : PIECE;
        if (done + part > room) {
            room = room == 0 ? part : 2 * room;
            bytes = realloc(bytes, room);
            if (bytes == NULL)
                err(EXIT_FAILURE, NULL);
        }
        if (!view->read_now(view, address + done, bytes + done, part)) {
            samples->damaged = true;
            break;
        }
        done += part;
    }
    *count = done / entry;
    return bytes;
}

static void *make_table(size_t count, size_t size)
{
    void *table = calloc(count != 0 ? count : 1, size);
    if (table == NULL)
        err(EXIT_FAILURE, NULL);
    return table;
}

/* The size of an entry, at most ENTRY_SIZE; exits if it is none. */
static size_t entry_size(const struct memory *memory, enum acre_field_id field)
{
    size_t size = memory->view.root.fields[field].size;
    if (size == 0 || size > ENTRY_SIZE)
        errx(EXIT_FAILURE, "the profile of %s is damaged", memory->name);
    return size;
}

static struct sample parse_slot(const struct view *view, const uint8_t *bytes, size_t size)
{
    return (struct sample){
        .address = pick(view, bytes, size, ACRE_FIELD_PROFILE_SLOT_ADDRESS),
        .size = pick(view, bytes, size, ACRE_FIELD_PROFILE_SLOT_BYTES),
        .weight = pick_double(view, bytes, size, ACRE_FIELD_PROFILE_SLOT_WEIGHT),
        .time = pick(view, bytes, size, ACRE_FIELD_PROFILE_SLOT_TIME),
        .site = (uint32_t)pick(view, bytes, size, ACRE_FIELD_PROFILE_SLOT_SITE),
        .thread = (int32_t)pick(view, bytes, size, ACRE_FIELD_PROFILE_SLOT_THREAD),
    };
}

static bool is_same(const struct sample *a, const struct sample *b)
{
    return a->address == b->address && a->size == b->size && a->weight == b->weight &&
           a->time == b->time && a->site == b->site;
}

/* Reads a slot until it is twice the same. False if it never was. */
static bool settle_slot(struct view *view, uint64_t address, size_t size, struct sample *sample)
{
    uint8_t bytes[ENTRY_SIZE];
    for (int i = 0; i < TRIES; i++) {
        struct sample before = *sample;
        if (!view->read_now(view, address, bytes, size))
            return false;
        *sample = parse_slot(view, bytes, size);
        if (is_same(sample, &before))
            return true;
    }
    return false;
}

static void add_sample(struct samples *samples, struct sample sample)
{
    samples->live = array_grow(samples->live, samples->live_count, sizeof(sample));
    samples->live[samples->live_count++] = sample;
}

/* Reads a piece of the slots, of `size` bytes each. False if it cannot be read. */
static bool read_slot_piece(struct view *view, struct samples *samples, uint64_t address,
                            size_t size, size_t count)
{
    static uint8_t first[PIECE], second[PIECE];
    if (!view->read_now(view, address, first, count * size) ||
        !view->read_now(view, address, second, count * size))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct sample sample = parse_slot(view, first + i * size, size);
        struct sample again = parse_slot(view, second + i * size, size);
        if (!is_same(&sample, &again) && !settle_slot(view, address + i * size, size, &again)) {
            samples->changed++;
            continue;
        }
        if (again.address != 0)
            add_sample(samples, again);
    }
    return true;
}

static void read_slots(struct memory *memory, const struct tables *tables, struct samples *samples)
{
    size_t size = entry_size(memory, ACRE_FIELD_PROFILE_SLOT_SIZE);
    for (size_t done = 0, count; done < tables->slot_count; done += count) {
        count = tables->slot_count - done;
        count = count < PIECE / size ? count : PIECE / size;
        if (!read_slot_piece(&memory->view, samples, tables->slots + done * size, size, count)) {
            samples->damaged = true;
            return;
        }
    }
}

static void read_sites(struct memory *memory, const struct tables *tables, struct samples *samples)
{
    struct view *view = &memory->view;
    size_t size = entry_size(memory, ACRE_FIELD_PROFILE_SITE_SIZE), count = tables->site_count;
    uint8_t *bytes = copy_table(samples, view, tables->sites, size, &count), *at = bytes;
    free(samples->sites);
    samples->sites = make_table(count, sizeof(samples->sites[0]));
    samples->site_count = count;
    for (size_t i = 0; i < count; i++, at += size)
        samples->sites[i] = (struct sample_site){
            .stack = (uint32_t)pick(view, at, size, ACRE_FIELD_PROFILE_SITE_STACK),
            .size = pick(view, at, size, ACRE_FIELD_PROFILE_SITE_BLOCK),
            .blocks = pick_double(view, at, size, ACRE_FIELD_PROFILE_SITE_BLOCKS),
            .bytes = pick_double(view, at, size, ACRE_FIELD_PROFILE_SITE_BYTES),
            .peak_blocks = pick_double(view, at, size, ACRE_FIELD_PROFILE_SITE_PEAK_BLOCKS),
            .peak_bytes = pick_double(view, at, size, ACRE_FIELD_PROFILE_SITE_PEAK_BYTES),
        };
    free(bytes);
}

/* Reads the sites while no peak is being counted; gives up after some tries. */
static void settle_sites(struct memory *memory, struct tables *tables, struct samples *samples)
{
    const struct timespec pause = {0, PAUSE};
    for (int i = 0; i < TRIES; i++) {
        struct tables before = *tables;
        read_sites(memory, tables, samples);
        struct samples head;
        if (!read_head(memory, &head, tables))
            return;
        samples->peak_at = head.peak_at;
        samples->peak_bytes = head.peak_bytes;
        if (before.changing == tables->changing && before.changing % 2 == 0)
            return;
        nanosleep(&pause, NULL);
    }
}

static void read_stacks(struct memory *memory, const struct tables *tables, struct samples *samples)
{
    struct view *view = &memory->view;
    size_t size = entry_size(memory, ACRE_FIELD_PROFILE_STACK_SIZE), count = tables->stack_count;
    uint8_t *bytes = copy_table(samples, view, tables->stacks, size, &count), *at = bytes;
    samples->stacks = make_table(count, sizeof(samples->stacks[0]));
    samples->stack_count = count;
    for (size_t i = 0; i < count; i++, at += size)
        samples->stacks[i] = (struct sample_stack){
            .first = (uint32_t)pick(view, at, size, ACRE_FIELD_PROFILE_STACK_FIRST),
            .depth = (uint32_t)pick(view, at, size, ACRE_FIELD_PROFILE_STACK_DEPTH),
        };
    free(bytes);
    samples->frame_count = tables->frame_count;
    samples->frames = (uint64_t *)(void *)copy_table(samples, view, tables->frames,
                                                     sizeof(uint64_t), &samples->frame_count);
}

/* ---- all ---- */

/* Makes every index lead to something: a wrong one becomes 0, a wrong stack one without frames. */
static void check(struct samples *samples)
{
    for (size_t i = 0; i < samples->stack_count; i++) {
        struct sample_stack *stack = &samples->stacks[i];
        if (stack->depth <= MOST_DEPTH && stack->first <= samples->frame_count &&
            stack->depth <= samples->frame_count - stack->first)
            continue;
        stack->first = stack->depth = 0;
        samples->damaged = true;
    }
    if (samples->stack_count == 0) {
        free(samples->stacks);
        samples->stacks = make_table(1, sizeof(samples->stacks[0]));
        samples->stack_count = 1;
    }
    if (samples->site_count == 0) {
        free(samples->sites);
        samples->sites = make_table(1, sizeof(samples->sites[0]));
        samples->site_count = 1;
    }
    for (size_t i = 0; i < samples->site_count; i++)
        if (samples->sites[i].stack >= samples->stack_count) {
            samples->sites[i].stack = 0;
            samples->damaged = true;
        }
    for (size_t i = 0; i < samples->live_count; i++)
        if (samples->live[i].site >= samples->site_count) {
            samples->live[i].site = 0;
            samples->damaged = true;
        }
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t samples_clock(const struct memory *memory)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t ms = (int64_t)time.tv_sec * MS + time.tv_nsec / NS_OF_MS + clock_offset(memory->pid);
    return ms > 0 ? (uint64_t)ms : 1;
}

/* The time of the process's clock; of a core the latest time that is in it. */
static uint64_t time_now(const struct memory *memory, const struct samples *samples)
{
    uint64_t now = later(later(samples->started_at, samples->stopped_at),
                         later(samples->marked_at, samples->peak_at));
    for (size_t i = 0; i < samples->live_count; i++)
        now = later(now, samples->live[i].time);
    return memory->pid == 0 ? now : samples_clock(memory);
}

/* The process notes a peak if it is a tenth above the last one. What is live now may be above that,
 * and is the peak then. */
static void raise_peak(struct samples *samples)
{
    struct sample_site *site = samples->sites, *end = site + samples->site_count;
    double live = 0, peak = 0;
    for (size_t i = 0; i < samples->live_count; i++)
        live += samples->live[i].weight * (double)samples->live[i].size;
    for (; site < end; site++)
        peak += site->peak_bytes;
    if (live <= peak)
        return;
    samples->peak_at = samples->now;
    samples->peak_bytes = live;
    for (site = samples->sites; site < end; site++)
        site->peak_blocks = site->peak_bytes = 0;
    for (size_t i = 0; i < samples->live_count; i++) {
        const struct sample *sample = &samples->live[i];
        site = &samples->sites[sample->site];
        site->peak_blocks += sample->weight;
        site->peak_bytes += sample->weight * (double)sample->size;
    }
}

bool samples_read(struct memory *memory, struct samples *samples)
{
    struct tables tables;
    *samples = (struct samples){0};
    if (!read_head(memory, samples, &tables)) {
        warnx("the profile of %s cannot be read", memory->name);
        return false;
    }
    if (samples->session == 0 || tables.slots == 0) {
        warnx("%s (%s) has no profile%s", memory->name, memory->program,
              memory->pid != 0 ? ": \"acre-profile start PID\" starts one"
                               : ": it was not started before the process ended");
        return false;
    }
    read_slots(memory, &tables, samples);
    /* what the slots lead to is there by now */
    (void)read_head(memory, samples, &tables);
    settle_sites(memory, &tables, samples);
    read_stacks(memory, &tables, samples);
    check(samples);
    samples->now = time_now(memory, samples);
    raise_peak(samples);
    return true;
}

void samples_free(struct samples *samples)
{
    free(samples->live);
    free(samples->sites);
    free(samples->stacks);
    free(samples->frames);
}
