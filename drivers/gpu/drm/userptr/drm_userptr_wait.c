// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Sleep for the mm, and wake for a signal.
 *
 * mmu_interval_read_begin() sleeps until the invalidations that hit the
 * interval are over. No signal ends that, and it may take long: another driver
 * may hold one of them up. In a kernel that can lose the end of a refused
 * non-blocking invalidation it takes for ever. So a work item sleeps there, and
 * populate waits for the work item.
 *
 * Populate waits in steps. In between it has no reference to the mm, which may
 * come to its end. A worker hears no signals: it does not go on to the next step
 * but comes back later, and leaves the VM's lock to others meanwhile.
 *
 * It costs a switch to a worker, and only after the userptr was hit:
 *
 *   an interval's sequence only takes values that the mm's had while an
 *   invalidation was under way; the mm's leaves such a value when the last of
 *   them is over, and never comes back to it.
 *
 * So when read_begin has returned a value which the interval still has, no
 * callback came since, and what came before is over: it would return the same
 * value again, at once.
 */

#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "drm_userptr_internal.h"

/* How long a step may take; after that the caller looks around. */
#define DRM_USERPTR_WAIT_STEP	(HZ / 10)

/*
 * Unbound and as wide as can be, as items may sleep for long. It is no part of
 * what signals fences: a populate allocates and faults.
 */
static struct workqueue_struct *drm_userptr_wait_wq;

int drm_userptr_wait_wq_init(void)
{
	drm_userptr_wait_wq = alloc_workqueue("drm-userptr-wait", WQ_UNBOUND,
					      WQ_MAX_ACTIVE);

	return drm_userptr_wait_wq ? 0 : -ENOMEM;
}

void drm_userptr_wait_wq_fini(void)
{
	destroy_workqueue(drm_userptr_wait_wq);
}

/* Whatever else may take long, and somebody waits for who can be interrupted. */
void drm_userptr_wait_queue(struct work_struct *work)
{
	queue_work(drm_userptr_wait_wq, work);
}

static void drm_userptr_wait_work(struct work_struct *work)
{
	struct drm_userptr *userptr =
		container_of(work, typeof(*userptr), wait_work);

	userptr->read_seq = mmu_interval_read_begin(&userptr->notifier);
	complete_all(&userptr->wait_done);
}

void drm_userptr_wait_init(struct drm_userptr *userptr)
{
	/* Even, which no interval's sequence ever is: the first call waits. */
	userptr->read_seq = 0;
	INIT_WORK(&userptr->wait_work, drm_userptr_wait_work);
	init_completion(&userptr->wait_done);
	complete_all(&userptr->wait_done);
}

/* Sleeps as mmu_interval_notifier_remove() does. To be called before that. */
void drm_userptr_wait_fini(struct drm_userptr *userptr)
{
	cancel_work_sync(&userptr->wait_work);
}

/**
 * drm_userptr_read_begin() - mmu_interval_read_begin() that a signal can end
 * @userptr: the userptr
 * @seq: returned sequence for HMM, or NULL
 *
 * Callbacks that set the interval's sequence before the caller last took
 * &drm_userptr.lock are seen. For one that comes later the sequence is stale,
 * as it is with mmu_interval_read_begin().
 *
 * A waiter that leaves early leaves the work item behind. The next one waits for
 * that same item, and gets a sequence that may be stale by then: HMM finds out,
 * the step counts as a collision, and the one after it waits anew.
 *
 * Context: process context, &drm_userptr.populate_lock held, no lock that the
 * notifier callback takes.
 *
 * Return: 0; %DRM_USERPTR_WAITING if it takes longer than a step may, or
 * -ERESTARTSYS if a signal came first.
 */
int drm_userptr_read_begin(struct drm_userptr *userptr, unsigned long *seq)
{
	long left;

	lockdep_assert_held(&userptr->populate_lock);
	/* Tells lockdep what the worker hides: this waits for notifiers. */
	might_alloc(GFP_KERNEL);

	/* As long as it is not done, @read_seq is the work item's. */
	if (completion_done(&userptr->wait_done) &&
	    mmu_interval_check_retry(&userptr->notifier, userptr->read_seq)) {
		reinit_completion(&userptr->wait_done);
		drm_userptr_wait_queue(&userptr->wait_work);
	}

	left = wait_for_completion_interruptible_timeout(&userptr->wait_done,
							 DRM_USERPTR_WAIT_STEP);
	if (left < 0)
		return left;
	if (!left)
		return DRM_USERPTR_WAITING;

	if (seq)
		*seq = userptr->read_seq;

	return 0;
}
