/*
 * What compiled programs have of the public headers, the place and size of each field and the
 * values of enumerators and macros, is what abi.txt lists: doc/abi.md says what may change, and
 * when. Fails, too, if a structure has bytes that are neither in a field listed here nor padding.
 */
#include <acre/acre.h>
#include <acre/inspect.h>

#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct field {
    const char *structure, *name;
    size_t offset, size, alignment, whole; /* bytes; whole: of the structure,
                                             0 if that changes with ACRE_LAYOUT */
};

#define FIELD(type, member)                                                                        \
    {                                                                                              \
        .structure = #type, .name = #member, .offset = offsetof(struct type, member),              \
        .size = sizeof(((struct type *)0)->member),                                                \
        .alignment = _Alignof(__typeof__(((struct type *)0)->member)),                             \
        .whole = sizeof(struct type)                                                               \
    }

/* A field of acre_root, and the one that begins its part that changes with ACRE_LAYOUT, which
 * tests/inspect/layout.txt has. */
#define ROOT(member)                                                                               \
    {                                                                                              \
        .structure = "acre_root", .name = #member, .offset = offsetof(struct acre_root, member),   \
        .size = sizeof(acre_root.member), .alignment = _Alignof(__typeof__(acre_root.member))      \
    }
#define ROOT_REST(member)                                                                          \
    {                                                                                              \
        .structure = "acre_root", .name = #member, .offset = offsetof(struct acre_root, member),   \
        .alignment = sizeof(void *)                                                                \
    }

/* In the order in which they stand in their structures. */
static const struct field fields[] = {
    FIELD(acre_class_stats, block_size),
    FIELD(acre_class_stats, slabs),
    FIELD(acre_class_stats, blocks),
    FIELD(acre_class_stats, live_blocks),
    FIELD(acre_stats, arenas),
    FIELD(acre_stats, arenas_pooled),
    FIELD(acre_stats, heaps),
    FIELD(acre_stats, heap_mapped),
    FIELD(acre_stats, heap_in_slabs),
    FIELD(acre_stats, heap_free_dirty),
    FIELD(acre_stats, small_live),
    FIELD(acre_stats, small_blocks),
    FIELD(acre_stats, large_live),
    FIELD(acre_stats, large_blocks),
    FIELD(acre_stats, large_stock),
    FIELD(acre_stats, metadata),
    FIELD(acre_stats, live),
    FIELD(acre_stats, mapped),
    FIELD(acre_stats, resident),
    FIELD(acre_stats, class_count),
    FIELD(acre_stats, classes),
    FIELD(acre_block, address),
    FIELD(acre_block, size),
    FIELD(acre_block, block_class),
    FIELD(acre_block, arena),
    FIELD(acre_block, state),
    FIELD(acre_error, kind),
    FIELD(acre_error, function),
    FIELD(acre_error, pointer),
    FIELD(acre_error, block),
    FIELD(acre_error, block_size),
    FIELD(acre_error, arena),
    FIELD(acre_error, depth),
    FIELD(acre_error, stack),
    FIELD(acre_error, requested),
    FIELD(acre_error, offset),
    FIELD(acre_error, given),
    FIELD(acre_error, allocated_by),
    FIELD(acre_note, layout),
    FIELD(acre_note, unused),
    FIELD(acre_note, distance),
    FIELD(acre_field, offset),
    FIELD(acre_field, size),
    ROOT(magic),
    ROOT(layout),
    ROOT(size),
    ROOT(version),
    ROOT(pointer_size),
    ROOT(option_count),
    ROOT(page_size),
    ROOT(started),
    ROOT_REST(addresses),
};

enum { COUNT = sizeof(fields) / sizeof(fields[0]) };

#define VALUE(name)                                                                                \
    {                                                                                              \
#name, (uint64_t)(name)                                                                    \
    }

static const struct {
    const char *name;
    uint64_t value;
} values[] = {
    VALUE(ACRE_STATS_CLASSES),
    VALUE(ACRE_STATS_TEXT),
    VALUE(ACRE_STATS_JSON),
    VALUE(ACRE_STATS_PROMETHEUS),
    VALUE(ACRE_STATS_XML),
    VALUE(ACRE_BLOCK_LIVE),
    VALUE(ACRE_BLOCK_FREE),
    VALUE(ACRE_BLOCK_CACHED),
    VALUE(ACRE_BLOCK_REMOTE),
    VALUE(ACRE_BLOCK_PURGED),
    VALUE(ACRE_BLOCK_STOCK),
    VALUE(ACRE_ERROR_DOUBLE_FREE),
    VALUE(ACRE_ERROR_INTERIOR),
    VALUE(ACRE_ERROR_MISALIGNED),
    VALUE(ACRE_ERROR_FOREIGN),
    VALUE(ACRE_ERROR_OVERFLOW),
    VALUE(ACRE_ERROR_WRITTEN_AFTER_FREE),
    VALUE(ACRE_ERROR_USE_AFTER_FREE),
    VALUE(ACRE_ERROR_MISMATCH),
    VALUE(ACRE_ERROR_WRONG_SIZE),
    VALUE(ACRE_ERROR_WRONG_ALIGNMENT),
    VALUE(ACRE_ERROR_ENDED_HEAP),
    VALUE(ACRE_MAGIC),
    VALUE(ACRE_NOTE_ROOT),
    VALUE(ACRE_REQUEST_TRIM),
    VALUE(ACRE_REQUEST_QUIET),
};

static size_t align_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

/* Fails if bytes that follow fields[i] are neither padding nor of the field that is listed next. */
static void check_gap(size_t i)
{
    const struct field *field = &fields[i], *next = field + 1;
    size_t end = field->offset + field->size;
    bool last = i + 1 == COUNT || strcmp(field->structure, next->structure) != 0;
    if (last ? field->whole != 0 && field->whole - end >= sizeof(void *)
             : next->offset != align_up(end, next->alignment))
        errx(1, "struct %s has a field after %s that is not in abi.c", field->structure,
             field->name);
}

static void print_all(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        const struct field *field = &fields[i];
        if (i == 0 || strcmp(field->structure, fields[i - 1].structure) != 0)
            printf("struct %s\n", field->structure);
        if (field->size == 0)
            printf("    %s at %zu, and the rest\n", field->name, field->offset);
        else if (field->whole == 0)
            printf("    %s at %zu, %zu bytes\n", field->name, field->offset, field->size);
        else
            printf("    %s at %zu, %zu bytes, of %zu\n", field->name, field->offset, field->size,
                   field->whole);
        check_gap(i);
    }
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        printf("%s %#" PRIx64 "\n", values[i].name, values[i].value);
}

int main(void)
{
    static const char *const compare = "diff -u \"${srcdir:-.}/abi.txt\" abi.found >&2 || {"
                                       " echo 'if doc/abi.md allows this, abi.found is the new"
                                       " tests/api/abi.txt' >&2; exit 1; }";
    if (freopen("abi.found", "w", stdout) == NULL)
        err(1, "abi.found");
    print_all();
    if (fflush(stdout) != 0)
        err(1, "abi.found");
    execl("/bin/sh", "sh", "-c", compare, NULL);
    err(1, "/bin/sh");
}
