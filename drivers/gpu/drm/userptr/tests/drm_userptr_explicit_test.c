// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * VMs whose jobs name the bindings that they use: what is not named costs
 * nothing and delays nobody.
 */

#include <linux/mman.h>

#include "drm_userptr_mock.h"

#define TAG	0x9100000000ull
#define TAG2	0x9200000000ull
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* Two userptrs of a window each, next to each other in a VM */
struct explicit_pair {
	struct userptr_mock_vm *vm;
	unsigned long addr[2];
	struct userptr_mock_obj *obj[2];
	struct userptr_mock_binding *binding[2];
};

static struct explicit_pair *explicit_pair_new(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct explicit_pair *pair;
	unsigned int i;

	pair = kunit_kzalloc(test, sizeof(*pair), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pair);
	pair->vm = userptr_mock_vm_new_on(mock, mock->dev,
					  DRM_USERPTR_VM_EXPLICIT);
	for (i = 0; i < 2; i++) {
		pair->addr[i] = userptr_mock_mmap(mock, SZ_2M);
		userptr_mock_fill(mock, pair->addr[i], SZ_2M, TAG);
		pair->obj[i] = userptr_mock_obj_new(mock, pair->addr[i], SZ_2M,
						    0);
		pair->binding[i] = userptr_mock_bind_all(pair->vm, pair->obj[i],
							 i * SZ_2M);
	}

	return pair;
}

/* Jobs from here on use the first, the second, both, or none. */
static void explicit_name(struct explicit_pair *pair, bool first, bool second)
{
	unsigned int n = 0;

	memset(pair->vm->named, 0, sizeof(pair->vm->named));
	if (first)
		pair->vm->named[n++] = pair->binding[0];
	if (second)
		pair->vm->named[n++] = pair->binding[1];
}

/* What is not named is not even looked at, be it stale or gone. */
static void explicit_populates_named(struct kunit *test)
{
	struct explicit_pair *pair = explicit_pair_new(test);
	struct userptr_mock_vm *vm = pair->vm;

	explicit_name(pair, true, false);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.windows));

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(pair->addr[1], SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, pair->binding[1]->base.error, 0);

	explicit_name(pair, false, true);
	KUNIT_EXPECT_EQ(test, -EFAULT, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, pair->binding[1]->base.error, -EFAULT);

	explicit_name(pair, false, false);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
}

/* An invalidation waits for jobs that named the binding, and for no others. */
static void explicit_waits_for_named(struct kunit *test)
{
	struct explicit_pair *pair = explicit_pair_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = pair->vm;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job *job;

	explicit_name(pair, true, true);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	explicit_name(pair, true, false);
	job = userptr_mock_submit_new(vm);

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(pair->addr[1], SZ_2M));
	KUNIT_EXPECT_FALSE(test, completion_done(&job->waited));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	/* Nor is the OOM reaper sent away. */
	userptr_mock_remap(mock, pair->addr[1], SZ_2M, PROT_READ | PROT_WRITE);
	explicit_name(pair, false, true);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(pair->obj[1],
							   pair->addr[1],
							   pair->addr[1] + SZ_2M));
	KUNIT_EXPECT_FALSE(test,
			   userptr_mock_invalidate_nonblock(pair->obj[0],
							    pair->addr[0],
							    pair->addr[0] + SZ_2M));

	munmap = userptr_mock_munmap_start(mock, pair->addr[0], SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, vm->present, 0);
}

static void explicit_invalidate_second(struct userptr_mock_vm *vm)
{
	struct explicit_pair *pair = vm->hook_data;

	userptr_mock_invalidate(pair->obj[1], pair->addr[1],
				pair->addr[1] + SZ_2M);
}

/* Only what is named makes a commit go round again. */
static void explicit_collision(struct kunit *test)
{
	struct explicit_pair *pair = explicit_pair_new(test);
	struct userptr_mock_vm *vm = pair->vm;

	explicit_name(pair, true, true);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	vm->hook_data = pair;
	vm->after_populate = explicit_invalidate_second;

	explicit_name(pair, true, false);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->submit.tries, 1);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.retries));

	explicit_name(pair, true, true);
	KUNIT_EXPECT_EQ(test, -EAGAIN, userptr_mock_submit_done(vm));
	vm->after_populate = NULL;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 2 * PAGES, userptr_mock_present(vm, 0, SZ_4M));
}

/* Jobs may name what has holes, if the VM may have some. */
static void explicit_hole(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_binding *binding;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	unsigned long addr;

	vm = userptr_mock_vm_new_on(mock, mock->dev,
				    DRM_USERPTR_VM_EXPLICIT |
				    DRM_USERPTR_VM_HOLES);
	addr = userptr_mock_mmap(mock, SZ_4M);
	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	vm->named[0] = userptr_mock_bind_all(vm, obj, 0);
	binding = &vm->named[0]->base;
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, binding->error, -EFAULT);
	KUNIT_EXPECT_EQ(test, binding->fault_addr, addr);
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_4M, TAG));
	KUNIT_EXPECT_TRUE(test, list_empty(&vm->base.invalidated));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&vm->base.dead));

	userptr_mock_remap(mock, addr, PAGE_SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, addr, SZ_2M, TAG);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, binding->error, 0);
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, SZ_4M, TAG));
	KUNIT_EXPECT_TRUE(test, list_empty(&vm->base.dead));
}

/* Named twice is named once, and forgotten in the end. */
static void explicit_named_twice(struct kunit *test)
{
	struct explicit_pair *pair = explicit_pair_new(test);
	struct userptr_mock_vm *vm = pair->vm;

	vm->named[0] = pair->binding[0];
	vm->named[1] = pair->binding[0];
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_TRUE(test, list_empty(&pair->binding[0]->base.submit_link));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_2M, TAG));
}

/* One userptr bound more often than an invalidation has room for */
static void explicit_bound_often(struct kunit *test)
{
	struct explicit_pair *pair = explicit_pair_new(test);
	struct userptr_mock_binding *binding[DRM_USERPTR_INVAL_JOBS + 1];
	struct userptr_mock_job *job[ARRAY_SIZE(binding)];
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = pair->vm;
	struct userptr_mock_thread *munmap;
	unsigned int i;

	userptr_mock_unbind(pair->binding[0]);
	memset(vm->named, 0, sizeof(vm->named));
	for (i = 0; i < ARRAY_SIZE(binding); i++) {
		binding[i] = userptr_mock_bind(vm, pair->obj[0], pair->addr[0],
					       SZ_1M, SZ_4M + i * SZ_1M);
		vm->named[0] = binding[i];
		job[i] = userptr_mock_submit_new(vm);
	}

	munmap = userptr_mock_munmap_start(mock, pair->addr[0], SZ_2M);
	for (i = 0; i < ARRAY_SIZE(binding); i++) {
		KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job[i]));
		KUNIT_EXPECT_EQ(test, vm->present,
				ARRAY_SIZE(binding) * SZ_1M / PAGE_SIZE);
		userptr_mock_job_end(job[i]);
	}
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, vm->present, 0);
}

static struct kunit_case drm_userptr_explicit_tests[] = {
	KUNIT_CASE(explicit_populates_named),
	KUNIT_CASE(explicit_waits_for_named),
	KUNIT_CASE(explicit_collision),
	KUNIT_CASE(explicit_hole),
	KUNIT_CASE(explicit_named_twice),
	KUNIT_CASE(explicit_bound_often),
	{ }
};

static struct kunit_suite drm_userptr_explicit_suite = {
	.name = "drm_userptr_explicit",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_explicit_tests,
};

kunit_test_suite(drm_userptr_explicit_suite);
