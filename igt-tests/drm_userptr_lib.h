/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * What the vgem_userptr_* tests share: thin wrappers of the ioctls, jobs that
 * read like sentences, and memory that knows what it should contain.
 *
 * Wrappers with two leading underscores return 0 or a negative errno, the
 * others assert success. A job has two places to fail: the exec ioctl (nothing
 * was submitted) and its fence (the engine ran into something); vup_do() tells
 * the second and insists on the first.
 */
#ifndef DRM_USERPTR_LIB_H
#define DRM_USERPTR_LIB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "igt.h"
#include "vgem_userptr_drm.h"

/* Advice that a C library may not know yet, as in linux/mman.h */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

#define VUP_WINDOW	(2ull << 20)

/* GPU addresses, far enough from each other for any test's bindings */
#define VUP_VA(n)	(0x100000000ull + (n) * 0x40000000ull)

/* Two error-free outcomes are never as late as this, even under emulation. */
#define VUP_PATIENCE_S	30

/** struct vup - a VM with one queue on a file */
struct vup {
	int fd;
	uint32_t vm;
	uint32_t queue;
};

/* The page size; a function call in no test's hot path. */
size_t vup_page(void);
uint64_t vup_now_ns(void);

/* ioctls */
int __vup_ioctl(int fd, unsigned long request, void *arg);
/* Without the restarts of drmIoctl(): EINTR and EAGAIN come back, too. */
int vup_ioctl_once(int fd, unsigned long request, void *arg);
int __vup_userptr_create(int fd, uint64_t addr, uint64_t size, uint32_t flags, uint32_t *handle);
uint32_t vup_userptr_create(int fd, const void *addr, uint64_t size, uint32_t flags);
int __vup_vm_create(int fd, uint32_t flags, uint32_t *vm);
int __vup_vm_destroy(int fd, uint32_t vm);
int __vup_queue_create(int fd, uint32_t vm, uint32_t *queue);
int __vup_queue_destroy(int fd, uint32_t queue);
int __vup_bind(int fd, const struct drm_vgem_vm_bind *bind);
int __vup_exec(int fd, struct drm_vgem_exec *exec);
int __vup_wait_user_fence(int fd, struct drm_vgem_wait_user_fence *wait);
int __vup_dumb_create(int fd, uint64_t size, uint32_t *handle);
uint32_t vup_dumb_create(int fd, uint64_t size);
void *vup_dumb_mmap(int fd, uint32_t handle, uint64_t size);

/* Opens the primary node (dumb buffers are not for render nodes), or skips. */
int vup_open(void);
void vup_init(struct vup *v, int fd);
/* The same with a long-running queue, to which vup_push() submits */
void vup_init_long_running(struct vup *v, int fd);
void vup_fini(struct vup *v);

/* Binding: a buffer object, the caller's own memory, nothing */
void vup_bind_bo(const struct vup *v, uint32_t handle, uint64_t va, uint64_t size,
		 uint64_t offset, uint32_t flags);
void vup_bind_mem(const struct vup *v, const void *ptr, uint64_t va, uint64_t size,
		  uint32_t flags);
void vup_unbind(const struct vup *v, uint64_t va, uint64_t size);

/* The two ways to bind memory, for tests that must hold for both */
enum vup_how {
	VUP_BO,
	VUP_RANGE,
	VUP_HOWS
};
extern const char * const vup_how_name[VUP_HOWS];
/* Binds @ptr, by an object that the VM alone keeps alive or as a bare range. */
void vup_bind_how(const struct vup *v, enum vup_how how, const void *ptr, uint64_t va,
		  uint64_t size, bool read_only);

/* Operations */
static inline struct drm_vgem_op op_fill(uint64_t dst, uint64_t size, uint32_t value)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_FILL, .dst = dst, .size = size, .value = value,
	};
}

static inline struct drm_vgem_op op_copy(uint64_t dst, uint64_t src, uint64_t size)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_COPY, .dst = dst, .src = src, .size = size,
	};
}

