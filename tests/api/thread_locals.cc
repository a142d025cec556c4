/*
 * thread_local objects whose destructors free and allocate at thread exit, before and after acre's
 * own hook; exceptions thrown in threads that have not allocated before.
 */
#include "check.h"
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static size_t destroyed; /* by atomic adds: destructors that ran */

struct Holder {
    std::vector<std::string> strings;
    std::unique_ptr<char[]> large;

    ~Holder()
    {
        for (const std::string &string : strings)
            CHECK(string == std::string(100, 'h'));
        strings.clear();
        large.reset();
        std::vector<std::string> more(50, std::string(300, 'm'));
        CHECK(more.back() == std::string(300, 'm'));
        __atomic_fetch_add(&destroyed, 1, __ATOMIC_SEQ_CST);
    }
};

static thread_local Holder holder;
static thread_local std::string last_string;
static pthread_key_t key;

/* Runs after the thread_local objects are gone: allocates and frees once more. */
static void destroy_key(void *value)
{
    operator delete(value);
    std::string text(1000, 'k');
    text += std::string(5000, 'l');
    CHECK(text.size() == 6000 && text[999] == 'k');
}

static void fill_thread_locals()
{
    last_string = std::string(500, 'l');
    for (int i = 0; i < 100; i++)
        holder.strings.push_back(std::string(100, 'h'));
    holder.large.reset(new char[3000000]);
    CHECK(pthread_setspecific(key, operator new(64)) == 0);
}

static void throw_and_catch()
{
    try {
        throw std::runtime_error(std::string(100, 'e'));
    } catch (const std::exception &error) {
        CHECK(std::string(error.what()) == std::string(100, 'e'));
    }
}

int main()
{
    enum { ROUNDS = 100, AT_ONCE = 4 };
    check_begin();
    CHECK(pthread_key_create(&key, destroy_key) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < AT_ONCE; i++)
            threads.emplace_back(i % 2 ? fill_thread_locals : throw_and_catch);
        for (std::thread &thread : threads)
            thread.join();
    }
    CHECK(destroyed >= size_t(ROUNDS) * AT_ONCE / 2);
    fill_thread_locals();
    return 0;
}
