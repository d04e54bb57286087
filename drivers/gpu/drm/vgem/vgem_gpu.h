/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef _VGEM_GPU_H_
#define _VGEM_GPU_H_

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_userptr.h>
#include <drm/drm_userptr_client.h>
#include <drm/gpu_scheduler.h>

#include <uapi/drm/vgem_userptr_drm.h>

/*
 * vgem's virtual GPU. An engine reaches memory only through the page table of
 * its VM and a software TLB that has to be flushed explicitly, so that a
 * forgotten flush or zap gives a wrong result, as it would in hardware.
 */

#define VGEM_GPU_PAGE_SHIFT	12
#define VGEM_GPU_PAGE_SIZE	BIT_ULL(VGEM_GPU_PAGE_SHIFT)

/**
 * struct vgem_gpu_file - what a client owns
 * @client: what the userptr helpers count for it; holds a reference
 * @busy_ns: time that jobs of its queues took, those done
 * @vms: struct vgem_vm by id
 * @queues: struct vgem_queue by id
 *
 * The last two have locks of their own.
 */
struct vgem_gpu_file {
	struct drm_userptr_client *client;
	atomic64_t busy_ns;
	struct xarray vms;
	struct xarray queues;
};

/**
 * struct vgem_userptr - a buffer object made of user memory
 * @base: the GEM object
 * @userptr: the memory
 */
struct vgem_userptr {
	struct drm_gem_object base;
	struct drm_userptr userptr;
};

static inline struct vgem_userptr *to_vgem_userptr(struct drm_gem_object *obj)
{
	return container_of(obj, struct vgem_userptr, base);
}

/* vgem_gpu.c: device and clients */

/* Signals fences: allocates nothing, waits for nothing on the other one. */
extern struct workqueue_struct *vgem_timeout_wq;

/* vgem_pt.c: page table and TLB */

#define VGEM_TLB_ENTRIES	64

/**
 * struct vgem_tlb - translations that an engine remembers
 * @link: in &vgem_pt.tlbs, under &vgem_pt.lock
 * @lock: held for each access by the engine: who takes it to clear entries
 *	knows that no access through them is under way
 * @tag: GPU page number of an entry plus one, or 0; under @lock
 * @pte: what the page table said then; under @lock
 */
struct vgem_tlb {
	struct list_head link;
	spinlock_t lock;	/* held for each access */
	u64 tag[VGEM_TLB_ENTRIES];
	u64 pte[VGEM_TLB_ENTRIES];
};

/**
 * struct vgem_pt - page table of a VM, and the TLBs that cache it
 * @dev: the device, for translating DMA addresses back
 * @tables: struct vgem_pt_table by GPU address; changed under the VM's lock,
 *	entries themselves are written and read with WRITE_ONCE() and READ_ONCE()
 * @nr_tables: how many there are; under the VM's lock
 * @lock: protects what follows
 * @tlbs: those to be flushed
 * @requested: number of the last flush asked for
 * @done: number of the last flush made
 * @flushes: how many were made
 */
struct vgem_pt {
	struct device *dev;
	struct xarray tables;
	u32 nr_tables;
	spinlock_t lock;	/* of the flushes */
	struct list_head tlbs;
	u64 requested;
	u64 done;
	u64 flushes;
};

void vgem_pt_init(struct vgem_pt *pt, struct device *dev);
void vgem_pt_fini(struct vgem_pt *pt);
int vgem_pt_reserve(struct vgem_pt *pt, u64 addr, u64 range);
void vgem_pt_release(struct vgem_pt *pt, u64 addr, u64 range);
void vgem_pt_map(struct vgem_pt *pt, u64 addr, dma_addr_t dma, u64 size,
		 bool writable);
void vgem_pt_zap(struct vgem_pt *pt, u64 addr, u64 size);
void vgem_pt_debugfs_init(struct dentry *dir);
u64 vgem_tlb_flush_submit(struct vgem_pt *pt);
void vgem_tlb_flush_wait(struct vgem_pt *pt, u64 seqno);
void vgem_tlb_init(struct vgem_tlb *tlb, struct vgem_pt *pt);
void vgem_tlb_fini(struct vgem_tlb *tlb, struct vgem_pt *pt);
int vgem_tlb_access(struct vgem_tlb *tlb, struct vgem_pt *pt, u64 addr,
		    void *buf, unsigned int len, bool write);
