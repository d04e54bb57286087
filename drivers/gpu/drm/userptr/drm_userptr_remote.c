// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Userptrs of another process, by way of a dma-buf. Their pages are collected by
 * a worker, in the name of the owner: it is the owner who is charged for them,
 * and faults that take long, as its mmap lock may, are not waited for with a
 * lock of the importer held. Who submits can be interrupted, the worker goes on.
 *
 * The worker has a reference to the dma-buf, by which the userptr stays. That
 * there is one is for certain when a binding of it is at hand.
 */

#include <linux/dma-buf.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "drm_userptr_internal.h"

/**
 * struct drm_userptr_remote - pages to be collected
 * @work: does it
 * @ref: one for @work, one for who waits
 * @dmabuf: keeps @userptr
 * @userptr: whose pages
 * @dma: for which device
 * @start: first CPU address
 * @end: first CPU address after the range
 * @holes: do not end at the first address without memory
 * @done: completed when the rest is known
 * @err: what came of it
 * @fault_addr: CPU address that an -EFAULT or -EPERM is about
 * @windows: how many were populated
 */
struct drm_userptr_remote {
	struct work_struct work;
	struct kref ref;
	struct dma_buf *dmabuf;
	struct drm_userptr *userptr;
	struct drm_userptr_dma *dma;
	unsigned long start;
	unsigned long end;
	bool holes;
	struct completion done;
	int err;
	unsigned long fault_addr;
	unsigned long windows;
};

static void drm_userptr_remote_release(struct kref *ref)
{
	struct drm_userptr_remote *remote =
		container_of(ref, typeof(*remote), ref);

	drm_userptr_dma_put(remote->userptr, remote->dma);
	dma_buf_put(remote->dmabuf);
	kfree(remote);
}

static void drm_userptr_remote_put(struct drm_userptr_remote *remote)
{
	kref_put(&remote->ref, drm_userptr_remote_release);
}

static void drm_userptr_remote_work(struct work_struct *work)
{
	struct drm_userptr_remote *remote =
		container_of(work, typeof(*remote), work);
	struct mem_cgroup *memcg, *old;

	memcg = get_mem_cgroup_from_mm(remote->userptr->mm);
	old = set_active_memcg(memcg);
	remote->err = drm_userptr_populate_range(remote->userptr, remote->dma,
						 remote->start, remote->end,
						 DRM_USERPTR_REFUSE_ALL,
						 remote->holes,
						 &remote->windows,
						 &remote->fault_addr);
	set_active_memcg(old);
	mem_cgroup_put(memcg);

	complete_all(&remote->done);
	drm_userptr_remote_put(remote);
}

static struct drm_userptr_remote *
drm_userptr_remote_new(struct drm_userptr_binding *binding)
{
	struct drm_userptr *userptr = binding->userptr;
	struct drm_userptr_remote *remote;
	int err;

	remote = drm_userptr_alloc(kzalloc_obj(*remote));
	if (!remote)
		return ERR_PTR(-ENOMEM);

	/* Bound without a dma-buf: there is no reason to let go of it. */
	remote->dmabuf = drm_userptr_export_get(userptr);
	if (WARN_ON(!remote->dmabuf)) {
		err = -EPERM;
		goto err_free;
	}

	remote->dma = drm_userptr_dma_get(userptr, binding->vm->dev);
	if (IS_ERR(remote->dma)) {
		err = PTR_ERR(remote->dma);
		goto err_put;
	}

	kref_init(&remote->ref);
	INIT_WORK(&remote->work, drm_userptr_remote_work);
	init_completion(&remote->done);
	remote->userptr = userptr;
	remote->start = binding->start;
	remote->end = binding->end;
	remote->holes = binding->vm->flags & DRM_USERPTR_VM_HOLES;

	return remote;

err_put:
	dma_buf_put(remote->dmabuf);
err_free:
	kfree(remote);
	return ERR_PTR(err);
}

enum drm_userptr_remote_state {
	DRM_USERPTR_REMOTE_VALID,	/* nothing to collect */
	DRM_USERPTR_REMOTE_HOLES,	/* nothing, when last looked at */
	DRM_USERPTR_REMOTE_STALE,	/* something, maybe */
};

