// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/userfaultfd.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr preempt
 * Description: Long-running queues: jobs without end, interrupted by the mm, and user fences
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, exec, long running
 * Test category: functionality test
 *
 * SUBTEST: munmap-under-endless
 * Description: munmap beside and under an endless job waits for its interruption, not for its end
 *
 * SUBTEST: unmapped-is-error
 * Description: a job that reaches for memory that is gone ends, and its user fences say so
 *
 * SUBTEST: progress-%s
 * Description: %arg[1] goes on where it was, and does nothing twice, however often interrupted
 * arg[1].values: fill, copy, xor, compare, crc32
 *
 * SUBTEST: spin-limit
 * Description: a spin ends in time though it was interrupted, and later than the limit of others
 *
 * SUBTEST: change-%s
 * Description: a job sees memory as it is after %arg[1], not as it was when it was submitted
 * arg[1].values: dontneed, remap, mprotect, mremap, fork, bind
 *
 * SUBTEST: in-order
 * Description: jobs of a queue run one after the other, other queues meanwhile
 *
 * SUBTEST: idle-is-left-alone
 * Description: when its jobs are done a queue neither holds nor fetches memory
 *
 * SUBTEST: dead-is-refused
 * Description: submission of a job whose memory is gone fails as on any other queue
 *
 * SUBTEST: handler-is-not-waited-for
 * Description: memory that a handler in user space has to bring in holds up no queue
 *
 * SUBTEST: fence-poll
 * Description: the CPU sees the user fence and all that was done before it
 *
 * SUBTEST: fence-compare
 * Description: equal, greater or equal, and masks
 *
 * SUBTEST: fence-timeout
 * Description: a wait ends in time, and not before
 *
 * SUBTEST: fence-wakes
 * Description: many who wait for different values are woken by theirs
 *
 * SUBTEST: fence-interrupted
 * Description: signals do not disturb the wait, and do not stretch its limit
 *
 * SUBTEST: fence-on-ordinary-queue
 * Description: jobs with a dma_fence may store user fences, too
 *
 * SUBTEST: fence-lost
 * Description: if the user fence cannot be stored either, who waits is told, and the queue is done
 *
 * SUBTEST: queue-destroyed
 * Description: destroying a queue with an endless job ends the job, and the wait for it
 *
 * SUBTEST: syncobj
 * Description: no syncobj can depend on a long-running job; one can be waited for
 *
 * SUBTEST: other-process
 * Description: a child can use neither queue nor VM
 *
 * SUBTEST: end-%s
 * Description: a process that %arg[1] with an endless job is gone at once
 * arg[1].values: exits, is-killed, is-killed-file-shared
 *
 * SUBTEST: create-destroy-loop
 * Description: queues with endless jobs come and go while a thread invalidates
 */

IGT_TEST_DESCRIPTION("Long-running queues: jobs without end, interrupted by the mm; user fences.");

#define RELEASE	0x60606060

/* What jobs of the tests use, each bound for itself */
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1), fence_va = VUP_VA(2),
		      scratch_va = VUP_VA(3);

static int fd = -1;
static size_t page;

/* A long-running VM of its own for each test: whatever it leaves behind ends with it. */
struct world {
	struct vup v;
	size_t size;
	uint32_t *ptr;
	uint32_t *word;
	uint32_t *scratch;
	uint64_t *fence;
};

