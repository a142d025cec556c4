/*
 * C++ operators new and delete, in C: the names are those of the Itanium C++ ABI, the same for
 * every Linux.
 *
 * A program may replace any form, and malloc and free. A form that it does not replace ends in
 * those that it replaces, as in libstdc++ ([new.delete]):
 *
 *   new[] ----------------> new ----------------> malloc
 *   delete[] with a size -> delete[] -> delete -> free
 *   delete with a size ---------------> delete
 *
 * Forms with std::align_val_t do the same among themselves, with aligned_alloc in the place of
 * malloc. A form with std::nothrow ends in the form without it. If that may throw, which C cannot
 * catch, the C++ runtime's form of the same name is called instead. The archive has no nothrow
 * forms of new: they would take the place of the runtime's. All forms are weak: in a static link a
 * definition of the program takes their place.
 *
 * new calls the program's new_handler until there is memory, and throws std::bad_alloc where there
 * is no handler. This file is compiled with unwind tables and -fexceptions, so the exception passes
 * through its frames.
 */
#include "api/api.h"

#include "base/os.h"
#include "base/report.h"

#include <dlfcn.h>
#include <stdlib.h>

static_assert(sizeof(size_t) == sizeof(unsigned long), "size_t is mangled as m below");

#define EXPORT_OPERATOR(own) __attribute__((visibility("default"), weak, alias(#own)))

/* ---- what the C++ runtime has ---- */

/*
 * The shared library may be loaded without a C++ runtime, or before one. The archive is linked with
 * one.
 */
#ifdef PIC
#define RUNTIME __attribute__((weak))

/* Finds a function or object of a C++ runtime that is loaded, without loading one. */
static const void *find_in_runtime(const char *name)
{
    static const char *const runtimes[] = {"libstdc++.so.6", "libc++abi.so.1", "libc++.so.1"};
    for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
        void *library = dlopen(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
        const void *symbol = library == NULL ? NULL : dlsym(library, name);
        if (symbol != NULL)
            return symbol;
    }
    return NULL;
}
#else
#define RUNTIME

static const void *find_in_runtime(const char *name)
{
    (void)name;
    return NULL;
}
#endif

typedef void (*new_handler)(void);

extern RUNTIME new_handler _ZSt15get_new_handlerv(void); /* std::get_new_handler() */
extern RUNTIME void *__cxa_allocate_exception(size_t size);
extern RUNTIME void __cxa_throw(void *exception, const void *type, void (*destroy)(void *));
extern RUNTIME const char _ZTISt9bad_alloc[];        /* the std::type_info of std::bad_alloc */
extern RUNTIME const void *const _ZTVSt9bad_alloc[]; /* its virtual functions */
extern RUNTIME const char _ZTISt9exception[];        /* the same of std::exception */
extern RUNTIME const void *const _ZTVSt9exception[];

enum {
    FIRST_VIRTUAL = 2, /* the element of _ZTVSt9bad_alloc that an object points to */
};

/* What the runtime has by that name: `linked`, or else that of a runtime that was loaded later. */
static const void *find_runtime(const void *linked, const char *name)
{
    return linked != NULL ? linked : find_in_runtime(name);
}

static new_handler current_new_handler(void)
{
    new_handler (*get)(void);
    *(const void **)&get = find_runtime(_ZSt15get_new_handlerv, "_ZSt15get_new_handlerv");
    return get == NULL ? NULL : get();
}

/*
 * Throws std::bad_alloc as a compiler would: an object that has nothing but its virtual functions.
 * A program that has the runtime linked in, by -static-libstdc++, may be without std::bad_alloc if
 * it does not name it. Then std::exception, which is always there, is thrown in its place: such a
 * program cannot tell the two apart.
 */
static _Noreturn void throw_bad_alloc(void)
{
    void *(*allocate)(size_t);
    void (*throw)(void *, const void *, void (*)(void *));
    *(const void **)&allocate = find_runtime(__cxa_allocate_exception, "__cxa_allocate_exception");
    *(const void **)&throw = find_runtime(__cxa_throw, "__cxa_throw");
    const void *type = find_runtime(_ZTISt9bad_alloc, "_ZTISt9bad_alloc");
    const void *const *table = find_runtime(_ZTVSt9bad_alloc, "_ZTVSt9bad_alloc");
    if (type == NULL || table == NULL) {
        type = find_runtime(_ZTISt9exception, "_ZTISt9exception");
        table = find_runtime(_ZTVSt9exception, "_ZTVSt9exception");
    }
    if (allocate != NULL && throw != NULL && type != NULL && table != NULL) {
        const void *const **exception = allocate(sizeof(*exception));
        *exception = table + FIRST_VIRTUAL;
        throw(exception, type, NULL);
    }
    report_warning("operator new: out of memory, and no C++ runtime to throw std::bad_alloc");
    os_abort();
}

