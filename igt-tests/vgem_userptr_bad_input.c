// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"
#include "vgem_drm.h"

/**
 * TEST: vgem userptr bad input
 * Description: Bad input is a documented error and changes nothing
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, uapi
 * Test category: uapi
 *
 * SUBTEST: create-flags
 * Description: each flag of an object that is not known
 *
 * SUBTEST: create-range
 * Description: empty, unaligned, wrapping and foreign ranges
 *
 * SUBTEST: create-size-ladder
 * Description: sizes around each power of two that an integer may be cut off at
 *
 * SUBTEST: create-null
 * Description: the page at address zero is a range like any other, only not mapped
 *
 * SUBTEST: vm-create
 * Description: flags of a VM
 *
 * SUBTEST: vm-destroy
 * Description: padding, and VMs that are not there
 *
 * SUBTEST: vm-bind
 * Description: operations, flags, handles, ranges of a binding
 *
 * SUBTEST: vm-bind-object-range
 * Description: ranges beyond the end of the object
 *
 * SUBTEST: vm-query
 * Description: queries, sizes and pointers
 *
 * SUBTEST: vm-query-sizes
 * Description: a shorter or longer struct than the kernel's
 *
 * SUBTEST: queue-create
 * Description: flags, padding, and VMs that are not there
 *
 * SUBTEST: queue-destroy
 * Description: padding, and queues that are not there
 *
 * SUBTEST: exec-header
 * Description: flags, queues, counts, strides and pointers of a submission
 *
 * SUBTEST: exec-strides
 * Description: longer elements are taken if what is not known is zero
 *
 * SUBTEST: exec-ops
 * Description: operations, flags, unused fields, alignment and ranges
 *
 * SUBTEST: exec-ops-last
 * Description: one bad operation behind many good ones: none is done
 *
 * SUBTEST: exec-syncs
 * Description: flags and handles of syncobjs, and syncobjs without a fence
 *
 * SUBTEST: wait-user-fence
 * Description: flags, padding, operations, values, addresses and queues of a wait
 *
 * SUBTEST: exec-pointers
 * Description: arrays that are not, or not wholly, mapped
 *
 * SUBTEST: exec-array-in-userptr
 * Description: the arrays of a submission lie in the userptr that it uses
 *
 * SUBTEST: wrong-object
 * Description: ids of one kind used as another, and those of another file
 *
 * SUBTEST: mmap-offset
 * Description: a userptr object has no mmap offset
 *
 * SUBTEST: mmap-every-way
 * Description: no offset of the device file, and no kind of mapping, shows a userptr object
 *
 * SUBTEST: fence-attach
 * Description: a userptr object takes no fences of user space
 *
 * SUBTEST: flink
 * Description: a global name of a userptr object opens nothing in another mm
 *
 * SUBTEST: syncobj-untouched
 * Description: a refused submission leaves its out-syncobjs as they were
 */

IGT_TEST_DESCRIPTION("Bad input: the documented error, and nothing changed.");

static int fd = -1;
static struct vup v;
static size_t page;
static uint32_t *ptr, handle;
static const uint64_t va = VUP_VA(0);

#define SIZE	4

/* After each refusal a good job must still do just what it says. */
static void still_works(void)
{
	static uint32_t value;

	vup_ok(&v, op_fill(va, SIZE * page, ++value));
	vup_check_value(ptr, SIZE * page, value);
}

static void refuse_create(uint64_t addr, uint64_t size, uint32_t flags, int err)
{
	uint32_t none = 0;

	igt_assert_eq(__vup_userptr_create(fd, addr, size, flags, &none), err);
	igt_assert_eq_u32(none, 0);
	still_works();
}

static void create_flags(void)
{
	for (int bit = 3; bit < 32; bit++) {
		refuse_create((uintptr_t)ptr, page, 1u << bit, -EINVAL);
		refuse_create((uintptr_t)ptr, page, 1u << bit | DRM_VGEM_USERPTR_PROBE, -EINVAL);
	}
	refuse_create((uintptr_t)ptr, page, ~0u, -EINVAL);
}

static void create_range(void)
{
	const uint64_t addr = (uintptr_t)ptr;
	const struct {
		uint64_t addr, size;
	} bad[] = {
		{ addr, 0 },
		{ addr, 1 },
		{ addr, page - 1 },
		{ addr, page + 1 },
		{ addr + 1, page },
		{ addr + page - 1, page },
		{ addr + page / 2, page / 2 },
		{ 0, 0 },
		{ ~0ull, page },
		{ addr, ~0ull },
		/* To the end of the address space, across it, around it */
		{ -page, page },
		{ -page, 2 * page },
		{ addr, -addr },
		{ addr, -addr + page },
		{ addr, -page },
		{ page, -page },
		{ page, -2 * page },
		{ 0, -page },
		/* The kernel's half, and a step over the border */
		{ 1ull << 63, page },
		{ 1ull << 62, page },
		{ addr, 1ull << 62 },
		{ addr, 1ull << 63 },
		{ addr, -(addr & ~(page - 1)) - page },
		/* The range of CVE-2024-26656 */
		{ 0xffffffffffff0000ull, 2ull << 30 },
	};

	for (int i = 0; i < (int)ARRAY_SIZE(bad); i++) {
		igt_debug("%#llx + %#llx\n", (unsigned long long)bad[i].addr,
			  (unsigned long long)bad[i].size);
		refuse_create(bad[i].addr, bad[i].size, 0, -EINVAL);
		refuse_create(bad[i].addr, bad[i].size, DRM_VGEM_USERPTR_PROBE, -EINVAL);
		refuse_create(bad[i].addr, bad[i].size, DRM_VGEM_USERPTR_READ_ONLY, -EINVAL);
	}
}

