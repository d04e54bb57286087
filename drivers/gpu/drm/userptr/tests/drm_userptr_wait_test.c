// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Sleeping for the mm: who populates waits until the mm is done with what hit
 * the userptr, a signal may call it away from that, and it does not go on
 * before.
 *
 * The mm is held up by a job of another userptr: truncating a file waits for it
 * between start and end of an invalidation, with no mmap lock held. For who
 * waits that is no different from an invalidation whose end got lost.
 */

#include <linux/iopoll.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "drm_userptr_mock.h"

#define TAG	0x1000000

/**
 * struct wait_hold - an invalidation that is under way
 * @addr: memory that is hit: a window of a file. The window after it is not.
 * @file: what is there
 * @obj: the userptr that is waited for; its window is dying
 * @job: for which it waits
 * @truncate: takes the memory away, and does not keep the mm
 * @done: complete when it has
 */
struct wait_hold {
	unsigned long addr;
	struct userptr_mock_file *file;
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;
	struct work_struct truncate;
	struct completion done;
};

static void wait_truncate(struct work_struct *work)
{
	struct wait_hold *hold = container_of(work, typeof(*hold), truncate);

	unmap_mapping_range(&hold->file->mapping, 0, SZ_2M, 1);
	complete_all(&hold->done);
}

KUNIT_DEFINE_ACTION_WRAPPER(wait_flush, flush_work, struct work_struct *);

static struct wait_hold *wait_hold_new(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm;
	struct wait_hold *hold;

	hold = kunit_kzalloc(test, sizeof(*hold), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, hold);

	/* Each has the pages DMA-mapped for itself. */
	mock->aliased = true;
	hold->addr = userptr_mock_mmap(mock, 2 * SZ_2M);
	userptr_mock_fill(mock, hold->addr + SZ_2M, SZ_2M, TAG);
	hold->file = userptr_mock_file_mmap(mock, hold->addr, SZ_2M);
	vm = userptr_mock_vm_new(mock);
	hold->obj = userptr_mock_obj_new(mock, hold->addr, SZ_2M, 0);
	userptr_mock_bind_all(vm, hold->obj, 0);
	hold->job = userptr_mock_submit_new(vm);
	INIT_WORK(&hold->truncate, wait_truncate);
	init_completion(&hold->done);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, wait_flush,
						  &hold->truncate));

	return hold;
}

static void wait_hold_begin(struct kunit *test, struct wait_hold *hold)
{
	queue_work(system_dfl_wq, &hold->truncate);
	/* In the second pass: everybody has been called by then. */
	KUNIT_ASSERT_TRUE(test, userptr_mock_job_waited(hold->job));
}

static void wait_hold_end(struct kunit *test, struct wait_hold *hold)
{
	/* What the test saw in the meantime was in the meantime. */
	KUNIT_EXPECT_FALSE(test, completion_done(&hold->done));
	userptr_mock_job_end(hold->job);
	KUNIT_ASSERT_TRUE(test,
			  wait_for_completion_timeout(&hold->done,
						      USERPTR_MOCK_SOON));
}

/**
 * struct wait_probe - a populate, in a thread that can be killed
 * @obj: of what
 * @task: the thread, once @running is complete
 * @running: it runs
 * @thread: ends with the result of the populate
 */
struct wait_probe {
	struct userptr_mock_obj *obj;
	struct task_struct *task;
	struct completion running;
	struct userptr_mock_thread *thread;
};

static long wait_probe_fn(void *arg)
{
	struct wait_probe *probe = arg;
	unsigned long fault_addr;

	allow_signal(SIGKILL);
	probe->task = get_task_struct(current);
	complete_all(&probe->running);

	return drm_userptr_probe(&probe->obj->base, &fault_addr);
}

KUNIT_DEFINE_ACTION_WRAPPER(wait_put_task, put_task_struct,
			    struct task_struct *);

