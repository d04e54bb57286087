// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Submission: what a job is published with, and what the ledger remembers of
 * it. The ledger cannot be seen; what it holds is what a munmap() waits for.
 */

#include <linux/mman.h>
#include <linux/sched/signal.h>

#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define TAG2	0x2000000

/* A window of memory, bound at device address 0. */
struct commit_one {
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
};

static struct commit_one *commit_one_new(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct commit_one *one;

	one = kunit_kzalloc(test, sizeof(*one), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, one);
	one->addr = userptr_mock_mmap(mock, SZ_2M);
	userptr_mock_fill(mock, one->addr, SZ_2M, TAG);
	one->vm = userptr_mock_vm_new(mock);
	one->vm->hook_data = one;
	one->obj = userptr_mock_obj_new(mock, one->addr, SZ_2M, 0);
	one->binding = userptr_mock_bind_all(one->vm, one->obj, 0);

	return one;
}

static long commit_submit_done(void *vm)
{
	return userptr_mock_submit_done(vm);
}

/* The fast pass does not so much as look at a userptr, however many there are. */
static void commit_nothing_to_do(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_thread *thread;
	struct userptr_mock_obj *obj;
	u64 windows, maps;
	unsigned int i;
	bool blocked;

	for (i = 0; i < 64; i++) {
		obj = userptr_mock_obj_new(mock, addr + i * PAGE_SIZE,
					   PAGE_SIZE, 0);
		userptr_mock_bind_all(vm, obj, i * PAGE_SIZE);
	}
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->present, 64);
	windows = atomic64_read(&vm->base.stats.windows);
	maps = vm->maps;

	/* It would be stuck on these if it did. */
	mutex_lock(&vm->lock);
	thread = userptr_mock_thread_start(mock, commit_submit_done, vm);
	mutex_lock(&obj->base.populate_lock);
	mutex_lock(&obj->base.lock);
	mutex_unlock(&vm->lock);
	blocked = !userptr_mock_thread_join(thread);
	mutex_unlock(&obj->base.lock);
	mutex_unlock(&obj->base.populate_lock);

	KUNIT_EXPECT_FALSE(test, blocked);
	KUNIT_EXPECT_EQ(test, thread->ret, 0);
	KUNIT_EXPECT_EQ(test, vm->maps, maps);
	KUNIT_EXPECT_EQ(test, windows,
			atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 2, atomic64_read(&vm->base.stats.submits));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.retries));
}

static void commit_remap_once(struct userptr_mock_vm *vm)
{
	struct commit_one *one = vm->hook_data;

	if (vm->submit.tries > 1)
		return;

	userptr_mock_remap(vm->mock, one->addr + PAGE_SIZE, PAGE_SIZE,
			   PROT_READ | PROT_WRITE);
	userptr_mock_cpu_write(vm->mock, one->addr + PAGE_SIZE, TAG2);
}

/* What was populated is taken away before the commit: once more, no old page. */
static void commit_collision(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock_vm *vm = one->vm;
	u64 value = 0;

	vm->after_populate = commit_remap_once;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, vm->submit.tries, 2);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.retries));
	KUNIT_EXPECT_EQ(test, 2, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, vm->mapped_pages, USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES - 1,
			userptr_mock_matches(vm, 0, SZ_2M, TAG));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_read(vm, PAGE_SIZE, &value));
	KUNIT_EXPECT_EQ(test, value, TAG2);
}

/* A window that was mapped, and is hit while a later submission populates. */
static void commit_collision_when_mapped(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock_vm *vm = one->vm;
	u64 value = 0;

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	vm->after_populate = commit_remap_once;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, vm->submit.tries, 2);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.retries));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_read(vm, PAGE_SIZE, &value));
	KUNIT_EXPECT_EQ(test, value, TAG2);
}

/* The retry refetches what was hit, and keeps the rest. */
static void commit_collision_keeps_rest(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_obj *other;
	unsigned long addr;

	addr = userptr_mock_mmap(mock, 2 * SZ_2M);
	userptr_mock_fill(mock, addr, 2 * SZ_2M, TAG);
	other = userptr_mock_obj_new(mock, addr, 2 * SZ_2M, 0);
	userptr_mock_bind_all(vm, other, SZ_2M);

	vm->after_populate = commit_remap_once;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 4, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, vm->present, 3 * USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_EQ(test, 2 * USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, SZ_2M, 2 * SZ_2M, TAG));
}

/* Two userptrs in one window, and how many of their pages were held at best */
struct commit_pair {
	unsigned long addr;
	unsigned int held;
};

static bool commit_page_pinned(unsigned long addr)
{
	struct page *page;
	bool pinned;

	if (get_user_pages_fast(addr, 1, 0, &page) != 1)
		return false;
	pinned = folio_maybe_dma_pinned(page_folio(page));
	put_page(page);

	return pinned;
}

