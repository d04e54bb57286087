// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>

#include "igt.h"
#include "vup_matrix.h"

/**
 * TEST: vgem userptr oracles
 * Description: Who is to see a stale access sees one that is made on purpose
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, test infrastructure
 * Test category: functionality test
 *
 * SUBTEST: silent
 * Description: nobody says anything while all is well
 *
 * SUBTEST: memory
 * Description: one wrong word in the range, written by the CPU or by the device
 *
 * SUBTEST: canaries
 * Description: one wrong word on either side of the range, by the CPU or by the device
 *
 * SUBTEST: behind
 * Description: one wrong word in the file or in memory that moved away
 *
 * SUBTEST: legit
 * Description: words of others, and words of the range at the wrong place
 *
 * SUBTEST: poison
 * Description: one wrong word in another process
 *
 * SUBTEST: reuse
 * Description: the other process has pages that were ours just now
 *
 * SUBTEST: witness
 * Description: a call that waits for nobody, and one that waits for a job
 *
 * SUBTEST: frames
 * Description: a page that is gone, and one that was replaced by another
 *
 * SUBTEST: stale-write
 * Description: a forgotten TLB flush: the device writes to a page that is not the range's any more
 *
 * SUBTEST: stale-read
 * Description: a forgotten TLB flush: the device reads a page that another process has by now
 */

IGT_TEST_DESCRIPTION("Who is to see a stale access sees one that is made on purpose.");

static int fd = -1;
static struct vup_cell cell;

static const struct vup_backing *backing(const char *name)
{
	for (int b = 0; b < vup_nr_backings; b++)
		if (!strcmp(vup_backings[b].name, name))
			return &vup_backings[b];
	igt_assert_f(false, "no backing is called %s\n", name);
	return NULL;
}

static struct vup_cell *begin(const char *name)
{
	memset(&cell, 0, sizeof(cell));
	cell.op = &vup_no_op;
	cell.backing = backing(name);
	cell.backing->require();
	vup_cell_begin(&cell);
	return &cell;
}

#define sees(what) do { \
		const char *heard__ = what; \
		igt_assert_f(heard__, "%s saw nothing\n", #what); \
		igt_debug("%s\n", heard__); \
	} while (0)

/* By the device, wherever it is bound */
static void device_writes(struct vup_cell *c, void *page, size_t at)
{
	vup_bind_mem(&c->v, page, VUP_VA(9), vup_page(), 0);
	vup_ok(&c->v, op_fill(VUP_VA(9) + at, 4, 0xbad));
	vup_unbind(&c->v, VUP_VA(9), vup_page());
}

static void silent(const char *name)
{
	struct vup_cell *c = begin(name);

	vup_oracle_silent(vup_oracle_shadow(c));
	vup_oracle_silent(vup_oracle_canaries(c));
	vup_oracle_silent(vup_oracle_behind(c));
	vup_oracle_silent(vup_oracle_legit(c->ptr, c->size));
	vup_oracle_silent(vup_oracle_device(c, vup_cell_copy_out(c, 0, c->size)));
	vup_oracle_silent(vup_oracle_legit(vup_cell_copy_out(c, 0, c->size), c->size));
	vup_other_take_pages();
	vup_oracle_silent(vup_oracle_poison());
	vup_cell_end(c);
}

static void memory(const char *name)
{
	struct vup_cell *c = begin(name);
	size_t last = c->size - vup_page();

	((uint32_t *)c->ptr)[77] ^= 1;
	sees(vup_oracle_shadow(c));
	sees(vup_oracle_device(c, vup_cell_copy_out(c, 0, c->size)));
	((uint32_t *)c->ptr)[77] ^= 1;
	vup_oracle_silent(vup_oracle_shadow(c));

	device_writes(c, c->ptr + last, vup_page() - 4);
	sees(vup_oracle_shadow(c));
	sees(vup_oracle_device(c, vup_cell_copy_out(c, 0, c->size)));
	vup_cell_end(c);
}

static void canaries(const char *name)
{
	struct vup_cell *c = begin(name);
	uint32_t *before = (uint32_t *)c->ptr - 1, *after = (uint32_t *)(c->ptr + c->size);
	uint32_t was;

	*before ^= 1;
	sees(vup_oracle_canaries(c));
	*before ^= 1;
	after[1023] ^= 1;
	sees(vup_oracle_canaries(c));
	after[1023] ^= 1;
	vup_oracle_silent(vup_oracle_canaries(c));
	was = *before;
	device_writes(c, c->ptr - vup_page(), vup_page() - 4);
	sees(vup_oracle_canaries(c));
	*before = was;
	vup_oracle_silent(vup_oracle_canaries(c));
	device_writes(c, after, 0);
	sees(vup_oracle_canaries(c));
	vup_cell_end(c);
}

