// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr lifetime
 * Description: Objects, VMs, queues, files and processes end in any order
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, lifetime
 * Test category: functionality test
 *
 * SUBTEST: close-order
 * Description: handle, VM, queue and memory go in every order
 *
 * SUBTEST: close-order-busy
 * Description: the same while a job spins
 *
 * SUBTEST: handle-closed-while-bound
 * Description: a binding keeps its object; the memory is followed as before
 *
 * SUBTEST: vm-destroyed-with-queue
 * Description: a queue keeps its VM working; the id is gone at once
 *
 * SUBTEST: queue-destroyed-busy
 * Description: the running job ends with an error, waiting ones are dropped
 *
 * SUBTEST: file-closed-busy
 * Description: closing the file ends its jobs; a fence taken out before signals
 *
 * SUBTEST: file-closed-then-munmap
 * Description: nothing of a closed file holds up the mm
 *
 * SUBTEST: munmap-then-file-closed
 * Description: closing a file whose memory is gone already
 *
 * SUBTEST: two-files
 * Description: one memory on two files; either may close first
 *
 * SUBTEST: exit-busy
 * Description: a process that ends with a spinning job is gone in bounded time
 *
 * SUBTEST: killed-busy
 * Description: a process killed with a spinning job leaves a file that others keep
 *
 * SUBTEST: owner-gone
 * Description: what a dead process left on a shared file is of no use to others
 *
 * SUBTEST: ids-not-reused-busy
 * Description: ids of dropped VMs and queues are unknown, not someone else's
 *
 * SUBTEST: unused-is-cheap
 * Description: a large range that no job ever reached is dropped in no time
 *
 * SUBTEST: create-destroy-loop
 * Description: everything made and dropped again, for some time, from several processes
 *
 * SUBTEST: invalidate-vs-close
 * Description: a thread invalidates what another makes and drops
 *
 * SUBTEST: nothing-to-unregister
 * Description: objects close that no notifier was ever made for, or that was never used
 *
 * SUBTEST: mm-released-%s
 * Description: a process ends after %arg[1], and its mm goes, whoever keeps the file
 * arg[1].values: create-refused, probe-refused, probe, exec-refused, exec, exec-interrupted, bind-refused
 *
 * SUBTEST: no-free-fds
 * Description: with no file descriptor left jobs go on, and what needs one fails cleanly
 */

IGT_TEST_DESCRIPTION("Objects, VMs, queues, files and processes end in any order.");

static int fd = -1;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

#define RELEASE	0x60606060

/* A VM of its own, so that everything in it can end. */
struct world {
	struct vup v;
	uint32_t handle;
	uint32_t *ptr;
	uint32_t *word;
};

