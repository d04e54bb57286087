// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "sw_sync.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr access
 * Description: Whose memory is it, and who may write to it?
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, identity, permission
 * Test category: functionality test
 *
 * SUBTEST: exec-inherited-file
 * Description: after execve() the VM and userptr of the old mm are of no use, the file is
 *
 * SUBTEST: file-passed
 * Description: a file that came over a socket brings none of its sender's memory along
 *
 * SUBTEST: vfork-child
 * Description: another process in the same mm may use what belongs to that mm
 *
 * SUBTEST: leader-exited
 * Description: the first thread is gone, the others go on with the mm
 *
 * SUBTEST: owner-exits-busy
 * Description: a process that ends is gone only when its jobs are, whoever keeps the file
 *
 * SUBTEST: module-unload
 * Description: dead owners and fences that are kept do not stand in the module's way
 *
 * SUBTEST: read-only-other-ways
 * Description: no way round the read-only flag of a userptr
 *
 * SUBTEST: never-writable-%s
 * Description: memory of %arg[1] that the process can never write to: EPERM
 * arg[1].values: read-only-file, sealed-file
 *
 * SUBTEST: private-file-%s
 * Description: a read-only userptr follows the private copy that %arg[1] makes
 * arg[1].values: cpu-write, forced-write, file-write, fork
 */

IGT_TEST_DESCRIPTION("Whose memory is it, and who may write to it?");

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0);

#define RELEASE	0x60606060

/* What one process has in a file, for another one to try its hands on */
struct theirs {
	struct vup v;
	uint32_t handle;
};

/*
 * Everything of the other mm is refused, and everything of one's own works.
 * Without assertions, since not every caller is known to IGT: returns the line
 * of what went wrong, or 0.
 */
#define FAIL_UNLESS(cond)	do { if (!(cond)) return __LINE__; } while (0)

static int try_theirs(const struct theirs *t)
{
	struct drm_vgem_op op = op_fill(va, 4096, 0xbad);
	struct drm_vgem_exec exec = {
		.queue_id = t->v.queue,
		.ops = { .stride = sizeof(op), .count = 1, .array = (uintptr_t)&op },
	};
	struct drm_vgem_vm_bind bind = {
		.vm_id = t->v.vm, .op = DRM_VGEM_VM_BIND_OP_UNMAP, .addr = va, .range = 4096,
	};
	struct drm_vgem_vm_query query = { .vm_id = t->v.vm };
	struct drm_prime_handle prime = { .handle = t->handle, .flags = DRM_CLOEXEC };
	struct drm_vgem_vm_stats before, after;
	struct vup w = { .fd = t->v.fd };
	uint32_t *mine, id;

	FAIL_UNLESS(__vup_exec(w.fd, &exec) == -EPERM);
	FAIL_UNLESS(__vup_bind(w.fd, &bind) == -EPERM);
	FAIL_UNLESS(__vup_queue_create(w.fd, t->v.vm, &id) == -EPERM);
	FAIL_UNLESS(__vup_queue_destroy(w.fd, t->v.queue) == -EPERM);
	FAIL_UNLESS(__vup_vm_destroy(w.fd, t->v.vm) == -EPERM);
	FAIL_UNLESS(__vup_ioctl(w.fd, DRM_IOCTL_VGEM_VM_QUERY, &query) == -EPERM);
	FAIL_UNLESS(__vup_ioctl(w.fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime) == -EPERM);

	mine = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FAIL_UNLESS(mine != MAP_FAILED);
	FAIL_UNLESS(!__vup_vm_create(w.fd, 0, &w.vm) && !__vup_queue_create(w.fd, w.vm, &w.queue));
	bind = (struct drm_vgem_vm_bind) {
		.vm_id = w.vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .handle = t->handle,
		.addr = va, .range = 4096,
	};
	FAIL_UNLESS(__vup_bind(w.fd, &bind) == -EPERM);
	bind.op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR;
	bind.handle = 0;
	bind.offset = (uintptr_t)mine;
	FAIL_UNLESS(!__vup_bind(w.fd, &bind));
	exec.queue_id = w.queue;
	op.value = 0x600d;
	vup_stats(&w, &before);
	FAIL_UNLESS(!__vup_run(&w, &op, 1));
	vup_stats(&w, &after);
	FAIL_UNLESS(after.submits == before.submits + 1);
	FAIL_UNLESS(mine[0] == 0x600d && mine[1023] == 0x600d);
	FAIL_UNLESS(!__vup_queue_destroy(w.fd, w.queue) && !__vup_vm_destroy(w.fd, w.vm));
	return 0;
}

