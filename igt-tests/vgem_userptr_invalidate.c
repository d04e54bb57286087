// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr invalidate
 * Description: What the mm takes away is gone for the engine, what it gives is there
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, mmu notifier
 * Test category: functionality test
 *
 * SUBTEST: idle-%s
 * Description: %arg[1] between two jobs: the second sees the new memory or is refused
 * arg[1].values: munmap, munmap-first, munmap-middle, munmap-last, revive, map-fixed, map-fixed-memfd, map-fixed-hole, mremap-away, mremap-away-and-back, mremap-in, mremap-dontunmap, mremap-shrink, mremap-grow, dontneed, remove, punch-hole, mprotect-read, mprotect-none
 *
 * SUBTEST: busy-%s
 * Description: %arg[1] while a job spins: returns only after the job, which keeps its memory
 * arg[1].values: munmap, map-fixed, mremap-away, mremap-onto, dontneed, mprotect-read, mprotect-none
 *
 * SUBTEST: busy-fork
 * Description: fork() copies pages only when the job that writes to them is done
 *
 * SUBTEST: busy-other-vm
 * Description: a job on another VM delays no munmap
 *
 * SUBTEST: busy-unbound
 * Description: memory that is bound nowhere, or no longer, is unmapped at once
 *
 * SUBTEST: busy-two-vms
 * Description: munmap of memory in two VMs waits for the jobs of both
 *
 * SUBTEST: busy-two-queues
 * Description: munmap waits for the jobs of all queues of a VM
 *
 * SUBTEST: busy-queued
 * Description: munmap waits for jobs that wait behind a running one too
 *
 * SUBTEST: busy-dependent
 * Description: munmap waits for a job that has not begun, as it waits for another VM's
 *
 * SUBTEST: every-call-after-munmap
 * Description: what each call says about memory that is gone, and that none is harmed by it
 *
 * SUBTEST: idle-queues-tlb
 * Description: queues that have nothing to do have stale entries, too: flushed all the same
 *
 * SUBTEST: dma-mappings
 * Description: memory that the mm took back is not mapped for DMA any more
 *
 * SUBTEST: munmap-huge-hole
 * Description: munmap of a TiB of nothing with a small userptr in it costs what the userptr does
 *
 * SUBTEST: neighbours
 * Description: what happens beside a range does not concern it
 *
 * SUBTEST: others-undisturbed
 * Description: a binding whose memory is gone fails only the jobs that name it
 *
 * SUBTEST: old-pages
 * Description: pages taken away and used by others are not read or written any more
 *
 * SUBTEST: old-pages-memfd
 * Description: pages swapped by remapping: the device writes to the new, never to the old
 *
 * SUBTEST: holes
 * Description: the fault address names the hole, wherever it is
 *
 * SUBTEST: cycles
 * Description: a thousand times invalidated and used again, with all data checked
 *
 * SUBTEST: read-only-cycles
 * Description: the same for a read-only userptr, whose pages are never dirtied
 *
 * SUBTEST: stats-idle
 * Description: nothing invalidated, nothing populated
 *
 * SUBTEST: stats-one-window
 * Description: one page of 16 MiB taken away costs one window
 *
 * SUBTEST: stats-counters
 * Description: the other counters of a VM move with what they count
 */

IGT_TEST_DESCRIPTION("What the mm does to memory that the engine uses: idle, busy, and counted.");

static int fd = -1;
static struct vup v;
static size_t page;

/*
 * Idle: four pages, painted and used by a job, so that page table and TLB know
 * them. A function changes the CPU's side; the next job must see that.
 */

#define PAGES	4

struct range {
	char *ptr;
	size_t size;
	uint64_t va;
	/* A memfd behind a shared mapping, or -1 for anonymous memory */
	int memfd;
};

static void warm(const struct range *r)
{
	vup_paint(r->ptr, r->size, 1);
	vup_ok(&v, op_xor(r->va, r->size, 0xdead), op_xor(r->va, r->size, 0xdead));
	vup_check_paint(r->ptr, r->size, 1);
}

/* The device must see what the CPU sees, and the CPU what the device writes. */
static void agrees(const struct range *r)
{
	igt_assert_eq_u32(vup_device_crc(&v, r->va, r->size), vup_crc32(r->ptr, r->size));
	vup_paint(r->ptr, r->size, 2);
	igt_assert_eq_u32(vup_device_crc(&v, r->va, r->size), vup_crc32(r->ptr, r->size));
	vup_ok(&v, op_fill(r->va, r->size, 0x7777));
	vup_check_value(r->ptr, r->size, 0x7777);
}

static void gone(const struct range *r, int err, int at)
{
	uint64_t hole = r->va + at * page;

	vup_refuse(&v, err, hole, op_fill(r->va, r->size, 1));
	vup_refuse(&v, err, hole, op_spin(hole, 1, 1));
}

static void idle_munmap(struct range *r)
{
	vup_unmap(r->ptr, r->size);
	gone(r, -EFAULT, 0);
	/* Still so when asked again */
	gone(r, -EFAULT, 0);
}

static void munmap_page(struct range *r, int at)
{
	vup_unmap(r->ptr + at * page, page);
	gone(r, -EFAULT, at);
	vup_map_fixed(r->ptr + at * page, page, PROT_READ | PROT_WRITE);
	for (int i = 0; i < PAGES; i++) {
		if (i == at)
			vup_check_value(r->ptr + i * page, page, 0);
		else
			igt_assert_eq_u32(*(uint32_t *)(r->ptr + i * page),
					  vup_word(1, i * page / 4));
	}
	agrees(r);
}

static void idle_munmap_first(struct range *r)
{
	munmap_page(r, 0);
}

static void idle_munmap_middle(struct range *r)
{
	munmap_page(r, 1);
}

static void idle_munmap_last(struct range *r)
{
	munmap_page(r, PAGES - 1);
}

static void idle_revive(struct range *r)
{
	vup_unmap(r->ptr, r->size);
	gone(r, -EFAULT, 0);
	vup_map_fixed(r->ptr, r->size, PROT_READ | PROT_WRITE);
	vup_paint(r->ptr, r->size, 3);
	agrees(r);
}

