// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Queues. Each has an engine: an ordered work queue that runs one job after the
 * other. One whose jobs have fences has a scheduler with one entity, too; from
 * run_job to the fence nothing is allocated and no lock taken that memory is
 * allocated under. For long-running ones see vgem_longrun.c.
 */

#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "vgem_drv.h"

/* Queues of one file; each costs two work queues. */
#define VGEM_MAX_QUEUES	XA_LIMIT(1, 256)

/*
 * Queues of all files: how many engines the device has. Work queues have rescuer
 * threads, which are charged to nobody.
 */
static atomic_t vgem_engines = ATOMIC_INIT(DRM_VGEM_MAX_ENGINES);

static struct vgem_queue *vgem_queue_alloc(void)
{
	struct vgem_queue *queue;

	if (!atomic_add_unless(&vgem_engines, -1, 0))
		return NULL;

	queue = kzalloc_obj(*queue, GFP_KERNEL_ACCOUNT);
	if (!queue)
		atomic_inc(&vgem_engines);

	return queue;
}

static void vgem_queue_free(struct vgem_queue *queue)
{
	kfree(queue);
	atomic_inc(&vgem_engines);
}

static const char *vgem_hw_fence_driver_name(struct dma_fence *fence)
{
	return "vgem";
}

static const char *vgem_hw_fence_timeline_name(struct dma_fence *fence)
{
	return "engine";
}

static const struct dma_fence_ops vgem_hw_fence_ops = {
	.get_driver_name = vgem_hw_fence_driver_name,
	.get_timeline_name = vgem_hw_fence_timeline_name,
};

static struct vgem_job *to_vgem_job(struct drm_sched_job *job)
{
	return container_of(job, struct vgem_job, base);
}

/* Around a job, on the engine. */
void vgem_queue_busy_begin(struct vgem_queue *queue)
{
	WRITE_ONCE(queue->busy_since, ktime_get_ns());
}

void vgem_queue_busy_end(struct vgem_queue *queue)
{
	u64 since = queue->busy_since;

	WRITE_ONCE(queue->busy_since, 0);
	/* Pairs with the order in which vgem_gpu_busy_ns() reads. */
	smp_mb__before_atomic();
	atomic64_add(ktime_get_ns() - since, &queue->gpu->busy_ns);
}

/* Time that the client's jobs took so far, those that are running included. */
u64 vgem_gpu_busy_ns(struct vgem_gpu_file *gpu)
{
	/* First: a job that ends meanwhile is missed rather than seen twice. */
	u64 busy = atomic64_read(&gpu->busy_ns);
	u64 now = ktime_get_ns();
	struct vgem_queue *queue;
	unsigned long id;

	/* Pairs with the order in which vgem_queue_busy_end() writes. */
	smp_rmb();
	xa_lock(&gpu->queues);
	xa_for_each(&gpu->queues, id, queue) {
		u64 since = READ_ONCE(queue->busy_since);

		if (since && since < now)
			busy += now - since;
	}
	xa_unlock(&gpu->queues);

	return busy;
}

static void vgem_job_work(struct work_struct *work)
{
	struct vgem_job *job = container_of(work, typeof(*job), work);
	struct dma_fence *fence = dma_fence_get(job->hw_fence);
	bool cookie = dma_fence_begin_signalling();
	int err;

	vgem_queue_busy_begin(job->queue);
	err = vgem_engine_run(job);
	vgem_queue_busy_end(job->queue);
	if (err)
		dma_fence_set_error(fence, err);

	/* The scheduler may free the job as soon as this is done. */
	dma_fence_signal(fence);
	dma_fence_end_signalling(cookie);
	dma_fence_put(fence);
}

static struct dma_fence *vgem_sched_run_job(struct drm_sched_job *sched_job)
{
	struct vgem_job *job = to_vgem_job(sched_job);
	struct vgem_queue *queue = job->queue;

	dma_fence_init(job->hw_fence, &vgem_hw_fence_ops, NULL,
		       queue->fence_context, ++queue->fence_seqno);
	queue_work(queue->engine, &job->work);

	return dma_fence_get(job->hw_fence);
}

/* Tell the engine to end a job, and wait until it has. */
static void vgem_job_abort(struct vgem_job *job, int error)
{
	/* Pairs with the READ_ONCE() in vgem_engine_poll(). */
	WRITE_ONCE(job->error, error);
	dma_fence_wait(job->hw_fence, false);
}

static enum drm_gpu_sched_stat
vgem_sched_timedout_job(struct drm_sched_job *sched_job)
{
	/*
	 * An engine that is told to stop does stop: nothing to reset, and the
	 * job is done when this returns. The scheduler cleans it up as any
	 * other when it hears that the engine did not hang.
	 */
	vgem_job_abort(to_vgem_job(sched_job), -ETIME);

	return DRM_GPU_SCHED_STAT_NO_HANG;
}

