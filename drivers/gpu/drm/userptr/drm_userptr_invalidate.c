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
 * sum. The object that the second pass needs is in the userptr; while that is in
 * use it comes from a pool, and if there is none either, everything is done in
 * start. A second callback that meets a dying window never waits for the first
 * one's finish: it does the same waits and the same flush, and whoever gets
 * there first lets go of the pages.
 */

#include <linux/bitmap.h>
#include <linux/dma-fence.h>
#include <linux/mempool.h>
#include <linux/util_macros.h>

#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/*
 * For userptrs that are invalidated while they are. Reserved for all of them
 * together; more come from the allocator as long as that has some at hand.
 */
#define DRM_USERPTR_INVAL_POOL	16
static mempool_t *drm_userptr_inval_pool;

int drm_userptr_inval_pool_init(void)
{
	drm_userptr_inval_pool =
		mempool_create_kmalloc_pool(DRM_USERPTR_INVAL_POOL,
					    sizeof(struct drm_userptr_inval));

	return drm_userptr_inval_pool ? 0 : -ENOMEM;
}

void drm_userptr_inval_pool_fini(void)
{
	mempool_destroy(drm_userptr_inval_pool);
}

VISIBLE_IF_KUNIT struct drm_userptr_inval *drm_userptr_inval_alloc(void)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_inval_alloc);

	return mempool_alloc(drm_userptr_inval_pool, GFP_NOWAIT | __GFP_NOWARN);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_inval_alloc);

/* Commits that come later find the binding on the list. */
void drm_userptr_binding_mark(struct drm_userptr_binding *binding,
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
	drm_userptr_vm_count(vm, invalidations);
}

void drm_userptr_binding_zap(struct drm_userptr_binding *binding,
			     struct drm_userptr_inval *inval)
{
	unsigned long start = max(binding->start, inval->start);
	unsigned long end = min(binding->end, inval->end);

	lockdep_assert_held(&binding->userptr->lock);

	binding->vm->ops->zap(binding, binding->addr + (start - binding->start),
			      end - start);
}

/* An object for the second pass, or NULL if there is none. */
static struct drm_userptr_inval *
drm_userptr_inval_get(struct drm_userptr *userptr)
{
	lockdep_assert_held(&userptr->lock);

	if (userptr->inval_inuse)
		return drm_userptr_inval_alloc();

	userptr->inval_inuse = true;

	return &userptr->inval;
}

static void drm_userptr_inval_put(struct drm_userptr *userptr,
				  struct drm_userptr_inval *inval)
{
	lockdep_assert_held(&userptr->lock);

	if (inval == &userptr->inval)
		userptr->inval_inuse = false;
	else
		mempool_free(inval, drm_userptr_inval_pool);
}

static void drm_userptr_inval_begin(struct drm_userptr *userptr,
				    struct drm_userptr_inval *inval,
				    unsigned long start, unsigned long end)
{
	lockdep_assert_held(&userptr->lock);

	inval->start = start;
	inval->end = end;
	inval->nr_jobs = 0;
	inval->more_jobs = false;
	inval->flushing = false;
	inval->seq = ++userptr->inval_seq;
	list_add_tail(&inval->link, &userptr->invals);
}

static void drm_userptr_inval_end(struct drm_userptr *userptr,
				  struct drm_userptr_inval *inval)
{
	lockdep_assert_held(&userptr->lock);

	list_del(&inval->link);
	/* Under the lock, as drm_userptr_unbind() looks: may free right after. */
	wake_up_all(&userptr->inval_wq);
}

static bool drm_userptr_inval_has(const struct drm_userptr_inval *inval,
				  const struct drm_userptr_fences *fences)
{
	unsigned int i;

	for (i = 0; i < inval->nr_jobs; i++)
		if (inval->jobs[i].fences == fences)
			return true;

	return false;
}

/* Mark the bindings that these jobs reach, and note the jobs with them. */
static void drm_userptr_inval_add(struct drm_userptr *userptr,
				  struct drm_userptr_inval *inval,
				  struct drm_userptr_vm *vm,
				  struct drm_userptr_fences *fences)
{
	struct drm_userptr_ledger *ledger;
	struct drm_userptr_binding *binding;

	lockdep_assert_held(&userptr->lock);

	down_write(&vm->notifier_lock);
	drm_userptr_for_each_hit(binding, userptr, inval)
		if (drm_userptr_binding_fences(binding) == fences)
			drm_userptr_binding_mark(binding, inval);
	ledger = drm_userptr_ledger_get(fences->ledger);
	up_write(&vm->notifier_lock);

	inval->jobs[inval->nr_jobs].vm = vm;
	inval->jobs[inval->nr_jobs].fences = fences;
	inval->jobs[inval->nr_jobs].ledger = ledger;
	inval->nr_jobs++;

	if (!drm_userptr_ledger_signaled(ledger))
		drm_userptr_vm_count(vm, fence_waits);
	drm_userptr_ledger_enable_signaling(ledger);
}

