// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Invalidation: when it returns, nothing of the device's reaches the memory any
 * more; until then, jobs that were there first have it.
 *
 * That entries are not cleared under a running job, and not unmapped for DMA
 * while page table or TLB have them, is checked by the mock in every test.
 */

#include <linux/delay.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* Three windows of memory, bound at device address 0 and populated. */
struct inval_range {
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
};

#define INVAL_SIZE	(3 * DRM_USERPTR_WINDOW_SIZE)

static struct inval_range *inval_range_new(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct inval_range *range;

	range = kunit_kzalloc(test, sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range);
	range->addr = userptr_mock_mmap(mock, INVAL_SIZE);
	userptr_mock_fill(mock, range->addr, INVAL_SIZE, TAG);
	range->vm = userptr_mock_vm_new(mock);
	range->obj = userptr_mock_obj_new(mock, range->addr, INVAL_SIZE, 0);
	range->binding = userptr_mock_bind_all(range->vm, range->obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(range->vm));
	KUNIT_ASSERT_EQ(test, range->vm->present, 3 * PAGES);

	return range;
}

static struct userptr_mock_vm *
inval_second_vm(struct kunit *test, struct userptr_mock_obj *obj)
{
	struct userptr_mock_vm *vm = userptr_mock_vm_new(test->priv);

	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	return vm;
}

/* Page table, TLB and DMA mappings are clear when munmap() returns. */
static void inval_idle(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;

	/* The TLB has it all. */
	KUNIT_ASSERT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M, SZ_2M));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(vm, SZ_2M, SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, SZ_2M, SZ_2M,
						      TAG + PAGES));
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.invalidations));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.fence_waits));

	/* The windows beside it do not even notice. */
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, SZ_4M, SZ_2M,
							  TAG + 2 * PAGES));
}

/* What no device has costs nothing, and waits for nobody. */
static void inval_unused(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock_vm *vm = range->vm;
	u64 zaps, submits;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M, SZ_2M));
	userptr_mock_commit_by_hand(vm, userptr_mock_job_new(test->priv, 0, 1));
	zaps = vm->zaps;
	submits = vm->tlb_submits;

	userptr_mock_remap(test->priv, range->addr + SZ_2M, SZ_2M, PROT_READ);
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M, SZ_2M));
	KUNIT_EXPECT_EQ(test, vm->zaps, zaps);
	KUNIT_EXPECT_EQ(test, vm->tlb_submits, submits);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.invalidations));
}

/* Stopped means stopped: munmap() waits for the job, which has its memory. */
static void inval_waits_for_job(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(vm);
	munmap = userptr_mock_munmap_start(mock, range->addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));

	KUNIT_EXPECT_EQ(test, vm->zaps, 0);
	KUNIT_EXPECT_FALSE(test, completion_done(&munmap->done));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 3 * PAGES, atomic64_read(&mock->dma_pages));

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, munmap->ret, 0);
	KUNIT_EXPECT_EQ(test, vm->zaps, 1);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, 0, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.fence_waits));
}

/* Two VMs with one userptr: both are told before either is waited for. */
static void inval_waits_overlap_in_vms(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock_vm *vm[2] = { range->vm, };
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job *job[2];
	unsigned int i;

	vm[1] = inval_second_vm(test, range->obj);
	for (i = 0; i < 2; i++)
		job[i] = userptr_mock_submit_new(vm[i]);

	munmap = userptr_mock_munmap_start(mock, range->addr, SZ_2M);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_TRUE(test,
				  wait_for_completion_timeout(&job[i]->signaling,
							      USERPTR_MOCK_SOON));

	/* Either first. */
	userptr_mock_job_end(job[1]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job[0]));
	KUNIT_EXPECT_EQ(test, vm[0]->zaps, 0);
	userptr_mock_job_end(job[0]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, 0,
				userptr_mock_matches(vm[i], 0, SZ_2M, TAG));
}

