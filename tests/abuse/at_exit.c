/*
 * Blocks of all kinds are used at the end of the process or of a thread, and then one is freed
 * twice: at_exit WHEN SIZE. WHEN is one of:
 *
 * - handler, quick: a handler of atexit, of at_quick_exit.
 * - destructor: a destructor of the program.
 * - after: libc writes out a stream at the end of exit.
 * - key: a destructor of a pthread key, when the thread has given its arena back.
 * - last: the same in the thread whose end is that of the process, since main has ended before.
 * - meanwhile: a thread, while a handler of atexit waits for it.
 */
#include "misuse.h"

#include <acre/acre.h>
#include <limits.h>

enum { ROUNDS = 200 };

static const char *when, *size_name;
static char *own, *other; /* blocks of main's and of a thread that has ended */

/* Allocates, resizes and frees blocks of all sizes; frees those that are there from before. */
static void use_memory(void)
{
    static void *blocks[ROUNDS];
    free(own);
    free(other);
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size = (size_t)i * i * (i % 50 == 0 ? 100 : 1);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 7, size);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        CHECK((blocks[i] = realloc(blocks[i], (size_t)(ROUNDS - i) * 70)) != NULL);
    for (unsigned i = 0; i < ROUNDS; i++)
        free(blocks[i]);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

static void *free_twice(void *unused)
{
    size_t size;
    use_memory();
    char *block = misuse_block(size_name, &size);
    misuse_print(block, block, size);
    free(block);
    free(hide(block));
    _exit(STATUS_SURVIVED);
    return unused;
}

static bool is(const char *word)
{
    return strcmp(when, word) == 0;
}

static void free_twice_in_handler(void)
{
    (void)free_twice(NULL);
}

static void wait_for_thread(void)
{
    in_thread(free_twice, NULL);
}

__attribute__((destructor)) static void at_end(void)
{
    if (when != NULL && is("destructor"))
        free_twice(NULL);
}

static ssize_t write_cookie(void *cookie, const char *text, size_t size)
{
    (void)text, (void)size;
    free_twice(cookie);
    return 0;
}

/* ---- keys ---- */

static pthread_key_t key;
static pthread_t main_thread;

static void end_key(void *value)
{
    static unsigned iterations; /* of one thread */
    if (++iterations < PTHREAD_DESTRUCTOR_ITERATIONS)
        CHECK(pthread_setspecific(key, value) == 0);
    else
        free_twice(NULL);
}

static void *end_with_key(void *value)
{
    if (is("last"))
        join(main_thread);
    CHECK(pthread_setspecific(key, value) == 0);
    return NULL;
}

static void *take_other(void *unused)
{
    other = malloc(3000);
    return unused;
}

int main(int count, char **words)
{
    static char buffer[100]; /* the stream takes none by malloc, and closes nothing */
    if (count != 3)
        return STATUS_USAGE;
    when = words[1];
    size_name = words[2];
    own = malloc(40);
    in_thread(take_other, NULL);
    CHECK(pthread_key_create(&key, end_key) == 0);
    if (is("handler") || is("meanwhile"))
        CHECK(atexit(is("handler") ? free_twice_in_handler : wait_for_thread) == 0);
    if (is("quick")) {
        CHECK(at_quick_exit(free_twice_in_handler) == 0);
        quick_exit(STATUS_SURVIVED);
    }
    if (is("after")) {
        FILE *stream = fopencookie(buffer, "w", (cookie_io_functions_t){.write = write_cookie});
        CHECK(stream != NULL && setvbuf(stream, buffer, _IOFBF, sizeof(buffer)) == 0);
        CHECK(fputs("left in the buffer", stream) >= 0);
    }
    if (is("key"))
        in_thread(end_with_key, buffer);
    if (is("last")) {
        main_thread = pthread_self();
        pthread_detach(start_thread(end_with_key, buffer));
        pthread_exit(NULL);
    }
    return STATUS_SURVIVED;
}