static unsigned int commit_pair_pinned(struct commit_pair *pair)
{
	return commit_page_pinned(pair->addr) +
	       commit_page_pinned(pair->addr + SZ_1M);
}

static void commit_lose_both(struct userptr_mock_vm *vm)
{
	struct commit_pair *pair = vm->hook_data;

	pair->held = max(pair->held, commit_pair_pinned(pair));
	if (vm->submit.tries > 1)
		return;

	/* As if it had happened again and again */
	vm->submit.lost = vm->submit.budget / 2;
	userptr_mock_remap(vm->mock, pair->addr, SZ_2M, PROT_READ | PROT_WRITE);
	userptr_mock_fill(vm->mock, pair->addr, SZ_2M, TAG2);
}

/* What is held for one userptr is not let go of for its neighbour. */
static void commit_holds_neighbours(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	struct commit_pair *pair;

	pair = kunit_kzalloc(test, sizeof(*pair), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pair);
	pair->addr = userptr_mock_mmap(mock, SZ_2M);
	userptr_mock_fill(mock, pair->addr, SZ_2M, TAG);
	obj = userptr_mock_obj_new(mock, pair->addr, SZ_1M, 0);
	userptr_mock_bind_all(vm, obj, 0);
	obj = userptr_mock_obj_new(mock, pair->addr + SZ_1M, SZ_1M, 0);
	userptr_mock_bind_all(vm, obj, SZ_1M);

	vm->hook_data = pair;
	vm->after_populate = commit_lose_both;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->submit.tries, 2);
	KUNIT_EXPECT_EQ(test, pair->held, 2);
	KUNIT_EXPECT_EQ(test, commit_pair_pinned(pair), 0);
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, 0, SZ_2M, TAG2));
}

static void commit_invalidate_same_seq(struct userptr_mock_file *file,
				       unsigned long page)
{
	struct userptr_mock_obj *obj = file->data;

	/* The first page is looked at before, too; its fault is not HMM's. */
	if (page != 1)
		return;

	file->fault = NULL;
	userptr_mock_invalidate_at(obj, obj->base.start,
				   obj->base.start + PAGE_SIZE, true,
				   obj->base.notifier.invalidate_seq);
}

/*
 * The first page is taken away while the second is faulted in, and the sequence
 * number does not tell, as if it had been read anew in between. The token does
 * (CVE-2026-63879).
 */
static void commit_token(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 4 * PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_file *file;
	struct userptr_mock_obj *obj;

	file = userptr_mock_file_mmap(mock, addr, 4 * PAGE_SIZE);
	userptr_mock_file_replace(mock, file, TAG);
	obj = userptr_mock_obj_new(mock, addr, 4 * PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, obj, 0);

	file->data = obj;
	file->fault = commit_invalidate_same_seq;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_NULL(test, file->fault);
	KUNIT_EXPECT_EQ(test, vm->submit.lost, 1);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.windows));
	KUNIT_EXPECT_EQ(test, 4,
			userptr_mock_matches(vm, 0, 4 * PAGE_SIZE, TAG));
}

/* A second notifier, which is called after the userptr's own. */
struct commit_gate {
	struct mmu_interval_notifier notifier;
	struct completion entered;
	struct completion go;
	struct userptr_mock_file *file;
};

static bool commit_gate_invalidate(struct mmu_interval_notifier *notifier,
				   const struct mmu_notifier_range *range,
				   unsigned long cur_seq)
{
	struct commit_gate *gate = container_of(notifier, typeof(*gate),
						notifier);

	mmu_interval_set_seq(notifier, cur_seq);
	complete_all(&gate->entered);
	wait_for_completion_timeout(&gate->go, 2 * USERPTR_MOCK_SOON);

	return true;
}

static const struct mmu_interval_notifier_ops commit_gate_ops = {
	.invalidate = commit_gate_invalidate,
};

static long commit_truncate(void *arg)
{
	struct commit_gate *gate = arg;

	unmap_mapping_range(&gate->file->mapping, 0,
			    gate->file->nr_pages * PAGE_SIZE, 1);

	return 0;
}

static void commit_gate_remove(void *arg)
{
	struct commit_gate *gate = arg;

	mmu_interval_notifier_remove(&gate->notifier);
}

/*
 * The userptr's callback has returned, and the mm is yet to clear its entries:
 * what a populate finds now is what is about to go. It must sleep.
 */
