/* A program that knows nothing of acre; it ends with BLOCKS blocks of 3000 bytes allocated. */
#include <stdlib.h>

enum { BLOCKS = 1000, BLOCK_SIZE = 3000 };

void *blocks[BLOCKS];

int main(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if ((blocks[i] = malloc(BLOCK_SIZE)) == NULL)
            return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
