// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * Operations of the matrix that are advice to the kernel, or locks.
 */

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/kernel-page-flags.h>

#include "vup_matrix.h"

static int advise(struct vup_cell *c, int advice)
{
	return madvise(vup_part(c), c->len, advice) ? -errno : 0;
}

/* Does the kernel know it at all? It says so about nothing as well as about something. */
static bool known(int advice)
{
	char *ptr = vup_alloc(vup_page());
	bool yes = !madvise(ptr, vup_page(), advice);

	vup_unmap(ptr, vup_page());
	errno = 0;
	return yes;
}

static int refused_hugetlb(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_HUGETLB) ? -EINVAL : 0;
}

static int refused_not_anon(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) ? 0 : -EINVAL;
}

static void expect_dropped(struct vup_cell *c)
{
	vup_expect_dropped(c, c->at, c->len);
}

/* What only reads a page of the file takes it away who gives the process its own. */
static enum vup_effect effect_breaks_sharing(const struct vup_cell *c)
{
	bool file_page = !vup_is(c, VUP_IS_ANON) && !vup_is(c, VUP_IS_SHARED) && c->read_only;

	return file_page ? VUP_TAKES : VUP_KEEPS;
}

/* Throwing away */

static int run_dontneed(struct vup_cell *c)
{
	return advise(c, MADV_DONTNEED);
}

static int run_free(struct vup_cell *c)
{
	return advise(c, MADV_FREE);
}

static void expect_free(struct vup_cell *c)
{
	c->lazy = true;
}

static void require_free(void)
{
	igt_require_f(known(MADV_FREE), "kernel without MADV_FREE\n");
}

/* Locked memory is to stay, unless that is said expressly. */
static void prepare_locked(struct vup_cell *c)
{
	igt_require_f(mlock(vup_part(c), c->len) == 0, "no permission to lock memory\n");
}

static int refused_locked(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_HUGETLB) ? 0 : -EINVAL;
}

static int run_dontneed_locked(struct vup_cell *c)
{
	return advise(c, MADV_DONTNEED_LOCKED);
}

static void require_dontneed_locked(void)
{
	igt_require_f(known(MADV_DONTNEED_LOCKED), "kernel without MADV_DONTNEED_LOCKED\n");
}

static void mend_locked(struct vup_cell *c)
{
	igt_assert_eq(munlock(vup_part(c), c->len), 0);
}

static int run_mlock(struct vup_cell *c)
{
	return mlock(vup_part(c), c->len) ? -errno : 0;
}

static int run_munlock(struct vup_cell *c)
{
	return munlock(vup_part(c), c->len) ? -errno : 0;
}

/* Reclaim */

static int run_pageout(struct vup_cell *c)
{
	return advise(c, MADV_PAGEOUT);
}

static void require_pageout(void)
{
	igt_require_f(known(MADV_PAGEOUT), "kernel without MADV_PAGEOUT\n");
}

static int run_cold(struct vup_cell *c)
{
	return advise(c, MADV_COLD);
}

static void require_cold(void)
{
	igt_require_f(known(MADV_COLD), "kernel without MADV_COLD\n");
}

/* Populating */

static int run_populate_read(struct vup_cell *c)
{
	return advise(c, MADV_POPULATE_READ);
}

static int run_populate_write(struct vup_cell *c)
{
	return advise(c, MADV_POPULATE_WRITE);
}

static void require_populate(void)
{
	igt_require_f(known(MADV_POPULATE_READ), "kernel without MADV_POPULATE_READ\n");
}

/* Huge pages */

static void require_thp(void)
{
	igt_require_f(access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0,
		      "kernel without transparent huge pages\n");
}

static int run_hugepage(struct vup_cell *c)
{
	return advise(c, MADV_HUGEPAGE);
}

static int run_nohugepage(struct vup_cell *c)
{
	return advise(c, MADV_NOHUGEPAGE);
}

/* Which files can have huge pages is a matter of their file system. */
static bool sense_no_real_file(const struct vup_cell *c)
{
	return !vup_is(c, VUP_IS_REAL);
}

static int run_collapse(struct vup_cell *c)
{
	int err = 0;

	/* What was told not to have huge pages may be told otherwise. */
	if (vup_is(c, VUP_IS_ANON))
		igt_assert_eq(advise(c, MADV_HUGEPAGE), 0);
	/* It gives up on pages that somebody happens to look at. */
	igt_until_timeout(VUP_PATIENCE_S) {
		err = advise(c, MADV_COLLAPSE);
		if (err != -EAGAIN)
			break;
	}
	igt_require_f(err != -ENOMEM, "no huge page to be had\n");
	return err;
}

static enum vup_effect effect_collapse(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_THP) ? VUP_KEEPS : VUP_TAKES;
}

static bool sense_khugepaged(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) && !vup_is(c, VUP_IS_THP) && c->state != VUP_CONCURRENT;
}

