// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr fork
 * Description: Copy on write, inherited files, and other processes
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, fork
 * Test category: functionality test
 *
 * SUBTEST: device-writes
 * Description: after fork() the device writes to the parent's memory, not to the child's
 *
 * SUBTEST: device-reads
 * Description: after fork() the device reads the parent's memory, whatever the child writes
 *
 * SUBTEST: parent-writes
 * Description: the CPU breaks the sharing first: the device must follow to the new page
 *
 * SUBTEST: child-writes
 * Description: the child breaks the sharing first, then the device writes
 *
 * SUBTEST: read-only
 * Description: a read-only userptr follows the parent's page when that is copied
 *
 * SUBTEST: child-exits
 * Description: the pages that a child leaves to its parent stay the parent's
 *
 * SUBTEST: dontfork
 * Description: memory that the child does not get still works in the parent
 *
 * SUBTEST: grandchildren
 * Description: a tree of processes, each of which sees its own copy
 *
 * SUBTEST: shared-memory
 * Description: one shared page, a device context in each process
 *
 * SUBTEST: inherited-refused
 * Description: VM, queue and userptr of the parent are not for the child
 *
 * SUBTEST: inherited-file
 * Description: a VM that the child makes on the inherited file is the child's
 *
 * SUBTEST: fork-storm
 * Description: fork() again and again while jobs run
 */

IGT_TEST_DESCRIPTION("User memory of the engine and fork(): whose page is it?");

static int fd = -1;
static struct vup v;
static size_t page, size;
static const uint64_t va = VUP_VA(0);

/* Two gates: the parent says when, the child says that it has. */
static struct vup_gate go, done;

static char *prepare(uint32_t seed, bool read_only)
{
	char *ptr = vup_alloc(size);

	vup_gate_init(&go);
	vup_gate_init(&done);
	vup_bind_how(&v, VUP_BO, ptr, va, size, read_only);
	vup_paint(ptr, size, seed);
	/* Warm, so that a page that is replaced unnoticed shows. */
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	if (!read_only) {
		vup_ok(&v, op_xor(va, size, 1), op_xor(va, size, 1));
		vup_check_paint(ptr, size, seed);
	}
	return ptr;
}

