/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef _UAPI_VGEM_USERPTR_DRM_H_
#define _UAPI_VGEM_USERPTR_DRM_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * DOC: vgem userptr uAPI
 *
 * vgem's small virtual GPU. A *VM* is a GPU address space; *VM_BIND* maps
 * buffer objects or bare ranges of the caller's own memory into it; a *queue*
 * executes jobs, in order, on an engine that reaches memory only through the
 * VM's page table.
 *
 * Memory of the process (a userptr) is never pinned: it follows the CPU's page
 * tables. What the CPU unmaps, the GPU loses before munmap() returns; what the
 * CPU maps anew at the same address, the next job sees.
 *
 * A VM is made for one of two kinds of jobs. Those of an ordinary VM have an end,
 * and fences; taking memory away waits for them. Those of a *long-running* VM
 * need not have an end: taking memory away only interrupts them. They have no
 * fences, but can store to user memory when they are done (a *user fence*).
 *
 * All ioctls are allowed on render nodes. Unknown flags, unknown operations and
 * non-zero padding are refused with -EINVAL and change nothing. Structs grow at
 * their end only; a kernel that knows a longer struct reads zeroes for what an
 * older caller did not pass.
 *
 * Errors that mean the same everywhere:
 *
 * ============ ==============================================================
 * EINVAL       malformed: size, alignment, overflow, flag, padding
 * ENOENT       no such handle, VM or queue in this file
 * EFAULT       the range, or a part of it, is not mapped or is special memory
 * EPERM        no write permission for a writable userptr; or the userptr or
 *              VM belongs to another process (another mm)
 * EAGAIN       invalidated faster than the retry budget allows, nothing was
 *              submitted
 * EOPNOTSUPP   the device cannot do coherent DMA, or not offered on a userptr
 * ENODEV       mmap() of a userptr buffer object; the exporter of an imported one
 *              has taken its memory back
 * ENOMEM       out of memory, or over a limit of the file or the device
 * ETIME        a fence not of this device, or a user fence, did not signal in
 *              time
 * EIO          a job failed, and a user fence was to tell
 * EINTR        a signal came first; libdrm's drmIoctl() restarts
 * ============ ==============================================================
 */

#define DRM_VGEM_USERPTR_CREATE	0x3
#define DRM_VGEM_VM_CREATE	0x4
#define DRM_VGEM_VM_DESTROY	0x5
#define DRM_VGEM_VM_BIND	0x6
#define DRM_VGEM_VM_QUERY	0x7
#define DRM_VGEM_QUEUE_CREATE	0x8
#define DRM_VGEM_QUEUE_DESTROY	0x9
#define DRM_VGEM_EXEC		0xa
#define DRM_VGEM_WAIT_USER_FENCE	0xb

/**
 * DRM_VGEM_MAX_USERPTRS - userptrs that a file can have
 *
 * Those of %DRM_VGEM_VM_BIND_OP_MAP_USERPTR included. Making one more fails with
 * -ENOMEM. One that was closed counts until the kernel has let go of it, which
 * does not happen while an invalidation in the process is under way.
 */
#define DRM_VGEM_MAX_USERPTRS	(1 << 18)

/**
 * struct drm_vgem_userptr_create - make a buffer object of the caller's memory
 *
 * @addr and @size must be multiples of the page size, @size not zero, and the
 * range must lie in the caller's address space. Ranges of several buffer
 * objects may overlap.
 *
 * The object has no mmap offset and takes no user fences: mapping it is
 * refused with -ENODEV and DRM_IOCTL_VGEM_FENCE_ATTACH with -EOPNOTSUPP.
 *
 * It can be exported. A file of this device that imports the dma-buf, in whatever
 * process, can bind it, and shares the memory of the process that made it; when
 * that unmaps it or exits, jobs fail with -EFAULT. Other devices can attach to it,
 * and map it if it is pinned.
 */