static int run_khugepaged(struct vup_cell *c)
{
	bool huge = false;

	vup_knob_set("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "1");
	vup_knob_set("/sys/kernel/mm/transparent_hugepage/khugepaged/alloc_sleep_millisecs", "1");
	vup_knob_set("/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan", "100000");
	igt_assert_eq(advise(c, MADV_HUGEPAGE), 0);
	igt_until_timeout(VUP_PATIENCE_S) {
		huge = vup_page_flag(vup_part(c), KPF_THP);
		if (huge)
			break;
		/* It looks only at what is in use. */
		for (size_t at = 0; at < c->len; at += vup_page())
			READ_ONCE(vup_part(c)[at]);
	}
	igt_require_f(huge, "khugepaged found no huge page in %d s\n", VUP_PATIENCE_S);
	return 0;
}

/* Merging */

static void require_ksm(void)
{
	igt_require_f(access("/sys/kernel/mm/ksm/run", W_OK) == 0, "kernel without KSM\n");
}

static int run_mergeable(struct vup_cell *c)
{
	return advise(c, MADV_MERGEABLE);
}

static bool sense_ksmd(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) && c->state != VUP_CONCURRENT;
}

/* ksmd finds twins of all of the part's pages, and makes one of two. */
static void prepare_ksmd(struct vup_cell *c)
{
	char *twin = vup_cell_reserve_away(c, c->len);

	vup_map_fixed(twin, c->len, PROT_READ | PROT_WRITE);
}

static int run_ksmd(struct vup_cell *c)
{
	bool merged = false;

	memcpy(c->away, vup_part(c), c->len);
	c->away_shadow = malloc(c->len);
	igt_assert(c->away_shadow);
	memcpy(c->away_shadow, vup_part(c), c->len);
	igt_assert_eq(madvise(c->away, c->len, MADV_MERGEABLE), 0);
	igt_assert_eq(advise(c, MADV_MERGEABLE), 0);
	vup_knob_set("/sys/kernel/mm/ksm/sleep_millisecs", "0");
	vup_knob_set("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	vup_knob_set("/sys/kernel/mm/ksm/run", "1");
	igt_until_timeout(VUP_PATIENCE_S) {
		merged = vup_page_flag(vup_part(c), KPF_KSM);
		if (merged)
			break;
	}
	vup_knob_set("/sys/kernel/mm/ksm/run", "0");
	igt_assert_f(merged, "ksmd merged nothing\n");
	return 0;
}

/* Guard pages */

static int run_guard(struct vup_cell *c)
{
	return advise(c, MADV_GUARD_INSTALL);
}

static void expect_guard(struct vup_cell *c)
{
	vup_expect_gone(c, -EFAULT, c->at, c->len);
}

static void mend_guard(struct vup_cell *c)
{
	if (!c->verdict)
		return;
	igt_assert_eq(advise(c, MADV_GUARD_REMOVE), 0);
	expect_dropped(c);
}

static void require_guard(void)
{
	igt_require_f(known(MADV_GUARD_INSTALL), "kernel without MADV_GUARD_INSTALL\n");
}

/* Memory that fails, of which one page is enough */

static uint64_t failed_frame;

static void require_failure(void)
{
	igt_require_f(access("/sys/kernel/debug/hwpoison/unpoison-pfn", W_OK) == 0,
		      "kernel without memory failure handling, or that cannot take it back\n");
}

static bool sense_small_anon(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) && !vup_is(c, VUP_IS_THP);
}

static void prepare_one_page(struct vup_cell *c)
{
	igt_emit_ignore_dmesg_regex("[Mm]emory failure|Soft offlin|soft offline|Unpoison: ");
	c->len = vup_page();
}

/* The CPU is told as well, by a signal that cannot be ignored. */
static void memory_failed(int sig)
{
	(void)sig;
}

static int run_failure(struct vup_cell *c, int advice)
{
	struct sigaction action = { .sa_handler = memory_failed }, before;
	int err;

	failed_frame = vup_page_frame(vup_part(c));
	igt_assert_eq(sigaction(SIGBUS, &action, &before), 0);
	err = advise(c, advice);
	igt_assert_eq(sigaction(SIGBUS, &before, NULL), 0);
	return err;
}

static int run_hwpoison(struct vup_cell *c)
{
	return run_failure(c, MADV_HWPOISON);
}

static void mend_hwpoison(struct vup_cell *c)
{
	/* The memory is lost, the address is not. */
	igt_assert_eq(advise(c, MADV_DONTNEED), 0);
	expect_dropped(c);
}

static int run_soft_offline(struct vup_cell *c)
{
	return run_failure(c, MADV_SOFT_OFFLINE);
}

/* Nothing is lost, but it is elsewhere. */
static void expect_soft_offline(struct vup_cell *c)
{
	igt_assert_neq_u64(vup_page_frame(vup_part(c)), failed_frame);
}

/* Gives the machine its page back. */
static void undo_failure(struct vup_cell *c)
{
	char text[32];

	(void)c;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)failed_frame);
	if (failed_frame)
		vup_file_write("/sys/kernel/debug/hwpoison/unpoison-pfn", text);
	failed_frame = 0;
}