static void world_make(struct world *w, int file)
{
	memset(w, 0, sizeof(*w));
	vup_init(&w->v, file);
	w->ptr = vup_alloc(4 * page);
	w->word = vup_alloc_word();
	w->handle = vup_userptr_create(file, w->ptr, 4 * page, 0);
	vup_bind_bo(&w->v, w->handle, va, 4 * page, 0, 0);
	vup_bind_mem(&w->v, w->word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_ok(&w->v, op_fill(va, 4 * page, 1));
}

static uint32_t world_spin(struct world *w)
{
	return vup_start(&w->v, op_spin(word_va, RELEASE, 2 * NSEC_PER_SEC),
			 op_fill(va, 4 * page, 2));
}

/* The device as a whole must be well after whatever happened. */
static void still_well(void)
{
	uint32_t *ptr = vup_alloc(page);
	int file = drm_open_driver(DRIVER_VGEM);
	struct vup w;

	vup_init(&w, file);
	vup_bind_mem(&w, ptr, va, page, 0);
	vup_ok(&w, op_fill(va, page, 0x600d));
	vup_check_value(ptr, page, 0x600d);
	vup_fini(&w);
	drm_close_driver(file);
	vup_unmap(ptr, page);
}

static void end(struct world *w, char what)
{
	switch (what) {
	case 'h':
		gem_close(w->v.fd, w->handle);
		break;
	case 'v':
		igt_assert_eq(__vup_vm_destroy(w->v.fd, w->v.vm), 0);
		break;
	case 'q':
		igt_assert_eq(__vup_queue_destroy(w->v.fd, w->v.queue), 0);
		break;
	default:
		vup_unmap(w->ptr, 4 * page);
	}
}

static void close_order(const char *order, bool busy)
{
	uint32_t syncobj = 0;
	bool stopped = false;
	struct world w;

	world_make(&w, fd);
	if (busy)
		syncobj = world_spin(&w);
	for (const char *what = order; *what; what++) {
		/* A queue's end stops the job; munmap waits for its own end. */
		stopped |= *what == 'q';
		if (*what == 'm' && !stopped)
			WRITE_ONCE(*w.word, RELEASE);
		end(&w, *what);
	}
	if (busy) {
		int status = vup_finish(fd, syncobj);

		if (strchr(order, 'q') < strchr(order, 'm'))
			igt_assert_lt(status, 0);
		else
			igt_assert_eq(status, 0);
	}
	vup_unmap(w.word, page);
	still_well();
}

/* Calls @run for each order of the four letters; names the dynamic subtest. */
static void each_order(bool busy)
{
	static const char letter[] = "hvqm";
	char order[5] = "";

	for (int n = 0; n < 256; n++) {
		bool twice = false;

		for (int i = 0; i < 4; i++) {
			order[i] = letter[(n >> (2 * i)) & 3];
			for (int j = 0; j < i; j++)
				twice |= order[i] == order[j];
		}
		if (twice)
			continue;
		igt_dynamic_f("%s", order)
			close_order(order, busy);
	}
}

static void handle_closed_while_bound(void)
{
	struct world w;

	world_make(&w, fd);
	gem_close(fd, w.handle);
	vup_ok(&w.v, op_fill(va, 4 * page, 3));
	vup_check_value(w.ptr, 4 * page, 3);
	vup_map_fixed(w.ptr, 4 * page, PROT_READ | PROT_WRITE);
	vup_ok(&w.v, op_xor(va, 4 * page, 4));
	vup_check_value(w.ptr, 4 * page, 4);
	vup_unmap(w.ptr, 4 * page);
	vup_refuse(&w.v, -EFAULT, va, op_xor(va, 4 * page, 4));
	vup_fini(&w.v);
	vup_unmap(w.word, page);
}

static void vm_destroyed_with_queue(void)
{
	struct drm_vgem_vm_query query = { };
	struct world w;
	uint32_t queue;

	world_make(&w, fd);
	query.vm_id = w.v.vm;
	igt_assert_eq(__vup_vm_destroy(fd, w.v.vm), 0);
	igt_assert_eq(__vup_vm_destroy(fd, w.v.vm), -ENOENT);
	igt_assert_eq(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &query), -ENOENT);
	igt_assert_eq(__vup_queue_create(fd, w.v.vm, &queue), -ENOENT);

	vup_ok(&w.v, op_fill(va, 4 * page, 3));
	vup_check_value(w.ptr, 4 * page, 3);
	vup_map_fixed(w.ptr, 4 * page, PROT_READ | PROT_WRITE);
	vup_ok(&w.v, op_xor(va, 4 * page, 4));
	vup_check_value(w.ptr, 4 * page, 4);

	igt_assert_eq(__vup_queue_destroy(fd, w.v.queue), 0);
	igt_assert_eq(__vup_queue_destroy(fd, w.v.queue), -ENOENT);
	gem_close(fd, w.handle);
	vup_unmap(w.ptr, 4 * page);
	vup_unmap(w.word, page);
}

static void queue_destroyed_busy(void)
{
	uint32_t running, waiting[3];
	uint64_t before;
	struct world w;

	world_make(&w, fd);
	running = vup_start(&w.v, op_spin(word_va, RELEASE, 9 * NSEC_PER_SEC),
			    op_fill(va, 4 * page, 2));
	for (int i = 0; i < 3; i++)
		waiting[i] = vup_start(&w.v, op_fill(va, 4 * page, 5));
	before = vup_now_ns();
	igt_assert_eq(__vup_queue_destroy(fd, w.v.queue), 0);
	igt_assert_lt(vup_finish(fd, running), 0);
	for (int i = 0; i < 3; i++)
		igt_assert_lt(vup_finish(fd, waiting[i]), 0);
	/* Stopped, not waited out */
	igt_assert_lt_u64(vup_now_ns() - before, 7 * NSEC_PER_SEC);
	vup_check_value(w.ptr, 4 * page, 1);

	/* The VM is as good as before, with a new queue. */
	igt_assert_eq(__vup_queue_create(fd, w.v.vm, &w.v.queue), 0);
	vup_ok(&w.v, op_fill(va, 4 * page, 6));
	vup_check_value(w.ptr, 4 * page, 6);
	vup_fini(&w.v);
	gem_close(fd, w.handle);
	vup_unmap(w.ptr, 4 * page);
	vup_unmap(w.word, page);
}