/* ---- new, new[]: plain and aligned ---- */

enum { PLAIN = 0 }; /* in the place of an alignment: the form has none */

static ALWAYS_INLINE void *alloc_to(size_t alignment, size_t size)
{
    return alignment <= BLOCK_ALIGNMENT ? alloc_block(size) : alloc_aligned(alignment, size);
}

/* Allocates by the chosen malloc or aligned_alloc. NULL if there is no memory. */
static void *try_new(size_t size, size_t alignment)
{
    if (api_own.family)
        return alloc_to(alignment, size);
    /* the program's may refuse 0 bytes, and sizes that are no multiple of the alignment */
    size = max_size(size, 1);
    if (alignment == PLAIN)
        return CHOSEN(malloc)(size);
    return size <= PTRDIFF_MAX ? CHOSEN(aligned_alloc)(alignment, align_up(size, alignment)) : NULL;
}

/* There was no memory: tries again after each call of the handler. */
static COLD void *new_by_handler(size_t size, size_t alignment)
{
    for (;;) {
        new_handler handler = current_new_handler();
        if (handler == NULL)
            throw_bad_alloc();
        handler();
        void *block = try_new(size, alignment);
        if (block != NULL)
            return block;
    }
}

/* The plain and the aligned form, where the program replaces something. */
static NOINLINE void *new_by_malloc(size_t size, size_t alignment)
{
    void *block = try_new(size, alignment);
    return block != NULL ? block : new_by_handler(size, alignment);
}

/* The plain form, where the program replaces nothing and no block is at hand. */
static NOINLINE void *new_slow(size_t size)
{
    void *block = alloc_slow(size);
    return block != NULL ? block : new_by_handler(size, PLAIN);
}

static ALWAYS_INLINE void *new_block(size_t size)
{
    void *block;
    return LIKELY(alloc_at_hand(size, &block)) ? block : new_slow(size);
}

static ALWAYS_INLINE void *new_block_aligned(size_t size, size_t alignment)
{
    if (UNLIKELY(!is_power_of_two(alignment)))
        throw_bad_alloc();
    void *block = alloc_to(alignment, size);
    return LIKELY(block != NULL) ? block : new_by_handler(size, alignment);
}

static void *own_new(size_t size)
{
    return LIKELY(api_own.operators) ? new_block(size) : new_by_malloc(size, PLAIN);
}

EXPORT_OPERATOR(own_new) void *_Znwm(size_t size);

static void *own_new_array(size_t size)
{
    return LIKELY(api_own.operators) ? new_block(size) : CHOSEN(_Znwm)(size);
}

EXPORT_OPERATOR(own_new_array) void *_Znam(size_t size);

static void *own_new_aligned(size_t size, size_t alignment)
{
    if (LIKELY(api_own.operators))
        return new_block_aligned(size, alignment);
    if (!is_power_of_two(alignment))
        throw_bad_alloc();
    return new_by_malloc(size, alignment);
}

EXPORT_OPERATOR(own_new_aligned) void *_ZnwmSt11align_val_t(size_t size, size_t alignment);

static void *own_new_array_aligned(size_t size, size_t alignment)
{
    return LIKELY(api_own.operators) ? new_block_aligned(size, alignment)
                                     : CHOSEN(_ZnwmSt11align_val_t)(size, alignment);
}

EXPORT_OPERATOR(own_new_array_aligned) void *_ZnamSt11align_val_t(size_t size, size_t alignment);

/* ---- the same with std::nothrow ---- */

struct nothrow; /* std::nothrow_t */

#ifdef PIC

/* The C++ runtime's forms with std::nothrow: they call the form without it, and catch. */
static struct runtime_form {
    const char *name;
    const void *function; /* NULL until it has been found [any, relaxed] */
} forms[] = {
    {.name = "_ZnwmRKSt9nothrow_t"},
    {.name = "_ZnamRKSt9nothrow_t"},
    {.name = "_ZnwmSt11align_val_tRKSt9nothrow_t"},
    {.name = "_ZnamSt11align_val_tRKSt9nothrow_t"},
};

enum { NEW, NEW_ARRAY, NEW_ALIGNED, NEW_ARRAY_ALIGNED, FORMS }; /* indices */

