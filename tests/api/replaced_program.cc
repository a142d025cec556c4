/*
 * Uses operators new and delete in every form that its C++ standard has, and prints which of the
 * functions that this program defines itself (replaced_forms.c, replaced_malloc.c) each use called,
 * and how often: the same with and without acre. Arguments: "header" and "aligned-header", what is
 * in front of the blocks that the program's own forms make; a number: this form of delete frees
 * twice.
 */
#include "replaced.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#if __cplusplus >= 201703L
#include <memory_resource>
#endif

/* Not declared by all compilers and standards. */
void operator delete(void *, std::size_t) noexcept;
void operator delete[](void *, std::size_t) noexcept;
#if __cplusplus >= 201703L
void operator delete(void *, std::size_t, std::align_val_t) noexcept;
void operator delete[](void *, std::size_t, std::align_val_t) noexcept;
#endif
extern "C" void *reallocarray(void *, std::size_t, std::size_t) noexcept;

namespace
{

#define NAME(symbol) #symbol,
const char *const names[] = {REPLACED_LIST(NAME)};

/* The same, and the compiler knows nothing of it. */
void *hide(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

/* The size of which malloc has no memory, unknown to the compiler. */
std::size_t impossible()
{
    std::size_t size = ~std::size_t(0) / 4;
    __asm__ volatile("" : "+r"(size));
    return size;
}

unsigned
    before[REPLACED_COUNT]; /* replaced.calls as it was when the use began that is shown next */

/* Prints what a use called. Nothing here allocates. */
void show(const char *use)
{
    char line[1000];
    int length = std::snprintf(line, sizeof line, "%s:", use);
    for (int i = 0; i < REPLACED_COUNT; i++) {
        unsigned calls = replaced.calls[i] - before[i];
        if (calls != 0)
            length += std::snprintf(line + length, sizeof line - std::size_t(length), " %s %u",
                                    names[i], calls);
        before[i] = replaced.calls[i];
    }
    std::printf("%s\n", line);
    /* its buffer is not counted */
    std::memcpy(before, replaced.calls, sizeof before);
}

struct Simple {
    int value;
};

/* With a destructor an array has its length in front, and is deleted with its size. */
struct Destroyed {
    std::string text;
    ~Destroyed()
    {
    }
};

struct Throwing {
    Throwing()
    {
        throw 1;
    }
};

void use_functions()
{
    operator delete(hide(operator new(100)));
    show("new, delete");
    operator delete[](hide(operator new[](100)));
    show("new[], delete[]");
    operator delete(hide(operator new(100, std::nothrow)), std::nothrow);
    show("new and delete, nothrow");
    operator delete[](hide(operator new[](100, std::nothrow)), std::nothrow);
    show("new[] and delete[], nothrow");
    operator delete(hide(operator new(100)), std::size_t(100));
    show("new, sized delete");
    operator delete[](hide(operator new[](100)), std::size_t(100));
    show("new[], sized delete[]");
    operator delete(hide(operator new(0)));
    show("new of 0 bytes");
    operator delete(hide(nullptr));
    operator delete[](hide(nullptr));
    show("delete of null");
}

void use_expressions()
{
    delete static_cast<Simple *>(hide(new Simple()));
    show("expressions");
    delete[] static_cast<Simple *>(hide(new Simple[10]));
    show("expressions, arrays");
    delete static_cast<Destroyed *>(hide(new Destroyed()));
    show("expressions, destructor");
    delete[] static_cast<Destroyed *>(hide(new Destroyed[10]));
    show("expressions, arrays, destructor");
    delete static_cast<Simple *>(hide(new (std::nothrow) Simple()));
    show("expressions, nothrow");
    try {
        (void)hide(new Throwing());
    } catch (int) {
    }
    show("constructor that throws");
    try {
        (void)hide(new (std::nothrow) Throwing[3]);
    } catch (int) {
    }
    show("constructor that throws, nothrow, array");
}

void use_library()
{
    std::vector<int> numbers;
    for (int i = 0; i < 1000; i++)
        numbers.push_back((i * 7919) % 1009);
    show("vector");
    std::stable_sort(numbers.begin(), numbers.end());
    show("stable_sort");
    std::string text(1000, 'x');
    text.append(5000, 'y');
    show("string");
    numbers.clear();
    numbers.shrink_to_fit();
    show("shrink_to_fit");
    void *block = hide(std::malloc(100));
    block = hide(reallocarray(block, 30, 100));
    std::free(block);
    show("malloc, reallocarray, free");
}

void use_no_memory()
{
    int caught = 0;
    try {
        (void)hide(operator new(impossible()));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    try {
        (void)hide(operator new[](impossible()));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    /* what throwing takes is libstdc++'s */
    std::printf("no memory: %d caught\n", caught);
    std::printf("no memory, nothrow: %p %p\n", hide(operator new(impossible(), std::nothrow)),
                hide(operator new[](impossible(), std::nothrow)));
    show("no memory");
}

#if __cplusplus >= 201703L
struct alignas(64) Aligned {
    int value;
};

struct alignas(128) AlignedDestroyed {
    std::string text;
    ~AlignedDestroyed()
    {
    }
};

void use_aligned()
{
    const std::align_val_t to = std::align_val_t(256);
    operator delete(hide(operator new(100, to)), to);
    show("new and delete, aligned");
    operator delete[](hide(operator new[](100, to)), to);
    show("new[] and delete[], aligned");
    operator delete(hide(operator new(100, to, std::nothrow)), to, std::nothrow);
    show("new and delete, aligned, nothrow");
    operator delete[](hide(operator new[](100, to, std::nothrow)), to, std::nothrow);
    show("new[] and delete[], aligned, nothrow");
    operator delete(hide(operator new(100, to)), std::size_t(100), to);
    show("new, sized delete, aligned");
    operator delete[](hide(operator new[](100, to)), std::size_t(100), to);
    show("new[], sized delete[], aligned");
    const std::align_val_t small = std::align_val_t(8);
    operator delete(hide(operator new(0, small)), small);
    show("new of 0 bytes, aligned to 8");
    delete static_cast<Aligned *>(hide(new Aligned()));
    show("expressions, aligned");
    delete[] static_cast<AlignedDestroyed *>(hide(new AlignedDestroyed[10]));
    show("expressions, aligned arrays");
    std::vector<Aligned> many(100);
    std::stable_sort(many.begin(), many.end(),
                     [](const Aligned &a, const Aligned &b) { return a.value < b.value; });
    show("vector and stable_sort, aligned");
    std::pmr::memory_resource *resource = std::pmr::new_delete_resource();
    resource->deallocate(hide(resource->allocate(1000, 64)), 1000, 64);
    resource->deallocate(hide(resource->allocate(1000, 8)), 1000, 8);
    show("memory_resource");
    int caught = 0;
    try {
        (void)hide(operator new(impossible(), to));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    std::printf("no memory, aligned: %d caught, %p\n", caught,
                hide(operator new(impossible(), to, std::nothrow)));
    show("no memory, aligned");
}
#else
void use_aligned()
{
}
#endif

/* Frees twice by one form, which a report names. */
void free_twice(int form)
{
    void *block = hide(form % 2 == 0 ? operator new(100) : operator new[](100));
    for (int i = 0; i < 2; i++)
        switch (form) {
        case 0:
            operator delete(hide(block));
            break;
        case 1:
            operator delete[](hide(block));
            break;
        case 2:
            operator delete(hide(block), std::size_t(100));
            break;
        default:
            operator delete[](hide(block), std::size_t(100));
            break;
        }
}

} // namespace

int main(int argument_count, char **arguments)
{
    static char buffer[4096];
    std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (int i = 1; i < argument_count; i++)
        if (std::strcmp(arguments[i], "header") == 0)
            replaced.header = REPLACED_HEADER;
        else if (std::strcmp(arguments[i], "aligned-header") == 0)
            replaced.aligned_header = 1;
        else
            free_twice(std::atoi(arguments[i]));
    std::memcpy(before, replaced.calls, sizeof before);
    use_functions();
    use_expressions();
    use_library();
    use_no_memory();
    use_aligned();
    return 0;
}
