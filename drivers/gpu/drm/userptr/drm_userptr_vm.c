// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * VMs and bindings: which userptrs a device address space holds, and which of
 * them a submission has to look at.
 */

#include <linux/bitmap.h>
#include <linux/export.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "drm_userptr_internal.h"

/**
 * drm_userptr_vm_init() - make the userptr part of a device address space
 * @vm: zeroed memory
 * @dev: the device
 * @ops: what to do to it
 * @flags: DRM_USERPTR_VM_*
 *
 * The VM belongs to current->mm. Name the outer lock with
 * drm_userptr_vm_set_lock() next.
 *
 * Context: process context with current->mm set.
 *
 * Return: 0; -EINVAL if an op is missing, for a bad flag, or if there is no mm,
 * -ENOMEM.
 */
int drm_userptr_vm_init(struct drm_userptr_vm *vm, struct device *dev,
			const struct drm_userptr_vm_ops *ops, u32 flags)
{
	int err;

	if (flags & ~(DRM_USERPTR_VM_HOLES | DRM_USERPTR_VM_EXPLICIT))
		return -EINVAL;
	if (!ops->map || !ops->zap || !ops->tlb_submit || !ops->tlb_wait ||
	    !current->mm)
		return -EINVAL;

	err = drm_userptr_fences_init(&vm->fences);
	if (err)
		return err;

	vm->ops = ops;
	vm->dev = dev;
	vm->id = drm_userptr_new_id();
	vm->flags = flags;
	init_rwsem(&vm->notifier_lock);
	init_waitqueue_head(&vm->void_wq);
	INIT_LIST_HEAD(&vm->bindings);
	INIT_LIST_HEAD(&vm->invalidated);
	INIT_LIST_HEAD(&vm->dead);

	/* Taken in the notifier callback: nothing may be allocated under it. */
	if (IS_ENABLED(CONFIG_LOCKDEP)) {
		fs_reclaim_acquire(GFP_KERNEL);
		might_lock(&vm->notifier_lock);
		fs_reclaim_release(GFP_KERNEL);
	}

	/* The struct, not the memory: the VM does not keep a dead process's. */
	mmgrab(current->mm);
	vm->mm = current->mm;
	drm_userptr_client_add_vm(vm);

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_vm_init);

/**
 * drm_userptr_vm_fini() - end a VM
 * @vm: a VM without bindings whose jobs are all done
 *
 * Context: process context.
 */
void drm_userptr_vm_fini(struct drm_userptr_vm *vm)
{
	WARN(!list_empty(&vm->bindings), "userptr VM still has bindings\n");

	drm_userptr_client_del_vm(vm);
	drm_userptr_fences_fini(&vm->fences);
	mmdrop(vm->mm);
}
EXPORT_SYMBOL_GPL(drm_userptr_vm_fini);

/**
 * drm_userptr_vm_wait_idle() - wait for the jobs committed so far
 * @vm: the VM
 *
 * For drivers that change mappings which running jobs may use. Long-running
 * queues are suspended; their worker resumes them when it gets the outer lock.
 *
 * Context: process context, the VM's outer lock held, no dma_resv.
 *
 * Return: 0, or -ERESTARTSYS if a signal came first.
 */
int drm_userptr_vm_wait_idle(struct drm_userptr_vm *vm)
{
	drm_userptr_vm_assert_locked(vm);

	/* Nobody commits under the outer lock, so the ledger stays as it is. */
	drm_userptr_ledger_enable_signaling(vm->fences.ledger);
	return drm_userptr_ledger_wait(vm->fences.ledger, true);
}
EXPORT_SYMBOL_GPL(drm_userptr_vm_wait_idle);

/* What &drm_userptr_binding.mapped takes */
static long drm_userptr_binding_bytes(const struct drm_userptr_binding *binding)
{
	return BITS_TO_LONGS(drm_userptr_binding_windows(binding)) *
	       sizeof(long);
}

/**
 * drm_userptr_binding_init() - prepare a userptr, or a part of it, for binding
 * @binding: zeroed memory, embedded in the driver's mapping
 * @vm: where
 * @userptr: what
 * @start: first CPU address, within @userptr, a multiple of the page size
 * @size: length in bytes, a multiple of the page size
 * @addr: device address of @start
 *
 * Changes nothing in the VM. Undone by drm_userptr_binding_fini(). One userptr
 * may be bound in several VMs and on several devices, and more than once in
 * each: its pages are collected once, and DMA-mapped once for each device.
 *
 * Context: process context.
 *
 * Return: 0; -EINVAL if the range is not within @userptr, -EOPNOTSUPP if the
 * VM's device cannot do coherent DMA, -ENOMEM.
 */
