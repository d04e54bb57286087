// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * A binding goes between the two passes of an invalidation. It does not wait
 * for the second one, which may be held up by others, and leaves nothing behind
 * that it would use: bindings are freed right after, and their VMs may be.
 */

#include <linux/completion.h>

#include "drm_userptr_mock.h"

#define TAG	0xb100000000ull
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* One window, in as many VMs as there may be snapshots, and one more */
#define UNBIND_VMS	(DRM_USERPTR_INVAL_JOBS + 1)

struct unbind_range {
	unsigned long addr;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm[UNBIND_VMS];
	struct userptr_mock_binding *binding[UNBIND_VMS];
};

static void unbind_range_bind(struct kunit *test, struct unbind_range *range,
			      unsigned int i)
{
	range->vm[i] = userptr_mock_vm_new(test->priv);
	range->binding[i] = userptr_mock_bind_all(range->vm[i], range->obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(range->vm[i]));
	/* The TLB has it all. */
	KUNIT_ASSERT_EQ(test, PAGES,
			userptr_mock_matches(range->vm[i], 0, SZ_2M, TAG));
}

/* Bound in the first @nr VMs */
static struct unbind_range *unbind_range_new(struct kunit *test,
					     unsigned int nr)
{
	struct userptr_mock *mock = test->priv;
	struct unbind_range *range;
	unsigned int i;

	range = kunit_kzalloc(test, sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range);
	range->addr = userptr_mock_mmap(mock, SZ_2M);
	userptr_mock_fill(mock, range->addr, SZ_2M, TAG);
	range->obj = userptr_mock_obj_new(mock, range->addr, SZ_2M, 0);
	for (i = 0; i < nr; i++)
		unbind_range_bind(test, range, i);

	return range;
}

/* The first pass of an invalidation that a job in the first VM holds up */
static struct userptr_mock_job *unbind_hold_up(struct kunit *test,
					       struct unbind_range *range)
{
	struct userptr_mock_job *job = userptr_mock_submit_new(range->vm[0]);

	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, range->obj->finish);

	return job;
}

static long unbind_call(void *binding)
{
	userptr_mock_unbind(binding);

	return 0;
}

static long unbind_finish(void *obj)
{
	userptr_mock_invalidate_finish(obj);

	return 0;
}

/* In a thread, so that one that waits fails the test and does not hang it. */
static void unbind_expect_done(struct kunit *test,
			       struct userptr_mock_binding *binding)
{
	struct userptr_mock_thread *thread;

	thread = userptr_mock_thread_start(test->priv, unbind_call, binding);
	KUNIT_ASSERT_TRUE(test, userptr_mock_thread_join(thread));
}

static void unbind_held_up_by_other_vm(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, 2);
	struct userptr_mock_vm *vm = range->vm[1];
	struct userptr_mock_job *job;
	u64 zaps, submits;

	job = unbind_hold_up(test, range);
	unbind_expect_done(test, range->binding[1]);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, 0, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, range->vm[0]->present, PAGES);

	zaps = vm->zaps;
	submits = vm->tlb_submits;
	userptr_mock_job_end(job);
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, vm->zaps, zaps);
	KUNIT_EXPECT_EQ(test, vm->tlb_submits, submits);
	KUNIT_EXPECT_EQ(test, range->vm[0]->present, 0);
	KUNIT_EXPECT_EQ(test, 0,
			userptr_mock_matches(range->vm[0], 0, SZ_2M, TAG));
}

/* The only one: what the second pass finds is a window that is dying. */
static void unbind_last(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, 1);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_job *job;
	u64 submits;

	job = unbind_hold_up(test, range);
	userptr_mock_job_end(job);
	unbind_expect_done(test, range->binding[0]);
	KUNIT_EXPECT_EQ(test, range->vm[0]->present, 0);

	submits = range->vm[0]->tlb_submits;
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, range->vm[0]->tlb_submits, submits);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));

	/* The userptr is as good as new. */
	unbind_range_bind(test, range, 1);
}

/* Another binding in the same VM still needs the TLB flushed. */
static void unbind_one_of_two(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, 1);
	struct userptr_mock_vm *vm = range->vm[0];
	struct userptr_mock_binding *second;
	struct userptr_mock_job *job;

	second = userptr_mock_bind_all(vm, range->obj, SZ_2M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	job = unbind_hold_up(test, range);
	userptr_mock_job_end(job);
	unbind_expect_done(test, range->binding[0]);
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, SZ_2M, SZ_2M, TAG));

	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, SZ_2M, SZ_2M, TAG));
	unbind_expect_done(test, second);
}

/*
 * Once it flushes, it needs the VMs: until it is over, which does not take long
 * as there is nothing left to wait for but devices.
 */
