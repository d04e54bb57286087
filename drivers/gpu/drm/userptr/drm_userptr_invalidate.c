// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Invalidate: stop the device, then let the mm have its pages.
 *
 *   start    mark windows dying, clear tokens of populates (userptr lock)
 *            for each binding: onto the invalidated list, snapshot the ledger
 *            (notifier lock for write), enable signalling
 *   finish   wait for the snapshots, with no lock held
 *            clear PTEs, flush the TLB, unmap for DMA, windows stale
 *
 * PTEs are cleared after the wait: until then running jobs use them by right.
 * Two passes, so that K overlapping userptrs cost the longest wait and not the
 * sum. The finish object is in the userptr; when a second callback comes while
 * it is in use, that one does everything in start. It never waits for the first
 * one's finish: it does the same waits and the same flush, and whoever gets
 * there first unmaps a dying window.
 */

#include <linux/bitmap.h>
#include <linux/dma-fence.h>
#include <linux/util_macros.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/* What of the windows in a range? */
enum drm_userptr_use {
	DRM_USERPTR_UNUSED,	/* no device reaches it */
	DRM_USERPTR_IN_USE,	/* valid windows */
	DRM_USERPTR_IN_DYING,	/* another invalidation is on its way */
};

static enum drm_userptr_use
drm_userptr_range_use(struct drm_userptr *userptr, unsigned long start,
		      unsigned long end)
{
	enum drm_userptr_use use = DRM_USERPTR_UNUSED;
	struct drm_userptr_window *window;
	unsigned long index;

	xa_for_each_range(&userptr->windows, index, window,
			  drm_userptr_window_index(start),
			  drm_userptr_window_index(end - 1)) {
		if (window->state == DRM_USERPTR_DYING)
			return DRM_USERPTR_IN_DYING;
		if (window->state == DRM_USERPTR_VALID)
			use = DRM_USERPTR_IN_USE;
	}

	return use;
}

/* From here on nothing in the range becomes valid without a new populate. */
static void drm_userptr_range_kill(struct drm_userptr *userptr,
				   unsigned long start, unsigned long end,
				   unsigned long cur_seq)
{
	struct drm_userptr_window *window;
	unsigned long index;

	lockdep_assert_held(&userptr->lock);

	mmu_interval_set_seq(&userptr->notifier, cur_seq);

	xa_for_each_range(&userptr->windows, index, window,
			  drm_userptr_window_index(start),
			  drm_userptr_window_index(end - 1)) {
		window->token = 0;
		if (window->state == DRM_USERPTR_VALID)
			WRITE_ONCE(window->state, DRM_USERPTR_DYING);
	}
}

/* No device reaches the range any more. */
static void drm_userptr_range_unmap(struct drm_userptr *userptr,
				    unsigned long start, unsigned long end)
{
	struct drm_userptr_window *window;
	unsigned long index;

	lockdep_assert_held(&userptr->lock);

	xa_for_each_range(&userptr->windows, index, window,
			  drm_userptr_window_index(start),
			  drm_userptr_window_index(end - 1))
		if (window->state == DRM_USERPTR_DYING)
			drm_userptr_window_unmap(userptr, window);
}

static bool drm_userptr_binding_hit(struct drm_userptr_binding *binding,
				    struct drm_userptr_inval *inval)
{
	return binding->start < inval->end && binding->end > inval->start &&
	       binding->insert_seq < inval->seq &&
	       binding->remove_seq >= inval->seq;
}

#define drm_userptr_for_each_hit(binding__, userptr__, inval__)		\
	list_for_each_entry(binding__, &(userptr__)->bindings, link)	\
		for_each_if(drm_userptr_binding_hit(binding__, inval__))

/* Commits that come later find the binding on the list. */
static void drm_userptr_binding_mark(struct drm_userptr_binding *binding,
				     struct drm_userptr_inval *inval)
{
	unsigned long first = drm_userptr_window_index(max(binding->start,
							   inval->start));
	unsigned long last = drm_userptr_window_index(min(binding->end,
							  inval->end) - 1);
	struct drm_userptr_vm *vm = binding->vm;

	lockdep_assert_held_write(&vm->notifier_lock);

	bitmap_clear(binding->mapped,
		     first - drm_userptr_binding_first(binding),
		     last - first + 1);
	list_move_tail(&binding->vm_link, &vm->invalidated);
	atomic64_inc(&vm->stats.invalidations);
}

static void drm_userptr_binding_zap(struct drm_userptr_binding *binding,
				    struct drm_userptr_inval *inval)
{
	unsigned long start = max(binding->start, inval->start);
	unsigned long end = min(binding->end, inval->end);
	struct drm_userptr_vm *vm = binding->vm;

