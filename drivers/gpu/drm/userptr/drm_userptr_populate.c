// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Populate: collect the pages of one window with HMM and map them for DMA.
 *
 *   populate                               invalidate (any thread)
 *   --------                               -----------------------
 *   lock: state = populating; unlock
 *                                          [a] callback returned before this
 *                                              line, PTEs not cleared yet
 *   read_begin(): sleeps until [a] is over
 *   mmap_read_lock, HMM, unlock
 *                                          [b] callback: lock: state = stale
 *   lock: still populating? map, valid; unlock
 *
 * [a] is why the state comes before read_begin(): after it, PTEs that are about
 * to be cleared are not read. [b] is why the window's state, and not the
 * sequence number of the whole interval, decides: an invalidation elsewhere in
 * the range costs nothing here, and one in this window cannot hide behind a
 * sequence that was read anew for another one (CVE-2026-63879).
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

	/*
	 * memfd_secret memory looks ordinary to HMM, but its pages are not in
	 * the direct map. GUP knows how to tell, one page is enough. Memory with
	 * a handler in user space cannot be of that kind, and must not be faulted
	 * here.
	 */
	if (vma->vm_file && !userfaultfd_armed(vma)) {
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

/* @handler: somebody in user space handles faults in the range, or in a part. */
static int drm_userptr_check_vmas(struct drm_userptr *userptr,
				  unsigned long start, unsigned long end,
				  bool *handler, unsigned long *fault_addr)
{
	struct mm_struct *mm = userptr->mm;
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
		*handler |= userfaultfd_armed(vma);

		addr = vma->vm_end;
		if (addr >= end)
			return 0;
	}

	*fault_addr = addr;
	return -EFAULT;
}

/* The first page that does not have what is required of it, or @npages */
static unsigned long drm_userptr_first_missing(const unsigned long *pfns,
					       unsigned long npages,
					       unsigned long required)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		if ((pfns[i] & required) != required)
			break;

	return i;
}

