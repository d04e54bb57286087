// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * Operations of the matrix on mappings and on the files behind them.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vup_matrix.h"

static int result(bool failed)
{
	return failed ? -errno : 0;
}

char *vup_cell_reserve_away(struct vup_cell *c, size_t len)
{
	c->away_len = len;
	c->away = vup_reserve(len, c->canary);
	return c->away;
}

/* munmap() */

static int run_munmap(struct vup_cell *c)
{
	return result(munmap(vup_part(c), c->len));
}

static void expect_unmapped(struct vup_cell *c)
{
	vup_expect_gone(c, -EFAULT, c->at, c->len);
}

/* Half a huge page of hugetlb */
static int run_munmap_unaligned(struct vup_cell *c)
{
	return result(munmap(vup_part(c), c->len / 2));
}

static bool sense_hugetlb(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_HUGETLB);
}

static int refused_always(const struct vup_cell *c __maybe_unused)
{
	return -EINVAL;
}

/* mmap() over it */

static int run_map_fixed(struct vup_cell *c)
{
	return result(mmap(vup_part(c), c->len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
}

static void expect_map_fixed(struct vup_cell *c)
{
	vup_expect_anon(c, c->at, c->len);
}

/* mremap() */

static int refused_hugetlb(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_HUGETLB) ? -EINVAL : 0;
}

/* The last page of the part was lost, and comes back by growth of what is before it. */
static int run_mremap_grow(struct vup_cell *c)
{
	size_t less = c->len - vup_page();

	if (vup_is(c, VUP_IS_HUGETLB))
		return result(mremap(vup_part(c), c->len, 2 * c->len, MREMAP_MAYMOVE) ==
			      MAP_FAILED);
	vup_unmap(vup_part(c) + less, vup_page());
	return result(mremap(vup_part(c), less, c->len, 0) == MAP_FAILED);
}

static void expect_mremap_grow(struct vup_cell *c)
{
	vup_expect_dropped(c, c->at + c->len - vup_page(), vup_page());
}

/* There is no room behind it, so all of it moves. */
static void prepare_away(struct vup_cell *c)
{
	vup_cell_reserve_away(c, c->len);
}

static int run_mremap_grow_away(struct vup_cell *c)
{
	char *away = mremap(vup_part(c), c->len, c->len + vup_page(), MREMAP_MAYMOVE);

	if (away == MAP_FAILED)
		return -errno;
	munmap(c->away, c->away_len);
	c->away = away;
	c->away_len = c->len + vup_page();
	return 0;
}

static void expect_mremap_grow_away(struct vup_cell *c)
{
	vup_expect_moved(c, c->at, c->len);
	/* The page that is new is what follows in the file. */
	if (c->away_shadow && c->file >= 0)
		memcpy(c->away_shadow + c->len, c->below + c->at + c->len, vup_page());
	expect_unmapped(c);
}

static int run_mremap_shrink(struct vup_cell *c)
{
	size_t keep = vup_is(c, VUP_IS_HUGETLB) ? c->len : c->len / 2;

	/* hugetlb: the range's last page as well, and with it this one */
	if (vup_is(c, VUP_IS_HUGETLB))
		return result(mremap(vup_part(c), 2 * c->len, keep, 0) == MAP_FAILED);
	return result(mremap(vup_part(c), c->len, keep, 0) == MAP_FAILED);
}

static void expect_mremap_shrink(struct vup_cell *c)
{
	if (vup_is(c, VUP_IS_HUGETLB))
		vup_expect_gone(c, -EFAULT, c->at + c->len, c->len);
	else
		vup_expect_gone(c, -EFAULT, c->at + c->len / 2, c->len / 2);
}

static int move(struct vup_cell *c, int flags)
{
	return result(mremap(vup_part(c), c->len, c->len, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
			     c->away) == MAP_FAILED);
}

static int run_mremap_move(struct vup_cell *c)
{
	return move(c, 0);
}

static void expect_mremap_move(struct vup_cell *c)
{
	vup_expect_moved(c, c->at, c->len);
	expect_unmapped(c);
}

static int run_mremap_dontunmap(struct vup_cell *c)
{
	return move(c, MREMAP_DONTUNMAP);
}

static void expect_mremap_dontunmap(struct vup_cell *c)
{
	vup_expect_moved(c, c->at, c->len);
	vup_expect_dropped(c, c->at, c->len);
}

/* Displaced by memory that was elsewhere */
static void prepare_onto(struct vup_cell *c)
{
	prepare_away(c);
	vup_map_fixed(c->away, c->len, PROT_READ | PROT_WRITE);
	vup_cell_fill(c->away, c->at, c->len, VUP_OTHER);
}

static int run_mremap_onto(struct vup_cell *c)
{
	char *other = c->away;

	c->away = NULL;
	return result(mremap(other, c->len, c->len, MREMAP_MAYMOVE | MREMAP_FIXED,
			     vup_part(c)) == MAP_FAILED);
}

static void expect_mremap_onto(struct vup_cell *c)
{
	vup_expect_anon(c, c->at, c->len);
	vup_cell_fill(c->shadow + c->at, c->at, c->len, VUP_OTHER);
}

/* A second mapping of the same pages, which only shared ones can have */
static int run_mremap_0(struct vup_cell *c)
{
	/* The kernel says so once, when it refuses. */
	igt_emit_ignore_dmesg_regex("attempted to duplicate a private mapping");
	return result(mremap(vup_part(c), 0, c->len, MREMAP_MAYMOVE | MREMAP_FIXED, c->away) ==
		      MAP_FAILED);
}

static int refused_private(const struct vup_cell *c)
{
	return !vup_is(c, VUP_IS_SHARED) || vup_is(c, VUP_IS_HUGETLB) ? -EINVAL : 0;
}

static void expect_mremap_0(struct vup_cell *c)
{
	igt_assert(!memcmp(c->away, vup_part(c), c->len));
}

/* mprotect() */

static int protect(struct vup_cell *c, int prot)
{
	return result(mprotect(vup_part(c), c->len, prot));
}

static int run_mprotect_read(struct vup_cell *c)
{
	return protect(c, PROT_READ);
}

static void expect_mprotect_read(struct vup_cell *c)
{
	if (!c->read_only)
		vup_expect_gone(c, -EPERM, c->at, c->len);
}

static int run_mprotect_none(struct vup_cell *c)
{
	return protect(c, PROT_NONE);
}

static void mend_protection(struct vup_cell *c)
{
	igt_assert_eq(mprotect(vup_part(c), c->len, PROT_READ | PROT_WRITE), 0);
}

/* The other way: no writable job can have been there before. */
static void prepare_mprotect_write(struct vup_cell *c)
{
	igt_assert_eq(mprotect(vup_part(c), c->len, PROT_READ), 0);
}

static int run_mprotect_write(struct vup_cell *c)
{
	return protect(c, PROT_READ | PROT_WRITE);
}

static bool sense_read_only(const struct vup_cell *c)
{
	return c->read_only;
}

/* Files */

static bool sense_file(const struct vup_cell *c)
{
	return c->file >= 0;
}

static int run_truncate(struct vup_cell *c)
{
	return result(ftruncate(c->file, vup_cell_offset(c, c->at)));
}

/* Private copies go as well. */
static void expect_truncate(struct vup_cell *c)
{
	size_t rest = c->size - c->at;

	memset(c->below + c->at, 0, rest);
	memset(c->shadow + c->at, 0, rest);
	vup_expect_gone(c, -EFAULT, c->at, rest);
}

static void mend_truncate(struct vup_cell *c)
{
	igt_assert_eq(ftruncate(c->file, vup_cell_offset(c, c->size)), 0);
}

/* Not every file system can. */
static bool can_punch(const struct vup_cell *c)
{
	static int can = -1;
	int file;

	if (!vup_is(c, VUP_IS_REAL))
		return true;
	if (can < 0) {
		file = vup_real_file(2 * vup_page());
		can = !syscall(SYS_fallocate, file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			       (off_t)0, (off_t)vup_page());
		close(file);
		errno = 0;
	}
	return can;
}

static int refused_punch(const struct vup_cell *c)
{
	return can_punch(c) ? 0 : -EOPNOTSUPP;
}

static int run_punch_hole(struct vup_cell *c)
{
	return result(syscall(SYS_fallocate, c->file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			      vup_cell_offset(c, c->at), (off_t)c->len));
}

static void expect_punch_hole(struct vup_cell *c)
{
	vup_expect_punched(c, c->at, c->len);
}

static int run_remove(struct vup_cell *c)
{
	return result(madvise(vup_part(c), c->len, MADV_REMOVE));
}

static int refused_remove(const struct vup_cell *c)
{
	if (vup_is(c, VUP_IS_ANON))
		return -EINVAL;
	return vup_is(c, VUP_IS_SHARED) ? refused_punch(c) : -EACCES;
}

/* To disk, whereupon the page is clean and cannot be written to unnoticed */
static int run_writeback(struct vup_cell *c)
{
	return result(msync(vup_part(c), c->len, MS_SYNC));
}

static enum vup_effect effect_writeback(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_SHARED) && vup_is(c, VUP_IS_REAL) ? VUP_TAKES : VUP_KEEPS;
}