	lockdep_assert_held(&binding->userptr->lock);

	vm->ops->zap(binding, binding->addr + (start - binding->start),
		     end - start);
	binding->tlb_seqno = vm->ops->tlb_submit(vm);
}

static void drm_userptr_inval_begin(struct drm_userptr *userptr,
				    struct drm_userptr_inval *inval,
				    unsigned long start, unsigned long end)
{
	lockdep_assert_held(&userptr->lock);

	inval->start = start;
	inval->end = end;
	inval->seq = ++userptr->inval_seq;
	list_add_tail(&inval->link, &userptr->invals);
}

static void drm_userptr_inval_end(struct drm_userptr *userptr,
				  struct drm_userptr_inval *inval)
{
	lockdep_assert_held(&userptr->lock);

	list_del(&inval->link);
	if (inval == &userptr->inval)
		userptr->inval_inuse = false;
	/* Under the lock, as drm_userptr_unbind() looks: may free right after. */
	wake_up_all(&userptr->inval_wq);
}

/* Which fences to wait for on behalf of one binding; consumes a reference. */
static struct drm_userptr_ledger *
drm_userptr_binding_ledger(struct drm_userptr_binding *binding,
			   struct drm_userptr_inval *inval)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_vm *vm = binding->vm;
	struct drm_userptr_ledger *ledger;

	lockdep_assert_held(&userptr->lock);

	if (inval == &userptr->inval)
		return no_free_ptr(binding->snapshot);

	/*
	 * All in one pass, no place for a snapshot: one of now. It may hold a
	 * few jobs committed since, which cannot reach the old pages but end
	 * as any other.
	 */
	down_write(&vm->notifier_lock);
	ledger = drm_userptr_ledger_get(vm->ledger);
	up_write(&vm->notifier_lock);

	return ledger;
}

/*
 * The second pass. Drops the userptr lock to wait; a binding stays on the list
 * meanwhile, as drm_userptr_unbind() waits for this invalidation.
 */
static void drm_userptr_inval_complete(struct drm_userptr *userptr,
				       struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;

	mutex_lock(&userptr->lock);

	drm_userptr_for_each_hit(binding, userptr, inval) {
		struct drm_userptr_ledger *ledger;

		ledger = drm_userptr_binding_ledger(binding, inval);
		mutex_unlock(&userptr->lock);

		if (!drm_userptr_ledger_signaled(ledger)) {
			atomic64_inc(&binding->vm->stats.fence_waits);
			drm_userptr_ledger_wait(ledger, false);
		}
		drm_userptr_ledger_put(ledger);

		mutex_lock(&userptr->lock);
	}

	drm_userptr_for_each_hit(binding, userptr, inval)
		drm_userptr_binding_zap(binding, inval);

	drm_userptr_for_each_hit(binding, userptr, inval) {
		u64 seqno = binding->tlb_seqno;

		mutex_unlock(&userptr->lock);
		binding->vm->ops->tlb_wait(binding->vm, seqno);
		mutex_lock(&userptr->lock);
	}

	drm_userptr_range_unmap(userptr, inval->start, inval->end);
	trace_drm_userptr_invalidate_finish(userptr, inval->seq);
	drm_userptr_inval_end(userptr, inval);

	mutex_unlock(&userptr->lock);
}

/* Is the VM of @last that of a binding before it, too? */
static bool drm_userptr_vm_seen(struct drm_userptr *userptr,
				struct drm_userptr_inval *inval,
				struct drm_userptr_binding *last)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		if (binding == last)
			return false;
		if (binding->vm == last->vm)
			return true;
	}

	return false;
}

/* Up to a binding, or all if that is NULL. */
static void drm_userptr_unlock_vms(struct drm_userptr *userptr,
				   struct drm_userptr_inval *inval,
				   struct drm_userptr_binding *until)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		if (binding == until)
			return;
		if (!drm_userptr_vm_seen(userptr, inval, binding))
			up_write(&binding->vm->notifier_lock);
	}
}

/*
 * Take the notifier locks of all VMs that are hit, if they are free and idle.
 * Two at once, but by trylock, which cannot deadlock. All or none.
 */
static bool drm_userptr_trylock_idle_vms(struct drm_userptr *userptr,
					 struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		struct drm_userptr_vm *vm = binding->vm;

		if (drm_userptr_vm_seen(userptr, inval, binding))
			continue;

		if (!down_write_trylock(&vm->notifier_lock)) {
			drm_userptr_unlock_vms(userptr, inval, binding);
			return false;
		}
		if (!drm_userptr_ledger_signaled(vm->ledger)) {
			up_write(&vm->notifier_lock);
			drm_userptr_unlock_vms(userptr, inval, binding);
			return false;
		}
	}

	return true;
}

