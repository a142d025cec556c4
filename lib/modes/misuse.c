/* Reports of misuse: see misuse.h. */
#include "modes/misuse.h"

#include "base/option.h"
#include "base/os.h"
#include "base/out.h"
#include "base/probe.h"
#include "base/report.h"
#include "modes/profile.h"
#include "modes/stack.h"
#include "modes/symbol.h"
#include "modes/trace.h"

#include <errno.h>

/* The words for each kind of misuse. */
static const struct {
    const char *fault;
    const char *unknown; /* what is said if no block is known */
} kinds[] = {
    [ACRE_ERROR_DOUBLE_FREE] = {"double free", ": the block was released"},
    [ACRE_ERROR_INTERIOR] = {"interior pointer", ""},
    [ACRE_ERROR_MISALIGNED] = {"misaligned pointer", ""},
    [ACRE_ERROR_FOREIGN] = {"foreign pointer", ": not a block of this allocator"},
    [ACRE_ERROR_OVERFLOW] = {"overflow", ""},
    [ACRE_ERROR_WRITTEN_AFTER_FREE] = {"written after free", ""},
    [ACRE_ERROR_USE_AFTER_FREE] = {"use after free", ": the block was released"},
    [ACRE_ERROR_MISMATCH] = {"mismatch", ""},
    [ACRE_ERROR_WRONG_SIZE] = {"wrong size", ""},
    [ACRE_ERROR_WRONG_ALIGNMENT] = {"wrong alignment", ""},
    [ACRE_ERROR_ENDED_HEAP] = {"heap that has ended", ": it was destroyed"},
};

static NOINLINE void report_fault(const struct misuse *misuse)
{
    const struct acre_error *error = &misuse->error;
    struct out block;
    out_to_memory(&block);
    if (error->block == NULL)
        out_format(&block, "%s", kinds[error->kind].unknown);
    else
        out_format(&block, ": block %p of %zu bytes, %s", error->block, error->block_size,
                   misuse->block_class);
    if (error->arena != 0)
        out_format(&block, ", arena %u", error->arena);
    if (error->kind == ACRE_ERROR_OVERFLOW)
        out_format(&block, ", %zu asked for", error->requested);
    if (error->kind == ACRE_ERROR_OVERFLOW || error->kind == ACRE_ERROR_WRITTEN_AFTER_FREE)
        out_format(&block, ", byte %zu has changed", error->offset);
    if (error->kind == ACRE_ERROR_MISMATCH)
        out_format(&block, ", allocated by %s", error->allocated_by);
    if (error->kind == ACRE_ERROR_WRONG_SIZE)
        out_format(&block, ", %zu asked for, %zu given", error->requested, error->given);
    if (error->kind == ACRE_ERROR_WRONG_ALIGNMENT)
        out_format(&block, ", alignment %zu asked for, %zu given", error->requested, error->given);
    report_warning("%s: %s(%p)%s", kinds[error->kind].fault, error->function, error->pointer,
                   block.text);
}

static void report_neighbour(const char *where, const struct misuse_neighbour *neighbour)
{
    if (neighbour->block != NULL)
        report_warning("  %s it: block %p of %zu bytes, %s", where, neighbour->block,
                       neighbour->size, neighbour->state);
}

static void report_stack(const uintptr_t *frames, size_t depth)
{
    struct readable memory = {.to = UINTPTR_MAX};
    for (size_t i = 0; i < depth; i++) {
        struct symbol symbol;
        uintptr_t address = frames[i] - 1;
        symbol_find(&memory, address, &symbol);
        if (symbol.image == NULL)
            report_warning("    #%zu %#zx", i, (size_t)address);
        else if (symbol.function == NULL)
            report_warning("    #%zu %#zx %s+%#zx", i, (size_t)address, symbol.image,
                           (size_t)symbol.offset);
        else
            report_warning("    #%zu %#zx %s+%#zx (%s+%#zx)", i, (size_t)address, symbol.image,
                           (size_t)symbol.offset, symbol.function, (size_t)symbol.function_offset);
    }
}

