/*
 * The root (include/acre/inspect.h): the field table, made by the compiler from the structures
 * themselves, and the ELF note that leads to it. The only writer is root_start.
 */
#ifndef ACRE_LIB_ROOT_H
#define ACRE_LIB_ROOT_H

#include "inspect/view.h"

/* Notes when the library started up. To be called once, by a constructor. */
void root_start(void);

/* A view of this process's own memory. No lock; nothing that it reads is ever unmapped. */
void root_view_own(struct view *view);

#endif
