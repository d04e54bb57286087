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
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/*
 * A submission may lose so many steps to invalidations before it gives up: a
 * fixed number for small ones, and some for each window for large ones, whose
 * populate takes longer and so is hit more often. Whatever it finds valid it
 * keeps, so only somebody who shoots at the same windows over and over runs
 * into this.
 *
 * A step that is lost to what its own faults did (broke copy-on-write, migrated
 * a page) has moved at least one page on, so it counts as one page; others
 * count as a window.
 */
#define DRM_USERPTR_RETRY_BASE		256
#define DRM_USERPTR_RETRY_PER_WINDOW	16

/*
 * A submission that has lost so many windows holds on to pages, see
 * drm_userptr_hold.c. Few do, and those need it soon.
 */
#define DRM_USERPTR_HOLD_AFTER		8

static u64 drm_userptr_budget(unsigned long windows)
{
	return (DRM_USERPTR_RETRY_BASE +
		(u64)windows * DRM_USERPTR_RETRY_PER_WINDOW) *
	       DRM_USERPTR_WINDOW_PAGES;
}

/**
 * drm_userptr_submit_init() - begin a submission
 * @submit: on the caller's stack
 * @vm: the VM
 *
 * To be ended with drm_userptr_submit_fini(), whatever becomes of it.
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
		.budget = drm_userptr_budget(0),
		.holds = RB_ROOT,
		.fault_refused = ULONG_MAX,
		.serial = ++vm->submit_serial,
	};
	INIT_LIST_HEAD(&submit->bindings);
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_init);

/**
 * drm_userptr_submit_add() - name a binding that the job uses
 * @submit: a submission to a VM made with %DRM_USERPTR_VM_EXPLICIT
 * @binding: bound in that VM; naming it twice is the same as once
 *
 * Call it for each, before the loop.
 *
 * Context: the VM's outer lock held.
 */
void drm_userptr_submit_add(struct drm_userptr_submit *submit,
			    struct drm_userptr_binding *binding)
{
	drm_userptr_vm_assert_locked(submit->vm);

	if (list_empty(&binding->submit_link))
		list_add_tail(&binding->submit_link, &submit->bindings);
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_add);

/**
 * drm_userptr_submit_fini() - end a submission
 * @submit: the submission, committed or given up
 *
 * Forgets the bindings that were named and lets go of pages that were held.
 *
 * Context: process context, the VM's outer lock held, no dma_resv.
 */
void drm_userptr_submit_fini(struct drm_userptr_submit *submit)
{
	struct drm_userptr_binding *binding, *next;

	drm_userptr_vm_assert_locked(submit->vm);

	list_for_each_entry_safe(binding, next, &submit->bindings, submit_link)
		list_del_init(&binding->submit_link);
	drm_userptr_hold_release(submit);
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_fini);

/* May the submission go on? Asked between steps of at most one window. */
int drm_userptr_submit_check(struct drm_userptr_submit *submit)
{
	if (signal_pending(current))
		return -ERESTARTSYS;
	if (submit->wanted && !atomic_read(submit->wanted))
		return -ECANCELED;
	if (submit->lost > submit->budget)
		return -EAGAIN;
	cond_resched();

	return 0;
}

/* One step for one window. */
static int drm_userptr_submit_step(struct drm_userptr_submit *submit,
				   struct drm_userptr *userptr,
				   struct drm_userptr_dma *dma,
				   unsigned long index,
				   unsigned long *fault_addr)
{
	int err;

	err = drm_userptr_submit_check(submit);
	if (err)
		return err;

	if (submit->lost > DRM_USERPTR_HOLD_AFTER * DRM_USERPTR_WINDOW_PAGES)
		drm_userptr_hold_window(submit, userptr, index);

	err = drm_userptr_populate(userptr, dma, index, submit->fault_refused,
				   fault_addr);
	switch (err) {
	case DRM_USERPTR_COLLISION:
		submit->lost += DRM_USERPTR_WINDOW_PAGES;
		break;
	case DRM_USERPTR_PROGRESS:
		submit->lost++;
		break;
	case DRM_USERPTR_WAITING:
		/* A worker comes back, and does not keep the lock for that. */
		if (submit->wanted)
			return -EAGAIN;
		break;
	case DRM_USERPTR_HANDLER:
		submit->lost++;
		mmgrab(userptr->mm);
		submit->fault_mm = userptr->mm;
		submit->fault_start = *fault_addr;
		submit->fault_end = drm_userptr_window_end(userptr, index);
		submit->fault_write = drm_userptr_writable(userptr);
		return -EBUSY;
	}

	return err;
}

