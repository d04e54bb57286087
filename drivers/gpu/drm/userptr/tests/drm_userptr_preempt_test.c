// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Long-running queues: their jobs never end, and so all that the mm waits for
 * is that a queue stops. What it is resumed with is as good as what a job is
 * published with.
 *
 * That entries are not cleared under a running queue, and that a queue is
 * resumed only when it is suspended, is checked by the mock in every test.
 */

#include <linux/delay.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define TAG2	0x2000000
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

static struct userptr_mock_vm *preempt_vm_new(struct userptr_mock *mock)
{
	return userptr_mock_vm_new_on(mock, mock->dev, DRM_USERPTR_VM_HOLES);
}

/* Two windows of memory, bound at device address 0, and a queue that runs. */
struct preempt_one {
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
	struct userptr_mock_queue *queue;
	/* For hooks of the worker, which has no mm. */
	struct completion at_hook;
	struct completion go_on;
	unsigned int hooks;
};

#define PREEMPT_SIZE	(2 * DRM_USERPTR_WINDOW_SIZE)

/* The same with the queue not yet running */
static struct preempt_one *preempt_one_new_suspended(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct preempt_one *one;

	one = kunit_kzalloc(test, sizeof(*one), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, one);
	init_completion(&one->at_hook);
	init_completion(&one->go_on);
	one->addr = userptr_mock_mmap(mock, PREEMPT_SIZE);
	userptr_mock_fill(mock, one->addr, PREEMPT_SIZE, TAG);
	one->vm = preempt_vm_new(mock);
	one->vm->hook_data = one;
	one->obj = userptr_mock_obj_new(mock, one->addr, PREEMPT_SIZE, 0);
	one->binding = userptr_mock_bind_all(one->vm, one->obj, 0);
	one->queue = userptr_mock_queue_new(one->vm);

	return one;
}

static struct preempt_one *preempt_one_new(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);

	drm_userptr_preempt_kick(&one->vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 1));

	return one;
}

/* The worker has done what there was to do, and is not waiting to try again. */
static void preempt_wait_worker(struct userptr_mock_vm *vm)
{
	flush_delayed_work(&vm->preempt.work);
}

static long preempt_kick(void *vm)
{
	struct userptr_mock_vm *mock_vm = vm;

	drm_userptr_preempt_kick(&mock_vm->preempt);
	preempt_wait_worker(vm);

	return 0;
}

static long preempt_wait_idle(void *vm)
{
	struct userptr_mock_vm *mock_vm = vm;

	guard(mutex)(&mock_vm->lock);

	return drm_userptr_vm_wait_idle(&mock_vm->base);
}

/* It is resumed in a commit: with its entries, and with a fence to stop it. */
static void preempt_resume_is_commit(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	struct userptr_mock_vm *vm = one->vm;

	preempt_wait_worker(vm);
	KUNIT_EXPECT_FALSE(test, userptr_mock_queue_is_running(one->queue));
	KUNIT_EXPECT_EQ(test, vm->rebinds, 0);

	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 1));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, one->queue->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.submits));
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, PREEMPT_SIZE, TAG));

	/* Nobody asks it to stop unless there is a reason. */
	KUNIT_EXPECT_FALSE(test, completion_done(&one->queue->stop_asked));
	KUNIT_EXPECT_EQ(test, one->queue->suspends, 0);

	/* Kicking without one does nothing. */
	preempt_kick(vm);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, -ECANCELED);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(one->addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, one->queue->suspends, 1);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.fence_waits));
}

/* The memory is taken away when the queue has stopped, no sooner or later. */
static void preempt_munmap_waits_for_stop(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue = one->queue;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_vm *vm = one->vm;

	queue->slow = true;
	munmap = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(queue));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(munmap));
	KUNIT_EXPECT_EQ(test, vm->zaps, 0);
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, PREEMPT_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));

	complete_all(&queue->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, munmap->ret, 0);
	KUNIT_EXPECT_EQ(test, vm->zaps, 1);
	KUNIT_EXPECT_EQ(test, queue->suspend_waits, 1);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->preempt.preemptions));
}

