/*
 * include/acre/allocator.hpp: containers by acre::allocator and by acre::resource(). This program
 * has its own free_sized and free_aligned_sized, which check that each block comes back with the
 * size and the alignment that it was asked for with. Built once as C++17, once as C++11, which has
 * no std::pmr, and once without exceptions and RTTI.
 */
#include "check.h"
#include "stats.h"

#include <acre/allocator.hpp>
#include <csignal>
#include <list>
#include <malloc.h>
#include <map>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace
{

/* Blocks that were given back with their size, and the last of them. */
struct Given {
    size_t blocks, size, alignment;
} given;

/* Told of a block before it is freed: the size fits, or the block would be another class's. */
void note(void *p, size_t alignment, size_t size)
{
    if (p != nullptr) {
        CHECK(malloc_usable_size(p) >= size);
        CHECK(is_aligned(p, alignment));
    }
    given.blocks++;
    given.size = size;
    given.alignment = alignment;
}

} // namespace

extern "C" void free_sized(void *p, size_t size) noexcept
{
    note(p, 16, size);
    free(p);
}

extern "C" void free_aligned_sized(void *p, size_t alignment, size_t size) noexcept
{
    note(p, alignment, size);
    free(p);
}

namespace
{

struct Line {
    alignas(64) unsigned char bytes[192];
};

struct Page {
    alignas(4096) unsigned char bytes[3 * 4096];
};

/* Takes `count` objects, and gives them back with the same count. */
template <class T> void try_objects(size_t count)
{
    acre::allocator<T> allocator;
    Given before = given;
    T *objects = allocator.allocate(count);
    CHECK(objects != nullptr && is_aligned(objects, alignof(T)));
    CHECK(malloc_usable_size(objects) >= count * sizeof(T));
    fill(objects, count * sizeof(T), 7);
    CHECK(is_filled(objects, count * sizeof(T), 7));
    acre::allocator<char> other;
    acre::allocator<T>(other).deallocate(objects, count);
    CHECK(given.blocks == before.blocks + 1 && given.size == count * sizeof(T));
    CHECK(given.alignment == (alignof(T) <= 16 ? 16 : alignof(T)));
}

void test_objects()
{
    for (size_t count : {0, 1, 2, 3, 7, 100, 5000, 400000}) {
        try_objects<char>(count);
        try_objects<double>(count);
        try_objects<long double>(count);
    }
    for (size_t count : {0, 1, 2, 3, 7, 100, 2000}) {
        try_objects<Line>(count);
        try_objects<Page>(count);
    }
}

template <class T> using Allocator = acre::allocator<T>;
using Text = std::basic_string<char, std::char_traits<char>, Allocator<char>>;

Text text_of(int i)
{
    return Text(size_t(i % 100), char('a' + i % 26));
}

/* Fills and empties each kind of container, with objects that have blocks themselves. */
template <class Vector, class List, class Map, class Table>
void use_containers(Vector &vector, List &list, Map &map, Table &table)
{
    for (int i = 0; i < 3000; i++) {
        vector.push_back(i);
        list.push_front(i);
        map.emplace(i, i * 2);
        table.emplace(i, i * 3);
    }
    for (int i = 0; i < 3000; i += 2) {
        map.erase(i);
        table.erase(i);
    }
    for (int i = 1; i < 3000; i += 2)
        CHECK(vector[size_t(i)] == i && map.at(i) == i * 2 && table.at(i) == i * 3);
    CHECK(list.size() == 3000 && list.back() == 0);
}

void test_containers()
{
    size_t before = given.blocks;
    {
        using Pair = std::pair<const int, int>;
        std::vector<int, Allocator<int>> vector;
        std::list<int, Allocator<int>> list;
        std::map<int, int, std::less<int>, Allocator<Pair>> map;
        std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, Allocator<Pair>> table;
        use_containers(vector, list, map, table);

        std::vector<Text, Allocator<Text>> texts;
        for (int i = 0; i < 3000; i++)
            texts.push_back(text_of(i));
        std::vector<Text, Allocator<Text>> copy(texts), moved(std::move(texts));
        CHECK(copy == moved && moved[2999] == text_of(2999));
        copy.swap(moved);

        std::vector<Page, Allocator<Page>> pages(5);
        CHECK(is_aligned(&pages[4], 4096));
        std::shared_ptr<Line> line = std::allocate_shared<Line>(Allocator<Line>());
        CHECK(is_aligned(line.get(), 64));
    }
    CHECK(given.blocks > before + 3 * 3000);
}

void test_equality()
{
    acre::allocator<int> ints;
    acre::allocator<double> doubles;
    CHECK(ints == doubles && !(ints != doubles) && ints == acre::allocator<int>());
    using Traits = std::allocator_traits<acre::allocator<int>>;
    static_assert(Traits::propagate_on_container_move_assignment::value, "");
    static_assert(sizeof(std::vector<int, acre::allocator<int>>) == sizeof(std::vector<int>), "");
    static_assert(std::is_same<Traits::rebind_alloc<Page>, acre::allocator<Page>>::value, "");
}

/* ---- where there is no memory ---- */

int handler_calls;

/* Gives up at its third call. */
void handle_three_times()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

#ifdef __cpp_exceptions

template <class Exception, class Call> bool throws(Call call)
{
    try {
        call();
    } catch (const Exception &) {
        return true;
    }
    return false;
}

template <class Call> void check_refused(Call call)
{
    std::set_new_handler(nullptr);
    CHECK(throws<std::bad_alloc>(call));
    handler_calls = 0;
    std::set_new_handler(handle_three_times);
    CHECK(throws<std::bad_alloc>(call));
    CHECK(handler_calls == 3 && std::get_new_handler() == nullptr);
}

void check_too_many(void (*call)())
{
    CHECK(throws<std::bad_array_new_length>(call));
}

#else

/* In a child, which is aborted. */
template <class Call> void check_aborts(Call call, int calls)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        handler_calls = 0;
        std::signal(SIGABRT, [](int) { _exit(handler_calls); });
        call();
        _exit(100);
    }
    int status = wait_for(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == calls);
}

