// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr policy
 * Description: What flags change: memory that is pinned, and VMs with holes
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, pin, holes
 * Test category: functionality test
 *
 * SUBTEST: pin-outlives-munmap
 * Description: after munmap, and a new mapping, the device still has the old pages
 *
 * SUBTEST: pin-delays-nobody
 * Description: munmap returns while a job runs
 *
 * SUBTEST: pin-fork
 * Description: after fork the parent and the device go on with the same pages
 *
 * SUBTEST: pin-read-only
 * Description: pinned read-only memory is read, and not written
 *
 * SUBTEST: pin-no-memory
 * Description: what cannot be pinned is refused, and nothing stays pinned
 *
 * SUBTEST: pin-memlock
 * Description: pinned pages count against RLIMIT_MEMLOCK until the object goes
 *
 * SUBTEST: holes-are-faults
 * Description: a job that gets into a hole fails there, others run
 *
 * SUBTEST: holes-close
 * Description: memory that is mapped again is used by the next job
 *
 * SUBTEST: holes-write-permission
 * Description: memory that may not be written is a hole in a writable userptr
 */
IGT_TEST_DESCRIPTION("Flags of userptrs and VMs: pinned memory, holes");

static int fd;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1), out_va = VUP_VA(2);

#define RELEASE	0x60ull

/* The memory becomes an object that the VM alone keeps. */
static void bind_pinned(void *ptr, size_t size, uint32_t flags)
{
	uint32_t handle = vup_userptr_create(fd, ptr, size, DRM_VGEM_USERPTR_PIN | flags);

	vup_bind_bo(&v, handle, va, size, 0, 0);
	gem_close(fd, handle);
}

static void pin_outlives_munmap(void)
{
	size_t size = 4 * page;
	char *ptr = vup_alloc(size), *out = vup_alloc(size);

	vup_paint(ptr, size, 1);
	bind_pinned(ptr, size, 0);
	vup_bind_mem(&v, out, out_va, size, 0);
	vup_unmap(ptr, size);
	vup_ok(&v, op_copy(out_va, va, size));
	vup_check_paint(out, size, 1);

	/* The device writes to its pages, not to those that are there now. */
	vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
	vup_paint(ptr, size, 2);
	vup_ok(&v, op_fill(va, size, 3), op_copy(out_va, va, size));
	vup_check_paint(ptr, size, 2);
	vup_check_value(out, size, 3);

	vup_unbind(&v, va, size);
	vup_unbind(&v, out_va, size);
	vup_unmap(ptr, size);
	vup_unmap(out, size);
}

struct unmapping {
	void *ptr;
	size_t size;
	int err;
};

static void unmap(void *data)
{
	struct unmapping *u = data;

	u->err = munmap(u->ptr, u->size);
}

static void pin_delays_nobody(void)
{
	struct unmapping u = { .size = 4 * page };
	uint32_t *word = vup_alloc_word();
	struct vup_caller c;
	uint32_t syncobj;

	u.ptr = vup_alloc(u.size);
	vup_paint(u.ptr, u.size, 1);
	bind_pinned(u.ptr, u.size, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_settle();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC),
			    op_fill(va, u.size, 1));
	vup_caller_start(&c, unmap, &u);
	/* Through, while the job still spins. */
	igt_assert(!vup_caller_blocked(&c));
	vup_caller_join(&c);
	igt_assert_eq(u.err, 0);
	igt_assert_eq(vup_status(fd, syncobj), 1);

	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	vup_unbind(&v, va, u.size);
	vup_unbind(&v, word_va, page);
	vup_unmap(word, page);
}

