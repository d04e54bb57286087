/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_INTERNAL_H__
#define __DRM_USERPTR_INTERNAL_H__

#include <linux/align.h>
#include <linux/dma-mapping.h>
#include <linux/kref.h>
#include <linux/minmax.h>
#include <linux/overflow.h>

#include <drm/drm_userptr.h>

/* drm_userptr_window.c: what the pages of a window are, and where */

#define DRM_USERPTR_WINDOW_PAGES	(DRM_USERPTR_WINDOW_SIZE >> PAGE_SHIFT)

/**
 * enum drm_userptr_window_state - life of a window
 * @DRM_USERPTR_STALE: no pages; the next populate collects them
 * @DRM_USERPTR_POPULATING: a populate is collecting pages, see
 *	&drm_userptr_window.token
 * @DRM_USERPTR_VALID: pages collected and DMA-mapped; jobs may be committed
 * @DRM_USERPTR_DYING: the mm wants the pages back, jobs committed earlier may
 *	still use them
 *
 * A window that was never populated does not exist, which is as good as stale.
 */
enum drm_userptr_window_state {
	DRM_USERPTR_STALE,
	DRM_USERPTR_POPULATING,
	DRM_USERPTR_VALID,
	DRM_USERPTR_DYING,
};

/*
 * A run is a piece of DMA address space: the address, and in the bits that page
 * alignment leaves free the number of pages less one. Eight bytes for anything
 * from a page to a whole window.
 */
#define DRM_USERPTR_RUN_PAGES_MASK	((u64)DRM_USERPTR_WINDOW_PAGES - 1)
static_assert(DRM_USERPTR_WINDOW_PAGES <= PAGE_SIZE);

static inline dma_addr_t drm_userptr_run_addr(u64 run)
{
	return run & ~DRM_USERPTR_RUN_PAGES_MASK;
}

static inline u64 drm_userptr_run_size(u64 run)
{
	return ((run & DRM_USERPTR_RUN_PAGES_MASK) + 1) << PAGE_SHIFT;
}

/**
 * struct drm_userptr_window - pages of one window
 * @token: of the populate that is under way; valid while populating, zero when
 *	an invalidation came in between. Under &drm_userptr.lock.
 * @state: enum drm_userptr_window_state. Written under &drm_userptr.lock, with
 *	release semantics; a commit reads it with acquire semantics, see
 *	drm_userptr_window_valid().
 * @nr_runs: number of runs while valid or dying
 * @run: the run, if there is one
 * @runs: the runs, if there are more
 *
 * The runs are written before the state becomes valid and stay until it is
 * stale.
 */
struct drm_userptr_window {
	u64 token;
	u32 state;
	u32 nr_runs;
	union {
		u64 run;
		u64 *runs;
	};
};

static inline unsigned long drm_userptr_window_index(unsigned long addr)
{
	return addr / DRM_USERPTR_WINDOW_SIZE;
}

static inline unsigned long
drm_userptr_window_start(struct drm_userptr *userptr, unsigned long index)
{
	return max(userptr->start, index * DRM_USERPTR_WINDOW_SIZE);
}

static inline unsigned long
drm_userptr_window_end(struct drm_userptr *userptr, unsigned long index)
{
	return min(userptr->end - 1,
		   index * DRM_USERPTR_WINDOW_SIZE + DRM_USERPTR_WINDOW_SIZE - 1) + 1;
}

static inline const u64 *
drm_userptr_window_runs(const struct drm_userptr_window *window)
{
	return window->nr_runs == 1 ? &window->run : window->runs;
}

struct drm_userptr_window *
drm_userptr_window_get(struct drm_userptr *userptr, unsigned long index);
struct drm_userptr_window *
drm_userptr_window_valid(struct drm_userptr *userptr, unsigned long index);
int drm_userptr_zero_page_init(void);
void drm_userptr_zero_page_fini(void);
u32 drm_userptr_runs_pack(u64 *runs, const unsigned long *pfns,
			  unsigned long npages);
int drm_userptr_window_map(struct drm_userptr *userptr,
			   struct drm_userptr_window *window,
			   u64 *runs, u32 nr_runs);
void drm_userptr_window_unmap(struct drm_userptr *userptr,
			      struct drm_userptr_window *window);
void drm_userptr_windows_free(struct drm_userptr *userptr);

/* drm_userptr_populate.c */

int drm_userptr_populate(struct drm_userptr *userptr, unsigned long index,
			 unsigned long *fault_addr);

/**
 * DRM_USERPTR_COLLISION - a step of populate was lost to an invalidation
 *
 * Not an error for user space: the caller counts it and tries again. Positive,
 * so that it cannot be taken for an errno.
 */
#define DRM_USERPTR_COLLISION	1

/* drm_userptr_ledger.c */

/**
 * struct drm_userptr_ledger - the last fence of each context that has jobs
 * @ref: an invalidation's snapshot is a reference
 * @nr: number of @fences
 * @capacity: room for so many
 * @fences: each holds a reference
 *
 * Nothing in it changes while more than one reference exists.
 */
struct drm_userptr_ledger {
	struct kref ref;
	u32 nr;
	u32 capacity;
	struct dma_fence *fences[] __counted_by(capacity);
};

struct drm_userptr_ledger *drm_userptr_ledger_alloc(u32 capacity);
struct drm_userptr_ledger *
drm_userptr_ledger_get(struct drm_userptr_ledger *ledger);
void drm_userptr_ledger_put(struct drm_userptr_ledger *ledger);
bool drm_userptr_ledger_signaled(struct drm_userptr_ledger *ledger);
void drm_userptr_ledger_enable_signaling(struct drm_userptr_ledger *ledger);
long drm_userptr_ledger_wait(struct drm_userptr_ledger *ledger, bool intr);
int drm_userptr_vm_ledger_reserve(struct drm_userptr_vm *vm);
void drm_userptr_vm_ledger_add(struct drm_userptr_vm *vm,
			       struct dma_fence *fence);

/* drm_userptr_vm.c */

static inline unsigned long
drm_userptr_binding_first(const struct drm_userptr_binding *binding)
{
	return drm_userptr_window_index(binding->start);
}

static inline unsigned long
drm_userptr_binding_windows(const struct drm_userptr_binding *binding)
{
	return drm_userptr_window_index(binding->end - 1) -
	       drm_userptr_window_index(binding->start) + 1;
}

/* A commit, or whoever else serialises with it: notifier lock for read. */
#define drm_userptr_vm_assert_commit(vm__) do {				\
	drm_userptr_vm_assert_locked(vm__);				\
	lockdep_assert_held(&(vm__)->notifier_lock);			\
} while (0)

/* drm_userptr_invalidate.c */

extern const struct mmu_interval_notifier_ops drm_userptr_notifier_ops;

#endif /* __DRM_USERPTR_INTERNAL_H__ */
