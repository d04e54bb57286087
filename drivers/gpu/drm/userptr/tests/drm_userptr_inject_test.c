// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Everything that can fail is made to fail, one thing at a time: first the first
 * allocation or step, then the second, until the whole goes through. Each time
 * the error must be one that is documented and nothing may be left behind, which
 * leak checkers and the mock tell.
 */

#include <linux/mman.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0x8100000000ull
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* More than anything here has steps */
#define INJECT_MAX	2000

/* Fail the step that makes it zero; zero for none. */
static unsigned int inject_nth;

static bool inject_should_fail(void)
{
	return inject_nth && !--inject_nth;
}

/*
 * Call @what with the nth step failing, for each nth there is. @may: the
 * errors that are allowed.
 */
static void inject_each(struct kunit *test, int (*what)(void *arg), void *arg,
			const int *may, unsigned int nr_may)
{
	unsigned int nth, i, failures = 0;

	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   inject_should_fail);
	for (nth = 1; nth < INJECT_MAX; nth++) {
		bool failed;
		int err;

		inject_nth = nth;
		err = what(arg);
		failed = !inject_nth;
		inject_nth = 0;
		if (!failed) {
			KUNIT_EXPECT_EQ(test, err, 0);
			break;
		}

		for (i = 0; i < nr_may; i++)
			if (err == may[i])
				break;
		KUNIT_EXPECT_LT_MSG(test, i, nr_may, "step %u: %d", nth, err);
		failures += !!err;
	}

	KUNIT_EXPECT_LT(test, nth, INJECT_MAX);
	KUNIT_EXPECT_GT(test, failures, 0);
}

struct inject_userptr {
	struct userptr_mock *mock;
	unsigned long addr;
	u32 flags;
};