int vgem_tlb_store_release(struct vgem_tlb *tlb, struct vgem_pt *pt, u64 addr,
			   u64 value);

/* vgem_vm.c: address spaces */

/**
 * struct vgem_vm - a GPU address space
 * @base: which mapping is where; changed under @lock
 * @userptr: its userptrs
 * @preempt: its queues, if it is for long-running ones
 * @long_running: its queues are long-running; constant
 * @holes: jobs may name memory that is not there; constant
 * @ref: one for the id, one for each queue
 * @lock: the outer lock: submissions, binding and unbinding
 * @pt: the page table
 * @faults: accesses that no entry allowed
 * @fault_addr: GPU address of the last one
 */
struct vgem_vm {
	struct drm_gpuvm base;
	struct drm_userptr_vm userptr;
	struct drm_userptr_preempt preempt;
	bool long_running;
	bool holes;
	struct kref ref;
	struct mutex lock;	/* outer */
	struct vgem_pt pt;
	atomic64_t faults;
	atomic64_t fault_addr;
};

/**
 * struct vgem_vma - a mapping in a VM
 * @base: where, and for ordinary objects what. Userptr mappings have no object
 *	there and the CPU address as offset: their fences are the ledger's
 *	business, not a dma_resv's.
 * @obj: what is mapped; holds a reference
 * @vm_bo: reference held until the mapping is linked, ordinary objects only
 * @binding: for userptrs and for what is imported
 * @writable: the engine may write
 */
struct vgem_vma {
	struct drm_gpuva base;
	struct drm_gem_object *obj;
	struct drm_gpuvm_bo *vm_bo;
	struct drm_userptr_binding binding;
	bool writable;
};

static inline struct vgem_vm *to_vgem_vm(struct drm_gpuvm *gpuvm)
{
	return container_of(gpuvm, struct vgem_vm, base);
}

static inline struct vgem_vma *to_vgem_vma(struct drm_gpuva *va)
{
	return container_of(va, struct vgem_vma, base);
}

/* Is it memory of a process, this one's or another's? */
static inline bool vgem_vma_is_userptr(const struct vgem_vma *vma)
{
	return vma->binding.userptr;
}

static inline bool vgem_vma_is_import(const struct vgem_vma *vma)
{
	return vma->binding.import;
}

/* Is it for the helpers to look at? */
static inline bool vgem_vma_has_binding(const struct vgem_vma *vma)
{
	return vma->binding.vm;
}

struct vgem_vm *vgem_vm_lookup(struct vgem_gpu_file *gpu, u32 id);
void vgem_vm_put(struct vgem_vm *vm);

/* vgem_bind.c: changing an address space */

void vgem_vm_unbind_all(struct vgem_vm *vm);

/* vgem_queue.c: queues, and jobs as the scheduler sees them */

/**
 * struct vgem_queue - jobs in order, on an engine of their own
 * @ref: one for the id, one for each submission under way
 * @vm: the address space; holds a reference
 * @gpu: whose it is
 * @engine: ordered, runs one job after the other
 * @tlb: the engine's
 * @busy_since: when the running job began, in ns, or 0
 * @killed: no more jobs; written under the VM's lock
 * @buf: two pages for the engine to work in
 * @sched: the scheduler; this and the next three for jobs with a fence
 * @entity: its only entity
 * @fence_context: of the engine's fences
 * @fence_seqno: the last one used; only in run_job
 * @base: the helpers' part; this and all that follow for long-running jobs
 * @work: runs @jobs on @engine
 * @stopped: woken when @running becomes false
 * @broken: a user fence was lost, nobody can tell how the jobs went
 * @lock: protects what follows
 * @jobs: list of &vgem_job.link, the first may have begun
 * @suspended: not allowed to reach memory any more, or soon
 * @running: reaches memory; stays true until the engine has taken note of
 *	@suspended, and has got on a little before that
 */
