// C++: exceptions through frames whose stacks are taken, threads, and frames of the standard
// library.
#include <algorithm>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct on_exit_of_scope {
    int &counter;
    std::string text = std::string(100, 'x');
    ~on_exit_of_scope()
    {
        counter++;
    }
};

static int descend(int depth, int &unwound)
{
    on_exit_of_scope guard{unwound};
    if (depth == 0)
        throw std::runtime_error(std::string(200, 'e'));
    std::vector<int> block(static_cast<size_t>(depth));
    return descend(depth - 1, unwound) + block[0];
}

static int work(int seed)
{
    int unwound = 0, caught = 0;
    for (int i = 0; i < 300; i++) {
        try {
            descend(seed + i % 40, unwound);
        } catch (const std::runtime_error &error) {
            caught += std::string(error.what()).size() == 200;
        }
    }
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 2000; i++)
        map["key " + std::to_string(i * 7919 % 2000)].push_back(i);
    std::vector<std::string> keys;
    for (auto &entry : map)
        keys.push_back(entry.first);
    std::sort(keys.begin(), keys.end(), [](const std::string &a, const std::string &b) {
        return std::string(b) + "......................" <
               std::string(a) + "......................";
    });
    return caught * 1000 + (keys.front() > keys.back()) + (unwound > 300);
}

int main()
{
    int results[4] = {0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&results, i] { results[i] = work(i); });
    for (auto &thread : threads)
        thread.join();
    for (int result : results)
        if (result != 300002)
            return 1;
    std::puts("done");
    return 0;
}
