// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Pinned userptrs: the pages stay, are paid for, and are dirty afterwards.
 */

#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/sched/signal.h>

#include "drm_userptr_mock.h"

#define TAG	0x7100000000ull
#define TAG2	0x7200000000ull
#define PAGES	(SZ_4M / PAGE_SIZE)

/* Nothing that the process does to its mappings reaches the device. */
static void pin_stays(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;

	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, DRM_USERPTR_PIN);
	userptr_mock_bind_all(vm, obj, 0);
	job = userptr_mock_submit_new(vm);

	/* Waits for nobody. */
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, SZ_2M));
	KUNIT_EXPECT_FALSE(test, completion_done(&job->waited));
	userptr_mock_remap(mock, addr + SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, addr + SZ_2M, SZ_2M, TAG2);

	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_4M, TAG));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SZ_4M, TAG));
	KUNIT_EXPECT_EQ(test, vm->zaps, 0);
}

static void pin_is_accounted(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M), before;
	struct userptr_mock_obj *obj;

	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	before = current->mm->locked_vm;
	obj = userptr_mock_obj_new(mock, addr + PAGE_SIZE, SZ_4M - PAGE_SIZE,
				   DRM_USERPTR_PIN);
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, before + PAGES - 1);
	userptr_mock_obj_free(obj);
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, before);
}

/* A hole at the end: all that was pinned before it is let go of. */
static void pin_unwinds(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M), before;
	struct drm_userptr *userptr;

	userptr = kunit_kzalloc(test, sizeof(*userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptr);
	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	before = current->mm->locked_vm;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr + SZ_4M - PAGE_SIZE, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			drm_userptr_init(userptr, mock->dev, addr, SZ_4M,
					 DRM_USERPTR_PIN));
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, before);

	memset(userptr, 0, sizeof(*userptr));
	userptr_mock_remap(mock, addr + SZ_2M, SZ_2M, PROT_READ);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			drm_userptr_init(userptr, mock->dev, addr, SZ_4M,
					 DRM_USERPTR_PIN));
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, before);

	/* Read-only will do. */
	memset(userptr, 0, sizeof(*userptr));
	KUNIT_EXPECT_EQ(test, 0,
			drm_userptr_init(userptr, mock->dev, addr, SZ_4M,
					 DRM_USERPTR_PIN |
					 DRM_USERPTR_READ_ONLY));
	drm_userptr_fini(userptr);
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, before);
}

static void pin_interrupted(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M), before;
	struct drm_userptr *userptr;

	userptr = kunit_kzalloc(test, sizeof(*userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptr);
	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	before = current->mm->locked_vm;
	/* Later ones need not wait for all locks of the mm. */
	userptr_mock_obj_new(mock, addr, SZ_4M, 0);

	allow_signal(SIGUSR1);
	send_sig(SIGUSR1, current, 0);
	KUNIT_EXPECT_EQ(test, -ERESTARTSYS,
			drm_userptr_init(userptr, mock->dev, addr, SZ_4M,
					 DRM_USERPTR_PIN));
	flush_signals(current);
	disallow_signal(SIGUSR1);
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, before);
}

/* What the device wrote must not be dropped with the pin. */
static void pin_dirties(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_binding *binding;
	struct userptr_mock_obj *obj;
	struct page *page;

	userptr_mock_fill(mock, addr, PAGE_SIZE, TAG);
	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, DRM_USERPTR_PIN);
	binding = userptr_mock_bind_all(vm, obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	page = userptr_mock_page(vm, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	folio_clear_dirty(page_folio(page));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_write(vm, 0, TAG2));

	userptr_mock_unbind(binding);
	list_del(&binding->link);
	drm_userptr_binding_fini(&binding->base);
	userptr_mock_obj_free(obj);
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(page_folio(page)));
	KUNIT_EXPECT_EQ(test, userptr_mock_cpu_read(mock, addr), TAG2);
}

static struct kunit_case drm_userptr_pin_tests[] = {
	KUNIT_CASE(pin_stays),
	KUNIT_CASE(pin_is_accounted),
	KUNIT_CASE(pin_unwinds),
	KUNIT_CASE(pin_interrupted),
	KUNIT_CASE(pin_dirties),
	{ }
};

static struct kunit_suite drm_userptr_pin_suite = {
	.name = "drm_userptr_pin",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_pin_tests,
};

kunit_test_suite(drm_userptr_pin_suite);
