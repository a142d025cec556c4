// A C++ program for acre-profile: names that are to be shown as in the source, and a function that
// is inlined. It holds its blocks until its standard input ends.
#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace shop
{
template <class T> class cart
{
  public:
    __attribute__((noinline)) void add(const T &thing, int count)
    {
        things.push_back(std::make_unique<T>(thing));
        grow(count);
    }

  private:
    inline __attribute__((always_inline)) void grow(int count)
    {
        for (int i = 0; i < count; i++)
            room.push_back(std::unique_ptr<char[]>(new char[3000]));
    }

    std::vector<std::unique_ptr<T>> things;
    std::vector<std::unique_ptr<char[]>> room;
};
} // namespace shop

int main()
{
    shop::cart<std::string> cart;
    char letter;
    cart.add("a thing that has a name too long to be kept inside of the string itself", 100);
    std::puts("ready");
    std::fflush(stdout);
    while (read(STDIN_FILENO, &letter, 1) > 0)
        ;
}
