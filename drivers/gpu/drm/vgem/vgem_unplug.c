// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * The device goes away under its users.
 *
 * Nothing of vgem can be pulled out, and a faux device cannot be unbound; root
 * can pretend by writing to a file in debugfs. What happens then is what a real
 * driver's remove has to do:
 *
 *   drm_dev_unplug()    ioctls fail with -ENODEV from here on, engines see it
 *                       between two accesses and end what they run
 *   for each VM, under its lock:
 *     wait for its jobs, which are as good as done
 *     take everything out: page table, TLB and DMA mappings are clear
 *
 * A submission or a change of mappings that was past the first check looks again
 * with the VM's lock held, so nothing comes after that. What is left are empty
 * VMs, and userptrs that no device reaches: the mm never waits for them again.
 * Files are closed later, as ever.
 */

#include <linux/debugfs.h>
#include <linux/kstrtox.h>
#include <linux/uaccess.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>

#include "vgem_drv.h"

/* There is one vgem. */
static struct drm_device *vgem_unplug_dev;

static void vgem_vm_unplug(struct vgem_vm *vm)
{
	mutex_lock(&vm->lock);
	/* No signals come to a worker. */
	if (!drm_userptr_vm_wait_idle(&vm->userptr))
		vgem_vm_unbind_all(vm);
	mutex_unlock(&vm->lock);
}

static void vgem_gpu_file_unplug(struct vgem_gpu_file *gpu)
{
	struct vgem_queue *queue;
	struct vgem_vm *vm;
	unsigned long id;

	/* A queue may be all that keeps a VM. References: both may be closed. */
	for (id = 0; ; id++) {
		xa_lock(&gpu->queues);
		queue = xa_find(&gpu->queues, &id, ULONG_MAX, XA_PRESENT);
		if (queue)
			kref_get(&queue->ref);
		xa_unlock(&gpu->queues);
		if (!queue)
			break;
		vgem_vm_unplug(queue->vm);
		vgem_queue_put(queue);
	}

	for (id = 0; ; id++) {
		xa_lock(&gpu->vms);
		vm = xa_find(&gpu->vms, &id, ULONG_MAX, XA_PRESENT);
		if (vm)
			kref_get(&vm->ref);
		xa_unlock(&gpu->vms);
		if (!vm)
			break;
		vgem_vm_unplug(vm);
		vgem_vm_put(vm);
	}
}

static void vgem_unplug_work(struct work_struct *work)
{
	struct drm_device *dev = vgem_unplug_dev;
	struct drm_file *file;

	drm_dev_unplug(dev);

	/* Files that are not in the list do it themselves, as they are closed. */
	mutex_lock(&dev->filelist_mutex);
	list_for_each_entry(file, &dev->filelist, lhead) {
		struct vgem_file *vfile = file->driver_priv;

		vgem_gpu_file_unplug(&vfile->gpu);
	}
	mutex_unlock(&dev->filelist_mutex);
}

static DECLARE_WORK(vgem_unplug, vgem_unplug_work);

static ssize_t vgem_unplug_write(struct file *file, const char __user *from,
				 size_t count, loff_t *pos)
{
	bool yes;
	int err;

	err = kstrtobool_from_user(from, count, &yes);
	if (err)
		return err;
	if (!yes)
		return -EINVAL;

	/* Not here: unplugging removes the file, which waits for this. */
	queue_work(system_dfl_wq, &vgem_unplug);

	return count;
}

static const struct file_operations vgem_unplug_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = vgem_unplug_write,
};

void vgem_unplug_debugfs_init(struct drm_minor *minor)
{
	vgem_unplug_dev = minor->dev;
	debugfs_create_file("unplug", 0200, minor->debugfs_root, NULL,
			    &vgem_unplug_fops);
}

/*
 * The driver is about to go. Returns whether the device went before: it must not
 * be unregistered twice.
 */
bool vgem_gpu_exit(struct drm_device *dev)
{
	disable_work_sync(&vgem_unplug);

	return drm_dev_is_unplugged(dev);
}