static void world_make(struct world *w, size_t size)
{
	memset(w, 0, sizeof(*w));
	vup_init_long_running(&w->v, fd);
	w->size = size;
	w->ptr = vup_alloc(size);
	w->word = vup_alloc_word();
	w->scratch = vup_alloc_word();
	w->fence = (uint64_t *)vup_alloc_word();
	vup_bind_mem(&w->v, w->ptr, va, size, 0);
	vup_bind_mem(&w->v, w->word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&w->v, w->fence, fence_va, page, 0);
	vup_bind_mem(&w->v, w->scratch, scratch_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
}

static void world_end(struct world *w)
{
	vup_fini(&w->v);
	/* What a test unmapped may have become somebody else's. */
	if (w->ptr)
		vup_unmap(w->ptr, w->size);
	if (w->word)
		vup_unmap(w->word, page);
	vup_unmap(w->scratch, page);
	vup_unmap(w->fence, page);
}

static struct drm_vgem_wait_user_fence wait_for(const uint64_t *fence, uint64_t value)
{
	return (struct drm_vgem_wait_user_fence) {
		.addr = (uintptr_t)fence, .op = DRM_VGEM_WAIT_OP_GREATER_EQUAL,
		.value = value, .mask = ~0ull,
		.timeout_ns = vup_now_ns() + VUP_PATIENCE_S * 1000000000ull,
	};
}

/* 0; the error that the job stored in place of the fence; or that of the wait */
static int fence_err(const uint64_t *fence, uint64_t value)
{
	struct drm_vgem_wait_user_fence wait = wait_for(fence, value);
	int err = __vup_wait_user_fence(fd, &wait);

	igt_assert_eq_u64(wait.seen, *fence);
	return err == -EIO && wait.seen > DRM_VGEM_USER_FENCE_MAX ? (int)wait.seen : err;
}

#define fence_ok(fence, value)	igt_assert_eq(fence_err(fence, value), 0)

/*
 * A job that spins for ever, until RELEASE is in the word, and then does what is
 * asked for. The fence says 1 when it spins, and @done when all is over.
 */
#define endless(w, done, ...) do { \
		vup_push(&(w)->v, op_user_fence(fence_va, 1), op_spin(word_va, RELEASE, 0), \
			 ##__VA_ARGS__, op_user_fence(fence_va, done)); \
		fence_ok((w)->fence, 1); \
	} while (0)

static uint64_t preemptions(struct world *w)
{
	struct drm_vgem_vm_stats stats;

	vup_stats(&w->v, &stats);
	return stats.preemptions;
}

/* Interrupt the jobs, and nothing else: nobody reads what is there. */
static void interrupt(struct world *w)
{
	igt_assert_eq(madvise(w->scratch, page, MADV_DONTNEED), 0);
}

/*
 * The same if they run again since the last time; then nobody is interrupted in
 * vain, and each time makes a difference.
 */
static bool interrupt_again(struct world *w, uint64_t *resumes)
{
	struct drm_vgem_vm_stats stats;

	vup_stats(&w->v, &stats);
	if (stats.resumes == *resumes) {
		sched_yield();
		return false;
	}
	*resumes = stats.resumes;
	interrupt(w);
	return true;
}

/*
 * A call into the mm while a job runs that does not end. Were it to wait for
 * that, it would be there still.
 */
static void must_return(void (*call)(void *), void *data)
{
	struct vup_caller c;

	vup_settle();
	vup_caller_start(&c, call, data);
	igt_until_timeout(VUP_PATIENCE_S) {
		if (atomic_load(&c.done))
			break;
		sched_yield();
	}
	igt_assert_f(atomic_load(&c.done), "the call waits for an endless job\n");
	vup_caller_join(&c);
}

static void call_munmap_ptr(void *data)
{
	struct world *w = data;

	vup_unmap(w->ptr, w->size);
	w->ptr = NULL;
}

static void call_munmap_word(void *data)
{
	struct world *w = data;

	vup_unmap(w->word, page);
	w->word = NULL;
}

static void munmap_under_endless(void)
{
	struct drm_vgem_vm_stats stats;
	struct world w;

	/* Bound, but nothing that the job uses: it spins on. */
	world_make(&w, 4 * page);
	vup_paint(w.ptr, w.size, 1);
	endless(&w, 2);
	must_return(call_munmap_ptr, &w);
	vup_stats(&w.v, &stats);
	igt_assert_lte_u64(1, stats.preemptions);
	igt_assert_eq_u64(stats.faults, 0);
	igt_assert_eq_u64(*w.fence, 1);
	WRITE_ONCE(*w.word, RELEASE);
	fence_ok(w.fence, 2);

	/* The very word that it spins on: then it ends, with an error. */
	WRITE_ONCE(*w.word, 0);
	*w.fence = 0;
	endless(&w, 2);
	must_return(call_munmap_word, &w);
	igt_assert_eq(fence_err(w.fence, 2), -EFAULT);
	vup_stats(&w.v, &stats);
	igt_assert_eq_u64(stats.faults, 1);
	igt_assert_eq_u64(stats.fault_addr, word_va);
	world_end(&w);
}

static void unmapped_is_error(void)
{
	const uint64_t gone_va = VUP_VA(4);
	uint32_t *gone = vup_alloc(page);
	struct drm_vgem_vm_stats stats;
	struct world w;

	world_make(&w, 4 * page);
	vup_bind_mem(&w.v, gone, gone_va, page, 0);
	endless(&w, 2, op_fill(va, w.size, 5), op_user_fence(fence_va + 8, 3),
		op_fill(gone_va, page, 6), op_fill(va, 4, 7), op_user_fence(fence_va + 16, 4));
	vup_unmap(gone, page);
	WRITE_ONCE(*w.word, RELEASE);

	/* As far as it got, and all the fences that it did not come to. */
	igt_assert_eq(fence_err(w.fence, 2), -EFAULT);
	igt_assert_eq(fence_err(w.fence + 1, 3), 0);
	igt_assert_eq(fence_err(w.fence + 2, 4), -EFAULT);
	vup_check_value(w.ptr, w.size, 5);
	vup_stats(&w.v, &stats);
	igt_assert_eq_u64(stats.faults, 1);
	igt_assert_eq_u64(stats.fault_addr, gone_va);

	/* It is an error of the job, not of the queue, and not for ever. */
	vup_map_fixed(gone, page, PROT_READ | PROT_WRITE);
	*w.fence = 0;
	vup_push(&w.v, op_fill(gone_va, page, 8), op_user_fence(fence_va, 8));
	fence_ok(w.fence, 8);
	vup_check_value(gone, page, 8);
	world_end(&w);
	vup_unmap(gone, page);
}

/* Each operation over so many bytes, so often in one job */
#define PROGRESS_SIZE	(1ull << 20)
#define PROGRESS_TIMES	8
/* Or else nothing was tested. */
#define PROGRESS_PREEMPTIONS	32

struct progress_test {
	const char *name;
	struct drm_vgem_op (*op)(int i);
	void (*check)(struct world *w);
	const char *describe;
};

static const uint64_t half = PROGRESS_SIZE, result = 2 * PROGRESS_SIZE;

static struct drm_vgem_op progress_fill_op(int i)
{
	return op_fill(va, PROGRESS_SIZE, 0x100 + i);
}

static void progress_fill_check(struct world *w)
{
	vup_check_value(w->ptr, PROGRESS_SIZE, 0x100 + PROGRESS_TIMES - 1);
}

/* To and fro, each time four bytes down: what is left out or done twice shows. */
static struct drm_vgem_op progress_copy_op(int i)
{
	return i & 1 ? op_copy(va, va + half + 4, PROGRESS_SIZE - 4) :
		       op_copy(va + half, va + 4, PROGRESS_SIZE - 4);
}

static void progress_copy_check(struct world *w)
{
	const size_t words = PROGRESS_SIZE / 4;

	/* Each has lost so many words, and has as many old ones at its end. */
	for (size_t i = 0; i < words - PROGRESS_TIMES; i++) {
		igt_assert_eq_u32(w->ptr[i], vup_word(1, i + PROGRESS_TIMES));
		igt_assert_eq_u32(w->ptr[words + i], vup_word(1, i + PROGRESS_TIMES - 1));
	}
}

static struct drm_vgem_op progress_xor_op(int i)
{
	return op_xor(va, PROGRESS_SIZE, 1u << i);
}

static void progress_xor_check(struct world *w)
{
	for (size_t i = 0; i < PROGRESS_SIZE / 4; i++)
		igt_assert_eq_u32(w->ptr[i],
				  vup_word(1, i) ^ ((1u << PROGRESS_TIMES) - 1));
}

/* The halves differ in their last byte but one. */
static struct drm_vgem_op progress_compare_op(int i)
{
	return op_compare(va, va + half, PROGRESS_SIZE, va + result + 8 * i);
}

static void progress_compare_check(struct world *w)
{
	const uint64_t *at = (uint64_t *)((char *)w->ptr + result);

	for (int i = 0; i < PROGRESS_TIMES; i++)
		igt_assert_eq_u64(at[i], PROGRESS_SIZE - 2);
}

static struct drm_vgem_op progress_crc32_op(int i)
{
	return op_crc32(va + 4 * i, PROGRESS_SIZE, va + result + 4 * i);
}

static void progress_crc32_check(struct world *w)
{
	const uint32_t *at = (uint32_t *)((char *)w->ptr + result);

	for (int i = 0; i < PROGRESS_TIMES; i++)
		igt_assert_eq_u32(at[i], vup_crc32(w->ptr + i, PROGRESS_SIZE));
}

static const struct progress_test progress_test[] = {
	{ "fill", progress_fill_op, progress_fill_check,
	  "Broken if a fill loses pages when it is interrupted." },
	{ "copy", progress_copy_op, progress_copy_check,
	  "Broken if a copy loses or repeats pages when it is interrupted." },
	{ "xor", progress_xor_op, progress_xor_check,
	  "Broken if an interrupted operation does something twice." },
	{ "compare", progress_compare_op, progress_compare_check,
	  "Broken if a comparison forgets where it was." },
	{ "crc32", progress_crc32_op, progress_crc32_check,
	  "Broken if a checksum forgets what it saw." },
};

static void progress_once(struct world *w, const struct drm_vgem_op *ops, int count)
{
	uint64_t resumes = 0;

	vup_paint(w->ptr, PROGRESS_SIZE, 1);
	vup_paint((char *)w->ptr + half, PROGRESS_SIZE, 1);
	((char *)w->ptr)[2 * PROGRESS_SIZE - 2] ^= 1;
	*w->fence = 0;
	igt_assert_eq(__vup_push(&w->v, ops, count), 0);
	while (!READ_ONCE(*w->fence))
		interrupt_again(w, &resumes);
	fence_ok(w->fence, 1);
}

static void progress(const struct progress_test *test)
{
	struct drm_vgem_op ops[PROGRESS_TIMES + 1];
	uint64_t seen = 0;
	struct world w;

	world_make(&w, 3 * PROGRESS_SIZE);
	for (int i = 0; i < PROGRESS_TIMES; i++)
		ops[i] = test->op(i);
	ops[PROGRESS_TIMES] = op_user_fence(fence_va, 1);

	/* How often a job is caught depends on how fast it is. */
	igt_until_timeout(VUP_PATIENCE_S) {
		progress_once(&w, ops, ARRAY_SIZE(ops));
		test->check(&w);
		seen = preemptions(&w);
		if (seen >= PROGRESS_PREEMPTIONS)
			break;
	}
	igt_info("%llu preemptions\n", (unsigned long long)seen);
	igt_assert_lte_u64(PROGRESS_PREEMPTIONS, seen);
	world_end(&w);
}

static void spin_limit(void)
{
	const uint64_t ns = 2 * NSEC_PER_SEC;
	uint64_t begin, end, resumes = 0;
	struct world w;

	world_make(&w, page);
	begin = vup_now_ns();
	vup_push(&w.v, op_spin(word_va, RELEASE, ns), op_user_fence(fence_va, 1));
	while (!READ_ONCE(*w.fence) && vup_now_ns() < begin + ns * 9 / 10)
		interrupt_again(&w, &resumes);
	fence_ok(w.fence, 1);
	end = vup_now_ns();
	igt_assert_lte_u64(begin + ns, end);
	/* Begun anew each time it would have taken twice as long. */
	igt_assert_lt_u64(end, begin + ns * 9 / 5);

	/* Longer than any job may that has a fence, which is ten seconds. */
	*w.fence = 0;
	begin = vup_now_ns();
	vup_push(&w.v, op_spin(word_va, RELEASE, 11 * NSEC_PER_SEC), op_user_fence(fence_va, 1));
	fence_ok(w.fence, 1);
	end = vup_now_ns();
	igt_assert_lte_u64(begin + 11 * NSEC_PER_SEC, end);
	world_end(&w);
}

/* Changes while the job spins, and what it must find when it goes on */

struct change_test {
	const char *name;
	bool read_only;
	void (*change)(struct world *w);
	void (*check)(struct world *w);
	const char *describe;
};

/* The job adds @CHANGE_XOR to the first page and copies it to the second. */
#define CHANGE_XOR	0x5a5a5a5a

static void check_xored(const uint32_t *at, uint32_t seed)
{
	for (size_t i = 0; i < page / 4; i++)
		igt_assert_eq_u32(at[i], vup_word(seed, i) ^ CHANGE_XOR);
}

static void change_dontneed(struct world *w)
{
	igt_assert_eq(madvise(w->ptr, page, MADV_DONTNEED), 0);
}

static void check_dontneed(struct world *w)
{
	vup_check_value(w->ptr, 2 * page, CHANGE_XOR);
}

static void change_remap(struct world *w)
{
	vup_map_fixed(w->ptr, page, PROT_READ | PROT_WRITE);
	vup_paint(w->ptr, page, 7);
}

static void check_remap(struct world *w)
{
	check_xored(w->ptr, 7);
	check_xored(w->ptr + page / 4, 7);
}

/* The kernel takes the pages for this, and gives the same ones back. */
static void change_mprotect(struct world *w)
{
	igt_assert_eq(mprotect(w->ptr, page, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	igt_assert_eq(mprotect(w->ptr, page, PROT_READ | PROT_WRITE), 0);
}

static void check_same(struct world *w)
{
	check_xored(w->ptr, 1);
	check_xored(w->ptr + page / 4, 1);
}

/* Other pages move to the place that is bound, in place of those. */
static void change_mremap(struct world *w)
{
	uint32_t *other = vup_alloc(page);

	vup_paint(other, page, 9);
	igt_assert(mremap(other, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, w->ptr) == w->ptr);
}

static void check_mremap(struct world *w)
{
	check_xored(w->ptr, 9);
	check_xored(w->ptr + page / 4, 9);
}

static pid_t change_child;
static struct vup_gate change_gate;

/* The child keeps the pages as they are; the job writes to its parent's. */
static void change_fork(struct world *w)
{
	vup_gate_init(&change_gate);
	change_child = fork();
	igt_assert(change_child >= 0);
	if (!change_child) {
		bool same = true;
		char c;

		/* Should the parent fail */
		alarm(2 * VUP_PATIENCE_S);
		if (read(change_gate.fd[0], &c, 1) != 1)
			_exit(2);
		for (size_t i = 0; i < page / 4; i++)
			same &= w->ptr[i] == vup_word(1, i);
		_exit(!same);
	}
}

static void check_fork(struct world *w)
{
	int status;

	check_same(w);
	vup_gate_open(&change_gate);
	igt_assert_eq(waitpid(change_child, &status, 0), change_child);
	igt_assert_eq(status, 0);
	vup_gate_fini(&change_gate);
}

/* Something else at the GPU address; the CPU's memory stays as it is. */
static uint32_t *change_other;

static void change_bind(struct world *w)
{
	change_other = vup_alloc(page);
	vup_paint(change_other, page, 11);
	vup_unbind(&w->v, va, page);
	vup_bind_mem(&w->v, change_other, va, page, 0);
}

static void check_bind(struct world *w)
{
	check_xored(change_other, 11);
	check_xored(w->ptr + page / 4, 11);
	vup_check_paint(w->ptr, page, 1);
	vup_unmap(change_other, page);
}

static const struct change_test change_test[] = {
	{ "dontneed", false, change_dontneed, check_dontneed,
	  "Broken if a job has pages that were given back." },
	{ "remap", false, change_remap, check_remap,
	  "Broken if a job has pages of the mapping before." },
	{ "mprotect", false, change_mprotect, check_same,
	  "Broken if a job loses pages that were protected for a moment." },
	{ "mremap", false, change_mremap, check_mremap,
	  "Broken if a job does not find pages that were moved there." },
	{ "fork", false, change_fork, check_fork,
	  "Broken if a job writes to what a child inherited." },
	{ "bind", false, change_bind, check_bind,
	  "Broken if a binding waits for an endless job, or the job does not see it." },
};

struct change_call {
	struct world *w;
	const struct change_test *test;
};

static void call_change(void *data)
{
	struct change_call *call = data;

	call->test->change(call->w);
}

static void change(const struct change_test *test)
{
	struct change_call call;
	struct world w;
	uint64_t seen;

	world_make(&w, 2 * page);
	vup_paint(w.ptr, 2 * page, 1);
	endless(&w, 2, op_xor(va, page, CHANGE_XOR), op_copy(va + page, va, page));
	seen = preemptions(&w);
	call = (struct change_call) { .w = &w, .test = test };
	must_return(call_change, &call);
	igt_assert_lt_u64(seen, preemptions(&w));
	igt_assert_eq_u64(READ_ONCE(*w.fence), 1);
	WRITE_ONCE(*w.word, RELEASE);
	fence_ok(w.fence, 2);
	test->check(&w);
	world_end(&w);
}

static void in_order(void)
{
	struct world w;
	struct vup x;

	world_make(&w, page);
	w.ptr[0] = 1;
	x = w.v;
	igt_assert_eq(__vup_queue_create(fd, x.vm, &x.queue), 0);

	endless(&w, 2, op_copy(va + 4, va, 4));
	for (int i = 0; i < 100; i++)
		vup_push(&w.v, op_xor(va + 4, 4, i), op_copy(va + 8, va + 4, 4),
			 op_fill(va + 4, 4, i), op_xor(va + 4, 4, ~0u),
			 op_copy(va + 4, va + 8, 4), op_user_fence(fence_va + 8, i + 1));
	/* Another queue of the VM gets through meanwhile. */
	vup_push(&x, op_fill(va, 4, 3), op_user_fence(fence_va + 16, 1));
	fence_ok(w.fence + 2, 1);
	igt_assert_eq_u64(READ_ONCE(*w.fence), 1);
	igt_assert_eq_u64(READ_ONCE(w.fence[1]), 0);
	/* Both are interrupted, and both go on. */
	interrupt(&w);
	WRITE_ONCE(*w.word, RELEASE);
	fence_ok(w.fence + 1, 100);
	{
		uint32_t expected = 3;

		for (int i = 0; i < 100; i++)
			expected ^= i;
		igt_assert_eq_u32(w.ptr[1], expected);
	}
	igt_assert_eq(__vup_queue_destroy(fd, x.queue), 0);
	world_end(&w);
}

static void idle_is_left_alone(void)
{
	struct drm_vgem_vm_stats before, after;
	struct world w;

	vup_stop_numa_balancing();
	world_make(&w, VUP_WINDOW);
	vup_push(&w.v, op_fill(va, w.size, 1), op_user_fence(fence_va, 1));
	fence_ok(w.fence, 1);
	/* It stops by itself, but that may be a moment after the fence. */
	vup_stats(&w.v, &before);
	for (int i = 0; i < 10; i++) {
		igt_assert_eq(madvise(w.ptr, w.size, MADV_DONTNEED), 0);
		interrupt(&w);
	}
	vup_stats(&w.v, &after);
	igt_assert_eq_u64(before.windows, after.windows);
	igt_assert_eq_u64(before.resumes, after.resumes);
	igt_assert_eq_u64(before.preemptions, after.preemptions);
	igt_assert_lte_u64(after.fence_waits, before.fence_waits + 1);

	/* Until there is something to do again */
	vup_push(&w.v, op_fill(va, 4, 2), op_user_fence(fence_va, 2));
	fence_ok(w.fence, 2);
	igt_assert_eq_u32(w.ptr[0], 2);
	vup_stats(&w.v, &after);
	igt_assert_eq_u64(before.resumes + 1, after.resumes);
	world_end(&w);
}

static void dead_is_refused(void)
{
	struct world w;

	world_make(&w, 4 * page);
	vup_unmap((char *)w.ptr + page, page);
	igt_assert_eq(__vup_push(&w.v, vup_ops__(op_fill(va, w.size, 1)), 1), -EFAULT);
	/* What it does not name does not matter. */
	vup_push(&w.v, op_user_fence(fence_va, 1));
	fence_ok(w.fence, 1);
	/* It comes back, and so does the mapping. */
	vup_map_fixed((char *)w.ptr + page, page, PROT_READ | PROT_WRITE);
	vup_push(&w.v, op_fill(va, w.size, 2), op_user_fence(fence_va, 2));
	fence_ok(w.fence, 2);
	vup_check_value(w.ptr, w.size, 2);
	world_end(&w);
}

static void handler_is_not_waited_for(void)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	const uint64_t missing_va = VUP_VA(4);
	struct world w;
	void *missing;
	int uffd;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	igt_require_f(uffd >= 0, "no userfaultfd(), or not for us\n");
	igt_assert_eq(ioctl(uffd, UFFDIO_API, &api), 0);
	missing = vup_alloc(page);
	reg.range.start = (uintptr_t)missing;
	reg.range.len = page;
	igt_assert_eq(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);

	/* Nobody reads from @uffd: whoever waits there waits for ever. */
	world_make(&w, page);
	endless(&w, 2, op_fill(va, page, 5), op_user_fence(fence_va + 8, 1),
		op_fill(missing_va, page, 6));
	vup_bind_mem(&w.v, missing, missing_va, page, 0);
	WRITE_ONCE(*w.word, RELEASE);
	fence_ok(w.fence + 1, 1);
	igt_assert_eq(fence_err(w.fence, 2), -EFAULT);
	vup_check_value(w.ptr, page, 5);
	world_end(&w);
	close(uffd);
	vup_unmap(missing, page);
}

static void fence_poll(void)
{
	struct world w;

	world_make(&w, 16 * page);
	for (uint64_t i = 1; i <= 50; i++) {
		vup_push(&w.v, op_fill(va, w.size, i), op_user_fence(fence_va, i << 32 | i));
		igt_until_timeout(VUP_PATIENCE_S) {
			uint64_t seen = __atomic_load_n(w.fence, __ATOMIC_ACQUIRE);

			if (seen == (i << 32 | i))
				break;
			igt_assert_eq_u64(seen, (i - 1) << 32 | (i - 1));
			sched_yield();
		}
		igt_assert_eq_u64(*w.fence, i << 32 | i);
		vup_check_value(w.ptr, w.size, i);
	}
	world_end(&w);
}

static int compare(uint64_t *fence, uint32_t op, uint64_t value, uint64_t mask)
{
	struct drm_vgem_wait_user_fence wait = {
		.addr = (uintptr_t)fence, .op = op, .value = value, .mask = mask,
	};
	int err = __vup_wait_user_fence(fd, &wait);

	igt_assert_eq_u64(wait.seen, *fence);
	return err;
}

static void fence_compare(void)
{
	const uint64_t there = 0x8000000300000005ull, low = 0xffffffffull, high = ~low;
	const uint32_t eq = DRM_VGEM_WAIT_OP_EQUAL, ge = DRM_VGEM_WAIT_OP_GREATER_EQUAL;
	struct world w;

	world_make(&w, page);
	vup_push(&w.v, op_user_fence(fence_va, there));
	fence_ok(w.fence, there);

	igt_assert_eq(compare(w.fence, eq, there, ~0ull), 0);
	igt_assert_eq(compare(w.fence, eq, there + 1, ~0ull), -ETIME);
	igt_assert_eq(compare(w.fence, eq, there - 1, ~0ull), -ETIME);
	igt_assert_eq(compare(w.fence, ge, there, ~0ull), 0);
	igt_assert_eq(compare(w.fence, ge, there - 1, ~0ull), 0);
	igt_assert_eq(compare(w.fence, ge, there + 1, ~0ull), -ETIME);
	/* Unsigned */
	igt_assert_eq(compare(w.fence, ge, 1, ~0ull), 0);
	igt_assert_eq(compare(w.fence, ge, 0, ~0ull), 0);
	/* A part of it; what else is in the value does not count. */
	igt_assert_eq(compare(w.fence, eq, 5, low), 0);
	igt_assert_eq(compare(w.fence, eq, 5, ~0ull), -ETIME);
	igt_assert_eq(compare(w.fence, eq, 0x700000005ull, low), 0);
	igt_assert_eq(compare(w.fence, eq, there ^ 0xff, high), 0);
	igt_assert_eq(compare(w.fence, ge, 5, low), 0);
	igt_assert_eq(compare(w.fence, ge, 6, low), -ETIME);
	igt_assert_eq(compare(w.fence, ge, there + 1, high), 0);
	igt_assert_eq(compare(w.fence, ge, 4, 4), 0);
	igt_assert_eq(compare(w.fence, ge, 2, 2), -ETIME);
	/* An error is one whatever it is compared with. */
	*w.fence = DRM_VGEM_USER_FENCE_MAX;
	igt_assert_eq(compare(w.fence, ge, DRM_VGEM_USER_FENCE_MAX, ~0ull), 0);
	*w.fence = DRM_VGEM_USER_FENCE_MAX + 1;
	igt_assert_eq(compare(w.fence, ge, 1, ~0ull), -EIO);
	*w.fence = (uint64_t)-ECANCELED;
	igt_assert_eq(compare(w.fence, eq, 1, 1), -EIO);
	world_end(&w);
}

static void fence_timeout(void)
{
	struct drm_vgem_wait_user_fence wait;
	struct world w;

	world_make(&w, page);
	endless(&w, 2);
	wait = wait_for(w.fence, 2);
	wait.timeout_ns = 0;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), -ETIME);
	wait.timeout_ns = -1;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), -ETIME);
	wait.timeout_ns = vup_now_ns() - 1;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), -ETIME);
	wait.timeout_ns = vup_now_ns() + 100 * NSEC_PER_MSEC;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), -ETIME);
	igt_assert_lte_u64(wait.timeout_ns, vup_now_ns());
	igt_assert_eq_u64(wait.seen, 1);
	/* What is there is found, however late it is. */
	WRITE_ONCE(*w.word, RELEASE);
	fence_ok(w.fence, 2);
	wait.timeout_ns = 0;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), 0);
	world_end(&w);
}

