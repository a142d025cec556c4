/*
 * Probes for tracers (bpftrace, perf, SystemTap, gdb), of the provider "acre": a note in the
 * library says where each is and where its arguments are, and in the code there is a nop.
 * configure leaves them out where <sys/sdt.h> is missing.
 *
 *   slab_made        address of its first block, bytes of a block
 *   slab_released    the same
 *   memory_returned  address, bytes that go back to the system
 *   misuse           the pointer, enum acre_error_kind
 *   sample           address of a block that the heap profile has taken, its bytes, blocks that it
 *                    stands for, rounded
 */
#ifndef ACRE_LIB_PROBE_H
#define ACRE_LIB_PROBE_H

#ifdef ACRE_PROBES
#include <sys/sdt.h>
#define PROBE(name, a, b) DTRACE_PROBE2(acre, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(acre, name, a, b, c)
#else
#define PROBE(name, a, b) ((void)(a), (void)(b))
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
