/*
 * What the exported functions share: EXPORT makes them visible, and none of them does more than
 * check its arguments and call alloc.h or free.h. What each does is in malloc(3), operator new's
 * standard, and acre.h.
 */
#ifndef ACRE_LIB_API_H
#define ACRE_LIB_API_H

#include "alloc.h"
#include "base.h"
#include "free.h"

/* A second name of an exported function. */
#define EXPORT_ALIAS(target) __attribute__((visibility("default"), alias(#target)))

#endif
