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
#include <drm/drm_userptr_client.h>
#include <drm/drm_userptr_export.h>
#include <drm/drm_userptr_import.h>

/* drm_userptr_window.c: what the pages of a window are, and where */

#define DRM_USERPTR_WINDOW_PAGES	(DRM_USERPTR_WINDOW_SIZE >> PAGE_SHIFT)

/**
 * enum drm_userptr_window_state - life of a window
 * @DRM_USERPTR_STALE: no pages; the next populate collects them
 * @DRM_USERPTR_POPULATING: a populate is collecting pages. An invalidation
 *	makes it stale, and by that the populate knows. No number is needed to
 *	tell one populate from another: &drm_userptr.populate_lock lets there be
 *	only one.
 * @DRM_USERPTR_HOLE: the last populate found no memory, or none that it may use
 * @DRM_USERPTR_VALID: pages collected; jobs may be committed
 * @DRM_USERPTR_DYING: the mm wants the pages back, jobs committed earlier may
 *	still use them
 *
 * A window that was never populated does not exist, which is as good as stale.
 */
enum drm_userptr_window_state {
	DRM_USERPTR_STALE,
	DRM_USERPTR_POPULATING,
	DRM_USERPTR_HOLE,
	DRM_USERPTR_VALID,
	DRM_USERPTR_DYING,
};

/*
 * A run is a piece of physical memory: the address, and in the bits that page
 * alignment leaves free the number of pages less one. Eight bytes for anything
 * from a page to a whole window.
 */
#define DRM_USERPTR_RUN_PAGES_MASK	((u64)DRM_USERPTR_WINDOW_PAGES - 1)
static_assert(DRM_USERPTR_WINDOW_PAGES <= PAGE_SIZE);

static inline u64 drm_userptr_run_addr(u64 run)
{
	return run & ~DRM_USERPTR_RUN_PAGES_MASK;
}

static inline u64 drm_userptr_run_size(u64 run)
{
	return ((run & DRM_USERPTR_RUN_PAGES_MASK) + 1) << PAGE_SHIFT;
}

/**
 * struct drm_userptr_window - pages of one window
 * @state: enum drm_userptr_window_state. Written under &drm_userptr.lock; a
 *	commit reads it with acquire semantics, see drm_userptr_window_valid().
 * @nr_runs: number of runs while valid or dying
 * @run: the run, if there is one
 * @runs: the runs, if there are more
 *
 * The runs are written before the state becomes valid and stay until it is
 * stale.
 */
struct drm_userptr_window {
	u32 state;
	u32 nr_runs;
	union {
		u64 run;
		u64 *runs;
	};
};

/* Windows are allocated so many at a time, those that the userptr does have. */
#define DRM_USERPTR_LEAF_WINDOWS	64

static inline unsigned long drm_userptr_window_index(unsigned long addr)
{
	return addr / DRM_USERPTR_WINDOW_SIZE;
}

static inline unsigned long
drm_userptr_window_start(const struct drm_userptr *userptr, unsigned long index)
{
	return max(userptr->start, index * DRM_USERPTR_WINDOW_SIZE);
}

static inline unsigned long
drm_userptr_window_end(const struct drm_userptr *userptr, unsigned long index)
{
	return min(userptr->end - 1,
		   index * DRM_USERPTR_WINDOW_SIZE + DRM_USERPTR_WINDOW_SIZE - 1) + 1;
}

static inline unsigned long
drm_userptr_window_npages(const struct drm_userptr *userptr,
			  unsigned long index)
{
	return (drm_userptr_window_end(userptr, index) -
		drm_userptr_window_start(userptr, index)) >> PAGE_SHIFT;
}

static inline const u64 *
drm_userptr_window_runs(const struct drm_userptr_window *window)
{
	return window->nr_runs == 1 ? &window->run : window->runs;
}

/* Length in bytes */
static inline unsigned long drm_userptr_size(const struct drm_userptr *userptr)
{
	return userptr->end - userptr->start;
}

/* How many windows a userptr has */
static inline unsigned long drm_userptr_windows(const struct drm_userptr *userptr)
{
	return drm_userptr_window_index(userptr->end - 1) -
	       drm_userptr_window_index(userptr->start) + 1;
}

struct drm_userptr_window *
drm_userptr_window_lookup(struct drm_userptr *userptr, unsigned long index);
struct drm_userptr_window *
drm_userptr_window_next(struct drm_userptr *userptr, unsigned long *index,
			unsigned long last);
