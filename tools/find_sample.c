/* The stacks of a block: see find_sample.h. */
#include "find_sample.h"

#include <inttypes.h>
#include <stdio.h>

#include "samples.h"
#include "symbols.h"

static void print_frame(struct symbols *symbols, uint64_t return_address)
{
    uint32_t number = symbols_place(symbols, return_address);
    const struct symbol_place place = symbols->places[number];
    for (uint32_t i = 0; i < place.count; i++) {
        const struct symbol *symbol = &symbols->all[place.first + i];
        printf("    %s", symbols_text(symbols, symbol->name));
        if (symbol->file != 0)
            printf(" %s:%" PRIu32, symbols_text(symbols, symbol->file), symbol->line);
        else if (symbol->module != 0)
            printf(" (%s)", symbols_text(symbols, symbol->module));
        puts(symbol->inlined ? " (inlined)" : "");
    }
}

static void print_sample(struct memory *memory, const struct samples *samples,
                         const struct sample *sample)
{
    struct maps maps;
    struct symbols symbols;
    const struct sample_stack *stack = &samples->stacks[samples->sites[sample->site].stack];
    uint64_t age = samples->now > sample->time ? samples->now - sample->time : 0;
    printf("  allocated by thread %" PRId32 ", %" PRIu64 ".%" PRIu64 " s ago:\n", sample->thread,
           age / 1000, age % 1000 / 100);
    if (sample->site == 0 || stack->depth == 0) {
        puts("    (stack unknown)");
        return;
    }
    maps_read(memory, &maps);
    symbols_open(&symbols, memory, &maps);
    for (uint32_t i = 0; i < stack->depth; i++)
        print_frame(&symbols, samples->frames[stack->first + i]);
    symbols_close(&symbols);
    maps_free(&maps);
}

void find_sample(struct memory *memory, uint64_t block)
{
    static struct samples samples;
    if (!samples_head(memory, &samples) || samples.session == 0 || !samples_read(memory, &samples))
        return;
    for (size_t i = 0; i < samples.live_count; i++)
        if (samples.live[i].address == block) {
            print_sample(memory, &samples, &samples.live[i]);
            break;
        }
    samples_free(&samples);
}

static void print_call(struct memory *memory, struct symbols *symbols, const char *done,
                       uint64_t slot, enum acre_field_id field)
{
    enum { MOST_DEPTH = 64 };
    struct view *view = &memory->view;
    const struct acre_field *fields = view->root.fields;
    uint64_t call = slot + fields[field].offset, frame;
    uint64_t frames = call + fields[ACRE_FIELD_TRACE_FRAMES].offset;
    uint64_t depth = view_field(view, call, ACRE_FIELD_TRACE_DEPTH);
    printf("  %s by thread %" PRId32 ":\n", done,
           (int32_t)view_field(view, call, ACRE_FIELD_TRACE_THREAD));
    for (uint64_t i = 0; i < depth && i < MOST_DEPTH; i++)
        if (view->read(view, frames + i * sizeof(frame), &frame, sizeof(frame)))
            print_frame(symbols, frame);
}

void find_guarded_calls(struct memory *memory, uint64_t slot, bool freed)
{
    struct maps maps;
    struct symbols symbols;
    maps_read(memory, &maps);
    symbols_open(&symbols, memory, &maps);
    if (freed)
        print_call(memory, &symbols, "freed", slot, ACRE_FIELD_GUARD_SLOT_FREED);
    print_call(memory, &symbols, "allocated", slot, ACRE_FIELD_GUARD_SLOT_ALLOCATED);
    symbols_close(&symbols);
    maps_free(&maps);
}
