/*
 * Writes that options hardened and fill find: damage WHAT FUNCTION SIZE CALLER. WHAT is "above" (a
 * byte above what was asked for), "nul" (the end of a string that is one byte too long) or "freed"
 * (a freed block). SIZE and CALLER as in the other programs; FUNCTION finds what is above.
 */
#include "misuse.h"

enum { ASKED_LESS = 8, LATER_CALLS = 100000 };

int main(int count, char **words)
{
    struct call call = {.size = 0};
    if (count != 5)
        return STATUS_USAGE;
    free(misuse_block(words[3], &call.size)); /* known: the size of the class */
    size_t asked = call.size - ASKED_LESS;
    char *block = malloc(asked);
    if (block == NULL)
        return STATUS_USAGE;
    call.function = words[2];
    call.pointer = block;
    misuse_print(block, block, asked);
    memset(block, 'b', asked);
    if (strcmp(words[1], "freed") == 0) {
        misuse_call_by(words[4], &call);
        block[asked / 2] = 'f';
        for (int i = 0; i < LATER_CALLS; i++)
            free(hide(malloc(asked)));
        return STATUS_SURVIVED;
    }
    block[asked] = strcmp(words[1], "nul") == 0 ? '\0' : (char)(block[asked] ^ 'a');
    misuse_call_by(words[4], &call);
    return STATUS_SURVIVED;
}
