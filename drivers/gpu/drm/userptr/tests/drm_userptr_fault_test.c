// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Faults that come to nothing: nobody there to bring the page in, no memory
 * behind it any more, and processes that are killed wherever they sleep.
 */

#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0x5300000000ull

/* A submission that was told to wait for a handler of this window's faults */
static struct drm_userptr_submit fault_submit(unsigned long addr)
{
	mmgrab(current->mm);

	return (struct drm_userptr_submit) {
		.fault_mm = current->mm,
		.fault_start = addr,
		.fault_end = addr + SZ_2M,
		.fault_refused = ULONG_MAX,
		.fault_write = true,
	};
}

/* All that is missing up to the end, and nothing after it */
static void fault_brings_in(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct drm_userptr_submit submit;
	struct userptr_mock_file *file;
	int refs;

	file = userptr_mock_file_mmap(mock, addr, SZ_4M);
	refs = atomic_read(&current->mm->mm_count);
	submit = fault_submit(addr + PAGE_SIZE);
	submit.fault_end = addr + SZ_2M;

	KUNIT_EXPECT_EQ(test, 0, drm_userptr_submit_fault(&submit));
	KUNIT_EXPECT_EQ(test, submit.fault_refused, ULONG_MAX);
	KUNIT_EXPECT_NULL(test, submit.fault_mm);
	KUNIT_EXPECT_EQ(test, file->faults, USERPTR_MOCK_WINDOW_PAGES - 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&current->mm->mm_count), refs);
}

/* Nobody will: that is no error here, but populate gets to know where. */
static void fault_refused(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct drm_userptr_submit submit;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, SZ_2M));
	submit = fault_submit(addr);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_submit_fault(&submit));
	KUNIT_EXPECT_EQ(test, submit.fault_refused, addr);
	KUNIT_EXPECT_NULL(test, submit.fault_mm);
}

static void fault_after_exit(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct drm_userptr_submit submit = fault_submit(addr);

	userptr_mock_exit_mm(mock);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_submit_fault(&submit));
	KUNIT_EXPECT_EQ(test, submit.fault_refused, addr);
}

/* A signal says nothing about the memory. */
static void fault_interrupted(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct drm_userptr_submit submit;
	int err;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, SZ_2M));
	submit = fault_submit(addr);
	allow_signal(SIGUSR1);
	send_sig(SIGUSR1, current, 0);
	err = drm_userptr_submit_fault(&submit);
	flush_signals(current);
	disallow_signal(SIGUSR1);

	KUNIT_EXPECT_EQ(test, err, -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, submit.fault_refused, ULONG_MAX);
}

/**
 * struct fault_victim - somebody who sleeps and is killed
 * @obj: to be probed, or NULL to wait for a fault handler
 * @addr: where, then
 * @task: the thread, once @running is complete
 * @running: it runs
 */
struct fault_victim {
	struct userptr_mock_obj *obj;
	unsigned long addr;
	struct task_struct *task;
	struct completion running;
};

static long fault_victim_fn(void *arg)
{
	struct fault_victim *victim = arg;
	struct drm_userptr_submit submit;
	unsigned long fault_addr;

	allow_signal(SIGKILL);
	victim->task = get_task_struct(current);
	complete_all(&victim->running);

	if (victim->obj)
		return drm_userptr_probe(&victim->obj->base, &fault_addr);

	submit = fault_submit(victim->addr);

	return drm_userptr_submit_fault(&submit);
}

/* It sleeps for a lock that the caller holds, and no longer than it has to. */
static void fault_kill(struct kunit *test, struct fault_victim *victim)
{
	struct userptr_mock_thread *thread;

	init_completion(&victim->running);
	thread = userptr_mock_thread_start(test->priv, fault_victim_fn, victim);
	wait_for_completion(&victim->running);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(thread));
	send_sig(SIGKILL, victim->task, 1);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
	put_task_struct(victim->task);
	KUNIT_EXPECT_TRUE(test, thread->ret == -EINTR ||
			  thread->ret == -ERESTARTSYS);
}

static struct fault_victim *fault_victim_new(struct kunit *test)
{
	struct fault_victim *victim;

	victim = kunit_kzalloc(test, sizeof(*victim), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, victim);
	victim->addr = userptr_mock_mmap(test->priv, SZ_2M);

	return victim;
}

static void fault_killed_for_mmap_lock(struct kunit *test)
{
	struct fault_victim *victim = fault_victim_new(test);

	mmap_write_lock(current->mm);
	fault_kill(test, victim);
	mmap_write_unlock(current->mm);
}

static void fault_populate_killed_for_mmap_lock(struct kunit *test)
{
	struct fault_victim *victim = fault_victim_new(test);
	unsigned long fault_addr;

	victim->obj = userptr_mock_obj_new(test->priv, victim->addr, SZ_2M, 0);
	mmap_write_lock(current->mm);
	fault_kill(test, victim);
	mmap_write_unlock(current->mm);

	KUNIT_EXPECT_EQ(test, 0, drm_userptr_probe(&victim->obj->base,
						   &fault_addr));
}

/* Somebody else populates, and takes his time. */
static void fault_populate_killed_for_other(struct kunit *test)
{
	struct fault_victim *victim = fault_victim_new(test);
	unsigned long fault_addr;

	victim->obj = userptr_mock_obj_new(test->priv, victim->addr, SZ_2M, 0);
	mutex_lock(&victim->obj->base.populate_lock);
	fault_kill(test, victim);
	mutex_unlock(&victim->obj->base.populate_lock);

	KUNIT_EXPECT_EQ(test, 0, drm_userptr_probe(&victim->obj->base,
						   &fault_addr));
}

