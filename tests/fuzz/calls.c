/*
 * Sequences of calls of malloc's family, chosen by libFuzzer, against a model: which blocks are
 * live, how long, and what they hold. Each byte of a block depends on the block's seed and its
 * place, so that blocks that overlap damage each other. acre's functions have the prefix acre_ here
 * (the fuzzer keeps the C library's malloc).
 *
 * An input begins with what holds for all of it: the options (modes.h), which system calls fail
 * (refuse.h), and whether there is a second player. One player's steps are made by the main thread
 * or by a second one, which take turns; so each run of an input is the same. Two players have half
 * of the input each, and a thread each, which run at the same time and exchange blocks.
 */
#define _GNU_SOURCE 1
#include "modes.h"
#include "refuse.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acre/acre.h"
#include "acre/malloc.h"

enum {
    SLOTS = 64, /* of a player */
    PLAYERS = 2,
    EXCHANGES = 4, /* places at which players exchange blocks */
    ALIGNMENT_LEAST = 16,
    CHECKED = 512, /* bytes at each end of a block that are written and compared */
    LARGEST = 4 << 20,
    OPTIONS_MOST = 3, /* that an input sets */
    ERRNO_BEFORE = EXDEV,
};

struct slot {
    unsigned char *block;
    size_t size, alignment; /* alignment: 0 if the request named none */
    unsigned char seed;
};

static struct player {
    const uint8_t *input, *end;
    struct slot slots[SLOTS];
    unsigned char seed;
} players[PLAYERS];

static bool together;                  /* two players */
static bool limited;                   /* by an option */
static struct slot *places[EXCHANGES]; /* [any] allocated by the C library; NULL: none */

static uint8_t next_byte(struct player *player)
{
    return player->input < player->end ? *player->input++ : 0;
}

/* Two bytes stand for a size: small ones exactly, others by a mantissa and an exponent; a few for
 * what no block may have. */
static size_t next_size(struct player *player)
{
    uint8_t high = next_byte(player), low = next_byte(player);
    if (high < 0x80)
        return (size_t)(high & 15) << 8 | low;
    if (high >= 0xf8)
        return (size_t)PTRDIFF_MAX - 2048 + ((size_t)(high & 7) << 9 | low);
    size_t size = ((size_t)low | 0x100) << (high & 15);
    return size > LARGEST ? low : size;
}

static void fail(const char *what)
{
    fprintf(stderr, "calls: %s\n", what);
    abort();
}

#define EXPECT(condition) ((condition) ? (void)0 : fail(#condition))

static unsigned char byte_at(const struct slot *slot, size_t i)
{
    return (unsigned char)(slot->seed + i * 7);
}

/* Writes or compares the first and the last CHECKED bytes: the inputs are short, the blocks not. */
static void each_byte(const struct slot *slot, size_t size, bool write)
{
    for (size_t i = 0; i < size; i++) {
        if (i == CHECKED && size > 2 * CHECKED)
            i = size - CHECKED;
        if (write)
            slot->block[i] = byte_at(slot, i);
        else
            EXPECT(slot->block[i] == byte_at(slot, i));
    }
}

static void expect_apart(const struct slot *new)
{
    for (const struct slot *slot = players[0].slots; slot < players[0].slots + SLOTS; slot++)
        EXPECT(slot == new || slot->block == NULL || slot->block + slot->size <= new->block ||
               new->block + new->size <= slot->block);
}

/* ---- requests ---- */

static __thread unsigned refused_before;

static void begin_request(void)
{
    refused_before = refuse_count();
    errno = ERRNO_BEFORE;
}

/* True if the request that began last may be refused though its size is not too large. What another
 * player was refused counts, too. */
static bool may_be_refused(void)
{
    return limited || refuse_goes_on() || refuse_count() != (together ? 0 : refused_before);
}

