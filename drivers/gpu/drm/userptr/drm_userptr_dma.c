// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * DMA mappings: where a device finds the runs of a userptr.
 *
 * Pages are collected once for all devices; each device that the userptr is
 * bound on has a struct drm_userptr_dma. There are three ways to an address:
 *
 *   IOMMU	one piece of IO address space for the whole userptr, taken when
 *		the first binding comes. Runs are linked into it, and what is
 *		scattered in memory is one run to the device.
 *   direct	the physical address plus the same offset for every run. Nothing
 *		to remember.
 *   scattered	neither, as with some older IOMMUs: eight bytes for each run.
 *
 * The device reaches the pages while the CPU does, so there is no ownership to
 * hand over and no bounce buffer to sync: what would need one is refused.
 */

#include <linux/bitmap.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include "drm_userptr_internal.h"

#define DRM_USERPTR_DMA_ATTRS	DMA_ATTR_REQUIRE_COHERENT

/*
 * The DMA API, as far as tests stand in for an IOMMU
 */

VISIBLE_IF_KUNIT dma_addr_t
drm_userptr_dma_map_phys(struct device *dev, phys_addr_t phys, size_t size,
			 enum dma_data_direction dir)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_dma_map_phys, dev, phys, size,
				   dir);

	return dma_map_phys(dev, phys, size, dir, DRM_USERPTR_DMA_ATTRS);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_dma_map_phys);

VISIBLE_IF_KUNIT void
drm_userptr_dma_unmap_phys(struct device *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_dma_unmap_phys, dev, addr, size,
				   dir);

	dma_unmap_phys(dev, addr, size, dir, DRM_USERPTR_DMA_ATTRS);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_dma_unmap_phys);

/* State with an address, or without one if there is no IOMMU or no room. */
VISIBLE_IF_KUNIT struct dma_iova_state
drm_userptr_iova_alloc(struct device *dev, size_t size)
{
	struct dma_iova_state state;

	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_iova_alloc, dev, size);

	if (!dma_iova_try_alloc(dev, &state, 0, size))
		state = (struct dma_iova_state) {};

	return state;
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_iova_alloc);

VISIBLE_IF_KUNIT void
drm_userptr_iova_free(struct device *dev, struct dma_iova_state *state)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_iova_free, dev, state);

	dma_iova_free(dev, state);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_iova_free);

VISIBLE_IF_KUNIT int
drm_userptr_iova_link(struct device *dev, struct dma_iova_state *state,
		      phys_addr_t phys, size_t offset, size_t size,
		      enum dma_data_direction dir)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_iova_link, dev, state, phys,
				   offset, size, dir);

	return dma_iova_link(dev, state, phys, offset, size, dir,
			     DRM_USERPTR_DMA_ATTRS);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_iova_link);

VISIBLE_IF_KUNIT int
drm_userptr_iova_sync(struct device *dev, struct dma_iova_state *state,
		      size_t offset, size_t size)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_iova_sync, dev, state, offset,
				   size);

	return dma_iova_sync(dev, state, offset, size);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_iova_sync);

VISIBLE_IF_KUNIT void
drm_userptr_iova_unlink(struct device *dev, struct dma_iova_state *state,
			size_t offset, size_t size,
			enum dma_data_direction dir)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_iova_unlink, dev, state, offset,
				   size, dir);

	dma_iova_unlink(dev, state, offset, size, dir, DRM_USERPTR_DMA_ATTRS);
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_iova_unlink);

/**
 * struct drm_userptr_dma - DMA mappings of a userptr for one device
 * @dev: the device; constant, holds a reference
 * @link: in &drm_userptr.dmas, under &drm_userptr.lock
 * @users: bindings on this device, under &drm_userptr.lock
 * @iova: IO address space for the whole userptr, if there is an IOMMU; constant
 * @known: @offset is known, under &drm_userptr.lock
 * @scattered: @offset is not the same for all, so that @addrs is used from now
 *	on. Set under &drm_userptr.lock, read with READ_ONCE() without.
 * @offset: DMA address less physical address, where not in @addrs. Written
 *	before the first bit of @mapped.
 * @addrs: DMA address of each run, by window. Entries are made under
 *	&drm_userptr.populate_lock and change while the window is not mapped.
 * @mapped: a bit for each window: it is mapped. Set under &drm_userptr.lock
 *	while the window is not yet, or is, valid; cleared under it before the
 *	window is stale. See drm_userptr_dma_mapped() for readers without it.
 * @metadata: bytes that all this takes, under &drm_userptr.populate_lock
 */
