/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_H__
#define __DRM_USERPTR_H__

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/lockdep.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/util_macros.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

struct device;
struct dma_fence;
struct mm_struct;
struct task_struct;

struct drm_userptr_binding;
struct drm_userptr_client;
struct drm_userptr_dma;
struct drm_userptr_export;
struct drm_userptr_import;
struct drm_userptr_ledger;
struct drm_userptr_preempt_fence;
struct drm_userptr_remote;
struct drm_userptr_vm;

/**
 * DRM_USERPTR_WINDOW_SIZE - unit of validity inside a userptr, in bytes
 *
 * The reach of one page table page with 4 KiB pages, and the size of a
 * transparent huge page: smaller windows would be invalidated together anyway.
 */
#define DRM_USERPTR_WINDOW_SIZE	SZ_2M

/**
 * DRM_USERPTR_READ_ONLY - the device only reads
 *
 * For drm_userptr_init(). Pages are faulted in for reading, mapped
 * DMA_TO_DEVICE and never dirtied.
 */
#define DRM_USERPTR_READ_ONLY	BIT(0)

/**
 * DRM_USERPTR_PIN - the pages stay
 *
 * For drm_userptr_init(). Pages are pinned at once and count against
 * RLIMIT_MEMLOCK. Nothing that is bound is ever invalidated; after munmap() the
 * device still has the old pages, as long as it is bound, and it never sees what
 * is mapped at the address later.
 */
#define DRM_USERPTR_PIN		BIT(1)

/**
 * struct drm_userptr_fences - the jobs that can reach some memory
 *
 * Those of a VM, or of a binding if jobs name their bindings.
 */
struct drm_userptr_fences {
	/**
	 * @ledger: last fence of each context. Replaced or added to with
	 * &drm_userptr_vm.notifier_lock held for read and the outer lock, read
	 * with the notifier lock held for write or either of the other two.
	 */
	struct drm_userptr_ledger *ledger;
	/** @spare: the next ledger, made by reserve; under the outer lock */
	struct drm_userptr_ledger *spare;
};

/**
 * DRM_USERPTR_INVAL_JOBS - how many ledgers an invalidation has snapshots of
 *
 * A userptr is in one VM as a rule, which is one. For those beyond, all jobs are
 * waited for that are committed when their turn comes.
 */
#define DRM_USERPTR_INVAL_JOBS	4

/**
 * struct drm_userptr_inval - one invalidation on its way
 *
 * Private to the helper. Lives in the userptr or in a pool (two passes), or on
 * the stack of the callback (everything in the first pass). Constant once the
 * first pass has made it, where nothing else is said.
 */
struct drm_userptr_inval {
	/** @finish: what the core hands back for the second pass */
	struct mmu_interval_notifier_finish finish;
	/** @link: in &drm_userptr.invals, under &drm_userptr.lock */
	struct list_head link;
	/** @seq: number of this invalidation */
	u64 seq;
	/** @start: first CPU address that goes away */
	unsigned long start;
	/** @end: first CPU address after it that stays */
	unsigned long end;
	/** @nr_jobs: number of @jobs */
	unsigned int nr_jobs;
	/** @more_jobs: there are others, too */
	bool more_jobs;
	/**
	 * @flushing: it has done waiting for @jobs. What it hits stays until it
	 * is over. Under &drm_userptr.lock.
	 */
	bool flushing;
	/** @jobs: what to wait for */
	struct {
		/**
		 * @jobs.vm: the VM, or NULL if what was hit of it is unbound
		 * meanwhile; under &drm_userptr.lock, constant if @flushing
		 */
		struct drm_userptr_vm *vm;
		/** @jobs.fences: of the VM, or of a binding; as @jobs.vm */
		struct drm_userptr_fences *fences;
		/** @jobs.ledger: what they were at the time, a reference */
		struct drm_userptr_ledger *ledger;
		/** @jobs.tlb_seqno: last TLB flush, under &drm_userptr.lock */
		u64 tlb_seqno;
	} jobs[DRM_USERPTR_INVAL_JOBS];
};

/**
 * struct drm_userptr - a range of a process's memory that devices may reach
 *
 * Embedded in the driver's GEM object or in its &struct drm_gpuva.
 */
