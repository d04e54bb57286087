// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * GPU address spaces: their life, and what the userptr helpers do to them.
 */

#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_file.h>

#include "vgem_drv.h"

/* VMs of one file; a limit for what an unprivileged client can pile up. */
#define VGEM_MAX_VMS	XA_LIMIT(1, 4096)

static struct vgem_vm *
userptr_vm_to_vgem_vm(struct drm_userptr_vm *userptr_vm)
{
	return container_of(userptr_vm, struct vgem_vm, userptr);
}

static void vgem_vm_userptr_map(struct drm_userptr_binding *binding, u64 addr,
				dma_addr_t dma, u64 size)
{
	struct vgem_vma *vma = container_of(binding, typeof(*vma), binding);

	vgem_pt_map(&userptr_vm_to_vgem_vm(binding->vm)->pt, addr, dma, size,
		    vma->writable);
}

static void vgem_vm_userptr_zap(struct drm_userptr_binding *binding, u64 addr,
				u64 size)
{
	vgem_pt_zap(&userptr_vm_to_vgem_vm(binding->vm)->pt, addr, size);
}

static u64 vgem_vm_tlb_submit(struct drm_userptr_vm *vm)
{
	return vgem_tlb_flush_submit(&userptr_vm_to_vgem_vm(vm)->pt);
}

static void vgem_vm_tlb_wait(struct drm_userptr_vm *vm, u64 seqno)
{
	vgem_tlb_flush_wait(&userptr_vm_to_vgem_vm(vm)->pt, seqno);
}

static const struct drm_userptr_vm_ops vgem_userptr_vm_ops = {
	.map = vgem_vm_userptr_map,
	.zap = vgem_vm_userptr_zap,
	.tlb_submit = vgem_vm_tlb_submit,
	.tlb_wait = vgem_vm_tlb_wait,
};

static void vgem_vm_free(struct drm_gpuvm *gpuvm)
{
	struct vgem_vm *vm = to_vgem_vm(gpuvm);

	mutex_destroy(&vm->lock);
	kfree(vm);
}

static const struct drm_gpuvm_ops vgem_gpuvm_ops = {
	.vm_free = vgem_vm_free,
};

static struct vgem_vm *vgem_vm_create(struct drm_device *dev,
				      struct vgem_gpu_file *gpu, u32 flags)
{
	struct drm_gem_object *r_obj;
	struct vgem_vm *vm;
	int err;

	vm = kzalloc_obj(*vm, GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);

	r_obj = drm_gpuvm_resv_object_alloc(dev);
	if (!r_obj) {
		err = -ENOMEM;
		goto err_free;
	}

	vm->userptr.client = gpu->client;
	err = drm_userptr_vm_init(&vm->userptr, dev->dev, &vgem_userptr_vm_ops,
				  flags & (DRM_VGEM_VM_CREATE_HOLES |
					   DRM_VGEM_VM_CREATE_LONG_RUNNING) ?
				  DRM_USERPTR_VM_HOLES : 0);
	if (err)
		goto err_put_resv;

	vm->long_running = flags & DRM_VGEM_VM_CREATE_LONG_RUNNING;
	if (vm->long_running) {
		err = drm_userptr_preempt_init(&vm->preempt, &vm->userptr,
					       &vgem_preempt_ops);
		if (err)
			goto err_fini_userptr;
	}

	vm->holes = flags & DRM_VGEM_VM_CREATE_HOLES;
	kref_init(&vm->ref);
	mutex_init(&vm->lock);
	drm_userptr_vm_set_lock(&vm->userptr, &vm->lock);
	vgem_pt_init(&vm->pt, dev->dev);
	drm_gpuvm_init(&vm->base, "vgem", 0, dev, r_obj, 0, DRM_VGEM_VA_SIZE,
		       0, 0, &vgem_gpuvm_ops);
	drm_gem_object_put(r_obj);

	return vm;

err_fini_userptr:
	drm_userptr_vm_fini(&vm->userptr);
err_put_resv:
	drm_gem_object_put(r_obj);
err_free:
	kfree(vm);
	return ERR_PTR(err);
}