struct drm_vgem_userptr_create {
	/** @addr: CPU address of the first byte */
	__u64 addr;
	/** @size: length in bytes */
	__u64 size;
	/** @flags: DRM_VGEM_USERPTR_* */
	__u32 flags;
/* The engine may not write: the memory is never dirtied, needs no PROT_WRITE */
#define DRM_VGEM_USERPTR_READ_ONLY	(1 << 0)
/*
 * Fault the range in now and fail with -EFAULT or -EPERM if that is not
 * possible. This says nothing about later: without the flag, and after it, the
 * same errors come from DRM_IOCTL_VGEM_EXEC.
 */
#define DRM_VGEM_USERPTR_PROBE		(1 << 1)
/*
 * Pin the pages now and until the object goes away. They count against
 * RLIMIT_MEMLOCK: -ENOMEM if that is too low, -EPERM if it is zero, unless the
 * caller has CAP_IPC_LOCK. Nothing ever
 * waits for the GPU then, and what the process does to its mappings the GPU does
 * not see: after munmap() it still has the old pages, as long as they are bound.
 */
#define DRM_VGEM_USERPTR_PIN		(1 << 2)
	/** @handle: returned GEM handle */
	__u32 handle;
};

/**
 * struct drm_vgem_vm_create - make a GPU address space
 *
 * It belongs to the caller's mm: a child after fork(), or a process that was
 * passed the file, cannot use it (-EPERM).
 */
struct drm_vgem_vm_create {
	/** @flags: DRM_VGEM_VM_CREATE_* */
	__u32 flags;
/*
 * All queues are long-running: their jobs have no time limit and no fences.
 * When memory that is bound is taken away, unmapped, or moved by the kernel, the
 * queues are interrupted, within a page of what they are doing. They go on
 * where they were as soon as everything is bound again as it is by then. What is
 * not mapped by then, or not writable, or for a handler in user space to bring
 * in (userfaultfd), is a hole, to within a window of 2 MiB. It is looked at again
 * with the next interruption and the next submission. A job that gets there
 * fails with -EFAULT.
 */
#define DRM_VGEM_VM_CREATE_LONG_RUNNING	(1 << 0)
/*
 * Memory that is not mapped, or may not be written, is a hole: submitting
 * succeeds, and a job that gets there fails with -EFAULT. Without the flag
 * DRM_IOCTL_VGEM_EXEC refuses jobs that name such memory.
 */
#define DRM_VGEM_VM_CREATE_HOLES	(1 << 1)
	/** @vm_id: returned id, valid in this file */
	__u32 vm_id;
};

/**
 * struct drm_vgem_vm_destroy - drop a GPU address space
 *
 * Its queues keep it until they are destroyed.
 */
struct drm_vgem_vm_destroy {
	/** @vm_id: the VM */
	__u32 vm_id;
	/** @pad: must be zero */
	__u32 pad;
};

/**
 * struct drm_vgem_vm_bind - change a range of a GPU address space
 *
 * @addr and @range must be multiples of 4096 bytes and of the CPU's page size.
 * Mapping over an existing mapping replaces the part that is covered, as
 * MAP_FIXED does. The call waits (interruptibly) for the jobs submitted before
 * it on this VM, or interrupts them if they are long-running.
 */
struct drm_vgem_vm_bind {
	/** @vm_id: the VM */
	__u32 vm_id;
	/** @op: DRM_VGEM_VM_BIND_OP_* */
	__u32 op;
/* Map @range bytes of the buffer object @handle from byte @offset on */
#define DRM_VGEM_VM_BIND_OP_MAP		0
/* Map @range bytes of the caller's memory from CPU address @offset on */
#define DRM_VGEM_VM_BIND_OP_MAP_USERPTR	1
/* Take away whatever is mapped; holes are no error */
#define DRM_VGEM_VM_BIND_OP_UNMAP	2
	/**
	 * @handle: GEM handle for OP_MAP (a userptr one, an imported one or any
	 * other), else zero
	 */
	__u32 handle;
	/** @flags: DRM_VGEM_VM_BIND_* */
	__u32 flags;
/* The engine may not write here. Only with the two OP_MAP operations. */
#define DRM_VGEM_VM_BIND_READ_ONLY	(1 << 0)
	/** @addr: GPU address, below %DRM_VGEM_VA_SIZE */
	__u64 addr;
#define DRM_VGEM_VA_SIZE		(1ULL << 47)
	/** @range: length in bytes */
	__u64 range;
	/** @offset: into the object, or CPU address; zero for OP_UNMAP */
	__u64 offset;
};

