/*
 * Ways of loading acre beside preloading and linking, each in a process of its own that is not
 * linked with it: dlopen with every flag, also while threads run, closing and opening again, two
 * copies of the library, acre preloaded and a library opened with RTLD_DEEPBIND, dlmopen.
 * doc/loading.md says what is supported; what is not must be noticed. ACRE_LIBRARY names the
 * library.
 */
#include "check.h"
#include "early.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { BLOCKS = 300 };

/* One copy of the library, as dlsym finds it. */
struct copy {
    void *library;
    void *(*malloc)(size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
};

static const char *path;     /* ACRE_LIBRARY */
static char second_path[64]; /* another file with the same contents */

static void *find(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    CHECK(symbol != NULL);
    return symbol;
}

static struct copy functions_of(void *library)
{
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    return (struct copy){
        .library = library,
        .malloc = (void *(*)(size_t))find(library, "malloc"),
        .realloc = (void *(*)(void *, size_t))find(library, "realloc"),
        .free = (void (*)(void *))find(library, "free"),
    };
}

static size_t size_of(size_t block)
{
    return block % 100 == 0 ? 1500000 : 1 + block * 31;
}

/* Takes blocks from a copy and from the program's own malloc at the same time. */
static void *use(void *argument)
{
    const struct copy *copy = argument;
    char *theirs[BLOCKS], *own[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) {
        theirs[i] = copy->realloc(copy->malloc(size_of(i) / 2), size_of(i));
        CHECK(theirs[i] != NULL);
        fill(theirs[i], size_of(i), i);
        own[i] = take(size_of(i), i + 1);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(theirs[i], size_of(i), i));
        copy->free(theirs[i]);
        give(own[i], size_of(i), i + 1);
    }
    return NULL;
}

/* The same in this thread, in another one, and in a child and its thread. */
static void use_everywhere(struct copy *copy)
{
    use(copy);
    in_thread(use, copy);
    pid_t child = fork();
    if (child == 0) {
        use(copy);
        pthread_t thread = start_thread(use, copy);
        use(copy);
        join(thread);
        _exit(0);
    }
    check_child(child);
}

/* ---- dlopen ---- */

static void test_flags(void)
{
    static const int flags[] = {RTLD_LAZY, RTLD_NOW, RTLD_NOW | RTLD_GLOBAL,
                                RTLD_NOW | RTLD_DEEPBIND, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE};
    void *own = dlsym(RTLD_DEFAULT, "malloc");
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        pid_t child = fork();
        if (child == 0) {
            char *before = malloc(100);
            struct copy copy = functions_of(dlopen(path, flags[i]));
            CHECK((void *)copy.malloc != own);
            /* what is bound already stays bound, and libc comes before what is opened later */
            CHECK(dlsym(RTLD_DEFAULT, "malloc") == own);
            use_everywhere(&copy);
            free(before);
            exit(0);
        }
        check_child(child);
    }
}

static pthread_barrier_t loaded;

static void *use_when_loaded(void *copy)
{
    free(hide(malloc(100)));
    pthread_barrier_wait(&loaded);
    return use(copy);
}

/* A thread that was there before, and the functions that end in another one, which a program may
 * define: here each gives and takes acre's own blocks. */
static void test_thread_and_derived(void)
{
    struct copy copy;
    CHECK(pthread_barrier_init(&loaded, NULL, 2) == 0);
    pthread_t thread = start_thread(use_when_loaded, &copy);
    copy = functions_of(dlopen(path, RTLD_NOW | RTLD_LOCAL));
    pthread_barrier_wait(&loaded);
    const char *(*version)(void) = (const char *(*)(void))find(copy.library, "acre_version");
    void *(*make)(size_t) = (void *(*)(size_t))find(copy.library, "_Znwm");
    void (*give_sized)(void *, size_t) = (void (*)(void *, size_t))find(copy.library, "free_sized");
    void (*delete_sized)(void *, size_t) = (void (*)(void *, size_t))find(copy.library, "_ZdlPvm");
    void *(*resize)(void *, size_t, size_t) =
        (void *(*)(void *, size_t, size_t))find(copy.library, "reallocarray");
    CHECK(strchr(version(), '.') != NULL);
    char *block = make(100);
    fill(block, 100, 1);
    block = resize(block, 20, 100);
    CHECK(block != NULL && is_filled(block, 100, 1));
    give_sized(block, 2000);
    copy.free(make(100));
    delete_sized(copy.malloc(100), 100);
    join(thread);
}

/* A closed library stays: its blocks are valid, and opening it again finds it as it was. */
static void test_closing(void)
{
    struct copy first = functions_of(dlopen(path, RTLD_NOW));
    char *block = first.malloc(5000), *large = first.malloc(3000000);
    CHECK(block != NULL && large != NULL);
    fill(block, 5000, 1);
    for (int i = 0; i < 10; i++) {
        CHECK(dlclose(first.library) == 0);
        CHECK(is_filled(block, 5000, 1));
        use_everywhere(&first);
        struct copy again = functions_of(dlopen(path, RTLD_NOW));
        CHECK(again.malloc == first.malloc);
        block = again.realloc(block, 5000 + (size_t)i);
        CHECK(block != NULL && is_filled(block, 5000, 1));
    }
    first.free(block);
    first.free(large);
}