/* Steps 2 and 3: read_begin, then HMM under the mmap lock. */
static int drm_userptr_collect(struct drm_userptr *userptr,
			       unsigned long start, unsigned long end,
			       unsigned long *pfns, unsigned long refused,
			       unsigned long *fault_addr)
{
	unsigned long required = HMM_PFN_VALID |
				 (drm_userptr_writable(userptr) ?
				  HMM_PFN_WRITE : 0);
	struct hmm_range range = {
		.notifier = &userptr->notifier,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
	};
	unsigned long npages = (end - start) >> PAGE_SHIFT, missing;
	struct mm_struct *mm = userptr->mm;
	bool handler = false;
	int err;

	err = drm_userptr_read_begin(userptr, &range.notifier_seq);
	if (err)
		return err;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	err = drm_userptr_check_vmas(userptr, start, end, &handler, fault_addr);
	if (!err) {
		/*
		 * HMM cannot wait for a handler in user space. Then it only
		 * looks, and drm_userptr_fault() does the rest.
		 */
		if (!handler)
			range.default_flags = HMM_PFN_REQ_FAULT |
					      (drm_userptr_writable(userptr) ?
					       HMM_PFN_REQ_WRITE : 0);
		err = drm_userptr_should_fail() ? -EBUSY :
						  hmm_range_fault(&range);

		/* HMM fills from the start: where it stopped is the reason. */
		missing = drm_userptr_first_missing(pfns, npages, required);
		if (missing < npages)
			*fault_addr = start + missing * PAGE_SIZE;
		if (!err && missing < npages)
			err = refused == DRM_USERPTR_REFUSE_ALL ||
			      *fault_addr == refused ? -EFAULT :
						       DRM_USERPTR_HANDLER;
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
				     struct drm_userptr_window *window)
{
	guard(mutex)(&userptr->lock);

	if (window->state == DRM_USERPTR_DYING)
		return false;

	WRITE_ONCE(window->state, DRM_USERPTR_POPULATING);
	userptr->populator = current;
	userptr->disturbed = false;

	return true;
}

/* The end of a step that did not make the window valid, and what to call it. */
static int drm_userptr_window_abort(struct drm_userptr *userptr,
				    struct drm_userptr_window *window, int err)
{
	guard(mutex)(&userptr->lock);

	userptr->populator = NULL;
	if (window->state == DRM_USERPTR_POPULATING)
		WRITE_ONCE(window->state, err == -EFAULT || err == -EPERM ?
			   DRM_USERPTR_HOLE : DRM_USERPTR_STALE);

	if (err == DRM_USERPTR_COLLISION && !userptr->disturbed)
		return DRM_USERPTR_PROGRESS;

	return err;
}

/* Step 4. @runs is taken over on success. */
static int drm_userptr_window_publish(struct drm_userptr *userptr,
				      struct drm_userptr_dma *dma,
				      struct drm_userptr_window *window,
				      unsigned long index,
				      const unsigned long *pfns,
				      unsigned long npages,
				      u64 *runs, u32 nr_runs)
{
	int err;

	guard(mutex)(&userptr->lock);

	if (window->state != DRM_USERPTR_POPULATING)
		return DRM_USERPTR_COLLISION;

	drm_userptr_window_set_runs(window, runs, nr_runs);
	if (dma) {
		err = drm_userptr_dma_map(userptr, dma, index, window);
		if (err) {
			window->nr_runs = 0;
			return err;
		}
	}

	userptr->populator = NULL;
	drm_userptr_mark_pages(userptr, pfns, npages);
	drm_userptr_window_set_valid(userptr, window, index);

	return 0;
}

/* Steps 3 and 4, with memory for a whole window's pages */
static int drm_userptr_window_fill(struct drm_userptr *userptr,
				   struct drm_userptr_dma *dma,
				   struct drm_userptr_window *window,
				   unsigned long index, unsigned long *pfns,
				   u64 *runs, unsigned long refused,
				   unsigned long *fault_addr)
{
	unsigned long start = drm_userptr_window_start(userptr, index);
	unsigned long end = drm_userptr_window_end(userptr, index);
	unsigned long npages = (end - start) >> PAGE_SHIFT;
	u32 nr_runs;
	u64 *exact;
	int err;

	err = drm_userptr_collect(userptr, start, end, pfns, refused,
				  fault_addr);
	if (err)
		return err;

	if (drm_userptr_should_fail())
		drm_userptr_inval_forced(userptr, start, end);

	nr_runs = drm_userptr_runs_pack(runs, pfns, npages);
	if (dma) {
		err = drm_userptr_dma_reserve(userptr, dma, index, nr_runs);
		if (err)
			return err;
	}

	if (nr_runs == 1)
		return drm_userptr_window_publish(userptr, dma, window, index,
						  pfns, npages, runs, 1);

	exact = drm_userptr_alloc(kmemdup_array(runs, nr_runs, sizeof(*runs),
						GFP_KERNEL_ACCOUNT));
	if (!exact)
		return -ENOMEM;
	err = drm_userptr_window_publish(userptr, dma, window, index, pfns,
					 npages, exact, nr_runs);
	if (err)
		kfree(exact);

	return err;
}

/* Collect the pages of a window that is not valid. */
static int __drm_userptr_populate(struct drm_userptr *userptr,
				  struct drm_userptr_dma *dma,
				  struct drm_userptr_window *window,
				  unsigned long index, unsigned long refused,
				  unsigned long *fault_addr)
{
	unsigned long npages = drm_userptr_window_npages(userptr, index);
	unsigned long *pfns;
	u64 *runs;
	int err;

	/* Zeroed: HMM keeps sticky bits that it finds in the array. */
	pfns = drm_userptr_alloc(kcalloc(npages, sizeof(*pfns), GFP_KERNEL));
	runs = drm_userptr_alloc(kmalloc_array(npages, sizeof(*runs),
					       GFP_KERNEL));
	if (!pfns || !runs) {
		err = -ENOMEM;
		goto out_free;
	}

	if (!drm_userptr_window_begin(userptr, window)) {
		/* Sleeps until the invalidation's second pass has run. */
		err = drm_userptr_read_begin(userptr, NULL) ?: DRM_USERPTR_COLLISION;
		goto out_free;
	}

	err = drm_userptr_window_fill(userptr, dma, window, index, pfns, runs,
				      refused, fault_addr);
	if (err)
		err = drm_userptr_window_abort(userptr, window, err);

out_free:
	kfree(runs);
	kfree(pfns);

	return err;
}

/* Map a window that is valid already for one more device. */
static int drm_userptr_window_share(struct drm_userptr *userptr,
				    struct drm_userptr_dma *dma,
				    struct drm_userptr_window *window,
				    unsigned long index)
{
	u32 nr_runs;
	int err;

	scoped_guard(mutex, &userptr->lock)
		nr_runs = window->nr_runs;

	err = drm_userptr_dma_reserve(userptr, dma, index, nr_runs);
	if (err)
		return err;

	guard(mutex)(&userptr->lock);

	/* With @populate_lock held, it is the same one if it is valid. */
	if (window->state != DRM_USERPTR_VALID)
		return DRM_USERPTR_COLLISION;

	return drm_userptr_dma_map(userptr, dma, index, window);
}

/*
 * Make one window valid, in one step, and map it for the device unless @dma is
 * NULL. @refused: where a handler in user space had the chance and did not help,
 * or DRM_USERPTR_REFUSE_ALL.
 *
 * Returns 0, DRM_USERPTR_COLLISION, DRM_USERPTR_PROGRESS or DRM_USERPTR_WAITING
 * if it is worth another try, DRM_USERPTR_HANDLER, -EFAULT or -EPERM (all three
 * with @fault_addr), -ERESTARTSYS, -EINTR, -ENOMEM.
 */
int drm_userptr_populate(struct drm_userptr *userptr,
			 struct drm_userptr_dma *dma, unsigned long index,
			 unsigned long refused, unsigned long *fault_addr)
{
	struct mm_struct *mm = userptr->mm;
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
	if (IS_ERR(window))
		err = PTR_ERR(window);
	/* All were valid at first: the pins were given up. */
	else if (!drm_userptr_window_valid(userptr, index) &&
		 drm_userptr_pinned(userptr))
		err = -EFAULT;
	else if (!drm_userptr_window_valid(userptr, index))
		err = __drm_userptr_populate(userptr, dma, window, index,
					     refused, fault_addr);
	/* Another submission was here first. */
	else if (dma && !drm_userptr_dma_mapped(userptr, dma, index))
		err = drm_userptr_window_share(userptr, dma, window, index);

	trace_drm_userptr_populate(userptr, index, err);

	mutex_unlock(&userptr->populate_lock);
out_mmput:
	/* Not mmput(): exit_mmap() calls back, and callers hold locks. */
	mmput_async(mm);

	return err;
}
