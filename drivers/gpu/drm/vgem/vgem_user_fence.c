// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * User fences: eight bytes of user memory that an engine stores to. Nothing in
 * the kernel depends on one; whoever waits here waits on its own account, and
 * can be interrupted.
 */

#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include <drm/drm_file.h>
#include <drm/drm_utils.h>

#include "vgem_drv.h"

/* There is one vgem. Woken whenever an engine stores to a user fence. */
static DECLARE_WAIT_QUEUE_HEAD(vgem_user_fence_wq);

void vgem_user_fence_wake(void)
{
	wake_up_all(&vgem_user_fence_wq);
}

static int vgem_user_fence_check(const struct drm_vgem_wait_user_fence *args)
{
	if (args->op > DRM_VGEM_WAIT_OP_GREATER_EQUAL || args->flags ||
	    args->pad || !args->mask || args->addr % sizeof(u64) ||
	    args->value > DRM_VGEM_USER_FENCE_MAX)
		return -EINVAL;

	return 0;
}

/* Returns 1 if the wait has to go on. */
static int vgem_user_fence_test(struct drm_vgem_wait_user_fence *args,
				const struct vgem_queue *queue)
{
	u64 wanted = args->value & args->mask;
	u64 seen;

	if (get_user(seen, (u64 __user *)u64_to_user_ptr(args->addr)))
		return -EFAULT;

	args->seen = seen;
	if (seen > DRM_VGEM_USER_FENCE_MAX)
		return -EIO;

	seen &= args->mask;
	if (args->op == DRM_VGEM_WAIT_OP_EQUAL ? seen == wanted : seen >= wanted)
		return 0;

	/* Pairs with the WRITE_ONCE() of each, which a wake-up follows. */
	if (queue && (READ_ONCE(queue->killed) || READ_ONCE(queue->broken)))
		return -EIO;

	return 1;
}

static int vgem_user_fence_wait(struct drm_vgem_wait_user_fence *args,
				const struct vgem_queue *queue)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	long timeout;
	int err;

	/* Looking sleeps, in a page fault: a wake-up must not be lost in it. */
	add_wait_queue(&vgem_user_fence_wq, &wait);
	for (;;) {
		err = vgem_user_fence_test(args, queue);
		if (err <= 0)
			break;

		/* Absolute, so that the call can be restarted. */
		timeout = drm_timeout_abs_to_jiffies(args->timeout_ns);
		if (!timeout)
			err = -ETIME;
		else if (signal_pending(current))
			err = -ERESTARTSYS;
		if (err < 0)
			break;

		wait_woken(&wait, TASK_INTERRUPTIBLE, timeout);
	}
	remove_wait_queue(&vgem_user_fence_wq, &wait);

	return err;
}

int vgem_wait_user_fence_ioctl(struct drm_device *dev, void *data,
			       struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_wait_user_fence *args = data;
	struct vgem_queue *queue = NULL;
	int err;

	err = vgem_user_fence_check(args);
	if (err)
		return err;

	if (args->queue_id) {
		queue = vgem_queue_lookup(&vfile->gpu, args->queue_id);
		if (!queue)
			return -ENOENT;
		if (!drm_userptr_vm_owned(&queue->vm->userptr)) {
			err = -EPERM;
			goto out_put;
		}
	}

	err = vgem_user_fence_wait(args, queue);

out_put:
	if (queue)
		vgem_queue_put(queue);
	return err;
}
