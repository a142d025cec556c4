/* The trace: see trace.h. */
#include "modes/trace.h"

#include "base/option.h"
#include "base/os.h"
#include "base/report.h"
#include "base/size_class.h"
#include "modes/stack.h"

enum { RECORDS_LEAST = 64 };

START_DATA struct trace_record *trace_ring;
static uint64_t records; /* [constant] of the ring */
static uint64_t added;   /* [any] the number of the last record */

void trace_start(void)
{
    if (option_value(OPTION_TRACE) == 0)
        return;
    records = max_size(option_value(OPTION_TRACE), RECORDS_LEAST);
    size_t bytes = align_up(records * sizeof(*trace_ring), os_page_size());
    trace_ring = os_map(bytes);
    if (trace_ring == NULL) {
        report_warning("trace: there is no memory for it");
        return;
    }
    os_huge_pages(trace_ring, bytes, false); /* it fills slowly */
    size_class_see_all();
}

/* Copies all but the number, which comes first, word by word: another thread may write the one
 * record or read the other. */
static void copy_record(struct trace_record *to, const struct trace_record *from)
{
    typedef uint64_t __attribute__((may_alias)) word;
    word *to_words = (word *)to;
    const word *words = (const word *)from;
    for (size_t i = 1; i < sizeof(*to) / sizeof(word); i++)
        __atomic_store_n(&to_words[i], __atomic_load_n(&words[i], __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
}

void trace_take(struct trace_record *record, const void *block, bool freed)
{
    *record = (struct trace_record){.block = block, .thread = os_thread_id(), .freed = freed};
    record->depth = (uint16_t)stack_take(record->frames, TRACE_DEPTH);
}

void trace_add(const void *block, bool freed)
{
    struct trace_record new;
    trace_take(&new, block, freed);
    uint64_t number = __atomic_add_fetch(&added, 1, __ATOMIC_RELAXED);
    struct trace_record *record = &trace_ring[number % records];
    __atomic_store_n(&record->number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    copy_record(record, &new);
    __atomic_store_n(&record->number, number, __ATOMIC_RELEASE);
}

uint64_t trace_find(const void *block, uint64_t number, struct trace_record *copy)
{
    uint64_t last = __atomic_load_n(&added, __ATOMIC_RELAXED);
    uint64_t at = number <= last ? number - 1 : last;
    if (!trace_is_on())
        return 0;
    for (; at != 0 && at + records > last; at--) {
        const struct trace_record *record = &trace_ring[at % records];
        if (__atomic_load_n(&record->block, __ATOMIC_RELAXED) != block ||
            __atomic_load_n(&record->number, __ATOMIC_ACQUIRE) != at)
            continue;
        copy->number = __atomic_load_n(&record->number, __ATOMIC_RELAXED);
        copy_record(copy, record);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&record->number, __ATOMIC_RELAXED) == at && copy->block == block)
            return at;
    }
    return 0;
}