/*
 * Sizes that fit are made, and their last page is the right one: a page number
 * or size that lost its upper bits would end elsewhere.
 */
static void create_size_ladder(void)
{
	static const int bit[] = { 12, 30, 31, 32, 33, 43, 46, 47, 48, 52, 62, 63 };
	uint64_t most = (1ull << 33) + 2 * page;
	char *arena = mmap(NULL, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);

	refuse_create((uintptr_t)ptr, 0, 0, -EINVAL);
	refuse_create((uintptr_t)ptr, ~0ull, 0, -EINVAL);
	for (int i = 0; i < (int)ARRAY_SIZE(bit); i++) {
		for (int off = -1; off <= 1; off++) {
			uint64_t size = (1ull << bit[i]) + off * (int64_t)page;
			uint64_t last = size - page, part;
			uint32_t object;

			refuse_create((uintptr_t)ptr, size - 1, 0, -EINVAL);
			refuse_create((uintptr_t)ptr, size + 1, 0, -EINVAL);
			if (size && bit[i] >= 47)
				refuse_create((uintptr_t)ptr, size, 0, -EINVAL);
			if (!size || bit[i] > 33 || arena == MAP_FAILED)
				continue;

			/* Only its last window is there. */
			part = max((uint64_t)(uintptr_t)arena,
				   ((uintptr_t)arena + last) & ~(VUP_WINDOW - 1)) -
			       (uintptr_t)arena;
			vup_map_fixed(arena + part, size - part, PROT_READ | PROT_WRITE);
			object = vup_userptr_create(fd, arena, size, 0);
			vup_bind_bo(&v, object, VUP_VA(1), page, last, 0);
			vup_ok(&v, op_fill(VUP_VA(1), page, bit[i]));
			vup_check_value(arena + last, page, bit[i]);
			vup_unbind(&v, VUP_VA(1), page);
			gem_close(fd, object);
			igt_assert(mmap(arena + part, size - part, PROT_NONE, MAP_PRIVATE |
					MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
				   arena + part);
		}
	}
	if (arena != MAP_FAILED)
		vup_unmap(arena, most);
	still_works();
}

static void create_null(void)
{
	uint32_t object;

	refuse_create(0, page, DRM_VGEM_USERPTR_PROBE, -EFAULT);
	igt_assert_eq(__vup_userptr_create(fd, 0, page, 0, &object), 0);
	vup_bind_bo(&v, object, VUP_VA(1), page, 0, 0);
	vup_refuse(&v, -EFAULT, VUP_VA(1), op_fill(VUP_VA(1), page, 1));
	vup_unbind(&v, VUP_VA(1), page);
	gem_close(fd, object);
	still_works();
}

static void vm_create(void)
{
	for (int bit = 2; bit < 32; bit++) {
		uint32_t vm = 0;

		igt_assert_eq(__vup_vm_create(fd, 1u << bit, &vm), -EINVAL);
		igt_assert_eq_u32(vm, 0);
	}
	still_works();
}

static void vm_destroy(void)
{
	struct drm_vgem_vm_destroy arg = { .vm_id = v.vm };

	for (int bit = 0; bit < 32; bit++) {
		arg.pad = 1u << bit;
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_DESTROY, &arg), -EINVAL);
	}
	igt_assert_eq(__vup_vm_destroy(fd, 0), -ENOENT);
	igt_assert_eq(__vup_vm_destroy(fd, v.vm + 1000), -ENOENT);
	igt_assert_eq(__vup_vm_destroy(fd, ~0u), -ENOENT);
	still_works();
}

static void refuse_bind(struct drm_vgem_vm_bind bind, int err)
{
	igt_assert_eq(__vup_bind(fd, &bind), err);
	still_works();
}

static void vm_bind(void)
{
	const struct drm_vgem_vm_bind map = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .handle = handle,
		.addr = va, .range = page,
	};
	const struct drm_vgem_vm_bind mem = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR,
		.addr = va, .range = page, .offset = (uintptr_t)ptr,
	};
	const struct drm_vgem_vm_bind unmap = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_UNMAP, .addr = va, .range = page,
	};
	const struct drm_vgem_vm_bind kind[] = { map, mem, unmap };
	/* One field of a good request is made bad. */
