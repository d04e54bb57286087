// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What lockdep was told: that memory is reclaimed under none of the locks that
 * the notifier callback takes. Without that it would see the deadlock only on
 * the day when reclaim and the callback really meet.
 */

#include <linux/lockdep.h>
#include <linux/rculist.h>

#include "drm_userptr_mock.h"

#ifdef CONFIG_PROVE_LOCKING
static bool lock_comes_after(struct lockdep_map *map, const char *name)
{
	struct lock_class *class = READ_ONCE(map->class_cache[0]);
	struct lock_list *before;

	guard(rcu)();

	if (!class)
		return false;

	list_for_each_entry_rcu(before, &class->locks_before, entry)
		if (before->class->name && !strcmp(before->class->name, name))
			return true;

	return false;
}

/* Straight from reclaim, not by way of some notifier that did run once. */
static void lock_primed(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;

	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	if (!debug_locks)
		kunit_skip(test, "lockdep gave up earlier");

	KUNIT_EXPECT_TRUE(test, lock_comes_after(&obj->base.lock.dep_map,
						 "fs_reclaim"));
	KUNIT_EXPECT_TRUE(test, lock_comes_after(&vm->base.notifier_lock.dep_map,
						 "fs_reclaim"));
}

/* The order that the overview promises */
static void lock_order(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;

	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	if (!debug_locks)
		kunit_skip(test, "lockdep gave up earlier");

	KUNIT_EXPECT_TRUE(test, lock_comes_after(&obj->base.lock.dep_map,
						 vm->base.outer_lock->name));
	KUNIT_EXPECT_TRUE(test, lock_comes_after(&obj->base.lock.dep_map,
						 obj->base.populate_lock.dep_map.name));
	KUNIT_EXPECT_TRUE(test, lock_comes_after(&vm->base.notifier_lock.dep_map,
						 obj->base.lock.dep_map.name));
	KUNIT_EXPECT_FALSE(test, lock_comes_after(&obj->base.lock.dep_map,
						  vm->base.notifier_lock.dep_map.name));
}
#else
static void lock_primed(struct kunit *test)
{
	kunit_skip(test, "needs lockdep");
}

static void lock_order(struct kunit *test)
{
	kunit_skip(test, "needs lockdep");
}
#endif

static struct kunit_case drm_userptr_lock_tests[] = {
	KUNIT_CASE(lock_primed),
	KUNIT_CASE(lock_order),
	{ }
};

static struct kunit_suite drm_userptr_lock_suite = {
	.name = "drm_userptr_lock",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_lock_tests,
};

kunit_test_suite(drm_userptr_lock_suite);
