// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Long-running queues. Their jobs may run for ever, so no dma_fence depends on
 * one: jobs tell user space by storing to a user fence, and the mm does not wait
 * for a job but has the queue suspended.
 *
 *   suspended, !running   from suspend_wait to resume: nothing is reached
 *   !suspended, running   from resume, or from the first job on
 *   !suspended, !running  ran dry, and is about to suspend itself
 *   suspended, running    told to stop, the engine has not taken note yet
 *
 * There is no scheduler: an ordered work takes the first job of the list and
 * runs it until it is done or the queue is suspended. Between two suspensions
 * the engine gets on by a page at least, so that no storm of invalidations can
 * keep a job from its end.
 */

#include <linux/slab.h>

#include "vgem_drv.h"

static struct vgem_queue *to_vgem_queue(struct drm_userptr_queue *queue)
{
	return container_of(queue, struct vgem_queue, base);
}

/* Let the engine look at the jobs, if it may. */
static void vgem_longrun_start(struct vgem_queue *queue)
{
	lockdep_assert_held(&queue->lock);

	if (queue->suspended)
		return;

	queue->running = true;
	queue_work(queue->engine, &queue->work);
}

static void vgem_longrun_work(struct work_struct *work)
{
	struct vgem_queue *queue = container_of(work, typeof(*queue), work);
	bool cookie = dma_fence_begin_signalling();
	struct vgem_job *job;
	bool idle = false;
	int err;

	spin_lock_irq(&queue->lock);
	while (queue->running) {
		job = list_first_entry_or_null(&queue->jobs, struct vgem_job,
					       link);
		idle = !job;
		if (idle)
			break;
		spin_unlock_irq(&queue->lock);

		vgem_queue_busy_begin(queue);
		err = vgem_engine_run(job);
		vgem_queue_busy_end(queue);
		if (err == VGEM_ENGINE_PREEMPTED)
			job = NULL;

		spin_lock_irq(&queue->lock);
		if (job) {
			list_del(&job->link);
			vgem_job_free(job);
		}
		if (queue->suspended)
			break;
	}
	queue->running = false;
	wake_up_all(&queue->stopped);
	spin_unlock_irq(&queue->lock);

	/* So that nobody has to wait who wants the memory. */
	if (idle)
		drm_userptr_queue_suspend(&queue->base);
	dma_fence_end_signalling(cookie);
}

static void vgem_longrun_suspend(struct drm_userptr_queue *base)
{
	struct vgem_queue *queue = to_vgem_queue(base);

	guard(spinlock_irqsave)(&queue->lock);

	/* Pairs with the READ_ONCE() in vgem_engine_advance(). */
	WRITE_ONCE(queue->suspended, true);
}

static bool vgem_longrun_stopped(struct vgem_queue *queue)
{
	guard(spinlock_irqsave)(&queue->lock);

	return !queue->running;
}

static void vgem_longrun_suspend_wait(struct drm_userptr_queue *base)
{
	struct vgem_queue *queue = to_vgem_queue(base);

	/* The engine looks after every page, and when it spins. */
	wait_event(queue->stopped, vgem_longrun_stopped(queue));
}

static void vgem_longrun_resume(struct drm_userptr_queue *base)
{
	struct vgem_queue *queue = to_vgem_queue(base);

	guard(spinlock_irqsave)(&queue->lock);

	WRITE_ONCE(queue->suspended, false);
	vgem_longrun_start(queue);
}

static bool vgem_longrun_idle(struct drm_userptr_queue *base)
{
	struct vgem_queue *queue = to_vgem_queue(base);

	guard(spinlock_irqsave)(&queue->lock);

	return list_empty(&queue->jobs);
}

static const struct drm_userptr_queue_ops vgem_longrun_ops = {
	.suspend = vgem_longrun_suspend,
	.suspend_wait = vgem_longrun_suspend_wait,
	.resume = vgem_longrun_resume,
	.idle = vgem_longrun_idle,
};