static void pin_fork(void)
{
	size_t size = 4 * page;
	char *ptr = vup_alloc(size);

	vup_paint(ptr, size, 1);
	bind_pinned(ptr, size, 0);
	igt_fork(child, 1) {
		vup_check_paint(ptr, size, 1);
		/* Breaks copy-on-write in the child; must not reach the device. */
		vup_paint(ptr, size, 2);
	}
	igt_waitchildren();

	/* Nor must the parent's first write part it from the device. */
	vup_paint(ptr, size, 3);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	vup_ok(&v, op_fill(va, size, 4));
	vup_check_value(ptr, size, 4);

	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void pin_read_only(void)
{
	size_t size = 4 * page;
	char *ptr = vup_alloc(size);

	vup_paint(ptr, size, 1);
	igt_assert_eq(mprotect(ptr, size, PROT_READ), 0);
	bind_pinned(ptr, size, DRM_VGEM_USERPTR_READ_ONLY);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	igt_assert_eq(vup_do(&v, op_fill(va, size, 2)), -EFAULT);
	vup_check_paint(ptr, size, 1);

	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

/* Pages that nobody but us holds on to can be taken by MADV_DONTNEED. */
static void pin_no_memory(void)
{
	uint32_t dumb = vup_dumb_create(fd, page), handle = 0;
	void *map = vup_dumb_mmap(fd, dumb, page);
	size_t size = 4 * page;
	char *ptr = vup_alloc(size);

	vup_paint(ptr, size, 1);
	vup_unmap(ptr + 3 * page, page);
	igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, size, DRM_VGEM_USERPTR_PIN,
					   &handle), -EFAULT);
	vup_map_fixed(ptr + 3 * page, page, PROT_READ);
	igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, size, DRM_VGEM_USERPTR_PIN,
					   &handle), -EFAULT);
	igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)map, page, DRM_VGEM_USERPTR_PIN,
					   &handle), -EFAULT);
	igt_assert_eq_u32(handle, 0);
	vup_check_paint(ptr, 3 * page, 1);

	munmap(map, page);
	gem_close(fd, dumb);
	vup_unmap(ptr, size);
}

static void limit_memlock(size_t bytes)
{
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = bytes };

	igt_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

/* Freed objects give their pages back in a worker: try until they are. */
static int create_when_there_is_room(void *ptr, size_t size, uint32_t *handle)
{
	int err;

	igt_until_timeout(VUP_PATIENCE_S) {
		err = __vup_userptr_create(fd, (uintptr_t)ptr, size, DRM_VGEM_USERPTR_PIN, handle);
		if (err != -ENOMEM)
			break;
		sched_yield();
	}

	return err;
}

static void pin_memlock(void)
{
	size_t size = 4 * page;

	igt_require_f(getuid() == 0, "lowering a limit for good needs a process that is root first\n");

	igt_fork(child, 1) {
		uint32_t handle = 0, second = 0;
		char *ptr = vup_alloc(2 * size);
		struct vup w;

		vup_paint(ptr, 2 * size, 1);
		limit_memlock(size);
		/* Another user has no CAP_IPC_LOCK. */
		igt_assert_eq(setresuid(65534, 65534, 65534), 0);
		vup_init(&w, fd);

		igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, 2 * size,
						   DRM_VGEM_USERPTR_PIN, &handle), -ENOMEM);
		igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, size,
						   DRM_VGEM_USERPTR_PIN, &handle), 0);
		/* The limit is used up, whatever it is that is pinned. */
		igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, page,
						   DRM_VGEM_USERPTR_PIN, &second), -ENOMEM);
		gem_close(fd, handle);
		igt_assert_eq(create_when_there_is_room(ptr, size, &handle), 0);
		gem_close(fd, handle);

		limit_memlock(0);
		igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, page,
						   DRM_VGEM_USERPTR_PIN, &second), -EPERM);
		/* Without a pin nothing is counted. */
		handle = vup_userptr_create(fd, ptr, 2 * size, 0);
		gem_close(fd, handle);
		vup_fini(&w);
	}
	igt_waitchildren();
}

/* A VM with holes, and three windows of painted memory in it */
static char *holes_init(struct vup *w, size_t size)
{
	char *ptr = vup_alloc_windows(size);

	w->fd = fd;
	igt_assert_eq(__vup_vm_create(fd, DRM_VGEM_VM_CREATE_HOLES, &w->vm), 0);
	igt_assert_eq(__vup_queue_create(fd, w->vm, &w->queue), 0);
	vup_paint(ptr, size, 1);
	vup_bind_mem(w, ptr, va, size, 0);
	vup_ok(w, op_xor(va, size, 0));

	return ptr;
}

