/* SPDX-License-Identifier: MIT */
/*
 * What the jobs and the mm threads share: the two pictures in memory, and where
 * the engine sees them.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stdatomic.h>
#include <unistd.h>

#include "client.h"
#include "picture.h"
#include "run.h"
#include "tiles.h"

/* GPU addresses */
#define PICTURE_VA	0x100000000ULL
#define COPY_VA		0x200000000ULL
#define ALIAS_VA	0x300000000ULL
#define RESULT_VA	0x400000000ULL

#define NEIGHBOUR_PAGES	32	/* on each side of a picture */

/*
 * Memory for a picture, in the middle of a larger malloc(): page-aligned, with
 * neighbours that belong to the mm threads.
 */
struct arena {
	void *alloc;
	uint8_t *before, *after;	/* the neighbours */
	struct picture picture;
	size_t size;			/* whole pages */
};

struct demo {
	struct client client;
	struct run run;
	struct picture original;	/* nobody writes to it */
	struct arena picture, copy;
	size_t page;
	atomic_uint published;		/* jobs so far: the storm waits for them */
};

static inline void *arena_start(const struct arena *arena)
{
	return arena->picture.pixels;
}

/* xorshift64*: repeatable, and each thread has its own */
struct rng {
	uint64_t state;
};

static inline struct rng rng_init(unsigned int seed, unsigned int stream)
{
	return (struct rng){ (seed + 1) * 0x9e3779b97f4a7c15ULL + stream * 0xd1342543de82ef95ULL + 1 };
}

static inline uint32_t rng_next(struct rng *rng)
{
	rng->state ^= rng->state >> 12;
	rng->state ^= rng->state << 25;
	rng->state ^= rng->state >> 27;
	return (rng->state * 0x2545f4914f6cdd1dULL) >> 32;
}

/* @from to @to, both included */
static inline uint32_t rng_range(struct rng *rng, uint32_t from, uint32_t to)
{
	return from + rng_next(rng) % (to - from + 1);
}

#endif