/* Queues without end: the mapping changes under them, they see the new one. */
static void preempt_resumes_with_new_memory(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	unsigned int i;

	for (i = 1; i <= 20; i++) {
		userptr_mock_remap(mock, one->addr, SZ_2M,
				   PROT_READ | PROT_WRITE);
		userptr_mock_fill(mock, one->addr, SZ_2M, TAG2 + i);
		KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue,
								   i + 1));
		preempt_wait_worker(vm);
		KUNIT_EXPECT_EQ(test, vm->present, 2 * PAGES);
		KUNIT_EXPECT_EQ(test, PAGES,
				userptr_mock_matches(vm, 0, SZ_2M, TAG2 + i));
		KUNIT_EXPECT_EQ(test, PAGES,
				userptr_mock_matches(vm, SZ_2M, SZ_2M,
						     TAG + PAGES));
	}
	/* The window beside it is not collected or mapped again. */
	KUNIT_EXPECT_EQ(test, 22, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, vm->mapped_pages, 22 * PAGES);
	KUNIT_EXPECT_EQ(test, 21, atomic64_read(&vm->preempt.resumes));
	KUNIT_EXPECT_EQ(test, 20, atomic64_read(&vm->preempt.preemptions));
}

/* Let the test, which has the mm, do something at this point of the rebind. */
static void preempt_hook_once(struct userptr_mock_vm *vm)
{
	struct preempt_one *one = vm->hook_data;

	if (one->hooks++)
		return;
	complete(&one->at_hook);
	wait_for_completion_timeout(&one->go_on, USERPTR_MOCK_SOON);
}

static bool preempt_at_hook(struct preempt_one *one)
{
	return wait_for_completion_timeout(&one->at_hook, USERPTR_MOCK_SOON);
}

/* What the worker collected is taken away before its commit: no stale pages. */
static void preempt_collision(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;

	vm->after_populate = preempt_hook_once;
	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_ASSERT_TRUE(test, preempt_at_hook(one));
	userptr_mock_remap(mock, one->addr, SZ_2M, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, one->addr, SZ_2M, TAG2);
	KUNIT_EXPECT_FALSE(test, userptr_mock_queue_is_running(one->queue));
	complete(&one->go_on);

	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 1));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->submit.tries, 2);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.retries));
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);
	KUNIT_EXPECT_EQ(test, one->queue->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_2M, TAG2));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, SZ_2M, SZ_2M,
							  TAG + PAGES));
	/* Only what was hit is collected again. */
	KUNIT_EXPECT_EQ(test, 3, atomic64_read(&vm->base.stats.windows));
}

/* The same while it was mapped before, and is suspended for another window. */
static void preempt_collision_when_mapped(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;

	mutex_lock(&vm->lock);
	vm->after_populate = preempt_hook_once;
	mutex_unlock(&vm->lock);
	userptr_mock_remap(mock, one->addr + SZ_2M, SZ_2M,
			   PROT_READ | PROT_WRITE);
	KUNIT_ASSERT_TRUE(test, preempt_at_hook(one));

	/* Valid in the page table, and nobody to wait for. */
	userptr_mock_remap(mock, one->addr, SZ_2M, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, one->addr, SZ_2M, TAG2);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	complete(&one->go_on);

	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 2));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, one->queue->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_2M, TAG2));
}

/* All queues of a VM are told at once, and resumed together. */
static void preempt_two_queues(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_queue *queue[2] = { one->queue, };
	struct userptr_mock_thread *munmap;
	struct userptr_mock_vm *vm = one->vm;
	unsigned int i;

	queue[1] = userptr_mock_queue_new(vm);
	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(queue[1], 1));
	preempt_wait_worker(vm);
	/* That is no reason to disturb the first. */
	KUNIT_EXPECT_EQ(test, queue[0]->suspends, 0);
	KUNIT_EXPECT_EQ(test, queue[0]->resumes, 1);

	for (i = 0; i < 2; i++)
		queue[i]->slow = true;
	munmap = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_TRUE(test,
				  userptr_mock_queue_stop_asked(queue[i]));

	/* One of them is not enough, and does not get ahead. */
	complete_all(&queue[1]->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stopped(queue[1]));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(munmap));
	KUNIT_EXPECT_EQ(test, vm->zaps, 0);
	KUNIT_EXPECT_FALSE(test, userptr_mock_queue_is_running(queue[1]));

	complete_all(&queue[0]->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue[i], 2));
		KUNIT_EXPECT_EQ(test, queue[i]->present, PAGES);
	}
}

