// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * Operations of the matrix by other processes, by the kernel for itself, and by
 * means of /proc.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>

#include "vup_matrix.h"

static void expect_written(struct vup_cell *c)
{
	vup_cell_fill(c->shadow + c->at, c->at, c->len, VUP_WRITTEN);
}

/* fork(), and both write. The child holds on to its pages, and looks at them again. */

static pid_t child;
static struct vup_gate done, go;

static int only_in_shared(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_SHARED) ? VUP_WRITTEN : VUP_CHILD;
}

static int child_main(struct vup_cell *c)
{
	enum vup_seed seed = only_in_shared(c);
	char *mine = malloc(c->len), go_on;

	if (!mine || vup_oracle_legit(c->ptr, c->size))
		return 1;
	vup_cell_fill(mine, c->at, c->len, seed);
	memcpy(vup_part(c), mine, c->len);
	if (write(done.fd[1], "d", 1) != 1 || read(go.fd[0], &go_on, 1) != 1)
		return 2;
	return !vup_is(c, VUP_IS_SHARED) && memcmp(vup_part(c), mine, c->len) ? 3 : 0;
}

static int run_fork(struct vup_cell *c)
{
	vup_gate_init(&done);
	vup_gate_init(&go);
	child = vup_fork();
	if (!child)
		_exit(child_main(c));
	vup_gate_pass(&done);
	vup_cell_fill(vup_part(c), c->at, c->len, VUP_WRITTEN);
	return 0;
}

static enum vup_effect effect_fork(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_SHARED) ? VUP_KEEPS : VUP_TAKES;
}

static void mend_fork(struct vup_cell *c)
{
	int status;

	(void)c;
	vup_gate_open(&go);
	igt_assert_eq(waitpid(child, &status, 0), child);
	child = 0;
	igt_assert_f(!status, "the child found its copy changed: %#x\n", status);
}

static void undo_fork(struct vup_cell *c)
{
	(void)c;
	if (child) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
	vup_gate_fini(&done);
	vup_gate_fini(&go);
}

/* fork() of memory that the child is not to have, or not to see */

static int run_advised_fork(struct vup_cell *c, int advice, bool (*ok)(struct vup_cell *c))
{
	int status;
	pid_t pid;

	if (madvise(c->ptr, c->size, advice))
		return -errno;
	pid = vup_fork();
	if (!pid)
		_exit(!ok(c));
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_f(!status, "the child has what it is not to have: %#x\n", status);
	return 0;
}

static bool is_not_there(struct vup_cell *c)
{
	unsigned char vec[1];

	return mincore(vup_part(c), 1, vec) && errno == ENOMEM;
}

static int run_dontfork(struct vup_cell *c)
{
	return run_advised_fork(c, MADV_DONTFORK, is_not_there);
}

static bool is_zero(struct vup_cell *c)
{
	for (size_t i = 0; i < c->size; i++)
		if (c->ptr[i])
			return false;
	return true;
}

static int run_wipeonfork(struct vup_cell *c)
{
	return run_advised_fork(c, MADV_WIPEONFORK, is_zero);
}

static int refused_not_anon(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_ANON) ? 0 : -EINVAL;
}

/* vfork() and exec: for a while a process that shares the mm, and then not */
static int run_vfork_exec(struct vup_cell *c)
{
	int status;
	pid_t pid;

	(void)c;
	pid = vfork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	igt_assert_lt(0, pid);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_eq(status, 0);
	return 0;
}

/* Written to by another process */

static int run_writev(struct vup_cell *c)
{
	char *data = malloc(c->len);
	int err;

	igt_assert(data);
	vup_cell_fill(data, c->at, c->len, VUP_WRITTEN);
	err = vup_other_write(vup_part(c), data, c->len);
	free(data);
	return err;
}

static int run_poke(struct vup_cell *c)
{
	long value;

	vup_cell_fill(&value, c->at, sizeof(value), VUP_WRITTEN);
	return vup_other_poke(vup_part(c), value);
}

static void expect_poke(struct vup_cell *c)
{
	vup_cell_fill(c->shadow + c->at, c->at, sizeof(long), VUP_WRITTEN);
}

static enum vup_effect effect_write(const struct vup_cell *c)
{
	bool file_page = !vup_is(c, VUP_IS_ANON) && !vup_is(c, VUP_IS_SHARED) && c->read_only;

	return file_page ? VUP_TAKES : VUP_KEEPS;
}

/* By way of /proc, which looks for the page itself */
static int run_proc_mem(struct vup_cell *c)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC), err = 0;
	char *data = malloc(c->len);

	igt_require_f(mem >= 0, "no permission to write to memory by /proc\n");
	igt_assert(data);
	vup_cell_fill(data, c->at, c->len, VUP_WRITTEN);
	if (pwrite(mem, data, c->len, (off_t)(uintptr_t)vup_part(c)) != (ssize_t)c->len)
		err = errno ? -errno : -EIO;
	free(data);
	close(mem);
	return err;
}

