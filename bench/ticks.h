/*
 * The cheapest steady clock of the machine, for timing single calls: the processor's own counter
 * where a program can read it, else clock_gettime. Its unit, the tick, is found out by comparison
 * with CLOCK_MONOTONIC over the time that was measured.
 *
 * x86-64: the time-stamp counter, which has ticked at a constant rate, asleep or awake and alike on
 * all processors, for more than ten years. 64-bit Arm: the virtual counter, whose tick may be as
 * long as 40 ns. The fences keep the timed call between the two readings; without them the
 * processor would run the one into the other.
 */
#ifndef ACRE_BENCH_TICKS_H
#define ACRE_BENCH_TICKS_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t ticks_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The counter, read after all that comes before and before all that comes after. */
static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
    return ticks;
#else
    return ticks_monotonic_ns();
#endif
}

/* One moment on both clocks. */
struct ticks_moment {
    uint64_t ticks;
    uint64_t ns; /* CLOCK_MONOTONIC */
};

struct ticks_moment ticks_moment(void);

/* Nanoseconds for each tick between `begin` and now. Sleeps first where that is too short a time to
 * tell. */
double ticks_length_ns(struct ticks_moment begin);

#endif