struct drm_userptr_window *
drm_userptr_window_get(struct drm_userptr *userptr, unsigned long index);
struct drm_userptr_window *
drm_userptr_window_valid(struct drm_userptr *userptr, unsigned long index);
int drm_userptr_zero_page_init(void);
void drm_userptr_zero_page_fini(void);
u32 drm_userptr_runs_pack(u64 *runs, const unsigned long *pfns,
			  unsigned long npages);
u32 drm_userptr_runs_pack_pages(u64 *runs, struct page **pages,
				unsigned long npages);
void drm_userptr_window_set_runs(struct drm_userptr_window *window, u64 *runs,
				 u32 nr_runs);
void drm_userptr_window_set_valid(struct drm_userptr *userptr,
				  struct drm_userptr_window *window,
				  unsigned long index);
void drm_userptr_window_release(struct drm_userptr *userptr,
				struct drm_userptr_window *window,
				unsigned long index);

/* What of the windows in a range? */
enum drm_userptr_use {
	DRM_USERPTR_UNUSED,	/* no device reaches it */
	DRM_USERPTR_IN_USE,	/* valid windows */
	DRM_USERPTR_IN_DYING,	/* another invalidation is on its way */
};

enum drm_userptr_use drm_userptr_range_use(struct drm_userptr *userptr,
					   unsigned long start,
					   unsigned long end);
void drm_userptr_range_kill(struct drm_userptr *userptr, unsigned long start,
			    unsigned long end);
void drm_userptr_range_release(struct drm_userptr *userptr,
			       unsigned long start, unsigned long end,
			       bool blockable);
void drm_userptr_windows_free(struct drm_userptr *userptr);

/**
 * drm_userptr_for_each_window() - walk the windows that exist
 * @window__: struct drm_userptr_window *
 * @userptr__: of what
 * @index__: index of @window__
 * @start__: first CPU address, within the userptr
 * @end__: first CPU address after the range
 */
#define drm_userptr_for_each_window(window__, userptr__, index__, start__, end__) \
	for (index__ = drm_userptr_window_index(start__);		\
	     (window__ = drm_userptr_window_next(userptr__, &(index__),	\
						 drm_userptr_window_index((end__) - 1))); \
	     index__++)

/* drm_userptr_dma.c: where devices find them */

struct drm_userptr_dma;

bool drm_userptr_dma_coherent(struct device *dev);
struct drm_userptr_dma *drm_userptr_dma_get(struct drm_userptr *userptr,
					    struct device *dev);
void drm_userptr_dma_put(struct drm_userptr *userptr,
			 struct drm_userptr_dma *dma);
int drm_userptr_dma_reserve(struct drm_userptr *userptr,
			    struct drm_userptr_dma *dma, unsigned long index,
			    u32 nr_runs);
int drm_userptr_dma_map(struct drm_userptr *userptr,
			struct drm_userptr_dma *dma, unsigned long index,
			struct drm_userptr_window *window);
void drm_userptr_dma_unmap(struct drm_userptr *userptr,
			   struct drm_userptr_dma *dma, unsigned long index,
			   struct drm_userptr_window *window);
bool drm_userptr_dma_mapped(const struct drm_userptr *userptr,
			    const struct drm_userptr_dma *dma,
			    unsigned long index);
dma_addr_t drm_userptr_dma_piece(const struct drm_userptr *userptr,
				 struct drm_userptr_dma *dma,
				 unsigned long index,
				 const struct drm_userptr_window *window,
				 unsigned long cpu, u32 i, u64 *size);
void drm_userptr_dma_unmap_all(struct drm_userptr *userptr,
			       unsigned long index,
			       struct drm_userptr_window *window);

#if IS_ENABLED(CONFIG_KUNIT)
dma_addr_t drm_userptr_dma_map_phys(struct device *dev, phys_addr_t phys,
				    size_t size, enum dma_data_direction dir);
void drm_userptr_dma_unmap_phys(struct device *dev, dma_addr_t addr,
				size_t size, enum dma_data_direction dir);
struct dma_iova_state drm_userptr_iova_alloc(struct device *dev, size_t size);
void drm_userptr_iova_free(struct device *dev, struct dma_iova_state *state);
int drm_userptr_iova_link(struct device *dev, struct dma_iova_state *state,
			  phys_addr_t phys, size_t offset, size_t size,
			  enum dma_data_direction dir);
int drm_userptr_iova_sync(struct device *dev, struct dma_iova_state *state,
			  size_t offset, size_t size);
void drm_userptr_iova_unlink(struct device *dev, struct dma_iova_state *state,
			     size_t offset, size_t size,
			     enum dma_data_direction dir);
#endif

static inline bool drm_userptr_writable(const struct drm_userptr *userptr)
{
	return !(userptr->flags & DRM_USERPTR_READ_ONLY);
}

