/* The root: see root.h. */
#include "inspect/root.h"

#include "arena/arena.h"
#include "arena/idle.h"
#include "base/meta.h"
#include "base/option.h"
#include "base/os.h"
#include "heap/heap.h"
#include "heap/unit_map.h"
#include "large/large_list.h"
#include "modes/guard.h"
#include "modes/profile.h"
#include "slab/slab.h"

#include <acre/acre.h>
#include <acre/inspect.h>
#include <assert.h>
#include <string.h>

/* Not constant: in a writable segment it is part of every core. */
EXPORT struct acre_root acre_root = {
    .magic = ACRE_MAGIC,
    .layout = ACRE_LAYOUT,
    .size = sizeof(struct acre_root),
    .version = ACRE_VERSION_STRING,
    .pointer_size = sizeof(void *),
    .option_count = OPTION_COUNT,
    .addresses =
        {
            [ACRE_AT_ARENAS] = &arena_newest,
            [ACRE_AT_UNIT_MAP] = &unit_map,
            [ACRE_AT_EXTENTS] = &large_list.table.chunks,
            [ACRE_AT_OPTIONS] = option_table,
            [ACRE_AT_METADATA] = &meta_bytes,
            [ACRE_AT_COUNTS] = &os_counts,
            [ACRE_AT_UNITS_PEAK] = &heap_counts.units_peak,
            [ACRE_AT_LARGE_PEAK] = &large_list.peak,
            [ACRE_AT_REQUESTS] = &idle_requests,
            [ACRE_AT_PROFILE] = &profile,
            [ACRE_AT_GUARD] = &guard,
        },
    .fields =
        {
#define ENTRY(name, structure, member)                                                             \
    [ACRE_FIELD_##                                                                                 \
        name] = {offsetof(struct structure, member), sizeof(((struct structure *)0)->member)},
            ACRE_FIELDS(ENTRY)
#undef ENTRY
#define ENTRY(name, structure) [ACRE_FIELD_##name] = {0, sizeof(struct structure)},
                ACRE_SIZES(ENTRY)
#undef ENTRY
        },
};

/* The library's own root: a program that names acre_root may have a copy (R_X86_64_COPY), and a
 * name that other modules can take over has no distance that the linker knows. */
extern __attribute__((alias("acre_root"), visibility("hidden"), used)) struct acre_root root_here;

#define TEXT_OF(number) #number
#define NUMBER_TEXT(number) TEXT_OF(number)

/* struct acre_note, after the header that ELF prescribes: sizes of name and descriptor, type. */
#define NOTE_TYPE ".long " NUMBER_TEXT(ACRE_NOTE_ROOT) "\n"
#define NOTE_LAYOUT ".long " NUMBER_TEXT(ACRE_LAYOUT) ", 0\n"

__asm__(".pushsection .note.acre, \"a\", %note\n"
        ".balign 4\n"
        ".long 5, 16\n" NOTE_TYPE ".asciz \"acre\"\n"
        ".balign 4\n"
        "1:\n" NOTE_LAYOUT ".quad root_here - 1b\n"
        ".popsection");

static_assert(sizeof(ACRE_NOTE_NAME) == 5 && sizeof(struct acre_note) == 16,
              "as the note's header says");

void root_start(void)
{
    root_here.page_size = os_page_size();
    __atomic_store_n(&root_here.started, os_now_ms(), __ATOMIC_RELAXED);
}

/* ---- this process's own memory ---- */

/* Copies word by word, so that none is torn, and byte by byte where there is no whole word.
 * Acquire: what a pointer leads to is read as it was when the pointer was published. */
static bool read_own(struct view *view, uint64_t address, void *into, size_t size)
{
    const char *from = (const char *)(uintptr_t)address;
    char *to = into;
    (void)view;
    for (; size >= sizeof(uint64_t) && address % sizeof(uint64_t) == 0; size -= sizeof(uint64_t)) {
        uint64_t word = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_ACQUIRE);
        memcpy(to, &word, sizeof(word));
        from += sizeof(word);
        to += sizeof(word);
    }
    while (size-- != 0)
        *to++ = __atomic_load_n(from++, __ATOMIC_ACQUIRE);
    return true;
}

static size_t own_resident(struct view *view, uint64_t address, size_t size)
{
    (void)view;
    return os_filled_in((void *)(uintptr_t)address, size);
}

void root_view_own(struct view *view)
{
    *view = (struct view){.read = read_own, .read_now = read_own, .resident = own_resident};
    (void)view_open(view, (uintptr_t)&root_here);
}
