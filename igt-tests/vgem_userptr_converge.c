// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr converge
 * Description: Submissions succeed while the kernel takes the same memory away at full rate
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, retry
 * Test category: stress test
 *
 * SUBTEST: %s
 * Description: submissions over 16 MiB under %arg[1] for some seconds, none fails
 * arg[1].values: compaction, ksm, khugepaged, numa, reclaim, all
 *
 * SUBTEST: side-by-side
 * Description: submissions over 64 userptrs of 32 KiB each under reclaim, none fails
 *
 * SUBTEST: all-gigabyte-long
 * Description: ten thousand submissions over 1 GiB under all of these, none fails
 *
 * SUBTEST: self-defeat
 * Description: a process that shoots at its own memory gets EAGAIN at worst, with nothing submitted
 */
IGT_TEST_DESCRIPTION("Submissions succeed while the kernel takes the same memory away at full rate.");

static int fd;
static size_t page;
static const uint64_t va = VUP_VA(0);

/* The memory that everybody is after */
static char *arena;
static size_t arena_size;

#define KSM	"/sys/kernel/mm/ksm/"
#define THP	"/sys/kernel/mm/transparent_hugepage/"

/*
 * Storms: what the kernel does to memory of its own accord, made to do it all
 * the time. Each runs in a process of its own; knobs that it turns are turned
 * back by vup_knob_set()'s exit handler.
 */

static bool compaction_possible(void)
{
	return access("/proc/sys/vm/compact_memory", W_OK) == 0;
}

static void compaction(pid_t victim)
{
	(void)victim;
	for (;;)
		vup_file_write("/proc/sys/vm/compact_memory", "1");
}

static bool ksm_possible(void)
{
	return access(KSM "run", W_OK) == 0;
}

/* The daemon does the work. */
static void ksm_begin(void)
{
	igt_assert_eq(madvise(arena, arena_size, MADV_MERGEABLE), 0);
	vup_knob_set(KSM "sleep_millisecs", "0");
	vup_knob_set(KSM "pages_to_scan", "10000");
	vup_knob_set(KSM "run", "1");
}

static void ksm_end(void)
{
	igt_assert_eq(madvise(arena, arena_size, MADV_UNMERGEABLE), 0);
	igt_assert(vup_file_write(KSM "run", "2"));
}

static bool khugepaged_possible(void)
{
	return access(THP "khugepaged/defrag", W_OK) == 0;
}

static void khugepaged_begin(void)
{
	vup_knob_set(THP "khugepaged/scan_sleep_millisecs", "0");
	vup_knob_set(THP "khugepaged/alloc_sleep_millisecs", "0");
	vup_knob_set(THP "khugepaged/pages_to_scan", "10000");
	igt_assert_eq(madvise(arena, arena_size, MADV_HUGEPAGE), 0);
}

/* Splits what khugepaged made, so that it has something to do. */
static void khugepaged(pid_t victim)
{
	int pidfd = syscall(SYS_pidfd_open, victim, 0);

	for (size_t at = 0;; at = (at + VUP_WINDOW) % arena_size) {
		struct iovec iov = { arena + at, page };

		syscall(SYS_process_madvise, pidfd, &iov, 1, MADV_PAGEOUT, 0);
		sched_yield();
	}
}

static bool numa_possible(void)
{
	return access("/sys/devices/system/node/node1", F_OK) == 0;
}

/* What balancing does now and then */
static void numa(pid_t victim)
{
	const unsigned long node[] = { 1, 2 };

	for (unsigned int i = 0;; i++)
		syscall(SYS_migrate_pages, victim, 3, &node[i & 1], &node[~i & 1]);
}

static bool reclaim_possible(void)
{
	struct iovec iov = { arena, page };
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	bool ok = syscall(SYS_process_madvise, pidfd, &iov, 1, MADV_PAGEOUT, 0) >= 0;

	close(pidfd);
	return ok;
}

static void reclaim(pid_t victim)
{
	int pidfd = syscall(SYS_pidfd_open, victim, 0);

	for (size_t at = 0;; at = (at + 16 * page) % arena_size) {
		struct iovec iov = { arena + at, 16 * page };

		syscall(SYS_process_madvise, pidfd, &iov, 1, MADV_PAGEOUT, 0);
	}
}