/**
 * struct drm_vgem_vm_stats - counters of a VM, all since its creation
 */
struct drm_vgem_vm_stats {
	/** @submits: jobs committed */
	__u64 submits;
	/** @retries: times a submission went round again */
	__u64 retries;
	/** @invalidations: callbacks that took memory away from this VM */
	__u64 invalidations;
	/** @windows: windows (of up to 2 MiB) populated for this VM */
	__u64 windows;
	/** @fence_waits: invalidations that had to wait for a job */
	__u64 fence_waits;
	/** @tlb_flushes: flushes of the software TLB */
	__u64 tlb_flushes;
	/** @faults: accesses by the engine that no page table entry allowed */
	__u64 faults;
	/** @fault_addr: GPU address of the last of @faults */
	__u64 fault_addr;
	/** @preemptions: times a long-running queue was interrupted in a job */
	__u64 preemptions;
	/** @resumes: times a long-running queue went on, or began */
	__u64 resumes;
};

/**
 * struct drm_vgem_vm_query - read something about a VM
 */
struct drm_vgem_vm_query {
	/** @vm_id: the VM */
	__u32 vm_id;
	/** @query: DRM_VGEM_VM_QUERY_* */
	__u32 query;
/* &struct drm_vgem_vm_stats */
#define DRM_VGEM_VM_QUERY_STATS		0
	/**
	 * @size: bytes at @data. The kernel writes what fits and clears the
	 * rest; with zero it writes nothing and returns the size it knows.
	 */
	__u64 size;
	/** @data: user pointer */
	__u64 data;
};

/**
 * DRM_VGEM_MAX_ENGINES - queues that the device has, for all files together
 */
#define DRM_VGEM_MAX_ENGINES	1024

/**
 * struct drm_vgem_queue_create - make a queue on a VM
 *
 * Each queue has an engine of its own; jobs of one queue run in order. Whether
 * it is long-running is a matter of the VM. There are %DRM_VGEM_MAX_ENGINES
 * engines for all files together, and at most 256 for each; beyond that it fails
 * with -ENOMEM.
 */
struct drm_vgem_queue_create {
	/** @vm_id: the VM */
	__u32 vm_id;
	/** @flags: must be zero */
	__u32 flags;
	/** @queue_id: returned id, valid in this file */
	__u32 queue_id;
	/** @pad: must be zero */
	__u32 pad;
};

/**
 * struct drm_vgem_queue_destroy - end a queue
 *
 * The running job is stopped and waiting ones are dropped; their fences signal
 * with an error. User fences are not stored any more, but who waits for one and
 * named the queue is told.
 */
struct drm_vgem_queue_destroy {
	/** @queue_id: the queue */
	__u32 queue_id;
	/** @pad: must be zero */
	__u32 pad;
};

/**
 * struct drm_vgem_array - a user-space array whose elements may grow
 */
struct drm_vgem_array {
	/** @stride: size of an element as the caller knows it, in bytes */
	__u32 stride;
	/** @count: number of elements */
	__u32 count;
	/** @array: user pointer to the first element */
	__u64 array;
};

/**
 * struct drm_vgem_op - one operation of the engine
 *
 * Addresses are GPU addresses. An access that no page table entry allows ends
 * the job: its fence signals with -EFAULT (see &drm_vgem_vm_stats.faults).
 * Fields that an operation does not name must be zero.
 */
