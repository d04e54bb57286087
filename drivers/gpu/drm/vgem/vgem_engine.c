// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What vgem's engine can do. Each operation says which memory it reaches; the
 * same description checks an operation before it is accepted and tells a
 * submission which bindings it needs.
 *
 * An operation goes from page to page. In between the queue may be suspended:
 * what is needed to go on from there is in the job, and nothing is done twice.
 */

#include <linux/crc32.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/overflow.h>

#include "vgem_gpu.h"

/* Which memory does @op reach? Returns how many ranges it wrote. */
unsigned int vgem_op_ranges(const struct drm_vgem_op *op,
			    struct vgem_op_range ranges[VGEM_OP_MAX_RANGES])
{
	struct vgem_op_range dst = { op->dst, op->size, 1 };
	struct vgem_op_range src = { op->src, op->size, 1 };
	struct vgem_op_range result = { op->result };

	switch (op->opcode) {
	case DRM_VGEM_OP_FILL:
	case DRM_VGEM_OP_XOR:
		dst.align = sizeof(u32);
		ranges[0] = dst;
		return 1;
	case DRM_VGEM_OP_COPY:
		ranges[0] = dst;
		ranges[1] = src;
		return 2;
	case DRM_VGEM_OP_COMPARE:
		result.size = sizeof(u64);
		result.align = sizeof(u64);
		ranges[0] = dst;
		ranges[1] = src;
		ranges[2] = result;
		return 3;
	case DRM_VGEM_OP_CRC32:
		result.size = sizeof(u32);
		result.align = sizeof(u32);
		ranges[0] = src;
		ranges[1] = result;
		return 2;
	case DRM_VGEM_OP_SPIN:
		src.size = sizeof(u32);
		src.align = sizeof(u32);
		ranges[0] = src;
		return 1;
	case DRM_VGEM_OP_USER_FENCE:
		dst.size = sizeof(u64);
		dst.align = sizeof(u64);
		ranges[0] = dst;
		return 1;
	default:
		return 0;
	}
}

/* Are the fields that the operation does not name zero? */
static bool vgem_op_unused_zero(const struct drm_vgem_op *op)
{
	switch (op->opcode) {
	case DRM_VGEM_OP_FILL:
	case DRM_VGEM_OP_XOR:
		return !op->src && !op->result;
	case DRM_VGEM_OP_COPY:
		return !op->value && !op->result;
	case DRM_VGEM_OP_COMPARE:
		return !op->value;
	case DRM_VGEM_OP_CRC32:
		return !op->value && !op->dst;
	case DRM_VGEM_OP_SPIN:
		return !op->dst && !op->result;
	case DRM_VGEM_OP_USER_FENCE:
		return !op->src && !op->size && !op->result;
	default:
		return false;
	}
}

static u64 vgem_op_max_value(const struct drm_vgem_op *op)
{
	return op->opcode == DRM_VGEM_OP_USER_FENCE ? DRM_VGEM_USER_FENCE_MAX :
						      U32_MAX;
}

/* Returns 0 or -EINVAL. */
int vgem_op_check(const struct drm_vgem_op *op)
{
	struct vgem_op_range ranges[VGEM_OP_MAX_RANGES];
	unsigned int i, nr = vgem_op_ranges(op, ranges);

	if (!nr || op->flags || op->value > vgem_op_max_value(op) ||
	    !vgem_op_unused_zero(op))
		return -EINVAL;

	for (i = 0; i < nr; i++) {
		u64 end;

		if (!ranges[i].size ||
		    check_add_overflow(ranges[i].addr, ranges[i].size, &end) ||
		    end > DRM_VGEM_VA_SIZE ||
		    ranges[i].addr % ranges[i].align ||
		    ranges[i].size % ranges[i].align)
			return -EINVAL;
	}

	return 0;
}

/* Tells of an access that went wrong. */
static int vgem_engine_fault(struct vgem_job *job, u64 addr, int err)
{
	struct vgem_vm *vm = job->queue->vm;

	if (err) {
		atomic64_set(&vm->fault_addr, addr);
		atomic64_inc(&vm->faults);
	}

	return err;
}

static int vgem_engine_access(struct vgem_job *job, u64 addr, void *buf,
			      unsigned int len, bool write)
{
	struct vgem_queue *queue = job->queue;

	return vgem_engine_fault(job, addr,
				 vgem_tlb_access(&queue->tlb, &queue->vm->pt,
						 addr, buf, len, write));
}

