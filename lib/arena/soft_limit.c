/* The soft limit: see soft_limit.h. */
#include "arena/soft_limit.h"

#include "arena/idle.h"
#include "base/limit.h"
#include "modes/stack.h"

#include <errno.h>

static acre_limit_callback *current_callback; /* [any] NULL: none */

/* The call of the function by the thread, which it may have left by a jump; frame 0: none. */
static __thread struct stack_call callback_call __attribute__((tls_model("initial-exec")));

int soft_limit_set(acre_limit_callback *callback, unsigned percent)
{
    if (callback != NULL && (percent == 0 || percent > 100))
        return EINVAL;
    __atomic_store_n(&current_callback, callback, __ATOMIC_RELEASE);
    limit_set_share(callback != NULL ? percent : 0);
    return 0;
}

bool soft_limit_may_call(void)
{
    return callback_call.frame == 0 || !stack_has(&callback_call);
}

static NOINLINE void call(acre_limit_callback *callback, size_t held, size_t bytes)
{
    callback_call = (struct stack_call){(uintptr_t)__builtin_dwarf_cfa(),
                                        (uintptr_t)__builtin_return_address(0)};
    callback(held, bytes);
    callback_call.frame = 0;
}

void soft_limit_call(void)
{
    acre_limit_callback *callback = __atomic_load_n(&current_callback, __ATOMIC_ACQUIRE);
    int saved = errno;
    thread_state.limit_crossed = false;
    if (callback == NULL)
        return;
    call(callback, idle_count_held(), __atomic_load_n(&limit.bytes, __ATOMIC_SEQ_CST));
    /* what it freed does not count any more */
    idle_trim();
    limit_forget();
    errno = saved;
}
