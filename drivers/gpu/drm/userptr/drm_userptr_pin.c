// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Pinned userptrs (%DRM_USERPTR_PIN): the pages stay where they are, whatever the
 * process does to its mappings, until the userptr goes away or what becomes of
 * them in drm_userptr_detach.c. Nothing is ever invalidated: all windows are
 * valid from the start. In return the pages count as locked memory, and what the
 * process maps anew at the same address the device does not see.
 */

#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "drm_userptr_internal.h"

/* Errors as those of mlock(2), plus what pinning itself may find. */
static int drm_userptr_pin_error(long ret)
{
	switch (ret) {
	case -ENOMEM:
	case -EINTR:
	case -ERESTARTSYS:
		return ret;
	default:
		return -EFAULT;
	}
}

/* Returns how many pages of the window were pinned, all or an error. */
static int drm_userptr_pin_pages(struct drm_userptr *userptr,
				 unsigned long start, unsigned long npages,
				 struct page **pages)
{
	unsigned int flags = FOLL_LONGTERM |
			     (drm_userptr_writable(userptr) ? FOLL_WRITE : 0);
	unsigned long done = 0;
	long ret;

	while (done < npages) {
		if (signal_pending(current)) {
			ret = -ERESTARTSYS;
			goto err_unpin;
		}

		/* One page at a time is as right as all at once. */
		ret = pin_user_pages_fast(start + done * PAGE_SIZE,
					  drm_userptr_should_fail() ? 1 :
					  npages - done, flags, pages + done);
		if (ret <= 0) {
			ret = drm_userptr_pin_error(ret);
			goto err_unpin;
		}
		done += ret;
	}

	return 0;

err_unpin:
	unpin_user_pages(pages, done);
	return ret;
}

static int drm_userptr_pin_window(struct drm_userptr *userptr,
				  unsigned long index, struct page **pages,
				  u64 *runs)
{
	unsigned long start = drm_userptr_window_start(userptr, index);
	unsigned long npages = drm_userptr_window_npages(userptr, index);
	struct drm_userptr_window *window;
	u64 *exact = runs;
	u32 nr_runs;
	int err;

	window = drm_userptr_window_get(userptr, index);
	if (IS_ERR(window))
		return PTR_ERR(window);

	err = drm_userptr_pin_pages(userptr, start, npages, pages);
	if (err)
		return err;

	nr_runs = drm_userptr_runs_pack_pages(runs, pages, npages);
	if (nr_runs > 1) {
		exact = drm_userptr_alloc(kmemdup_array(runs, nr_runs,
							sizeof(*runs),
							GFP_KERNEL_ACCOUNT));
		if (!exact) {
			unpin_user_pages(pages, npages);
			return -ENOMEM;
		}
	}

	guard(mutex)(&userptr->lock);
	drm_userptr_window_set_runs(window, exact, nr_runs);
	drm_userptr_window_set_valid(userptr, window, index);

	return 0;
}

/* Before the runs are forgotten */
void drm_userptr_unpin_runs(const u64 *runs, u32 nr, bool dirty)
{
	u32 i;

	for (i = 0; i < nr; i++)
		unpin_user_page_range_dirty_lock(phys_to_page(drm_userptr_run_addr(runs[i])),
						 drm_userptr_run_size(runs[i]) >> PAGE_SHIFT,
						 dirty);
}

static unsigned long drm_userptr_pages(const struct drm_userptr *userptr)
{
	return drm_userptr_size(userptr) >> PAGE_SHIFT;
}

static void drm_userptr_unpin_windows(struct drm_userptr *userptr)
{
	struct drm_userptr_window *window;
	unsigned long index;

	drm_userptr_for_each_window(window, userptr, index, userptr->start,
				    userptr->end) {
		if (window->state != DRM_USERPTR_VALID &&
		    window->state != DRM_USERPTR_DYING)
			continue;

		drm_userptr_unpin_runs(drm_userptr_window_runs(window),
				       window->nr_runs,
				       drm_userptr_writable(userptr));
		scoped_guard(mutex, &userptr->lock)
			drm_userptr_window_release(userptr, window, index);
		cond_resched();
	}
}

/*
 * Give back what drm_userptr_pin() took, once. Dirties pages, which sleeps.
 * Nothing is bound, nor will be.
 */
void drm_userptr_unpin(struct drm_userptr *userptr)
{
	if (userptr->unpinned)
		return;

	userptr->unpinned = true;
	drm_userptr_unpin_windows(userptr);
	account_locked_vm(userptr->mm, drm_userptr_pages(userptr), false);
}

/*
 * Pin the whole range, a window at a time.
 *
 * Returns 0; -EPERM if the caller may lock no memory, -ENOMEM if it may not lock
 * so much, -EFAULT if the range, or a part of it, is not mapped, may not be
 * written, or cannot be pinned, -ERESTARTSYS or -EINTR if a signal came first.
 */
int drm_userptr_pin(struct drm_userptr *userptr)
{
	unsigned long index = drm_userptr_window_index(userptr->start);
	unsigned long last = drm_userptr_window_index(userptr->end - 1);
	struct page **pages;
	u64 *runs;
	int err;

	if (!can_do_mlock())
		return -EPERM;

	pages = drm_userptr_alloc(kmalloc_array(DRM_USERPTR_WINDOW_PAGES,
						sizeof(*pages), GFP_KERNEL));
	runs = drm_userptr_alloc(kmalloc_array(DRM_USERPTR_WINDOW_PAGES,
					       sizeof(*runs), GFP_KERNEL));
	if (!pages || !runs) {
		err = -ENOMEM;
		goto out_free;
	}

	err = account_locked_vm(userptr->mm, drm_userptr_pages(userptr), true);
	if (err)
		goto out_free;

	mutex_lock(&userptr->populate_lock);
	for (; !err && index <= last; index++)
		err = drm_userptr_pin_window(userptr, index, pages, runs);
	mutex_unlock(&userptr->populate_lock);
	if (err)
		drm_userptr_unpin(userptr);

out_free:
	kfree(runs);
	kfree(pages);

	return err;
}
