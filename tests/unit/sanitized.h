/* Which tests do not run beside a sanitizer, and why: the reasons are for TEST_UNLESS. */
#ifndef ACRE_TESTS_UNIT_SANITIZED_H
#define ACRE_TESTS_UNIT_SANITIZED_H

#include "base/base.h"

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(ACRE_TSAN)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#define UNDER_SANITIZER __has_feature(address_sanitizer)
#else
#define UNDER_SANITIZER 0
#endif

/* Tests of the system's limits. */
#define NO_LIMITS                                                                                  \
    (UNDER_SANITIZER ? "sanitizers need mappings and address space of their own" : NULL)

/* pthread_create in a child of several threads. */
#define NO_THREADS_IN_CHILDREN                                                                     \
    (UNDER_SANITIZER ? "in a child of several threads locks of the sanitizer may stay taken" : NULL)

#ifdef ACRE_TSAN
#define NO_BARE_FORKS "ThreadSanitizer's runtime must see each fork"
#else
#define NO_BARE_FORKS NULL /* vfork, _Fork, clone */
#endif

#endif
