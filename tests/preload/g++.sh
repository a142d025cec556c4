# The C++ compiler on templates of the standard library: equal object files; the program built from
# them, which throws, catches and uses containers in threads, gives the same output.
. "$(dirname "$0")/common.sh"
need g++

cat >program.cc <<'END'
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct alignas(64) Line {
    long words[8];
};

static long work(int seed)
{
    std::map<std::string, std::vector<std::unique_ptr<Line>>> map;
    long sum = 0;
    for (int i = 0; i < 10000; i++) {
        auto &lines = map["key " + std::to_string((i * 7919 + seed) % 997)];
        lines.push_back(std::make_unique<Line>(Line{{i, seed}}));
        if (lines.size() > 9)
            lines.erase(lines.begin(), lines.begin() + 5);
        try {
            if (i % 1000 == 0)
                throw std::runtime_error("number " + std::to_string(i));
        } catch (const std::exception &error) {
            sum += error.what()[0];
        }
    }
    for (const auto &[key, lines] : map)
        for (const auto &line : lines)
            sum = sum * 31 + line->words[0] + (long)key.size();
    return sum;
}

int main()
{
    std::vector<long> sums(4);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&sums, i] { sums[i] = work(i); });
    for (auto &thread : threads)
        thread.join();
    for (long sum : sums)
        std::cout << sum << '\n';
}
END

for mode in plain acre; do
    in_mode "$mode" g++ -std=c++17 -O2 -g -c program.cc -o "$mode.o" || fail "g++: $mode"
    in_mode "$mode" g++ "$mode.o" -pthread -o "$mode.program" || fail "link: $mode"
    in_mode "$mode" "./$mode.program" >"$mode.output" || fail "program: $mode"
done
expect_same plain.o acre.o
expect_same plain.output acre.output
expect_bound g++
expect_bound cc1plus
passed
