// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include "vup_matrix.h"

extern const struct vup_op vup_ops_map[], vup_ops_advice[], vup_ops_mm[];

const struct vup_op * const vup_op_tables[] = {
	vup_ops_map,
	vup_ops_advice,
	vup_ops_mm,
	NULL
};