struct waiter {
	struct vup_caller c;
	struct drm_vgem_wait_user_fence wait;
	int err;
};

static void call_wait(void *data)
{
	struct waiter *waiter = data;

	waiter->err = __vup_wait_user_fence(fd, &waiter->wait);
}

static void fence_wakes(void)
{
	enum { WAITERS = 4 };
	struct waiter waiter[WAITERS] = { };
	struct world w;

	world_make(&w, page);
	for (int i = 0; i < WAITERS; i++) {
		waiter[i].wait = wait_for(w.fence, i + 1);
		waiter[i].wait.op = DRM_VGEM_WAIT_OP_EQUAL;
		vup_caller_start(&waiter[i].c, call_wait, &waiter[i]);
		igt_assert(vup_caller_sleeps(&waiter[i].c));
	}
	/* One by one: the next value is stored only when the last one was seen. */
	for (int i = 0; i < WAITERS; i++) {
		atomic_store(&waiter[i].c.released, true);
		vup_push(&w.v, op_user_fence(fence_va, i + 1));
		vup_caller_join(&waiter[i].c);
		igt_assert(!waiter[i].c.too_early);
		igt_assert_eq(waiter[i].err, 0);
		igt_assert_eq_u64(waiter[i].wait.seen, i + 1);
		for (int j = i + 1; j < WAITERS; j++)
			igt_assert(!atomic_load(&waiter[j].c.done));
	}
	world_end(&w);
}