struct drm_userptr {
	/**
	 * @notifier: tells when the mm takes pages of the range away, or with
	 * %DRM_USERPTR_PIN when it forgets them
	 */
	struct mmu_interval_notifier notifier;
	/** @mm: whose memory; constant, holds a reference (mmgrab) */
	struct mm_struct *mm;
	/** @start: first CPU address; constant */
	unsigned long start;
	/** @end: first CPU address after the range; constant */
	unsigned long end;
	/** @flags: DRM_USERPTR_*; constant */
	u32 flags;
	/** @id: names it in traces and in debugfs; constant */
	u64 id;
	/**
	 * @client: whose it is, or NULL; set by the driver before
	 * drm_userptr_init(), constant from then on, holds a reference
	 */
	struct drm_userptr_client *client;
	/** @client_link: in &drm_userptr_client.userptrs */
	struct list_head client_link;
	/** @metadata: bytes spent on it, see &drm_userptr_client.metadata */
	atomic_long_t metadata;
	/** @dead_link: in &drm_userptr_client.dead */
	struct llist_node dead_link;
	/** @free: called at the end of drm_userptr_fini_async() */
	void (*free)(struct drm_userptr *userptr);

	/**
	 * @populate_lock: one populate at a time. Outside mmap_lock, never
	 * taken by the notifier callback.
	 */
	struct mutex populate_lock;
	/**
	 * @wait_work: sleeps for the mm, so that populate can be interrupted;
	 * queued under @populate_lock
	 */
	struct work_struct wait_work;
	/** @wait_done: complete as long as @wait_work is not on its way */
	struct completion wait_done;
	/**
	 * @read_seq: what mmu_interval_read_begin() returned last; written by
	 * @wait_work, read under @populate_lock when @wait_done is complete
	 */
	unsigned long read_seq;

	/**
	 * @lock: taken by the notifier callback, see the lock order in the
	 * overview. Protects all that follows.
	 */
	struct mutex lock;
	/**
	 * @leaves: arrays of struct drm_userptr_window, by CPU address; absent
	 * means never used. Added under @populate_lock, they stay until
	 * drm_userptr_fini(), so that RCU readers may look at
	 * &drm_userptr_window.state.
	 */
	struct xarray leaves;
	/** @dmas: struct drm_userptr_dma for each device it is bound on */
	struct list_head dmas;
	/** @populator: who is populating; to be compared with, nothing else */
	struct task_struct *populator;
	/** @disturbed: somebody but @populator caused an invalidation since */
	bool disturbed;
	/** @bindings: list of &drm_userptr_binding.link */
	struct list_head bindings;
	/** @invals: invalidations on their way, oldest first */
	struct list_head invals;
	/** @inval_seq: number of the last invalidation */
	u64 inval_seq;
	/** @inval_wq: woken when one leaves @invals */
	wait_queue_head_t inval_wq;
	/** @inval: storage for one two-pass invalidation */
	struct drm_userptr_inval inval;
	/** @inval_inuse: @inval is on its way */
	bool inval_inuse;
	/** @export: its dma-buf, if there is one */
	struct drm_userptr_export *export;

	/**
	 * @detached: with %DRM_USERPTR_PIN, the process has unmapped the range or
	 * a part of it. Set once, by the notifier callback; read without a lock.
	 */
	bool detached;
	/** @unpinned: nothing is pinned any more; the worker's, then fini's */
	bool unpinned;
	/** @detach_work: gives up the pins when nobody needs them */
	struct work_struct detach_work;
};

/**
 * enum drm_userptr_entries - an import's device page table entries in a VM
 * @DRM_USERPTR_ENTRIES_NONE: there are none
 * @DRM_USERPTR_ENTRIES_VALID: written by a commit
 * @DRM_USERPTR_ENTRIES_VOID: the exporter wants the memory back, jobs committed
 *	earlier may still use it
 */
enum drm_userptr_entries {
	DRM_USERPTR_ENTRIES_NONE,
	DRM_USERPTR_ENTRIES_VALID,
	DRM_USERPTR_ENTRIES_VOID,
};

/**
 * struct drm_userptr_binding - a userptr or an import, or a part of it, in a VM
 *
 * Embedded in the driver's &struct drm_gpuva.
 */
