// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sync_file.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr limits
 * Description: What a client can pile up, how long it takes to go, and the driver's end
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, accounting, module unload
 * Test category: functionality test
 *
 * SUBTEST: exit-many
 * Description: a process with 20,000 userptrs exits in bounded time, and nothing is left
 *
 * SUBTEST: exit-many-long
 * Description: the same with 100,000
 *
 * SUBTEST: exit-many-bound
 * Description: the same with 5,000 that are bound and were used
 *
 * SUBTEST: exit-many-bound-long
 * Description: the same with 20,000 that are bound and were used
 *
 * SUBTEST: close-many
 * Description: a file with 20,000 userptrs closes in bounded time, and nothing is left
 *
 * SUBTEST: close-many-long
 * Description: the same with 100,000
 *
 * SUBTEST: close-many-storm
 * Description: the same with 2,000 while another thread invalidates in the same process
 *
 * SUBTEST: cap-userptrs-long
 * Description: a file can have as many userptrs as documented, and not one more
 *
 * SUBTEST: memcg-accounted
 * Description: the kernel memory for each kind of object counts for the caller's cgroup
 *
 * SUBTEST: memcg-contained
 * Description: a cgroup without memory left gets ENOMEM or is killed; others do not notice
 *
 * SUBTEST: munmap-until-timeout
 * Description: munmap waits for a job that never ends until the time limit ends it
 *
 * SUBTEST: unplugged-busy
 * Description: the device goes away while a job runs and munmap waits for it
 *
 * SUBTEST: unplugged-idle
 * Description: the device goes away; what processes do to their memory it hears no more
 *
 * SUBTEST: unload-loop
 * Description: unloading while clients with running jobs and userptrs are going away
 */

IGT_TEST_DESCRIPTION("What a client can pile up, how long it takes to go, and the driver's end.");

static int fd = -1;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

#define RELEASE		0x60606060

/*
 * The device for child processes, which must not run into assertions: a failed
 * one, or a skip, would go on with the parent's subtests.
 */
static char node[64];

static void note_node(int file)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	len = readlink(link, node, sizeof(node) - 1);
	igt_assert_lt(0, len);
	node[len] = 0;
}

static int open_node(void)
{
	return open(node, O_RDWR | O_CLOEXEC);
}
/* Making them is not what is tested: under emulation fewer have to do. */
#define MAKING_NS	(10ull * NSEC_PER_SEC)
#define MAKING_LONG_NS	(200ull * NSEC_PER_SEC)
static uint64_t making_ns = MAKING_NS;

/*
 * To let them go may cost as much as it cost to make them, and some more, as
 * the machine may have become slower meanwhile. More than that grows faster than
 * their number does.
 */
static uint64_t going_ns(uint64_t making)
{
	return 5 * NSEC_PER_SEC + 2 * making;
}

static uint64_t client_id(int file)
{
	char path[64], line[256];
	unsigned long long id = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file);
	info = fopen(path, "r");
	while (info && fgets(line, sizeof(line), info) &&
	       sscanf(line, "drm-client-id: %llu", &id) != 1)
		;
	if (info)
		fclose(info);
	return id;
}

/* Does the kernel have anything left of a client? Needs debugfs. */
static const char *debugfs_path(void)
{
	static char path[PATH_MAX];
	DIR *dir = opendir("/sys/kernel/debug/dri");
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%s/userptr", entry->d_name);
		found = !access(path, R_OK);
	}
	if (dir)
		closedir(dir);
	igt_require_f(found, "no debugfs\n");
	return path;
}

static bool client_left(uint64_t id)
{
	FILE *list = fopen(debugfs_path(), "r");
	unsigned long long other;
	bool left = false;
	char *line = NULL;
	size_t size = 0;

	igt_assert(list);
	while (!left && getline(&line, &size, list) > 0)
		left = sscanf(line, "client %llu:", &other) == 1 && other == id;
	free(line);
	fclose(list);
	return left;
}

/* Userptrs are let go of in the background; the client is gone with the last. */
static void expect_client_gone(uint64_t id, uint64_t begin, uint64_t making)
{
	while (client_left(id)) {
		igt_assert_lt_u64(vup_now_ns() - begin, 2 * going_ns(making));
		sched_yield();
	}
	igt_info("all was let go of after %.2f s\n", (vup_now_ns() - begin) / 1e9);
}

