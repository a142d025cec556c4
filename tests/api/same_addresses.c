/*
 * Without address space randomisation, as under a debugger, a program gets the same addresses in
 * each run; with it, others each time.
 */
#include "check.h"
#include <malloc.h>
#include <sys/personality.h>

enum { HEAP_FILLERS = 80, FILLER = 1 << 20, TEXT = 1024 };

static void print(const char *name, const void *block)
{
    printf("%s %p ", name, block);
}

static void *allocate(void *unused)
{
    print("tiny", hide(malloc(10)));
    print("small", hide(malloc(3000)));
    print("medium", hide(malloc(100000)));
    print("large", hide(malloc(3000000)));
    print("aligned", hide(memalign(1 << 20, 5000)));
    free(hide(malloc(5000000)));
    print("larger", hide(malloc(9000000)));
    return unused;
}

/* What one run prints: blocks of each kind, in two threads, and in a third heap. */
static int run(void)
{
    static char buffer[2 * TEXT];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    check_begin();
    allocate(NULL);
    in_thread(allocate, NULL);
    for (int i = 0; i < HEAP_FILLERS; i++)
        print("filler", hide(malloc(FILLER)));
    return 0;
}

/* Runs the program with the persona; text: what it prints. False if the system forbids that. */
static bool run_with(unsigned long persona, char *text, size_t size)
{
    int output[2];
    CHECK(pipe(output) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (personality(persona) < 0)
            _exit(CHECK_SKIPPED);
        dup2(output[1], STDOUT_FILENO);
        close(output[0]);
        close(output[1]);
        start_again("run");
    }
    close(output[1]);
    size_t used = read_all(output[0], text, size);
    int status = wait_for(child);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHECK_SKIPPED)
        return false;
    CHECK(WEXITSTATUS(status) == 0 && used > 0);
    return true;
}

/* True if the system gives programs random addresses. */
static bool system_randomises(void)
{
    char mode[4];
    read_file("/proc/sys/kernel/randomize_va_space", mode, sizeof(mode));
    return mode[0] != '0';
}

int main(int argument_count, char **arguments)
{
    static char first[8 * TEXT], second[8 * TEXT];
    (void)arguments;
    if (argument_count > 1)
        return run();
    check_begin();
    if (!run_with(ADDR_NO_RANDOMIZE, first, sizeof(first)))
        check_skip("personality is forbidden");
    for (int i = 0; i < 3; i++) {
        CHECK(run_with(ADDR_NO_RANDOMIZE, second, sizeof(second)));
        CHECK(strcmp(first, second) == 0);
    }
    if (system_randomises()) {
        CHECK(run_with(0, first, sizeof(first)));
        CHECK(run_with(0, second, sizeof(second)));
        CHECK(strncmp(first, second, strcspn(first, " ") + 16) != 0); /* heaps */
        CHECK(strcmp(first, second) != 0);
    }
    return 0;
}