static int inject_do_init(void *arg)
{
	struct inject_userptr *inject = arg;
	struct drm_userptr *userptr;
	int err;

	userptr = kunit_kzalloc(inject->mock->test, sizeof(*userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(inject->mock->test, userptr);
	err = drm_userptr_init(userptr, inject->mock->dev, inject->addr, SZ_4M,
			       inject->flags);
	if (!err)
		drm_userptr_fini(userptr);
	kunit_kfree(inject->mock->test, userptr);

	return err;
}

static void inject_init(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct inject_userptr inject = {
		.mock = mock,
		.addr = userptr_mock_mmap(mock, SZ_4M),
	};
	static const int may[] = { -ENOMEM };

	inject_each(test, inject_do_init, &inject, may, ARRAY_SIZE(may));
}

static void inject_pin(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long locked;
	struct inject_userptr inject = {
		.mock = mock,
		.addr = userptr_mock_mmap(mock, SZ_4M),
		.flags = DRM_USERPTR_PIN,
	};
	/* Page by page is no failure. */
	static const int may[] = { 0, -ENOMEM };

	userptr_mock_fill(mock, inject.addr, SZ_4M, TAG);
	locked = current->mm->locked_vm;
	inject_each(test, inject_do_init, &inject, may, ARRAY_SIZE(may));
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, locked);
}

static int inject_do_vm(void *arg)
{
	struct userptr_mock_vm *vm = arg;
	struct drm_userptr_vm new = {};
	int err;

	err = drm_userptr_vm_init(&new, vm->base.dev, vm->base.ops, 0);
	if (!err)
		drm_userptr_vm_fini(&new);

	return err;
}

static void inject_vm(struct kunit *test)
{
	struct userptr_mock_vm *vm = userptr_mock_vm_new(test->priv);
	static const int may[] = { -ENOMEM };

	inject_each(test, inject_do_vm, vm, may, ARRAY_SIZE(may));
}

static int inject_do_client(void *arg)
{
	struct drm_userptr_client *client;
	struct userptr_mock *mock = arg;

	client = drm_userptr_client_create(&mock->device, 2, 1);
	if (!client)
		return -ENOMEM;
	drm_userptr_client_put(client);

	return 0;
}

static void inject_client(struct kunit *test)
{
	static const int may[] = { -ENOMEM };

	inject_each(test, inject_do_client, test->priv, may, ARRAY_SIZE(may));
}

/* Two windows of memory, and where they are bound */
struct inject_range {
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
	unsigned long addr;
};

static int inject_do_binding(void *arg)
{
	struct drm_userptr_binding binding = {};
	struct inject_range *range = arg;
	int err;

	err = drm_userptr_binding_init(&binding, &range->vm->base,
				       &range->obj->base, range->addr, SZ_2M,
				       SZ_4M);
	if (!err)
		drm_userptr_binding_fini(&binding);
	else
		KUNIT_EXPECT_TRUE(range->obj->mock->test,
				  list_empty(&range->obj->base.dmas));

	return err;
}

/* Kinds of VMs, of which some take more */
static const u32 inject_vm_flags[] = {
	0,
	DRM_USERPTR_VM_HOLES,
	DRM_USERPTR_VM_EXPLICIT,
};

static void inject_binding(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct inject_range range = {
		.addr = userptr_mock_mmap(mock, SZ_4M),
	};
	static const int may[] = { -ENOMEM };
	unsigned int i;

	range.obj = userptr_mock_obj_new(mock, range.addr, SZ_4M, 0);
	for (i = 0; i < ARRAY_SIZE(inject_vm_flags); i++) {
		range.vm = userptr_mock_vm_new_on(mock, mock->dev,
						  inject_vm_flags[i]);
		inject_each(test, inject_do_binding, &range, may,
			    ARRAY_SIZE(may));
	}
}

static void inject_range_init(struct kunit *test, struct inject_range *range,
			      u32 vm_flags)
{
	struct userptr_mock *mock = test->priv;

	range->addr = userptr_mock_mmap(mock, SZ_4M);
	userptr_mock_fill(mock, range->addr, SZ_4M, TAG);
	range->vm = userptr_mock_vm_new_on(mock, mock->dev, vm_flags);
	range->obj = userptr_mock_obj_new(mock, range->addr, SZ_4M, 0);
	range->binding = userptr_mock_bind_all(range->vm, range->obj, 0);
	if (vm_flags & DRM_USERPTR_VM_EXPLICIT)
		range->vm->named[0] = range->binding;
}

/* Nothing was published, and the next submission looks at all of it again. */
static void inject_expect_nothing(struct inject_range *range,
				  struct userptr_mock_job *job)
{
	struct userptr_mock_vm *vm = range->vm;
	struct kunit *test = vm->mock->test;

	KUNIT_EXPECT_FALSE(test, vm->submit.committed);
	KUNIT_EXPECT_TRUE(test, list_empty(&job->vm_link));
	KUNIT_EXPECT_EQ(test, kref_read(&job->fence.refcount), 1);
	KUNIT_EXPECT_TRUE(test,
			  list_is_singular(&vm->base.invalidated) &&
			  !list_empty(&range->binding->base.vm_link));
	KUNIT_EXPECT_TRUE(test, list_empty(&vm->base.dead));
	KUNIT_EXPECT_TRUE(test, list_empty(&range->binding->base.submit_link));
	KUNIT_EXPECT_EQ(test, range->binding->base.error, 0);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&vm->submit.holds));
	KUNIT_EXPECT_NULL(test, range->obj->base.populator);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
}

/*
 * A submission from nothing. Steps that are only lost do not fail it, so that
 * its success does not end the search; then data must be right.
 */
static int inject_do_submit(void *arg)
{
	struct inject_range *range = arg;
	struct userptr_mock_vm *vm = range->vm;
	struct kunit *test = vm->mock->test;
	unsigned int nth = inject_nth;
	struct userptr_mock_job *job;
	int err;

	inject_nth = 0;
	userptr_mock_invalidate(range->obj, range->addr, range->addr + SZ_4M);
	job = userptr_mock_job_new(vm->mock, 0, 1);
	inject_nth = nth;
	err = userptr_mock_submit(vm, job);
	nth = inject_nth;
	inject_nth = 0;

	if (!err)
		KUNIT_EXPECT_EQ(test, 2 * PAGES,
				userptr_mock_matches(vm, 0, SZ_4M, TAG));
	else
		inject_expect_nothing(range, job);
	userptr_mock_job_end(job);
	inject_nth = nth;

	return err;
}

