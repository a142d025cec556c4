/* A program that calls malloc only through libc; it ends with COPIES blocks allocated. */
#include <stdlib.h>
#include <string.h>

enum { COPIES = 1000, LENGTH = 2999 };

char text[LENGTH + 1];
char *copies[COPIES];

int main(void)
{
    memset(text, 't', LENGTH);
    for (size_t i = 0; i < COPIES; i++)
        if ((copies[i] = strdup(text)) == NULL)
            return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