static void fence_interrupted(void)
{
	struct drm_vgem_wait_user_fence wait;
	struct waiter waiter = { };
	struct world w;

	world_make(&w, page);
	endless(&w, 2);
	igt_fork_signal_helper();
	wait = wait_for(w.fence, 2);
	wait.timeout_ns = vup_now_ns() + 300 * NSEC_PER_MSEC;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), -ETIME);
	igt_assert_lte_u64(wait.timeout_ns, vup_now_ns());
	igt_assert_lt_u64(vup_now_ns(), wait.timeout_ns + 20 * NSEC_PER_SEC);

	waiter.wait = wait_for(w.fence, 2);
	vup_caller_start(&waiter.c, call_wait, &waiter);
	for (int i = 0; i < 20; i++)
		interrupt(&w);
	atomic_store(&waiter.c.released, true);
	WRITE_ONCE(*w.word, RELEASE);
	vup_caller_join(&waiter.c);
	igt_stop_signal_helper();
	igt_assert(!waiter.c.too_early);
	igt_assert_eq(waiter.err, 0);
	world_end(&w);
}

static void fence_on_ordinary_queue(void)
{
	uint64_t *fence = (uint64_t *)vup_alloc_word();
	struct drm_vgem_vm_stats stats;
	struct vup v;

	vup_init(&v, fd);
	vup_bind_mem(&v, fence, fence_va, page, 0);
	vup_ok(&v, op_user_fence(fence_va + 8, 7));
	fence_ok(fence + 1, 7);
	igt_assert_eq(vup_do(&v, op_user_fence(fence_va, 1), op_fill(va, 4, 1),
			     op_user_fence(fence_va + 8, 8)), -EFAULT);
	fence_ok(fence, 1);
	igt_assert_eq(fence_err(fence + 1, 8), -EFAULT);
	/* Its fence tells all there is to tell: it is not the end of the queue. */
	igt_assert_eq(vup_do(&v, op_user_fence(va, 1)), -EFAULT);
	vup_ok(&v, op_user_fence(fence_va, 2));
	vup_stats(&v, &stats);
	igt_assert_eq_u64(stats.preemptions + stats.resumes, 0);
	vup_fini(&v);
	vup_unmap(fence, page);
}

