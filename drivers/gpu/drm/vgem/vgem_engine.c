// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What vgem's engine can do. Each operation says which memory it reaches; the
 * same description checks an operation before it is accepted and tells a
 * submission which bindings it needs.
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
	default:
		return false;
	}
}

/* Returns 0 or -EINVAL. */
int vgem_op_check(const struct drm_vgem_op *op)
{
	struct vgem_op_range ranges[VGEM_OP_MAX_RANGES];
	unsigned int i, nr = vgem_op_ranges(op, ranges);

	if (!nr || op->flags || op->value > U32_MAX || !vgem_op_unused_zero(op))
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

static int vgem_engine_access(struct vgem_job *job, u64 addr, void *buf,
			      unsigned int len, bool write)
{
	struct vgem_queue *queue = job->queue;
	struct vgem_vm *vm = queue->vm;
	int err;

	err = vgem_tlb_access(&queue->tlb, &vm->pt, addr, buf, len, write);
	if (err) {
		atomic64_set(&vm->fault_addr, addr);
		atomic64_inc(&vm->faults);
	}

	return err;
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

	/* Pairs with the WRITE_ONCE() in vgem_job_abort(). */
	return READ_ONCE(job->error);
}

static int vgem_engine_fill(struct vgem_job *job, const struct drm_vgem_op *op)
{
	u64 off;
	int err;

	memset32(job->queue->buf[0], op->value,
		 VGEM_GPU_PAGE_SIZE / sizeof(u32));

	for (off = 0; off < op->size; ) {
		unsigned int len = vgem_engine_chunk(op->size - off,
						     op->dst + off, 0);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_write(job, op->dst + off,
					job->queue->buf[0], len);
		if (err)
			return err;
		off += len;
	}

	return 0;
}

static int vgem_engine_copy(struct vgem_job *job, const struct drm_vgem_op *op)
{
	void *buf = job->queue->buf[0];
	u64 off;
	int err;

	for (off = 0; off < op->size; ) {
		unsigned int len = vgem_engine_chunk(op->size - off,
						     op->dst + off,
						     op->src + off);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, op->src + off, buf, len) ?:
		      vgem_engine_write(job, op->dst + off, buf, len);
		if (err)
			return err;
		off += len;
	}

	return 0;
}

static int vgem_engine_xor(struct vgem_job *job, const struct drm_vgem_op *op)
{
	u32 *buf = job->queue->buf[0];
	unsigned int i;
	u64 off;
	int err;

	for (off = 0; off < op->size; ) {
		unsigned int len = vgem_engine_chunk(op->size - off,
						     op->dst + off, 0);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, op->dst + off, buf, len);
		if (err)
			return err;
		for (i = 0; i < len / sizeof(u32); i++)
			buf[i] ^= op->value;
		err = vgem_engine_write(job, op->dst + off, buf, len);
		if (err)
			return err;
		off += len;
	}

	return 0;
}

static int vgem_engine_compare(struct vgem_job *job,
			       const struct drm_vgem_op *op)
{
	u8 *a = job->queue->buf[0], *b = job->queue->buf[1];
	u64 result = U64_MAX;
	u64 off;
	int err;

	for (off = 0; off < op->size && result == U64_MAX; ) {
		unsigned int i, len = vgem_engine_chunk(op->size - off,
							op->dst + off,
							op->src + off);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, op->dst + off, a, len) ?:
		      vgem_engine_read(job, op->src + off, b, len);
		if (err)
			return err;
		if (memcmp(a, b, len)) {
			for (i = 0; a[i] == b[i]; i++)
				;
			result = off + i;
		}
		off += len;
	}

	return vgem_engine_write(job, op->result, &result, sizeof(result));
}

static int vgem_engine_crc32(struct vgem_job *job, const struct drm_vgem_op *op)
{
	void *buf = job->queue->buf[0];
	u32 crc = ~0;
	u64 off;
	int err;

	for (off = 0; off < op->size; ) {
		unsigned int len = vgem_engine_chunk(op->size - off,
						     op->src + off, 0);

		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, op->src + off, buf, len);
		if (err)
			return err;
		crc = crc32_le(crc, buf, len);
		off += len;
	}

	crc = ~crc;

	return vgem_engine_write(job, op->result, &crc, sizeof(crc));
}

/*
 * Spins as a GPU does: there is no event when memory changes, so it polls, each
 * time through the TLB.
 */
static int vgem_engine_spin(struct vgem_job *job, const struct drm_vgem_op *op)
{
	u64 limit = VGEM_JOB_TIMEOUT_MS * NSEC_PER_MSEC;
	bool bounded = op->size && op->size < limit;
	u64 end = ktime_get_ns() + op->size;
	u32 value;
	int err;

	for (;;) {
		err = vgem_engine_poll(job) ?:
		      vgem_engine_read(job, op->src, &value, sizeof(value));
		if (err)
			return err;
		if (value == op->value || (bounded && ktime_get_ns() >= end))
			return 0;
		usleep_range(20, 50);
	}
}

/* Run a job. Returns 0 or the errno that ended it. */
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
	};
	u32 i;
	int err;

	for (i = 0; i < job->num_ops; i++) {
		err = run[job->ops[i].opcode](job, &job->ops[i]);
		if (err)
			return err;
	}

	return 0;
}
