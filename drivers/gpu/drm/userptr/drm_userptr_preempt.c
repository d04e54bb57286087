// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Preempt mode, see the overview below. What makes it work is who may wait for
 * whom:
 *
 *   invalidation            preempt fence's work    rebind worker
 *   (any thread)            (signalling queue)      (revalidation queue)
 *   ------------            --------------------    --------------------
 *   enable signalling -->   suspend_wait()
 *                           kick              -->   outer lock
 *   wait              <--   signal            -->   wait for old fences
 *   zap, flush, unmap                               populate
 *                                                   commit: PTEs, new fences,
 *                                                     resume
 *
 * Everything points to the middle column, which waits for the device alone: it
 * allocates nothing and takes neither dma_resv nor mmap lock nor outer lock, and
 * its work queue has a rescuer. The right one may do all of that, as nothing
 * that the mm needs waits for it.
 */

#include <linux/dma-fence.h>
#include <linux/export.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/**
 * DOC: Preempt mode
 *
 * A job that may run for ever cannot have a fence: nobody could wait for it, the
 * mm least of all. A &struct drm_userptr_queue has a *preempt fence* instead. It
 * is armed and recorded in the ledger by the commit that lets the queue run, and
 * does nothing until somebody wants to wait for it. Then the queue is suspended,
 * the fence signals, and a worker makes everything valid again and resumes the
 * queue where it stopped, with a new fence. To an invalidation the two kinds of
 * fences are the same.
 *
 * All queues of a VM are resumed together, in one commit. If the worker is
 * invalidated too often, or there is no memory, it tries again after a
 * millisecond, then two, four, and so on, up to a hundred. When the owner of
 * the memory is gone, or all queues are killed, it gives up.
 *
 * The worker, as the driver implements &drm_userptr_preempt_ops.rebind::
 *
 *   mutex_lock(&vm->lock);
 *   err = drm_userptr_rebind_begin(&submit, &vm->preempt);
 *   if (err)
 *           goto out_unlock;
 *   drm_userptr_until_valid(&submit) {
 *           err = drm_userptr_submit_populate(&submit);
 *           if (err)
 *                   break;
 *           err = drm_userptr_resume_prepare(&submit, &vm->preempt);
 *           if (err)
 *                   break;
 *           err = drm_gpuvm_exec_lock(&vm_exec);
 *           if (err)
 *                   break;
 *           err = drm_userptr_commit_begin(&submit);
 *           if (!err) {
 *                   drm_userptr_commit_resume(&submit, &vm->preempt);
 *                   drm_userptr_commit_end(&submit);
 *           }
 *           drm_gpuvm_exec_unlock(&vm_exec);
 *   }
 *   drm_userptr_submit_fini(&submit);
 *   out_unlock:
 *   mutex_unlock(&vm->lock);
 */

/* How long the worker waits before it tries again, twice as long each time */
#define DRM_USERPTR_BACKOFF_MIN_MS	1u
#define DRM_USERPTR_BACKOFF_MAX_MS	100u

/* Suspends queues; see the middle column above. */
static struct workqueue_struct *drm_userptr_preempt_wq;
/* Revalidates; never flushed, nor waited for, by the other one. */
static struct workqueue_struct *drm_userptr_rebind_wq;

int drm_userptr_preempt_wq_init(void)
{
	drm_userptr_preempt_wq = alloc_workqueue("drm-userptr-preempt",
						 WQ_MEM_RECLAIM | WQ_UNBOUND,
						 0);
	if (!drm_userptr_preempt_wq)
		return -ENOMEM;

	drm_userptr_rebind_wq = alloc_workqueue("drm-userptr-rebind",
						WQ_UNBOUND, 0);
	if (!drm_userptr_rebind_wq) {
		destroy_workqueue(drm_userptr_preempt_wq);
		return -ENOMEM;
	}

	return 0;
}

void drm_userptr_preempt_wq_fini(void)
{
	destroy_workqueue(drm_userptr_rebind_wq);
	destroy_workqueue(drm_userptr_preempt_wq);
}