static void fence_lost(void)
{
	struct drm_vgem_wait_user_fence wait;
	struct waiter waiter = { };
	struct world w;

	world_make(&w, page);
	endless(&w, 2);
	waiter.wait = wait_for(w.fence + 1, 1);
	waiter.wait.queue_id = w.v.queue;
	vup_push(&w.v, op_user_fence(va, 1), op_user_fence(fence_va + 8, 1));
	/* Whether the second tells or the queue, it must not wait for ever. */
	vup_caller_start(&waiter.c, call_wait, &waiter);
	igt_assert(vup_caller_sleeps(&waiter.c));
	call_munmap_ptr(&w);
	atomic_store(&waiter.c.released, true);
	WRITE_ONCE(*w.word, RELEASE);
	vup_caller_join(&waiter.c);
	igt_assert(!waiter.c.too_early);
	igt_assert_eq(waiter.err, -EIO);
	fence_ok(w.fence, 2);

	igt_assert_eq(__vup_push(&w.v, vup_ops__(op_user_fence(fence_va, 3)), 1), -EIO);
	wait = wait_for(w.fence, 3);
	wait.queue_id = w.v.queue;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), -EIO);
	/* What is there already is there. */
	wait.value = 2;
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), 0);

	/* Another queue of the same VM does not mind. */
	igt_assert_eq(__vup_queue_destroy(fd, w.v.queue), 0);
	igt_assert_eq(__vup_queue_create(fd, w.v.vm, &w.v.queue), 0);
	vup_push(&w.v, op_user_fence(fence_va, 3));
	fence_ok(w.fence, 3);
	world_end(&w);
}

