// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xf86drm.h>
#include <zlib.h>

#include "jobs.h"

/* A submission is tried again for this long; a job may take as long */
#define PATIENCE	(5 * 1000000000LL)

/* A real GPU takes its time. Each job rests this long in its middle. */
#define REST_NS		200000

#define MAX_OPS		(MAX_BAND_ROWS * TILES + 1)

/* A new alias of the picture after so many steps */
#define ALIAS_STEPS	2

_Static_assert(MAX_OPS <= DRM_VGEM_EXEC_MAX_OPS, "a band does not fit a job");

/* -- submission ------------------------------------------------------------ */

static unsigned int transform_ops(struct jobs *jobs, const struct job *job)
{
	const struct picture *picture = &jobs->demo->picture.picture;
	unsigned int top = band_top(picture, job->band);
	unsigned int bottom = band_top(picture, job->band + 1);
	struct drm_vgem_op *op = jobs->ops;

	for (unsigned int y = top; y < bottom; y++) {
		uint64_t row = PICTURE_VA + (uint64_t)y * picture->width * 4;

		/* half way: whatever takes memory away now has a job to wait for */
		if (y == (top + bottom) / 2)
			*op++ = (struct drm_vgem_op) {
				.opcode = DRM_VGEM_OP_SPIN,
				.src = RESULT_VA,
				.value = ~0u,
				.size = REST_NS,
			};

		for (unsigned int tile = 0; tile < TILES; tile++) {
			unsigned int left = tile_left(picture, tile);

			if (!job->values[tile])
				continue;
			*op++ = (struct drm_vgem_op) {
				.opcode = DRM_VGEM_OP_XOR,
				.dst = row + left * 4,
				.size = (tile_left(picture, tile + 1) - left) * 4,
				.value = job->values[tile],
			};
		}
	}

	return op - jobs->ops;
}

static unsigned int copy_ops(struct jobs *jobs, struct job *job,
			     unsigned int slot)
{
	const struct picture *picture = &jobs->demo->picture.picture;
	uint64_t offset = band_offset(picture, job->band);
	uint64_t bytes = band_bytes(picture, job->band);
	uint64_t half = bytes / 2 & ~63ULL;
	uint64_t result = RESULT_VA + 64 + slot * sizeof(struct job_result);
	uint64_t alias_begin = jobs->alias_offset;
	uint64_t alias_end = jobs->alias_offset + jobs->alias_size;
	struct drm_vgem_op *op = jobs->ops;

	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_COPY,
		.dst = COPY_VA + offset,
		.src = PICTURE_VA + offset,
		.size = half,
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_SPIN,
		.src = RESULT_VA,
		.value = ~0u,
		.size = REST_NS,
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_COPY,
		.dst = COPY_VA + offset + half,
		.src = PICTURE_VA + offset + half,
		.size = bytes - half,
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_COMPARE,
		.dst = COPY_VA + offset,
		.src = PICTURE_VA + offset,
		.size = bytes,
		.result = result + offsetof(struct job_result, copy_differs),
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_CRC32,
		.src = PICTURE_VA + offset,
		.size = bytes,
		.result = result + offsetof(struct job_result, picture_crc),
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_CRC32,
		.src = COPY_VA + offset,
		.size = bytes,
		.result = result + offsetof(struct job_result, copy_crc),
	};

	/* as much of the band as the alias has */
	if (alias_begin < offset)
		alias_begin = offset;
	if (alias_end > offset + bytes)
		alias_end = offset + bytes;
	job->aliased = alias_begin < alias_end;
	if (job->aliased)
		*op++ = (struct drm_vgem_op) {
			.opcode = DRM_VGEM_OP_COMPARE,
			.dst = COPY_VA + alias_begin,
			.src = ALIAS_VA + alias_begin - jobs->alias_offset,
			.size = alias_end - alias_begin,
			.result = result + offsetof(struct job_result, alias_differs),
		};

	memset(&jobs->results[slot], 0xa5, sizeof(jobs->results[slot]));
	return op - jobs->ops;
}