static void commit_waits_for_mm(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 4 * PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_thread *truncate, *submit;
	struct userptr_mock_obj *obj;
	struct commit_gate *gate;

	gate = kunit_kzalloc(test, sizeof(*gate), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, gate);
	init_completion(&gate->entered);
	init_completion(&gate->go);
	gate->file = userptr_mock_file_mmap(mock, addr, 4 * PAGE_SIZE);
	obj = userptr_mock_obj_new(mock, addr, 4 * PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, obj, 0);

	/* Later in the address space, so called after the userptr's. */
	KUNIT_ASSERT_EQ(test, 0,
			mmu_interval_notifier_insert(&gate->notifier,
						     current->mm,
						     addr + 3 * PAGE_SIZE,
						     PAGE_SIZE,
						     &commit_gate_ops));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, commit_gate_remove,
						  gate));

	/* The old pages are mapped; faults to come find new ones. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_cpu_read(mock, addr));
	KUNIT_EXPECT_EQ(test, 3,
			userptr_mock_cpu_read(mock, addr + 3 * PAGE_SIZE));
	userptr_mock_file_replace(mock, gate->file, TAG);

	truncate = userptr_mock_thread_start(mock, commit_truncate, gate);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&gate->entered,
							    USERPTR_MOCK_SOON));
	submit = userptr_mock_thread_start(mock, commit_submit_done, vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));

	complete_all(&gate->go);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(truncate));
	KUNIT_ASSERT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, submit->ret, 0);
	KUNIT_EXPECT_EQ(test, 4,
			userptr_mock_matches(vm, 0, 4 * PAGE_SIZE, TAG));
}

static void commit_invalidate_always(struct userptr_mock_vm *vm)
{
	struct userptr_mock_obj *obj = vm->hook_data;

	userptr_mock_invalidate(obj, obj->base.start, obj->base.end);
}

/* Who shoots at himself in each try gets an error, and nothing is submitted. */
static void commit_budget(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_job *job;

	vm->hook_data = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, vm->hook_data, 0);
	job = userptr_mock_job_new(mock, 0, 1);
	vm->after_populate = commit_invalidate_always;
	KUNIT_EXPECT_EQ(test, -EAGAIN, userptr_mock_submit(vm, job));

	/* As documented: so much, and so much for each window. */
	KUNIT_EXPECT_EQ(test, vm->submit.budget,
			(256 + 16) * USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_EQ(test, vm->submit.lost,
			vm->submit.budget + USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_FALSE(test, vm->submit.committed);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.submits));
	KUNIT_EXPECT_EQ(test, vm->maps, 0);

	/* Nobody waits for the job that is not. */
	vm->after_populate = NULL;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, completion_done(&job->signaling));
}

static void commit_interrupted(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_job *job;
	int err;

	job = userptr_mock_job_new(mock, 0, 1);
	allow_signal(SIGUSR1);
	send_sig(SIGUSR1, current, 0);
	err = userptr_mock_submit(vm, job);
	flush_signals(current);
	disallow_signal(SIGUSR1);

	KUNIT_EXPECT_EQ(test, err, -ERESTARTSYS);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.submits));
	KUNIT_EXPECT_EQ(test, vm->maps, 0);

	/* It can be restarted. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, 0, SZ_2M, TAG));
}

/* One binding's memory is gone: that one is dead, the other works. */
static void commit_dead_binding(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	struct userptr_mock_binding *other;
	struct userptr_mock_obj *obj;
	unsigned long addr;
	u64 value;

	addr = userptr_mock_mmap(mock, SZ_2M);
	userptr_mock_fill(mock, addr, SZ_2M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	other = userptr_mock_bind_all(vm, obj, SZ_2M);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(one->addr + PAGE_SIZE, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, one->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, one->binding->base.fault_addr,
			one->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, other->base.error, 0);
	KUNIT_EXPECT_EQ(test, -EFAULT, userptr_mock_read(vm, 0, &value));
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, SZ_2M, SZ_2M, TAG));

	/* It does not come back to life by itself, nor for the asking. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, one->binding->base.error, -EFAULT);
	userptr_mock_revive(one->binding);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, one->binding->base.error, -EFAULT);

	/* With memory it does. */
	userptr_mock_remap(mock, one->addr + PAGE_SIZE, PAGE_SIZE,
			   PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, one->addr, SZ_2M, TAG2);
	userptr_mock_revive(one->binding);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, one->binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(vm, 0, SZ_2M, TAG2));
	KUNIT_EXPECT_EQ(test, 2, atomic64_read(&vm->base.stats.windows));
}

/* Read-only is read-only, at each populate. */
static void commit_write_permission_lost(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	userptr_mock_remap(mock, one->addr + PAGE_SIZE, PAGE_SIZE, PROT_READ);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, one->binding->base.error, -EPERM);
	KUNIT_EXPECT_EQ(test, one->binding->base.fault_addr,
			one->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
}

static void commit_after_exit(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	userptr_mock_exit_mm(mock);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, one->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
}

