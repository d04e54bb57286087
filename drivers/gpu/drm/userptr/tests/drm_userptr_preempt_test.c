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

#include <linux/mman.h>

#include "drm_userptr_preempt_test.h"

#define TAG2	0x2000000

struct userptr_mock_vm *preempt_vm_new(struct userptr_mock *mock)
{
	return userptr_mock_vm_new_on(mock, mock->dev, DRM_USERPTR_VM_HOLES);
}

/* The same with the queue not yet running */
struct preempt_one *preempt_one_new_suspended(struct kunit *test)
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

struct preempt_one *preempt_one_new(struct kunit *test)
{
	struct preempt_one *one = preempt_one_new_suspended(test);

	drm_userptr_preempt_kick(&one->vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(one->queue, 1));

	return one;
}

/* The worker has done what there was to do, and is not waiting to try again. */
void preempt_wait_worker(struct userptr_mock_vm *vm)
{
	flush_delayed_work(&vm->preempt.work);
}

long preempt_kick(void *vm)
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
void preempt_hook_once(struct userptr_mock_vm *vm)
{
	struct preempt_one *one = vm->hook_data;

	if (one->hooks++)
		return;
	complete(&one->at_hook);
	wait_for_completion_timeout(&one->go_on, USERPTR_MOCK_SOON);
}

bool preempt_at_hook(struct preempt_one *one)
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
