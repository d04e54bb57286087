// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * The mm comes between each two steps that a submission has: first before the
 * first, then before the second, until there are no more. Whenever it comes, the
 * job sees what is in memory now, and nothing else.
 */

#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/uaccess.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0xa100000000ull
#define TAG2	0xa200000000ull
#define PAGES	16
#define SIZE	(PAGES * PAGE_SIZE)

/* More than anything here has steps */
#define HIT_MAX	2000

/**
 * struct hit - memory that is hit, and when
 * @mock: the device
 * @addr: pages at the end of a window and at the start of the next, each filled
 *	with @TAG and its number
 * @vm: where all of it is bound at address 0
 * @obj: what is bound
 * @how: what is done to it
 * @nth: in this step from now on, zero for none
 * @page: the page that is replaced
 * @hits: so often was it hit
 * @refused: so often was the OOM reaper refused
 */
static struct hit {
	struct userptr_mock *mock;
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	void (*how)(void);
	unsigned int nth;
	unsigned int page;
	unsigned int hits;
	unsigned int refused;
} hit;

/* Nobody else is there: it is the submission that has them. */
static bool hit_locks_held(void)
{
	return mutex_is_locked(&hit.obj->base.lock) ||
	       rwsem_is_locked(&hit.vm->base.notifier_lock);
}

static bool hit_should_fail(void)
{
	if (hit.nth && !--hit.nth)
		hit.how();

	return false;
}

/* The mm would have to wait for the locks: until the next step. */
static void hit_blockable(void (*how)(void))
{
	if (hit_locks_held()) {
		hit.nth = 1;
		return;
	}

	hit.hits++;
	how();
}

static void hit_invalidate_now(void)
{
	KUNIT_EXPECT_TRUE(hit.mock->test,
			  userptr_mock_invalidate(hit.obj, hit.addr,
						  hit.addr + SIZE));
}

static void hit_invalidate(void)
{
	hit_blockable(hit_invalidate_now);
}

/* A new page in place of an old one, which may be anybody's from here on. */
static void hit_remap_now(void)
{
	unsigned long addr = hit.addr + hit.page * PAGE_SIZE;
	struct kunit *test = hit.mock->test;
	u64 value = TAG2 + hit.page;

	/* No assertions: the caller has locks. */
	KUNIT_EXPECT_EQ(test, addr,
			vm_mmap(NULL, addr, PAGE_SIZE, PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, 0));
	KUNIT_EXPECT_EQ(test, 0, copy_to_user((void __user *)addr, &value,
					      sizeof(value)));
}

static void hit_remap(void)
{
	if (rwsem_is_locked(&current->mm->mmap_lock))
		hit.nth = 1;
	else
		hit_blockable(hit_remap_now);
}

/* The OOM reaper gets it if nobody has the locks, and never waits for them. */
static void hit_nonblock(void)
{
	bool locked = hit_locks_held(), granted;

	granted = userptr_mock_invalidate_nonblock(hit.obj, hit.addr,
						   hit.addr + SIZE);
	KUNIT_EXPECT_EQ(hit.mock->test, granted, !locked);
	hit.hits++;
	hit.refused += !granted;
}

static void hit_init(struct kunit *test, u32 vm_flags)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_binding *binding;

	hit = (struct hit) {
		.mock = mock,
		.addr = userptr_mock_mmap(mock, SZ_4M) + SZ_2M - SIZE / 2,
		.vm = userptr_mock_vm_new_on(mock, mock->dev, vm_flags),
	};
	userptr_mock_fill(mock, hit.addr, SIZE, TAG);
	hit.obj = userptr_mock_obj_new(mock, hit.addr, SIZE, 0);
	binding = userptr_mock_bind_all(hit.vm, hit.obj, 0);
	if (vm_flags & DRM_USERPTR_VM_EXPLICIT)
		hit.vm->named[0] = binding;
	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   hit_should_fail);
}

