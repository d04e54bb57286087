// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Buffer objects of others in GPU address spaces. The GEM object has an
 * attachment of its own, for dumb users; this one is for the engine. It is made
 * when the object is first bound, shared by all who bind it, and lets the
 * exporter move its memory.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/hashtable.h>
#include <linux/slab.h>

#include <drm/drm_userptr_import.h>

#include "vgem_drv.h"

/**
 * struct vgem_import - a dma-buf for the engine
 * @base: the helpers' part
 * @ref: one for each mapping
 * @node: in vgem_imports
 */
struct vgem_import {
	struct drm_userptr_import base;
	struct kref ref;
	struct hlist_node node;
};

/* There is one vgem. By dma-buf; the lock also covers their coming and going. */
static DEFINE_HASHTABLE(vgem_imports, 6);
static DEFINE_MUTEX(vgem_imports_lock);

static struct vgem_import *vgem_import_create(struct drm_device *dev,
					      struct dma_buf *dmabuf)
{
	struct vgem_import *import;
	int err;

	import = kzalloc_obj(*import, GFP_KERNEL_ACCOUNT);
	if (!import)
		return ERR_PTR(-ENOMEM);

	err = drm_userptr_import_init(&import->base, dev->dev, dmabuf,
				      DRM_USERPTR_IMPORT_MAY_PIN);
	if (err) {
		kfree(import);
		return ERR_PTR(err);
	}

	kref_init(&import->ref);

	return import;
}

/* The import of an object that is imported. */
static struct vgem_import *vgem_import_get(struct drm_gem_object *obj)
{
	struct dma_buf *dmabuf = obj->import_attach->dmabuf;
	struct vgem_import *import;

	guard(mutex)(&vgem_imports_lock);

	hash_for_each_possible(vgem_imports, import, node, (unsigned long)dmabuf) {
		if (import->base.dmabuf == dmabuf) {
			kref_get(&import->ref);
			return import;
		}
	}

	import = vgem_import_create(obj->dev, dmabuf);
	if (!IS_ERR(import))
		hash_add(vgem_imports, &import->node, (unsigned long)dmabuf);

	return import;
}

static void vgem_import_release(struct kref *ref)
{
	struct vgem_import *import = container_of(ref, typeof(*import), ref);

	lockdep_assert_held(&vgem_imports_lock);

	hash_del(&import->node);
	mutex_unlock(&vgem_imports_lock);

	drm_userptr_import_fini(&import->base);
	kfree(import);
}

static void vgem_import_put(struct vgem_import *import)
{
	kref_put_mutex(&import->ref, vgem_import_release, &vgem_imports_lock);
}

int vgem_import_bind_prepare(struct vgem_vm *vm, struct vgem_vma *vma)
{
	struct vgem_import *import;
	int err;

	import = vgem_import_get(vma->obj);
	if (IS_ERR(import))
		return PTR_ERR(import);

	err = drm_userptr_binding_init_import(&vma->binding, &vm->userptr,
					      &import->base,
					      vma->base.gem.offset,
					      vma->base.va.range,
					      vma->base.va.addr);
	if (err)
		vgem_import_put(import);

	return err;
}

/* Of a mapping that is not bound any more, or never was. */
void vgem_import_bind_drop(struct vgem_vma *vma)
{
	struct vgem_import *import =
		container_of(vma->binding.import, typeof(*import), base);

	drm_userptr_binding_fini(&vma->binding);
	vgem_import_put(import);
}

/*
 * Exporters may be moving or clearing what is locked: @job comes after that, or
 * the caller waits if there is none.
 */
int vgem_import_sync(struct drm_gpuvm_exec *vm_exec, struct vgem_job *job)
{
	struct drm_gem_object *obj;
	long ret;

	drm_exec_for_each_locked_object(&vm_exec->exec, obj) {
		if (job)
			ret = drm_sched_job_add_resv_dependencies(&job->base,
								  obj->resv,
								  DMA_RESV_USAGE_KERNEL);
		else
			ret = dma_resv_wait_timeout(obj->resv,
						    DMA_RESV_USAGE_KERNEL, true,
						    MAX_SCHEDULE_TIMEOUT);
		if (ret < 0)
			return ret;
	}

	return 0;
}