/* Userptrs that overlap, each in a VM of its own: the longest wait, not all. */
static void inval_waits_overlap_in_userptrs(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job *job[4];
	struct userptr_mock_vm *vm[4];
	struct userptr_mock_obj *obj;
	unsigned int i;

	/* Each has the pages DMA-mapped for itself. */
	mock->aliased = true;
	userptr_mock_fill(mock, addr, SZ_2M, TAG);
	for (i = 0; i < 4; i++) {
		vm[i] = userptr_mock_vm_new(mock);
		obj = userptr_mock_obj_new(mock, addr + i * PAGE_SIZE,
					   8 * PAGE_SIZE, 0);
		userptr_mock_bind_all(vm[i], obj, 0);
		job[i] = userptr_mock_submit_new(vm[i]);
	}

	munmap = userptr_mock_munmap_start(mock, addr + 4 * PAGE_SIZE,
					   PAGE_SIZE);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test,
				  wait_for_completion_timeout(&job[i]->signaling,
							      USERPTR_MOCK_SOON));
	for (i = 0; i < 4; i++)
		userptr_mock_job_end(job[i]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, vm[i]->present, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));
}

/* For the case that there is no object for a second pass. */
static struct drm_userptr_inval *inval_alloc_fails(void)
{
	return NULL;
}

static long inval_second_callback(void *arg)
{
	struct inval_range *range = arg;

	return userptr_mock_invalidate(range->obj, range->addr,
				       range->addr + PAGE_SIZE);
}

/*
 * A second callback meets a dying window. It does not wait for the first one's
 * second pass, which may be held up behind other devices, but for the jobs.
 */
static void inval_second_while_dying(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_thread *second;
	struct userptr_mock_job *job;
	u64 present;

	kunit_activate_static_stub(test, drm_userptr_inval_alloc,
				   inval_alloc_fails);
	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, range->obj->finish);
	KUNIT_EXPECT_FALSE(test, completion_done(&job->waited));

	second = userptr_mock_thread_start(mock, inval_second_callback, range);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_EQ(test, vm->zaps, 0);

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(second));
	KUNIT_EXPECT_TRUE(test, second->ret);
	present = userptr_mock_present(vm, 0, SZ_2M);
	KUNIT_EXPECT_EQ(test, present, 0);
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));

	/* Nothing is left to do for the first, and it does not do it twice. */
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));
}

/* The other way round: the first is through while the second is waiting. */
static void inval_first_while_second_waits(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job, *later;
	struct userptr_mock_thread *second;

	kunit_activate_static_stub(test, drm_userptr_inval_alloc,
				   inval_alloc_fails);
	job = userptr_mock_submit_new(vm);
	/* Reserves room for one more, and does not need it. */
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, range->obj->finish);

	/* The second one's jobs are those of its own time. */
	later = userptr_mock_job_new(mock, 0, 1);
	userptr_mock_commit_by_hand(vm, later);
	userptr_mock_job_end(job);
	second = userptr_mock_thread_start(mock, inval_second_callback, range);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(later));

	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(vm, 0, SZ_2M));
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));

	userptr_mock_job_end(later);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(second));
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));
}

/* With an object from the pool neither waits before its second pass. */
static void inval_two_second_passes(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + SZ_2M));
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + SZ_4M));
	KUNIT_ASSERT_NOT_NULL(test, range->obj->finish);
	KUNIT_ASSERT_NOT_NULL(test, range->obj->later[0]);
	KUNIT_EXPECT_FALSE(test, completion_done(&job->waited));
	KUNIT_EXPECT_EQ(test, vm->present, 3 * PAGES);

	userptr_mock_job_end(job);
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, vm->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, 2 * PAGES, atomic64_read(&mock->dma_pages));
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, atomic64_read(&mock->dma_pages));

	/* The one in the userptr is free again. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + SZ_2M));
	KUNIT_EXPECT_PTR_EQ(test, range->obj->finish,
			    &range->obj->base.inval.finish);
	userptr_mock_job_end(job);
}

/* One VM more than an invalidation remembers the jobs of */
static void inval_many_vms(struct kunit *test)
{
	struct userptr_mock_vm *vm[DRM_USERPTR_INVAL_JOBS + 1];
	struct userptr_mock_job *job[ARRAY_SIZE(vm)];
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	unsigned int i, last = ARRAY_SIZE(vm) - 1;

	vm[0] = range->vm;
	for (i = 1; i < ARRAY_SIZE(vm); i++)
		vm[i] = inval_second_vm(test, range->obj);
	/* What is elsewhere is passed by. */
	userptr_mock_bind(vm[last], range->obj, range->addr + SZ_4M, SZ_2M,
			  SZ_8M);
	for (i = 0; i < ARRAY_SIZE(vm); i++)
		job[i] = userptr_mock_submit_new(vm[i]);

	munmap = userptr_mock_munmap_start(mock, range->addr, SZ_4M);
	for (i = 0; i < last; i++) {
		KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job[i]));
		userptr_mock_job_end(job[i]);
	}
	/* Nobody took note of this one's job, yet it is waited for. */
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job[last]));
	KUNIT_EXPECT_EQ(test, vm[0]->present, 3 * PAGES);
	KUNIT_EXPECT_EQ(test, vm[last]->present, 4 * PAGES);
	userptr_mock_job_end(job[last]);

	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_present(vm[last], SZ_8M, SZ_2M));
	for (i = 0; i < ARRAY_SIZE(vm); i++) {
		KUNIT_EXPECT_EQ(test, PAGES,
				userptr_mock_present(vm[i], 0, INVAL_SIZE));
		/* The TLB, too */
		KUNIT_EXPECT_EQ(test, PAGES,
				userptr_mock_matches(vm[i], 0, INVAL_SIZE, TAG));
	}
	KUNIT_EXPECT_EQ(test, PAGES, atomic64_read(&mock->dma_pages));
}

