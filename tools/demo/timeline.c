// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "timeline.h"

#define LANE_MAX 32768

static const char * const mark_names[MARKS] = {
	[MARK_QUEUED] = "queued",
	[MARK_JOB] = "job",
	[MARK_REFUSED] = "refused",
	[MARK_INVALIDATE] = "invalidate",
	[MARK_POPULATE] = "populate",
	[MARK_COMMIT] = "commit",
	[MARK_MUNMAP] = "munmap",
	[MARK_MMAP] = "mmap-fixed",
	[MARK_MREMAP] = "mremap-away",
	[MARK_MREMAP_BACK] = "mremap-back",
	[MARK_MREMAP_OVER] = "mremap-over",
	[MARK_MPROTECT] = "mprotect",
	[MARK_DONTNEED] = "dontneed",
	[MARK_FORK] = "fork",
	[MARK_AWAY] = "away",
	[MARK_READONLY] = "read-only",
	[MARK_CHILD] = "child",
};

static const char * const lane_names[LANES] = {
	[LANE_TRANSFORM] = "queue 1: transform",
	[LANE_COPY] = "queue 2: copy, check",
	[LANE_REFUSED] = "refused submissions",
	[LANE_INVALIDATE] = "kernel: invalidate",
	[LANE_POPULATE] = "kernel: populate",
	[LANE_MOVE] = "mm: picture moved",
	[LANE_REMAP] = "mm: copy replaced",
	[LANE_DISCARD] = "mm: copy discarded",
	[LANE_FORK] = "mm: fork",
	[LANE_NEIGHBOUR] = "mm: neighbours",
};

const char *mark_name(enum mark_kind kind)
{
	return mark_names[kind];
}

const char *lane_name(enum lane lane)
{
	return lane_names[lane];
}

int timeline_init(struct timeline *timeline)
{
	memset(timeline, 0, sizeof(*timeline));
	for (int i = 0; i < LANES; i++) {
		struct timeline_lane *lane = &timeline->lanes[i];

		lane->marks = calloc(LANE_MAX, sizeof(*lane->marks));
		if (!lane->marks)
			return -ENOMEM;
		lane->max = LANE_MAX;
	}
	return 0;
}

void timeline_fini(struct timeline *timeline)
{
	for (int i = 0; i < LANES; i++)
		free(timeline->lanes[i].marks);
}

void timeline_mark(struct timeline *timeline, enum lane index,
		   const struct mark *mark)
{
	struct timeline_lane *lane = &timeline->lanes[index];

	if (lane->num == lane->max) {
		lane->dropped++;
		return;
	}
	lane->marks[lane->num++] = *mark;
}

static int mark_compare(const void *a, const void *b)
{
	int64_t x = ((const struct mark *)a)->begin;
	int64_t y = ((const struct mark *)b)->begin;

	return (x > y) - (x < y);
}

void timeline_sort(struct timeline *timeline)
{
	for (int i = 0; i < LANES; i++) {
		struct timeline_lane *lane = &timeline->lanes[i];

		qsort(lane->marks, lane->num, sizeof(*lane->marks), mark_compare);
	}
}

void timeline_save(const struct timeline *timeline, FILE *file)
{
	for (int i = 0; i < LANES; i++) {
		const struct timeline_lane *lane = &timeline->lanes[i];

		for (unsigned int n = 0; n < lane->num; n++) {
			const struct mark *mark = &lane->marks[n];

			fprintf(file, "mark %d %d %" PRId64 " %" PRId64
				" %#" PRIx64 " %#" PRIx64 " %d\n",
				i, mark->kind, mark->begin, mark->end,
				mark->addr, mark->size, mark->arg);
		}
	}
}

int timeline_load_line(struct timeline *timeline, const char *line)
{
	struct mark mark = { 0 };
	int lane, kind;

	if (sscanf(line, "mark %d %d %" SCNd64 " %" SCNd64 " %" SCNx64 " %" SCNx64 " %d",
		   &lane, &kind, &mark.begin, &mark.end, &mark.addr, &mark.size,
		   &mark.arg) != 7)
		return -EINVAL;
	if (lane < 0 || lane >= LANES || kind < 0 || kind >= MARKS)
		return -EINVAL;

	mark.kind = kind;
	timeline_mark(timeline, lane, &mark);
	return 0;
}
