// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Submission: populate what is stale, then commit.
 *
 *   commit                                  invalidate_start
 *   ------                                  ----------------
 *   down_read(notifier_lock)
 *     map valid windows, list empties
 *     list empty? arm, fence into ledger
 *   up_read
 *                                           windows dying
 *                                           down_write(notifier_lock)
 *                                             binding onto the list
 *                                             snapshot the ledger
 *                                           up_write
 *
 * The two sections exclude each other. A job committed before the snapshot is
 * in it and will be waited for; one that comes after finds the list not empty
 * and goes round again.
 */

#include <linux/bitmap.h>
#include <linux/dma-fence.h>
#include <linux/export.h>
#include <linux/sched/signal.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/*
 * A submission may lose so many steps to invalidations before it gives up: a
 * fixed number for small ones, and some for each window for large ones, whose
 * populate takes longer and so is hit more often. Whatever it finds valid it
 * keeps, so only somebody who shoots at the same windows over and over runs
 * into this.
 */
#define DRM_USERPTR_RETRY_BASE		256
#define DRM_USERPTR_RETRY_PER_WINDOW	16

/**
 * drm_userptr_submit_init() - begin a submission
 * @submit: on the caller's stack
 * @vm: the VM
 *
 * Context: the VM's outer lock held from here until the commit's end, or until
 * the submission is given up.
 */
void drm_userptr_submit_init(struct drm_userptr_submit *submit,
			     struct drm_userptr_vm *vm)
{
	drm_userptr_vm_assert_locked(vm);

	*submit = (struct drm_userptr_submit) {
		.vm = vm,
		.budget = DRM_USERPTR_RETRY_BASE,
	};
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_init);

/* May the submission go on? Asked between steps of at most one window. */
static int drm_userptr_submit_check(struct drm_userptr_submit *submit)
{
	if (signal_pending(current))
		return -ERESTARTSYS;
	if (submit->lost > submit->budget)
		return -EAGAIN;
	cond_resched();

	return 0;
}

static int drm_userptr_populate_binding(struct drm_userptr_submit *submit,
					struct drm_userptr_binding *binding)
{
	unsigned long nr = drm_userptr_binding_windows(binding);
	unsigned long first = drm_userptr_binding_first(binding);
	struct drm_userptr_vm *vm = submit->vm;
	unsigned long bit;
	int err;

	submit->budget = max(submit->budget,
			     DRM_USERPTR_RETRY_BASE +
			     (u64)nr * DRM_USERPTR_RETRY_PER_WINDOW);

	/*
	 * An advisory look at the bits, which may be cleared while we walk: the
	 * commit looks again. Bits are only set under the outer lock.
	 */
	for_each_clear_bit(bit, binding->mapped, nr) {
		while (!drm_userptr_window_valid(binding->userptr, first + bit)) {
			err = drm_userptr_submit_check(submit);
			if (err)
				return err;

			err = drm_userptr_populate(binding->userptr, first + bit,
						   &binding->fault_addr);
			if (err < 0)
				return err;
			if (err == DRM_USERPTR_COLLISION)
				submit->lost++;
			else
				atomic64_inc(&vm->stats.windows);
		}
	}

	return 0;
}

/**
 * drm_userptr_submit_populate() - collect the pages of what is stale
 * @submit: the submission
 *
 * The first step in the body of drm_userptr_until_valid(). Looks at
 * &drm_userptr_vm.invalidated only; nothing to do if that is empty. Bindings
 * whose memory is gone, or may not be written, move to &drm_userptr_vm.dead with
 * &drm_userptr_binding.error set; whether the job needs one of them is for the
 * driver to say.
 *
 * Context: process context, the VM's outer lock held, no dma_resv, no mmap
 * lock. Faults in user memory.
 *
 * Return: 0; -EAGAIN if the budget is used up, -ERESTARTSYS or -EINTR if a
 * signal came first, -ENOMEM. On an error everything is left to be looked at
 * again.
 */
int drm_userptr_submit_populate(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_binding *binding;
	LIST_HEAD(todo);
	int err;

	drm_userptr_vm_assert_locked(vm);

	submit->tries++;

	err = drm_userptr_submit_check(submit);
	if (err)
		return err;

	err = drm_userptr_vm_ledger_reserve(vm);
	if (err)
		return err;

	/*
	 * Each binding goes back onto the list before it is looked at, so that
	 * whatever happens the commit finds it there. An invalidation may move
	 * one from the private list, too; then it waits for the next pass.
	 */
	down_read(&vm->notifier_lock);
	list_splice_init(&vm->invalidated, &todo);
	while (!list_empty(&todo)) {
		binding = list_first_entry(&todo, typeof(*binding), vm_link);
		list_move_tail(&binding->vm_link, &vm->invalidated);
		up_read(&vm->notifier_lock);

		err = drm_userptr_populate_binding(submit, binding);

		down_read(&vm->notifier_lock);
		binding->error = 0;
		if (err == -EFAULT || err == -EPERM) {
			binding->error = err;
			list_move_tail(&binding->vm_link, &vm->dead);
			err = 0;
		}
		if (err)
			break;
	}
	list_splice_tail(&todo, &vm->invalidated);
	up_read(&vm->notifier_lock);

	return err;
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_populate);