struct vgem_queue {
	struct kref ref;
	struct vgem_vm *vm;
	struct vgem_gpu_file *gpu;
	struct workqueue_struct *engine;
	struct vgem_tlb tlb;
	u64 busy_since;
	bool killed;
	void *buf[2];

	struct drm_gpu_scheduler sched;
	struct drm_sched_entity entity;
	u64 fence_context;
	u64 fence_seqno;

	struct drm_userptr_queue base;
	struct work_struct work;
	wait_queue_head_t stopped;
	bool broken;
	spinlock_t lock;	/* taken with interrupts disabled */
	struct list_head jobs;
	bool suspended;
	bool running;
};

/**
 * struct vgem_job - a list of operations
 * @base: the scheduler's part; not of long-running jobs, as the next two
 * @work: runs it on the engine
 * @hw_fence: signals when the engine is done
 * @link: in &vgem_queue.jobs, long-running jobs only
 * @queue: where it runs; a queue outlives its jobs
 * @error: set to end it early: an errno
 * @op: operation that it is at; this and the next two only by the engine
 * @offset: how many bytes of that are done
 * @state: what else has to survive a preemption, zero at first
 * @num_ops: how many operations
 * @ops: the operations, checked
 */
struct vgem_job {
	struct drm_sched_job base;
	struct work_struct work;
	struct dma_fence *hw_fence;
	struct list_head link;
	struct vgem_queue *queue;
	int error;
	u32 op;
	u64 offset;
	u64 state;
	u32 num_ops;
	struct drm_vgem_op ops[] __counted_by(num_ops);
};

/* A job that takes longer is ended, so that fences are bounded. */
#define VGEM_JOB_TIMEOUT_MS	10000

struct vgem_queue *vgem_queue_lookup(struct vgem_gpu_file *gpu, u32 id);
void vgem_queue_put(struct vgem_queue *queue);
void vgem_queue_destroy(struct vgem_queue *queue);
struct vgem_job *vgem_job_create(struct vgem_queue *queue, u32 num_ops,
				 u64 client_id);
void vgem_job_free(struct vgem_job *job);
bool vgem_fence_is_own(struct dma_fence *fence);
void vgem_queue_busy_begin(struct vgem_queue *queue);
void vgem_queue_busy_end(struct vgem_queue *queue);
u64 vgem_gpu_busy_ns(struct vgem_gpu_file *gpu);

/* vgem_longrun.c: long-running queues */

extern const struct drm_userptr_preempt_ops vgem_preempt_ops;

static inline bool vgem_queue_is_long_running(const struct vgem_queue *queue)
{
	return queue->vm->long_running;
}

int vgem_longrun_init(struct vgem_queue *queue);
void vgem_longrun_fini(struct vgem_queue *queue);
void vgem_longrun_push(struct vgem_queue *queue, struct vgem_job *job);
void vgem_longrun_commit(struct vgem_vm *vm, struct drm_userptr_submit *submit,
			 struct drm_gpuvm_exec *vm_exec);

/* vgem_user_fence.c: waiting for what an engine stores */

void vgem_user_fence_wake(void);

/* vgem_import.c: buffer objects of others */

int vgem_import_bind_prepare(struct vgem_vm *vm, struct vgem_vma *vma);
void vgem_import_bind_drop(struct vgem_vma *vma);
int vgem_import_sync(struct drm_gpuvm_exec *vm_exec, struct vgem_job *job);

/* vgem_engine.c: what the engine does */

/**
 * struct vgem_op_range - memory that an operation reaches
 * @addr: GPU address
 * @size: length in bytes, not zero
 * @align: what @addr and @size must be multiples of
 */
struct vgem_op_range {
	u64 addr;
	u64 size;
	u32 align;
};

#define VGEM_OP_MAX_RANGES	3

/*
 * The queue is to be suspended: run the job again later, it goes on where it
 * was. Positive, so that it cannot be taken for an errno.
 */
#define VGEM_ENGINE_PREEMPTED	1

int vgem_op_check(const struct drm_vgem_op *op);
unsigned int vgem_op_ranges(const struct drm_vgem_op *op,
			    struct vgem_op_range ranges[VGEM_OP_MAX_RANGES]);
