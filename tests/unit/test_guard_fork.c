/*
 * Guarded blocks: a child that is forked while another thread takes or frees one.
 */
#include "guarded.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "sanitized.h"
#include "step.h"

SUITE(guard_fork, .begin = begin_guard);

static struct capture capture;

static char *of_parent;

static bool free_pages_are_closed(void)
{
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        if ((guard.order[i] == GUARD_LIVE) !=
            os_is_readable(guard.pool + (2 * i + 1) * (uintptr_t)PAGE))
            return false;
    return true;
}

/* All slots can be used in a child, and none has a page that can be read while it is free. */
static int use_pool_in_child(void)
{
    static char *all[GUARD_SLOTS];
    size_t live = 0;
    free_block(of_parent);
    if (!free_pages_are_closed())
        return 4;
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        live += guard.order[i] == GUARD_LIVE;
    for (size_t i = live; i < GUARD_SLOTS; i++) {
        make_due();
        all[i] = alloc_block(48);
        if (!guard_has(all[i]))
            return 1;
        memset(all[i], 1, 48);
    }
    for (size_t i = live; i < GUARD_SLOTS; i++)
        free_block(all[i]);
    if (!free_pages_are_closed())
        return 2;
    return free_is_live(of_parent) ? 3 : 0;
}

static sem_t stopped, looked;
static unsigned failed, failed_at, children;
static char *own_block;

enum { STRIDE = UNDER_SANITIZER ? 211 : 53 };

enum { AROUND_CALL = 40 }; /* instructions from the count of a call of mprotect on */

static void look(void)
{
    static uint64_t protections;
    static sig_atomic_t counted_at = -AROUND_CALL;
    if (protections != os_counts.mprotect) {
        protections = os_counts.mprotect;
        counted_at = steps;
    }
    if (failed != 0 || (steps % STRIDE != 0 && steps - counted_at >= AROUND_CALL))
        return;
    sem_post(&stopped);
    partner_wait(&looked);
}

static void take_one(void)
{
    own_block = guard_alloc(48, 1, 0);
}

static void free_one(void)
{
    guard_free(own_block);
}

static void *run_operation(void *frees)
{
    guard_thread.generator = 1;
    if (frees != NULL)
        take_one();
    step_through(frees != NULL ? free_one : take_one, look);
    __atomic_store_n(&stepping, 2, __ATOMIC_SEQ_CST);
    sem_post(&stopped);
    return NULL;
}

/* A thread is lost at any instruction of an allocation or a free; the child goes on. */
TEST_LOOP_UNLESS(NO_STEPS, a_child_of_another_thread_goes_on, 0, 2)
{
    sem_init(&stopped, 0, 0);
    sem_init(&looked, 0, 0);
    of_parent = guarded(100);
    pthread_t thread = begin_thread(run_operation, _i == 0 ? NULL : &failed);
    for (;;) {
        partner_wait(&stopped);
        if (stepping == 2)
            break;
        children++;
        failed = (unsigned)result_in_child(use_pool_in_child);
        failed_at = (unsigned)steps;
        sem_post(&looked);
    }
    end_thread(thread);
    ck_assert_msg(failed == 0, "status %u, at instruction %u", failed, failed_at);
    ck_assert_uint_gt(children, 5);
    ck_assert(free_is_live(of_parent));
}

static void fault_in_child(void *block)
{
    free_block(block);
    touch(block);
    _exit(faults == 1 ? 0 : 1);
}

TEST(a_child_has_the_pool_as_it_was)
{
    of_parent = guarded(100);
    ck_assert_int_eq(result_in_child(use_pool_in_child), 0);
    ck_assert(free_is_live(of_parent));
    capture_child(&capture, fault_in_child, of_parent);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_ptr_nonnull(strstr(capture.text, "use after free"));
    *of_parent = 1; /* it is live here */
    free_block(of_parent);
    ck_assert(!free_is_live(of_parent));
}