static void idle_map_fixed(struct range *r)
{
	vup_map_fixed(r->ptr, r->size, PROT_READ | PROT_WRITE);
	vup_paint(r->ptr, r->size, 4);
	agrees(r);
}

static void idle_map_fixed_memfd(struct range *r)
{
	int memfd = vup_memfd(r->size);
	char *alias = vup_map_memfd(NULL, memfd, r->size, 0);

	vup_paint(alias, r->size, 5);
	vup_map_memfd(r->ptr, memfd, r->size, 0);
	agrees(r);
	vup_check_value(alias, r->size, 0x7777);
	vup_unmap(alias, r->size);
	close(memfd);
}

static void idle_map_fixed_hole(struct range *r)
{
	vup_map_fixed(r->ptr + 2 * page, page, PROT_NONE);
	gone(r, -EFAULT, 2);
}

static void idle_mremap_away(struct range *r)
{
	char *away = vup_reserve(r->size, page);

	igt_assert(mremap(r->ptr, r->size, r->size, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
	gone(r, -EFAULT, 0);
	/* The userptr is the address, not the memory: that stays as it was. */
	vup_check_paint(away, r->size, 1);
	vup_map_fixed(r->ptr, r->size, PROT_READ | PROT_WRITE);
	agrees(r);
	vup_check_paint(away, r->size, 1);
	vup_unmap(away, r->size);
}

static void idle_mremap_away_and_back(struct range *r)
{
	char *away = vup_reserve(r->size, page);

	igt_assert(mremap(r->ptr, r->size, r->size, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
	vup_paint(away, r->size, 6);
	igt_assert(mremap(away, r->size, r->size, MREMAP_MAYMOVE | MREMAP_FIXED, r->ptr) == r->ptr);
	igt_assert_eq_u32(vup_device_crc(&v, r->va, r->size), vup_crc32(r->ptr, r->size));
	vup_check_paint(r->ptr, r->size, 6);
	agrees(r);
}

static void idle_mremap_in(struct range *r)
{
	/* Pages that exist already, so they cannot be those that were there. */
	char *other = vup_alloc(r->size);

	vup_paint(other, r->size, 7);
	igt_assert(mremap(other, r->size, r->size, MREMAP_MAYMOVE | MREMAP_FIXED,
			  r->ptr) == r->ptr);
	igt_assert_eq_u32(vup_device_crc(&v, r->va, r->size), vup_crc32(r->ptr, r->size));
	vup_check_paint(r->ptr, r->size, 7);
	agrees(r);
}

static void idle_mremap_dontunmap(struct range *r)
{
	char *away = vup_reserve(r->size, page);

	igt_assert(mremap(r->ptr, r->size, r->size,
			  MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, away) == away);
	vup_check_paint(away, r->size, 1);
	vup_ok(&v, op_xor(r->va, r->size, 0x88));
	vup_check_value(r->ptr, r->size, 0x88);
	vup_check_paint(away, r->size, 1);
	agrees(r);
	vup_check_paint(away, r->size, 1);
	vup_unmap(away, r->size);
}

static void idle_mremap_shrink(struct range *r)
{
	igt_assert(mremap(r->ptr, r->size, 2 * page, 0) == r->ptr);
	gone(r, -EFAULT, 2);
	igt_assert_eq_u32(*(uint32_t *)r->ptr, vup_word(1, 0));
}

static void idle_mremap_grow(struct range *r)
{
	/* The mapping ends before the userptr does, then grows into it. */
	vup_unmap(r->ptr + 2 * page, 2 * page);
	gone(r, -EFAULT, 2);
	igt_assert(mremap(r->ptr, 2 * page, r->size, 0) == r->ptr);
	igt_assert_eq_u32(*(uint32_t *)r->ptr, vup_word(1, 0));
	vup_check_value(r->ptr + 2 * page, 2 * page, 0);
	agrees(r);
}

static void idle_dontneed(struct range *r)
{
	/* Half of it, and the device looks first. */
	igt_assert_eq(madvise(r->ptr + page, 2 * page, MADV_DONTNEED), 0);
	vup_ok(&v, op_xor(r->va, r->size, 0x99));
	for (size_t i = 0; i < r->size / 4; i++) {
		bool dropped = i >= page / 4 && i < 3 * page / 4;

		igt_assert_eq_u32(((uint32_t *)r->ptr)[i], (dropped ? 0 : vup_word(1, i)) ^ 0x99);
	}
	igt_assert_eq(madvise(r->ptr, r->size, MADV_DONTNEED), 0);
	vup_ok(&v, op_xor(r->va, r->size, 0x99));
	vup_check_value(r->ptr, r->size, 0x99);
	agrees(r);
}

/* File pages that leave the file: mappings stay, and find zeroes. */
static void punched(struct range *r, int err)
{
	igt_require_f(err != EOPNOTSUPP && err != ENOSYS && err != EINVAL,
		      "kernel cannot punch holes into memfds\n");
	igt_assert_eq(err, 0);
	vup_ok(&v, op_xor(r->va, r->size, 0x55));
	for (size_t i = 0; i < r->size / 4; i++) {
		bool dropped = i >= page / 4 && i < 3 * page / 4;

		igt_assert_eq_u32(((uint32_t *)r->ptr)[i], (dropped ? 0 : vup_word(1, i)) ^ 0x55);
	}
	agrees(r);
}

static void idle_remove(struct range *r)
{
	punched(r, madvise(r->ptr + page, 2 * page, MADV_REMOVE) ? errno : 0);
}

static void idle_punch_hole(struct range *r)
{
	/* FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE */
	punched(r, syscall(SYS_fallocate, r->memfd, 1 | 2, (off_t)page, (off_t)(2 * page)) ?
		errno : 0);
}

static void idle_mprotect_read(struct range *r)
{
	igt_assert_eq(mprotect(r->ptr + page, page, PROT_READ), 0);
	gone(r, -EPERM, 1);
	vup_check_paint(r->ptr, r->size, 1);
	igt_assert_eq(mprotect(r->ptr + page, page, PROT_READ | PROT_WRITE), 0);
	vup_ok(&v, op_xor(r->va, r->size, 0), op_xor(r->va, 4, 0));
	vup_check_paint(r->ptr, r->size, 1);
	agrees(r);
}

static void idle_mprotect_none(struct range *r)
{
	igt_assert_eq(mprotect(r->ptr + 3 * page, page, PROT_NONE), 0);
	gone(r, -EFAULT, 3);
	igt_assert_eq(mprotect(r->ptr + 3 * page, page, PROT_READ | PROT_WRITE), 0);
	vup_check_paint(r->ptr, r->size, 1);
	agrees(r);
}

static const struct {
	const char *name;
	void (*change)(struct range *r);
	bool shared;
	const char *describe;
} idle_test[] = {
	{ "munmap", idle_munmap, false,
	  "Broken if a job may still name memory that is gone." },
	{ "munmap-first", idle_munmap_first, false,
	  "Broken if a hole at the front goes unnoticed, or cannot be mended." },
	{ "munmap-middle", idle_munmap_middle, false,
	  "Broken if a hole in the middle goes unnoticed, or cannot be mended." },
	{ "munmap-last", idle_munmap_last, false,
	  "Broken if a hole at the end goes unnoticed, or cannot be mended." },
	{ "revive", idle_revive, false,
	  "Broken if an unmapped userptr is dead for ever, or sees its old pages." },
	{ "map-fixed", idle_map_fixed, false,
	  "Broken if TLB or page table keep the pages of a replaced mapping." },
	{ "map-fixed-memfd", idle_map_fixed_memfd, false,
	  "Broken if a file mapping over anonymous memory is not followed." },
	{ "map-fixed-hole", idle_map_fixed_hole, false,
	  "Broken if an inaccessible page in the middle goes unnoticed." },
	{ "mremap-away", idle_mremap_away, false,
	  "Broken if the device follows moved memory, or keeps its pages." },
	{ "mremap-away-and-back", idle_mremap_away_and_back, false,
	  "Broken if a round trip of the pages leaves the range dead." },
	{ "mremap-in", idle_mremap_in, false,
	  "Broken if TLB or page table keep the pages that others displaced." },
	{ "mremap-dontunmap", idle_mremap_dontunmap, false,
	  "Broken if the device keeps pages that moved out of a mapping that stays." },
	{ "mremap-shrink", idle_mremap_shrink, false,
	  "Broken if the cut-off end goes unnoticed." },
	{ "mremap-grow", idle_mremap_grow, false,
	  "Broken if a range cannot become whole by growth of its mapping." },
	{ "dontneed", idle_dontneed, false,
	  "Broken if the device still sees what was thrown away." },
	{ "remove", idle_remove, true,
	  "Broken if the device still sees what was removed from the file." },
	{ "punch-hole", idle_punch_hole, true,
	  "Broken if truncation behind the mapping's back is not followed." },
	{ "mprotect-read", idle_mprotect_read, false,
	  "Broken if the device may write what the process may only read (CVE-2026-31785)." },
	{ "mprotect-none", idle_mprotect_none, false,
	  "Broken if the device reaches what the process may not." },
};

static void idle(int test, enum vup_how how)
{
	struct range r = { .size = PAGES * page, .va = VUP_VA(0), .memfd = -1 };

	r.ptr = vup_reserve(r.size, page);
	if (idle_test[test].shared) {
		r.memfd = vup_memfd(r.size);
		vup_map_memfd(r.ptr, r.memfd, r.size, 0);
	} else {
		vup_map_fixed(r.ptr, r.size, PROT_READ | PROT_WRITE);
	}
	vup_bind_how(&v, how, r.ptr, r.va, r.size, false);
	warm(&r);
	idle_test[test].change(&r);
	vup_unbind(&v, r.va, r.size);
	vup_unmap(r.ptr, r.size);
	if (r.memfd >= 0)
		close(r.memfd);
}

/*
 * Busy: a job spins on a word; what comes after the spin reads and writes the
 * memory that a thread is taking away meanwhile. The main thread lets the job
 * go only when it has seen the thread asleep in its call.
 */

#define RELEASE		0x60606060
#define AFTER		0xaf7e70af

struct busy {
	char *ptr;
	char *away;
	size_t size;
	int err;
};

static void busy_munmap(void *data)
{
	struct busy *b = data;

	b->err = munmap(b->ptr, b->size);
}

static void busy_map_fixed(void *data)
{
	struct busy *b = data;

	b->err = mmap(b->ptr, b->size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != b->ptr;
}

static void busy_mremap_away(void *data)
{
	struct busy *b = data;

	b->err = mremap(b->ptr, b->size, b->size, MREMAP_MAYMOVE | MREMAP_FIXED,
			b->away) != b->away;
}

static void busy_mremap_onto(void *data)
{
	struct busy *b = data;

	b->err = mremap(b->away, b->size, b->size, MREMAP_MAYMOVE | MREMAP_FIXED,
			b->ptr) != b->ptr;
}

static void busy_dontneed(void *data)
{
	struct busy *b = data;

	b->err = madvise(b->ptr, b->size, MADV_DONTNEED);
}

static void busy_mprotect_read(void *data)
{
	struct busy *b = data;

	b->err = mprotect(b->ptr, b->size, PROT_READ);
}

static void busy_mprotect_none(void *data)
{
	struct busy *b = data;

	b->err = mprotect(b->ptr, b->size, PROT_NONE);
}

static const struct {
	const char *name;
	void (*call)(void *data);
	const char *describe;
} busy_test[] = {
	{ "munmap", busy_munmap,
	  "Broken if munmap() hands out pages that a job still uses (xdna:cdd9d5ce)." },
	{ "map-fixed", busy_map_fixed, "Broken if a mapping is replaced under a running job." },
	{ "mremap-away", busy_mremap_away, "Broken if memory moves away under a running job." },
	{ "mremap-onto", busy_mremap_onto, "Broken if memory is displaced under a running job." },
	{ "dontneed", busy_dontneed, "Broken if pages are dropped under a running job." },
	{ "mprotect-read", busy_mprotect_read,
	  "Broken if a job still writes after the memory became read-only." },
	{ "mprotect-none", busy_mprotect_none,
	  "Broken if a job still reaches memory after access to it ended." },
};

static void busy(int test, enum vup_how how)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1), out_va = VUP_VA(2);
	struct busy b = { .size = PAGES * page };
	struct vup_caller c;
	uint32_t *word = vup_alloc_word(), *out = vup_alloc(b.size);
	uint32_t syncobj;
	bool blocked;

	b.ptr = vup_alloc(b.size);
	b.away = vup_reserve(b.size, page);
	vup_map_fixed(b.away, b.size, PROT_READ | PROT_WRITE);
	vup_paint(b.ptr, b.size, 10);
	vup_paint(b.away, b.size, 11);
	vup_bind_how(&v, how, b.ptr, va, b.size, false);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, out, out_va, b.size, 0);

	vup_settle();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC),
			    op_copy(out_va, va, b.size), op_fill(va, b.size, AFTER));
	vup_caller_start(&c, busy_test[test].call, &b);
	blocked = vup_caller_blocked(&c);
	if (blocked)
		igt_assert_eq(vup_status(fd, syncobj), 1);

	/* Order matters: first say so, then let go. */
	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	igt_assert_f(!c.too_early, "%s returned while the job was running\n",
		     busy_test[test].name);
	igt_assert(blocked);
	igt_assert_eq(b.err, 0);
	/* The job had its memory to the end, with what was in it. */
	vup_check_paint(out, b.size, 10);

	if (busy_test[test].call == busy_mremap_away)
		vup_check_value(b.away, b.size, AFTER);
	else if (busy_test[test].call == busy_mremap_onto)
		vup_check_paint(b.ptr, b.size, 11);
	else if (busy_test[test].call == busy_map_fixed || busy_test[test].call == busy_dontneed)
		vup_check_value(b.ptr, b.size, 0);
	else if (busy_test[test].call == busy_mprotect_read)
		vup_check_value(b.ptr, b.size, AFTER);

	vup_unbind(&v, va, b.size);
	vup_unbind(&v, word_va, page);
	vup_unbind(&v, out_va, b.size);
	munmap(b.ptr, b.size);
	munmap(b.away, b.size);
	vup_unmap(word, page);
	vup_unmap(out, b.size);
}

