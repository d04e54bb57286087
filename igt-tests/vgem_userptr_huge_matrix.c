// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include "igt.h"
#include "vup_matrix.h"

/**
 * TEST: vgem userptr huge matrix
 * Description: The part of the matrix that needs huge pages, NUMA nodes or failing memory
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, mmu notifier, huge pages
 * Test category: functionality test
 *
 * SUBTEST: thp-%s
 * Description: operations on %arg[1], done to a part of a transparent huge page
 * arg[1].values: mappings, advice, others, faults
 *
 * SUBTEST: thp-%s-long
 * Description: the same, combinations that are not for every day
 * arg[1].values: mappings, advice, others, faults
 *
 * SUBTEST: hugetlb-%s
 * Description: operations on %arg[1], done to pages of hugetlb
 * arg[1].values: mappings, advice, others, faults
 *
 * SUBTEST: hugetlb-%s-long
 * Description: the same, combinations that are not for every day
 * arg[1].values: mappings, advice, others, faults
 *
 * SUBTEST: %s
 * Description: %arg[1], by kind of memory, state of the device and access
 * arg[1].values: hugepage, nohugepage, collapse, khugepaged, hwpoison, soft-offline, soft-dirty, move-pages, migrate-pages, mbind, uffd-minor, uffd-wp, pagemap-scan-wp
 *
 * SUBTEST: %s-long
 * Description: %arg[1], the combinations that are not for every day
 * arg[1].values: hugepage, nohugepage, collapse, khugepaged, hwpoison, soft-offline, soft-dirty, move-pages, migrate-pages, mbind, uffd-minor, uffd-wp, pagemap-scan-wp
 */

IGT_TEST_DESCRIPTION("The part of the matrix that needs huge pages, NUMA or failing memory.");

/* Of one kind of memory, all operations of a table */
static void huge(int backing, const struct vup_op *ops, bool is_long)
{
	for (const struct vup_op *op = ops; op->name; op++)
		if (!(op->flags & VUP_OP_EMULATED))
			vup_cells(op, op - ops, backing, is_long, true);
}

static void operation(const struct vup_op *op, int nr, bool is_long)
{
	for (int b = 0; b < vup_nr_backings; b++)
		if (vup_backing_there(&vup_backings[b]))
			vup_cells(op, nr, b, is_long, false);
}

int igt_main()
{
	int fd = -1;

	igt_fixture() {
		igt_require_f(vup_page() == 4096, "not for this page size\n");
		fd = vup_open();
		vup_matrix_init(fd);
	}

	for (int b = 0; b < vup_nr_backings; b++) {
		if (!(vup_backings[b].is & VUP_IS_HUGE))
			continue;
		for (int table = 0; vup_op_tables[table].ops; table++)
			for (int is_long = 0; is_long < 2; is_long++) {
				igt_describe("Broken if the device has a part of a huge page "
					     "that it should not have, or has not what it should.");
				igt_subtest_with_dynamic_f("%s-%s%s", vup_backings[b].name,
							   vup_op_tables[table].name,
							   is_long ? "-long" : "") {
					vup_backings[b].require();
					huge(b, vup_op_tables[table].ops, is_long);
				}
			}
	}

	for (int table = 0, nr = 0; vup_op_tables[table].ops; table++)
		for (const struct vup_op *op = vup_op_tables[table].ops; op->name; op++) {
			if (!(op->flags & VUP_OP_EMULATED))
				continue;
			nr++;
			for (int is_long = 0; is_long < 2; is_long++) {
				igt_describe(op->describe);
				igt_subtest_with_dynamic_f("%s%s", op->name,
							   is_long ? "-long" : "") {
					if (op->require)
						op->require();
					operation(op, nr, is_long);
				}
			}
		}

	igt_fixture() {
		vup_matrix_fini();
		drm_close_driver(fd);
	}
}
