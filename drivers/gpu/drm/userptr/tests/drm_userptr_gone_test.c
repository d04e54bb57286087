// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Memory that is gone, comes back, or is being fetched: dead bindings, holes,
 * and what a populate does to itself.
 */

#include <linux/mman.h>

#include "drm_userptr_mock.h"

#define TAG	0x6600000000ull
#define TAG2	0x6700000000ull
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* Three windows of memory, bound at device address 0 in a VM. */
struct gone_range {
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
};

#define GONE_SIZE	(3 * DRM_USERPTR_WINDOW_SIZE)

static struct gone_range *gone_range_new(struct kunit *test, u32 vm_flags)
{
	struct userptr_mock *mock = test->priv;
	struct gone_range *range;

	range = kunit_kzalloc(test, sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range);
	range->addr = userptr_mock_mmap(mock, GONE_SIZE);
	userptr_mock_fill(mock, range->addr, GONE_SIZE, TAG);
	range->vm = userptr_mock_vm_new_on(mock, mock->dev, vm_flags);
	range->obj = userptr_mock_obj_new(mock, range->addr, GONE_SIZE, 0);
	range->binding = userptr_mock_bind_all(range->vm, range->obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(range->vm));

	return range;
}

/* A new mapping is noticed without anybody asking for it. */
static void gone_and_back(struct kunit *test)
{
	struct gone_range *range = gone_range_new(test, 0);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M, SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, range->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, range->binding->base.fault_addr,
			range->addr + SZ_2M);

	userptr_mock_remap(mock, range->addr + SZ_2M, SZ_2M,
			   PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, range->addr, GONE_SIZE, TAG2);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, range->binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, GONE_SIZE, TAG2));
}

/* As long as no mapping changes, nobody looks for it again. */
static void gone_looked_for_once(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 2 * PAGE_SIZE);
	struct userptr_mock_binding *binding;
	struct userptr_mock_file *file;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;
	unsigned long faults;

	if (!IS_ENABLED(CONFIG_PER_VMA_LOCK))
		kunit_skip(test, "nothing tells of changed mappings here");

	file = userptr_mock_file_mmap(mock, addr, 2 * PAGE_SIZE);
	vm = userptr_mock_vm_new(mock);
	obj = userptr_mock_obj_new(mock, addr, 2 * PAGE_SIZE, 0);
	binding = userptr_mock_bind_all(vm, obj, 0);

	/* A mapping longer than its file */
	file->nr_pages = 1;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, binding->base.fault_addr, addr + PAGE_SIZE);

	faults = file->faults;
	KUNIT_EXPECT_GT(test, faults, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, file->faults, faults);
	KUNIT_EXPECT_EQ(test, binding->base.error, -EFAULT);

	/* Any change will do. */
	userptr_mock_mmap(mock, PAGE_SIZE);
	file->nr_pages = 2;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_GT(test, file->faults, faults);
	KUNIT_EXPECT_EQ(test, binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, vm->present, 2);
}

/* With holes allowed the rest stays, and the hole has no entries. */
static void gone_hole(struct kunit *test)
{
	struct gone_range *range = gone_range_new(test, DRM_USERPTR_VM_HOLES);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;
	u64 value;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M + PAGE_SIZE,
					   PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, range->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, range->binding->base.fault_addr,
			range->addr + SZ_2M + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, vm->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, -EFAULT, userptr_mock_read(vm, SZ_2M, &value));
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, GONE_SIZE, TAG));

	/* A second hole; the first part is fetched anew. */
	userptr_mock_remap(mock, range->addr, PAGE_SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_remap(mock, range->addr + SZ_4M, PAGE_SIZE, PROT_READ);
	userptr_mock_fill(mock, range->addr, PAGE_SIZE, TAG);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, 0, GONE_SIZE, TAG));

	/* All of it comes back. */
	userptr_mock_remap(mock, range->addr, GONE_SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, range->addr, GONE_SIZE, TAG2);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, range->binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, 3 * PAGES,
			userptr_mock_matches(vm, 0, GONE_SIZE, TAG2));
}

/* The owner is gone for good: all of it is a hole, looked at before or not. */
static void gone_owner(struct kunit *test)
{
	struct gone_range *range = gone_range_new(test, DRM_USERPTR_VM_HOLES);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_binding *unused;
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_obj *obj;
	unsigned long addr;

	addr = userptr_mock_mmap(mock, SZ_2M);
	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_exit_mm(mock);
	unused = userptr_mock_bind_all(vm, obj, SZ_8M);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->submit.tries, 1);
	KUNIT_EXPECT_EQ(test, range->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, range->binding->base.fault_addr, range->addr);
	KUNIT_EXPECT_EQ(test, unused->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, unused->base.fault_addr, addr);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&vm->base.invalidated));
}

static void gone_fill_the_hole(struct userptr_mock_vm *vm)
{
	struct gone_range *range = vm->hook_data;

	vm->after_populate = NULL;
	userptr_mock_remap(vm->mock, range->addr + SZ_2M, SZ_2M,
			   PROT_READ | PROT_WRITE);
	userptr_mock_fill(vm->mock, range->addr + SZ_2M, SZ_2M, TAG2);
	userptr_mock_invalidate(range->obj, range->addr + SZ_2M,
				range->addr + SZ_4M);
}

/* A hole that was heard of since it was looked at is looked at again. */
static void gone_hole_disturbed(struct kunit *test)
{
	struct gone_range *range = gone_range_new(test, DRM_USERPTR_VM_HOLES);
	struct userptr_mock_vm *vm = range->vm;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M, SZ_2M));
	vm->hook_data = range;
	vm->after_populate = gone_fill_the_hole;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_NULL(test, vm->after_populate);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.retries));
	KUNIT_EXPECT_EQ(test, range->binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, SZ_2M, SZ_2M, TAG2));
}

/*
 * Write faults on the zero page invalidate it. That is a populate's own doing,
 * and no reason to give up early.
 */
static void gone_by_own_fault(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M), i;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;

	for (i = 0; i < PAGES; i++)
		KUNIT_ASSERT_EQ(test, 0,
				userptr_mock_cpu_read(mock, addr + i * PAGE_SIZE));

	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);

	/* At least once, at most once for each page; a step of others' counts more. */
	KUNIT_EXPECT_GT(test, vm->submit.lost, 0);
	KUNIT_EXPECT_LT(test, vm->submit.lost, PAGES);
}

static struct kunit_case drm_userptr_gone_tests[] = {
	KUNIT_CASE(gone_and_back),
	KUNIT_CASE(gone_looked_for_once),
	KUNIT_CASE(gone_hole),
	KUNIT_CASE(gone_owner),
	KUNIT_CASE(gone_hole_disturbed),
	KUNIT_CASE(gone_by_own_fault),
	{ }
};

static struct kunit_suite drm_userptr_gone_suite = {
	.name = "drm_userptr_gone",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_gone_tests,
};

kunit_test_suite(drm_userptr_gone_suite);