/* Makes up to @count userptrs of one page each; tells how many it were. */
static int make_many(int file, char *ptr, int count, uint64_t *took)
{
	uint64_t begin = vup_now_ns();
	uint32_t handle;
	int n, err = 0;

	for (n = 0; n < count; n++) {
		err = __vup_userptr_create(file, (uintptr_t)ptr + (n % 512) * page, page, 0,
					   &handle);
		if (err || vup_now_ns() - begin > making_ns)
			break;
	}
	*took = vup_now_ns() - begin;
	return err ? err : n;
}

struct report {
	uint64_t client, making;
	int made;
};

/* Binds and uses @count userptrs; no assertions, as this is for children. */
static int use_many(int file, char *ptr, int count, uint64_t *took)
{
	struct drm_vgem_op op = op_fill(va, 4, 1);
	struct vup v = { .fd = file };
	uint64_t begin = vup_now_ns();
	int n, err;

	err = __vup_vm_create(file, 0, &v.vm) ?: __vup_queue_create(file, v.vm, &v.queue);
	for (n = 0; !err && n < count; n++) {
		struct drm_vgem_vm_bind bind = {
			.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR,
			.addr = va + n * page, .range = page,
			.offset = (uintptr_t)ptr + (n % 512) * page,
		};

		err = __vup_bind(file, &bind);
		if (vup_now_ns() - begin > making_ns)
			break;
	}
	err = err ?: __vup_run(&v, &op, 1);
	*took = vup_now_ns() - begin;
	return err ?: n;
}

static void exit_many(int count, bool use)
{
	char *ptr = vup_alloc(512 * page);
	struct report report = {};
	uint64_t begin, took;
	int pipes[2], status;
	pid_t pid;

	debugfs_path();
	memset(ptr, 1, 512 * page);
	igt_assert_eq(pipe(pipes), 0);
	pid = vup_fork();
	if (!pid) {
		int file = open_node();

		report.client = client_id(file);
		report.made = use ? use_many(file, ptr, count, &report.making) :
				    make_many(file, ptr, count, &report.making);
		if (write(pipes[1], &report, sizeof(report)) != sizeof(report))
			_exit(1);
		_exit(0);
	}
	close(pipes[1]);
	igt_assert_eq(read(pipes[0], &report, sizeof(report)), sizeof(report));
	begin = vup_now_ns();
	close(pipes[0]);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	took = vup_now_ns() - begin;
	igt_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	igt_assert_lt(0, report.made);
	igt_info("%d userptrs made in %.2f s, exit took %.2f s\n", report.made,
		 report.making / 1e9, took / 1e9);
	igt_assert_lt_u64(took, going_ns(report.making));
	igt_assert(report.client);
	expect_client_gone(report.client, begin, report.making);
	vup_unmap(ptr, 512 * page);
}

static void replace_again_and_again(void *data);

struct storm {
	char *ptr;
	size_t size;
	bool stop;
};

static void close_many(int count, bool storm)
{
	int file = drm_open_driver(DRIVER_VGEM);
	char *ptr = vup_alloc(512 * page);
	struct storm s = { .ptr = ptr, .size = 512 * page };
	uint64_t id = client_id(file), begin, making, took;
	struct vup_caller c;
	int made;

	debugfs_path();
	made = make_many(file, ptr, count, &making);
	igt_assert_lt(0, made);
	if (storm)
		vup_caller_start(&c, replace_again_and_again, &s);
	begin = vup_now_ns();
	close(file);
	took = vup_now_ns() - begin;
	igt_info("%d userptrs made in %.2f s, close took %.2f s\n", made, making / 1e9,
		 took / 1e9);
	igt_assert_lt_u64(took, going_ns(making));
	expect_client_gone(id, begin, making);
	if (storm) {
		WRITE_ONCE(s.stop, true);
		vup_caller_join(&c);
	}
	vup_unmap(ptr, 512 * page);
}

static void replace_again_and_again(void *data)
{
	struct storm *s = data;

	while (!READ_ONCE(s->stop))
		vup_map_fixed(s->ptr, s->size, PROT_READ | PROT_WRITE);
}

