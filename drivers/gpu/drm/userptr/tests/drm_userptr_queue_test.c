// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Long-running queues when things go wrong or come to an end: the worker's
 * back-off, and the ends of queues, VMs and owners while it is at work.
 */

#include <linux/mman.h>
#include <linux/sched/signal.h>

#include "drm_userptr_preempt_test.h"

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
	const char __rcu *timeline;
	const char __rcu *driver;
	struct dma_fence *fence;

	/* It is resumed first, then it has a fence. */
	preempt_wait_worker(one->vm);
	fence = one->queue->base.fence;
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

static struct kunit_case drm_userptr_queue_tests[] = {
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

static struct kunit_suite drm_userptr_queue_suite = {
	.name = "drm_userptr_queue",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_queue_tests,
};

kunit_test_suite(drm_userptr_queue_suite);