struct drm_vgem_op {
	/** @opcode: DRM_VGEM_OP_* */
	__u32 opcode;
/* Store @value (32 bits, repeated) to @size bytes at @dst; multiples of 4 */
#define DRM_VGEM_OP_FILL	0
/* Copy @size bytes from @src to @dst, lowest address first */
#define DRM_VGEM_OP_COPY	1
/* Exclusive-or @size bytes at @dst with @value (32 bits); multiples of 4 */
#define DRM_VGEM_OP_XOR		2
/*
 * Compare @size bytes at @src with those at @dst; store to the 8 bytes at
 * @result the offset of the first difference, or ~0. @result: multiple of 8.
 */
#define DRM_VGEM_OP_COMPARE	3
/*
 * Store to the 4 bytes at @result the CRC-32 (IEEE 802.3, as zlib computes it)
 * of @size bytes at @src. @result: multiple of 4.
 */
#define DRM_VGEM_OP_CRC32	4
/*
 * Read the 4 bytes at @src, through the TLB, until they equal @value, or until
 * @size nanoseconds have gone by, whichever is first. @src: multiple of 4.
 * Running out of time is no error: a GPU that spins for a while. A @size of
 * zero, or one over the job time limit, means until that limit, which ends
 * the job with -ETIME. On a long-running queue there is no limit, and zero means
 * for ever.
 */
#define DRM_VGEM_OP_SPIN	5
/*
 * Store @value (64 bits, at most %DRM_VGEM_USER_FENCE_MAX) to the 8 bytes at
 * @dst, in one piece and after everything that the job did before. If the job
 * fails, all of these operations that it did not come to store the negative
 * errno instead, in 64 bits. @dst: multiple of 8.
 */
#define DRM_VGEM_OP_USER_FENCE	6
#define DRM_VGEM_USER_FENCE_MAX	(~4095ULL)
	/** @flags: must be zero */
	__u32 flags;
	/** @dst: destination */
	__u64 dst;
	/** @src: source */
	__u64 src;
	/** @size: bytes (nanoseconds for DRM_VGEM_OP_SPIN) */
	__u64 size;
	/** @value: operand, 32 bits (64 for DRM_VGEM_OP_USER_FENCE) */
	__u64 value;
	/** @result: where the result goes */
	__u64 result;
};

/**
 * struct drm_vgem_sync - a fence to wait for or to signal
 */
struct drm_vgem_sync {
	/** @handle: syncobj handle */
	__u32 handle;
	/** @flags: DRM_VGEM_SYNC_* */
	__u32 flags;
/* The job signals this syncobj when it is done; otherwise it waits for it */
#define DRM_VGEM_SYNC_SIGNAL	(1 << 0)
	/** @point: timeline point, or zero for a binary syncobj */
	__u64 point;
};

/**
 * struct drm_vgem_exec - submit a job
 *
 * All userptrs bound in the VM are valid when the job is published, and stay so
 * until it is done, or the operation of the mm that takes memory away waits.
 * If memory that the job's operations name is gone, the call fails with
 * -EFAULT and @fault_addr tells where; nothing was submitted. For imported
 * objects it is the error that their exporter gives. Bindings that the job does
 * not name do not disturb it.
 *
 * Fences to wait for that are not of this device's own jobs are waited for in
 * the call, before any memory is looked at, for at most @timeout_ns.
 *
 * On a long-running queue all fences are waited for like that, and
 * %DRM_VGEM_SYNC_SIGNAL is refused with -EINVAL: nobody may wait in the kernel
 * for a job that need not end. All that is bound is valid when the job is
 * submitted; what is taken away later interrupts it, see
 * %DRM_VGEM_VM_CREATE_LONG_RUNNING. If a job failed and its user fence could not
 * be stored either, nobody knows; the queue then takes no more jobs (-EIO).
 */
struct drm_vgem_exec {
	/** @queue_id: the queue */
	__u32 queue_id;
	/** @flags: must be zero */
	__u32 flags;
	/** @ops: &struct drm_vgem_op, 1 to %DRM_VGEM_EXEC_MAX_OPS */
	struct drm_vgem_array ops;
#define DRM_VGEM_EXEC_MAX_OPS	1024
	/** @syncs: &struct drm_vgem_sync, 0 to %DRM_VGEM_EXEC_MAX_SYNCS */
	struct drm_vgem_array syncs;
#define DRM_VGEM_EXEC_MAX_SYNCS	64
	/** @timeout_ns: absolute, CLOCK_MONOTONIC; for foreign fences only */
	__s64 timeout_ns;
	/** @fault_addr: returned with -EFAULT or -EPERM: the GPU address whose memory is missing */
	__u64 fault_addr;
};

