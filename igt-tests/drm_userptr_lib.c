// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/sync_file.h>

#include "drm_userptr_lib.h"
#include "igt_syncobj.h"

size_t vup_page(void)
{
	return sysconf(_SC_PAGESIZE);
}

uint64_t vup_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* ioctls */

int __vup_ioctl(int fd, unsigned long request, void *arg)
{
	int err = 0;

	if (igt_ioctl(fd, request, arg))
		err = -errno;
	errno = 0;
	return err;
}

int __vup_userptr_create(int fd, uint64_t addr, uint64_t size, uint32_t flags, uint32_t *handle)
{
	struct drm_vgem_userptr_create arg = {
		.addr = addr, .size = size, .flags = flags,
	};
	int err = __vup_ioctl(fd, DRM_IOCTL_VGEM_USERPTR_CREATE, &arg);

	*handle = arg.handle;
	return err;
}

uint32_t vup_userptr_create(int fd, const void *addr, uint64_t size, uint32_t flags)
{
	uint32_t handle;

	igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)addr, size, flags, &handle), 0);
	igt_assert_neq_u32(handle, 0);
	return handle;
}

int __vup_vm_create(int fd, uint32_t flags, uint32_t *vm)
{
	struct drm_vgem_vm_create arg = { .flags = flags };
	int err = __vup_ioctl(fd, DRM_IOCTL_VGEM_VM_CREATE, &arg);

	*vm = arg.vm_id;
	return err;
}

int __vup_vm_destroy(int fd, uint32_t vm)
{
	struct drm_vgem_vm_destroy arg = { .vm_id = vm };

	return __vup_ioctl(fd, DRM_IOCTL_VGEM_VM_DESTROY, &arg);
}

int __vup_queue_create(int fd, uint32_t vm, uint32_t *queue)
{
	struct drm_vgem_queue_create arg = { .vm_id = vm };
	int err = __vup_ioctl(fd, DRM_IOCTL_VGEM_QUEUE_CREATE, &arg);

	*queue = arg.queue_id;
	return err;
}

int __vup_queue_destroy(int fd, uint32_t queue)
{
	struct drm_vgem_queue_destroy arg = { .queue_id = queue };

	return __vup_ioctl(fd, DRM_IOCTL_VGEM_QUEUE_DESTROY, &arg);
}

int __vup_bind(int fd, const struct drm_vgem_vm_bind *bind)
{
	struct drm_vgem_vm_bind arg = *bind;

	return __vup_ioctl(fd, DRM_IOCTL_VGEM_VM_BIND, &arg);
}

int vup_ioctl_once(int fd, unsigned long request, void *arg)
{
	int err = ioctl(fd, request, arg) ? -errno : 0;

	errno = 0;
	return err;
}

int __vup_exec(int fd, struct drm_vgem_exec *exec)
{
	int err;

	/* drmIoctl() goes on after EAGAIN as well, which would hide it here. */
	do {
		err = vup_ioctl_once(fd, DRM_IOCTL_VGEM_EXEC, exec);
	} while (err == -EINTR);
	return err;
}

int __vup_wait_user_fence(int fd, struct drm_vgem_wait_user_fence *wait)
{
	return __vup_ioctl(fd, DRM_IOCTL_VGEM_WAIT_USER_FENCE, wait);
}

int __vup_dumb_create(int fd, uint64_t size, uint32_t *handle)
{
	struct drm_mode_create_dumb arg = {
		.width = 1024, .height = size / 4096, .bpp = 32,
	};
	int err = __vup_ioctl(fd, DRM_IOCTL_MODE_CREATE_DUMB, &arg);

	*handle = arg.handle;
	return err;
}

uint32_t vup_dumb_create(int fd, uint64_t size)
{
	uint32_t handle;

	igt_assert(IS_ALIGNED(size, 4096));
	igt_assert_eq(__vup_dumb_create(fd, size, &handle), 0);
	return handle;
}

void *vup_dumb_mmap(int fd, uint32_t handle, uint64_t size)
{
	struct drm_mode_map_dumb arg = { .handle = handle };
	void *ptr;

	do_ioctl(fd, DRM_IOCTL_MODE_MAP_DUMB, &arg);
	ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, arg.offset);
	igt_assert(ptr != MAP_FAILED);
	return ptr;
}