/* Jobs that come after it are not waited for, if their VM is remembered. */
static void inval_ignores_later_jobs(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job, *later;
	struct userptr_mock_thread *second;

	/* In one pass, with no object for a second one */
	kunit_activate_static_stub(test, drm_userptr_inval_alloc,
				   inval_alloc_fails);
	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + PAGE_SIZE));
	second = userptr_mock_thread_start(mock, inval_second_callback, range);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));

	later = userptr_mock_job_new(mock, 0, 1);
	userptr_mock_commit_by_hand(vm, later);
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(second));
	KUNIT_EXPECT_FALSE(test, completion_done(&later->waited));

	userptr_mock_job_end(later);
	userptr_mock_invalidate_finish(range->obj);
}

/* All that a refused invalidation must leave alone. */
struct inval_state {
	unsigned long seq;
	u64 inval_seq;
	u64 invalidations;
	u64 present;
	u64 zaps;
	u64 tlb_submits;
	u64 dma_pages;
	u64 windows;
	bool listed;
	bool mapped[3];
};

static void inval_state_get(struct inval_state *state,
			    struct inval_range *range)
{
	struct userptr_mock_vm *vm = range->vm;
	unsigned int i;

	memset(state, 0, sizeof(*state));
	state->seq = range->obj->base.notifier.invalidate_seq;
	state->inval_seq = range->obj->base.inval_seq;
	state->invalidations = atomic64_read(&vm->base.stats.invalidations);
	state->present = vm->present;
	state->zaps = vm->zaps;
	state->tlb_submits = vm->tlb_submits;
	state->dma_pages = atomic64_read(&vm->mock->dma_pages);
	state->listed = !list_empty(&vm->base.invalidated);
	state->windows = atomic64_read(&vm->base.stats.windows);
	for (i = 0; i < ARRAY_SIZE(state->mapped); i++)
		state->mapped[i] = test_bit(i, range->binding->base.mapped);
}

static void inval_expect_refused(struct kunit *test, struct inval_range *range,
				 unsigned long start, unsigned long end)
{
	struct inval_state before, after;

	inval_state_get(&before, range);
	KUNIT_EXPECT_FALSE(test, userptr_mock_invalidate_nonblock(range->obj,
								  start, end));
	inval_state_get(&after, range);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
}

/* The OOM reaper gets what is idle... */
static void inval_nonblock_idle(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;

	KUNIT_ASSERT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr,
							   range->addr + SZ_4M));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, atomic64_read(&mock->dma_pages));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));

	/* Nobody holds a lock any more, and submissions notice. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 5, atomic64_read(&vm->base.stats.windows));
}

/* ...is refused what is busy, and nothing happened... */
static void inval_nonblock_busy(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(vm);
	inval_expect_refused(test, range, range->addr, range->addr + SZ_4M);
	KUNIT_EXPECT_FALSE(test, completion_done(&job->waited));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));

	/* The next job finds everything valid. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 3, atomic64_read(&vm->base.stats.windows));

	/* A job that is over is no reason. */
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr,
							   range->addr + SZ_4M));
}

/* ...also if only the second of two VMs is busy... */
static void inval_nonblock_one_vm_busy(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock_vm *busy = inval_second_vm(test, range->obj);
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(busy);
	inval_expect_refused(test, range, range->addr, range->addr + SZ_2M);
	KUNIT_EXPECT_EQ(test, busy->present, 3 * PAGES);

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr,
							   range->addr + SZ_2M));
	KUNIT_EXPECT_EQ(test, range->vm->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, busy->present, 2 * PAGES);
}