/**
 * struct drm_vgem_wait_user_fence - wait until a job has stored to a user fence
 *
 * Looks at the 8 bytes at @addr whenever a job of the device has stored a user
 * fence. What the CPU stores there wakes nobody. The memory need not be bound
 * anywhere. A signal interrupts the wait, which can then be restarted.
 *
 * Fails with -EIO if an error is found there, which @seen then holds (see
 * %DRM_VGEM_OP_USER_FENCE), or if @queue_id is given and that queue was
 * destroyed or takes no more jobs (see &struct drm_vgem_exec) and the fence will
 * not be stored; with -ETIME if nothing of the kind happened in time.
 */
struct drm_vgem_wait_user_fence {
	/** @addr: CPU address, multiple of 8 */
	__u64 addr;
	/** @op: DRM_VGEM_WAIT_OP_*, on what is at @addr and @value, unsigned */
	__u32 op;
/* Wait until both are equal in the bits of @mask */
#define DRM_VGEM_WAIT_OP_EQUAL		0
/* Wait until the bits of @mask are at least those of @value */
#define DRM_VGEM_WAIT_OP_GREATER_EQUAL	1
	/** @flags: must be zero */
	__u32 flags;
	/** @value: to compare with, at most %DRM_VGEM_USER_FENCE_MAX */
	__u64 value;
	/** @mask: which bits count, not zero */
	__u64 mask;
	/** @timeout_ns: absolute, CLOCK_MONOTONIC; zero looks and does not wait */
	__s64 timeout_ns;
	/** @seen: returned, what was there when last looked at */
	__u64 seen;
	/** @queue_id: whose end ends the wait, or zero */
	__u32 queue_id;
	/** @pad: must be zero */
	__u32 pad;
};

#define DRM_IOCTL_VGEM_USERPTR_CREATE	DRM_IOWR(DRM_COMMAND_BASE + DRM_VGEM_USERPTR_CREATE, struct drm_vgem_userptr_create)
#define DRM_IOCTL_VGEM_VM_CREATE	DRM_IOWR(DRM_COMMAND_BASE + DRM_VGEM_VM_CREATE, struct drm_vgem_vm_create)
#define DRM_IOCTL_VGEM_VM_DESTROY	DRM_IOW(DRM_COMMAND_BASE + DRM_VGEM_VM_DESTROY, struct drm_vgem_vm_destroy)
#define DRM_IOCTL_VGEM_VM_BIND		DRM_IOW(DRM_COMMAND_BASE + DRM_VGEM_VM_BIND, struct drm_vgem_vm_bind)
#define DRM_IOCTL_VGEM_VM_QUERY		DRM_IOWR(DRM_COMMAND_BASE + DRM_VGEM_VM_QUERY, struct drm_vgem_vm_query)
#define DRM_IOCTL_VGEM_QUEUE_CREATE	DRM_IOWR(DRM_COMMAND_BASE + DRM_VGEM_QUEUE_CREATE, struct drm_vgem_queue_create)
#define DRM_IOCTL_VGEM_QUEUE_DESTROY	DRM_IOW(DRM_COMMAND_BASE + DRM_VGEM_QUEUE_DESTROY, struct drm_vgem_queue_destroy)
#define DRM_IOCTL_VGEM_EXEC		DRM_IOWR(DRM_COMMAND_BASE + DRM_VGEM_EXEC, struct drm_vgem_exec)
#define DRM_IOCTL_VGEM_WAIT_USER_FENCE	DRM_IOWR(DRM_COMMAND_BASE + DRM_VGEM_WAIT_USER_FENCE, struct drm_vgem_wait_user_fence)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_VGEM_USERPTR_DRM_H_ */