static void finish(char *ptr)
{
	vup_gate_fini(&go);
	vup_gate_fini(&done);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void device_writes(void)
{
	char *ptr = prepare(1, false);

	igt_fork(child, 1) {
		vup_gate_pass(&go);
		vup_check_paint(ptr, size, 1);
	}
	vup_ok(&v, op_fill(va, size, 0xd0));
	vup_check_value(ptr, size, 0xd0);
	vup_gate_open(&go);
	igt_waitchildren();
	vup_check_value(ptr, size, 0xd0);
	finish(ptr);
}

static void device_reads(void)
{
	char *ptr = prepare(2, false);

	igt_fork(child, 1) {
		vup_paint(ptr, size, 3);
		vup_gate_open(&done);
		vup_gate_pass(&go);
		vup_check_paint(ptr, size, 3);
	}
	vup_gate_pass(&done);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	vup_check_paint(ptr, size, 2);
	vup_gate_open(&go);
	igt_waitchildren();
	finish(ptr);
}

static void parent_writes(bool read_only)
{
	char *ptr = prepare(4, read_only);

	igt_fork(child, 1) {
		vup_gate_pass(&go);
		vup_check_paint(ptr, size, 4);
	}
	/*
	 * The child keeps the pages that the device knew, the parent gets new
	 * ones: a stale entry reads the old, and writes into the child.
	 */
	vup_paint(ptr, size, 5);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	if (!read_only) {
		vup_ok(&v, op_fill(va, size, 0xd1));
		vup_check_value(ptr, size, 0xd1);
	}
	vup_gate_open(&go);
	igt_waitchildren();
	finish(ptr);
}

static void child_writes(void)
{
	char *ptr = prepare(6, false);

	igt_fork(child, 1) {
		vup_paint(ptr, size, 7);
		vup_gate_open(&done);
		vup_gate_pass(&go);
		vup_check_paint(ptr, size, 7);
	}
	vup_gate_pass(&done);
	vup_ok(&v, op_xor(va, size, 0xd2));
	for (size_t i = 0; i < size / 4; i++)
		igt_assert_eq_u32(((uint32_t *)ptr)[i], vup_word(6, i) ^ 0xd2);
	vup_gate_open(&go);
	igt_waitchildren();
	finish(ptr);
}

static void child_exits(void)
{
	char *ptr = prepare(8, false);

	for (int i = 0; i < 20; i++) {
		igt_fork(child, 1)
			vup_check_value(ptr, 4, i ? i - 1u : vup_word(8, 0));
		/* Half the time while the child is there, half the time after. */
		if (i & 1)
			igt_waitchildren();
		vup_ok(&v, op_fill(va, size, i));
		if (!(i & 1)) {
			vup_check_value(ptr, size, i);
			/* The child may look late: what it looks at is its own. */
			igt_waitchildren();
		}
		vup_check_value(ptr, size, i);
	}
	finish(ptr);
}

static void dontfork(void)
{
	char *ptr = prepare(9, false);

	igt_assert_eq(madvise(ptr, size, MADV_DONTFORK), 0);
	igt_fork(child, 1) {
		unsigned char vec[64];

		igt_assert_eq(mincore(ptr, size, vec), -1);
		igt_assert_eq(errno, ENOMEM);
		vup_gate_open(&done);
		vup_gate_pass(&go);
	}
	vup_gate_pass(&done);
	vup_ok(&v, op_fill(va, size, 0xd3));
	vup_check_value(ptr, size, 0xd3);
	vup_gate_open(&go);
	igt_waitchildren();
	vup_ok(&v, op_fill(va, size, 0xd4));
	vup_check_value(ptr, size, 0xd4);
	finish(ptr);
}

/*
 * Each level forks the next, then lets its own device write. Only the first
 * level comes from igt_fork(); below it a failed assertion exits as well.
 */
static void generation(char *ptr, int depth, uint32_t inherited)
{
	int node = drm_open_driver(DRIVER_VGEM);
	pid_t pid[2];
	struct vup w;

	vup_check_value(ptr, size, inherited);
	vup_init(&w, node);
	vup_bind_mem(&w, ptr, va, size, 0);
	vup_ok(&w, op_fill(va, size, depth));
	for (int i = 0; depth && i < 2; i++) {
		pid[i] = fork();
		igt_assert_lte(0, pid[i]);
		if (!pid[i]) {
			generation(ptr, depth - 1, depth);
			_exit(0);
		}
	}
	vup_ok(&w, op_fill(va, size, depth + 100));
	vup_check_value(ptr, size, depth + 100);
	for (int i = 0; depth && i < 2; i++) {
		int status;

		igt_assert_eq(waitpid(pid[i], &status, 0), pid[i]);
		igt_assert_eq(status, 0);
	}
	vup_check_value(ptr, size, depth + 100);
	vup_fini(&w);
	drm_close_driver(node);
}

static void shared_memory(void)
{
	uint32_t *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			     -1, 0);

	igt_assert(ptr != MAP_FAILED);
	vup_gate_init(&go);
	vup_gate_init(&done);
	vup_bind_how(&v, VUP_BO, ptr, va, size, false);
	vup_ok(&v, op_fill(va, size, 0xe0));
	igt_fork(child, 1) {
		int node = drm_open_driver(DRIVER_VGEM);
		struct vup w;

		vup_init(&w, node);
		vup_bind_mem(&w, ptr, va, size, 0);
		for (int i = 0; i < 20; i++) {
			vup_gate_pass(&go);
			vup_ok(&w, op_xor(va, size, 1));
			vup_gate_open(&done);
		}
	}
	for (int i = 0; i < 20; i++) {
		vup_gate_open(&go);
		vup_gate_pass(&done);
		vup_check_value(ptr, size, 0xe0 | (i & 1) << 4 | 1);
		vup_ok(&v, op_xor(va, size, 0x11));
	}
	igt_waitchildren();
	vup_check_value(ptr, size, 0xe0);
	finish((char *)ptr);
}

static void inherited_refused(void)
{
	char *ptr = prepare(10, false);
	uint32_t handle = vup_userptr_create(fd, ptr, size, 0);
	uint32_t dumb = vup_dumb_create(fd, 4096);

	igt_fork(child, 1) {
		const struct drm_vgem_op op = op_fill(va, size, 1);
		struct drm_vgem_vm_stats stats;
		struct drm_vgem_vm_query query = {
			.vm_id = v.vm, .size = sizeof(stats), .data = (uintptr_t)&stats,
		};
		struct drm_vgem_vm_bind bind = {
			.vm_id = v.vm, .addr = VUP_VA(1), .range = page,
		};
		uint32_t id;
		struct vup w;

		igt_assert_eq(__vup_submit(&v, &op, 1, &id, NULL), -EPERM);
		igt_assert_eq(__vup_queue_create(fd, v.vm, &id), -EPERM);
		igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &query), -EPERM);
		igt_assert_eq(__vup_queue_destroy(fd, v.queue), -EPERM);
		igt_assert_eq(__vup_vm_destroy(fd, v.vm), -EPERM);

		bind.op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR;
		bind.offset = (uintptr_t)ptr;
		igt_assert_eq(__vup_bind(fd, &bind), -EPERM);
		bind.op = DRM_VGEM_VM_BIND_OP_MAP;
		bind.offset = 0;
		bind.handle = dumb;
		bind.range = 4096;
		igt_assert_eq(__vup_bind(fd, &bind), -EPERM);
		bind.op = DRM_VGEM_VM_BIND_OP_UNMAP;
		bind.handle = 0;
		bind.addr = va;
		bind.range = size;
		igt_assert_eq(__vup_bind(fd, &bind), -EPERM);

		/* The parent's userptr in a VM of the child's own */
		vup_init(&w, fd);
		bind.vm_id = w.vm;
		bind.op = DRM_VGEM_VM_BIND_OP_MAP;
		bind.handle = handle;
		igt_assert_eq(__vup_bind(fd, &bind), -EPERM);
		vup_fini(&w);
	}
	igt_waitchildren();

	/* All of it was without effect. */
	vup_check_paint(ptr, size, 10);
	vup_ok(&v, op_fill(va, size, 0xd5));
	vup_check_value(ptr, size, 0xd5);
	igt_assert_eq(vup_do(&v, op_fill(VUP_VA(1), 4, 1)), -EFAULT);
	gem_close(fd, handle);
	gem_close(fd, dumb);
	finish(ptr);
}

