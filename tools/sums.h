/*
 * A profile added up, by site and by stack. Every figure that acre-profile gives is counted here
 * from the samples, so that all formats agree. All figures are estimates; with the interval 1 each
 * block is sampled and they are exact.
 */
#ifndef ACRE_TOOLS_SUMS_H
#define ACRE_TOOLS_SUMS_H

#include "samples.h"

enum {
    SUMS_AGES = 6,  /* live bytes by age: below 1 s, 10 s, 1 min, 10 min, 1 h, and above */
    SUMS_SIZES = 5, /* of a stack: the sizes with most live bytes */
};

/* Which figure of each stack counts. */
enum sums_kind { SUMS_LIVE, SUMS_ALLOCATED, SUMS_PEAK };

/* Which of the live blocks count. */
struct sums_wanted {
    enum sums_kind kind;
    bool since_mark;      /* those that were allocated after the mark */
    uint64_t older;       /* ms; those at least this old */
    uint64_t newer;       /* ms; those younger than this; 0: any */
    const uint64_t *only; /* sorted addresses of those that count; NULL: all */
    size_t only_count;
};

struct amount {
    double bytes, blocks;
};

/* What is live in blocks of one size. */
struct sum_of_size {
    double bytes;
    uint64_t size; /* of a block */
};

struct sum {
    struct amount live;  /* that were wanted */
    struct amount all;   /* allocated since the profile was started */
    struct amount peak;  /* live at the peak */
    struct amount since; /* live, allocated after the mark */
    double ages[SUMS_AGES];
    double age;                           /* ms, times bytes */
    double pinned;                        /* bytes; see pinned.h */
    struct sum_of_size sizes[SUMS_SIZES]; /* of a stack: those with most bytes, in that order */
};

struct sums {
    const struct samples *samples;
    struct sum *sites;   /* of each site; `sizes` are unused */
    struct sum *stacks;  /* of each stack, and of no stack: stacks[stack_count] */
    size_t live_samples; /* that were wanted */
    struct sum total;
};

/* `pinned` holds what each sample pins, in bytes; NULL: not asked for. */
void sums_count(const struct samples *samples, const struct sums_wanted *wanted,
                const double *pinned, struct sums *sums);

/* The index in sums->stacks of a site's stack. */
size_t sums_stack(const struct samples *samples, size_t site);

/* The figure that counts. */
static inline struct amount sums_amount(const struct sum *sum, enum sums_kind kind)
{
    return kind == SUMS_LIVE ? sum->live : kind == SUMS_PEAK ? sum->peak : sum->all;
}

void sums_free(struct sums *sums);

#endif