/* The CPU address that the engine means, or 0 */
static uint64_t va_to_cpu(const struct jobs *jobs, uint64_t va)
{
	const struct demo *demo = jobs->demo;
	const struct {
		uint64_t va;
		void *start;
		size_t size;
	} ranges[] = {
		{ PICTURE_VA, arena_start(&demo->picture), demo->picture.size },
		{ COPY_VA, arena_start(&demo->copy), demo->copy.size },
		{ ALIAS_VA, (uint8_t *)arena_start(&demo->picture) + jobs->alias_offset,
		  jobs->alias_size },
	};

	for (unsigned int i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (va >= ranges[i].va && va - ranges[i].va < ranges[i].size)
			return (uintptr_t)ranges[i].start + (va - ranges[i].va);
	return 0;
}

/*
 * EAGAIN: the memory changed faster than the kernel was ready to follow. EFAULT,
 * EPERM: some of it is away, or read-only, on purpose; whether that is true is
 * checked at the end, against the marks of the mm threads.
 */
static int exec_until_taken(struct jobs *jobs, enum job_type type,
			    unsigned int num_ops,
			    const struct drm_vgem_sync *syncs,
			    unsigned int num_syncs, int64_t *submitted)
{
	const struct timespec breath = { .tv_nsec = 100000 };
	struct demo *demo = jobs->demo;
	int64_t begin = now();

	for (;;) {
		struct mark mark = { .kind = MARK_REFUSED, .begin = now() };
		uint64_t fault = 0;
		int err;

		err = client_exec(&demo->client, jobs->queue[type], jobs->ops,
				  num_ops, syncs, num_syncs, &fault);
		mark.end = now();
		if (!err) {
			*submitted = mark.end;
			return 0;
		}

		mark.arg = -err;
		mark.addr = err == -EAGAIN ? 0 : va_to_cpu(jobs, fault);
		timeline_mark(&demo->run.timeline, LANE_REFUSED, &mark);

		if (err == -EAGAIN)
			jobs->again++;
		else if (err == -EFAULT)
			jobs->fault++;
		else if (err == -EPERM)
			jobs->perm++;
		if ((err != -EAGAIN && err != -EFAULT && err != -EPERM) ||
		    mark.end - begin > PATIENCE) {
			run_check(&demo->run, CHECK_CALLS, false,
				  "exec: %s, at GPU address %#llx, after %lld ms",
				  strerror(-err), (unsigned long long)fault,
				  (long long)(mark.end - begin) / 1000000);
			return err;
		}
		if (err != -EAGAIN)
			nanosleep(&breath, NULL);
	}
}

static int job_submit(struct jobs *jobs, struct job job)
{
	struct drm_vgem_sync syncs[3];
	unsigned int num_ops, slot;
	int err;

	pthread_mutex_lock(&jobs->lock);
	while (jobs->tail - jobs->head == JOBS_IN_FLIGHT)
		pthread_cond_wait(&jobs->changed, &jobs->lock);
	slot = jobs->tail % JOBS_IN_FLIGHT;
	pthread_mutex_unlock(&jobs->lock);
	if (jobs->broken)
		return -EIO;

	num_ops = job.type == JOB_TRANSFORM ? transform_ops(jobs, &job) :
					      copy_ops(jobs, &job, slot);

	/* after the band's last job; its own point, and a fence to look at */
	syncs[0] = (struct drm_vgem_sync) {
		.handle = jobs->chain[job.band],
		.point = jobs->point[job.band],
	};
	syncs[1] = (struct drm_vgem_sync) {
		.handle = jobs->chain[job.band],
		.flags = DRM_VGEM_SYNC_SIGNAL,
		.point = jobs->point[job.band] + 1,
	};
	syncs[2] = (struct drm_vgem_sync) {
		.handle = jobs->fence[slot],
		.flags = DRM_VGEM_SYNC_SIGNAL,
	};

	if (jobs->point[job.band])
		err = exec_until_taken(jobs, job.type, num_ops, syncs, 3,
				       &job.submitted);
	else
		err = exec_until_taken(jobs, job.type, num_ops, syncs + 1, 2,
				       &job.submitted);
	if (err)
		return err;

	jobs->point[job.band]++;
	jobs->submitted++;
	atomic_fetch_add(&jobs->demo->published, 1);

	pthread_mutex_lock(&jobs->lock);
	jobs->flight[slot] = job;
	jobs->tail++;
	pthread_cond_broadcast(&jobs->changed);
	pthread_mutex_unlock(&jobs->lock);
	return 0;
}

/* -- completion ------------------------------------------------------------ */

static void job_check(struct jobs *jobs, const struct job *job,
		      const struct job_result *result)
{
	const struct picture *expected = &jobs->expected;
	const uint8_t *band = (const uint8_t *)expected->pixels +
			      band_offset(expected, job->band);
	uint32_t crc = crc32(0, band, band_bytes(expected, job->band));

	run_check(&jobs->demo->run, CHECK_JOBS,
		  result->picture_crc == crc && result->copy_crc == crc &&
		  result->copy_differs == ~0ULL &&
		  (!job->aliased || result->alias_differs == ~0ULL),
		  "step %u, band %u: CRC-32 of picture %08x, copy %08x, want %08x; copy differs at %#llx, alias at %#llx (~0: nowhere)",
		  job->step, job->band, result->picture_crc, result->copy_crc,
		  crc, (unsigned long long)result->copy_differs,
		  job->aliased ? (unsigned long long)result->alias_differs : ~0ULL);
}

static void job_mark(struct jobs *jobs, const struct job *job, int64_t done)
{
	enum lane lane = job->type == JOB_TRANSFORM ? LANE_TRANSFORM : LANE_COPY;
	struct mark mark = { .arg = job->band };
	int64_t start;

	/* it ran from when it was submitted and all before it were done */
	start = job->submitted;
	if (start < jobs->queue_done[job->type])
		start = jobs->queue_done[job->type];
	if (start < jobs->band_done[job->band])
		start = jobs->band_done[job->band];
	if (start > done)
		start = done;
	jobs->queue_done[job->type] = done;
	jobs->band_done[job->band] = done;

	mark.kind = MARK_QUEUED;
	mark.begin = job->submitted < start ? job->submitted : start;
	mark.end = start;
	timeline_mark(&jobs->demo->run.timeline, lane, &mark);
	mark.kind = MARK_JOB;
	mark.begin = start;
	mark.end = done;
	timeline_mark(&jobs->demo->run.timeline, lane, &mark);
}

static void job_complete(struct jobs *jobs, const struct job *job,
			 unsigned int slot)
{
	int64_t done = 0;
	int err, status = 0;

	err = client_fence_wait(&jobs->demo->client, jobs->fence[slot],
				now() + PATIENCE, &done, &status);
	if (!run_check(&jobs->demo->run, CHECK_FENCES, !err && status == 1,
		       "step %u, band %u: %s", job->step, job->band,
		       strerror(err ? -err : -status))) {
		jobs->broken = true;
		return;
	}

	job_mark(jobs, job, done);
	if (job->type == JOB_TRANSFORM)
		band_xor(&jobs->expected, job->band, job->values);
	else
		job_check(jobs, job, &jobs->results[slot]);
}

static void *reaper(void *arg)
{
	struct jobs *jobs = arg;

	pthread_mutex_lock(&jobs->lock);
	for (;;) {
		unsigned int slot = jobs->head % JOBS_IN_FLIGHT;

		if (jobs->head == jobs->tail) {
			if (jobs->done)
				break;
			pthread_cond_wait(&jobs->changed, &jobs->lock);
			continue;
		}

		pthread_mutex_unlock(&jobs->lock);
		job_complete(jobs, &jobs->flight[slot], slot);
		pthread_mutex_lock(&jobs->lock);

		jobs->head++;
		pthread_cond_broadcast(&jobs->changed);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

static int drain(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	while (jobs->head != jobs->tail)
		pthread_cond_wait(&jobs->changed, &jobs->lock);
	pthread_mutex_unlock(&jobs->lock);
	return jobs->broken ? -EIO : 0;
}

/* -- life ------------------------------------------------------------------ */

/*
 * One more userptr over pages that belong to another one, somewhere else each
 * time. A stale page behind it shows as a difference from the copy.
 */
static int alias_renew(struct jobs *jobs)
{
	struct demo *demo = jobs->demo;
	struct client *client = &demo->client;
	size_t pages = demo->picture.size / demo->page;
	size_t begin, size;
	int err;

	if (jobs->alias_bo) {
		err = client_unbind(client, ALIAS_VA, jobs->alias_size);
		if (err)
			return err;
		client_bo_close(client, jobs->alias_bo);
		jobs->alias_bo = 0;
	}

	size = rng_range(&jobs->rng, pages / 4, pages / 2);
	begin = rng_range(&jobs->rng, 0, pages - size - 1);
	jobs->alias_offset = begin * demo->page;
	jobs->alias_size = size * demo->page;

	err = client_userptr_create(client,
				    (uint8_t *)arena_start(&demo->picture) + jobs->alias_offset,
				    jobs->alias_size, DRM_VGEM_USERPTR_READ_ONLY,
				    &jobs->alias_bo);
	if (err)
		return err;
	jobs->aliases++;
	return client_bind_bo(client, ALIAS_VA, jobs->alias_size, jobs->alias_bo,
			      DRM_VGEM_VM_BIND_READ_ONLY);
}

static int bind_all(struct jobs *jobs)
{
	struct demo *demo = jobs->demo;
	struct client *client = &demo->client;
	uint32_t picture_bo;
	void *map;
	int err;

	/* in place: a buffer object made of the picture's memory */
	err = client_userptr_create(client, arena_start(&demo->picture),
				    demo->picture.size, DRM_VGEM_USERPTR_PROBE,
				    &picture_bo);
	if (err)
		return err;
	err = client_bind_bo(client, PICTURE_VA, demo->picture.size, picture_bo, 0);
	if (err)
		return err;

	/* the copy: a bare range, no object at all */
	err = client_bind_range(client, COPY_VA, demo->copy.size,
				arena_start(&demo->copy), 0);
	if (err)
		return err;

	/* results: an ordinary buffer object, in the same address space */
	err = client_bo_create(client, demo->page, &jobs->results_bo, &map);
	if (err)
		return err;
	jobs->results = (void *)((uint8_t *)map + 64);
	err = client_bind_bo(client, RESULT_VA, demo->page, jobs->results_bo, 0);
	if (err)
		return err;

	return alias_renew(jobs);
}

int jobs_start(struct jobs *jobs, struct demo *demo)
{
	size_t bytes = picture_bytes(&demo->original);
	int err;

	memset(jobs, 0, sizeof(*jobs));
	jobs->demo = demo;
	jobs->rng = rng_init(demo->run.seed, 0);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->changed, NULL);

	jobs->expected = demo->original;
	jobs->expected.pixels = malloc(bytes);
	jobs->ops = calloc(MAX_OPS, sizeof(*jobs->ops));
	if (!jobs->expected.pixels || !jobs->ops)
		return -ENOMEM;
	memcpy(jobs->expected.pixels, demo->original.pixels, bytes);

	for (int i = 0; i < JOB_TYPES; i++) {
		err = client_queue_create(&demo->client, &jobs->queue[i]);
		if (err)
			return err;
	}
	for (int i = 0; i < BANDS; i++) {
		err = drmSyncobjCreate(demo->client.fd, 0, &jobs->chain[i]);
		if (err)
			return -errno;
	}
	for (int i = 0; i < JOBS_IN_FLIGHT; i++) {
		err = drmSyncobjCreate(demo->client.fd, 0, &jobs->fence[i]);
		if (err)
			return -errno;
	}

	err = bind_all(jobs);
	if (err)
		return err;

	return -pthread_create(&jobs->reaper, NULL, reaper, jobs);
}

/* All bands: transform, then copy */
static int step(struct jobs *jobs, bool last)
{
	for (unsigned int band = 0; band < BANDS; band++) {
		struct job job = { .band = band, .step = jobs->steps };
		int err;

		for (unsigned int tile = 0; tile < TILES; tile++) {
			uint32_t *state = &jobs->state[band][tile];

			job.values[tile] = last ? *state ^ tile_target(band, tile) :
						  rng_next(&jobs->rng);
			*state ^= job.values[tile];
		}

		job.type = JOB_TRANSFORM;
		err = job_submit(jobs, job);
		if (err)
			return err;

		job.type = JOB_COPY;
		err = job_submit(jobs, job);
		if (err)
			return err;
	}

	jobs->steps++;
	return 0;
}

int jobs_run(struct jobs *jobs, int64_t deadline)
{
	int err = 0;

	while (!err && now() < deadline) {
		err = step(jobs, false);
		if (!err && jobs->steps % ALIAS_STEPS == 0) {
			err = alias_renew(jobs);
			if (err)
				run_check(&jobs->demo->run, CHECK_CALLS, false,
					  "renewing the alias: %s", strerror(-err));
		}
	}
	if (!err)
		err = step(jobs, true);
	return drain(jobs) ?: err;
}

/* One job on the whole of both pictures. Results as those of a copy job. */
static int whole_job(struct jobs *jobs, bool copy, struct job_result *result)
{
	const struct picture *picture = &jobs->demo->picture.picture;
	uint64_t bytes = picture_bytes(picture);
	struct drm_vgem_op *op = jobs->ops;
	uint64_t va = RESULT_VA + 64;
	struct drm_vgem_sync sync = {
		.handle = jobs->fence[0],
		.flags = DRM_VGEM_SYNC_SIGNAL,
	};
	int64_t submitted, done;
	int err, status = 0;

	if (copy)
		*op++ = (struct drm_vgem_op) {
			.opcode = DRM_VGEM_OP_COPY,
			.dst = COPY_VA,
			.src = PICTURE_VA,
			.size = bytes,
		};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_COMPARE,
		.dst = COPY_VA,
		.src = PICTURE_VA,
		.size = bytes,
		.result = va + offsetof(struct job_result, copy_differs),
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_CRC32,
		.src = PICTURE_VA,
		.size = bytes,
		.result = va + offsetof(struct job_result, picture_crc),
	};
	*op++ = (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_CRC32,
		.src = COPY_VA,
		.size = bytes,
		.result = va + offsetof(struct job_result, copy_crc),
	};

	err = exec_until_taken(jobs, JOB_COPY, op - jobs->ops, &sync, 1, &submitted);
	if (err)
		return err;
	jobs->submitted++;

	err = client_fence_wait(&jobs->demo->client, jobs->fence[0],
				now() + PATIENCE, &done, &status);
	if (!run_check(&jobs->demo->run, CHECK_FENCES, !err && status == 1,
		       "whole picture: %s", strerror(err ? -err : -status)))
		return -EIO;

	*result = jobs->results[0];
	return 0;
}

int jobs_settle(struct jobs *jobs, unsigned int *damaged_bands)
{
	struct demo *demo = jobs->demo;
	const struct picture *expected = &jobs->expected;
	uint32_t crc = crc32(0, (const void *)expected->pixels,
			     picture_bytes(expected));
	struct job_result result;
	int err;

	/* the storm is over; what it took from the copy since the last job is missing */
	*damaged_bands = 0;
	for (unsigned int band = 0; band < BANDS; band++) {
		size_t offset = band_offset(expected, band);

		if (memcmp((uint8_t *)demo->copy.picture.pixels + offset,
			   (uint8_t *)expected->pixels + offset,
			   band_bytes(expected, band)))
			++*damaged_bands;
	}
	err = whole_job(jobs, false, &result);
	if (err)
		return err;
	run_check(&demo->run, CHECK_ENGINE,
		  (result.copy_differs != ~0ULL) == !!*damaged_bands,
		  "COMPARE before the last copy: %#llx, but the CPU finds %u bands damaged",
		  (unsigned long long)result.copy_differs, *damaged_bands);

	for (int tries = 0; result.copy_differs != ~0ULL && tries < 10; tries++) {
		err = whole_job(jobs, true, &result);
		if (err)
			return err;
	}

	run_check(&demo->run, CHECK_ENGINE, result.copy_differs == ~0ULL,
		  "COMPARE: the pictures differ at %#llx",
		  (unsigned long long)result.copy_differs);
	run_check(&demo->run, CHECK_ENGINE, result.picture_crc == crc,
		  "CRC-32 of the picture: %08x, want %08x", result.picture_crc, crc);
	run_check(&demo->run, CHECK_ENGINE, result.copy_crc == crc,
		  "CRC-32 of the copy: %08x, want %08x", result.copy_crc, crc);
	return 0;
}

void jobs_stop(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->done = true;
	pthread_cond_broadcast(&jobs->changed);
	pthread_mutex_unlock(&jobs->lock);
	pthread_join(jobs->reaper, NULL);
	free(jobs->expected.pixels);
	free(jobs->ops);
}
