/*
 * All forms of operator new and delete, with the new_handler, std::bad_alloc and an exception that
 * passes the frame. They are called as functions, so that no compiler can leave a pair out.
 */
#include "check.h"
#include <malloc.h>
#include <new>
#include <sys/resource.h>
#include <vector>

/* Compilers without sized deallocation by default do not declare these. */
void operator delete(void *, std::size_t) noexcept;
void operator delete[](void *, std::size_t) noexcept;
void operator delete(void *, std::size_t, std::align_val_t) noexcept;
void operator delete[](void *, std::size_t, std::align_val_t) noexcept;

static const std::align_val_t page = std::align_val_t(4096);

static bool is_good(void *block, size_t alignment, size_t size)
{
    return block != nullptr && is_aligned(block, alignment) && malloc_usable_size(block) >= size;
}

static void test_names_are_bound()
{
    static const char *const names[] = {
        "_Znwm",                               /* operator new(size_t) */
        "_Znam",                               /* operator new[](size_t) */
        "_ZnwmRKSt9nothrow_t",                 /* operator new(size_t, nothrow) */
        "_ZnamRKSt9nothrow_t",                 /* operator new[](size_t, nothrow) */
        "_ZnwmSt11align_val_t",                /* operator new(size_t, align) */
        "_ZnamSt11align_val_t",                /* operator new[](size_t, align) */
        "_ZnwmSt11align_val_tRKSt9nothrow_t",  /* operator new(size_t, align, nothrow) */
        "_ZnamSt11align_val_tRKSt9nothrow_t",  /* operator new[](size_t, align, nothrow) */
        "_ZdlPv",                              /* operator delete(void *) */
        "_ZdaPv",                              /* operator delete[](void *) */
        "_ZdlPvRKSt9nothrow_t",                /* operator delete(void *, nothrow) */
        "_ZdaPvRKSt9nothrow_t",                /* operator delete[](void *, nothrow) */
        "_ZdlPvm",                             /* operator delete(void *, size_t) */
        "_ZdaPvm",                             /* operator delete[](void *, size_t) */
        "_ZdlPvSt11align_val_t",               /* operator delete(void *, align) */
        "_ZdaPvSt11align_val_t",               /* operator delete[](void *, align) */
        "_ZdlPvSt11align_val_tRKSt9nothrow_t", /* operator delete(void *, align, nothrow) */
        "_ZdaPvSt11align_val_tRKSt9nothrow_t", /* operator delete[](void *, align, nothrow) */
        "_ZdlPvmSt11align_val_t",              /* operator delete(void *, size_t, align) */
        "_ZdaPvmSt11align_val_t",              /* operator delete[](void *, size_t, align) */
    };
    for (const char *name : names)
        check_is_acre(name);
}

static void test_all_forms()
{
    for (size_t size : {0, 1, 24, 1000, 30000, 700000, 3000000}) {
        void *block = hide(operator new(size));
        CHECK(is_good(block, 16, size));
        operator delete(block);
        block = hide(operator new[](size));
        CHECK(is_good(block, 16, size));
        operator delete[](block);
        block = hide(operator new(size, std::nothrow));
        CHECK(is_good(block, 16, size));
        operator delete(block, std::nothrow);
        block = hide(operator new[](size, std::nothrow));
        CHECK(is_good(block, 16, size));
        operator delete[](block, std::nothrow);
        block = hide(operator new(size));
        operator delete(block, size);
        block = hide(operator new[](size));
        operator delete[](block, size);
        block = hide(operator new(size, page));
        CHECK(is_good(block, 4096, size));
        operator delete(block, page);
        block = hide(operator new[](size, page));
        CHECK(is_good(block, 4096, size));
        operator delete[](block, page);
        block = hide(operator new(size, page, std::nothrow));
        CHECK(is_good(block, 4096, size));
        operator delete(block, page, std::nothrow);
        block = hide(operator new[](size, page, std::nothrow));
        CHECK(is_good(block, 4096, size));
        operator delete[](block, page, std::nothrow);
        block = hide(operator new(size, page));
        operator delete(block, size, page);
        block = hide(operator new[](size, page));
        operator delete[](block, size, page);
    }
}

