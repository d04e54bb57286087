// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Windows and runs: which parts of a userptr are valid, and what memory they
 * are. Windows come in leaves of up to 128 MiB, which are made when first used:
 * 16 bytes for each 2 MiB, and 8 for each run where there is more than one.
 */

#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "drm_userptr_internal.h"

static unsigned long drm_userptr_leaf_index(unsigned long index)
{
	return index / DRM_USERPTR_LEAF_WINDOWS;
}

/* The first leaf begins with the userptr. */
static unsigned long drm_userptr_leaf_first(struct drm_userptr *userptr,
					    unsigned long leaf)
{
	return max(leaf * DRM_USERPTR_LEAF_WINDOWS,
		   drm_userptr_window_index(userptr->start));
}

static unsigned long drm_userptr_leaf_last(struct drm_userptr *userptr,
					   unsigned long leaf)
{
	return min(leaf * DRM_USERPTR_LEAF_WINDOWS +
		   DRM_USERPTR_LEAF_WINDOWS - 1,
		   drm_userptr_window_index(userptr->end - 1));
}

static unsigned long drm_userptr_leaf_windows(struct drm_userptr *userptr,
					      unsigned long leaf)
{
	return drm_userptr_leaf_last(userptr, leaf) -
	       drm_userptr_leaf_first(userptr, leaf) + 1;
}

static long drm_userptr_leaf_bytes(struct drm_userptr *userptr,
				   unsigned long leaf)
{
	return drm_userptr_leaf_windows(userptr, leaf) *
	       sizeof(struct drm_userptr_window);
}

/* The window, or NULL if nobody asked for it or its neighbours yet. */
struct drm_userptr_window *
drm_userptr_window_lookup(struct drm_userptr *userptr, unsigned long index)
{
	unsigned long leaf = drm_userptr_leaf_index(index);
	struct drm_userptr_window *windows;

	windows = xa_load(&userptr->leaves, leaf);

	return windows ? windows + (index - drm_userptr_leaf_first(userptr, leaf)) :
			 NULL;
}

/* The first window from *@index to @last that exists, or NULL. */
struct drm_userptr_window *
drm_userptr_window_next(struct drm_userptr *userptr, unsigned long *index,
			unsigned long last)
{
	unsigned long leaf = drm_userptr_leaf_index(*index);
	struct drm_userptr_window *windows;
	unsigned long first;

	windows = xa_find(&userptr->leaves, &leaf,
			  drm_userptr_leaf_index(last), XA_PRESENT);
	if (!windows)
		return NULL;

	first = drm_userptr_leaf_first(userptr, leaf);
	*index = max(*index, first);

	return *index <= last ? windows + (*index - first) : NULL;
}

/*
 * Get a window, making it if there is none yet. Leaves stay until
 * drm_userptr_fini(), so what a lockless reader finds stays.
 */
struct drm_userptr_window *
drm_userptr_window_get(struct drm_userptr *userptr, unsigned long index)
{
	unsigned long leaf = drm_userptr_leaf_index(index);
	struct drm_userptr_window *windows;
	int err;

	lockdep_assert_held(&userptr->populate_lock);

	windows = drm_userptr_window_lookup(userptr, index);
	if (windows)
		return windows;

	windows = drm_userptr_alloc(kcalloc(drm_userptr_leaf_windows(userptr, leaf),
					    sizeof(*windows), GFP_KERNEL_ACCOUNT));
	if (!windows)
		return ERR_PTR(-ENOMEM);

	err = drm_userptr_should_fail() ? -ENOMEM :
	      xa_insert(&userptr->leaves, leaf, windows, GFP_KERNEL_ACCOUNT);
	if (err) {
		kfree(windows);
		return ERR_PTR(err);
	}
	drm_userptr_account_metadata(userptr,
				     drm_userptr_leaf_bytes(userptr, leaf));

	return drm_userptr_window_lookup(userptr, index);
}

/*
 * The window, if it is valid, else NULL.
 *
 * A commit calls this under the VM's notifier lock alone. That is enough: an
 * invalidation makes the window dying first and takes the VM's notifier lock
 * for write next. If this reader is before that write section, the job that it
 * is about to publish will be in the ledger and waited for, and the runs stay
 * until then. If it is after, it sees the window dying.
 */
struct drm_userptr_window *
drm_userptr_window_valid(struct drm_userptr *userptr, unsigned long index)
{
	struct drm_userptr_window *window;

	window = drm_userptr_window_lookup(userptr, index);

	/* Pairs with smp_store_release() in drm_userptr_window_set_valid(). */
	if (!window || smp_load_acquire(&window->state) != DRM_USERPTR_VALID)
		return NULL;

	return window;
}

/*
 * What a device reads where the CPU has the shared zero page. That one is part
 * of the kernel image, which the DMA API forbids to map; one never-written page
 * is as good as another, and a CPU write to it invalidates as any other.
 */
static struct page *drm_userptr_zero_page;

int drm_userptr_zero_page_init(void)
{
	drm_userptr_zero_page = alloc_page(GFP_KERNEL | __GFP_ZERO);

	return drm_userptr_zero_page ? 0 : -ENOMEM;
}

void drm_userptr_zero_page_fini(void)
{
	__free_page(drm_userptr_zero_page);
}

