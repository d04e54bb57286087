// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Userptrs in VMs of other processes: what a dma-buf is exported for that is
 * imported by somebody who knows what it is. The guarantees are those of a
 * binding of one's own, and the owner's trouble is not the importer's.
 */

#include <linux/dma-buf.h>
#include <linux/file.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0xc100000000ull
#define TAG2	0xc200000000ull
#define SIZE	SZ_4M
#define PAGES	(SIZE / PAGE_SIZE)
#define WINDOW	USERPTR_MOCK_WINDOW_PAGES

struct remote_case {
	struct userptr_mock *mock;
	unsigned long addr;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;
	struct userptr_mock_binding *binding;
};

static struct remote_case remote_case_new(struct kunit *test, u32 vm_flags)
{
	struct remote_case c = { .mock = test->priv };

	c.addr = userptr_mock_mmap(c.mock, SIZE);
	userptr_mock_fill(c.mock, c.addr, SIZE, TAG);
	c.obj = userptr_mock_obj_new(c.mock, c.addr, SIZE, 0);
	userptr_mock_obj_export(c.obj);
	c.vm = userptr_mock_vm_new_elsewhere(c.mock, c.mock->dev, vm_flags);
	c.binding = userptr_mock_bind_all(c.vm, c.obj, 0);

	return c;
}

static void remote_reads(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(c.vm, 0, SIZE, TAG));
	KUNIT_EXPECT_EQ(test, SIZE / SZ_2M,
			atomic64_read(&c.vm->base.stats.windows));
	KUNIT_EXPECT_TRUE(test, list_empty(&c.vm->base.invalidated));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, 1, c.vm->submit.tries);
}

/* Owner and importer see the same memory, of which there is one set of pages. */
static void remote_shares(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	struct userptr_mock_vm *own = userptr_mock_vm_new(c.mock);

	userptr_mock_bind_all(own, c.obj, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(own));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	/* Nothing was left to be collected. */
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&c.vm->base.stats.windows));
	KUNIT_EXPECT_PTR_EQ(test, userptr_mock_page(own, 0),
			    userptr_mock_page(c.vm, 0));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_write(c.vm, 0, TAG2));
	KUNIT_EXPECT_EQ(test, TAG2, userptr_mock_cpu_read(c.mock, c.addr));
}

/* The owner's munmap() waits for the importer's job. */
static void remote_invalidate_waits(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	struct userptr_mock_thread *munmap;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(c.vm);
	munmap = userptr_mock_munmap_start(c.mock, c.addr, SIZE);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(munmap));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(c.vm, 0, SIZE, TAG));
}

/* Gone, without harm to others, and back. */
static void remote_unmapped(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	struct userptr_mock_obj *other;
	unsigned long addr;

	addr = userptr_mock_mmap(c.mock, SZ_2M);
	userptr_mock_fill(c.mock, addr, SZ_2M, TAG2);
	other = userptr_mock_obj_new(c.mock, addr, SZ_2M, 0);
	userptr_mock_obj_export(other);
	userptr_mock_bind_all(c.vm, other, SZ_8M);

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c.addr + SZ_2M, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, c.binding->base.fault_addr, c.addr + SZ_2M);
	KUNIT_EXPECT_EQ(test, WINDOW,
			userptr_mock_matches(c.vm, SZ_8M, SZ_2M, TAG2));

	userptr_mock_remap(c.mock, c.addr + SZ_2M, PAGE_SIZE,
			   PROT_READ | PROT_WRITE);
	userptr_mock_cpu_write(c.mock, c.addr + SZ_2M, TAG + WINDOW);
	userptr_mock_revive(c.binding);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(c.vm, 0, SIZE, TAG));
}

static void remote_read_only(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);

	userptr_mock_remap(c.mock, c.addr, PAGE_SIZE, PROT_READ);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -EPERM);
}

static void remote_owner_gone(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	userptr_mock_exit_mm(c.mock);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -EFAULT);
}

/* Where memory that is gone is a hole, each window is looked at, and once. */
static void remote_holes(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, DRM_USERPTR_VM_HOLES);
	struct userptr_mock_obj *other;
	unsigned long addr;

	addr = userptr_mock_mmap(c.mock, SIZE);
	userptr_mock_fill(c.mock, addr, SIZE, TAG2);
	other = userptr_mock_obj_new(c.mock, addr, SIZE, 0);
	userptr_mock_obj_export(other);
	userptr_mock_bind_all(c.vm, other, SZ_8M);

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c.addr, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr + SZ_2M, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, c.vm->present, 2 * WINDOW);
	KUNIT_EXPECT_EQ(test, WINDOW,
			userptr_mock_matches(c.vm, SZ_2M, SZ_2M, TAG + WINDOW));
	KUNIT_EXPECT_EQ(test, WINDOW,
			userptr_mock_matches(c.vm, SZ_8M, SZ_2M, TAG2));
	KUNIT_EXPECT_LE(test, c.vm->submit.tries, 4);
}

