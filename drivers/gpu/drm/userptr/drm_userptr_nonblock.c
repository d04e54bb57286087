// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Invalidations that must not sleep: those of the OOM reaper and of
 * process_mrelease(). Everything is done at once and by trylock, or nothing is.
 */

#include <linux/mmu_notifier.h>

#include "drm_userptr_internal.h"

/* Is the VM of @last that of a binding before it, too? */
static bool drm_userptr_vm_seen(struct drm_userptr *userptr,
				struct drm_userptr_inval *inval,
				struct drm_userptr_binding *last)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		if (binding == last)
			return false;
		if (binding->vm == last->vm)
			return true;
	}

	return false;
}

/* Up to a binding, or all if that is NULL. */
static void drm_userptr_unlock_vms(struct drm_userptr *userptr,
				   struct drm_userptr_inval *inval,
				   struct drm_userptr_binding *until)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		if (binding == until)
			return;
		if (!drm_userptr_vm_seen(userptr, inval, binding))
			up_write(&binding->vm->notifier_lock);
	}
}

/* With the notifier locks of all VMs that are hit */
static bool drm_userptr_vms_idle(struct drm_userptr *userptr,
				 struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		struct drm_userptr_fences *fences;

		fences = drm_userptr_binding_fences(binding);
		if (!drm_userptr_ledger_signaled(fences->ledger))
			return false;
	}

	return true;
}

/*
 * Take the notifier locks of all VMs that are hit, if they are free and idle.
 * Two at once, but by trylock, which cannot deadlock. All or none.
 */
static bool drm_userptr_trylock_idle_vms(struct drm_userptr *userptr,
					 struct drm_userptr_inval *inval)
{
	struct drm_userptr_binding *binding;

	drm_userptr_for_each_hit(binding, userptr, inval) {
		if (drm_userptr_vm_seen(userptr, inval, binding))
			continue;

		if (!down_write_trylock(&binding->vm->notifier_lock)) {
			drm_userptr_unlock_vms(userptr, inval, binding);
			return false;
		}
	}

	if (!drm_userptr_vms_idle(userptr, inval)) {
		drm_userptr_unlock_vms(userptr, inval, NULL);
		return false;
	}

	return true;
}

/*
 * The OOM reaper must not sleep. If the userptr and its VMs are idle and nobody
 * holds their locks it gets its memory; otherwise it is refused at once, with
 * everything left as it was.
 */
bool drm_userptr_invalidate_nonblock(struct drm_userptr *userptr,
				     unsigned long start, unsigned long end,
				     unsigned long cur_seq)
{
	struct drm_userptr_inval inval = {
		.start = start,
		.end = end,
	};
	struct drm_userptr_binding *binding;
	bool done = false;

	if (!mutex_trylock(&userptr->lock))
		return false;

	switch (drm_userptr_range_use(userptr, start, end)) {
	case DRM_USERPTR_UNUSED:
		mmu_interval_set_seq(&userptr->notifier, cur_seq);
		drm_userptr_range_kill(userptr, start, end);
		done = true;
		break;
	case DRM_USERPTR_IN_DYING:
		break;
	case DRM_USERPTR_IN_USE:
		/* Not on the list: over before the lock is dropped. */
		inval.seq = userptr->inval_seq + 1;
		if (!drm_userptr_trylock_idle_vms(userptr, &inval))
			break;

		mmu_interval_set_seq(&userptr->notifier, cur_seq);
		drm_userptr_range_kill(userptr, start, end);
		drm_userptr_for_each_hit(binding, userptr, &inval) {
			struct drm_userptr_vm *vm = binding->vm;

			drm_userptr_binding_mark(binding, &inval);
			drm_userptr_binding_zap(binding, &inval);
			vm->ops->tlb_wait(vm, vm->ops->tlb_submit(vm));
		}
		drm_userptr_range_release(userptr, start, end, false);
		drm_userptr_unlock_vms(userptr, &inval, NULL);
		userptr->inval_seq++;
		done = true;
		break;
	}

	mutex_unlock(&userptr->lock);

	return done;
}