/* No memory at an address, or none that may be used. The first one counts. */
void drm_userptr_binding_lost(struct drm_userptr_binding *binding, int err,
			      unsigned long fault_addr)
{
	if (binding->error)
		return;

	binding->error = err;
	binding->fault_addr = fault_addr;
	binding->dead = true;
	trace_drm_userptr_dead(binding);
}

/* All of its memory is there. */
void drm_userptr_binding_found(struct drm_userptr_binding *binding)
{
	if (!binding->dead || binding->error)
		return;

	binding->dead = false;
	trace_drm_userptr_revive(binding);
}

/*
 * With holes allowed it does not end at the first: @binding->error says that
 * there are some, and @binding->fault_addr where the first is.
 */
static int drm_userptr_populate_binding(struct drm_userptr_submit *submit,
					struct drm_userptr_binding *binding)
{
	unsigned long nr = drm_userptr_binding_windows(binding);
	unsigned long first = drm_userptr_binding_first(binding);
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_vm *vm = submit->vm;
	unsigned long bit, fault_addr;
	int err;

	binding->error = 0;
	if (binding->import)
		return drm_userptr_import_settle(binding->import);
	if (userptr->mm != vm->mm)
		return drm_userptr_remote_populate(submit, binding);

	submit->budget = max(submit->budget, drm_userptr_budget(nr));

	/*
	 * An advisory look at the bits, which may be cleared while we walk: the
	 * commit looks again. Bits are only set under the outer lock.
	 */
	for_each_clear_bit(bit, binding->mapped, nr) {
		while (!drm_userptr_window_valid(userptr, first + bit) ||
		       !drm_userptr_dma_mapped(userptr, binding->dma, first + bit)) {
			err = drm_userptr_submit_step(submit, userptr,
						      binding->dma, first + bit,
						      &fault_addr);
			if (!err) {
				/* If it is lost again, the commit will say. */
				drm_userptr_vm_count(vm, windows);
				if (drm_userptr_should_fail())
					drm_userptr_inval_forced(userptr,
								 binding->start,
								 binding->end);
				break;
			}
			if (err > 0)
				continue;
			if (err != -EFAULT && err != -EPERM)
				return err;

			drm_userptr_binding_lost(binding, err, fault_addr);
			if (!(vm->flags & DRM_USERPTR_VM_HOLES))
				return 0;
			break;
		}
	}

	drm_userptr_binding_found(binding);

	return 0;
}

/*
 * Has the process changed its mappings since the dead bindings were last looked
 * at? Memory may be back, and nothing tells of that. Without per-VMA locks there
 * is no number to compare, then the answer is always yes.
 */
static bool drm_userptr_vm_dead_changed(struct drm_userptr_vm *vm)
{
	if (vm->dead_seq_valid &&
	    !mmap_lock_speculate_retry(vm->mm, vm->dead_seq))
		return false;

	/* Before they are looked at, so that no change is missed. */
	vm->dead_seq_valid = mmap_lock_speculate_try_begin(vm->mm,
							   &vm->dead_seq);

	return true;
}

/* Put what has no memory aside, unless holes are allowed. */
static void drm_userptr_sort_dead(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;

	lockdep_assert_held_read(&vm->notifier_lock);

	if (binding->error && !(vm->flags & DRM_USERPTR_VM_HOLES))
		list_move_tail(&binding->vm_link, &vm->dead);
}

