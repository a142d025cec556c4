/*
 * Objects with static storage whose constructors allocate before main and whose destructors free
 * and allocate after it, in the order of C++, between atexit handlers and after at_quick_exit ones;
 * blocks that threads took are freed by main's destructors, and the other way round.
 */
#include "check.h"
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace
{

/* Shared with the parent: how many steps of the child's end have been gone through. */
unsigned *steps;

void count_step()
{
    if (steps != nullptr)
        (*steps)++;
}

std::string text(size_t length, char letter)
{
    return std::string(length, letter);
}

/* Allocates in its constructor; checks, frees and allocates in its destructor. */
class Table
{
  public:
    explicit Table(char letter) : letter(letter), large(new char[2000000])
    {
        for (int i = 0; i < 300; i++)
            strings[i] = text(size_t(i) * 13, letter);
        large[1999999] = letter;
    }

    ~Table()
    {
        for (const auto &entry : strings)
            CHECK(entry.second == text(size_t(entry.first) * 13, letter));
        CHECK(large[1999999] == letter);
        strings.clear();
        std::vector<std::string> more(100, text(400, 'd'));
        CHECK(more.back() == text(400, 'd'));
        count_step();
    }

    void add_from_thread()
    {
        for (int i = 300; i < 600; i++)
            strings[i] = text(size_t(i) * 13, letter);
    }

  private:
    char letter;
    std::map<int, std::string> strings;
    std::unique_ptr<char[]> large;
};

/* The first one is destroyed last. */
Table first('f');
Table second('s');

/* Made at its first use, so destroyed before those above. */
Table &late()
{
    static Table table('l');
    return table;
}

/* A destructor that runs a thread: it takes memory, which is freed here. */
struct ThreadAtEnd {
    bool may_run = true;

    ~ThreadAtEnd()
    {
        std::string made;
        if (may_run)
            std::thread([&made] { made = text(5000, 't'); }).join();
        CHECK(!may_run || made == text(5000, 't'));
        count_step();
    }
} thread_at_end;

char *kept_until_exit;

void free_at_exit()
{
    CHECK(is_filled(kept_until_exit, 40000, 9));
    free(kept_until_exit);
    std::string block = text(70000, 'x');
    CHECK(block.size() == 70000);
    count_step();
}

/* Static objects are not destroyed by quick_exit, and what they hold stays. */
void free_at_quick_exit()
{
    late().add_from_thread();
    free_at_exit();
}

void prepare()
{
    kept_until_exit = static_cast<char *>(malloc(40000));
    CHECK(kept_until_exit != nullptr);
    fill(kept_until_exit, 40000, 9);
    std::thread([] {
        first.add_from_thread();
        late().add_from_thread();
    }).join();
}

/* Runs one way of ending in a child and checks that all steps were gone through. */
void test(void (*end)(), unsigned expected)
{
    *steps = 0;
    pid_t child = fork();
    if (child == 0) {
        prepare();
        end();
        _exit(1);
    }
    check_child(child);
    CHECK(*steps == expected);
}

void end_by_exit()
{
    CHECK(atexit(free_at_exit) == 0);
    exit(0);
}

void end_by_quick_exit()
{
    CHECK(at_quick_exit(free_at_quick_exit) == 0);
    quick_exit(0);
}

/*
 * main's thread ends first; the last thread to end ends the process. One that is started then would
 * be the last one once more.
 */
void end_by_last_thread()
{
    thread_at_end.may_run = false;
    CHECK(atexit(free_at_exit) == 0);
    pthread_t main_thread = pthread_self();
    std::thread([main_thread] {
        CHECK(pthread_join(main_thread, nullptr) == 0);
        std::string block = text(30000, 'a');
        CHECK(block.size() == 30000);
    }).detach();
    pthread_exit(nullptr);
}

} // namespace

int main()
{
    check_begin();
    void *shared =
        mmap(nullptr, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    steps = static_cast<unsigned *>(shared);
    test(end_by_exit, 5);
    test(end_by_quick_exit, 1);
    test(end_by_last_thread, 5);
    return 0;
}