struct drm_userptr_binding {
	/** @userptr: what is bound, or NULL; constant */
	struct drm_userptr *userptr;
	/** @import: what is bound if it is not @userptr; constant */
	struct drm_userptr_import *import;
	/** @dma: where the VM's device finds @userptr; constant */
	struct drm_userptr_dma *dma;
	/** @vm: where; constant */
	struct drm_userptr_vm *vm;
	/** @start: first CPU address, or offset in @import; constant */
	unsigned long start;
	/** @end: first CPU address or offset after it; constant */
	unsigned long end;
	/** @addr: device address of @start; constant */
	u64 addr;
	/** @bound_link: in &drm_userptr_vm.bindings */
	struct list_head bound_link;

	/**
	 * @link: in &drm_userptr.bindings, under &drm_userptr.lock, or in
	 * &drm_userptr_import.bindings, under the dma_resv of the dma-buf
	 */
	struct list_head link;
	/** @insert_seq: &drm_userptr.inval_seq at insertion; constant */
	u64 insert_seq;
	/**
	 * @remove_seq: last invalidation that hits this binding, U64_MAX until
	 * removal; under &drm_userptr.lock
	 */
	u64 remove_seq;

	/**
	 * @vm_link: in &drm_userptr_vm.invalidated or &drm_userptr_vm.dead, or
	 * empty. Changed with &drm_userptr_vm.notifier_lock held for write, or
	 * for read together with the VM's outer lock.
	 */
	struct list_head vm_link;
	/**
	 * @mapped: one bit per window of [@start, @end): its device PTEs are
	 * written. Protected like @vm_link. For userptrs only.
	 */
	unsigned long *mapped;
	/** @entries: the same for imports. Protected like @vm_link. */
	enum drm_userptr_entries entries;
	/**
	 * @jobs: what may use entries that are void, a reference; under the
	 * dma_resv of the dma-buf
	 */
	struct drm_userptr_ledger *jobs;

	/**
	 * @error: why the binding, or a part of it, has no memory: -EFAULT or
	 * -EPERM, for an import what its exporter says, or 0; under the VM's
	 * outer lock
	 */
	int error;
	/** @fault_addr: CPU address, or offset, that @error is about */
	unsigned long fault_addr;
	/** @dead: for traces: @error was found; under the VM's outer lock */
	bool dead;
	/**
	 * @remote_serial: the last submission that found @error in another
	 * process; under the VM's outer lock
	 */
	u64 remote_serial;

	/** @fences: jobs that name this binding, with %DRM_USERPTR_VM_EXPLICIT */
	struct drm_userptr_fences fences;
	/** @submit_link: in &drm_userptr_submit.bindings, under the outer lock */
	struct list_head submit_link;
};

/**
 * struct drm_userptr_vm_ops - what a driver does to its device
 *
 * All callbacks are required.
 */
struct drm_userptr_vm_ops {
	/**
	 * @map: write device page table entries
	 *
	 * Called in a commit, with &drm_userptr_vm.notifier_lock held for read
	 * and the VM's outer lock held. Page tables exist already: must not
	 * fail and not allocate. Entries of the range are absent before.
	 */
	void (*map)(struct drm_userptr_binding *binding, u64 addr,
		    dma_addr_t dma, u64 size);

	/**
	 * @zap: clear device page table entries
	 *
	 * Called in the notifier callback, after the jobs that may use them,
	 * under &drm_userptr.lock. Must not sleep, allocate, or take a lock
	 * under which memory is allocated or a fence waited for. Entries may be
	 * absent already.
	 */
	void (*zap)(struct drm_userptr_binding *binding, u64 addr, u64 size);

	/**
	 * @tlb_submit: begin to flush the TLB of a VM
	 *
	 * Context as for @zap. Must not wait for the device.
	 *
	 * Return: a number for @tlb_wait; numbers of a VM never decrease, and a
	 * flush with a higher number includes those with lower ones.
	 */
	u64 (*tlb_submit)(struct drm_userptr_vm *vm);

	/**
	 * @tlb_wait: wait until no TLB holds entries older than a flush
	 *
	 * Called in the notifier callback, with no lock of the helper's held.
	 * May sleep. If all jobs of the VM are done it must not: then it is
	 * called in non-blockable invalidations too, where a bounded busy wait
	 * is all that is allowed, and &drm_userptr.lock is held.
	 */
	void (*tlb_wait)(struct drm_userptr_vm *vm, u64 seqno);
};