/* More queues than the ledger had room for: every one of them is waited for. */
static void preempt_many_queues(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_queue *queue[20];
	struct userptr_mock_thread *munmap;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_job *job;
	unsigned int i;

	/* A job in fence mode beside them is none of their business. */
	job = userptr_mock_submit_new(vm);

	for (i = 0; i < ARRAY_SIZE(queue); i++) {
		queue[i] = userptr_mock_queue_new(vm);
		queue[i]->slow = true;
	}
	drm_userptr_preempt_kick(&vm->preempt);
	for (i = 0; i < ARRAY_SIZE(queue); i++)
		KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(queue[i], 1));

	munmap = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	for (i = 0; i < ARRAY_SIZE(queue); i++)
		KUNIT_EXPECT_TRUE(test,
				  userptr_mock_queue_stop_asked(queue[i]));
	for (i = 1; i < ARRAY_SIZE(queue); i++)
		complete_all(&queue[i]->let_stop);
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(munmap));
	KUNIT_EXPECT_EQ(test, vm->zaps, 0);
	complete_all(&queue[0]->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	for (i = 0; i < ARRAY_SIZE(queue); i++)
		KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue[i], 2));
}

/* Two VMs with one userptr: both are told before either is waited for. */
static void preempt_two_vms(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = preempt_vm_new(mock);
	struct userptr_mock_queue *queue[2] = { one->queue, };
	struct userptr_mock_thread *thread;
	unsigned int i;

	userptr_mock_bind_all(vm, one->obj, 0);
	queue[1] = userptr_mock_queue_new(vm);
	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(queue[1], 1));

	for (i = 0; i < 2; i++)
		queue[i]->slow = true;
	thread = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_TRUE(test,
				  userptr_mock_queue_stop_asked(queue[i]));
	for (i = 0; i < 2; i++)
		complete_all(&queue[i]->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue[i], 2));
		KUNIT_EXPECT_EQ(test, queue[i]->present, PAGES);
	}
}

/* Memory that is gone is a hole, and found when something changes again. */
static void preempt_dead_memory(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_obj *other;
	unsigned long addr;
	u64 value;

	addr = userptr_mock_mmap(mock, SZ_2M);
	userptr_mock_fill(mock, addr, SZ_2M, TAG);
	other = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_bind_all(vm, other, SZ_8M);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(one->addr, PREEMPT_SIZE));
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 2));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, 0);
	KUNIT_EXPECT_EQ(test, one->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, -EFAULT, userptr_mock_read(vm, 0, &value));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, SZ_8M, SZ_2M, TAG));

	/* Nothing tells when something is mapped anew... */
	userptr_mock_remap(mock, one->addr, PREEMPT_SIZE,
			   PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, one->addr, PREEMPT_SIZE, TAG2);
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, -EFAULT, userptr_mock_read(vm, 0, &value));

	/* ...but the next rebind looks. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 3));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, one->binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, PREEMPT_SIZE, TAG2));
}

/*
 * A part of a binding is gone, the rest is taken away: the queue is not resumed
 * before that is over, just because there is a hole.
 */
static void preempt_hole_beside(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue = one->queue;
	struct userptr_mock_vm *vm = one->vm;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(one->addr, SZ_2M));
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
	KUNIT_EXPECT_EQ(test, queue->present, PAGES);

	userptr_mock_remap(test->priv, one->addr + SZ_2M, SZ_2M,
			   PROT_READ | PROT_WRITE);
	userptr_mock_fill(test->priv, one->addr + SZ_2M, SZ_2M, TAG2);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(queue, 3));
	KUNIT_EXPECT_EQ(test, queue->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, SZ_2M, SZ_2M,
							  TAG2));
}