static void report_call(const char *what, int thread, const uintptr_t *frames, size_t depth)
{
    report_warning("  %s by thread %d at", what, thread);
    report_stack(frames, depth);
}

/* The calls that freed the block since its last allocation, and that, as far as they are known. */
static NOINLINE void report_history(const struct misuse *misuse)
{
    const struct acre_error *error = &misuse->error;
    const void *block = error->block != NULL ? error->block : error->pointer;
    const struct trace_record *freed = misuse->freed, *allocated = misuse->allocated;
    if (freed != NULL)
        report_call("freed", freed->thread, freed->frames, freed->depth);
    if (allocated != NULL) {
        report_call("allocated", allocated->thread, allocated->frames, allocated->depth);
        return;
    }
    struct trace_record record = {.number = UINT64_MAX};
    do {
        if (trace_find(block, record.number, &record) == 0) {
            size_t depth = profile_stack_of(block, record.frames, TRACE_DEPTH, &record.thread);
            if (depth != 0)
                report_call("allocated", record.thread, record.frames, depth);
            return;
        }
        report_call(record.freed ? "freed" : "allocated", record.thread, record.frames,
                    record.depth);
    } while (record.freed);
}

void misuse_report_stacks(const char *done, const struct misuse *misuse)
{
    char thread_name[OS_THREAD_NAME];
    os_thread_name(thread_name);
    report_warning("  %s by thread %d (%s) at", done, os_thread_id(), thread_name);
    report_stack(misuse->error.stack, misuse->error.depth);
    report_history(misuse);
}

void misuse_report(const struct misuse *misuse)
{
    report_fault(misuse);
    report_neighbour("before", &misuse->before);
    report_neighbour("after", &misuse->after);
    misuse_report_stacks("called", misuse);
}

/* ---- the program's handler ---- */

static acre_error_handler *current_handler; /* [any] NULL: none */

/* The call of the handler by the thread, which it may have left by a jump; frame 0: none. */
static __thread struct stack_call handler_call __attribute__((tls_model("initial-exec")));

acre_error_handler *misuse_set_handler(acre_error_handler *handler)
{
    return __atomic_exchange_n(&current_handler, handler, __ATOMIC_ACQ_REL);
}

static NOINLINE void call_handler(acre_error_handler *handler, const struct acre_error *error)
{
    handler_call = (struct stack_call){(uintptr_t)__builtin_dwarf_cfa(),
                                       (uintptr_t)__builtin_return_address(0)};
    handler(error);
    handler_call.frame = 0;
}

/* The option that says what is done about it. */
static enum option_id option_of(enum acre_error_kind kind)
{
    switch (kind) {
    case ACRE_ERROR_FOREIGN:
        return OPTION_FOREIGN;
    case ACRE_ERROR_MISMATCH:
    case ACRE_ERROR_WRONG_SIZE:
    case ACRE_ERROR_WRONG_ALIGNMENT:
        return OPTION_MISMATCH;
    default:
        return OPTION_ON_ERROR;
    }
}

void misuse_handle(struct misuse *misuse)
{
    uintptr_t frames[MISUSE_DEPTH];
    int saved = errno;
    struct acre_error *error = &misuse->error;
    uint64_t action = option_value(option_of(error->kind));
    acre_error_handler *handler = __atomic_load_n(&current_handler, __ATOMIC_ACQUIRE);
    PROBE(misuse, error->pointer, error->kind);
    if (action == ON_ERROR_IGNORE && handler == NULL)
        return;
    error->stack = frames;
    error->depth = (uint32_t)stack_take(frames, MISUSE_DEPTH);
    if (action != ON_ERROR_IGNORE)
        misuse_report(misuse);
    if (handler != NULL && (handler_call.frame == 0 || !stack_has(&handler_call)))
        call_handler(handler, error);
    if (action == ON_ERROR_ABORT)
        os_abort();
    errno = saved;
}
