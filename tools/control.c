/* Starting and stopping the profile of a process: see control.h. */
#define _GNU_SOURCE 1
#include "control.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/option.h"
#include "change.h"
#include "samples.h"

enum {
    STATUS_USAGE = 2,
    WAIT_MS = 5000, /* for the process to take what is asked for */
    PAUSE_MS = 10,  /* between looks */
    NS_OF_MS = 1000 * 1000,
};

/* Checks it by the library's parser, which also sets it in this program's own table of options. */
void control_check_interval(const char *interval)
{
    if (option_set_text(option_table[OPTION_PROFILE].name, interval) != 0 ||
        option_value(OPTION_PROFILE) == 0)
        errx(STATUS_USAGE, "--interval cannot be \"%s\"; allowed: 1..64G", interval);
}

static void read_head(struct memory *memory, struct samples *head)
{
    if (!samples_head(memory, head))
        errx(EXIT_FAILURE, "the profile of %s cannot be read", memory->name);
}

/* A change of the option "profile" alone. */
static struct change change_of(const char *value, bool quiet)
{
    struct change change = {.quiet = quiet, .silent = true};
    char text[64];
    snprintf(text, sizeof(text), "%s:%s", option_table[OPTION_PROFILE].name, value);
    change_add(&change, text);
    return change;
}

/* Sets the option "profile", and waits until the process has taken it. */
static bool set_profile(struct memory *memory, const char *value, bool quiet)
{
    struct change change = change_of(value, quiet);
    struct samples head = {0};
    const struct timespec pause = {0, PAUSE_MS * NS_OF_MS};
    uint64_t interval = change.values[OPTION_PROFILE];
    read_head(memory, &head);
    change_apply(memory, &change);
    for (int waited = 0; waited <= WAIT_MS; waited += PAUSE_MS) {
        if (!samples_head(memory, &head)) {
            (void)memory_is_alive(memory);
            return false;
        }
        /* a full table may have doubled the interval by now */
        if (interval == 0 ? head.interval == 0
                          : head.interval != 0 && head.first_interval == interval)
            return true;
        nanosleep(&pause, NULL);
    }
    warnx(
        "%s (%s) has not done it yet; the request stays: it does it when malloc or free next takes "
        "a slow path",
        memory->name, memory->program);
    return false;
}

bool control_start(struct memory *memory, const char *interval, bool quiet)
{
    static struct samples head;
    control_check_interval(interval);
    read_head(memory, &head);
    if (head.interval != 0 && head.first_interval == option_value(OPTION_PROFILE)) {
        /* another start, or a stop, that the process has not done yet is taken back */
        const struct change change = change_of(interval, quiet);
        if (!change_is_made(memory, &change))
            change_apply(memory, &change);
        printf("%s (%s): the profile is on already, with that interval: it goes on\n", memory->name,
               memory->program);
        return true;
    }
    if (!set_profile(memory, interval, quiet))
        return false;
    printf("%s (%s): the profile is on, with a sample each %s\n", memory->name, memory->program,
           interval);
    return true;
}

bool control_stop(struct memory *memory, bool quiet)
{
    static struct samples head;
    read_head(memory, &head);
    bool was_on = head.interval != 0;
    if (!set_profile(memory, "0", quiet))
        return false;
    if (!was_on) {
        printf("%s (%s): the profile was off already\n", memory->name, memory->program);
        return true;
    }
    printf("%s (%s): the profile is off; what it has can be read until it is started anew\n",
           memory->name, memory->program);
    return true;
}

bool control_mark(struct memory *memory)
{
    static struct samples head;
    const struct acre_field field = memory->view.root.fields[ACRE_FIELD_PROFILE_MARKED_AT];
    uint64_t now = samples_clock(memory);
    uint64_t address = (uintptr_t)memory->view.root.addresses[ACRE_AT_PROFILE] + field.offset;
    read_head(memory, &head);
    if (head.interval == 0) {
        warnx("%s (%s) takes no profile now: \"acre-profile start PID\" starts one", memory->name,
              memory->program);
        return false;
    }
    if (field.size != sizeof(now))
        errx(EXIT_FAILURE, "the profile of %s is damaged", memory->name);
    if (!memory_write(memory, address, &now, sizeof(now)))
        err(EXIT_FAILURE, "cannot write to %s", memory->name);
    printf("%s (%s): marked; \"acre-profile dump --since-mark\" shows what is allocated from now "
           "on\n",
           memory->name, memory->program);
    return true;
}
