/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * The matrix' jobs: the same for an ordinary VM and for a long-running one, as
 * the state of the cell has it.
 */
#ifndef VUP_MATRIX_DEVICE_H
#define VUP_MATRIX_DEVICE_H

#include "vup_matrix.h"

/* So many may submit at a time, each with a place for what its jobs saw. */
#define VUP_OUTS	4

/*
 * What all cells use: buffer objects that jobs write what they saw to, and a word
 * that they look at, with a user fence beside it. Nothing in the mm takes these
 * away. And who else submits.
 */
extern struct vup_world {
	int fd;
	uint32_t out_bo, word_bo;
	char *out;
	size_t out_size;
	uint32_t *word;
	uint64_t *fence;
	struct vup_peers {
		atomic_bool stop;
		atomic_uint rounds[VUP_OUTS];
	} *peers;
} vup_world;

/* Have places of @size at least. */
void vup_out_need(size_t size);
void vup_cell_bind(const struct vup_cell *c, const struct vup *v, int out);
bool vup_cell_is_endless(const struct vup_cell *c);
char *vup_cell_out(int who);

/*
 * Returns -errno of the ioctl; with 0, vup_job_end() has to be called and tells
 * how the job ended.
 */
int vup_job_begin(struct vup_cell *c, const struct drm_vgem_op *ops, int count,
		  uint64_t *fault);
int vup_job_end(struct vup_cell *c);
int vup_wait_fence(struct vup_cell *c, uint64_t value);

/* What every job does: copy all of it out, and where it may write, leave a mark. */
int vup_job_ops(const struct vup_cell *c, struct drm_vgem_op *ops);
/* The same to the shadow */
void vup_job_apply(struct vup_cell *c);
/* All of that at once; and that a read-only userptr is that, whatever the process may do */
void vup_job_ok(struct vup_cell *c);
void vup_job_cannot_write(struct vup_cell *c);

#endif /* VUP_MATRIX_DEVICE_H */