static void reap_ok(pid_t pid)
{
	int status;

	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_f(WIFEXITED(status), "status %#x\n", status);
	igt_assert_f(WEXITSTATUS(status) == 0, "the other process failed, step %d\n",
		     WEXITSTATUS(status));
}

/*
 * The program executes itself, to be somebody else on the same file. This comes
 * before main(), so there is no test yet that could be mistaken for ours.
 */
#define AFTER_EXEC	"VGEM_USERPTR_AFTER_EXEC"

static __attribute__((constructor)) void after_exec(void)
{
	const char *env = getenv(AFTER_EXEC);
	struct theirs t = { };
	int line;

	if (!env)
		return;
	if (sscanf(env, "%d %u %u %u", &t.v.fd, &t.v.vm, &t.v.queue, &t.handle) != 4)
		_exit(1);
	line = try_theirs(&t);
	if (line)
		fprintf(stderr, "after execve(): line %d\n", line);
	_exit(line ? 2 : 0);
}

static void exec_inherited_file(void)
{
	struct theirs t = { };
	int life = vup_life_make();
	struct vup_gate said;
	uint32_t *ptr;
	pid_t pid;

	vup_gate_init(&said);
	pid = vup_fork();
	if (!pid) {
		const struct drm_vgem_op spin = op_spin(va, RELEASE, 500 * NSEC_PER_MSEC);
		char text[64];

		/* From here on the VM's owner is an mm that execve() ends. */
		vup_life_tie(life);
		t.v.fd = fd;
		ptr = vup_alloc(page);
		if (__vup_vm_create(fd, 0, &t.v.vm) ||
		    __vup_queue_create(fd, t.v.vm, &t.v.queue))
			_exit(3);
		t.handle = vup_userptr_create(fd, ptr, page, 0);
		vup_bind_bo(&t.v, t.handle, va, page, 0, 0);
		vup_ok(&t.v, op_fill(va, page, 1));
		/* Busy as well: execve() has to wait as exit does. */
		vup_submit(&t.v, &spin, 1);
		vup_gate_open(&said);
		snprintf(text, sizeof(text), "%d %u %u %u", fd, t.v.vm, t.v.queue, t.handle);
		setenv(AFTER_EXEC, text, 1);
		if (fcntl(fd, F_SETFD, 0))
			_exit(4);
		execl("/proc/self/exe", "after-exec", NULL);
		_exit(5);
	}
	vup_gate_pass(&said);
	vup_gate_fini(&said);
	vup_life_wait(life);
	reap_ok(pid);
}

