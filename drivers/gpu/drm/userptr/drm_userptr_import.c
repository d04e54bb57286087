// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Imports: dma-bufs that are bound like userptrs. Where the mm takes pages away
 * there, the exporter moves its memory here, and says so by
 * &dma_buf_attach_ops.invalidate_mappings with the dma_resv held:
 *
 *   void      bindings onto their VMs' lists of what is invalidated, snapshots of
 *             the ledgers (notifier lock for write), enable signalling
 *   retired   jobs of the snapshots done: clear PTEs, flush TLBs, unmap
 *
 * If no job runs both are done in the callback, else a worker does the second.
 * Nothing is committed to a VM as long as it has entries that are void: memory
 * that the exporter has left is not ours any more when the fences in its
 * dma_resv have signalled, and those are only of the jobs before. When the
 * dma_resv is next held for a submission the exporter is asked for the new place.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/export.h>
#include <linux/sched/signal.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

MODULE_IMPORT_NS("DMA_BUF");

/* Takes a dma_resv, so it is none of those that signal fences. */
static struct workqueue_struct *drm_userptr_import_wq;

int drm_userptr_import_wq_init(void)
{
	/* Reclaim may have an exporter move memory, and wait until it is unused. */
	drm_userptr_import_wq = alloc_workqueue("drm-userptr-import",
						WQ_UNBOUND | WQ_MEM_RECLAIM, 0);

	return drm_userptr_import_wq ? 0 : -ENOMEM;
}

void drm_userptr_import_wq_fini(void)
{
	destroy_workqueue(drm_userptr_import_wq);
}

static void drm_userptr_import_assert_held(struct drm_userptr_import *import)
{
	dma_resv_assert_held(import->dmabuf->resv);
}

static enum dma_data_direction
drm_userptr_import_direction(const struct drm_userptr_import *import)
{
	return import->flags & DRM_USERPTR_IMPORT_READ_ONLY ?
	       DMA_TO_DEVICE : DMA_BIDIRECTIONAL;
}

static void drm_userptr_import_unmap(struct drm_userptr_import *import)
{
	struct sg_table *sgt = import->sgt;
	bool pinned = import->pinned;

	drm_userptr_import_assert_held(import);

	/* First, as the exporter may call back while it is told. */
	import->sgt = NULL;
	import->pinned = false;
	if (sgt)
		dma_buf_unmap_attachment(import->attach, sgt,
					 drm_userptr_import_direction(import));
	if (pinned)
		dma_buf_unpin(import->attach);
}

/*
 * The entries of a binding are void from now on, if there are any. Nobody
 * commits to its VM before drm_userptr_binding_retire().
 */
static void drm_userptr_binding_void(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;

	drm_userptr_import_assert_held(binding->import);

	guard(rwsem_write)(&vm->notifier_lock);

	if (binding->entries == DRM_USERPTR_ENTRIES_VOID)
		return;

	binding->entries = DRM_USERPTR_ENTRIES_VOID;
	vm->nr_void++;
	list_move_tail(&binding->vm_link, &vm->invalidated);
	binding->jobs = drm_userptr_ledger_get(vm->fences.ledger);
}

/* Its entries are gone. Has the TLB to be flushed? */
static bool drm_userptr_binding_retire(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;
	bool present;

	/* A commit writes them, and neither runs while the dma_resv is held. */
	drm_userptr_import_assert_held(binding->import);

	guard(rwsem_write)(&vm->notifier_lock);

	present = binding->entries != DRM_USERPTR_ENTRIES_NONE;
	if (present)
		vm->ops->zap(binding, binding->addr,
			     binding->end - binding->start);
	if (binding->entries == DRM_USERPTR_ENTRIES_VOID && !--vm->nr_void)
		wake_up_all(&vm->void_wq);
	binding->entries = DRM_USERPTR_ENTRIES_NONE;

	return present;
}

static void drm_userptr_binding_put_jobs(struct drm_userptr_binding *binding)
{
	drm_userptr_import_assert_held(binding->import);

	if (binding->jobs)
		drm_userptr_ledger_put(binding->jobs);
	binding->jobs = NULL;
}

/* All jobs that may use it are done: let the exporter have its memory. */
static void drm_userptr_import_retire(struct drm_userptr_import *import)
{
	struct drm_userptr_binding *binding;

	drm_userptr_import_assert_held(import);

	list_for_each_entry(binding, &import->bindings, link) {
		struct drm_userptr_vm *vm = binding->vm;

		drm_userptr_binding_put_jobs(binding);
		if (drm_userptr_binding_retire(binding))
			vm->ops->tlb_wait(vm, vm->ops->tlb_submit(vm));
	}
	drm_userptr_import_unmap(import);
	import->retiring = false;
	trace_drm_userptr_import_retire(import);
}