int vup_open(void)
{
	int fd = drm_open_driver(DRIVER_VGEM);
	struct drm_vgem_vm_query arg = { .vm_id = ~0u };

	/* A plain vgem does not know the ioctl; ours does not know the VM. */
	igt_require_f(__vup_ioctl(fd, DRM_IOCTL_VGEM_VM_QUERY, &arg) == -ENOENT,
		      "vgem without userptr support\n");
	return fd;
}

static void init(struct vup *v, int fd, uint32_t flags)
{
	vup_stop_numa_balancing();
	v->fd = fd;
	igt_assert_eq(__vup_vm_create(fd, flags, &v->vm), 0);
	igt_assert_eq(__vup_queue_create(fd, v->vm, &v->queue), 0);
}

void vup_init(struct vup *v, int fd)
{
	init(v, fd, 0);
}

void vup_init_long_running(struct vup *v, int fd)
{
	init(v, fd, DRM_VGEM_VM_CREATE_LONG_RUNNING);
}

void vup_fini(struct vup *v)
{
	igt_assert_eq(__vup_queue_destroy(v->fd, v->queue), 0);
	igt_assert_eq(__vup_vm_destroy(v->fd, v->vm), 0);
}

/* Binding */

void vup_bind_bo(const struct vup *v, uint32_t handle, uint64_t va, uint64_t size,
		 uint64_t offset, uint32_t flags)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = v->vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .handle = handle,
		.flags = flags, .addr = va, .range = size, .offset = offset,
	};

	igt_assert_eq(__vup_bind(v->fd, &bind), 0);
}

void vup_bind_mem(const struct vup *v, const void *ptr, uint64_t va, uint64_t size,
		  uint32_t flags)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = v->vm, .op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR, .flags = flags,
		.addr = va, .range = size, .offset = (uintptr_t)ptr,
	};

	igt_assert_eq(__vup_bind(v->fd, &bind), 0);
}

void vup_unbind(const struct vup *v, uint64_t va, uint64_t size)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = v->vm, .op = DRM_VGEM_VM_BIND_OP_UNMAP, .addr = va, .range = size,
	};

	igt_assert_eq(__vup_bind(v->fd, &bind), 0);
}

const char * const vup_how_name[VUP_HOWS] = {
	[VUP_BO] = "bo",
	[VUP_RANGE] = "range",
};

void vup_bind_how(const struct vup *v, enum vup_how how, const void *ptr, uint64_t va,
		  uint64_t size, bool read_only)
{
	uint32_t handle;

	if (how == VUP_RANGE) {
		vup_bind_mem(v, ptr, va, size, read_only ? DRM_VGEM_VM_BIND_READ_ONLY : 0);
		return;
	}

	handle = vup_userptr_create(v->fd, ptr, size,
				    read_only ? DRM_VGEM_USERPTR_READ_ONLY : 0);
	vup_bind_bo(v, handle, va, size, 0, read_only ? DRM_VGEM_VM_BIND_READ_ONLY : 0);
	gem_close(v->fd, handle);
}

/* Jobs */

int __vup_submit(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count,
		 uint32_t *syncobj, uint64_t *fault_addr)
{
	struct drm_vgem_sync sync = {
		.handle = syncobj_create(v->fd, 0), .flags = DRM_VGEM_SYNC_SIGNAL,
	};
	struct drm_vgem_exec exec = {
		.queue_id = v->queue,
		.ops = { .stride = sizeof(*ops), .count = count, .array = (uintptr_t)ops },
		.syncs = { .stride = sizeof(sync), .count = 1, .array = (uintptr_t)&sync },
	};
	int err = __vup_exec(v->fd, &exec);

	if (fault_addr)
		*fault_addr = exec.fault_addr;
	if (err)
		syncobj_destroy(v->fd, sync.handle);
	else
		*syncobj = sync.handle;
	return err;
}

uint32_t vup_submit(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count)
{
	uint64_t fault = 0;
	uint32_t syncobj;
	int err = __vup_submit(v, ops, count, &syncobj, &fault);

	igt_assert_f(err == 0, "exec refused: %d, fault address %#llx\n",
		     err, (unsigned long long)fault);
	return syncobj;
}

int vup_status(int fd, uint32_t syncobj)
{
	struct sync_file_info info = {};
	int file, err;

	file = syncobj_handle_to_fd(fd, syncobj, DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE);
	err = ioctl(file, SYNC_IOC_FILE_INFO, &info);
	close(file);
	igt_assert_eq(err, 0);

	/* sync_file says 0 active, 1 signalled: turn it round, as errors are negative */
	return info.status < 0 ? info.status : !info.status;
}

