/*
 * With on_error and foreign other than abort a misuse does nothing and the program goes on, its
 * blocks and errno as they were: go_on FUNCTION SIZE. Four misuses, the last one of a foreign
 * pointer.
 */
#include "misuse.h"

#include <acre/acre.h>

enum {
    BLOCKS = 500,
    MARKED = 48, /* bytes */
    STATUS_ERRNO = 5,
    STATUS_CONTENTS = 6,
};

/* Makes a call that is wrong; only free and its kind must leave errno alone. */
static void call_wrongly(struct call call, char *pointer)
{
    call.pointer = pointer;
    errno = ERANGE;
    misuse_call(&call);
    if (errno != ERANGE && strncmp(call.function, "realloc", 7) != 0)
        exit(STATUS_ERRNO);
}

int main(int count, char **words)
{
    static char *blocks[BLOCKS];
    if (count != 3)
        return STATUS_USAGE;
    struct call call = {words[1], NULL, 0};
    char *block = misuse_block(words[2], &call.size), *freed = misuse_block(words[2], &call.size);
    memset(block, 'b', call.size);
    free(freed);
    call_wrongly(call, freed);
    call_wrongly(call, block + 16);
    call_wrongly(call, block + 1);
    call_wrongly(call, (char *)&call);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(call.size);
        if (blocks[i] == NULL)
            return STATUS_USAGE;
        memset(blocks[i], i, MARKED);
    }
    for (size_t i = 0; i < call.size; i++)
        if (block[i] != 'b')
            return STATUS_CONTENTS;
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks[i][0] != (char)i || blocks[i][MARKED - 1] != (char)i)
            return STATUS_CONTENTS;
        free(blocks[i]);
    }
    free(block);
    return acre_check(STDERR_FILENO) == 0 ? 0 : STATUS_CONTENTS;
}
