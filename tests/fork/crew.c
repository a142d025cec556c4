/* Threads with static stacks: see crew.h. */
#include "check.h"

#include "crew.h"

enum {
    STACKS = 16,
    STACK_SIZE = 256 << 10, /* bytes; sanitizers and debug builds included */
};

static char stacks[STACKS][STACK_SIZE] __attribute__((aligned(4096)));
static size_t next;           /* stack */
static size_t taken = STACKS; /* the survivor's stack; STACKS: none of these */

pthread_t crew_start(void *(*start)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (next == taken)
        next++;
    CHECK(next < STACKS);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stacks[next++], STACK_SIZE) == 0);
    CHECK(pthread_create(&thread, &attributes, start, argument) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

void crew_survived(void)
{
    size_t offset = (size_t)((char *)__builtin_frame_address(0) - stacks[0]);
    taken = offset < sizeof(stacks) ? offset / STACK_SIZE : STACKS;
    next = 0;
}

void crew_sleep_for_ever(void)
{
    for (;;)
        pause();
}
