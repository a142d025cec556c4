/*
 * An address that never was a block is passed: foreign FUNCTION CALLER ADDRESS. The addresses that
 * are known by name stand in the table below; others are given as numbers.
 */
#include "misuse.h"

#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

enum {
    MAPPED = 96 << 20, /* bytes: so much that whole heap-sized pieces lie inside */
    HEAP = 32 << 20,   /* bytes and alignment of a heap */
    UNIT = 64 << 10,   /* bytes: the grain of a heap */
};

static char data[4096] = "data";

static char *of_stack(void)
{
    static char *address;
    char local[64];
    address = hide(local + 16);
    return address;
}

static void *wait_for_ever(void *published)
{
    char local[256];
    __atomic_store_n((char **)published, local, __ATOMIC_RELEASE);
    sleep_for_ever();
}

/* On the stack of another thread, which is alive. */
static char *of_thread_stack(void)
{
    static char *address;
    start_thread(wait_for_ever, &address);
    while (__atomic_load_n(&address, __ATOMIC_ACQUIRE) == NULL)
        usleep(100);
    return address;
}

static char *of_code(void)
{
    return (char *)(uintptr_t)of_stack;
}

static char *of_library_code(void)
{
    return (char *)(uintptr_t)free;
}

static char *of_string(void)
{
    return (char *)(uintptr_t) "a string constant";
}

static char *of_data(void)
{
    return data + 64;
}

static char *of_thread_local(void)
{
    return (char *)&errno;
}

static char *of_mapping(void)
{
    char *pages = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static char *of_inside_mapping(void)
{
    return of_mapping() + MAPPED / 2 + 16;
}

/* Aligned as a heap would be. */
static char *of_aligned_mapping(void)
{
    uintptr_t pages = (uintptr_t)of_mapping();
    return (char *)((pages + HEAP - 1) / HEAP * HEAP);
}

static char *of_unmapped(void)
{
    char *pages = of_mapping();
    munmap(pages, MAPPED);
    return pages + MAPPED / 2;
}

static char *of_break(void)
{
    return (char *)sbrk(UNIT) + 16;
}

static char *of_vdso(void)
{
    return (char *)getauxval(AT_SYSINFO_EHDR);
}

/* The start of the heap that a block lies in: acre's own header. */
static char *of_heap(void)
{
    return (char *)((uintptr_t)hide(malloc(48)) / HEAP * HEAP);
}

static char *of_header(void)
{
    return of_heap() + UNIT;
}

static char *of_heap_end(void)
{
    return of_heap() + HEAP - 16;
}

/* Finds the middle of the last writable segment of libacre: its .bss. */
static int find_bss(struct dl_phdr_info *object, size_t size, void *found)
{
    (void)size;
    if (strstr(object->dlpi_name, "libacre") == NULL)
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) != 0)
            *(uintptr_t *)found =
                (object->dlpi_addr + segment->p_vaddr + segment->p_memsz / 2) / 16 * 16;
    }
    return 1;
}

static char *of_library_data(void)
{
    uintptr_t address = 0;
    dl_iterate_phdr(find_bss, &address);
    return (char *)address;
}

static const struct {
    const char *name;
    char *(*address)(void);
} places[] = {
    {"stack", of_stack},
    {"thread_stack", of_thread_stack},
    {"code", of_code},
    {"library_code", of_library_code},
    {"string", of_string},
    {"data", of_data},
    {"thread_local", of_thread_local},
    {"mapping", of_mapping},
    {"inside_mapping", of_inside_mapping},
    {"aligned_mapping", of_aligned_mapping},
    {"unmapped", of_unmapped},
    {"break", of_break},
    {"vdso", of_vdso},
    {"heap", of_heap},
    {"header", of_header},
    {"heap_end", of_heap_end},
    {"library_data", of_library_data},
};

static char *address_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (strcmp(places[i].name, name) == 0)
            return places[i].address();
    return (char *)(uintptr_t)strtoull(name, NULL, 0);
}

int main(int count, char **words)
{
    if (count != 4)
        return STATUS_USAGE;
    struct call call = {words[1], address_of(words[3]), 64};
    if (call.pointer == NULL)
        return STATUS_USAGE;
    misuse_print(call.pointer, NULL, 0);
    misuse_call_by(words[2], &call);
    return STATUS_SURVIVED;
}