static struct wait_probe *wait_probe_start(struct kunit *test,
					   struct userptr_mock_obj *obj)
{
	struct wait_probe *probe;

	probe = kunit_kzalloc(test, sizeof(*probe), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, probe);
	probe->obj = obj;
	init_completion(&probe->running);
	probe->thread = userptr_mock_thread_start(test->priv, wait_probe_fn,
						  probe);
	wait_for_completion(&probe->running);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, wait_put_task,
						  probe->task));

	return probe;
}

/* Returns 0 or an errno, as the populate did; that it ends is a must. */
static long wait_probe_end(struct kunit *test, struct wait_probe *probe)
{
	KUNIT_ASSERT_TRUE(test, userptr_mock_thread_join(probe->thread));

	return probe->thread->ret;
}

/* It sleeps for the mm, and ends when it is killed. */
static void wait_probe_kill(struct kunit *test, struct wait_probe *probe)
{
	struct drm_userptr *userptr = &probe->obj->base;
	bool done;
	long err;

	/* Before that, a signal is honoured anyway. */
	KUNIT_ASSERT_EQ(test, 0,
			read_poll_timeout(completion_done, done, !done, 100,
					  jiffies_to_usecs(USERPTR_MOCK_SOON),
					  false, &userptr->wait_done));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(probe->thread));
	send_sig(SIGKILL, probe->task, 1);

	err = wait_probe_end(test, probe);
	KUNIT_EXPECT_TRUE(test, err == -ERESTARTSYS || err == -EINTR);
}

/* A window that has no pages yet, in a range that is hit. */
static void wait_hit(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct userptr_mock_obj *obj;
	struct wait_probe *probe;

	obj = userptr_mock_obj_new(test->priv, hold->addr, SZ_2M, 0);
	wait_hold_begin(test, hold);

	probe = wait_probe_start(test, obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(probe->thread));

	wait_hold_end(test, hold);
	KUNIT_EXPECT_EQ(test, 0, wait_probe_end(test, probe));
}

/* Who comes after one that was killed waits as long as that would have. */
static void wait_hit_killed(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct userptr_mock_obj *obj;
	struct wait_probe *probe;

	obj = userptr_mock_obj_new(test->priv, hold->addr, SZ_2M, 0);
	wait_hold_begin(test, hold);

	wait_probe_kill(test, wait_probe_start(test, obj));
	wait_probe_kill(test, wait_probe_start(test, obj));
	probe = wait_probe_start(test, obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(probe->thread));

	wait_hold_end(test, hold);
	KUNIT_EXPECT_EQ(test, 0, wait_probe_end(test, probe));
}

/* The same for a window that is dying: its own invalidation is under way. */
static void wait_dying_killed(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct wait_probe *probe;

	wait_hold_begin(test, hold);

	wait_probe_kill(test, wait_probe_start(test, hold->obj));
	probe = wait_probe_start(test, hold->obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(probe->thread));

	wait_hold_end(test, hold);
	KUNIT_EXPECT_EQ(test, 0, wait_probe_end(test, probe));
}

/* Killed, and hit once more before the next one comes. */
static void wait_killed_then_hit(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;

	obj = userptr_mock_obj_new(mock, hold->addr, SZ_2M, 0);
	vm = userptr_mock_vm_new(mock);
	userptr_mock_bind_all(vm, obj, 0);
	wait_hold_begin(test, hold);
	wait_probe_kill(test, wait_probe_start(test, obj));
	wait_hold_end(test, hold);

	/* Whatever sequence the one that was left behind found is stale now. */
	userptr_mock_file_replace(mock, hold->file, TAG);
	wait_truncate(&hold->truncate);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, 0, SZ_2M, TAG));
}