/* A call has answered with a block, or with none for lack of memory. */
static void take(struct player *player, struct slot *slot, void *block, size_t size,
                 size_t alignment)
{
    if (block == NULL) {
        EXPECT(errno == ENOMEM);
        EXPECT(size > LARGEST || may_be_refused());
        return;
    }
    *slot = (struct slot){block, size, alignment, player->seed++};
    EXPECT(size <= PTRDIFF_MAX);
    EXPECT((alignment == 0 || (uintptr_t)block % alignment == 0) &&
           (uintptr_t)block % ALIGNMENT_LEAST == 0);
    EXPECT(acre_malloc_usable_size(block) >= size);
    if (!together)
        expect_apart(slot);
    each_byte(slot, size, true);
}

static void release(struct slot *slot, uint8_t how)
{
    if (slot->block != NULL)
        each_byte(slot, slot->size, false);
    begin_request();
    if (how == 0 && slot->alignment == 0)
        acre_free_sized(slot->block, slot->size);
    else if (how == 0)
        acre_free_aligned_sized(slot->block, slot->alignment, slot->size);
    else
        acre_free(slot->block);
    EXPECT(errno == ERRNO_BEFORE);
    *slot = (struct slot){0};
}

static void resize(struct player *player, struct slot *slot, size_t size)
{
    if (slot->block == NULL || size == 0)
        return;
    struct slot old = *slot;
    begin_request();
    void *block = acre_realloc(old.block, size);
    if (block == NULL) {
        EXPECT(errno == ENOMEM && (size > LARGEST || may_be_refused()));
        each_byte(slot, old.size, false);
        return;
    }
    slot->block = block;
    size_t kept = size < old.size ? size : old.size;
    for (size_t i = 0; i < kept && i < CHECKED; i++)
        EXPECT(slot->block[i] == byte_at(&old, i));
    take(player, slot, block, size, 0);
}

static void allocate_zeroed(struct player *player, struct slot *slot, size_t size)
{
    size_t count = next_byte(player) & 15, total;
    unsigned char *block = acre_calloc(size, count);
    if (__builtin_mul_overflow(size, count, &total))
        total = SIZE_MAX;
    for (size_t i = 0; block != NULL && i < total; i++)
        EXPECT(block[i] == 0);
    take(player, slot, block, total, 0);
}

static void allocate(struct player *player, struct slot *slot)
{
    uint8_t how = next_byte(player);
    size_t size = next_size(player), alignment = (size_t)1 << (how >> 4);
    void *block = NULL;
    begin_request();
    switch (how & 7) {
    case 0:
        allocate_zeroed(player, slot, size);
        break;
    case 1:
        take(player, slot, acre_aligned_alloc(alignment, size), size, alignment);
        break;
    case 2:
        if (alignment < sizeof(void *)) {
            EXPECT(acre_posix_memalign(&block, alignment, size) == EINVAL);
            break;
        }
        errno = acre_posix_memalign(&block, alignment, size);
        take(player, slot, block, size, alignment);
        break;
    case 3:
        EXPECT(acre_posix_memalign(&block, alignment * 24, size) == EINVAL);
        EXPECT(block == NULL);
        break;
    default:
        take(player, slot, acre_malloc(size), size, 0);
    }
}

/* ---- steps ---- */

/* Puts the slot's block at a place, and takes what was there. */
static void exchange(struct slot *slot, uint8_t place)
{
    struct slot *mine = malloc(sizeof(*mine));
    EXPECT(mine != NULL);
    *mine = *slot;
    struct slot *other = __atomic_exchange_n(&places[place % EXCHANGES], mine, __ATOMIC_ACQ_REL);
    *slot = other != NULL ? *other : (struct slot){0};
    free(other);
}

/* A child has what its parent had, and ends. */
static void in_child(struct player *player)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < SLOTS; i++)
            if (i % 2 == 0)
                release(&player->slots[i], 2);
        resize(player, &player->slots[1], 5000);
        EXPECT(acre_check(STDERR_FILENO) == 0);
        _exit(0);
    }
    EXPECT(child < 0 || (waitpid(child, &status, 0) == child && status == 0));
}