/* A queue that has nothing to run is not resumed, nor is memory held for it. */
static void preempt_idle(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_queue *busy;

	WRITE_ONCE(one->queue->idle, true);
	userptr_mock_remap(mock, one->addr, SZ_2M, PROT_READ | PROT_WRITE);
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, -ECANCELED);
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, 2, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->preempt.preemptions));

	/* Beside one that has, it still is not. */
	busy = userptr_mock_queue_new(vm);
	preempt_kick(vm);
	KUNIT_EXPECT_EQ(test, busy->resumes, 1);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);

	WRITE_ONCE(one->queue->idle, false);
	preempt_kick(vm);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 2);
	KUNIT_EXPECT_EQ(test, one->queue->present, 2 * PAGES);
}

/* A queue that ran dry stops by itself, and nobody has to wait for it. */
static void preempt_suspends_itself(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_vm *vm = one->vm;

	WRITE_ONCE(one->queue->idle, true);
	drm_userptr_queue_suspend(&one->queue->base);
	drm_userptr_queue_suspend(&one->queue->base);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stopped(one->queue));
	KUNIT_EXPECT_EQ(test, 0, preempt_wait_idle(vm));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, one->queue->suspends, 1);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(one->addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.fence_waits));

	/* If it got a job meanwhile it is resumed. */
	WRITE_ONCE(one->queue->idle, false);
	preempt_kick(vm);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 2);
	drm_userptr_queue_suspend(&one->queue->base);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(one->queue, 3));
}

static long preempt_invalidate_second(void *arg)
{
	struct preempt_one *one = arg;
	long ret;

	ret = userptr_mock_invalidate(one->obj, one->addr + SZ_2M,
				      one->addr + SZ_4M);
	if (one->obj->finish)
		userptr_mock_invalidate_finish(one->obj);

	return ret;
}

/* Its work may not have dropped its reference yet when it is signalled. */
static bool preempt_fence_is_ours(struct dma_fence *fence)
{
	unsigned long end = jiffies + USERPTR_MOCK_SOON;

	while (kref_read(&fence->refcount) > 1 && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);

	return kref_read(&fence->refcount) == 1;
}

/* However many want it to stop: it stops once, and its fence is forgotten. */
static void preempt_stops_once(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue = one->queue;
	struct userptr_mock_thread *thread[3];
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct dma_fence *fence;
	unsigned int i;

	preempt_wait_worker(vm);
	fence = dma_fence_get(queue->base.fence);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(fence));

	queue->slow = true;
	thread[0] = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(queue));
	thread[1] = userptr_mock_thread_start(mock, preempt_invalidate_second,
					      one);
	thread[2] = userptr_mock_thread_start(mock, preempt_wait_idle, vm);
	drm_userptr_queue_suspend(&queue->base);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(thread[i]));
	KUNIT_EXPECT_EQ(test, queue->suspends, 1);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(fence));

	complete_all(&queue->let_stop);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread[i]));
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, queue->suspends, 1);
	KUNIT_EXPECT_EQ(test, queue->suspend_waits, 1);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(fence), 1);

	/* Its successor took its place in the ledger. */
	KUNIT_EXPECT_PTR_NE(test, fence, queue->base.fence);
	KUNIT_EXPECT_TRUE(test, preempt_fence_is_ours(fence));
	dma_fence_put(fence);
}

/* The worker comes while a queue is stopping: it waits until it has stopped. */
static void preempt_kick_while_stopping(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue = one->queue;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *kick;

	queue->slow = true;
	drm_userptr_queue_suspend(&queue->base);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(queue));
	kick = userptr_mock_thread_start(mock, preempt_kick, one->vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(kick));
	KUNIT_EXPECT_EQ(test, queue->resumes, 1);

	complete_all(&queue->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(kick));
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
	KUNIT_EXPECT_EQ(test, queue->suspend_waits, 1);
}