/* ...or if somebody has a lock; the test has it itself, which is as bad. */
static void inval_nonblock_locked(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	unsigned long end = range->addr + SZ_2M;
	struct userptr_mock_vm *other;

	other = inval_second_vm(test, range->obj);

	mutex_lock(&range->obj->base.lock);
	inval_expect_refused(test, range, range->addr, end);
	mutex_unlock(&range->obj->base.lock);

	down_read(&range->vm->base.notifier_lock);
	inval_expect_refused(test, range, range->addr, end);
	up_read(&range->vm->base.notifier_lock);

	/* The first one's lock is given back. */
	down_read(&other->base.notifier_lock);
	inval_expect_refused(test, range, range->addr, end);
	up_read(&other->base.notifier_lock);

	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr, end));
}

/* A VM with two bindings that are hit is locked and unlocked once. */
static void inval_nonblock_twice_in_vm(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	unsigned long end = range->addr + SZ_2M;
	struct userptr_mock_vm *vm = range->vm, *other;

	/* Not hit, hit once more, and after that another VM. */
	userptr_mock_bind(vm, range->obj, range->addr + SZ_4M, SZ_2M, SZ_8M);
	userptr_mock_bind(vm, range->obj, range->addr, SZ_2M, SZ_8M + SZ_2M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	other = inval_second_vm(test, range->obj);
	KUNIT_ASSERT_EQ(test, vm->present, 5 * PAGES);

	down_read(&other->base.notifier_lock);
	inval_expect_refused(test, range, range->addr, end);
	/* Nobody has it any more, and once is enough for that. */
	KUNIT_ASSERT_TRUE(test, down_write_trylock(&vm->base.notifier_lock));
	up_write(&vm->base.notifier_lock);
	up_read(&other->base.notifier_lock);

	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr, end));
	KUNIT_EXPECT_EQ(test, vm->present, 3 * PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_present(vm, SZ_8M, SZ_4M));
	KUNIT_EXPECT_EQ(test, other->present, 2 * PAGES);
	KUNIT_ASSERT_TRUE(test, down_write_trylock(&vm->base.notifier_lock));
	up_write(&vm->base.notifier_lock);
}

/* What no device has is had for nothing, whatever else is going on. */
static void inval_nonblock_unused(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_obj *fresh;
	unsigned long addr;
	u64 zaps;

	addr = userptr_mock_mmap(mock, SZ_2M);
	fresh = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_submit_new(vm);
	userptr_mock_bind_all(vm, fresh, INVAL_SIZE);
	zaps = vm->zaps;

	KUNIT_EXPECT_TRUE(test, userptr_mock_invalidate_nonblock(fresh, addr,
								 addr + SZ_2M));
	KUNIT_EXPECT_EQ(test, vm->zaps, zaps);
}

/* What somebody else is taking already is not to be had. */
static void inval_nonblock_dying(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(range->vm);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, range->obj->finish);
	inval_expect_refused(test, range, range->addr, range->addr + SZ_2M);

	userptr_mock_job_end(job);
	inval_expect_refused(test, range, range->addr, range->addr + SZ_2M);
	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr,
							   range->addr + SZ_2M));
	KUNIT_EXPECT_EQ(test, range->vm->present, 2 * PAGES);
}

/* The last one takes it all: the range is everything there is. */
static void inval_release(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;

	KUNIT_EXPECT_TRUE(test, userptr_mock_invalidate(range->obj, 0,
							ULONG_MAX));
	KUNIT_EXPECT_EQ(test, range->vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));
}

static long inval_last_thread(void *arg)
{
	struct completion *go = arg;

	return wait_for_completion_timeout(go, USERPTR_MOCK_SOON);
}

/* The process dies while its job runs: its memory lives until the job is over. */
static void inval_exit_waits_for_job(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *last;
	struct userptr_mock_job *job;
	struct completion *go;

	go = kunit_kzalloc(test, sizeof(*go), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, go);
	init_completion(go);

	job = userptr_mock_submit_new(range->vm);
	last = userptr_mock_thread_start(mock, inval_last_thread, go);
	userptr_mock_exit_mm(mock);
	complete(go);

	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(range->vm, 0, INVAL_SIZE, TAG));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(last));
	KUNIT_EXPECT_EQ(test, range->vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));
}

