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
 * arg[1].values: dontneed, dontneed-of-locked, dontneed-locked, free, pageout, cold, populate-read, populate-write, mlock, munlock, mergeable, ksmd, guard-install, munmap, map-fixed, mremap-grow, mremap-grow-away, mremap-shrink, mremap-move, mremap-onto, mremap-0, mremap-dontunmap, mprotect-read, mprotect-none, mprotect-write, truncate, punch-hole, remove, writeback, fork, dontfork, wipeonfork, vfork-exec, process-vm-writev, ptrace-poke, proc-mem-write, pagemap-scan, clear-refs, compact-memory, swapoff, uffd-missing, uffd-move
 *
 * SUBTEST: %s-long
 * Description: %arg[1], the combinations that are not for every day
 * arg[1].values: dontneed, dontneed-of-locked, dontneed-locked, free, pageout, cold, populate-read, populate-write, mlock, munlock, mergeable, ksmd, guard-install, munmap, map-fixed, mremap-grow, mremap-grow-away, mremap-shrink, mremap-move, mremap-onto, mremap-0, mremap-dontunmap, mprotect-read, mprotect-none, mprotect-write, truncate, punch-hole, remove, writeback, fork, dontfork, wipeonfork, vfork-exec, process-vm-writev, ptrace-poke, proc-mem-write, pagemap-scan, clear-refs, compact-memory, swapoff, uffd-missing, uffd-move
 */

IGT_TEST_DESCRIPTION("Every operation of the mm, on every kind of memory, in every state.");

static void operation(const struct vup_op *op, int nr)
{
	for (int is_long = 0; is_long < 2; is_long++) {
		igt_describe(op->describe);
		igt_subtest_with_dynamic_f("%s%s", op->name, is_long ? "-long" : "") {
			if (op->require)
				op->require();
			for (int b = 0; b < vup_nr_backings; b++)
				if (!(vup_backings[b].is & VUP_IS_HUGE))
					vup_cells(op, nr, b, is_long, false);
		}
	}
}

int igt_main()
{
	int nr = 0, fd = -1;

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
				vup_cell_run(&vup_no_op, &vup_backings[b], VUP_RUNNING, VUP_RW);
			}

	for (int table = 0; vup_op_tables[table].ops; table++)
		for (const struct vup_op *op = vup_op_tables[table].ops; op->name; op++)
			if (!(op->flags & (VUP_OP_EMULATED | VUP_OP_HUGETLB)))
				operation(op, nr++);

	igt_fixture() {
		vup_matrix_fini();
		drm_close_driver(fd);
	}
}