/* The OOM reaper is refused what a queue is using, and nothing happened... */
static void preempt_nonblock(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	unsigned long end = one->addr + SZ_2M;
	struct userptr_mock_vm *vm = one->vm;
	u64 zaps = vm->zaps;

	KUNIT_EXPECT_FALSE(test, userptr_mock_invalidate_nonblock(one->obj,
								  one->addr,
								  end));
	KUNIT_EXPECT_EQ(test, one->queue->suspends, 0);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_is_running(one->queue));
	KUNIT_EXPECT_EQ(test, vm->zaps, zaps);
	KUNIT_EXPECT_TRUE(test, list_empty(&vm->base.invalidated));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.invalidations));
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, PREEMPT_SIZE, TAG));

	/* ...and gets it when the queue is suspended. */
	WRITE_ONCE(one->queue->idle, true);
	drm_userptr_queue_suspend(&one->queue->base);
	KUNIT_EXPECT_EQ(test, 0, preempt_wait_idle(vm));
	KUNIT_EXPECT_TRUE(test, userptr_mock_invalidate_nonblock(one->obj,
								 one->addr,
								 end));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
}

#define PREEMPT_TRIES	10

/* Shoots at the worker until the test has seen enough. */
struct preempt_shooting {
	struct userptr_mock_obj *obj;
	bool stop;
	bool seen[PREEMPT_TRIES];
	unsigned int backoff_ms[PREEMPT_TRIES];
	unsigned long begin[PREEMPT_TRIES];
};

static void preempt_shoot(struct userptr_mock_vm *vm)
{
	struct preempt_shooting *shooting = vm->hook_data;
	struct drm_userptr *userptr = &shooting->obj->base;
	unsigned int i = vm->rebinds - 1;

	/* Not seen at all if, on a busy machine, it did not even get here. */
	if (vm->submit.tries == 1 && i < PREEMPT_TRIES) {
		shooting->seen[i] = true;
		shooting->begin[i] = jiffies;
		shooting->backoff_ms[i] = vm->preempt.backoff_ms;
	}
	if (!READ_ONCE(shooting->stop))
		userptr_mock_invalidate(shooting->obj, userptr->start,
					userptr->end);
}

static unsigned int preempt_rebinds(struct userptr_mock_vm *vm)
{
	guard(mutex)(&vm->lock);

	return vm->rebinds;
}

/* Out of budget: the worker tries again, less and less often, and succeeds. */
static void preempt_backoff(struct kunit *test)
{
	static const unsigned int expected[PREEMPT_TRIES] = {
		0, 1, 2, 4, 8, 16, 32, 64, 100, 100,
	};
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = preempt_vm_new(mock);
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct preempt_shooting *shooting;
	struct userptr_mock_queue *queue;
	unsigned int i, seen = 0;
	unsigned long end;

	shooting = kunit_kzalloc(test, sizeof(*shooting), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, shooting);
	shooting->obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, shooting->obj, 0);
	queue = userptr_mock_queue_new(vm);
	vm->hook_data = shooting;
	vm->after_populate = preempt_shoot;

	end = jiffies + USERPTR_MOCK_SOON;
	while (preempt_rebinds(vm) < PREEMPT_TRIES && time_before(jiffies, end)) {
		/* Kicks do not make it any faster. */
		drm_userptr_preempt_kick(&vm->preempt);
		schedule_timeout_uninterruptible(1);
	}
	mutex_lock(&vm->lock);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, -EAGAIN);
	mutex_unlock(&vm->lock);
	for (i = 0; i < PREEMPT_TRIES; i++) {
		if (!shooting->seen[i])
			continue;
		seen++;
		KUNIT_EXPECT_EQ(test, shooting->backoff_ms[i], expected[i]);
		if (i && shooting->seen[i - 1])
			KUNIT_EXPECT_GE(test, shooting->begin[i] -
					      shooting->begin[i - 1],
					msecs_to_jiffies(expected[i]));
	}
	KUNIT_EXPECT_GE(test, seen, PREEMPT_TRIES / 2);
	KUNIT_EXPECT_FALSE(test, userptr_mock_queue_is_running(queue));

	WRITE_ONCE(shooting->stop, true);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 1));
	KUNIT_EXPECT_EQ(test, queue->present, 1);
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->preempt.backoff_ms, 0);
}

