/*
 * Compiles lib/base/states.c under other names and as if the machine had neither SSE2 nor NEON; see
 * states_portable.h.
 */
#include "states_portable.h"

#undef __SSE2__
#undef __ARM_NEON
#define states_reset portable_states_reset
#define states_match portable_states_match
#define states_count portable_states_count
#define states_find portable_states_find
#define states_summary portable_states_summary

#include "base/states.c"
