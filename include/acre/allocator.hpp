/*
 * acre for containers of C++: an allocator, and a memory resource of std::pmr. C++11, and C++17 for
 * the resource.
 *
 *   std::vector<int, acre::allocator<int>> numbers;
 *   std::pmr::vector<int> others(acre::resource());
 *
 *   acre::heap heap; // its memory goes at once when it does (acre_heap_destroy)
 *   std::pmr::vector<int> more(&heap);
 *
 * A program that is linked with acre has acre's blocks by operator new, too. With these classes a
 * container has them also
 *   - where operator new is another: in a program that replaces it, or whose acre was built by
 *     configure --with-prefix, so that only these containers are on acre;
 *   - with the size of each block told to acre when it is given back.
 * Blocks come from malloc and aligned_alloc, and go to free_sized and free_aligned_sized. Where
 * there is no memory the new-handler is called as by operator new, and std::bad_alloc is thrown
 * (built without exceptions: the process is aborted).
 */
#ifndef ACRE_ALLOCATOR_HPP
#define ACRE_ALLOCATOR_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#if __cplusplus >= 201703L
#include "acre.h"
#include <memory_resource>
#endif

/* Installed beside this file if acre was built by configure --with-prefix. */
#if __has_include("../acre/malloc.h")
#include "../acre/malloc.h"
#else
/* Not declared by older libcs. */
extern "C" void free_sized(void *p, std::size_t size) noexcept;
extern "C" void free_aligned_sized(void *p, std::size_t alignment, std::size_t size) noexcept;
#endif

namespace acre
{

namespace detail
{

/* Every block is aligned to as much. */
constexpr std::size_t block_alignment = 16;

#ifdef ACRE_PREFIXED
inline void *try_allocate(std::size_t size, std::size_t alignment) noexcept
{
    return alignment <= block_alignment ? ACRE_PREFIXED(malloc)(size)
                                        : ACRE_PREFIXED(aligned_alloc)(alignment, size);
}

inline void deallocate(void *p, std::size_t size, std::size_t alignment) noexcept
{
    if (alignment <= block_alignment)
        ACRE_PREFIXED(free_sized)(p, size);
    else
        ACRE_PREFIXED(free_aligned_sized)(p, alignment, size);
}
#else
inline void *try_allocate(std::size_t size, std::size_t alignment) noexcept
{
    return alignment <= block_alignment ? std::malloc(size) : ::aligned_alloc(alignment, size);
}

inline void deallocate(void *p, std::size_t size, std::size_t alignment) noexcept
{
    if (alignment <= block_alignment)
        ::free_sized(p, size);
    else
        ::free_aligned_sized(p, alignment, size);
}
#endif

template <class Exception> [[noreturn]] inline void fail()
{
#ifdef __cpp_exceptions
    throw Exception();
#else
    std::abort();
#endif
}

/* At least `size` bytes at a multiple of `alignment`, a power of two, by take(size, alignment). */
template <class Take> inline void *allocate_by(Take take, std::size_t size, std::size_t alignment)
{
    for (;;) {
        void *block = take(size, alignment);
        if (block != nullptr)
            return block;
        std::new_handler handler = std::get_new_handler();
        if (handler == nullptr)
            fail<std::bad_alloc>();
        handler();
    }
}

inline void *allocate(std::size_t size, std::size_t alignment)
{
    return allocate_by(try_allocate, size, alignment);
}

} // namespace detail

/* An allocator in the sense of the standard. It has no state: any of them gives back what another
 * one gave. */
template <class T> class allocator
{
  public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using propagate_on_container_move_assignment = std::true_type;
    using is_always_equal = std::true_type;

    allocator() noexcept = default;

    template <class Other> allocator(const allocator<Other> &) noexcept
    {
    }

    /* Room for `count` objects. std::bad_array_new_length if their size is above PTRDIFF_MAX. */
    T *allocate(std::size_t count)
    {
        if (count > std::size_t(PTRDIFF_MAX) / sizeof(T))
            detail::fail<std::bad_array_new_length>();
        return static_cast<T *>(detail::allocate(count * sizeof(T), alignof(T)));
    }

    /* `count` is what allocate was called with. */
    void deallocate(T *p, std::size_t count) noexcept
    {
        detail::deallocate(p, count * sizeof(T), alignof(T));
    }
};

template <class T, class Other>
bool operator==(const allocator<T> &, const allocator<Other> &) noexcept
{
    return true;
}

template <class T, class Other>
bool operator!=(const allocator<T> &, const allocator<Other> &) noexcept
{
    return false;
}

#if __cplusplus >= 201703L

namespace detail
{

class memory_resource : public std::pmr::memory_resource
{
    void *do_allocate(std::size_t size, std::size_t alignment) override
    {
        return detail::allocate(size, alignment);
    }

    void do_deallocate(void *p, std::size_t size, std::size_t alignment) override
    {
        detail::deallocate(p, size, alignment);
    }

    /* Two libraries with hidden visibility have a resource each, which are equal. */
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
#ifdef __cpp_rtti
        return dynamic_cast<const memory_resource *>(&other) != nullptr;
#else
        return this == &other;
#endif
    }
};

} // namespace detail

/* The memory resource whose blocks are acre's. It is there until the process ends, also for the
 * destructors of static objects. */
inline std::pmr::memory_resource *resource() noexcept
{
    alignas(detail::memory_resource) static unsigned char storage[sizeof(detail::memory_resource)];
    static std::pmr::memory_resource *const only = ::new (storage) detail::memory_resource;
    return only;
}

/*
 * A heap of one's own as a memory resource. Its destructor frees all that was allocated from it, at
 * once; what containers gave back before is used again. As with
 * std::pmr::unsynchronized_pool_resource containers must not outlive it, but any number of threads
 * may use it.
 */
class heap : public std::pmr::memory_resource
{
  public:
    heap() : handle(acre_heap_new())
    {
        if (handle == nullptr)
            detail::fail<std::bad_alloc>();
    }

    heap(const heap &) = delete;
    heap &operator=(const heap &) = delete;

    ~heap() override
    {
        acre_heap_destroy(handle);
    }

    /* For the functions of acre/acre.h. */
    acre_heap *get() const noexcept
    {
        return handle;
    }

  private:
    void *do_allocate(std::size_t size, std::size_t alignment) override
    {
        return detail::allocate_by(
            [this](std::size_t bytes, std::size_t boundary) {
                return acre_heap_aligned(handle, boundary, bytes);
            },
            size, alignment);
    }

    void do_deallocate(void *p, std::size_t, std::size_t) override
    {
        acre_heap_free(handle, p);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }

    acre_heap *handle;
};

#endif

} // namespace acre

#endif
