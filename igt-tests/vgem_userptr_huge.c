// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/kernel-page-flags.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr huge
 * Description: Huge pages: parts of them, their making, their splitting, and hugetlb's own
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, huge pages
 * Test category: functionality test
 *
 * SUBTEST: part
 * Description: a userptr of a part of a huge page reaches that part and nothing else
 *
 * SUBTEST: split-%s
 * Description: a huge page under a userptr in use is split by %arg[1]
 * arg[1].values: munmap, mprotect, dontneed, mremap, fork
 *
 * SUBTEST: collapse-%s
 * Description: %arg[1] pages become a huge page while jobs read them
 * arg[1].values: anon, shmem, file
 *
 * SUBTEST: hugetlb
 * Description: hugetlb pages, wholly and in part, and holes punched into them
 *
 * SUBTEST: hugetlb-shared
 * Description: processes share a page table of hugetlb pages, and one unmaps them
 */

IGT_TEST_DESCRIPTION("Huge pages: parts, making and splitting of them, and hugetlb's own.");

#define HUGE	VUP_WINDOW

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0);

static void require_thp(void)
{
	igt_require_f(access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0,
		      "kernel without transparent huge pages\n");
}

/* @count huge pages side by side, or a skip; painted */
static char *huge_alloc(int count, uint32_t seed)
{
	char *ptr;

	require_thp();
	ptr = vup_map_fixed(vup_reserve(count * HUGE, HUGE), count * HUGE, PROT_READ | PROT_WRITE);
	igt_assert_eq(madvise(ptr, count * HUGE, MADV_HUGEPAGE), 0);
	vup_paint(ptr, count * HUGE, seed);
	for (int i = 0; i < count; i++)
		if (!vup_page_flag(ptr + i * HUGE, KPF_THP))
			igt_require_f(madvise(ptr + i * HUGE, HUGE, MADV_COLLAPSE) == 0,
				      "no huge page to be had\n");
	return ptr;
}

/* The device reads what the CPU reads. */
static void same(const char *ptr, size_t size)
{
	uint64_t out_va = VUP_VA(1);
	char *out = vup_alloc(size);

	vup_bind_mem(&v, out, out_va, size, 0);
	vup_ok(&v, op_copy(out_va, va, size));
	igt_assert(!memcmp(out, ptr, size));
	vup_unbind(&v, out_va, size);
	vup_unmap(out, size);
}

static void part(size_t first, size_t pages)
{
	/* Canaries on both sides */
	char *ptr = huge_alloc(3, 1), *mem = ptr + HUGE + first * page;
	size_t size = pages * page, at = mem - ptr;

	for (int how = 0; how < VUP_HOWS; how++) {
		uint64_t gpu = va + HUGE + first * page;

		vup_paint(ptr, 3 * HUGE, 1);
		vup_bind_how(&v, how, mem, gpu, size, false);
		vup_ok(&v, op_xor(gpu, size, ~0));
		/* Beside it the engine finds nothing. */
		igt_assert_eq(vup_do(&v, op_fill(gpu + size, 4, 0xbad)), -EFAULT);
		igt_assert_eq(vup_do(&v, op_fill(gpu - 4, 4, 0xbad)), -EFAULT);
		for (size_t w = 0; w < 3 * HUGE / 4; w++) {
			bool in = w >= at / 4 && w < (at + size) / 4;

			igt_assert_f(((uint32_t *)ptr)[w] == (vup_word(1, w) ^ (in ? ~0u : 0)),
				     "byte %#zx of [%#zx, %#zx)\n", 4 * w, at, at + size);
		}
		vup_unbind(&v, gpu, size);
	}
	vup_unmap(ptr, 3 * HUGE);
}

enum split {
	SPLIT_MUNMAP,
	SPLIT_MPROTECT,
	SPLIT_DONTNEED,
	SPLIT_MREMAP,
	SPLIT_FORK,
};

