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

/* The words for each kind of misuse. */
static const struct {
    const char *fault;
    const char *unknown; /* what is said if no block is known */
} kinds[] = {
    [MISUSE_DOUBLE_FREE] = {"double free", ": the block was released"},
    [MISUSE_INTERIOR] = {"interior pointer", ""},
    [MISUSE_MISALIGNED] = {"misaligned pointer", ""},
    [MISUSE_FOREIGN] = {"foreign pointer", ": not a block of this allocator"},
};

static NOINLINE void report_fault(const struct misuse *misuse)
{
    struct out block;
    out_to_memory(&block);
    if (misuse->block == NULL)
        out_format(&block, "%s", kinds[misuse->kind].unknown);
    else
        out_format(&block, ": block %p of %zu bytes, %s", misuse->block, misuse->block_size,
                   misuse->block_class);
    if (misuse->arena != 0)
        out_format(&block, ", arena %d", misuse->arena);
    report_warning("%s: %s(%p)%s", kinds[misuse->kind].fault, misuse->function, misuse->pointer,
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

void misuse_report(const struct misuse *misuse)
{
    uintptr_t frames[MISUSE_DEPTH];
    char thread_name[OS_THREAD_NAME];
    int thread;
    PROBE(misuse, misuse->pointer, misuse->kind);
    report_fault(misuse);
    report_neighbour("before", &misuse->before);
    report_neighbour("after", &misuse->after);
    os_thread_name(thread_name);
    report_warning("  called by thread %d (%s) at", os_thread_id(), thread_name);
    report_stack(frames, stack_take(frames, MISUSE_DEPTH));
    size_t depth = profile_stack_of(misuse->block, frames, MISUSE_DEPTH, &thread);
    if (depth != 0) {
        report_warning("  allocated by thread %d at", thread);
        report_stack(frames, depth);
    }
}

void misuse_handle(const struct misuse *misuse)
{
    bool foreign = misuse->kind == MISUSE_FOREIGN;
    uint64_t action = option_value(foreign ? OPTION_FOREIGN : OPTION_ON_ERROR);
    if (action != ON_ERROR_IGNORE)
        misuse_report(misuse);
    if (action == ON_ERROR_ABORT)
        os_abort();
}