/*
 * Each binding goes back onto the list before it is looked at, so that whatever
 * happens the commit finds it there. An invalidation may move one from the
 * private list, too; then it waits for the next pass.
 */
static int
drm_userptr_for_invalidated(struct drm_userptr_submit *submit,
			    int (*look)(struct drm_userptr_submit *submit,
					struct drm_userptr_binding *binding))
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_binding *binding;
	LIST_HEAD(todo);
	int err = 0;

	lockdep_assert_held_read(&vm->notifier_lock);

	list_splice_init(&vm->invalidated, &todo);
	while (!list_empty(&todo)) {
		binding = list_first_entry(&todo, typeof(*binding), vm_link);
		list_move_tail(&binding->vm_link, &vm->invalidated);
		up_read(&vm->notifier_lock);

		err = look(submit, binding);

		down_read(&vm->notifier_lock);
		if (err)
			break;
		drm_userptr_sort_dead(binding);
	}
	list_splice_tail(&todo, &vm->invalidated);

	return err;
}

static int drm_userptr_populate_all(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;

	guard(rwsem_read)(&vm->notifier_lock);

	if (drm_userptr_vm_dead_changed(vm))
		list_splice_tail_init(&vm->dead, &vm->invalidated);

	return drm_userptr_for_invalidated(submit, drm_userptr_populate_binding);
}

/* What the job names, dead or not: it wants it. */
static int drm_userptr_populate_named(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_binding *binding;
	int err;

	list_for_each_entry(binding, &submit->bindings, submit_link) {
		err = drm_userptr_fences_reserve(&binding->fences, 1);
		if (err)
			return err;

		down_read(&vm->notifier_lock);
		if (list_empty(&binding->vm_link)) {
			up_read(&vm->notifier_lock);
			continue;
		}
		list_move_tail(&binding->vm_link, &vm->invalidated);
		up_read(&vm->notifier_lock);

		err = drm_userptr_populate_binding(submit, binding);
		if (err)
			return err;

		down_read(&vm->notifier_lock);
		drm_userptr_sort_dead(binding);
		up_read(&vm->notifier_lock);

		if (binding->error && !(vm->flags & DRM_USERPTR_VM_HOLES))
			return binding->error;
	}

	return 0;
}

/*
 * Entries of imports that are void have to be gone first. Whose jobs are waited
 * for may be others', too.
 */
static int drm_userptr_submit_wait_void(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;

	/* A worker comes back, and does not keep the lock for that. */
	if (READ_ONCE(vm->nr_void) && submit->wanted)
		return -EAGAIN;

	return wait_event_interruptible(vm->void_wq, !READ_ONCE(vm->nr_void));
}

/**
 * drm_userptr_submit_populate() - collect the pages of what is stale
 * @submit: the submission
 *
 * The first step in the body of drm_userptr_until_valid(). Looks at
 * &drm_userptr_vm.invalidated, and at &drm_userptr_vm.dead if the process has
 * changed its mappings since the last time; nothing to do if both are empty.
 * With %DRM_USERPTR_VM_EXPLICIT it looks at what the job named. Bindings whose
 * memory is gone, or may not be written, get &drm_userptr_binding.error set.
 * Without %DRM_USERPTR_VM_HOLES they move to &drm_userptr_vm.dead; whether the
 * job needs one of them is for the driver to say.
 *
 * Context: process context, the VM's outer lock held, no dma_resv, no mmap
 * lock. Faults in user memory.
 *
 * Return: 0; -EBUSY if a fault handler in user space has to run first, or if it
 * is memory of another process, see drm_userptr_from_dma_buf(): drop the VM's
 * outer lock, call drm_userptr_submit_fault(), take the lock again and go
 * round, or with %DRM_USERPTR_VM_EXPLICIT begin anew, as bindings may be gone;
 * -EAGAIN if the budget is used up, -ERESTARTSYS or -EINTR if a signal came
 * first, -ECANCELED if this is for queues that are all killed, -ENOMEM; with
 * %DRM_USERPTR_VM_EXPLICIT also the &drm_userptr_binding.error of what the job
 * named. On an error everything is left to be looked at again.
 */
