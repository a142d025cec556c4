/* Chains of calls: see chains.h. CHAIN_RUN is the name of the function. */
#include "chains.h"

#include <alloca.h>

/* Keeps the compiler from knowing what is there. */
static void use(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

#define NOTE_RETURN(chain)                                                                         \
    ((chain)->returns[(chain)->depth++] =                                                          \
         (uintptr_t)__builtin_extract_return_addr(__builtin_return_address(0)))
#define LINK __attribute__((noinline))

static int (*const links[LINKS])(struct chain *); /* by enum chain_link */

static inline __attribute__((always_inline)) int call_next(struct chain *chain)
{
    if (chain->length != 0) {
        chain->length--;
        return links[*chain->links++](chain);
    }
    chain->leaf(chain);
    return (int)chain->depth;
}

/* In each, work follows the call: it is no jump. */
LINK static int link_plain(struct chain *chain)
{
    NOTE_RETURN(chain);
    return call_next(chain) + 1;
}

LINK static int link_alloca(struct chain *chain)
{
    NOTE_RETURN(chain);
    char *room = alloca(16 + 48 * (chain->depth % 5));
    use(room);
    int result = call_next(chain);
    use(room);
    return result + room[0];
}

LINK static int link_aligned(struct chain *chain)
{
    char room[64] __attribute__((aligned(128))) = {0};
    NOTE_RETURN(chain);
    char *more = alloca(16 + 48 * (chain->depth % 3));
    use(room);
    use(more);
    int result = call_next(chain);
    use(room);
    return result + room[1];
}

LINK static int link_large(struct chain *chain)
{
    char room[9000];
    room[0] = 0;
    NOTE_RETURN(chain);
    use(room);
    int result = call_next(chain);
    use(room);
    return result + room[0];
}

LINK static int with_arguments(struct chain *chain, long a, long b, long c, long d, long e, long f,
                               long g, long h, long i)
{
    NOTE_RETURN(chain);
    return call_next(chain) + (int)(a + b * c - d * e + f - g + h * i);
}

LINK static int link_arguments(struct chain *chain)
{
    NOTE_RETURN(chain);
    long x = (long)chain->depth;
    return with_arguments(chain, x, x + 1, x + 2, x, x, x * 2, x, 9, x) + 1;
}

static int (*const links[LINKS])(struct chain *) = {
    [LINK_PLAIN] = link_plain, [LINK_ALLOCA] = link_alloca,       [LINK_ALIGNED] = link_aligned,
    [LINK_LARGE] = link_large, [LINK_ARGUMENTS] = link_arguments,
};

LINK int CHAIN_RUN(struct chain *chain)
{
    NOTE_RETURN(chain);
    return call_next(chain) + 1;
}