/*
 * The OOM reaper must not sleep. If the userptr and its VMs are idle and nobody
 * holds their locks it gets its memory; otherwise it is refused at once, with
 * everything left as it was.
 */
static bool drm_userptr_invalidate_nonblock(struct drm_userptr *userptr,
					    unsigned long start,
					    unsigned long end,
					    unsigned long cur_seq)
{
	struct drm_userptr_inval inval = {
		.start = start,
		.end = end,
	};
	struct drm_userptr_binding *binding;
	bool done = false;

	if (!mutex_trylock(&userptr->lock))
		return false;

	switch (drm_userptr_range_use(userptr, start, end)) {
	case DRM_USERPTR_UNUSED:
		drm_userptr_range_kill(userptr, start, end, cur_seq);
		done = true;
		break;
	case DRM_USERPTR_IN_DYING:
		break;
	case DRM_USERPTR_IN_USE:
		/* Not on the list: over before the lock is dropped. */
		inval.seq = userptr->inval_seq + 1;
		if (!drm_userptr_trylock_idle_vms(userptr, &inval))
			break;

		drm_userptr_range_kill(userptr, start, end, cur_seq);
		drm_userptr_for_each_hit(binding, userptr, &inval) {
			drm_userptr_binding_mark(binding, &inval);
			drm_userptr_binding_zap(binding, &inval);
			binding->vm->ops->tlb_wait(binding->vm,
						   binding->tlb_seqno);
		}
		drm_userptr_range_unmap(userptr, start, end);
		drm_userptr_unlock_vms(userptr, &inval, NULL);
		userptr->inval_seq++;
		done = true;
		break;
	}

	mutex_unlock(&userptr->lock);

	return done;
}

static bool
drm_userptr_invalidate_start(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq,
			     struct mmu_interval_notifier_finish **finish)
{
	struct drm_userptr *userptr =
		container_of(notifier, typeof(*userptr), notifier);
	struct drm_userptr_inval onstack, *inval = &onstack;
	struct drm_userptr_binding *binding;
	unsigned long start, end;
	bool signaled = true;

	/* Whole windows: bindings of other parts of them are hit too. */
	start = drm_userptr_window_start(userptr,
					 drm_userptr_window_index(max(range->start,
								      userptr->start)));
	end = drm_userptr_window_end(userptr,
				     drm_userptr_window_index(min(range->end,
								  userptr->end) - 1));

	if (!mmu_notifier_range_blockable(range))
		return drm_userptr_invalidate_nonblock(userptr, start, end,
						       cur_seq);

	mutex_lock(&userptr->lock);

	if (drm_userptr_range_use(userptr, start, end) == DRM_USERPTR_UNUSED) {
		drm_userptr_range_kill(userptr, start, end, cur_seq);
		mutex_unlock(&userptr->lock);
		return true;
	}

	if (!userptr->inval_inuse) {
		userptr->inval_inuse = true;
		inval = &userptr->inval;
	}
	drm_userptr_inval_begin(userptr, inval, start, end);
	trace_drm_userptr_invalidate_start(userptr, start, end, inval->seq,
					   range->event);
	drm_userptr_range_kill(userptr, start, end, cur_seq);

	drm_userptr_for_each_hit(binding, userptr, inval) {
		struct drm_userptr_vm *vm = binding->vm;

		down_write(&vm->notifier_lock);
		drm_userptr_binding_mark(binding, inval);
		if (inval == &userptr->inval)
			binding->snapshot = drm_userptr_ledger_get(vm->ledger);
		up_write(&vm->notifier_lock);

		if (inval == &userptr->inval) {
			drm_userptr_ledger_enable_signaling(binding->snapshot);
			signaled &= drm_userptr_ledger_signaled(binding->snapshot);
		}
	}

	mutex_unlock(&userptr->lock);

	/* Nothing to wait for, or no object to do it with later. */
	if (signaled || inval != &userptr->inval)
		drm_userptr_inval_complete(userptr, inval);
	else
		*finish = &inval->finish;

	return true;
}

static void
drm_userptr_invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
	struct drm_userptr *userptr =
		container_of(finish->notifier, typeof(*userptr), notifier);

	drm_userptr_inval_complete(userptr, &userptr->inval);
}

const struct mmu_interval_notifier_ops drm_userptr_notifier_ops = {
	.invalidate_start = drm_userptr_invalidate_start,
	.invalidate_finish = drm_userptr_invalidate_finish,
};