/**
 * struct drm_userptr_preempt_fence - signals when a queue is suspended
 * @base: the fence; first, so that it can be freed as such
 * @queue: the queue; there until @base is signalled
 * @work: waits for the queue to stop
 */
struct drm_userptr_preempt_fence {
	struct dma_fence base;
	struct drm_userptr_queue *queue;
	struct work_struct work;
};

static struct drm_userptr_preempt_fence *
to_preempt_fence(struct dma_fence *fence)
{
	return container_of(fence, struct drm_userptr_preempt_fence, base);
}

static bool drm_userptr_queue_idle(struct drm_userptr_queue *queue)
{
	return queue->ops->idle && queue->ops->idle(queue);
}

static void drm_userptr_preempt_fence_work(struct work_struct *work)
{
	struct drm_userptr_preempt_fence *fence =
		container_of(work, typeof(*fence), work);
	struct drm_userptr_queue *queue = fence->queue;
	bool cookie = dma_fence_begin_signalling();

	queue->ops->suspend_wait(queue);
	trace_drm_userptr_queue_suspended(queue);
	if (!drm_userptr_queue_idle(queue))
		atomic64_inc(&queue->preempt->preemptions);

	/* Signal last: once it is done, queue and VM may be gone. */
	drm_userptr_preempt_kick(queue->preempt);
	dma_fence_signal(&fence->base);
	dma_fence_end_signalling(cookie);

	dma_fence_put(&fence->base);
}

static const char *drm_userptr_preempt_fence_driver(struct dma_fence *fence)
{
	return "drm_userptr";
}

static const char *drm_userptr_preempt_fence_timeline(struct dma_fence *fence)
{
	return "preempt";
}

static bool drm_userptr_preempt_fence_enable_signaling(struct dma_fence *base)
{
	struct drm_userptr_preempt_fence *fence = to_preempt_fence(base);

	/* Of the work. The queue is there: only the work signals. */
	dma_fence_get(base);
	fence->queue->ops->suspend(fence->queue);
	queue_work(drm_userptr_preempt_wq, &fence->work);

	return true;
}

static const struct dma_fence_ops drm_userptr_preempt_fence_ops = {
	.get_driver_name = drm_userptr_preempt_fence_driver,
	.get_timeline_name = drm_userptr_preempt_fence_timeline,
	.enable_signaling = drm_userptr_preempt_fence_enable_signaling,
};

static struct drm_userptr_preempt_fence *
drm_userptr_preempt_fence_alloc(struct drm_userptr_queue *queue)
{
	struct drm_userptr_preempt_fence *fence;

	static_assert(!offsetof(typeof(*fence), base));
	fence = drm_userptr_alloc(kzalloc_obj(*fence, GFP_KERNEL_ACCOUNT));
	if (!fence)
		return NULL;

	fence->queue = queue;
	INIT_WORK(&fence->work, drm_userptr_preempt_fence_work);

	return fence;
}

/*
 * Does the queue run, with nobody having asked it to stop? Preempt fences only
 * signal after signalling was enabled. Advisory: it may be asked any time.
 */
static bool drm_userptr_queue_running(struct drm_userptr_queue *queue)
{
	drm_userptr_vm_assert_locked(queue->preempt->vm);

	return queue->fence &&
	       !test_bit(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT, &queue->fence->flags);
}

/* Has the queue stopped? Unlike the above a lasting truth. */
static bool drm_userptr_queue_suspended(struct drm_userptr_queue *queue)
{
	drm_userptr_vm_assert_locked(queue->preempt->vm);

	return !queue->fence || dma_fence_is_signaled(queue->fence);
}

/**
 * drm_userptr_queue_init() - add a long-running queue to a VM
 * @queue: zeroed memory
 * @preempt: the VM's part
 * @ops: what to do to the queue
 *
 * The queue is suspended, and runs from the next drm_userptr_commit_resume() on
 * that does not find it idle.
 *
 * Context: process context, the VM's outer lock held.
 *
 * Return: 0; -EINVAL if an op is missing.
 */