/**
 * DRM_USERPTR_VM_HOLES - memory that is gone is a hole
 *
 * For drm_userptr_vm_init(). Without it a binding is dead as a whole when a
 * part of its memory is not mapped, or may not be written, and jobs that need
 * it must be refused with -EFAULT or -EPERM. With it jobs run nevertheless, and
 * there are no device page table entries where there is no memory, to within
 * %DRM_USERPTR_WINDOW_SIZE.
 */
#define DRM_USERPTR_VM_HOLES	BIT(0)

/**
 * DRM_USERPTR_VM_EXPLICIT - jobs name the bindings that they use
 *
 * For drm_userptr_vm_init(), for drivers whose submissions come with a list of
 * buffer objects; see drm_userptr_submit_add(). Only what is named is populated
 * and must be valid, and an invalidation waits only for jobs that named the
 * binding. Without the flag a job may reach all that is bound.
 */
#define DRM_USERPTR_VM_EXPLICIT	BIT(1)

/**
 * struct drm_userptr_vm_stats - counters of a VM
 *
 * Written with atomic operations, read at any time.
 */
struct drm_userptr_vm_stats {
	/** @submits: commits that went through */
	atomic64_t submits;
	/** @retries: commits that found something invalid */
	atomic64_t retries;
	/** @invalidations: callbacks that took memory away from a binding */
	atomic64_t invalidations;
	/** @windows: windows populated for submissions to this VM */
	atomic64_t windows;
	/** @fence_waits: invalidations that found jobs to wait for */
	atomic64_t fence_waits;
};

/**
 * struct drm_userptr_vm - the userptrs of one device address space
 *
 * Embedded in the driver's VM, next to its &struct drm_gpuvm.
 */
struct drm_userptr_vm {
	/** @ops: the driver's callbacks; constant */
	const struct drm_userptr_vm_ops *ops;
	/** @dev: the device; constant */
	struct device *dev;
	/** @flags: DRM_USERPTR_VM_*; constant */
	u32 flags;
	/** @id: names it in traces and in debugfs; constant */
	u64 id;
	/**
	 * @client: whose it is, or NULL; set by the driver before
	 * drm_userptr_vm_init(), constant from then on, holds a reference
	 */
	struct drm_userptr_client *client;
	/** @client_link: in &drm_userptr_client.vms */
	struct list_head client_link;
	/** @mm: whose VM this is; constant, holds a reference (mmgrab) */
	struct mm_struct *mm;
	/**
	 * @notifier_lock: held for read by a commit, for write by the notifier
	 * callback. Nothing is allocated and no fence waited for under it.
	 */
	struct rw_semaphore notifier_lock;
	/** @bindings: all that are bound, under the VM's outer lock */
	struct list_head bindings;
	/**
	 * @invalidated: bindings that the next submission must look at. Empty
	 * means that everything bound is valid.
	 */
	struct list_head invalidated;
	/**
	 * @dead: bindings with &drm_userptr_binding.error set. Looked at again
	 * when the process has changed its mappings.
	 */
	struct list_head dead;
	/**
	 * @dead_seq: what mm->mm_lock_seq was before they were last looked at,
	 * if @dead_seq_valid; under the outer lock
	 */
	unsigned int dead_seq;
	/** @dead_seq_valid: see @dead_seq */
	bool dead_seq_valid;
	/**
	 * @nr_void: how many bindings have &drm_userptr_binding.entries that are
	 * void. Nothing is committed meanwhile. Written with @notifier_lock held
	 * for write.
	 */
	unsigned int nr_void;
	/** @void_wq: woken when @nr_void becomes zero */
	wait_queue_head_t void_wq;
	/** @submit_serial: number of the last submission, under the outer lock */
	u64 submit_serial;
	/** @fences: committed jobs */
	struct drm_userptr_fences fences;
	/** @stats: what happened so far */
	struct drm_userptr_vm_stats stats;
#ifdef CONFIG_LOCKDEP
	/** @outer_lock: the driver's lock that serialises submissions */
	struct lockdep_map *outer_lock;
#endif
};

#ifdef CONFIG_LOCKDEP
/**
 * drm_userptr_vm_set_lock() - name the outer lock of a VM to lockdep
 * @vm__: the struct drm_userptr_vm
 * @lock__: the driver's mutex or rwsem that is held (for write) by everything
 *          that submits, binds or unbinds
 */