#define REFUSE(good, err, ...) do { \
		struct drm_vgem_vm_bind bad = good; \
		__VA_ARGS__; \
		refuse_bind(bad, err); \
	} while (0)

	for (int i = 0; i < (int)ARRAY_SIZE(kind); i++) {
		REFUSE(kind[i], -ENOENT, bad.vm_id = 0);
		REFUSE(kind[i], -ENOENT, bad.vm_id = ~0u);
		for (int op = 3; op < 32; op++)
			REFUSE(kind[i], -EINVAL, bad.op = op);
		REFUSE(kind[i], -EINVAL, bad.op = ~0u);
		for (int bit = 1; bit < 32; bit++)
			REFUSE(kind[i], -EINVAL, bad.flags = 1u << bit);

		REFUSE(kind[i], -EINVAL, bad.range = 0);
		REFUSE(kind[i], -EINVAL, bad.range = 1);
		REFUSE(kind[i], -EINVAL, bad.range = page - 1);
		REFUSE(kind[i], -EINVAL, bad.range = page + 1);
		REFUSE(kind[i], -EINVAL, bad.range = ~0ull);
		REFUSE(kind[i], -EINVAL, bad.range = -page);
		REFUSE(kind[i], -EINVAL, bad.range = DRM_VGEM_VA_SIZE);
		REFUSE(kind[i], -EINVAL, bad.addr = va + 1);
		REFUSE(kind[i], -EINVAL, bad.addr = va + page / 2);
		REFUSE(kind[i], -EINVAL, bad.addr = ~0ull);
		REFUSE(kind[i], -EINVAL, bad.addr = -page);
		REFUSE(kind[i], -EINVAL, bad.addr = DRM_VGEM_VA_SIZE);
		REFUSE(kind[i], -EINVAL, bad.addr = DRM_VGEM_VA_SIZE - page, bad.range = 2 * page);
		REFUSE(kind[i], -EINVAL, bad.addr = -page, bad.range = 2 * page);
	}

	REFUSE(map, -ENOENT, bad.handle = 0);
	REFUSE(map, -ENOENT, bad.handle = handle + 1000);
	REFUSE(map, -ENOENT, bad.handle = ~0u);
	REFUSE(map, -EINVAL, bad.offset = 1);
	REFUSE(mem, -EINVAL, bad.handle = handle);
	REFUSE(mem, -EINVAL, bad.offset += 1);
	REFUSE(mem, -EINVAL, bad.offset += page / 2);
	REFUSE(mem, -EINVAL, bad.offset = -page);
	REFUSE(mem, -EINVAL, bad.offset = -page, bad.range = 2 * page);
	REFUSE(mem, -EINVAL, bad.offset = 1ull << 63);
	REFUSE(mem, -EINVAL, bad.offset = 1ull << 62);
	REFUSE(unmap, -EINVAL, bad.handle = handle);
	REFUSE(unmap, -EINVAL, bad.offset = page);
	REFUSE(unmap, -EINVAL, bad.flags = DRM_VGEM_VM_BIND_READ_ONLY);
#undef REFUSE
}

static void vm_bind_object_range(bool userptr)
{
	uint32_t object = userptr ? handle : vup_dumb_create(fd, SIZE * page);
	struct drm_vgem_vm_bind bind = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .handle = object,
		.addr = VUP_VA(1), .range = SIZE * page,
	};

	bind.offset = page;
	refuse_bind(bind, -EINVAL);
	bind.offset = SIZE * page;
	refuse_bind(bind, -EINVAL);
	bind.offset = -page;
	refuse_bind(bind, -EINVAL);
	bind.offset = -SIZE * page;
	refuse_bind(bind, -EINVAL);
	bind.offset = 0;
	bind.range = (SIZE + 1) * page;
	refuse_bind(bind, -EINVAL);
	bind.range = 1ull << 40;
	refuse_bind(bind, -EINVAL);
	/* To the very end is fine. */
	bind.range = page;
	bind.offset = (SIZE - 1) * page;
	igt_assert_eq(__vup_bind(fd, &bind), 0);
	vup_unbind(&v, VUP_VA(1), page);
	if (!userptr)
		gem_close(fd, object);
	still_works();
}

static void vm_query(void)
{
	struct drm_vgem_vm_stats stats;
	const struct drm_vgem_vm_query good = {
		.vm_id = v.vm, .query = DRM_VGEM_VM_QUERY_STATS,
		.size = sizeof(stats), .data = (uintptr_t)&stats,
	};
	struct drm_vgem_vm_query arg;
	char *hole = vup_reserve(page, page);

	for (int bit = 0; bit < 32; bit++) {
		arg = good;
		arg.query = 1u << bit;
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -EINVAL);
	}
	arg = good;
	arg.vm_id = 0;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -ENOENT);
	arg.vm_id = ~0u;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -ENOENT);
	arg = good;
	arg.data = 0;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -EFAULT);
	arg.data = (uintptr_t)hole;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -EFAULT);
	arg.data = 1ull << 63;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -EFAULT);
	/* A size that the caller's memory does not have */
	arg = good;
	arg.size = ~0ull;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), -EFAULT);
	vup_unmap(hole, page);
	still_works();
}

static void vm_query_sizes(void)
{
	struct drm_vgem_vm_query arg = { .vm_id = v.vm };
	struct drm_vgem_vm_stats stats;
	uint8_t buf[512];
	uint64_t known;

	memset(buf, 0xee, sizeof(buf));
	arg.data = (uintptr_t)buf;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), 0);
	known = arg.size;
	igt_assert_lte_u64(sizeof(stats), known);
	igt_assert_lte_u64(known, sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		igt_assert_eq(buf[i], 0xee);

	still_works();
	vup_stats(&v, &stats);
	igt_assert_lt_u64(0, stats.submits);

	/* As much as fits, and not a byte more */
	arg.size = sizeof(stats.submits) + 3;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), 0);
	igt_assert(!memcmp(buf, &stats, sizeof(stats.submits) + 3));
	igt_assert_eq(buf[sizeof(stats.submits) + 3], 0xee);

	/* What the kernel does not know is zero. */
	memset(buf, 0xee, sizeof(buf));
	arg.size = sizeof(buf) - 8;
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), 0);
	igt_assert(!memcmp(buf, &stats, sizeof(stats)));
	for (size_t i = known; i < sizeof(buf) - 8; i++)
		igt_assert_eq(buf[i], 0);
	for (size_t i = sizeof(buf) - 8; i < sizeof(buf); i++)
		igt_assert_eq(buf[i], 0xee);
}

