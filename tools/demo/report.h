/* SPDX-License-Identifier: MIT */
/*
 * What is left of a run: report.html, summary.json, a dozen lines on the
 * terminal. All are made from a struct run and the pictures in @dir.
 */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "run.h"

/* calls of one kind, or invalidations: how many, and how long they took */
struct durations {
	unsigned int num;
	int64_t median, max;
};

struct durations durations_of(const struct run *run, enum mark_kind kind);

/* Did a job end during it, that began before it? */
bool mark_waited(const struct run *run, const struct mark *mark);
/* invalidations that did */
struct durations durations_of_waits(const struct run *run);

/* All calls of the mm threads */
unsigned int num_calls(const struct run *run);
/* So little happened, on a busy machine, that it proves little? */
bool run_weak(const struct run *run);

int report_write(const struct run *run, const char *dir);
int summary_write(const struct run *run, const char *dir);
void summary_print(const struct run *run);

/* svg.c: the whole run, then two looks closer */
void svg_overview(const struct run *run, FILE *file);
void svg_busy(const struct run *run, FILE *file);
void svg_close_up(const struct run *run, FILE *file);

#endif