/* Looking at page tables */

static int run_pagemap_scan(struct vup_cell *c)
{
	struct page_region regions[16];
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = (uintptr_t)c->ptr,
		.end = (uintptr_t)c->ptr + c->size, .vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions), .category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int found = ioctl(pagemap, PAGEMAP_SCAN, &arg), err = -errno;

	close(pagemap);
	if (found < 0)
		return err;
	igt_assert_lt(0, found);
	return 0;
}

static void require_pagemap_scan(void)
{
	struct pm_scan_arg arg = { .size = sizeof(arg) };
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool there = pagemap >= 0 && (!ioctl(pagemap, PAGEMAP_SCAN, &arg) || errno != ENOTTY);

	close(pagemap);
	errno = 0;
	igt_require_f(there, "kernel without PAGEMAP_SCAN\n");
}

static int run_clear_refs(struct vup_cell *c)
{
	(void)c;
	return vup_file_write("/proc/self/clear_refs", "1") ? 0 : -errno;
}

static int run_soft_dirty(struct vup_cell *c)
{
	(void)c;
	return vup_file_write("/proc/self/clear_refs", "4") ? 0 : -errno;
}

/* A page that was just written to is dirty in this sense, if there is such. */
static void require_soft_dirty(void)
{
	char *ptr = vup_alloc(vup_page());
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	WRITE_ONCE(*ptr, 1);
	igt_require_f(pagemap >= 0, "no /proc/self/pagemap\n");
	igt_assert_eq(pread(pagemap, &entry, 8, (uintptr_t)ptr / vup_page() * 8), 8);
	close(pagemap);
	vup_unmap(ptr, vup_page());
	igt_require_f(entry >> 55 & 1, "kernel without soft-dirty pages\n");
}

/* The kernel for itself */

static int run_compact(struct vup_cell *c)
{
	(void)c;
	return vup_file_write("/proc/sys/vm/compact_memory", "1") ? 0 : -errno;
}

static void require_compact(void)
{
	igt_require_f(access("/proc/sys/vm/compact_memory", W_OK) == 0,
		      "kernel without compaction\n");
}

/* Out to swap, and all that is there back in again */

static char swap_file[128];

static void require_swap(void)
{
	char text[1024], name[100], *line;

	igt_require_f(vup_file_read("/proc/swaps", text, sizeof(text)), "kernel without swap\n");
	line = strchr(text, '\n');
	igt_require_f(line && sscanf(line, "%99s", name) == 1, "no swap to switch off\n");
	/* The name is that of whoever mounted /dev. */
	snprintf(swap_file, sizeof(swap_file), "/dev/%s", basename(name));
	igt_require_f(access(swap_file, F_OK) == 0, "no swap device to switch off\n");
}

static int run_swapoff(struct vup_cell *c)
{
	int err = 0;

	/* The kernel says how much swap there is each time. */
	igt_emit_ignore_dmesg_regex("Adding .* swap on");
	if (madvise(vup_part(c), c->len, MADV_PAGEOUT))
		return -errno;
	if (swapoff(swap_file))
		err = -errno;
	igt_assert_eq(swapon(swap_file, 0), 0);
	return err;
}

static bool sense_swapped(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_SWAPPED);
}

/* To another node, and back */

static void require_numa(void)
{
	igt_require_f(access("/sys/devices/system/node/node1", F_OK) == 0,
		      "machine with one NUMA node\n");
}

#define MOST_PAGES	1024

static long move_part(struct vup_cell *c, const int *node, int *status)
{
	static void *pages[MOST_PAGES];
	size_t nr = min(c->len / vup_page(), (size_t)MOST_PAGES);

	for (size_t i = 0; i < nr; i++)
		pages[i] = vup_part(c) + i * vup_page();
	return syscall(SYS_move_pages, 0, nr, pages, node, status, MPOL_MF_MOVE_ALL);
}

static int run_move_pages(struct vup_cell *c)
{
	static int node[MOST_PAGES], status[MOST_PAGES];
	size_t nr = min(c->len / vup_page(), (size_t)MOST_PAGES), moved = 0;

	igt_assert_eq(move_part(c, NULL, status), 0);
	for (size_t i = 0; i < nr; i++)
		node[i] = !status[0];
	/* It gives up on pages that somebody happens to look at. */
	for (int tries = 0; moved < nr && tries < 100; tries++) {
		if (move_part(c, node, status) < 0)
			return -errno;
		igt_assert_eq(move_part(c, NULL, status), 0);
		moved = 0;
		for (size_t i = 0; i < nr; i++)
			moved += status[i] == node[0];
	}
	igt_assert_f(vup_is(c, VUP_IS_REAL) || moved == nr, "%zu of %zu pages were moved\n", moved,
		     nr);
	return 0;
}