static void file_closed_busy(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	uint32_t syncobj, handle;
	struct world w;
	int object;

	world_make(&w, file);
	syncobj = world_spin(&w);
	/* A fence of the dying file, kept alive by another */
	object = syncobj_handle_to_fd(file, syncobj, 0);
	igt_assert_eq(drmSyncobjFDToHandle(fd, object, &handle), 0);
	close(object);
	drm_close_driver(file);

	igt_assert_lt(vup_finish(fd, handle), 0);
	/* The rest of the job is not done. */
	vup_check_value(w.ptr, 4 * page, 1);
	vup_unmap(w.ptr, 4 * page);
	vup_unmap(w.word, page);
	still_well();
}

static void file_closed_then_munmap(void)
{
	for (int i = 0; i < 20; i++) {
		int file = drm_open_driver(DRIVER_VGEM);
		struct world w;

		world_make(&w, file);
		drm_close_driver(file);
		vup_unmap(w.ptr, 4 * page);
		vup_unmap(w.word, page);
	}
	still_well();
}

static void munmap_then_file_closed(void)
{
	for (int i = 0; i < 20; i++) {
		int file = drm_open_driver(DRIVER_VGEM);
		struct world w;

		world_make(&w, file);
		vup_unmap(w.ptr, 4 * page);
		vup_unmap(w.word, page);
		if (i & 1)
			vup_map_fixed(w.ptr, 4 * page, PROT_READ | PROT_WRITE);
		drm_close_driver(file);
		if (i & 1)
			vup_unmap(w.ptr, 4 * page);
	}
	still_well();
}

static void two_files(bool first)
{
	int file[2] = { drm_open_driver(DRIVER_VGEM), drm_open_driver(DRIVER_VGEM) };
	char *ptr = vup_alloc(page);
	struct vup w[2];

	for (int i = 0; i < 2; i++) {
		vup_init(&w[i], file[i]);
		vup_bind_how(&w[i], VUP_BO, ptr, va, page, false);
		vup_ok(&w[i], op_fill(va, page, i));
	}
	drm_close_driver(file[first]);
	vup_ok(&w[!first], op_fill(va, page, 8));
	vup_check_value(ptr, page, 8);
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&w[!first], op_xor(va, page, 9));
	vup_check_value(ptr, page, 9);
	drm_close_driver(file[!first]);
	vup_unmap(ptr, page);
}

/*
 * A child without assertions, as it does not live to report them. It tells its
 * ids, with a job spinning for two seconds, then ends or waits to be killed.
 */
struct left_behind {
	uint32_t vm, queue, handle, syncobj;
};