static int vgem_engine_read(struct vgem_job *job, u64 addr, void *buf,
			    unsigned int len)
{
	return vgem_engine_access(job, addr, buf, len, false);
}

static int vgem_engine_write(struct vgem_job *job, u64 addr, void *buf,
			     unsigned int len)
{
	return vgem_engine_access(job, addr, buf, len, true);
}

/* How far until one of the addresses leaves its page? */
static unsigned int vgem_engine_chunk(u64 size, u64 a, u64 b)
{
	u64 mask = VGEM_GPU_PAGE_SIZE - 1;

	return min3(size, VGEM_GPU_PAGE_SIZE - (a & mask),
		    VGEM_GPU_PAGE_SIZE - (b & mask));
}

/* Between accesses: was the job told to end? */
static int vgem_engine_poll(struct vgem_job *job)
{
	cond_resched();

	if (READ_ONCE(job->queue->killed))
		return -ECANCELED;
	if (drm_dev_is_unplugged(job->queue->vm->base.drm))
		return -ENODEV;

	/* Pairs with the WRITE_ONCE() in vgem_job_abort(). */
	return READ_ONCE(job->error);
}

/*
 * After each access, or each set of them that belongs together: so much is done
 * and must not be done again. Is the queue to be suspended?
 */
static int vgem_engine_advance(struct vgem_job *job, unsigned int len)
{
	job->offset += len;

	/* Pairs with the WRITE_ONCE() in vgem_longrun_suspend(). */
	return READ_ONCE(job->queue->suspended) ? VGEM_ENGINE_PREEMPTED : 0;
}

static int vgem_engine_fill(struct vgem_job *job, const struct drm_vgem_op *op)
{
	int err;

	memset32(job->queue->buf[0], op->value,
		 VGEM_GPU_PAGE_SIZE / sizeof(u32));

	while (job->offset < op->size) {
		u64 dst = op->dst + job->offset;
		unsigned int len = vgem_engine_chunk(op->size - job->offset,
						     dst, 0);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_write(job, dst, job->queue->buf[0], len) ?:
		      vgem_engine_advance(job, len);
		if (err)
			return err;
	}

	return 0;
}

static int vgem_engine_copy(struct vgem_job *job, const struct drm_vgem_op *op)
{
	void *buf = job->queue->buf[0];
	int err;

	while (job->offset < op->size) {
		u64 dst = op->dst + job->offset;
		u64 src = op->src + job->offset;
		unsigned int len = vgem_engine_chunk(op->size - job->offset,
						     dst, src);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, src, buf, len) ?:
		      vgem_engine_write(job, dst, buf, len) ?:
		      vgem_engine_advance(job, len);
		if (err)
			return err;
	}

	return 0;
}

static int vgem_engine_xor(struct vgem_job *job, const struct drm_vgem_op *op)
{
	u32 *buf = job->queue->buf[0];
	int err;

	while (job->offset < op->size) {
		u64 dst = op->dst + job->offset;
		unsigned int i, len = vgem_engine_chunk(op->size - job->offset,
							dst, 0);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, dst, buf, len);
		if (err)
			return err;
		for (i = 0; i < len / sizeof(u32); i++)
			buf[i] ^= op->value;
		err = vgem_engine_write(job, dst, buf, len) ?:
		      vgem_engine_advance(job, len);
		if (err)
			return err;
	}

	return 0;
}

static int vgem_engine_compare(struct vgem_job *job,
			       const struct drm_vgem_op *op)
{
	u8 *a = job->queue->buf[0], *b = job->queue->buf[1];
	u64 result = U64_MAX;
	int err;

	while (job->offset < op->size) {
		u64 dst = op->dst + job->offset;
		u64 src = op->src + job->offset;
		unsigned int i, len = vgem_engine_chunk(op->size - job->offset,
							dst, src);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, dst, a, len) ?:
		      vgem_engine_read(job, src, b, len);
		if (err)
			return err;
		if (memcmp(a, b, len)) {
			for (i = 0; a[i] == b[i]; i++)
				;
			result = job->offset + i;
			break;
		}
		err = vgem_engine_advance(job, len);
		if (err)
			return err;
	}

	return vgem_engine_write(job, op->result, &result, sizeof(result));
}

