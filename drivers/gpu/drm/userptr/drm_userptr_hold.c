// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Getting through: a submission needs all of its windows valid at the same time.
 * When the kernel takes pages away as fast as they are collected, each of them is
 * valid now and then, and never all. A submission that has lost many steps
 * therefore holds on to the pages that it collects, until it is committed.
 *
 * A page that is pinned is left alone by reclaim, compaction, NUMA balancing,
 * same-page merging and khugepaged; what the process itself does to its mappings
 * is not held up, and still invalidates. Reclaim unmaps pages of files and of
 * the swap cache before it looks for pins, but it cannot free them: getting them
 * back takes no I/O. The pin lasts no longer than the ioctl, so it is none of
 * the kind that has to be paid for.
 */

#include <linux/mm.h>
#include <linux/rbtree.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/userfaultfd_k.h>

#include "drm_userptr_internal.h"

/**
 * struct drm_userptr_hold - pages of a window that a submission holds
 * @node: in &drm_userptr_submit.holds
 * @userptr: whose window; many that are small can have the same index
 * @index: which of its windows
 * @nr_runs: how many runs
 * @runs: where they are, see drm_userptr_run_addr()
 */
struct drm_userptr_hold {
	struct rb_node node;
	struct drm_userptr *userptr;
	unsigned long index;
	u32 nr_runs;
	u64 runs[] __counted_by(nr_runs);
};

static void drm_userptr_hold_free(struct drm_userptr_hold *hold)
{
	/* Dirty already, from when they were populated. */
	drm_userptr_unpin_runs(hold->runs, hold->nr_runs, false);
	kfree(hold);
}

static struct drm_userptr_hold *
drm_userptr_hold_pages(struct page **pages, unsigned long npages)
{
	struct drm_userptr_hold *hold;
	u64 *runs;
	u32 nr;

	runs = drm_userptr_alloc(kmalloc_array(npages, sizeof(*runs),
					       GFP_KERNEL));
	if (!runs)
		return NULL;
	nr = drm_userptr_runs_pack_pages(runs, pages, npages);
	hold = drm_userptr_alloc(kmalloc_flex(*hold, runs, nr,
					      GFP_KERNEL_ACCOUNT));
	if (hold) {
		hold->nr_runs = nr;
		memcpy(hold->runs, runs, nr * sizeof(*runs));
	}
	kfree(runs);

	return hold;
}

static int drm_userptr_hold_cmp(struct rb_node *node,
				const struct rb_node *other)
{
	const struct drm_userptr_hold *a, *b;

	a = rb_entry(node, struct drm_userptr_hold, node);
	b = rb_entry(other, struct drm_userptr_hold, node);

	return cmp_int(a->userptr, b->userptr) ?: cmp_int(a->index, b->index);
}

/* What was held before is of a mapping that is gone. */
static void drm_userptr_hold_store(struct drm_userptr_submit *submit,
				   struct drm_userptr_hold *hold)
{
	struct rb_node *old;

	old = rb_find_add(&hold->node, &submit->holds, drm_userptr_hold_cmp);
	if (!old)
		return;

	rb_replace_node(old, &hold->node, &submit->holds);
	drm_userptr_hold_free(rb_entry(old, struct drm_userptr_hold, node));
}

/*
 * Pins without waiting for handlers in user space, as populate does not either.
 * Nor for the mmap lock: who has it for write is changing the mappings, and
 * against that a pin does not help.
 */
static long drm_userptr_hold_pin(struct drm_userptr *userptr,
				 unsigned long start, unsigned long npages,
				 struct page **pages)
{
	struct mm_struct *mm = userptr->mm;
	struct vm_area_struct *vma;
	long ret = 0;

	if (!mmap_read_trylock(mm))
		return 0;
	vma = vma_lookup(mm, start);
	if (vma && vma->vm_end >= start + npages * PAGE_SIZE &&
	    !userfaultfd_armed(vma))
		ret = pin_user_pages_remote(mm, start, npages,
					    drm_userptr_writable(userptr) ?
					    FOLL_WRITE : 0, pages, NULL);
	mmap_read_unlock(mm);

	return max(ret, 0);
}

/*
 * Hold what is in a window from now to drm_userptr_hold_release(). To be called
 * before the window is populated, with no lock but the VM's outer one. If it
 * does not succeed, nothing is lost but a chance.
 */
void drm_userptr_hold_window(struct drm_userptr_submit *submit,
			     struct drm_userptr *userptr, unsigned long index)
{
	unsigned long start = drm_userptr_window_start(userptr, index);
	unsigned long npages = drm_userptr_window_npages(userptr, index);
	struct drm_userptr_hold *hold = NULL;
	struct page **pages;
	long pinned;

	if (drm_userptr_pinned(userptr) || !mmget_not_zero(userptr->mm))
		return;

	pages = drm_userptr_alloc(kmalloc_array(npages, sizeof(*pages),
						GFP_KERNEL));
	if (!pages)
		goto out_mmput;

	pinned = drm_userptr_hold_pin(userptr, start, npages, pages);
	if (pinned)
		hold = drm_userptr_hold_pages(pages, pinned);
	if (!hold) {
		unpin_user_pages(pages, pinned);
		goto out_free;
	}

	hold->userptr = userptr;
	hold->index = index;
	drm_userptr_hold_store(submit, hold);

out_free:
	kfree(pages);
out_mmput:
	/* Not mmput(): exit_mmap() calls back, and callers hold locks. */
	mmput_async(userptr->mm);
}

void drm_userptr_hold_release(struct drm_userptr_submit *submit)
{
	struct drm_userptr_hold *hold, *next;

	rbtree_postorder_for_each_entry_safe(hold, next, &submit->holds, node)
		drm_userptr_hold_free(hold);
	submit->holds = RB_ROOT;
}