static inline struct drm_vgem_op op_xor(uint64_t dst, uint64_t size, uint32_t value)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_XOR, .dst = dst, .size = size, .value = value,
	};
}

static inline struct drm_vgem_op op_compare(uint64_t dst, uint64_t src, uint64_t size,
					    uint64_t result)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_COMPARE, .dst = dst, .src = src, .size = size,
		.result = result,
	};
}

static inline struct drm_vgem_op op_crc32(uint64_t src, uint64_t size, uint64_t result)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_CRC32, .src = src, .size = size, .result = result,
	};
}

static inline struct drm_vgem_op op_spin(uint64_t src, uint32_t value, uint64_t ns)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_SPIN, .src = src, .value = value, .size = ns,
	};
}

static inline struct drm_vgem_op op_user_fence(uint64_t dst, uint64_t value)
{
	return (struct drm_vgem_op) {
		.opcode = DRM_VGEM_OP_USER_FENCE, .dst = dst, .value = value,
	};
}

/*
 * A job with an out-fence. __vup_submit() reports what the ioctl said and
 * writes the syncobj only on success; vup_finish() waits, destroys the syncobj
 * and tells the fence's status, 0 or a negative errno.
 */
int __vup_submit(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count,
		 uint32_t *syncobj, uint64_t *fault_addr);
uint32_t vup_submit(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count);
int vup_finish(int fd, uint32_t syncobj);
/* Status of the fence now: 1 active, else as vup_finish(). Destroys nothing. */
int vup_status(int fd, uint32_t syncobj);
int vup_run(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count);
/* Same, but -errno of the ioctl comes back too. For loops that expect refusals. */
int __vup_run(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count);
void vup_refused(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count,
		 int err, uint64_t fault_page);

#define vup_ops__(...)		((const struct drm_vgem_op[]){ __VA_ARGS__ })
#define vup_count__(...)	(sizeof(vup_ops__(__VA_ARGS__)) / sizeof(struct drm_vgem_op))

/* Submit without waiting; run to the end and tell; must end well. */
#define vup_start(v, ...)	vup_submit(v, vup_ops__(__VA_ARGS__), vup_count__(__VA_ARGS__))
#define vup_do(v, ...)		vup_run(v, vup_ops__(__VA_ARGS__), vup_count__(__VA_ARGS__))
#define vup_ok(v, ...)		igt_assert_eq(vup_do(v, __VA_ARGS__), 0)
/* One op must be refused by the ioctl with @err for the page at @fault_page. */
#define vup_refuse(v, err, fault_page, ...) \
	vup_refused(v, vup_ops__(__VA_ARGS__), vup_count__(__VA_ARGS__), err, fault_page)

/* A job without any fence; the others are not for long-running queues. */
int __vup_push(const struct vup *v, const struct drm_vgem_op *ops, unsigned int count);
#define vup_push(v, ...) \
	igt_assert_eq(__vup_push(v, vup_ops__(__VA_ARGS__), vup_count__(__VA_ARGS__)), 0)

void vup_stats(const struct vup *v, struct drm_vgem_vm_stats *stats);

/* Memory. Sizes and alignments are in bytes; anonymous, private, read-write. */
void *vup_reserve(size_t size, size_t align);
void *vup_alloc(size_t size);
void *vup_alloc_windows(size_t size);
/*
 * A page for a spin to look at while the CPU writes to it. It is touched before
 * the device can see it: else the CPU's first write would replace the zero page,
 * and the kernel would rightly let it wait for the job that it should release.
 */
uint32_t *vup_alloc_word(void);
/*
 * Automatic NUMA balancing invalidates what a task uses, in the task itself: it
 * would wait for jobs of its own, and counts would be wrong. It leaves memory
 * alone that has a policy. vup_init() calls this.
 */
void vup_stop_numa_balancing(void);
void *vup_map_fixed(void *addr, size_t size, int prot);
void vup_unmap(void *addr, size_t size);
int vup_memfd(size_t size);
void *vup_map_memfd(void *addr, int memfd, size_t size, off_t offset);
/* A file, already unlinked, of which pages are written back; tmpfs has no such. Or skips. */
int vup_real_file(size_t size);

