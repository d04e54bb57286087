/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * See igt.h in this directory.
 */
#ifndef DRM_USERPTR_SHIM_SW_SYNC_H
#define DRM_USERPTR_SHIM_SW_SYNC_H

#include <stdint.h>

/* Skips unless the kernel has CONFIG_SW_SYNC and debugfs is at hand. */
void igt_require_sw_sync(void);
int sw_sync_timeline_create(void);
int sw_sync_timeline_create_fence(int timeline, uint32_t seqno);
void sw_sync_timeline_inc(int timeline, uint32_t count);

/* 0 active, 1 signalled, negative errno when signalled with an error */
int sync_fence_status(int fence);

#endif /* DRM_USERPTR_SHIM_SW_SYNC_H */
