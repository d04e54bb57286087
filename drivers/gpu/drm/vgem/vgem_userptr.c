// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Buffer objects made of user memory.
 */

#include <linux/dma-buf.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_userptr_export.h>

#include "vgem_drv.h"

static void vgem_userptr_gone(struct drm_userptr *userptr)
{
	struct vgem_userptr *bo = container_of(userptr, typeof(*bo), userptr);

	drm_gem_object_release(&bo->base);
	kfree(bo);
}

/*
 * Removing a notifier waits for every invalidation in the mm, those that other
 * drivers hold up included. Closing a handle or exiting must not, so it is left
 * to a worker.
 */
static void vgem_userptr_free(struct drm_gem_object *obj)
{
	drm_userptr_fini_async(&to_vgem_userptr(obj)->userptr,
			       vgem_userptr_gone);
}

/* A handle is of use in the process whose memory it is, and nowhere else. */
static int vgem_userptr_open(struct drm_gem_object *obj, struct drm_file *file)
{
	return drm_userptr_owned(&to_vgem_userptr(obj)->userptr) ? 0 : -EPERM;
}

static void vgem_userptr_unexport(struct drm_userptr *userptr)
{
	struct vgem_userptr *bo = container_of(userptr, typeof(*bo), userptr);
	struct drm_device *dev = bo->base.dev;

	drm_gem_object_put(&bo->base);
	drm_dev_put(dev);
}

/* The one way to another process. */
static struct dma_buf *vgem_userptr_export(struct drm_gem_object *obj, int flags)
{
	struct drm_device *dev = obj->dev;
	struct dma_buf *dmabuf;

	dmabuf = drm_userptr_export(&to_vgem_userptr(obj)->userptr,
				    dev->driver->fops->owner, flags,
				    vgem_userptr_unexport);
	if (IS_ERR(dmabuf))
		return dmabuf;

	drm_dev_get(dev);
	drm_gem_object_get(obj);

	return dmabuf;
}

/*
 * A second CPU mapping of the pages would make the notifier callback recurse
 * into itself, and user space has the pointer already.
 */
static int vgem_userptr_mmap(struct drm_gem_object *obj,
			     struct vm_area_struct *vma)
{
	return -ENODEV;
}

static const struct drm_gem_object_funcs vgem_userptr_funcs = {
	.free = vgem_userptr_free,
	.open = vgem_userptr_open,
	.export = vgem_userptr_export,
	.mmap = vgem_userptr_mmap,
};

bool vgem_gem_is_userptr(const struct drm_gem_object *obj)
{
	return obj->funcs == &vgem_userptr_funcs;
}

/* The userptr that an object is made of, or imported from; NULL for others */
struct drm_userptr *vgem_gem_userptr(struct drm_gem_object *obj)
{
	if (vgem_gem_is_userptr(obj))
		return &to_vgem_userptr(obj)->userptr;

	return drm_gem_is_imported(obj) ?
	       drm_userptr_from_dma_buf(obj->import_attach->dmabuf) : NULL;
}

/*
 * Make an object of the caller's memory. @flags: DRM_VGEM_USERPTR_*, checked.
 */
struct drm_gem_object *vgem_userptr_create(struct drm_device *dev,
					   struct vgem_gpu_file *gpu, u64 addr,
					   u64 size, u32 flags)
{
	struct vgem_userptr *bo;
	unsigned long fault_addr;
	int err;

	bo = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);
	if (!bo)
		return ERR_PTR(-ENOMEM);

	bo->userptr.client = gpu->client;
	err = drm_userptr_init(&bo->userptr, dev->dev, addr, size,
			       (flags & DRM_VGEM_USERPTR_READ_ONLY ?
				DRM_USERPTR_READ_ONLY : 0) |
			       (flags & DRM_VGEM_USERPTR_PIN ?
				DRM_USERPTR_PIN : 0));
	if (err) {
		kfree(bo);
		return ERR_PTR(err);
	}

	bo->base.funcs = &vgem_userptr_funcs;
	drm_gem_private_object_init(dev, &bo->base, size);

	if (flags & DRM_VGEM_USERPTR_PROBE) {
		err = drm_userptr_probe(&bo->userptr, &fault_addr);
		if (err) {
			drm_dbg(dev, "no memory at 0x%lx: %d\n", fault_addr, err);
			drm_gem_object_put(&bo->base);
			return ERR_PTR(err);
		}
	}

	return &bo->base;
}

int vgem_userptr_create_ioctl(struct drm_device *dev, void *data,
			      struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_userptr_create *args = data;
	struct drm_gem_object *obj;
	u32 handle;
	int err;

	if (args->flags & ~(DRM_VGEM_USERPTR_READ_ONLY |
			    DRM_VGEM_USERPTR_PROBE | DRM_VGEM_USERPTR_PIN))
		return -EINVAL;

	obj = vgem_userptr_create(dev, &vfile->gpu, args->addr, args->size,
				  args->flags);
	if (IS_ERR(obj))
		return PTR_ERR(obj);

	err = drm_gem_handle_create(file, obj, &handle);
	drm_gem_object_put(obj);
	if (err)
		return err;

	args->handle = handle;

	return 0;
}
