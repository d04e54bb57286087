// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Windows and runs: which parts of a userptr are valid, and at which DMA
 * addresses they are. A window costs 24 bytes, and 8 for each run when it has
 * more than one; one that was never used costs nothing.
 */

#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "drm_userptr_internal.h"

/*
 * Get a window, making it if there is none yet. Entries are never taken out
 * before drm_userptr_fini(), so what a lockless reader finds stays.
 */
struct drm_userptr_window *
drm_userptr_window_get(struct drm_userptr *userptr, unsigned long index)
{
	struct drm_userptr_window *window;
	int err;

	lockdep_assert_held(&userptr->populate_lock);

	window = xa_load(&userptr->windows, index);
	if (window)
		return window;

	window = kzalloc_obj(*window, GFP_KERNEL_ACCOUNT);
	if (!window)
		return ERR_PTR(-ENOMEM);

	err = xa_insert(&userptr->windows, index, window, GFP_KERNEL_ACCOUNT);
	if (err) {
		kfree(window);
		return ERR_PTR(err);
	}

	return window;
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
	struct drm_userptr_window *window = xa_load(&userptr->windows, index);

	/* Pairs with smp_store_release() in drm_userptr_window_map(). */
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

/*
 * Turn what HMM found into runs of physically contiguous pages. Looks at
 * numbers only, so it needs no lock.
 */
u32 drm_userptr_runs_pack(u64 *runs, const unsigned long *pfns,
			  unsigned long npages)
{
	unsigned long i;
	u32 nr = 0;

	for (i = 0; i < npages; i++) {
		u64 phys = drm_userptr_pfn_to_phys(pfns[i]);

		if (nr && drm_userptr_run_addr(runs[nr - 1]) +
			  drm_userptr_run_size(runs[nr - 1]) == phys)
			runs[nr - 1]++;
		else
			runs[nr++] = phys;
	}

	return nr;
}

static enum dma_data_direction
drm_userptr_dma_direction(const struct drm_userptr *userptr)
{
	return userptr->flags & DRM_USERPTR_READ_ONLY ?
		DMA_TO_DEVICE : DMA_BIDIRECTIONAL;
}

/*
 * The device reaches the pages while the CPU does, so there is no ownership to
 * hand over and no bounce buffer to sync: mapping fails where one is needed.
 */
#define DRM_USERPTR_DMA_ATTRS	DMA_ATTR_REQUIRE_COHERENT

static void drm_userptr_runs_unmap(struct drm_userptr *userptr,
				   const u64 *runs, u32 nr_runs)
{
	enum dma_data_direction dir = drm_userptr_dma_direction(userptr);
	u32 i;

	for (i = 0; i < nr_runs; i++)
		dma_unmap_phys(userptr->dev, drm_userptr_run_addr(runs[i]),
			       drm_userptr_run_size(runs[i]), dir,
			       DRM_USERPTR_DMA_ATTRS);
}

/*
 * DMA-map the physical runs, in place, and make the window valid. Takes over
 * @runs (kmalloc'ed if more than one) if it succeeds.
 */
int drm_userptr_window_map(struct drm_userptr *userptr,
			   struct drm_userptr_window *window,
			   u64 *runs, u32 nr_runs)
{
	enum dma_data_direction dir = drm_userptr_dma_direction(userptr);
	u32 i;

	lockdep_assert_held(&userptr->lock);

	for (i = 0; i < nr_runs; i++) {
		u64 pages = runs[i] & DRM_USERPTR_RUN_PAGES_MASK;
		dma_addr_t dma;

		dma = dma_map_phys(userptr->dev, drm_userptr_run_addr(runs[i]),
				   drm_userptr_run_size(runs[i]), dir,
				   DRM_USERPTR_DMA_ATTRS);
		if (dma_mapping_error(userptr->dev, dma)) {
			drm_userptr_runs_unmap(userptr, runs, i);
			return -ENOMEM;
		}
		runs[i] = dma | pages;
	}

	window->nr_runs = nr_runs;
	if (nr_runs == 1)
		window->run = runs[0];
	else
		window->runs = runs;

	/* Pairs with smp_load_acquire() in drm_userptr_window_valid(). */
	smp_store_release(&window->state, DRM_USERPTR_VALID);

	return 0;
}

/*
 * Take the DMA mappings of a dying window down; it is stale from then on. Frees
 * memory but allocates none, so the notifier callback may call it.
 */
void drm_userptr_window_unmap(struct drm_userptr *userptr,
			      struct drm_userptr_window *window)
{
	lockdep_assert_held(&userptr->lock);

	drm_userptr_runs_unmap(userptr, drm_userptr_window_runs(window),
			       window->nr_runs);
	if (window->nr_runs > 1)
		kfree(window->runs);
	window->nr_runs = 0;

	WRITE_ONCE(window->state, DRM_USERPTR_STALE);
}

/* The notifier is removed and nothing is bound: nobody else looks. */
void drm_userptr_windows_free(struct drm_userptr *userptr)
{
	struct drm_userptr_window *window;
	unsigned long index;

	xa_for_each(&userptr->windows, index, window) {
		WARN_ON(window->state == DRM_USERPTR_VALID ||
			window->state == DRM_USERPTR_DYING);
		kfree(window);
	}
	xa_destroy(&userptr->windows);
}
