// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * A submission that has lost much holds on to the pages that it collects, from
 * before they are populated until it is over. That is a help and no more:
 * whatever comes of it, the submission does what it would have done without.
 */

#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/rbtree.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0xb100000000ull
#define PAGES	16
#define SIZE	(PAGES * PAGE_SIZE)

/* Tries that a submission loses before it holds on */
#define HOLD_TRIES	9

/**
 * struct hold - a submission that is hit until it holds on
 * @mock: the device
 * @addr: memory at the end of a window and at the start of the next
 * @vm: where all of it is bound at address 0
 * @obj: what is bound
 * @binding: the binding
 * @tries: lose so many
 * @then: what to do after the last of them, or NULL
 * @data: for @then
 * @held: windows that were held when the job was about to be committed
 */
struct hold {
	struct userptr_mock *mock;
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
	unsigned int tries;
	void (*then)(struct hold *hold);
	void *data;
	unsigned int held;
};

/* Pages in the device's page table that are pinned */
static unsigned int hold_pinned(struct hold *hold)
{
	unsigned int i, n = 0;

	for (i = 0; i < PAGES; i++) {
		struct page *page = userptr_mock_page(hold->vm, i * PAGE_SIZE);

		n += page && folio_maybe_dma_pinned(page_folio(page));
	}

	return n;
}

static unsigned int hold_windows(struct hold *hold)
{
	unsigned int n = 0;
	struct rb_node *node;

	for (node = rb_first(&hold->vm->submit.holds); node;
	     node = rb_next(node))
		n++;

	return n;
}

static void hold_shoot(struct userptr_mock_vm *vm)
{
	struct hold *hold = vm->hook_data;

	hold->held = hold_windows(hold);
	if (vm->submit.tries < HOLD_TRIES)
		KUNIT_EXPECT_EQ(vm->mock->test, hold->held, 0);
	if (vm->submit.tries > hold->tries)
		return;

	userptr_mock_invalidate(hold->obj, hold->addr, hold->addr + SIZE);
	if (vm->submit.tries == hold->tries && hold->then)
		hold->then(hold);
}

static struct hold *hold_new(struct kunit *test, u32 vm_flags)
{
	struct userptr_mock *mock = test->priv;
	struct hold *hold;

	hold = kunit_kzalloc(test, sizeof(*hold), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, hold);
	hold->mock = mock;
	hold->tries = HOLD_TRIES;
	hold->addr = userptr_mock_mmap(mock, SZ_4M) + SZ_2M - SIZE / 2;
	userptr_mock_fill(mock, hold->addr, SIZE, TAG);
	hold->vm = userptr_mock_vm_new_on(mock, mock->dev, vm_flags);
	hold->obj = userptr_mock_obj_new(mock, hold->addr, SIZE, 0);
	hold->binding = userptr_mock_bind_all(hold->vm, hold->obj, 0);
	hold->vm->hook_data = hold;
	hold->vm->after_populate = hold_shoot;

	return hold;
}

/* Nothing is held any more, neither by the submission nor in the mm. */
static void hold_expect_released(struct kunit *test, struct hold *hold)
{
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&hold->vm->submit.holds));
	KUNIT_EXPECT_EQ(test, hold_pinned(hold), 0);
}

static void hold_expect_done(struct kunit *test, struct hold *hold)
{
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(hold->vm, 0, SIZE, TAG));
	hold_expect_released(test, hold);
}

static void hold_until_commit(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hold->vm));
	KUNIT_EXPECT_EQ(test, hold->vm->submit.tries, HOLD_TRIES + 1);
	KUNIT_EXPECT_EQ(test, hold->held, 2);
	hold_expect_done(test, hold);
}

/* What was seen of the first page, as the CPU has it, in so many steps */
static struct hold_seen {
	struct hold *hold;
	unsigned int steps;
	unsigned int pinned;
} hold_seen;

static bool hold_see_pin(void)
{
	struct hold *hold = hold_seen.hold;
	struct page *page;

	/* Where it could not fault, should it have to */
	if (!hold_windows(hold) || rwsem_is_locked(&current->mm->mmap_lock) ||
	    rwsem_is_locked(&hold->vm->base.notifier_lock) ||
	    mutex_is_locked(&hold->obj->base.lock))
		return false;

	if (get_user_pages_fast(hold->addr, 1, 0, &page) != 1)
		return false;
	hold_seen.steps++;
	hold_seen.pinned += folio_maybe_dma_pinned(page_folio(page));
	put_page(page);

	return false;
}

/* In each step from there on the pages are pinned. */
static void hold_is_a_pin(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);

	hold_seen = (struct hold_seen) { .hold = hold };
	kunit_activate_static_stub(test, drm_userptr_should_fail, hold_see_pin);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hold->vm));
	KUNIT_EXPECT_GT(test, hold_seen.steps, 0);
	KUNIT_EXPECT_EQ(test, hold_seen.pinned, hold_seen.steps);
	hold_expect_done(test, hold);
}

/* Fail the step that makes it zero; zero for none. */
static unsigned int hold_nth;

static bool hold_should_fail(void)
{
	return hold_nth && !--hold_nth;
}

static void hold_then_fail(struct hold *hold)
{
	hold_nth = *(unsigned int *)hold->data;
}