/* ---- two copies ---- */

/* Makes a file of its own with the library in it, which is gone when the process is. */
static void make_second_copy(void)
{
    struct stat properties;
    int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("libacre.so", 0);
    CHECK(from >= 0 && to >= 0 && fstat(from, &properties) == 0);
    CHECK(sendfile(to, from, NULL, (size_t)properties.st_size) == properties.st_size);
    close(from);
    snprintf(second_path, sizeof(second_path), "/proc/self/fd/%d", to);
}

/* Two copies serve side by side, each its own blocks. */
static void test_two_copies(void)
{
    struct copy first = functions_of(dlopen(path, RTLD_NOW));
    struct copy second = functions_of(dlopen(second_path, RTLD_NOW));
    CHECK(first.malloc != second.malloc);
    use_everywhere(&first);
    use_everywhere(&second);
    use_everywhere(&first);
}

/*
 * Runs `work` in a child that must end by SIGABRT, and have written a line in which `expected`
 * stands.
 */
static void check_aborts(void (*work)(void), const char *expected)
{
    int ends[2];
    char text[1024];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        work();
        _exit(0);
    }
    close(ends[1]);
    read_all(ends[0], text, sizeof(text));
    int status = wait_for(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (strstr(text, expected) == NULL)
        fprintf(stderr, "written: \"%s\"\n", text);
    CHECK(strstr(text, expected) != NULL);
}

static void free_tiny_elsewhere(void)
{
    struct copy first = functions_of(dlopen(path, RTLD_NOW));
    struct copy second = functions_of(dlopen(second_path, RTLD_NOW));
    second.free(second.malloc(10));
    second.free(first.malloc(10));
}

static void free_large_elsewhere(void)
{
    struct copy first = functions_of(dlopen(path, RTLD_NOW));
    struct copy second = functions_of(dlopen(second_path, RTLD_NOW));
    second.free(second.malloc(4000000));
    second.free(first.malloc(5000000));
}

static void free_own_block_there(void)
{
    struct copy copy = functions_of(dlopen(path, RTLD_NOW));
    copy.free(malloc(10));
}

/* ---- preloaded, and a library that looks for its own libc first ---- */

/* What the program does when it was started again: frees what the constructors of libearly
 * allocated. */
static int free_early_blocks(int flags)
{
    check_is_acre("malloc");
    void *library = dlopen(".libs/libearly.so", flags);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    void **blocks = find(library, "early_blocks");
    for (unsigned i = 0; i < EARLY_BLOCKS; i++) {
        CHECK(is_filled(blocks[i], early_size(i), i));
        free(blocks[i]);
    }
    return 0;
}

static void exec_deepbind(void)
{
    CHECK(setenv("LD_PRELOAD", path, 1) == 0);
    start_again("deepbind");
}

static void exec_global(void)
{
    CHECK(setenv("LD_PRELOAD", path, 1) == 0);
    start_again("global");
}

/* ---- dlmopen ---- */

static pthread_key_t key;
static int value, destroyed; /* the key's destructor got the address of `value` so often */

static void destroy(void *pointer)
{
    CHECK(pointer == &value);
    destroyed++;
}

static void *use_with_value(void *copy)
{
    CHECK(pthread_setspecific(key, &value) == 0);
    use(copy);
    CHECK(pthread_getspecific(key) == &value);
    return NULL;
}

/* In a namespace of its own the library has another libc, whose keys are not the program's. */
static void test_namespace(void)
{
    CHECK(pthread_key_create(&key, destroy) == 0);
    CHECK(pthread_setspecific(key, &value) == 0);
    struct copy copy = functions_of(dlmopen(LM_ID_NEWLM, path, RTLD_NOW));
    use_everywhere(&copy);
    CHECK(pthread_getspecific(key) == &value);
    in_thread(use_with_value, &copy);
    CHECK(destroyed == 1);
    CHECK(dlclose(copy.library) == 0);
}

/* ---- all of it ---- */

/* Each in a process of its own: libraries are not unloaded. */
int main(int argument_count, char **arguments)
{
    path = getenv("ACRE_LIBRARY");
    CHECK(path != NULL);
    alarm(CHECK_HANG_SECONDS);
    if (argument_count > 1)
        return free_early_blocks(strcmp(arguments[1], "global") == 0 ? RTLD_NOW | RTLD_GLOBAL
                                                                     : RTLD_NOW | RTLD_DEEPBIND);
    make_second_copy();
    test_flags();
    in_child(test_thread_and_derived);
    in_child(test_closing);
    in_child(test_two_copies);
    check_aborts(free_tiny_elsewhere, "foreign pointer: free(");
    check_aborts(free_large_elsewhere, "foreign pointer: free(");
    check_aborts(free_own_block_there, "foreign pointer: free(");
    in_child(exec_global);
    check_aborts(exec_deepbind, "foreign pointer: free(");
    in_child(test_namespace);
    return 0;
}