/* Advisory, as for those of the own process: the commit looks again. */
static enum drm_userptr_remote_state
drm_userptr_remote_state(struct drm_userptr_binding *binding,
			 unsigned long *hole)
{
	enum drm_userptr_remote_state state = DRM_USERPTR_REMOTE_VALID;
	unsigned long nr = drm_userptr_binding_windows(binding);
	unsigned long first = drm_userptr_binding_first(binding);
	struct drm_userptr *userptr = binding->userptr;
	unsigned long bit;

	for_each_clear_bit(bit, binding->mapped, nr) {
		if (drm_userptr_window_valid(userptr, first + bit) &&
		    drm_userptr_dma_mapped(userptr, binding->dma, first + bit))
			continue;
		if (!drm_userptr_window_is_hole(userptr, first + bit))
			return DRM_USERPTR_REMOTE_STALE;
		if (state == DRM_USERPTR_REMOTE_VALID)
			*hole = drm_userptr_window_start(userptr, first + bit);
		state = DRM_USERPTR_REMOTE_HOLES;
	}

	return state;
}

/* Has the last run been for this binding? Others may be gone since. */
static bool drm_userptr_remote_is_for(const struct drm_userptr_submit *submit,
				      const struct drm_userptr_binding *binding)
{
	const struct drm_userptr_remote_result *result = &submit->remote_result;

	return result->id == binding->userptr->id &&
	       result->start == binding->start && result->end == binding->end;
}

/* Take note of what the last run found, if that was for this binding. */
static bool drm_userptr_remote_take(struct drm_userptr_submit *submit,
				    struct drm_userptr_binding *binding)
{
	struct drm_userptr_remote_result *result = &submit->remote_result;
	struct drm_userptr_vm *vm = binding->vm;

	if (!drm_userptr_remote_is_for(submit, binding))
		return false;

	for (; result->windows; result->windows--)
		drm_userptr_vm_count(vm, windows);
	if (result->err) {
		binding->remote_serial = submit->serial;
		drm_userptr_binding_lost(binding, result->err,
					 result->fault_addr);
	}
	*result = (struct drm_userptr_remote_result) {};

	return true;
}

/*
 * Is there nothing left to be done for now? Memory that is gone is looked for
 * once in a submission; a worker leaves that to the others.
 */
static bool drm_userptr_remote_settled(struct drm_userptr_submit *submit,
				       struct drm_userptr_binding *binding)
{
	unsigned long hole;

	switch (drm_userptr_remote_state(binding, &hole)) {
	case DRM_USERPTR_REMOTE_VALID:
		drm_userptr_binding_found(binding);
		return true;
	case DRM_USERPTR_REMOTE_HOLES:
		if (!submit->wanted && binding->remote_serial != submit->serial)
			return false;
		drm_userptr_binding_lost(binding, -EFAULT, hole);
		return true;
	default:
		/* Without holes the first that is gone is enough. */
		return binding->error &&
		       !(binding->vm->flags & DRM_USERPTR_VM_HOLES);
	}
}

/*
 * What populating comes to for a binding of another process's userptr. Under the
 * VM's outer lock.
 *
 * Returns 0 if there is nothing to collect, or nothing that could be, with
 * &drm_userptr_binding.error; -EBUSY if drm_userptr_remote_wait() is to be called
 * without the lock, then this anew; -EAGAIN if that is not for the caller to wait
 * for, or if the budget is used up, -ENOMEM.
 */
int drm_userptr_remote_populate(struct drm_userptr_submit *submit,
				struct drm_userptr_binding *binding)
{
	bool again = drm_userptr_remote_take(submit, binding);
	struct drm_userptr_remote *remote;
	int err;

	if (drm_userptr_remote_settled(submit, binding))
		return 0;
	/* It was there, and is lost. */
	if (again)
		submit->lost += DRM_USERPTR_WINDOW_PAGES;

	err = drm_userptr_submit_check(submit);
	if (err)
		return err;

	remote = drm_userptr_remote_new(binding);
	if (IS_ERR(remote))
		return PTR_ERR(remote);

	kref_get(&remote->ref);
	drm_userptr_wait_queue(&remote->work);

	/* A worker comes back, and does not keep the lock for that. */
	if (submit->wanted) {
		drm_userptr_remote_put(remote);
		return -EAGAIN;
	}

	submit->remote_result = (struct drm_userptr_remote_result) {
		.id = binding->userptr->id,
		.start = binding->start,
		.end = binding->end,
	};
	submit->remote = remote;

	return -EBUSY;
}

/*
 * Returns 0, also if there is no memory; -ERESTARTSYS if a signal came first,
 * -EAGAIN if it was lost too often, -ENOMEM.
 */
int drm_userptr_remote_wait(struct drm_userptr_submit *submit)
{
	struct drm_userptr_remote *remote = submit->remote;
	int err;

	submit->remote = NULL;
	err = wait_for_completion_interruptible(&remote->done);
	if (!err) {
		err = remote->err;
		submit->remote_result.windows = remote->windows;
		if (err == -EFAULT || err == -EPERM) {
			submit->remote_result.err = err;
			submit->remote_result.fault_addr = remote->fault_addr;
			err = 0;
		}
	}
	drm_userptr_remote_put(remote);

	return err;
}
