/*
 * SANITIZED is defined where AddressSanitizer or ThreadSanitizer is in the program: their runtimes
 * need mappings and address space of their own, so tests of the system's limits are left out.
 */
#ifndef ACRE_TESTS_UNIT_SANITIZED_H
#define ACRE_TESTS_UNIT_SANITIZED_H

#include "test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define SANITIZED_SKIPPED SKIPPED("limits of the system", "sanitizers do not run under such limits")

#endif
