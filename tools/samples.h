/*
 * What a process's heap profile has recorded (lib/modes/profile.h), copied and checked: every index
 * leads to something, every figure is finite and not negative.
 */
#ifndef ACRE_TOOLS_SAMPLES_H
#define ACRE_TOOLS_SAMPLES_H

#include "memory.h"

/* A live block. */
struct sample {
    uint64_t address, size; /* bytes of the block */
    double weight;          /* blocks that it stands for */
    uint64_t time;          /* ms of the process's monotonic clock, when it was allocated */
    uint32_t site;          /* index */
    int32_t thread;         /* id */
};

/* What was allocated with one stack and one size; site 0: all whose stack was lost. */
struct sample_site {
    uint32_t stack; /* index */
    uint64_t size;
    double blocks, bytes;           /* allocated in all, estimates */
    double peak_blocks, peak_bytes; /* live at the peak, which may be now */
};

/* frames[first .. first+depth-1], the innermost first. */
struct sample_stack {
    uint32_t first, depth;
};

struct samples {
    uint64_t interval;                                   /* bytes; 0: no new samples are taken */
    uint64_t first_interval;                             /* as it was asked for */
    uint32_t session;                                    /* number of starts */
    uint64_t started_at, stopped_at, marked_at, peak_at; /* ms; 0: not yet */
    uint64_t now; /* likewise; of a core: the latest time in it */
    double peak_bytes;
    uint64_t taken, ended, thinned, lost_stacks;
    struct sample *live;
    struct sample_site *sites;
    struct sample_stack *stacks;
    uint64_t *frames; /* return addresses */
    size_t live_count, site_count, stack_count, frame_count;
    size_t changed; /* samples left out, since they changed each time they were read */
    bool damaged;   /* some of it was impossible or unreadable, and was left out */
};

/* Reads the profile's figures without its tables, which costs one read. False if they cannot be
 * read. */
bool samples_head(struct memory *memory, struct samples *samples);

/* Reads all. False, with a message, if the profile was never started or cannot be read. */
bool samples_read(struct memory *memory, struct samples *samples);

/* The process's monotonic clock now, in ms. */
uint64_t samples_clock(const struct memory *memory);

void samples_free(struct samples *samples);

#endif