static void cap_userptrs(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	uint64_t id = client_id(file), begin, making;
	char *ptr = vup_alloc(512 * page);
	uint32_t handle;
	int made;

	debugfs_path();
	/* Debugging makes them large. */
	igt_require_f(vup_file_number("/proc/meminfo", "MemAvailable:") >
		      DRM_VGEM_MAX_USERPTRS * 4l, "not enough memory\n");
	made = make_many(file, ptr, DRM_VGEM_MAX_USERPTRS, &making);
	igt_assert_lt(0, made);
	if (made < DRM_VGEM_MAX_USERPTRS) {
		drm_close_driver(file);
		igt_require_f(false, "only %d in %.0f s\n", made, making / 1e9);
	}

	igt_assert_eq(__vup_userptr_create(file, (uintptr_t)ptr, page, 0, &handle), -ENOMEM);
	/* It is the file's cap: others have theirs. */
	handle = vup_userptr_create(fd, ptr, page, 0);
	gem_close(fd, handle);

	begin = vup_now_ns();
	close(file);
	expect_client_gone(id, begin, making);
	vup_unmap(ptr, 512 * page);
}

/* Outside of whatever ran out of memory there is some. */
static void still_well(void)
{
	char *ptr = vup_alloc(page);
	struct vup v;

	vup_init(&v, fd);
	vup_bind_mem(&v, ptr, va, page, 0);
	vup_ok(&v, op_fill(va, page, 7));
	vup_check_value(ptr, page, 7);
	vup_fini(&v);
	vup_unmap(ptr, page);
}

enum kind {
	KIND_USERPTR,
	KIND_LEAF,
	KIND_VM,
	KIND_BINDING,
	KIND_QUEUE,
	KINDS
};

static const struct {
	const char *name;
	/* Bytes that one takes at the very least, on any kernel */
	unsigned int size;
	/* How many are made to see whether they count */
	int count;
} kinds[KINDS] = {
	[KIND_USERPTR] = { "userptr", 256, 2000 },
	[KIND_LEAF] = { "leaf", 768, 2000 },
	[KIND_VM] = { "vm", 512, 1000 },
	[KIND_BINDING] = { "binding", 4096 + 512, 500 },
	[KIND_QUEUE] = { "queue", 8192, 100 },
};

/* One more object of a kind; for children, so without assertions. */
static int make_one(const struct vup *v, enum kind what, char *ptr, int n)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = v->vm, .op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR, .range = page,
		.offset = (uintptr_t)ptr,
		/* A page table each */
		.addr = va + n * VUP_WINDOW,
	};
	uint32_t id;

	switch (what) {
	case KIND_USERPTR:
		return __vup_userptr_create(v->fd, (uintptr_t)ptr, page, 0, &id);
	case KIND_LEAF:
		return __vup_userptr_create(v->fd, (uintptr_t)ptr, page, DRM_VGEM_USERPTR_PROBE,
					    &id);
	case KIND_VM:
		return __vup_vm_create(v->fd, 0, &id);
	case KIND_BINDING:
		return __vup_bind(v->fd, &bind);
	default:
		return __vup_queue_create(v->fd, v->vm, &id);
	}
}

/* In a child that moved into the cgroup: make @count, on several files if need be. */
static int make_kind(enum kind kind, int count)
{
	char *ptr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vup v = { .fd = -1 };
	int n, err = 0;

	if (ptr == MAP_FAILED)
		return -errno;
	*ptr = 1;
	for (n = 0; !err && n < count; n++) {
		/* VMs and queues have caps of their own. */
		if (n % 200 == 0 && (kind == KIND_VM || kind == KIND_QUEUE || n == 0)) {
			v.fd = open_node();
			if (v.fd < 0)
				return -errno;
			err = __vup_vm_create(v.fd, 0, &v.vm);
			if (err)
				break;
		}
		err = make_one(&v, kind, ptr, n);
	}
	return err;
}

/* Runs in the cgroup until @done is opened, and tells how it went: 0 or -errno. */
static pid_t child_in_cgroup(enum kind kind, int count, int report, struct vup_gate *done)
{
	pid_t pid = vup_fork();

	if (!pid) {
		int result;

		if (!vup_file_write(VUP_CGROUP "/cgroup.procs", "0"))
			_exit(1);
		result = make_kind(kind, count);
		if (write(report, &result, sizeof(result)) != sizeof(result))
			_exit(2);
		if (done)
			vup_gate_pass(done);
		_exit(0);
	}
	return pid;
}

