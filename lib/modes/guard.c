/* Guarded blocks: see guard.h. */
#define _GNU_SOURCE 1
#include "modes/guard.h"

#include "base/lock.h"
#include "base/option.h"
#include "base/os.h"
#include "base/report.h"
#include "base/size_class.h"
#include "base/chance.h"
#include "modes/misuse.h"
#include "modes/stack.h"

#include <errno.h>
#include <signal.h>

struct guard guard;
__thread struct guard_thread guard_thread;

static struct lock guard_lock = {.rank = LOCK_RANK_GUARD};
static uint64_t frees;          /* [lock] of guarded blocks */
static struct sigaction former; /* [constant] what was to be done at SIGSEGV before the start */

/* ---- slots ---- */

static void *page_of(size_t slot)
{
    return (void *)(guard.pool + (2 * slot + 1) * os_page_size());
}

static uint64_t order_of(size_t slot)
{
    return __atomic_load_n(&guard.order[slot], __ATOMIC_ACQUIRE);
}

static void set_order(size_t slot, uint64_t order)
{
    __atomic_store_n(&guard.order[slot], order, __ATOMIC_RELEASE);
}

/* The slot in whose block p lies; GUARD_SLOTS if it is in none, live or freed. */
static size_t slot_of(const void *p)
{
    size_t page = ((uintptr_t)p - guard.pool) / os_page_size(), slot = page / 2;
    bool has_block = page % 2 != 0 && order_of(slot) != 0 &&
                     (uintptr_t)p - __atomic_load_n(&guard.slots[slot].block, __ATOMIC_RELAXED) <
                         guard_usable(__atomic_load_n(&guard.slots[slot].size, __ATOMIC_RELAXED));
    return has_block ? slot : GUARD_SLOTS;
}

/* The slot whose live block starts at p; GUARD_SLOTS if there is none. */
static size_t live_slot_of(const void *p)
{
    size_t slot = slot_of(p);
    if (slot == GUARD_SLOTS || order_of(slot) != GUARD_LIVE ||
        (uintptr_t)p != __atomic_load_n(&guard.slots[slot].block, __ATOMIC_RELAXED))
        return GUARD_SLOTS;
    return slot;
}

size_t guard_usable_size(const void *p)
{
    size_t slot = live_slot_of(p);
    if (slot == GUARD_SLOTS)
        return 0;
    return guard_usable(__atomic_load_n(&guard.slots[slot].size, __ATOMIC_RELAXED));
}

static void lock(void)
{
    if (LIKELY(!lock_acquire(&guard_lock)))
        return;
    /* a lost thread may have opened a page for a block, or not yet closed one */
    for (size_t slot = 0; slot < GUARD_SLOTS; slot++)
        if (order_of(slot) != GUARD_LIVE)
            (void)os_allow(page_of(slot), os_page_size(), false);
}

static uint64_t random_below(uint64_t limit)
{
    return chance_below(chance_bits(&guard_thread.generator), limit);
}

static int64_t draw_countdown(void)
{
    return (int64_t)random_below(2 * guard.interval - 1) + 1;
}

void *guard_alloc(size_t size, size_t alignment, uint32_t heap)
{
    size_t page = os_page_size(), oldest = 0;
    struct trace_record call;
    if (guard_thread.generator == 0) { /* the thread's first allocation begins a countdown */
        guard_thread.generator = os_random();
        if ((guard_thread.countdown = draw_countdown() - 1) > 0)
            return NULL;
    }
    guard_thread.countdown = draw_countdown();
    if (size > page || alignment > page)
        return NULL;
    size_t at_end = align_down(page - guard_usable(size), alignment);
    size_t offset = random_below(2) != 0 ? at_end : 0;
    trace_take(&call, NULL, false);
    lock();
    for (size_t slot = 1; slot < GUARD_SLOTS; slot++)
        if (guard.order[slot] < guard.order[oldest])
            oldest = slot;
    if (guard.order[oldest] != GUARD_LIVE && os_allow(page_of(oldest), page, true)) {
        struct guard_slot *slot = &guard.slots[oldest];
        call.block = (char *)page_of(oldest) + offset;
        slot->allocated = call;
        __atomic_store_n(&slot->heap, heap, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->size, size, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->block, (uintptr_t)call.block, __ATOMIC_RELAXED);
        set_order(oldest, GUARD_LIVE);
    }
    lock_release(&guard_lock);
    return (void *)(uintptr_t)call.block;
}

bool guard_free(const void *p)
{
    struct trace_record call;
    trace_take(&call, p, true);
    lock();
    size_t slot = live_slot_of(p);
    if (slot != GUARD_SLOTS) {
        guard.slots[slot].freed = call;
        set_order(slot, ++frees);
        (void)os_allow(page_of(slot), os_page_size(), false);
    }
    lock_release(&guard_lock);
    return slot != GUARD_SLOTS;
}