static const struct storm {
	const char *name, *describe;
	bool (*possible)(void);
	void (*begin)(void);
	void (*end)(void);
	void (*run)(pid_t victim);
} storms[] = {
	{ "compaction", "Broken if compaction can starve submissions.",
	  compaction_possible, NULL, NULL, compaction },
	{ "ksm", "Broken if same-page merging can starve submissions.",
	  ksm_possible, ksm_begin, ksm_end, NULL },
	{ "khugepaged", "Broken if collapsing to huge pages can starve submissions.",
	  khugepaged_possible, khugepaged_begin, NULL, khugepaged },
	{ "numa", "Broken if migration between nodes can starve submissions.",
	  numa_possible, NULL, NULL, numa },
	{ "reclaim", "Broken if reclaim can starve submissions.",
	  reclaim_possible, NULL, NULL, reclaim },
};

static pid_t storm_start(const struct storm *storm)
{
	pid_t victim = getpid(), pid = 0;

	if (storm->begin)
		storm->begin();
	if (storm->run) {
		pid = vup_fork();
		if (!pid) {
			storm->run(victim);
			_exit(0);
		}
	}

	return pid;
}

static void storm_stop(const struct storm *storm, pid_t pid)
{
	int status;

	if (pid) {
		igt_assert_eq(kill(pid, SIGKILL), 0);
		igt_assert_eq(waitpid(pid, &status, 0), pid);
	}
	if (storm->end)
		storm->end();
}

/* How many submissions took how many tries; the last entry: so many or more */
#define TRIES	9

static void show(const char *name, unsigned int jobs, const unsigned int *tries, uint64_t worst,
		 uint64_t invalidations)
{
	char text[256];
	int len = 0;

	for (int i = 1; i < TRIES; i++)
		len += snprintf(text + len, sizeof(text) - len, " %d%s:%u", i,
				i == TRIES - 1 ? "+" : "", tries[i]);
	igt_info("%s: %u submissions, none failed; tries%s; at most %" PRIu64 "; %" PRIu64
		 " invalidations\n", name, jobs, text, worst, invalidations);
}

/*
 * Each job changes a word in a page of its own choice; memory remembers all. So
 * many jobs, or with @seconds as many as there are in that time. The memory is
 * bound in pieces of @piece bytes.
 */
static void submit_under(const char *name, const struct storm *first, unsigned int count,
			 size_t size, size_t piece, unsigned int jobs, unsigned int seconds)
{
	unsigned int done;
	uint64_t until;
	struct drm_vgem_vm_stats before, after, start;
	unsigned int tries[TRIES] = { }, pages;
	pid_t pid[ARRAY_SIZE(storms)] = { };
	uint64_t worst = 0;
	uint32_t *shadow;
	struct vup w;

	vup_init(&w, fd);
	arena_size = size;
	arena = vup_alloc_windows(size);
	pages = size / page;
	shadow = calloc(pages, sizeof(*shadow));
	igt_assert(shadow);
	/* Few different pages: something to merge */
	for (size_t i = 0; i < pages; i++)
		*(uint32_t *)(arena + i * page + page / 2) = i % 7;
	for (size_t at = 0; at < size; at += piece)
		vup_bind_mem(&w, arena + at, va + at, piece, 0);
	vup_ok(&w, op_xor(va, 4, 0));

	for (unsigned int i = 0; i < count; i++)
		if (first[i].possible())
			pid[i] = storm_start(&first[i]);

	vup_stats(&w, &start);
	before = start;
	until = vup_now_ns() + seconds * NSEC_PER_SEC;
	for (done = 0; done < jobs; done++) {
		unsigned int at = done * 7919u % pages;
		uint64_t retries;

		if (seconds && vup_now_ns() > until)
			break;
		vup_ok(&w, op_xor(va + at * page, 4, done + 1));
		shadow[at] ^= done + 1;
		vup_stats(&w, &after);
		retries = after.retries - before.retries;
		worst = max(worst, retries + 1);
		tries[min(retries + 1, (uint64_t)TRIES - 1)]++;
		before = after;
	}

	for (unsigned int i = 0; i < count; i++)
		if (first[i].possible())
			storm_stop(&first[i], pid[i]);

	for (size_t i = 0; i < pages; i++) {
		igt_assert_eq_u32(*(uint32_t *)(arena + i * page), shadow[i]);
		igt_assert_eq_u32(*(uint32_t *)(arena + i * page + page / 2), i % 7);
	}
	igt_info("%" PRIu64 " windows fetched\n", (uint64_t)(after.windows - start.windows));
	igt_assert_lt(0, done);
	show(name, done, tries, worst, after.invalidations - start.invalidations);

	vup_unbind(&w, va, size);
	vup_fini(&w);
	vup_unmap(arena, size);
	free(shadow);
}