static void memcg_accounted(enum kind kind)
{
	static uint64_t userptrs;
	uint64_t before, after, expected = (uint64_t)kinds[kind].size * kinds[kind].count;
	int pipes[2], result, status;
	struct vup_gate done;
	pid_t pid;

	vup_cgroup_make("max", "0");
	vup_gate_init(&done);
	igt_assert_eq(pipe(pipes), 0);
	before = vup_file_number(VUP_CGROUP "/memory.stat", "kernel");
	pid = child_in_cgroup(kind, kinds[kind].count, pipes[1], &done);
	igt_assert_eq(read(pipes[0], &result, sizeof(result)), sizeof(result));
	igt_assert_eq(result, 0);
	after = vup_file_number(VUP_CGROUP "/memory.stat", "kernel");
	igt_info("%d %ss: %llu KiB\n", kinds[kind].count, kinds[kind].name,
		 (unsigned long long)(after - before) >> 10);
	if (kind == KIND_USERPTR)
		userptrs = after - before;
	/* One leaf comes with one userptr, and must count on top of it. */
	if (kind == KIND_LEAF && userptrs)
		expected = userptrs + 512ull * kinds[kind].count;
	igt_assert_lte_u64(before + expected, after);
	vup_gate_open(&done);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	vup_gate_fini(&done);
	close(pipes[0]);
	close(pipes[1]);
	vup_cgroup_drop();
}

static void memcg_contained(enum kind kind)
{
	const unsigned int max = 4 << 20;
	/* Four times as many as there can be room for */
	int count = 4 * max / kinds[kind].size, pipes[2], result = 0, status;
	pid_t pid;
	char text[32];

	snprintf(text, sizeof(text), "%u", max);
	/* Kernel memory cannot be swapped; what is left should not slow it down. */
	vup_cgroup_make(text, "0");
	vup_ignore_oom_kill();
	igt_assert_eq(pipe(pipes), 0);
	pid = child_in_cgroup(kind, count, pipes[1], NULL);
	close(pipes[1]);
	if (read(pipes[0], &result, sizeof(result)) == sizeof(result)) {
		igt_info("ended with %d\n", result);
		igt_assert_f(result == -ENOMEM, "there was room for %d %ss\n", count,
			     kinds[kind].name);
	}
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		igt_assert_eq(WTERMSIG(status), SIGKILL);
		igt_info("was killed\n");
		igt_assert_lt_u64(0, vup_file_number(VUP_CGROUP "/memory.events", "oom_kill"));
	}
	close(pipes[0]);
	vup_cgroup_drop();

	still_well();
}

static void unmap_page(void *ptr)
{
	vup_unmap(ptr, page);
}

static void munmap_until_timeout(void)
{
	uint32_t *word = vup_alloc_word(), syncobj;
	char *ptr = vup_alloc(page);
	uint64_t begin, took;
	struct vup_caller c;
	struct vup v;

	vup_init(&v, fd);
	vup_bind_mem(&v, ptr, va, page, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	begin = vup_now_ns();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 0), op_fill(va, page, 1));
	vup_settle();
	vup_caller_start(&c, unmap_page, ptr);
	igt_assert(vup_caller_blocked(&c));
	igt_assert_eq(vup_status(fd, syncobj), 1);
	/* Nobody lets it go but the time limit. */
	igt_assert_eq(vup_finish(fd, syncobj), -ETIME);
	vup_caller_join(&c);
	took = vup_now_ns() - begin;
	igt_info("%.1f s\n", took / 1e9);
	igt_assert_lt_u64(5 * NSEC_PER_SEC, took);

	/* The queue goes on. */
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, page, 2));
	vup_check_value(ptr, page, 2);
	vup_fini(&v);
	vup_unmap(ptr, page);
	vup_unmap(word, page);
}

/* Returns 0 or -errno; -EWOULDBLOCK while in use. */
static int unload(void)
{
	return syscall(SYS_delete_module, "vgem", O_NONBLOCK) ? -errno : 0;
}

static void require_module(void)
{
	igt_require_f(!access("/sys/module/vgem/initstate", F_OK), "vgem is built in\n");
}