/* A queue goes while the worker waits for the outer lock: nothing to resume. */
static void preempt_fini_while_pending(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	struct userptr_mock_vm *vm = one->vm;

	mutex_lock(&vm->lock);
	drm_userptr_preempt_kick(&vm->preempt);
	drm_userptr_queue_fini(&one->queue->base);
	scoped_guard(spinlock, &vm->pt_lock)
		list_del(&one->queue->link);
	mutex_unlock(&vm->lock);

	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->rebinds, 1);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, -ECANCELED);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.windows));
}

static long preempt_queue_free(void *queue)
{
	userptr_mock_queue_free(queue);

	return 0;
}

/* While the worker is in the middle of it: it gives up at the next step. */
static void preempt_fini_while_running(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_thread *thread;
	u64 windows;

	vm->after_populate = preempt_hook_once;
	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_ASSERT_TRUE(test, preempt_at_hook(one));
	windows = atomic64_read(&vm->base.stats.windows);
	/* So that there is a next step. */
	userptr_mock_remap(mock, one->addr, SZ_2M, PROT_READ | PROT_WRITE);

	/* Killing needs no lock of the worker's, the rest does. */
	drm_userptr_queue_kill(&one->queue->base);
	thread = userptr_mock_thread_start(mock, preempt_queue_free, one->queue);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(thread));
	complete(&one->go_on);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));

	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, -ECANCELED);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 0);
	KUNIT_EXPECT_EQ(test, windows, atomic64_read(&vm->base.stats.windows));
}

/* Killed between prepare and commit: not resumed by that. */
static void preempt_kill_before_commit(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	struct userptr_mock_vm *vm = one->vm;

	vm->after_populate = preempt_hook_once;
	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_ASSERT_TRUE(test, preempt_at_hook(one));
	drm_userptr_queue_kill(&one->queue->base);
	complete(&one->go_on);
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, 0);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 0);
}

/* While it is being suspended: waits until it has stopped. */
static void preempt_fini_while_stopping(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue = one->queue;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap, *free;
	struct userptr_mock_vm *vm = one->vm;

	queue->slow = true;
	munmap = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(queue));

	/* Kills it, lets it stop, and waits. */
	free = userptr_mock_thread_start(mock, preempt_queue_free, queue);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(free));
	KUNIT_EXPECT_EQ(test, queue->suspend_waits, 1);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, queue->resumes, 1);
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
}

/* A queue that runs, and one that is suspended, end just so. */
static void preempt_fini(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue;
	struct userptr_mock_vm *vm = one->vm;

	queue = userptr_mock_queue_new(vm);
	userptr_mock_queue_free(queue);
	KUNIT_EXPECT_EQ(test, queue->suspends, 0);

	userptr_mock_queue_free(one->queue);
	KUNIT_EXPECT_EQ(test, one->queue->suspend_waits, 1);
	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);
	KUNIT_EXPECT_EQ(test, vm->preempt.nr_queues, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->preempt.live), 0);
}

/* The owner dies with its job running: the queue stops, and that is all. */
static void preempt_owner_gone(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;

	userptr_mock_exit_mm(mock);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stopped(one->queue));
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));

	preempt_wait_worker(vm);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, -ECANCELED);
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);
	KUNIT_EXPECT_EQ(test, vm->rebinds, 2);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&vm->preempt.work));
}

static long preempt_unbind(void *binding)
{
	userptr_mock_unbind(binding);

	return 0;
}

/* A binding goes while queues run, which have to stop for it: all at once. */
static void preempt_unbind_while_running(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock_queue *queue = one->queue, *other;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *thread;
	struct userptr_mock_vm *vm = one->vm;

	other = userptr_mock_queue_new(vm);
	preempt_kick(vm);
	queue->slow = true;
	other->slow = true;
	thread = userptr_mock_thread_start(mock, preempt_unbind, one->binding);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(queue));
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(other));
	KUNIT_EXPECT_EQ(test, vm->present, 2 * PAGES);
	complete_all(&queue->let_stop);
	complete_all(&other->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
	KUNIT_EXPECT_EQ(test, queue->present, 0);

	/* What is bound later it gets when it is resumed the next time. */
	userptr_mock_bind(vm, one->obj, one->addr, SZ_2M, 0);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	drm_userptr_queue_suspend(&queue->base);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 3));
	KUNIT_EXPECT_EQ(test, queue->present, PAGES);
}

