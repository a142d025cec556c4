/*
 * Statistics as the options ask for them: when the process ends, every few seconds, or at a signal;
 * to a file, or to what standard error was at the start.
 *
 *   1. the ticks of idle memory (idle.h) look whether it is time: no thread for it, no lock held
 *   2. the signal's handler only notes that the statistics are wanted, and wakes the background
 *      thread if there is one
 *   3. a file is written beside its place and renamed, so a reader sees all of it or the last one
 *
 * One thread at a time writes. Allocates nothing.
 */
#ifndef ACRE_LIB_STATS_FILE_H
#define ACRE_LIB_STATS_FILE_H

#include "base/base.h"

/* Notes what standard error is and installs the handler, once, by a constructor, after the options
 * were read. */
void stats_file_start(void);

/* For idle_report: writes them if it is time. `now` is os_now_ms(). */
void stats_file_tick(uint64_t now);

/* Writes them, if the options ask for it, when the process ends. */
void stats_file_end(void);

#endif