int drm_userptr_queue_init(struct drm_userptr_queue *queue,
			   struct drm_userptr_preempt *preempt,
			   const struct drm_userptr_queue_ops *ops)
{
	drm_userptr_vm_assert_locked(preempt->vm);

	if (!ops->suspend || !ops->suspend_wait || !ops->resume)
		return -EINVAL;

	queue->ops = ops;
	queue->preempt = preempt;
	queue->context = dma_fence_context_alloc(1);
	mutex_init(&queue->lock);

	/* Taken in a commit: nothing may be allocated under it. */
	if (IS_ENABLED(CONFIG_LOCKDEP)) {
		fs_reclaim_acquire(GFP_KERNEL);
		might_lock(&queue->lock);
		fs_reclaim_release(GFP_KERNEL);
	}

	list_add_tail(&queue->link, &preempt->queues);
	preempt->nr_queues++;
	atomic_inc(&preempt->live);

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_queue_init);

/**
 * drm_userptr_queue_suspend() - ask a queue to stop
 * @queue: the queue
 *
 * Does not wait. For a queue that ran dry: memory that it used can then be taken
 * away without anybody having to wait. If it is not idle by the time it has
 * stopped, it is resumed. No effect on a queue that is suspended.
 *
 * Context: any in which a mutex may be taken, in particular the signalling path.
 */
void drm_userptr_queue_suspend(struct drm_userptr_queue *queue)
{
	struct dma_fence *fence;

	mutex_lock(&queue->lock);
	fence = dma_fence_get(queue->fence);
	mutex_unlock(&queue->lock);
	if (!fence)
		return;

	dma_fence_enable_sw_signaling(fence);
	dma_fence_put(fence);
}
EXPORT_SYMBOL_GPL(drm_userptr_queue_suspend);

/**
 * drm_userptr_queue_kill() - never resume a queue again
 * @queue: the queue
 *
 * Asks it to stop, too, but does not wait. A driver does this first of all when
 * a queue is to go away: it takes effect at once, whatever holds the outer lock,
 * and makes a worker give up that has no other queue to resume. May be called
 * more than once.
 *
 * Context: process context, no lock needed.
 */
void drm_userptr_queue_kill(struct drm_userptr_queue *queue)
{
	mutex_lock(&queue->lock);
	if (!queue->killed) {
		WRITE_ONCE(queue->killed, true);
		atomic_dec(&queue->preempt->live);
	}
	mutex_unlock(&queue->lock);

	drm_userptr_queue_suspend(queue);
}
EXPORT_SYMBOL_GPL(drm_userptr_queue_kill);

/**
 * drm_userptr_queue_fini() - take a long-running queue out of its VM
 * @queue: the queue
 *
 * Kills the queue and waits until it has stopped. Nothing of the helper's uses
 * it any more when this returns; the driver itself must have stopped calling
 * drm_userptr_queue_suspend() before.
 *
 * Context: process context, the VM's outer lock held.
 */
