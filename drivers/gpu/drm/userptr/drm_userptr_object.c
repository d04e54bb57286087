// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/**
 * DOC: Overview
 *
 * The userptr helpers let a device work on a process's own memory without
 * copying and without pinning it. A &struct drm_userptr is a CPU address range
 * of one mm; a &struct drm_userptr_vm is a device address space; a
 * &struct drm_userptr_binding is a userptr, or a part of it, in a VM. Drivers
 * embed the three in their GEM object, VM and GPU mapping, and give the VM a
 * &struct drm_userptr_vm_ops that writes and clears device page table entries
 * and flushes the TLB.
 *
 * A userptr is divided into windows of up to %DRM_USERPTR_WINDOW_SIZE, the unit
 * of validity. Submitting *populates* windows that are stale, that is, collects
 * their pages with HMM and maps them for DMA; then *commits*: under the VM's
 * notifier lock everything is seen to be valid, the job is armed, and its fence
 * is recorded in the VM's ledger. When the mm takes pages away the MMU interval
 * notifier *invalidates*: it marks the windows dying, waits for the jobs in the
 * ledger, clears the device's page table, flushes its TLB, unmaps for DMA, and
 * only then lets the mm go on.
 */

/**
 * DOC: Locking
 *
 * From the outside in::
 *
 *   outer lock of the VM (the driver's)
 *     drm_userptr.populate_lock
 *       mmap_lock
 *     dma_resv (ww)
 *       fs_reclaim
 *         mmu notifier
 *           drm_userptr.lock
 *             drm_userptr_vm.notifier_lock
 *               drm_userptr_queue.lock
 *
 * The callback waits for fences under none of the last three. What is taken in
 * it, or under that, must not be held while memory is allocated or a fence
 * waited for. The callback takes one notifier lock after the other, never two at
 * once; so does a commit, which takes exactly one.
 */

/**
 * DOC: Example
 *
 * A submission, with the VM's outer lock held::
 *
 *   drm_userptr_submit_init(&submit, &vm->userptr);
 *   drm_userptr_until_valid(&submit) {
 *           err = drm_userptr_submit_populate(&submit);
 *           if (err)
 *                   break;
 *           err = drm_gpuvm_exec_lock(&vm_exec);
 *           if (err)
 *                   break;
 *           err = drm_userptr_commit_begin(&submit);
 *           if (err) {
 *                   drm_gpuvm_exec_unlock(&vm_exec);
 *                   continue;
 *           }
 *           drm_sched_job_arm(job);
 *           drm_userptr_commit_fence(&submit, &job->s_fence->finished);
 *           drm_gpuvm_exec_resv_add_fence(&vm_exec, &job->s_fence->finished,
 *                                         DMA_RESV_USAGE_BOOKKEEP,
 *                                         DMA_RESV_USAGE_BOOKKEEP);
 *           drm_sched_entity_push_job(job);
 *           drm_userptr_commit_end(&submit);
 *           drm_gpuvm_exec_unlock(&vm_exec);
 *   }
 *   drm_userptr_submit_fini(&submit);
 */

/* For userptrs and VMs, in one sequence: what people see instead of pointers. */
u64 drm_userptr_new_id(void)
{
	static atomic64_t last_id;

	return atomic64_inc_return(&last_id);
}

static void drm_userptr_free(struct drm_userptr *userptr)
{
	drm_userptr_windows_free(userptr);
	drm_userptr_client_uncharge(userptr);
	mmdrop(userptr->mm);
	mutex_destroy(&userptr->lock);
	mutex_destroy(&userptr->populate_lock);
}

/**
 * drm_userptr_init() - make a userptr of a range of the caller's memory
 * @userptr: zeroed memory, not on the stack
 * @dev: a device that will reach the pages; it may be bound on others, too
 * @addr: first CPU address, a multiple of the page size
 * @size: length in bytes, a multiple of the page size, not zero
 * @flags: DRM_USERPTR_*
 *
 * Registers for invalidations of current->mm; looks at no page. The range need
 * not be mapped yet, see drm_userptr_probe(). With %DRM_USERPTR_PIN it must be.
 *
 * Context: process context with current->mm set, no locks held. May take the
 * mmap lock for write.
 *
 * Return: 0; -EINVAL for a bad range or flag, -EOPNOTSUPP if @dev cannot do
 * coherent DMA, -ENOMEM, also if &drm_userptr.client has as many as it may, or
 * -EINTR if a fatal signal came first. With %DRM_USERPTR_PIN also -EPERM if the
 * caller may lock no memory, -ENOMEM if it may not lock so much (as with
 * mlock()), -EFAULT if the range is not mapped, may not be written or cannot be
 * pinned, -ERESTARTSYS if a signal came first.
 */
