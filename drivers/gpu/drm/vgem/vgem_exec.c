// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Submission, in this order: read the request; wait for fences that are not
 * ours; under the VM's lock populate, lock and commit; tell the syncobjs. A
 * long-running job has no fence: it is pushed in a commit that resumes its queue.
 */

#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_syncobj.h>
#include <drm/drm_utils.h>

#include "vgem_drv.h"

/**
 * struct vgem_exec_sync - a syncobj to signal
 * @syncobj: it
 * @chain: for a point of a timeline
 * @point: which
 */
struct vgem_exec_sync {
	struct drm_syncobj *syncobj;
	struct dma_fence_chain *chain;
	u64 point;
};

/**
 * struct vgem_exec - a submission
 * @file: the client
 * @args: what the client asked for
 * @queue: where to
 * @job: what, until it is pushed
 * @fence: of the job, once it is armed
 * @nr_signals: number of @signals
 * @signals: what to signal
 */
struct vgem_exec {
	struct drm_file *file;
	struct drm_vgem_exec *args;
	struct vgem_queue *queue;
	struct vgem_job *job;
	struct dma_fence *fence;
	unsigned int nr_signals;
	struct vgem_exec_sync signals[DRM_VGEM_EXEC_MAX_SYNCS];
};

/* One element of a user-space array whose stride may differ from ours. */
static int vgem_array_get(const struct drm_vgem_array *array, u32 i,
			  void *element, size_t size)
{
	return copy_struct_from_user(element, size,
				     u64_to_user_ptr(array->array) +
				     (size_t)i * array->stride, array->stride);
}

/*
 * An element is at least what the first version had, which for both is what it
 * is now, and at most a page.
 */
static int vgem_array_check(const struct drm_vgem_array *array, u32 min_count,
			    u32 max_count, size_t size)
{
	if (array->count < min_count || array->count > max_count)
		return -EINVAL;
	if (array->count && (array->stride < size || array->stride > PAGE_SIZE ||
			     array->stride % sizeof(u64)))
		return -EINVAL;

	return 0;
}

static int vgem_exec_read_ops(struct vgem_exec *exec)
{
	const struct drm_vgem_array *array = &exec->args->ops;
	u32 i;
	int err;

	for (i = 0; i < array->count; i++) {
		struct drm_vgem_op *op = &exec->job->ops[i];

		err = vgem_array_get(array, i, op, sizeof(*op));
		if (err)
			return err == -E2BIG ? -EINVAL : err;
		err = vgem_op_check(op);
		if (err)
			return err;
	}

	return 0;
}

/*
 * A fence to wait for: the scheduler does it for ours, we for others, and for
 * all if there is no scheduler.
 */
static int vgem_exec_add_fence(struct vgem_exec *exec, struct dma_fence *fence,
			       s64 timeout_ns)
{
	long ret;

	if (vgem_fence_is_own(fence) && !vgem_queue_is_long_running(exec->queue))
		return drm_sched_job_add_dependency(&exec->job->base,
						    dma_fence_get(fence));

	/*
	 * What user space controls must not hold up a job, as the job holds up
	 * the mm. Without a lock: others may use the VM meanwhile.
	 */
	do {
		ret = dma_fence_wait_timeout(fence, true,
					     drm_timeout_abs_to_jiffies(timeout_ns));
		/* Jiffies may come in bursts, and time out too early. */
	} while (!ret && ktime_get() < timeout_ns);
	if (!ret)
		return dma_fence_is_signaled(fence) ? 0 : -ETIME;

	return ret < 0 ? ret : 0;
}

static int vgem_exec_add_wait(struct vgem_exec *exec,
			      const struct drm_vgem_sync *sync)
{
	struct dma_fence_unwrap cursor;
	struct dma_fence *fence, *part;
	int err;

	err = drm_syncobj_find_fence(exec->file, sync->handle, sync->point, 0,
				     &fence);
	if (err)
		return err;

	/* Look into arrays and chains, or a foreign fence could hide there. */
	dma_fence_unwrap_for_each(part, &cursor, fence) {
		err = vgem_exec_add_fence(exec, part, exec->args->timeout_ns);
		if (err)
			break;
	}
	if (err)
		dma_fence_put(cursor.chain);
	dma_fence_put(fence);

	return err;
}

