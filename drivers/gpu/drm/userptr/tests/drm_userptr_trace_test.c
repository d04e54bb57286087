// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Tracepoints: they tell what happened, and why.
 *
 * The tests look at what tracepoints are called with. How that reads is tested
 * from user space.
 */

#include <linux/mman.h>
#include <linux/tracepoint.h>

#include <trace/events/drm_userptr.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* What was traced last, and how often; one test at a time. */
static struct {
	unsigned int creates;
	unsigned int destroys;
	unsigned int retries;
	const struct drm_userptr_binding *retry_binding;
	unsigned long retry_index;
	u32 retry_state;
	unsigned int deads;
	unsigned int revives;
	unsigned long dead_addr;
	int dead_err;
	unsigned int starts;
	struct drm_userptr_inval start;
	int event;
	unsigned int passes;
	unsigned int finishes;
	u64 finish_seq;
	u64 waited_ns;
	unsigned int granted;
	unsigned int refused;
	unsigned int steps[DRM_USERPTR_WAITING + 1];
	unsigned int failed;
} seen;

static void trace_seen_create(void *data, const struct drm_userptr *userptr)
{
	seen.creates++;
}

static void trace_seen_destroy(void *data, const struct drm_userptr *userptr)
{
	seen.destroys++;
}

static void trace_seen_populate(void *data, const struct drm_userptr *userptr,
				unsigned long index, int err)
{
	if (err < 0)
		seen.failed++;
	else
		seen.steps[err]++;
}

static void trace_seen_retry(void *data,
			     const struct drm_userptr_binding *binding,
			     unsigned long index, u32 state)
{
	seen.retries++;
	seen.retry_binding = binding;
	seen.retry_index = index;
	seen.retry_state = state;
}

static void trace_seen_dead(void *data,
			    const struct drm_userptr_binding *binding)
{
	seen.deads++;
	seen.dead_addr = binding->fault_addr;
	seen.dead_err = binding->error;
}

static void trace_seen_revive(void *data,
			      const struct drm_userptr_binding *binding)
{
	seen.revives++;
}

static void trace_seen_start(void *data, const struct drm_userptr *userptr,
			     const struct drm_userptr_inval *inval, int event,
			     unsigned int passes)
{
	seen.starts++;
	seen.start = *inval;
	seen.event = event;
	seen.passes = passes;
}

static void trace_seen_finish(void *data, const struct drm_userptr *userptr,
			      u64 seq, u64 waited_ns)
{
	seen.finishes++;
	seen.finish_seq = seq;
	seen.waited_ns = waited_ns;
}

static void trace_seen_nonblock(void *data, const struct drm_userptr *userptr,
				unsigned long start, unsigned long end,
				int event, bool granted)
{
	if (granted)
		seen.granted++;
	else
		seen.refused++;
}

struct trace_probe {
	const char *name;
	void *probe;
	struct tracepoint *tp;
};

static struct trace_probe trace_probes[] = {
	{ "drm_userptr_create", trace_seen_create },
	{ "drm_userptr_destroy", trace_seen_destroy },
	{ "drm_userptr_populate", trace_seen_populate },
	{ "drm_userptr_retry", trace_seen_retry },
	{ "drm_userptr_dead", trace_seen_dead },
	{ "drm_userptr_revive", trace_seen_revive },
	{ "drm_userptr_invalidate_start", trace_seen_start },
	{ "drm_userptr_invalidate_finish", trace_seen_finish },
	{ "drm_userptr_invalidate_nonblock", trace_seen_nonblock },
};

static void trace_find(struct tracepoint *tp, void *priv)
{
	struct trace_probe *probe = priv;

	if (!strcmp(tp->name, probe->name))
		probe->tp = tp;
}