/* What is not hit does not wait, never populated or hit before. */
static void wait_not_hit(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_obj *fresh, *used;
	unsigned long beside = hold->addr + SZ_2M;
	unsigned long fault_addr;

	fresh = userptr_mock_obj_new(mock, beside, SZ_2M, 0);
	used = userptr_mock_obj_new(mock, beside, SZ_2M, 0);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_probe(&used->base, &fault_addr));
	userptr_mock_remap(mock, beside, PAGE_SIZE, PROT_READ | PROT_WRITE);
	wait_hold_begin(test, hold);

	KUNIT_EXPECT_EQ(test, 0,
			wait_probe_end(test, wait_probe_start(test, fresh)));
	KUNIT_EXPECT_EQ(test, 0,
			wait_probe_end(test, wait_probe_start(test, used)));

	wait_hold_end(test, hold);
}

static long wait_free(void *arg)
{
	userptr_mock_obj_free(arg);

	return 0;
}

/*
 * Who was killed left somebody waiting on behalf of the userptr, which must not
 * go away before. That one was made meanwhile, so the mm does not have it in
 * its tree yet, and to remove it would not take any waiting.
 */
static void wait_killed_then_freed(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct userptr_mock_thread *thread;
	struct userptr_mock_obj *obj;

	wait_hold_begin(test, hold);
	obj = userptr_mock_obj_new(test->priv, hold->addr, SZ_2M, 0);
	wait_probe_kill(test, wait_probe_start(test, obj));

	thread = userptr_mock_thread_start(test->priv, wait_free, obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(thread));

	wait_hold_end(test, hold);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
}

/**
 * struct wait_worker - a populate by somebody who has no mm and hears no signals
 * @obj: of what
 * @work: does it
 * @done: complete when @err is set
 * @err: its result
 */
struct wait_worker {
	struct userptr_mock_obj *obj;
	struct work_struct work;
	struct completion done;
	int err;
};

static void wait_worker_fn(struct work_struct *work)
{
	struct wait_worker *worker = container_of(work, typeof(*worker), work);
	unsigned long fault_addr;

	worker->err = drm_userptr_probe(&worker->obj->base, &fault_addr);
	complete_all(&worker->done);
}

/* Who waits for the mm does not keep it from coming to its end. */
static void wait_mm_gone(struct kunit *test)
{
	struct wait_hold *hold = wait_hold_new(test);
	struct mm_struct *mm = current->mm;
	struct wait_worker *worker;

	worker = kunit_kzalloc(test, sizeof(*worker), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, worker);
	worker->obj = userptr_mock_obj_new(test->priv, hold->addr, SZ_2M, 0);
	INIT_WORK(&worker->work, wait_worker_fn);
	init_completion(&worker->done);
	wait_hold_begin(test, hold);

	queue_work(system_dfl_wq, &worker->work);
	KUNIT_EXPECT_FALSE(test, wait_for_completion_timeout(&worker->done,
							     USERPTR_MOCK_AWHILE));
	/* Whoever has the last reference: to tear it down takes the job's end. */
	kthread_unuse_mm(mm);
	mmput_async(mm);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&worker->done,
							    USERPTR_MOCK_SOON));
	KUNIT_EXPECT_EQ(test, worker->err, -EFAULT);

	KUNIT_EXPECT_FALSE(test, completion_done(&hold->done));
	userptr_mock_job_end(hold->job);
	flush_work(&worker->work);
	flush_work(&hold->truncate);
}

static struct kunit_case drm_userptr_wait_tests[] = {
	KUNIT_CASE(wait_hit),
	KUNIT_CASE(wait_hit_killed),
	KUNIT_CASE(wait_dying_killed),
	KUNIT_CASE(wait_killed_then_hit),
	KUNIT_CASE(wait_not_hit),
	KUNIT_CASE(wait_killed_then_freed),
	KUNIT_CASE(wait_mm_gone),
	{ }
};

static struct kunit_suite drm_userptr_wait_suite = {
	.name = "drm_userptr_wait",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_wait_tests,
};

kunit_test_suite(drm_userptr_wait_suite);
