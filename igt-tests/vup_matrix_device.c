// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <sys/mman.h>

#include "vup_matrix_device.h"

struct vup_world vup_world;

/* Huge ranges need much, and most are not. */
void vup_out_need(size_t size)
{
	if (vup_world.out_size && (!size || vup_world.out_size < size)) {
		munmap(vup_world.out, VUP_OUTS * vup_world.out_size);
		gem_close(vup_world.fd, vup_world.out_bo);
		vup_world.out_size = 0;
	}
	if (size && !vup_world.out_size) {
		vup_world.out_bo = vup_dumb_create(vup_world.fd, VUP_OUTS * size);
		vup_world.out = vup_dumb_mmap(vup_world.fd, vup_world.out_bo, VUP_OUTS * size);
		vup_world.out_size = size;
	}
}

void vup_matrix_init(int fd)
{
	vup_world.fd = fd;
	vup_world.word_bo = vup_dumb_create(fd, 4096);
	vup_world.word = vup_dumb_mmap(fd, vup_world.word_bo, 4096);
	vup_world.fence = (uint64_t *)(vup_world.word + (VUP_FENCE_VA - VUP_WORD_VA) / 4);
	vup_world.peers = mmap(NULL, vup_page(), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	igt_assert(vup_world.peers != MAP_FAILED);
	/* Before anything is bound, so that the helpers share no page of a range */
	vup_helpers_start(vup_world.word);
	vup_stop_numa_balancing();
}

void vup_matrix_fini(void)
{
	vup_helpers_stop();
	vup_out_need(0);
	munmap(vup_world.word, 4096);
	gem_close(vup_world.fd, vup_world.word_bo);
}

void vup_cell_bind(const struct vup_cell *c, const struct vup *v, int out)
{
	vup_bind_how(v, c->how, c->ptr, VUP_CELL_VA, c->size, c->read_only);
	vup_bind_bo(v, vup_world.out_bo, VUP_OUT_VA, c->size, out * vup_world.out_size, 0);
	vup_bind_bo(v, vup_world.word_bo, VUP_WORD_VA, 4096, 0, 0);
}

bool vup_cell_is_endless(const struct vup_cell *c)
{
	return c->state == VUP_ENDLESS;
}

char *vup_cell_out(int who)
{
	return vup_world.out + who * vup_world.out_size;
}

int vup_job_begin(struct vup_cell *c, const struct drm_vgem_op *ops, int count,
		  uint64_t *fault)
{
	struct drm_vgem_op with[8];
	struct drm_vgem_exec exec = {
		.queue_id = c->v.queue,
		.ops = { .stride = sizeof(*with), .array = (uintptr_t)with },
	};
	int err;

	if (!vup_cell_is_endless(c))
		return __vup_submit(&c->v, ops, count, &c->syncobj[0], fault);

	igt_assert_lt(count, (int)ARRAY_SIZE(with));
	memcpy(with, ops, count * sizeof(*ops));
	with[count] = op_user_fence(VUP_FENCE_VA, ++c->fence_value);
	exec.ops.count = count + 1;
	err = __vup_exec(c->v.fd, &exec);
	*fault = exec.fault_addr;
	return err;
}

int vup_wait_fence(struct vup_cell *c, uint64_t value)
{
	struct drm_vgem_wait_user_fence wait = {
		.addr = (uintptr_t)vup_world.fence, .op = DRM_VGEM_WAIT_OP_GREATER_EQUAL,
		.value = value, .mask = ~0ull,
		.timeout_ns = vup_now_ns() + VUP_PATIENCE_S * 1000000000ull,
	};
	int err = __vup_wait_user_fence(c->v.fd, &wait);

	return err == -EIO && wait.seen > DRM_VGEM_USER_FENCE_MAX ? (int)wait.seen : err;
}

int vup_job_end(struct vup_cell *c)
{
	uint32_t syncobj = c->syncobj[0];
	int err;

	if (!vup_cell_is_endless(c)) {
		c->syncobj[0] = 0;
		return vup_finish(c->v.fd, syncobj);
	}
	err = vup_wait_fence(c, c->fence_value);
	/* An error is in place of the fence: begin anew. */
	c->fence_value = 0;
	WRITE_ONCE(*vup_world.fence, 0);
	return err;
}

int vup_job_ops(const struct vup_cell *c, struct drm_vgem_op *ops)
{
	ops[0] = op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size);
	ops[1] = op_xor(VUP_CELL_VA, c->size, VUP_MARK);
	return c->read_only ? 1 : 2;
}

void vup_job_apply(struct vup_cell *c)
{
	uint32_t *word = (uint32_t *)c->shadow;

	for (size_t i = 0; !c->read_only && i < c->size / 4; i++)
		word[i] ^= VUP_MARK;
}

void vup_job_ok(struct vup_cell *c)
{
	struct drm_vgem_op ops[2];
	uint64_t fault = 0;

	igt_assert_eq(vup_job_begin(c, ops, vup_job_ops(c, ops), &fault), 0);
	igt_assert_eq(vup_job_end(c), 0);
	vup_oracle_silent(vup_oracle_device(c, vup_cell_out(0)));
	vup_job_apply(c);
}

void vup_job_cannot_write(struct vup_cell *c)
{
	const struct drm_vgem_op op = op_fill(VUP_CELL_VA + c->at, 4, 0xbad);
	uint64_t fault = 0;

	igt_assert_eq(vup_job_begin(c, &op, 1, &fault), 0);
	igt_assert_eq(vup_job_end(c), -EFAULT);
}

const char *vup_cell_copy_out(struct vup_cell *c, size_t at, size_t len)
{
	const struct drm_vgem_op op = op_copy(VUP_OUT_VA + at, VUP_CELL_VA + at, len);
	uint64_t fault = 0;

	igt_assert_eq(vup_job_begin(c, &op, 1, &fault), 0);
	igt_assert_eq(vup_job_end(c), 0);
	return vup_cell_out(0);
}
