// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What things cost. Figures are printed for people; what is tested is how cost
 * grows, by counting or with room to spare, since machines are busy.
 */

#include <linux/ktime.h>
#include <linux/mman.h>
#include <linux/sort.h>
#include <linux/workqueue.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock_export.h"

#define TAG	0xa100000000ull

/*
 * Overlapping userptrs
 */

#define COST_OVERLAPS	64
#define COST_PREEMPT_MS	20

/* A job that takes so long to stop once it was asked to */
struct cost_job {
	struct userptr_mock_job *job;
	struct delayed_work stop;
	struct work_struct watch;
};

static void cost_job_stop(struct work_struct *work)
{
	struct cost_job *cost = container_of(to_delayed_work(work),
					     struct cost_job, stop);

	userptr_mock_job_end(cost->job);
}

static void cost_job_watch(struct work_struct *work)
{
	struct cost_job *cost = container_of(work, struct cost_job, watch);

	wait_for_completion(&cost->job->signaling);
	queue_delayed_work(system_dfl_wq, &cost->stop,
			   msecs_to_jiffies(COST_PREEMPT_MS));
}

/* All are asked to stop before one is waited for: the longest, not the sum. */
static void cost_overlapping(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;
	struct cost_job *cost;
	unsigned int i;
	s64 ms;

	cost = kunit_kcalloc(test, COST_OVERLAPS, sizeof(*cost), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cost);
	mock->aliased = true;
	userptr_mock_fill(mock, addr, SZ_64K, TAG);
	for (i = 0; i < COST_OVERLAPS; i++) {
		vm = userptr_mock_vm_new(mock);
		obj = userptr_mock_obj_new(mock, addr, SZ_64K, 0);
		userptr_mock_bind_all(vm, obj, 0);
		cost[i].job = userptr_mock_submit_new(vm);
		INIT_DELAYED_WORK(&cost[i].stop, cost_job_stop);
		INIT_WORK(&cost[i].watch, cost_job_watch);
		queue_work(system_dfl_wq, &cost[i].watch);
	}

	ms = ktime_to_ms(ktime_get());
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	ms = ktime_to_ms(ktime_get()) - ms;
	kunit_info(test, "%u userptrs, each stopping for %u ms: munmap took %lld ms\n",
		   COST_OVERLAPS, COST_PREEMPT_MS, ms);

	KUNIT_EXPECT_GE(test, ms, COST_PREEMPT_MS - jiffies_to_msecs(1));
	KUNIT_EXPECT_LT(test, ms, COST_OVERLAPS * COST_PREEMPT_MS / 2);

	for (i = 0; i < COST_OVERLAPS; i++) {
		flush_work(&cost[i].watch);
		flush_delayed_work(&cost[i].stop);
	}
}

/*
 * Commit
 */

/* A VM whose device takes no time */
struct cost_vm {
	struct drm_userptr_vm base;
	struct mutex lock;	/* outer */
};

static void cost_map(struct drm_userptr_binding *binding, u64 addr,
		     dma_addr_t dma, u64 size)
{
}

static void cost_zap(struct drm_userptr_binding *binding, u64 addr, u64 size)
{
}

static u64 cost_tlb_submit(struct drm_userptr_vm *vm)
{
	return 0;
}

static void cost_tlb_wait(struct drm_userptr_vm *vm, u64 seqno)
{
}

static const struct drm_userptr_vm_ops cost_vm_ops = {
	.map = cost_map,
	.zap = cost_zap,
	.tlb_submit = cost_tlb_submit,
	.tlb_wait = cost_tlb_wait,
};

static void cost_submit(struct kunit *test, struct cost_vm *vm)
{
	struct drm_userptr_submit submit;

	guard(mutex)(&vm->lock);

	drm_userptr_submit_init(&submit, &vm->base);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_submit_populate(&submit));
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_commit_begin(&submit));
	drm_userptr_commit_end(&submit);
	drm_userptr_submit_fini(&submit);
}

static int cost_cmp(const void *a, const void *b)
{
	return cmp_int(*(const u64 *)a, *(const u64 *)b);
}

#define COST_RUNS	201

/* Median time of a submission that finds everything valid */
static u64 cost_commit_ns(struct kunit *test, struct cost_vm *vm)
{
	u64 *ns, median;
	int i;

	ns = kunit_kcalloc(test, COST_RUNS, sizeof(*ns), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ns);

	for (i = 0; i < COST_RUNS; i++) {
		ns[i] = ktime_get_ns();
		cost_submit(test, vm);
		ns[i] = ktime_get_ns() - ns[i];
	}

	sort(ns, COST_RUNS, sizeof(*ns), cost_cmp, NULL);
	median = ns[COST_RUNS / 2];
	kunit_kfree(test, ns);

	return median;
}