static void queue_create(void)
{
	struct drm_vgem_queue_create arg;

	for (int bit = 0; bit < 32; bit++) {
		arg = (struct drm_vgem_queue_create) { .vm_id = v.vm, .flags = 1u << bit };
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_QUEUE_CREATE, &arg), -EINVAL);
		arg = (struct drm_vgem_queue_create) { .vm_id = v.vm, .pad = 1u << bit };
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_QUEUE_CREATE, &arg), -EINVAL);
		igt_assert_eq_u32(arg.queue_id, 0);
	}
	igt_assert_eq(__vup_queue_create(fd, 0, &arg.queue_id), -ENOENT);
	igt_assert_eq(__vup_queue_create(fd, v.vm + 1000, &arg.queue_id), -ENOENT);
	igt_assert_eq(__vup_queue_create(fd, ~0u, &arg.queue_id), -ENOENT);
	still_works();
}

static void queue_destroy(void)
{
	struct drm_vgem_queue_destroy arg = { .queue_id = v.queue };

	for (int bit = 0; bit < 32; bit++) {
		arg.pad = 1u << bit;
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_QUEUE_DESTROY, &arg), -EINVAL);
	}
	igt_assert_eq(__vup_queue_destroy(fd, 0), -ENOENT);
	igt_assert_eq(__vup_queue_destroy(fd, v.queue + 1000), -ENOENT);
	igt_assert_eq(__vup_queue_destroy(fd, ~0u), -ENOENT);
	still_works();
}

static void refuse_exec(struct drm_vgem_exec exec, int err)
{
	struct drm_vgem_vm_stats before, after;

	vup_stats(&v, &before);
	igt_assert_eq(__vup_exec(fd, &exec), err);
	vup_stats(&v, &after);
	igt_assert_eq_u64(before.submits, after.submits);
	still_works();
}

static void refuse_op(struct drm_vgem_op op, int err)
{
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
	};

	refuse_exec(exec, err);
}

static void exec_header(void)
{
	static struct drm_vgem_op ops[DRM_VGEM_EXEC_MAX_OPS + 1];
	static struct drm_vgem_sync syncs[DRM_VGEM_EXEC_MAX_SYNCS + 1];
	uint32_t syncobj = syncobj_create(fd, 0);
	struct drm_vgem_exec good = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(ops[0]), .count = 1, .array = (uintptr_t)ops },
		.syncs = { .stride = sizeof(syncs[0]), .count = 1, .array = (uintptr_t)syncs },
	};
#define REFUSE(err, ...) do { \
		struct drm_vgem_exec bad = good; \
		__VA_ARGS__; \
		refuse_exec(bad, err); \
	} while (0)

	for (int i = 0; i < (int)ARRAY_SIZE(ops); i++)
		ops[i] = op_fill(va, 4, 0xbad);
	for (int i = 0; i < (int)ARRAY_SIZE(syncs); i++)
		syncs[i] = (struct drm_vgem_sync) {
			.handle = syncobj, .flags = DRM_VGEM_SYNC_SIGNAL,
		};

	for (int bit = 0; bit < 32; bit++)
		REFUSE(-EINVAL, bad.flags = 1u << bit);
	REFUSE(-ENOENT, bad.queue_id = 0);
	REFUSE(-ENOENT, bad.queue_id = v.queue + 1000);
	REFUSE(-ENOENT, bad.queue_id = ~0u);
	REFUSE(-EINVAL, bad.ops.count = 0);
	REFUSE(-EINVAL, bad.ops.count = DRM_VGEM_EXEC_MAX_OPS + 1);
	REFUSE(-EINVAL, bad.ops.count = ~0u);
	REFUSE(-EINVAL, bad.ops.stride = 0);
	REFUSE(-EINVAL, bad.ops.stride = sizeof(ops[0]) - 8);
	REFUSE(-EINVAL, bad.ops.stride = sizeof(ops[0]) - 1);
	REFUSE(-EINVAL, bad.syncs.count = DRM_VGEM_EXEC_MAX_SYNCS + 1);
	REFUSE(-EINVAL, bad.syncs.count = ~0u);
	REFUSE(-EINVAL, bad.syncs.stride = 0);
	REFUSE(-EINVAL, bad.syncs.stride = sizeof(syncs[0]) - 8);
	REFUSE(-EINVAL, bad.syncs.stride = sizeof(syncs[0]) - 1);
#undef REFUSE

	syncobj_destroy(fd, syncobj);
}

static void exec_strides(void)
{
	struct {
		struct drm_vgem_op op;
		uint64_t more[3];
	} ops[2] = { { .op = op_fill(va, 8, 0x123) }, { .op = op_xor(va + 4, 4, 0x300) } };
	struct {
		struct drm_vgem_sync sync;
		uint64_t more[2];
	} syncs[2] = { };
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(ops[0]), .count = 2, .array = (uintptr_t)ops },
		.syncs = { .stride = sizeof(syncs[0]), .count = 2, .array = (uintptr_t)syncs },
	};

	for (int i = 0; i < 2; i++)
		syncs[i].sync = (struct drm_vgem_sync) {
			.handle = syncobj_create(fd, 0), .flags = DRM_VGEM_SYNC_SIGNAL,
		};

	/* A byte that the kernel does not know, of any element */
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < 3; j++) {
			ops[i].more[j] = 1ull << (20 * j);
			refuse_exec(exec, -EINVAL);
			ops[i].more[j] = 0;
		}
		for (int j = 0; j < 2; j++) {
			syncs[i].more[j] = 1ull << 63;
			refuse_exec(exec, -EINVAL);
			syncs[i].more[j] = 0;
		}
	}

	igt_assert_eq(__vup_exec(fd, &exec), 0);
	for (int i = 0; i < 2; i++)
		igt_assert_eq(vup_finish(fd, syncs[i].sync.handle), 0);
	igt_assert_eq_u32(ptr[0], 0x123);
	igt_assert_eq_u32(ptr[1], 0x223);
	still_works();
}