/* Kill the caller in the step that makes it zero; zero for none. */
static unsigned int fault_kill_nth;

static bool fault_kill_self(void)
{
	if (fault_kill_nth && !--fault_kill_nth)
		send_sig(SIGKILL, current, 1);

	return false;
}

/*
 * Kill the caller of @what in each step that it has. Whether it notices or is
 * done before, it says so with no other error, and leaves nothing behind that
 * keeps the next call from success. Returns how often GUP noticed: who notices
 * before that says -ERESTARTSYS.
 */
static unsigned int fault_kill_each(struct kunit *test,
				    int (*what)(void *arg), void *arg)
{
	unsigned int nth, in_gup = 0;
	bool killed;
	int err;

	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   fault_kill_self);
	allow_signal(SIGKILL);
	for (nth = 1; nth < 1000; nth++) {
		fault_kill_nth = nth;
		err = what(arg);
		killed = !fault_kill_nth;
		fault_kill_nth = 0;
		flush_signals(current);
		if (!killed)
			break;

		KUNIT_EXPECT_TRUE_MSG(test, !err || err == -EINTR ||
				      err == -ERESTARTSYS, "step %u: %d", nth,
				      err);
		in_gup += err == -EINTR;
	}
	disallow_signal(SIGKILL);

	KUNIT_EXPECT_LT(test, nth, 1000);
	KUNIT_EXPECT_EQ(test, err, 0);

	return in_gup;
}

struct fault_file {
	struct userptr_mock_obj *obj;
	struct userptr_mock_file *file;
};

static int fault_do_probe(void *arg)
{
	unsigned int nth = fault_kill_nth;
	struct fault_file *range = arg;
	unsigned long fault_addr;

	/* Neither the CPU nor the device has it any more. */
	fault_kill_nth = 0;
	unmap_mapping_range(&range->file->mapping, 0, SZ_2M, 1);
	fault_kill_nth = nth;

	return drm_userptr_probe(&range->obj->base, &fault_addr);
}

/* A page of a file is faulted in to see what it is. */
static void fault_populate_killed(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct fault_file range = {
		.file = userptr_mock_file_mmap(mock, addr, SZ_2M),
		.obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0),
	};

	fault_kill_each(test, fault_do_probe, &range);
}

static void fault_kill_in_fault(struct userptr_mock_file *file,
				unsigned long page)
{
	file->fault = NULL;
	send_sig(SIGKILL, current, 1);
}

/* The same while it is faulted in */
static void fault_populate_killed_in_fault(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_file *file;
	struct userptr_mock_obj *obj;
	unsigned long fault_addr;
	int err;

	file = userptr_mock_file_mmap(mock, addr, SZ_2M);
	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	file->fault = fault_kill_in_fault;
	allow_signal(SIGKILL);
	err = drm_userptr_probe(&obj->base, &fault_addr);
	flush_signals(current);
	disallow_signal(SIGKILL);

	KUNIT_EXPECT_EQ(test, err, -EINTR);
	KUNIT_EXPECT_EQ(test, file->faults, 1);
	KUNIT_EXPECT_NULL(test, obj->base.populator);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));
	KUNIT_EXPECT_EQ(test, file->faults, USERPTR_MOCK_WINDOW_PAGES);
}

struct fault_pin {
	struct userptr_mock *mock;
	struct drm_userptr *userptr;
	unsigned long addr;
};

static int fault_do_pin(void *arg)
{
	struct fault_pin *pin = arg;
	int err;

	/* What is not there cannot be had without looking for signals. */
	userptr_mock_remap(pin->mock, pin->addr, SZ_4M, PROT_READ | PROT_WRITE);
	memset(pin->userptr, 0, sizeof(*pin->userptr));
	err = drm_userptr_init(pin->userptr, pin->mock->dev, pin->addr, SZ_4M,
			       DRM_USERPTR_PIN);
	if (!err)
		drm_userptr_fini(pin->userptr);

	return err;
}

static void fault_pin_killed(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct fault_pin pin = {
		.mock = mock,
		.addr = userptr_mock_mmap(mock, SZ_4M),
	};
	unsigned long locked = current->mm->locked_vm;

	pin.userptr = kunit_kzalloc(test, sizeof(*pin.userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pin.userptr);
	KUNIT_EXPECT_GT(test, fault_kill_each(test, fault_do_pin, &pin), 0);
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, locked);
}

static struct kunit_case drm_userptr_fault_tests[] = {
	KUNIT_CASE(fault_brings_in),
	KUNIT_CASE(fault_refused),
	KUNIT_CASE(fault_after_exit),
	KUNIT_CASE(fault_interrupted),
	KUNIT_CASE(fault_killed_for_mmap_lock),
	KUNIT_CASE(fault_populate_killed_for_mmap_lock),
	KUNIT_CASE(fault_populate_killed_for_other),
	KUNIT_CASE(fault_populate_killed),
	KUNIT_CASE(fault_populate_killed_in_fault),
	KUNIT_CASE(fault_pin_killed),
	{ }
};

static struct kunit_suite drm_userptr_fault_suite = {
	.name = "drm_userptr_fault",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_fault_tests,
};

kunit_test_suite(drm_userptr_fault_suite);