int drm_userptr_submit_populate(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;
	int err;

	drm_userptr_vm_assert_locked(vm);

	submit->tries++;

	err = drm_userptr_submit_check(submit);
	if (err)
		return err;

	err = drm_userptr_fences_reserve(&vm->fences, 1);
	if (err)
		return err;

	err = drm_userptr_submit_wait_void(submit);
	if (err)
		return err;

	return vm->flags & DRM_USERPTR_VM_EXPLICIT ?
	       drm_userptr_populate_named(submit) :
	       drm_userptr_populate_all(submit);
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_populate);

/**
 * drm_userptr_submit_fault() - wait for a fault handler or another process
 * @submit: a submission for which drm_userptr_submit_populate() returned -EBUSY
 *
 * Must be called then, whether the submission goes on or not.
 *
 * Context: process context, no locks held: the handler may need them.
 *
 * Return: 0, also if that did not help: then populate will say so; -ERESTARTSYS
 * if a signal came first, -ENOMEM, -EAGAIN if another process changes its memory
 * too often.
 */
int drm_userptr_submit_fault(struct drm_userptr_submit *submit)
{
	struct mm_struct *mm = submit->fault_mm;
	int err;

	if (submit->remote)
		return drm_userptr_remote_wait(submit);

	submit->fault_mm = NULL;
	err = drm_userptr_fault(mm, submit->fault_start, submit->fault_end,
				submit->fault_write);
	mmdrop(mm);

	if (err == -EFAULT) {
		submit->fault_refused = submit->fault_start;
		err = 0;
	}

	return err;
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_fault);

/* Ask the exporter where its memory is, if that is an import. */
static int drm_userptr_validate_binding(struct drm_userptr_submit *submit,
					struct drm_userptr_binding *binding)
{
	int err;

	if (!binding->import)
		return 0;

	err = drm_userptr_import_validate(binding->import);
	switch (err) {
	case 0:
		drm_userptr_binding_found(binding);
		return 0;
	case -EAGAIN:
		/* The commit will say so, and the next pass waits. */
		return 0;
	case -ENOMEM:
	case -EINTR:
	case -ERESTARTSYS:
		return err;
	}

	drm_userptr_binding_lost(binding, err, binding->start);

	return 0;
}

static int drm_userptr_validate_named(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_binding *binding;
	int err;

	list_for_each_entry(binding, &submit->bindings, submit_link) {
		if (list_empty_careful(&binding->vm_link))
			continue;
		err = drm_userptr_validate_binding(submit, binding);
		if (err)
			return err;
		if (!binding->error)
			continue;

		scoped_guard(rwsem_read, &vm->notifier_lock)
			drm_userptr_sort_dead(binding);
		if (!(vm->flags & DRM_USERPTR_VM_HOLES))
			return binding->error;
	}

	return 0;
}

/**
 * drm_userptr_submit_validate() - find the memory of imports
 * @submit: the submission, after drm_userptr_submit_populate()
 *
 * For drivers with a &struct drm_userptr_import in the VM. Looks at what is
 * invalidated, asks the exporters where their memory is now, and waits until it
 * is there. Bindings that are refused get &drm_userptr_binding.error set, and
 * are dead like a userptr without memory.
 *
 * An exporter may go on to add fences of %DRM_RESV_USAGE_KERNEL to the dma_resv
 * of what is valid: the job has to depend on them, as with
 * drm_sched_job_add_resv_dependencies().
 *
 * Context: process context, the VM's outer lock and the dma_resv of all imports
 * held that are bound or, with %DRM_USERPTR_VM_EXPLICIT, named.
 *
 * Return: 0; -ERESTARTSYS or -EINTR if a signal came first, -ENOMEM; with
 * %DRM_USERPTR_VM_EXPLICIT also the &drm_userptr_binding.error of what the job
 * named. On an error everything is left to be looked at again.
 */
