// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr pressure
 * Description: Compaction, the OOM reaper, and processes that die or race at the wrong moment
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, memory pressure
 * Test category: functionality test
 *
 * SUBTEST: rebind-under-%s
 * Description: userptrs are made, used and dropped while pages are moved by %arg[1]
 * arg[1].values: compaction, migration
 *
 * SUBTEST: exit-under-%s
 * Description: processes with userptrs end while pages are moved by %arg[1]
 * arg[1].values: compaction, migration
 *
 * SUBTEST: reaper-idle
 * Description: the OOM reaper gets an idle userptr's memory from a process that cannot die yet
 *
 * SUBTEST: reaper-busy
 * Description: the OOM reaper is sent away while a job runs, without a wait, and gets it afterwards
 *
 * SUBTEST: memcg-oom-%s
 * Description: a process over the limit of its control group dies in time, %arg[1]
 * arg[1].values: idle, busy
 *
 * SUBTEST: killed-in-populate
 * Description: a process is killed while its submission looks for pages
 *
 * SUBTEST: same-range-threads
 * Description: threads make, use and drop userptrs of one range while it is mapped anew
 *
 * SUBTEST: same-userptr-threads
 * Description: one userptr in the VMs of several threads, each of which has to populate it
 */

IGT_TEST_DESCRIPTION("Compaction, the OOM reaper, untimely deaths, and races of threads.");

static int fd = -1;
static size_t page;
static const uint64_t va = VUP_VA(0);

#define RELEASE	0x60606060

/*
 * A helper process that makes the kernel move pages about, over and over: all
 * of the machine's by compaction, or one process's from node to node.
 */
enum mover {
	COMPACTION,
	MIGRATION,
};

struct move {
	pid_t pid;
	/* Shared with the helper: whose pages MIGRATION moves */
	atomic_int *whose;
	long before;
};

static void compact(void)
{
	/* Free pages among used ones: something to compact */
	size_t size = 8 << 20;
	char *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ptr == MAP_FAILED)
		return;
	for (size_t at = 0; at < size; at += page)
		WRITE_ONCE(ptr[at], 1);
	for (size_t at = 0; at < size; at += 2 * page)
		madvise(ptr + at, page, MADV_DONTNEED);
	vup_file_write("/proc/sys/vm/compact_memory", "1");
	munmap(ptr, size);
}

static int migrate(pid_t pid, int node)
{
	unsigned long from = 1ul << !node, to = 1ul << node;

	return syscall(SYS_migrate_pages, pid, 8 * sizeof(from), &from, &to);
}

static void require_mover(enum mover mover)
{
	uint64_t start = vup_now_ns();

	if (mover == MIGRATION) {
		igt_require_f(migrate(getpid(), 1) >= 0 && migrate(getpid(), 0) >= 0,
			      "no two nodes to move pages between\n");
		return;
	}
	igt_require_f(vup_file_write("/proc/sys/vm/compact_memory", "1"),
		      "kernel without compaction, or no permission\n");
	/* Nobody gets anywhere beside it then, and it would be no storm. */
	igt_require_f(vup_now_ns() - start < NSEC_PER_SEC,
		      "compaction takes long on this machine\n");
}

static struct move move_start(enum mover mover)
{
	struct move m = { };

	require_mover(mover);
	m.before = vup_file_number("/proc/vmstat", "pgmigrate_success");
	m.whose = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	igt_assert(m.whose != MAP_FAILED);
	atomic_store(m.whose, getpid());
	m.pid = vup_fork();
	if (!m.pid)
		for (int node = 0; ; node = !node) {
			if (mover == COMPACTION)
				compact();
			else
				migrate(atomic_load(m.whose), node);
		}
	return m;
}

/* How many pages were moved meanwhile? */
static long move_stop(struct move *m)
{
	int status;

	igt_assert_eq(kill(m->pid, SIGKILL), 0);
	igt_assert_eq(waitpid(m->pid, &status, 0), m->pid);
	vup_unmap(m->whose, page);
	return vup_file_number("/proc/vmstat", "pgmigrate_success") - m->before;
}