/* However much is bound: nothing that grows with it is done. */
static void cost_commit(struct kunit *test)
{
	static const unsigned int counts[] = { 1, 100, 10000 };
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct drm_userptr_binding *bindings;
	struct userptr_mock_obj *obj;
	struct cost_vm vm = {};
	u64 ns[ARRAY_SIZE(counts)];
	unsigned int i, bound = 0;

	bindings = kvcalloc(counts[2], sizeof(*bindings), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bindings);
	userptr_mock_fill(mock, addr, PAGE_SIZE, TAG);
	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	mutex_init(&vm.lock);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_vm_init(&vm.base, mock->dev,
						     &cost_vm_ops, 0));
	drm_userptr_vm_set_lock(&vm.base, &vm.lock);

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (; bound < counts[i]; bound++) {
			KUNIT_ASSERT_EQ(test, 0,
					drm_userptr_binding_init(&bindings[bound],
								 &vm.base,
								 &obj->base,
								 addr, PAGE_SIZE,
								 bound * PAGE_SIZE));
			guard(mutex)(&vm.lock);
			drm_userptr_bind(&bindings[bound]);
		}
		cost_submit(test, &vm);
		ns[i] = cost_commit_ns(test, &vm);
		kunit_info(test, "commit with %u idle bindings: %llu ns\n",
			   counts[i], ns[i]);
	}

	/* To look at each of 10,000 would be thousands of times as much. */
	KUNIT_EXPECT_LT(test, ns[2], 10 * ns[0] + 1000);

	while (bound--) {
		scoped_guard(mutex, &vm.lock)
			drm_userptr_unbind(&bindings[bound]);
		drm_userptr_binding_fini(&bindings[bound]);
	}
	drm_userptr_vm_fini(&vm.base);
	kvfree(bindings);
}

/* As a driver with imports does it; only with @lock there is anything to do. */
static u64 cost_submit_imports(struct kunit *test, struct cost_vm *vm, bool lock)
{
	struct drm_userptr_submit submit;
	struct drm_exec exec;
	u64 ns = ktime_get_ns();

	guard(mutex)(&vm->lock);

	drm_userptr_submit_init(&submit, &vm->base);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_submit_populate(&submit));
	if (lock)
		KUNIT_ASSERT_EQ(test, 0, userptr_mock_exports_lock(test->priv, &exec));
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_submit_validate(&submit));
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_commit_begin(&submit));
	drm_userptr_commit_end(&submit);
	if (lock)
		drm_exec_fini(&exec);
	drm_userptr_submit_fini(&submit);

	return ktime_get_ns() - ns;
}

static u64 cost_commit_imports_ns(struct kunit *test, struct cost_vm *vm, bool lock)
{
	u64 ns[5];
	int i;

	for (i = 0; i < ARRAY_SIZE(ns); i++)
		ns[i] = cost_submit_imports(test, vm, lock);
	sort(ns, ARRAY_SIZE(ns), sizeof(*ns), cost_cmp, NULL);

	return ns[ARRAY_SIZE(ns) / 2];
}

/* Imports cost a driver their locks; the helpers nothing, if none has moved. */
static void cost_commit_imports(struct kunit *test)
{
	/* To contend for each lock on purpose takes a time that is their square. */
	static const unsigned int counts[] = {
		1, 100, IS_ENABLED(CONFIG_DEBUG_WW_MUTEX_SLOWPATH) ? 200 : 1000,
	};
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_binding *bindings;
	struct cost_vm vm = {};
	u64 ns[ARRAY_SIZE(counts)];
	unsigned int i, bound = 0;

	/* For a process: there has to be one. */
	userptr_mock_mmap(mock, PAGE_SIZE);
	bindings = kvcalloc(counts[2], sizeof(*bindings), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bindings);
	mutex_init(&vm.lock);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_vm_init(&vm.base, mock->dev,
						     &cost_vm_ops, 0));
	drm_userptr_vm_set_lock(&vm.base, &vm.lock);

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (; bound < counts[i]; bound++) {
			struct userptr_mock_export *export;
			struct userptr_mock_import *import;

			export = userptr_mock_export_new(mock, PAGE_SIZE, true,
							 TAG);
			import = userptr_mock_import_new(export, mock->dev, 0);
			KUNIT_ASSERT_EQ(test, 0,
					drm_userptr_binding_init_import(&bindings[bound],
									&vm.base,
									&import->base,
									0, PAGE_SIZE,
									bound * PAGE_SIZE));
			guard(mutex)(&vm.lock);
			drm_userptr_bind(&bindings[bound]);
		}
		cost_submit_imports(test, &vm, true);
		ns[i] = cost_commit_imports_ns(test, &vm, false);
		kunit_info(test, "commit with %u idle imports: %llu ns, with their locks %llu ns\n",
			   counts[i], ns[i],
			   cost_commit_imports_ns(test, &vm, true));
	}

	KUNIT_EXPECT_LT(test, ns[2], 10 * ns[0] + 1000);

	while (bound--) {
		scoped_guard(mutex, &vm.lock)
			drm_userptr_unbind(&bindings[bound]);
		drm_userptr_binding_fini(&bindings[bound]);
	}
	drm_userptr_vm_fini(&vm.base);
	kvfree(bindings);
}

