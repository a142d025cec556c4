/* The trace: see trace.h. */
#include "modes/trace.h"

#include "base/option.h"
#include "base/os.h"
#include "base/report.h"
#include "base/size_class.h"
#include "modes/stack.h"

enum { RECORDS_LEAST = 64 };

struct trace_record *trace_ring;
static uint64_t records; /* [constant] of the ring */
static uint64_t added;   /* [any] the number of the last record */

void trace_start(void)
{
    records = option_value(OPTION_TRACE);
    if (records == 0)
        return;
    records = max_size(records, RECORDS_LEAST);
    size_t bytes = align_up(records * sizeof(*trace_ring), os_page_size());
    trace_ring = os_map(bytes);
    if (trace_ring == NULL) {
        report_warning("trace: there is no memory for it");
        return;
    }
    os_huge_pages(trace_ring, bytes, false); /* it fills slowly */
    size_class_divert(true);
}

/* A sanitizer would report that a record is read while it is written. */
#define UNCHECKED __attribute__((no_sanitize("thread")))

UNCHECKED void trace_add(const void *block, bool freed)
{
    uint64_t number = __atomic_add_fetch(&added, 1, __ATOMIC_RELAXED);
    struct trace_record *record = &trace_ring[number % records];
    __atomic_store_n(&record->number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    record->block = block;
    record->freed = freed;
    record->thread = os_thread_id();
    record->depth = (uint16_t)stack_take(record->frames, TRACE_DEPTH);
    __atomic_store_n(&record->number, number, __ATOMIC_RELEASE);
}

UNCHECKED uint64_t trace_find(const void *block, uint64_t number, struct trace_record *copy)
{
    uint64_t last = __atomic_load_n(&added, __ATOMIC_RELAXED);
    uint64_t at = number <= last ? number - 1 : last;
    if (!trace_is_on())
        return 0;
    for (; at != 0 && at + records > last; at--) {
        const struct trace_record *record = &trace_ring[at % records];
        if (record->block != block || __atomic_load_n(&record->number, __ATOMIC_ACQUIRE) != at)
            continue;
        *copy = *record;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&record->number, __ATOMIC_RELAXED) == at && copy->block == block)
            return at;
    }
    return 0;
}
