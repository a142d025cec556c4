/*
 * What was in use lately, and how much idle memory may stay therefore. Two holders of memory each
 * have one: the LARGE list, and the heaps of an arena. Beside what an option lets them keep in any
 * case, at most
 *
 *   min(max(share, again), 5/4 x peak - used)
 *
 * idle bytes stay.
 *
 * share  what the holder allows
 * used   bytes that are in use now
 * peak   the most bytes that were in use in the last one to two periods, as seen when something is
 *        freed; min is 0 where `used` is above 5/4 of it
 * again  the bytes that went back because of the bound in these periods, and then were lacking
 *
 * So memory that is freed once goes down to what the option says at once, and what is freed and
 * taken over and over, which costs a page fault each time, stays; the sum of both never passes the
 * recent peak by more than a quarter, for fragmentation. A period is OPTION_DECAY: what has been
 * idle for longer goes back whatever the bound is.
 *
 * Pure functions on one structure; lock: the caller's.
 */
#ifndef ACRE_LIB_RECENT_H
#define ACRE_LIB_RECENT_H

#include "base/base.h"

/* Bytes of one period. */
struct recent_period {
    size_t peak;  /* the most that were in use */
    size_t gone;  /* that went because of the bound, less `again` */
    size_t again; /* of those, that were taken again */
};

/* All zero is valid. */
struct recent {
    struct recent_period now;    /* since `since` */
    struct recent_period before; /* the one before that; all 0 if nothing was freed in it */
    uint64_t since;              /* ms */
};

/* To be called before something is freed, while `used` bytes are in use. Times in ms. */
void recent_before_free(struct recent *recent, size_t used, uint64_t now, uint64_t period);

/* `bytes` bytes went back because of the bound. */
void recent_count_gone(struct recent *recent, size_t bytes);

/* `bytes` bytes that had no memory are taken into use. */
void recent_count_grown(struct recent *recent, size_t bytes);

/* How many idle bytes may stay, beside what an option allows, while `used` bytes are in use. */
size_t recent_bound(const struct recent *recent, size_t used, size_t share);

#endif
