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
 * new calls the program's new_handler until there is memory, and throws std::bad_alloc if there is
 * no handler. This file is compiled with unwind tables and -fexceptions, so the exception passes
 * through its frames.
 *
 * With option mismatch all forms go the longer way, on which they note what they allocate and
 * compare what they free (paths/mismatch.h), if the program replaces none.
 */
#include "api/api.h"

#include "base/os.h"
#include "base/report.h"

#include <dlfcn.h>
#include <stdlib.h>

static_assert(sizeof(size_t) == sizeof(unsigned long), "size_t is mangled as m below");

#define EXPORT_OPERATOR __attribute__((visibility("default"), weak))

/* Declares a form in which others end, and a name for this library's definition of it. */
#define DECLARE(result, symbol, own, ...)                                                          \
    EXPORT_OPERATOR result symbol(__VA_ARGS__);                                                    \
    OWN_ALIAS(symbol) result own(__VA_ARGS__)

DECLARE(void *, _Znwm, own_new, size_t size);
DECLARE(void *, _ZnwmSt11align_val_t, own_new_aligned, size_t size, size_t alignment);
DECLARE(void, _ZdlPv, own_delete, void *p);
DECLARE(void, _ZdaPv, own_delete_array, void *p);
DECLARE(void, _ZdlPvSt11align_val_t, own_delete_aligned, void *p, size_t alignment);
DECLARE(void, _ZdaPvSt11align_val_t, own_delete_array_aligned, void *p, size_t alignment);

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

/* What the runtime has by that name: the one linked in, or else one that was loaded later. */
#define FIND(symbol)                                                                               \
    ((const void *)(symbol) != NULL ? (const void *)(symbol) : find_in_runtime(#symbol))

static new_handler current_new_handler(void)
{
    new_handler (*get)(void);
    *(const void **)&get = FIND(_ZSt15get_new_handlerv);
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
    *(const void **)&allocate = FIND(__cxa_allocate_exception);
    *(const void **)&throw = FIND(__cxa_throw);
    const void *type = FIND(_ZTISt9bad_alloc);
    const void *const *table = FIND(_ZTVSt9bad_alloc);
    if (type == NULL || table == NULL) {
        type = FIND(_ZTISt9exception);
        table = FIND(_ZTVSt9exception);
    }
    if (allocate != NULL && throw != NULL && type != NULL && table != NULL) {
        const void *const **exception = allocate(sizeof(*exception));
        *exception = table + FIRST_VIRTUAL;
        throw(exception, type, NULL);
    }
    report_warning("operator new: out of memory, and no C++ runtime to throw std::bad_alloc");
    os_abort();
}

/* ---- new, new[] ---- */

enum { PLAIN = 0 }; /* in the place of an alignment: the form has none */

/* Allocates by the chosen malloc or aligned_alloc. NULL if there is no memory. */
static void *try_new(size_t size, size_t alignment)
{
    if (LIKELY(api_own.family || api_own.family_checked))
        return alignment <= BLOCK_ALIGNMENT ? alloc_block(size) : alloc_aligned(alignment, size);
    /* the program's may refuse 0 bytes, and sizes that are no multiple of the alignment */
    size = max_size(size, 1);
    if (alignment == PLAIN)
        return CHOSEN(malloc)(size);
    return size <= PTRDIFF_MAX ? CHOSEN(aligned_alloc)(alignment, align_up(size, alignment)) : NULL;
}

static COLD void note_allocated(const void *block, enum mismatch_family family, size_t size,
                                size_t alignment)
{
    mismatch_allocated(block, (struct mismatch_call){family, size, alignment});
}

/* Allocates, and calls the handler until there is memory. */
static NOINLINE void *new_slow(size_t size, size_t alignment)
{
    for (;;) {
        void *block = try_new(size, alignment);
        if (LIKELY(block != NULL)) {
            if (UNLIKELY(api_own.operators_checked))
                note_allocated(block, FAMILY_NEW, size, alignment);
            return block;
        }
        new_handler handler = current_new_handler();
        if (handler == NULL)
            throw_bad_alloc();
        handler();
    }
}

EXPORT_OPERATOR void *_Znwm(size_t size)
{
    void *block;
    return LIKELY(api_own.operators && alloc_at_hand(size, &block)) ? block : new_slow(size, PLAIN);
}

/* new[] ends in new. */
static NOINLINE void *new_array_slow(size_t size)
{
    void *block = CHOSEN(_Znwm)(size);
    if (UNLIKELY(api_own.operators_checked))
        note_allocated(block, FAMILY_NEW_ARRAY, size, PLAIN);
    return block;
}

EXPORT_OPERATOR void *_Znam(size_t size)
{
    void *block;
    return LIKELY(api_own.operators && alloc_at_hand(size, &block)) ? block : new_array_slow(size);
}

EXPORT_OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
    if (!is_power_of_two(alignment))
        throw_bad_alloc();
    return new_slow(size, alignment);
}

EXPORT_OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t alignment)
{
    void *block = CHOSEN(_ZnwmSt11align_val_t)(size, alignment);
    if (UNLIKELY(api_own.operators_checked))
        note_allocated(block, FAMILY_NEW_ARRAY, size, alignment);
    return block;
}