static int vgem_exec_add_signal(struct vgem_exec *exec,
				const struct drm_vgem_sync *sync)
{
	struct vgem_exec_sync *signal = &exec->signals[exec->nr_signals];

	signal->syncobj = drm_syncobj_find(exec->file, sync->handle);
	if (!signal->syncobj)
		return -ENOENT;
	/* From here on vgem_exec_fini() cleans up. */
	exec->nr_signals++;

	signal->point = sync->point;
	if (sync->point) {
		signal->chain = dma_fence_chain_alloc();
		if (!signal->chain)
			return -ENOMEM;
	}

	return 0;
}

static int vgem_exec_read_syncs(struct vgem_exec *exec)
{
	const struct drm_vgem_array *array = &exec->args->syncs;
	struct drm_vgem_sync syncs[DRM_VGEM_EXEC_MAX_SYNCS];
	u32 i;
	int err;

	/* All are looked at before one is waited for. */
	for (i = 0; i < array->count; i++) {
		err = vgem_array_get(array, i, &syncs[i], sizeof(syncs[i]));
		if (err)
			return err == -E2BIG ? -EINVAL : err;
		if (syncs[i].flags & ~DRM_VGEM_SYNC_SIGNAL)
			return -EINVAL;
		if (!(syncs[i].flags & DRM_VGEM_SYNC_SIGNAL))
			continue;
		/* No fence may depend on the end of a job that need not end. */
		if (vgem_queue_is_long_running(exec->queue))
			return -EINVAL;
		err = vgem_exec_add_signal(exec, &syncs[i]);
		if (err)
			return err;
	}

	for (i = 0; i < array->count; i++) {
		if (syncs[i].flags & DRM_VGEM_SYNC_SIGNAL)
			continue;
		err = vgem_exec_add_wait(exec, &syncs[i]);
		if (err)
			return err;
	}

	return 0;
}

/*
 * Walk the bindings that the job's operations reach. drm_gpuvm's iterator takes
 * the address after the range.
 */
#define vgem_exec_for_each_range(range__, ranges__, exec__, op__, i__)	\
	for (op__ = (exec__)->job->ops;					\
	     op__ < (exec__)->job->ops + (exec__)->job->num_ops; op__++)	\
		for (i__ = vgem_op_ranges(op__, ranges__), range__ = ranges__; \
		     i__; i__--, range__++)

/* Memory that was gone may be back: look again, for what the job needs. */
static void vgem_exec_revive(struct vgem_exec *exec)
{
	struct vgem_op_range ranges[VGEM_OP_MAX_RANGES], *range;
	struct drm_gpuvm *gpuvm = &exec->queue->vm->base;
	struct drm_vgem_op *op;
	struct drm_gpuva *va;
	unsigned int i;

	if (list_empty(&exec->queue->vm->userptr.dead))
		return;

	vgem_exec_for_each_range(range, ranges, exec, op, i)
		drm_gpuvm_for_each_va_range(va, gpuvm, range->addr,
					    range->addr + range->size)
			if (vgem_vma_has_binding(to_vgem_vma(va)))
				drm_userptr_binding_revive(&to_vgem_vma(va)->binding);
}