const struct vup_op vup_ops_map[] = {
	{
		.name = "munmap", .effect = VUP_TAKES,
		.run = run_munmap, .expect = expect_unmapped,
		.describe = "Broken if the device keeps memory that is unmapped.",
	}, {
		.name = "munmap-unaligned", .effect = VUP_KEEPS,
		.sense = sense_hugetlb, .refused = refused_always, .run = run_munmap_unaligned,
		.flags = VUP_OP_HUGETLB,
		.describe = "Broken if a refused munmap() disturbs the device.",
	}, {
		.name = "map-fixed", .effect = VUP_TAKES,
		.run = run_map_fixed, .expect = expect_map_fixed,
		.describe = "Broken if the device keeps a mapping that was replaced.",
	}, {
		.name = "mremap-grow", .effect = VUP_TAKES, .refused = refused_hugetlb,
		.run = run_mremap_grow, .expect = expect_mremap_grow, .flags = VUP_OP_GAP,
		.describe = "Broken if growth of a mapping into the range is missed.",
	}, {
		.name = "mremap-grow-away", .effect = VUP_TAKES, .refused = refused_hugetlb,
		.prepare = prepare_away,
		.run = run_mremap_grow_away, .expect = expect_mremap_grow_away,
		.describe = "Broken if the device follows memory that moved in order to grow.",
	}, {
		.name = "mremap-shrink", .effect = VUP_TAKES,
		.run = run_mremap_shrink, .expect = expect_mremap_shrink,
		.describe = "Broken if the device keeps what was cut off.",
	}, {
		.name = "mremap-move", .effect = VUP_TAKES, .prepare = prepare_away,
		.run = run_mremap_move, .expect = expect_mremap_move,
		.describe = "Broken if the device follows moved memory, or keeps its pages.",
	}, {
		.name = "mremap-onto", .effect = VUP_TAKES, .prepare = prepare_onto,
		.run = run_mremap_onto, .expect = expect_mremap_onto,
		.describe = "Broken if the device keeps memory that other memory displaced.",
	}, {
		.name = "mremap-0", .effect = VUP_KEEPS, .prepare = prepare_away,
		.refused = refused_private, .run = run_mremap_0, .expect = expect_mremap_0,
		.describe = "Broken if a second mapping of the pages disturbs the first.",
	}, {
		.name = "mremap-dontunmap", .effect = VUP_TAKES, .prepare = prepare_away,
		.refused = refused_hugetlb,
		.run = run_mremap_dontunmap, .expect = expect_mremap_dontunmap,
		.describe = "Broken if the device keeps pages that left a mapping that stays.",
	}, {
		.name = "mprotect-read", .effect = VUP_TAKES,
		.run = run_mprotect_read, .expect = expect_mprotect_read, .mend = mend_protection,
		.describe = "Broken if the device writes what the process may only read.",
	}, {
		.name = "mprotect-none", .effect = VUP_TAKES,
		.run = run_mprotect_none, .expect = expect_unmapped, .mend = mend_protection,
		.describe = "Broken if the device reaches what the process may not.",
	}, {
		.name = "mprotect-write", .effect = VUP_TAKES, .sense = sense_read_only,
		.prepare = prepare_mprotect_write,
		.run = run_mprotect_write, .expect = vup_expect_nothing,
		.describe = "Broken if a reader does not survive that memory becomes writable.",
	}, {
		.name = "truncate", .effect = VUP_TAKES, .sense = sense_file,
		.run = run_truncate, .expect = expect_truncate, .mend = mend_truncate,
		.describe = "Broken if the device keeps pages that the file has lost.",
	}, {
		.name = "punch-hole", .effect = VUP_TAKES, .sense = sense_file,
		.refused = refused_punch, .run = run_punch_hole, .expect = expect_punch_hole,
		.describe = "Broken if the device keeps pages in place of a hole in the file.",
	}, {
		.name = "remove", .effect = VUP_TAKES,
		.refused = refused_remove, .run = run_remove, .expect = expect_punch_hole,
		.describe = "Broken if the device keeps pages in place of a hole in the file.",
	}, {
		.name = "writeback", .effect_on = effect_writeback,
		.run = run_writeback, .expect = vup_expect_nothing,
		.describe = "Broken if the device writes to a page behind its file's back.",
	},
	{ }
};
