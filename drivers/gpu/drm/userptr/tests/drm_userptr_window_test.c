// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Which pages the device sees, at which addresses, and what was done to them.
 * Pages are told apart by what the CPU wrote into them.
 */

#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>

#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define TAG2	0x2000000

/* In pages, from the start of a window on */
struct edge_case {
	const char *desc;
	unsigned long start;
	unsigned long size;
	u64 windows;
};

#define W	USERPTR_MOCK_WINDOW_PAGES

static const struct edge_case edge_cases[] = {
	{ "first page of a window", 0, 1, 1 },
	{ "second page", 1, 1, 1 },
	{ "last page of a window", W - 1, 1, 1 },
	{ "all but the first page", 1, W - 1, 1 },
	{ "all but the last page", 0, W - 1, 1 },
	{ "one window", 0, W, 1 },
	{ "two pages across a border", W - 1, 2, 2 },
	{ "a window and a page", 0, W + 1, 2 },
	{ "a window, off by one page", 1, W, 2 },
	{ "a window, off by a window less one page", W - 1, W, 2 },
	{ "two windows", 0, 2 * W, 2 },
	{ "a window between two pages", W - 1, W + 2, 3 },
	{ "two windows, off by three pages", 3, 2 * W, 3 },
	{ "three windows less two pages", 1, 3 * W - 2, 3 },
	{ "three windows", 0, 3 * W, 3 },
};

KUNIT_ARRAY_PARAM_DESC(edge, edge_cases, desc);

#undef W

static void window_edges(struct kunit *test)
{
	const struct edge_case *param = test->param_value;
	struct userptr_mock *mock = test->priv;
	u64 dev_addr = 5 * PAGE_SIZE, size = param->size * PAGE_SIZE;
	unsigned long addr = userptr_mock_mmap(mock, 3 * SZ_2M) +
			     param->start * PAGE_SIZE;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;

	userptr_mock_fill(mock, addr, size, TAG);
	obj = userptr_mock_obj_new(mock, addr, size, 0);
	userptr_mock_bind_all(vm, obj, dev_addr);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	/* Each page once, the right one, and none beside. */
	KUNIT_EXPECT_EQ(test, vm->mapped_pages, param->size);
	KUNIT_EXPECT_EQ(test, vm->present, param->size);
	KUNIT_EXPECT_EQ(test, param->size,
			userptr_mock_matches(vm, dev_addr, size, TAG));
	KUNIT_EXPECT_EQ(test, atomic64_read(&vm->base.stats.windows),
			param->windows);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->dma_pages), param->size);

	/* The last page alone takes its window, and the device's, with it. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr + size - PAGE_SIZE, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, vm->present,
			param->size - min(param->size,
					  ((param->start + param->size - 1) %
					   USERPTR_MOCK_WINDOW_PAGES) + 1));
}

/* A part of a userptr, across a border, at an unrelated device address. */
static void window_partial_binding(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 4 * SZ_2M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	unsigned long start = 2 * SZ_2M - 3 * PAGE_SIZE;
	struct userptr_mock_obj *obj;
	u64 dev_addr = SZ_1M + PAGE_SIZE;

	userptr_mock_fill(mock, addr, 4 * SZ_2M, TAG);
	obj = userptr_mock_obj_new(mock, addr, 4 * SZ_2M, 0);
	userptr_mock_bind(vm, obj, addr + start, 7 * PAGE_SIZE, dev_addr);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, vm->mapped_pages, 7);
	KUNIT_EXPECT_EQ(test, 7,
			userptr_mock_matches(vm, dev_addr, 7 * PAGE_SIZE,
					     TAG + start / PAGE_SIZE));
	/* Not the windows that the binding has nothing of. */
	KUNIT_EXPECT_EQ(test, 2, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 2 * USERPTR_MOCK_WINDOW_PAGES,
			atomic64_read(&mock->dma_pages));
}

/* What was collected for one binding serves the other. */
static void window_bound_twice(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 2 * SZ_2M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_binding *first;
	struct userptr_mock_obj *obj;

	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	first = userptr_mock_bind_all(vm, obj, 0);
	userptr_mock_bind(vm, obj, addr + PAGE_SIZE, SZ_2M, SZ_8M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, 2, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, SZ_4M / PAGE_SIZE,
			userptr_mock_matches(vm, 0, SZ_4M, TAG));
	KUNIT_EXPECT_EQ(test, SZ_2M / PAGE_SIZE,
			userptr_mock_matches(vm, SZ_8M, SZ_2M, TAG + 1));

	/* Each has entries of its own. */
	userptr_mock_unbind(first);
	KUNIT_EXPECT_EQ(test, vm->present, SZ_2M / PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, SZ_2M / PAGE_SIZE,
			userptr_mock_matches(vm, SZ_8M, SZ_2M, TAG + 1));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, 0, SZ_4M, TAG));
}

