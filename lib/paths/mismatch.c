/* Mismatched calls: see mismatch.h. */
#include "paths/mismatch.h"

#include "base/option.h"
#include "base/size_class.h"
#include "large/large.h"
#include "modes/hardened.h"
#include "modes/notes.h"
#include "paths/free.h"

#include <assert.h>

/* A note: the size, above it the alignment's logarithm (0: none), above that the family. */
enum {
    ALIGNMENT_BITS = 6,
    FAMILY_BITS = 2,
    LARGE_SIZE_BITS = 48,
};

static_assert(NOTE_SIZE_BITS + ALIGNMENT_BITS + FAMILY_BITS < 31, "below NOTE_FREED");
static_assert(SIZE_CLASS_LIMIT < 1 << NOTE_SIZE_BITS, "a note has room for the size");

bool mismatch_on;

void mismatch_start(void)
{
    mismatch_on = option_value(OPTION_MISMATCH) != ON_ERROR_IGNORE;
    if (mismatch_on)
        size_class_see_all();
}

static size_t effective_alignment(size_t alignment)
{
    return max_size(alignment, BLOCK_ALIGNMENT);
}

static size_t effective_size(size_t size)
{
    return max_size(size, 1); /* as hardened notes it */
}

static uint64_t pack(struct mismatch_call call, unsigned size_bits)
{
    uint64_t alignment = 0;
    if (call.alignment > BLOCK_ALIGNMENT)
        alignment = highest_bit(call.alignment);
    return effective_size(call.size) | alignment << size_bits |
           (uint64_t)call.family << (size_bits + ALIGNMENT_BITS);
}

static struct mismatch_call unpack(uint64_t note, unsigned size_bits)
{
    unsigned alignment = (note >> size_bits) % (1 << ALIGNMENT_BITS);
    return (struct mismatch_call){
        .family = (enum mismatch_family)(note >> (size_bits + ALIGNMENT_BITS)),
        .size = note & ((UINT64_C(1) << size_bits) - 1),
        .alignment = alignment == 0 ? 0 : (size_t)1 << alignment,
    };
}

static void write_note(const void *p, struct mismatch_call call)
{
    struct hardened_block block;
    if (!free_find_block(p, &block)) {
        large_set_note(p, pack(call, LARGE_SIZE_BITS));
        return;
    }
    uint32_t *note = notes_at(block.base, block.state);
    if (note != NULL)
        __atomic_store_n(note, (uint32_t)pack(call, NOTE_SIZE_BITS), __ATOMIC_RELEASE);
}

/* False if p is no block that the program holds, or nothing is known of it. */
static bool read_note(const void *p, struct mismatch_call *call)
{
    struct hardened_block block;
    bool in_slab = free_find_block(p, &block);
    uint64_t note = in_slab ? notes_get(block.base, block.state) : large_note(p);
    *call = unpack(note, in_slab ? NOTE_SIZE_BITS : LARGE_SIZE_BITS);
    return note != 0 && note != NOTE_FREED;
}

void mismatch_allocated(const void *p, struct mismatch_call call)
{
    write_note(p, call);
}

static void report(const void *p, enum acre_error_kind kind, struct mismatch_call noted,
                   struct mismatch_call call, const char *function)
{
    static const char *const families[] = {
        [FAMILY_MALLOC] = "malloc",
        [FAMILY_NEW] = "operator new",
        [FAMILY_NEW_ARRAY] = "operator new[]",
    };
    bool alignment = kind == ACRE_ERROR_WRONG_ALIGNMENT;
    free_report((struct acre_error){
        .kind = kind,
        .function = function,
        .pointer = p,
        .requested = alignment ? effective_alignment(noted.alignment) : noted.size,
        .given = alignment ? effective_alignment(call.alignment) : call.size,
        .allocated_by = families[noted.family],
    });
}

void mismatch_check(const void *p, struct mismatch_call call, const char *function)
{
    struct mismatch_call noted;
    if (!read_note(p, &noted))
        return;
    if (call.family != noted.family)
        report(p, ACRE_ERROR_MISMATCH, noted, call, function);
    else if (call.alignment != MISMATCH_NOT_TOLD &&
             effective_alignment(call.alignment) != effective_alignment(noted.alignment))
        report(p, ACRE_ERROR_WRONG_ALIGNMENT, noted, call, function);
    else if (call.size != MISMATCH_NOT_TOLD && effective_size(call.size) != noted.size)
        report(p, ACRE_ERROR_WRONG_SIZE, noted, call, function);
    noted.family = FAMILY_MALLOC;
    write_note(p, noted);
}
