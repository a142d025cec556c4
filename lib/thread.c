/* Threads: see thread.h. */
#include "thread.h"

#include "background.h"
#include "lock.h"

#include <pthread.h>

static struct {
    struct lock lock; /* guards making the key */
    bool made;        /* atomic: release after key is written */
    bool avoided;     /* see thread_avoid_keys; constant once threads exist */
    pthread_key_t key;
} hook = {.lock = {.rank = LOCK_RANK_INIT}};

/* The exit hook has run in this thread. */
static __thread bool thread_ended __attribute__((tls_model("initial-exec")));

/* The key's destructor: a pthread key, since those run after C++ thread_local destructors. */
static void thread_end(void *value)
{
    struct arena *arena = value;
    thread_ended = true;
    if (thread_arena != arena)
        return;
    thread_arena = &arena_none;
    arena_retire(arena);
    background_thread_ends();
}

/* Makes the key once. False if there is none left: threads' arenas are not reused then, and all
 * else works. */
static bool hook_make(void)
{
    if (__atomic_load_n(&hook.made, __ATOMIC_ACQUIRE))
        return true;
    if (hook.avoided)
        return false;
    lock_acquire(&hook.lock);
    bool made = hook.made || pthread_key_create(&hook.key, thread_end) == 0;
    /* release: who sees it made sees the key */
    __atomic_store_n(&hook.made, made, __ATOMIC_RELEASE);
    lock_release(&hook.lock);
    return made;
}

void thread_avoid_keys(void)
{
    hook.avoided = true;
}

struct arena *thread_get_arena(bool *borrowed)
{
    *borrowed = false;
    if (thread_arena != &arena_none)
        return thread_arena;
    struct arena *arena = arena_adopt();
    if (arena == NULL || thread_ended) {
        *borrowed = arena != NULL;
        return arena;
    }
    /* before pthread_setspecific, which may allocate and must then find an arena */
    thread_arena = arena;
    if (hook_make())
        pthread_setspecific(hook.key, arena);
    return arena;
}
