// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * A device that forgets what it was told: a reset, or a context that is lost or
 * restored. All is mapped anew, and nothing that is known already is looked for
 * again.
 */

#include <linux/dma-resv.h>
#include <linux/mman.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* Two userptrs of a window and a half each, at 0 and 4 MiB */
struct reset_pair {
	unsigned long addr[2];
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj[2];
	struct userptr_mock_binding *binding[2];
};

#define RESET_SIZE	(SZ_2M + SZ_1M)
#define RESET_PAGES	(RESET_SIZE / PAGE_SIZE)

static struct reset_pair *reset_pair_new(struct kunit *test, u32 flags)
{
	struct userptr_mock *mock = test->priv;
	struct reset_pair *pair;

	pair = kunit_kzalloc(test, sizeof(*pair), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pair);
	pair->vm = userptr_mock_vm_new_on(mock, mock->dev, flags);
	for (int i = 0; i < 2; i++) {
		pair->addr[i] = userptr_mock_mmap(mock, RESET_SIZE);
		userptr_mock_fill(mock, pair->addr[i], RESET_SIZE, TAG);
		pair->obj[i] = userptr_mock_obj_new(mock, pair->addr[i],
						    RESET_SIZE, 0);
		pair->binding[i] = userptr_mock_bind_all(pair->vm,
							 pair->obj[i],
							 i * SZ_4M);
	}
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(pair->vm));
	/* Into the TLB */
	KUNIT_ASSERT_EQ(test, RESET_PAGES,
			userptr_mock_matches(pair->vm, 0, RESET_SIZE, TAG));

	return pair;
}

static void reset_vm(struct reset_pair *pair)
{
	guard(mutex)(&pair->vm->lock);
	drm_userptr_vm_invalidate(&pair->vm->base);
}

static void reset_expect_mapped(struct kunit *test, struct reset_pair *pair)
{
	for (int i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, RESET_PAGES,
				userptr_mock_matches(pair->vm, i * SZ_4M,
						     RESET_SIZE, TAG));
}

/* Page table and TLB are empty; the next job has all, for the price of that. */
static void reset_maps_anew(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = pair->vm;
	u64 windows = atomic64_read(&vm->base.stats.windows);

	reset_vm(pair);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, 0, RESET_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 2 * RESET_PAGES, atomic64_read(&mock->dma_pages));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	reset_expect_mapped(test, pair);
	KUNIT_EXPECT_EQ(test, windows, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.invalidations));
}

/* Before there was anything, and twice in a row */
static void reset_empty(struct kunit *test)
{
	struct userptr_mock_vm *vm = userptr_mock_vm_new(test->priv);
	struct reset_pair *pair;

	scoped_guard(mutex, &vm->lock)
		drm_userptr_vm_invalidate(&vm->base);
	KUNIT_EXPECT_EQ(test, vm->tlb_submits, 0);

	pair = reset_pair_new(test, 0);
	reset_vm(pair);
	reset_vm(pair);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(pair->vm));
	reset_expect_mapped(test, pair);
}

/* One binding: the other stays as it is. */
static void reset_one(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock_vm *vm = pair->vm;
	u64 maps = vm->mapped_pages;

	scoped_guard(mutex, &vm->lock)
		drm_userptr_binding_invalidate(&pair->binding[1]->base);
	KUNIT_EXPECT_EQ(test, RESET_PAGES, userptr_mock_present(vm, 0, SZ_4M));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(vm, SZ_4M, SZ_4M));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	reset_expect_mapped(test, pair);
	KUNIT_EXPECT_EQ(test, vm->mapped_pages - maps, RESET_PAGES);
}