/* The CRC so far is kept inverted, as it is when it is done. */
static int vgem_engine_crc32(struct vgem_job *job, const struct drm_vgem_op *op)
{
	void *buf = job->queue->buf[0];
	u32 crc;
	int err;

	while (job->offset < op->size) {
		u64 src = op->src + job->offset;
		unsigned int len = vgem_engine_chunk(op->size - job->offset,
						     src, 0);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, src, buf, len);
		if (err)
			return err;
		crc = ~(u32)job->state;
		job->state = (u32)~crc32_le(crc, buf, len);
		err = vgem_engine_advance(job, len);
		if (err)
			return err;
	}

	crc = job->state;

	return vgem_engine_write(job, op->result, &crc, sizeof(crc));
}

/* When a spin is over, or U64_MAX. The time that it is suspended counts. */
static u64 vgem_engine_spin_end(struct vgem_job *job,
				const struct drm_vgem_op *op)
{
	u64 limit = VGEM_JOB_TIMEOUT_MS * NSEC_PER_MSEC;
	u64 end;

	if (!op->size || check_add_overflow(ktime_get_ns(), op->size, &end))
		return U64_MAX;
	if (!vgem_queue_is_long_running(job->queue) && op->size >= limit)
		return U64_MAX;

	return end;
}

/*
 * Spins as a GPU does: there is no event when memory changes, so it polls, each
 * time through the TLB.
 */
static int vgem_engine_spin(struct vgem_job *job, const struct drm_vgem_op *op)
{
	u32 value;
	int err;

	if (!job->state)
		job->state = vgem_engine_spin_end(job, op);

	for (;;) {
		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, op->src, &value, sizeof(value));
		if (err)
			return err;
		if (value == op->value || ktime_get_ns() >= job->state)
			return 0;
		err = vgem_engine_advance(job, 0);
		if (err)
			return err;
		usleep_range(20, 50);
	}
}

static int vgem_engine_store_fence(struct vgem_job *job,
				   const struct drm_vgem_op *op, u64 value)
{
	struct vgem_queue *queue = job->queue;
	int err;

	err = vgem_tlb_store_release(&queue->tlb, &queue->vm->pt, op->dst,
				     value);
	vgem_user_fence_wake();

	return err;
}

static int vgem_engine_user_fence(struct vgem_job *job,
				  const struct drm_vgem_op *op)
{
	return vgem_engine_fault(job, op->dst,
				 vgem_engine_store_fence(job, op, op->value));
}

/* A job failed: its user fences say so, as a dma_fence would. */
static void vgem_engine_fail(struct vgem_job *job, int error)
{
	for (; job->op < job->num_ops; job->op++) {
		const struct drm_vgem_op *op = &job->ops[job->op];

		if (op->opcode != DRM_VGEM_OP_USER_FENCE ||
		    !vgem_engine_store_fence(job, op, (s64)error))
			continue;

		/* Without a fence nobody can tell. Who waits looks at this. */
		if (vgem_queue_is_long_running(job->queue)) {
			WRITE_ONCE(job->queue->broken, true);
			vgem_user_fence_wake();
		}
	}
}

/*
 * Run a job, from where it is. Returns 0, the errno that ended it, or
 * VGEM_ENGINE_PREEMPTED.
 */
int vgem_engine_run(struct vgem_job *job)
{
	static int (* const run[])(struct vgem_job *job,
				   const struct drm_vgem_op *op) = {
		[DRM_VGEM_OP_FILL] = vgem_engine_fill,
		[DRM_VGEM_OP_COPY] = vgem_engine_copy,
		[DRM_VGEM_OP_XOR] = vgem_engine_xor,
		[DRM_VGEM_OP_COMPARE] = vgem_engine_compare,
		[DRM_VGEM_OP_CRC32] = vgem_engine_crc32,
		[DRM_VGEM_OP_SPIN] = vgem_engine_spin,
		[DRM_VGEM_OP_USER_FENCE] = vgem_engine_user_fence,
	};
	int err;

	while (job->op < job->num_ops) {
		const struct drm_vgem_op *op = &job->ops[job->op];

		/* Not all operations look by themselves, and any may be the first. */
		err = vgem_engine_poll(job) ?: run[op->opcode](job, op);
		if (err) {
			/* One that is dropped with its queue leaves no trace. */
			if (err < 0 && err != -ECANCELED)
				vgem_engine_fail(job, err);
			return err;
		}

		job->op++;
		job->offset = 0;
		job->state = 0;
	}

	return 0;
}