static inline enum dma_data_direction
drm_userptr_dma_direction(const struct drm_userptr *userptr)
{
	return drm_userptr_writable(userptr) ? DMA_BIDIRECTIONAL :
					       DMA_TO_DEVICE;
}

/* drm_userptr_populate.c: their contents */

/*
 * What a step of populate can come to, besides 0 and errors. Not for user
 * space, and positive, so that none can be taken for an errno.
 */

/* Lost to an invalidation: worth another try, and counted */
#define DRM_USERPTR_COLLISION	1
/* Lost to one that its own faults caused, as when they broke copy-on-write */
#define DRM_USERPTR_PROGRESS	2
/* A fault handler in user space must run first, see drm_userptr_fault() */
#define DRM_USERPTR_HANDLER	3
/* The mm is busy still: to be tried again at once, and not counted */
#define DRM_USERPTR_WAITING	4

/* Handlers in user space are not to be waited for: there is no memory. */
#define DRM_USERPTR_REFUSE_ALL	(ULONG_MAX - 1)

int drm_userptr_populate(struct drm_userptr *userptr,
			 struct drm_userptr_dma *dma, unsigned long index,
			 unsigned long refused, unsigned long *fault_addr);

/* drm_userptr_client.c: how much a client has */

int drm_userptr_client_charge(struct drm_userptr *userptr);
void drm_userptr_client_uncharge(struct drm_userptr *userptr);
void drm_userptr_client_add(struct drm_userptr *userptr);
void drm_userptr_client_del(struct drm_userptr *userptr);
void drm_userptr_client_add_vm(struct drm_userptr_vm *vm);
void drm_userptr_client_del_vm(struct drm_userptr_vm *vm);
void drm_userptr_account_metadata(struct drm_userptr *userptr, long bytes);
void drm_userptr_account_window(struct drm_userptr *userptr,
				const struct drm_userptr_window *window,
				unsigned long index, bool resident);

/* Both of the VM and of its client */
#define drm_userptr_vm_count(vm__, counter__) do {			\
	struct drm_userptr_vm *counted__ = (vm__);			\
									\
	atomic64_inc(&counted__->stats.counter__);			\
	if (counted__->client)						\
		atomic64_inc(&counted__->client->stats.counter__);	\
} while (0)

/* drm_userptr_fault.c: faults that user space handles */

int drm_userptr_fault(struct mm_struct *mm, unsigned long addr,
		      unsigned long end, bool write);

/* drm_userptr_hold.c: pages that stay until the commit */

void drm_userptr_hold_window(struct drm_userptr_submit *submit,
			     struct drm_userptr *userptr, unsigned long index);
void drm_userptr_hold_release(struct drm_userptr_submit *submit);

/* drm_userptr_pin.c: pages that stay */

void drm_userptr_unpin_runs(const u64 *runs, u32 nr, bool dirty);
int drm_userptr_pin(struct drm_userptr *userptr);
void drm_userptr_unpin(struct drm_userptr *userptr);

static inline bool drm_userptr_pinned(const struct drm_userptr *userptr)
{
	return userptr->flags & DRM_USERPTR_PIN;
}

/* drm_userptr_detach.c: pinned ones that are unmapped */

extern const struct mmu_interval_notifier_ops drm_userptr_detach_ops;

int drm_userptr_detach_wq_init(void);
void drm_userptr_detach_wq_fini(void);
void drm_userptr_detach_init(struct drm_userptr *userptr);
void drm_userptr_detach_continue(struct drm_userptr *userptr);
void drm_userptr_detach_fini(struct drm_userptr *userptr);

/* drm_userptr_export.c: userptrs as dma-bufs */

struct dma_buf *drm_userptr_export_get(struct drm_userptr *userptr);
bool drm_userptr_export_revoke(struct dma_buf *dmabuf);

/* drm_userptr_remote.c: userptrs of other processes */

int drm_userptr_remote_populate(struct drm_userptr_submit *submit,
				struct drm_userptr_binding *binding);
int drm_userptr_remote_wait(struct drm_userptr_submit *submit);

/* drm_userptr_submit.c */

int drm_userptr_populate_range(struct drm_userptr *userptr,
			       struct drm_userptr_dma *dma,
			       unsigned long start, unsigned long end,
			       unsigned long refused, bool holes,
			       unsigned long *windows,
			       unsigned long *fault_addr);
int drm_userptr_submit_check(struct drm_userptr_submit *submit);
void drm_userptr_binding_lost(struct drm_userptr_binding *binding, int err,
			      unsigned long fault_addr);