/* ---- the same with std::nothrow ---- */

struct nothrow; /* std::nothrow_t */
#define TAG const struct nothrow *tag

#ifdef PIC

enum form { NEW, NEW_ARRAY, NEW_ALIGNED, NEW_ARRAY_ALIGNED, FORMS };

static const void *runtime_form(enum form form)
{
    static const char *const names[FORMS] = {
        "_ZnwmRKSt9nothrow_t",
        "_ZnamRKSt9nothrow_t",
        "_ZnwmSt11align_val_tRKSt9nothrow_t",
        "_ZnamSt11align_val_tRKSt9nothrow_t",
    };
    static const void *functions[FORMS]; /* [any] NULL until it has been found */
    const void *function = __atomic_load_n(&functions[form], __ATOMIC_RELAXED);
    if (function == NULL) {
        function = find_in_runtime(names[form]);
        __atomic_store_n(&functions[form], function, __ATOMIC_RELAXED);
    }
    return function;
}

/* If this library cannot, the runtime's form allocates; without a runtime the form that throws,
 * since nothing could catch. */
static void *new_nothrow(enum form form, size_t size, size_t alignment, TAG)
{
    if (LIKELY(api_own.operators)) {
        bool valid = form < NEW_ALIGNED || is_power_of_two(alignment);
        void *block = valid ? try_new(size, alignment) : NULL;
        if (block != NULL || current_new_handler() == NULL)
            return block;
    }
    void *(*plain)(size_t, TAG);
    void *(*aligned)(size_t, size_t, TAG);
    *(const void **)&plain = *(const void **)&aligned = runtime_form(form);
    if (plain != NULL)
        return form < NEW_ALIGNED ? plain(size, tag) : aligned(size, alignment, tag);
    if (form < NEW_ALIGNED)
        return (form == NEW ? CHOSEN(_Znwm) : CHOSEN(_Znam))(size);
    return (form == NEW_ALIGNED ? CHOSEN(_ZnwmSt11align_val_t)
                                : CHOSEN(_ZnamSt11align_val_t))(size, alignment);
}

EXPORT_OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, TAG)
{
    return new_nothrow(NEW, size, PLAIN, tag);
}

EXPORT_OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, TAG)
{
    return new_nothrow(NEW_ARRAY, size, PLAIN, tag);
}

EXPORT_OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, TAG)
{
    return new_nothrow(NEW_ALIGNED, size, alignment, tag);
}

EXPORT_OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, TAG)
{
    return new_nothrow(NEW_ARRAY_ALIGNED, size, alignment, tag);
}

/* Finds all forms, so that no dlopen is needed while the program allocates. */
static void find_forms(void)
{
    for (enum form form = NEW; form < FORMS; form++)
        (void)runtime_form(form);
}

#else

static void find_forms(void)
{
}

#endif

/* ---- delete, delete[] ---- */

/* The first form in which another one may end. */
enum end { END_FREE, END_DELETE, END_DELETE_ARRAY };

/* Frees p by the first definition, from `end` on, that is the program's; a report of this library
 * names `form`. */