int drm_userptr_submit_validate(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;

	drm_userptr_vm_assert_locked(vm);

	if (vm->flags & DRM_USERPTR_VM_EXPLICIT)
		return drm_userptr_validate_named(submit);

	guard(rwsem_read)(&vm->notifier_lock);

	return drm_userptr_for_invalidated(submit, drm_userptr_validate_binding);
}
EXPORT_SYMBOL_GPL(drm_userptr_submit_validate);

static void drm_userptr_map_window(struct drm_userptr_binding *binding,
				   struct drm_userptr_window *window,
				   unsigned long index)
{
	const struct drm_userptr_vm_ops *ops = binding->vm->ops;
	struct drm_userptr *userptr = binding->userptr;
	unsigned long cpu = drm_userptr_window_start(userptr, index);
	unsigned long window_end = drm_userptr_window_end(userptr, index);
	u32 i;

	/* The binding may be only a part of the window. */
	for (i = 0; cpu < window_end; i++) {
		unsigned long start, end;
		dma_addr_t dma;
		u64 size;

		dma = drm_userptr_dma_piece(userptr, binding->dma, index,
					    window, cpu, i, &size);
		start = max(cpu, binding->start);
		end = min(cpu + size, binding->end);
		if (start < end)
			ops->map(binding, binding->addr + (start - binding->start),
				 dma + (start - cpu), end - start);
		cpu += size;
	}
}

/* Was there no memory when last looked at, with nothing heard since? */
bool drm_userptr_window_is_hole(struct drm_userptr *userptr, unsigned long index)
{
	struct drm_userptr_window *window;
	u32 state;

	window = drm_userptr_window_lookup(userptr, index);
	state = window ? READ_ONCE(window->state) : DRM_USERPTR_STALE;

	/* What the owner took along is not looked at, nor heard of any more. */
	return state == DRM_USERPTR_HOLE ||
	       (state == DRM_USERPTR_STALE && !atomic_read(&userptr->mm->mm_users));
}

static bool drm_userptr_is_hole(struct drm_userptr_binding *binding,
				unsigned long index)
{
	return binding->vm->flags & DRM_USERPTR_VM_HOLES && binding->error &&
	       drm_userptr_window_is_hole(binding->userptr, index);
}

/* Why a commit cannot use a window, as far as that can still be seen */
static void drm_userptr_trace_retry(struct drm_userptr_binding *binding,
				    unsigned long index)
{
	struct drm_userptr_window *window;

	if (!trace_drm_userptr_retry_enabled())
		return;

	window = drm_userptr_window_lookup(binding->userptr, index);
	trace_drm_userptr_retry(binding, index,
				window ? READ_ONCE(window->state) :
					 DRM_USERPTR_TRACE_NEVER);
}

/* Write the PTEs of freshly valid windows. False if a window is not valid. */
static bool drm_userptr_map_binding(struct drm_userptr_binding *binding)
{
	unsigned long nr = drm_userptr_binding_windows(binding);
	unsigned long first = drm_userptr_binding_first(binding);
	unsigned long bit;

	drm_userptr_vm_assert_commit(binding->vm);

	/* As if something had been invalidated. */
	if (drm_userptr_should_fail()) {
		trace_drm_userptr_retry(binding, first,
					DRM_USERPTR_TRACE_INJECTED);
		return false;
	}

	for_each_clear_bit(bit, binding->mapped, nr) {
		struct drm_userptr_window *window;

		window = drm_userptr_window_valid(binding->userptr, first + bit);
		if (window &&
		    drm_userptr_dma_mapped(binding->userptr, binding->dma,
					   first + bit)) {
			drm_userptr_map_window(binding, window, first + bit);
			__set_bit(bit, binding->mapped);
		} else if (!drm_userptr_is_hole(binding, first + bit)) {
			drm_userptr_trace_retry(binding, first + bit);
			return false;
		}
	}

	return true;
}

