/* SPDX-License-Identifier: MIT */
/*
 * The jobs. Queue 1 transforms a band of the picture in place; queue 2 copies
 * the band to the second userptr, compares the two, and the picture's alias (a
 * third, read-only userptr over some of the same pages) with the copy, and
 * takes the CRC-32 of both. A timeline syncobj for each band keeps the order;
 * apart from that both queues run.
 *
 * Within a job memory is what it is: the mm may take pages away before or after
 * a job, but not during it. So COMPARE finds no difference, whatever the mm
 * threads do to the copy, and that is checked after each job.
 */
#ifndef DEMO_JOBS_H
#define DEMO_JOBS_H

#include "demo.h"

#define JOBS_IN_FLIGHT	4

enum job_type { JOB_TRANSFORM, JOB_COPY, JOB_TYPES };

struct job {
	enum job_type type;
	unsigned int band, step;
	uint32_t values[TILES];		/* transform: what it exclusive-ors with */
	bool aliased;			/* copy: the alias is compared too */
	int64_t submitted;
};

/* What a copy job leaves, in an ordinary buffer object */
struct job_result {
	uint64_t copy_differs, alias_differs;
	uint32_t picture_crc, copy_crc;
};

struct jobs {
	struct demo *demo;
	uint32_t queue[JOB_TYPES];

	struct job_result *results;	/* one a slot, mapped */
	uint32_t results_bo;

	uint32_t alias_bo;
	size_t alias_offset, alias_size; /* into the picture */

	uint32_t chain[BANDS];		/* timeline syncobjs */
	uint64_t point[BANDS];
	uint32_t state[BANDS][TILES];	/* all values so far */
	struct rng rng;

	struct drm_vgem_op *ops;

	/* jobs in flight, oldest first; slot n % JOBS_IN_FLIGHT */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job flight[JOBS_IN_FLIGHT];
	unsigned int head, tail;
	bool done;

	/* the reaper's */
	pthread_t reaper;
	uint32_t fence[JOBS_IN_FLIGHT];	/* binary syncobjs */
	struct picture expected;
	int64_t queue_done[JOB_TYPES], band_done[BANDS];

	uint64_t steps, submitted, again, fault, perm, aliases;
	bool broken;
};

/* Binds everything and starts the reaper */
int jobs_start(struct jobs *jobs, struct demo *demo);
/* Submits until @deadline, then once more for each band, to the target */
int jobs_run(struct jobs *jobs, int64_t deadline);
/* After the storm: copies until the engine finds no difference */
int jobs_settle(struct jobs *jobs, unsigned int *damaged_bands);
void jobs_stop(struct jobs *jobs);

#endif