static_assert(sizeof(forms) / sizeof(forms[0]) == FORMS, "each form has an index");

static const void *runtime_function(struct runtime_form *form)
{
    const void *function = __atomic_load_n(&form->function, __ATOMIC_RELAXED);
    if (function == NULL) {
        function = find_in_runtime(form->name);
        __atomic_store_n(&form->function, function, __ATOMIC_RELAXED);
    }
    return function;
}

/* No block is at hand, or the program replaces something. Without a runtime the form that throws is
 * called: nothing could catch. */
static NOINLINE void *new_nothrow_slow(size_t size, const struct nothrow *tag,
                                       struct runtime_form *form, void *(*throwing)(size_t))
{
    if (api_own.operators) {
        void *block = alloc_slow(size);
        if (block != NULL || current_new_handler() == NULL)
            return block;
    }
    void *(*function)(size_t, const struct nothrow *);
    *(const void **)&function = runtime_function(form);
    return function != NULL ? function(size, tag) : throwing(size);
}

static void *new_aligned_nothrow(size_t size, size_t alignment, const struct nothrow *tag,
                                 struct runtime_form *form, void *(*throwing)(size_t, size_t))
{
    if (LIKELY(api_own.operators)) {
        void *block = is_power_of_two(alignment) ? alloc_to(alignment, size) : NULL;
        if (block != NULL || current_new_handler() == NULL)
            return block;
    }
    void *(*function)(size_t, size_t, const struct nothrow *);
    *(const void **)&function = runtime_function(form);
    return function != NULL ? function(size, alignment, tag) : throwing(size, alignment);
}

static void *own_new_nothrow(size_t size, const struct nothrow *tag)
{
    void *block;
    if (LIKELY(api_own.operators && alloc_at_hand(size, &block)))
        return block;
    return new_nothrow_slow(size, tag, &forms[NEW], CHOSEN(_Znwm));
}

static void *own_new_array_nothrow(size_t size, const struct nothrow *tag)
{
    void *block;
    if (LIKELY(api_own.operators && alloc_at_hand(size, &block)))
        return block;
    return new_nothrow_slow(size, tag, &forms[NEW_ARRAY], CHOSEN(_Znam));
}

static void *own_new_aligned_nothrow(size_t size, size_t alignment, const struct nothrow *tag)
{
    return new_aligned_nothrow(size, alignment, tag, &forms[NEW_ALIGNED],
                               CHOSEN(_ZnwmSt11align_val_t));
}

static void *own_new_array_aligned_nothrow(size_t size, size_t alignment, const struct nothrow *tag)
{
    return new_aligned_nothrow(size, alignment, tag, &forms[NEW_ARRAY_ALIGNED],
                               CHOSEN(_ZnamSt11align_val_t));
}

EXPORT_OPERATOR(own_new_nothrow)
void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag);
EXPORT_OPERATOR(own_new_array_nothrow)
void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag);
EXPORT_OPERATOR(own_new_aligned_nothrow)
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const struct nothrow *tag);
EXPORT_OPERATOR(own_new_array_aligned_nothrow)
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const struct nothrow *tag);

/* Finds all forms[], so that no dlopen is needed while the program allocates. */
static void find_forms(void)
{
    for (int i = 0; i < FORMS; i++)
        (void)runtime_function(&forms[i]);
}

#else

static void find_forms(void)
{
}

#endif

/* ---- delete, delete[]: plain, sized, aligned, nothrow ---- */

static void own_delete(void *p);
static void own_delete_array(void *p);
static void own_delete_aligned(void *p, size_t alignment);
static void own_delete_array_aligned(void *p, size_t alignment);

EXPORT_OPERATOR(own_delete) void _ZdlPv(void *p);
EXPORT_OPERATOR(own_delete_array) void _ZdaPv(void *p);
EXPORT_OPERATOR(own_delete_aligned) void _ZdlPvSt11align_val_t(void *p, size_t alignment);
EXPORT_OPERATOR(own_delete_array_aligned) void _ZdaPvSt11align_val_t(void *p, size_t alignment);

/* Free p by the chosen definition of a form; a report of this library names `form`, the form that
 * the program called. */
static COLD void end_in_delete(void *p, const char *form)
{
    if (CHOSEN(_ZdlPv) != own_delete)
        CHOSEN(_ZdlPv)(p);
    else
        api_free(p, form);
}

static COLD void end_in_delete_array(void *p, const char *form)
{
    if (CHOSEN(_ZdaPv) != own_delete_array)
        CHOSEN(_ZdaPv)(p);
    else
        end_in_delete(p, form);
}