static phys_addr_t drm_userptr_pfn_to_phys(unsigned long pfn)
{
	phys_addr_t phys = hmm_pfn_to_phys(pfn);

	return is_zero_pfn(PHYS_PFN(phys)) ?
	       page_to_phys(drm_userptr_zero_page) : phys;
}

/* One more page at the end of @nr runs; returns how many they are then. */
static u32 drm_userptr_runs_add(u64 *runs, u32 nr, phys_addr_t phys)
{
	if (nr && drm_userptr_run_addr(runs[nr - 1]) +
		  drm_userptr_run_size(runs[nr - 1]) == phys) {
		runs[nr - 1]++;
		return nr;
	}

	runs[nr] = phys;

	return nr + 1;
}

/*
 * Turn what HMM found into runs of physically contiguous pages. Looks at
 * numbers only, so it needs no lock.
 */
u32 drm_userptr_runs_pack(u64 *runs, const unsigned long *pfns,
			  unsigned long npages)
{
	unsigned long i;
	u32 nr = 0;

	for (i = 0; i < npages; i++)
		nr = drm_userptr_runs_add(runs, nr,
					  drm_userptr_pfn_to_phys(pfns[i]));

	return nr;
}

/* The same for pages that are pinned. */
u32 drm_userptr_runs_pack_pages(u64 *runs, struct page **pages,
				unsigned long npages)
{
	unsigned long i;
	u32 nr = 0;

	for (i = 0; i < npages; i++)
		nr = drm_userptr_runs_add(runs, nr, page_to_phys(pages[i]));

	return nr;
}

/* Takes over @runs if there is more than one. */
void drm_userptr_window_set_runs(struct drm_userptr_window *window, u64 *runs,
				 u32 nr_runs)
{
	window->nr_runs = nr_runs;
	if (nr_runs == 1)
		window->run = runs[0];
	else
		window->runs = runs;
}

void drm_userptr_window_set_valid(struct drm_userptr *userptr,
				  struct drm_userptr_window *window,
				  unsigned long index)
{
	lockdep_assert_held(&userptr->lock);

	drm_userptr_account_window(userptr, window, index, true);

	/* Pairs with smp_load_acquire() in drm_userptr_window_valid(). */
	smp_store_release(&window->state, DRM_USERPTR_VALID);
}

/*
 * Let go of the pages of a window that no device reaches any more; it is stale
 * from then on. Frees memory but allocates none, so the notifier callback may
 * call it.
 */
void drm_userptr_window_release(struct drm_userptr *userptr,
				struct drm_userptr_window *window,
				unsigned long index)
{
	lockdep_assert_held(&userptr->lock);

	drm_userptr_dma_unmap_all(userptr, index, window);
	drm_userptr_account_window(userptr, window, index, false);
	if (window->nr_runs > 1)
		kfree(window->runs);
	window->nr_runs = 0;

	WRITE_ONCE(window->state, DRM_USERPTR_STALE);
}

enum drm_userptr_use drm_userptr_range_use(struct drm_userptr *userptr,
					   unsigned long start,
					   unsigned long end)
{
	enum drm_userptr_use use = DRM_USERPTR_UNUSED;
	struct drm_userptr_window *window;
	unsigned long index;

	lockdep_assert_held(&userptr->lock);

	drm_userptr_for_each_window(window, userptr, index, start, end) {
		if (window->state == DRM_USERPTR_DYING)
			return DRM_USERPTR_IN_DYING;
		if (window->state == DRM_USERPTR_VALID)
			use = DRM_USERPTR_IN_USE;
	}

	return use;
}

/* From here on nothing in the range becomes valid without a new populate. */
void drm_userptr_range_kill(struct drm_userptr *userptr, unsigned long start,
			    unsigned long end)
{
	struct drm_userptr_window *window;
	unsigned long index;

	lockdep_assert_held(&userptr->lock);

	/* What a populate's own faults do is no disturbance, see there. */
	if (userptr->populator != current)
		userptr->disturbed = true;

	drm_userptr_for_each_window(window, userptr, index, start, end) {
		switch (window->state) {
		case DRM_USERPTR_VALID:
			WRITE_ONCE(window->state, DRM_USERPTR_DYING);
			break;
		case DRM_USERPTR_POPULATING:
		case DRM_USERPTR_HOLE:
			WRITE_ONCE(window->state, DRM_USERPTR_STALE);
			break;
		}
	}
}

/* No device reaches the range any more. */
void drm_userptr_range_release(struct drm_userptr *userptr,
			       unsigned long start, unsigned long end,
			       bool blockable)
{
	struct drm_userptr_window *window;
	unsigned long index;

	lockdep_assert_held(&userptr->lock);

	drm_userptr_for_each_window(window, userptr, index, start, end) {
		if (window->state == DRM_USERPTR_DYING)
			drm_userptr_window_release(userptr, window, index);
		if (blockable)
			cond_resched();
	}
}

/* The notifier is removed and nothing is bound: nobody else looks. */
void drm_userptr_windows_free(struct drm_userptr *userptr)
{
	struct drm_userptr_window *windows;
	unsigned long leaf;

	xa_for_each(&userptr->leaves, leaf, windows) {
		drm_userptr_account_metadata(userptr,
					     -drm_userptr_leaf_bytes(userptr, leaf));
		kfree(windows);
	}
	xa_destroy(&userptr->leaves);
}