int vup_finish(int fd, uint32_t syncobj)
{
	int status;

	igt_assert_eq(syncobj_wait_err(fd, &syncobj, 1,
				       vup_now_ns() + VUP_PATIENCE_S * 1000000000ull, 0), 0);
	status = vup_status(fd, syncobj);
	igt_assert_lte(status, 0);
	syncobj_destroy(fd, syncobj);
	return status;
}

int vup_run(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count)
{
	return vup_finish(v->fd, vup_submit(v, ops, count));
}

int __vup_run(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count)
{
	uint32_t syncobj;
	int err = __vup_submit(v, ops, count, &syncobj, NULL);

	return err ?: vup_finish(v->fd, syncobj);
}

void vup_refused(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count,
		 int err, uint64_t fault_page)
{
	struct drm_vgem_vm_stats before, after;
	uint64_t fault = 0;
	uint32_t syncobj;

	vup_stats(v, &before);
	igt_assert_eq(__vup_submit(v, ops, count, &syncobj, &fault), err);
	igt_assert_eq_u64(fault & ~(uint64_t)(vup_page() - 1), fault_page);
	vup_stats(v, &after);
	igt_assert_eq_u64(before.submits, after.submits);
}

int __vup_push(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count)
{
	struct drm_vgem_exec exec = {
		.queue_id = v->queue,
		.ops = { .stride = sizeof(*ops), .count = count, .array = (uintptr_t)ops },
	};

	return __vup_exec(v->fd, &exec);
}

void vup_stats(const struct vup *v, struct drm_vgem_vm_stats *stats)
{
	struct drm_vgem_vm_query arg = {
		.vm_id = v->vm, .query = DRM_VGEM_VM_QUERY_STATS,
		.size = sizeof(*stats), .data = (uintptr_t)stats,
	};

	memset(stats, 0xff, sizeof(*stats));
	igt_assert_eq(__vup_ioctl(v->fd, DRM_IOCTL_VGEM_VM_QUERY, &arg), 0);
}

/* Memory */

void *vup_reserve(size_t size, size_t align)
{
	uintptr_t start, aligned;
	void *ptr;

	ptr = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	igt_assert(ptr != MAP_FAILED);
	start = (uintptr_t)ptr;
	aligned = (start + align - 1) & ~(align - 1);
	if (aligned > start)
		igt_assert_eq(munmap(ptr, aligned - start), 0);
	if (start + align > aligned)
		igt_assert_eq(munmap((void *)(aligned + size), start + align - aligned), 0);
	return (void *)aligned;
}