int drm_userptr_binding_init(struct drm_userptr_binding *binding,
			     struct drm_userptr_vm *vm,
			     struct drm_userptr *userptr,
			     unsigned long start, unsigned long size, u64 addr)
{
	int err;

	if (!size || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(size) ||
	    start < userptr->start || start >= userptr->end ||
	    size > userptr->end - start)
		return -EINVAL;

	binding->userptr = userptr;
	binding->vm = vm;
	binding->start = start;
	binding->end = start + size;
	binding->addr = addr;
	binding->remove_seq = U64_MAX;
	INIT_LIST_HEAD(&binding->vm_link);
	INIT_LIST_HEAD(&binding->submit_link);

	binding->mapped =
		drm_userptr_alloc(kvzalloc(drm_userptr_binding_bytes(binding),
					   GFP_KERNEL_ACCOUNT));
	if (!binding->mapped)
		return -ENOMEM;

	if (vm->flags & DRM_USERPTR_VM_EXPLICIT) {
		err = drm_userptr_fences_init(&binding->fences);
		if (err)
			goto err_free;
	}

	binding->dma = drm_userptr_dma_get(userptr, vm->dev);
	if (IS_ERR(binding->dma)) {
		err = PTR_ERR(binding->dma);
		goto err_fences;
	}

	drm_userptr_account_metadata(userptr,
				     drm_userptr_binding_bytes(binding));

	return 0;

err_fences:
	if (vm->flags & DRM_USERPTR_VM_EXPLICIT)
		drm_userptr_fences_fini(&binding->fences);
err_free:
	kvfree(binding->mapped);
	return err;
}
EXPORT_SYMBOL_GPL(drm_userptr_binding_init);

/**
 * drm_userptr_binding_fini() - undo drm_userptr_binding_init() or _init_import()
 * @binding: a binding that was never bound, or is unbound
 *
 * Context: process context.
 */
void drm_userptr_binding_fini(struct drm_userptr_binding *binding)
{
	WARN(!list_empty(&binding->vm_link), "userptr is still bound\n");
	if (binding->vm->flags & DRM_USERPTR_VM_EXPLICIT)
		drm_userptr_fences_fini(&binding->fences);
	if (binding->import)
		return;

	drm_userptr_dma_put(binding->userptr, binding->dma);
	kvfree(binding->mapped);
	drm_userptr_account_metadata(binding->userptr,
				     -drm_userptr_binding_bytes(binding));
}
EXPORT_SYMBOL_GPL(drm_userptr_binding_fini);

/**
 * drm_userptr_bind() - put a binding into its VM
 * @binding: a binding that was prepared with drm_userptr_binding_init() or
 *           drm_userptr_binding_init_import()
 *
 * Cannot fail, so that a driver can prepare all parts of a change and then make
 * it. No page is looked at; the next submission populates and maps the binding.
 * Device page tables for the range must exist before that.
 *
 * Context: process context, the VM's outer lock held, no dma_resv.
 */