struct drm_userptr_dma {
	struct device *dev;
	struct list_head link;
	unsigned int users;
	struct dma_iova_state iova;
	bool known;
	bool scattered;
	u64 offset;
	struct xarray addrs;
	unsigned long *mapped;
	long metadata;
};

/* Not dma_use_iova(), which knows the answer where no IOMMU is built in. */
static bool drm_userptr_dma_iova(const struct drm_userptr_dma *dma)
{
	return dma->iova.addr;
}

/*
 * Can this device work on memory while the CPU does? Neither bounce buffers nor
 * cache maintenance: the same test as in hmm_dma_map_alloc(). An IOMMU whose
 * pages are larger than the CPU's would need bounce buffers, too.
 */
bool drm_userptr_dma_coherent(struct device *dev)
{
#ifdef CONFIG_DMA_NEED_SYNC
	if (!dev_dma_skip_sync(dev))
		return false;
#endif
	return !dma_addressing_limited(dev) &&
	       dma_get_merge_boundary(dev) < PAGE_SIZE;
}

static struct drm_userptr_dma *drm_userptr_dma_find(struct drm_userptr *userptr,
						    struct device *dev)
{
	struct drm_userptr_dma *dma;

	lockdep_assert_held(&userptr->lock);

	list_for_each_entry(dma, &userptr->dmas, link)
		if (dma->dev == dev)
			return dma;

	return NULL;
}

static void drm_userptr_dma_free(struct drm_userptr_dma *dma)
{
	unsigned long index;
	u64 *addrs;

	if (drm_userptr_dma_iova(dma))
		drm_userptr_iova_free(dma->dev, &dma->iova);
	xa_for_each(&dma->addrs, index, addrs)
		kfree(addrs);
	xa_destroy(&dma->addrs);
	kvfree(dma->mapped);
	put_device(dma->dev);
	kfree(dma);
}

static struct drm_userptr_dma *drm_userptr_dma_new(struct drm_userptr *userptr,
						   struct device *dev)
{
	struct drm_userptr_dma *dma;
	unsigned long longs;

	dma = drm_userptr_alloc(kzalloc_obj(*dma, GFP_KERNEL_ACCOUNT));
	if (!dma)
		return NULL;

	dma->dev = get_device(dev);
	dma->users = 1;
	xa_init_flags(&dma->addrs, XA_FLAGS_ACCOUNT);
	longs = BITS_TO_LONGS(drm_userptr_windows(userptr));
	dma->mapped = drm_userptr_alloc(kvcalloc(longs, sizeof(long),
						 GFP_KERNEL_ACCOUNT));
	if (!dma->mapped) {
		drm_userptr_dma_free(dma);
		return NULL;
	}

	dma->metadata = sizeof(*dma) + longs * sizeof(long);

	/* Without it, or if the address space is too small: run by run. */
	dma->iova = drm_userptr_iova_alloc(dev, drm_userptr_size(userptr));

	return dma;
}

/* The userptr's mappings for a device; drop with drm_userptr_dma_put(). */
struct drm_userptr_dma *drm_userptr_dma_get(struct drm_userptr *userptr,
					    struct device *dev)
{
	struct drm_userptr_dma *dma, *new = NULL;

	if (!drm_userptr_dma_coherent(dev))
		return ERR_PTR(-EOPNOTSUPP);

	for (;;) {
		mutex_lock(&userptr->lock);
		dma = drm_userptr_dma_find(userptr, dev);
		if (dma)
			dma->users++;
		else if (new)
			list_add_tail(&new->link, &userptr->dmas);
		mutex_unlock(&userptr->lock);

		if (dma) {
			if (new)
				drm_userptr_dma_free(new);
			return dma;
		}
		if (new) {
			drm_userptr_account_metadata(userptr,
						     new->metadata);
			return new;
		}

		new = drm_userptr_dma_new(userptr, dev);
		if (!new)
			return ERR_PTR(-ENOMEM);
	}
}

/* Nothing of what is mapped may be in use by the device any more. */
void drm_userptr_dma_put(struct drm_userptr *userptr,
			 struct drm_userptr_dma *dma)
{
	unsigned long first = drm_userptr_window_index(userptr->start);
	unsigned long bit;

	scoped_guard(mutex, &userptr->lock) {
		if (--dma->users)
			return;

		for_each_set_bit(bit, dma->mapped, drm_userptr_windows(userptr)) {
			drm_userptr_dma_unmap(userptr, dma, first + bit,
					      drm_userptr_window_lookup(userptr, first + bit));
			cond_resched();
		}
		list_del(&dma->link);
	}