static enum vup_effect effect_move_pages(const struct vup_cell *c)
{
	return vup_is(c, VUP_IS_REAL) ? VUP_MAY : VUP_TAKES;
}

static int run_migrate_pages(struct vup_cell *c)
{
	unsigned long from, to;
	int status[MOST_PAGES];

	igt_assert_eq(move_part(c, NULL, status), 0);
	from = 1ul << status[0];
	to = 3 & ~from;
	return syscall(SYS_migrate_pages, 0, 64, &from, &to) < 0 ? -errno : 0;
}

static int run_mbind(struct vup_cell *c)
{
	unsigned long to;
	int status[MOST_PAGES];

	igt_assert_eq(move_part(c, NULL, status), 0);
	to = 3 & ~(1ul << status[0]);
	return syscall(SYS_mbind, vup_part(c), c->len, MPOL_BIND, &to, 64, MPOL_MF_MOVE_ALL) ?
		-errno : 0;
}

const struct vup_op vup_ops_mm[] = {
	{
		.name = "fork", .effect_on = effect_fork, .run = run_fork,
		.expect = expect_written, .mend = mend_fork, .undo = undo_fork,
		.flags = VUP_OP_WRITES,
		.describe = "Broken if copies of parent and child are mixed up.",
	}, {
		.name = "dontfork", .effect = VUP_KEEPS,
		.run = run_dontfork, .expect = vup_expect_nothing,
		.describe = "Broken if fork() disturbs memory that the child does not get.",
	}, {
		.name = "wipeonfork", .effect = VUP_KEEPS, .refused = refused_not_anon,
		.run = run_wipeonfork, .expect = vup_expect_nothing,
		.describe = "Broken if fork() disturbs memory that the child gets empty.",
	}, {
		.name = "vfork-exec", .effect = VUP_KEEPS,
		.run = run_vfork_exec, .expect = vup_expect_nothing,
		.describe = "Broken if a process that shared the mm takes memory along.",
	}, {
		.name = "process-vm-writev", .effect_on = effect_write,
		.run = run_writev, .expect = expect_written,
		.flags = VUP_OP_BY_OTHER | VUP_OP_WRITES,
		.describe = "Broken if the device misses what another process writes.",
	}, {
		.name = "ptrace-poke", .effect_on = effect_write,
		.run = run_poke, .expect = expect_poke, .flags = VUP_OP_BY_OTHER | VUP_OP_WRITES,
		.describe = "Broken if the device misses what a debugger writes.",
	}, {
		.name = "proc-mem-write", .effect_on = effect_write,
		.run = run_proc_mem, .expect = expect_written, .flags = VUP_OP_WRITES,
		.describe = "Broken if the device misses what is written past the page table.",
	}, {
		.name = "pagemap-scan", .effect = VUP_KEEPS, .require = require_pagemap_scan,
		.run = run_pagemap_scan, .expect = vup_expect_nothing,
		.describe = "Broken if looking takes memory away.",
	}, {
		.name = "clear-refs", .effect = VUP_KEEPS,
		.run = run_clear_refs, .expect = vup_expect_nothing,
		.describe = "Broken if statistics take memory away.",
	}, {
		.name = "soft-dirty", .effect = VUP_TAKES, .require = require_soft_dirty,
		.run = run_soft_dirty, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED,
		.describe = "Broken if the device writes unnoticed to pages that are watched.",
	}, {
		.name = "compact-memory", .effect = VUP_MAY, .require = require_compact,
		.run = run_compact, .expect = vup_expect_nothing, .flags = VUP_OP_SLOW,
		.describe = "Broken if the device keeps pages that were moved.",
	}, {
		.name = "swapoff", .effect = VUP_MAY, .require = require_swap,
		.sense = sense_swapped, .run = run_swapoff, .expect = vup_expect_nothing,
		.flags = VUP_OP_SLOW | VUP_OP_NO_FORK,
		.describe = "Broken if the device misses what comes back from swap.",
	}, {
		.name = "move-pages", .effect_on = effect_move_pages, .require = require_numa,
		.run = run_move_pages, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED | VUP_OP_NO_FORK,
		.describe = "Broken if the device keeps pages of a node that they left.",
	}, {
		.name = "migrate-pages", .effect = VUP_MAY, .require = require_numa,
		.run = run_migrate_pages, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED | VUP_OP_SLOW | VUP_OP_NO_FORK,
		.describe = "Broken if the device keeps pages of a node that they left.",
	}, {
		.name = "mbind", .effect = VUP_MAY, .require = require_numa,
		.run = run_mbind, .expect = vup_expect_nothing,
		.flags = VUP_OP_EMULATED | VUP_OP_NO_FORK,
		.describe = "Broken if the device keeps pages of a node that they left.",
	},
	{ }
};