/* What the mm took meanwhile is looked for again, and only that. */
static void reset_and_munmap(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = pair->vm;
	u64 windows = atomic64_read(&vm->base.stats.windows);

	reset_vm(pair);
	userptr_mock_remap(mock, pair->addr[0], SZ_2M, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, pair->addr[0], SZ_2M, TAG);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	reset_expect_mapped(test, pair);
	KUNIT_EXPECT_LE(test, atomic64_read(&vm->base.stats.windows) - windows,
			2);
}

/* Memory that is gone is as gone as before; what is left of it is forgotten. */
static void reset_dead(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = pair->vm;
	struct drm_userptr_binding *dead = &pair->binding[0]->base;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(pair->addr[0], SZ_1M));
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_ASSERT_EQ(test, dead->error, -EFAULT);
	KUNIT_ASSERT_NE(test, 0, userptr_mock_present(vm, 0, SZ_4M));

	reset_vm(pair);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, dead->error, -EFAULT);

	userptr_mock_remap(mock, pair->addr[0], SZ_1M, PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, pair->addr[0], RESET_SIZE, TAG);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, dead->error, 0);
	reset_expect_mapped(test, pair);
}

/*
 * Between the two passes of an invalidation: it still does what it has to, and
 * finds entries absent.
 */
static void reset_while_dying(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock_vm *vm = pair->vm;
	struct userptr_mock_job *job = userptr_mock_submit_new(vm);

	KUNIT_ASSERT_TRUE(test,
			  userptr_mock_invalidate(pair->obj[0], pair->addr[0],
						  pair->addr[0] + SZ_1M));
	KUNIT_ASSERT_NOT_NULL(test, pair->obj[0]->finish);
	userptr_mock_job_end(job);

	reset_vm(pair);
	/* That of the window that is dying is for the second pass to clear. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(vm, SZ_4M, SZ_4M));
	userptr_mock_invalidate_finish(pair->obj[0]);
	KUNIT_EXPECT_EQ(test, vm->present, 0);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	reset_expect_mapped(test, pair);
}

/* Of one VM: another one with the same userptr keeps what it has. */
static void reset_not_others(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock_vm *other = userptr_mock_vm_new(test->priv);

	userptr_mock_bind_all(other, pair->obj[0], 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(other));

	reset_vm(pair);
	KUNIT_EXPECT_EQ(test, pair->vm->present, 0);
	KUNIT_EXPECT_EQ(test, other->present, RESET_PAGES);
	KUNIT_EXPECT_EQ(test, other->zaps, 0);
}

/* A driver's reset may hold a dma_resv: lockdep looks on. */
static void reset_under_resv(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, 0);
	struct userptr_mock_vm *vm = pair->vm;
	struct dma_resv resv;

	dma_resv_init(&resv);
	scoped_guard(mutex, &vm->lock) {
		dma_resv_lock(&resv, NULL);
		drm_userptr_vm_invalidate(&vm->base);
		dma_resv_unlock(&resv);
	}
	dma_resv_fini(&resv);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	reset_expect_mapped(test, pair);
}

/* Holes are holes again. */
static void reset_holes(struct kunit *test)
{
	struct reset_pair *pair = reset_pair_new(test, DRM_USERPTR_VM_HOLES);
	struct userptr_mock_vm *vm = pair->vm;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(pair->addr[1], RESET_SIZE));
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	reset_vm(pair);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->present, RESET_PAGES);
}

static struct kunit_case drm_userptr_reset_tests[] = {
	KUNIT_CASE(reset_maps_anew),
	KUNIT_CASE(reset_empty),
	KUNIT_CASE(reset_one),
	KUNIT_CASE(reset_and_munmap),
	KUNIT_CASE(reset_dead),
	KUNIT_CASE(reset_while_dying),
	KUNIT_CASE(reset_not_others),
	KUNIT_CASE(reset_under_resv),
	KUNIT_CASE(reset_holes),
	{ }
};

static struct kunit_suite drm_userptr_reset_suite = {
	.name = "drm_userptr_reset",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_reset_tests,
};

kunit_test_suite(drm_userptr_reset_suite);
