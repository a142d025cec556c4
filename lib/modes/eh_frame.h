/*
 * Rules that lead from a frame to that of its caller, read from an image's .eh_frame. The search
 * table in .eh_frame_hdr leads to the entry for an address (Linux Standard Base 5, 10.6; DWARF 5,
 * 6.4). Tables may be damaged: nothing outside of `memory` is read, and every loop ends at the end
 * of the entry. Only what compilers make of C, C++ and similar languages is understood: a frame's
 * address that is counted from the stack pointer or the frame pointer, or that lies in the frame
 * (functions that align their stack). Owns no state.
 */
#ifndef ACRE_LIB_EH_FRAME_H
#define ACRE_LIB_EH_FRAME_H

#include "modes/readable.h"

/* How the canonical frame address is found: the stack pointer of the caller after the call. */
enum frame_address {
    FRAME_UNKNOWN = 1, /* there is no rule, or it is not understood */
    FRAME_OUTERMOST,   /* there is no caller */
    FRAME_FROM_SP,     /* stack pointer + offset */
    FRAME_FROM_FP,     /* frame pointer + offset */
    FRAME_AT_FP,       /* the word at frame pointer + offset */
};

/* Where the caller's value of a register is. */
enum frame_saved {
    SAVED_NOWHERE,  /* still in the register */
    SAVED_IN_FRAME, /* at the frame's address + offset */
    SAVED_AT_FP,    /* at the frame pointer + offset */
    SAVED_LOST,
};

/* A rule, in one word, which is not 0. */
union frame_rule {
    struct {
        uint64_t address : 3;      /* enum frame_address */
        uint64_t fp : 2, link : 2; /* enum frame_saved: of the frame pointer, the return address */
        int64_t offset : 25;       /* bytes, of the frame's address */
        int64_t fp_offset : 16;    /* words */
        int64_t link_offset : 16;  /* words */
    };
    uint64_t word;
};

/* The rule at the instruction `pc`, by the search table at `header`. *source: the address of the
 * entry that it is from, 0 if there is none. */
union frame_rule eh_frame_rule(struct readable *memory, uintptr_t header, uintptr_t pc,
                               uintptr_t *source);

/* A sum over the entry at `source`, which can be read. */
uint64_t eh_frame_sum(uintptr_t source);

#endif
