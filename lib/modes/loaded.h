/*
 * The images (program, libraries, vDSO) that are loaded, found by an address in them, without the
 * dynamic linker's lock: by _dl_find_object of glibc 2.35 and newer, which is made for unwinders.
 * It is found by its name, so that libacre.so loads where it does not exist. Elsewhere the linker's
 * list of images is gone through, which may change meanwhile: so what is read is asked for first,
 * and an image may be missed. In a static program there is only that. Owns no state.
 */
#ifndef ACRE_LIB_LOADED_H
#define ACRE_LIB_LOADED_H

#include "modes/readable.h"

struct loaded {
    uintptr_t from, to; /* of the image, or of one of its segments */
    uintptr_t tables;   /* its .eh_frame_hdr, there or elsewhere; 0: it has none */
};

/* Finds the image that has something at `address`; false, with all fields 0, if none is known. */
bool loaded_find(struct readable *memory, uintptr_t address, struct loaded *image);

/* The same without _dl_find_object. */
bool loaded_find_on_list(struct readable *memory, uintptr_t address, struct loaded *image);

/* Finds the image that this library is; all fields are 0 if that is the program. */
void loaded_find_library(struct readable *memory, struct loaded *image);

#endif