/* Returns true if there is nothing to wait for. */
static bool drm_userptr_inval_mark(struct drm_userptr *userptr,
				   struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;
	bool signaled = true;
	unsigned int i;

	lockdep_assert_held(&userptr->lock);

	drm_userptr_for_each_hit(binding, userptr, inval) {
		struct drm_userptr_fences *fences;

		fences = drm_userptr_binding_fences(binding);
		if (drm_userptr_inval_has(inval, fences))
			continue;

		if (inval->nr_jobs < DRM_USERPTR_INVAL_JOBS) {
			drm_userptr_inval_add(userptr, inval, binding->vm,
					      fences);
			continue;
		}

		inval->more_jobs = true;
		down_write(&binding->vm->notifier_lock);
		drm_userptr_binding_mark(binding, inval);
		up_write(&binding->vm->notifier_lock);
	}

	for (i = 0; i < inval->nr_jobs; i++)
		signaled &= drm_userptr_ledger_signaled(inval->jobs[i].ledger);

	return signaled && !inval->more_jobs;
}

/*
 * Jobs of which there is no snapshot: wait for one of now. It may hold a few
 * that were committed since, which cannot reach the old pages but end as any
 * other.
 */
static void drm_userptr_inval_wait_more(struct drm_userptr *userptr,
					struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;

	guard(mutex)(&userptr->lock);

	drm_userptr_for_each_hit(binding, userptr, inval) {
		struct drm_userptr_fences *fences;
		struct drm_userptr_vm *vm = binding->vm;
		struct drm_userptr_ledger *ledger;

		fences = drm_userptr_binding_fences(binding);
		if (drm_userptr_inval_has(inval, fences))
			continue;

		down_write(&vm->notifier_lock);
		ledger = drm_userptr_ledger_get(fences->ledger);
		up_write(&vm->notifier_lock);
		if (!drm_userptr_ledger_signaled(ledger))
			drm_userptr_vm_count(vm, fence_waits);

		/* The binding stays: drm_userptr_unbind() waits for @inval. */
		mutex_unlock(&userptr->lock);
		drm_userptr_ledger_wait(ledger, false);
		drm_userptr_ledger_put(ledger);
		mutex_lock(&userptr->lock);
	}
}

/* Flush the TLBs of all VMs at the same time, then wait for them. */
static void drm_userptr_inval_flush(struct drm_userptr *userptr,
				    struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;
	struct drm_userptr_vm *vm;
	unsigned int i;

	lockdep_assert_held(&userptr->lock);

	/* From here on drm_userptr_unbind() waits: the VMs stay. */
	inval->flushing = true;
	for (i = 0; i < inval->nr_jobs; i++) {
		vm = inval->jobs[i].vm;
		if (vm)
			inval->jobs[i].tlb_seqno = vm->ops->tlb_submit(vm);
	}

	mutex_unlock(&userptr->lock);
	for (i = 0; i < inval->nr_jobs; i++) {
		vm = inval->jobs[i].vm;
		if (vm)
			vm->ops->tlb_wait(vm, inval->jobs[i].tlb_seqno);
	}
	mutex_lock(&userptr->lock);

	if (!inval->more_jobs)
		return;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		u64 seqno;

		vm = binding->vm;
		if (drm_userptr_inval_has(inval,
					  drm_userptr_binding_fences(binding)))
			continue;

		seqno = vm->ops->tlb_submit(vm);
		mutex_unlock(&userptr->lock);
		vm->ops->tlb_wait(vm, seqno);
		mutex_lock(&userptr->lock);
	}
}

/*
 * The second pass. Waits without locks, for what is its own: bindings and their
 * VMs may be gone when it is done. Returns with the userptr lock held, so that
 * @inval can be let go of.
 */
static void drm_userptr_inval_complete(struct drm_userptr *userptr,
				       struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;
	u64 begin = 0, waited_ns = 0;
	unsigned int i;

	if (trace_drm_userptr_invalidate_finish_enabled())
		begin = ktime_get_ns();
	for (i = 0; i < inval->nr_jobs; i++) {
		drm_userptr_ledger_wait(inval->jobs[i].ledger, false);
		drm_userptr_ledger_put(inval->jobs[i].ledger);
	}
	if (inval->more_jobs)
		drm_userptr_inval_wait_more(userptr, inval);
	if (begin)
		waited_ns = ktime_get_ns() - begin;

	mutex_lock(&userptr->lock);

	drm_userptr_for_each_hit(binding, userptr, inval)
		drm_userptr_binding_zap(binding, inval);
	drm_userptr_inval_flush(userptr, inval);

	drm_userptr_range_release(userptr, inval->start, inval->end, true);
	trace_drm_userptr_invalidate_finish(userptr, inval->seq, waited_ns);
	drm_userptr_inval_end(userptr, inval);
}

/*
 * Zap what invalidations that are under way would. For a binding that is idle,
 * so that it need not wait for them: other VMs' jobs may keep them for long.
 */
void drm_userptr_inval_zap(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_inval *inval;

	lockdep_assert_held(&userptr->lock);

	list_for_each_entry(inval, &userptr->invals, link)
		if (drm_userptr_binding_hit(binding, inval))
			drm_userptr_binding_zap(binding, inval);
}

