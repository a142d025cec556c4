/*
 * acre loaded at run time by dlopen into a program with another malloc: it loads, its functions
 * work beside the program's own, also in threads that exist already, and it can be closed. Not
 * linked with acre; ACRE_LIBRARY names the library.
 */
#include "check.h"

static const char *(*version)(void);
static void *(*acre_malloc)(size_t);
static void *(*acre_realloc)(void *, size_t);
static void (*acre_free)(void *);

/* Functions that end in another one, which a program may define: here in acre's own. */
static void *(*acre_reallocarray)(void *, size_t, size_t);
static void (*acre_free_sized)(void *, size_t);
static void *(*acre_new)(size_t);
static void (*acre_delete_sized)(void *, size_t);

static pthread_barrier_t loaded;

static void use_both(void)
{
    enum { COUNT = 500 };
    char *ours[COUNT], *theirs[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = i % 100 == 0 ? 1200000 : 1 + i * 17;
        ours[i] = acre_malloc(size);
        theirs[i] = malloc(size);
        CHECK(ours[i] != NULL && theirs[i] != NULL);
        fill(ours[i], size, i);
        fill(theirs[i], size, i + 1);
        ours[i] = acre_realloc(ours[i], size + 500);
        CHECK(ours[i] != NULL);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = i % 100 == 0 ? 1200000 : 1 + i * 17;
        CHECK(is_filled(ours[i], size, i) && is_filled(theirs[i], size, i + 1));
        acre_free(ours[i]);
        free(theirs[i]);
    }
}

/* Each of these functions gives and takes blocks of acre's. */
static void use_derived(void)
{
    char *block = acre_new(100);
    fill(block, 100, 1);
    block = acre_reallocarray(block, 20, 100);
    CHECK(block != NULL && is_filled(block, 100, 1));
    acre_free_sized(block, 2000);
    acre_free(acre_new(100));
    acre_delete_sized(acre_malloc(100), 100);
}

static void *run_late_thread(void *unused)
{
    use_both();
    return unused;
}

static void *run_thread(void *unused)
{
    free(hide(malloc(100)));
    pthread_barrier_wait(&loaded);
    use_both();
    return unused;
}

int main(void)
{
    pthread_t before, after;
    const char *path = getenv("ACRE_LIBRARY");
    CHECK(path != NULL);
    CHECK(pthread_barrier_init(&loaded, NULL, 2) == 0);
    CHECK(pthread_create(&before, NULL, run_thread, NULL) == 0);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    version = (const char *(*)(void))dlsym(library, "acre_version");
    acre_malloc = (void *(*)(size_t))dlsym(library, "malloc");
    acre_realloc = (void *(*)(void *, size_t))dlsym(library, "realloc");
    acre_free = (void (*)(void *))dlsym(library, "free");
    CHECK(version != NULL && strchr(version(), '.') != NULL);
    CHECK(acre_malloc != NULL && acre_realloc != NULL && acre_free != NULL);
    CHECK(acre_malloc != malloc);
    acre_reallocarray = (void *(*)(void *, size_t, size_t))dlsym(library, "reallocarray");
    acre_free_sized = (void (*)(void *, size_t))dlsym(library, "free_sized");
    acre_new = (void *(*)(size_t))dlsym(library, "_Znwm");
    acre_delete_sized = (void (*)(void *, size_t))dlsym(library, "_ZdlPvm");
    CHECK(acre_reallocarray != NULL && acre_free_sized != NULL);
    CHECK(acre_new != NULL && acre_delete_sized != NULL);
    use_both();
    use_derived();
    pthread_barrier_wait(&loaded);
    CHECK(pthread_join(before, NULL) == 0);
    CHECK(pthread_create(&after, NULL, run_late_thread, NULL) == 0);
    CHECK(pthread_join(after, NULL) == 0);
    pid_t child = fork();
    if (child == 0) {
        use_both();
        _exit(0);
    }
    check_child(child);
    CHECK(dlclose(library) == 0);
    free(hide(malloc(100)));
    return 0;
}