static void exec_ops(void)
{
	const uint64_t end = DRM_VGEM_VA_SIZE;
	const struct drm_vgem_op good[] = {
		op_fill(va, 8, 1), op_copy(va, va + 8, 8), op_xor(va, 8, 1),
		op_compare(va, va + 8, 8, va + 16), op_crc32(va, 8, va + 16), op_spin(va, 1, 1),
		op_user_fence(va, DRM_VGEM_USER_FENCE_MAX),
	};
#define REFUSE(op, ...) do { \
		struct drm_vgem_op bad = op; \
		__VA_ARGS__; \
		refuse_op(bad, -EINVAL); \
	} while (0)

	for (int i = 0; i < (int)ARRAY_SIZE(good); i++) {
		for (int bit = 0; bit < 32; bit++)
			REFUSE(good[i], bad.flags = 1u << bit);
		REFUSE(good[i], bad.opcode = 0x10000 + i);
		/* Fields are either unused, and then zero, or 32 bits of value. */
		if (good[i].opcode == DRM_VGEM_OP_USER_FENCE)
			continue;
		REFUSE(good[i], bad.value = 1ull << 32);
		REFUSE(good[i], bad.value = 1ull << 63);
	}
	/* But for this one's, which may be all but an error. */
	REFUSE(good[6], bad.value = DRM_VGEM_USER_FENCE_MAX + 1);
	REFUSE(good[6], bad.value = -EFAULT);
	REFUSE(good[6], bad.value = ~0ull);
	for (int op = ARRAY_SIZE(good); op < 64; op++)
		REFUSE(good[0], bad.opcode = op);
	REFUSE(good[0], bad.opcode = ~0u);

	/* Fields that the operation does not name */
	REFUSE(good[0], bad.src = va);
	REFUSE(good[0], bad.result = va);
	REFUSE(good[1], bad.value = 1);
	REFUSE(good[1], bad.result = va);
	REFUSE(good[2], bad.src = va);
	REFUSE(good[2], bad.result = va);
	REFUSE(good[3], bad.value = 1);
	REFUSE(good[4], bad.value = 1);
	REFUSE(good[4], bad.dst = va);
	REFUSE(good[5], bad.dst = va);
	REFUSE(good[5], bad.result = va);
	REFUSE(good[6], bad.src = va);
	REFUSE(good[6], bad.size = 8);
	REFUSE(good[6], bad.result = va);

	/* Alignment, where it is asked for */
	for (int off = 1; off < 4; off++) {
		REFUSE(good[0], bad.dst += off);
		REFUSE(good[0], bad.size += off);
		REFUSE(good[2], bad.dst += off);
		REFUSE(good[2], bad.size += off);
		REFUSE(good[4], bad.result += off);
		REFUSE(good[5], bad.src += off);
	}
	for (int off = 1; off < 8; off++) {
		REFUSE(good[3], bad.result += off);
		REFUSE(good[6], bad.dst += off);
	}

	/* Ranges that leave the address space, by a little or a lot, or wrap */
	REFUSE(good[0], bad.dst = end - 4);
	REFUSE(good[0], bad.dst = end);
	REFUSE(good[0], bad.dst = -4ull);
	REFUSE(good[0], bad.size = -4ull);
	REFUSE(good[0], bad.size = -va);
	REFUSE(good[0], bad.size = end);
	REFUSE(good[1], bad.dst = end - 7);
	REFUSE(good[1], bad.src = end - 7);
	REFUSE(good[1], bad.size = ~0ull);
	REFUSE(good[1], bad.dst = ~0ull);
	REFUSE(good[1], bad.src = ~0ull);
	REFUSE(good[2], bad.dst = end - 4);
	REFUSE(good[2], bad.size = -4ull);
	REFUSE(good[3], bad.dst = end - 7);
	REFUSE(good[3], bad.src = end - 7);
	REFUSE(good[3], bad.result = end);
	REFUSE(good[3], bad.result = -8ull);
	REFUSE(good[3], bad.size = ~0ull);
	REFUSE(good[4], bad.src = end - 7);
	REFUSE(good[4], bad.size = ~0ull);
	REFUSE(good[4], bad.result = end);
	REFUSE(good[4], bad.result = -4ull);
	REFUSE(good[5], bad.src = end);
	REFUSE(good[5], bad.src = -4ull);
	REFUSE(good[6], bad.dst = end);
	REFUSE(good[6], bad.dst = -8ull);
#undef REFUSE
}

