// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Pinned userptrs whose range the process unmaps: the mm does not wait, as the
 * pages stay. What device and importers have from then on is a snapshot that
 * nobody else sees, and it is given up as soon as that can be: importers are made
 * to let go of it; bindings keep it, as long as they last.
 */

#include <linux/dma-buf.h>

#include "drm_userptr_internal.h"

/*
 * May sleep for long, for the jobs of others, and takes a dma_resv and the locks
 * of pages.
 */
static struct workqueue_struct *drm_userptr_detach_wq;

int drm_userptr_detach_wq_init(void)
{
	drm_userptr_detach_wq = alloc_workqueue("drm-userptr-detach",
						WQ_UNBOUND, 0);

	return drm_userptr_detach_wq ? 0 : -ENOMEM;
}

void drm_userptr_detach_wq_fini(void)
{
	destroy_workqueue(drm_userptr_detach_wq);
}

/* Nobody can bind or map it from here on, if nobody has. */
static bool drm_userptr_detach_last(struct drm_userptr *userptr)
{
	guard(mutex)(&userptr->lock);

	if (!list_empty(&userptr->bindings))
		return false;

	drm_userptr_range_kill(userptr, userptr->start, userptr->end);

	return true;
}

static void drm_userptr_detach_work(struct work_struct *work)
{
	struct drm_userptr *userptr =
		container_of(work, typeof(*userptr), detach_work);
	struct dma_buf *dmabuf = drm_userptr_export_get(userptr);
	bool unmapped = true;

	if (dmabuf) {
		unmapped = drm_userptr_export_revoke(dmabuf);
		dma_buf_put(dmabuf);
	}

	if (unmapped && drm_userptr_detach_last(userptr))
		drm_userptr_unpin(userptr);
}

/* The last mapping or binding is gone, so it may go on. */
void drm_userptr_detach_continue(struct drm_userptr *userptr)
{
	queue_work(drm_userptr_detach_wq, &userptr->detach_work);
}

static bool drm_userptr_detach(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	struct drm_userptr *userptr =
		container_of(notifier, typeof(*userptr), notifier);

	/* Nobody ever asks whether it has changed: what is pinned is not looked for. */
	mmu_interval_set_seq(notifier, cur_seq);

	/* What else the mm does with pages the process still has. */
	if (range->event != MMU_NOTIFY_UNMAP &&
	    range->event != MMU_NOTIFY_RELEASE)
		return true;

	if (!xchg(&userptr->detached, true))
		drm_userptr_detach_continue(userptr);

	return true;
}

const struct mmu_interval_notifier_ops drm_userptr_detach_ops = {
	.invalidate = drm_userptr_detach,
};

void drm_userptr_detach_init(struct drm_userptr *userptr)
{
	INIT_WORK(&userptr->detach_work, drm_userptr_detach_work);
}

/* After the notifier is removed: nobody queues it any more. */
void drm_userptr_detach_fini(struct drm_userptr *userptr)
{
	cancel_work_sync(&userptr->detach_work);
}
