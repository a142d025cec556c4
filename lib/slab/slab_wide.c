/*
 * Wide blocks: a block that takes the place of several neighbouring FREE blocks of a slab of a
 * smaller class (doc/design.md, "Blocks").
 *
 * The first of the blocks is WIDE, those after it are REST. A free finds that the state is not
 * LIVE, and looks for WIDE only then. A wide block is in no magazine and no window; when it is
 * freed its places are those of the slab's class again. If another thread frees it (WIDE to REMOTE)
 * its REST stays until the owner makes the block FREE.
 *
 * REST is stored before WIDE, and becomes FREE after it. So the child of a fork may find REST that
 * follows no WIDE block; slab_rebuild makes it FREE.
 */
#include "slab/slab.h"

#include "base/bits.h"
#include "base/size_class.h"

enum {
    PLACES_MOST = 64,     /* of a wide block */
    WASTE_PART = 8,       /* a wide block may be 1/8 larger than a block of its class */
    SPARSE_PART = 4,      /* a slab is looked through that has 1/4 of its blocks in use at most */
    GROUPS_AT_ONCE = 512, /* of states that one call looks at: some microseconds */
    GROUPS_MOST = SLAB_MAX_BLOCKS / STATES_GROUP,
    GROUP_UNSEEN = 255, /* the group of a bin that has not yet looked whether the slab is sparse */
};

/* How many places of a class make a block of `size` bytes; 0 if the class does not serve it. */
static size_t places_for(size_t size, unsigned class)
{
    size_t place = size_class_sizes[class];
    size_t places = (size + place - 1) / place;
    return places <= PLACES_MOST && places * place <= size + size / WASTE_PART ? places : 0;
}

/* Makes a wide block of the FREE blocks from `number` on. */
static void *make_wide(struct slab *slab, size_t number, size_t places)
{
    slab->wide = true;
    for (size_t i = number + 1; i < number + places; i++)
        state_set(&slab->states[i], BLOCK_REST);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    state_set(&slab->states[number], BLOCK_WIDE);
    return slab->base + number * slab->block_size;
}

/* Groups of a slab that its class has come to; the others wait for their first use. */
static size_t used_groups(const struct slab *slab)
{
    return min_size(slab->fresh_group, (slab->count + STATES_GROUP - 1u) / STATES_GROUP);
}

/* Bytes of the FREE blocks of a slab that wide blocks may take: 0 if more than 1/SPARSE_PART of
 * what its class has used is in use, since it is likely to need the others again soon. */
static size_t slab_sparse_bytes(const struct slab *slab)
{
    size_t blocks = min_size(slab->count, used_groups(slab) * STATES_GROUP);
    size_t free = states_count(slab->states, blocks, BLOCK_FREE);
    size_t purged = slab->purged ? states_count(slab->states, blocks, BLOCK_PURGED) : 0;
    return free + purged >= blocks - blocks / SPARSE_PART ? free * slab->block_size : 0;
}

size_t bin_sparse_bytes(const struct bin *bin)
{
    size_t bytes = bin->slab != NULL ? slab_sparse_bytes(bin->slab) : 0;
    for (struct list_node *node = list_first(&bin->partial); node != NULL;
         node = list_next(&bin->partial, node))
        bytes += slab_sparse_bytes(CONTAINER_OF(node, struct slab, node));
    return bytes;
}

/* Goes to a slab of the class that the bin looks through, or, if `node` is NULL, to the first one
 * of the largest class below it that serves the bin's. The current slab of that class is left,
 * since it is looked at as well. */
static void go_to_slab(struct bin *bin, struct bin *bins, struct list_node *node)
{
    while (node == NULL && bin->wide_class != 0) {
        unsigned class = --bin->wide_class;
        if (bins[class].block_size == 0 || places_for(bin->block_size, class) == 0)
            continue;
        if (bins[class].slab != NULL && slab_sparse_bytes(bins[class].slab) != 0)
            bin_leave_slab(&bins[class]);
        node = list_first(&bins[class].partial);
    }
    bin->wide_slab = node != NULL ? CONTAINER_OF(node, struct slab, node) : NULL;
    bin->wide_group = GROUP_UNSEEN;
}

/* The first wide block in or after the group that the bin has come to in a slab; NULL if there is
 * none among *groups groups, which are counted down. */
static void *take_in_slab(struct bin *bin, size_t *groups)
{
    struct slab *slab = bin->wide_slab;
    size_t places = places_for(bin->block_size, slab->class);
    size_t count = used_groups(slab);
    if (bin->wide_group == GROUP_UNSEEN) {
        *groups -= min_size(*groups, count);
        bin->wide_group = slab_sparse_bytes(slab) != 0 ? 0 : GROUPS_MOST;
    }
    for (; bin->wide_group < count && *groups != 0; bin->wide_group++, --*groups) {
        const uint8_t *states = slab->states + (size_t)bin->wide_group * STATES_GROUP;
        uint64_t low = states_match(states, BLOCK_FREE);
        if (low == 0)
            continue;
        bool last = bin->wide_group + 1u == count;
        uint64_t high = last ? 0 : states_match(states + STATES_GROUP, BLOCK_FREE);
        uint64_t starts = bits_run_starts(low, high, places);
        if (starts != 0)
            return make_wide(slab, (size_t)bin->wide_group * STATES_GROUP + lowest_bit(starts),
                             places);
    }
    return NULL;
}

void *bin_take_places(struct bin *bin, size_t size)
{
    struct slab *slab = bin->slab;
    size_t places = (size + bin->block_size - 1) / bin->block_size;
    ASSERT(places <= PLACES_MOST);
    if (slab == NULL)
        return NULL;
    bin_close_window(bin);
    size_t groups = (slab->count + STATES_GROUP - 1u) / STATES_GROUP;
    for (uint64_t left = slab->summary; left != 0; left &= left - 1) {
        size_t group = lowest_bit(left);
        const uint8_t *states = slab->states + group * STATES_GROUP;
        uint64_t high = group + 1 < groups ? states_match(states + STATES_GROUP, BLOCK_FREE) : 0;
        uint64_t starts = bits_run_starts(states_match(states, BLOCK_FREE), high, places);
        if (starts == 0)
            continue;
        size_t number = group * STATES_GROUP + lowest_bit(starts);
        size_t used = (number + places - 1) / STATES_GROUP + 1;
        slab->fresh_group = (uint16_t)max_size(slab->fresh_group, used);
        return make_wide(slab, number, places);
    }
    return NULL;
}

void *bin_take_wide(struct bin *bin, struct bin *bins, uint32_t look)
{
    if (bin->block_size <= SIZE_CLASS_TINY_LIMIT || bin->block_size > SLAB_SHARED_LIMIT)
        return NULL;
    if (bin->wide_class == 0 && bin->wide_look != look) {
        bin->wide_look = look;
        bin->wide_class = bin->class;
        go_to_slab(bin, bins, NULL);
    } else if (bin->wide_slab != NULL &&
               (!slab_is_listed(bin->wide_slab) || bin->wide_slab->class != bin->wide_class)) {
        /* it was taken or released since the last call; the slabs before it were looked at */
        go_to_slab(bin, bins, NULL);
    }
    for (size_t groups = GROUPS_AT_ONCE; bin->wide_slab != NULL && groups != 0;) {
        void *block = take_in_slab(bin, &groups);
        if (block != NULL)
            return block;
        if (groups != 0) {
            const struct list *list = &bins[bin->wide_class].partial;
            go_to_slab(bin, bins, list_next(list, &bin->wide_slab->node));
        }
    }
    return NULL;
}
