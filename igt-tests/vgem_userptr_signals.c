// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr signals
 * Description: What a signal may cut short, and what it may not
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, signals
 * Test category: functionality test
 *
 * SUBTEST: munmap-timer
 * Description: a timer fires a thousand times a second while munmap waits for a job
 *
 * SUBTEST: munmap-killed
 * Description: a process is killed while its munmap waits for a job
 *
 * SUBTEST: submit-every-point
 * Description: a signal at each point of a submission: done, or not done at all
 *
 * SUBTEST: bind-every-point
 * Description: a signal at each point of a bind and an unbind: done, or not done at all
 *
 * SUBTEST: large-populate
 * Description: a submission that has 16 GiB to look at stops soon after a signal
 */

IGT_TEST_DESCRIPTION("What a signal may cut short, and what it may not.");

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id	_sigev_un._tid
#endif

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

#define RELEASE	0x60606060
#define SIGNAL	SIGUSR1

static atomic_uint signals;

static void count_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&signals, 1);
}

/* A timer whose signal goes to one thread, as one for the process may go anywhere */
static timer_t timer_for(int tid)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL,
		.sigev_notify_thread_id = tid,
	};
	timer_t timer;

	igt_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	return timer;
}

static void timer_fire(timer_t timer, uint64_t first_ns, uint64_t every_ns)
{
	/* Zero would disarm it. */
	struct itimerspec spec = {
		.it_value = { first_ns / NSEC_PER_SEC, first_ns % NSEC_PER_SEC ?: 1 },
		.it_interval = { every_ns / NSEC_PER_SEC, every_ns % NSEC_PER_SEC },
	};

	igt_assert_eq(timer_settime(timer, 0, &spec, NULL), 0);
}

static void timer_stop(timer_t timer)
{
	struct itimerspec spec = { };

	igt_assert_eq(timer_settime(timer, 0, &spec, NULL), 0);
}

static bool signal_pending(int tid)
{
	unsigned long long set = 0;
	char path[64], text[4096], *at;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	if (!vup_file_read(path, text, sizeof(text)))
		return false;
	at = strstr(text, "SigPnd:");
	if (at)
		sscanf(at, "SigPnd: %llx", &set);
	return set >> (SIGNAL - 1) & 1;
}

struct gone {
	char *ptr;
	size_t size;
	int err;
};

static void do_munmap(void *data)
{
	struct gone *g = data;

	g->err = munmap(g->ptr, g->size);
}

static void munmap_timer(enum vup_how how)
{
	struct gone g = { .ptr = vup_alloc(4 * page), .size = 4 * page };
	uint32_t *word = vup_alloc_word(), *out = vup_alloc(g.size);
	uint64_t out_va = VUP_VA(2);
	struct vup_caller c;
	uint32_t syncobj;
	bool pending = false;
	timer_t timer;

	vup_paint(g.ptr, g.size, 1);
	vup_bind_how(&v, how, g.ptr, va, g.size, false);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, out, out_va, g.size, 0);
	vup_ok(&v, op_fill(out_va, g.size, 0));
	atomic_store(&signals, 0);

	vup_settle();
	/* Longer than anybody waits here: only the word or the limit ends it. */
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 0), op_copy(out_va, va, g.size),
			    op_fill(va, g.size, 2));
	vup_caller_start(&c, do_munmap, &g);
	igt_assert(vup_caller_blocked(&c));
	timer = timer_for(atomic_load(&c.tid));
	timer_fire(timer, NSEC_PER_MSEC, NSEC_PER_MSEC);
	/* In an uninterruptible wait a signal stays pending; it must have come. */
	igt_until_timeout(5) {
		pending = signal_pending(atomic_load(&c.tid));
		if (pending || atomic_load(&c.done))
			break;
		sched_yield();
	}
	igt_assert_f(vup_caller_blocked(&c) && pending,
		     "munmap did not wait for the job, after %u signals\n",
		     atomic_load(&signals));
	igt_assert_eq(vup_status(fd, syncobj), 1);

	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert_eq(timer_delete(timer), 0);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	igt_assert(!c.too_early);
	igt_assert_eq(g.err, 0);
	igt_assert_lt(0, atomic_load(&signals));
	/* The job had its memory to the end. */
	vup_check_paint(out, g.size, 1);

	vup_unbind(&v, va, g.size);
	vup_unbind(&v, word_va, page);
	vup_unbind(&v, out_va, g.size);
	vup_unmap(word, page);
	vup_unmap(out, g.size);
}

