/*
 * The program that acre-profile run --leaks is tested on. Each block has a size of its own. Blocks
 * that are lost are allocated in a thread whose stack is given back, so that no copy of an address
 * is left.
 *
 *   leaks HOW...   with HOW, in this order:
 *
 *   lost           a block of 1000 bytes to which nothing leads, at lose()
 *   popped         a block of 1500 bytes, to which a call that has returned had a pointer
 *   chain          a block of 2000 bytes, at lose_chain(), and one of 2500 to which only it leads
 *   ring           two blocks, of 6100 and 6200 bytes, that lead to each other
 *   global         a block of 3000 bytes to which a variable leads
 *   interior       a block of 3500 bytes to whose middle a variable leads
 *   register       a block of 4000 bytes to which a register of a thread leads
 *   stack          a block of 4500 bytes to which the stack of a thread leads
 *   thread_local   a block of 5000 bytes to which a variable of a thread leads
 *   nested         a block of 5500 bytes to which another one leads, to which a variable leads
 *   vfork          a child of vfork ends
 *   fork           a child of fork loses a block of 7000 bytes, and ends
 *   exit _exit abort kill thread_exit main_exits quick
 *                  how it ends; exit status 3 where there is one
 */
#define _GNU_SOURCE 1
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

enum { STACK = 256 << 10 };

static void *volatile global;
static char *volatile interior;
static void **volatile nested;
static __thread void *volatile own;
static volatile int holding; /* the thread that was started last has its block */

static NOINLINE void *get(size_t size)
{
    void *block = malloc(size);
    if (block == NULL)
        err(1, NULL);
    memset(block, 0, size);
    return block;
}

static NOINLINE void *lose(void *unused)
{
    (void)unused;
    (void)get(1000);
    return NULL;
}

/* Far below what is called until the end, so that nothing writes over it. */
static NOINLINE void lose_deep(void)
{
    void *below[64 << 10 >> 3];
    below[0] = get(1500);
    __asm__ volatile("" : : "r"(below) : "memory");
}

static NOINLINE void *lose_chain(void *unused)
{
    void *volatile *first = get(2000);
    (void)unused;
    first[100] = get(2500);
    return NULL;
}

static NOINLINE void *lose_ring(void *unused)
{
    void *volatile *first = get(6100), *volatile *second = get(6200);
    (void)unused;
    first[1] = (void *)second;
    second[1] = (char *)first + 10;
    return NULL;
}

static NOINLINE void *lose_in_child(void *unused)
{
    (void)unused;
    (void)get(7000);
    return NULL;
}

/* Runs it in a thread on a stack that is unmapped afterwards. */
static void run_away(void *(*function)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED || pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstack(&attributes, stack, STACK) != 0 ||
        pthread_create(&thread, &attributes, function, NULL) != 0)
        errx(1, "no thread");
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    munmap(stack, STACK);
}

/* Waits for ever in a system call, with the address of a block in a register alone. `holding` is
 * set by the same instructions, so that no function has the register on the stack then. */
static void *hold_in_register(void *unused)
{
    (void)unused;
#ifdef __x86_64__
    uintptr_t block = (uintptr_t)get(4000);
    uintptr_t number = SYS_pause;
    /* what functions have left on the stack is overwritten */
    volatile char below[16384];
    memset((char *)below, 0, sizeof(below));
    __asm__ volatile("xor %%eax, %%eax\n" /* the red zone, too */
                     "mov $-128, %%rcx\n"
                     "2: mov %%rax, (%%rsp, %%rcx)\n"
                     "add $8, %%rcx\n"
                     "jnz 2b\n"
                     "movl $1, %2\n"
                     "1: mov %1, %%rax\n"
                     "syscall\n"
                     "jmp 1b"
                     :
                     : "b"(block), "r"(number), "m"(holding)
                     : "rax", "rcx", "r11", "memory");
#else
    holding = 1;
    pause();
#endif
    return NULL;
}

static void *hold_on_stack(void *unused)
{
    void *volatile block = get(4500);
    (void)unused;
    holding = 1;
    pause();
    return block;
}

static void *hold_in_thread_local(void *unused)
{
    (void)unused;
    own = get(5000);
    holding = 1;
    pause();
    return NULL;
}

static void start(void *(*function)(void *))
{
    pthread_t thread;
    holding = 0;
    if (pthread_create(&thread, NULL, function, NULL) != 0)
        errx(1, "no thread");
    while (holding == 0)
        usleep(1000);
}

static void make_child(void)
{
    pid_t child = fork();
    if (child < 0)
        err(1, "fork");
    if (child == 0) {
        run_away(lose_in_child);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void make_sharing_child(void)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child)
        err(1, "vfork");
}

static void *end_from_thread(void *unused)
{
    (void)unused;
    exit(3);
}

static void *end_later(void *unused)
{
    usleep(100000);
    return unused;
}

static void end(const char *how)
{
    pthread_t thread;
    if (strcmp(how, "exit") == 0)
        exit(3);
    if (strcmp(how, "_exit") == 0)
        _exit(3);
    if (strcmp(how, "quick") == 0)
        quick_exit(3);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(how, "thread_exit") == 0) {
        if (pthread_create(&thread, NULL, end_from_thread, NULL) != 0)
            errx(1, "no thread");
        pthread_join(thread, NULL);
    }
    if (strcmp(how, "main_exits") == 0) {
        if (pthread_create(&thread, NULL, end_later, NULL) != 0)
            errx(1, "no thread");
        pthread_exit(NULL);
    }
    errx(2, "there is no %s", how);
}

static void act(const char *how)
{
    if (strcmp(how, "lost") == 0)
        run_away(lose);
    else if (strcmp(how, "popped") == 0)
        lose_deep();
    else if (strcmp(how, "vfork") == 0)
        make_sharing_child();
    else if (strcmp(how, "chain") == 0)
        run_away(lose_chain);
    else if (strcmp(how, "ring") == 0)
        run_away(lose_ring);
    else if (strcmp(how, "global") == 0)
        global = get(3000);
    else if (strcmp(how, "interior") == 0)
        interior = (char *)get(3500) + 1000;
    else if (strcmp(how, "nested") == 0)
        (nested = get(5500))[7] = get(5600);
    else if (strcmp(how, "register") == 0)
        start(hold_in_register);
    else if (strcmp(how, "stack") == 0)
        start(hold_on_stack);
    else if (strcmp(how, "thread_local") == 0)
        start(hold_in_thread_local);
    else if (strcmp(how, "fork") == 0)
        make_child();
    else
        end(how);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        act(argv[i]);
    return 0;
}