static void unmap_quietly(void *ptr)
{
	munmap(ptr, page);
}

/*
 * A child with a file of its own, a hundred userptrs, a job that spins for two
 * seconds, and a thread in munmap() that waits for it. Tells when it is that
 * far, and waits to be killed.
 */
static pid_t busy_child(struct vup_gate *busy)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	struct drm_vgem_vm_bind bind = {
		.op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR, .addr = va, .range = page,
	};
	struct drm_vgem_op ops[2] = {
		op_spin(va, RELEASE, 2 * NSEC_PER_SEC), op_fill(va, 64, 1),
	};
	struct vup_caller c;
	uint32_t id;
	struct vup v;
	pid_t pid;
	char *ptr;

	pid = vup_fork();
	if (pid)
		return pid;

	v.fd = open_node();
	ptr = mmap(NULL, page, prot, flags, -1, 0);
	*ptr = 1;
	if (__vup_vm_create(v.fd, 0, &v.vm) || __vup_queue_create(v.fd, v.vm, &v.queue))
		_exit(1);
	for (int i = 0; i < 100; i++)
		if (__vup_userptr_create(v.fd, (uintptr_t)ptr, page, 0, &id))
			_exit(2);
	bind.vm_id = v.vm;
	bind.offset = (uintptr_t)ptr;
	if (__vup_bind(v.fd, &bind) || __vup_submit(&v, ops, 2, &id, NULL))
		_exit(3);
	vup_settle();
	vup_caller_start(&c, unmap_quietly, ptr);
	if (!vup_caller_blocked(&c))
		_exit(4);
	if (write(busy->fd[1], "o", 1) != 1)
		_exit(5);
	for (;;)
		pause();
}

static void reload(void)
{
	int file;

	igt_until_timeout(VUP_PATIENCE_S)
		if (unload() != -EWOULDBLOCK)
			break;
	igt_assert(access("/sys/module/vgem/initstate", F_OK));
	/* Opening loads it. */
	file = vup_open();
	note_node(file);
	drm_close_driver(file);
}

/* Pull the device out, or skip. */
static void unplug(void)
{
	char path[PATH_MAX];

	/* Beside the other one */
	snprintf(path, sizeof(path), "%.*s/unplug",
		 (int)(strlen(debugfs_path()) - strlen("/userptr")), debugfs_path());
	igt_require_f(vup_file_write(path, "1"), "cannot unplug\n");
}

/* The unplugging is done by somebody else: its file goes as the first thing. */
static void expect_refused(const struct vup *v, char *ptr)
{
	struct drm_vgem_op op = op_fill(va, 4, 1);
	uint32_t id;

	igt_until_timeout(VUP_PATIENCE_S)
		if (__vup_userptr_create(v->fd, (uintptr_t)ptr, page, 0, &id) == -ENODEV)
			break;
	igt_assert_eq(__vup_userptr_create(v->fd, (uintptr_t)ptr, page, 0, &id), -ENODEV);
	igt_assert_eq(__vup_vm_create(v->fd, 0, &id), -ENODEV);
	igt_assert_eq(__vup_exec(v->fd, &(struct drm_vgem_exec) {
				.queue_id = v->queue,
				.ops = { sizeof(op), 1, (uintptr_t)&op },
			}), -ENODEV);
}

static int sync_file_status(int sync_file)
{
	struct sync_file_info info = {};

	igt_assert_eq(ioctl(sync_file, SYNC_IOC_FILE_INFO, &info), 0);
	return info.status;
}