/* Is memory gone that the job needs? Others' must not disturb it. */
static int vgem_exec_check_dead(struct vgem_exec *exec)
{
	struct vgem_op_range ranges[VGEM_OP_MAX_RANGES], *range;
	struct drm_gpuvm *gpuvm = &exec->queue->vm->base;
	struct drm_vgem_op *op;
	struct drm_gpuva *va;
	unsigned int i;

	if (exec->queue->vm->holes)
		return 0;
	/* With holes in long-running VMs, those with some are not dead. */
	if (!exec->queue->vm->long_running &&
	    list_empty(&exec->queue->vm->userptr.dead))
		return 0;

	vgem_exec_for_each_range(range, ranges, exec, op, i) {
		drm_gpuvm_for_each_va_range(va, gpuvm, range->addr,
					    range->addr + range->size) {
			struct vgem_vma *vma = to_vgem_vma(va);
			struct drm_userptr_binding *binding = &vma->binding;

			if (!vgem_vma_has_binding(vma) || !binding->error)
				continue;

			/* It may lie beside, in the same window. */
			exec->args->fault_addr = va->va.addr +
				clamp(binding->fault_addr, binding->start,
				      binding->end - 1) - binding->start;
			return binding->error;
		}
	}

	return 0;
}

static void vgem_exec_publish(struct vgem_exec *exec,
			      struct drm_userptr_submit *submit,
			      struct drm_gpuvm_exec *vm_exec)
{
	struct drm_sched_job *job = &exec->job->base;
	bool cookie = dma_fence_begin_signalling();

	drm_sched_job_arm(job);
	exec->fence = dma_fence_get(&job->s_fence->finished);
	drm_userptr_commit_fence(submit, exec->fence);
	drm_gpuvm_exec_resv_add_fence(vm_exec, exec->fence,
				      DMA_RESV_USAGE_BOOKKEEP,
				      DMA_RESV_USAGE_BOOKKEEP);

	/* The scheduler's from here on: it may be done and freed any time. */
	exec->job = NULL;
	drm_sched_entity_push_job(job);

	dma_fence_end_signalling(cookie);
}

static void vgem_exec_publish_long_running(struct vgem_exec *exec,
					   struct drm_userptr_submit *submit,
					   struct drm_gpuvm_exec *vm_exec)
{
	/* Done and freed any time from here on, if the queue is running. */
	vgem_longrun_push(exec->queue, no_free_ptr(exec->job));
	vgem_longrun_commit(exec->queue->vm, submit, vm_exec);
}

/* With the VM unlocked: the handler may be about to use it. */
static int vgem_exec_fault(struct vgem_exec *exec,
			   struct drm_userptr_submit *submit)
{
	struct vgem_queue *queue = exec->queue;
	int err;

	mutex_unlock(&queue->vm->lock);
	err = drm_userptr_submit_fault(submit);
	mutex_lock(&queue->vm->lock);

	return err ?: queue->killed ? -ENOENT : 0;
}

/* With all dma_resv held: publish the job, or have the loop go round. */
static int vgem_exec_commit(struct vgem_exec *exec,
			    struct drm_userptr_submit *submit,
			    struct drm_gpuvm_exec *vm_exec)
{
	struct vgem_vm *vm = exec->queue->vm;
	int err;

	err = drm_userptr_submit_validate(submit) ?:
	      vgem_exec_check_dead(exec) ?:
	      vgem_import_sync(vm_exec, vm->long_running ? NULL : exec->job);
	if (err)
		return err;

	if (drm_userptr_commit_begin(submit))
		return 0;

	if (vm->long_running)
		vgem_exec_publish_long_running(exec, submit, vm_exec);
	else
		vgem_exec_publish(exec, submit, vm_exec);
	drm_userptr_commit_end(submit);

	return 0;
}

