/* A fork by the handler of the thread that is stepped, at each of its instructions: see step.h. */
#include "step.h"

const enum step_mode step_mode = STEP_OWN;
