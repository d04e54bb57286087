/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_IMPORT_H__
#define __DRM_USERPTR_IMPORT_H__

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <drm/drm_userptr.h>

struct device;
struct dma_buf;
struct dma_buf_attachment;
struct sg_table;

/**
 * DRM_USERPTR_IMPORT_READ_ONLY - the device only reads
 *
 * For drm_userptr_import_init(). The exporter maps it DMA_TO_DEVICE.
 */
#define DRM_USERPTR_IMPORT_READ_ONLY	BIT(0)

/**
 * DRM_USERPTR_IMPORT_MAY_PIN - pin what cannot be mapped otherwise
 *
 * For drm_userptr_import_init(). If the exporter answers -EOPNOTSUPP when it is
 * to map memory that may move, it is asked to pin it and to try again.
 */
#define DRM_USERPTR_IMPORT_MAY_PIN	BIT(1)

/**
 * DRM_USERPTR_IMPORT_P2P - the device can reach memory that has no pages
 *
 * For drm_userptr_import_init(), see &dma_buf_attach_ops.allow_peer2peer.
 */
#define DRM_USERPTR_IMPORT_P2P		BIT(2)

/**
 * struct drm_userptr_import - a dma-buf that a device may reach
 *
 * Embedded in what a driver has for each dma-buf and device. Bound in VMs like a
 * userptr, and invalidated by its exporter as that is by the mm.
 */
struct drm_userptr_import {
	/** @dmabuf: what is imported; constant, holds a reference */
	struct dma_buf *dmabuf;
	/** @attach: for the device; constant */
	struct dma_buf_attachment *attach;
	/** @flags: DRM_USERPTR_IMPORT_*; constant */
	u32 flags;
	/** @id: names it in traces; constant */
	u64 id;
	/** @retire_work: ends a mapping when the jobs are done that may use it */
	struct work_struct retire_work;

	/** @bindings: list of &drm_userptr_binding.link, under the dma_resv */
	struct list_head bindings;
	/** @sgt: where its memory is, or NULL; under the dma_resv */
	struct sg_table *sgt;
	/** @pinned: the exporter keeps it in place; under the dma_resv */
	bool pinned;
	/**
	 * @retiring: @sgt is void, but jobs may still be using it; under the
	 * dma_resv
	 */
	bool retiring;
};

int drm_userptr_import_init(struct drm_userptr_import *import,
			    struct device *dev, struct dma_buf *dmabuf,
			    u32 flags);
void drm_userptr_import_fini(struct drm_userptr_import *import);

int drm_userptr_binding_init_import(struct drm_userptr_binding *binding,
				    struct drm_userptr_vm *vm,
				    struct drm_userptr_import *import,
				    u64 offset, u64 size, u64 addr);

/**
 * drm_userptr_binding_id() - what is bound, for traces
 * @binding: the binding
 *
 * Return: the id of the userptr or of the import; they are of one sequence.
 */
static inline u64
drm_userptr_binding_id(const struct drm_userptr_binding *binding)
{
	return binding->import ? binding->import->id : binding->userptr->id;
}

#endif /* __DRM_USERPTR_IMPORT_H__ */