static void one_storm(const struct storm *storm)
{
	arena = vup_alloc(page);
	igt_require_f(storm->possible(), "not possible here\n");
	vup_unmap(arena, page);
	submit_under(storm->name, storm, 1, 16 << 20, 16 << 20, 10000, 4);
}

static void side_by_side(void)
{
	const struct storm *storm = storms;

	while (storm->run != reclaim)
		storm++;
	arena = vup_alloc(page);
	igt_require_f(storm->possible(), "not possible here\n");
	vup_unmap(arena, page);
	submit_under("side by side", storm, 1, VUP_WINDOW, VUP_WINDOW / 64, 10000, 3);
}

static atomic_bool shooting;

static void *shoot(void *data)
{
	(void)data;
	while (atomic_load(&shooting))
		igt_assert_eq(madvise(arena + page, page, MADV_DONTNEED), 0);
	return NULL;
}

static void self_defeat(void)
{
	struct drm_vgem_vm_stats before, after;
	unsigned int good = 0, again = 0;
	pthread_t thread;
	struct vup w;

	vup_init(&w, fd);
	arena_size = VUP_WINDOW;
	arena = vup_alloc_windows(arena_size);
	vup_paint(arena, arena_size, 1);
	vup_bind_mem(&w, arena, va, arena_size, 0);
	vup_ok(&w, op_fill(va, 4, 0));
	vup_stats(&w, &before);

	atomic_store(&shooting, true);
	igt_assert_eq(pthread_create(&thread, NULL, shoot, NULL), 0);
	igt_until_timeout(3) {
		struct drm_vgem_op op = op_fill(va, 4, good + 1);
		int err = __vup_run(&w, &op, 1);

		if (!err)
			good++;
		else if (err == -EAGAIN)
			again++;
		else
			igt_assert_eq(err, 0);
	}
	atomic_store(&shooting, false);
	igt_assert_eq(pthread_join(thread, NULL), 0);

	vup_stats(&w, &after);
	igt_info("%u went through, %u gave up, %" PRIu64 " tries lost\n", good, again,
		 (uint64_t)(after.retries - before.retries));
	/* Those that gave up left nothing. */
	igt_assert_eq_u64(after.submits - before.submits, good);
	igt_assert_eq_u32(*(uint32_t *)arena, good);
	vup_ok(&w, op_fill(va, 4, 77));
	igt_assert_eq_u32(*(uint32_t *)arena, 77);

	vup_unbind(&w, va, arena_size);
	vup_fini(&w);
	vup_unmap(arena, arena_size);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
	}

	for (int i = 0; i < (int)ARRAY_SIZE(storms); i++) {
		igt_describe(storms[i].describe);
		igt_subtest(storms[i].name)
			one_storm(&storms[i]);
	}

	igt_describe("Broken if all together can starve submissions.");
	igt_subtest("all")
		submit_under("all", storms, ARRAY_SIZE(storms), 16 << 20, 16 << 20, 10000, 4);

	igt_describe("Broken if of many userptrs in a window only one gets through.");
	igt_subtest("side-by-side")
		side_by_side();

	igt_describe("Broken if size makes a difference.");
	igt_subtest("all-gigabyte-long")
		submit_under("all", storms, ARRAY_SIZE(storms), 1 << 30, 1 << 30, 10000, 0);

	igt_describe("Broken if an endless loop is endless, or a refused job runs.");
	igt_subtest("self-defeat")
		self_defeat();

	igt_fixture()
		drm_close_driver(fd);
}