/* What a seed puts at each 32-bit word; distinct seeds differ in every word. */
uint32_t vup_word(uint32_t seed, size_t index);
void vup_paint(void *ptr, size_t size, uint32_t seed);
void vup_check_paint(const void *ptr, size_t size, uint32_t seed);
void vup_check_value(const void *ptr, size_t size, uint32_t value);
uint32_t vup_crc32(const void *ptr, size_t size);

/* The CRC that the device sees, through a result word of the test's own */
uint32_t vup_device_crc(const struct vup *v, uint64_t va, uint64_t size);

/*
 * A thread that makes one call into the mm, and how far it got. The main thread
 * writes @released before it lets go what the call must wait for, so @too_early
 * is a fact about order, not about time.
 */
struct vup_caller {
	pthread_t thread;
	void (*call)(void *data);
	void *data;
	atomic_int tid;
	atomic_bool released;
	atomic_bool done;
	bool too_early;
};

/*
 * Fault in what the main thread needs from here on. While a thread sleeps in
 * munmap() and the like it holds the mmap_lock: a page fault would join it.
 */
void vup_settle(void);
void vup_caller_start(struct vup_caller *c, void (*call)(void *), void *data);
/*
 * True when the thread sleeps inside its call, false when it is through:
 * uninterruptibly, as the mm waits, or interruptibly, as an ioctl should.
 */
bool vup_caller_blocked(struct vup_caller *c);
bool vup_caller_sleeps(struct vup_caller *c);
/* The same for a process: true when it sleeps interruptibly, false when it ended. */
bool vup_task_sleeps(int pid);
void vup_caller_join(struct vup_caller *c);
/* The same of a child's only thread; false when it has ended. */
bool vup_process_blocked(pid_t pid);

/*
 * fork() for children that are to be killed, or to end in a way of their own:
 * they do not outlive a test that fails.
 */
pid_t vup_fork(void);

/* A file descriptor over a socket, with SCM_RIGHTS; -1 if none came */
void vup_send_file(int to, int file);
int vup_receive_file(int from);

/* One-shot gate between processes that fork() made; waiting is bounded. */
struct vup_gate {
	int fd[2];
};

void vup_gate_init(struct vup_gate *g);
void vup_gate_open(struct vup_gate *g);
void vup_gate_pass(struct vup_gate *g);
void vup_gate_fini(struct vup_gate *g);

/*
 * When is an mm gone, not just its process? When the lock is free that only a
 * mapping in it keeps. Made by the waiting process, tied by the one that ends.
 */
int vup_life_make(void);
void vup_life_tie(int life);
void vup_life_wait(int life);
/* Is it gone already? */
bool vup_life_over(int life);

/*
 * Files of /proc and /sys. Writing and reading fail with false and errno.
 * What was set is set back when the test program ends, however it does.
 */
bool vup_file_write(const char *path, const char *text);
bool vup_file_read(const char *path, char *text, size_t size);
void vup_knob_set(const char *path, const char *text);
/* The number behind a word in a file like /proc/meminfo, or -1 */
long vup_file_number(const char *path, const char *word);
bool vup_have_swap(void);
/*
 * A control group, of which only new processes are members that move there; or
 * skips. Limits are in bytes, or "max".
 */
#define VUP_CGROUP "/sys/fs/cgroup/vgem_userptr"
void vup_cgroup_make(const char *max, const char *swap_max);
void vup_cgroup_drop(void);
/* From here on a kill for memory is no reason for the runner to complain. */
void vup_ignore_oom_kill(void);

/*
 * What @ptr lies on: a bit of KPF_* in /proc/kpageflags. Skips if that may not
 * be read.
 */
bool vup_page_flag(const void *ptr, int flag);
/* The number of the page frame. Skips if that may not be seen. */
uint64_t vup_page_frame(const void *ptr);

#endif /* DRM_USERPTR_LIB_H */