static void file_passed(void)
{
	int pair[2], dmabuf;
	struct theirs t;
	uint32_t *ptr;
	pid_t pid;

	igt_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	/* Forked before there is anything to inherit */
	pid = vup_fork();
	if (!pid) {
		int file = vup_receive_file(pair[1]), line;

		if (read(pair[1], &t, sizeof(t)) != sizeof(t))
			_exit(1);
		t.v.fd = file;
		line = try_theirs(&t);
		if (line)
			fprintf(stderr, "with the passed file: line %d\n", line);
		_exit(line ? 2 : 0);
	}

	memset(&t, 0, sizeof(t));
	vup_init(&t.v, drm_open_driver(DRIVER_VGEM));
	ptr = vup_alloc(page);
	t.handle = vup_userptr_create(t.v.fd, ptr, page, 0);
	vup_bind_bo(&t.v, t.handle, va, page, 0, 0);
	vup_ok(&t.v, op_fill(va, page, 1));
	/* An export of the owner's own is no invitation. */
	igt_assert_eq(drmPrimeHandleToFD(t.v.fd, t.handle, DRM_CLOEXEC, &dmabuf), 0);
	vup_send_file(pair[0], t.v.fd);
	igt_assert_eq(write(pair[0], &t, sizeof(t)), sizeof(t));
	reap_ok(pid);

	/* Nothing that the other process tried left a trace. */
	vup_check_value(ptr, page, 1);
	vup_ok(&t.v, op_fill(va, page, 2));
	vup_check_value(ptr, page, 2);
	vup_fini(&t.v);
	drm_close_driver(t.v.fd);
	close(dmabuf);
	vup_unmap(ptr, page);
	close(pair[0]);
	close(pair[1]);
}

static int same_mm(void *data)
{
	struct drm_vgem_op *op = data;
	struct drm_vgem_exec exec = {
		.queue_id = v.queue,
		.ops = { .stride = sizeof(*op), .count = 1, .array = (uintptr_t)op },
	};

	/* Nothing in here may exit on behalf of the parent. */
	return __vup_exec(fd, &exec) ? 1 : 0;
}

static void vfork_child(void)
{
	struct drm_vgem_op op = op_fill(va, page, 0x7f);
	char *ptr = vup_alloc(page), *stack = vup_alloc(16 * page);
	pid_t pid;

	vup_bind_mem(&v, ptr, va, page, 0);
	pid = clone(same_mm, stack + 16 * page, CLONE_VM | CLONE_VFORK | SIGCHLD, &op);
	igt_assert_lt(0, pid);
	reap_ok(pid);
	/* In order behind it */
	vup_ok(&v, op_xor(va, page, 0x80));
	vup_check_value(ptr, page, 0xff);
	vup_unbind(&v, va, page);
	vup_unmap(ptr, page);
	vup_unmap(stack, 16 * page);
}

/* Written when all is done: a thread that fails here takes nobody along. */
static atomic_bool *went_on;

static void *without_leader(void *data)
{
	struct vup w = *(struct vup *)data;
	char path[64], text[512], *ptr = vup_alloc(4 * page);
	bool gone = false;

	/* A first thread that has ended while others live is a zombie. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	igt_until_timeout(VUP_PATIENCE_S) {
		gone = vup_file_read(path, text, sizeof(text)) && strstr(text, ") Z ");
		if (gone)
			break;
		sched_yield();
	}
	igt_assert(gone);

	vup_bind_how(&w, VUP_BO, ptr, va, 4 * page, false);
	for (int i = 1; i <= 20; i++) {
		vup_map_fixed(ptr, 4 * page, PROT_READ | PROT_WRITE);
		vup_ok(&w, op_fill(va, 4 * page, i));
		vup_check_value(ptr, 4 * page, i);
	}
	vup_unmap(ptr, 4 * page);
	vup_refuse(&w, -EFAULT, va, op_fill(va, 4 * page, 1));
	vup_fini(&w);
	atomic_store(went_on, true);
	_exit(0);
}

static void leader_exited(void)
{
	went_on = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	igt_assert(went_on != MAP_FAILED);
	igt_fork(child, 1) {
		pthread_t thread;
		struct vup w;

		vup_init(&w, drm_open_driver(DRIVER_VGEM));
		igt_assert_eq(pthread_create(&thread, NULL, without_leader, &w), 0);
		/* Only this thread, with its stack left in place */
		syscall(SYS_exit, 0);
	}
	igt_waitchildren();
	igt_assert(atomic_load(went_on));
	vup_unmap(went_on, page);
}