/* A job that may still use the old memory, with a reference; or NULL */
static struct drm_userptr_ledger *
drm_userptr_import_next_jobs(struct drm_userptr_import *import)
{
	struct drm_userptr_binding *binding;

	drm_userptr_import_assert_held(import);

	list_for_each_entry(binding, &import->bindings, link)
		if (binding->jobs && !drm_userptr_ledger_signaled(binding->jobs))
			return drm_userptr_ledger_get(binding->jobs);

	return NULL;
}

static void drm_userptr_import_retire_work(struct work_struct *work)
{
	struct drm_userptr_import *import =
		container_of(work, typeof(*import), retire_work);
	struct dma_resv *resv = import->dmabuf->resv;
	struct drm_userptr_ledger *jobs;

	dma_resv_lock(resv, NULL);
	while ((jobs = drm_userptr_import_next_jobs(import))) {
		/* Meanwhile bindings may go, and take their snapshots along. */
		dma_resv_unlock(resv);
		drm_userptr_ledger_wait(jobs, false);
		drm_userptr_ledger_put(jobs);
		dma_resv_lock(resv, NULL);
	}
	if (import->retiring)
		drm_userptr_import_retire(import);
	dma_resv_unlock(resv);
}

/*
 * The exporter is about to move its memory, or wants it back. May come at any
 * time from the attachment on, and when it comes there may be no mapping.
 */
static void
drm_userptr_import_invalidate(struct dma_buf_attachment *attach)
{
	struct drm_userptr_import *import = attach->importer_priv;
	struct drm_userptr_binding *binding;
	bool busy = false, waits;

	dma_resv_assert_held(attach->dmabuf->resv);

	if (!import->sgt || import->retiring)
		return;

	import->retiring = true;
	list_for_each_entry(binding, &import->bindings, link) {
		struct drm_userptr_vm *vm = binding->vm;

		drm_userptr_binding_void(binding);
		drm_userptr_vm_count(vm, invalidations);
		waits = !drm_userptr_ledger_signaled(binding->jobs);
		trace_drm_userptr_import_invalidate(binding, waits);
		if (!waits)
			continue;

		drm_userptr_vm_count(vm, fence_waits);
		drm_userptr_ledger_enable_signaling(binding->jobs);
		busy = true;
	}

	if (busy)
		queue_work(drm_userptr_import_wq, &import->retire_work);
	else
		drm_userptr_import_retire(import);
}

static const struct dma_buf_attach_ops drm_userptr_import_ops = {
	.invalidate_mappings = drm_userptr_import_invalidate,
};

static const struct dma_buf_attach_ops drm_userptr_import_p2p_ops = {
	.allow_peer2peer = true,
	.invalidate_mappings = drm_userptr_import_invalidate,
};

/**
 * drm_userptr_import_init() - attach a dma-buf to a device
 * @import: zeroed memory
 * @dev: the device
 * @dmabuf: what to import; a reference is taken
 * @flags: DRM_USERPTR_IMPORT_*
 *
 * The memory is neither mapped nor kept in place: the first submission asks for
 * it. Bind it with drm_userptr_binding_init_import() and drm_userptr_bind().
 *
 * Context: process context, no dma_resv held.
 *
 * Return: 0; -EINVAL for a bad flag, -EOPNOTSUPP if @dev cannot do coherent DMA,
 * -ENOMEM, or what the exporter says against @dev, often -EBUSY.
 */
int drm_userptr_import_init(struct drm_userptr_import *import,
			    struct device *dev, struct dma_buf *dmabuf,
			    u32 flags)
{
	const struct dma_buf_attach_ops *ops;

	if (flags & ~(DRM_USERPTR_IMPORT_READ_ONLY |
		      DRM_USERPTR_IMPORT_MAY_PIN | DRM_USERPTR_IMPORT_P2P))
		return -EINVAL;
	if (!drm_userptr_dma_coherent(dev))
		return -EOPNOTSUPP;

	get_dma_buf(dmabuf);
	import->dmabuf = dmabuf;
	import->flags = flags;
	import->id = drm_userptr_new_id();
	INIT_WORK(&import->retire_work, drm_userptr_import_retire_work);
	INIT_LIST_HEAD(&import->bindings);

	/* The exporter may call back from here on: everything above is set up. */
	ops = flags & DRM_USERPTR_IMPORT_P2P ? &drm_userptr_import_p2p_ops :
					       &drm_userptr_import_ops;
	import->attach = drm_userptr_should_fail() ?
			 ERR_PTR(-ENOMEM) :
			 dma_buf_dynamic_attach(dmabuf, dev, ops, import);
	if (IS_ERR(import->attach)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(import->attach);
	}

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_import_init);

