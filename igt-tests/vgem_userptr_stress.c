// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr stress
 * Description: Random jobs and random operations of the mm, which can be had again
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, stress
 * Test category: stress test
 *
 * SUBTEST: alone
 * Description: one process, jobs and operations by turns
 *
 * SUBTEST: processes
 * Description: four processes that share some memory, each with a thread that gets in the way
 *
 * SUBTEST: processes-long
 * Description: the same for a minute
 */

IGT_TEST_DESCRIPTION("Random jobs and random operations of the mm, which can be had again.");

/*
 * A process has some regions, side by side with a canary page between them, and
 * for each a shadow that every step changes as it should change the region. All
 * that a step does follows from the seed. Jobs are not waited for: what takes
 * memory away does that, what looks or writes by CPU has to.
 */

#define REGIONS		5
#define PAGES		12
#define PROCESSES	4
#define INFLIGHT	8
/* From time to time everything is compared, not only what a step is about. */
#define COMPARE_EVERY	64

enum kind {
	ANON,
	ANON_TOO,
	MEMFD,		/* of this process alone */
	SLOT,		/* a part of a file that all processes have mapped */
	PRIVATE,	/* private mapping of a file */
};

struct region {
	enum kind kind;
	char *ptr;
	int file;
	off_t offset;
	char *shadow, *below;
	/* Pages that are not to be had, and how */
	int hole_at, hole_pages;
	enum hole { WHOLE, UNMAPPED, NO_ACCESS, READ_ONLY, GUARDED } hole;
};

struct stress {
	uint32_t seed, state;
	unsigned int step;
	const char *subtest;
	int process, fd;
	struct vup v;
	struct region region[REGIONS];
	char *arena, *out;
	uint32_t syncobj[INFLIGHT];
	int inflight;
	size_t size;
	atomic_bool stop;
};

static size_t page;
static int slots = -1;

#define OUT_VA	VUP_VA(REGIONS)