#define drm_userptr_vm_set_lock(vm__, lock__) \
	((vm__)->outer_lock = &(lock__)->dep_map)
#define drm_userptr_vm_assert_locked(vm__) \
	lockdep_assert(!(vm__)->outer_lock || \
		       lock_is_held_type((vm__)->outer_lock, 0))
#else
#define drm_userptr_vm_set_lock(vm__, lock__) do { } while (0)
#define drm_userptr_vm_assert_locked(vm__) do { } while (0)
#endif

int drm_userptr_init(struct drm_userptr *userptr, struct device *dev,
		     u64 addr, u64 size, u32 flags);
void drm_userptr_fini(struct drm_userptr *userptr);
void drm_userptr_fini_async(struct drm_userptr *userptr,
			    void (*free)(struct drm_userptr *userptr));
int drm_userptr_probe(struct drm_userptr *userptr, unsigned long *fault_addr);

int drm_userptr_vm_init(struct drm_userptr_vm *vm, struct device *dev,
			const struct drm_userptr_vm_ops *ops, u32 flags);
void drm_userptr_vm_fini(struct drm_userptr_vm *vm);
int drm_userptr_vm_wait_idle(struct drm_userptr_vm *vm);

int drm_userptr_binding_init(struct drm_userptr_binding *binding,
			     struct drm_userptr_vm *vm,
			     struct drm_userptr *userptr,
			     unsigned long start, unsigned long size, u64 addr);
void drm_userptr_binding_fini(struct drm_userptr_binding *binding);
void drm_userptr_bind(struct drm_userptr_binding *binding);
void drm_userptr_unbind(struct drm_userptr_binding *binding);
void drm_userptr_binding_revive(struct drm_userptr_binding *binding);
void drm_userptr_binding_invalidate(struct drm_userptr_binding *binding);
void drm_userptr_vm_invalidate(struct drm_userptr_vm *vm);

/**
 * drm_userptr_owned() - does the caller's mm own this userptr?
 * @userptr: the userptr
 *
 * Identity is the &struct mm_struct, never a task: after fork() or when a file
 * was passed on the answer is no.
 *
 * Return: true if current->mm is the mm that the userptr was made in.
 */
static inline bool drm_userptr_owned(const struct drm_userptr *userptr)
{
	return userptr->mm == current->mm;
}

/**
 * drm_userptr_vm_owned() - does the caller's mm own this VM?
 * @vm: the VM
 *
 * Return: true if current->mm is the mm that the VM was made in.
 */
static inline bool drm_userptr_vm_owned(const struct drm_userptr_vm *vm)
{
	return vm->mm == current->mm;
}

/**
 * struct drm_userptr_remote_result - what was found in another process
 *
 * Private to the helper.
 */
struct drm_userptr_remote_result {
	/** @id: of the userptr, or 0 */
	u64 id;
	/** @start: of the binding */
	unsigned long start;
	/** @end: of the binding */
	unsigned long end;
	/** @err: -EFAULT or -EPERM, or 0 */
	int err;
	/** @fault_addr: CPU address that @err is about */
	unsigned long fault_addr;
	/** @windows: how many were populated, and not counted yet */
	unsigned long windows;
};

/**
 * struct drm_userptr_submit - one submission, from first try to commit
 *
 * On the stack of the submitting ioctl; protected by the VM's outer lock.
 */
struct drm_userptr_submit {
	/** @vm: where to */
	struct drm_userptr_vm *vm;
	/**
	 * @bindings: list of &drm_userptr_binding.submit_link, with
	 * %DRM_USERPTR_VM_EXPLICIT
	 */
	struct list_head bindings;
	/** @tries: populate passes so far */
	unsigned int tries;
	/** @lost: pages' worth of steps lost so far */
	u64 lost;
	/** @budget: how many of these are too many */
	u64 budget;
	/** @holds: pages that are held until the commit, by userptr and window */
	struct rb_root holds;
	/** @fault_mm: whose fault handler to wait for, holds a reference; or NULL */
	struct mm_struct *fault_mm;
	/** @fault_start: where */
	unsigned long fault_start;
	/** @fault_end: up to where at most */
	unsigned long fault_end;
	/** @fault_refused: where a handler did not help, or ULONG_MAX */
	unsigned long fault_refused;
	/** @fault_write: a write fault */
	bool fault_write;
	/** @serial: its number in the VM */
	u64 serial;
	/** @remote: pages of another process to wait for, or NULL */
	struct drm_userptr_remote *remote;
	/** @remote_result: what came of the last time */
	struct drm_userptr_remote_result remote_result;
	/**
	 * @wanted: how many are still interested, or NULL if the caller is;
	 * with nobody left the submission is given up
	 */
	const atomic_t *wanted;
	/** @committed: the commit went through */
	bool committed;
};

