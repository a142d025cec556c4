/* The system's limits: so that it refuses memory to the stepped call. */
#ifndef ACRE_TESTS_FORK_PRESSURE_H
#define ACRE_TESTS_FORK_PRESSURE_H

#include <stddef.h>

/* From now on the process gets `more` bytes of address space, or of memory that it may write to,
 * besides what it has. */
void pressure_on_address_space(size_t more);
void pressure_on_data(size_t more);

/* Ends that. A child is under its parent's limits until it calls this. */
void pressure_end(void);

#endif