static void split(enum split by, enum vup_how how)
{
	char *ptr = huge_alloc(1, 2), *away = NULL;
	size_t at = 100 * page, size = 7 * page;
	struct vup_gate go;

	vup_bind_how(&v, how, ptr, va, HUGE, false);
	vup_ok(&v, op_xor(va, HUGE, 1), op_xor(va, HUGE, 1));

	switch (by) {
	case SPLIT_MUNMAP:
		vup_unmap(ptr + at, size);
		vup_refuse(&v, -EFAULT, va + at, op_fill(va, HUGE, 1));
		vup_map_fixed(ptr + at, size, PROT_READ | PROT_WRITE);
		vup_paint(ptr + at, size, 3);
		break;
	case SPLIT_MPROTECT:
		igt_assert_eq(mprotect(ptr + at, size, PROT_READ), 0);
		vup_refuse(&v, -EPERM, va + at, op_fill(va, HUGE, 1));
		igt_assert_eq(mprotect(ptr + at, size, PROT_READ | PROT_WRITE), 0);
		vup_paint(ptr + at, size, 3);
		break;
	case SPLIT_DONTNEED:
		igt_assert_eq(madvise(ptr + at, size, MADV_DONTNEED), 0);
		vup_ok(&v, op_xor(va + at, size, 5));
		vup_check_value(ptr + at, size, 5);
		vup_paint(ptr + at, size, 3);
		break;
	case SPLIT_MREMAP:
		away = vup_reserve(size, page);
		igt_assert(mremap(ptr + at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				  away) == away);
		vup_refuse(&v, -EFAULT, va + at, op_fill(va, HUGE, 1));
		vup_map_fixed(ptr + at, size, PROT_READ | PROT_WRITE);
		vup_paint(ptr + at, size, 3);
		break;
	case SPLIT_FORK:
		vup_gate_init(&go);
		igt_fork(child, 1) {
			vup_gate_pass(&go);
			vup_check_paint(ptr, HUGE, 2);
		}
		/* Copied here, shared there: no longer one page for the device */
		vup_paint(ptr + at, size, 3);
		vup_ok(&v, op_xor(va, HUGE, 1), op_xor(va, HUGE, 1));
		vup_gate_open(&go);
		igt_waitchildren();
		vup_gate_fini(&go);
		break;
	}

	/* All is there, what was before and what is new, for the CPU and the device. */
	same(ptr, HUGE);
	vup_check_paint(ptr + at, size, 3);
	for (size_t w = 0; w < HUGE / 4; w++)
		if (w < at / 4 || w >= (at + size) / 4)
			igt_assert_eq_u32(((uint32_t *)ptr)[w], vup_word(2, w));
	vup_ok(&v, op_fill(va, HUGE, 6));
	vup_check_value(ptr, HUGE, 6);
	if (away) {
		for (size_t w = 0; w < size / 4; w++)
			igt_assert_eq_u32(((uint32_t *)away)[w], vup_word(2, at / 4 + w));
		vup_unmap(away, size);
	}
	vup_unbind(&v, va, HUGE);
	vup_unmap(ptr, HUGE);
}

enum backing {
	ANON,
	SHMEM,
	REAL_FILE,
};

struct collapse {
	char *ptr;
	int err;
};

static void do_collapse(void *data)
{
	struct collapse *c = data;

	c->err = madvise(c->ptr, HUGE, MADV_COLLAPSE) ? errno : 0;
}

/* Small pages, written to, at @ptr; read-only where the file must not be open for writing */
static int small_pages(enum backing backing, char *ptr, uint32_t seed)
{
	int file = -1, again;
	char path[64];
	char *alias;

	if (backing == ANON) {
		vup_map_fixed(ptr, HUGE, PROT_READ | PROT_WRITE);
		igt_assert_eq(madvise(ptr, HUGE, MADV_NOHUGEPAGE), 0);
		vup_paint(ptr, HUGE, seed);
		igt_assert_eq(madvise(ptr, HUGE, MADV_HUGEPAGE), 0);
		return -1;
	}
	file = backing == SHMEM ? vup_memfd(HUGE) : vup_real_file(HUGE);
	alias = vup_map_memfd(NULL, file, HUGE, 0);
	vup_paint(alias, HUGE, seed);
	if (backing == REAL_FILE) {
		igt_assert_eq(msync(alias, HUGE, MS_SYNC), 0);
		vup_unmap(alias, HUGE);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
		again = open(path, O_RDONLY | O_CLOEXEC);
		igt_require_f(again >= 0, "file system that does not open a file again\n");
		close(file);
		file = again;
		igt_assert(mmap(ptr, HUGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file,
				0) == ptr);
	} else {
		vup_unmap(alias, HUGE);
		vup_map_memfd(ptr, file, HUGE, 0);
	}
	for (size_t at = 0; at < HUGE; at += page)
		READ_ONCE(ptr[at]);
	return file;
}

