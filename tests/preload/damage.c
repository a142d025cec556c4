/*
 * A program for the tests of tools: it does what its argument says, and prints a line.
 *
 *   damage none | overflow | after-free | leak | race
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The pointer, unknown to the compiler. */
static char *hide(char *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static void *use(void *block)
{
    for (size_t size = 1; size < 2000; size++)
        free(hide(malloc(size)));
    free(block);
    return hide(calloc(1, 3 << 20));
}

/* Where a debugger stops. */
__attribute__((noinline)) void stop_here(char *block)
{
    hide(block);
}

__attribute__((noinline)) static void leak(void)
{
    hide(malloc(1234));
}

static void *write_to(void *block)
{
    *hide(block) = 'y';
    return NULL;
}

/* Two threads write to a block. */
static void race(char *block)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_to, block) != 0)
        abort();
    write_to(block);
    pthread_join(thread, NULL);
}

/* A thread frees a block of this one's, and the other way round; a child does the same. */
static void use_all(void)
{
    pthread_t thread;
    void *block;
    if (pthread_create(&thread, NULL, use, malloc(500)) != 0 || pthread_join(thread, &block) != 0)
        abort();
    free(realloc(block, 9 << 20));
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "none";
    char *block = hide(malloc(100));
    int status;
    memset(block, 'x', 100);
    use_all();
    stop_here(block);
    pid_t child = fork();
    if (child == 0) {
        use_all();
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        abort();
    if (strcmp(what, "overflow") == 0)
        hide(block)[100] = 'y';
    if (strcmp(what, "race") == 0)
        race(block);
    if (strcmp(what, "leak") == 0)
        leak();
    free(block);
    if (strcmp(what, "after-free") == 0)
        hide(block)[5] = 'y';
    puts("done");
    return 0;
}