static void vgem_sched_cancel_job(struct drm_sched_job *sched_job)
{
	vgem_job_abort(to_vgem_job(sched_job), -ECANCELED);
}

static void vgem_sched_free_job(struct drm_sched_job *sched_job)
{
	vgem_job_free(to_vgem_job(sched_job));
}

static const struct drm_sched_backend_ops vgem_sched_ops = {
	.run_job = vgem_sched_run_job,
	.timedout_job = vgem_sched_timedout_job,
	.cancel_job = vgem_sched_cancel_job,
	.free_job = vgem_sched_free_job,
};

/*
 * A fence of one of our own jobs: bounded, so a job may wait for it. Told by
 * the owner that our jobs name: a fence outlives its scheduler.
 */
bool vgem_fence_is_own(struct dma_fence *fence)
{
	struct drm_sched_fence *s_fence = to_drm_sched_fence(fence);

	return s_fence && s_fence->owner == &vgem_sched_ops;
}

struct vgem_job *vgem_job_create(struct vgem_queue *queue, u32 num_ops,
				 u64 client_id)
{
	struct vgem_job *job;
	int err;

	job = kzalloc_flex(*job, ops, num_ops, GFP_KERNEL_ACCOUNT);
	if (!job)
		return ERR_PTR(-ENOMEM);

	job->num_ops = num_ops;
	job->queue = queue;
	if (vgem_queue_is_long_running(queue))
		return job;

	INIT_WORK(&job->work, vgem_job_work);

	job->hw_fence = kzalloc_obj(*job->hw_fence, GFP_KERNEL_ACCOUNT);
	if (!job->hw_fence) {
		err = -ENOMEM;
		goto err_free;
	}

	err = drm_sched_job_init(&job->base, &queue->entity, 1,
				 (void *)&vgem_sched_ops, client_id);
	if (err)
		goto err_free_fence;

	return job;

err_free_fence:
	kfree(job->hw_fence);
err_free:
	kfree(job);
	return ERR_PTR(err);
}

/* A job that was not pushed, or that is done with. */
void vgem_job_free(struct vgem_job *job)
{
	if (!vgem_queue_is_long_running(job->queue)) {
		drm_sched_job_cleanup(&job->base);
		/* Never run, never initialised. */
		if (kref_read(&job->hw_fence->refcount))
			dma_fence_put(job->hw_fence);
		else
			kfree(job->hw_fence);
	}
	kfree(job);
}

static int vgem_queue_init_sched(struct vgem_queue *queue,
				 struct drm_device *dev)
{
	struct drm_sched_init_args args = {
		.ops = &vgem_sched_ops,
		.num_rqs = 1,
		.credit_limit = 1,
		.timeout = msecs_to_jiffies(VGEM_JOB_TIMEOUT_MS),
		.timeout_wq = vgem_timeout_wq,
		.name = "vgem",
		.dev = dev->dev,
	};
	struct drm_gpu_scheduler *sched = &queue->sched;
	int err;

	err = drm_sched_init(sched, &args);
	if (err)
		return err;

	err = drm_sched_entity_init(&queue->entity, DRM_SCHED_PRIORITY_KERNEL,
				    &sched, 1, NULL);
	if (err)
		drm_sched_fini(sched);

	return err;
}

static void vgem_queue_free_bufs(struct vgem_queue *queue)
{
	free_page((unsigned long)queue->buf[0]);
	free_page((unsigned long)queue->buf[1]);
}

/* Takes over the caller's reference to @vm on success. */
static struct vgem_queue *vgem_queue_create(struct drm_device *dev,
					    struct vgem_gpu_file *gpu,
					    struct vgem_vm *vm)
{
	struct vgem_queue *queue;
	int err = -ENOMEM;

	queue = vgem_queue_alloc();
	if (!queue)
		return ERR_PTR(-ENOMEM);

	kref_init(&queue->ref);
	queue->vm = vm;
	queue->gpu = gpu;
	queue->fence_context = dma_fence_context_alloc(1);
	queue->buf[0] = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	queue->buf[1] = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!queue->buf[0] || !queue->buf[1])
		goto err_free;

	queue->engine = alloc_ordered_workqueue("vgem-engine", WQ_MEM_RECLAIM);
	if (!queue->engine)
		goto err_free;

	vgem_tlb_init(&queue->tlb, &vm->pt);

	if (vgem_queue_is_long_running(queue))
		err = vgem_longrun_init(queue);
	else
		err = vgem_queue_init_sched(queue, dev);
	if (err)
		goto err_fini_tlb;

	return queue;