/*
 * fork() goes through the address space with the mmap_lock held, and takes away
 * write access on its way: nobody in this process could be sure to get at the
 * word. So the spin ends by itself, and what the job writes then tells.
 */
static void busy_fork(enum vup_how how)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word();
	size_t size = PAGES * page;
	char *ptr = vup_alloc(size);
	int status, active;
	uint32_t syncobj;
	pid_t pid;

	vup_paint(ptr, size, 12);
	vup_bind_how(&v, how, ptr, va, size, false);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, NSEC_PER_SEC), op_fill(va, size, AFTER));
	pid = fork();
	if (!pid)
		_exit(*(volatile uint32_t *)ptr != AFTER ||
		      *(volatile uint32_t *)(ptr + size - 4) != AFTER);
	active = vup_status(fd, syncobj);
	igt_assert_lt(0, pid);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_f(active == 0, "fork() returned while the job was running\n");
	igt_assert_f(status == 0, "the child did not get what the job wrote\n");
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	vup_check_value(ptr, size, AFTER);
	vup_unbind(&v, va, size);
	vup_unbind(&v, word_va, page);
	vup_unmap(ptr, size);
	vup_unmap(word, page);
}

static void busy_other_vm(void)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word(), *ptr = vup_alloc(page);
	uint32_t syncobj;
	struct vup w;

	vup_init(&w, fd);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&w, ptr, va, page, 0);
	vup_ok(&w, op_fill(va, page, 1));

	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	/* Were it to wait, the spin would be over. */
	vup_unmap(ptr, page);
	igt_assert_eq(vup_status(fd, syncobj), 1);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	vup_fini(&w);
	vup_unbind(&v, word_va, page);
	vup_unmap(word, page);
}

