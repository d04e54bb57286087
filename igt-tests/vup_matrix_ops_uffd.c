// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * Operations of the matrix by which user space takes care of faults itself. The
 * handler is a thread that starts when the device comes to submit again.
 */

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include "vup_matrix.h"

static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		uffd = -1;
	}
	errno = 0;
	return uffd;
}

static void require_features(uint64_t features)
{
	int uffd = uffd_open(features);

	igt_require_f(uffd >= 0, "kernel without this kind of userfaultfd\n");
	close(uffd);
}

static int uffd_register(struct vup_cell *c, uint64_t features, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)vup_part(c), c->len }, .mode = mode,
	};

	c->uffd = uffd_open(features);
	igt_assert_fd(c->uffd);
	return ioctl(c->uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

static void mend_uffd(struct vup_cell *c)
{
	/* Memory is as without it then. */
	close(c->uffd);
	c->uffd = -1;
}

/* The handler: answers, each page once, until it is told that this is enough. */

static void answer(struct vup_cell *c, const struct uffd_msg *msg, void *page)
{
	/* A page of hugetlb is as large as its canary. */
	uint64_t at = msg->arg.pagefault.address & ~(uint64_t)(c->canary - 1);
	uint64_t flags = msg->arg.pagefault.flags;

	if (flags & UFFD_PAGEFAULT_FLAG_WP) {
		struct uffdio_writeprotect wp = { .range = { at, c->canary } };

		ioctl(c->uffd, UFFDIO_WRITEPROTECT, &wp);
	} else if (flags & UFFD_PAGEFAULT_FLAG_MINOR) {
		struct uffdio_continue cont = { .range = { at, c->canary } };

		ioctl(c->uffd, UFFDIO_CONTINUE, &cont);
	} else {
		struct uffdio_copy copy = {
			.dst = at, .src = (uintptr_t)page, .len = c->canary,
		};

		vup_cell_fill(page, at - (uintptr_t)c->ptr, c->canary, VUP_OTHER);
		ioctl(c->uffd, UFFDIO_COPY, &copy);
	}
}

static void *serve(void *cell)
{
	struct vup_cell *c = cell;
	void *page = malloc(c->canary);

	while (page && !atomic_load(&c->served)) {
		struct pollfd p = { .fd = c->uffd, .events = POLLIN };
		struct uffd_msg msg;

		if (poll(&p, 1, 5) != 1 || read(c->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		answer(c, &msg, page);
		c->faults++;
	}
	free(page);
	return NULL;
}

static void expect_served(struct vup_cell *c)
{
	c->serve = serve;
	/* Who looks now would be served as well, and that is for the device. */
	c->gone_at = c->at;
	c->gone_len = c->len;
	c->hidden = true;
}

/* Only one who submits can be waited for. */
static bool sense_alone(const struct vup_cell *c)
{
	return c->state != VUP_CONCURRENT;
}

static int refused_real_file(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_REAL) ? -EINVAL : 0;
}

/* Pages that are missing */

#define MISSING	(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS)

static void require_missing(void)
{
	require_features(MISSING);
}

static int run_missing(struct vup_cell *c)
{
	int err = uffd_register(c, MISSING, UFFDIO_REGISTER_MODE_MISSING);

	if (err)
		return err;
	return madvise(vup_part(c), c->len, vup_is(c, VUP_IS_ANON) ? MADV_DONTNEED : MADV_REMOVE) ?
		-errno : 0;
}

static void expect_missing(struct vup_cell *c)
{
	vup_cell_fill(c->shadow + c->at, c->at, c->len, VUP_OTHER);
	expect_served(c);
}

/* Pages that are in the file, and not in the mapping */

#define MINOR	(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS)

static void require_minor(void)
{
	require_features(MINOR);
}

static int run_minor(struct vup_cell *c)
{
	int err = uffd_register(c, MINOR, UFFDIO_REGISTER_MODE_MINOR);

	if (err)
		return err;
	return madvise(vup_part(c), c->len, MADV_DONTNEED) ? -errno : 0;
}

static int refused_not_shmem(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) || vup_is(c, VUP_IS_REAL) ? -EINVAL : 0;
}

/* Pages that may not be written to, until somebody says so */

#define PROTECT	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

static void require_protect(void)
{
	require_features(PROTECT);
}

static int run_protect(struct vup_cell *c)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)vup_part(c), c->len }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int err = uffd_register(c, PROTECT, UFFDIO_REGISTER_MODE_WP);

	if (err)
		return err;
	return ioctl(c->uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

/* Reading is nobody's business. */
static void expect_protect(struct vup_cell *c)
{
	if (!c->read_only)
		expect_served(c);
}

/* The same without a handler: who looks at the page table later sees who wrote. */

#define ASYNC	(PROTECT | UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED)

static void require_async(void)
{
	require_features(ASYNC);
}

static long scan(struct vup_cell *c, uint64_t flags, uint64_t category)
{
	struct page_region regions[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = flags, .start = (uintptr_t)vup_part(c),
		.end = (uintptr_t)vup_part(c) + c->len, .vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions), .category_mask = category,
		.return_mask = category,
	};
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long pages = 0, found = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	close(pagemap);
	for (long i = 0; i < found; i++)
		pages += (regions[i].end - regions[i].start) / vup_page();
	return found < 0 ? -errno : pages;
}