static pid_t victim(int file, bool killed, struct left_behind *left)
{
	struct vup_gate report;
	pid_t pid;

	vup_gate_init(&report);
	pid = fork();
	igt_assert_lte(0, pid);
	if (!pid) {
		struct left_behind l = {};
		struct drm_vgem_op ops[2] = {
			op_spin(va, RELEASE, 2 * NSEC_PER_SEC), op_fill(va, 64, 2),
		};
		uint32_t *ptr = mmap(NULL, page, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct drm_vgem_vm_bind bind = {
			.op = DRM_VGEM_VM_BIND_OP_MAP, .addr = va, .range = page,
		};
		struct vup w = { .fd = file };

		*ptr = 0;
		if (__vup_vm_create(file, 0, &w.vm) || __vup_queue_create(file, w.vm, &w.queue) ||
		    __vup_userptr_create(file, (uintptr_t)ptr, page, 0, &l.handle))
			_exit(1);
		bind.vm_id = w.vm;
		bind.handle = l.handle;
		if (__vup_bind(file, &bind) || __vup_submit(&w, ops, 2, &l.syncobj, NULL))
			_exit(2);
		l.vm = w.vm;
		l.queue = w.queue;
		if (write(report.fd[1], &l, sizeof(l)) != sizeof(l))
			_exit(3);
		while (killed)
			pause();
		_exit(0);
	}
	close(report.fd[1]);
	igt_assert_eq(read(report.fd[0], left, sizeof(*left)), sizeof(*left));
	close(report.fd[0]);
	return pid;
}

static void reap(pid_t pid, bool killed)
{
	uint64_t before = vup_now_ns();
	int status;

	if (killed)
		igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	if (killed)
		igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		igt_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Two seconds of spin, and be the machine ever so slow. */
	igt_assert_lt_u64(vup_now_ns() - before, 9 * NSEC_PER_SEC);
}

static void exit_busy(bool killed)
{
	int file = drm_open_driver(DRIVER_VGEM);
	struct left_behind left;

	reap(victim(file, killed, &left), killed);
	/* The job has ended, one way or another. */
	vup_finish(file, left.syncobj);
	drm_close_driver(file);
	still_well();
}

static void owner_gone(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	struct drm_vgem_op op = op_fill(va, 64, 1);
	struct drm_vgem_vm_bind bind = {
		.op = DRM_VGEM_VM_BIND_OP_MAP, .addr = va, .range = page,
	};
	struct left_behind left;
	uint32_t id;
	struct vup w;

	reap(victim(file, true, &left), true);

	w = (struct vup) { .fd = file, .vm = left.vm, .queue = left.queue };
	igt_assert_eq(__vup_submit(&w, &op, 1, &id, NULL), -EPERM);
	igt_assert_eq(__vup_queue_create(file, left.vm, &id), -EPERM);
	vup_init(&w, file);
	bind.vm_id = w.vm;
	bind.handle = left.handle;
	igt_assert_eq(__vup_bind(file, &bind), -EPERM);
	/* What is left of it can be thrown away. */
	gem_close(file, left.handle);
	vup_fini(&w);
	drm_close_driver(file);
	still_well();
}

static void ids_not_reused_busy(void)
{
	struct world w[2];
	uint32_t syncobj;

	world_make(&w[0], fd);
	syncobj = world_spin(&w[0]);
	world_make(&w[1], fd);
	igt_assert_neq_u32(w[0].v.vm, w[1].v.vm);
	igt_assert_neq_u32(w[0].v.queue, w[1].v.queue);
	igt_assert_neq_u32(w[0].handle, w[1].handle);
	vup_fini(&w[1].v);
	/* The other one's job does not care. */
	igt_assert_eq(vup_status(fd, syncobj), 1);
	WRITE_ONCE(*w[0].word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	vup_check_value(w[0].ptr, 4 * page, 2);
	vup_fini(&w[0].v);
	for (int i = 0; i < 2; i++) {
		gem_close(fd, w[i].handle);
		vup_unmap(w[i].ptr, 4 * page);
		vup_unmap(w[i].word, page);
	}
}

static void unused_is_cheap(enum vup_how how)
{
	uint64_t size = 4ull << 30, before, took, shortest = UINT64_MAX;
	/* Nothing but address space */
	char *ptr = vup_reserve(size, page);

	/* The machine may be busy, but hardly each time. */
	for (int i = 0; i < 5; i++) {
		struct vup w;

		vup_map_fixed(ptr, size, PROT_NONE);
		vup_init(&w, fd);
		before = vup_now_ns();
		vup_bind_how(&w, how, ptr, va, size, false);
		vup_unmap(ptr, size);
		vup_fini(&w);
		took = vup_now_ns() - before;
		if (took < shortest)
			shortest = took;
	}
	/* A million pages, but none of them is there. */
	igt_assert_lt_u64(shortest, 2 * NSEC_PER_SEC);
}

static void create_destroy_loop(void)
{
	igt_fork(child, 3) {
		int file = drm_open_driver(DRIVER_VGEM);

		igt_until_timeout(3) {
			struct world w;

			world_make(&w, file);
			vup_check_value(w.ptr, 4 * page, 1);
			vup_fini(&w.v);
			gem_close(file, w.handle);
			vup_unmap(w.ptr, 4 * page);
			vup_unmap(w.word, page);
		}
	}
	igt_waitchildren();
	still_well();
}

struct storm {
	char *ptr;
	size_t size;
	bool stop;
};

static void protect_again_and_again(void *data)
{
	struct storm *s = data;

	while (!READ_ONCE(s->stop)) {
		mprotect(s->ptr, s->size, PROT_READ);
		mprotect(s->ptr, s->size, PROT_READ | PROT_WRITE);
	}
}

static void invalidate_vs_close(void)
{
	struct storm s = { .ptr = vup_alloc(16 * page), .size = 16 * page };
	struct drm_vgem_op op = op_fill(va, 16 * page, 1);
	struct vup_caller c;
	uint32_t n = 0;

	vup_caller_start(&c, protect_again_and_again, &s);
	igt_until_timeout(3) {
		struct vup w;
		int err;

		vup_init(&w, fd);
		vup_bind_how(&w, n & 1 ? VUP_BO : VUP_RANGE, s.ptr, va, s.size, false);
		err = __vup_run(&w, &op, 1);
		igt_assert_f(err == 0 || err == -EAGAIN || err == -EPERM, "%d\n", err);
		vup_fini(&w);
		n++;
	}
	WRITE_ONCE(s.stop, true);
	vup_caller_join(&c);
	igt_info("%u rounds\n", n);
	vup_unmap(s.ptr, s.size);
}

static void close_dumb(void)
{
	uint32_t handle = vup_dumb_create(fd, 4096);

	gem_close(fd, handle);
}

static void close_imported(void)
{
	int other = drm_open_driver(DRIVER_VGEM), dmabuf;
	uint32_t handle = vup_dumb_create(other, 4096), import;

	igt_assert_eq(drmPrimeHandleToFD(other, handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf), 0);
	igt_assert_eq(drmPrimeFDToHandle(fd, dmabuf, &import), 0);
	gem_close(other, handle);
	close(dmabuf);
	drm_close_driver(other);
	gem_close(fd, import);
}

static void close_never_used(void)
{
	uint32_t handle[3];
	char *ptr = vup_alloc(page);
	struct vup w;

	vup_init(&w, fd);
	handle[0] = vup_userptr_create(fd, ptr, page, 0);
	handle[1] = vup_userptr_create(fd, ptr, page, DRM_VGEM_USERPTR_PROBE);
	handle[2] = vup_userptr_create(fd, ptr, page, 0);
	vup_bind_bo(&w, handle[2], va, page, 0, 0);
	vup_fini(&w);
	for (int i = 0; i < 3; i++)
		gem_close(fd, handle[i]);
	vup_unmap(ptr, page);
}

static void nothing_to_unregister(void (*close_one)(void))
{
	char *ptr = vup_alloc(page);
	struct vup w;

	/* Somebody else's notifier, which must be there afterwards */
	vup_init(&w, fd);
	vup_bind_mem(&w, ptr, va, page, 0);
	for (int i = 0; i < 50; i++)
		close_one();
	vup_ok(&w, op_fill(va, page, 1));
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&w, op_xor(va, page, 2));
	vup_check_value(ptr, page, 2);
	vup_fini(&w);
	vup_unmap(ptr, page);
}

/*
 * What a process does last. A reference to its address space that one of these
 * forgot would keep the memory for as long as the file is open.
 */
static void last_create_refused(struct vup *w, char *ptr)
{
	uint32_t handle;

	igt_assert_eq(__vup_userptr_create(w->fd, (uintptr_t)ptr, -page, 0, &handle), -EINVAL);
	igt_assert_eq(__vup_userptr_create(w->fd, (uintptr_t)ptr, page, 1u << 31, &handle),
		      -EINVAL);
}

static void last_probe_refused(struct vup *w, char *ptr)
{
	uint32_t handle;

	vup_unmap(ptr + page, page);
	igt_assert_eq(__vup_userptr_create(w->fd, (uintptr_t)ptr, 2 * page,
					   DRM_VGEM_USERPTR_PROBE, &handle), -EFAULT);
}

static void last_probe(struct vup *w, char *ptr)
{
	vup_userptr_create(w->fd, ptr, 2 * page, DRM_VGEM_USERPTR_PROBE);
}

static void last_exec_refused(struct vup *w, char *ptr)
{
	vup_bind_mem(w, ptr, va, 2 * page, 0);
	vup_unmap(ptr + page, page);
	vup_refuse(w, -EFAULT, va + page, op_fill(va, 2 * page, 1));
	vup_map_fixed(ptr + page, page, PROT_READ);
	vup_refuse(w, -EPERM, va + page, op_fill(va, 2 * page, 1));
}

static void last_exec(struct vup *w, char *ptr)
{
	vup_bind_mem(w, ptr, va, 2 * page, 0);
	vup_ok(w, op_fill(va, 2 * page, 1));
}

static void nothing(int sig)
{
	(void)sig;
}

static void last_exec_interrupted(struct vup *w, char *ptr)
{
	struct drm_vgem_op op = op_fill(va, 256 * page, 1);
	struct drm_vgem_exec exec = {
		.queue_id = w->queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
	};
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval rain = { { 0, 100 }, { 0, 100 } };
	int err = 0;

	vup_bind_mem(w, ptr, va, 256 * page, 0);
	igt_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	igt_assert_eq(setitimer(ITIMER_REAL, &rain, NULL), 0);
	igt_until_timeout(VUP_PATIENCE_S) {
		err = vup_ioctl_once(w->fd, DRM_IOCTL_VGEM_EXEC, &exec);
		if (err)
			break;
		vup_map_fixed(ptr, 256 * page, PROT_READ | PROT_WRITE);
	}
	igt_assert_eq(err, -EINTR);
	memset(&rain, 0, sizeof(rain));
	setitimer(ITIMER_REAL, &rain, NULL);
}

static void last_bind_refused(struct vup *w, char *ptr)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = w->vm, .op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR,
		.addr = va, .range = page, .offset = -page,
	};

	igt_assert_eq(__vup_bind(w->fd, &bind), -EINVAL);
	bind.op = DRM_VGEM_VM_BIND_OP_MAP;
	bind.handle = vup_userptr_create(w->fd, ptr, page, 0);
	bind.offset = page;
	igt_assert_eq(__vup_bind(w->fd, &bind), -EINVAL);
}

