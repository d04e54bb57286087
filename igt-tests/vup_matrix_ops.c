// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * All operations of the matrix: those on mappings and files, advice, what others
 * do, and faults that are served in user space.
 */

#include "vup_matrix.h"

extern const struct vup_op vup_ops_map[], vup_ops_advice[], vup_ops_mm[], vup_ops_uffd[];

void vup_expect_nothing(struct vup_cell *c)
{
	(void)c;
}

static int run_nothing(struct vup_cell *c)
{
	(void)c;
	return 0;
}

const struct vup_op vup_no_op = {
	.name = "nothing", .effect = VUP_KEEPS,
	.run = run_nothing, .expect = vup_expect_nothing,
};

const struct vup_op_table vup_op_tables[] = {
	{ "mappings", vup_ops_map },
	{ "advice", vup_ops_advice },
	{ "others", vup_ops_mm },
	{ "faults", vup_ops_uffd },
	{ }
};