static void collapse(enum backing backing)
{
	size_t hog_size = 2 * HUGE;
	bool read_only = backing == REAL_FILE;
	int huge = 0;

	require_thp();
	for (uint32_t round = 1; round <= 4; round++) {
		struct collapse c = { .ptr = vup_reserve(HUGE, HUGE) };
		int file = small_pages(backing, c.ptr, round);
		uint32_t crc = vup_crc32(c.ptr, 64 * page), jobs = 0;
		struct vup_caller caller;
		char *hog;

		vup_bind_how(&v, round & 1 ? VUP_BO : VUP_RANGE, c.ptr, va, HUGE, read_only);
		igt_assert_eq_u32(vup_device_crc(&v, va, 64 * page), crc);
		vup_caller_start(&caller, do_collapse, &c);
		do {
			igt_assert_eq_u32(vup_device_crc(&v, va, 64 * page), crc);
			jobs++;
		} while (!atomic_load(&caller.done));
		vup_caller_join(&caller);
		if (c.err) {
			/* Out of huge pages, or not for this backing */
			igt_debug("round %u: %s\n", round, strerror(c.err));
			goto next;
		}
		huge += vup_page_flag(c.ptr, KPF_THP);

		/* The small pages are free: whoever gets them must not be seen. */
		hog = vup_alloc(hog_size);
		madvise(hog, hog_size, MADV_NOHUGEPAGE);
		vup_paint(hog, hog_size, 100 + round);
		vup_check_paint(c.ptr, HUGE, round);
		same(c.ptr, HUGE);
		if (!read_only) {
			vup_paint(c.ptr, HUGE, 50 + round);
			same(c.ptr, HUGE);
			vup_ok(&v, op_fill(va, HUGE, round));
			vup_check_value(c.ptr, HUGE, round);
		}
		vup_check_paint(hog, hog_size, 100 + round);
		vup_unmap(hog, hog_size);
		igt_debug("round %u: %u jobs\n", round, jobs);
next:
		vup_unbind(&v, va, HUGE);
		vup_unmap(c.ptr, HUGE);
		if (file >= 0)
			close(file);
	}
	igt_require_f(huge, "kernel does not make huge pages of this memory\n");
}

static int hugetlb_file(size_t size, int pages)
{
	char text[16];
	int file;

	igt_require_f(access("/proc/sys/vm/nr_hugepages", W_OK) == 0, "kernel without hugetlb\n");
	snprintf(text, sizeof(text), "%d", pages);
	vup_knob_set("/proc/sys/vm/nr_hugepages", text);
	igt_require_f(vup_file_number("/proc/meminfo", "HugePages_Free") >= pages &&
		      vup_file_number("/proc/meminfo", "Hugepagesize") == HUGE / 1024,
		      "no %d huge pages of 2 MiB to be had\n", pages);
	file = memfd_create("vgem_userptr", MFD_CLOEXEC | MFD_HUGETLB);
	igt_require_f(file >= 0, "no memfd of huge pages\n");
	igt_assert_eq(ftruncate(file, size), 0);
	return file;
}

static void hugetlb(enum vup_how how)
{
	static const struct {
		size_t first, pages;
	} part_of[] = {
		{ 0, 512 }, { 0, 1 }, { 511, 1 }, { 17, 100 }, { 500, 24 }, { 0, 1024 },
	};
	int file = hugetlb_file(3 * HUGE, 4);
	char *ptr = vup_map_memfd(vup_reserve(3 * HUGE, HUGE), file, 3 * HUGE, 0);

	vup_paint(ptr, 3 * HUGE, 4);
	for (int i = 0; i < (int)ARRAY_SIZE(part_of); i++) {
		size_t at = part_of[i].first * page, size = part_of[i].pages * page;

		vup_bind_how(&v, how, ptr + at, va, size, false);
		vup_ok(&v, op_xor(va, size, ~0));
		for (size_t w = 0; w < 3 * HUGE / 4; w++) {
			bool in = w >= at / 4 && w < (at + size) / 4;

			igt_assert_eq_u32(((uint32_t *)ptr)[w], vup_word(4, w) ^ (in ? ~0u : 0));
		}
		vup_ok(&v, op_xor(va, size, ~0));
		vup_unbind(&v, va, size);
	}

	/* A page that leaves the file, and one that leaves the mapping */
	vup_bind_how(&v, how, ptr, va, 3 * HUGE, false);
	vup_ok(&v, op_xor(va, 3 * HUGE, 0));
	igt_assert_eq(syscall(SYS_fallocate, file, 1 | 2, (off_t)HUGE, (off_t)HUGE), 0);
	vup_ok(&v, op_xor(va + HUGE, HUGE, 0x77));
	vup_check_value(ptr + HUGE, HUGE, 0x77);
	vup_unmap(ptr + 2 * HUGE, HUGE);
	vup_refuse(&v, -EFAULT, va + 2 * HUGE, op_fill(va, 3 * HUGE, 1));
	vup_map_memfd(ptr + 2 * HUGE, file, HUGE, 2 * HUGE);
	vup_ok(&v, op_xor(va, 3 * HUGE, 0));
	for (size_t w = 0; w < 3 * HUGE / 4; w++)
		if (w < HUGE / 4 || w >= 2 * HUGE / 4)
			igt_assert_eq_u32(((uint32_t *)ptr)[w], vup_word(4, w));
	vup_unbind(&v, va, 3 * HUGE);
	vup_unmap(ptr, 3 * HUGE);
	close(file);
}

