/* A fork by another thread while one is stopped, at each of its instructions: see step.h. */
#include "step.h"

const enum step_mode step_mode = STEP_OTHER;
