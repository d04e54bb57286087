// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What the in-tree driver calls: the life of the device and of a client.
 */

#include <linux/dma-mapping.h>

#include <drm/drm_file.h>
#include <drm/drm_managed.h>
#include <drm/drm_prime.h>
#include <drm/drm_print.h>

#include "vgem_drv.h"

/* There is one vgem, so there is one of each. */
struct workqueue_struct *vgem_timeout_wq;
static struct drm_userptr_device vgem_userptr_device;

/*
 * The page table takes memory of any length in one piece. Without parameters a
 * device can take 64 KiB, which buffer objects of contiguous memory exceed.
 */
static struct device_dma_parameters vgem_dma_parms = {
	.max_segment_size = UINT_MAX,
};

static void vgem_gpu_fini(struct drm_device *dev, void *unused)
{
	/* Files are closed by now; waits for what they left behind. */
	drm_userptr_device_fini(&vgem_userptr_device);
	destroy_workqueue(vgem_timeout_wq);
}

int vgem_gpu_init(struct drm_device *dev)
{
	int err;

	dev->dev->dma_parms = &vgem_dma_parms;

	/* Ends jobs that invalidations may wait for, reclaim's among them. */
	vgem_timeout_wq = alloc_workqueue("vgem-timeout",
					  WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!vgem_timeout_wq)
		return -ENOMEM;

	err = drm_userptr_device_init(&vgem_userptr_device);
	if (err) {
		destroy_workqueue(vgem_timeout_wq);
		return err;
	}

	return drmm_add_action_or_reset(dev, vgem_gpu_fini, NULL);
}

int vgem_gpu_open(struct vgem_gpu_file *gpu, const struct drm_file *file)
{
	gpu->client = drm_userptr_client_create(&vgem_userptr_device,
						file->client_id,
						DRM_VGEM_MAX_USERPTRS);
	if (!gpu->client)
		return -ENOMEM;

	/* Id 0 is never given out: it is what a forgotten field holds. */
	xa_init_flags(&gpu->vms, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	xa_init_flags(&gpu->queues, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);

	return 0;
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

	drm_userptr_client_put(gpu->client);
}

void vgem_gpu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;

	drm_printf(p, "drm-engine-gpu:\t%llu ns\n",
		   vgem_gpu_busy_ns(&vfile->gpu));
	drm_userptr_client_show_fdinfo(vfile->gpu.client, p, "vgem");
}

void vgem_gpu_debugfs_init(struct drm_minor *minor)
{
	drm_userptr_device_debugfs_init(&vgem_userptr_device,
					minor->debugfs_root);
	vgem_unplug_debugfs_init(minor);
	vgem_pt_debugfs_init(minor->debugfs_root);
}

/* What is exported once is handed out again without asking: so ask before. */
int vgem_gpu_prime_handle_to_fd(struct drm_device *dev, struct drm_file *file,
				u32 handle, u32 flags, int *prime_fd)
{
	struct drm_gem_object *obj;
	bool refused;

	obj = drm_gem_object_lookup(file, handle);
	if (!obj)
		return -ENOENT;
	refused = vgem_gem_is_userptr(obj) &&
		  !drm_userptr_owned(vgem_gem_userptr(obj));
	drm_gem_object_put(obj);

	return refused ? -EPERM :
	       drm_gem_prime_handle_to_fd(dev, file, handle, flags, prime_fd);
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