/* A child that ends, or waits to be killed, with a job that spins for a second */
static pid_t busy_owner(int file, bool killed, uint32_t *syncobj)
{
	int report[2];
	pid_t pid;

	igt_assert_eq(pipe(report), 0);
	pid = vup_fork();
	if (!pid) {
		char *ptr = vup_alloc(16 * page);
		struct drm_vgem_op ops[2] = {
			op_spin(va, RELEASE, NSEC_PER_SEC), op_fill(va, 16 * page, 2),
		};
		struct vup w;

		vup_init(&w, file);
		vup_bind_mem(&w, ptr, va, 16 * page, 0);
		vup_ok(&w, op_fill(va, 16 * page, 1));
		*syncobj = vup_submit(&w, ops, 2);
		if (write(report[1], syncobj, sizeof(*syncobj)) != sizeof(*syncobj))
			_exit(1);
		while (killed)
			pause();
		_exit(0);
	}
	close(report[1]);
	igt_assert_eq(read(report[0], syncobj, sizeof(*syncobj)), sizeof(*syncobj));
	close(report[0]);
	return pid;
}

static void owner_exits_busy(bool killed)
{
	int file = drm_open_driver(DRIVER_VGEM), status;
	size_t hog_size = 256 * page;
	uint32_t syncobj;
	pid_t pid = busy_owner(file, killed, &syncobj);
	char *hog;

	if (killed)
		igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	/* Its pages are free now: had the job a second to go, it would write to them. */
	status = vup_status(file, syncobj);
	hog = vup_alloc(hog_size);
	vup_paint(hog, hog_size, 7);
	igt_assert_f(status != 1, "the process is gone and its job still runs\n");
	vup_finish(file, syncobj);
	vup_check_paint(hog, hog_size, 7);
	vup_unmap(hog, hog_size);
	drm_close_driver(file);
}

static int unload(void)
{
	return syscall(SYS_delete_module, "vgem", O_NONBLOCK) ? -errno : 0;
}

static void module_unload(void)
{
	int life = vup_life_make(), file, kept, status;
	uint32_t syncobj;
	char text[16];
	pid_t pid;

	igt_require_f(vup_file_read("/sys/module/vgem/refcnt", text, sizeof(text)),
		      "vgem is built into the kernel\n");
	vup_fini(&v);
	drm_close_driver(fd);
	fd = -1;
	igt_require_f(vup_file_read("/sys/module/vgem/refcnt", text, sizeof(text)) &&
		      atoi(text) == 0, "somebody else uses vgem\n");

	/* An owner that dies with everything in place, on a file that lives */
	file = drm_open_driver(DRIVER_VGEM);
	pid = busy_owner(file, true, &syncobj);
	kept = syncobj_handle_to_fd(file, syncobj, DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE);
	igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_eq(unload(), -EWOULDBLOCK);
	drm_close_driver(file);

	/* One that leaves the file to itself, and whose mm nobody keeps */
	pid = vup_fork();
	if (!pid) {
		struct vup w;

		vup_life_tie(life);
		vup_init(&w, drm_open_driver(DRIVER_VGEM));
		vup_bind_mem(&w, vup_alloc(page), va, page, 0);
		vup_ok(&w, op_fill(va, page, 1));
		_exit(0);
	}
	reap_ok(pid);
	vup_life_wait(life);

	igt_assert_eq(unload(), 0);
	/* What outlives the module must not need its code any more. */
	igt_assert_neq(sync_fence_status(kept), 0);
	close(kept);
	fd = vup_open();
	vup_init(&v, fd);
}