static void test_delete_of_null()
{
    errno = ERANGE;
    operator delete(hide(nullptr));
    operator delete[](hide(nullptr));
    operator delete(hide(nullptr), std::nothrow);
    operator delete[](hide(nullptr), std::nothrow);
    operator delete(hide(nullptr), size_t(8));
    operator delete[](hide(nullptr), size_t(8));
    operator delete(hide(nullptr), page);
    operator delete[](hide(nullptr), page);
    operator delete(hide(nullptr), page, std::nothrow);
    operator delete[](hide(nullptr), page, std::nothrow);
    operator delete(hide(nullptr), size_t(8), page);
    operator delete[](hide(nullptr), size_t(8), page);
    CHECK(errno == ERANGE);
}

/* Counts its own destruction: shows that unwinding went through this frame. */
struct Witness {
    int &destroyed;
    ~Witness()
    {
        destroyed++;
    }
};

/* Calls one throwing form with a size that cannot be had. */
static void call_throwing(int form, size_t size, int &destroyed)
{
    Witness witness{destroyed};
    switch (form) {
    case 0:
        operator delete(hide(operator new(size)));
        break;
    case 1:
        operator delete[](hide(operator new[](size)));
        break;
    case 2:
        operator delete(hide(operator new(size, page)), page);
        break;
    default:
        operator delete[](hide(operator new[](size, page)), page);
        break;
    }
    CHECK(!"operator new should have thrown");
}

static void test_bad_alloc()
{
    int destroyed = 0, caught = 0;
    for (size_t size : {SIZE_MAX, SIZE_MAX - 4095, size_t(PTRDIFF_MAX) + 1, size_t(1) << 62})
        for (int form = 0; form < 4; form++)
            try {
                call_throwing(form, hide_size(size), destroyed);
            } catch (const std::bad_alloc &) {
                caught++;
            }
    CHECK(caught == 16 && destroyed == 16);
    size_t impossible = hide_size(SIZE_MAX);
    CHECK(hide(operator new(impossible, std::nothrow)) == nullptr);
    CHECK(hide(operator new[](impossible, std::nothrow)) == nullptr);
    CHECK(hide(operator new(impossible, page, std::nothrow)) == nullptr);
    CHECK(hide(operator new[](impossible, page, std::nothrow)) == nullptr);
}

static int handler_calls;

/* Gives up at its third call. */
static void handle_three_times()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

struct HandlerFault {
};

static void handle_by_throwing()
{
    handler_calls++;
    throw HandlerFault();
}

static void test_new_handler()
{
    int destroyed = 0;
    for (int form = 0; form < 4; form++) {
        handler_calls = 0;
        std::set_new_handler(handle_three_times);
        try {
            call_throwing(form, hide_size(SIZE_MAX), destroyed);
        } catch (const std::bad_alloc &) {
            CHECK(handler_calls == 3);
        }
        handler_calls = 0;
        std::set_new_handler(handle_by_throwing);
        try {
            call_throwing(form, hide_size(SIZE_MAX), destroyed);
        } catch (const HandlerFault &) {
            CHECK(handler_calls == 1);
        }
    }
    CHECK(destroyed == 8);
    std::set_new_handler(handle_three_times);
    handler_calls = 0;
    CHECK(hide(operator new(hide_size(SIZE_MAX), std::nothrow)) == nullptr && handler_calls == 3);
    std::set_new_handler(nullptr);
}

/* An alignment that is none cannot be had. */
static void test_bad_alignment()
{
    for (size_t alignment : {0, 3, 48, 4097})
        for (int form = 0; form < 2; form++)
            try {
                std::align_val_t bad = std::align_val_t(hide_size(alignment));
                void *block = hide(form == 0 ? operator new(8, bad) : operator new[](8, bad));
                CHECK(block == nullptr);
            } catch (const std::bad_alloc &) {
                continue;
            }
}