static int trace_suite_init(struct kunit_suite *suite)
{
	struct trace_probe *probe;
	int err;

	for (probe = trace_probes; probe < ARRAY_END(trace_probes); probe++) {
		probe->tp = NULL;
		for_each_kernel_tracepoint(trace_find, probe);
		/* Those of modules are not to be found; tests are skipped. */
		if (!probe->tp)
			continue;
		err = tracepoint_probe_register(probe->tp, probe->probe, NULL);
		if (err)
			return err;
	}

	return userptr_mock_suite_init(suite);
}

static void trace_suite_exit(struct kunit_suite *suite)
{
	struct trace_probe *probe;

	for (probe = trace_probes; probe < ARRAY_END(trace_probes); probe++)
		if (probe->tp)
			tracepoint_probe_unregister(probe->tp, probe->probe,
						    NULL);
	tracepoint_synchronize_unregister();
	userptr_mock_suite_exit(suite);
}

static int trace_init(struct kunit *test)
{
	if (!trace_probes[0].tp)
		kunit_skip(test, "the helpers are a module");

	memset(&seen, 0, sizeof(seen));

	return userptr_mock_init(test);
}

/* Two windows of memory at device address 0 */
struct trace_range {
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
};

static struct trace_range *trace_range_new(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct trace_range *range;

	range = kunit_kzalloc(test, sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range);
	range->addr = userptr_mock_mmap(mock, SZ_4M);
	userptr_mock_fill(mock, range->addr, SZ_4M, TAG);
	range->vm = userptr_mock_vm_new(mock);
	range->obj = userptr_mock_obj_new(mock, range->addr, SZ_4M, 0);
	range->binding = userptr_mock_bind_all(range->vm, range->obj, 0);

	return range;
}

static void trace_life(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_obj *other;

	KUNIT_EXPECT_EQ(test, seen.creates, 1);
	other = userptr_mock_obj_new(mock, range->addr, SZ_2M, 0);
	KUNIT_EXPECT_EQ(test, seen.creates, 2);
	KUNIT_EXPECT_NE(test, other->base.id, range->obj->base.id);
	KUNIT_EXPECT_NE(test, other->base.id, range->vm->base.id);
	userptr_mock_obj_free(other);
	KUNIT_EXPECT_EQ(test, seen.destroys, 1);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(range->vm));
	KUNIT_EXPECT_EQ(test, seen.steps[0], 2);
	KUNIT_EXPECT_EQ(test, seen.retries, 0);
	KUNIT_EXPECT_EQ(test, seen.starts, 0);
}

/* Once: take the second window away after it was populated. */
static void trace_take_second(struct userptr_mock_vm *vm)
{
	struct trace_range *range = vm->hook_data;

	vm->after_populate = NULL;
	userptr_mock_invalidate(range->obj, range->addr + SZ_2M,
				range->addr + SZ_4M);
}

static void trace_retry(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);
	struct userptr_mock_vm *vm = range->vm;

	vm->hook_data = range;
	vm->after_populate = trace_take_second;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, seen.retries, 1);
	KUNIT_EXPECT_PTR_EQ(test, seen.retry_binding, &range->binding->base);
	KUNIT_EXPECT_EQ(test, seen.retry_index,
			drm_userptr_window_index(range->addr + SZ_2M));
	KUNIT_EXPECT_EQ(test, seen.retry_state, DRM_USERPTR_STALE);
}

/* The same with a job that still has the window */
static void trace_retry_dying(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);
	struct userptr_mock_vm *vm = range->vm;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(vm);
	/* Without a step of populate in between */
	userptr_mock_invalidate(range->obj, range->addr, range->addr + SZ_2M);
	scoped_guard(mutex, &vm->lock) {
		struct drm_userptr_submit submit;

		drm_userptr_submit_init(&submit, &vm->base);
		KUNIT_EXPECT_EQ(test, -EAGAIN, drm_userptr_commit_begin(&submit));
	}
	KUNIT_EXPECT_EQ(test, seen.retry_index,
			drm_userptr_window_index(range->addr));
	KUNIT_EXPECT_EQ(test, seen.retry_state, DRM_USERPTR_DYING);

	userptr_mock_job_end(job);
	userptr_mock_invalidate_finish(range->obj);
}

