/* A profile added up: see sums.h. */
#define _GNU_SOURCE 1
#include "sums.h"

#include "array.h"

#include <err.h>
#include <stdlib.h>

static bool is_listed(const uint64_t *addresses, size_t count, uint64_t address)
{
    return count != 0 &&
           addresses[array_find(addresses, count, sizeof(addresses[0]), address)] == address;
}

static bool is_after_mark(const struct samples *samples, const struct sample *sample)
{
    return samples->marked_at != 0 && sample->time >= samples->marked_at;
}

/* ms. */
static uint64_t age_of(const struct samples *samples, const struct sample *sample)
{
    return sample->time < samples->now ? samples->now - sample->time : 0;
}

static bool is_wanted(const struct samples *samples, const struct sample *sample,
                      const struct sums_wanted *wanted)
{
    uint64_t age = age_of(samples, sample);
    return (!wanted->since_mark || is_after_mark(samples, sample)) && age >= wanted->older &&
           (wanted->newer == 0 || age < wanted->newer) &&
           (wanted->only == NULL || is_listed(wanted->only, wanted->only_count, sample->address));
}

static void add_amount(struct amount *to, struct amount amount)
{
    to->bytes += amount.bytes;
    to->blocks += amount.blocks;
}

static void add_sum(struct sum *to, const struct sum *sum)
{
    add_amount(&to->live, sum->live);
    add_amount(&to->all, sum->all);
    add_amount(&to->peak, sum->peak);
    add_amount(&to->since, sum->since);
    for (size_t i = 0; i < SUMS_AGES; i++)
        to->ages[i] += sum->ages[i];
    to->age += sum->age;
    to->pinned += sum->pinned;
}

static void add_sample(const struct samples *samples, const struct sample *sample, struct sum *sum)
{
    static const uint64_t limits[SUMS_AGES - 1] = {1000, 10000, 60000, 600000, 3600000}; /* ms */
    const struct amount amount = {sample->weight * (double)sample->size, sample->weight};
    uint64_t age = age_of(samples, sample);
    size_t step = 0;
    while (step < SUMS_AGES - 1 && age >= limits[step])
        step++;
    add_amount(&sum->live, amount);
    if (is_after_mark(samples, sample))
        add_amount(&sum->since, amount);
    sum->ages[step] += amount.bytes;
    sum->age += (double)age * amount.bytes;
}

/* Puts a size in its place among the sizes with most bytes; the last one goes if there is no room.
 */
static void add_size(struct sum *stack, struct sum_of_size added)
{
    for (size_t i = 0; i < SUMS_SIZES; i++) {
        if (added.bytes <= stack->sizes[i].bytes)
            continue;
        struct sum_of_size moved = stack->sizes[i];
        stack->sizes[i] = added;
        added = moved;
    }
}

size_t sums_stack(const struct samples *samples, size_t site)
{
    return site != 0 ? samples->sites[site].stack : samples->stack_count;
}

void sums_count(const struct samples *samples, const struct sums_wanted *wanted,
                const double *pinned, struct sums *sums)
{
    *sums = (struct sums){
        .samples = samples,
        .sites = calloc(samples->site_count, sizeof(sums->sites[0])),
        .stacks = calloc(samples->stack_count + 1, sizeof(sums->stacks[0])),
    };
    if (sums->sites == NULL || sums->stacks == NULL)
        err(EXIT_FAILURE, NULL);
    for (size_t i = 0; i < samples->live_count; i++) {
        const struct sample *sample = &samples->live[i];
        if (!is_wanted(samples, sample, wanted))
            continue;
        add_sample(samples, sample, &sums->sites[sample->site]);
        sums->sites[sample->site].pinned += pinned != NULL ? pinned[i] : 0;
        sums->live_samples++;
    }
    for (size_t i = 0; i < samples->site_count; i++) {
        const struct sample_site *site = &samples->sites[i];
        struct sum *sum = &sums->sites[i], *stack = &sums->stacks[sums_stack(samples, i)];
        sum->all = (struct amount){site->bytes, site->blocks};
        sum->peak = (struct amount){site->peak_bytes, site->peak_blocks};
        add_sum(stack, sum);
        add_size(stack, (struct sum_of_size){sum->live.bytes, site->size});
        add_sum(&sums->total, sum);
    }
}

void sums_free(struct sums *sums)
{
    free(sums->sites);
    free(sums->stacks);
}
