/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_EXPORT_H__
#define __DRM_USERPTR_EXPORT_H__

struct dma_buf;
struct drm_userptr;
struct module;

struct dma_buf *drm_userptr_export(struct drm_userptr *userptr,
				   struct module *owner, int flags,
				   void (*release)(struct drm_userptr *userptr));
struct drm_userptr *drm_userptr_from_dma_buf(struct dma_buf *dmabuf);

#endif /* __DRM_USERPTR_EXPORT_H__ */
