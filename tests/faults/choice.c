/* Choosing runs: see choice.h. */
#include "check.h"

#include "choice.h"
#include "intercept.h"

#include <sys/syscall.h>

enum {
    CALLS_OF_PART = 24, /* calls of a scenario that fail if a part is chosen, */
    CLOCK_OF_PART = 4,  /* and reads of the clock: at most, and evenly spread */
    CLOCK_OF_PATH = 2,  /* reads of the clock that fail for each path if all are chosen */
};

bool choice_all;

/* How much is tried of a call. */
enum extent {
    NOTHING,
    TWO_WAYS,   /* once, and in one more way in turn; by one error in turn */
    ALL_WAYS,   /* in each way, by one error in turn */
    ALL_ERRORS, /* by each error */
};

/* True if fewer than `most` earlier calls of the run were made on the same path. */
static bool is_new_path(const struct plan_calls *calls, size_t at, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < at - 1; i++)
        count += calls->noted[i].path == calls->noted[at - 1].path;
    return count < most;
}

/* True if no earlier call of any scenario was made by the same instruction. */
static bool is_new_place(uintptr_t place)
{
    static uintptr_t places[256];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        if (places[i] == place)
            return false;
    CHECK(count < COUNT_OF(places));
    places[count++] = place;
    return true;
}

static enum extent extent_of(const struct plan_calls *calls, size_t at, bool of_clock)
{
    if (at > calls->learnt)
        return TWO_WAYS;
    if (choice_all && of_clock)
        return is_new_path(calls, at, CLOCK_OF_PATH) ? TWO_WAYS : NOTHING;
    if (choice_all)
        return is_new_path(calls, at, 1) ? ALL_ERRORS : ALL_WAYS;
    if (is_new_place(calls->noted[at - 1].place))
        return ALL_ERRORS;
    size_t step = calls->learnt / (of_clock ? CLOCK_OF_PART : CALLS_OF_PART) + 1;
    return at % step == 1 ? TWO_WAYS : NOTHING;
}

/* True if a call fails in that way in some run. */
static bool is_tried(enum extent extent, size_t at, enum plan_how how, unsigned number)
{
    if ((how == PLAN_PAGES_ON && !intercept_is_of_pages(number)) ||
        (how == PLAN_MEMORY_ON && number != SYS_mmap && number != SYS_mprotect &&
         number != SYS_mremap))
        return false;
    return extent >= ALL_WAYS || how == PLAN_ONCE || at % PLAN_HOWS == how;
}

static unsigned count_errors(unsigned number)
{
    unsigned count = 0;
    while (intercept_error(number, count) != NULL)
        count++;
    return count;
}

/* Visits the runs of call plan->at. True if it failed in one. */
static bool visit_runs(enum extent extent, unsigned number, bool (*visit)(void *), void *context)
{
    unsigned errors = count_errors(number);
    bool any = false;
    for (unsigned how = 0; how < PLAN_HOWS && errors != 0; how++) {
        if (!is_tried(extent, plan->at, (enum plan_how)how, number))
            continue;
        bool each = extent == ALL_ERRORS && how <= PLAN_SAME_ON;
        plan->how = (enum plan_how)how;
        plan->error = each ? 0 : (unsigned)(plan->at % errors);
        do
            if (how == PLAN_ONCE || intercept_error_lasts(number, plan->error))
                any = visit(context) || any;
        while (each && ++plan->error < errors);
    }
    return any;
}

static void for_each_call(bool of_clock, bool (*visit)(void *), void *context)
{
    const struct plan_calls *calls = &plan->sequences[of_clock];
    CHECK(calls->learnt <= PLAN_NOTED);
    plan->of_clock = of_clock;
    bool goes_on = true;
    for (plan->at = 1; goes_on; plan->at++) {
        bool known = plan->at <= calls->learnt;
        unsigned number = known      ? calls->noted[plan->at - 1].number
                          : of_clock ? SYS_clock_gettime
                                     : SYS_mmap;
        enum extent extent = extent_of(calls, plan->at, of_clock);
        bool failed = extent != NOTHING && visit_runs(extent, number, visit, context);
        goes_on = failed || known;
    }
}

void choice_for_each(bool (*visit)(void *), void *context)
{
    for (unsigned i = 0; i < PLAN_SEQUENCES; i++)
        plan->sequences[i].learnt = plan->sequences[i].count;
    for_each_call(false, visit, context);
    for_each_call(true, visit, context);
}