static void busy_unbound(enum vup_how how)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word(), *ptr = vup_alloc(page), *other = vup_alloc(page);
	uint32_t syncobj, handle = 0;

	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	/* Was bound and used once; as an object it even lives on. */
	if (how == VUP_BO) {
		handle = vup_userptr_create(fd, ptr, page, 0);
		vup_bind_bo(&v, handle, va, page, 0, 0);
	} else {
		vup_bind_mem(&v, ptr, va, page, 0);
	}
	vup_ok(&v, op_fill(va, page, 1));
	vup_unbind(&v, va, page);

	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	vup_unmap(ptr, page);
	vup_unmap(other, page);
	igt_assert_eq(vup_status(fd, syncobj), 1);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	if (handle)
		gem_close(fd, handle);
	vup_unbind(&v, word_va, page);
	vup_unmap(word, page);
}

/*
 * One munmap of memory that several jobs use. They are let go one by one, and
 * after each but the last the thread must still be asleep.
 */
static void busy_several(struct vup *vups, int count, char *ptr, size_t size,
			 uint32_t *word, uint64_t word_va)
{
	struct busy b = { .ptr = ptr, .size = size };
	uint32_t syncobj[4];
	struct vup_caller c;
	bool early = false;

	igt_assert_lte(count, (int)ARRAY_SIZE(syncobj));
	vup_settle();
	for (int i = 0; i < count; i++)
		syncobj[i] = vup_start(&vups[i], op_spin(word_va + 4 * i, RELEASE,
							 8 * NSEC_PER_SEC));
	vup_caller_start(&c, busy_munmap, &b);
	for (int i = 0; i < count; i++) {
		if (!vup_caller_blocked(&c))
			early = true;
		if (i == count - 1)
			atomic_store(&c.released, true);
		WRITE_ONCE(word[i], RELEASE);
		igt_assert_eq(vup_finish(fd, syncobj[i]), 0);
	}
	vup_caller_join(&c);
	igt_assert_f(!early && !c.too_early, "munmap did not wait for all jobs\n");
	igt_assert_eq(b.err, 0);
}

static void busy_two_vms(void)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word();
	char *ptr = vup_alloc(page);
	struct vup w[2] = { v };

	vup_init(&w[1], fd);
	for (int i = 0; i < 2; i++) {
		vup_bind_mem(&w[i], word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
		vup_bind_mem(&w[i], ptr, va, page, 0);
		vup_ok(&w[i], op_fill(va, page, 1));
	}
	busy_several(w, 2, ptr, page, word, word_va);
	vup_fini(&w[1]);
	vup_unbind(&v, va, page);
	vup_unbind(&v, word_va, page);
	vup_unmap(word, page);
}