/* What is bound between the two passes is not the second one's business. */
static void inval_bind_meanwhile(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate(range->obj, range->addr,
						  range->addr + PAGE_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, range->obj->finish);
	userptr_mock_bind_all(vm, range->obj, SZ_8M);
	userptr_mock_job_end(job);

	userptr_mock_invalidate_finish(range->obj);
	KUNIT_EXPECT_EQ(test, vm->zaps, 1);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, INVAL_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, SZ_8M, INVAL_SIZE, TAG));
}

/* The window is the unit: a binding of another part of it is hit as well. */
static void inval_other_part_of_window(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;

	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	userptr_mock_bind(vm, obj, addr + PAGE_SIZE, 3 * PAGE_SIZE, 0);
	userptr_mock_bind(vm, obj, addr + SZ_2M, 3 * PAGE_SIZE, SZ_2M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	userptr_mock_remap(mock, addr + SZ_1M, PAGE_SIZE,
			   PROT_READ | PROT_WRITE);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(vm, 0, SZ_2M));
	KUNIT_EXPECT_EQ(test, 3, userptr_mock_present(vm, SZ_2M, SZ_2M));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 3, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 3, userptr_mock_matches(vm, 0, 3 * PAGE_SIZE,
						      TAG + 1));
}

struct inval_storm {
	struct inval_range *range;
	bool stop;
	unsigned int hits;
};

/* Takes pages of the middle window, each time another. */
static long inval_storm(void *arg)
{
	struct inval_storm *storm = arg;
	unsigned long addr;

	while (!READ_ONCE(storm->stop)) {
		addr = storm->range->addr + SZ_2M +
		       storm->hits++ * 7 % PAGES * PAGE_SIZE;
		if (vm_mmap(NULL, addr, PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, 0) != addr)
			return -ENOMEM;
		usleep_range(50, 100);
	}

	return 0;
}

/* Submissions succeed, and running jobs have what they were given. */
static void inval_storm_of_remaps(struct kunit *test)
{
	struct inval_range *range = inval_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_thread *thread;
	struct userptr_mock_job *job;
	struct inval_storm *storm;
	unsigned int i, wrong = 0;
	u64 value;
	int err;

	storm = kunit_kzalloc(test, sizeof(*storm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, storm);
	storm->range = range;

	thread = userptr_mock_thread_start(mock, inval_storm, storm);
	for (i = 0; i < 20; i++) {
		job = userptr_mock_job_new(mock, 0, 1);
		err = userptr_mock_submit(vm, job);
		if (err)
			break;
		wrong += vm->present != 3 * PAGES;
		wrong += userptr_mock_matches(vm, 0, SZ_2M, TAG) != PAGES;
		wrong += userptr_mock_matches(vm, SZ_4M, SZ_2M,
					      TAG + 2 * PAGES) != PAGES;
		wrong += !!userptr_mock_read(vm, SZ_2M + i * PAGE_SIZE, &value);
		userptr_mock_job_end(job);
	}
	WRITE_ONCE(storm->stop, true);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
	KUNIT_EXPECT_EQ(test, thread->ret, 0);
}

static struct kunit_case drm_userptr_invalidate_tests[] = {
	KUNIT_CASE(inval_idle),
	KUNIT_CASE(inval_unused),
	KUNIT_CASE(inval_waits_for_job),
	KUNIT_CASE(inval_waits_overlap_in_vms),
	KUNIT_CASE(inval_waits_overlap_in_userptrs),
	KUNIT_CASE(inval_second_while_dying),
	KUNIT_CASE(inval_first_while_second_waits),
	KUNIT_CASE(inval_two_second_passes),
	KUNIT_CASE(inval_many_vms),
	KUNIT_CASE(inval_ignores_later_jobs),
	KUNIT_CASE(inval_nonblock_idle),
	KUNIT_CASE(inval_nonblock_busy),
	KUNIT_CASE(inval_nonblock_one_vm_busy),
	KUNIT_CASE(inval_nonblock_locked),
	KUNIT_CASE(inval_nonblock_twice_in_vm),
	KUNIT_CASE(inval_nonblock_unused),
	KUNIT_CASE(inval_nonblock_dying),
	KUNIT_CASE(inval_release),
	KUNIT_CASE(inval_exit_waits_for_job),
	KUNIT_CASE(inval_bind_meanwhile),
	KUNIT_CASE(inval_other_part_of_window),
	KUNIT_CASE(inval_storm_of_remaps),
	{ }
};

static struct kunit_suite drm_userptr_invalidate_suite = {
	.name = "drm_userptr_invalidate",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_invalidate_tests,
};

kunit_test_suite(drm_userptr_invalidate_suite);