static void inherited_file(void)
{
	char *ptr = prepare(11, false);

	igt_fork(child, 2) {
		uint32_t handle = vup_userptr_create(fd, ptr, size, 0);
		struct vup w;

		vup_init(&w, fd);
		igt_assert_neq_u32(w.vm, v.vm);
		igt_assert_neq_u32(w.queue, v.queue);
		vup_bind_bo(&w, handle, va, size, 0, 0);
		igt_assert_eq_u32(vup_device_crc(&w, va, size), vup_crc32(ptr, size));
		vup_ok(&w, op_fill(va, size, 0xc0 + child));
		vup_check_value(ptr, size, 0xc0 + child);
		vup_gate_open(&done);
		vup_gate_pass(&go);
		vup_check_value(ptr, size, 0xc0 + child);
		vup_fini(&w);
		gem_close(fd, handle);
	}
	vup_gate_pass(&done);
	vup_gate_pass(&done);
	vup_check_paint(ptr, size, 11);
	vup_ok(&v, op_fill(va, size, 0xd6));
	vup_check_value(ptr, size, 0xd6);
	vup_gate_open(&go);
	vup_gate_open(&go);
	igt_waitchildren();
	vup_check_value(ptr, size, 0xd6);
	finish(ptr);
}

static void fork_and_reap(void *data)
{
	bool *stop = data;

	while (!READ_ONCE(*stop)) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

static void fork_storm(void)
{
	char *ptr = prepare(12, false);
	struct vup_caller c;
	bool stop = false;
	uint32_t n = 0;

	vup_caller_start(&c, fork_and_reap, &stop);
	igt_until_timeout(3) {
		uint32_t seed = ++n;
		const struct drm_vgem_op op = op_xor(va, size, ~0);
		int err;

		vup_paint(ptr, size, seed);
		err = __vup_run(&v, &op, 1);
		if (err == -EAGAIN)
			continue;
		igt_assert_eq(err, 0);
		for (size_t i = 0; i < size / 4; i++)
			igt_assert_eq_u32(((uint32_t *)ptr)[i], ~vup_word(seed, i));
	}
	WRITE_ONCE(stop, true);
	vup_caller_join(&c);
	igt_info("%u jobs\n", n);
	finish(ptr);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		size = 8 * page;
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if the device writes into the child's copy.");
	igt_subtest("device-writes")
		device_writes();

	igt_describe("Broken if the device reads the child's copy.");
	igt_subtest("device-reads")
		device_reads();

	igt_describe("Broken if the device keeps the page that copy-on-write left to the child "
		     "(17839856fd58).");
	igt_subtest("parent-writes")
		parent_writes(false);

	igt_describe("Broken if a child's write moves the parent's device.");
	igt_subtest("child-writes")
		child_writes();

	igt_describe("Broken if a read-only userptr keeps the page that its process left.");
	igt_subtest("read-only")
		parent_writes(true);

	igt_describe("Broken if the end of a child disturbs the parent's pages.");
	igt_subtest("child-exits")
		child_exits();

	igt_describe("Broken if memory is lost that a child was not given.");
	igt_subtest("dontfork")
		dontfork();

	igt_describe("Broken if copies of different processes are mixed up.");
	igt_subtest("grandchildren") {
		char *ptr = vup_alloc(size);

		igt_fork(child, 1)
			generation(ptr, 2, 0);
		igt_waitchildren();
		vup_check_value(ptr, size, 0);
		vup_unmap(ptr, size);
	}

	igt_describe("Broken if two processes' devices disagree about a page they share.");
	igt_subtest("shared-memory")
		shared_memory();

	igt_describe("Broken if a child can use what belongs to its parent's memory "
		     "(CVE-2026-43370).");
	igt_subtest("inherited-refused")
		inherited_refused();

	igt_describe("Broken if a file serves only the process that opened it.");
	igt_subtest("inherited-file")
		inherited_file();

	igt_describe("Broken if jobs fail or lose data while the process forks.");
	igt_subtest("fork-storm")
		fork_storm();

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
