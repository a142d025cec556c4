// What a C++ compiler finds hard: recursive templates, overload sets, containers of the standard
// library, each instantiated for WORK types.
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#ifndef WORK
#define WORK 10
#endif

template <int Number> struct Item {
    std::array<int, Number % 5 + 1> values{};
    std::string text = std::to_string(Number);

    bool operator<(const Item &other) const
    {
        return std::tie(values, text) < std::tie(other.values, other.text);
    }
};

template <int Number> constexpr long fibonacci()
{
    if constexpr (Number < 2)
        return Number;
    else
        return fibonacci<Number - 1>() + fibonacci<Number - 2>();
}

template <int Number> long use_containers(int seed)
{
    std::map<Item<Number>, std::vector<std::unique_ptr<Item<Number>>>> map;
    for (int i = 0; i < seed; i++) {
        Item<Number> key;
        key.values[0] = i % 7;
        map[key].push_back(std::make_unique<Item<Number>>(key));
    }
    std::vector<Item<Number>> list;
    for (auto &[key, items] : map)
        for (auto &item : items)
            list.push_back(*item);
    std::sort(list.begin(), list.end());
    std::function<long(const Item<Number> &)> weigh = [seed](const auto &item) {
        return item.values[0] * seed + (long)item.text.size();
    };
    return std::accumulate(list.begin(), list.end(), 0L,
                           [&](long sum, const auto &item) { return sum + weigh(item); });
}

template <int... Numbers> long use_all(int seed, std::integer_sequence<int, Numbers...>)
{
    using Any = std::variant<Item<Numbers>...>;
    std::vector<Any> items;
    (items.emplace_back(Item<Numbers>{}), ...);
    long sum = (0L + ... + use_containers<Numbers>(seed));
    sum += (0L + ... + fibonacci<Numbers % 20>());
    for (const auto &any : items)
        sum += std::visit([](const auto &item) { return (long)item.text.size(); }, any);
    return sum;
}

int main(int argc, char **)
{
    return (int)(use_all(argc * 50, std::make_integer_sequence<int, WORK>()) & 0x7f);
}