/* Jobs of a context end in order, so the last one will do. */
static void ledger_same_context(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job *job[8];
	struct userptr_mock_vm *vm = one->vm;
	u64 context = dma_fence_context_alloc(1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(job); i++) {
		job[i] = userptr_mock_job_new(mock, context, i + 1);
		KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit(vm, job[i]));
	}

	munmap = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test,
			  userptr_mock_job_waited(job[ARRAY_SIZE(job) - 1]));
	for (i = 0; i < ARRAY_SIZE(job) - 1; i++)
		KUNIT_EXPECT_FALSE(test, completion_done(&job[i]->signaling));

	for (i = 0; i < ARRAY_SIZE(job); i++)
		userptr_mock_job_end(job[i]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
}

/* Of many contexts all are waited for, in whichever order they end. */
static void ledger_many_contexts(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job **job;
	const unsigned int nr = 101;
	unsigned int i;

	job = kunit_kcalloc(test, nr, sizeof(*job), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, job);
	for (i = 0; i < nr; i++)
		job[i] = userptr_mock_submit_new(one->vm);

	munmap = userptr_mock_munmap_start(mock, one->addr, SZ_2M);
	/* Which one first is not for us to say. */
	KUNIT_EXPECT_TRUE(test,
			  wait_for_completion_timeout(&job[nr - 1]->signaling,
						      USERPTR_MOCK_SOON));
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, completion_done(&job[i]->signaling));

	/* All but one, mixed up; a prime number makes it all of them. */
	for (i = 1; i < nr; i++)
		userptr_mock_job_end(job[i * 37 % nr]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job[0]));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(munmap));
	userptr_mock_job_end(job[0]);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
}

/* Those that are done make room for new ones, and are not waited for. */
static void ledger_forgets_the_done(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = one->vm;
	unsigned int i;

	for (i = 0; i < 200; i++)
		KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(one->addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&vm->base.stats.fence_waits));

	/* Remembered are the running one and what it did not replace: little. */
	userptr_mock_remap(mock, one->addr, SZ_2M, PROT_READ | PROT_WRITE);
	userptr_mock_submit_new(vm);
	for (i = 0; i < 200; i++)
		KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 401, atomic64_read(&vm->base.stats.submits));
}

/* A job that came after the callback's first pass is not its business... */
static void ledger_snapshot(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, 2 * SZ_2M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_job *before, *after;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_obj *obj;

	obj = userptr_mock_obj_new(mock, addr, 2 * SZ_2M, 0);
	userptr_mock_bind_all(vm, obj, 0);
	before = userptr_mock_submit_new(vm);
	/* Reserves room for one more, and does not need it. */
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	after = userptr_mock_job_new(mock, 0, 1);

	munmap = userptr_mock_munmap_start(mock, addr, SZ_2M);
	KUNIT_ASSERT_TRUE(test, userptr_mock_job_waited(before));
	userptr_mock_commit_by_hand(vm, after);
	userptr_mock_job_end(before);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_FALSE(test, completion_done(&after->signaling));

	/* ...but the next one's. */
	after->bystander = false;
	munmap = userptr_mock_munmap_start(mock, addr + SZ_2M, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(after));
	userptr_mock_job_end(after);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
}

static long ledger_wait_idle(void *arg)
{
	struct userptr_mock_vm *vm = arg;

	guard(mutex)(&vm->lock);

	return drm_userptr_vm_wait_idle(&vm->base);
}

static void ledger_wait_for_idle(struct kunit *test)
{
	struct commit_one *one = commit_one_new(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *thread;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(one->vm);
	thread = userptr_mock_thread_start(mock, ledger_wait_idle, one->vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(thread));
	KUNIT_EXPECT_EQ(test, thread->ret, 0);
}

static struct kunit_case drm_userptr_commit_tests[] = {
	KUNIT_CASE(commit_nothing_to_do),
	KUNIT_CASE(commit_collision),
	KUNIT_CASE(commit_collision_when_mapped),
	KUNIT_CASE(commit_collision_keeps_rest),
	KUNIT_CASE(commit_holds_neighbours),
	KUNIT_CASE(commit_token),
	KUNIT_CASE(commit_waits_for_mm),
	KUNIT_CASE(commit_budget),
	KUNIT_CASE(commit_interrupted),
	KUNIT_CASE(commit_dead_binding),
	KUNIT_CASE(commit_write_permission_lost),
	KUNIT_CASE(commit_after_exit),
	KUNIT_CASE(ledger_same_context),
	KUNIT_CASE(ledger_many_contexts),
	KUNIT_CASE(ledger_forgets_the_done),
	KUNIT_CASE(ledger_snapshot),
	KUNIT_CASE(ledger_wait_for_idle),
	{ }
};

static struct kunit_suite drm_userptr_commit_suite = {
	.name = "drm_userptr_commit",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_commit_tests,
};

kunit_test_suite(drm_userptr_commit_suite);