static COLD void end_in_delete_aligned(void *p, size_t alignment, const char *form)
{
    if (CHOSEN(_ZdlPvSt11align_val_t) != own_delete_aligned)
        CHOSEN(_ZdlPvSt11align_val_t)(p, alignment);
    else
        api_free(p, form);
}

static COLD void end_in_delete_array_aligned(void *p, size_t alignment, const char *form)
{
    if (CHOSEN(_ZdaPvSt11align_val_t) != own_delete_array_aligned)
        CHOSEN(_ZdaPvSt11align_val_t)(p, alignment);
    else
        end_in_delete_aligned(p, alignment, form);
}

#define UNUSED __attribute__((unused))
#define TAG const struct nothrow *tag

/* Defines a form of delete, which needs no size or alignment. */
#define DEFINE_DELETE(own, name, end, ...)                                                         \
    static void own(void *p, ##__VA_ARGS__)                                                        \
    {                                                                                              \
        const char *form = name;                                                                   \
        if (LIKELY(api_own.operators))                                                             \
            free_block_named(p, form);                                                             \
        else                                                                                       \
            end;                                                                                   \
    }

DEFINE_DELETE(own_delete, "operator delete", api_free(p, form))
DEFINE_DELETE(own_delete_sized, "operator delete", end_in_delete(p, form), UNUSED size_t size)
DEFINE_DELETE(own_delete_nothrow, "operator delete", end_in_delete(p, form), UNUSED TAG)
DEFINE_DELETE(own_delete_aligned, "operator delete", api_free(p, form), UNUSED size_t alignment)
DEFINE_DELETE(own_delete_sized_aligned, "operator delete",
              end_in_delete_aligned(p, alignment, form), UNUSED size_t size, size_t alignment)
DEFINE_DELETE(own_delete_aligned_nothrow, "operator delete",
              end_in_delete_aligned(p, alignment, form), size_t alignment, UNUSED TAG)

DEFINE_DELETE(own_delete_array, "operator delete[]", end_in_delete(p, form))
DEFINE_DELETE(own_delete_array_sized, "operator delete[]", end_in_delete_array(p, form),
              UNUSED size_t size)
DEFINE_DELETE(own_delete_array_nothrow, "operator delete[]", end_in_delete_array(p, form),
              UNUSED TAG)
DEFINE_DELETE(own_delete_array_aligned, "operator delete[]",
              end_in_delete_aligned(p, alignment, form), size_t alignment)
DEFINE_DELETE(own_delete_array_sized_aligned, "operator delete[]",
              end_in_delete_array_aligned(p, alignment, form), UNUSED size_t size, size_t alignment)
DEFINE_DELETE(own_delete_array_aligned_nothrow, "operator delete[]",
              end_in_delete_array_aligned(p, alignment, form), size_t alignment, UNUSED TAG)

EXPORT_OPERATOR(own_delete_sized) void _ZdlPvm(void *p, size_t size);
EXPORT_OPERATOR(own_delete_nothrow) void _ZdlPvRKSt9nothrow_t(void *p, TAG);
EXPORT_OPERATOR(own_delete_sized_aligned)
void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t alignment);
EXPORT_OPERATOR(own_delete_aligned_nothrow)
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t alignment, TAG);

EXPORT_OPERATOR(own_delete_array_sized) void _ZdaPvm(void *p, size_t size);
EXPORT_OPERATOR(own_delete_array_nothrow) void _ZdaPvRKSt9nothrow_t(void *p, TAG);
EXPORT_OPERATOR(own_delete_array_sized_aligned)
void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t alignment);
EXPORT_OPERATOR(own_delete_array_aligned_nothrow)
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t alignment, TAG);

/* ---- which of them the program replaces ---- */

#define IS_REPLACED(symbol, own) api_is_replaced(CHOSEN(symbol), own, #symbol)

/* Until this has run, all forms go the longer way, which is right in any case. */
__attribute__((constructor)) static void find_replaced(void)
{
    api_own.operators = api_family_is_own() && !IS_REPLACED(_Znwm, own_new) &&
                        !IS_REPLACED(_ZnwmSt11align_val_t, own_new_aligned) &&
                        !IS_REPLACED(_ZdlPv, own_delete) &&
                        !IS_REPLACED(_ZdaPv, own_delete_array) &&
                        !IS_REPLACED(_ZdlPvSt11align_val_t, own_delete_aligned) &&
                        !IS_REPLACED(_ZdaPvSt11align_val_t, own_delete_array_aligned);
    if (!api_own.operators)
        find_forms();
}