static const struct {
	const char *name;
	void (*last)(struct vup *w, char *ptr);
} mm_released_test[] = {
	{ "create-refused", last_create_refused },
	{ "probe-refused", last_probe_refused },
	{ "probe", last_probe },
	{ "exec-refused", last_exec_refused },
	{ "exec", last_exec },
	{ "exec-interrupted", last_exec_interrupted },
	{ "bind-refused", last_bind_refused },
};

static void mm_released(void (*last)(struct vup *w, char *ptr))
{
	int file = drm_open_driver(DRIVER_VGEM), life = vup_life_make();

	igt_fork(child, 1) {
		struct vup w;

		vup_life_tie(life);
		vup_init(&w, file);
		last(&w, vup_alloc(256 * page));
	}
	igt_waitchildren();
	vup_life_wait(life);
	drm_close_driver(file);
	still_well();
}

static void no_free_fds(void)
{
	uint32_t dumb = vup_dumb_create(fd, 4096);
	struct drm_prime_handle prime = { .handle = dumb, .flags = DRM_CLOEXEC, .fd = -1 };
	struct drm_syncobj_handle export = {
		.flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE, .fd = -1,
	};
	struct rlimit limit, none;
	struct world w;

	world_make(&w, fd);
	export.handle = vup_start(&w.v, op_fill(va, 4 * page, 6));
	igt_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Below what is open already */
	none = limit;
	none.rlim_cur = 0;
	igt_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 20; i++) {
		struct drm_vgem_op op = op_fill(va, 4 * page, i);
		struct drm_vgem_exec exec = {
			.queue_id = w.v.queue,
			.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
		};
		int err[3];

		err[0] = __vup_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);
		err[1] = __vup_ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &export);
		err[2] = __vup_exec(fd, &exec);
		if (err[0] == -EMFILE && err[1] == -EMFILE && !err[2])
			continue;
		setrlimit(RLIMIT_NOFILE, &limit);
		igt_assert_f(false, "export %d, sync_file %d, exec %d\n", err[0], err[1], err[2]);
	}
	igt_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	igt_assert_eq(vup_finish(fd, export.handle), 0);
	vup_ok(&w.v, op_xor(va, 4 * page, 0x100));
	vup_check_value(w.ptr, 4 * page, 0x113);

	/* What failed can be done now. */
	do_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);
	close(prime.fd);
	gem_close(fd, dumb);
	vup_fini(&w.v);
	gem_close(fd, w.handle);
	vup_unmap(w.ptr, 4 * page);
	vup_unmap(w.word, page);
	still_well();
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
	}

	igt_describe("Broken if something is used after its end, or never ends.");
	igt_subtest_with_dynamic("close-order")
		each_order(false);

	igt_describe("Broken if a running job uses what has ended.");
	igt_subtest_with_dynamic("close-order-busy")
		each_order(true);

	igt_describe("Broken if a binding is only as good as the handle.");
	igt_subtest("handle-closed-while-bound")
		handle_closed_while_bound();

	igt_describe("Broken if a queue is left without its address space.");
	igt_subtest("vm-destroyed-with-queue")
		vm_destroyed_with_queue();

	igt_describe("Broken if a destroyed queue goes on, or its fences never signal.");
	igt_subtest("queue-destroyed-busy")
		queue_destroyed_busy();

	igt_describe("Broken if jobs outlive their file, or their fences do not signal.");
	igt_subtest("file-closed-busy")
		file_closed_busy();

	igt_describe("Broken if a notifier outlives its file.");
	igt_subtest("file-closed-then-munmap")
		file_closed_then_munmap();

	igt_describe("Broken if closing a file needs the memory that is gone.");
	igt_subtest("munmap-then-file-closed")
		munmap_then_file_closed();

	igt_describe("Broken if the end of one file takes another's memory along.");
	igt_subtest_with_dynamic("two-files") {
		igt_dynamic("first-closes")
			two_files(false);
		igt_dynamic("second-closes")
			two_files(true);
	}

	igt_describe("Broken if exit waits for a job for ever, or a job outlives its memory.");
	igt_subtest("exit-busy")
		exit_busy(false);

	igt_describe("Broken if a killed process lingers, or its job harms others.");
	igt_subtest("killed-busy")
		exit_busy(true);

	igt_describe("Broken if something of a dead process can be used.");
	igt_subtest("owner-gone")
		owner_gone();

	igt_describe("Broken if the end of one VM stops jobs of another.");
	igt_subtest("ids-not-reused-busy")
		ids_not_reused_busy();

	igt_describe("Broken if a process can make its own end take for ever.");
	igt_subtest_with_dynamic("unused-is-cheap")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				unused_is_cheap(how);

	igt_describe("Broken if making and dropping leaks, or races with itself.");
	igt_subtest("create-destroy-loop")
		create_destroy_loop();

	igt_describe("Broken if a notifier is called while it goes away.");
	igt_subtest("invalidate-vs-close")
		invalidate_vs_close();

	igt_describe("Broken if closing takes away a notifier that is not there, or another's "
		     "(fbsd:27bfed38ad).");
	igt_subtest_with_dynamic("nothing-to-unregister") {
		igt_dynamic("dumb")
			nothing_to_unregister(close_dumb);
		igt_dynamic("imported")
			nothing_to_unregister(close_imported);
		igt_dynamic("never-used")
			nothing_to_unregister(close_never_used);
	}

	for (int i = 0; i < (int)ARRAY_SIZE(mm_released_test); i++) {
		igt_describe("Broken if a reference is left behind on this path (CVE-2025-21886).");
		igt_subtest_f("mm-released-%s", mm_released_test[i].name)
			mm_released(mm_released_test[i].last);
	}

	igt_describe("Broken if an error path for want of descriptors leaks or does half of it "
		     "(CVE-2024-56712).");
	igt_subtest("no-free-fds")
		no_free_fds();

	igt_fixture()
		drm_close_driver(fd);
}