void drm_userptr_bind(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_vm *vm = binding->vm;

	drm_userptr_vm_assert_locked(vm);

	list_add_tail(&binding->bound_link, &vm->bindings);
	if (binding->import) {
		drm_userptr_import_bind(binding);
		return;
	}

	mutex_lock(&userptr->lock);
	/* Invalidations that are under way know nothing of it. */
	binding->insert_seq = userptr->inval_seq;
	list_add_tail(&binding->link, &userptr->bindings);
	down_write(&vm->notifier_lock);
	list_add_tail(&binding->vm_link, &vm->invalidated);
	up_write(&vm->notifier_lock);
	mutex_unlock(&userptr->lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_bind);

/*
 * Only what a commit wrote: a range may be huge and hardly used. Windows that
 * are dying are not in the bits: an invalidation zaps them, or
 * drm_userptr_inval_zap().
 */
static void drm_userptr_binding_zap_mapped(struct drm_userptr_binding *binding)
{
	unsigned long first = drm_userptr_binding_first(binding);
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_vm *vm = binding->vm;
	unsigned long bit;

	lockdep_assert_held(&userptr->lock);

	for_each_set_bit(bit, binding->mapped,
			 drm_userptr_binding_windows(binding)) {
		unsigned long start, end;

		start = max(binding->start,
			    drm_userptr_window_start(userptr, first + bit));
		end = min(binding->end,
			  drm_userptr_window_end(userptr, first + bit));
		vm->ops->zap(binding, binding->addr + (start - binding->start),
			     end - start);
		cond_resched();
	}
}

/**
 * drm_userptr_unbind() - take a binding out of its VM
 * @binding: the binding
 *
 * Clears its device page table entries and flushes the TLB. Call
 * drm_userptr_binding_fini() next.
 *
 * Context: process context, the VM's outer lock held, no dma_resv; no job that
 * may use the binding is running, see drm_userptr_vm_wait_idle(). Does not wait
 * for invalidations, which may have other VMs' jobs to wait for, with the one
 * exception of a userptr that more than %DRM_USERPTR_INVAL_JOBS VMs use.
 */
void drm_userptr_unbind(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_vm *vm = binding->vm;
	u64 seqno;

	drm_userptr_vm_assert_locked(vm);

	list_del(&binding->bound_link);
	if (binding->import) {
		drm_userptr_import_unbind(binding);
		return;
	}

	mutex_lock(&userptr->lock);
	down_write(&vm->notifier_lock);
	list_del_init(&binding->vm_link);
	up_write(&vm->notifier_lock);
	/* Invalidations from here on pass it by. */
	binding->remove_seq = userptr->inval_seq;
	drm_userptr_binding_zap_mapped(binding);
	drm_userptr_inval_zap(binding);
	seqno = vm->ops->tlb_submit(vm);
	mutex_unlock(&userptr->lock);

	vm->ops->tlb_wait(vm, seqno);

	mutex_lock(&userptr->lock);
	wait_event_cmd(userptr->inval_wq, !drm_userptr_inval_needs(binding),
		       mutex_unlock(&userptr->lock),
		       mutex_lock(&userptr->lock));
	drm_userptr_inval_leave(binding);
	mutex_unlock(&userptr->lock);

	if (READ_ONCE(userptr->detached))
		drm_userptr_detach_continue(userptr);
}
EXPORT_SYMBOL_GPL(drm_userptr_unbind);

/**
 * drm_userptr_binding_revive() - look at a dead binding once more
 * @binding: the binding
 *
 * A binding whose memory was gone does not make every submission look for it
 * again. A driver calls this for what a job needs: there may be a new mapping
 * at the old address. No effect on a binding that is not dead.
 *
 * Context: process context, the VM's outer lock held.
 */
void drm_userptr_binding_revive(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;

	drm_userptr_vm_assert_locked(vm);

	if (!binding->error)
		return;

	binding->error = 0;
	down_read(&vm->notifier_lock);
	list_move_tail(&binding->vm_link, &vm->invalidated);
	up_read(&vm->notifier_lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_binding_revive);

/* Returns the number of the TLB flush to wait for. */
static u64 drm_userptr_binding_forget(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_vm *vm = binding->vm;

	drm_userptr_vm_assert_locked(vm);

	/* If it is dead, that is to be found out anew. */
	binding->error = 0;

	if (binding->import) {
		drm_userptr_import_forget(binding);
		return vm->ops->tlb_submit(vm);
	}

	guard(mutex)(&userptr->lock);

	/* Before the bits go: what is dying is zapped by its invalidation. */
	drm_userptr_binding_zap_mapped(binding);
	down_write(&vm->notifier_lock);
	bitmap_zero(binding->mapped, drm_userptr_binding_windows(binding));
	list_move_tail(&binding->vm_link, &vm->invalidated);
	up_write(&vm->notifier_lock);

	return vm->ops->tlb_submit(vm);
}

/**
 * drm_userptr_binding_invalidate() - what the device knows of a binding is void
 * @binding: a binding that is bound
 *
 * Clears its device page table entries, flushes the TLB, and has the next
 * submission write them anew. The pages stay as they are, so that costs no
 * fault and no DMA mapping unless the mm took some meanwhile. See
 * drm_userptr_vm_invalidate().
 *
 * Context: as for drm_userptr_vm_invalidate().
 */
void drm_userptr_binding_invalidate(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;

	vm->ops->tlb_wait(vm, drm_userptr_binding_forget(binding));
}
EXPORT_SYMBOL_GPL(drm_userptr_binding_invalidate);

/**
 * drm_userptr_vm_invalidate() - what the device knows of a VM is void
 * @vm: the VM
 *
 * After a reset, or when a context was lost: as if everything bound had never
 * been written to the page table. The next submission looks at all of it and
 * writes it anew, with the driver's usual loop; nothing needs to be known about
 * what was valid. Invalidations by the mm may come before, meanwhile and after.
 *
 * Context: process context, the VM's outer lock held. A dma_resv may be held,
 * too, but nothing that the notifier callback takes. No job that may use the VM
 * is running: it was waited for, or the reset ended it and its fence has
 * signalled; long-running queues are suspended. Does not wait for invalidations.
 */
void drm_userptr_vm_invalidate(struct drm_userptr_vm *vm)
{
	struct drm_userptr_binding *binding;
	u64 seqno;

	drm_userptr_vm_assert_locked(vm);

	WARN(!drm_userptr_ledger_signaled(vm->fences.ledger),
	     "userptr VM still has jobs\n");

	if (list_empty(&vm->bindings))
		return;

	/* Flushes are numbered in order: the last one is the one to wait for. */
	list_for_each_entry(binding, &vm->bindings, bound_link)
		seqno = drm_userptr_binding_forget(binding);
	vm->ops->tlb_wait(vm, seqno);
}
EXPORT_SYMBOL_GPL(drm_userptr_vm_invalidate);