static void wait_user_fence(void)
{
	uint64_t *fence = vup_alloc(page);
	char *hole = vup_reserve(page, page);
	const struct drm_vgem_wait_user_fence good = {
		.addr = (uintptr_t)fence, .op = DRM_VGEM_WAIT_OP_EQUAL,
		.value = 5, .mask = ~0ull, .timeout_ns = INT64_MAX,
	};
	struct drm_vgem_wait_user_fence arg;
#define REFUSE(err, ...) do { \
		arg = good; \
		__VA_ARGS__; \
		igt_assert_eq(__vup_wait_user_fence(fd, &arg), err); \
		igt_assert_eq_u64(arg.seen, 0); \
	} while (0)

	/* True at once, or a bad one that is taken for good would wait for ever. */
	*fence = 5;
	for (int bit = 0; bit < 32; bit++) {
		REFUSE(-EINVAL, arg.flags = 1u << bit);
		REFUSE(-EINVAL, arg.pad = 1u << bit);
		if (1u << bit > DRM_VGEM_WAIT_OP_GREATER_EQUAL)
			REFUSE(-EINVAL, arg.op = 1u << bit);
	}
	REFUSE(-EINVAL, arg.op = ~0u);
	REFUSE(-EINVAL, arg.mask = 0);
	REFUSE(-EINVAL, arg.value = DRM_VGEM_USER_FENCE_MAX + 1);
	REFUSE(-EINVAL, arg.value = ~0ull);
	for (int off = 1; off < 8; off++)
		REFUSE(-EINVAL, arg.addr += off);
	REFUSE(-EFAULT, arg.addr = 0);
	REFUSE(-EFAULT, arg.addr = (uintptr_t)hole);
	REFUSE(-EFAULT, arg.addr = 1ull << 63);
	REFUSE(-EFAULT, arg.addr = -8ull);
	REFUSE(-ENOENT, arg.queue_id = v.queue + 1000);
	REFUSE(-ENOENT, arg.queue_id = ~0u);
#undef REFUSE

	arg = good;
	arg.queue_id = v.queue;
	igt_assert_eq(__vup_wait_user_fence(fd, &arg), 0);
	igt_assert_eq_u64(arg.seen, 5);
	munmap(hole, page);
	vup_unmap(fence, page);
	still_works();
}

static void exec_ops_last(void)
{
	static struct drm_vgem_op ops[DRM_VGEM_EXEC_MAX_OPS];
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(ops[0]), .count = ARRAY_SIZE(ops),
			 .array = (uintptr_t)ops },
	};

	for (int i = 0; i < (int)ARRAY_SIZE(ops); i++)
		ops[i] = op_fill(va, 4, 0xbad);
	still_works();
	ops[ARRAY_SIZE(ops) - 1].flags = 1;
	igt_assert_eq(__vup_exec(fd, &exec), -EINVAL);
	/* In order behind it, so whatever it did would be there. */
	vup_ok(&v, op_spin(va + 4, 0, 1));
	igt_assert_neq_u32(ptr[0], 0xbad);
	still_works();
}

static void exec_syncs(void)
{
	uint32_t empty = syncobj_create(fd, 0), gone = syncobj_create(fd, 0);
	struct drm_vgem_op op = op_fill(va, 4, 0xbad);
	struct drm_vgem_sync sync = { .handle = empty };
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		.syncs = { .stride = sizeof(sync), .count = 1, .array = (uintptr_t)&sync },
		.timeout_ns = INT64_MAX,
	};
	uint64_t point = 4;

	syncobj_destroy(fd, gone);
	for (int bit = 1; bit < 32; bit++) {
		sync.flags = 1u << bit;
		refuse_exec(exec, -EINVAL);
		sync.flags |= DRM_VGEM_SYNC_SIGNAL;
		refuse_exec(exec, -EINVAL);
	}
	for (uint32_t flags = 0; flags <= DRM_VGEM_SYNC_SIGNAL; flags++) {
		sync.flags = flags;
		sync.handle = 0;
		refuse_exec(exec, -ENOENT);
		sync.handle = gone;
		refuse_exec(exec, -ENOENT);
		sync.handle = ~0u;
		refuse_exec(exec, -ENOENT);
	}
	/* Nobody promised these: with no limit in time they would be waited for for ever. */
	sync = (struct drm_vgem_sync) { .handle = empty };
	refuse_exec(exec, -EINVAL);
	sync.point = 5;
	refuse_exec(exec, -EINVAL);
	syncobj_timeline_signal(fd, &empty, &point, 1);
	refuse_exec(exec, -EINVAL);
	syncobj_destroy(fd, empty);
}

static void exec_pointers(void)
{
	struct drm_vgem_sync sync = {
		.handle = syncobj_create(fd, 0), .flags = DRM_VGEM_SYNC_SIGNAL,
	};
	struct drm_vgem_op op = op_fill(va, 4, 0xbad);
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		.syncs = { .stride = sizeof(sync), .count = 1, .array = (uintptr_t)&sync },
	};
	char *ends = vup_reserve(2 * page, page);
	const uint64_t bad[] = {
		0, 8, (uintptr_t)ends + page, (uintptr_t)ends + page - 8, 1ull << 63, -8ull,
	};

	vup_map_fixed(ends, page, PROT_READ | PROT_WRITE);
	for (int i = 0; i < (int)ARRAY_SIZE(bad); i++) {
		struct drm_vgem_exec e = exec;

		e.ops.array = bad[i];
		refuse_exec(e, -EFAULT);
		e = exec;
		e.syncs.array = bad[i];
		refuse_exec(e, -EFAULT);
	}
	/* The first element is there, the second is not. */
	memcpy(ends + page - sizeof(op), &op, sizeof(op));
	exec.ops.array = (uintptr_t)ends + page - sizeof(op);
	exec.ops.count = 2;
	refuse_exec(exec, -EFAULT);
	syncobj_destroy(fd, sync.handle);
	vup_unmap(ends, 2 * page);
}

