// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * The ledger: which fences an invalidation must wait for.
 *
 * A dma_resv would not do. Others may add to it, user space among them; an
 * unlocked walk restarts and catches jobs that were committed later; copying
 * one allocates. Here a snapshot is a reference: a commit adds to the ledger in
 * place while nobody else looks at it, and to a copy, whose memory was reserved
 * beforehand, while somebody does. Jobs committed after the snapshot are not in
 * it, and cannot reach the old pages.
 *
 * Contexts signal in order, so the last fence of each is enough.
 */

#include <linux/dma-fence.h>
#include <linux/slab.h>

#include "drm_userptr_internal.h"

#define DRM_USERPTR_LEDGER_MIN	4

struct drm_userptr_ledger *drm_userptr_ledger_alloc(u32 capacity)
{
	struct drm_userptr_ledger *ledger;

	ledger = drm_userptr_alloc(kzalloc_flex(*ledger, fences, capacity,
						GFP_KERNEL_ACCOUNT));
	if (!ledger)
		return NULL;

	kref_init(&ledger->ref);
	ledger->capacity = capacity;

	return ledger;
}

static void drm_userptr_ledger_release(struct kref *ref)
{
	struct drm_userptr_ledger *ledger =
		container_of(ref, typeof(*ledger), ref);
	u32 i;

	for (i = 0; i < ledger->nr; i++)
		dma_fence_put(ledger->fences[i]);
	kfree(ledger);
}

struct drm_userptr_ledger *
drm_userptr_ledger_get(struct drm_userptr_ledger *ledger)
{
	kref_get(&ledger->ref);
	return ledger;
}

void drm_userptr_ledger_put(struct drm_userptr_ledger *ledger)
{
	kref_put(&ledger->ref, drm_userptr_ledger_release);
}

bool drm_userptr_ledger_signaled(struct drm_userptr_ledger *ledger)
{
	u32 i;

	for (i = 0; i < ledger->nr; i++)
		if (!dma_fence_is_signaled(ledger->fences[i]))
			return false;

	return true;
}

/* So that several devices work towards it while the first is waited for. */
void drm_userptr_ledger_enable_signaling(struct drm_userptr_ledger *ledger)
{
	u32 i;

	for (i = 0; i < ledger->nr; i++)
		dma_fence_enable_sw_signaling(ledger->fences[i]);
}

/* Returns 0, or -ERESTARTSYS if @intr. There is no time-out on purpose. */
long drm_userptr_ledger_wait(struct drm_userptr_ledger *ledger, bool intr)
{
	long ret;
	u32 i;

	for (i = 0; i < ledger->nr; i++) {
		ret = dma_fence_wait(ledger->fences[i], intr);
		if (ret < 0)
			return ret;
	}

	return 0;
}

int drm_userptr_fences_init(struct drm_userptr_fences *fences)
{
	fences->ledger = drm_userptr_ledger_alloc(0);

	return fences->ledger ? 0 : -ENOMEM;
}

void drm_userptr_fences_fini(struct drm_userptr_fences *fences)
{
	drm_userptr_ledger_put(fences->ledger);
	kfree(fences->spare);
}

/*
 * Make sure that the next @nr drm_userptr_fences_add() find memory. Under the
 * VM's outer lock.
 */
int drm_userptr_fences_reserve(struct drm_userptr_fences *fences, u32 nr)
{
	u32 needed = fences->ledger->nr + nr;

	if (fences->spare && fences->spare->capacity >= needed)
		return 0;

	kfree(fences->spare);
	/* Twice as much: not one allocation for each new context. */
	fences->spare = drm_userptr_ledger_alloc(max(2 * needed,
						     DRM_USERPTR_LEDGER_MIN));

	return fences->spare ? 0 : -ENOMEM;
}

/* Put @fence in, in place of an older one of its context or of a done one. */
static bool drm_userptr_ledger_insert(struct drm_userptr_ledger *ledger,
				      struct dma_fence *fence)
{
	u32 i, slot = ledger->nr;

	for (i = 0; i < ledger->nr; i++) {
		if (ledger->fences[i]->context == fence->context) {
			slot = i;
			break;
		}
		if (dma_fence_is_signaled(ledger->fences[i]))
			slot = i;
	}

	if (slot == ledger->capacity)
		return false;

	if (slot == ledger->nr)
		ledger->nr++;
	else
		dma_fence_put(ledger->fences[slot]);
	ledger->fences[slot] = dma_fence_get(fence);

	return true;
}

/*
 * Record the fence of a job, before the job is published. Cannot fail. Within a
 * commit, see drm_userptr_vm_assert_commit().
 */
void drm_userptr_fences_add(struct drm_userptr_fences *fences,
			    struct dma_fence *fence)
{
	struct drm_userptr_ledger *old = fences->ledger, *new = fences->spare;
	u32 i;

	/*
	 * References are taken with the notifier lock held for write or under
	 * the outer lock, so one can only go away while we look. The control
	 * dependency from this read to the stores of the insertion pairs with
	 * the release in kref_put(): its owner has done looking. Nobody has one
	 * of a copy made in the same commit, so several fences need one spare.
	 */
	if (kref_read(&old->ref) == 1 && drm_userptr_ledger_insert(old, fence))
		return;

	fences->spare = NULL;
	for (i = 0; i < old->nr; i++)
		if (!dma_fence_is_signaled(old->fences[i]))
			drm_userptr_ledger_insert(new, old->fences[i]);
	drm_userptr_ledger_insert(new, fence);

	fences->ledger = new;
	drm_userptr_ledger_put(old);
}