void drm_userptr_binding_found(struct drm_userptr_binding *binding);
bool drm_userptr_window_is_hole(struct drm_userptr *userptr,
				unsigned long index);

/* drm_userptr_wait.c */

int drm_userptr_wait_wq_init(void);
void drm_userptr_wait_wq_fini(void);
void drm_userptr_wait_init(struct drm_userptr *userptr);
void drm_userptr_wait_fini(struct drm_userptr *userptr);
int drm_userptr_read_begin(struct drm_userptr *userptr, unsigned long *seq);
void drm_userptr_wait_queue(struct work_struct *work);

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
int drm_userptr_fences_init(struct drm_userptr_fences *fences);
void drm_userptr_fences_fini(struct drm_userptr_fences *fences);
int drm_userptr_fences_reserve(struct drm_userptr_fences *fences, u32 nr);
void drm_userptr_fences_add(struct drm_userptr_fences *fences,
			    struct dma_fence *fence);

/* The jobs that can reach a binding */
static inline struct drm_userptr_fences *
drm_userptr_binding_fences(struct drm_userptr_binding *binding)
{
	struct drm_userptr_vm *vm = binding->vm;

	return vm->flags & DRM_USERPTR_VM_EXPLICIT ? &binding->fences :
						     &vm->fences;
}

/* drm_userptr_object.c */

u64 drm_userptr_new_id(void);

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

/* drm_userptr_import.c: dma-bufs */

int drm_userptr_import_wq_init(void);
void drm_userptr_import_wq_fini(void);
void drm_userptr_import_bind(struct drm_userptr_binding *binding);
void drm_userptr_import_unbind(struct drm_userptr_binding *binding);
void drm_userptr_import_forget(struct drm_userptr_binding *binding);
int drm_userptr_import_settle(struct drm_userptr_import *import);
int drm_userptr_import_validate(struct drm_userptr_import *import);
bool drm_userptr_import_commit(struct drm_userptr_binding *binding);

/* drm_userptr_preempt.c */

int drm_userptr_preempt_wq_init(void);
void drm_userptr_preempt_wq_fini(void);

/* drm_userptr_invalidate.c */

extern const struct mmu_interval_notifier_ops drm_userptr_notifier_ops;

/* Is a binding this invalidation's business? Under &drm_userptr.lock. */
static inline bool
drm_userptr_binding_hit(const struct drm_userptr_binding *binding,
			const struct drm_userptr_inval *inval)
{
	return binding->start < inval->end && binding->end > inval->start &&
	       binding->insert_seq < inval->seq &&
	       binding->remove_seq >= inval->seq;
}

#define drm_userptr_for_each_hit(binding__, userptr__, inval__)		\
	list_for_each_entry(binding__, &(userptr__)->bindings, link)	\
		for_each_if(drm_userptr_binding_hit(binding__, inval__))

void drm_userptr_binding_mark(struct drm_userptr_binding *binding,
			      struct drm_userptr_inval *inval);
void drm_userptr_binding_zap(struct drm_userptr_binding *binding,
			     struct drm_userptr_inval *inval);

int drm_userptr_inval_pool_init(void);
void drm_userptr_inval_pool_fini(void);

#if IS_ENABLED(CONFIG_KUNIT)
struct drm_userptr_inval *drm_userptr_inval_alloc(void);
#endif

void drm_userptr_inval_forced(struct drm_userptr *userptr, unsigned long start,
			      unsigned long end);

void drm_userptr_inval_zap(struct drm_userptr_binding *binding);
bool drm_userptr_inval_needs(struct drm_userptr_binding *binding);
void drm_userptr_inval_leave(struct drm_userptr_binding *binding);

/* drm_userptr_nonblock.c */

bool drm_userptr_invalidate_nonblock(struct drm_userptr *userptr,
				     unsigned long start, unsigned long end,
				     unsigned long cur_seq);

/* drm_userptr_inject.c: trouble on demand */

#if defined(CONFIG_DRM_USERPTR_FAULT_INJECTION) || IS_ENABLED(CONFIG_KUNIT)
bool drm_userptr_should_fail(void);
#else
static inline bool drm_userptr_should_fail(void)
{
	return false;
}
#endif

#ifdef CONFIG_DRM_USERPTR_FAULT_INJECTION
void drm_userptr_inject_init(void);
void drm_userptr_inject_fini(void);
#else
static inline void drm_userptr_inject_init(void)
{
}

static inline void drm_userptr_inject_fini(void)
{
}
#endif

/* An allocation that can be made to fail */
#define drm_userptr_alloc(expr__) \
	(drm_userptr_should_fail() ? NULL : (expr__))

#endif /* __DRM_USERPTR_INTERNAL_H__ */
