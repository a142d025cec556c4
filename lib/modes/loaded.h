/*
 * The images (program, libraries, vDSO) that are loaded, found by an address in them, without the
 * dynamic linker's lock. _dl_find_object of glibc 2.35 and newer, made for unwinders, finds them.
 * It is looked up by its name, so that libacre.so loads with an older glibc, too. Without it the
 * program's headers and the linker's list of images are searched. The list may change meanwhile: so
 * each part is read only if it can be, and an image may be missed. A static program has no list, so
 * only the program is found. Owns no state.
 */
#ifndef ACRE_LIB_LOADED_H
#define ACRE_LIB_LOADED_H

#include "modes/readable.h"

struct link_map;

struct loaded {
    uintptr_t from, to;         /* of the image, or of one of its segments */
    uintptr_t tables;           /* its .eh_frame_hdr, there or elsewhere; 0: it has none */
    const struct link_map *map; /* the linker's record of it; NULL: a static program has none */
};

/* Finds the image that has something at `address`; false, with all fields 0, if none is known. */
bool loaded_find(struct readable *memory, uintptr_t address, struct loaded *image);

/* The same without _dl_find_object. */
bool loaded_find_on_list(struct readable *memory, uintptr_t address, struct loaded *image);

/* What is added to the addresses in the program's headers. */
uintptr_t loaded_program_base(void);

/* Finds the image of this library; all fields are 0 if the library is part of the program. */
void loaded_find_library(struct readable *memory, struct loaded *image);

#endif
