/* A sequence as a C program: see program.h. */
#include "program.h"

#include "attempt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const bases[] = {
    [PLACE_STACK] = "(char *)__builtin_frame_address(0)",
    [PLACE_DATA] = "data",
    [PLACE_CODE] = "(char *)main",
    [PLACE_MAPPED] = "mapped",
};

static const char beginning[] =
    "#include <acre/acre.h>\n#include <malloc.h>\n#include <stdint.h>\n#include <stdlib.h>\n"
    "#include <string.h>\n#include <sys/mman.h>\n#include <unistd.h>\n"
    "#define UNIT(p) ((char *)((uintptr_t)(p) & ~(uintptr_t)0xffff))\n"
    "#define HEAP(p) ((char *)((uintptr_t)(p) & ~(uintptr_t)0x1ffffff))\n"
    "static char data[4096];\n\n"
    "int main(void)\n{\n"
    "    char *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "
    "-1, 0);\n"
    "    (void)mapped, (void)data;\n"
    "    acre_option_set(\"abort\", \"0\");\n";

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...)
{
    va_list list;
    size_t room = PROGRAM_TEXT - attempt->program_length;
    va_start(list, format);
    int length = vsnprintf(attempt->program + attempt->program_length, room, format, list);
    va_end(list);
    if ((size_t)length < room)
        attempt->program_length += (size_t)length;
}

static void put_name(unsigned step, unsigned number)
{
    if (model_made(step) > 1)
        put("b%u[%u]", step, number);
    else
        put("b%u", step);
}

static void put_place(const struct place *place)
{
    if (place->kind == PLACE_NUMBER) {
        put("(void *)%#lx", (unsigned long)place->offset);
        return;
    }
    if (place->kind == PLACE_BLOCK) {
        put_name(place->step, place->number);
    } else if (place->kind == PLACE_UNIT || place->kind == PLACE_HEAP) {
        put(place->kind == PLACE_UNIT ? "UNIT(" : "HEAP(");
        put_name(place->step, place->number);
        put(")");
    } else {
        put("%s", bases[place->kind]);
    }
    if (place->offset != 0)
        put(" %c %ld", place->offset < 0 ? '-' : '+', labs(place->offset));
}

/* The blocks that a step frees, but for those that are dead already. */
static void put_free_many(const struct step *step)
{
    unsigned made = model_made(step->place.step);
    if (made == 1) {
        put(";\n");
        return;
    }
    put("for (int i = 0; i < %u; i++) if (i %% %u != 0", made, step->keep);
    for (unsigned i = 0; i < made; i++)
        if (i % step->keep != 0 && !model_named(step->place.step, i)->live)
            put(" && i != %u", i);
    put(") ");
    if (step->call == CALL_RACE && step->byte % 2 != 0)
        put("free(b%u[i] + 16), ", step->place.step);
    put("free(b%u[i]);\n", step->place.step);
}

static void put_request(const struct step *step)
{
    if (step->call == CALL_POSIX_MEMALIGN) {
        put("posix_memalign((void **)&b%u%s, %zu, %zu);\n", step->number,
            step->count > 1 ? "[i]" : "", step->alignment, step->size);
        return;
    }
    bool aligned = step->call == CALL_ALIGNED_ALLOC || step->call == CALL_MEMALIGN;
    put("b%u%s = ", step->number, step->count > 1 ? "[i]" : "");
    if (aligned)
        put("%s(%zu, %zu);\n", step->call == CALL_MEMALIGN ? "memalign" : "aligned_alloc",
            step->alignment, step->size);
    else
        put("%s%zu);\n", step->call == CALL_CALLOC ? "calloc(1, " : "malloc(", step->size);
}

static void put_make(const struct step *step)
{
    if (step->count > 1)
        put("static char *b%u[%u]; for (int i = 0; i < %u; i++) ", step->number, step->count,
            step->count);
    else
        put("char *b%u; ", step->number);
    put_request(step);
}

void program_begin(void)
{
    if (attempt->mode != MODE_WRITE)
        return;
    attempt->program_length = 0;
    put("%s", beginning);
    char options[OPTIONS_TEXT], *rest = options, *key, *value;
    snprintf(options, sizeof(options), "%s", attempt->set->options);
    while (attempt_next_option(&rest, &key, &value))
        put("    acre_option_set(\"%s\", \"%s\");\n", key, value);
}

void program_step(const struct step *step)
{
    if (attempt->mode != MODE_WRITE)
        return;
    put("    ");
    if (step->thread != 0)
        put("/* thread %u%s: */ ", step->thread, step->call == CALL_RACE ? ", meanwhile" : "");
    switch (step->call) {
    case CALL_REALLOC:
        put("char *b%u = realloc(", step->number);
        put_place(&step->place);
        put(", %zu);\n", step->size);
        break;
    case CALL_FREE:
    case CALL_USABLE_SIZE:
        put(step->call == CALL_FREE ? "free(" : "malloc_usable_size(");
        put_place(&step->place);
        put(");\n");
        break;
    case CALL_WRITE:
        put("memset(");
        put_place(&step->place);
        put(", %u, %zu); /* as far as memory is writable */\n", step->byte, step->size);
        break;
    case CALL_FREE_MANY:
        put_free_many(step);
        break;
    case CALL_RACE:
        put_free_many(step);
        put("    ");
        put_make(step);
        break;
    case CALL_FLUSH:
        put("acre_thread_flush();\n");
        break;
    case CALL_TRIM:
        put("malloc_trim(0);\n");
        break;
    case CALL_THREAD_END:
        put("/* which ends; another one begins */\n");
        break;
    case CALL_FORK:
        put("if (fork() != 0) pause();\n");
        break;
    case CALL_SLEEP:
        put("usleep(%zu);\n", step->size);
        break;
    default:
        put_make(step);
        break;
    }
}

void program_free_rest(const struct block *block)
{
    if (attempt->mode != MODE_WRITE)
        return;
    put("    free(");
    put_name(block->step, block->number);
    put(");\n");
}

void program_end(void)
{
    put("    return 0;\n}\n");
}