static void unbind_while_flushing(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, 2);
	struct userptr_mock_thread *finish, *unbind;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_job *job;

	job = unbind_hold_up(test, range);
	userptr_mock_job_end(job);
	range->vm[0]->slow_tlb = true;
	finish = userptr_mock_thread_start(mock, unbind_finish, range->obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(finish));

	unbind = userptr_mock_thread_start(mock, unbind_call,
					   range->binding[1]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(unbind));
	complete_all(&range->vm[0]->let_flush);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(finish));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(unbind));
	KUNIT_EXPECT_EQ(test, range->vm[1]->present, 0);
}

/* One of another part of the userptr is none of its business. */
static void unbind_elsewhere(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_vm *slow = userptr_mock_vm_new(mock);
	struct userptr_mock_binding *binding;
	struct userptr_mock_thread *finish;
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;
	unsigned long addr;
	u64 zaps;

	addr = userptr_mock_mmap(mock, SZ_4M);
	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	binding = userptr_mock_bind(vm, obj, addr, SZ_2M, 0);
	userptr_mock_bind(slow, obj, addr + SZ_2M, SZ_2M, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	job = userptr_mock_submit_new(slow);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(obj, addr + SZ_2M,
						  addr + SZ_4M));
	KUNIT_ASSERT_NOT_NULL(test, obj->finish);
	userptr_mock_job_end(job);
	slow->slow_tlb = true;
	finish = userptr_mock_thread_start(mock, unbind_finish, obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(finish));

	/* While that one is flushing, too. Only its own window is zapped. */
	zaps = vm->zaps;
	unbind_expect_done(test, binding);
	KUNIT_EXPECT_EQ(test, vm->zaps, zaps + 1);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_FALSE(test, completion_done(&finish->done));
	complete_all(&slow->let_flush);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(finish));
	KUNIT_EXPECT_EQ(test, slow->present, 0);
}

static long unbind_invalidate(void *data)
{
	struct unbind_range *range = data;

	return userptr_mock_invalidate(range->obj, range->addr,
				       range->addr + PAGE_SIZE);
}

/* One that begins when the binding is on its way out passes it by. */
static void unbind_invalidate_meanwhile(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, 2);
	struct userptr_mock_thread *finish, *unbind, *second;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm[1];
	struct userptr_mock_job *job;
	u64 zaps, submits;

	job = unbind_hold_up(test, range);
	userptr_mock_job_end(job);
	range->vm[0]->slow_tlb = true;
	finish = userptr_mock_thread_start(mock, unbind_finish, range->obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(finish));
	unbind = userptr_mock_thread_start(mock, unbind_call,
					   range->binding[1]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(unbind));
	zaps = vm->zaps;
	submits = vm->tlb_submits;

	second = userptr_mock_thread_start(mock, unbind_invalidate, range);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(second));
	complete_all(&range->vm[0]->let_flush);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(finish));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(unbind));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(second));
	KUNIT_EXPECT_TRUE(test, second->ret);
	KUNIT_EXPECT_EQ(test, vm->zaps, zaps);
	KUNIT_EXPECT_EQ(test, vm->tlb_submits, submits);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, range->vm[0]->present, 0);
}

/* With more VMs than there are snapshots it goes through the bindings. */
static void unbind_one_of_many(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, UNBIND_VMS);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *unbind;
	struct userptr_mock_job *job;
	unsigned int i;

	job = unbind_hold_up(test, range);
	unbind = userptr_mock_thread_start(mock, unbind_call,
					   range->binding[UNBIND_VMS - 1]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(unbind));
	userptr_mock_job_end(job);
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(unbind));
	for (i = 0; i < UNBIND_VMS; i++)
		KUNIT_EXPECT_EQ(test, range->vm[i]->present, 0);
}

/* A newer invalidation passes by what is unbound, and is not waited for. */
static void unbind_then_invalidate(struct kunit *test)
{
	struct unbind_range *range = unbind_range_new(test, 2);
	struct userptr_mock_job *job;
	u64 zaps;

	unbind_expect_done(test, range->binding[1]);
	zaps = range->vm[1]->zaps;
	job = unbind_hold_up(test, range);
	userptr_mock_job_end(job);
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, range->vm[1]->zaps, zaps);
	KUNIT_EXPECT_EQ(test, range->vm[0]->present, 0);
}

static struct kunit_case drm_userptr_unbind_tests[] = {
	KUNIT_CASE(unbind_held_up_by_other_vm),
	KUNIT_CASE(unbind_last),
	KUNIT_CASE(unbind_one_of_two),
	KUNIT_CASE(unbind_while_flushing),
	KUNIT_CASE(unbind_elsewhere),
	KUNIT_CASE(unbind_invalidate_meanwhile),
	KUNIT_CASE(unbind_one_of_many),
	KUNIT_CASE(unbind_then_invalidate),
	{ }
};

static struct kunit_suite drm_userptr_unbind_suite = {
	.name = "drm_userptr_unbind",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_unbind_tests,
};

kunit_test_suite(drm_userptr_unbind_suite);
