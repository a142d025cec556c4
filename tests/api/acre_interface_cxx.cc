/*
 * acre/acre.h from C++: it compiles without other headers before it, its functions link, and each
 * can be used.
 */
#include <acre/acre.h>
#include "check.h"
#include <string>
#include <vector>

int main()
{
    check_begin();
    CHECK(std::string(acre_version()) == ACRE_VERSION_STRING);
    acre_stats_print(STDOUT_FILENO, ACRE_STATS_TEXT);
    struct acre_stats before = {}, with = {};
    CHECK(acre_stats(&before, sizeof(before)) == 0);
    std::vector<std::string> strings;
    for (int i = 0; i < 1000; i++)
        strings.push_back(std::string(200, 'x'));
    CHECK(acre_stats(&with, sizeof(with)) == 0);
    CHECK(with.small_blocks - before.small_blocks >= 1000);
    CHECK(acre_good_size(200) >= 200);
    char value[32];
    CHECK(acre_option_get("on_error", value, sizeof(value)) == 0);
    CHECK(acre_option_set("on_error", "abort") == 0);
    acre_thread_flush();
    return 0;
}
