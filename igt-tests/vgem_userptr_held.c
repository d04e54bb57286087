// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr held
 * Description: While something holds up the mm, nobody has to stay for it
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, signals, lifetime
 * Test category: functionality test
 *
 * SUBTEST: exec-killed
 * Description: a process that sleeps for the mm in exec can be killed
 *
 * SUBTEST: exec-interrupted
 * Description: a signal with a handler ends the sleep too
 *
 * SUBTEST: probe-killed
 * Description: a process that sleeps for the mm in creating an object can be killed
 *
 * SUBTEST: queue-destroyed
 * Description: destroying a queue behind a sleeping exec is left to a signal as well
 *
 * SUBTEST: handles-closed
 * Description: handles, queues and VMs go while the mm is held up, used or not
 *
 * SUBTEST: file-closed
 * Description: the file is closed by close(), exit, a signal or exec
 *
 * SUBTEST: long-running
 * Description: the worker that wants to resume queues keeps nobody from ending them
 *
 * SUBTEST: others-undisturbed
 * Description: another process opens, runs and closes meanwhile
 */

IGT_TEST_DESCRIPTION("While something holds up the mm, nobody has to stay for it.");

/*
 * The mm is held up by a hole that is punched into a file: it waits for a spin
 * on that memory, between begin and end of an invalidation. It takes no mmap
 * lock, so the test itself may fault, map and fork what is not of the file.
 */
#define RELEASE	0x60606060
#define SPIN	op_spin(word_va, RELEASE, 9 * NSEC_PER_SEC)

static int fd = -1;
static size_t page, size;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

/* Memory of a file, in the VM that holds up the mm and in one that does not. */
static struct vup busy, idle;
static int memfd;
static char *ptr;
static uint32_t *word;
static uint32_t spin;
static struct vup_caller hole;

static void punch(void *data __maybe_unused)
{
	fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size);
}