static void read_only_other_ways(void)
{
	uint32_t *ptr = vup_alloc(page), handle;
	struct drm_mode_map_dumb map = { };
	struct drm_vgem_vm_bind bind = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .addr = va, .range = page,
	};

	vup_paint(ptr, page, 3);
	igt_assert_eq(mprotect(ptr, page, PROT_READ), 0);
	handle = vup_userptr_create(fd, ptr, page, DRM_VGEM_USERPTR_READ_ONLY);
	map.handle = bind.handle = handle;

	/* A second mapping. For somebody else's: dmabuf@export-read-only. */
	do_ioctl_err(fd, DRM_IOCTL_MODE_MAP_DUMB, &map, ENODEV);

	/* A binding that does not say read-only: refused, or read-only all the same */
	if (!__vup_bind(fd, &bind)) {
		igt_assert_eq_u32(vup_device_crc(&v, va, page), vup_crc32(ptr, page));
		igt_assert_eq(vup_do(&v, op_fill(va, page, 1)), -EFAULT);
		/* Nor does it help that the process may write by now. */
		igt_assert_eq(mprotect(ptr, page, PROT_READ | PROT_WRITE), 0);
		igt_assert_eq(vup_do(&v, op_fill(va, page, 1)), -EFAULT);
		igt_assert_eq(vup_do(&v, op_xor(va, page, 1)), -EFAULT);
		vup_unbind(&v, va, page);
	}
	vup_check_paint(ptr, page, 3);
	gem_close(fd, handle);
	vup_unmap(ptr, page);
}

