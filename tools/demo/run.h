/* SPDX-License-Identifier: MIT */
/*
 * A run, as it is reported: what was done, what was checked, what was counted,
 * and when. run.tsv keeps all of it, and the report can be drawn from that.
 */
#ifndef DEMO_RUN_H
#define DEMO_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "timeline.h"

/* What must hold. A check is made many times; the first failure is kept. */
enum check_id {
	CHECK_PICTURE,
	CHECK_COPY,
	CHECK_ENGINE,
	CHECK_JOBS,
	CHECK_FENCES,
	CHECK_FROZEN,
	CHECK_CHILDREN,
	CHECK_NEIGHBOURS,
	CHECK_REFUSALS,
	CHECK_CALLS,
	CHECKS
};

struct check {
	uint64_t good, bad;
	char first[200];
};

#define COUNTERS 24

struct counter {
	char name[32];
	char meaning[160];
	uint64_t value;
};

struct run {
	char picture[256];
	char credit[256];
	char device[64];
	char system[256];
	char trace[200];	/* why there are no tracepoints, or "" */
	unsigned int width, height;
	unsigned int seed;
	int64_t begin, end;	/* of the storm */

	pthread_mutex_t lock;	/* protects checks */
	struct check checks[CHECKS];

	struct counter counters[COUNTERS];
	unsigned int num_counters;

	struct timeline timeline;
};

int run_init(struct run *run);
void run_fini(struct run *run);

/* Returns @ok; the text is that of the failure */
bool run_check(struct run *run, enum check_id id, bool ok, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
const char *check_name(enum check_id id);
/* A check that never came up does not pass if the demo is pointless without */
bool check_passed(const struct run *run, enum check_id id);
bool run_passed(const struct run *run);

void run_count(struct run *run, const char *name, uint64_t value,
	       const char *meaning);
uint64_t run_counted(const struct run *run, const char *name);

int run_save(const struct run *run, const char *path);
int run_load(struct run *run, const char *path);

#endif