static void exec_array_in_userptr(void)
{
	struct drm_vgem_op *ops = (void *)ptr;
	struct drm_vgem_sync *sync = (void *)((char *)ptr + page);
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(*ops), .count = 2, .array = (uintptr_t)ops },
		.syncs = { .stride = sizeof(*sync), .count = 1, .array = (uintptr_t)sync },
	};
	uint32_t syncobj = syncobj_create(fd, 0);

	/* Fresh pages: reading the request is what faults them in. */
	for (int i = 0; i < 20; i++) {
		vup_map_fixed(ptr, SIZE * page, PROT_READ | PROT_WRITE);
		ops[0] = op_fill(va + 2 * page, page, i);
		ops[1] = op_fill(va, 2 * page, 0xabcd);
		*sync = (struct drm_vgem_sync) {
			.handle = syncobj, .flags = DRM_VGEM_SYNC_SIGNAL,
		};
		igt_assert_eq(__vup_exec(fd, &exec), 0);
		igt_assert_eq(syncobj_wait_err(fd, &syncobj, 1, vup_now_ns() +
					       VUP_PATIENCE_S * 1000000000ull, 0), 0);
		vup_check_value(ptr, 2 * page, 0xabcd);
		vup_check_value(ptr + 2 * page / 4, page, i);
	}
	syncobj_destroy(fd, syncobj);
	still_works();
}

static void wrong_object(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	const struct drm_vgem_op op = op_fill(va, 4, 0xbad);
	struct drm_vgem_vm_bind bind = {
		.op = DRM_VGEM_VM_BIND_OP_MAP, .handle = handle, .addr = va, .range = page,
	};
	struct vup w = { .fd = file, .vm = v.vm, .queue = v.queue };
	uint32_t id;

	/* Another file knows nothing of ours. */
	igt_assert_eq(__vup_vm_destroy(file, v.vm), -ENOENT);
	igt_assert_eq(__vup_queue_destroy(file, v.queue), -ENOENT);
	igt_assert_eq(__vup_queue_create(file, v.vm, &id), -ENOENT);
	igt_assert_eq(__vup_submit(&w, &op, 1, &id, NULL), -ENOENT);
	igt_assert_eq(__vup_vm_create(file, 0, &bind.vm_id), 0);
	igt_assert_eq(__vup_bind(file, &bind), -ENOENT);
	drm_close_driver(file);
	still_works();
}

static void mmap_offset(void)
{
	struct drm_mode_map_dumb map = { .handle = handle };

	do_ioctl_err(fd, DRM_IOCTL_MODE_MAP_DUMB, &map, ENODEV);
	still_works();
}

/* @err of mmap(), or 0 with nothing left behind */
static int try_mmap(int prot, int flags, uint64_t offset, size_t size)
{
	void *map = mmap(NULL, size, prot, flags, fd, offset);
	int err = map == MAP_FAILED ? errno : 0;

	errno = 0;
	if (!err)
		munmap(map, size);
	return err;
}

static void mmap_every_way(void)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	struct drm_mode_map_dumb map[2] = {
		{ .handle = vup_dumb_create(fd, 4096) },
	};
	uint32_t object = vup_userptr_create(fd, ptr, SIZE * page, 0);

	/* Objects made before and after it have offsets: it is not between them. */
	map[1].handle = vup_dumb_create(fd, 4096);
	for (int i = 0; i < 2; i++) {
		do_ioctl(fd, DRM_IOCTL_MODE_MAP_DUMB, &map[i]);
		igt_assert_eq(try_mmap(PROT_READ, MAP_SHARED, map[i].offset, page), 0);
	}
	for (int p = 0; p < (int)ARRAY_SIZE(prot); p++) {
		for (int i = 0; i < 2; i++) {
			igt_assert_neq(try_mmap(prot[p], MAP_SHARED, map[i].offset, 2 * page), 0);
			for (int off = -16; off <= 16; off++) {
				uint64_t at = map[i].offset + off * (int64_t)page;

				if (at != map[0].offset && at != map[1].offset)
					igt_assert_neq(try_mmap(prot[p], MAP_SHARED, at, page), 0);
			}
		}
		/* The handle, or its address, taken for an offset */
		igt_assert_neq(try_mmap(prot[p], MAP_SHARED, object * page, page), 0);
		igt_assert_neq(try_mmap(prot[p], MAP_SHARED, (uintptr_t)ptr, page), 0);
		igt_assert_neq(try_mmap(prot[p], MAP_PRIVATE, (uintptr_t)ptr, page), 0);
		igt_assert_neq(try_mmap(prot[p], MAP_SHARED, 0, page), 0);
	}
	gem_close(fd, map[0].handle);
	gem_close(fd, map[1].handle);
	gem_close(fd, object);
	still_works();
}

static void fence_attach(void)
{
	static const uint32_t flags[] = { 0, VGEM_FENCE_WRITE };

	for (int i = 0; i < (int)ARRAY_SIZE(flags); i++) {
		struct drm_vgem_fence_attach arg = { .handle = handle, .flags = flags[i] };

		do_ioctl_err(fd, DRM_IOCTL_VGEM_FENCE_ATTACH, &arg, EOPNOTSUPP);
		igt_assert_eq_u32(arg.out_fence, 0);
	}
	still_works();
}

/* The DRM core names any object; the name must be of no use to another mm. */
static void flink(void)
{
	struct drm_gem_flink arg = { .handle = handle };

	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_GEM_FLINK, &arg), 0);
	igt_fork(child, 1) {
		struct drm_gem_open open = { .name = arg.name };

		do_ioctl_err(fd, DRM_IOCTL_GEM_OPEN, &open, EPERM);
		igt_assert_eq_u32(open.handle, 0);
	}
	igt_waitchildren();
	still_works();
}