/* The binding needs no further look; false if it does. */
static bool drm_userptr_commit_binding(struct drm_userptr_binding *binding)
{
	bool mapped;

	if (!binding->import)
		mapped = drm_userptr_map_binding(binding);
	else if (binding->error && binding->vm->flags & DRM_USERPTR_VM_HOLES)
		mapped = true;
	else
		mapped = drm_userptr_import_commit(binding);
	if (!mapped)
		return false;

	if (binding->error)
		list_move_tail(&binding->vm_link, &binding->vm->dead);
	else
		list_del_init(&binding->vm_link);

	return true;
}

static bool drm_userptr_commit_bindings(struct drm_userptr_submit *submit)
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_binding *binding, *next;

	drm_userptr_vm_assert_commit(vm);

	if (list_empty(&vm->invalidated))
		return true;

	/* What a job does not name it could still reach. */
	if (vm->nr_void)
		return false;

	if (vm->flags & DRM_USERPTR_VM_EXPLICIT) {
		list_for_each_entry(binding, &submit->bindings, submit_link)
			if (!list_empty(&binding->vm_link) &&
			    !drm_userptr_commit_binding(binding))
				return false;
		return true;
	}

	list_for_each_entry_safe(binding, next, &vm->invalidated, vm_link)
		if (!drm_userptr_commit_binding(binding))
			return false;

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

	drm_userptr_vm_assert_locked(vm);

	down_read(&vm->notifier_lock);
	if (drm_userptr_commit_bindings(submit))
		return 0;
	up_read(&vm->notifier_lock);

	submit->lost += DRM_USERPTR_WINDOW_PAGES;
	drm_userptr_vm_count(vm, retries);
	trace_drm_userptr_commit(vm, submit->tries, -EAGAIN);

	return -EAGAIN;
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
	struct drm_userptr_binding *binding;

	drm_userptr_vm_assert_commit(submit->vm);

	/* That of the VM also serves drm_userptr_vm_wait_idle(). */
	drm_userptr_fences_add(&submit->vm->fences, fence);
	list_for_each_entry(binding, &submit->bindings, submit_link)
		drm_userptr_fences_add(&binding->fences, fence);
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
	drm_userptr_vm_count(vm, submits);
	trace_drm_userptr_commit(vm, submit->tries, 0);
	up_read(&vm->notifier_lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_commit_end);

/*
 * Populate a range, a window after the other, for a device if @dma is not NULL.
 * Returns what drm_userptr_probe() does, and how many windows that were. With
 * @holes it does not end at the first -EFAULT or -EPERM, but returns that one.
 */
int drm_userptr_populate_range(struct drm_userptr *userptr,
			       struct drm_userptr_dma *dma,
			       unsigned long start, unsigned long end,
			       unsigned long refused, bool holes,
			       unsigned long *windows,
			       unsigned long *fault_addr)
{
	unsigned long index = drm_userptr_window_index(start);
	unsigned long last = drm_userptr_window_index(end - 1);
	struct drm_userptr_submit submit = {
		.budget = drm_userptr_budget(last - index + 1),
		.holds = RB_ROOT,
		.fault_refused = refused,
	};
	unsigned long addr;
	int err = 0, lost = 0;

	*windows = 0;
	while (index <= last) {
		if (drm_userptr_window_valid(userptr, index) &&
		    (!dma || drm_userptr_dma_mapped(userptr, dma, index))) {
			index++;
			continue;
		}

		err = drm_userptr_submit_step(&submit, userptr, dma, index,
					      &addr);
		if (err == -EBUSY)
			err = drm_userptr_submit_fault(&submit);
		else if (!err)
			++*windows, index++;

		if ((err == -EFAULT || err == -EPERM) && !lost) {
			lost = err;
			*fault_addr = addr;
		}
		if (err < 0 && !(holes && err == lost))
			break;
		if (err < 0)
			index++;
	}
	drm_userptr_hold_release(&submit);

	return err < 0 && err != lost ? err : lost;
}

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
	unsigned long windows;

	return drm_userptr_populate_range(userptr, NULL, userptr->start,
					  userptr->end, ULONG_MAX, false,
					  &windows, fault_addr);
}
EXPORT_SYMBOL_GPL(drm_userptr_probe);