static void munmap_killed(void)
{
	int file = drm_open_driver(DRIVER_VGEM), report[2], status;
	uint32_t syncobj;
	uint64_t before;
	pid_t pid;

	igt_assert_eq(pipe(report), 0);
	pid = vup_fork();
	if (!pid) {
		struct vup w;
		char *ptr = vup_alloc(page);

		vup_init(&w, file);
		vup_bind_mem(&w, ptr, va, page, 0);
		vup_ok(&w, op_fill(va, page, 1));
		syncobj = vup_start(&w, op_spin(va, RELEASE, 3 * NSEC_PER_SEC),
				    op_fill(va, page, 2));
		if (write(report[1], &syncobj, sizeof(syncobj)) != sizeof(syncobj))
			_exit(1);
		_exit(munmap(ptr, page) ? 2 : 0);
	}
	close(report[1]);
	igt_assert_eq(read(report[0], &syncobj, sizeof(syncobj)), sizeof(syncobj));
	close(report[0]);

	igt_assert_f(vup_process_blocked(pid), "munmap did not wait for the job\n");
	before = vup_now_ns();
	igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_neq(vup_status(file, syncobj), 1);
	vup_finish(file, syncobj);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* The spin's time, and be the machine ever so slow. */
	igt_assert_lt_u64(vup_now_ns() - before, 10 * NSEC_PER_SEC);
	drm_close_driver(file);
}

/*
 * Calls @attempt with a signal on its way that comes a little later each time,
 * from right at the beginning until after the end.
 */
static void every_point(const char *what, int (*attempt)(void *data), void *data)
{
	unsigned int done = 0, interrupted = 0;
	timer_t timer = timer_for(syscall(SYS_gettid));
	uint64_t before, whole = 0;

	for (int i = 0; i < 5; i++) {
		before = vup_now_ns();
		igt_assert_eq(attempt(data), 0);
		whole = max(whole, vup_now_ns() - before);
	}
	for (int i = 0; i < 300; i++) {
		int err;

		/* Not evenly, as most of what is short happens at both ends. */
		timer_fire(timer, whole * i / 200, 0);
		err = attempt(data);
		timer_stop(timer);
		igt_assert_f(err == 0 || err == -EINTR, "%s: %d\n", what, err);
		if (err)
			interrupted++;
		else
			done++;
	}
	igt_assert_eq(timer_delete(timer), 0);
	igt_info("%s: %u done, %u interrupted\n", what, done, interrupted);
	/* It must have been both. */
	igt_assert_lt(0, done);
	igt_assert_lt(0, interrupted);
}

/* Pieces of several windows, so that there are steps between which to stop */
#define PIECES	4

struct submission {
	char *ptr[PIECES];
	size_t size;
	uint32_t syncobj;
	uint32_t value;
};

/* One submission that has to populate; checked whichever way it ends. */
static int submit_once(void *data)
{
	struct submission *s = data;
	struct drm_vgem_sync sync = { .handle = s->syncobj, .flags = DRM_VGEM_SYNC_SIGNAL };
	struct drm_vgem_op op = op_fill(va, PIECES * s->size, ++s->value);
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		.syncs = { .stride = sizeof(sync), .count = 1, .array = (uintptr_t)&sync },
	};
	struct drm_vgem_vm_stats before, after;
	int err;

	for (int i = 0; i < PIECES; i++)
		igt_assert_eq(madvise(s->ptr[i], s->size, MADV_DONTNEED), 0);
	vup_stats(&v, &before);
	err = vup_ioctl_once(fd, DRM_IOCTL_VGEM_EXEC, &exec);
	vup_stats(&v, &after);
	if (err == -EINTR) {
		igt_assert_eq_u64(before.submits, after.submits);
		/* A lock left behind would show here, memory half there as well. */
		igt_assert_eq(__vup_exec(fd, &exec), 0);
	} else {
		igt_assert_eq(err, 0);
		igt_assert_eq_u64(before.submits + 1, after.submits);
	}
	igt_assert_eq(syncobj_wait_err(fd, &s->syncobj, 1, vup_now_ns() +
				       VUP_PATIENCE_S * 1000000000ull, 0), 0);
	for (int i = 0; i < PIECES; i++)
		vup_check_value(s->ptr[i], s->size, s->value);
	return err;
}

static void submit_every_point(void)
{
	struct submission s = { .size = 16 * page, .syncobj = syncobj_create(fd, 0) };
	char *ptr = vup_alloc_windows(PIECES * VUP_WINDOW);

	for (int i = 0; i < PIECES; i++) {
		s.ptr[i] = ptr + i * VUP_WINDOW;
		vup_bind_mem(&v, s.ptr[i], va + i * s.size, s.size, 0);
	}
	every_point("submit", submit_once, &s);
	vup_unbind(&v, va, PIECES * s.size);
	vup_unmap(ptr, PIECES * VUP_WINDOW);
	syncobj_destroy(fd, s.syncobj);
}