void *vup_map_fixed(void *addr, size_t size, int prot)
{
	void *ptr = mmap(addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	igt_assert(ptr == addr);
	return ptr;
}

void *vup_alloc(size_t size)
{
	return vup_map_fixed(vup_reserve(size, vup_page()), size, PROT_READ | PROT_WRITE);
}

void *vup_alloc_windows(size_t size)
{
	void *ptr = vup_map_fixed(vup_reserve(size, VUP_WINDOW), size, PROT_READ | PROT_WRITE);

	/* Tests that count windows must not have khugepaged invalidate for them. */
	madvise(ptr, size, MADV_NOHUGEPAGE);
	errno = 0;
	return ptr;
}

uint32_t *vup_alloc_word(void)
{
	uint32_t *word = vup_alloc(vup_page());

	WRITE_ONCE(*word, 0);
	return word;
}

void vup_stop_numa_balancing(void)
{
	/* Fails where there is no NUMA: as well. */
	syscall(SYS_set_mempolicy, MPOL_LOCAL, NULL, 0);
	errno = 0;
}

void vup_unmap(void *addr, size_t size)
{
	igt_assert_eq(munmap(addr, size), 0);
}

int vup_memfd(size_t size)
{
	int fd = memfd_create("vgem_userptr", MFD_CLOEXEC);

	igt_require_f(fd >= 0 || errno != ENOSYS, "kernel without memfd_create()\n");
	igt_assert_fd(fd);
	igt_assert_eq(ftruncate(fd, size), 0);
	return fd;
}

int vup_real_file(size_t size)
{
	char path[PATH_MAX] = "", *dir;
	struct statfs fs;
	int file;

	igt_assert_lt(0, readlink("/proc/self/exe", path, sizeof(path) - 32));
	dir = dirname(path);
	igt_assert_eq(statfs(dir, &fs), 0);
	igt_require_f(fs.f_type != TMPFS_MAGIC, "%s is on tmpfs, which has no writeback\n", dir);
	strcat(dir, "/vgem_userptr.XXXXXX");
	file = mkostemp(dir, O_CLOEXEC);
	igt_require_f(file >= 0, "%s: %s\n", dir, strerror(errno));
	/* In this order: not every file system finds a file that has no name. */
	igt_assert_eq(ftruncate(file, size), 0);
	igt_assert_eq(unlink(dir), 0);
	return file;
}

void *vup_map_memfd(void *addr, int memfd, size_t size, off_t offset)
{
	void *ptr = mmap(addr, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | (addr ? MAP_FIXED : 0), memfd, offset);

	igt_assert(ptr != MAP_FAILED);
	return ptr;
}

/* Odd multipliers are bijective, so no word of two different seeds is equal. */
uint32_t vup_word(uint32_t seed, size_t index)
{
	return (seed * 0x9e3779b1u) ^ ((uint32_t)index * 0x85ebca6bu);
}

void vup_paint(void *ptr, size_t size, uint32_t seed)
{
	uint32_t *word = ptr;

	for (size_t i = 0; i < size / 4; i++)
		word[i] = vup_word(seed, i);
}

void vup_check_paint(const void *ptr, size_t size, uint32_t seed)
{
	const uint32_t *word = ptr;

	for (size_t i = 0; i < size / 4; i++)
		igt_assert_f(word[i] == vup_word(seed, i),
			     "seed %u, byte %#zx of %#zx: %#x instead of %#x\n",
			     seed, i * 4, size, word[i], vup_word(seed, i));
}

void vup_check_value(const void *ptr, size_t size, uint32_t value)
{
	const uint32_t *word = ptr;

	for (size_t i = 0; i < size / 4; i++)
		igt_assert_f(word[i] == value, "byte %#zx of %#zx: %#x instead of %#x\n",
			     i * 4, size, word[i], value);
}

/* Bit by bit: slow, and obviously not the implementation under test. */
uint32_t vup_crc32(const void *ptr, size_t size)
{
	const uint8_t *byte = ptr;
	uint32_t crc = ~0u;

	while (size--) {
		crc ^= *byte++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

uint32_t vup_device_crc(const struct vup *v, uint64_t va, uint64_t size)
{
	uint32_t *result = vup_alloc(vup_page());
	uint64_t at = DRM_VGEM_VA_SIZE - vup_page();
	uint32_t crc;

	vup_bind_mem(v, result, at, vup_page(), 0);
	vup_ok(v, op_crc32(va, size, at));
	crc = *result;
	vup_unbind(v, at, vup_page());
	vup_unmap(result, vup_page());
	return crc;
}

/* Threads */

static void *vup_caller_main(void *data)
{
	struct vup_caller *c = data;

	atomic_store(&c->tid, syscall(SYS_gettid));
	c->call(c->data);
	c->too_early = !atomic_load(&c->released);
	atomic_store(&c->done, true);
	return NULL;
}

void vup_settle(void)
{
	/* Holes and guard pages make it fail half-way, which is far enough. */
	mlockall(MCL_CURRENT);
	munlockall();
	errno = 0;
}

void vup_caller_start(struct vup_caller *c, void (*call)(void *), void *data)
{
	memset(c, 0, sizeof(*c));
	c->call = call;
	c->data = data;
	igt_assert_eq(pthread_create(&c->thread, NULL, vup_caller_main, c), 0);
}

/* The letter in a task's stat file, or 0 if there is no such task */
static char task_state(int tid)
{
	char path[64], stat[512], *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	if (!vup_file_read(path, stat, sizeof(stat))) {
		errno = 0;
		return 0;
	}
	/* The name is in parentheses and may contain anything. */
	end = strrchr(stat, ')');
	return end && end[1] ? end[2] : 0;
}

/*
 * A task may also sleep for a moment on a lock, and one that waits may look
 * around now and then. It has to be seen asleep many times, with few exceptions,
 * to count as waiting. @tid is 0 until it is known, @done is set when there is
 * nothing to wait for any more.
 */
static bool task_in_state(atomic_int *tid, atomic_bool *done, char state)
{
	int seen = 0;

	igt_until_timeout(VUP_PATIENCE_S) {
		int id = atomic_load(tid);
		char now = id ? task_state(id) : 0;

		if (atomic_load(done) || (id && !now) || now == 'Z')
			return false;
		seen = now == state ? seen + 1 : max(seen - 10, 0);
		if (seen == 100)
			return true;
		sched_yield();
	}
	igt_assert_f(false, "the task neither blocks nor ends\n");
	return false;
}

bool vup_caller_blocked(struct vup_caller *c)
{
	return task_in_state(&c->tid, &c->done, 'D');
}

bool vup_caller_sleeps(struct vup_caller *c)
{
	return task_in_state(&c->tid, &c->done, 'S');
}

bool vup_task_sleeps(int pid)
{
	atomic_int tid = pid;
	atomic_bool done = false;

	return task_in_state(&tid, &done, 'S');
}

void vup_caller_join(struct vup_caller *c)
{
	igt_assert_eq(pthread_join(c->thread, NULL), 0);
}

bool vup_process_blocked(pid_t pid)
{
	atomic_int tid = pid;
	atomic_bool done = false;

	return task_in_state(&tid, &done, 'D');
}

#define CONTROLLERS	"/sys/fs/cgroup/cgroup.subtree_control"

static bool controller_is_ours;

static void cgroup_restore(int sig)
{
	(void)sig;
	rmdir(VUP_CGROUP);
	if (controller_is_ours)
		vup_file_write(CONTROLLERS, "-memory");
}

void vup_cgroup_make(const char *max, const char *swap_max)
{
	char text[256];

	igt_require_f(vup_file_read(CONTROLLERS, text, sizeof(text)), "no cgroup2\n");
	igt_install_exit_handler(cgroup_restore);
	if (!strstr(text, "memory")) {
		igt_require_f(vup_file_write(CONTROLLERS, "+memory"), "no memory controller\n");
		controller_is_ours = true;
	}
	rmdir(VUP_CGROUP);
	igt_require_f(!mkdir(VUP_CGROUP, 0700), "cannot make a cgroup\n");
	igt_assert(vup_file_write(VUP_CGROUP "/memory.max", max));
	/* Not there in a kernel without swap */
	vup_file_write(VUP_CGROUP "/memory.swap.max", swap_max);
}

void vup_cgroup_drop(void)
{
	/* Objects that the kernel lets go of in the background keep it busy. */
	igt_until_timeout(VUP_PATIENCE_S)
		if (!rmdir(VUP_CGROUP))
			return;
	igt_assert_f(false, "cannot remove the cgroup: %s\n", strerror(errno));
}

void vup_ignore_oom_kill(void)
{
	/*
	 * What the kernel says when it kills for memory, with its call trace; and
	 * when the reaper gave up because a job takes its time, with all locks. No
	 * backslash: it would not come through the kernel's log as one.
	 */
	igt_emit_ignore_dmesg_regex("oom-killer|oom_reaper|Killed process|[Mm]emory cgroup|CPU: |"
				    "Hardware name|Tainted: |Stack:|Call Trace|TASK>|[+]0x[0-9a-f]+/0x|"
				    "^ *(RIP|Code|RSP|RAX|RDX|RBP|R10|R13|PKRU)|^ *[0-9a-f ]+$|"
				    "Showing all locks|locks? held by|^ #[0-9]+: |^=+$|^$");
}

/* Processes */

pid_t vup_fork(void)
{
	pid_t pid = fork();

	igt_assert_lte(0, pid);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

void vup_send_file(int to, int file)
{
	char control[CMSG_SPACE(sizeof(int))] = { }, byte = 'f';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &file, sizeof(int));
	igt_assert_eq(sendmsg(to, &msg, 0), 1);
}

int vup_receive_file(int from)
{
	char control[CMSG_SPACE(sizeof(int))] = { }, byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int file = -1;

	if (recvmsg(from, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return file;
}

/* Gates */

void vup_gate_init(struct vup_gate *g)
{
	igt_assert_eq(pipe(g->fd), 0);
}

void vup_gate_open(struct vup_gate *g)
{
	igt_assert_eq(write(g->fd[1], "o", 1), 1);
}

void vup_gate_pass(struct vup_gate *g)
{
	struct pollfd p = { .fd = g->fd[0], .events = POLLIN };
	char c;
	int ret;

	/* A peer whose assertion failed never opens the gate. */
	do {
		ret = poll(&p, 1, VUP_PATIENCE_S * 1000);
	} while (ret < 0 && errno == EINTR);
	igt_assert_f(ret == 1, "nobody opened the gate\n");
	igt_assert_f(read(g->fd[0], &c, 1) == 1, "who was to open the gate is gone\n");
}

void vup_gate_fini(struct vup_gate *g)
{
	close(g->fd[0]);
	close(g->fd[1]);
}

/* Lives of address spaces */

static int life_open(int life)
{
	char path[64];
	int fd;

	/* A file description of its own, so a lock of its own */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", life);
	fd = open(path, O_RDWR | O_CLOEXEC);
	igt_assert_fd(fd);
	return fd;
}

int vup_life_make(void)
{
	return vup_memfd(vup_page());
}

void vup_life_tie(int life)
{
	int fd = life_open(life);
	void *ptr;

	igt_assert_eq(flock(fd, LOCK_EX), 0);
	ptr = vup_map_memfd(NULL, fd, vup_page(), 0);
	/* Children have mms of their own. */
	igt_assert_eq(madvise(ptr, vup_page(), MADV_DONTFORK), 0);
	close(fd);
}

bool vup_life_over(int life)
{
	int fd = life_open(life);
	bool over = !flock(fd, LOCK_EX | LOCK_NB);

	close(fd);
	errno = 0;
	return over;
}

void vup_life_wait(int life)
{
	int fd = life_open(life);

	igt_set_timeout(VUP_PATIENCE_S, "waiting for an mm to go");
	igt_assert_eq(flock(fd, LOCK_EX), 0);
	igt_reset_timeout();
	close(fd);
	close(life);
}

/* Files of /proc and /sys */

bool vup_file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;
	ssize_t len = strlen(text);

	if (fd < 0)
		return false;
	if (write(fd, text, len) != len)
		err = errno ?: EIO;
	close(fd);
	errno = err;
	return !err;
}

bool vup_file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	err = len < 0 ? errno : 0;
	close(fd);
	text[max(len, (ssize_t)0)] = 0;
	errno = err;
	return !err;
}

static struct knob {
	char path[96];
	char text[64];
} knobs[8];

static void knobs_restore(int sig)
{
	(void)sig;
	for (int i = ARRAY_SIZE(knobs) - 1; i >= 0; i--)
		if (knobs[i].path[0])
			vup_file_write(knobs[i].path, knobs[i].text);
}

void vup_knob_set(const char *path, const char *text)
{
	struct knob *knob = knobs;
	char *choice, *end;

	while (knob->path[0] && strcmp(knob->path, path))
		igt_assert(++knob < knobs + ARRAY_SIZE(knobs));
	if (!knob->path[0]) {
		igt_require_f(vup_file_read(path, knob->text, sizeof(knob->text)),
			      "kernel without %s\n", path);
		/* Of a list of words the one in brackets is in force. */
		choice = strchr(knob->text, '[');
		end = choice ? strchr(choice, ']') : NULL;
		if (end) {
			*end = 0;
			memmove(knob->text, choice + 1, end - choice);
		}
		if (knob == knobs)
			igt_install_exit_handler(knobs_restore);
		snprintf(knob->path, sizeof(knob->path), "%s", path);
	}
	igt_require_f(vup_file_write(path, text), "no permission to write %s\n", path);
}

long vup_file_number(const char *path, const char *word)
{
	FILE *f = fopen(path, "re");
	long number = -1;
	char line[512];

	while (f && number < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, word, strlen(word)))
			sscanf(line + strlen(word), "%*[: \t]%ld", &number);
	if (f)
		fclose(f);
	return number;
}

bool vup_have_swap(void)
{
	char text[1024];

	/* The first line is the heading. */
	return vup_file_read("/proc/swaps", text, sizeof(text)) && strchr(text, '/');
}

static uint64_t pread_u64(const char *path, uint64_t index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t value = 0;

	igt_require_f(fd >= 0, "%s: %s\n", path, strerror(errno));
	igt_assert_eq(pread(fd, &value, sizeof(value), index * sizeof(value)), sizeof(value));
	close(fd);
	return value;
}

uint64_t vup_page_frame(const void *ptr)
{
	uint64_t entry = 0, pfn;

	/* Who merges or moves a page takes it out of the page table for a moment. */
	igt_until_timeout(VUP_PATIENCE_S) {
		entry = pread_u64("/proc/self/pagemap", (uintptr_t)ptr / vup_page());
		if (entry >> 63)
			break;
		READ_ONCE(*(const char *)ptr);
	}
	igt_assert_f(entry >> 63, "nothing is mapped at %p\n", ptr);
	pfn = entry & ((1ull << 55) - 1);
	igt_require_f(pfn, "no permission to see page frame numbers\n");
	return pfn;
}

bool vup_page_flag(const void *ptr, int flag)
{
	return pread_u64("/proc/kpageflags", vup_page_frame(ptr)) >> flag & 1;
}
