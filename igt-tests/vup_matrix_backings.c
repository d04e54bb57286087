// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * The memory of the matrix. A backing says where a cell's mapping is from; all
 * are laid out alike: canary, range, canary. In a file the canary that comes
 * after the range comes first, so that the file can be cut within the range.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <linux/kernel-page-flags.h>

#include "vup_matrix.h"

#define HUGE	VUP_WINDOW
#define PAGES	8

off_t vup_cell_offset(const struct vup_cell *c, size_t at)
{
	return 2 * c->canary + at;
}

static size_t total(const struct vup_cell *c)
{
	return c->size + 2 * c->canary;
}

/* Address space for all of it, so that @ptr is aligned to @align */
static void reserve(struct vup_cell *c, size_t align)
{
	size_t rim = max(align, c->canary);
	char *start = vup_reserve(c->size + 2 * rim, max(align, vup_page()));

	c->ptr = start + rim;
	if (rim > c->canary) {
		vup_unmap(start, rim - c->canary);
		vup_unmap(c->ptr + c->size + c->canary, rim - c->canary);
	}
}

static size_t align_of(const struct vup_cell *c)
{
	return c->op->flags & VUP_OP_LARGE ? HUGE : vup_page();
}

static void make_anon(struct vup_cell *c)
{
	c->map_flags = MAP_PRIVATE | MAP_ANONYMOUS;
	reserve(c, align_of(c));
}

/* As the kernel makes a stack, but where nobody trips over a hole in it */
static void make_stack(struct vup_cell *c)
{
	c->map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_STACK;
	reserve(c, align_of(c));
}

/*
 * A piece of the heap, got once: what malloc() gets after it keeps it from
 * being given back. Mapped anew it is heap again, as its neighbours are.
 */
static char *heap;
static size_t heap_size;

static void make_heap(struct vup_cell *c)
{
	size_t align = align_of(c), need = total(c) + align;

	c->map_flags = MAP_PRIVATE | MAP_ANONYMOUS;
	if (heap_size < need) {
		char *brk = sbrk(0);
		size_t skip = -(uintptr_t)brk & (vup_page() - 1);

		igt_require_f(sbrk(skip + need) != (void *)-1, "no heap\n");
		heap = brk + skip;
		heap_size = need;
	}
	c->ptr = (char *)(((uintptr_t)heap + c->canary + align - 1) & ~(align - 1));
}

static void make_memfd(struct vup_cell *c)
{
	c->map_flags = MAP_SHARED;
	c->file = vup_memfd(total(c));
	reserve(c, align_of(c));
}