/* No memory to hold with, in any step: then without. */
static void hold_no_memory(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);
	unsigned int nth, helpless = 0;

	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   hold_should_fail);
	hold->then = hold_then_fail;
	hold->data = &nth;
	for (nth = 1; nth < 1000; nth++) {
		bool failed;
		int err;

		userptr_mock_invalidate(hold->obj, hold->addr,
					hold->addr + SIZE);
		hold->held = 0;
		err = userptr_mock_submit_done(hold->vm);
		failed = !hold_nth;
		hold_nth = 0;
		hold_expect_released(test, hold);
		if (err)
			KUNIT_EXPECT_TRUE_MSG(test, failed && err == -ENOMEM,
					      "step %u: %d", nth, err);
		else
			hold_expect_done(test, hold);
		helpless += !err && failed && hold->held < 2;
		if (!failed)
			break;
	}

	KUNIT_EXPECT_LT(test, nth, 1000);
	KUNIT_EXPECT_EQ(test, hold->held, 2);
	/* For each window: its pages, its runs, the copy of those. */
	KUNIT_EXPECT_EQ(test, helpless, 2 * 3);
}

static void hold_then_remap(struct hold *hold)
{
	userptr_mock_remap(hold->mock, hold->addr, SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_fill(hold->mock, hold->addr, SIZE, TAG);
}

/* What was held is no longer what is there: it is let go of for what is. */
static void hold_new_mapping(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);

	/* Once more, so that there is something to be replaced. */
	hold->tries++;
	hold->then = hold_then_remap;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hold->vm));
	KUNIT_EXPECT_EQ(test, hold->held, 2);
	hold_expect_done(test, hold);
}

static void hold_then_unmap(struct hold *hold)
{
	KUNIT_EXPECT_EQ(hold->mock->test, 0,
			vm_munmap(hold->addr + PAGE_SIZE, PAGE_SIZE));
}

/* Where not all of a window is mapped nothing is held, and that is all. */
static void hold_hole(struct kunit *test)
{
	struct hold *hold = hold_new(test, DRM_USERPTR_VM_HOLES);

	hold->then = hold_then_unmap;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hold->vm));
	KUNIT_EXPECT_EQ(test, hold->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, hold->binding->base.fault_addr,
			hold->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hold->vm->present, PAGES / 2);
	hold_expect_released(test, hold);
}

static void hold_then_unmap_all(struct hold *hold)
{
	KUNIT_EXPECT_EQ(hold->mock->test, 0, vm_munmap(hold->addr, SIZE));
}

static void hold_nothing(struct kunit *test)
{
	struct hold *hold = hold_new(test, DRM_USERPTR_VM_HOLES);

	hold->then = hold_then_unmap_all;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hold->vm));
	KUNIT_EXPECT_EQ(test, hold->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, hold->vm->present, 0);
	hold_expect_released(test, hold);
}

static void hold_then_exit(struct hold *hold)
{
	userptr_mock_exit_mm(hold->mock);
}

static void hold_after_exit(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);

	hold->then = hold_then_exit;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(hold->vm));
	KUNIT_EXPECT_EQ(test, hold->binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, hold->vm->present, 0);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&hold->vm->submit.holds));
}

static void hold_then_bind(struct hold *hold)
{
	struct drm_userptr_binding *binding = hold->data;

	drm_userptr_bind(binding);
}

/* A pinned userptr needs no more than it has. */
static void hold_pinned_userptr(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);
	struct userptr_mock_vm *vm = hold->vm;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_binding *binding;
	struct userptr_mock_obj *obj;
	unsigned long addr;

	addr = userptr_mock_mmap(mock, SIZE);
	userptr_mock_fill(mock, addr, SIZE, TAG);
	obj = userptr_mock_obj_new(mock, addr, SIZE, DRM_USERPTR_PIN);
	binding = kunit_kzalloc(test, sizeof(*binding), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, binding);
	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_binding_init(&binding->base, &vm->base,
						 &obj->base, addr, SIZE, SZ_4M));
	list_add_tail(&binding->link, &vm->bindings);
	hold->then = hold_then_bind;
	hold->data = &binding->base;
	binding->bound = true;

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, hold->held, 2);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, SZ_4M, SIZE, TAG));
	hold_expect_done(test, hold);
}

struct hold_lock {
	struct completion wanted;
	struct completion taken;
};

static void hold_then_want_lock(struct hold *hold)
{
	struct hold_lock *lock = hold->data;

	complete_all(&lock->wanted);
	wait_for_completion_timeout(&lock->taken, USERPTR_MOCK_SOON);
}

static long hold_submit_done(void *vm)
{
	return userptr_mock_submit_done(vm);
}

/* Who has the mmap lock changes mappings: it is not waited for to hold. */
static void hold_mmap_locked(struct kunit *test)
{
	struct hold *hold = hold_new(test, 0);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *submit;
	struct hold_lock *lock;

	lock = kunit_kzalloc(test, sizeof(*lock), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, lock);
	init_completion(&lock->wanted);
	init_completion(&lock->taken);
	hold->then = hold_then_want_lock;
	hold->data = lock;

	submit = userptr_mock_thread_start(mock, hold_submit_done, hold->vm);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&lock->wanted,
							    USERPTR_MOCK_SOON));
	mmap_write_lock(current->mm);
	complete_all(&lock->taken);
	/* Populating does wait. */
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	mmap_write_unlock(current->mm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, submit->ret, 0);
	KUNIT_EXPECT_EQ(test, hold->held, 1);
	hold_expect_done(test, hold);
}

static struct kunit_case drm_userptr_hold_tests[] = {
	KUNIT_CASE(hold_until_commit),
	KUNIT_CASE(hold_is_a_pin),
	KUNIT_CASE(hold_no_memory),
	KUNIT_CASE(hold_new_mapping),
	KUNIT_CASE(hold_hole),
	KUNIT_CASE(hold_nothing),
	KUNIT_CASE(hold_after_exit),
	KUNIT_CASE(hold_pinned_userptr),
	KUNIT_CASE(hold_mmap_locked),
	{ }
};

static struct kunit_suite drm_userptr_hold_suite = {
	.name = "drm_userptr_hold",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_hold_tests,
};

kunit_test_suite(drm_userptr_hold_suite);