static void queue_destroyed(void)
{
	struct waiter waiter = { };
	uint32_t queue;
	struct world w;

	world_make(&w, page);
	endless(&w, 2);
	vup_push(&w.v, op_user_fence(fence_va, 3));
	waiter.wait = wait_for(w.fence, 2);
	waiter.wait.queue_id = w.v.queue;
	vup_caller_start(&waiter.c, call_wait, &waiter);
	igt_assert(vup_caller_sleeps(&waiter.c));
	atomic_store(&waiter.c.released, true);
	queue = w.v.queue;
	igt_assert_eq(__vup_queue_destroy(fd, queue), 0);
	vup_caller_join(&waiter.c);
	igt_assert(!waiter.c.too_early);
	igt_assert_eq(waiter.err, -EIO);
	igt_assert_eq(__vup_wait_user_fence(fd, &waiter.wait), -ENOENT);

	/* Nothing of it comes later. */
	WRITE_ONCE(*w.word, RELEASE);
	igt_assert_eq(__vup_queue_create(fd, w.v.vm, &w.v.queue), 0);
	vup_push(&w.v, op_user_fence(fence_va + 8, 1));
	fence_ok(w.fence + 1, 1);
	igt_assert_eq_u64(*w.fence, 1);
	world_end(&w);
}