/**
 * drm_userptr_import_fini() - detach a dma-buf
 * @import: an import that is bound nowhere
 *
 * Context: process context, no dma_resv held, nor a lock that the exporter may
 * need to release its memory. Waits for jobs of which the exporter wants the
 * memory back.
 */
void drm_userptr_import_fini(struct drm_userptr_import *import)
{
	struct dma_resv *resv = import->dmabuf->resv;

	dma_resv_lock(resv, NULL);
	WARN(!list_empty(&import->bindings), "import is still bound\n");
	drm_userptr_import_unmap(import);
	import->retiring = false;
	dma_resv_unlock(resv);

	/* Without a mapping nothing queues it again. */
	flush_work(&import->retire_work);
	dma_buf_detach(import->dmabuf, import->attach);
	dma_buf_put(import->dmabuf);
}
EXPORT_SYMBOL_GPL(drm_userptr_import_fini);

/**
 * drm_userptr_binding_init_import() - prepare an import, or a part of it
 * @binding: zeroed memory, embedded in the driver's mapping
 * @vm: where; of the device for which @import is attached
 * @import: what
 * @offset: first byte within the dma-buf, a multiple of the page size
 * @size: length in bytes, a multiple of the page size
 * @addr: device address of @offset
 *
 * As drm_userptr_binding_init() does for a userptr. All that takes a binding
 * takes this one, too. Submissions then have to call
 * drm_userptr_submit_validate(), and the fence of each job that may reach the
 * binding has to be added to the dma_resv of the dma-buf, as
 * %DMA_RESV_USAGE_BOOKKEEP at least, whether the job names the binding or not.
 *
 * Context: process context.
 *
 * Return: 0; -EINVAL if the range is not within the dma-buf or if the device of
 * @vm is another one.
 */
int drm_userptr_binding_init_import(struct drm_userptr_binding *binding,
				    struct drm_userptr_vm *vm,
				    struct drm_userptr_import *import,
				    u64 offset, u64 size, u64 addr)
{
	u64 end;

	if (!size || !PAGE_ALIGNED(offset) || !PAGE_ALIGNED(size) ||
	    check_add_overflow(offset, size, &end) ||
	    end > import->dmabuf->size || vm->dev != import->attach->dev)
		return -EINVAL;

	binding->import = import;
	binding->vm = vm;
	binding->start = offset;
	binding->end = end;
	binding->addr = addr;
	INIT_LIST_HEAD(&binding->vm_link);
	INIT_LIST_HEAD(&binding->submit_link);

	/* Those who name it have its VM's ledger, see drm_userptr_import.h. */
	return vm->flags & DRM_USERPTR_VM_EXPLICIT ?
	       drm_userptr_fences_init(&binding->fences) : 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_binding_init_import);

void drm_userptr_import_bind(struct drm_userptr_binding *binding)
{
	struct drm_userptr_import *import = binding->import;
	struct drm_userptr_vm *vm = binding->vm;

	dma_resv_lock(import->dmabuf->resv, NULL);
	list_add_tail(&binding->link, &import->bindings);
	down_write(&vm->notifier_lock);
	list_add_tail(&binding->vm_link, &vm->invalidated);
	up_write(&vm->notifier_lock);
	/* It has to wait for the end of the old mapping like the others. */
	if (import->retiring) {
		drm_userptr_binding_void(binding);
		/* No job can have used it. */
		drm_userptr_binding_put_jobs(binding);
	}
	dma_resv_unlock(import->dmabuf->resv);
}

/* The VM is idle: no need to wait for anybody. */
void drm_userptr_import_unbind(struct drm_userptr_binding *binding)
{
	struct drm_userptr_import *import = binding->import;
	struct drm_userptr_vm *vm = binding->vm;

	dma_resv_lock(import->dmabuf->resv, NULL);
	if (drm_userptr_binding_retire(binding))
		vm->ops->tlb_wait(vm, vm->ops->tlb_submit(vm));
	drm_userptr_binding_put_jobs(binding);
	down_write(&vm->notifier_lock);
	list_del_init(&binding->vm_link);
	up_write(&vm->notifier_lock);
	list_del(&binding->link);
	dma_resv_unlock(import->dmabuf->resv);
}

