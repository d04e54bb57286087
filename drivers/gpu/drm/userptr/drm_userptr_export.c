// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Userptrs as dma-bufs. A notifier callback may not take a dma_resv, so what the
 * mm takes away cannot be taken away from an importer in time. There are three
 * kinds of importers:
 *
 *   drm_userptr's own	finds the userptr behind the dma-buf and binds it: no
 *			importer at all, and nothing is lost
 *   dynamic		pinned userptrs only: the mm waits for nobody, as the
 *			pages stay. When the range is unmapped, a worker revokes
 *			what is mapped, and then gives up the pins.
 *   static		pinned userptrs only: the pins last as long as the mapping
 *
 * The last two are refused when they map, not when they attach: some drivers
 * attach to what they never map. There is no second way for a CPU to the pages.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include <drm/drm_userptr_export.h>

#include "drm_userptr_internal.h"

/**
 * struct drm_userptr_export - a dma-buf of a userptr
 * @userptr: the userptr; constant
 * @dmabuf: the dma-buf; constant
 * @release: drops what the driver took for it; constant
 * @mapped: how often it is mapped; under the dma_resv
 */
struct drm_userptr_export {
	struct drm_userptr *userptr;
	struct dma_buf *dmabuf;
	void (*release)(struct drm_userptr *userptr);
	unsigned int mapped;
};

/* Static importers are asked to pin before they map. */
static int drm_userptr_export_pin(struct dma_buf_attachment *attach)
{
	struct drm_userptr_export *export = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);

	return drm_userptr_pinned(export->userptr) ? 0 : -EOPNOTSUPP;
}

/* The pins are the userptr's. */
static void drm_userptr_export_unpin(struct dma_buf_attachment *attach)
{
	dma_resv_assert_held(attach->dmabuf->resv);
}

/* How many pieces of at most @segment bytes are the runs? */
static unsigned int drm_userptr_export_pieces(struct drm_userptr *userptr,
					      size_t segment)
{
	struct drm_userptr_window *window;
	unsigned int nr = 0;
	unsigned long index;
	u32 i;

	drm_userptr_for_each_window(window, userptr, index, userptr->start,
				    userptr->end)
		for (i = 0; i < window->nr_runs; i++)
			nr += DIV_ROUND_UP(drm_userptr_run_size(drm_userptr_window_runs(window)[i]),
					   segment);

	return nr;
}

static struct scatterlist *
drm_userptr_export_run(struct scatterlist *sg, u64 run, size_t segment)
{
	phys_addr_t phys = drm_userptr_run_addr(run);
	u64 left = drm_userptr_run_size(run);

	while (left) {
		size_t len = min_t(u64, left, segment);

		sg_set_page(sg, phys_to_page(phys), len, 0);
		sg = sg_next(sg);
		phys += len;
		left -= len;
	}

	return sg;
}

/* The pages stay, and so do the windows of what is mapped. */
static int drm_userptr_export_fill(struct drm_userptr *userptr,
				   struct sg_table *sgt, size_t segment)
{
	unsigned int nr = drm_userptr_export_pieces(userptr, segment);
	struct drm_userptr_window *window;
	struct scatterlist *sg;
	unsigned long index;
	int err;
	u32 i;

	err = drm_userptr_should_fail() ? -ENOMEM :
	      sg_alloc_table(sgt, nr, GFP_KERNEL);
	if (err)
		return err;

	sg = sgt->sgl;
	drm_userptr_for_each_window(window, userptr, index, userptr->start,
				    userptr->end)
		for (i = 0; i < window->nr_runs; i++)
			sg = drm_userptr_export_run(sg,
						    drm_userptr_window_runs(window)[i],
						    segment);

	return 0;
}

static struct sg_table *
drm_userptr_export_map(struct dma_buf_attachment *attach,
		       enum dma_data_direction direction)
{
	size_t segment = ALIGN_DOWN(dma_get_max_seg_size(attach->dev), PAGE_SIZE);
	struct drm_userptr_export *export = attach->dmabuf->priv;
	struct drm_userptr *userptr = export->userptr;
	struct sg_table *sgt;
	int err;

	dma_resv_assert_held(attach->dmabuf->resv);

	if (!drm_userptr_pinned(userptr) || !drm_userptr_dma_coherent(attach->dev))
		return ERR_PTR(-EOPNOTSUPP);
	if (!drm_userptr_writable(userptr) && direction != DMA_TO_DEVICE)
		return ERR_PTR(-EPERM);
	/* Set before the worker takes the dma_resv, to revoke what is mapped. */
	if (READ_ONCE(userptr->detached))
		return ERR_PTR(-ENODEV);

	sgt = drm_userptr_alloc(kzalloc_obj(*sgt));
	if (!sgt)
		return ERR_PTR(-ENOMEM);

	err = drm_userptr_export_fill(userptr, sgt, segment);
	if (err)
		goto err_free;
	err = dma_map_sgtable(attach->dev, sgt, direction, 0);
	if (err)
		goto err_free_table;

	export->mapped++;

	return sgt;

err_free_table:
	sg_free_table(sgt);
err_free:
	kfree(sgt);
	return ERR_PTR(err);
}

static void drm_userptr_export_unmap(struct dma_buf_attachment *attach,
				     struct sg_table *sgt,
				     enum dma_data_direction direction)
{
	struct drm_userptr_export *export = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);

	dma_unmap_sgtable(attach->dev, sgt, direction, 0);
	sg_free_table(sgt);
	kfree(sgt);

	if (!--export->mapped && READ_ONCE(export->userptr->detached))
		drm_userptr_detach_continue(export->userptr);
}

