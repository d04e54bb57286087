/* SPDX-License-Identifier: MIT */
/*
 * The recorder: marks with a begin and an end on CLOCK_MONOTONIC, in lanes.
 * Each lane has one writer, so nothing is locked; all memory is there from the
 * start, so that recording never calls mmap() while somebody else has a hole
 * in the address space that must stay one.
 */
#ifndef DEMO_TIMELINE_H
#define DEMO_TIMELINE_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum lane {
	LANE_TRANSFORM,
	LANE_COPY,
	LANE_REFUSED,
	LANE_INVALIDATE,
	LANE_POPULATE,
	LANE_MOVE,
	LANE_REMAP,
	LANE_DISCARD,
	LANE_FORK,
	LANE_NEIGHBOUR,
	LANES
};

enum mark_kind {
	/* jobs */
	MARK_QUEUED,
	MARK_JOB,
	MARK_REFUSED,		/* arg is the errno, addr where */
	/* the kernel's own tracepoints */
	MARK_INVALIDATE,
	MARK_POPULATE,
	MARK_COMMIT,
	/* calls of the mm threads, in the order of the report's table */
	MARK_MUNMAP,
	MARK_MMAP,
	MARK_MREMAP,
	MARK_MREMAP_BACK,
	MARK_MREMAP_OVER,
	MARK_MPROTECT,
	MARK_DONTNEED,
	MARK_FORK,
	/* states */
	MARK_AWAY,
	MARK_READONLY,
	MARK_CHILD,
	MARKS
};

#define MARK_FIRST_CALL	MARK_MUNMAP
#define MARK_LAST_CALL	MARK_FORK

struct mark {
	int64_t begin, end;
	uint64_t addr, size;	/* CPU addresses, where it has any */
	enum mark_kind kind;
	int arg;
};

struct timeline_lane {
	struct mark *marks;
	unsigned int num, max;
	unsigned int dropped;
};

struct timeline {
	struct timeline_lane lanes[LANES];
};

static inline int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int timeline_init(struct timeline *timeline);
void timeline_fini(struct timeline *timeline);
void timeline_mark(struct timeline *timeline, enum lane lane,
		   const struct mark *mark);
void timeline_sort(struct timeline *timeline);

const char *mark_name(enum mark_kind kind);
const char *lane_name(enum lane lane);

/* One line a mark, for report_write() at another time or place */
void timeline_save(const struct timeline *timeline, FILE *file);
int timeline_load_line(struct timeline *timeline, const char *line);

#endif