static void unplugged(bool busy)
{
	uint32_t *word = vup_alloc_word(), syncobj;
	char *ptr = vup_alloc(page), *other = vup_alloc(page);
	int file = vup_open(), sync_file = -1;
	struct vup_caller c;
	struct vup v;

	debugfs_path();
	vup_init(&v, file);
	vup_bind_mem(&v, ptr, va, page, 0);
	vup_bind_mem(&v, other, va + page, page, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_ok(&v, op_fill(va, 2 * page, 1));
	if (busy) {
		syncobj = vup_start(&v, op_spin(word_va, RELEASE, 0), op_fill(va, page, 2));
		sync_file = syncobj_handle_to_fd(file, syncobj,
						 DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE);
		vup_settle();
		vup_caller_start(&c, unmap_page, ptr);
		igt_assert(vup_caller_blocked(&c));
		igt_assert_eq(sync_file_status(sync_file), 0);
		/* Only the device's end lets it go before the time limit does. */
		atomic_store(&c.released, true);
	}

	unplug();
	if (busy) {
		struct pollfd p = { .fd = sync_file, .events = POLLIN };
		uint64_t begin = vup_now_ns();

		igt_assert_eq(poll(&p, 1, VUP_PATIENCE_S * 1000), 1);
		igt_assert_eq(sync_file_status(sync_file), -ENODEV);
		vup_caller_join(&c);
		/* Ended, not timed out */
		igt_assert_lt_u64(vup_now_ns() - begin, 5 * NSEC_PER_SEC);
		close(sync_file);
	} else {
		vup_unmap(ptr, page);
	}
	expect_refused(&v, other);
	vup_map_fixed(other, page, PROT_READ | PROT_WRITE);
	vup_paint(other, page, 1);
	vup_check_paint(other, page, 1);
	vup_unmap(other, page);
	close(file);
	vup_unmap(word, page);
	reload();
}

static void unload_loop(void)
{
	for (int i = 0; i < 4; i++) {
		struct vup_gate busy;
		pid_t pid[3];
		int status;

		vup_gate_init(&busy);
		for (int j = 0; j < 3; j++) {
			pid[j] = busy_child(&busy);
			vup_gate_pass(&busy);
		}
		igt_assert_eq(unload(), -EWOULDBLOCK);
		for (int j = 0; j < 3; j++)
			igt_assert_eq(kill(pid[j], SIGKILL), 0);
		/* At any time from "in use" to "nothing left" */
		reload();
		for (int j = 0; j < 3; j++)
			igt_assert_eq(waitpid(pid[j], &status, 0), pid[j]);
		vup_gate_fini(&busy);
	}
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		note_node(fd);
	}

	igt_describe("Broken if the end of a process waits for each of its userptrs.");
	igt_subtest("exit-many")
		exit_many(20000, false);

	igt_describe("Broken if each binding makes the exit wait.");
	igt_subtest("exit-many-bound")
		exit_many(5000, true);

	igt_describe("Broken if closing a file waits for each of its userptrs.");
	igt_subtest("close-many")
		close_many(20000, false);

	igt_describe("Broken if it takes more than one invalidation to let go of a userptr.");
	igt_subtest("close-many-storm")
		close_many(2000, true);

	igt_fixture()
		making_ns = MAKING_LONG_NS;

	igt_describe("Broken if the end of a process waits for each of its userptrs.");
	igt_subtest("exit-many-long")
		exit_many(100000, false);

	igt_describe("Broken if each binding makes the exit wait.");
	igt_subtest("exit-many-bound-long")
		exit_many(20000, true);

	igt_describe("Broken if closing a file waits for each of its userptrs.");
	igt_subtest("close-many-long")
		close_many(100000, false);

	igt_describe("Broken if a file can have any number of userptrs.");
	igt_subtest("cap-userptrs-long")
		cap_userptrs();

	igt_describe("Broken if kernel memory is at nobody's expense.");
	igt_subtest_with_dynamic("memcg-accounted")
		for (int kind = 0; kind < KINDS; kind++)
			igt_dynamic(kinds[kind].name)
				memcg_accounted(kind);

	igt_describe("Broken if a client can eat up the machine's memory.");
	igt_subtest_with_dynamic("memcg-contained")
		for (int kind = 0; kind < KINDS; kind++)
			igt_dynamic(kinds[kind].name)
				memcg_contained(kind);

	igt_describe("Broken if a job that hangs holds up the mm for ever.");
	igt_subtest("munmap-until-timeout")
		munmap_until_timeout();

	igt_fixture() {
		drm_close_driver(fd);
		fd = -1;
		require_module();
	}

	igt_describe("Broken if a job goes on without its device, or munmap waits for it.");
	igt_subtest("unplugged-busy")
		unplugged(true);

	igt_describe("Broken if a userptr outlives its device and does harm.");
	igt_subtest("unplugged-idle")
		unplugged(false);

	igt_describe("Broken if the driver goes before what its clients left behind.");
	igt_subtest("unload-loop")
		unload_loop();
}
