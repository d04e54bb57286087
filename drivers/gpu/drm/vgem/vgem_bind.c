// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * VM_BIND. drm_gpuvm says which mappings a request replaces, splits or makes.
 * First everything is prepared that can fail, then the jobs that may use the
 * old mappings are waited for, then the change is made, which cannot fail.
 * Long-running queues are suspended for it, and resumed by their worker as soon
 * as it gets the VM's lock.
 */

#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_print.h>

#include "vgem_drv.h"

static void vgem_vma_put_vm_bo(struct vgem_vma *vma)
{
	if (!vma->vm_bo)
		return;

	dma_resv_lock(vma->obj->resv, NULL);
	drm_gpuvm_bo_put(vma->vm_bo);
	dma_resv_unlock(vma->obj->resv);
	vma->vm_bo = NULL;
}

/* Drop a mapping that is not, or no longer, in its VM. */
static void vgem_vma_free(struct vgem_vm *vm, struct vgem_vma *vma)
{
	if (vgem_vma_is_import(vma))
		vgem_import_bind_drop(vma);
	else if (vgem_vma_is_userptr(vma))
		drm_userptr_binding_fini(&vma->binding);
	vgem_vma_put_vm_bo(vma);

	vgem_pt_release(&vm->pt, vma->base.va.addr, vma->base.va.range);
	drm_gem_object_put(vma->obj);
	kfree(vma);
}

/* For objects that have a dma_resv of their own */
static int vgem_vma_get_vm_bo(struct vgem_vm *vm, struct vgem_vma *vma)
{
	struct drm_gem_object *obj = vma->obj;
	struct drm_gpuvm_bo *vm_bo;

	dma_resv_lock(obj->resv, NULL);
	vm_bo = drm_gpuvm_bo_obtain_locked(&vm->base, obj);
	dma_resv_unlock(obj->resv);
	if (IS_ERR(vm_bo))
		return PTR_ERR(vm_bo);

	vma->vm_bo = vm_bo;

	return 0;
}

static int vgem_vma_prepare_shmem(struct vgem_vm *vm, struct vgem_vma *vma)
{
	struct sg_table *sgt;

	/* Pages stay until the object goes away, as for any vgem user. */
	sgt = drm_gem_shmem_get_pages_sgt(to_drm_gem_shmem_obj(vma->obj));
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);

	return vgem_vma_get_vm_bo(vm, vma);
}

static int vgem_vma_prepare_import(struct vgem_vm *vm, struct vgem_vma *vma)
{
	int err;

	err = vgem_vma_get_vm_bo(vm, vma);
	if (err)
		return err;

	err = vgem_import_bind_prepare(vm, vma);
	if (err)
		vgem_vma_put_vm_bo(vma);

	return err;
}

static int vgem_vma_prepare_userptr(struct vgem_vm *vm, struct vgem_vma *vma)
{
	return drm_userptr_binding_init(&vma->binding, &vm->userptr,
					vgem_gem_userptr(vma->obj),
					vma->base.gem.offset,
					vma->base.va.range, vma->base.va.addr);
}

/* Everything about a new mapping that can fail. Takes a reference to @obj. */
static struct vgem_vma *vgem_vma_create(struct vgem_vm *vm,
					const struct drm_gpuva_op_map *op,
					struct drm_gem_object *obj,
					bool writable)
{
	struct drm_userptr *userptr = vgem_gem_userptr(obj);
	struct vgem_vma *vma;
	int err;

	vma = kzalloc_obj(*vma, GFP_KERNEL_ACCOUNT);
	if (!vma)
		return ERR_PTR(-ENOMEM);

	drm_gpuva_init_from_op(&vma->base, op);
	vma->obj = obj;
	/* What may not be written to may not, whatever the mapping says. */
	vma->writable = writable &&
			!(userptr && userptr->flags & DRM_USERPTR_READ_ONLY);

	err = vgem_pt_reserve(&vm->pt, op->va.addr, op->va.range);
	if (err)
		goto err_free;

	if (userptr)
		err = vgem_vma_prepare_userptr(vm, vma);
	else if (drm_gem_is_imported(obj))
		err = vgem_vma_prepare_import(vm, vma);
	else
		err = vgem_vma_prepare_shmem(vm, vma);
	if (err)
		goto err_release;

	drm_gem_object_get(obj);

	return vma;

err_release:
	vgem_pt_release(&vm->pt, op->va.addr, op->va.range);
err_free:
	kfree(vma);
	return ERR_PTR(err);
}

static void vgem_vma_map_shmem(struct vgem_vm *vm, struct vgem_vma *vma)
{
	struct sg_table *sgt = to_drm_gem_shmem_obj(vma->obj)->sgt;
	u64 skip = vma->base.gem.offset;
	u64 addr = vma->base.va.addr;
	u64 left = vma->base.va.range;
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 len = sg_dma_len(sg);

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = min(len - skip, left);
		vgem_pt_map(&vm->pt, addr, sg_dma_address(sg) + skip, len,
			    vma->writable);
		skip = 0;
		addr += len;
		left -= len;
		if (!left)
			break;
	}
}