static int run_scan_protect(struct vup_cell *c)
{
	int err = uffd_register(c, ASYNC, UFFDIO_REGISTER_MODE_WP);
	long pages;

	if (err)
		return err;
	pages = scan(c, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
	return min(pages, 0l);
}

/* The device's writes count: the submission that came after has populated for them. */
static void mend_scan_protect(struct vup_cell *c)
{
	long pages = scan(c, 0, PAGE_IS_WRITTEN);

	if (c->uffd >= 0 && !vup_is(c, VUP_IS_REAL))
		igt_assert_eq(pages, c->read_only ? 0 : c->len / vup_page());
	mend_uffd(c);
}

/* Pages that are moved to where they are missing */

static void require_move(void)
{
	require_features(UFFD_FEATURE_MOVE);
}

static void prepare_move(struct vup_cell *c)
{
	vup_cell_reserve_away(c, c->len);
	vup_map_fixed(c->away, c->len, PROT_READ | PROT_WRITE);
}

static int run_move(struct vup_cell *c)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)c->away, c->len }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	size_t moved = 0;

	c->uffd = uffd_open(UFFD_FEATURE_MOVE);
	igt_assert_fd(c->uffd);
	igt_assert_eq(ioctl(c->uffd, UFFDIO_REGISTER, &reg), 0);
	while (moved < c->len) {
		struct uffdio_move move = {
			.dst = (uintptr_t)c->away + moved, .src = (uintptr_t)vup_part(c) + moved,
			.len = c->len - moved,
		};

		if (ioctl(c->uffd, UFFDIO_MOVE, &move) && errno != EAGAIN)
			return -errno;
		moved += max(move.move, (__s64)0);
	}
	return 0;
}

static void expect_move(struct vup_cell *c)
{
	vup_expect_moved(c, c->at, c->len);
	vup_expect_dropped(c, c->at, c->len);
}

static int refused_not_anon(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) ? 0 : -EINVAL;
}

const struct vup_op vup_ops_uffd[] = {
	{
		.name = "uffd-missing", .effect = VUP_TAKES, .require = require_missing,
		.sense = sense_alone, .refused = refused_real_file,
		.run = run_missing, .expect = expect_missing, .mend = mend_uffd,
		.describe = "Broken if the device does not wait for a page that is missing.",
	}, {
		.name = "uffd-minor", .effect = VUP_TAKES, .require = require_minor,
		.sense = sense_alone, .refused = refused_not_shmem,
		.run = run_minor, .expect = expect_served, .mend = mend_uffd,
		.flags = VUP_OP_EMULATED,
		.describe = "Broken if the device has a page before the handler lets it.",
	}, {
		.name = "uffd-wp", .effect = VUP_TAKES, .require = require_protect,
		.sense = sense_alone, .refused = refused_real_file,
		.run = run_protect, .expect = expect_protect, .mend = mend_uffd,
		.flags = VUP_OP_EMULATED,
		.describe = "Broken if the device writes where the handler said not yet.",
	}, {
		.name = "pagemap-scan-wp", .effect = VUP_TAKES, .require = require_async,
		.run = run_scan_protect, .expect = vup_expect_nothing, .mend = mend_scan_protect,
		.flags = VUP_OP_EMULATED,
		.describe = "Broken if the device writes unnoticed to pages that are watched.",
	}, {
		.name = "uffd-move", .effect = VUP_TAKES, .require = require_move,
		.refused = refused_not_anon, .prepare = prepare_move,
		.run = run_move, .expect = expect_move, .mend = mend_uffd,
		.flags = VUP_OP_NO_FORK,
		.describe = "Broken if the device keeps pages that moved to another address.",
	},
	{ }
};
