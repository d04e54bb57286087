// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include "igt.h"
#include "vup_matrix.h"

/**
 * TEST: vgem userptr matrix
 * Description: Every operation of the mm, on every kind of memory, in every state of the device
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, mmu notifier
 * Test category: functionality test
 *
 * SUBTEST: backings
 * Description: which kinds of memory this kernel has; each of them works
 *
 * SUBTEST: %s
 * Description: %arg[1], by kind of memory, state of the device and access
 * arg[1].values: munmap, munmap-unaligned, map-fixed, mremap-grow, mremap-grow-away, mremap-shrink, mremap-move, mremap-onto, mremap-0, mremap-dontunmap, mprotect-read, mprotect-none, mprotect-write, truncate, punch-hole, remove, writeback, dontneed, dontneed-of-locked, dontneed-locked, free, pageout, cold, populate-read, populate-write, mlock, munlock, hugepage, nohugepage, collapse, khugepaged, mergeable, ksmd, guard-install, hwpoison, soft-offline, fork, dontfork, wipeonfork, vfork-exec, process-vm-writev, ptrace-poke, proc-mem-write, pagemap-scan, clear-refs, soft-dirty, compact-memory, swapoff, move-pages, migrate-pages, mbind
 *
 * SUBTEST: %s-long
 * Description: %arg[1], the combinations that are not for every day
 * arg[1].values: munmap, munmap-unaligned, map-fixed, mremap-grow, mremap-grow-away, mremap-shrink, mremap-move, mremap-onto, mremap-0, mremap-dontunmap, mprotect-read, mprotect-none, mprotect-write, truncate, punch-hole, remove, writeback, dontneed, dontneed-of-locked, dontneed-locked, free, pageout, cold, populate-read, populate-write, mlock, munlock, hugepage, nohugepage, collapse, khugepaged, mergeable, ksmd, guard-install, hwpoison, soft-offline, fork, dontfork, wipeonfork, vfork-exec, process-vm-writev, ptrace-poke, proc-mem-write, pagemap-scan, clear-refs, soft-dirty, compact-memory, swapoff, move-pages, migrate-pages, mbind
 */

IGT_TEST_DESCRIPTION("Every operation of the mm, on every kind of memory, in every state.");

static bool sense(const struct vup_op *op, const struct vup_backing *b, enum vup_state state,
		  enum vup_access access)
{
	/* Only what is known before it is made */
	struct vup_cell c = {
		.op = op, .backing = b, .state = state, .read_only = access == VUP_RO,
		.file = b->is & VUP_IS_ANON ? -1 : 0,
	};

	if (op->flags & VUP_OP_LATER && (state == VUP_QUEUED || state == VUP_RUNNING))
		return false;
	return !op->sense || op->sense(&c);
}

/*
 * For every day: each operation on each memory, idle and busy, and of the other
 * combinations the next two for each, so that all come up on some memory.
 */
static bool every_day(const struct vup_op *op, int nr_op, int backing, enum vup_state state,
		      enum vup_access access)
{
	static const struct {
		enum vup_state state;
		enum vup_access access;
	} other[] = {
		{ VUP_IDLE, VUP_RO }, { VUP_ENDLESS, VUP_RW }, { VUP_QUEUED, VUP_RO },
		{ VUP_CONCURRENT, VUP_RW }, { VUP_RUNNING, VUP_RO }, { VUP_ENDLESS, VUP_RO },
		{ VUP_QUEUED, VUP_RW }, { VUP_CONCURRENT, VUP_RO },
	};
	int nr = 2 * (nr_op + backing), others = 2;

	if (op->flags & VUP_OP_SLOW)
		return state == VUP_IDLE && access == VUP_RW;
	if (access == VUP_RW && state == VUP_RUNNING)
		return true;
	/* What takes nothing away is the same in most of them. */
	if (op->effect == VUP_KEEPS && !op->effect_on)
		others = 1;
	else if (access == VUP_RW && state == VUP_IDLE)
		return true;
	for (int i = nr; i < nr + others; i++)
		if (other[i % ARRAY_SIZE(other)].state == state &&
		    other[i % ARRAY_SIZE(other)].access == access)
			return true;
	return false;
}

static void cells(const struct vup_op *op, int nr_op, bool all_others)
{
	for (int b = 0; b < vup_nr_backings; b++) {
		/* The subtest "backings" says what there is not. */
		if (!vup_backing_there(&vup_backings[b]))
			continue;
		for (int state = 0; state < VUP_STATES; state++)
			for (int access = 0; access < VUP_ACCESSES; access++) {
				if (!sense(op, &vup_backings[b], state, access) ||
				    every_day(op, nr_op, b, state, access) == all_others)
					continue;
				igt_dynamic_f("%s-%s-%s", vup_backings[b].name,
					      vup_state_name[state], vup_access_name[access]) {
					vup_backings[b].require();
					vup_cell_run(op, &vup_backings[b], state, access);
				}
			}
	}
}

static int run_nothing(struct vup_cell *c)
{
	(void)c;
	return 0;
}

static void expect_nothing(struct vup_cell *c)
{
	(void)c;
}

static const struct vup_op no_op = {
	.name = "nothing", .effect = VUP_KEEPS, .run = run_nothing, .expect = expect_nothing,
};

int igt_main()
{
	int nr_op = 0, fd = -1;

	igt_fixture() {
		igt_require_f(vup_page() == 4096, "not for this page size\n");
		fd = vup_open();
		vup_matrix_init(fd);
	}

	igt_describe("Broken if a kind of memory does not work even when it is left alone.");
	igt_subtest_with_dynamic("backings")
		for (int b = 0; b < vup_nr_backings; b++)
			igt_dynamic(vup_backings[b].name) {
				vup_backings[b].require();
				vup_cell_run(&no_op, &vup_backings[b], VUP_RUNNING, VUP_RW);
			}

	for (int table = 0; vup_op_tables[table]; table++)
		for (const struct vup_op *op = vup_op_tables[table]; op->name; op++, nr_op++)
			for (int is_long = 0; is_long < 2; is_long++) {
				igt_describe(op->describe);
				igt_subtest_with_dynamic_f("%s%s", op->name,
							   is_long ? "-long" : "") {
					if (op->require)
						op->require();
					cells(op, nr_op, is_long);
				}
			}

	igt_fixture() {
		vup_matrix_fini();
		drm_close_driver(fd);
	}
}