/* @file is for the idle VM. */
static void prepare(int file)
{
	memfd = vup_memfd(size);
	ptr = vup_map_memfd(NULL, memfd, size, 0);
	word = vup_alloc_word();
	vup_init(&busy, fd);
	vup_bind_mem(&busy, ptr, va, size, 0);
	vup_bind_mem(&busy, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_ok(&busy, op_fill(va, size, 0x1d1e));
	vup_init(&idle, file);
	vup_bind_mem(&idle, ptr, va, size, 0);
}

static void hold(void)
{
	spin = vup_start(&busy, SPIN, op_fill(va, 4, 0xb5));
	vup_caller_start(&hole, punch, NULL);
	igt_assert(vup_caller_blocked(&hole));
}

/* Whatever the test did since it did while the mm was held up. */
static void release(void)
{
	igt_assert(!atomic_load(&hole.done));
	atomic_store(&hole.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&hole);
	igt_assert(!hole.too_early);
	igt_assert_eq(vup_finish(fd, spin), 0);
	vup_check_value(ptr, size, 0);
}

static void finish(void)
{
	/* What was held up works as before. */
	vup_ok(&busy, op_fill(va, size, 0x900d));
	vup_check_value(ptr, size, 0x900d);
	vup_fini(&busy);
	vup_unmap(ptr, size);
	vup_unmap(word, page);
	close(memfd);
}

/*
 * A process with this mm and files of its own: when it dies the mm lives on, so
 * that its end does not have to wait for the spin.
 */
struct sharer {
	int (*call)(void *data);
	void *data;
	char *stack;
	pid_t pid;
};

#define STACK	(64ul << 10)

static int sharer_main(void *data)
{
	struct sharer *s = data;

	return s->call(s->data);
}

static void sharer_start(struct sharer *s, int (*call)(void *), void *data)
{
	s->call = call;
	s->data = data;
	s->stack = vup_alloc(STACK);
	s->pid = clone(sharer_main, s->stack + STACK, CLONE_VM | SIGCHLD, s);
	igt_assert_lt(0, s->pid);
}

static int sharer_end(struct sharer *s)
{
	int status;

	igt_assert_eq(waitpid(s->pid, &status, 0), s->pid);
	vup_unmap(s->stack, STACK);
	return status;
}

static void sharer_kill(struct sharer *s)
{
	int status;

	igt_assert(vup_task_sleeps(s->pid));
	igt_assert_eq(kill(s->pid, SIGKILL), 0);
	status = sharer_end(s);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Not through libdrm, which would begin anew after a signal. */
struct exec {
	const struct vup *v;
	int err;
};

static int exec_call(void *data)
{
	struct exec *e = data;
	struct drm_vgem_op op = op_fill(va, 4, 0xe4ec);
	struct drm_vgem_exec exec = {
		.queue_id = e->v->queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
	};

	e->err = vup_ioctl_once(e->v->fd, DRM_IOCTL_VGEM_EXEC, &exec);
	return e->err != 0;
}

static void exec_thread(void *data)
{
	exec_call(data);
}

/* The busy VM's pages are dying, the idle VM has never had any. */
static struct vup *vm_of(bool dying)
{
	return dying ? &busy : &idle;
}

static void exec_killed(bool dying)
{
	struct exec e = { .v = vm_of(dying) };
	struct sharer s;

	prepare(fd);
	hold();
	/* The second finds what the first has left. */
	for (int i = 0; i < 2; i++) {
		sharer_start(&s, exec_call, &e);
		sharer_kill(&s);
	}
	release();
	vup_ok(&idle, op_fill(va, size, 0x1d7e));
	vup_check_value(ptr, size, 0x1d7e);
	vup_fini(&idle);
	finish();
}

static void on_signal(int sig __maybe_unused)
{
}

static void interrupt(struct vup_caller *c)
{
	struct sigaction act = { .sa_handler = on_signal }, old;

	igt_assert(vup_caller_sleeps(c));
	igt_assert_eq(sigaction(SIGUSR1, &act, &old), 0);
	igt_assert_eq(pthread_kill(c->thread, SIGUSR1), 0);
	vup_caller_join(c);
	igt_assert_eq(sigaction(SIGUSR1, &old, NULL), 0);
}

static void exec_interrupted(bool dying)
{
	struct exec e = { .v = vm_of(dying) };
	struct vup_caller c;

	prepare(fd);
	hold();
	vup_caller_start(&c, exec_thread, &e);
	interrupt(&c);
	igt_assert_eq(e.err, -EINTR);
	release();
	vup_fini(&idle);
	finish();
}

static int probe_call(void *data __maybe_unused)
{
	struct drm_vgem_userptr_create arg = {
		.addr = (uintptr_t)ptr, .size = size, .flags = DRM_VGEM_USERPTR_PROBE,
	};

	return vup_ioctl_once(fd, DRM_IOCTL_VGEM_USERPTR_CREATE, &arg) != 0;
}

static void probe_killed(void)
{
	struct sharer s;

	prepare(fd);
	hold();
	sharer_start(&s, probe_call, NULL);
	sharer_kill(&s);
	release();
	igt_assert_eq(probe_call(NULL), 0);
	vup_fini(&idle);
	finish();
}

struct destroy {
	uint32_t queue;
	int err;
};

static void destroy_thread(void *data)
{
	struct destroy *d = data;
	struct drm_vgem_queue_destroy arg = { .queue_id = d->queue };

	d->err = vup_ioctl_once(fd, DRM_IOCTL_VGEM_QUEUE_DESTROY, &arg);
}

static void queue_destroyed(void)
{
	struct exec e = { .v = &idle };
	struct destroy d;
	struct vup_caller c;
	struct sharer s;

	prepare(fd);
	d.queue = idle.queue;
	hold();
	sharer_start(&s, exec_call, &e);
	igt_assert(vup_task_sleeps(s.pid));
	vup_caller_start(&c, destroy_thread, &d);
	interrupt(&c);
	igt_assert_eq(d.err, -EINTR);
	/* Nothing happened to it; and now nobody is before us. */
	sharer_kill(&s);
	igt_assert_eq(__vup_queue_destroy(fd, idle.queue), 0);
	igt_assert_eq(__vup_queue_destroy(fd, idle.queue), -ENOENT);
	release();
	igt_assert_eq(__vup_vm_destroy(fd, idle.vm), 0);
	finish();
}

static void handles_closed(void)
{
	struct exec e = { .v = &idle };
	uint32_t handle[2];
	struct sharer s;

	prepare(fd);
	handle[0] = vup_userptr_create(fd, ptr, size, 0);
	hold();
	handle[1] = vup_userptr_create(fd, ptr, size, 0);
	sharer_start(&s, exec_call, &e);
	sharer_kill(&s);
	for (int i = 0; i < 2; i++)
		gem_close(fd, handle[i]);
	vup_unbind(&idle, va, size);
	vup_bind_mem(&idle, ptr, va, size, 0);
	vup_fini(&idle);
	release();
	finish();
}

enum end {
	BY_CLOSE,
	BY_EXIT,
	BY_SIGNAL,
	BY_EXEC,
	ENDS
};

struct leave {
	int file;
	enum end how;
	struct vup_gate gate;
};

/* Ends the process, and with it the file. */
static int leave_call(void *data)
{
	struct leave *l = data;
	char *argv[] = { "true", NULL }, *env[] = { NULL };
	char c;

	if (read(l->gate.fd[0], &c, 1) != 1)
		return 1;
	switch (l->how) {
	case BY_CLOSE:
		return close(l->file) != 0;
	case BY_SIGNAL:
		pause();
		return 1;
	case BY_EXEC:
		execve("/bin/true", argv, env);
		return 1;
	default:
		return 0;
	}
}

static void file_closed(enum end how)
{
	struct leave l = { .file = drm_open_driver(DRIVER_VGEM), .how = how };
	struct exec e = { .v = &idle };
	struct sharer s, closer;

	prepare(l.file);
	vup_gate_init(&l.gate);
	igt_assert_eq(fcntl(l.file, F_SETFD, FD_CLOEXEC), 0);
	hold();
	sharer_start(&s, exec_call, &e);
	sharer_kill(&s);

	sharer_start(&closer, leave_call, &l);
	/* It has the last copy of the file from here on. */
	drm_close_driver(l.file);
	vup_gate_open(&l.gate);
	if (how == BY_SIGNAL)
		sharer_kill(&closer);
	else
		igt_assert_eq(sharer_end(&closer), 0);

	release();
	vup_gate_fini(&l.gate);
	finish();
}

static void long_running(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	uint32_t queue, *never = vup_alloc_word();
	struct vup v;

	prepare(fd);
	vup_init_long_running(&v, file);
	vup_bind_mem(&v, ptr, va, size, 0);
	vup_bind_mem(&v, never, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_push(&v, op_spin(word_va, RELEASE, 0), op_fill(va, 4, 0x10e6));
	hold();
	/* The queue is suspended, and cannot be resumed before its memory is there. */
	for (int i = 0; i < 2; i++) {
		igt_assert_eq(__vup_queue_create(file, v.vm, &queue), 0);
		if (!i)
			igt_assert_eq(__vup_queue_destroy(file, queue), 0);
	}
	drm_close_driver(file);
	release();
	vup_fini(&idle);
	finish();
	vup_unmap(never, page);
}

static void others_undisturbed(void)
{
	struct exec e = { .v = &idle };
	struct vup_gate go, done;
	struct sharer s;

	vup_gate_init(&go);
	vup_gate_init(&done);
	igt_fork(child, 1) {
		int file;
		struct vup v;
		char *mem;

		vup_gate_pass(&go);
		file = drm_open_driver(DRIVER_VGEM);
		vup_init(&v, file);
		mem = vup_alloc(size);
		vup_bind_how(&v, VUP_BO, mem, va, size, false);
		vup_ok(&v, op_fill(va, size, 1));
		vup_map_fixed(mem, size, PROT_READ | PROT_WRITE);
		vup_ok(&v, op_fill(va, size, 2));
		vup_check_value(mem, size, 2);
		drm_close_driver(file);
		vup_unmap(mem, size);
		vup_gate_open(&done);
	}
	prepare(fd);
	hold();
	sharer_start(&s, exec_call, &e);
	igt_assert(vup_task_sleeps(s.pid));
	vup_gate_open(&go);
	vup_gate_pass(&done);
	sharer_kill(&s);
	release();
	igt_waitchildren();
	vup_fini(&idle);
	finish();
	vup_gate_fini(&go);
	vup_gate_fini(&done);
}

static void each_window(void (*run)(bool dying))
{
	igt_dynamic("fresh")
		run(false);
	igt_dynamic("dying")
		run(true);
}

int igt_main()
{
	static const char * const how[ENDS] = {
		[BY_CLOSE] = "close",
		[BY_EXIT] = "exit",
		[BY_SIGNAL] = "signal",
		[BY_EXEC] = "exec",
	};

	igt_fixture() {
		page = vup_page();
		size = 4 * page;
		fd = vup_open();
	}

	igt_describe("Broken if exec sleeps for the mm and cannot be killed.");
	igt_subtest_with_dynamic("exec-killed")
		each_window(exec_killed);

	igt_describe("Broken if exec sleeps for the mm and hears no signal.");
	igt_subtest_with_dynamic("exec-interrupted")
		each_window(exec_interrupted);

	igt_describe("Broken if making an object sleeps for the mm and cannot be killed.");
	igt_subtest("probe-killed")
		probe_killed();

	igt_describe("Broken if a call cannot be interrupted as another one waits for the mm.");
	igt_subtest("queue-destroyed")
		queue_destroyed();

	igt_describe("Broken if dropping something waits for the mm.");
	igt_subtest("handles-closed")
		handles_closed();

	igt_describe("Broken if the end of a file, or of a process, waits for the mm.");
	igt_subtest_with_dynamic("file-closed")
		for (int i = 0; i < ENDS; i++)
			igt_dynamic(how[i])
				file_closed(i);

	igt_describe("Broken if a worker holds a lock while it sleeps for the mm.");
	igt_subtest("long-running")
		long_running();

	igt_describe("Broken if a process waits for another one's mm.");
	igt_subtest("others-undisturbed")
		others_undisturbed();

	igt_fixture()
		drm_close_driver(fd);
}