/* One step; `how` is its first byte. */
static void step(struct player *player, uint8_t how)
{
    uint8_t number = next_byte(player);
    struct slot *slot = &player->slots[number % SLOTS];
    if (how == 0xff)
        acre_thread_flush();
    else if (how == 0xfe)
        acre_malloc_trim(0);
    else if (how == 0xfd && !together)
        in_child(player);
    else if (how == 0xfc)
        modes_set(number, next_byte(player));
    else if ((how & 3) == 3)
        resize(player, slot, next_size(player));
    else if (slot->block == NULL)
        allocate(player, slot);
    else if ((how & 0x30) == 0x30)
        exchange(slot, number / SLOTS);
    else
        release(slot, how >> 4);
    limited = limited || modes_limit();
}

/* ---- threads ---- */

static sem_t turn, turn_back;
static bool there_is_second, last_turn;
static uint8_t its_step;

static void wait_at(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

static void *take_turns(void *unused)
{
    for (wait_at(&turn); !last_turn; wait_at(&turn)) {
        step(&players[0], its_step);
        sem_post(&turn_back);
    }
    return unused;
}

/* One player, whose steps are made by two threads in turn. */
static void play_alone(struct player *player)
{
    pthread_t second;
    there_is_second = false;
    while (player->input < player->end) {
        uint8_t how = next_byte(player);
        bool by_second = (how & 4) != 0;
        if (by_second && !there_is_second) {
            last_turn = false;
            there_is_second = pthread_create(&second, NULL, take_turns, NULL) == 0;
        }
        if (by_second && there_is_second) {
            its_step = how;
            sem_post(&turn);
            wait_at(&turn_back);
        } else {
            step(player, how);
        }
        last_turn = how == 0xfb || player->input == player->end;
        if (last_turn && there_is_second) {
            sem_post(&turn);
            pthread_join(second, NULL);
            there_is_second = false;
        }
    }
}

static void *play_second(void *unused)
{
    struct player *player = &players[1];
    while (player->input < player->end)
        step(player, next_byte(player));
    return unused;
}

/* Two players with half of the input each, at the same time. */
static void play_together(struct player *player)
{
    pthread_t second;
    struct player *other = &players[1];
    other->end = player->end;
    player->end = other->input = player->input + (player->end - player->input) / 2;
    together = pthread_create(&second, NULL, play_second, NULL) == 0;
    while (player->input < player->end)
        step(player, next_byte(player));
    if (together)
        pthread_join(second, NULL);
}

/* Nothing was lost: acre's structures are right, and requests of all kinds succeed. */
static void finish(void)
{
    struct slot slot = {0};
    together = limited = false;
    refuse_end();
    modes_reset();
    EXPECT(acre_check(STDERR_FILENO) == 0);
    for (struct player *player = players; player < players + PLAYERS; player++)
        for (unsigned i = 0; i < SLOTS; i++)
            release(&player->slots[i], 2);
    for (unsigned i = 0; i < EXCHANGES; i++) {
        exchange(&slot, (uint8_t)i);
        release(&slot, 2);
        free(places[i]);
        places[i] = NULL;
    }
    refuse_begin(0, 0); /* forgets the failures: none excuses a refusal now */
    for (size_t size = 1; size <= LARGEST; size *= 8) {
        begin_request();
        take(&players[0], &slot, acre_malloc(size), size, 0);
        release(&slot, 2);
    }
    refuse_end();
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    /* acre_check looks at all the room that a profile has for samples */
    if (acre_option_set("profile_samples", "512") != 0)
        return 1;
    modes_reset();
    return sem_init(&turn, 0, 0) == 0 && sem_init(&turn_back, 0, 0) == 0 ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct player *player = &players[0];
    player->input = data;
    player->end = data + size;
    uint8_t first = next_byte(player);
    for (unsigned i = first % (OPTIONS_MOST + 1); i != 0; i--) {
        uint8_t option = next_byte(player);
        modes_set(option, next_byte(player));
    }
    limited = modes_limit();
    if ((first & 0x40) != 0) {
        uint8_t at = next_byte(player);
        refuse_begin(at + 1u, next_byte(player));
    } else {
        refuse_begin(0, 0);
    }
    if ((first & 0x80) != 0)
        play_together(player);
    else
        play_alone(player);
    finish();
    return 0;
}