static void rebind(enum mover mover)
{
	enum { CHUNKS = 16 };
	struct move move = move_start(mover);
	size_t size = 1 << 20;
	uint32_t rounds = 0;
	char *ptr[CHUNKS];
	struct vup w;
	long moved;

	vup_init(&w, fd);
	for (int i = 0; i < CHUNKS; i++) {
		ptr[i] = vup_alloc(size);
		vup_paint(ptr[i], size, i);
		vup_bind_how(&w, i & 1, ptr[i], va + i * size, size, false);
	}
	igt_until_timeout(4) {
		int i = rounds++ % CHUNKS;

		vup_unbind(&w, va + i * size, size);
		vup_bind_how(&w, i & 1, ptr[i], va + i * size, size, false);
		/* Every other time somebody else's memory is gone as well. */
		if (rounds & 1)
			vup_ok(&w, op_xor(va, CHUNKS * size, ~0));
		else
			vup_ok(&w, op_xor(va + i * size, size, 0));
	}
	moved = move_stop(&move);
	if ((rounds + 1) / 2 & 1)
		vup_ok(&w, op_xor(va, CHUNKS * size, ~0));
	igt_info("%u rounds, %ld pages moved\n", rounds, moved);
	for (int i = 0; i < CHUNKS; i++) {
		vup_check_paint(ptr[i], size, i);
		vup_unmap(ptr[i], size);
	}
	vup_fini(&w);
	igt_require_f(moved, "nothing was found to move\n");
}

static void exit_meanwhile(enum mover mover)
{
	struct move move = move_start(mover);
	int file = drm_open_driver(DRIVER_VGEM);
	uint32_t rounds = 0;
	long moved;

	igt_until_timeout(4) {
		int life = vup_life_make(), status;
		pid_t pid = vup_fork();

		if (!pid) {
			size_t size = 1 << 20;
			char *ptr;
			struct vup w;

			atomic_store(move.whose, getpid());
			vup_life_tie(life);
			ptr = vup_alloc(size);
			vup_init(&w, file);
			vup_bind_how(&w, rounds & 1, ptr, va, size, false);
			vup_ok(&w, op_fill(va, size, 1));
			/* On a file that the parent keeps: nothing is closed here. */
			if (rounds & 2)
				vup_start(&w, op_spin(va, RELEASE, 20 * NSEC_PER_MSEC),
					  op_fill(va, size, 2));
			_exit(0);
		}
		igt_assert_eq(waitpid(pid, &status, 0), pid);
		igt_assert_eq(status, 0);
		vup_life_wait(life);
		rounds++;
	}
	moved = move_stop(&move);
	drm_close_driver(file);
	igt_info("%u processes, %ld pages moved\n", rounds, moved);
	igt_assert_lt(0, rounds);
}

/*
 * The OOM reaper takes the memory of a process that was killed but is held up.
 * Here a tracer holds it up, and process_mrelease() is the reaper.
 */
struct corpse {
	pid_t pid;
	int pidfd;
	int life;
	size_t size;
	uint32_t syncobj;
};

static long resident(const struct corpse *c)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", c->pid);
	/* In KiB */
	return vup_file_number(path, "RssAnon") * 1024;
}

static int reap(const struct corpse *c)
{
	return syscall(SYS_process_mrelease, c->pidfd, 0) ? -errno : 0;
}

