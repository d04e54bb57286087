// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Populate: collect the pages of one window with HMM and map them for DMA.
 *
 *   populate                               invalidate (any thread)
 *   --------                               -----------------------
 *   lock: state = populating(token); unlock
 *                                          [a] callback returned before this
 *                                              line, PTEs not cleared yet
 *   read_begin(): sleeps until [a] is over
 *   mmap_read_lock, HMM, unlock
 *                                          [b] callback: lock: token = 0; unlock
 *   lock: token still ours? map, valid; unlock
 *
 * [a] is why the token comes before read_begin(): after it, PTEs that are about
 * to be cleared are not read. [b] is why the token, and not the sequence number
 * of the whole interval, decides: an invalidation elsewhere in the range costs
 * nothing here, and one in this window cannot hide behind a sequence that was
 * read anew for another one (CVE-2026-63879).
 */

#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/userfaultfd_k.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

static bool drm_userptr_writable(const struct drm_userptr *userptr)
{
	return !(userptr->flags & DRM_USERPTR_READ_ONLY);
}

/*
 * May this VMA back a window? HMM checks access only where it has to fault, so
 * a writable userptr's VM_WRITE is checked here, over the whole window.
 */
static int drm_userptr_check_vma(struct drm_userptr *userptr,
				 struct vm_area_struct *vma, unsigned long addr)
{
	struct page *page;
	long ret;

	if (vma->vm_flags & (VM_IO | VM_PFNMAP) || !(vma->vm_flags & VM_READ))
		return -EFAULT;

	if (drm_userptr_writable(userptr) && !(vma->vm_flags & VM_WRITE))
		return -EPERM;

	/* hmm_range_fault() cannot wait for a user-space fault handler. */
	if (userfaultfd_armed(vma))
		return -EFAULT;

	/*
	 * memfd_secret memory looks ordinary to HMM, but its pages are not in
	 * the direct map. GUP knows how to tell, one page is enough.
	 */
	if (vma->vm_file) {
		ret = get_user_pages_remote(vma->vm_mm, addr, 1,
					    drm_userptr_writable(userptr) ?
					    FOLL_WRITE : 0, &page, NULL);
		if (ret == -ENOMEM || ret == -EINTR)
			return ret;
		if (ret != 1)
			return -EFAULT;
		put_page(page);
	}

	return 0;
}

static int drm_userptr_check_vmas(struct drm_userptr *userptr,
				  unsigned long start, unsigned long end,
				  unsigned long *fault_addr)
{
	struct mm_struct *mm = userptr->notifier.mm;
	struct vm_area_struct *vma;
	unsigned long addr = start;
	struct vma_iterator vmi;
	int err;

	mmap_assert_locked(mm);

	vma_iter_init(&vmi, mm, start);
	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > addr)
			break;

		err = drm_userptr_check_vma(userptr, vma, addr);
		if (err) {
			*fault_addr = addr;
			return err;
		}

		addr = vma->vm_end;
		if (addr >= end)
			return 0;
	}

	*fault_addr = addr;
	return -EFAULT;
}

/* Steps 2 and 3: read_begin, then HMM under the mmap lock. */
static int drm_userptr_collect(struct drm_userptr *userptr,
			       unsigned long start, unsigned long end,
			       unsigned long *pfns, unsigned long *fault_addr)
{
	struct hmm_range range = {
		.notifier = &userptr->notifier,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.default_flags = HMM_PFN_REQ_FAULT |
				 (drm_userptr_writable(userptr) ?
				  HMM_PFN_REQ_WRITE : 0),
	};
	struct mm_struct *mm = userptr->notifier.mm;
	int err;

	range.notifier_seq = mmu_interval_read_begin(&userptr->notifier);

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	err = drm_userptr_check_vmas(userptr, start, end, fault_addr);
	if (!err) {
		err = hmm_range_fault(&range);
		if (err == -EFAULT || err == -EPERM || err == -EINVAL) {
			unsigned long i = 0;

			/* HMM fills from the start; the first hole is it. */
			while (start + (i + 1) * PAGE_SIZE < end &&
			       pfns[i] & HMM_PFN_VALID)
				i++;
			*fault_addr = start + i * PAGE_SIZE;
		}
	}
	mmap_read_unlock(mm);

	/* The range was hit somewhere, perhaps not even in this window. */
	if (err == -EBUSY)
		return DRM_USERPTR_COLLISION;
	/* Special memory that HMM has no page for, see the error table. */
	if (err == -EINVAL)
		return -EFAULT;

	return err;
}

/*
 * Dirty the pages before the device can: nothing may touch a struct page in the
 * callback, and afterwards the page may be somebody else's. Reclaim would drop
 * what the device wrote to a clean MADV_FREE'd, swapped-in or read-faulted
 * shmem page. Other file pages were made dirty by HMM's write fault, which ran
 * page_mkwrite(); write-back write-protects them and so invalidates us first.
 *
 * The pages carry no reference. After the token check, @userptr->lock stands in
 * for the page table lock: whoever wants to free, truncate or migrate them must
 * get through our callback first. No folio lock is taken (CVE-2025-37868).
 */