static void busy_two_queues(void)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word();
	char *ptr = vup_alloc(page);
	struct vup w[2] = { v, v };

	igt_assert_eq(__vup_queue_create(fd, v.vm, &w[1].queue), 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, ptr, va, page, 0);
	vup_ok(&v, op_fill(va, page, 1));
	busy_several(w, 2, ptr, page, word, word_va);
	igt_assert_eq(__vup_queue_destroy(fd, w[1].queue), 0);
	vup_unbind(&v, va, page);
	vup_unbind(&v, word_va, page);
	vup_unmap(word, page);
}

static void busy_queued(void)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word();
	char *ptr = vup_alloc(page);
	struct vup w[3] = { v, v, v };

	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, ptr, va, page, 0);
	vup_ok(&v, op_fill(va, page, 1));
	busy_several(w, 3, ptr, page, word, word_va);
	vup_unbind(&v, va, page);
	vup_unbind(&v, word_va, page);
	vup_unmap(word, page);
}

static void busy_dependent(void)
{
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word(), syncobj, done = syncobj_create(fd, 0);
	struct busy b = { .ptr = vup_alloc(page), .size = page };
	struct drm_vgem_op op = op_fill(va, page, AFTER);
	struct drm_vgem_sync syncs[2] = { };
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		.syncs = { .stride = sizeof(syncs[0]), .count = 2, .array = (uintptr_t)syncs },
	};
	struct vup_caller c;
	struct vup w;

	vup_init(&w, fd);
	vup_bind_mem(&w, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, b.ptr, va, page, 0);
	vup_ok(&v, op_fill(va, page, 1));
	vup_settle();
	syncobj = vup_start(&w, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	syncs[0].handle = syncobj;
	syncs[1].handle = done;
	syncs[1].flags = DRM_VGEM_SYNC_SIGNAL;
	igt_assert_eq(__vup_exec(fd, &exec), 0);

	/* Nothing runs in this VM, but something is going to. */
	vup_caller_start(&c, busy_munmap, &b);
	igt_assert_f(vup_caller_blocked(&c), "munmap did not wait for a job that waits\n");
	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert(!c.too_early);
	igt_assert_eq(b.err, 0);
	igt_assert_eq(vup_status(fd, done), 0);
	igt_assert_eq(vup_finish(fd, done), 0);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	vup_fini(&w);
	vup_unbind(&v, va, page);
	vup_unmap(word, page);
}

static void every_call_after_munmap(void)
{
	uint64_t va = VUP_VA(0), again = VUP_VA(1);
	char *ptr = vup_alloc(page);
	uint32_t before = vup_userptr_create(fd, ptr, page, DRM_VGEM_USERPTR_PROBE), after, none;

	vup_bind_bo(&v, before, va, page, 0, 0);
	vup_ok(&v, op_fill(va, page, 1));
	vup_unmap(ptr, page);

	/* Looking at the memory is refused, and only that. */
	igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr, page, DRM_VGEM_USERPTR_PROBE,
					   &none), -EFAULT);
	after = vup_userptr_create(fd, ptr, page, 0);
	vup_refuse(&v, -EFAULT, va, op_fill(va, page, 2));
	/* Bound anew, by the old object, by a new one, and by none */
	for (int i = 0; i < 3; i++) {
		if (i == 2)
			vup_bind_mem(&v, ptr, again, page, 0);
		else
			vup_bind_bo(&v, i ? after : before, again, page, 0, 0);
		vup_refuse(&v, -EFAULT, again, op_fill(again, page, 2));
		vup_refuse(&v, -EFAULT, again, op_crc32(again, page, again));
		vup_unbind(&v, again, page);
		igt_assert_eq(vup_do(&v, op_fill(again, page, 2)), -EFAULT);
	}
	vup_bind_bo(&v, after, again, page, 0, 0);
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, page, 3), op_xor(again, page, 4));
	vup_check_value(ptr, page, 7);
	vup_unbind(&v, va, page);
	vup_unbind(&v, again, page);
	gem_close(fd, before);
	gem_close(fd, after);
	vup_unmap(ptr, page);
}

/*
 * Each queue has a TLB of its own. All are warm and idle when the page goes to
 * somebody else; a flush that spares idle queues lets them at it.
 */
static void idle_queues_tlb(enum vup_how how)
{
	enum { QUEUES = 4 };
	struct drm_vgem_vm_stats before, after;
	uint64_t va = VUP_VA(0);
	int memfd = vup_memfd(2 * page);
	char *alias = vup_map_memfd(NULL, memfd, 2 * page, 0);
	char *ptr = vup_map_memfd(NULL, memfd, page, 0);
	struct vup w[QUEUES];

	vup_bind_how(&v, how, ptr, va, page, false);
	for (int q = 0; q < QUEUES; q++) {
		w[q] = v;
		igt_assert_eq(__vup_queue_create(fd, v.vm, &w[q].queue), 0);
		vup_ok(&w[q], op_fill(va, page, q));
	}
	vup_paint(alias, page, 60);
	vup_stats(&v, &before);
	/* The page stays in the file; the mapping and the device get another. */
	vup_map_memfd(ptr, memfd, page, page);
	vup_stats(&v, &after);
	igt_assert_lt_u64(before.tlb_flushes, after.tlb_flushes);
	for (int q = 0; q < QUEUES; q++) {
		vup_ok(&w[q], op_fill(va, page, 0x100 + q));
		vup_check_value(alias + page, page, 0x100 + q);
		vup_check_paint(alias, page, 60);
		igt_assert_eq(__vup_queue_destroy(fd, w[q].queue), 0);
	}
	vup_unbind(&v, va, page);
	vup_unmap(ptr, page);
	vup_unmap(alias, 2 * page);
	close(memfd);
}

/* What the kernel knows to be mapped for vgem, or a skip */
static int dma_mappings(void)
{
	FILE *f = fopen("/sys/kernel/debug/dma-api/dump", "re");
	char line[512];
	int count = 0;

	igt_require_f(f, "kernel without CONFIG_DMA_API_DEBUG\n");
	while (fgets(line, sizeof(line), f))
		count += !!strstr(line, " vgem ");
	fclose(f);
	return count;
}