static COLD void end_in(enum end end, void *p, const char *form)
{
    if (end == END_DELETE_ARRAY && CHOSEN(_ZdaPv) != own_delete_array)
        CHOSEN(_ZdaPv)(p);
    else if (end != END_FREE && CHOSEN(_ZdlPv) != own_delete)
        CHOSEN(_ZdlPv)(p);
    else
        api_free(p, form);
}

static COLD void end_in_aligned(enum end end, void *p, size_t alignment, const char *form)
{
    if (end == END_DELETE_ARRAY && CHOSEN(_ZdaPvSt11align_val_t) != own_delete_array_aligned)
        CHOSEN(_ZdaPvSt11align_val_t)(p, alignment);
    else if (end != END_FREE && CHOSEN(_ZdlPvSt11align_val_t) != own_delete_aligned)
        CHOSEN(_ZdlPvSt11align_val_t)(p, alignment);
    else
        api_free(p, form);
}

static COLD void check_freed(const void *p, enum mismatch_family family, size_t size,
                             size_t alignment, const char *form)
{
    mismatch_check(p, (struct mismatch_call){family, size, alignment}, form);
}

#define UNUSED __attribute__((unused))

/* Defines a form of delete, which needs no size or alignment if the program replaces nothing and no
 * option asks for them. */
#define DEFINE_DELETE(symbol, form, family, size, alignment, end, ...)                             \
    EXPORT_OPERATOR void symbol(void *p, ##__VA_ARGS__)                                            \
    {                                                                                              \
        if (LIKELY(api_own.operators)) {                                                           \
            free_block_named(p, form);                                                             \
        } else {                                                                                   \
            if (api_own.operators_checked)                                                         \
                check_freed(p, family, size, alignment, form);                                     \
            end;                                                                                   \
        }                                                                                          \
    }

/* The forms of delete or delete[]; those with a size or a tag end in the one
 * without. */
#define DEFINE_FORMS(symbol, form, family, first, others)                                          \
    DEFINE_DELETE(symbol, form, family, MISMATCH_NOT_TOLD, PLAIN, end_in(first, p, form))          \
    DEFINE_DELETE(symbol##m, form, family, size, PLAIN, end_in(others, p, form), size_t size)      \
    DEFINE_DELETE(symbol##RKSt9nothrow_t, form, family, MISMATCH_NOT_TOLD, PLAIN,                  \
                  end_in(others, p, form), UNUSED TAG)                                             \
    DEFINE_DELETE(symbol##St11align_val_t, form, family, MISMATCH_NOT_TOLD, alignment,             \
                  end_in_aligned(first, p, alignment, form), size_t alignment)                     \
    DEFINE_DELETE(symbol##mSt11align_val_t, form, family, size, alignment,                         \
                  end_in_aligned(others, p, alignment, form), size_t size, size_t alignment)       \
    DEFINE_DELETE(symbol##St11align_val_tRKSt9nothrow_t, form, family, MISMATCH_NOT_TOLD,          \
                  alignment, end_in_aligned(others, p, alignment, form), size_t alignment,         \
                  UNUSED TAG)

DEFINE_FORMS(_ZdlPv, "operator delete", FAMILY_NEW, END_FREE, END_DELETE)
DEFINE_FORMS(_ZdaPv, "operator delete[]", FAMILY_NEW_ARRAY, END_DELETE, END_DELETE_ARRAY)

/* ---- which of them the program replaces ---- */

/* Until this has run, all forms go the longer way, which is right in any case. */
void api_find_operators(void)
{
    bool own = api_family_is_own() && !IS_REPLACED(_Znwm, own_new) &&
               !IS_REPLACED(_ZnwmSt11align_val_t, own_new_aligned) &&
               !IS_REPLACED(_ZdlPv, own_delete) && !IS_REPLACED(_ZdaPv, own_delete_array) &&
               !IS_REPLACED(_ZdlPvSt11align_val_t, own_delete_aligned) &&
               !IS_REPLACED(_ZdaPvSt11align_val_t, own_delete_array_aligned);
    api_own.operators = own && !mismatch_is_on();
    api_own.operators_checked = own && mismatch_is_on();
    if (!api_own.operators)
        find_forms();
}