static void corpse_make(struct corpse *c, uint64_t spin_ns)
{
	int report[2], status;

	c->life = vup_life_make();
	c->size = 8 << 20;
	igt_assert_eq(pipe(report), 0);
	c->pid = vup_fork();
	if (!c->pid) {
		uint32_t syncobj = 0;
		struct vup w;
		char *ptr;

		vup_life_tie(c->life);
		ptr = vup_alloc(c->size);
		vup_init(&w, fd);
		vup_bind_mem(&w, ptr, va, c->size, 0);
		vup_ok(&w, op_fill(va, c->size, 1));
		if (spin_ns)
			syncobj = vup_start(&w, op_spin(va, RELEASE, spin_ns),
					    op_fill(va, c->size, 2));
		if (write(report[1], &syncobj, sizeof(syncobj)) != sizeof(syncobj))
			_exit(1);
		for (;;)
			pause();
	}
	close(report[1]);
	igt_assert_eq(read(report[0], &c->syncobj, sizeof(c->syncobj)), sizeof(c->syncobj));
	close(report[0]);

	c->pidfd = syscall(SYS_pidfd_open, c->pid, 0);
	igt_require_f(c->pidfd >= 0, "kernel without pidfd_open()\n");
	igt_require_f(ptrace(PTRACE_SEIZE, c->pid, NULL, PTRACE_O_TRACEEXIT) == 0,
		      "no permission to trace a child\n");
	igt_assert_lt_u64(c->size - 1, resident(c));
	igt_assert_eq(kill(c->pid, SIGKILL), 0);
	/* Stops right before it would let go of its memory. */
	igt_assert_eq(waitpid(c->pid, &status, 0), c->pid);
	igt_assert_eq(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
}

static void corpse_bury(struct corpse *c)
{
	int status;

	igt_assert_eq(ptrace(PTRACE_CONT, c->pid, NULL, 0), 0);
	igt_assert_eq(waitpid(c->pid, &status, 0), c->pid);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	vup_life_wait(c->life);
	close(c->pidfd);
}

static void require_reaper(void)
{
	/* No process is that: ENOSYS, or EBADF. */
	igt_require_f(syscall(SYS_process_mrelease, -1, 0) == -1 && errno != ENOSYS,
		      "kernel without process_mrelease()\n");
}

static void reaper_idle(void)
{
	struct corpse c;

	require_reaper();
	corpse_make(&c, 0);
	igt_assert_eq(reap(&c), 0);
	igt_assert_lt_u64(resident(&c), c.size / 4);
	corpse_bury(&c);
}

static void reaper_busy(void)
{
	struct corpse c;

	require_reaper();
	corpse_make(&c, 3 * NSEC_PER_SEC);
	/* It may not sleep, so it cannot have the memory, and must say so. */
	igt_assert_eq(reap(&c), -EAGAIN);
	igt_assert_f(vup_status(fd, c.syncobj) == 1, "the reaper waited for the job\n");
	igt_assert_lt_u64(c.size - 1, resident(&c));
	/* Nothing was changed by that: the job ends well, and then it is as idle as any. */
	igt_assert_eq(vup_finish(fd, c.syncobj), 0);
	igt_assert_eq(reap(&c), 0);
	igt_assert_lt_u64(resident(&c), c.size / 4);
	corpse_bury(&c);
}

static void memcg_oom(bool busy)
{
	int life = vup_life_make(), status;
	struct vup_gate full;
	uint64_t before;
	pid_t pid;

	vup_cgroup_make("33554432", "0");
	vup_ignore_oom_kill();

	vup_gate_init(&full);
	pid = vup_fork();
	if (!pid) {
		size_t size = 16 << 20, more = 64 << 20;
		char *ptr;
		struct vup w;

		if (!vup_file_write(VUP_CGROUP "/cgroup.procs", "0"))
			_exit(1);
		vup_life_tie(life);
		ptr = vup_alloc(size);
		vup_init(&w, fd);
		vup_bind_mem(&w, ptr, va, size, 0);
		vup_ok(&w, op_fill(va, size, 1));
		if (busy)
			vup_start(&w, op_spin(va, RELEASE, 2 * NSEC_PER_SEC),
				  op_fill(va, size, 2));
		vup_gate_open(&full);
		ptr = vup_alloc(more);
		for (size_t at = 0; at < more; at += page)
			WRITE_ONCE(ptr[at], 1);
		_exit(2);
	}
	vup_gate_pass(&full);
	vup_gate_fini(&full);
	before = vup_now_ns();
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	vup_life_wait(life);
	igt_assert_f(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x\n", status);
	igt_assert_lt(0, vup_file_number(VUP_CGROUP "/memory.events", "oom_kill"));
	/* Its job's time, and be the machine ever so slow */
	igt_assert_lt_u64(vup_now_ns() - before, 15 * NSEC_PER_SEC);
	igt_assert_eq(rmdir(VUP_CGROUP), 0);
}

static void killed_in_populate(void)
{
	size_t size = 2 * VUP_WINDOW;
	atomic_uint *rounds = mmap(NULL, page, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	igt_assert(rounds != MAP_FAILED);
	for (uint32_t i = 0; i < 12; i++) {
		int life = vup_life_make(), status;
		uint64_t when;
		pid_t pid;

		atomic_store(rounds, 0);
		pid = vup_fork();
		if (!pid) {
			const struct drm_vgem_op op = op_spin(va, 0, 1);
			struct vup w;
			char *ptr;

			vup_life_tie(life);
			ptr = vup_alloc(size);
			vup_init(&w, fd);
			/* Pages of zeroes: looking for them takes time, not memory. */
			vup_bind_how(&w, i & 1, ptr, va, size, true);
			for (;;) {
				atomic_fetch_add(rounds, 1);
				__vup_run(&w, &op, 1);
				madvise(ptr, size, MADV_DONTNEED);
			}
		}
		/* In the first one or a later one, and each time a little further in it */
		igt_until_timeout(VUP_PATIENCE_S) {
			if (atomic_load(rounds) > i % 3)
				break;
			sched_yield();
		}
		for (when = vup_now_ns() + i * 5 * NSEC_PER_MSEC; vup_now_ns() < when;)
			sched_yield();
		igt_assert_eq(kill(pid, SIGKILL), 0);
		igt_assert_eq(waitpid(pid, &status, 0), pid);
		igt_assert_f(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
			     "status %#x\n", status);
		vup_life_wait(life);
	}
	vup_unmap(rounds, page);
}

#define THREADS	4

struct worker {
	pthread_t thread;
	struct vup v;
	char *ptr;
	size_t size;
	uint64_t va;
	const bool *stop;
	uint32_t rounds;
	uint32_t done;
	int err;
};

/* May it be refused so, while others map and unmap the memory? */
static bool in_order(int err)
{
	return !err || err == -EAGAIN || err == -EFAULT || err == -EPERM;
}

static void *make_and_drop(void *data)
{
	struct worker *w = data;

	while (!READ_ONCE(*w->stop) && !w->err) {
		const struct drm_vgem_op op = op_fill(va, w->size, 1);
		struct drm_vgem_vm_bind bind = {
			.vm_id = w->v.vm, .addr = va, .range = w->size,
		};
		struct drm_gem_close arg = { };
		int err;

		if (w->rounds++ & 1) {
			bind.op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR;
			bind.offset = (uintptr_t)w->ptr;
		} else {
			w->err = __vup_userptr_create(w->v.fd, (uintptr_t)w->ptr, w->size, 0,
						      &arg.handle);
			bind.handle = arg.handle;
		}
		w->err = w->err ?: __vup_bind(w->v.fd, &bind);
		if (w->err)
			break;
		err = __vup_run(&w->v, &op, 1);
		if (!in_order(err))
			w->err = err;
		w->done += !err;
		if (arg.handle)
			w->err = w->err ?: __vup_ioctl(w->v.fd, DRM_IOCTL_GEM_CLOSE, &arg);
	}
	return NULL;
}

static void *submit_only(void *data)
{
	struct worker *w = data;

	while (!READ_ONCE(*w->stop) && !w->err) {
		const struct drm_vgem_op op = op_fill(w->va, w->size / THREADS, ++w->rounds);
		int err = __vup_run(&w->v, &op, 1);

		if (!in_order(err))
			w->err = err;
		w->done += !err;
	}
	return NULL;
}

/* In a child, so that whatever a thread finds wrong ends that, not the test */
static void threads(void *(*work)(void *data), bool one_userptr)
{
	igt_fork(child, 1) {
		size_t size = 16 * page;
		char *ptr = vup_alloc(size);
		struct worker w[THREADS];
		uint32_t storms = 0, done = 0;
		bool stop = false;
		uint32_t handle;

		handle = vup_userptr_create(fd, ptr, size, 0);
		for (int i = 0; i < THREADS; i++) {
			w[i] = (struct worker) {
				.ptr = ptr, .size = size, .stop = &stop,
				.va = va + i * size / THREADS,
			};
			/* A VM each: submissions to one VM would go one by one. */
			vup_init(&w[i].v, fd);
			if (one_userptr)
				vup_bind_bo(&w[i].v, handle, va, size, 0, 0);
			igt_assert_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
		}
		igt_until_timeout(3) {
			switch (storms++ % 4) {
			case 0:
				vup_unmap(ptr, size);
				sched_yield();
				/* fallthrough */
			case 1:
				vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
				break;
			case 2:
				mprotect(ptr + size / 2, page, PROT_READ);
				sched_yield();
				mprotect(ptr + size / 2, page, PROT_READ | PROT_WRITE);
				break;
			default:
				madvise(ptr, size, MADV_DONTNEED);
			}
			sched_yield();
		}
		/* A moment of peace, in which everybody gets something done */
		vup_map_fixed(ptr, size, PROT_READ | PROT_WRITE);
		WRITE_ONCE(stop, true);
		for (int i = 0; i < THREADS; i++) {
			igt_assert_eq(pthread_join(w[i].thread, NULL), 0);
			igt_assert_f(!w[i].err, "thread %d: %d\n", i, w[i].err);
			done += w[i].done;
		}
		igt_info("%u jobs, %u changes\n", done, storms);
		igt_assert_lt(0, done);
		for (int i = 0; i < THREADS; i++) {
			if (!one_userptr)
				vup_bind_mem(&w[i].v, ptr, va, size, 0);
			vup_ok(&w[i].v, op_fill(w[i].va, size / THREADS, 7));
		}
		vup_check_value(ptr, size, 7);
	}
	igt_waitchildren();
}

int igt_main()
{
	static const char * const mover_name[] = {
		[COMPACTION] = "compaction",
		[MIGRATION] = "migration",
	};

	igt_fixture() {
		page = vup_page();
		fd = vup_open();
	}

	for (int i = 0; i < (int)ARRAY_SIZE(mover_name); i++) {
		igt_describe("Broken if a lock is held that migration needs, or a moved page is lost "
			     "(CVE-2025-37868).");
		igt_subtest_f("rebind-under-%s", mover_name[i])
			rebind(i);

		igt_describe("Broken if the last reference to an mm is dropped where its notifiers run "
			     "(CVE-2025-38520).");
		igt_subtest_f("exit-under-%s", mover_name[i])
			exit_meanwhile(i);
	}

	igt_describe("Broken if the OOM reaper is sent away without need (93065ac753e4).");
	igt_subtest("reaper-idle")
		reaper_idle();

	igt_describe("Broken if the OOM reaper is made to wait, or gets what a job uses "
		     "(93065ac753e4).");
	igt_subtest("reaper-busy")
		reaper_busy();

	igt_describe("Broken if an OOM victim does not die (93065ac753e4, fbsd:c5debcee2c).");
	igt_subtest("memcg-oom-idle")
		memcg_oom(false);

	igt_describe("Broken if an OOM victim with a running job does not die "
		     "(93065ac753e4, fbsd:c5debcee2c).");
	igt_subtest("memcg-oom-busy")
		memcg_oom(true);

	igt_describe("Broken if the end of an mm meets a populate that holds it or waits for it "
		     "(CVE-2022-48675).");
	igt_subtest("killed-in-populate")
		killed_in_populate();

	igt_describe("Broken if notifiers of one range are mixed up or removed twice "
		     "(github amd/xdna-driver#595).");
	igt_subtest("same-range-threads")
		threads(make_and_drop, false);

	igt_describe("Broken if submissions that share a userptr disturb each other's pages "
		     "(fbsd:39f2dcfd45).");
	igt_subtest("same-userptr-threads")
		threads(submit_only, true);

	igt_fixture()
		drm_close_driver(fd);
}