const struct vup_op vup_ops_advice[] = {
	{
		.name = "dontneed", .effect = VUP_TAKES,
		.run = run_dontneed, .expect = expect_dropped,
		.describe = "Broken if the device keeps what was thrown away.",
	}, {
		.name = "dontneed-of-locked", .effect = VUP_TAKES, .prepare = prepare_locked,
		.refused = refused_locked, .run = run_dontneed, .expect = expect_dropped,
		.mend = mend_locked,
		.describe = "Broken if memory is lost that was locked.",
	}, {
		.name = "dontneed-locked", .effect = VUP_TAKES, .prepare = prepare_locked,
		.require = require_dontneed_locked,
		.run = run_dontneed_locked, .expect = expect_dropped, .mend = mend_locked,
		.describe = "Broken if the device keeps what was thrown away.",
	}, {
		.name = "free", .effect = VUP_TAKES, .require = require_free,
		.refused = refused_not_anon, .run = run_free, .expect = expect_free,
		.describe = "Broken if a write by the device to a page that may go is lost.",
	}, {
		.name = "pageout", .effect = VUP_MAY, .require = require_pageout,
		.refused = refused_hugetlb, .run = run_pageout, .expect = vup_expect_nothing,
		.flags = VUP_OP_NO_FORK,
		.describe = "Broken if what the device wrote does not survive reclaim.",
	}, {
		.name = "cold", .effect = VUP_KEEPS, .require = require_cold,
		.refused = refused_hugetlb, .run = run_cold, .expect = vup_expect_nothing,
		.describe = "Broken if advice takes memory away.",
	}, {
		.name = "populate-read", .effect = VUP_KEEPS, .require = require_populate,
		.run = run_populate_read, .expect = vup_expect_nothing,
		.describe = "Broken if populating what is there disturbs the device.",
	}, {
		.name = "populate-write", .effect_on = effect_breaks_sharing,
		.require = require_populate,
		.run = run_populate_write, .expect = vup_expect_nothing,
		.describe = "Broken if a reader misses that the process got a page of its own.",
	}, {
		.name = "mlock", .effect_on = effect_breaks_sharing,
		.run = run_mlock, .expect = vup_expect_nothing, .mend = mend_locked,
		.describe = "Broken if locking memory that is there disturbs the device.",
	}, {
		.name = "munlock", .effect = VUP_KEEPS, .prepare = prepare_locked,
		.run = run_munlock, .expect = vup_expect_nothing,
		.describe = "Broken if unlocking takes memory away.",
	}, {
		.name = "hugepage", .effect = VUP_KEEPS, .require = require_thp,
		.run = run_hugepage, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED,
		.describe = "Broken if advice takes memory away.",
	}, {
		.name = "nohugepage", .effect = VUP_KEEPS, .require = require_thp,
		.run = run_nohugepage, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED,
		.describe = "Broken if advice takes memory away.",
	}, {
		.name = "collapse", .effect_on = effect_collapse, .require = require_thp,
		.sense = sense_no_real_file, .refused = refused_hugetlb,
		.run = run_collapse, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED | VUP_OP_LARGE | VUP_OP_NO_FORK,
		.describe = "Broken if the device keeps small pages that became a huge one.",
	}, {
		.name = "khugepaged", .effect = VUP_MAY, .require = require_thp,
		.sense = sense_khugepaged, .run = run_khugepaged, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED | VUP_OP_LARGE | VUP_OP_SLOW | VUP_OP_LATER,
		.describe = "Broken if the device keeps small pages that became a huge one.",
	}, {
		.name = "mergeable", .effect = VUP_KEEPS, .require = require_ksm,
		.run = run_mergeable, .expect = vup_expect_nothing,
		.describe = "Broken if advice takes memory away.",
	}, {
		.name = "ksmd", .effect = VUP_MAY, .require = require_ksm, .prepare = prepare_ksmd,
		.sense = sense_ksmd, .run = run_ksmd, .expect = vup_expect_nothing,
		.flags = VUP_OP_SLOW | VUP_OP_LATER,
		.describe = "Broken if the device writes to a page that others have as well.",
	}, {
		.name = "guard-install", .effect = VUP_TAKES, .require = require_guard,
		.refused = refused_hugetlb, .run = run_guard, .expect = expect_guard,
		.mend = mend_guard,
		.describe = "Broken if the device reaches where the CPU would be killed.",
	}, {
		.name = "hwpoison", .effect = VUP_TAKES, .require = require_failure,
		.sense = sense_small_anon, .prepare = prepare_one_page,
		.run = run_hwpoison, .expect = expect_guard, .mend = mend_hwpoison,
		.undo = undo_failure, .flags = VUP_OP_EMULATED | VUP_OP_NO_FORK,
		.describe = "Broken if the device uses memory that is known to have failed.",
	}, {
		.name = "soft-offline", .effect = VUP_TAKES, .require = require_failure,
		.sense = sense_small_anon, .prepare = prepare_one_page,
		.run = run_soft_offline, .expect = expect_soft_offline,
		.undo = undo_failure, .flags = VUP_OP_EMULATED | VUP_OP_NO_FORK,
		.describe = "Broken if the device keeps a page that was taken out of service.",
	},
	{ }
};