void drm_userptr_queue_fini(struct drm_userptr_queue *queue)
{
	struct drm_userptr_preempt *preempt = queue->preempt;

	drm_userptr_vm_assert_locked(preempt->vm);

	drm_userptr_queue_kill(queue);
	if (queue->fence)
		dma_fence_wait(queue->fence, false);

	list_del(&queue->link);
	preempt->nr_queues--;
	dma_fence_put(queue->fence);
	kfree(queue->spare);
	mutex_destroy(&queue->lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_queue_fini);

/**
 * drm_userptr_rebind_begin() - begin to resume the queues of a VM
 * @submit: on the stack of &drm_userptr_preempt_ops.rebind
 * @preempt: the VM's part
 *
 * In place of drm_userptr_submit_init(). A worker does not wait for fault
 * handlers in user space, which nobody could interrupt: where one would have to
 * bring memory in there is none, and drm_userptr_submit_populate() never returns
 * -EBUSY.
 *
 * Context: process context, the VM's outer lock held until the end.
 *
 * Return: 0; -ECANCELED if there is no queue to resume.
 */
int drm_userptr_rebind_begin(struct drm_userptr_submit *submit,
			     struct drm_userptr_preempt *preempt)
{
	struct drm_userptr_queue *queue;
	bool wanted = false;

	drm_userptr_submit_init(submit, preempt->vm);
	submit->wanted = &preempt->live;
	submit->fault_refused = DRM_USERPTR_REFUSE_ALL;

	/* A queue that is killed from here on is noticed on the way. */
	list_for_each_entry(queue, &preempt->queues, link)
		wanted |= !drm_userptr_queue_running(queue) &&
			  !drm_userptr_queue_idle(queue) &&
			  !READ_ONCE(queue->killed);
	if (!wanted)
		return -ECANCELED;

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_rebind_begin);

/**
 * drm_userptr_resume_prepare() - make drm_userptr_commit_resume() possible
 * @submit: the submission
 * @preempt: the VM's part
 *
 * Waits for queues that are about to stop and allocates what it takes to resume
 * all of them.
 *
 * Context: process context, the VM's outer lock held, no dma_resv; each time
 * after drm_userptr_submit_populate().
 *
 * Return: 0; -ECANCELED if the owner of the memory is gone, -ERESTARTSYS if a
 * signal came first, -ENOMEM.
 */
int drm_userptr_resume_prepare(struct drm_userptr_submit *submit,
			       struct drm_userptr_preempt *preempt)
{
	struct drm_userptr_vm *vm = submit->vm;
	struct drm_userptr_queue *queue;
	long err;

	drm_userptr_vm_assert_locked(vm);

	/*
	 * Everything is dead then, and would be holes. If it is gone only after
	 * this, its invalidation suspends what was resumed.
	 */
	if (!atomic_read(&vm->mm->mm_users))
		return -ECANCELED;

	list_for_each_entry(queue, &preempt->queues, link) {
		if (drm_userptr_queue_running(queue))
			continue;

		if (!queue->spare)
			queue->spare = drm_userptr_preempt_fence_alloc(queue);
		if (!queue->spare)
			return -ENOMEM;

		if (queue->fence) {
			err = dma_fence_wait(queue->fence, true);
			if (err)
				return err;
		}
	}

	return drm_userptr_fences_reserve(&vm->fences, preempt->nr_queues);
}
EXPORT_SYMBOL_GPL(drm_userptr_resume_prepare);

static void drm_userptr_queue_resume(struct drm_userptr_queue *queue)
{
	struct drm_userptr_preempt_fence *fence = queue->spare;
	struct drm_userptr_vm *vm = queue->preempt->vm;
	struct dma_fence *old = queue->fence;

	drm_userptr_vm_assert_commit(vm);

	/* Asked to stop only after prepare: its work kicks the worker again. */
	if (!fence || !drm_userptr_queue_suspended(queue) ||
	    drm_userptr_queue_idle(queue))
		return;

	guard(mutex)(&queue->lock);

	if (queue->killed)
		return;

	/*
	 * Resume first: from the moment that anybody can find the fence he may
	 * want the queue to stop. No invalidation is missed: it would have to
	 * get the notifier lock.
	 */
	queue->ops->resume(queue);

	dma_fence_init(&fence->base, &drm_userptr_preempt_fence_ops, NULL,
		       queue->context, ++queue->seqno);
	queue->spare = NULL;
	queue->fence = &fence->base;
	drm_userptr_fences_add(&vm->fences, queue->fence);
	dma_fence_put(old);

	atomic64_inc(&queue->preempt->resumes);
	trace_drm_userptr_queue_resumed(queue);
}

/**
 * drm_userptr_commit_resume() - resume the queues of a VM
 * @submit: the submission
 * @preempt: the VM's part
 *
 * All that are neither running nor idle nor killed. Their preempt fences are
 * recorded as with drm_userptr_commit_fence().
 *
 * Context: between drm_userptr_commit_begin() and drm_userptr_commit_end().
 */
void drm_userptr_commit_resume(struct drm_userptr_submit *submit,
			       struct drm_userptr_preempt *preempt)
{
	bool cookie = dma_fence_begin_signalling();
	struct drm_userptr_queue *queue;

	drm_userptr_vm_assert_commit(submit->vm);

	list_for_each_entry(queue, &preempt->queues, link)
		drm_userptr_queue_resume(queue);

	dma_fence_end_signalling(cookie);
}
EXPORT_SYMBOL_GPL(drm_userptr_commit_resume);

static void drm_userptr_preempt_work(struct work_struct *work)
{
	struct drm_userptr_preempt *preempt =
		container_of(to_delayed_work(work), typeof(*preempt), work);
	struct mem_cgroup *memcg, *old;
	int err;

	/* What the worker allocates is the owner's, as in an ioctl. */
	memcg = get_mem_cgroup_from_mm(preempt->vm->mm);
	old = set_active_memcg(memcg);
	err = preempt->ops->rebind(preempt);
	set_active_memcg(old);
	mem_cgroup_put(memcg);

	if (err != -EAGAIN && err != -ENOMEM) {
		preempt->backoff_ms = 0;
		return;
	}

	preempt->backoff_ms = clamp(2 * preempt->backoff_ms,
				    DRM_USERPTR_BACKOFF_MIN_MS,
				    DRM_USERPTR_BACKOFF_MAX_MS);
	/* Also if it was kicked meanwhile: that is no reason to hurry. */
	mod_delayed_work(drm_userptr_rebind_wq, &preempt->work,
			 msecs_to_jiffies(preempt->backoff_ms));
}

/**
 * drm_userptr_preempt_kick() - let the worker see whether queues can be resumed
 * @preempt: the VM's part
 *
 * Happens by itself when a queue was suspended. Does not shorten the time that
 * the worker waits after a failure.
 *
 * Context: any.
 */
void drm_userptr_preempt_kick(struct drm_userptr_preempt *preempt)
{
	queue_delayed_work(drm_userptr_rebind_wq, &preempt->work, 0);
}
EXPORT_SYMBOL_GPL(drm_userptr_preempt_kick);

/**
 * drm_userptr_preempt_init() - make a VM ready for long-running queues
 * @preempt: zeroed memory
 * @vm: the VM, made with %DRM_USERPTR_VM_HOLES and nothing else
 * @ops: what the worker does
 *
 * A queue may reach all of a VM, so %DRM_USERPTR_VM_EXPLICIT makes no sense. And
 * nobody can be told that a binding is dead as a whole, while the queue uses the
 * part of it that is not: only holes are exactly as large as they are.
 *
 * Context: process context.
 *
 * Return: 0; -EINVAL if an op is missing, or for another kind of VM.
 */
int drm_userptr_preempt_init(struct drm_userptr_preempt *preempt,
			     struct drm_userptr_vm *vm,
			     const struct drm_userptr_preempt_ops *ops)
{
	if (!ops->rebind || vm->flags != DRM_USERPTR_VM_HOLES)
		return -EINVAL;

	preempt->ops = ops;
	preempt->vm = vm;
	INIT_LIST_HEAD(&preempt->queues);
	INIT_DELAYED_WORK(&preempt->work, drm_userptr_preempt_work);

	return 0;
}
EXPORT_SYMBOL_GPL(drm_userptr_preempt_init);

/**
 * drm_userptr_preempt_fini() - undo drm_userptr_preempt_init()
 * @preempt: without queues
 *
 * Context: process context, sleeps for the worker: the VM's outer lock not held.
 */
void drm_userptr_preempt_fini(struct drm_userptr_preempt *preempt)
{
	WARN(!list_empty(&preempt->queues), "userptr VM still has queues\n");

	/* Without queues nobody kicks it again. */
	cancel_delayed_work_sync(&preempt->work);
}
EXPORT_SYMBOL_GPL(drm_userptr_preempt_fini);
