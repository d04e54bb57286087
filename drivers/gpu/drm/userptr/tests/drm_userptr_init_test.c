// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/* What becomes a userptr, a binding or a VM, and what is refused. */

#include <linux/dma-mapping.h>
#include <linux/mman.h>
#include <linux/module.h>

#include <kunit/device.h>

#include "drm_userptr_mock.h"

struct init_case {
	const char *desc;
	u64 addr;
	u64 size;
	u32 flags;
	int expected;
};

/* TASK_SIZE is not a constant everywhere: stands for it in @addr. */
#define INIT_TASK_SIZE	BIT_ULL(63)

static const struct init_case init_cases[] = {
	{ "one page", SZ_1G, PAGE_SIZE, 0, 0 },
	{ "read-only", SZ_1G, PAGE_SIZE, DRM_USERPTR_READ_ONLY, 0 },
	{ "odd number of windows", SZ_1G + PAGE_SIZE, SZ_4M, 0, 0 },
	{ "up to the end of user space", INIT_TASK_SIZE - PAGE_SIZE, PAGE_SIZE,
	  0, 0 },
	{ "empty", SZ_1G, 0, 0, -EINVAL },
	{ "unaligned address", SZ_1G + 1, PAGE_SIZE, 0, -EINVAL },
	{ "unaligned size", SZ_1G, PAGE_SIZE - 1, 0, -EINVAL },
	{ "wraps", -(u64)PAGE_SIZE, 2 * PAGE_SIZE, 0, -EINVAL },
	{ "wraps to zero", -(u64)PAGE_SIZE, PAGE_SIZE, 0, -EINVAL },
	{ "everything", 0, -(u64)PAGE_SIZE, 0, -EINVAL },
	{ "across the end of user space", INIT_TASK_SIZE - PAGE_SIZE,
	  2 * PAGE_SIZE, 0, -EINVAL },
	{ "kernel space", INIT_TASK_SIZE, PAGE_SIZE, 0, -EINVAL },
	{ "unknown flag", SZ_1G, PAGE_SIZE, BIT(2), -EINVAL },
	{ "unknown flag beside a known one", SZ_1G, PAGE_SIZE,
	  DRM_USERPTR_READ_ONLY | BIT(31), -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(init, init_cases, desc);

static void init_arguments(struct kunit *test)
{
	const struct init_case *param = test->param_value;
	struct userptr_mock *mock = test->priv;
	struct drm_userptr *userptr;
	u64 addr = param->addr;
	int err;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	userptr = kunit_kzalloc(test, sizeof(*userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptr);

	if (addr >= INIT_TASK_SIZE - PAGE_SIZE && addr <= INIT_TASK_SIZE)
		addr = addr - INIT_TASK_SIZE + TASK_SIZE;

	err = drm_userptr_init(userptr, mock->dev, addr, param->size,
			       param->flags);
	KUNIT_EXPECT_EQ(test, err, param->expected);
	if (!err)
		drm_userptr_fini(userptr);
}

static void init_op_range(struct drm_userptr_binding *binding, u64 addr,
			  u64 size)
{
}

static void init_op_map(struct drm_userptr_binding *binding, u64 addr,
			dma_addr_t dma, u64 size)
{
}

static u64 init_op_submit(struct drm_userptr_vm *vm)
{
	return 0;
}

static void init_op_wait(struct drm_userptr_vm *vm, u64 seqno)
{
}

static const struct drm_userptr_vm_ops init_ops = {
	.map = init_op_map,
	.zap = init_op_range,
	.tlb_submit = init_op_submit,
	.tlb_wait = init_op_wait,
};

/* A kernel thread has no memory to offer, nor anybody to belong to. */
static void init_without_mm(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr *userptr;
	struct drm_userptr_vm *vm;

	userptr = kunit_kzalloc(test, sizeof(*userptr), GFP_KERNEL);
	vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptr);
	KUNIT_ASSERT_NOT_NULL(test, vm);

	KUNIT_ASSERT_NULL(test, current->mm);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			drm_userptr_init(userptr, mock->dev, SZ_1G, PAGE_SIZE,
					 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			drm_userptr_vm_init(vm, mock->dev, &init_ops, 0));
}

/* Would need the cache or a bounce buffer synced while the CPU writes. */
static void init_device_not_coherent(struct kunit *test)
{
	struct drm_userptr userptr = {};
	struct device *dev;

	if (!IS_ENABLED(CONFIG_DMA_NEED_SYNC))
		kunit_skip(test, "all devices are coherent here");

	/* Nobody set its DMA mask: not known to need no sync. */
	dev = kunit_device_register(test, "userptr_mock_dumb");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());

	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			drm_userptr_init(&userptr, dev, SZ_1G, PAGE_SIZE, 0));
}

