/* Threads: see thread.h. */
#include "arena/thread.h"

#include "arena/background.h"

#include <assert.h>
#include <pthread.h>

static_assert(sizeof(pthread_key_t) <= sizeof(uint32_t), "a key and 1 fit into key_plus_1");

static START_DATA struct {
    uint64_t key_plus_1; /* [any, relaxed] the pthread key, plus 1; 0: none made yet */
    bool avoided;        /* [constant once threads exist] see thread_avoid_keys */
} hook;

/* The key's destructor: a pthread key, since those run after C++ thread_local destructors. */
static void thread_end(void *value)
{
    struct arena *arena = value;
    thread_state.ended = true;
    if (thread_state.arena != arena)
        return;
    thread_state.arena = &arena_none;
    arena_retire(arena);
    background_thread_ends();
}

/* The key, made at the first call, under no lock, since a library may have its own version of
 * pthread_key_create, which allocates. False if there is none left: then the arenas of threads that
 * end are not reused, and all else works. */
static bool find_key(pthread_key_t *key)
{
    uint64_t known = __atomic_load_n(&hook.key_plus_1, __ATOMIC_RELAXED);
    if (known == 0 && !hook.avoided && pthread_key_create(key, thread_end) == 0) {
        if (__atomic_compare_exchange_n(&hook.key_plus_1, &known, (uint64_t)*key + 1, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
        pthread_key_delete(*key); /* another thread has made one */
    }
    *key = (pthread_key_t)(known - 1);
    return known != 0;
}

void thread_avoid_keys(void)
{
    hook.avoided = true;
}

struct arena *thread_get_arena(bool *borrowed)
{
    *borrowed = false;
    if (thread_state.arena != &arena_none)
        return thread_state.arena;
    struct arena *arena = arena_adopt();
    if (arena == NULL || thread_state.ended) {
        *borrowed = arena != NULL;
        return arena;
    }
    /* before the functions of pthread, which may allocate and must then find an arena */
    thread_state.arena = arena;
    pthread_key_t key;
    if (find_key(&key))
        pthread_setspecific(key, arena);
    return arena;
}