static const size_t reserve_size = 512 * CHECK_MIB;
static void *reserve;

/* What a program does that keeps memory for the time when there is none. */
static void free_reserve()
{
    handler_calls++;
    free(reserve);
    reserve = nullptr;
    std::set_new_handler(nullptr);
}

/* Allocates by one of eight forms, and frees. */
static bool can_allocate(int form, size_t size)
{
    void *block = nullptr;
    switch (form) {
    case 0:
        operator delete(block = hide(operator new(size)));
        break;
    case 1:
        operator delete[](block = hide(operator new[](size)));
        break;
    case 2:
        operator delete(block = hide(operator new(size, page)), page);
        break;
    case 3:
        operator delete[](block = hide(operator new[](size, page)), page);
        break;
    case 4:
        operator delete(block = hide(operator new(size, std::nothrow)), std::nothrow);
        break;
    case 5:
        operator delete[](block = hide(operator new[](size, std::nothrow)), std::nothrow);
        break;
    case 6:
        operator delete(block = hide(operator new(size, page, std::nothrow)), page, std::nothrow);
        break;
    default:
        operator delete[](block = hide(operator new[](size, page, std::nothrow)), page,
                          std::nothrow);
        break;
    }
    return block != nullptr;
}

/* A handler that frees memory: what failed is tried again, and succeeds. */
static void test_handler_that_frees()
{
    struct rlimit old_limit, limit;
    CHECK(getrlimit(RLIMIT_AS, &old_limit) == 0);
    for (int form = 0; form < 8; form++) {
        malloc_trim(0);
        reserve = malloc(reserve_size);
        CHECK(reserve != nullptr);
        limit = old_limit;
        limit.rlim_cur = mapped_bytes() + reserve_size / 8;
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        handler_calls = 0;
        std::set_new_handler(free_reserve);
        bool allocated = false;
        try {
            allocated = can_allocate(form, reserve_size / 2);
        } catch (const std::bad_alloc &) {
        }
        CHECK(setrlimit(RLIMIT_AS, &old_limit) == 0);
        CHECK(allocated && handler_calls == 1 && reserve == nullptr);
    }
}

/* The nothrow forms swallow what the handler throws. */
static void test_nothrow_with_throwing_handler()
{
    std::set_new_handler(handle_by_throwing);
    size_t impossible = hide_size(SIZE_MAX);
    for (int form = 0; form < 4; form++) {
        handler_calls = 0;
        void *block = form == 0   ? operator new(impossible, std::nothrow)
                      : form == 1 ? operator new[](impossible, std::nothrow)
                      : form == 2 ? operator new(impossible, page, std::nothrow)
                                  :
                                  operator new[](impossible, page, std::nothrow);
        CHECK(hide(block) == nullptr && handler_calls == 1);
    }
    std::set_new_handler(nullptr);
}

struct alignas(256) Wide {
    char bytes[300];
};

/* The expressions rather than the functions, and the containers that use them. */
static void test_expressions()
{
    Wide *wide = new Wide[7];
    CHECK(is_aligned(wide, 256));
    delete[] wide;
    std::vector<Wide> many(100);
    CHECK(is_aligned(many.data(), 256));
    std::vector<std::vector<int>> rows;
    for (int i = 0; i < 1000; i++)
        rows.push_back(std::vector<int>(size_t(i), i));
    for (int i = 1; i < 1000; i++)
        CHECK(rows[size_t(i)].back() == i);
}

int main()
{
    check_begin();
    test_names_are_bound();
    test_all_forms();
    test_delete_of_null();
    test_bad_alloc();
    test_bad_alignment();
    test_new_handler();
    test_handler_that_frees();
    test_nothrow_with_throwing_handler();
    test_expressions();
    return 0;
}