/* Pages of the range are replaced: by other memory, or by none. */
static void replace(struct vup_cell *c)
{
	vup_map_fixed(c->ptr + c->at, c->len, PROT_READ | PROT_WRITE);
	vup_expect_anon(c, c->at, c->len);
}

static void move_away(struct vup_cell *c)
{
	char *away = vup_cell_reserve_away(c, c->len);

	igt_assert(mremap(c->ptr + c->at, c->len, c->len, MREMAP_MAYMOVE | MREMAP_FIXED, away) ==
		   away);
	vup_expect_moved(c, c->at, c->len);
	vup_expect_gone(c, -EFAULT, c->at, c->len);
}

static void behind(void)
{
	struct vup_cell *c = begin("memfd");
	uint32_t wrong = 0xbad;

	replace(c);
	vup_oracle_silent(vup_oracle_behind(c));
	igt_assert_eq(pwrite(c->file, &wrong, 4, vup_cell_offset(c, c->at + 8)), 4);
	sees(vup_oracle_behind(c));
	vup_cell_end(c);

	c = begin("anon");
	move_away(c);
	vup_oracle_silent(vup_oracle_behind(c));
	vup_oracle_silent(vup_oracle_shadow(c));
	device_writes(c, c->away, 40);
	sees(vup_oracle_behind(c));
	vup_cell_end(c);
}

static void legit(void)
{
	uint32_t buf[2048];

	vup_cell_fill(buf, 0, sizeof(buf), VUP_OLD);
	vup_cell_fill(buf + 1024, 4096, 4096, VUP_NEW);
	vup_oracle_silent(vup_oracle_legit(buf, sizeof(buf)));
	for (int seed = VUP_CHILD; seed <= VUP_POISON; seed++) {
		vup_cell_fill(buf + 5, 20, 4, seed);
		sees(vup_oracle_legit(buf, sizeof(buf)));
		vup_cell_fill(buf + 5, 20, 4, VUP_OLD);
	}
	vup_oracle_silent(vup_oracle_legit(buf, sizeof(buf)));
	/* One page too far */
	vup_cell_fill(buf + 1024, 0, 4096, VUP_OLD);
	sees(vup_oracle_legit(buf, sizeof(buf)));
}

static void poison(void)
{
	vup_other_take_pages();
	vup_oracle_silent(vup_oracle_poison());
	vup_other_take_pages();
	vup_other_spoil();
	sees(vup_oracle_poison());
}

/* How many of a cell's pages does the other process get, once they are free? */
static int reused(struct vup_cell *c, size_t *at)
{
	uint64_t frame[16];
	int nr = c->len / vup_page(), found = 0;

	for (int i = 0; i < nr; i++)
		frame[i] = vup_page_frame(c->ptr + c->at + i * vup_page());
	igt_assert_eq(madvise(c->ptr + c->at, c->len, MADV_DONTNEED), 0);
	vup_expect_dropped(c, c->at, c->len);
	vup_other_take_pages();
	for (int i = 0; i < nr; i++)
		if (vup_other_has(frame[i])) {
			*at = c->at + i * vup_page();
			found++;
		}
	return found;
}

static void reuse(void)
{
	int found = 0, tries = 20;
	size_t at;

	for (int i = 0; i < tries; i++) {
		struct vup_cell *c = begin("anon");

		found += reused(c, &at);
		vup_oracle_silent(vup_oracle_poison());
		vup_cell_end(c);
	}
	igt_info("%d of %d pages\n", found, 4 * tries);
	igt_assert_lt(tries, found);
}

static void witness(void)
{
	struct vup_cell *c = begin("anon");
	const char *said;

	/* Nothing happens: that is no wait. */
	vup_cell_spin(c);
	vup_witness_watch(getpid(), 0);
	said = vup_oracle_waited(c);
	igt_assert_f(said, "a call that did nothing was believed to wait\n");
	vup_cell_spin_end(c);

	vup_cell_spin(c);
	vup_witness_watch(getpid(), 0);
	vup_unmap(c->ptr, c->size);
	said = vup_oracle_waited(c);
	igt_assert_f(!said, "%s\n", said);
	vup_cell_spin_end(c);
	vup_cell_end(c);
}

static void frames(void)
{
	struct vup_cell *c = begin("anon");

	vup_page_frame(c->ptr);
	vup_cell_note_frames(c);
	vup_oracle_silent(vup_oracle_frames(c));
	/* Gone, or another one that looks the same */
	igt_assert_eq(madvise(c->ptr + c->at, vup_page(), MADV_DONTNEED), 0);
	sees(vup_oracle_frames(c));
	vup_other_take_pages();
	vup_cell_fill(c->ptr + c->at, c->at, vup_page(), VUP_OLD);
	sees(vup_oracle_frames(c));
	vup_cell_end(c);
}

/* Flushes of the TLB are forgotten from here on, or not. */

static char knob[PATH_MAX];