static void syncobj(void)
{
	struct drm_vgem_sync sync = { .flags = DRM_VGEM_SYNC_SIGNAL };
	struct drm_vgem_op op = op_user_fence(fence_va, 1);
	struct drm_vgem_exec exec = {
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		.syncs = { .stride = sizeof(sync), .count = 1, .array = (uintptr_t)&sync },
	};
	struct drm_vgem_vm_stats before, after;
	struct world w;
	struct vup v;

	world_make(&w, page);
	exec.queue_id = w.v.queue;
	vup_stats(&w.v, &before);
	sync.handle = syncobj_create(fd, 0);
	for (uint64_t point = 0; point < 2; point++) {
		sync.point = point;
		igt_assert_eq(__vup_exec(fd, &exec), -EINVAL);
	}
	syncobj_destroy(fd, sync.handle);

	/* One of an ordinary job: not submitted before that is done. */
	vup_init(&v, fd);
	vup_bind_mem(&v, w.word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	sync = (struct drm_vgem_sync) {
		.handle = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC)),
	};
	igt_assert_eq(__vup_exec(fd, &exec), -ETIME);
	exec.timeout_ns = vup_now_ns() + 50 * NSEC_PER_MSEC;
	igt_assert_eq(__vup_exec(fd, &exec), -ETIME);
	igt_assert_lte_u64(exec.timeout_ns, vup_now_ns());
	vup_stats(&w.v, &after);
	igt_assert_eq_u64(before.submits, after.submits);
	igt_assert_eq_u64(*w.fence, 0);

	WRITE_ONCE(*w.word, RELEASE);
	exec.timeout_ns = vup_now_ns() + VUP_PATIENCE_S * 1000000000ull;
	igt_assert_eq(__vup_exec(fd, &exec), 0);
	fence_ok(w.fence, 1);
	igt_assert_eq(vup_finish(fd, sync.handle), 0);
	vup_fini(&v);
	world_end(&w);
}

static void other_process(void)
{
	struct world w;

	world_make(&w, page);
	endless(&w, 2);
	igt_fork(child, 1) {
		struct drm_vgem_wait_user_fence wait = wait_for(w.fence, 1);

		igt_assert_eq(__vup_push(&w.v, vup_ops__(op_user_fence(fence_va, 3)), 1), -EPERM);
		wait.queue_id = w.v.queue;
		igt_assert_eq(__vup_wait_user_fence(fd, &wait), -EPERM);
		igt_assert_eq(__vup_queue_destroy(fd, w.v.queue), -EPERM);
		/* A look at its own memory is a look at its own memory. */
		wait.queue_id = 0;
		igt_assert_eq(__vup_wait_user_fence(fd, &wait), 0);
	}
	igt_waitchildren();
	igt_assert_eq_u64(READ_ONCE(*w.fence), 1);
	WRITE_ONCE(*w.word, RELEASE);
	fence_ok(w.fence, 2);
	world_end(&w);
}

enum end_how {
	END_EXITS,
	END_IS_KILLED,
	END_IS_KILLED_FILE_SHARED,
	ENDS
};

static const char * const end_name[ENDS] = { "exits", "is-killed", "is-killed-file-shared" };

/* Not one of IGT's children: it says by its status what went wrong, or waits. */
static __noreturn void end_child(int file, struct vup_gate *ready, enum end_how how)
{
	const struct drm_vgem_op ops[3] = {
		op_user_fence(va, 1), op_spin(va + 8, RELEASE, 0), op_user_fence(va, 2),
	};
	uint64_t *ptr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	struct drm_vgem_vm_bind bind = {
		.op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR, .addr = va, .range = page,
		.offset = (uintptr_t)ptr,
	};
	struct drm_vgem_wait_user_fence wait = wait_for(ptr, 1);
	struct vup v = { .fd = file };

	if (__vup_vm_create(file, DRM_VGEM_VM_CREATE_LONG_RUNNING, &v.vm) ||
	    __vup_queue_create(file, v.vm, &v.queue))
		_exit(1);
	bind.vm_id = v.vm;
	if (__vup_bind(file, &bind) || __vup_push(&v, ops, 3) ||
	    __vup_wait_user_fence(file, &wait))
		_exit(2);
	if (write(ready->fd[1], "o", 1) != 1)
		_exit(3);
	if (how == END_EXITS)
		_exit(0);
	for (;;)
		pause();
}