/* A queue is resumed by a worker, which waits for nobody. */
static void remote_long_running(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, DRM_USERPTR_VM_HOLES);
	struct userptr_mock_queue *queue = userptr_mock_queue_new(c.vm);

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c.addr, PAGE_SIZE));
	drm_userptr_preempt_kick(&c.vm->preempt);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 1));
	KUNIT_EXPECT_EQ(test, queue->present, WINDOW);

	/* Nothing can be had any more: a hole as a whole. */
	userptr_mock_exit_mm(c.mock);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
	KUNIT_EXPECT_EQ(test, queue->present, 0);
}

/* Somebody who is at the owner's mappings, as mmap() is, for as long as we like. */
struct remote_holder {
	struct completion held;
	struct completion let_go;
};

static long remote_hold(void *arg)
{
	struct remote_holder *holder = arg;

	mmap_write_lock(current->mm);
	complete_all(&holder->held);
	wait_for_completion(&holder->let_go);
	mmap_write_unlock(current->mm);

	return 0;
}

static struct remote_holder *remote_holder_start(struct kunit *test)
{
	struct remote_holder *holder;

	holder = kunit_kzalloc(test, sizeof(*holder), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, holder);
	init_completion(&holder->held);
	init_completion(&holder->let_go);
	userptr_mock_thread_start(test->priv, remote_hold, holder);
	wait_for_completion(&holder->held);

	return holder;
}

static long remote_submit(void *arg)
{
	struct userptr_mock_vm *vm = arg;

	allow_signal(SIGUSR1);

	return userptr_mock_submit_done(vm);
}

/*
 * The owner's mmap lock is busy: nobody waits for it with a lock of the
 * importer's held, and who submits can go away.
 */
static void remote_owner_slow(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	struct userptr_mock_thread *submit;
	struct remote_holder *holder;

	holder = remote_holder_start(test);
	submit = userptr_mock_thread_start(c.mock, remote_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	KUNIT_EXPECT_TRUE(test, mutex_trylock(&c.vm->lock));
	mutex_unlock(&c.vm->lock);

	send_sig(SIGUSR1, submit->task, 0);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, -ERESTARTSYS, submit->ret);
	complete_all(&holder->let_go);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(c.vm, 0, SIZE, TAG));
}

/* Unbound, closed and gone while the worker is still at it */
static void remote_closed_meanwhile(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	struct userptr_mock_thread *submit;
	struct remote_holder *holder;

	holder = remote_holder_start(test);
	submit = userptr_mock_thread_start(c.mock, remote_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	send_sig(SIGUSR1, submit->task, 0);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));

	userptr_mock_unbind(c.binding);
	dma_buf_put(c.obj->dmabuf);
	c.obj->dmabuf = NULL;
	flush_delayed_fput();
	KUNIT_EXPECT_EQ(test, c.obj->released, 0);
	complete_all(&holder->let_go);
	KUNIT_EXPECT_TRUE(test, userptr_mock_obj_released(c.obj));
}

static void remote_hit_hook(struct userptr_mock_vm *vm)
{
	struct remote_case *c = vm->hook_data;

	vm->after_populate = NULL;
	userptr_mock_remap(c->mock, c->addr, PAGE_SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_cpu_write(c->mock, c->addr, TAG2);
}

/* Lost between populate and commit: one window is collected again. */
static void remote_hit(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	u64 value;

	c.vm->hook_data = &c;
	c.vm->after_populate = remote_hit_hook;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_read(c.vm, 0, &value));
	KUNIT_EXPECT_EQ(test, TAG2, value);
	KUNIT_EXPECT_EQ(test, SIZE / SZ_2M + 1,
			atomic64_read(&c.vm->base.stats.windows));
}

static void remote_other_device(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);
	struct userptr_mock_vm *vm;

	c.mock->aliased = true;
	vm = userptr_mock_vm_new_elsewhere(c.mock,
					   userptr_mock_dev_new(c.mock, "userptr_mock_other"),
					   0);
	userptr_mock_bind_all(vm, c.obj, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c.addr, SIZE));
	KUNIT_EXPECT_EQ(test, vm->present, 0);
}

static bool remote_should_fail(void)
{
	return true;
}

static void remote_injected(struct kunit *test)
{
	struct remote_case c = remote_case_new(test, 0);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	userptr_mock_remap(c.mock, c.addr, PAGE_SIZE, PROT_READ | PROT_WRITE);
	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   remote_should_fail);
	KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(c.vm));
	kunit_deactivate_static_stub(test, drm_userptr_should_fail);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
}

static struct kunit_case remote_cases[] = {
	KUNIT_CASE(remote_reads),
	KUNIT_CASE(remote_shares),
	KUNIT_CASE(remote_invalidate_waits),
	KUNIT_CASE(remote_unmapped),
	KUNIT_CASE(remote_read_only),
	KUNIT_CASE(remote_owner_gone),
	KUNIT_CASE(remote_holes),
	KUNIT_CASE(remote_long_running),
	KUNIT_CASE(remote_owner_slow),
	KUNIT_CASE(remote_closed_meanwhile),
	KUNIT_CASE(remote_hit),
	KUNIT_CASE(remote_other_device),
	KUNIT_CASE(remote_injected),
	{ }
};

static struct kunit_suite remote_suite = {
	.name = "drm_userptr_remote",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = remote_cases,
};

kunit_test_suite(remote_suite);