/* Is there one that cannot do without the binding? They do not take long. */
bool drm_userptr_inval_needs(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_inval *inval;

	lockdep_assert_held(&userptr->lock);

	list_for_each_entry(inval, &userptr->invals, link)
		if ((inval->flushing || inval->more_jobs) &&
		    drm_userptr_binding_hit(binding, inval))
			return true;

	return false;
}

static void drm_userptr_inval_drop(struct drm_userptr *userptr,
				   struct drm_userptr_inval *inval,
				   struct drm_userptr_fences *fences)
{
	struct drm_userptr_binding *binding;
	unsigned int i;

	lockdep_assert_held(&userptr->lock);

	/* Others of the same VM still need its TLB flushed. */
	drm_userptr_for_each_hit(binding, userptr, inval)
		if (drm_userptr_binding_fences(binding) == fences)
			return;

	for (i = 0; i < inval->nr_jobs; i++) {
		if (inval->jobs[i].fences == fences) {
			inval->jobs[i].vm = NULL;
			inval->jobs[i].fences = NULL;
		}
	}
}

/*
 * Have invalidations that are under way forget a binding that is zapped and
 * flushed, and that none of them needs.
 */
void drm_userptr_inval_leave(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_inval *inval;

	lockdep_assert_held(&userptr->lock);

	list_del(&binding->link);
	list_for_each_entry(inval, &userptr->invals, link)
		if (drm_userptr_binding_hit(binding, inval))
			drm_userptr_inval_drop(userptr, inval,
					       drm_userptr_binding_fences(binding));
}

/* Bindings of other parts of a window are hit, too. */
static void drm_userptr_whole_windows(struct drm_userptr *userptr,
				      unsigned long *start, unsigned long *end)
{
	*start = drm_userptr_window_start(userptr,
					  drm_userptr_window_index(*start));
	*end = drm_userptr_window_end(userptr,
				      drm_userptr_window_index(*end - 1));
}

/* What a callback does that may sleep, in one pass and unasked. */
void drm_userptr_inval_forced(struct drm_userptr *userptr, unsigned long start,
			      unsigned long end)
{
	struct drm_userptr_inval inval;

	drm_userptr_whole_windows(userptr, &start, &end);

	mutex_lock(&userptr->lock);
	drm_userptr_inval_begin(userptr, &inval, start, end);
	drm_userptr_range_kill(userptr, start, end);
	drm_userptr_inval_mark(userptr, &inval);
	mutex_unlock(&userptr->lock);

	drm_userptr_inval_complete(userptr, &inval);
	mutex_unlock(&userptr->lock);
}

static bool
drm_userptr_invalidate_start(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq,
			     struct mmu_interval_notifier_finish **finish)
{
	struct drm_userptr *userptr =
		container_of(notifier, typeof(*userptr), notifier);
	struct drm_userptr_inval onstack, *inval;
	unsigned long start, end;
	bool idle, two_passes;

	start = max(range->start, userptr->start);
	end = min(range->end, userptr->end);
	drm_userptr_whole_windows(userptr, &start, &end);

	if (!mmu_notifier_range_blockable(range)) {
		bool granted;

		granted = drm_userptr_invalidate_nonblock(userptr, start, end,
							  cur_seq);
		trace_drm_userptr_invalidate_nonblock(userptr, start, end,
						      range->event, granted);
		return granted;
	}

	mutex_lock(&userptr->lock);
	mmu_interval_set_seq(&userptr->notifier, cur_seq);

	if (drm_userptr_range_use(userptr, start, end) == DRM_USERPTR_UNUSED) {
		drm_userptr_range_kill(userptr, start, end);
		mutex_unlock(&userptr->lock);
		return true;
	}

	inval = drm_userptr_inval_get(userptr) ?: &onstack;
	drm_userptr_inval_begin(userptr, inval, start, end);
	drm_userptr_range_kill(userptr, start, end);
	idle = drm_userptr_inval_mark(userptr, inval);
	two_passes = !idle && inval != &onstack;
	trace_drm_userptr_invalidate_start(userptr, inval, range->event,
					   two_passes ? 2 : 1);

	mutex_unlock(&userptr->lock);

	if (two_passes) {
		*finish = &inval->finish;
		return true;
	}

	/* Nothing to wait for, or no object to do it with later. */
	drm_userptr_inval_complete(userptr, inval);
	if (inval != &onstack)
		drm_userptr_inval_put(userptr, inval);
	mutex_unlock(&userptr->lock);

	return true;
}

static void
drm_userptr_invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
	struct drm_userptr *userptr =
		container_of(finish->notifier, typeof(*userptr), notifier);
	struct drm_userptr_inval *inval =
		container_of(finish, typeof(*inval), finish);

	drm_userptr_inval_complete(userptr, inval);
	drm_userptr_inval_put(userptr, inval);
	mutex_unlock(&userptr->lock);
}

const struct mmu_interval_notifier_ops drm_userptr_notifier_ops = {
	.invalidate_start = drm_userptr_invalidate_start,
	.invalidate_finish = drm_userptr_invalidate_finish,
};
