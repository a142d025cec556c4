/*
 * An access that a guarded block (option guard:1) is to stop: guard ACCESS WHO. ACCESS is one of:
 *
 * - overflow, far: the first byte after the block, and one 100 bytes on.
 * - underflow: the last byte before the block.
 * - after_free, resized: the first byte of a block that was freed, or moved by realloc.
 *
 * WHO makes it: here, the main thread; thread, another; child, a child of fork, whose end the
 * parent's is; replaced: the main thread, after it has set a handler of its own, which ends the
 * process by SIGUSR1.
 */
#include "misuse.h"

#include <signal.h>

enum { SIZE = 48 };

static const char *access_word;
static volatile char *target;

/* A guarded block at its page's end, or its start. A thread's first block is none. */
static char *guarded_block(bool at_end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (;;) {
        char *block = hide(malloc(SIZE));
        if ((uintptr_t)block % page == (at_end ? page - SIZE : 0))
            return block;
    }
}

static void choose_target(void)
{
    char *block = guarded_block(strcmp(access_word, "underflow") != 0);
    target = block;
    if (strcmp(access_word, "overflow") == 0)
        target = block + SIZE;
    else if (strcmp(access_word, "far") == 0)
        target = block + SIZE + 100;
    else if (strcmp(access_word, "underflow") == 0)
        target = block - 1;
    else if (strcmp(access_word, "after_free") == 0)
        free(block);
    else if (strcmp(access_word, "resized") != 0 || hide(realloc(block, 2 * SIZE)) == NULL)
        _exit(STATUS_USAGE);
    misuse_print((const char *)target, block, SIZE);
}

static void *make_access(void *unused)
{
    *target = 1;
    return unused;
}

static void end_by_user_signal(int number)
{
    (void)number;
    signal(SIGUSR1, SIG_DFL);
    raise(SIGUSR1);
}

int main(int count, char **words)
{
    if (count != 3)
        return STATUS_USAGE;
    access_word = words[1];
    if (strcmp(words[2], "child") == 0) {
        pid_t child = fork();
        if (child != 0) { /* the same end */
            int status = wait_for(child);
            signal(WTERMSIG(status), SIG_DFL);
            raise(WTERMSIG(status));
            return STATUS_SURVIVED;
        }
    }
    choose_target();
    if (strcmp(words[2], "replaced") == 0)
        signal(SIGSEGV, end_by_user_signal);
    if (strcmp(words[2], "thread") == 0)
        in_thread(make_access, NULL);
    else
        make_access(NULL);
    return STATUS_SURVIVED;
}