/*
 * Give a job to a queue, in a commit. If the queue is suspended,
 * vgem_longrun_commit() resumes it; if it is about to be, the worker will.
 */
void vgem_longrun_push(struct vgem_queue *queue, struct vgem_job *job)
{
	lockdep_assert_held(&queue->vm->lock);
	lockdep_assert_held_read(&queue->vm->userptr.notifier_lock);

	guard(spinlock_irqsave)(&queue->lock);

	list_add_tail(&job->link, &queue->jobs);
	vgem_longrun_start(queue);
}

/*
 * In a commit: resume all queues of a VM that have jobs. Buffer objects learn of
 * it, as theirs could be what is to be moved.
 */
void vgem_longrun_commit(struct vgem_vm *vm, struct drm_userptr_submit *submit,
			 struct drm_gpuvm_exec *vm_exec)
{
	struct drm_userptr_queue *queue;

	drm_userptr_commit_resume(submit, &vm->preempt);
	drm_userptr_for_each_preempt_fence(queue, &vm->preempt)
		drm_gpuvm_exec_resv_add_fence(vm_exec, queue->fence,
					      DMA_RESV_USAGE_BOOKKEEP,
					      DMA_RESV_USAGE_BOOKKEEP);
}

static int vgem_longrun_rebind_locked(struct vgem_vm *vm)
{
	struct drm_gpuvm_exec vm_exec = {
		.vm = &vm->base,
		.num_fences = vm->preempt.nr_queues,
	};
	struct drm_userptr_submit submit;
	int err;

	lockdep_assert_held(&vm->lock);

	err = drm_userptr_rebind_begin(&submit, &vm->preempt);
	if (err)
		return err;

	/*
	 * Memory that is gone is a hole. A job that gets there faults, and its
	 * user fence says so; others must not be kept waiting for it.
	 */
	drm_userptr_until_valid(&submit) {
		err = drm_userptr_submit_populate(&submit);
		if (err)
			break;

		err = drm_userptr_resume_prepare(&submit, &vm->preempt);
		if (err)
			break;

		err = drm_gpuvm_exec_lock(&vm_exec);
		if (err)
			break;

		err = drm_userptr_submit_validate(&submit) ?:
		      vgem_import_sync(&vm_exec, NULL);
		if (!err && !drm_userptr_commit_begin(&submit)) {
			vgem_longrun_commit(vm, &submit, &vm_exec);
			drm_userptr_commit_end(&submit);
		}
		drm_gpuvm_exec_unlock(&vm_exec);
		if (err)
			break;
	}
	drm_userptr_submit_fini(&submit);

	return err;
}

static int vgem_longrun_rebind(struct drm_userptr_preempt *preempt)
{
	struct vgem_vm *vm = container_of(preempt, typeof(*vm), preempt);

	guard(mutex)(&vm->lock);

	return vgem_longrun_rebind_locked(vm);
}

const struct drm_userptr_preempt_ops vgem_preempt_ops = {
	.rebind = vgem_longrun_rebind,
};

int vgem_longrun_init(struct vgem_queue *queue)
{
	int err;

	INIT_WORK(&queue->work, vgem_longrun_work);
	init_waitqueue_head(&queue->stopped);
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->jobs);
	queue->suspended = true;

	err = mutex_lock_interruptible(&queue->vm->lock);
	if (err)
		return err;
	err = drm_userptr_queue_init(&queue->base, &queue->vm->preempt,
				     &vgem_longrun_ops);
	mutex_unlock(&queue->vm->lock);

	return err;
}

/* Nobody submits any more. User fences of jobs that are left are not stored. */
void vgem_longrun_fini(struct vgem_queue *queue)
{
	struct vgem_job *job, *next;

	/* Not started again after this, so the engine comes to its end. */
	drm_userptr_queue_kill(&queue->base);
	flush_work(&queue->work);

	mutex_lock(&queue->vm->lock);
	drm_userptr_queue_fini(&queue->base);
	mutex_unlock(&queue->vm->lock);

	list_for_each_entry_safe(job, next, &queue->jobs, link)
		vgem_job_free(job);
}