static void trace_dead_and_revived(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = range->vm;

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr + SZ_2M, SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, seen.deads, 1);
	KUNIT_EXPECT_EQ(test, seen.dead_addr, range->addr + SZ_2M);
	KUNIT_EXPECT_EQ(test, seen.dead_err, -EFAULT);
	KUNIT_EXPECT_EQ(test, seen.revives, 0);
	KUNIT_EXPECT_EQ(test, seen.failed, 1);

	userptr_mock_remap(mock, range->addr + SZ_2M, SZ_2M,
			   PROT_READ | PROT_WRITE);
	userptr_mock_revive(range->binding);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, seen.deads, 1);
	KUNIT_EXPECT_EQ(test, seen.revives, 1);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, seen.revives, 1);
}

static void trace_invalidate_idle(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(range->vm));
	/* All of the window: to split a huge page is an invalidation of its own. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(range->addr, SZ_2M));

	KUNIT_EXPECT_EQ(test, seen.starts, 1);
	KUNIT_EXPECT_EQ(test, seen.start.start, range->addr);
	KUNIT_EXPECT_EQ(test, seen.start.end, range->addr + SZ_2M);
	KUNIT_EXPECT_EQ(test, seen.start.nr_jobs, 1);
	KUNIT_EXPECT_FALSE(test, seen.start.more_jobs);
	KUNIT_EXPECT_EQ(test, seen.event, MMU_NOTIFY_UNMAP);
	KUNIT_EXPECT_EQ(test, seen.passes, 1);
	KUNIT_EXPECT_EQ(test, seen.finishes, 1);
	KUNIT_EXPECT_EQ(test, seen.finish_seq, seen.start.seq);
}

/* The time is that of the wait: at least as long as the job was seen to run. */
static void trace_invalidate_waits(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job *job;
	u64 begin, ran;

	job = userptr_mock_submit_new(range->vm);
	munmap = userptr_mock_munmap_start(mock, range->addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	begin = ktime_get_ns();
	KUNIT_EXPECT_EQ(test, seen.passes, 2);
	KUNIT_EXPECT_EQ(test, seen.finishes, 0);
	ran = ktime_get_ns() - begin;
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));

	KUNIT_EXPECT_EQ(test, seen.finishes, 1);
	KUNIT_EXPECT_GE(test, seen.waited_ns, ran);
	KUNIT_EXPECT_GT(test, seen.waited_ns, 0);
}

static void trace_nonblock(struct kunit *test)
{
	struct trace_range *range = trace_range_new(test);
	unsigned long end = range->addr + SZ_4M;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(range->vm);
	KUNIT_EXPECT_FALSE(test,
			   userptr_mock_invalidate_nonblock(range->obj,
							    range->addr, end));
	KUNIT_EXPECT_EQ(test, seen.refused, 1);
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_invalidate_nonblock(range->obj,
							   range->addr, end));
	KUNIT_EXPECT_EQ(test, seen.granted, 1);
	KUNIT_EXPECT_EQ(test, seen.refused, 1);
}

static struct kunit_case drm_userptr_trace_tests[] = {
	KUNIT_CASE(trace_life),
	KUNIT_CASE(trace_retry),
	KUNIT_CASE(trace_retry_dying),
	KUNIT_CASE(trace_dead_and_revived),
	KUNIT_CASE(trace_invalidate_idle),
	KUNIT_CASE(trace_invalidate_waits),
	KUNIT_CASE(trace_nonblock),
	{ }
};

static struct kunit_suite drm_userptr_trace_suite = {
	.name = "drm_userptr_trace",
	.suite_init = trace_suite_init,
	.suite_exit = trace_suite_exit,
	.init = trace_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_trace_tests,
};

kunit_test_suite(drm_userptr_trace_suite);