/*
 * Mappings that cover the whole reach of a page table of the next level share
 * it among processes; a process that unmaps a part of them has to leave first.
 */
static void hugetlb_shared(enum vup_how how)
{
	size_t reach = 1ull << 30;
	int file = hugetlb_file(reach, 4);
	char *ptr = vup_reserve(reach, reach);
	struct vup_gate go, leave, done;

	igt_require_f(mmap(ptr, reach, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file, 0) == ptr,
		      "no address space for %zu bytes of huge pages\n", reach);
	vup_paint(ptr, 2 * HUGE, 5);
	vup_bind_how(&v, how, ptr, va, 2 * HUGE, false);
	vup_ok(&v, op_xor(va, 2 * HUGE, 1), op_xor(va, 2 * HUGE, 1));
	/* Two, or the first child through might take the other's turn. */
	vup_gate_init(&go);
	vup_gate_init(&leave);
	vup_gate_init(&done);
	igt_fork(child, 2) {
		/* To the child it is empty: a fault is what shares the table. */
		vup_check_paint(ptr, 2 * HUGE, 5);
		vup_gate_open(&done);
		vup_gate_pass(&go);
		if (child)
			vup_unmap(ptr, HUGE);
		else
			igt_assert_eq(mprotect(ptr, reach, PROT_NONE), 0);
		vup_gate_open(&done);
		vup_gate_pass(&leave);
	}
	for (int i = 0; i < 2; i++)
		vup_gate_pass(&done);
	vup_ok(&v, op_xor(va, 2 * HUGE, 1), op_xor(va, 2 * HUGE, 1));
	for (int i = 0; i < 2; i++)
		vup_gate_open(&go);
	for (int i = 0; i < 2; i++)
		vup_gate_pass(&done);
	/* Theirs is gone, ours is not. */
	vup_check_paint(ptr, 2 * HUGE, 5);
	vup_ok(&v, op_fill(va, 2 * HUGE, 0x55));
	vup_check_value(ptr, 2 * HUGE, 0x55);
	/* And the other way round, with the children still there */
	vup_unmap(ptr, HUGE);
	vup_refuse(&v, -EFAULT, va, op_fill(va, 2 * HUGE, 1));
	for (int i = 0; i < 2; i++)
		vup_gate_open(&leave);
	igt_waitchildren();
	vup_gate_fini(&go);
	vup_gate_fini(&leave);
	vup_gate_fini(&done);
	vup_unbind(&v, va, 2 * HUGE);
	munmap(ptr, reach);
	close(file);
}

int igt_main()
{
	static const char * const split_name[] = {
		[SPLIT_MUNMAP] = "munmap", [SPLIT_MPROTECT] = "mprotect",
		[SPLIT_DONTNEED] = "dontneed", [SPLIT_MREMAP] = "mremap", [SPLIT_FORK] = "fork",
	};
	static const char * const backing_name[] = {
		[ANON] = "anon", [SHMEM] = "shmem", [REAL_FILE] = "file",
	};
	static const struct {
		size_t first, pages;
	} part_of[] = {
		{ 0, 1 }, { 1, 1 }, { 255, 2 }, { 511, 1 }, { 3, 509 }, { 0, 511 }, { 500, 24 },
	};

	igt_fixture() {
		page = vup_page();
		igt_require_f(page == 4096, "not for this page size\n");
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if a huge page is mapped for more than its part in the range "
		     "(CVE-2025-40336).");
	igt_subtest_with_dynamic("part")
		for (int i = 0; i < (int)ARRAY_SIZE(part_of); i++)
			igt_dynamic_f("%zu-of-512-from-%zu", part_of[i].pages, part_of[i].first)
				part(part_of[i].first, part_of[i].pages);

	for (int by = 0; by < (int)ARRAY_SIZE(split_name); by++) {
		igt_describe("Broken if the device keeps a huge page that is no longer one.");
		igt_subtest_with_dynamic_f("split-%s", split_name[by])
			for (int how = 0; how < VUP_HOWS; how++)
				igt_dynamic(vup_how_name[how])
					split(by, how);
	}

	for (int i = 0; i < (int)ARRAY_SIZE(backing_name); i++) {
		igt_describe("Broken if the device keeps the small pages that became a huge one "
			     "(CVE-2022-48991).");
		igt_subtest_f("collapse-%s", backing_name[i])
			collapse(i);
	}

	igt_describe("Broken if hugetlb pages are taken for what they are not.");
	igt_subtest_with_dynamic("hugetlb")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				hugetlb(how);

	igt_describe("Broken if another process' unmapping moves our device (CVE-2025-38085).");
	igt_subtest_with_dynamic("hugetlb-shared")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				hugetlb_shared(how);

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