int vgem_engine_run(struct vgem_job *job);

/* vgem_unplug.c: the device's end */

void vgem_unplug_debugfs_init(struct drm_minor *minor);

/* vgem_userptr.c: buffer objects of user memory */

struct drm_gem_object *vgem_userptr_create(struct drm_device *dev,
					   struct vgem_gpu_file *gpu, u64 addr,
					   u64 size, u32 flags);
struct drm_userptr *vgem_gem_userptr(struct drm_gem_object *obj);

/* Hooks of the in-tree driver */

#ifdef CONFIG_DRM_VGEM_USERPTR

#define VGEM_GPU_FEATURES \
	(DRIVER_GEM_GPUVA | DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE)

bool vgem_gem_is_userptr(const struct drm_gem_object *obj);
int vgem_gpu_init(struct drm_device *dev);
bool vgem_gpu_exit(struct drm_device *dev);
int vgem_gpu_open(struct vgem_gpu_file *gpu, const struct drm_file *file);
void vgem_gpu_close(struct vgem_gpu_file *gpu);
void vgem_gpu_show_fdinfo(struct drm_printer *p, struct drm_file *file);
void vgem_gpu_debugfs_init(struct drm_minor *minor);
int vgem_gpu_dumb_map_offset(struct drm_file *file, struct drm_device *dev,
			     u32 handle, u64 *offset);
int vgem_gpu_prime_handle_to_fd(struct drm_device *dev, struct drm_file *file,
				u32 handle, u32 flags, int *prime_fd);

int vgem_userptr_create_ioctl(struct drm_device *dev, void *data,
			      struct drm_file *file);
int vgem_vm_create_ioctl(struct drm_device *dev, void *data,
			 struct drm_file *file);
int vgem_vm_destroy_ioctl(struct drm_device *dev, void *data,
			  struct drm_file *file);
int vgem_vm_bind_ioctl(struct drm_device *dev, void *data,
		       struct drm_file *file);
int vgem_vm_query_ioctl(struct drm_device *dev, void *data,
			struct drm_file *file);
int vgem_queue_create_ioctl(struct drm_device *dev, void *data,
			    struct drm_file *file);
int vgem_queue_destroy_ioctl(struct drm_device *dev, void *data,
			     struct drm_file *file);
int vgem_exec_ioctl(struct drm_device *dev, void *data, struct drm_file *file);
int vgem_wait_user_fence_ioctl(struct drm_device *dev, void *data,
			       struct drm_file *file);

#define VGEM_GPU_IOCTLS							\
	DRM_IOCTL_DEF_DRV(VGEM_USERPTR_CREATE, vgem_userptr_create_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_VM_CREATE, vgem_vm_create_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_VM_DESTROY, vgem_vm_destroy_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_VM_BIND, vgem_vm_bind_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_VM_QUERY, vgem_vm_query_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_QUEUE_CREATE, vgem_queue_create_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_QUEUE_DESTROY, vgem_queue_destroy_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_EXEC, vgem_exec_ioctl, DRM_RENDER_ALLOW), \
	DRM_IOCTL_DEF_DRV(VGEM_WAIT_USER_FENCE, vgem_wait_user_fence_ioctl, DRM_RENDER_ALLOW),

#else

#define VGEM_GPU_FEATURES	0
#define VGEM_GPU_IOCTLS

static inline int vgem_gpu_init(struct drm_device *dev)
{
	return 0;
}

static inline bool vgem_gpu_exit(struct drm_device *dev)
{
	return false;
}

static inline int vgem_gpu_open(struct vgem_gpu_file *gpu,
				const struct drm_file *file)
{
	return 0;
}

static inline void vgem_gpu_close(struct vgem_gpu_file *gpu)
{
}

static inline bool vgem_gem_is_userptr(const struct drm_gem_object *obj)
{
	return false;
}

#define vgem_gpu_dumb_map_offset	NULL
#define vgem_gpu_prime_handle_to_fd	NULL
#define vgem_gpu_show_fdinfo		NULL
#define vgem_gpu_debugfs_init		NULL

#endif

#endif /* _VGEM_GPU_H_ */