template <class Call> void check_refused(Call call)
{
    std::set_new_handler(nullptr);
    check_aborts(call, 0);
    std::set_new_handler(handle_three_times);
    check_aborts(call, 3);
    std::set_new_handler(nullptr);
}

void check_too_many(void (*call)())
{
    check_aborts(call, 0);
}

#endif

/* More than there is address space. */
constexpr size_t HUGE_SIZE = size_t(1) << 60;

void test_refused()
{
    check_refused([] { hide(acre::allocator<char>().allocate(hide_size(HUGE_SIZE))); });
    check_refused([] { hide(acre::allocator<Page>().allocate(hide_size(HUGE_SIZE / 16384))); });
    check_too_many([] { hide(acre::allocator<int>().allocate(hide_size(SIZE_MAX / 4 + 2))); });
    check_too_many([] { hide(acre::allocator<int>().allocate(hide_size(PTRDIFF_MAX / 4 + 1))); });
    check_too_many([] { hide(acre::allocator<Page>().allocate(hide_size(SIZE_MAX / 8192))); });
}

/* ---- std::pmr ---- */

#if __cplusplus >= 201703L

/* A memory resource that is not acre's. */
class Other : public std::pmr::memory_resource
{
    void *do_allocate(size_t size, size_t) override
    {
        return malloc(size);
    }
    void do_deallocate(void *p, size_t, size_t) override
    {
        free(p);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }
};

void *fill_block(void *block, size_t size)
{
    fill(block, size, 3);
    return block;
}

