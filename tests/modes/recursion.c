/* C: allocates in sorting and in a deep recursion; with an argument, on stacks of coroutines. */
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

enum { COROUTINES = 50, ROUNDS = 20, STACK = 64 << 10, NUMBERS = 2000 };

static ucontext_t main_context, contexts[COROUTINES];
static unsigned sum;

static void touch(unsigned number)
{
    unsigned *block = malloc(16 + number % 1000);
    block[0] = number;
    sum += block[0];
    free(block);
}

static int compare(const void *a, const void *b)
{
    touch(*(const unsigned *)a);
    return *(const int *)a - *(const int *)b;
}

static unsigned recurse(unsigned depth)
{
    unsigned numbers[8] = {depth};
    touch(depth);
    if (depth != 0)
        numbers[depth % 8] += recurse(depth - 1);
    touch(depth);
    return numbers[0] + numbers[depth % 8];
}

static void run_coroutine(int number)
{
    for (int i = 0; i < ROUNDS; i++) {
        sum += recurse((unsigned)number);
        swapcontext(&contexts[number], &main_context);
    }
}

static void run_coroutines(void)
{
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = malloc(STACK);
        contexts[i].uc_stack.ss_size = STACK;
        contexts[i].uc_link = &main_context;
        makecontext(&contexts[i], (void (*)(void))run_coroutine, 1, i);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < COROUTINES; i++)
            swapcontext(&main_context, &contexts[i]);
}

int main(int argc, char **argv)
{
    static int numbers[NUMBERS];
    (void)argv;
    if (argc > 1) {
        run_coroutines();
    } else {
        for (int i = 0; i < NUMBERS; i++)
            numbers[i] = (i * 7919) % NUMBERS;
        qsort(numbers, NUMBERS, sizeof(numbers[0]), compare);
        for (int i = 0; i < NUMBERS; i++)
            if (numbers[i] != i)
                return 1;
        for (unsigned i = 0; i < 100; i++)
            sum += recurse(i);
    }
    printf("%u\n", sum);
    return 0;
}