static int vgem_exec_submit(struct vgem_exec *exec)
{
	struct vgem_vm *vm = exec->queue->vm;
	struct drm_gpuvm_exec vm_exec = {
		.vm = &vm->base,
		.flags = DRM_EXEC_INTERRUPTIBLE_WAIT,
		.num_fences = 1,
	};
	struct drm_userptr_submit submit;
	int err = 0;

	lockdep_assert_held(&vm->lock);

	drm_userptr_submit_init(&submit, &vm->userptr);
	vgem_exec_revive(exec);

	drm_userptr_until_valid(&submit) {
		/* Looked at with the VM's lock held, see vgem_unplug.c. */
		if (drm_dev_is_unplugged(exec->queue->vm->base.drm)) {
			err = -ENODEV;
			break;
		}

		err = drm_userptr_submit_populate(&submit);
		if (err == -EBUSY) {
			err = vgem_exec_fault(exec, &submit);
			if (err)
				break;
			continue;
		}
		if (err)
			break;

		err = vgem_exec_check_dead(exec);
		if (err)
			break;

		if (vm->long_running) {
			err = drm_userptr_resume_prepare(&submit, &vm->preempt);
			if (err)
				break;
			vm_exec.num_fences = vm->preempt.nr_queues;
		}

		err = drm_gpuvm_exec_lock(&vm_exec);
		if (err)
			break;

		err = vgem_exec_commit(exec, &submit, &vm_exec);
		drm_gpuvm_exec_unlock(&vm_exec);
		if (err)
			break;
	}
	drm_userptr_submit_fini(&submit);

	return err;
}

static void vgem_exec_signal(struct vgem_exec *exec)
{
	unsigned int i;

	for (i = 0; i < exec->nr_signals; i++) {
		struct vgem_exec_sync *signal = &exec->signals[i];

		if (signal->chain)
			drm_syncobj_add_point(signal->syncobj,
					      no_free_ptr(signal->chain),
					      exec->fence, signal->point);
		else
			drm_syncobj_replace_fence(signal->syncobj, exec->fence);
	}
}

static void vgem_exec_fini(struct vgem_exec *exec)
{
	unsigned int i;

	for (i = 0; i < exec->nr_signals; i++) {
		dma_fence_chain_free(exec->signals[i].chain);
		drm_syncobj_put(exec->signals[i].syncobj);
	}
	if (exec->job)
		vgem_job_free(exec->job);
	dma_fence_put(exec->fence);
}

static int vgem_exec_run(struct vgem_exec *exec)
{
	struct vgem_vm *vm = exec->queue->vm;
	struct vgem_job *job;
	int err;

	job = vgem_job_create(exec->queue, exec->args->ops.count,
			      exec->file->client_id);
	if (IS_ERR(job))
		return PTR_ERR(job);
	exec->job = job;

	err = vgem_exec_read_ops(exec) ?: vgem_exec_read_syncs(exec);
	if (err)
		return err;

	err = mutex_lock_interruptible(&vm->lock);
	if (err)
		return err;

	if (exec->queue->killed)
		err = -ENOENT;
	else if (READ_ONCE(exec->queue->broken))
		err = -EIO;
	else
		err = vgem_exec_submit(exec);
	if (!err)
		vgem_exec_signal(exec);
	mutex_unlock(&vm->lock);

	return err;
}

int vgem_exec_ioctl(struct drm_device *dev, void *data, struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_exec *args = data;
	struct vgem_exec *exec;
	int err;

	if (args->flags)
		return -EINVAL;
	err = vgem_array_check(&args->ops, 1, DRM_VGEM_EXEC_MAX_OPS,
			       sizeof(struct drm_vgem_op)) ?:
	      vgem_array_check(&args->syncs, 0, DRM_VGEM_EXEC_MAX_SYNCS,
			       sizeof(struct drm_vgem_sync));
	if (err)
		return err;

	exec = kzalloc_obj(*exec);
	if (!exec)
		return -ENOMEM;

	exec->file = file;
	exec->args = args;
	exec->queue = vgem_queue_lookup(&vfile->gpu, args->queue_id);
	if (!exec->queue) {
		err = -ENOENT;
		goto out_free;
	}
	if (!drm_userptr_vm_owned(&exec->queue->vm->userptr)) {
		err = -EPERM;
		goto out_put;
	}

	err = vgem_exec_run(exec);
	vgem_exec_fini(exec);

out_put:
	vgem_queue_put(exec->queue);
out_free:
	kfree(exec);
	return err;
}