static void never_writable(bool sealed)
{
	uint32_t *alias, *ptr;
	int memfd, file;
	char path[64];

	memfd = memfd_create("vgem_userptr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	igt_assert_fd(memfd);
	igt_assert_eq(ftruncate(memfd, page), 0);
	alias = vup_map_memfd(NULL, memfd, page, 0);
	vup_paint(alias, page, 4);
	file = memfd;
	if (sealed) {
		igt_assert_eq(fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
		file = open(path, O_RDONLY);
		igt_assert_fd(file);
	}
	ptr = mmap(NULL, page, PROT_READ, MAP_SHARED, file, 0);
	igt_assert(ptr != MAP_FAILED);
	igt_assert_eq(mprotect(ptr, page, PROT_READ | PROT_WRITE), -1);

	for (int how = 0; how < VUP_HOWS; how++) {
		vup_bind_how(&v, how, ptr, va, page, false);
		vup_refuse(&v, -EPERM, va, op_fill(va, page, 1));
		vup_unbind(&v, va, page);
		vup_bind_how(&v, how, ptr, va, page, true);
		igt_assert_eq_u32(vup_device_crc(&v, va, page), vup_crc32(alias, page));
		igt_assert_eq(vup_do(&v, op_fill(va, page, 1)), -EFAULT);
		vup_unbind(&v, va, page);
	}
	vup_check_paint(alias, page, 4);

	vup_unmap(ptr, page);
	vup_unmap(alias, page);
	if (file != memfd)
		close(file);
	close(memfd);
}

/*
 * A private mapping shows the file until somebody writes to the mapping: then
 * it shows a copy. A read-only userptr must show what the CPU sees before,
 * after, and whoever it was that wrote.
 */
enum private_change {
	CPU_WRITE,
	FORCED_WRITE,
	FILE_WRITE,
	FORK,
};

static void private_file(enum private_change change)
{
	size_t size = 4 * page;
	int memfd = vup_memfd(size);
	char *alias = vup_map_memfd(NULL, memfd, size, 0);
	int prot = change == FORCED_WRITE ? PROT_READ : PROT_READ | PROT_WRITE;
	char *ptr = mmap(NULL, size, prot, MAP_PRIVATE, memfd, 0);
	uint32_t value = 0x55aa55aa;
	struct vup_gate go;
	int mem;

	igt_assert(ptr != MAP_FAILED);
	vup_paint(alias, size, 5);
	vup_bind_how(&v, VUP_BO, ptr, va, size, true);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(alias, size));

	switch (change) {
	case CPU_WRITE:
		vup_paint(ptr + page, page, 6);
		break;
	case FORCED_WRITE:
		/* What a debugger does: it may write where the process may not. */
		mem = open("/proc/self/mem", O_RDWR);
		igt_require_f(mem >= 0, "no /proc/self/mem\n");
		if (pwrite(mem, &value, 4, (uintptr_t)ptr + page) != 4) {
			close(mem);
			igt_skip_on_f(true, "kernel does not let a process force writes\n");
		}
		close(mem);
		igt_assert_eq_u32(*(uint32_t *)(ptr + page), value);
		break;
	case FILE_WRITE:
		vup_paint(alias + page, page, 6);
		break;
	case FORK:
		vup_gate_init(&go);
		igt_fork(child, 1) {
			vup_paint(ptr, size, 8);
			vup_gate_open(&go);
		}
		vup_gate_pass(&go);
		igt_waitchildren();
		vup_gate_fini(&go);
		vup_check_paint(ptr, size, 5);
		vup_paint(ptr + page, page, 6);
		break;
	}
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	igt_assert_eq(vup_do(&v, op_fill(va, size, 1)), -EFAULT);

	/* The copy no longer follows the file; what was not copied still does. */
	vup_paint(alias, size, 9);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	if (change != FILE_WRITE)
		igt_assert(memcmp(ptr + page, alias + page, page));
	igt_assert(!memcmp(ptr, alias, page));

	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	vup_unmap(alias, size);
	close(memfd);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if what belongs to an mm is inherited by execve() "
		     "(fbsd:790da22777, CVE-2026-68380).");
	igt_subtest("exec-inherited-file")
		exec_inherited_file();

	igt_describe("Broken if a passed file opens its sender's memory (fbsd:790da22777).");
	igt_subtest("file-passed")
		file_passed();

	igt_describe("Broken if the owner is taken for a process, not for an mm "
		     "(fbsd:9aced8ddc7).");
	igt_subtest("vfork-child")
		vfork_child();

	igt_describe("Broken if the owner is taken for a thread, not for an mm (CVE-2026-68380).");
	igt_subtest("leader-exited")
		leader_exited();

	igt_describe("Broken if an mm goes away before the jobs that use it (fbsd:d9f2439ff7).");
	igt_subtest_with_dynamic("owner-exits-busy") {
		igt_dynamic("exit")
			owner_exits_busy(false);
		igt_dynamic("killed")
			owner_exits_busy(true);
	}

	igt_describe("Broken if something of a dead owner is left behind in the module "
		     "(fbsd:d9f2439ff7).");
	igt_subtest("module-unload")
		module_unload();

	igt_describe("Broken if a read-only userptr can be written to in a roundabout way "
		     "(fbsd:b67b2d8f86).");
	igt_subtest("read-only-other-ways")
		read_only_other_ways();

	igt_describe("Broken if the device writes to a file that was opened for reading "
		     "(CVE-2026-31785).");
	igt_subtest("never-writable-read-only-file")
		never_writable(false);

	igt_describe("Broken if the device writes to a file that is sealed "
		     "(deb:6.12 udmabuf: fix racy memfd sealing check).");
	igt_subtest("never-writable-sealed-file")
		never_writable(true);

	igt_describe("Broken if the device keeps the file's page after the process got its own "
		     "(deb:5.10.27 etnaviv).");
	igt_subtest("private-file-cpu-write")
		private_file(CPU_WRITE);

	igt_describe("Broken if a copy made by a debugger's write goes unnoticed "
		     "(deb:5.10.27 etnaviv).");
	igt_subtest("private-file-forced-write")
		private_file(FORCED_WRITE);

	igt_describe("Broken if a private mapping's device loses the file's page "
		     "(deb:5.10.27 etnaviv).");
	igt_subtest("private-file-file-write")
		private_file(FILE_WRITE);

	igt_describe("Broken if fork() moves the parent's device to the child's copy "
		     "(17839856fd58, deb:5.10.27 etnaviv).");
	igt_subtest("private-file-fork")
		private_file(FORK);

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