int drm_userptr_init(struct drm_userptr *userptr, struct device *dev,
		     u64 addr, u64 size, u32 flags)
{
	u64 end;
	int err;

	if (flags & ~(DRM_USERPTR_READ_ONLY | DRM_USERPTR_PIN))
		return -EINVAL;
	if (!size || !PAGE_ALIGNED(addr) || !PAGE_ALIGNED(size) ||
	    check_add_overflow(addr, size, &end) || end > TASK_SIZE)
		return -EINVAL;
	if (!current->mm)
		return -EINVAL;
	if (!drm_userptr_dma_coherent(dev))
		return -EOPNOTSUPP;

	userptr->start = addr;
	userptr->end = end;
	userptr->flags = flags;
	err = drm_userptr_client_charge(userptr);
	if (err)
		return err;

	userptr->id = drm_userptr_new_id();
	mutex_init(&userptr->populate_lock);
	drm_userptr_wait_init(userptr);
	drm_userptr_detach_init(userptr);
	mutex_init(&userptr->lock);
	xa_init_flags(&userptr->leaves, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&userptr->dmas);
	INIT_LIST_HEAD(&userptr->bindings);
	INIT_LIST_HEAD(&userptr->invals);
	init_waitqueue_head(&userptr->inval_wq);

	/* Reclaim calls back: nothing may be allocated under this lock. */
	if (IS_ENABLED(CONFIG_LOCKDEP)) {
		fs_reclaim_acquire(GFP_KERNEL);
		might_lock(&userptr->lock);
		fs_reclaim_release(GFP_KERNEL);
	}

	mmgrab(current->mm);
	userptr->mm = current->mm;

	/* Callbacks can come from here on: everything above is set up. */
	err = drm_userptr_should_fail() ? -ENOMEM :
	      mmu_interval_notifier_insert(&userptr->notifier, current->mm,
					   addr, size,
					   drm_userptr_pinned(userptr) ?
					   &drm_userptr_detach_ops :
					   &drm_userptr_notifier_ops);
	if (!err && drm_userptr_pinned(userptr)) {
		err = drm_userptr_pin(userptr);
		if (err) {
			mmu_interval_notifier_remove(&userptr->notifier);
			drm_userptr_detach_fini(userptr);
		}
	}
	if (err) {
		drm_userptr_free(userptr);
		return err;
	}

	trace_drm_userptr_create(userptr);
	drm_userptr_client_add(userptr);

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_init);

/**
 * drm_userptr_fini() - let go of a userptr's memory
 * @userptr: a userptr for which drm_userptr_init() succeeded
 *
 * Nothing may be bound any more, nor a populate be running.
 *
 * Context: sleeps until every invalidation under way in the mm is over, those
 * of other drivers included. Call it from a worker, or from an ioctl that holds
 * no locks; never from an object's free path under a lock, from a fence
 * callback or from the scheduler.
 */
void drm_userptr_fini(struct drm_userptr *userptr)
{
	struct drm_userptr_window *window;
	unsigned long index;

	WARN(!list_empty(&userptr->bindings) || !list_empty(&userptr->dmas),
	     "userptr is still bound\n");
	drm_userptr_client_del(userptr);
	trace_drm_userptr_destroy(userptr);

	if (drm_userptr_pinned(userptr)) {
		mmu_interval_notifier_remove(&userptr->notifier);
		drm_userptr_detach_fini(userptr);
		drm_userptr_unpin(userptr);
		drm_userptr_free(userptr);
		return;
	}

	/*
	 * A dying window is let go of by its own invalidation, which the
	 * removal waits for.
	 */
	mutex_lock(&userptr->lock);
	drm_userptr_for_each_window(window, userptr, index, userptr->start,
				    userptr->end)
		if (window->state == DRM_USERPTR_VALID)
			drm_userptr_window_release(userptr, window, index);
	mutex_unlock(&userptr->lock);

	/* A populate that was interrupted may have left somebody waiting. */
	drm_userptr_wait_fini(userptr);
	mmu_interval_notifier_remove(&userptr->notifier);
	drm_userptr_free(userptr);
}
EXPORT_SYMBOL_GPL(drm_userptr_fini);

static int __init drm_userptr_module_init(void)
{
	int err;

	err = drm_userptr_zero_page_init();
	if (err)
		return err;

	err = drm_userptr_inval_pool_init();
	if (err)
		goto err_zero_page;

	err = drm_userptr_wait_wq_init();
	if (err)
		goto err_inval_pool;

	err = drm_userptr_preempt_wq_init();
	if (err)
		goto err_wait_wq;

	err = drm_userptr_import_wq_init();
	if (err)
		goto err_preempt_wq;

	err = drm_userptr_detach_wq_init();
	if (err)
		goto err_import_wq;

	drm_userptr_inject_init();

	return 0;

err_import_wq:
	drm_userptr_import_wq_fini();
err_preempt_wq:
	drm_userptr_preempt_wq_fini();
err_wait_wq:
	drm_userptr_wait_wq_fini();
err_inval_pool:
	drm_userptr_inval_pool_fini();
err_zero_page:
	drm_userptr_zero_page_fini();
	return err;
}
module_init(drm_userptr_module_init);

static void __exit drm_userptr_module_exit(void)
{
	drm_userptr_inject_fini();
	drm_userptr_detach_wq_fini();
	drm_userptr_import_wq_fini();
	drm_userptr_preempt_wq_fini();
	drm_userptr_wait_wq_fini();
	drm_userptr_inval_pool_fini();
	drm_userptr_zero_page_fini();
}
module_exit(drm_userptr_module_exit);

MODULE_DESCRIPTION("DRM userptr helpers");
MODULE_LICENSE("Dual MIT/GPL");