uint32_t guard_heap(const void *p)
{
    if (guard_usable_size(p) == 0)
        return 0;
    return __atomic_load_n(&guard.slots[slot_of(p)].heap, __ATOMIC_RELAXED);
}

void guard_free_heap(uint32_t heap, void (*before)(const void *p))
{
    for (size_t slot = 0; guard_is_on() && slot < GUARD_SLOTS; slot++) {
        const void *block =
            (const void *)__atomic_load_n(&guard.slots[slot].block, __ATOMIC_RELAXED);
        if (order_of(slot) == GUARD_LIVE && guard_heap(block) == heap) {
            before(block);
            (void)guard_free(block);
        }
    }
}

/* ---- reports ---- */

static void describe(size_t number, struct misuse *misuse)
{
    const struct guard_slot *slot = &guard.slots[number];
    misuse->error.block = (const void *)slot->block;
    misuse->error.block_size = slot->size;
    misuse->block_class = "guarded";
    misuse->allocated = &slot->allocated;
    misuse->freed = order_of(number) != GUARD_LIVE ? &slot->freed : NULL;
}

void guard_describe(const void *p, struct misuse *misuse)
{
    size_t slot = slot_of(p);
    if (slot != GUARD_SLOTS)
        describe(slot, misuse);
}

/* Reports an access in the page of a slot, or between two: there the nearer block was meant. */
static NOINLINE void report_fault(uintptr_t address)
{
    uintptr_t frames[MISUSE_DEPTH];
    struct misuse misuse = {.error = {.stack = frames}};
    size_t page = (address - guard.pool) / os_page_size(), nearest = SIZE_MAX;
    const char *fault = NULL, *where = NULL;
    for (size_t slot = (max_size(page, 1) - 1) / 2; slot <= page / 2 && slot < GUARD_SLOTS;
         slot++) {
        uintptr_t block = guard.slots[slot].block, end = block + guard.slots[slot].size;
        bool before = address < block, after = address >= end;
        size_t distance = before ? block - address : address - (after ? end : block);
        if (order_of(slot) == 0 || distance >= nearest)
            continue;
        nearest = distance;
        describe(slot, &misuse);
        where = before ? "before" : after ? "after" : "into";
        fault = page % 2 != 0 ? "use after free" : before ? "underflow" : "overflow";
    }
    if (nearest == SIZE_MAX)
        report_warning("access to %p, where no guarded block was", (void *)address);
    else
        report_warning("%s: access to %p, %zu bytes %s block %p of %zu bytes, guarded", fault,
                       (void *)address, nearest, where, misuse.error.block,
                       misuse.error.block_size);
    misuse.error.depth = (uint32_t)stack_take(frames, MISUSE_DEPTH);
    misuse_report_stacks("accessed", &misuse);
}

/* ---- the handler ---- */

static void on_fault(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    bool sent = info->si_code <= 0; /* by a call, so that it is not sent again on return */
    if (!sent && guard_has(info->si_addr) && option_value(OPTION_ON_ERROR) != ON_ERROR_IGNORE)
        report_fault((uintptr_t)info->si_addr);
    errno = saved;
    if ((former.sa_flags & SA_SIGINFO) != 0) {
        former.sa_sigaction(number, info, context);
    } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
        former.sa_handler(number);
    } else if (!sent || former.sa_handler == SIG_DFL) {
        /* it comes again as soon as this handler has returned; then the system ends the process */
        (void)sigaction(number, &former, NULL);
        if (sent)
            os_raise(number);
    }
}

static void install_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_fault};
    if (sigaction(SIGSEGV, NULL, &former) != 0)
        return;
    action.sa_mask = former.sa_mask;
    action.sa_flags = (former.sa_flags & ~SA_RESETHAND) | SA_SIGINFO | SA_ONSTACK;
    (void)sigaction(SIGSEGV, &action, NULL);
}

void guard_start(void)
{
    size_t pool = (2 * GUARD_SLOTS + 1) * os_page_size();
    size_t table = align_up(GUARD_SLOTS * sizeof(struct guard_slot), os_page_size());
    uint64_t interval = option_value(OPTION_GUARD);
    if (interval == 0)
        return;
    char *memory = os_map(pool + table);
    if (memory == NULL || !os_allow(memory, pool, false)) {
        report_warning("guard: there is no memory for it");
        return;
    }
    os_huge_pages(memory, pool + table, false);
    guard.pool = (uintptr_t)memory;
    guard.bytes = pool;
    guard.slots = (void *)(memory + pool);
    guard.interval = interval;
    install_handler();
    size_class_divert_always();
}