/*
 * As if its entries had never been written. What is void already stays so until
 * the worker has been there.
 */
void drm_userptr_import_forget(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;

	guard(rwsem_write)(&vm->notifier_lock);

	if (binding->entries == DRM_USERPTR_ENTRIES_VALID) {
		vm->ops->zap(binding, binding->addr,
			     binding->end - binding->start);
		binding->entries = DRM_USERPTR_ENTRIES_NONE;
	}
	list_move_tail(&binding->vm_link, &vm->invalidated);
}

/*
 * Wait for what can be waited for without the dma_resv. Certain is only
 * drm_userptr_import_validate().
 */
int drm_userptr_import_settle(struct drm_userptr_import *import)
{
	long ret;

	ret = dma_resv_wait_timeout(import->dmabuf->resv, DMA_RESV_USAGE_KERNEL,
				    true, MAX_SCHEDULE_TIMEOUT);

	return ret < 0 ? ret : 0;
}

/* Can entries be made of it, up to @end? Exporters have been wrong. */
static bool drm_userptr_import_usable(struct drm_userptr_import *import)
{
	struct scatterlist *sg;
	u64 size = 0;
	int i;

	for_each_sgtable_dma_sg(import->sgt, sg, i) {
		if (!PAGE_ALIGNED(sg_dma_address(sg)) ||
		    !PAGE_ALIGNED(sg_dma_len(sg)))
			return false;
		size += sg_dma_len(sg);
	}

	return size >= import->dmabuf->size;
}

static int drm_userptr_import_pin(struct drm_userptr_import *import)
{
	int err;

	if (import->pinned || !(import->flags & DRM_USERPTR_IMPORT_MAY_PIN) ||
	    !dma_buf_is_dynamic(import->dmabuf))
		return -EOPNOTSUPP;

	err = dma_buf_pin(import->attach);
	import->pinned = !err;

	return err;
}

static int drm_userptr_import_map(struct drm_userptr_import *import)
{
	struct sg_table *sgt;
	int err;

	drm_userptr_import_assert_held(import);

	if (drm_userptr_should_fail())
		return -ENOMEM;

	do {
		sgt = dma_buf_map_attachment(import->attach,
					     drm_userptr_import_direction(import));
		if (!IS_ERR(sgt))
			break;
		err = PTR_ERR(sgt);
		if (err == -EOPNOTSUPP && !import->pinned)
			err = drm_userptr_import_pin(import);
		if (err) {
			drm_userptr_import_unmap(import);
			return err;
		}
	} while (true);

	import->sgt = sgt;
	if (!drm_userptr_import_usable(import)) {
		drm_userptr_import_unmap(import);
		return -EINVAL;
	}

	return 0;
}

/*
 * Find out where the memory is now, and wait until it is there. With the
 * dma_resv held, which keeps it there until the commit.
 *
 * Returns 0, -EAGAIN if the end of the old mapping has to be waited for first,
 * -ERESTARTSYS or -EINTR if a signal came first, -ENOMEM, or anything else that
 * the exporter says.
 */
int drm_userptr_import_validate(struct drm_userptr_import *import)
{
	int err;

	drm_userptr_import_assert_held(import);

	if (import->retiring)
		return -EAGAIN;

	if (!import->sgt) {
		err = drm_userptr_import_map(import);
		if (err)
			return err;
	}

	/* Entries may be used as soon as they are written. */
	return drm_userptr_import_settle(import);
}

/* In a commit: write the entries. False if the memory is not there after all. */
bool drm_userptr_import_commit(struct drm_userptr_binding *binding)
{
	struct drm_userptr_import *import = binding->import;
	u64 addr = binding->addr, skip = binding->start;
	u64 left = binding->end - binding->start;
	struct scatterlist *sg;
	int i;

	drm_userptr_vm_assert_commit(binding->vm);
	drm_userptr_import_assert_held(import);

	if (binding->entries == DRM_USERPTR_ENTRIES_VALID)
		return true;
	if (binding->entries == DRM_USERPTR_ENTRIES_VOID || !import->sgt ||
	    import->retiring)
		return false;

	for_each_sgtable_dma_sg(import->sgt, sg, i) {
		u64 len = sg_dma_len(sg);

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = min(len - skip, left);
		binding->vm->ops->map(binding, addr, sg_dma_address(sg) + skip,
				      len);
		skip = 0;
		addr += len;
		left -= len;
		if (!left)
			break;
	}
	binding->entries = DRM_USERPTR_ENTRIES_VALID;

	return true;
}