/* A device that cannot address the memory there is: bounce buffers. */
static struct device *init_narrow_device(struct kunit *test)
{
	struct device *dev;

	dev = userptr_mock_dev_new(test->priv, "userptr_mock_narrow");
	/* Not by dma_set_mask(), which may refuse what is of no use. */
	*dev->dma_mask = DMA_BIT_MASK(PAGE_SHIFT + 1);
	KUNIT_ASSERT_TRUE(test, dma_addressing_limited(dev));

	return dev;
}

static void init_device_cannot_reach_memory(struct kunit *test)
{
	struct drm_userptr *userptr;

	userptr = kunit_kzalloc(test, sizeof(*userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptr);
	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());

	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			drm_userptr_init(userptr, init_narrow_device(test),
					 SZ_1G, PAGE_SIZE, 0));
}

/* Every op is needed, whichever is missing. */
static void init_vm(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_vm_ops ops[5];
	struct drm_userptr_vm *vm;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vm);

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = init_ops;
	ops[0].map = NULL;
	ops[1].zap = NULL;
	ops[2].tlb_submit = NULL;
	ops[3].tlb_wait = NULL;
	for (i = 0; i < ARRAY_SIZE(ops) - 1; i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    drm_userptr_vm_init(vm, mock->dev, &ops[i],
							0),
				    "op %u", i);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			drm_userptr_vm_init(vm, mock->dev, &ops[i], BIT(2)));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			drm_userptr_vm_init(vm, mock->dev, &ops[i],
					    DRM_USERPTR_VM_HOLES | BIT(31)));

	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_vm_init(vm, mock->dev, &ops[i],
					    DRM_USERPTR_VM_HOLES |
					    DRM_USERPTR_VM_EXPLICIT));
	drm_userptr_vm_fini(vm);
}

static void init_owner(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;

	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	KUNIT_EXPECT_TRUE(test, drm_userptr_owned(&obj->base));
	KUNIT_EXPECT_TRUE(test, drm_userptr_vm_owned(&vm->base));

	userptr_mock_exit_mm(mock);
	KUNIT_EXPECT_FALSE(test, drm_userptr_owned(&obj->base));
	KUNIT_EXPECT_FALSE(test, drm_userptr_vm_owned(&vm->base));
}

static void init_binding(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct drm_userptr_binding binding = {};
	struct userptr_mock_obj *obj;

	/* From the second page to the last but one. */
	obj = userptr_mock_obj_new(mock, addr + PAGE_SIZE,
				   SZ_4M - 2 * PAGE_SIZE, 0);

#define TRY(expected__, start__, size__)				\
	KUNIT_EXPECT_EQ(test, expected__,				\
			drm_userptr_binding_init(&binding, &vm->base,	\
						 &obj->base, start__,	\
						 size__, 0))
	TRY(-EINVAL, addr + PAGE_SIZE, 0);
	TRY(-EINVAL, addr, PAGE_SIZE);
	TRY(-EINVAL, addr, 2 * PAGE_SIZE);
	TRY(-EINVAL, addr + SZ_4M - PAGE_SIZE, PAGE_SIZE);
	TRY(-EINVAL, addr + SZ_4M - 2 * PAGE_SIZE, 2 * PAGE_SIZE);
	TRY(-EINVAL, addr + PAGE_SIZE + 1, PAGE_SIZE);
	TRY(-EINVAL, addr + PAGE_SIZE, PAGE_SIZE + 1);
	TRY(-EINVAL, addr + PAGE_SIZE, -PAGE_SIZE);

	TRY(0, addr + PAGE_SIZE, SZ_4M - 2 * PAGE_SIZE);
	drm_userptr_binding_fini(&binding);
	TRY(0, addr + SZ_4M - 2 * PAGE_SIZE, PAGE_SIZE);
	drm_userptr_binding_fini(&binding);

	vm->base.dev = init_narrow_device(test);
	TRY(-EOPNOTSUPP, addr + PAGE_SIZE, PAGE_SIZE);
	/* With fences of its own there is more to give back. */
	vm->base.flags |= DRM_USERPTR_VM_EXPLICIT;
	TRY(-EOPNOTSUPP, addr + PAGE_SIZE, PAGE_SIZE);
	vm->base.flags &= ~DRM_USERPTR_VM_EXPLICIT;
	vm->base.dev = mock->dev;
#undef TRY
}

