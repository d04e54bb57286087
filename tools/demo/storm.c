// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <zlib.h>

#include "child.h"
#include "storm.h"

/* -- the calls, timed and recorded ------------------------------------------ */

static void record(struct storm_thread *thread, enum mark_kind kind,
		   int64_t begin, void *addr, size_t size, int arg)
{
	const struct mark mark = {
		.kind = kind,
		.begin = begin,
		.end = now(),
		.addr = (uintptr_t)addr,
		.size = size,
		.arg = arg,
	};

	timeline_mark(&thread->demo->run.timeline, thread->lane, &mark);
}

static bool called(struct storm_thread *thread, enum mark_kind kind,
		   int64_t begin, void *addr, size_t size, bool ok)
{
	int error = ok ? 0 : errno;

	record(thread, kind, begin, addr, size, error);
	return run_check(&thread->demo->run, CHECK_CALLS, ok,
			 "%s of %#zx bytes at %p: %s", mark_name(kind), size,
			 addr, strerror(error));
}

static bool do_munmap(struct storm_thread *thread, void *addr, size_t size)
{
	int64_t begin = now();
	int ret = munmap(addr, size);

	return called(thread, MARK_MUNMAP, begin, addr, size, !ret);
}

static bool do_mmap(struct storm_thread *thread, void *addr, size_t size)
{
	int64_t begin = now();
	void *ret = mmap(addr, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return called(thread, MARK_MMAP, begin, addr, size, ret == addr);
}

static bool do_mprotect(struct storm_thread *thread, void *addr, size_t size,
			int prot)
{
	int64_t begin = now();
	int ret = mprotect(addr, size, prot);

	return called(thread, MARK_MPROTECT, begin, addr, size, !ret);
}

static bool do_dontneed(struct storm_thread *thread, void *addr, size_t size)
{
	int64_t begin = now();
	int ret = madvise(addr, size, MADV_DONTNEED);

	/* ENOMEM: another thread has some of it away; the rest is discarded */
	return called(thread, MARK_DONTNEED, begin, addr, size,
		      !ret || errno == ENOMEM);
}

/* Moves pages over whatever is at @to; recorded at the address that it is about */
static bool do_mremap(struct storm_thread *thread, enum mark_kind kind,
		      void *from, void *to, size_t size)
{
	int64_t begin = now();
	void *ret = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	return called(thread, kind, begin, kind == MARK_MREMAP ? from : to, size,
		      ret == to);
}

/*
 * Address space that is moved from is up for grabs. Nobody else should map
 * anything now, see timeline.h, but the parking place is made safe at once.
 */
static void reserve(void *addr, size_t size)
{
	mmap(addr, size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void sleep_ns(int64_t ns)
{
	const struct timespec ts = {
		.tv_sec = ns / 1000000000,
		.tv_nsec = ns % 1000000000,
	};

	nanosleep(&ts, NULL);
}

static void nap(struct storm_thread *thread, unsigned int min_us,
		unsigned int max_us)
{
	sleep_ns(rng_range(&thread->rng, min_us, max_us) * 1000LL);
}

/* Some pages of it, most often few */
static void *some_pages(struct storm_thread *thread, const struct arena *arena,
			size_t *size)
{
	size_t page = thread->demo->page;
	size_t pages = arena->size / page;
	size_t max = rng_range(&thread->rng, 0, 7) ? 48 : pages / 2;
	size_t num = rng_range(&thread->rng, 1, max);

	*size = num * page;
	return (uint8_t *)arena_start(arena) +
	       rng_range(&thread->rng, 0, pages - num) * page;
}

/* -- moved away, made read-only --------------------------------------------- */

static void check_frozen(struct storm_thread *thread, const void *addr,
			 size_t size, const char *how)
{
	uint32_t before = crc32(0, addr, size), after;

	nap(thread, 200, 1200);
	after = crc32(0, addr, size);
	run_check(&thread->demo->run, CHECK_FROZEN, before == after,
		  "%#zx bytes at %p changed while they were %s", size, addr, how);
}

static void move_away_and_back(struct storm_thread *thread,
			       const struct arena *arena)
{
	struct storm *storm = thread->storm;
	int64_t begin;
	size_t size;
	void *addr;

	pthread_rwlock_rdlock(&storm->whole);
	addr = some_pages(thread, arena, &size);
	begin = now();
	if (do_mremap(thread, MARK_MREMAP, addr, thread->parking, size)) {
		check_frozen(thread, thread->parking, size, "away");
		do_mremap(thread, MARK_MREMAP_BACK, thread->parking, addr, size);
		record(thread, MARK_AWAY, begin, addr, size, 0);
		reserve(thread->parking, size);
	}
	pthread_rwlock_unlock(&storm->whole);
}

static void make_read_only_and_back(struct storm_thread *thread,
				    const struct arena *arena)
{
	struct storm *storm = thread->storm;
	int64_t begin;
	size_t size;
	void *addr;

	pthread_rwlock_rdlock(&storm->whole);
	addr = some_pages(thread, arena, &size);
	begin = now();
	if (do_mprotect(thread, addr, size, PROT_READ)) {
		check_frozen(thread, addr, size, "read-only");
		do_mprotect(thread, addr, size, PROT_READ | PROT_WRITE);
		record(thread, MARK_READONLY, begin, addr, size, 0);
	}
	pthread_rwlock_unlock(&storm->whole);
}

static void move_step(struct storm_thread *thread)
{
	if (rng_next(&thread->rng) & 1)
		move_away_and_back(thread, &thread->demo->picture);
	else
		make_read_only_and_back(thread, &thread->demo->picture);
}

/* -- other memory in its place ---------------------------------------------- */

static void replace_by_noise(struct storm_thread *thread, const struct arena *arena)
{
	uint32_t *noise = (uint32_t *)thread->parking;
	size_t size;
	void *addr;

	addr = some_pages(thread, arena, &size);
	if (mmap(noise, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != noise)
		return;
	for (size_t i = 0; i < size / sizeof(*noise); i++)
		noise[i] = rng_next(&thread->rng);

	do_mremap(thread, MARK_MREMAP_OVER, noise, addr, size);
	reserve(thread->parking, size);
}

static void replace_by_nothing(struct storm_thread *thread,
			       const struct arena *arena)
{
	size_t size;
	void *addr = some_pages(thread, arena, &size);

	do_mmap(thread, addr, size);
}

static void remap_step(struct storm_thread *thread)
{
	const struct arena *copy = &thread->demo->copy;

	switch (rng_range(&thread->rng, 0, 2)) {
	case 0:
		move_away_and_back(thread, copy);
		break;
	case 1:
		replace_by_noise(thread, copy);
		break;
	case 2:
		replace_by_nothing(thread, copy);
		break;
	}
}

static void discard_step(struct storm_thread *thread)
{
	size_t size;
	void *addr = some_pages(thread, &thread->demo->copy, &size);

	do_dontneed(thread, addr, size);
}

/* -- fork ------------------------------------------------------------------- */

static void fork_step(struct storm_thread *thread)
{
	struct storm *storm = thread->storm;
	struct demo *demo = thread->demo;
	const char *complaint;
	int64_t begin;
	pid_t pid;

	/* a child would not like to find holes in its picture */
	pthread_rwlock_wrlock(&storm->whole);
	begin = now();
	pid = fork();
	if (!pid)
		_exit(child_main(demo, storm->queue));
	called(thread, MARK_FORK, begin, NULL, 0, pid > 0);
	pthread_rwlock_unlock(&storm->whole);
	if (pid < 0)
		return;

	begin = now();
	complaint = child_wait(pid);
	record(thread, MARK_CHILD, begin, NULL, 0, pid);
	run_check(&demo->run, CHECK_CHILDREN, !complaint, "child %d: %s",
		  (int)pid, complaint);
}

/* -- the pages next door ---------------------------------------------------- */

static void page_fill(uint64_t *words, size_t size, uint32_t generation)
{
	for (size_t i = 0; i < size / 8; i++)
		words[i] = ((uintptr_t)&words[i] << 16) ^ generation;
}

static bool page_holds(const uint64_t *words, size_t size, uint32_t generation)
{
	for (size_t i = 0; i < size / 8; i++)
		if (words[i] != (((uintptr_t)&words[i] << 16) ^ generation))
			return false;
	return true;
}

static uint8_t *neighbour_region(struct demo *demo, unsigned int region)
{
	const struct arena *arena = region & 2 ? &demo->copy : &demo->picture;

	return region & 1 ? arena->after : arena->before;
}

static void neighbour_check(struct storm *storm, unsigned int region)
{
	struct demo *demo = storm->demo;
	uint8_t *start = neighbour_region(demo, region);

	for (unsigned int i = 0; i < NEIGHBOUR_PAGES; i++)
		run_check(&demo->run, CHECK_NEIGHBOURS,
			  page_holds((void *)(start + i * demo->page), demo->page,
				     storm->generation[region][i]),
			  "page %u %s the %s is damaged", i,
			  region & 1 ? "after" : "before",
			  region & 2 ? "copy" : "picture");
}

static void neighbour_fill(struct storm *storm, unsigned int region,
			   unsigned int first, unsigned int num)
{
	struct demo *demo = storm->demo;
	uint8_t *start = neighbour_region(demo, region);

	for (unsigned int i = first; i < first + num; i++)
		page_fill((void *)(start + i * demo->page), demo->page,
			  ++storm->generation[region][i]);
}

static void neighbour_step(struct storm_thread *thread)
{
	unsigned int region = rng_range(&thread->rng, 0, 3);
	unsigned int num = rng_range(&thread->rng, 1, NEIGHBOUR_PAGES);
	unsigned int first = rng_range(&thread->rng, 0, NEIGHBOUR_PAGES - num);
	struct storm *storm = thread->storm;
	size_t page = thread->demo->page;
	uint8_t *addr = neighbour_region(thread->demo, region) + first * page;
	size_t size = num * page;

	neighbour_check(storm, region);

	switch (rng_range(&thread->rng, 0, 3)) {
	case 0:
		do_munmap(thread, addr, size);
		nap(thread, 50, 500);
		do_mmap(thread, addr, size);
		neighbour_fill(storm, region, first, num);
		break;
	case 1:
		do_mprotect(thread, addr, size, PROT_NONE);
		nap(thread, 50, 500);
		do_mprotect(thread, addr, size, PROT_READ | PROT_WRITE);
		break;
	case 2:
		do_dontneed(thread, addr, size);
		neighbour_fill(storm, region, first, num);
		break;
	case 3:
		do_mremap(thread, MARK_MREMAP, addr, thread->parking, size);
		do_mremap(thread, MARK_MREMAP_BACK, thread->parking, addr, size);
		reserve(thread->parking, size);
		break;
	}
}

/* -- life ------------------------------------------------------------------- */

static bool over(struct storm *storm)
{
	return atomic_load(&storm->end) || now() > storm->deadline;
}

static void *storm_thread(void *arg)
{
	struct storm_thread *thread = arg;
	struct storm *storm = thread->storm;

	pthread_barrier_wait(&storm->begin);
	while (!over(storm)) {
		unsigned int published = atomic_load(&thread->demo->published);
		int64_t begin = now(), spent;

		thread->step(thread);
		spent = now() - begin;
		nap(thread, 4000, 30000);

		/* on a slow or busy machine, leave the jobs their share ... */
		sleep_ns(2 * spent);

		/*
		 * ... and let at least one get through: where it takes longer
		 * to populate a picture than to shoot at it again, as on a
		 * kernel with all checks on, none ever would.
		 */
		while (atomic_load(&thread->demo->published) == published &&
		       !over(storm))
			sleep_ns(1000000);
	}
	return NULL;
}

int storm_start(struct storm *storm, struct demo *demo, uint32_t queue,
		int64_t deadline)
{
	static const struct {
		enum lane lane;
		void (*step)(struct storm_thread *thread);
	} kinds[STORM_THREADS] = {
		{ LANE_MOVE, move_step },
		{ LANE_REMAP, remap_step },
		{ LANE_DISCARD, discard_step },
		{ LANE_FORK, fork_step },
		{ LANE_NEIGHBOUR, neighbour_step },
	};
	pthread_rwlockattr_t attr;

	memset(storm, 0, sizeof(*storm));
	storm->demo = demo;
	storm->queue = queue;
	storm->deadline = deadline;
	pthread_barrier_init(&storm->begin, NULL, STORM_THREADS + 1);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&storm->whole, &attr);

	for (unsigned int region = 0; region < 4; region++)
		neighbour_fill(storm, region, 0, NEIGHBOUR_PAGES);

	for (unsigned int i = 0; i < STORM_THREADS; i++) {
		struct storm_thread *thread = &storm->threads[i];
		int err;

		thread->storm = storm;
		thread->demo = demo;
		thread->lane = kinds[i].lane;
		thread->step = kinds[i].step;
		thread->rng = rng_init(demo->run.seed, i + 1);
		thread->parking = mmap(NULL, demo->picture.size, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				       -1, 0);
		if (thread->parking == MAP_FAILED)
			return -errno;
		err = pthread_create(&thread->pthread, NULL, storm_thread, thread);
		if (err)
			return -err;
	}

	/* all stacks are mapped: holes may be made from now on */
	pthread_barrier_wait(&storm->begin);
	return 0;
}

void storm_stop(struct storm *storm)
{
	atomic_store(&storm->end, true);
	for (unsigned int i = 0; i < STORM_THREADS; i++) {
		pthread_join(storm->threads[i].pthread, NULL);
		munmap(storm->threads[i].parking, storm->demo->picture.size);
	}
	for (unsigned int region = 0; region < 4; region++)
		neighbour_check(storm, region);
}
