// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * Which cells there are, and which of them are for every day.
 */

#include "vup_matrix.h"

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
	/* A huge page has no room for another beside it. */
	if (op->flags & VUP_OP_LARGE && b->is & VUP_IS_HUGETLB && !op->refused)
		return false;
	return !op->sense || op->sense(&c);
}

/*
 * For every day: each operation on each memory with a job running, and of the
 * other combinations the next few, so that all come up on some memory. What
 * takes nothing away is much the same in all of them, and under emulation they
 * are dear.
 */
static bool every_day(const struct vup_op *op, int nr, int backing, enum vup_state state,
		      enum vup_access access)
{
	static const struct {
		enum vup_state state;
		enum vup_access access;
	} turn[] = {
		{ VUP_IDLE, VUP_RO }, { VUP_ENDLESS, VUP_RW }, { VUP_QUEUED, VUP_RO },
		{ VUP_CONCURRENT, VUP_RW }, { VUP_RUNNING, VUP_RO }, { VUP_ENDLESS, VUP_RO },
		{ VUP_QUEUED, VUP_RW }, { VUP_CONCURRENT, VUP_RO },
		/* These are there anyway, unless they are dear. */
		{ VUP_RUNNING, VUP_RW }, { VUP_IDLE, VUP_RW },
	};
	bool keeps = op->effect == VUP_KEEPS && !op->effect_on;
	bool dear = op->flags & VUP_OP_EMULATED ||
		    vup_backings[backing].is & (VUP_IS_THP | VUP_IS_HUGETLB);
	int turns = ARRAY_SIZE(turn) - (dear ? 0 : 2), count = dear || keeps ? 1 : 2;

	if (op->flags & VUP_OP_SLOW)
		return state == VUP_IDLE && access == VUP_RW;
	if (!dear && access == VUP_RW && state == VUP_RUNNING)
		return true;
	if (!dear && !keeps && access == VUP_RW && state == VUP_IDLE)
		return true;
	for (int i = 0; i < count; i++) {
		int at = (count * (nr + backing) + i) % turns;

		if (turn[at].state == state && turn[at].access == access)
			return true;
	}
	return false;
}

void vup_cells(const struct vup_op *op, int nr, int backing, bool is_long, bool name_op)
{
	const struct vup_backing *b = &vup_backings[backing];

	for (int state = 0; state < VUP_STATES; state++)
		for (int access = 0; access < VUP_ACCESSES; access++) {
			if (!sense(op, b, state, access) ||
			    every_day(op, nr, backing, state, access) == is_long)
				continue;
			igt_dynamic_f("%s-%s-%s", name_op ? op->name : b->name,
				      vup_state_name[state], vup_access_name[access]) {
				b->require();
				/* Of several operations each has to be asked for itself. */
				if (name_op && op->require)
					op->require();
				vup_cell_run(op, b, state, access);
			}
		}
}