err_fini_tlb:
	vgem_tlb_fini(&queue->tlb, &vm->pt);
	destroy_workqueue(queue->engine);
err_free:
	vgem_queue_free_bufs(queue);
	vgem_queue_free(queue);
	return ERR_PTR(err);
}

static void vgem_queue_release(struct kref *ref)
{
	struct vgem_queue *queue = container_of(ref, typeof(*queue), ref);
	struct vgem_vm *vm = queue->vm;

	if (vgem_queue_is_long_running(queue)) {
		vgem_longrun_fini(queue);
	} else {
		drm_sched_entity_destroy(&queue->entity);
		drm_sched_fini(&queue->sched);
	}
	destroy_workqueue(queue->engine);
	vgem_tlb_fini(&queue->tlb, &vm->pt);
	vgem_queue_free_bufs(queue);
	vgem_queue_free(queue);

	vgem_vm_put(vm);
}

/* Sleeps; call with no locks held. */
void vgem_queue_put(struct vgem_queue *queue)
{
	kref_put(&queue->ref, vgem_queue_release);
}

/*
 * A submission under way may still hold a queue that ends, but finds it killed
 * under the VM's lock: nothing is pushed to a dead entity.
 */
static void vgem_queue_kill(struct vgem_queue *queue)
{
	lockdep_assert_held(&queue->vm->lock);

	/* Pairs with the READ_ONCE() in vgem_engine_poll(). */
	WRITE_ONCE(queue->killed, true);

	if (vgem_queue_is_long_running(queue))
		drm_userptr_queue_kill(&queue->base);
	vgem_user_fence_wake();
}

/* End a queue of a file that is being closed: nobody submits any more. */
void vgem_queue_destroy(struct vgem_queue *queue)
{
	/* First of all: whoever holds the lock may be trying to resume it. */
	if (vgem_queue_is_long_running(queue))
		drm_userptr_queue_kill(&queue->base);

	mutex_lock(&queue->vm->lock);
	vgem_queue_kill(queue);
	mutex_unlock(&queue->vm->lock);

	vgem_queue_put(queue);
}

struct vgem_queue *vgem_queue_lookup(struct vgem_gpu_file *gpu, u32 id)
{
	struct vgem_queue *queue;

	xa_lock(&gpu->queues);
	queue = xa_load(&gpu->queues, id);
	if (queue)
		kref_get(&queue->ref);
	xa_unlock(&gpu->queues);

	return queue;
}

int vgem_queue_create_ioctl(struct drm_device *dev, void *data,
			    struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_queue_create *args = data;
	struct vgem_queue *queue;
	struct vgem_vm *vm;
	u32 id;
	int err;

	if (args->flags || args->pad)
		return -EINVAL;

	vm = vgem_vm_lookup(&vfile->gpu, args->vm_id);
	if (!vm)
		return -ENOENT;
	if (!drm_userptr_vm_owned(&vm->userptr)) {
		vgem_vm_put(vm);
		return -EPERM;
	}

	queue = vgem_queue_create(dev, &vfile->gpu, vm);
	if (IS_ERR(queue)) {
		vgem_vm_put(vm);
		return PTR_ERR(queue);
	}

	err = xa_alloc(&vfile->gpu.queues, &id, queue, VGEM_MAX_QUEUES,
		       GFP_KERNEL_ACCOUNT);
	if (err) {
		vgem_queue_put(queue);
		/* Over the limit is -EBUSY to the xarray. */
		return err == -EBUSY ? -ENOMEM : err;
	}

	args->queue_id = id;

	return 0;
}

int vgem_queue_destroy_ioctl(struct drm_device *dev, void *data,
			     struct drm_file *file)
{
	struct vgem_file *vfile = file->driver_priv;
	struct drm_vgem_queue_destroy *args = data;
	struct vgem_queue *queue;
	int err;

	if (args->pad)
		return -EINVAL;

	queue = vgem_queue_lookup(&vfile->gpu, args->queue_id);
	if (!queue)
		return -ENOENT;
	if (!drm_userptr_vm_owned(&queue->vm->userptr)) {
		err = -EPERM;
		goto out_put;
	}

	/* A submission holds the lock while it sleeps for the mm. */
	err = mutex_lock_interruptible(&queue->vm->lock);
	if (err)
		goto out_put;
	if (queue->killed) {
		/* Another thread was faster; the id may be a new queue's. */
		err = -ENOENT;
	} else {
		vgem_queue_kill(queue);
		xa_erase(&vfile->gpu.queues, args->queue_id);
	}
	mutex_unlock(&queue->vm->lock);

	/* The reference of the id. */
	if (!err)
		vgem_queue_put(queue);

out_put:
	vgem_queue_put(queue);
	return err;
}
