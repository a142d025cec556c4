/*
 * The table of LARGE blocks and free extents, and how they change: everything about them that needs
 * no system call, so that it can be tested on made-up addresses.
 *
 * The truth is a table of entries (base, size, state) in chunks that are only ever added. From it
 * follow the index, the list of unused entries and the totals; extents_rebuild makes them again.
 *
 * Changes are published by one store each, of a state or of a size, relaxed and fenced against the
 * compiler, such that any prefix of them is sound after a rebuild: entries that are LIVE or STOCK
 * never overlap, and what an operation was moving at that moment is in no entry (lost) or still
 * where it was:
 *
 *   split   the entry shrinks; the rest is published by an entry of its own, in the same state (the
 *           rest of a LIVE one belongs to no block until its state changes, and is lost if that
 *           never happens)
 *   join    the following extent becomes LEAVING; the entry in front of it grows over it
 *   front   (the first bytes of an extent are taken) it becomes LEAVING, begins later, is STOCK
 *           again; the block that took the bytes grows after that
 *   carve   splits and joins, then STOCK becomes LIVE by one store
 *
 * Lock: the caller's, for every function.
 */
#ifndef ACRE_LIB_EXTENTS_H
#define ACRE_LIB_EXTENTS_H

#include "base/base.h"
#include "large/extents_index.h"

/* Adds a chunk of entries, all zero. */
void extents_add_chunk(struct extents *table, struct extent_chunk *chunk);

/* An unused entry, now LEAVING and the caller's; NULL if there is none. */
struct extent *extents_take_entry(struct extents *table);

/* Ends a LEAVING entry: it is UNUSED again. */
void extents_recycle(struct extents *table, struct extent *entry);

/* Publishes a LEAVING entry as LIVE or STOCK; base and size, and for STOCK stamp and zero, are
 * set. */
void extents_publish(struct extents *table, struct extent *entry, enum extent_state state);

/* Takes a LIVE or STOCK entry out of the index: it is LEAVING and the caller's. */
void extents_withdraw(struct extents *table, struct extent *entry);

/* Makes a LIVE entry STOCK, free since `stamp`. */
void extents_set_stock(struct extents *table, struct extent *entry, uint64_t stamp, bool zero);

/* Cuts an entry to its first `size` bytes; the rest, not empty, becomes an entry of its own with
 * the same state, stamp and zero, which is returned. Needs a spare entry. */
struct extent *extents_split(struct extents *table, struct extent *entry, size_t size);

/* Makes [start, start+size), which lies within a run, a LIVE entry and returns it; what the run has
 * in front of it and after it stays STOCK. Its `zero` says whether its contents are known to be
 * zero. Needs two spare entries. */
struct extent *extents_carve(struct extents *table, uintptr_t start, size_t size);

/* Joins a STOCK extent with the one that touches its end; returns the first, which is both now. */
struct extent *extents_join(struct extents *table, struct extent *first, struct extent *second);

/* Joins all extents of a run to one, which is returned. */
struct extent *extents_gather(struct extents *table, const struct extent_run *run);

/* Grows a LIVE block to `size` bytes over the run that touches its end. False with nothing done if
 * that is too small. */
bool extents_grow(struct extents *table, struct extent *block, size_t size);

/*
 * Makes everything derived again from the entries' states. LEAVING entries stay as they are: one of
 * them may belong to the thread that survived a fork, which ends it itself. Those of lost threads
 * are lost, and so are their ranges, since it is not known whether these are mapped.
 */
void extents_rebuild(struct extents *table);

/* Checks the index against the entries: links, order, no overlaps, heap property, what is known of
 * each subtree, unused entries, totals. */
bool extents_is_valid(const struct extents *table);

#endif