static void window_two_vms(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_vm *vm[2] = { userptr_mock_vm_new(mock),
					  userptr_mock_vm_new(mock) };
	struct userptr_mock_obj *obj;

	userptr_mock_fill(mock, addr, SZ_2M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_bind_all(vm[0], obj, 0);
	userptr_mock_bind_all(vm[1], obj, SZ_4M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[0]));
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[1]));

	KUNIT_EXPECT_EQ(test, SZ_2M / PAGE_SIZE,
			userptr_mock_matches(vm[0], 0, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, SZ_2M / PAGE_SIZE,
			userptr_mock_matches(vm[1], SZ_4M, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm[0]->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm[1]->base.stats.windows));

	/* What the mm takes away is gone in both. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, vm[0]->present, 0);
	KUNIT_EXPECT_EQ(test, vm[1]->present, 0);
}

/* Cost follows the damage: one page of four windows is one window. */
static void window_one_of_many(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 4 * SZ_2M);
	unsigned long page = addr + 2 * SZ_2M + 5 * PAGE_SIZE;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	u64 value;

	userptr_mock_fill(mock, addr, 4 * SZ_2M, TAG);
	obj = userptr_mock_obj_new(mock, addr, 4 * SZ_2M, 0);
	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_ASSERT_EQ(test, 4, atomic64_read(&vm->base.stats.windows));

	userptr_mock_remap(mock, page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_cpu_write(mock, page, TAG2);

	/* The others' entries stand. */
	KUNIT_EXPECT_EQ(test, vm->present, 3 * USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(vm, 2 * SZ_2M, SZ_2M));
	KUNIT_EXPECT_EQ(test, 3 * USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, 0, 4 * SZ_2M, TAG));

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 5, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, vm->mapped_pages, 5 * USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_EQ(test, 4 * USERPTR_MOCK_WINDOW_PAGES - 1,
			userptr_mock_matches(vm, 0, 4 * SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_read(vm, page - addr, &value));
	KUNIT_EXPECT_EQ(test, value, TAG2);
}

/* Writes go both ways, to the page that the CPU has. */
static void window_both_ways(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	u64 value = 0;

	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_bind_all(vm, obj, 0);
	/* Never touched by the CPU: populate faults the pages in. */
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_write(vm, 9 * PAGE_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, TAG,
			userptr_mock_cpu_read(mock, addr + 9 * PAGE_SIZE));
	userptr_mock_cpu_write(mock, addr + 9 * PAGE_SIZE, TAG2);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_read(vm, 9 * PAGE_SIZE, &value));
	KUNIT_EXPECT_EQ(test, value, TAG2);
	/* As nothing invalidated it, the page is still the same. */
	KUNIT_EXPECT_EQ(test, vm->zaps, 0);
}

/* Else reclaim would drop what the device wrote to a clean page. */
static void window_writable_is_dirtied(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	struct page *page;

	userptr_mock_fill(mock, addr, PAGE_SIZE, TAG);
	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	page = userptr_mock_page(vm, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(page_folio(page)));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_to_device_pages));
}

static void window_read_only_stays_clean(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	struct page *page;

	userptr_mock_fill(mock, addr, PAGE_SIZE, TAG);
	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE,
				   DRM_USERPTR_READ_ONLY);
	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	page = userptr_mock_page(vm, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, folio_test_dirty(page_folio(page)));
	KUNIT_EXPECT_EQ(test, 1, userptr_mock_matches(vm, 0, PAGE_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&mock->dma_to_device_pages));
}

static struct kunit_case drm_userptr_window_tests[] = {
	KUNIT_CASE_PARAM(window_edges, edge_gen_params),
	KUNIT_CASE(window_partial_binding),
	KUNIT_CASE(window_bound_twice),
	KUNIT_CASE(window_two_vms),
	KUNIT_CASE(window_one_of_many),
	KUNIT_CASE(window_both_ways),
	KUNIT_CASE(window_writable_is_dirtied),
	KUNIT_CASE(window_read_only_stays_clean),
	{ }
};

static struct kunit_suite drm_userptr_window_suite = {
	.name = "drm_userptr_window",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_window_tests,
};

kunit_test_suite(drm_userptr_window_suite);
