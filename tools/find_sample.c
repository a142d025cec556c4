/* The stack of a block: see find_sample.h. */
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