static void syncobj_untouched(void)
{
	uint32_t empty = syncobj_create(fd, 0);
	uint32_t signalled = syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED);
	uint32_t timeline = syncobj_create(fd, 0);
	struct drm_vgem_sync syncs[3] = {
		{ .handle = empty, .flags = DRM_VGEM_SYNC_SIGNAL },
		{ .handle = signalled, .flags = DRM_VGEM_SYNC_SIGNAL },
		{ .handle = timeline, .flags = DRM_VGEM_SYNC_SIGNAL, .point = 9 },
	};
	struct drm_vgem_op op = op_fill(VUP_VA(1), page, 1);
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		.syncs = { .stride = sizeof(syncs[0]), .count = 3, .array = (uintptr_t)syncs },
	};
	struct drm_syncobj_handle export = {
		.handle = empty, .flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
	};
	char *mem = vup_alloc(page);
	uint64_t point = 6, now;

	syncobj_timeline_signal(fd, &timeline, &point, 1);
	vup_bind_mem(&v, mem, VUP_VA(1), page, 0);
	vup_unmap(mem, page);

	/* Refused late, for its memory, and early, for its form */
	for (int i = 0; i < 2; i++) {
		refuse_exec(exec, i ? -EINVAL : -EFAULT);
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &export), -EINVAL);
		igt_assert_eq(vup_status(fd, signalled), 0);
		syncobj_timeline_query(fd, &timeline, &now, 1);
		igt_assert_eq_u64(now, 6);
		op.flags = 1;
	}

	vup_unbind(&v, VUP_VA(1), page);
	syncobj_destroy(fd, empty);
	syncobj_destroy(fd, signalled);
	syncobj_destroy(fd, timeline);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
		ptr = vup_alloc(SIZE * page);
		handle = vup_userptr_create(fd, ptr, SIZE * page, 0);
		vup_bind_bo(&v, handle, va, SIZE * page, 0, 0);
	}

	igt_describe("Broken if an unknown flag is taken for granted.");
	igt_subtest("create-flags")
		create_flags();

	igt_describe("Broken if a malformed range is rounded, wrapped or taken (CVE-2024-26656).");
	igt_subtest("create-range")
		create_range();

	igt_describe("Broken if a size is cut off on its way "
		     "(fbsd:539ab7af4f c11c7bfd2134, CVE-2021-47649, CVE-2025-37803).");
	igt_subtest("create-size-ladder")
		create_size_ladder();

	igt_describe("Broken if address zero is special, or mapped.");
	igt_subtest("create-null")
		create_null();

	igt_describe("Broken if an unknown flag is taken for granted.");
	igt_subtest("vm-create")
		vm_create();

	igt_describe("Broken if padding is ignored, or a VM is found that is not there.");
	igt_subtest("vm-destroy")
		vm_destroy();

	igt_describe("Broken if a malformed binding is made, or harms the one that is there.");
	igt_subtest("vm-bind")
		vm_bind();

	igt_describe("Broken if memory behind the object is bound.");
	igt_subtest_with_dynamic("vm-bind-object-range") {
		igt_dynamic("userptr")
			vm_bind_object_range(true);
		igt_dynamic("dumb")
			vm_bind_object_range(false);
	}

	igt_describe("Broken if a bad query is answered.");
	igt_subtest("vm-query")
		vm_query();

	igt_describe("Broken if the struct cannot grow.");
	igt_subtest("vm-query-sizes")
		vm_query_sizes();

	igt_describe("Broken if flags or padding are ignored, or a VM is found that is not there.");
	igt_subtest("queue-create")
		queue_create();

	igt_describe("Broken if padding is ignored, or a queue is found that is not there.");
	igt_subtest("queue-destroy")
		queue_destroy();

	igt_describe("Broken if a malformed submission is taken.");
	igt_subtest("exec-header")
		exec_header();

	igt_describe("Broken if the elements of arrays cannot grow, or grow unnoticed.");
	igt_subtest("exec-strides")
		exec_strides();

	igt_describe("Broken if a malformed operation reaches the engine.");
	igt_subtest("exec-ops")
		exec_ops();

	igt_describe("Broken if a job is begun before all of it was looked at.");
	igt_subtest("exec-ops-last")
		exec_ops_last();

	igt_describe("Broken if a job depends on, or signals, what is not there.");
	igt_subtest("exec-syncs")
		exec_syncs();

	igt_describe("Broken if a malformed wait waits, or looks where it must not.");
	igt_subtest("wait-user-fence")
		wait_user_fence();

	igt_describe("Broken if a bad pointer is followed.");
	igt_subtest("exec-pointers")
		exec_pointers();

	igt_describe("Broken if a request is read under a lock that its memory needs.");
	igt_subtest("exec-array-in-userptr")
		exec_array_in_userptr();

	igt_describe("Broken if files see each other's ids.");
	igt_subtest("wrong-object")
		wrong_object();

	igt_describe("Broken if user memory gets a second mapping (fbsd:7c3adbcb4d 4f2a572eda67).");
	igt_subtest("mmap-offset")
		mmap_offset();

	igt_describe("Broken if some kind of mapping was forgotten (fbsd:53b5812d74).");
	igt_subtest("mmap-every-way")
		mmap_every_way();

	igt_describe("Broken if user space can hold up the mm.");
	igt_subtest("fence-attach")
		fence_attach();

	igt_describe("Broken if the global name of user memory opens it for another process.");
	igt_subtest("flink")
		flink();

	igt_describe("Broken if a refused job leaves a fence, or takes one away.");
	igt_subtest("syncobj-untouched")
		syncobj_untouched();

	igt_fixture() {
		vup_fini(&v);
		gem_close(fd, handle);
		vup_unmap(ptr, SIZE * page);
		drm_close_driver(fd);
	}
}
