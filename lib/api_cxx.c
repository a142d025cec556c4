/*
 * C++ operators new and delete, in C: the names are those of the Itanium C++ ABI, the same for
 * every Linux.
 *
 * new calls the program's new_handler until there is memory, and throws std::bad_alloc where there
 * is none; both are in libstdc++ and are reached through weak references, or in a libstdc++ that
 * was loaded later. This file is compiled with unwind tables and -fexceptions, so the exception
 * passes through its frames.
 */
#include "api.h"

#include "os.h"
#include "report.h"

#include <dlfcn.h>

static_assert(sizeof(size_t) == sizeof(unsigned long), "size_t is mangled as m below");

typedef void (*new_handler)(void);

/* std::get_new_handler() and std::__throw_bad_alloc(). */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

struct nothrow; /* std::nothrow_t */

/* Finds a function of a libstdc++ that was loaded after this library, without loading one. */
static void *find_in_libstdcxx(const char *name)
{
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return library == NULL ? NULL : dlsym(library, name);
}

static new_handler current_new_handler(void)
{
    new_handler (*get)(void) = _ZSt15get_new_handlerv;
    if (get == NULL)
        *(void **)&get = find_in_libstdcxx("_ZSt15get_new_handlerv");
    return get == NULL ? NULL : get();
}

static _Noreturn void throw_bad_alloc(void)
{
    void (*throw)(void) = _ZSt17__throw_bad_allocv;
    if (throw == NULL)
        *(void **)&throw = find_in_libstdcxx("_ZSt17__throw_bad_allocv");
    if (throw != NULL)
        throw();
    report_warning("operator new: out of memory, and no libstdc++ to throw std::bad_alloc");
    os_abort();
}

static void *allocate(size_t size, size_t alignment)
{
    return alignment <= BLOCK_ALIGNMENT ? alloc_block(size) : alloc_aligned(alignment, size);
}

/* Tries until there is memory or no handler; NULL then. */
static COLD void *new_with_handler(size_t size, size_t alignment)
{
    for (;;) {
        new_handler handler = current_new_handler();
        if (handler == NULL)
            return NULL;
        handler();
        void *block = allocate(size, alignment);
        if (block != NULL)
            return block;
    }
}

static COLD void *new_or_throw(size_t size, size_t alignment)
{
    void *block = new_with_handler(size, alignment);
    if (block == NULL)
        throw_bad_alloc();
    return block;
}

static ALWAYS_INLINE void *new_block(size_t size)
{
    void *block = alloc_block(size);
    return LIKELY(block != NULL) ? block : new_or_throw(size, 1);
}

static ALWAYS_INLINE void *new_aligned(size_t size, size_t alignment)
{
    void *block = allocate(size, alignment);
    return LIKELY(block != NULL) ? block : new_or_throw(size, alignment);
}

/* ---- new, new[]: plain, nothrow, aligned, aligned nothrow ---- */

EXPORT void *_Znwm(size_t size)
{
    return new_block(size);
}

/*
 * Out of memory in a nothrow form. A handler may throw, and only C++ can catch that: libstdc++'s
 * own function of the same name does, around a call of our throwing form.
 */
static COLD void *new_or_null(const char *name, size_t size, const struct nothrow *nothrow)
{
    if (current_new_handler() == NULL)
        return NULL;
    void *(*new)(size_t, const struct nothrow *);
    *(void **)&new = find_in_libstdcxx(name);
    return new == NULL ? NULL : new (size, nothrow);
}

static COLD void *new_aligned_or_null(const char *name, size_t size, size_t alignment,
                                      const struct nothrow *nothrow)
{
    if (current_new_handler() == NULL)
        return NULL;
    void *(*new)(size_t, size_t, const struct nothrow *);
    *(void **)&new = find_in_libstdcxx(name);
    return new == NULL ? NULL : new (size, alignment, nothrow);
}

EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *nothrow)
{
    void *block = alloc_block(size);
    return LIKELY(block != NULL) ? block : new_or_null("_ZnwmRKSt9nothrow_t", size, nothrow);
}

EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
    return new_aligned(size, alignment);
}

EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                const struct nothrow *nothrow)
{
    void *block = allocate(size, alignment);
    if (LIKELY(block != NULL))
        return block;
    return new_aligned_or_null("_ZnwmSt11align_val_tRKSt9nothrow_t", size, alignment, nothrow);
}

EXPORT_ALIAS(_Znwm) void *_Znam(size_t size);
EXPORT_ALIAS(_ZnwmRKSt9nothrow_t)
void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *nothrow);
EXPORT_ALIAS(_ZnwmSt11align_val_t) void *_ZnamSt11align_val_t(size_t size, size_t alignment);
EXPORT_ALIAS(_ZnwmSt11align_val_tRKSt9nothrow_t)
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                         const struct nothrow *nothrow);

/* ---- delete, delete[]: plain, nothrow, sized, aligned and their combinations ---- */

/* Every form frees; what else it is told (size, alignment) is not needed. */
#define DEFINE_DELETE(symbol, form, ...)                                                           \
    EXPORT void symbol(void *p, ##__VA_ARGS__)                                                     \
    {                                                                                              \
        free_block_named(p, form);                                                                 \
    }

#define UNUSED __attribute__((unused))

DEFINE_DELETE(_ZdlPv, "operator delete")
DEFINE_DELETE(_ZdlPvm, "operator delete", UNUSED size_t size)
DEFINE_DELETE(_ZdlPvRKSt9nothrow_t, "operator delete", UNUSED const struct nothrow *tag)
DEFINE_DELETE(_ZdlPvSt11align_val_t, "operator delete", UNUSED size_t alignment)
DEFINE_DELETE(_ZdlPvmSt11align_val_t, "operator delete", UNUSED size_t size,
              UNUSED size_t alignment)
DEFINE_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, "operator delete", UNUSED size_t alignment,
              UNUSED const struct nothrow *tag)

DEFINE_DELETE(_ZdaPv, "operator delete[]")
DEFINE_DELETE(_ZdaPvm, "operator delete[]", UNUSED size_t size)
DEFINE_DELETE(_ZdaPvRKSt9nothrow_t, "operator delete[]", UNUSED const struct nothrow *tag)
DEFINE_DELETE(_ZdaPvSt11align_val_t, "operator delete[]", UNUSED size_t alignment)
DEFINE_DELETE(_ZdaPvmSt11align_val_t, "operator delete[]", UNUSED size_t size,
              UNUSED size_t alignment)
DEFINE_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, "operator delete[]", UNUSED size_t alignment,
              UNUSED const struct nothrow *tag)