static void dma_gone(enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	size_t size = 2 * VUP_WINDOW;
	char *ptr = vup_alloc_windows(size);
	int none, half, all;

	none = dma_mappings();
	vup_bind_how(&v, how, ptr, va, size, false);
	vup_ok(&v, op_fill(va, 4, 1));
	all = dma_mappings();
	igt_assert_lt(none, all);
	vup_unmap(ptr, VUP_WINDOW);
	half = dma_mappings();
	igt_assert_lt(none, half);
	igt_assert_lt(half, all);
	igt_assert_eq(madvise(ptr + VUP_WINDOW, VUP_WINDOW, MADV_DONTNEED), 0);
	igt_assert_eq(dma_mappings(), none);

	/* And nothing of it comes back with the rest of the life */
	vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, 4, 1));
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	igt_assert_eq(dma_mappings(), none);
}

static void munmap_huge_hole(enum vup_how how)
{
	uint64_t va = VUP_VA(0), size = 1ull << 40, before;
	struct drm_vgem_vm_stats stats[2];
	char *arena, *ptr;

	arena = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	igt_require_f(arena != MAP_FAILED, "no TiB of address space\n");
	ptr = vup_map_fixed(arena + size / 2, page, PROT_READ | PROT_WRITE);
	vup_bind_how(&v, how, ptr, va, page, false);
	vup_ok(&v, op_fill(va, page, 1));
	vup_stats(&v, &stats[0]);
	before = vup_now_ns();
	vup_unmap(arena, size);
	/* Half a million windows, but one of them is ours. */
	igt_assert_lt_u64(vup_now_ns() - before, NSEC_PER_SEC);
	vup_stats(&v, &stats[1]);
	igt_assert_eq_u64(stats[1].invalidations - stats[0].invalidations, 1);
	vup_refuse(&v, -EFAULT, va, op_fill(va, page, 1));
	vup_unbind(&v, va, page);
}

static void neighbours(enum vup_how how)
{
	struct drm_vgem_vm_stats before, after;
	uint64_t va = VUP_VA(0);
	char *ptr = vup_alloc(3 * page);

	/* One mapping: what is done to its ends splits it around the range. */
	vup_bind_how(&v, how, ptr + page, va, page, false);
	vup_paint(ptr, 3 * page, 20);
	vup_ok(&v, op_xor(va, page, 0));
	vup_stats(&v, &before);

	vup_unmap(ptr, page);
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	igt_assert_eq(madvise(ptr + 2 * page, page, MADV_DONTNEED), 0);
	igt_assert_eq(mprotect(ptr + 2 * page, page, PROT_NONE), 0);
	vup_unmap(ptr + 2 * page, page);

	vup_ok(&v, op_xor(va, page, 0));
	vup_stats(&v, &after);
	igt_assert_eq_u64(before.invalidations, after.invalidations);
	igt_assert_eq_u64(before.windows, after.windows);
	for (size_t i = page / 4; i < 2 * page / 4; i++)
		igt_assert_eq_u32(((uint32_t *)ptr)[i], vup_word(20, i));

	vup_unbind(&v, va, page);
	vup_unmap(ptr, 2 * page);
}

static void others_undisturbed(enum vup_how how)
{
	uint64_t dead_va = VUP_VA(0), va = VUP_VA(1);
	char *dead = vup_alloc(page), *ptr = vup_alloc(page);

	vup_bind_how(&v, how, dead, dead_va, page, false);
	vup_bind_how(&v, how, ptr, va, page, false);
	vup_ok(&v, op_fill(dead_va, page, 1), op_fill(va, page, 1));
	vup_unmap(dead, page);

	vup_ok(&v, op_fill(va, page, 2));
	vup_check_value(ptr, page, 2);
	vup_refuse(&v, -EFAULT, dead_va, op_fill(dead_va, page, 3));
	/* All or nothing: the good half of the job is not done. */
	vup_refuse(&v, -EFAULT, dead_va, op_fill(va, page, 3), op_copy(va, dead_va, page));
	vup_check_value(ptr, page, 2);
	vup_ok(&v, op_fill(va, page, 4));
	vup_check_value(ptr, page, 4);

	/* Both the dead and the live one change again. */
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, page, 5));
	vup_check_value(ptr, page, 5);
	vup_map_fixed(dead, page, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_copy(dead_va, va, page));
	vup_check_value(dead, page, 5);

	vup_unbind(&v, dead_va, page);
	vup_unbind(&v, va, page);
	vup_unmap(dead, page);
	vup_unmap(ptr, page);
}

static void old_pages(enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	size_t size = 64 * page, hog_size = 4 * size;

	for (int round = 0; round < 10; round++) {
		char *ptr = vup_alloc(size);
		char *hog;

		vup_bind_how(&v, how, ptr, va, size, false);
		vup_paint(ptr, size, 30);
		vup_ok(&v, op_xor(va, size, 0x5ec7e7));

		/* Free the pages, and let someone else have them. */
		if (round & 1)
			vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
		else
			igt_assert_eq(madvise(ptr, size, MADV_DONTNEED), 0);
		hog = vup_alloc(hog_size);
		vup_paint(hog, hog_size, 31);

		/* Stale reads bring the old pattern or the hog's, stale writes change the hog. */
		vup_ok(&v, op_xor(va, size, 0x44));
		vup_check_value(ptr, size, 0x44);
		vup_ok(&v, op_fill(va, size, 0x45));
		vup_check_value(ptr, size, 0x45);
		vup_check_paint(hog, hog_size, 31);

		vup_unbind(&v, va, size);
		vup_unmap(ptr, size);
		vup_unmap(hog, hog_size);
	}
}