static void inject_submit(struct kunit *test)
{
	static const int may[] = { 0, -ENOMEM };
	struct inject_range range;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(inject_vm_flags); i++) {
		inject_range_init(test, &range, inject_vm_flags[i]);
		inject_each(test, inject_do_submit, &range, may,
			    ARRAY_SIZE(may));
		/* Some of it was trouble that a submission gets over. */
		KUNIT_EXPECT_LT(test, 0,
				atomic64_read(&range.vm->base.stats.retries));
	}
}

struct inject_queue {
	struct inject_range range;
	struct userptr_mock_queue *queue;
};

/*
 * The worker that resumes queues, from nothing. It answers to nobody and tries
 * again by itself, so what it was told is found out by counting.
 */
static int inject_do_rebind(void *arg)
{
	struct inject_queue *inject = arg;
	struct inject_range *range = &inject->range;
	struct userptr_mock_queue *queue = inject->queue;
	struct userptr_mock_vm *vm = range->vm;
	unsigned int nth = inject_nth, resumes, rebinds, failures;
	struct kunit *test = vm->mock->test;

	inject_nth = 0;
	mutex_lock(&vm->lock);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_vm_wait_idle(&vm->base));
	userptr_mock_invalidate(range->obj, range->addr, range->addr + SZ_4M);
	resumes = queue->resumes;
	rebinds = vm->rebinds;
	/* The worker waits for the lock to be dropped. */
	WRITE_ONCE(inject_nth, nth);
	mutex_unlock(&vm->lock);

	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, resumes + 1));
	flush_delayed_work(&vm->preempt.work);
	KUNIT_EXPECT_EQ(test, vm->rebind_err, 0);
	KUNIT_EXPECT_EQ(test, vm->preempt.backoff_ms, 0);
	KUNIT_EXPECT_EQ(test, queue->resumes, resumes + 1);
	KUNIT_EXPECT_EQ(test, queue->present, 2 * PAGES);
	KUNIT_EXPECT_EQ(test, 2 * PAGES,
			userptr_mock_matches(vm, 0, SZ_4M, TAG));
	failures = vm->rebinds - rebinds - 1;
	KUNIT_EXPECT_LE(test, failures, 1);

	return failures ? -ENOMEM : 0;
}

static void inject_rebind(struct kunit *test)
{
	static const int may[] = { 0, -ENOMEM };
	struct inject_queue inject;

	inject_range_init(test, &inject.range, DRM_USERPTR_VM_HOLES);
	inject.queue = userptr_mock_queue_new(inject.range.vm);
	drm_userptr_preempt_kick(&inject.range.vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(inject.queue, 1));
	inject_each(test, inject_do_rebind, &inject, may, ARRAY_SIZE(may));
}

static int inject_do_probe(void *arg)
{
	struct inject_range *range = arg;
	unsigned int nth = inject_nth;
	unsigned long fault_addr;

	inject_nth = 0;
	userptr_mock_invalidate(range->obj, range->addr, range->addr + SZ_4M);
	inject_nth = nth;

	return drm_userptr_probe(&range->obj->base, &fault_addr);
}

static void inject_probe(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct inject_range range = {
		.addr = userptr_mock_mmap(mock, SZ_4M),
	};
	static const int may[] = { 0, -ENOMEM };

	userptr_mock_fill(mock, range.addr, SZ_4M, TAG);
	range.obj = userptr_mock_obj_new(mock, range.addr, SZ_4M, 0);
	inject_each(test, inject_do_probe, &range, may, ARRAY_SIZE(may));
}

static struct kunit_case drm_userptr_inject_tests[] = {
	KUNIT_CASE(inject_init),
	KUNIT_CASE(inject_pin),
	KUNIT_CASE(inject_client),
	KUNIT_CASE(inject_vm),
	KUNIT_CASE(inject_binding),
	KUNIT_CASE(inject_submit),
	KUNIT_CASE(inject_rebind),
	KUNIT_CASE(inject_probe),
	{ }
};

static struct kunit_suite drm_userptr_inject_suite = {
	.name = "drm_userptr_inject",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_inject_tests,
};

kunit_test_suite(drm_userptr_inject_suite);
