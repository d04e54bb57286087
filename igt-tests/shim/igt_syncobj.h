/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * See igt.h in this directory.
 */
#ifndef DRM_USERPTR_SHIM_IGT_SYNCOBJ_H
#define DRM_USERPTR_SHIM_IGT_SYNCOBJ_H

#include <stdbool.h>
#include <stdint.h>

uint32_t syncobj_create(int fd, uint32_t flags);
void syncobj_destroy(int fd, uint32_t handle);
int syncobj_handle_to_fd(int fd, uint32_t handle, uint32_t flags);
void syncobj_import_sync_file(int fd, uint32_t handle, int sync_file);
void syncobj_signal(int fd, uint32_t *handles, uint32_t count);
void syncobj_timeline_signal(int fd, uint32_t *handles, uint64_t *points, uint32_t count);
void syncobj_timeline_query(int fd, uint32_t *handles, uint64_t *points, uint32_t count);
int syncobj_wait_err(int fd, uint32_t *handles, uint32_t count,
		     uint64_t abs_timeout_nsec, uint32_t flags);
int syncobj_timeline_wait_err(int fd, uint32_t *handles, uint64_t *points,
			      unsigned num_handles, int64_t timeout_nsec, unsigned flags);

#endif /* DRM_USERPTR_SHIM_IGT_SYNCOBJ_H */