static void drm_userptr_mark_pages(struct drm_userptr *userptr,
				   const unsigned long *pfns,
				   unsigned long npages)
{
	struct folio *last = NULL;
	unsigned long i;

	lockdep_assert_held(&userptr->lock);

	for (i = 0; i < npages; i++) {
		struct folio *folio = page_folio(hmm_pfn_to_page(pfns[i]));

		if (folio == last)
			continue;
		last = folio;

		if (folio_test_hugetlb(folio) || folio_test_reserved(folio))
			continue;

		/* MADV_FREE'd folios are anonymous, but not swap-backed. */
		if (drm_userptr_writable(userptr) &&
		    (folio_test_anon(folio) || folio_test_swapbacked(folio)) &&
		    !folio_test_dirty(folio))
			folio_mark_dirty(folio);

		/* What the device uses must not look cold to reclaim. */
		folio_mark_accessed(folio);
	}
}

/* Step 1. A dying window cannot be taken before its invalidation is over. */
static bool drm_userptr_window_begin(struct drm_userptr *userptr,
				     struct drm_userptr_window *window,
				     u64 *token)
{
	guard(mutex)(&userptr->lock);

	if (window->state == DRM_USERPTR_DYING)
		return false;

	WRITE_ONCE(window->state, DRM_USERPTR_POPULATING);
	window->token = ++userptr->token;
	*token = window->token;

	return true;
}

static void drm_userptr_window_abort(struct drm_userptr *userptr,
				     struct drm_userptr_window *window)
{
	guard(mutex)(&userptr->lock);

	/* @populate_lock: nobody else made it populating in the meantime. */
	WRITE_ONCE(window->state, DRM_USERPTR_STALE);
	window->token = 0;
}

/*
 * Step 4. @runs holds physical addresses and is taken over on success.
 */
static int drm_userptr_window_publish(struct drm_userptr *userptr,
				      struct drm_userptr_window *window,
				      u64 token, const unsigned long *pfns,
				      unsigned long npages,
				      u64 *runs, u32 nr_runs)
{
	int err;

	guard(mutex)(&userptr->lock);

	if (window->token != token)
		return DRM_USERPTR_COLLISION;

	err = drm_userptr_window_map(userptr, window, runs, nr_runs);
	if (err)
		return err;

	window->token = 0;
	drm_userptr_mark_pages(userptr, pfns, npages);

	return 0;
}

static int __drm_userptr_populate(struct drm_userptr *userptr,
				  struct drm_userptr_window *window,
				  unsigned long index,
				  unsigned long *fault_addr)
{
	unsigned long start = drm_userptr_window_start(userptr, index);
	unsigned long end = drm_userptr_window_end(userptr, index);
	unsigned long npages = (end - start) >> PAGE_SHIFT;
	unsigned long *pfns;
	u64 *runs, single;
	u32 nr_runs;
	u64 token;
	int err;

	if (!drm_userptr_window_begin(userptr, window, &token)) {
		/* Sleeps until the invalidation's second pass has run. */
		mmu_interval_read_begin(&userptr->notifier);
		return DRM_USERPTR_COLLISION;
	}

	/* Zeroed: HMM keeps sticky bits that it finds in the array. */
	pfns = kcalloc(npages, sizeof(*pfns), GFP_KERNEL);
	runs = kmalloc_array(npages, sizeof(*runs), GFP_KERNEL);
	if (!pfns || !runs) {
		err = -ENOMEM;
		goto out_abort;
	}

	err = drm_userptr_collect(userptr, start, end, pfns, fault_addr);
	if (err)
		goto out_abort;

	nr_runs = drm_userptr_runs_pack(runs, pfns, npages);
	if (nr_runs == 1) {
		single = runs[0];
		err = drm_userptr_window_publish(userptr, window, token, pfns,
						 npages, &single, 1);
	} else {
		u64 *exact = kmemdup_array(runs, nr_runs, sizeof(*runs),
					   GFP_KERNEL_ACCOUNT);

		if (!exact) {
			err = -ENOMEM;
			goto out_abort;
		}
		err = drm_userptr_window_publish(userptr, window, token, pfns,
						 npages, exact, nr_runs);
		if (err)
			kfree(exact);
	}

out_abort:
	if (err)
		drm_userptr_window_abort(userptr, window);
	kfree(runs);
	kfree(pfns);

	return err;
}

/*
 * Make one window valid, in one step.
 *
 * Returns 0, DRM_USERPTR_COLLISION if the step was lost and is worth another
 * try, -EFAULT or -EPERM (with @fault_addr), -EINTR, -ENOMEM.
 */
int drm_userptr_populate(struct drm_userptr *userptr, unsigned long index,
			 unsigned long *fault_addr)
{
	struct mm_struct *mm = userptr->notifier.mm;
	struct drm_userptr_window *window;
	int err;

	might_fault();

	*fault_addr = drm_userptr_window_start(userptr, index);

	/* The range outlives its mm, the memory does not. */
	if (!mmget_not_zero(mm))
		return -EFAULT;

	err = mutex_lock_interruptible(&userptr->populate_lock);
	if (err)
		goto out_mmput;

	window = drm_userptr_window_get(userptr, index);
	if (IS_ERR(window)) {
		err = PTR_ERR(window);
		goto out_unlock;
	}

	/* Another submission may have been here first. */
	if (!drm_userptr_window_valid(userptr, index))
		err = __drm_userptr_populate(userptr, window, index,
					     fault_addr);

	trace_drm_userptr_populate(userptr, index, err);

out_unlock:
	mutex_unlock(&userptr->populate_lock);
out_mmput:
	/* Not mmput(): exit_mmap() calls back, and callers hold locks. */
	mmput_async(mm);

	return err;
}