static void holes_fini(struct vup *w, char *ptr, size_t size)
{
	vup_unbind(w, va, size);
	vup_fini(w);
	vup_unmap(ptr, size);
}

static void holes_are_faults(void)
{
	size_t size = 3 * VUP_WINDOW;
	struct drm_vgem_vm_stats stats;
	struct vup w;
	char *ptr = holes_init(&w, size);

	vup_unmap(ptr + VUP_WINDOW, page);
	igt_assert_eq(vup_do(&w, op_fill(va + VUP_WINDOW, page, 2)), -EFAULT);
	vup_stats(&w, &stats);
	igt_assert_eq_u64(stats.fault_addr, va + VUP_WINDOW);

	/* Up to the hole a job gets, and the next is none the worse. */
	igt_assert_eq(vup_do(&w, op_fill(va, size, 3)), -EFAULT);
	vup_check_value(ptr, VUP_WINDOW, 3);
	vup_check_value(ptr + 2 * VUP_WINDOW, 4, vup_word(1, 2 * VUP_WINDOW / 4));
	vup_ok(&w, op_fill(va + 2 * VUP_WINDOW, VUP_WINDOW, 4));
	vup_check_value(ptr + 2 * VUP_WINDOW, VUP_WINDOW, 4);

	holes_fini(&w, ptr, size);
}

static void holes_close(void)
{
	size_t size = 3 * VUP_WINDOW;
	struct vup w;
	char *ptr = holes_init(&w, size);

	for (int round = 0; round < 20; round++) {
		char *hole = ptr + (round % 3) * VUP_WINDOW;

		vup_unmap(hole, VUP_WINDOW);
		igt_assert_eq(vup_do(&w, op_fill(va, size, round)), -EFAULT);
		vup_map_fixed(hole, VUP_WINDOW, PROT_READ | PROT_WRITE);
		vup_ok(&w, op_fill(va, size, round + 100));
		vup_check_value(ptr, size, round + 100);
	}

	holes_fini(&w, ptr, size);
}

static void holes_write_permission(void)
{
	size_t size = 3 * VUP_WINDOW;
	struct vup w;
	char *ptr = holes_init(&w, size);

	igt_assert_eq(mprotect(ptr + VUP_WINDOW, page, PROT_READ), 0);
	igt_assert_eq(vup_do(&w, op_fill(va + VUP_WINDOW, page, 2)), -EFAULT);
	vup_check_value(ptr + VUP_WINDOW, 4, vup_word(1, VUP_WINDOW / 4));
	vup_ok(&w, op_fill(va, VUP_WINDOW, 3));
	igt_assert_eq(mprotect(ptr + VUP_WINDOW, page, PROT_READ | PROT_WRITE), 0);
	vup_ok(&w, op_fill(va, size, 4));
	vup_check_value(ptr, size, 4);

	holes_fini(&w, ptr, size);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if a pin does not hold, or the device follows the mapping.");
	igt_subtest("pin-outlives-munmap")
		pin_outlives_munmap();

	igt_describe("Broken if the mm waits for jobs on pinned memory.");
	igt_subtest("pin-delays-nobody")
		pin_delays_nobody();

	igt_describe("Broken if fork() gives the pinned pages to the child.");
	igt_subtest("pin-fork")
		pin_fork();

	igt_describe("Broken if read-only memory cannot be pinned, or is written.");
	igt_subtest("pin-read-only")
		pin_read_only();

	igt_describe("Broken if holes or special memory are accepted.");
	igt_subtest("pin-no-memory")
		pin_no_memory();

	igt_describe("Broken if users can pin without limit, or pages are never given back.");
	igt_subtest("pin-memlock")
		pin_memlock();

	igt_describe("Broken if a hole refuses jobs, or lets them through.");
	igt_subtest("holes-are-faults")
		holes_are_faults();

	igt_describe("Broken if new memory in a hole is not noticed.");
	igt_subtest("holes-close")
		holes_close();

	igt_describe("Broken if holes are a way around write permission.");
	igt_subtest("holes-write-permission")
		holes_write_permission();

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