	drm_userptr_account_metadata(userptr, -dma->metadata);
	drm_userptr_dma_free(dma);
}

static unsigned long drm_userptr_dma_bit(const struct drm_userptr *userptr,
					 unsigned long index)
{
	return index - drm_userptr_window_index(userptr->start);
}

/*
 * Is the window mapped for the device? With an acquire, so that the addresses
 * can be used. Without &drm_userptr.lock only together with a valid window: see
 * drm_userptr_window_valid(), the bit goes away no earlier than the window.
 */
bool drm_userptr_dma_mapped(const struct drm_userptr *userptr,
			    const struct drm_userptr_dma *dma,
			    unsigned long index)
{
	/* Pairs with smp_mb__before_atomic() in drm_userptr_dma_map(). */
	return test_bit_acquire(drm_userptr_dma_bit(userptr, index),
				dma->mapped);
}

/* Have the memory that mapping a window of @nr_runs takes, outside the lock. */
int drm_userptr_dma_reserve(struct drm_userptr *userptr,
			    struct drm_userptr_dma *dma, unsigned long index,
			    u32 nr_runs)
{
	u64 *addrs, *old;
	long bytes;

	lockdep_assert_held(&userptr->populate_lock);

	if (!READ_ONCE(dma->scattered))
		return 0;

	addrs = drm_userptr_alloc(kmalloc_array(nr_runs, sizeof(*addrs),
						GFP_KERNEL_ACCOUNT));
	if (!addrs)
		return -ENOMEM;

	old = drm_userptr_should_fail() ? XA_ERROR(-ENOMEM) :
	      xa_store(&dma->addrs, index, addrs, GFP_KERNEL_ACCOUNT);
	if (xa_is_err(old)) {
		kfree(addrs);
		return xa_err(old);
	}
	/* @old may have been for another number of runs. */
	bytes = (long)ksize(addrs) - (long)ksize(old);
	dma->metadata += bytes;
	drm_userptr_account_metadata(userptr, bytes);
	/* Of a time when the window was mapped; it is not now. */
	kfree(old);

	return 0;
}

static u64 drm_userptr_dma_addr(const struct drm_userptr_dma *dma,
				const u64 *addrs, const u64 *runs, u32 i)
{
	return addrs ? addrs[i] : drm_userptr_run_addr(runs[i]) + dma->offset;
}

static void drm_userptr_dma_unmap_runs(struct drm_userptr_dma *dma,
				       enum dma_data_direction dir,
				       const u64 *addrs, const u64 *runs,
				       u32 nr_runs)
{
	u32 i;

	for (i = 0; i < nr_runs; i++)
		drm_userptr_dma_unmap_phys(dma->dev,
					   drm_userptr_dma_addr(dma, addrs, runs, i),
					   drm_userptr_run_size(runs[i]), dir);
}

/* Where a run was mapped; false if there is no place to remember it. */
static bool drm_userptr_dma_note(struct drm_userptr_dma *dma, u64 *addrs, u32 i,
				 u64 phys, dma_addr_t addr)
{
	if (addrs) {
		addrs[i] = addr;
		return true;
	}

	if (!dma->known) {
		dma->known = true;
		dma->offset = addr - phys;
	}

	return dma->offset == addr - phys;
}

static int drm_userptr_dma_map_runs(struct drm_userptr_dma *dma,
				    enum dma_data_direction dir,
				    u64 *addrs, const u64 *runs, u32 nr_runs)
{
	u32 i;

	for (i = 0; i < nr_runs; i++) {
		u64 phys = drm_userptr_run_addr(runs[i]);
		u64 size = drm_userptr_run_size(runs[i]);
		dma_addr_t addr;

		addr = drm_userptr_dma_map_phys(dma->dev, phys, size, dir);
		if (dma_mapping_error(dma->dev, addr)) {
			drm_userptr_dma_unmap_runs(dma, dir, addrs, runs, i);
			return -ENOMEM;
		}
		if (!drm_userptr_dma_note(dma, addrs, i, phys, addr)) {
			drm_userptr_dma_unmap_phys(dma->dev, addr, size, dir);
			drm_userptr_dma_unmap_runs(dma, dir, addrs, runs, i);
			WRITE_ONCE(dma->scattered, true);
			return DRM_USERPTR_COLLISION;
		}
	}

	return 0;
}

