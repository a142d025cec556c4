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
    static const char *const names[] = {"_Znwm",
                                        "_Znam",
                                        "_ZnwmRKSt9nothrow_t",
                                        "_ZnamRKSt9nothrow_t",
                                        "_ZnwmSt11align_val_t",
                                        "_ZnamSt11align_val_t",
                                        "_ZnwmSt11align_val_tRKSt9nothrow_t",
                                        "_ZnamSt11align_val_tRKSt9nothrow_t",
                                        "_ZdlPv",
                                        "_ZdaPv",
                                        "_ZdlPvRKSt9nothrow_t",
                                        "_ZdaPvRKSt9nothrow_t",
                                        "_ZdlPvm",
                                        "_ZdaPvm",
                                        "_ZdlPvSt11align_val_t",
                                        "_ZdaPvSt11align_val_t",
                                        "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                                        "_ZdaPvSt11align_val_tRKSt9nothrow_t",
                                        "_ZdlPvmSt11align_val_t",
                                        "_ZdaPvmSt11align_val_t"};
    for (const char *name : names)
        check_is_acre(name);
}

/* A form of operator new, and the forms of delete that go with it. */
struct Form {
    void *(*make)(size_t);
    void (*give)(void *);
    void (*give_sized)(void *, size_t);
    bool throws;
    size_t alignment;
};

static const Form forms[] = {
    {[](size_t n) { return operator new(n); }, [](void *p) { operator delete(p); },
     [](void *p, size_t n) { operator delete(p, n); }, true, 16},
    {[](size_t n) { return operator new[](n); }, [](void *p) { operator delete[](p); },
     [](void *p, size_t n) { operator delete[](p, n); }, true, 16},
    {[](size_t n) { return operator new(n, page); }, [](void *p) { operator delete(p, page); },
     [](void *p, size_t n) { operator delete(p, n, page); }, true, 4096},
    {[](size_t n) { return operator new[](n, page); }, [](void *p) { operator delete[](p, page); },
     [](void *p, size_t n) { operator delete[](p, n, page); }, true, 4096},
    {[](size_t n) { return operator new(n, std::nothrow); },
     [](void *p) { operator delete(p, std::nothrow); },
     [](void *p, size_t) { operator delete(p, std::nothrow); }, false, 16},
    {[](size_t n) { return operator new[](n, std::nothrow); },
     [](void *p) { operator delete[](p, std::nothrow); },
     [](void *p, size_t) { operator delete[](p, std::nothrow); }, false, 16},
    {[](size_t n) { return operator new(n, page, std::nothrow); },
     [](void *p) { operator delete(p, page, std::nothrow); },
     [](void *p, size_t) { operator delete(p, page, std::nothrow); }, false, 4096},
    {[](size_t n) { return operator new[](n, page, std::nothrow); },
     [](void *p) { operator delete[](p, page, std::nothrow); },
     [](void *p, size_t) { operator delete[](p, page, std::nothrow); }, false, 4096},
};

static void test_all_forms()
{
    for (const Form &form : forms) {
        for (size_t size : {0, 1, 24, 1000, 30000, 700000, 3000000}) {
            void *block = hide(form.make(size));
            CHECK(is_good(block, form.alignment, size));
            form.give(block);
            form.give_sized(hide(form.make(size)), size);
        }
        errno = ERANGE;
        form.give(hide(nullptr));
        form.give_sized(hide(nullptr), 8);
        CHECK(errno == ERANGE);
    }
}

/* Counts its own destruction: shows that unwinding went through this frame. */
struct Witness {
    int &destroyed;
    ~Witness()
    {
        destroyed++;
    }
};

struct HandlerFault {
};

enum class Outcome { block, null, bad_alloc, handler_fault };

/* Asks a form for a block, which is freed. */
static Outcome call(const Form &form, size_t size)
{
    int destroyed = 0;
    Outcome outcome = Outcome::null;
    try {
        Witness witness{destroyed};
        void *block = hide(form.make(hide_size(size)));
        if (block != nullptr)
            outcome = Outcome::block;
        form.give(block);
    } catch (const std::bad_alloc &) {
        outcome = Outcome::bad_alloc;
    } catch (const HandlerFault &) {
        outcome = Outcome::handler_fault;
    }
    CHECK(destroyed == 1);
    return outcome;
}

static int handler_calls;

/* Gives up at its third call. */
static void handle_three_times()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

static void handle_by_throwing()
{
    handler_calls++;
    throw HandlerFault();
}

static void set_handler(std::new_handler handler)
{
    handler_calls = 0;
    std::set_new_handler(handler);
}

/* The nothrow forms swallow what the handler throws. */
static void test_no_memory()
{
    for (const Form &form : forms) {
        Outcome refused = form.throws ? Outcome::bad_alloc : Outcome::null;
        for (size_t size : {SIZE_MAX, SIZE_MAX - 4095, size_t(PTRDIFF_MAX) + 1, size_t(1) << 62})
            CHECK(call(form, size) == refused);
        set_handler(handle_three_times);
        CHECK(call(form, SIZE_MAX) == refused && handler_calls == 3);
        set_handler(handle_by_throwing);
        CHECK(call(form, SIZE_MAX) == (form.throws ? Outcome::handler_fault : Outcome::null));
        CHECK(handler_calls == 1);
        set_handler(nullptr);
    }
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

/* A handler that frees memory: what failed is tried again, and succeeds. */
static void test_handler_that_frees()
{
    struct rlimit old_limit, limit;
    CHECK(getrlimit(RLIMIT_AS, &old_limit) == 0);
    for (const Form &form : forms) {
        malloc_trim(0);
        reserve = malloc(reserve_size);
        CHECK(reserve != nullptr);
        limit = old_limit;
        limit.rlim_cur = mapped_bytes() + reserve_size / 8;
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        set_handler(free_reserve);
        Outcome outcome = call(form, reserve_size / 2);
        CHECK(setrlimit(RLIMIT_AS, &old_limit) == 0);
        CHECK(outcome == Outcome::block && handler_calls == 1 && reserve == nullptr);
    }
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
    test_no_memory();
    test_bad_alignment();
    test_handler_that_frees();
    test_expressions();
    return 0;
}