/* Put a prepared mapping into its VM. Cannot fail. */
static void vgem_vma_insert(struct vgem_vm *vm, struct vgem_vma *vma)
{
	int err;

	/* drm_gpuvm made the plan: the place is free, and in range. */
	err = drm_gpuva_insert(&vm->base, &vma->base);
	drm_WARN_ON(vm->base.drm, err);

	if (vgem_vma_has_binding(vma))
		drm_userptr_bind(&vma->binding);
	else
		vgem_vma_map_shmem(vm, vma);

	if (vgem_vma_is_userptr(vma))
		return;

	dma_resv_lock(vma->obj->resv, NULL);
	drm_gpuva_link(&vma->base, vma->vm_bo);
	drm_gpuvm_bo_extobj_add(vma->vm_bo);
	drm_gpuvm_bo_put(vma->vm_bo);
	dma_resv_unlock(vma->obj->resv);
	vma->vm_bo = NULL;
}

/* Take a mapping out of its VM. No job may be using it. */
static void vgem_vma_remove(struct vgem_vm *vm, struct vgem_vma *vma)
{
	if (vgem_vma_has_binding(vma)) {
		drm_userptr_unbind(&vma->binding);
	} else {
		vgem_pt_zap(&vm->pt, vma->base.va.addr, vma->base.va.range);
		vgem_tlb_flush_wait(&vm->pt, vgem_tlb_flush_submit(&vm->pt));
	}

	if (!vgem_vma_is_userptr(vma)) {
		dma_resv_lock(vma->obj->resv, NULL);
		drm_gpuva_unlink(&vma->base);
		dma_resv_unlock(vma->obj->resv);
	}

	drm_gpuva_remove(&vma->base);
	vgem_vma_free(vm, vma);
}

/* All of a VM's mappings. No job may be running. */
void vgem_vm_unbind_all(struct vgem_vm *vm)
{
	struct drm_gpuva *va, *next;

	lockdep_assert_held(&vm->lock);

	drm_gpuvm_for_each_va_safe(va, next, &vm->base)
		vgem_vma_remove(vm, to_vgem_vma(va));
}

/* A request splits at most two mappings, and makes at most one. */
struct vgem_bind_plan {
	struct vgem_vma *new[3];
	unsigned int nr;
};

static int vgem_bind_plan_add(struct vgem_vm *vm, struct vgem_bind_plan *plan,
			      const struct drm_gpuva_op_map *op,
			      struct drm_gem_object *obj, bool writable)
{
	struct vgem_vma *vma;

	if (drm_WARN_ON(vm->base.drm, plan->nr == ARRAY_SIZE(plan->new)))
		return -EINVAL;

	vma = vgem_vma_create(vm, op, obj, writable);
	if (IS_ERR(vma))
		return PTR_ERR(vma);

	plan->new[plan->nr++] = vma;

	return 0;
}

static void vgem_bind_plan_drop(struct vgem_vm *vm, struct vgem_bind_plan *plan)
{
	while (plan->nr)
		vgem_vma_free(vm, plan->new[--plan->nr]);
}

static int vgem_bind_prepare(struct vgem_vm *vm, struct vgem_bind_plan *plan,
			     struct drm_gpuva_ops *ops,
			     struct drm_gem_object *obj, bool writable)
{
	struct drm_gpuva_op *op;
	int err = 0;

	drm_gpuva_for_each_op(op, ops) {
		struct vgem_vma *old;

		switch (op->op) {
		case DRM_GPUVA_OP_MAP:
			err = vgem_bind_plan_add(vm, plan, &op->map, obj,
						 writable);
			break;
		case DRM_GPUVA_OP_REMAP:
			old = to_vgem_vma(op->remap.unmap->va);
			if (op->remap.prev)
				err = vgem_bind_plan_add(vm, plan,
							 op->remap.prev,
							 old->obj,
							 old->writable);
			if (!err && op->remap.next)
				err = vgem_bind_plan_add(vm, plan,
							 op->remap.next,
							 old->obj,
							 old->writable);
			break;
		case DRM_GPUVA_OP_UNMAP:
			break;
		default:
			err = -EINVAL;
		}
		if (err)
			return err;
	}

	return 0;
}

static void vgem_bind_apply(struct vgem_vm *vm, struct vgem_bind_plan *plan,
			    struct drm_gpuva_ops *ops)
{
	struct drm_gpuva_op *op;
	unsigned int i;

	drm_gpuva_for_each_op(op, ops) {
		if (op->op == DRM_GPUVA_OP_UNMAP)
			vgem_vma_remove(vm, to_vgem_vma(op->unmap.va));
		else if (op->op == DRM_GPUVA_OP_REMAP)
			vgem_vma_remove(vm, to_vgem_vma(op->remap.unmap->va));
	}

