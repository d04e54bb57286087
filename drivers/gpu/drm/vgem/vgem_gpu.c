// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What the in-tree driver calls: the life of the device and of a client.
 */

#include <drm/drm_file.h>
#include <drm/drm_managed.h>

#include "vgem_gpu.h"

/* There is one vgem, so there is one of each. */
struct workqueue_struct *vgem_teardown_wq;
struct workqueue_struct *vgem_timeout_wq;

static void vgem_gpu_fini(struct drm_device *dev, void *wq)
{
	/* Files are closed by now; waits for what they left behind. */
	destroy_workqueue(wq);
}

static int vgem_gpu_add_wq(struct drm_device *dev, struct workqueue_struct *wq)
{
	return wq ? drmm_add_action_or_reset(dev, vgem_gpu_fini, wq) : -ENOMEM;
}

int vgem_gpu_init(struct drm_device *dev)
{
	int err;

	vgem_teardown_wq = alloc_workqueue("vgem-teardown", WQ_UNBOUND, 0);
	err = vgem_gpu_add_wq(dev, vgem_teardown_wq);
	if (err)
		return err;

	/* Ends jobs that invalidations may wait for, reclaim's among them. */
	vgem_timeout_wq = alloc_workqueue("vgem-timeout",
					  WQ_UNBOUND | WQ_MEM_RECLAIM, 0);

	return vgem_gpu_add_wq(dev, vgem_timeout_wq);
}

void vgem_gpu_open(struct vgem_gpu_file *gpu)
{
	/* Id 0 is never given out: it is what a forgotten field holds. */
	xa_init_flags(&gpu->vms, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	xa_init_flags(&gpu->queues, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
}

void vgem_gpu_close(struct vgem_gpu_file *gpu)
{
	struct vgem_queue *queue;
	struct vgem_vm *vm;
	unsigned long id;

	xa_for_each(&gpu->queues, id, queue)
		vgem_queue_destroy(queue);
	xa_destroy(&gpu->queues);

	xa_for_each(&gpu->vms, id, vm)
		vgem_vm_put(vm);
	xa_destroy(&gpu->vms);
}

/* The dumb buffer ioctl hands out mmap offsets for any handle: not for ours. */
int vgem_gpu_dumb_map_offset(struct drm_file *file, struct drm_device *dev,
			     u32 handle, u64 *offset)
{
	struct drm_gem_object *obj;
	bool userptr;

	obj = drm_gem_object_lookup(file, handle);
	if (!obj)
		return -ENOENT;
	userptr = vgem_gem_is_userptr(obj);
	drm_gem_object_put(obj);

	return userptr ? -ENODEV :
	       drm_gem_dumb_map_offset(file, dev, handle, offset);
}
