/*
 * The process that acre-profile is tested on: for each letter on its standard input it allocates
 * known blocks at a known place, and answers with a line. Another thread takes slow paths all the
 * time, so that requests from outside are followed; it frees all that it allocates.
 *
 *   s  SMALL_BLOCKS more of SMALL bytes, at small()
 *   m  MIDDLE_BLOCKS more of MIDDLE bytes at middle(), every other one is freed
 *   l  LARGE_BLOCKS more of LARGE bytes, at large()
 *   p  two blocks for each page at sparse(), among blocks of dense() that are freed
 *   j  blocks of JIT_SIZE bytes by code that was made just now, one of AGAIN_SIZE bytes by code of
 *      the program's file that is mapped a second time
 *   x  MIXED_BLOCKS more of each of six sizes, 5000 bytes and 500 to 900, at mixed()
 *   i  two blocks of INLINED bytes, at inlined(), which is inlined into outer()
 *   a  abort
 */
#define _GNU_SOURCE 1
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* After a call: keeps it from being a tail call, whose caller would not be on the stack. */
#define NO_TAIL_CALL() __asm__ volatile("")

enum {
    SMALL = 100,
    SMALL_BLOCKS = 1000,
    MIDDLE = 3000,
    MIDDLE_BLOCKS = 500,
    LARGE = 3 << 20,
    LARGE_BLOCKS = 3,
    SPARSE = 64,
    SPARSE_PAGES = 200,
    SPARSE_ON_PAGE = 4096 / SPARSE,
    JIT_SIZE = 5000,
    AGAIN_SIZE = 9000,
    PAGE = 4096,
    INLINED = 700,
    MIXED_BLOCKS = 20,
    MOST = 1 << 20,
};

static void *kept[MOST]; /* so that nothing is dropped by the compiler */
static size_t kept_count;

static void keep(void *block)
{
    if (block == NULL || kept_count == MOST)
        errx(1, "no memory");
    kept[kept_count++] = block;
}

static NOINLINE void *get(size_t size)
{
    void *block = malloc(size);
    NO_TAIL_CALL();
    return block;
}

static NOINLINE void small(void)
{
    for (size_t i = 0; i < SMALL_BLOCKS; i++)
        keep(get(SMALL));
    NO_TAIL_CALL();
}

static NOINLINE void middle(void)
{
    size_t first = kept_count;
    for (size_t i = 0; i < MIDDLE_BLOCKS; i++)
        keep(get(MIDDLE));
    for (size_t i = 1; i < MIDDLE_BLOCKS; i += 2)
        free(kept[first + i]);
    NO_TAIL_CALL();
}

static NOINLINE void large(void)
{
    for (size_t i = 0; i < LARGE_BLOCKS; i++)
        keep(get(LARGE));
    NO_TAIL_CALL();
}

static NOINLINE void *dense(void)
{
    void *block = get(SPARSE);
    NO_TAIL_CALL();
    return block;
}

static NOINLINE void *sparse(void)
{
    void *block = get(SPARSE);
    __asm__ volatile("# not the same code as dense()");
    return block;
}

/* Fills pages, and frees all but two blocks of each. */
static NOINLINE void fragment(void)
{
    static void *blocks[SPARSE_PAGES * SPARSE_ON_PAGE];
    for (size_t i = 0; i < SPARSE_PAGES * SPARSE_ON_PAGE; i++) {
        if (i % (SPARSE_ON_PAGE / 2) == 0)
            keep(sparse());
        else
            blocks[i] = dense();
    }
    for (size_t i = 0; i < SPARSE_PAGES * SPARSE_ON_PAGE; i++)
        free(blocks[i]);
}

/* Several sizes with one stack. */
static NOINLINE void mixed(void)
{
    for (size_t i = 4; i < 10; i++)
        for (size_t k = 0; k < MIXED_BLOCKS; k++)
            keep(get(i == 4 ? 5000 : 100 * i));
    NO_TAIL_CALL();
}

static inline __attribute__((always_inline)) void *inlined(void)
{
    void *block = malloc(INLINED);
    NO_TAIL_CALL();
    return block;
}

static NOINLINE void outer(void)
{
    keep(inlined());
    keep(inlined());
}

#ifdef __x86_64__
/* Calls a function with an argument. It keeps a frame pointer, and works at any address. */
__asm__(".text\n"
        ".type again, @function\n"
        "again:\n"
        "        push %rbp\n"
        "        mov %rsp, %rbp\n"
        "        mov %rdi, %rax\n"
        "        mov %rsi, %rdi\n"
        "        call *%rax\n"
        "        pop %rbp\n"
        "        ret\n"
        ".size again, . - again\n");
void *again(void *(*function)(size_t), size_t size);

/* Maps the page of this program's file that has again(), and the next one, to `place`; returns
 * where again() is there. */
static uintptr_t map_again(uint8_t *place)
{
    uintptr_t start, end, offset, address = (uintptr_t)again & -(uintptr_t)PAGE;
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "re");
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) != 3 || address < start ||
            address >= end)
            continue;
        fclose(maps);
        if (mmap(place, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file,
                 (off_t)(address - start + offset)) != place)
            break;
        close(file);
        return (uintptr_t)place + ((uintptr_t)again - address);
    }
    err(1, "/proc/self/exe");
}
#endif

/* Makes a function that calls `malloc` with its argument, and calls it; prints where it is. At a
 * higher address, as in V8, is a part of the program's file that is mapped a second time. */
static NOINLINE void jit(void)
{
#ifdef __x86_64__
    uint8_t code[] = {0x55, 0x48, 0x89, 0xe5,                   /* push rbp; mov rbp, rsp */
                      0x48, 0xb8, 0,    0,    0, 0, 0, 0, 0, 0, /* mov rax, malloc */
                      0xff, 0xd0, 0x5d, 0xc3};                  /* call rax; pop rbp; ret */
    void *(*function)(size_t) = malloc;
    uint8_t *page = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        err(1, "mmap");
    memcpy(code + 6, &function, sizeof(function));
    memcpy(page, code, sizeof(code));
    void *(*made)(size_t);
    memcpy(&made, &page, sizeof(made));
    for (int i = 0; i < 3; i++)
        keep(made(JIT_SIZE));
    uintptr_t place = map_again(page + PAGE);
    void *(*second)(void *(*)(size_t), size_t);
    memcpy(&second, &place, sizeof(second));
    keep(second(malloc, AGAIN_SIZE));
    NO_TAIL_CALL();
    printf("jit %lx %zx\n", (unsigned long)page, sizeof(code));
    fflush(stdout);
#endif
}

static NOINLINE void *tick(void *unused)
{
    (void)unused;
    for (;;) {
        free(malloc(2 << 20));
        usleep(2000);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char letter;
    if (pthread_create(&thread, NULL, tick, NULL) != 0)
        errx(1, "no thread");
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &letter, 1) == 1) {
        switch (letter) {
        case 's':
            small();
            break;
        case 'm':
            middle();
            break;
        case 'l':
            large();
            break;
        case 'p':
            fragment();
            break;
        case 'j':
            jit();
            break;
        case 'x':
            mixed();
            break;
        case 'i':
            outer();
            break;
        case 'a':
            abort();
        default:
            continue;
        }
        printf("done %c\n", letter);
        fflush(stdout);
    }
    _exit(0);
}