struct binding {
	char *ptr;
	size_t size;
	uint64_t word_va;
};

/* A bind that has to wait for a job: what is bound afterwards is the one or the other. */
static int bind_once(void *data)
{
	struct binding *b = data;
	struct drm_vgem_vm_bind bind = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR,
		.addr = va, .range = b->size, .offset = (uintptr_t)b->ptr + b->size,
	};
	uint32_t syncobj;
	int err, gone;

	vup_bind_mem(&v, b->ptr, va, b->size, 0);
	memset(b->ptr, 0, 2 * b->size);
	syncobj = vup_start(&v, op_spin(b->word_va, RELEASE, NSEC_PER_MSEC));
	err = vup_ioctl_once(fd, DRM_IOCTL_VGEM_VM_BIND, &bind);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	vup_ok(&v, op_fill(va, b->size, 7));
	vup_check_value(b->ptr, b->size, err ? 7 : 0);
	vup_check_value(b->ptr + b->size, b->size, err ? 0 : 7);

	/* The same for taking it away */
	bind = (struct drm_vgem_vm_bind) {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_UNMAP, .addr = va, .range = b->size,
	};
	gone = vup_ioctl_once(fd, DRM_IOCTL_VGEM_VM_BIND, &bind);
	igt_assert_eq(vup_do(&v, op_fill(va, 4, 8)), gone ? 0 : -EFAULT);
	return err ?: gone;
}

static void bind_every_point(void)
{
	struct binding b = { .size = 4 * page, .word_va = word_va };
	uint32_t *word = vup_alloc_word();

	b.ptr = vup_alloc(2 * b.size);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	every_point("bind", bind_once, &b);
	vup_unbind(&v, va, b.size);
	vup_unbind(&v, word_va, page);
	vup_unmap(b.ptr, 2 * b.size);
	vup_unmap(word, page);
}

static void large_populate(void)
{
	uint64_t size = 16ull << 30, windows = size / VUP_WINDOW;
	/* Never written to: all of it is one page, or one huge page, of zeroes. */
	char *ptr = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct drm_vgem_op op = op_spin(va, 0, 1);
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
	};
	struct drm_vgem_vm_stats first, before, after;
	timer_t timer = timer_for(syscall(SYS_gettid));

	igt_require_f(ptr != MAP_FAILED, "no 16 GiB of address space\n");
	/* Each page is a mapping of User Mode Linux's host, which runs out of them. */
	igt_emit_ignore_dmesg_regex("syscall_stub_dump_error|syscall data: |FD map: ");
	vup_bind_mem(&v, ptr, va, size, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_stats(&v, &first);
	for (int i = 0; i < 2; i++) {
		vup_stats(&v, &before);
		timer_fire(timer, 100 * NSEC_PER_MSEC, 0);
		igt_assert_eq(vup_ioctl_once(fd, DRM_IOCTL_VGEM_EXEC, &exec), -EINTR);
		vup_stats(&v, &after);
		igt_assert_eq_u64(before.submits, after.submits);
		igt_info("%llu of %llu windows\n",
			 (unsigned long long)(after.windows - before.windows),
			 (unsigned long long)windows);
	}
	/* It was at it, and far from through. */
	igt_assert_lt_u64(first.windows, after.windows);
	igt_assert_lt_u64(after.windows - first.windows, windows / 2);
	timer_stop(timer);
	igt_assert_eq(timer_delete(timer), 0);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

int igt_main()
{
	igt_fixture() {
		struct sigaction action = { .sa_handler = count_signal };

		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
		/* Without SA_RESTART */
		igt_assert_eq(sigaction(SIGNAL, &action, NULL), 0);
	}

	igt_describe("Broken if a signal ends the wait for the device "
		     "(src aie2_ctx.c:1236, xdna:f7e7d80f).");
	igt_subtest_with_dynamic("munmap-timer")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				munmap_timer(how);

	igt_describe("Broken if SIGKILL ends the wait for the device (src aie2_ctx.c:1236).");
	igt_subtest("munmap-killed")
		munmap_killed();

	igt_describe("Broken if an interrupted submission leaves a lock or half a job "
		     "(fbsd:756c6c7a08).");
	igt_subtest("submit-every-point")
		submit_every_point();

	igt_describe("Broken if an interrupted bind leaves neither the old nor the new "
		     "(fbsd:756c6c7a08).");
	igt_subtest("bind-every-point")
		bind_every_point();

	igt_describe("Broken if a large range keeps a CPU busy whatever comes (fbsd:b82b77f5f3).");
	igt_subtest("large-populate")
		large_populate();

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