static void drm_userptr_map_window(struct drm_userptr_binding *binding,
				   struct drm_userptr_window *window,
				   unsigned long index)
{
	const u64 *runs = drm_userptr_window_runs(window);
	const struct drm_userptr_vm_ops *ops = binding->vm->ops;
	unsigned long cpu = drm_userptr_window_start(binding->userptr, index);
	u32 i;

	/* The binding may be only a part of the window. */
	for (i = 0; i < window->nr_runs; i++) {
		u64 size = drm_userptr_run_size(runs[i]);
		unsigned long start = max(cpu, binding->start);
		unsigned long end = min(cpu + size, binding->end);

		if (start < end)
			ops->map(binding, binding->addr + (start - binding->start),
				 drm_userptr_run_addr(runs[i]) + (start - cpu),
				 end - start);
		cpu += size;
	}
}

/* Write the PTEs of freshly valid windows. False if a window is not valid. */
static bool drm_userptr_map_binding(struct drm_userptr_binding *binding)
{
	unsigned long nr = drm_userptr_binding_windows(binding);
	unsigned long first = drm_userptr_binding_first(binding);
	unsigned long bit;

	drm_userptr_vm_assert_commit(binding->vm);

	for_each_clear_bit(bit, binding->mapped, nr) {
		struct drm_userptr_window *window;

		window = drm_userptr_window_valid(binding->userptr, first + bit);
		if (!window)
			return false;

		drm_userptr_map_window(binding, window, first + bit);
		__set_bit(bit, binding->mapped);
	}

	return true;
}

/**
 * drm_userptr_commit_begin() - enter the section in which a job is published
 * @submit: the submission
 *
 * Writes the device page table entries of freshly populated windows. If nothing
 * was invalidated since the last commit the cost does not depend on how much is
 * bound. On success arm the job, record its fence with
 * drm_userptr_commit_fence(), publish it, and call drm_userptr_commit_end().
 *
 * Context: process context, the VM's outer lock and all dma_resv of the job
 * held. On success &drm_userptr_vm.notifier_lock is held for read: nothing may
 * be allocated and no fence waited for until drm_userptr_commit_end().
 *
 * Return: 0; -EAGAIN if something is not valid: undo, and go round again.
 */
int drm_userptr_commit_begin(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_binding *binding, *next;

	drm_userptr_vm_assert_locked(vm);

	down_read(&vm->notifier_lock);
	list_for_each_entry_safe(binding, next, &vm->invalidated, vm_link) {
		if (!drm_userptr_map_binding(binding)) {
			up_read(&vm->notifier_lock);
			submit->lost++;
			atomic64_inc(&vm->stats.retries);
			trace_drm_userptr_commit(vm, submit->tries, -EAGAIN);
			return -EAGAIN;
		}
		list_del_init(&binding->vm_link);
	}

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_commit_begin);

/**
 * drm_userptr_commit_fence() - record the fence of the job
 * @submit: the submission
 * @fence: signals when the job can no longer reach memory
 *
 * Invalidations from now on wait for @fence. It must signal without anything
 * that user space controls, and fences of its context must signal in order.
 * Call this once, before the job is published.
 *
 * Context: between drm_userptr_commit_begin() and drm_userptr_commit_end().
 */
void drm_userptr_commit_fence(struct drm_userptr_submit *submit,
			      struct dma_fence *fence)
{
	drm_userptr_vm_ledger_add(submit->vm, fence);
}
EXPORT_SYMBOL_GPL(drm_userptr_commit_fence);

/**
 * drm_userptr_commit_end() - leave the section, with the job published
 * @submit: the submission
 *
 * Ends the loop of drm_userptr_until_valid().
 *
 * Context: after a drm_userptr_commit_begin() that returned 0.
 */
void drm_userptr_commit_end(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;

	drm_userptr_vm_assert_commit(vm);

	submit->committed = true;
	atomic64_inc(&vm->stats.submits);
	trace_drm_userptr_commit(vm, submit->tries, 0);
	up_read(&vm->notifier_lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_commit_end);

/**
 * drm_userptr_probe() - can the range be populated now?
 * @userptr: the userptr
 * @fault_addr: returned CPU address that an -EFAULT or -EPERM is about
 *
 * Populates the whole range. Says nothing about later.
 *
 * Context: process context, no locks held. Faults in user memory.
 *
 * Return: 0; -EFAULT or -EPERM, see &drm_userptr_binding.error; -EAGAIN if
 * invalidated too often, -ERESTARTSYS or -EINTR if a signal came first,
 * -ENOMEM.
 */
int drm_userptr_probe(struct drm_userptr *userptr, unsigned long *fault_addr)
{
	unsigned long index = drm_userptr_window_index(userptr->start);
	unsigned long last = drm_userptr_window_index(userptr->end - 1);
	struct drm_userptr_submit submit = {
		.budget = DRM_USERPTR_RETRY_BASE +
			  (u64)(last - index + 1) * DRM_USERPTR_RETRY_PER_WINDOW,
	};
	int err;

	while (index <= last) {
		err = drm_userptr_submit_check(&submit);
		if (err)
			return err;

		err = drm_userptr_populate(userptr, index, fault_addr);
		if (err < 0)
			return err;
		if (err == DRM_USERPTR_COLLISION)
			submit.lost++;
		else
			index++;
	}

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_probe);
