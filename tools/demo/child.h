/* SPDX-License-Identifier: MIT */
/*
 * A forked child. Its picture is the parent's at some moment between two jobs;
 * from then on neither the parent's jobs nor the child's own stores reach the
 * other side. The parent's VM is not the child's to use.
 */
#ifndef DEMO_CHILD_H
#define DEMO_CHILD_H

#include <sys/types.h>

#include "demo.h"

/* In the child of a process with threads: async-signal-safe functions only */
int child_main(struct demo *demo, uint32_t queue);

/* In the parent. Returns what was wrong, or NULL. */
const char *child_wait(pid_t pid);

#endif
