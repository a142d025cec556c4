/* Making a sequence short: see shrink.h. (Delta debugging without complements: Zeller, Hildebrandt,
 * "Simplifying and isolating failure-inducing input", 2002.) */
#include "shrink.h"

#include "attempt.h"

#include <string.h>
#include <time.h>

enum {
    TRIES = 5,        /* times that a sequence is played which may depend on chance */
    SECONDS_MOST = 60 /* that it may take */
};

static struct step kept[STEPS_MOST];
static unsigned kept_count;
static enum finding wanted;
static time_t end;

static bool time_is_over(void)
{
    return time(NULL) >= end;
}

/* True if these steps find what is wanted: then they are kept. */
static bool keep_if_found(const struct step *steps, unsigned count)
{
    if (time_is_over())
        return false;
    memmove(attempt->steps, steps, count * sizeof(steps[0]));
    attempt->count = count;
    search_play();
    if (attempt->finding != wanted)
        return false;
    memmove(kept, steps, count * sizeof(steps[0]));
    kept_count = count;
    return true;
}

/* Tries without steps [from, from + size). */
static bool leave_out(unsigned from, unsigned size)
{
    static struct step rest[STEPS_MOST];
    memcpy(rest, kept, from * sizeof(rest[0]));
    memcpy(rest + from, kept + from + size, (kept_count - from - size) * sizeof(rest[0]));
    return keep_if_found(rest, kept_count - size);
}

/* Leaves out runs of steps of that size. True if any. */
static bool leave_out_runs(unsigned size)
{
    bool any = false;
    for (unsigned from = 0; from < kept_count;) {
        unsigned run = size < kept_count - from ? size : kept_count - from;
        if (leave_out(from, run))
            any = true;
        else
            from += run;
    }
    return any;
}

static void leave_out_all(void)
{
    for (unsigned size = kept_count / 2; size > 1; size /= 2)
        leave_out_runs(size);
    while (leave_out_runs(1) && !time_is_over())
        continue;
}

/* Tries with another step in the place of one. */
static bool replace(unsigned number, struct step step)
{
    static struct step changed[STEPS_MOST];
    memcpy(changed, kept, kept_count * sizeof(changed[0]));
    changed[number] = step;
    return keep_if_found(changed, kept_count);
}

/* Has one step make fewer blocks, write less, and be the main thread's. */
static void simplify(unsigned number)
{
    struct step step = kept[number];
    step.thread = 0;
    if (kept[number].thread != 0 && step.call != CALL_RACE && step.call != CALL_THREAD_END)
        replace(number, step);
    for (unsigned fewer = kept[number].count / 2; fewer > 0; fewer /= 2) {
        step = kept[number];
        while (step.count > fewer) {
            step.count -= fewer;
            if (!replace(number, step))
                break;
        }
    }
    step = kept[number];
    while (step.call == CALL_WRITE && step.size > 1) {
        step.size /= 2;
        if (!replace(number, step))
            break;
    }
}

/* Has as few threads as the steps need. */
static void use_fewer_threads(void)
{
    unsigned threads = attempt->threads;
    for (attempt->threads = 1; attempt->threads < threads; attempt->threads++) {
        bool enough = true;
        for (unsigned i = 0; i < kept_count; i++)
            enough = enough && kept[i].thread < attempt->threads;
        if (enough && keep_if_found(kept, kept_count))
            return;
    }
}

bool shrink(void)
{
    static struct step first[STEPS_MOST];
    bool found = false;
    unsigned count = attempt->count;
    memcpy(first, attempt->steps, sizeof(first));
    wanted = attempt->finding;
    end = time(NULL) + SECONDS_MOST;
    for (unsigned i = 0; i < TRIES && !found; i++)
        found = keep_if_found(first, count);
    if (found) {
        leave_out_all();
        for (unsigned i = 0; i < kept_count; i++)
            simplify(i);
        leave_out_all();
        use_fewer_threads();
        count = kept_count;
    }
    memcpy(attempt->steps, found ? kept : first, sizeof(first));
    attempt->count = count;
    attempt->finding = wanted;
    return found;
}