static void old_pages_memfd(enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	int memfd = vup_memfd(3 * page);
	/* The file keeps all its pages: old and new are never the same. */
	char *alias = vup_map_memfd(NULL, memfd, 3 * page, 0);
	char *ptr = vup_reserve(page, page);

	for (int i = 0; i < 3; i++)
		vup_paint(alias + i * page, page, 40 + i);
	vup_map_memfd(ptr, memfd, page, 0);
	vup_bind_how(&v, how, ptr, va, page, false);
	igt_assert_eq_u32(vup_device_crc(&v, va, page), vup_crc32(alias, page));
	vup_ok(&v, op_fill(va, 4, vup_word(40, 0)));

	vup_map_memfd(ptr, memfd, page, page);
	igt_assert_eq_u32(vup_device_crc(&v, va, page), vup_crc32(alias + page, page));
	vup_ok(&v, op_fill(va, page, 0xb1));
	vup_check_paint(alias, page, 40);
	vup_check_value(alias + page, page, 0xb1);
	vup_check_paint(alias + 2 * page, page, 42);

	vup_unmap(ptr, page);
	vup_map_memfd(ptr, memfd, page, 2 * page);
	vup_ok(&v, op_fill(va, page, 0xb2));
	vup_check_paint(alias, page, 40);
	vup_check_value(alias + page, page, 0xb1);
	vup_check_value(alias + 2 * page, page, 0xb2);

	vup_unbind(&v, va, page);
	vup_unmap(ptr, page);
	vup_unmap(alias, 3 * page);
	close(memfd);
}

static void holes(int pages, int hole, enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	size_t size = pages * page;
	char *ptr = vup_alloc_windows(size);

	vup_bind_how(&v, how, ptr, va, size, false);
	vup_unmap(ptr + hole * page, page);
	vup_refuse(&v, -EFAULT, va + hole * page, op_fill(va, size, 1));
	vup_map_fixed(ptr + hole * page, page, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, size, 2));
	vup_check_value(ptr, size, 2);

	/* Now with the rest of it populated */
	vup_unmap(ptr + hole * page, page);
	vup_refuse(&v, -EFAULT, va + hole * page, op_fill(va, size, 3));
	for (int i = 0; i < pages; i++)
		if (i != hole)
			igt_assert_eq_u32(*(uint32_t *)(ptr + i * page), 2);
	vup_unbind(&v, va, size);
	munmap(ptr, size);
}