void drm_userptr_submit_init(struct drm_userptr_submit *submit,
			     struct drm_userptr_vm *vm);
void drm_userptr_submit_add(struct drm_userptr_submit *submit,
			    struct drm_userptr_binding *binding);
void drm_userptr_submit_fini(struct drm_userptr_submit *submit);
int drm_userptr_submit_populate(struct drm_userptr_submit *submit);
int drm_userptr_submit_fault(struct drm_userptr_submit *submit);
int drm_userptr_submit_validate(struct drm_userptr_submit *submit);
int drm_userptr_commit_begin(struct drm_userptr_submit *submit);
void drm_userptr_commit_fence(struct drm_userptr_submit *submit,
			      struct dma_fence *fence);
void drm_userptr_commit_end(struct drm_userptr_submit *submit);

/**
 * drm_userptr_until_valid() - loop until a submission is committed
 * @submit__: struct drm_userptr_submit, initialised
 *
 * The body populates, takes the driver's dma_resv locks and commits. It leaves
 * the loop with break on an error, and goes round again with continue when
 * drm_userptr_commit_begin() returned -EAGAIN. The loop is bounded:
 * drm_userptr_submit_populate() returns -EAGAIN when the budget is used up and
 * -ERESTARTSYS when a signal is pending.
 */
#define drm_userptr_until_valid(submit__) \
	while (!(submit__)->committed)

struct drm_userptr_preempt;
struct drm_userptr_queue;

/**
 * struct drm_userptr_preempt_ops - what a driver does for long-running queues
 */
struct drm_userptr_preempt_ops {
	/**
	 * @rebind: make everything valid again and resume the queues
	 *
	 * Required. Called from a worker, with no lock held and without a mm.
	 * Takes the VM's outer lock, calls drm_userptr_rebind_begin(), and then
	 * does what every submission does, with drm_userptr_resume_prepare()
	 * and drm_userptr_commit_resume() in place of a job; see the example in
	 * the overview. A binding whose memory is gone must not keep it from
	 * resuming the others: leave its entries absent, and the device faults
	 * if it gets there.
	 *
	 * Return: 0; -EAGAIN or -ENOMEM to be called again later; anything else
	 * leaves the queues as they are until drm_userptr_preempt_kick().
	 */
	int (*rebind)(struct drm_userptr_preempt *preempt);
};

/**
 * struct drm_userptr_preempt - the long-running queues of a VM
 *
 * Embedded in the driver's VM, next to its &struct drm_userptr_vm.
 */
struct drm_userptr_preempt {
	/** @ops: the driver's callbacks; constant */
	const struct drm_userptr_preempt_ops *ops;
	/** @vm: whose queues; constant */
	struct drm_userptr_vm *vm;
	/** @queues: list of &drm_userptr_queue.link, under the outer lock */
	struct list_head queues;
	/** @nr_queues: how many those are, under the outer lock */
	unsigned int nr_queues;
	/** @live: how many of them are not killed */
	atomic_t live;
	/** @work: calls &drm_userptr_preempt_ops.rebind */
	struct delayed_work work;
	/** @backoff_ms: how long @work waited the last time; its own */
	unsigned int backoff_ms;
	/** @preemptions: times a queue was suspended with work left */
	atomic64_t preemptions;
	/** @resumes: times a queue was resumed */
	atomic64_t resumes;
};

/**
 * struct drm_userptr_queue_ops - what a driver does to a long-running queue
 *
 * A call of @suspend is followed by one of @suspend_wait, and @resume comes
 * only after that, or first of all.
 */
struct drm_userptr_queue_ops {
	/**
	 * @suspend: ask the queue to stop
	 *
	 * Required. Must not wait. May be called with interrupts disabled and
	 * under a spinlock.
	 */
	void (*suspend)(struct drm_userptr_queue *queue);