static void vgem_vm_release(struct kref *ref)
{
	struct vgem_vm *vm = container_of(ref, typeof(*vm), ref);

	/* The last queue is gone, so no job runs any more. */
	if (vm->long_running)
		drm_userptr_preempt_fini(&vm->preempt);
	mutex_lock(&vm->lock);
	vgem_vm_unbind_all(vm);
	mutex_unlock(&vm->lock);

	vgem_pt_fini(&vm->pt);
	drm_userptr_vm_fini(&vm->userptr);
	drm_gpuvm_put(&vm->base);
}

/* Sleeps; call with no locks held. */
void vgem_vm_put(struct vgem_vm *vm)
{
	kref_put(&vm->ref, vgem_vm_release);
}

struct vgem_vm *vgem_vm_lookup(struct vgem_gpu_file *gpu, u32 id)
{
	struct vgem_vm *vm;

	xa_lock(&gpu->vms);
	vm = xa_load(&gpu->vms, id);
	if (vm)
		kref_get(&vm->ref);
	xa_unlock(&gpu->vms);

	return vm;
}

int vgem_vm_create_ioctl(struct drm_device *dev, void *data,
			 struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_vm_create *args = data;
	struct vgem_vm *vm;
	u32 id;
	int err;

	if (args->flags & ~(DRM_VGEM_VM_CREATE_LONG_RUNNING |
			    DRM_VGEM_VM_CREATE_HOLES))
		return -EINVAL;

	vm = vgem_vm_create(dev, &vfile->gpu, args->flags);
	if (IS_ERR(vm))
		return PTR_ERR(vm);

	err = xa_alloc(&vfile->gpu.vms, &id, vm, VGEM_MAX_VMS,
		       GFP_KERNEL_ACCOUNT);
	if (err) {
		vgem_vm_put(vm);
		/* Over the limit is -EBUSY to the xarray. */
		return err == -EBUSY ? -ENOMEM : err;
	}

	args->vm_id = id;

	return 0;
}

int vgem_vm_destroy_ioctl(struct drm_device *dev, void *data,
			  struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_vm_destroy *args = data;
	struct vgem_vm *vm;
	int err = 0;

	if (args->pad)
		return -EINVAL;

	xa_lock(&vfile->gpu.vms);
	vm = xa_load(&vfile->gpu.vms, args->vm_id);
	if (!vm)
		err = -ENOENT;
	else if (!drm_userptr_vm_owned(&vm->userptr))
		err = -EPERM;
	else
		__xa_erase(&vfile->gpu.vms, args->vm_id);
	xa_unlock(&vfile->gpu.vms);
	if (err)
		return err;

	vgem_vm_put(vm);

	return 0;
}

int vgem_vm_query_ioctl(struct drm_device *dev, void *data,
			struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_vm_query *args = data;
	struct drm_vgem_vm_stats stats;
	struct vgem_vm *vm;
	u64 copy;
	int err = 0;

	if (args->query != DRM_VGEM_VM_QUERY_STATS)
		return -EINVAL;

	vm = vgem_vm_lookup(&vfile->gpu, args->vm_id);
	if (!vm)
		return -ENOENT;
	if (!drm_userptr_vm_owned(&vm->userptr)) {
		err = -EPERM;
		goto out_put;
	}

	if (!args->size) {
		args->size = sizeof(stats);
		goto out_put;
	}

	stats = (struct drm_vgem_vm_stats) {
		.submits = atomic64_read(&vm->userptr.stats.submits),
		.retries = atomic64_read(&vm->userptr.stats.retries),
		.invalidations = atomic64_read(&vm->userptr.stats.invalidations),
		.windows = atomic64_read(&vm->userptr.stats.windows),
		.fence_waits = atomic64_read(&vm->userptr.stats.fence_waits),
		.tlb_flushes = READ_ONCE(vm->pt.flushes),
		.faults = atomic64_read(&vm->faults),
		.fault_addr = atomic64_read(&vm->fault_addr),
		.preemptions = atomic64_read(&vm->preempt.preemptions),
		.resumes = atomic64_read(&vm->preempt.resumes),
	};

	copy = min(args->size, sizeof(stats));
	if (copy_to_user(u64_to_user_ptr(args->data), &stats, copy) ||
	    clear_user(u64_to_user_ptr(args->data) + copy, args->size - copy))
		err = -EFAULT;

out_put:
	vgem_vm_put(vm);
	return err;
}