void test_resource_blocks()
{
    std::pmr::memory_resource *resource = acre::resource();
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2)
        for (size_t size : {0, 1, 24, 1000, 30000, 700000, 3000000}) {
            void *first = resource->allocate(size, alignment);
            void *second = resource->allocate(size, alignment);
            CHECK(first != second && is_aligned(first, alignment) && is_aligned(second, alignment));
            Given before = given;
            resource->deallocate(first, size, alignment);
            resource->deallocate(second, size, alignment);
            CHECK(given.blocks == before.blocks + 2 && given.size == size);
            CHECK(given.alignment == (alignment <= 16 ? 16 : alignment));
        }
    check_refused([] { hide(acre::resource()->allocate(hide_size(HUGE_SIZE), 8)); });
    check_refused([] { hide(acre::resource()->allocate(hide_size(HUGE_SIZE), 64)); });
}

void test_resource()
{
    test_resource_blocks();
    CHECK(acre::resource() == acre::resource() && acre::resource()->is_equal(*acre::resource()));
    Other other;
    CHECK(!acre::resource()->is_equal(other) && !other.is_equal(*acre::resource()));
    CHECK(!acre::resource()->is_equal(*std::pmr::new_delete_resource()));

    size_t before = given.blocks;
    {
        std::pmr::vector<int> vector(acre::resource());
        std::pmr::list<int> list(acre::resource());
        std::pmr::map<int, int> map(acre::resource());
        std::pmr::unordered_map<int, int> table(acre::resource());
        use_containers(vector, list, map, table);
        std::pmr::vector<int> other_vector(&other);
        other_vector = vector;
        CHECK(other_vector == vector);
    }
    CHECK(given.blocks > before + 3 * 3000);

    std::pmr::set_default_resource(acre::resource());
    before = given.blocks;
    std::pmr::string(1000, 's');
    CHECK(given.blocks == before + 1 && given.size == 1001);
}

void test_heap()
{
    size_t before = live_blocks(), given_before = given.blocks;
    {
        acre::heap heap, other;
        CHECK(heap.is_equal(heap) && !heap.is_equal(other));
        CHECK(!heap.is_equal(*acre::resource()));
        std::pmr::vector<int> vector(&heap);
        std::pmr::list<int> list(&heap);
        std::pmr::map<int, int> map(&heap);
        std::pmr::unordered_map<int, int> table(&other);
        use_containers(vector, list, map, table);
        for (size_t alignment = 1; alignment <= 65536; alignment *= 2)
            for (size_t size : {0, 1, 24, 1000, 30000, 700000, 3000000})
                CHECK(is_aligned(fill_block(heap.allocate(size, alignment), size), alignment));
        acre_heap_free(heap.get(), acre_heap_alloc(heap.get(), 100));
        CHECK(live_blocks() > before + 3000);
        check_refused([&heap] { hide(heap.allocate(hide_size(HUGE_SIZE), 8)); });
    }
    CHECK(live_blocks() <= before && given.blocks == given_before);
}

/* Is constructed before acre::resource() is first called, so is destroyed after all that was
 * constructed by that call. */
struct Last {
    std::pmr::vector<int> *numbers = nullptr;
    ~Last()
    {
        delete numbers;
        if (numbers == nullptr || given.size != 1000 * sizeof(int))
            _exit(1);
    }
} last;

void test_end()
{
    last.numbers = new std::pmr::vector<int>(1000, 1, acre::resource());
}

#else
void test_heap()
{
}

void test_resource()
{
}

void test_end()
{
}
#endif

void *use_in_thread(void *)
{
    std::map<int, Text, std::less<int>, Allocator<std::pair<const int, Text>>> map;
    for (int i = 0; i < 2000; i++)
        map.emplace(i, text_of(i));
    return nullptr;
}

} // namespace

int main()
{
    check_begin();
    test_objects();
    test_containers();
    test_equality();
    test_refused();
    test_heap();
    test_resource();
    in_thread(use_in_thread, nullptr);
    test_end();
    return 0;
}