static void cycles(enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	size_t size = 2 * page;
	char *ptr = vup_alloc(size);

	vup_bind_how(&v, how, ptr, va, size, false);
	/* A thousand with the other kind of binding */
	for (uint32_t i = 1; i <= 500; i++) {
		switch (i % 4) {
		case 0:
			vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
			break;
		case 1:
			igt_assert_eq(madvise(ptr, size, MADV_DONTNEED), 0);
			break;
		case 2:
			vup_unmap(ptr, size);
			vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
			break;
		default:
			igt_assert_eq(mprotect(ptr, size, PROT_READ), 0);
			igt_assert_eq(mprotect(ptr, size, PROT_READ | PROT_WRITE), 0);
		}
		vup_paint(ptr, size, i);
		vup_ok(&v, op_xor(va, size, ~i));
		for (size_t w = 0; w < size / 4; w++)
			igt_assert_eq_u32(((uint32_t *)ptr)[w], vup_word(i, w) ^ ~i);
	}
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void read_only_cycles(enum vup_how how)
{
	uint64_t va = VUP_VA(0), out_va = VUP_VA(1);
	size_t size = PAGES * page;
	char *ptr = vup_alloc(size);
	uint32_t *out = vup_alloc(page);

	vup_bind_how(&v, how, ptr, va, size, true);
	vup_bind_mem(&v, out, out_va, page, 0);
	for (uint32_t i = 1; i <= 60; i++) {
		if (i & 1)
			vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
		/* Before and after the CPU's first write: zero page, then a real one */
		vup_ok(&v, op_crc32(va, size, out_va));
		igt_assert_eq_u32(*out, vup_crc32(ptr, size));
		vup_paint(ptr, size, i);
		vup_ok(&v, op_crc32(va, size, out_va));
		igt_assert_eq_u32(*out, vup_crc32(ptr, size));
	}
	vup_unbind(&v, va, size);
	vup_unbind(&v, out_va, page);
	vup_unmap(ptr, size);
	vup_unmap(out, page);
}

static void stats_idle(enum vup_how how)
{
	struct drm_vgem_vm_stats before, after;
	uint64_t va = VUP_VA(0);
	size_t size = 2 * VUP_WINDOW;
	char *ptr = vup_alloc_windows(size);

	vup_bind_how(&v, how, ptr, va, size, false);
	vup_stats(&v, &before);
	vup_ok(&v, op_fill(va, size, 1));
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.windows - before.windows, 2);
	igt_assert_eq_u64(after.submits - before.submits, 1);

	vup_stats(&v, &before);
	for (int i = 0; i < 50; i++)
		vup_ok(&v, op_fill(va + i * page, 4, i));
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.submits - before.submits, 50);
	igt_assert_eq_u64(after.windows, before.windows);
	igt_assert_eq_u64(after.invalidations, before.invalidations);
	igt_assert_eq_u64(after.fence_waits, before.fence_waits);
	igt_assert_eq_u64(after.tlb_flushes, before.tlb_flushes);
	igt_assert_eq_u64(after.retries, before.retries);
	igt_assert_eq_u64(after.faults, before.faults);

	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void stats_one_window(enum vup_how how, int window)
{
	struct drm_vgem_vm_stats before, after;
	uint64_t va = VUP_VA(0);
	size_t size = 8 * VUP_WINDOW, at = window * VUP_WINDOW + 77 * page;
	char *ptr = vup_alloc_windows(size);

	vup_bind_how(&v, how, ptr, va, size, false);
	/* All windows are populated for any job, but the data need not cost the time. */
	vup_stats(&v, &before);
	vup_ok(&v, op_fill(va + at - page, 3 * page, 1));
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.windows - before.windows, 8);
	vup_stats(&v, &before);

	igt_assert_eq(madvise(ptr + at, page, MADV_DONTNEED), 0);
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.invalidations - before.invalidations, 1);
	igt_assert_eq_u64(after.windows, before.windows);
	igt_assert_lt_u64(before.tlb_flushes, after.tlb_flushes);

	vup_ok(&v, op_xor(va + at - page, 3 * page, 2));
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.windows - before.windows, 1);
	vup_check_value(ptr + at - page, page, 3);
	vup_check_value(ptr + at, page, 2);
	vup_check_value(ptr + at + page, page, 3);

	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void stats_counters(void)
{
	struct drm_vgem_vm_stats before, after;
	uint64_t va = VUP_VA(0), word_va = VUP_VA(1);
	uint32_t *word = vup_alloc_word();
	struct busy b = { .size = page };
	struct vup_caller c;
	uint32_t syncobj;

	b.ptr = vup_alloc(page);
	vup_bind_mem(&v, b.ptr, va, page, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_ok(&v, op_fill(va, page, 1));

	/* Idle: no fence to wait for */
	vup_stats(&v, &before);
	igt_assert_eq(madvise(b.ptr, page, MADV_DONTNEED), 0);
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.fence_waits, before.fence_waits);
	igt_assert_eq_u64(after.invalidations - before.invalidations, 1);

	/* Busy: one */
	vup_settle();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC), op_fill(va, 4, 1));
	vup_stats(&v, &before);
	vup_caller_start(&c, busy_dontneed, &b);
	igt_assert(vup_caller_blocked(&c));
	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.fence_waits - before.fence_waits, 1);
	igt_assert_eq_u64(after.invalidations - before.invalidations, 1);

	/* A fault, and where */
	vup_stats(&v, &before);
	igt_assert_eq(vup_do(&v, op_fill(VUP_VA(5) + 20, 4, 1)), -EFAULT);
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.faults - before.faults, 1);
	igt_assert_eq_u64(after.fault_addr, VUP_VA(5) + 20);
	igt_assert_eq_u64(after.submits - before.submits, 1);

	vup_unbind(&v, va, page);
	vup_unbind(&v, word_va, page);
	vup_unmap(b.ptr, page);
	vup_unmap(word, page);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
	}

	for (int i = 0; i < (int)ARRAY_SIZE(idle_test); i++) {
		igt_describe(idle_test[i].describe);
		igt_subtest_with_dynamic_f("idle-%s", idle_test[i].name)
			for (int how = 0; how < VUP_HOWS; how++)
				igt_dynamic(vup_how_name[how])
					idle(i, how);
	}

	for (int i = 0; i < (int)ARRAY_SIZE(busy_test); i++) {
		igt_describe(busy_test[i].describe);
		igt_subtest_with_dynamic_f("busy-%s", busy_test[i].name)
			for (int how = 0; how < VUP_HOWS; how++)
				igt_dynamic(vup_how_name[how])
					busy(i, how);
	}

	igt_describe("Broken if a page that fork() shares is still written by a job.");
	igt_subtest_with_dynamic("busy-fork")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				busy_fork(how);

	igt_describe("Broken if the mm waits for jobs that cannot reach the memory.");
	igt_subtest("busy-other-vm")
		busy_other_vm();

	igt_describe("Broken if unbinding leaves the mm waiting for the VM's jobs.");
	igt_subtest_with_dynamic("busy-unbound")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				busy_unbound(how);

	igt_describe("Broken if only one of the VMs is waited for.");
	igt_subtest("busy-two-vms")
		busy_two_vms();

	igt_describe("Broken if only one of the queues is waited for.");
	igt_subtest("busy-two-queues")
		busy_two_queues();

	igt_describe("Broken if only the running job is waited for.");
	igt_subtest("busy-queued")
		busy_queued();

	igt_describe("Broken if a job that still waits is not waited for "
		     "(xdna:cdd9d5ce, xdna:7daba081).");
	igt_subtest("busy-dependent")
		busy_dependent();

	igt_describe("Broken if one way in does not look whether memory is there "
		     "(deb:6.12.19 e775e2a060d9).");
	igt_subtest("every-call-after-munmap")
		every_call_after_munmap();

	igt_describe("Broken if an idle queue keeps its TLB (CVE-2026-53201).");
	igt_subtest_with_dynamic("idle-queues-tlb")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				idle_queues_tlb(how);

	igt_describe("Broken if pages stay mapped for DMA that are others' by now (333b89063361).");
	igt_subtest_with_dynamic("dma-mappings")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				dma_gone(how);

	igt_describe("Broken if the cost follows the size of what is unmapped (CVE-2023-52484).");
	igt_subtest_with_dynamic("munmap-huge-hole")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				munmap_huge_hole(how);

	igt_describe("Broken if a range is invalidated by what happens beside it.");
	igt_subtest_with_dynamic("neighbours")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				neighbours(how);

	igt_describe("Broken if memory that was freed first stops a queue (fbsd:1f297c4527).");
	igt_subtest_with_dynamic("others-undisturbed")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				others_undisturbed(how);

	igt_describe("Broken if the device reads or writes pages that belong to others by now "
		     "(CVE-2022-0330).");
	igt_subtest_with_dynamic("old-pages")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				old_pages(how);

	igt_describe("Broken if TLB or page table keep a page that was mapped there before.");
	igt_subtest_with_dynamic("old-pages-memfd")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				old_pages_memfd(how);

	igt_describe("Broken if a hole is missed, or the fault address is not its own.");
	igt_subtest_with_dynamic("holes") {
		static const struct {
			int pages, hole;
		} hole_test[] = {
			{ 1, 0 }, { 5, 0 }, { 5, 2 }, { 5, 4 },
			{ 1024, 511 }, { 1024, 512 }, { 1024, 1023 },
		};

		for (int i = 0; i < (int)ARRAY_SIZE(hole_test); i++)
			for (int how = 0; how < VUP_HOWS; how++)
				igt_dynamic_f("%d-of-%d-%s", hole_test[i].hole,
					      hole_test[i].pages, vup_how_name[how])
					holes(hole_test[i].pages, hole_test[i].hole, how);
	}

	igt_describe("Broken if only the first invalidation has an effect (fbsd:7ec4f7e4c4).");
	igt_subtest_with_dynamic("cycles")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				cycles(how);

	igt_describe("Broken if a read-only userptr misses the page that replaces the zero page.");
	igt_subtest_with_dynamic("read-only-cycles")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				read_only_cycles(how);

	igt_describe("Broken if an undisturbed VM costs more than the check.");
	igt_subtest_with_dynamic("stats-idle")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				stats_idle(how);

	igt_describe("Broken if the cost does not follow the damage.");
	igt_subtest_with_dynamic("stats-one-window") {
		igt_dynamic("first")
			stats_one_window(VUP_BO, 0);
		igt_dynamic("middle")
			stats_one_window(VUP_RANGE, 3);
		igt_dynamic("last")
			stats_one_window(VUP_BO, 7);
	}

	igt_describe("Broken if the counters do not count what they say.");
	igt_subtest("stats-counters")
		stats_counters();

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