static void probe_mapped(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	unsigned long fault_addr;

	obj = userptr_mock_obj_new(mock, addr + PAGE_SIZE, SZ_2M, 0);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));
	/* For which device is not known yet. */
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));

	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, SZ_2M / PAGE_SIZE,
			atomic64_read(&mock->dma_pages));
}

/* The range is refused, and the address says where. Mapped again, it works. */
static void probe_hole(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	unsigned long hole = addr + SZ_2M + 3 * PAGE_SIZE;
	struct userptr_mock_obj *obj;
	unsigned long fault_addr = 0;

	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(hole, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			drm_userptr_probe(&obj->base, &fault_addr));
	KUNIT_EXPECT_EQ(test, fault_addr, hole);

	userptr_mock_remap(mock, hole, PAGE_SIZE, PROT_READ | PROT_WRITE);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));
}

static void probe_unmapped(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct userptr_mock_obj *obj;
	unsigned long fault_addr = 0;

	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, SZ_4M));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			drm_userptr_probe(&obj->base, &fault_addr));
	KUNIT_EXPECT_EQ(test, fault_addr, addr);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));
}

/* One page that may not be written spoils a writable userptr... */
static void probe_no_write(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	unsigned long page = addr + 7 * PAGE_SIZE;
	struct userptr_mock_obj *obj;
	unsigned long fault_addr = 0;

	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	userptr_mock_remap(mock, page, PAGE_SIZE, PROT_READ);
	KUNIT_EXPECT_EQ(test, -EPERM,
			drm_userptr_probe(&obj->base, &fault_addr));
	KUNIT_EXPECT_EQ(test, fault_addr, page);
}

/* ...and is good enough for a read-only one; one without access is not. */
static void probe_read_only(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	unsigned long page = addr + 7 * PAGE_SIZE;
	struct userptr_mock_obj *obj;
	unsigned long fault_addr = 0;

	obj = userptr_mock_obj_new(mock, addr, SZ_2M, DRM_USERPTR_READ_ONLY);
	userptr_mock_remap(mock, addr, SZ_2M, PROT_READ);
	KUNIT_EXPECT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));

	userptr_mock_remap(mock, page, PAGE_SIZE, PROT_NONE);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			drm_userptr_probe(&obj->base, &fault_addr));
	KUNIT_EXPECT_EQ(test, fault_addr, page);
}

static void probe_after_exit(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_2M);
	struct userptr_mock_obj *obj;
	unsigned long fault_addr = 0;

	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));

	userptr_mock_exit_mm(mock);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&mock->dma_pages));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			drm_userptr_probe(&obj->base, &fault_addr));
}

static struct kunit_case drm_userptr_init_tests[] = {
	KUNIT_CASE_PARAM(init_arguments, init_gen_params),
	KUNIT_CASE(init_without_mm),
	KUNIT_CASE(init_device_not_coherent),
	KUNIT_CASE(init_device_cannot_reach_memory),
	KUNIT_CASE(init_vm),
	KUNIT_CASE(init_owner),
	KUNIT_CASE(init_binding),
	KUNIT_CASE(probe_mapped),
	KUNIT_CASE(probe_hole),
	KUNIT_CASE(probe_unmapped),
	KUNIT_CASE(probe_no_write),
	KUNIT_CASE(probe_read_only),
	KUNIT_CASE(probe_after_exit),
	{ }
};

static struct kunit_suite drm_userptr_init_suite = {
	.name = "drm_userptr_init",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_init_tests,
};

kunit_test_suite(drm_userptr_init_suite);

MODULE_DESCRIPTION("KUnit tests for the DRM userptr helpers");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