static int drm_userptr_dma_link_runs(struct drm_userptr_dma *dma,
				     enum dma_data_direction dir, u64 offset,
				     const u64 *runs, u32 nr_runs)
{
	u64 linked = 0;
	int err;
	u32 i;

	for (i = 0; i < nr_runs; i++) {
		u64 size = drm_userptr_run_size(runs[i]);

		err = drm_userptr_iova_link(dma->dev, &dma->iova,
					    drm_userptr_run_addr(runs[i]),
					    offset + linked, size, dir);
		if (err)
			goto err_unlink;
		linked += size;
	}

	err = drm_userptr_iova_sync(dma->dev, &dma->iova, offset, linked);
	if (err)
		goto err_unlink;

	return 0;

err_unlink:
	if (linked)
		drm_userptr_iova_unlink(dma->dev, &dma->iova, offset, linked,
					dir);
	return err;
}

/*
 * Map a window, whose runs are known, for the device.
 *
 * Returns 0; DRM_USERPTR_COLLISION if drm_userptr_dma_reserve() has to come
 * first; -ENOMEM or another error of the DMA API.
 */
int drm_userptr_dma_map(struct drm_userptr *userptr,
			struct drm_userptr_dma *dma, unsigned long index,
			struct drm_userptr_window *window)
{
	enum dma_data_direction dir = drm_userptr_dma_direction(userptr);
	const u64 *runs = drm_userptr_window_runs(window);
	int err;

	lockdep_assert_held(&userptr->lock);

	if (drm_userptr_should_fail())
		return -ENOMEM;

	if (drm_userptr_dma_iova(dma))
		err = drm_userptr_dma_link_runs(dma, dir,
						drm_userptr_window_start(userptr, index) -
						userptr->start,
						runs, window->nr_runs);
	else
		err = drm_userptr_dma_map_runs(dma, dir,
					       xa_load(&dma->addrs, index),
					       runs, window->nr_runs);
	if (err)
		return err;

	/* Pairs with test_bit_acquire() in drm_userptr_dma_mapped(). */
	smp_mb__before_atomic();
	set_bit(drm_userptr_dma_bit(userptr, index), dma->mapped);

	return 0;
}

/*
 * Undo it; no effect if it is not mapped. Allocates nothing, so the notifier
 * callback may call it.
 */
void drm_userptr_dma_unmap(struct drm_userptr *userptr,
			   struct drm_userptr_dma *dma, unsigned long index,
			   struct drm_userptr_window *window)
{
	enum dma_data_direction dir = drm_userptr_dma_direction(userptr);
	unsigned long bit = drm_userptr_dma_bit(userptr, index);

	lockdep_assert_held(&userptr->lock);

	if (!test_bit(bit, dma->mapped))
		return;

	if (drm_userptr_dma_iova(dma)) {
		unsigned long start = drm_userptr_window_start(userptr, index);
		unsigned long end = drm_userptr_window_end(userptr, index);

		drm_userptr_iova_unlink(dma->dev, &dma->iova,
					start - userptr->start, end - start,
					dir);
	} else {
		drm_userptr_dma_unmap_runs(dma, dir,
					   xa_load(&dma->addrs, index),
					   drm_userptr_window_runs(window),
					   window->nr_runs);
	}

	clear_bit(bit, dma->mapped);
}

/* On all devices. */
void drm_userptr_dma_unmap_all(struct drm_userptr *userptr,
			       unsigned long index,
			       struct drm_userptr_window *window)
{
	struct drm_userptr_dma *dma;

	lockdep_assert_held(&userptr->lock);

	list_for_each_entry(dma, &userptr->dmas, link)
		drm_userptr_dma_unmap(userptr, dma, index, window);
}

/*
 * The piece of a mapped window that begins at CPU address @cpu, as the device
 * sees it: its DMA address, and in @size its length. @i counts the pieces.
 */
dma_addr_t drm_userptr_dma_piece(const struct drm_userptr *userptr,
				 struct drm_userptr_dma *dma,
				 unsigned long index,
				 const struct drm_userptr_window *window,
				 unsigned long cpu, u32 i, u64 *size)
{
	const u64 *runs = drm_userptr_window_runs(window);

	if (drm_userptr_dma_iova(dma)) {
		*size = drm_userptr_window_end(userptr, index) - cpu;
		return dma->iova.addr + (cpu - userptr->start);
	}

	*size = drm_userptr_run_size(runs[i]);

	return drm_userptr_dma_addr(dma, xa_load(&dma->addrs, index), runs, i);
}