static void end(enum end_how how)
{
	/* A file of its own, unless its end is not to be that of the file. */
	int file = how == END_IS_KILLED_FILE_SHARED ? drm_open_driver(DRIVER_VGEM) : -1;
	struct vup_gate ready;
	int status, tries = 0;
	struct world w;
	pid_t child;

	vup_gate_init(&ready);
	child = fork();
	igt_assert(child >= 0);
	if (!child)
		end_child(file < 0 ? drm_reopen_driver(fd) : file, &ready, how);
	vup_gate_pass(&ready);
	if (how != END_EXITS)
		kill(child, SIGKILL);

	/* Neither its memory nor its file can be given up before the job stops. */
	igt_until_timeout(VUP_PATIENCE_S) {
		tries = waitpid(child, &status, WNOHANG);
		if (tries)
			break;
		usleep(1000);
	}
	igt_assert_eq(tries, child);
	if (how == END_EXITS)
		igt_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	else
		igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	if (file >= 0)
		drm_close_driver(file);
	vup_gate_fini(&ready);

	/* The device is well. */
	world_make(&w, page);
	vup_push(&w.v, op_fill(va, page, 1), op_user_fence(fence_va, 1));
	fence_ok(w.fence, 1);
	vup_check_value(w.ptr, page, 1);
	world_end(&w);
}

struct loop {
	struct world *w;
	bool stop;
	uint32_t rounds;
};

static void call_loop(void *data)
{
	struct loop *loop = data;
	uint64_t resumes = 0;

	while (!READ_ONCE(loop->stop))
		if (interrupt_again(loop->w, &resumes))
			WRITE_ONCE(loop->rounds, loop->rounds + 1);
}

static void create_destroy_loop(void)
{
	uint64_t begin = vup_now_ns();
	uint32_t made = 0;
	struct vup_caller c;
	struct loop loop = { };
	struct world w;

	world_make(&w, 4 * page);
	loop.w = &w;
	vup_caller_start(&c, call_loop, &loop);
	/* As long as a busy machine takes to do each a few times */
	igt_until_timeout(VUP_PATIENCE_S) {
		struct vup x = w.v;
		int err;

		igt_assert_eq(__vup_queue_create(fd, x.vm, &x.queue), 0);
		err = __vup_push(&x, vup_ops__(op_user_fence(fence_va + 8, made + 1),
					       op_spin(word_va, RELEASE, 0)), 2);
		igt_assert(!err || err == -EAGAIN);
		/* At any point: not yet begun, running, suspended. */
		if (!err && made & 1)
			fence_ok(w.fence + 1, made + 1);
		igt_assert_eq(__vup_queue_destroy(fd, x.queue), 0);
		if (!err)
			made++;
		if (vup_now_ns() - begin > 2 * NSEC_PER_SEC && made > 10 &&
		    READ_ONCE(loop.rounds) > 10)
			break;
	}
	WRITE_ONCE(loop.stop, true);
	vup_caller_join(&c);
	igt_info("%u queues, %u interruptions\n", made, loop.rounds);
	igt_assert_lt_u64(10, made);
	igt_assert_lt_u64(10, loop.rounds);
	vup_push(&w.v, op_user_fence(fence_va, 1));
	fence_ok(w.fence, 1);
	world_end(&w);
}

int igt_main()
{
	static const struct {
		const char *name;
		void (*run)(void);
		const char *describe;
	} tests[] = {
		{ "munmap-under-endless", munmap_under_endless,
		  "Broken if the mm waits for the end of a long-running job." },
		{ "unmapped-is-error", unmapped_is_error,
		  "Broken if a failed job looks as if it were done, or like one that runs." },
		{ "spin-limit", spin_limit,
		  "Broken if interruptions stretch a spin, or long jobs have a time limit." },
		{ "in-order", in_order,
		  "Broken if jobs of a queue overtake each other, or queues share an engine." },
		{ "idle-is-left-alone", idle_is_left_alone,
		  "Broken if memory is fetched for a queue that has nothing to do." },
		{ "dead-is-refused", dead_is_refused,
		  "Broken if a job is taken whose memory is known to be gone." },
		{ "handler-is-not-waited-for", handler_is_not_waited_for,
		  "Broken if one who does not answer can stop a queue, and keep it from its end." },
		{ "fence-poll", fence_poll,
		  "Broken if the user fence is torn, or overtakes what it stands for." },
		{ "fence-compare", fence_compare,
		  "Broken if a wait ends for the wrong value." },
		{ "fence-timeout", fence_timeout,
		  "Broken if a wait ends too early, or never." },
		{ "fence-wakes", fence_wakes,
		  "Broken if a wait misses the store that it is for." },
		{ "fence-interrupted", fence_interrupted,
		  "Broken if a signal ends the wait, or starts its time-out anew." },
		{ "fence-on-ordinary-queue", fence_on_ordinary_queue,
		  "Broken if user fences are for long-running queues only." },
		{ "fence-lost", fence_lost,
		  "Broken if somebody waits for a fence that cannot come." },
		{ "queue-destroyed", queue_destroyed,
		  "Broken if an endless job outlives its queue." },
		{ "syncobj", syncobj,
		  "Broken if a dma_fence can depend on a long-running job." },
		{ "other-process", other_process,
		  "Broken if a long-running queue can be used from another mm." },
		{ "create-destroy-loop", create_destroy_loop,
		  "Broken if a queue cannot go while it is interrupted or resumed." },
	};

	igt_fixture() {
		page = vup_page();
		fd = vup_open();
	}

	for (int i = 0; i < (int)ARRAY_SIZE(tests); i++) {
		igt_describe(tests[i].describe);
		igt_subtest(tests[i].name)
			tests[i].run();
	}

	for (int i = 0; i < (int)ARRAY_SIZE(progress_test); i++) {
		igt_describe(progress_test[i].describe);
		igt_subtest_f("progress-%s", progress_test[i].name)
			progress(&progress_test[i]);
	}

	for (int i = 0; i < (int)ARRAY_SIZE(change_test); i++) {
		igt_describe(change_test[i].describe);
		igt_subtest_f("change-%s", change_test[i].name)
			change(&change_test[i]);
	}

	for (int i = 0; i < ENDS; i++) {
		igt_describe("Broken if a process with an endless job cannot end.");
		igt_subtest_f("end-%s", end_name[i])
			end(i);
	}

	igt_fixture() {
		drm_close_driver(fd);
	}
}