	for (i = 0; i < plan->nr; i++)
		vgem_vma_insert(vm, plan->new[i]);
}

static int vgem_vm_bind_locked(struct vgem_vm *vm,
			       const struct drm_vgem_vm_bind *args,
			       struct drm_gem_object *obj)
{
	struct drm_userptr *userptr = obj ? vgem_gem_userptr(obj) : NULL;
	struct vgem_bind_plan plan = {};
	struct drm_gpuva_ops *ops;
	int err;

	lockdep_assert_held(&vm->lock);

	if (obj) {
		struct drm_gpuvm_map_req req = {
			.map.va.addr = args->addr,
			.map.va.range = args->range,
			.map.gem.offset = args->offset,
		};

		if (!userptr)
			req.map.gem.obj = obj;
		else if (args->op == DRM_VGEM_VM_BIND_OP_MAP)
			req.map.gem.offset += userptr->start;

		ops = drm_gpuvm_sm_map_ops_create(&vm->base, &req);
	} else {
		ops = drm_gpuvm_sm_unmap_ops_create(&vm->base, args->addr,
						    args->range);
	}
	if (IS_ERR(ops))
		return PTR_ERR(ops);

	err = vgem_bind_prepare(vm, &plan, ops, obj,
				!(args->flags & DRM_VGEM_VM_BIND_READ_ONLY));
	if (!err)
		err = drm_userptr_vm_wait_idle(&vm->userptr);
	if (err)
		vgem_bind_plan_drop(vm, &plan);
	else
		vgem_bind_apply(vm, &plan, ops);

	drm_gpuva_ops_free(&vm->base, ops);

	return err;
}

static int vgem_vm_bind_check(const struct drm_vgem_vm_bind *args)
{
	u64 mask = max_t(u64, PAGE_SIZE, VGEM_GPU_PAGE_SIZE) - 1;
	u64 end;

	if (args->op > DRM_VGEM_VM_BIND_OP_UNMAP ||
	    args->flags & ~DRM_VGEM_VM_BIND_READ_ONLY)
		return -EINVAL;
	if (!args->range || (args->addr | args->range | args->offset) & mask ||
	    check_add_overflow(args->addr, args->range, &end) ||
	    end > DRM_VGEM_VA_SIZE ||
	    check_add_overflow(args->offset, args->range, &end))
		return -EINVAL;
	if (args->op != DRM_VGEM_VM_BIND_OP_MAP && args->handle)
		return -EINVAL;
	if (args->op == DRM_VGEM_VM_BIND_OP_UNMAP &&
	    (args->offset || args->flags))
		return -EINVAL;

	return 0;
}

/* The object to map, with a reference; NULL if nothing is to be mapped. */
static struct drm_gem_object *
vgem_vm_bind_object(struct drm_device *dev, struct drm_file *file,
		    const struct drm_vgem_vm_bind *args)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_gem_object *obj;
	int err;

	switch (args->op) {
	case DRM_VGEM_VM_BIND_OP_UNMAP:
		return NULL;
	case DRM_VGEM_VM_BIND_OP_MAP_USERPTR:
		/* Never written to: then it need not be writable either. */
		return vgem_userptr_create(dev, &vfile->gpu, args->offset,
					   args->range,
					   args->flags & DRM_VGEM_VM_BIND_READ_ONLY ?
					   DRM_VGEM_USERPTR_READ_ONLY : 0);
	}

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return ERR_PTR(-ENOENT);

	if (vgem_gem_is_userptr(obj) &&
	    !drm_userptr_owned(&to_vgem_userptr(obj)->userptr))
		err = -EPERM;
	else if (args->offset + args->range > obj->size)
		err = -EINVAL;
	else
		return obj;

	drm_gem_object_put(obj);
	return ERR_PTR(err);
}

int vgem_vm_bind_ioctl(struct drm_device *dev, void *data,
		       struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_vm_bind *args = data;
	struct drm_gem_object *obj;
	struct vgem_vm *vm;
	int err;

	err = vgem_vm_bind_check(args);
	if (err)
		return err;

	vm = vgem_vm_lookup(&vfile->gpu, args->vm_id);
	if (!vm)
		return -ENOENT;
	if (!drm_userptr_vm_owned(&vm->userptr)) {
		err = -EPERM;
		goto out_put_vm;
	}

	obj = vgem_vm_bind_object(dev, file, args);
	if (IS_ERR(obj)) {
		err = PTR_ERR(obj);
		goto out_put_vm;
	}

	err = mutex_lock_interruptible(&vm->lock);
	if (err)
		goto out_put_obj;
	/* Looked at with the lock held, see vgem_unplug.c. */
	err = drm_dev_is_unplugged(dev) ? -ENODEV :
					  vgem_vm_bind_locked(vm, args, obj);
	mutex_unlock(&vm->lock);

out_put_obj:
	if (obj)
		drm_gem_object_put(obj);
out_put_vm:
	vgem_vm_put(vm);
	return err;
}