	/**
	 * @suspend_wait: wait until the queue has stopped
	 *
	 * Required. From its return to @resume the queue reaches no memory. An
	 * invalidation waits for it, so it must come to an end without user
	 * space and without anybody who allocates memory or holds a dma_resv: a
	 * queue that does not stop in time has to be reset.
	 */
	void (*suspend_wait)(struct drm_userptr_queue *queue);

	/**
	 * @resume: let the queue run again, or for the first time
	 *
	 * Required. Called in a commit, with &drm_userptr_vm.notifier_lock held
	 * for read. Must not allocate memory or wait for a fence.
	 */
	void (*resume)(struct drm_userptr_queue *queue);

	/**
	 * @idle: has the queue nothing to run?
	 *
	 * Optional, for queues that the kernel submits to. An idle queue is
	 * left suspended, and memory that nobody uses is left alone. Takes
	 * spinlocks at most. When the queue gets something to run, the driver
	 * commits that as the resumption of the queue.
	 */
	bool (*idle)(struct drm_userptr_queue *queue);
};

/**
 * struct drm_userptr_queue - a queue whose jobs may run for ever
 *
 * Embedded in the driver's queue. No &struct dma_fence ever depends on the end
 * of one of its jobs. While it runs there is a preempt fence in the ledger: who
 * waits for that makes the queue stop.
 */
struct drm_userptr_queue {
	/** @ops: the driver's callbacks; constant */
	const struct drm_userptr_queue_ops *ops;
	/** @preempt: to whom it belongs; constant */
	struct drm_userptr_preempt *preempt;
	/** @link: in &drm_userptr_preempt.queues, under the outer lock */
	struct list_head link;
	/** @context: of its preempt fences; constant */
	u64 context;
	/** @seqno: of the last preempt fence, under the outer lock */
	u64 seqno;
	/** @spare: memory for the next one, under the outer lock */
	struct drm_userptr_preempt_fence *spare;

	/**
	 * @lock: keeps drm_userptr_queue_suspend() from getting in between when
	 * the queue is resumed. Innermost of the helper's locks; nothing is
	 * allocated and no fence waited for under it.
	 */
	struct mutex lock;
	/**
	 * @fence: signals when the queue is suspended; NULL if it never ran.
	 * Changed under @lock and the outer lock, read under either.
	 */
	struct dma_fence *fence;
	/** @killed: never resume it again; under @lock */
	bool killed;
};

int drm_userptr_preempt_init(struct drm_userptr_preempt *preempt,
			     struct drm_userptr_vm *vm,
			     const struct drm_userptr_preempt_ops *ops);
void drm_userptr_preempt_fini(struct drm_userptr_preempt *preempt);
void drm_userptr_preempt_kick(struct drm_userptr_preempt *preempt);

int drm_userptr_queue_init(struct drm_userptr_queue *queue,
			   struct drm_userptr_preempt *preempt,
			   const struct drm_userptr_queue_ops *ops);
void drm_userptr_queue_fini(struct drm_userptr_queue *queue);
void drm_userptr_queue_suspend(struct drm_userptr_queue *queue);
void drm_userptr_queue_kill(struct drm_userptr_queue *queue);

int drm_userptr_rebind_begin(struct drm_userptr_submit *submit,
			     struct drm_userptr_preempt *preempt);
int drm_userptr_resume_prepare(struct drm_userptr_submit *submit,
			       struct drm_userptr_preempt *preempt);
void drm_userptr_commit_resume(struct drm_userptr_submit *submit,
			       struct drm_userptr_preempt *preempt);

/**
 * drm_userptr_for_each_preempt_fence() - walk the fences of a VM's queues
 * @queue__: struct drm_userptr_queue, the cursor; its fence is @queue__->fence
 * @preempt__: struct drm_userptr_preempt
 *
 * After drm_userptr_commit_resume(), with the outer lock held: for a driver that
 * adds them, as DMA_RESV_USAGE_BOOKKEEP, to the dma_resv of what may move.
 */
#define drm_userptr_for_each_preempt_fence(queue__, preempt__)		\
	list_for_each_entry(queue__, &(preempt__)->queues, link)	\
		for_each_if((queue__)->fence)

#endif /* __DRM_USERPTR_H__ */
