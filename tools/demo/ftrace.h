/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of the timeline: tracepoints of system drm_userptr, in a
 * trace instance of our own, on the clock that now() reads.
 */
#ifndef DEMO_FTRACE_H
#define DEMO_FTRACE_H

#include "run.h"

struct ftrace {
	char dir[128];		/* the instance, or "" */
};

/* What keeps it from working goes into run->trace; that is not an error. */
void ftrace_start(struct ftrace *ftrace, struct run *run);
/* Reads what was traced into the timeline's kernel lanes and removes the instance */
void ftrace_stop(struct ftrace *ftrace, struct run *run);

#endif
