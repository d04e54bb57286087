/* SPDX-License-Identifier: MIT */
/*
 * The storm: threads that do to the address space what a device driver would
 * rather not see, while the jobs run.
 *
 *   move        the picture: mremap() parts away and back, mprotect() them
 *               read-only and back. What is away, or read-only, must not change.
 *   remap       the copy: the same, and mmap(MAP_FIXED) and mremap() of other
 *               memory over parts of it
 *   discard     the copy: MADV_DONTNEED
 *   fork        children that look at their picture, write to it, and look again
 *   neighbour   the pages next to both pictures: munmap(), mprotect(),
 *               MADV_DONTNEED, mremap()
 *
 * No thread stores to the pictures by itself: new contents come by mremap(), in
 * one piece, so that a job sees either the old memory or the new.
 */
#ifndef DEMO_STORM_H
#define DEMO_STORM_H

#include "demo.h"

#define STORM_THREADS	5

struct storm;

struct storm_thread {
	struct storm *storm;
	struct demo *demo;
	enum lane lane;
	struct rng rng;
	uint8_t *parking;	/* address space to move things to */
	void (*step)(struct storm_thread *thread);
	pthread_t pthread;
};

struct storm {
	struct demo *demo;
	uint32_t queue;		/* the children try to use it */
	struct storm_thread threads[STORM_THREADS];
	pthread_barrier_t begin;
	atomic_bool end;
	int64_t deadline;

	/* read: something is away. write: nothing may be. */
	pthread_rwlock_t whole;

	/* the neighbour thread's: what each page holds */
	uint32_t generation[4][NEIGHBOUR_PAGES];
};

/* Blows until it is stopped, or @deadline has gone by */
int storm_start(struct storm *storm, struct demo *demo, uint32_t queue,
		int64_t deadline);
void storm_stop(struct storm *storm);

#endif