struct preempt_storm {
	struct preempt_one *one;
	unsigned int hits;
};

/* Takes pages of the first window, each time another. */
static long preempt_storm_run(void *arg)
{
	struct preempt_storm *storm = arg;
	unsigned long addr;

	for (; storm->hits < 500; storm->hits++) {
		addr = storm->one->addr + storm->hits * 7 % PAGES * PAGE_SIZE;
		if (vm_mmap(NULL, addr, PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, 0) != addr)
			return -ENOMEM;
	}

	return 0;
}

/* Full-rate remapping of its own memory: it stops and goes, and comes through. */
static void preempt_storm(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_thread *thread;
	struct preempt_storm *storm;

	storm = kunit_kzalloc(test, sizeof(*storm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, storm);
	storm->one = one;
	thread = userptr_mock_thread_start(mock, preempt_storm_run, storm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
	KUNIT_EXPECT_EQ(test, thread->ret, 0);

	/* The last one is there again, however far behind. */
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_queue_resumed(one->queue,
						     one->queue->suspends + 1));
	preempt_wait_worker(vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_is_running(one->queue));
	KUNIT_EXPECT_EQ(test, vm->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, SZ_2M, SZ_2M,
							  TAG + PAGES));
}

/* Without an op that says so a queue is never idle. */
static void preempt_without_idle(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	struct drm_userptr_queue_ops ops = *one->queue->base.ops;
	struct userptr_mock_vm *vm = one->vm;

	ops.idle = NULL;
	one->queue->base.ops = &ops;
	one->queue->idle = true;
	drm_userptr_preempt_kick(&vm->preempt);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(one->queue, 1));

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(one->addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->preempt.preemptions));
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(one->queue, 2));
	KUNIT_EXPECT_EQ(test, one->queue->present, PAGES);
	/* Before the ops go */
	userptr_mock_queue_free(one->queue);
	preempt_wait_worker(vm);
}

/* Who resumes queues in a thread that gets signals is not kept from them. */
static void preempt_prepare_interrupted(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct drm_userptr_preempt *preempt = &one->vm->preempt;
	struct userptr_mock_queue *queue = one->queue;
	struct userptr_mock_vm *vm = one->vm;
	struct drm_userptr_submit *submit = &vm->submit;
	int err;

	queue->slow = true;
	drm_userptr_queue_suspend(&queue->base);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_stop_asked(queue));

	mutex_lock(&vm->lock);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_rebind_begin(submit, preempt));
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_submit_populate(submit));
	allow_signal(SIGUSR1);
	send_sig(SIGUSR1, current, 0);
	err = drm_userptr_resume_prepare(submit, preempt);
	flush_signals(current);
	disallow_signal(SIGUSR1);
	drm_userptr_submit_fini(submit);
	KUNIT_EXPECT_EQ(test, err, -ERESTARTSYS);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_is_running(queue));
	mutex_unlock(&vm->lock);

	complete_all(&queue->let_stop);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
}

/* A queue that nobody prepared for is left to the next time. */
static void preempt_unprepared(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct drm_userptr_preempt *preempt = &one->vm->preempt;
	struct userptr_mock_vm *vm = one->vm;
	struct drm_userptr_submit *submit = &vm->submit;

	mutex_lock(&vm->lock);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_vm_wait_idle(&vm->base));
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_rebind_begin(submit, preempt));
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_submit_populate(submit));
	/* No drm_userptr_resume_prepare(): as if it had been running then. */
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_commit_begin(submit));
	drm_userptr_commit_resume(submit, preempt);
	drm_userptr_commit_end(submit);
	drm_userptr_submit_fini(submit);
	KUNIT_EXPECT_FALSE(test, userptr_mock_queue_is_running(one->queue));
	KUNIT_EXPECT_EQ(test, one->queue->resumes, 1);
	mutex_unlock(&vm->lock);

	/* The worker was kicked when the queue had stopped. */
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(one->queue, 2));
}

