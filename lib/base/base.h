/*
 * Attributes, alignment arithmetic and the constants that every module shares. Owns no state.
 */
#ifndef ACRE_LIB_BASE_H
#define ACRE_LIB_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))
#define CACHE_ALIGNED __attribute__((aligned(64)))

/* For variables that begin with zeros and that each process uses when it starts or at its first
 * block: they lie together, in a page that the dynamic linker writes to anyway. */
#define START_DATA __attribute__((section(".data")))

/* The structure that holds `member` at address `pointer`. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

enum {
    CACHE_LINE = 64,      /* bytes; the grain in which data of different writers is kept apart */
    BLOCK_ALIGNMENT = 16, /* bytes; every block starts at a multiple of it */
};

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* True if x is a power of two; 0 is none. */
static inline bool is_power_of_two(size_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* x rounded up to a multiple of `alignment`, a power of two. Wraps to 0 where that overflows. */
static inline size_t align_up(size_t x, size_t alignment)
{
    return (x + alignment - 1) & ~(alignment - 1);
}

/* x rounded down to a multiple of `alignment`, a power of two. */
static inline size_t align_down(size_t x, size_t alignment)
{
    return x & ~(alignment - 1);
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Number of trailing zero bits of x, which is not 0. */
static inline unsigned lowest_bit(uint64_t x)
{
    return (unsigned)__builtin_ctzll(x);
}

/* The position of the highest set bit of x, which is not 0. */
static inline unsigned highest_bit(uint64_t x)
{
    return 63u - (unsigned)__builtin_clzll(x);
}

/* Tells the processor that this is a spinning loop. */
static inline void pause_processor(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#elif defined(__riscv)
    __asm__ volatile(
        ".insn i 0x0f, 0, x0, x0, 0x010"); /* pause, a hint: older assemblers lack it */
#endif
}

#if defined(__SANITIZE_THREAD__)
#define ACRE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ACRE_TSAN 1
#endif
#endif

/*
 * A full fence: no load after it is done before a store in front of it. ThreadSanitizer knows no
 * fences; the read-modify-write there orders as much.
 */
static inline void fence_full(void)
{
#ifdef ACRE_TSAN
    static uint32_t fence_word;
    (void)__atomic_exchange_n(&fence_word, 0, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * A relaxed atomic load of a byte, word or pointer that another thread may store to. It cannot tear
 * and is read once where this is used, so a plain load does, which compilers fold into the
 * instruction around it as they do not fold atomic ones.
 */
#ifdef ACRE_TSAN
#define PLAIN_LOAD(object) __atomic_load_n(&(object), __ATOMIC_RELAXED)
#else
#define PLAIN_LOAD(object) (object)
#endif

/* The same before all later loads (acquire), which x86-64 does by itself. */
#if defined(__x86_64__) && !defined(ACRE_TSAN)
#define ORDERED_LOAD(object) PLAIN_LOAD(object)
#else
#define ORDERED_LOAD(object) __atomic_load_n(&(object), __ATOMIC_ACQUIRE)
#endif

/* Adds to a counter that one thread at a time writes and any thread reads. */
static inline void counter_add(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/*
 * An assertion of the debug build (configure --enable-debug defines ACRE_DEBUG): traps, so that no
 * code that could allocate runs. In other builds the condition is compiled but never evaluated.
 */
#ifdef ACRE_DEBUG
#define ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#endif