/* The page that was replaced is new; all others are as they were. */
static void hit_check(struct kunit *test, unsigned int nth)
{
	u64 addr = (u64)hit.page * PAGE_SIZE, value;
	bool replaced;

	value = userptr_mock_cpu_read(hit.mock, hit.addr + addr);
	replaced = value == TAG2 + hit.page;
	KUNIT_EXPECT_EQ_MSG(test, PAGES - replaced,
			    userptr_mock_matches(hit.vm, 0, SIZE, TAG),
			    "hit in step %u", nth);
	if (!replaced)
		return;

	KUNIT_EXPECT_EQ_MSG(test, 1,
			    userptr_mock_matches(hit.vm, addr, PAGE_SIZE, value),
			    "hit in step %u", nth);
	userptr_mock_cpu_write(hit.mock, hit.addr + addr, TAG + hit.page);
}

/* A submission from nothing, for each step that it has */
static void hit_each(struct kunit *test, void (*how)(void))
{
	unsigned int nth;

	hit.how = how;
	for (nth = 1; nth < HIT_MAX; nth++) {
		struct userptr_mock_job *job;
		bool done;

		userptr_mock_invalidate(hit.obj, hit.addr, hit.addr + SIZE);
		KUNIT_ASSERT_EQ(test, hit.vm->present, 0);
		job = userptr_mock_job_new(hit.mock, 0, 1);
		/* In either window, and at all places in it */
		hit.page = nth * (PAGES / 2 + 3) % PAGES;
		hit.nth = nth;
		KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit(hit.vm, job));
		done = hit.nth;
		hit.nth = 0;

		KUNIT_EXPECT_TRUE(test, hit.vm->submit.committed);
		hit_check(test, nth);
		userptr_mock_job_end(job);
		if (done)
			break;
	}

	KUNIT_EXPECT_LT(test, nth, HIT_MAX);
	/* For each window: its pages, their collection, mapping, the commit. */
	KUNIT_EXPECT_GE(test, hit.hits, 2 * 4);
	KUNIT_EXPECT_LT(test, 0, atomic64_read(&hit.vm->base.stats.retries));
}

static const u32 hit_vm_flags[] = {
	0,
	DRM_USERPTR_VM_HOLES,
	DRM_USERPTR_VM_EXPLICIT,
};

static void hit_gen_desc(const u32 *flags, char *desc)
{
	strscpy(desc, *flags & DRM_USERPTR_VM_HOLES ? "holes" :
		*flags & DRM_USERPTR_VM_EXPLICIT ? "explicit" : "plain",
		KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(hit, hit_vm_flags, hit_gen_desc);

static void hit_by_invalidation(struct kunit *test)
{
	hit_init(test, *(const u32 *)test->param_value);
	hit_each(test, hit_invalidate);
}

static void hit_by_new_memory(struct kunit *test)
{
	hit_init(test, *(const u32 *)test->param_value);
	hit_each(test, hit_remap);
}

static void hit_by_oom_reaper(struct kunit *test)
{
	hit_init(test, *(const u32 *)test->param_value);
	hit_each(test, hit_nonblock);
	/* As in mapping for DMA, and in the commit */
	KUNIT_EXPECT_GT(test, hit.refused, 0);
	KUNIT_EXPECT_LT(test, hit.refused, hit.hits);
}

/* Valid again, but for somebody else: this device has nothing of it. */
static void hit_then_probe(struct userptr_mock_vm *vm)
{
	unsigned long fault_addr;

	vm->after_populate = NULL;
	hit_invalidate_now();
	KUNIT_EXPECT_EQ(vm->mock->test, 0,
			drm_userptr_probe(&hit.obj->base, &fault_addr));
}

static void hit_and_valid_elsewhere(struct kunit *test)
{
	hit_init(test, 0);
	hit.vm->after_populate = hit_then_probe;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hit.vm));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&hit.vm->base.stats.retries));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(hit.vm, 0, SIZE, TAG));
}

static struct kunit_case drm_userptr_hit_tests[] = {
	KUNIT_CASE_PARAM(hit_by_invalidation, hit_gen_params),
	KUNIT_CASE_PARAM(hit_by_new_memory, hit_gen_params),
	KUNIT_CASE_PARAM(hit_by_oom_reaper, hit_gen_params),
	KUNIT_CASE(hit_and_valid_elsewhere),
	{ }
};

static struct kunit_suite drm_userptr_hit_suite = {
	.name = "drm_userptr_hit",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_hit_tests,
};

kunit_test_suite(drm_userptr_hit_suite);