/* Whatever fails says how to have it again. */
#define AGAIN	"again: make igt T=vgem_userptr_stress@%s SEED=%#x\n"
#define holds(s, cond, format, ...) \
	igt_assert_f(cond, "process %d, step %u: " format "\n" AGAIN, \
		     (s)->process, (s)->step, ##__VA_ARGS__, (s)->subtest, (s)->seed)

static uint32_t draw(struct stress *s, uint32_t below)
{
	/* xorshift; never zero, as the seed is not */
	s->state ^= s->state << 13;
	s->state ^= s->state >> 17;
	s->state ^= s->state << 5;
	return s->state % below;
}

/* Jobs */

static void wait_jobs(struct stress *s)
{
	for (int i = 0; i < s->inflight; i++) {
		int err = vup_finish(s->fd, s->syncobj[i]);

		holds(s, !err, "a job failed: %d", err);
	}
	s->inflight = 0;
}

static int verdict_of(const struct region *r)
{
	return r->hole == WHOLE ? 0 : r->hole == READ_ONLY ? -EPERM : -EFAULT;
}

static int submit(struct stress *s, const struct drm_vgem_op *ops, int count)
{
	uint32_t syncobj;
	int err = -EAGAIN;

	if (s->inflight == INFLIGHT)
		wait_jobs(s);
	/* Somebody who gets in the way all the time may use up a budget. */
	igt_until_timeout(VUP_PATIENCE_S) {
		err = __vup_submit(&s->v, ops, count, &syncobj, NULL);
		if (err != -EAGAIN)
			break;
	}
	if (!err)
		s->syncobj[s->inflight++] = syncobj;
	return err;
}

static uint64_t va_of(const struct stress *s, const struct region *r, size_t at)
{
	return VUP_VA(r - s->region) + at;
}

/* A shared region's file holds what the region does. */
static void shadow_written(struct region *r, size_t at, size_t len)
{
	if (r->kind == MEMFD || r->kind == SLOT)
		memcpy(r->below + at, r->shadow + at, len);
}

static void step_job(struct stress *s)
{
	struct drm_vgem_op ops[4];
	int count = 1 + draw(s, ARRAY_SIZE(ops));

	for (int i = 0; i < count; i++) {
		struct region *to = &s->region[draw(s, REGIONS)];
		struct region *from = &s->region[draw(s, REGIONS)];
		uint32_t value = draw(s, ~0u), *word;
		size_t len = 4 * (1 + draw(s, s->size / 4));
		size_t at = 4 * draw(s, (s->size - len) / 4 + 1);
		size_t src = 4 * draw(s, (s->size - len) / 4 + 1);

		/* Not of a region that is not whole; and copies do not overlap. */
		if (to->hole || from->hole || from == to)
			from = NULL;
		if (to->hole) {
			ops[i] = op_copy(OUT_VA, OUT_VA + page, 4);
			continue;
		}
		word = (uint32_t *)(to->shadow + at);
		switch (draw(s, 3)) {
		case 0:
			ops[i] = op_fill(va_of(s, to, at), len, value);
			for (size_t w = 0; w < len / 4; w++)
				word[w] = value;
			break;
		case 1:
			ops[i] = op_xor(va_of(s, to, at), len, value);
			for (size_t w = 0; w < len / 4; w++)
				word[w] ^= value;
			break;
		default:
			if (from) {
				ops[i] = op_copy(va_of(s, to, at), va_of(s, from, src), len);
				memcpy(word, from->shadow + src, len);
			} else {
				ops[i] = op_copy(OUT_VA, va_of(s, to, at), len);
			}
		}
		shadow_written(to, at, len);
	}
	int err = submit(s, ops, count);

	holds(s, !err, "submission refused: %d", err);
}

/* Names what is not to be had: must be refused, and must not do a part of it. */
static void step_job_into_hole(struct stress *s)
{
	struct region *r = &s->region[draw(s, REGIONS)];
	struct region *good = &s->region[draw(s, REGIONS)];
	struct drm_vgem_op ops[2];
	int err;

	if (!r->hole)
		return;
	ops[0] = op_fill(va_of(s, good->hole ? r : good, good->hole ? r->hole_at * page : 0), 4, 1);
	ops[1] = op_fill(va_of(s, r, (r->hole_at + draw(s, r->hole_pages)) * page), 4, 1);
	err = submit(s, ops, 2);
	holds(s, err == verdict_of(r), "%d from a region that should say %d", err, verdict_of(r));
}

/* Comparing */

static void compare_region(struct stress *s, struct region *r)
{
	bool hidden = r->hole && r->hole != READ_ONLY;
	size_t from = hidden ? r->hole_at * page : s->size;
	size_t to = hidden ? (r->hole_at + r->hole_pages) * page : s->size;

	for (size_t at = 0; at < s->size; at += 4) {
		if (at >= from && at < to)
			continue;
		holds(s, *(uint32_t *)(r->ptr + at) == *(uint32_t *)(r->shadow + at),
		      "region %td, byte %#zx: %#x, not %#x", r - s->region, at,
		      *(uint32_t *)(r->ptr + at), *(uint32_t *)(r->shadow + at));
	}
}

static void compare_device(struct stress *s, struct region *r)
{
	const struct drm_vgem_op op = op_copy(OUT_VA, va_of(s, r, 0), s->size);
	int err;

	if (r->hole)
		return;
	err = submit(s, &op, 1);
	holds(s, !err, "submission refused: %d", err);
	wait_jobs(s);
	holds(s, !memcmp(s->out, r->shadow, s->size), "the device sees region %td otherwise",
	      r - s->region);
}

static void compare(struct stress *s)
{
	wait_jobs(s);
	for (int i = 0; i < REGIONS; i++) {
		compare_region(s, &s->region[i]);
		compare_device(s, &s->region[i]);
	}
	for (int i = 0; i <= REGIONS; i++) {
		const uint32_t *canary = (uint32_t *)(s->arena + i * (s->size + page));

		for (size_t w = 0; w < page / 4; w++)
			holds(s, canary[w] == vup_word(s->seed, w), "canary %d was written to", i);
	}
}

/* Operations on pages [at, at + n) of a region */

static void drop(struct region *r, size_t at, size_t len)
{
	if (r->kind == ANON || r->kind == ANON_TOO)
		memset(r->shadow + at, 0, len);
	else
		memcpy(r->shadow + at, r->below + at, len);
}

static void map_region(struct stress *s, struct region *r, size_t at, size_t len)
{
	int flags = r->kind == MEMFD || r->kind == SLOT ? MAP_SHARED : MAP_PRIVATE;
	char *ptr = mmap(r->ptr + at, len, PROT_READ | PROT_WRITE,
			 flags | MAP_FIXED | (r->file < 0 ? MAP_ANONYMOUS : 0), r->file,
			 r->file < 0 ? 0 : r->offset + at);

	holds(s, ptr == r->ptr + at, "mmap: %s", strerror(errno));
}

/* Makes a region whole again. */
static void mend(struct stress *s, struct region *r)
{
	size_t at = r->hole_at * page, len = r->hole_pages * page;

	switch (r->hole) {
	case WHOLE:
		return;
	case UNMAPPED:
		map_region(s, r, at, len);
		drop(r, at, len);
		break;
	case NO_ACCESS:
	case READ_ONLY:
		holds(s, !mprotect(r->ptr + at, len, PROT_READ | PROT_WRITE), "mprotect");
		break;
	case GUARDED:
		holds(s, !madvise(r->ptr + at, len, MADV_GUARD_REMOVE), "guard remove");
		drop(r, at, len);
	}
	r->hole = WHOLE;
}

static void make_hole(struct stress *s, struct region *r, int at, int pages)
{
	char *ptr = r->ptr + at * page;
	size_t len = pages * page;

	r->hole_at = at;
	r->hole_pages = pages;
	switch (draw(s, 4)) {
	case 0:
		holds(s, !munmap(ptr, len), "munmap");
		r->hole = UNMAPPED;
		break;
	case 1:
		holds(s, !mprotect(ptr, len, PROT_NONE), "mprotect");
		r->hole = NO_ACCESS;
		break;
	case 2:
		holds(s, !mprotect(ptr, len, PROT_READ), "mprotect");
		r->hole = READ_ONLY;
		break;
	default:
		if (!madvise(ptr, len, MADV_GUARD_INSTALL))
			r->hole = GUARDED;
	}
}

static void replace(struct stress *s, struct region *r, size_t at, size_t len)
{
	map_region(s, r, at, len);
	drop(r, at, len);
}

static void throw_away(struct stress *s, struct region *r, size_t at, size_t len)
{
	holds(s, !madvise(r->ptr + at, len, MADV_DONTNEED), "dontneed");
	drop(r, at, len);
}

/* There and back, or only the pages go */
static void move(struct stress *s, struct region *r, size_t at, size_t len)
{
	char *away = vup_reserve(len, page), *ptr = r->ptr + at;
	bool stay = draw(s, 2);

	holds(s, mremap(ptr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED |
			(stay ? MREMAP_DONTUNMAP : 0), away) == away, "mremap away");
	holds(s, !memcmp(away, r->shadow + at, len), "moved memory is not what it was");
	if (stay) {
		vup_unmap(away, len);
		drop(r, at, len);
	} else {
		holds(s, mremap(away, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, ptr) == ptr,
		      "mremap back");
	}
}

/* Out of the file, where it is nobody else's */
static void punch(struct stress *s, struct region *r, size_t at, size_t len)
{
	if (r->kind != MEMFD && r->kind != SLOT)
		return;
	holds(s, !syscall(SYS_fallocate, r->file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			  r->offset + (off_t)at, (off_t)len), "fallocate");
	memset(r->below + at, 0, len);
	memset(r->shadow + at, 0, len);
}

static void write_by_cpu(struct stress *s, struct region *r, size_t at, size_t len)
{
	uint32_t seed = draw(s, ~0u) | 1;

	wait_jobs(s);
	vup_paint(r->ptr + at, len, seed);
	vup_paint(r->shadow + at, len, seed);
	shadow_written(r, at, len);
}

/* A child that writes to its copy, and may be there still when we go on */
static void forks(struct stress *s, struct region *r, size_t at, size_t len)
{
	bool shared = r->kind == MEMFD || r->kind == SLOT, wait = draw(s, 2);
	int status;
	pid_t pid;

	pid = vup_fork();
	if (!pid) {
		if (!shared)
			memset(r->ptr + at, 0xcc, len);
		_exit(0);
	}
	if (wait)
		compare_device(s, r);
	holds(s, waitpid(pid, &status, 0) == pid && !status, "child: %#x", status);
}

/* Bound anew, by other means; jobs that use it are waited for. */
static void rebind(struct stress *s, struct region *r)
{
	vup_unbind(&s->v, va_of(s, r, 0), s->size);
	vup_bind_how(&s->v, draw(s, VUP_HOWS), r->ptr, va_of(s, r, 0), s->size, false);
}

static void step_operation(struct stress *s)
{
	struct region *r = &s->region[draw(s, REGIONS)];
	int pages = 1 + draw(s, PAGES), first = draw(s, PAGES - pages + 1);
	size_t at = first * page, len = pages * page;

	mend(s, r);
	switch (draw(s, 10)) {
	case 0:
	case 1:
		make_hole(s, r, first, pages);
		break;
	case 2:
		replace(s, r, at, len);
		break;
	case 3:
		throw_away(s, r, at, len);
		break;
	case 4:
		move(s, r, at, len);
		break;
	case 5:
		punch(s, r, at, len);
		break;
	case 6:
		write_by_cpu(s, r, at, len);
		break;
	case 7:
		forks(s, r, at, len);
		break;
	case 8:
		rebind(s, r);
		break;
	default:
		/* May fail, for want of swap or because others have the page, too. */
		madvise(r->ptr + at, len, MADV_PAGEOUT);
	}
	errno = 0;
}

/*
 * What changes no byte and takes memory away all the same. A few times for each
 * step: a process that shoots at itself without end need not get through.
 */
static void *disturb(void *data)
{
	struct stress *s = data;
	unsigned int n = 0, seen = 0;

	while (!atomic_load(&s->stop)) {
		struct region *r = &s->region[n % REGIONS];
		unsigned int step = READ_ONCE(s->step);

		if (n++ % 4 == 0 && step == seen) {
			sched_yield();
			n--;
			continue;
		}
		seen = step;
		madvise(r->ptr, s->size, n & 1 ? MADV_PAGEOUT : MADV_COLD);
		if (n % 256 == 0)
			vup_file_write("/proc/sys/vm/compact_memory", "1");
	}
	return NULL;
}

/* A life */

static void begin(struct stress *s)
{
	s->state = s->seed + s->process * 0x9e3779b9u ?: 1;
	s->size = PAGES * page;
	s->fd = vup_open();
	vup_init(&s->v, s->fd);
	s->arena = vup_alloc(REGIONS * (s->size + page) + page);
	s->out = vup_alloc(s->size);
	vup_bind_mem(&s->v, s->out, OUT_VA, s->size, 0);
	for (int i = 0; i <= REGIONS; i++)
		vup_paint(s->arena + i * (s->size + page), page, s->seed);
	for (int i = 0; i < REGIONS; i++) {
		struct region *r = &s->region[i];

		r->kind = i;
		r->ptr = s->arena + page + i * (s->size + page);
		r->file = r->kind == SLOT ? slots : r->kind < MEMFD ? -1 : vup_memfd(s->size);
		r->offset = r->kind == SLOT ? s->process * s->size : 0;
		r->shadow = calloc(1, s->size);
		r->below = calloc(1, s->size);
		igt_assert(r->shadow && r->below);
		map_region(s, r, 0, s->size);
		vup_bind_how(&s->v, i % VUP_HOWS, r->ptr, va_of(s, r, 0), s->size, false);
	}
	/* The whole file: what others do to their slots comes here as well. */
	vup_bind_mem(&s->v, vup_map_memfd(NULL, slots, PROCESSES * s->size, 0),
		     VUP_VA(REGIONS + 1), PROCESSES * s->size, 0);
}

static void end(struct stress *s)
{
	for (int i = 0; i < REGIONS; i++)
		mend(s, &s->region[i]);
	compare(s);
	vup_fini(&s->v);
	drm_close_driver(s->fd);
}

static void live(struct stress *s, int seconds, bool disturbed)
{
	struct timespec start = {};
	pthread_t thread;

	begin(s);
	if (disturbed)
		igt_assert_eq(pthread_create(&thread, NULL, disturb, s), 0);
	igt_nsec_elapsed(&start);
	for (s->step = 1; igt_seconds_elapsed(&start) < (uint32_t)seconds; s->step++) {
		uint32_t what = draw(s, 16);

		if (what < 8)
			step_job(s);
		else if (what < 9)
			step_job_into_hole(s);
		else
			step_operation(s);
		if (s->step % COMPARE_EVERY == 0)
			compare(s);
	}
	atomic_store(&s->stop, true);
	if (disturbed)
		pthread_join(thread, NULL);
	end(s);
	igt_info("process %d: %u steps\n", s->process, s->step);
}

static uint32_t pick_seed(void)
{
	const char *given = getenv("SEED");
	uint32_t seed = given && *given ? strtoul(given, NULL, 0) : (uint32_t)vup_now_ns();

	return seed ?: 1;
}

static void stress(const char *subtest, int processes, int seconds)
{
	uint32_t seed = pick_seed();

	igt_info(AGAIN, subtest, seed);
	slots = vup_memfd(PROCESSES * PAGES * page);
	igt_fork(child, processes) {
		struct stress *s = calloc(1, sizeof(*s));

		igt_assert(s);
		s->seed = seed;
		s->process = child;
		s->subtest = subtest;
		live(s, seconds, processes > 1);
	}
	igt_waitchildren();
	close(slots);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		drm_close_driver(vup_open());
	}

	igt_describe("Broken if memory and jobs part company, and nobody else is to blame.");
	igt_subtest("alone")
		stress("alone", 1, 1);

	igt_describe("Broken if what others do to the same memory makes a difference.");
	igt_subtest("processes")
		stress("processes", PROCESSES, 2);

	igt_describe("Broken if what others do to the same memory makes a difference, some time.");
	igt_subtest("processes-long")
		stress("processes-long", PROCESSES, 50);
}