/*
 * A second CPU mapping of the pages would make the notifier callback recurse
 * into itself, and one by way of the range's own file would get around seals.
 */
static int drm_userptr_export_mmap(struct dma_buf *dmabuf,
				   struct vm_area_struct *vma)
{
	return -ENODEV;
}

static void drm_userptr_export_release(struct dma_buf *dmabuf)
{
	struct drm_userptr_export *export = dmabuf->priv;
	struct drm_userptr *userptr = export->userptr;

	scoped_guard(mutex, &userptr->lock)
		userptr->export = NULL;

	export->release(userptr);
	kfree(export);
}

static const struct dma_buf_ops drm_userptr_export_ops = {
	.pin = drm_userptr_export_pin,
	.unpin = drm_userptr_export_unpin,
	.map_dma_buf = drm_userptr_export_map,
	.unmap_dma_buf = drm_userptr_export_unmap,
	.mmap = drm_userptr_export_mmap,
	.release = drm_userptr_export_release,
};

/**
 * drm_userptr_export() - make a dma-buf of a userptr
 * @userptr: the userptr
 * @owner: module that the dma-buf needs, the driver's
 * @flags: of the file, as for dma_buf_export()
 * @release: called when the dma-buf is gone, in process context
 *
 * For &drm_gem_object_funcs.export. The driver holds on to the object until
 * @release. The dma-buf has a dma_resv of its own, which no invalidation looks
 * at; fences that user space adds to it hold up nobody.
 *
 * Who imports it into a VM of these helpers calls drm_userptr_from_dma_buf() and
 * binds what that returns, be it in another process or for another device.
 * Others can only attach, unless the userptr was made with %DRM_USERPTR_PIN. An
 * importer that maps gets -EOPNOTSUPP if it is not pinned or if the device cannot
 * do coherent DMA, -EPERM to write to what is read-only, and -ENODEV when the
 * process has unmapped the range, or a part of it, or is gone.
 *
 * Context: process context, no locks that the notifier callback takes.
 *
 * Return: the dma-buf; -EBUSY if there is one already, -ENOMEM, -ENFILE.
 */
struct dma_buf *drm_userptr_export(struct drm_userptr *userptr,
				   struct module *owner, int flags,
				   void (*release)(struct drm_userptr *userptr))
{
	struct dma_buf_export_info info = {
		.exp_name = "drm_userptr",
		.owner = owner,
		.ops = &drm_userptr_export_ops,
		.size = drm_userptr_size(userptr),
		.flags = flags,
	};
	struct drm_userptr_export *export;
	struct dma_buf *dmabuf;

	export = drm_userptr_alloc(kzalloc_obj(*export, GFP_KERNEL_ACCOUNT));
	if (!export)
		return ERR_PTR(-ENOMEM);

	export->userptr = userptr;
	export->release = release;

	mutex_lock(&userptr->lock);
	if (userptr->export) {
		mutex_unlock(&userptr->lock);
		kfree(export);
		return ERR_PTR(-EBUSY);
	}
	userptr->export = export;
	mutex_unlock(&userptr->lock);

	info.priv = export;
	dmabuf = dma_buf_export(&info);
	mutex_lock(&userptr->lock);
	if (IS_ERR(dmabuf))
		userptr->export = NULL;
	else
		export->dmabuf = dmabuf;
	mutex_unlock(&userptr->lock);
	if (IS_ERR(dmabuf))
		kfree(export);

	return dmabuf;
}
EXPORT_SYMBOL_GPL(drm_userptr_export);

/**
 * drm_userptr_from_dma_buf() - the userptr that a dma-buf is made of
 * @dmabuf: any dma-buf
 *
 * To be bound with drm_userptr_binding_init() by whoever holds a reference to
 * @dmabuf until the binding is gone. The process of the VM need not be that of
 * the userptr: then pages are collected in the name of the owner.
 *
 * Return: the userptr, or NULL if it is not one.
 */
struct drm_userptr *drm_userptr_from_dma_buf(struct dma_buf *dmabuf)
{
	struct drm_userptr_export *export = dmabuf->priv;

	return dmabuf->ops == &drm_userptr_export_ops ? export->userptr : NULL;
}
EXPORT_SYMBOL_GPL(drm_userptr_from_dma_buf);

/* The dma-buf of a userptr, with a reference; NULL if there is none. */
struct dma_buf *drm_userptr_export_get(struct drm_userptr *userptr)
{
	struct drm_userptr_export *export;

	guard(mutex)(&userptr->lock);

	/* Before the end of its release the pointer is cleared, under the lock. */
	export = userptr->export;
	if (!export || !export->dmabuf ||
	    !get_file_active(&export->dmabuf->file))
		return NULL;

	return export->dmabuf;
}

/*
 * Have importers let go of the pages. Returns false if some do not yet: then
 * drm_userptr_detach_continue() is called when they have.
 */
bool drm_userptr_export_revoke(struct dma_buf *dmabuf)
{
	struct drm_userptr_export *export = dmabuf->priv;
	bool unmapped;

	dma_resv_lock(dmabuf->resv, NULL);
	if (export->mapped) {
		dma_buf_invalidate_mappings(dmabuf);
		dma_resv_wait_timeout(dmabuf->resv, DMA_RESV_USAGE_BOOKKEEP,
				      false, MAX_SCHEDULE_TIMEOUT);
	}
	unmapped = !export->mapped;
	dma_resv_unlock(dmabuf->resv);

	return unmapped;
}