static void forget_flushes(bool forget)
{
	static const char * const setting[][2] = {
		{ "verbose", "0" }, { "interval", "1" }, { "times", "-1" },
	};
	char path[PATH_MAX + 16];

	for (int i = 0; i < (int)ARRAY_SIZE(setting); i++) {
		snprintf(path, sizeof(path), "%s/%s", knob, setting[i][0]);
		igt_assert(vup_file_write(path, setting[i][1]));
	}
	snprintf(path, sizeof(path), "%s/probability", knob);
	igt_assert(vup_file_write(path, forget ? "100" : "0"));
}

static void remember_flushes(int sig)
{
	char path[PATH_MAX + 16];

	(void)sig;
	snprintf(path, sizeof(path), "%s/probability", knob);
	vup_file_write(path, "0");
}

static void require_knob(void)
{
	DIR *dir = opendir("/sys/kernel/debug/dri");
	struct dirent *entry;

	while (dir && !knob[0] && (entry = readdir(dir))) {
		snprintf(knob, sizeof(knob), "/sys/kernel/debug/dri/%s/fail_tlb_flush",
			 entry->d_name);
		if (access(knob, F_OK))
			knob[0] = 0;
	}
	if (dir)
		closedir(dir);
	errno = 0;
	igt_require_f(knob[0], "kernel without CONFIG_DRM_USERPTR_FAULT_INJECTION\n");
	igt_install_exit_handler(remember_flushes);
}

/* The page stays in the file, so nobody else is harmed. */
static void stale_write(void)
{
	struct vup_cell *c = begin("memfd");

	forget_flushes(true);
	replace(c);
	vup_do(&c->v, op_fill(VUP_CELL_VA + c->at, vup_page(), 0xbad));
	forget_flushes(false);
	sees(vup_oracle_behind(c));
	vup_cell_end(c);

	/* The same with flushes, to be sure that it is these that matter */
	c = begin("memfd");
	replace(c);
	vup_do(&c->v, op_fill(VUP_CELL_VA + c->at, vup_page(), 0xbad));
	vup_oracle_silent(vup_oracle_behind(c));
	vup_cell_end(c);
}

static void stale_read(void)
{
	int tries = 0;

	/* Not every page is reused at once. */
	igt_until_timeout(VUP_PATIENCE_S) {
		struct vup_cell *c = begin("anon");
		size_t at;
		bool found;

		forget_flushes(true);
		found = reused(c, &at);
		if (found) {
			const char *out = vup_cell_copy_out(c, at, vup_page());

			sees(vup_oracle_device_part(c, out, at, vup_page()));
		}
		forget_flushes(false);
		vup_oracle_silent(vup_oracle_poison());
		vup_cell_end(c);
		tries++;
		if (found)
			break;
	}
	igt_info("%d tries\n", tries);
}

int igt_main()
{
	igt_fixture() {
		igt_require_f(vup_page() == 4096, "not for this page size\n");
		fd = vup_open();
		vup_matrix_init(fd);
	}

	igt_describe("Broken if oracles cry wolf.");
	igt_subtest_with_dynamic("silent")
		for (int b = 0; b < vup_nr_backings; b++)
			if (vup_backing_there(&vup_backings[b]))
				igt_dynamic(vup_backings[b].name)
					silent(vup_backings[b].name);

	igt_describe("Broken if wrong data are not noticed.");
	igt_subtest_with_dynamic("memory")
		for (int b = 0; b < vup_nr_backings; b++)
			if (vup_backing_there(&vup_backings[b]))
				igt_dynamic(vup_backings[b].name)
					memory(vup_backings[b].name);

	igt_describe("Broken if a write beside the range is not noticed.");
	igt_subtest_with_dynamic("canaries")
		for (int b = 0; b < vup_nr_backings; b++)
			if (vup_backing_there(&vup_backings[b]))
				igt_dynamic(vup_backings[b].name)
					canaries(vup_backings[b].name);

	igt_describe("Broken if a write to pages that left the range is not noticed.");
	igt_subtest("behind")
		behind();

	igt_describe("Broken if wrong data are not noticed while they change.");
	igt_subtest("legit")
		legit();

	igt_describe("Broken if a write to another process' pages is not noticed.");
	igt_subtest("poison")
		poison();

	igt_describe("Broken if freed pages are not used by somebody else at once.");
	igt_subtest("reuse")
		reuse();

	igt_describe("Broken if a call that does not wait is believed to.");
	igt_subtest("witness")
		witness();

	igt_describe("Broken if it is not noticed that the process has other pages.");
	igt_subtest("frames")
		frames();

	igt_describe("Broken if no test would notice a forgotten TLB flush, when it writes.");
	igt_subtest("stale-write") {
		require_knob();
		stale_write();
	}

	igt_describe("Broken if no test would notice a forgotten TLB flush, when it reads.");
	igt_subtest("stale-read") {
		require_knob();
		stale_read();
	}

	igt_fixture() {
		vup_matrix_fini();
		drm_close_driver(fd);
	}
}