/* What is said of its fence where fences are listed, as in sync_file. */
static void preempt_fence_names(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new(test);
	struct dma_fence *fence = one->queue->base.fence;
	const char __rcu *timeline;
	const char __rcu *driver;

	guard(rcu)();

	driver = dma_fence_driver_name(fence);
	timeline = dma_fence_timeline_name(fence);
	KUNIT_EXPECT_STREQ(test, rcu_dereference(driver), "drm_userptr");
	KUNIT_EXPECT_STREQ(test, rcu_dereference(timeline), "preempt");
}

/* What is missing is missed at once. */
static void preempt_bad_ops(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);
	const struct drm_userptr_queue_ops *good = one->queue->base.ops;
	static const struct drm_userptr_preempt_ops no_rebind;
	struct drm_userptr_preempt preempt = {};
	struct drm_userptr_queue queue = {};
	struct drm_userptr_queue_ops bad[3];
	struct userptr_mock *mock = test->priv;
	static const u32 flags[] = {
		0, DRM_USERPTR_VM_EXPLICIT,
		DRM_USERPTR_VM_EXPLICIT | DRM_USERPTR_VM_HOLES,
	};
	struct userptr_mock_vm *vm = one->vm;
	unsigned int i;

	for (i = 0; i < 3; i++)
		bad[i] = *good;
	bad[0].suspend = NULL;
	bad[1].suspend_wait = NULL;
	bad[2].resume = NULL;

	mutex_lock(&vm->lock);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				drm_userptr_queue_init(&queue, &vm->preempt,
						       &bad[i]));
	mutex_unlock(&vm->lock);
	KUNIT_EXPECT_EQ(test, vm->preempt.nr_queues, 1);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			drm_userptr_preempt_init(&preempt, &vm->base,
						 &no_rebind));

	/* Only VMs that are nothing but full of holes */
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		vm = userptr_mock_vm_new_on(mock, mock->dev, flags[i]);
		KUNIT_EXPECT_EQ(test, -EINVAL,
				drm_userptr_preempt_init(&preempt, &vm->base,
							 &userptr_mock_preempt_ops));
	}
}

static struct kunit_case drm_userptr_preempt_tests[] = {
	KUNIT_CASE(preempt_resume_is_commit),
	KUNIT_CASE(preempt_munmap_waits_for_stop),
	KUNIT_CASE(preempt_resumes_with_new_memory),
	KUNIT_CASE(preempt_collision),
	KUNIT_CASE(preempt_collision_when_mapped),
	KUNIT_CASE(preempt_two_queues),
	KUNIT_CASE(preempt_many_queues),
	KUNIT_CASE(preempt_two_vms),
	KUNIT_CASE(preempt_dead_memory),
	KUNIT_CASE(preempt_hole_beside),
	KUNIT_CASE(preempt_idle),
	KUNIT_CASE(preempt_suspends_itself),
	KUNIT_CASE(preempt_stops_once),
	KUNIT_CASE(preempt_kick_while_stopping),
	KUNIT_CASE(preempt_nonblock),
	KUNIT_CASE(preempt_backoff),
	KUNIT_CASE(preempt_fini_while_pending),
	KUNIT_CASE(preempt_fini_while_running),
	KUNIT_CASE(preempt_kill_before_commit),
	KUNIT_CASE(preempt_fini_while_stopping),
	KUNIT_CASE(preempt_fini),
	KUNIT_CASE(preempt_owner_gone),
	KUNIT_CASE(preempt_unbind_while_running),
	KUNIT_CASE(preempt_storm),
	KUNIT_CASE(preempt_without_idle),
	KUNIT_CASE(preempt_prepare_interrupted),
	KUNIT_CASE(preempt_unprepared),
	KUNIT_CASE(preempt_fence_names),
	KUNIT_CASE(preempt_bad_ops),
	{ }
};

static struct kunit_suite drm_userptr_preempt_suite = {
	.name = "drm_userptr_preempt",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_preempt_tests,
};

kunit_test_suite(drm_userptr_preempt_suite);