/*
 * Damage: one page is one window, of however many
 */

#define COST_DAMAGE_SIZE	SZ_128M

static void cost_one_page(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_binding binding = {};
	struct userptr_mock_obj *obj;
	struct cost_vm vm = {};
	unsigned long addr;
	u64 windows;

	addr = userptr_mock_mmap(mock, COST_DAMAGE_SIZE);
	obj = userptr_mock_obj_new(mock, addr, COST_DAMAGE_SIZE, 0);
	mutex_init(&vm.lock);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_vm_init(&vm.base, mock->dev,
						     &cost_vm_ops, 0));
	drm_userptr_vm_set_lock(&vm.base, &vm.lock);
	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_binding_init(&binding, &vm.base, &obj->base,
						 addr, COST_DAMAGE_SIZE, 0));
	scoped_guard(mutex, &vm.lock)
		drm_userptr_bind(&binding);
	cost_submit(test, &vm);
	windows = atomic64_read(&vm.base.stats.windows);
	KUNIT_EXPECT_EQ(test, windows, COST_DAMAGE_SIZE / SZ_2M);

	userptr_mock_remap(mock, addr + SZ_64M + PAGE_SIZE, PAGE_SIZE,
			   PROT_READ | PROT_WRITE);
	cost_submit(test, &vm);
	windows = atomic64_read(&vm.base.stats.windows) - windows;
	KUNIT_EXPECT_EQ(test, windows, 1);

	scoped_guard(mutex, &vm.lock)
		drm_userptr_unbind(&binding);
	drm_userptr_binding_fini(&binding);
	drm_userptr_vm_fini(&vm.base);
}

/*
 * Memory
 */

static size_t cost_metadata(struct drm_userptr *userptr)
{
	struct drm_userptr_window *window;
	unsigned long index;
	size_t size = 0;

	drm_userptr_for_each_window(window, userptr, index, userptr->start,
				    userptr->end) {
		size += sizeof(*window);
		if (window->nr_runs > 1)
			size += window->nr_runs * sizeof(u64);
	}

	return size;
}

/* Scattered pages at worst; what is contiguous in between costs less. */
static void cost_memory(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_16M), i, fault_addr;
	struct userptr_mock_obj *obj;
	size_t scattered, zero;

	/* From the end on: neighbours are in the wrong order. */
	for (i = SZ_16M / PAGE_SIZE; i--;)
		userptr_mock_cpu_write(mock, addr + i * PAGE_SIZE, TAG + i);
	obj = userptr_mock_obj_new(mock, addr, SZ_16M, 0);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));
	scattered = cost_metadata(&obj->base);
	kunit_info(test, "metadata for 1 GiB of scattered pages: %zu KiB\n",
		   scattered * (SZ_1G / SZ_16M) / SZ_1K);
	KUNIT_EXPECT_LE(test, scattered, SZ_16M / PAGE_SIZE * 8 +
			SZ_16M / SZ_2M * 16);
	userptr_mock_obj_free(obj);

	/* As if huge: one run each */
	zero = 16;
	KUNIT_EXPECT_EQ(test, sizeof(struct drm_userptr_window), zero);
	kunit_info(test, "metadata for 1 GiB of huge pages: %zu KiB\n",
		   zero * (SZ_1G / SZ_2M) / SZ_1K);
}

static struct kunit_case drm_userptr_cost_tests[] = {
	KUNIT_CASE(cost_overlapping),
	KUNIT_CASE(cost_commit),
	KUNIT_CASE(cost_commit_imports),
	KUNIT_CASE(cost_one_page),
	KUNIT_CASE(cost_memory),
	{ }
};

static struct kunit_suite drm_userptr_cost_suite = {
	.name = "drm_userptr_cost",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_cost_tests,
};

kunit_test_suite(drm_userptr_cost_suite);
