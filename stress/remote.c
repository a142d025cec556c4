/*
 * Blocks freed by other threads than those that took them, in four patterns that take turns:
 *
 *   pipeline  worker 0 takes blocks, each passes them to the next, the last frees them
 *   fan-in    all take blocks, worker 0 frees them
 *   fan-out   worker 0 takes blocks, the others free them
 *   ring      each takes blocks and passes them to the next; a block goes on for a few hops
 *
 * Idle memory is given back all the time meanwhile: the decay is short, now and then a worker
 * trims, and every other run has the background thread.
 *
 * Each worker has a mailbox, a bounded queue under a lock; what does not fit is freed by the
 * sender. Messages that the end of a round finds in a mailbox are freed at the start of the next
 * one.
 */
#include "common.h"

#include <acre/acre.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>

enum {
    MAILBOX_SIZE = 4096, /* messages */
    MESSAGES = 20000,    /* that one producer sends in a round */
    HOPS_MAX = 5,
    SMALL_LIMIT = 1500, /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 500,  /* one in that many blocks may be larger */
    TRIM_SHARE = 3000,  /* one in that many messages is followed by a malloc_trim */
};

#define SIZE_LIMIT ((size_t)2 << 20) /* bytes; sizes of all blocks are below */

enum pattern { PIPELINE, FAN_IN, FAN_OUT, RING, PATTERNS };

struct message {
    struct block block;
    int hops; /* in a ring: how often it is still passed on */
};

struct mailbox {
    pthread_mutex_t lock; /* guards all below */
    size_t first, count;
    size_t live; /* bytes of the blocks in it */
    struct message message[MAILBOX_SIZE];
};

static struct mailbox mailboxes[STRESS_THREADS_MAX];
static int producers; /* that have not ended their round; atomic, set between rounds */

/* Puts the message into the mailbox; false if it is full or has its share of the memory. */
static bool mailbox_put(const struct worker *worker, int target, const struct message *message)
{
    struct mailbox *mailbox = &mailboxes[target];
    pthread_mutex_lock(&mailbox->lock);
    bool fits =
        mailbox->count < MAILBOX_SIZE && mailbox->live + message->block.size <= worker->memory;
    if (fits) {
        mailbox->message[(mailbox->first + mailbox->count++) % MAILBOX_SIZE] = *message;
        mailbox->live += message->block.size;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return fits;
}

/* Takes the oldest message of the worker's mailbox; false if there is none. */
static bool mailbox_take(const struct worker *worker, struct message *message)
{
    struct mailbox *mailbox = &mailboxes[worker->number];
    pthread_mutex_lock(&mailbox->lock);
    bool found = mailbox->count != 0;
    if (found) {
        *message = mailbox->message[mailbox->first];
        mailbox->first = (mailbox->first + 1) % MAILBOX_SIZE;
        mailbox->count--;
        mailbox->live -= message->block.size;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return found;
}

static bool is_producer(int worker, enum pattern pattern)
{
    return pattern == FAN_IN || pattern == RING || worker == 0;
}

static int count_producers(unsigned long round)
{
    int count = 0;
    for (int i = 0; i < stress_threads(); i++)
        count += is_producer(i, (enum pattern)(round % PATTERNS));
    return count;
}

/* Whom a worker sends to. */
static int target_of(struct worker *worker, enum pattern pattern)
{
    int others = stress_threads() - 1;
    switch (pattern) {
    case FAN_IN:
        return 0;
    case FAN_OUT:
        return others == 0 ? 0 : 1 + (int)random_below(&worker->random, (size_t)others);
    default:
        return (worker->number + 1) % stress_threads();
    }
}

/* Sends the message, or frees the block if the mailbox does not take it. */
static void send(struct worker *worker, enum pattern pattern, struct message *message)
{
    if (!mailbox_put(worker, target_of(worker, pattern), message))
        block_release(&message->block);
}

/* Takes a message that came and passes it on or frees its block; false if none came. */
static bool receive(struct worker *worker, enum pattern pattern)
{
    struct message message;
    if (!mailbox_take(worker, &message))
        return false;
    bool goes_on = (pattern == PIPELINE && worker->number < stress_threads() - 1) ||
                   (pattern == RING && message.hops-- > 0);
    if (goes_on)
        send(worker, pattern, &message);
    else
        block_release(&message.block);
    return true;
}

static void produce(struct worker *worker, enum pattern pattern)
{
    for (int i = 0; i < MESSAGES; i++) {
        size_t size = random_size(&worker->random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT);
        struct message message = {block_allocate(&worker->random, size),
                                  (int)random_below(&worker->random, HOPS_MAX)};
        send(worker, pattern, &message);
        receive(worker, pattern);
        if (random_below(&worker->random, TRIM_SHARE) == 0)
            malloc_trim(0);
    }
    __atomic_fetch_sub(&producers, 1, __ATOMIC_RELEASE);
}

static void empty_mailbox(struct worker *worker)
{
    struct message message;
    while (mailbox_take(worker, &message))
        block_release(&message.block);
}

static void start(struct worker *worker)
{
    if (worker->number == 0) {
        acre_option_set("decay", "1");
        acre_option_set("background_thread", random_below(&worker->random, 2) == 0 ? "1" : "0");
    }
    pthread_mutex_init(&mailboxes[worker->number].lock, NULL);
}

/* A round begins with what the last one left; the first with the mailboxes not yet all made, so it
 * does nothing else. */
static void round_of(struct worker *worker, unsigned long round)
{
    enum pattern pattern = (enum pattern)(round % PATTERNS);
    if (round == 0)
        return;
    empty_mailbox(worker);
    if (is_producer(worker->number, pattern))
        produce(worker, pattern);
    do {
        while (receive(worker, pattern))
            ;
        sched_yield();
    } while (__atomic_load_n(&producers, __ATOMIC_ACQUIRE) > 0);
}

static void between_rounds(unsigned long next)
{
    __atomic_store_n(&producers, count_producers(next), __ATOMIC_RELEASE);
}

int main(int argc, char **argv)
{
    static const struct program program = {.name = "remote",
                                           .start = start,
                                           .round = round_of,
                                           .between_rounds = between_rounds,
                                           .finish = empty_mailbox};
    return stress_main(&program, argc, argv);
}
