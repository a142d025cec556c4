/*
 * Which runs are made of a scenario: which of its calls fail, by which errors, and in which ways.
 * Always the same ones. What the calls are is known from a run without faults.
 */
#ifndef ACRE_TESTS_FAULTS_CHOICE_H
#define ACRE_TESTS_FAULTS_CHOICE_H

#include "plan.h"

/*
 * Which calls fail, if all are to: each in each way, by one of its errors in turn; the first call
 * of each path by each error; reads of the clock the first two of each path. If a part of them is
 * to: the first call that each instruction makes, in each way, and some evenly spread, once and in
 * one more way; by one error.
 */
extern bool choice_all;

/* Calls visit for each run: the plan is set but for what is counted in it. It returns whether the
 * call failed. Ends after a call that failed in no run, beyond the last of the run without faults.
 */
void choice_for_each(bool (*visit)(void *), void *context);

#endif