static void require_real_file(void)
{
	int file = vup_real_file(vup_page());
	void *ptr = mmap(NULL, vup_page(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	close(file);
	igt_require_f(ptr != MAP_FAILED, "no shared mappings on this file system\n");
	vup_unmap(ptr, vup_page());
}

static void make_file(struct vup_cell *c)
{
	c->map_flags = MAP_SHARED;
	c->file = vup_real_file(total(c));
	reserve(c, align_of(c));
}

static void make_private_file(struct vup_cell *c)
{
	c->map_flags = MAP_PRIVATE;
	c->file = vup_real_file(total(c));
	reserve(c, align_of(c));
}

static void require_thp(void)
{
	igt_require_f(access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0,
		      "kernel without transparent huge pages\n");
}

/* The part is in the middle of a huge page, which operations split. */
static void make_thp(struct vup_cell *c)
{
	c->map_flags = MAP_PRIVATE | MAP_ANONYMOUS;
	c->size = HUGE;
	c->at = HUGE / 4;
	c->len = HUGE / 2;
	reserve(c, HUGE);
}

static void require_hugetlb(void)
{
	igt_require_f(access("/proc/sys/vm/nr_hugepages", W_OK) == 0, "kernel without hugetlb\n");
	/* Three, two canaries, and some that a file keeps and its mapping has lost */
	vup_knob_set("/proc/sys/vm/nr_hugepages", "12");
	igt_require_f(vup_file_number("/proc/meminfo", "HugePages_Total") >= 12 &&
		      vup_file_number("/proc/meminfo", "Hugepagesize") == HUGE / 1024,
		      "no 12 huge pages of 2 MiB to be had\n");
}

static void make_hugetlb(struct vup_cell *c)
{
	c->map_flags = MAP_SHARED;
	c->canary = HUGE;
	c->size = 3 * HUGE;
	c->at = HUGE;
	c->len = HUGE;
	c->file = memfd_create("vgem_userptr", MFD_CLOEXEC | MFD_HUGETLB);
	igt_require_f(c->file >= 0, "no memfd of huge pages\n");
	igt_assert_eq(ftruncate(c->file, total(c)), 0);
	reserve(c, HUGE);
}

static void require_nothing(void)
{
}

const struct vup_backing vup_backings[] = {
	{ "anon", VUP_IS_ANON | VUP_IS_SWAPPED, require_nothing, make_anon },
	{ "memfd", VUP_IS_SHARED | VUP_IS_SWAPPED, require_nothing, make_memfd },
	{ "file", VUP_IS_SHARED | VUP_IS_REAL, require_real_file, make_file },
	{ "private-file", VUP_IS_REAL, require_real_file, make_private_file },
	{ "stack", VUP_IS_ANON | VUP_IS_SWAPPED, require_nothing, make_stack },
	{ "heap", VUP_IS_ANON | VUP_IS_SWAPPED, require_nothing, make_heap },
	{ "thp", VUP_IS_ANON | VUP_IS_SWAPPED | VUP_IS_THP, require_thp, make_thp },
	{ "hugetlb", VUP_IS_SHARED | VUP_IS_HUGETLB, require_hugetlb, make_hugetlb },
};
const int vup_nr_backings = ARRAY_SIZE(vup_backings);

bool vup_backing_there(const struct vup_backing *b)
{
	int file;
	bool there;

	if (b->is & VUP_IS_THP)
		return access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0;
	if (!(b->is & VUP_IS_HUGETLB))
		return true;
	file = memfd_create("vgem_userptr", MFD_CLOEXEC | MFD_HUGETLB);
	there = file >= 0;
	if (there)
		close(file);
	errno = 0;
	return there;
}

/* @at may be in a canary: before the range it is negative, in a manner of speaking. */
static void map(struct vup_cell *c, ssize_t at, size_t len, off_t offset)
{
	char *addr = c->ptr + at;
	bool file = c->file >= 0;

	igt_assert_f(mmap(addr, len, c->prot, c->map_flags | MAP_FIXED, c->file,
			  file ? offset : 0) == addr, "%s: %s\n", c->backing->name,
		     strerror(errno));
}

void vup_cell_map(struct vup_cell *c, size_t at, size_t len)
{
	map(c, at, len, vup_cell_offset(c, at));
}

static void become_huge(struct vup_cell *c)
{
	if (!vup_page_flag(c->ptr, KPF_THP))
		igt_require_f(madvise(c->ptr, HUGE, MADV_COLLAPSE) == 0,
			      "no huge page to be had\n");
}

static void put(struct vup_cell *c, const void *buf, size_t len, off_t offset)
{
	igt_assert_eq(pwrite(c->file, buf, len, offset), len);
}

/* A private mapping finds in the file what others have in memory. */
static void paint(struct vup_cell *c)
{
	bool private_file = c->file >= 0 && !(c->backing->is & VUP_IS_SHARED);
	char *canary = malloc(c->canary);

	igt_assert(canary);
	vup_paint(canary, c->canary, VUP_CANARY);
	vup_cell_fill(c->shadow, 0, c->size, VUP_OLD);
	memcpy(c->below, c->shadow, c->size);
	if (private_file) {
		put(c, c->shadow, c->size, vup_cell_offset(c, 0));
		put(c, canary, c->canary, vup_cell_offset(c, 0) - c->canary);
		put(c, canary, c->canary, 0);
	} else {
		memcpy(c->ptr, c->shadow, c->size);
		memcpy(c->ptr - c->canary, canary, c->canary);
		memcpy(c->ptr + c->size, canary, c->canary);
	}
	free(canary);
	/* So that for the CPU all of it is there, whatever it is */
	for (size_t at = 0; at < total(c); at += vup_page())
		READ_ONCE((c->ptr - c->canary)[at]);
}

void vup_backing_make(struct vup_cell *c)
{
	c->file = -1;
	c->prot = PROT_READ | PROT_WRITE;
	c->canary = vup_page();
	if (c->op->flags & VUP_OP_LARGE) {
		c->size = HUGE;
		c->len = HUGE;
		/* In a file it has to begin at a multiple of its size, too. */
		c->canary = HUGE / 2;
	} else {
		c->size = PAGES * vup_page();
		c->at = 2 * vup_page();
		c->len = 4 * vup_page();
	}
	c->backing->make(c);
	c->shadow = malloc(c->size);
	c->below = malloc(c->size);
	c->frames = malloc(c->size / vup_page() * sizeof(*c->frames));
	igt_assert(c->shadow && c->below && c->frames);

	if (c->file < 0) {
		map(c, -(ssize_t)c->canary, total(c), 0);
	} else {
		map(c, -(ssize_t)c->canary, c->size + c->canary, c->canary);
		map(c, c->size, c->canary, 0);
	}
	if (c->backing->is & VUP_IS_ANON)
		madvise(c->ptr - c->canary, total(c), MADV_NOHUGEPAGE);
	if (c->backing->is & VUP_IS_THP)
		madvise(c->ptr, c->size, MADV_HUGEPAGE);
	errno = 0;
	paint(c);
	if (c->backing->is & VUP_IS_THP)
		become_huge(c);
}

void vup_backing_free(struct vup_cell *c)
{
	if (c->ptr && c->ptr - c->canary >= heap && c->ptr < heap + heap_size)
		igt_assert(mmap(heap, heap_size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == heap);
	else if (c->ptr)
		munmap(c->ptr - c->canary, total(c));
	if (c->file >= 0)
		close(c->file);
	free(c->shadow);
	free(c->below);
	free(c->frames);
}
