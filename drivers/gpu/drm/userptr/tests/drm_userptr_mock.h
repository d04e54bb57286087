/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_MOCK_H__
#define __DRM_USERPTR_MOCK_H__

#include <linux/completion.h>
#include <linux/dma-fence.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include <kunit/test.h>

#include <drm/drm_userptr.h>
#include <drm/drm_userptr_client.h>

struct userptr_mock;

#define USERPTR_MOCK_WINDOW_PAGES	(DRM_USERPTR_WINDOW_SIZE / PAGE_SIZE)

/* How much a mock VM can map */
#define USERPTR_MOCK_VA_PAGES		(8 * USERPTR_MOCK_WINDOW_PAGES)

/* How many bindings a job can name */
#define USERPTR_MOCK_NAMED		8

/* How many userptrs there may be at a time */
#define USERPTR_MOCK_MAX_USERPTRS	64

/* Long enough for anything that is going to happen at all */
#define USERPTR_MOCK_SOON		(30 * HZ)
/* Long enough to catch, as a rule, what must not happen */
#define USERPTR_MOCK_AWHILE		max(HZ / 20, 2)

/**
 * struct userptr_mock_obj - stands for a GEM object
 * @base: the userptr
 * @mock: the device
 * @finish: second pass of an invalidation that userptr_mock_invalidate() began
 * @later: those of invalidations that it began after that, in order
 * @dmabuf: what it is exported as, or NULL; a reference is the test's
 * @released: how often that was released
 * @release: completed each time
 * @link: in &userptr_mock.objs
 */
struct userptr_mock_obj {
	struct drm_userptr base;
	struct dma_buf *dmabuf;
	unsigned int released;
	struct completion release;
	struct userptr_mock *mock;
	struct mmu_interval_notifier_finish *finish;
	struct mmu_interval_notifier_finish *later[3];
	struct list_head link;
};

/**
 * struct userptr_mock_vm - stands for a VM with its page table and its TLB
 * @base: the userptr part
 * @mock: the device
 * @lock: the outer lock of @base
 * @link: in &userptr_mock.vms
 * @bindings: list of &userptr_mock_binding.link
 * @preempt: its long-running queues
 * @queues: list of &userptr_mock_queue.link
 * @after_populate: hook between populate and commit, or NULL
 * @hook_data: for the hook
 * @submit: how the last submission went
 * @named: bindings that submissions name, up to the first NULL
 * @rebinds: calls of the rebind op; written with @lock held
 * @rebind_err: what the last one returned; likewise
 * @slow_tlb: a flush is not over before @let_flush
 * @let_flush: see @slow_tlb
 * @pt_lock: protects what follows
 * @jobs: list of &userptr_mock_job.vm_link
 * @pt: DMA address of each device page, and bit 0 if present
 * @tlb: what was looked up in @pt since the last flush
 * @present: number of entries in @pt
 * @maps: calls of the map op
 * @mapped_pages: pages that those wrote
 * @zaps: calls of the zap op
 * @tlb_submits: calls of the tlb_submit op
 * @tlb_waits: calls of the tlb_wait op
 * @flushed: last flush that was waited for
 */
struct userptr_mock_vm {
	struct drm_userptr_vm base;
	struct userptr_mock *mock;
	struct mutex lock;	/* outer */
	struct list_head link;
	struct list_head bindings;
	struct drm_userptr_preempt preempt;
	struct list_head queues;
	void (*after_populate)(struct userptr_mock_vm *vm);
	void *hook_data;
	struct drm_userptr_submit submit;
	struct userptr_mock_binding *named[USERPTR_MOCK_NAMED];
	unsigned int rebinds;
	int rebind_err;
	bool slow_tlb;
	struct completion let_flush;

	spinlock_t pt_lock;	/* inner */
	struct list_head jobs;
	u64 *pt;
	u64 *tlb;
	u64 present;
	u64 maps;
	u64 mapped_pages;
	u64 zaps;
	u64 tlb_submits;
	u64 tlb_waits;
	u64 flushed;
};

/**
 * struct userptr_mock_binding - stands for a mapping in a VM
 * @base: the userptr part
 * @bound: between userptr_mock_bind() and userptr_mock_unbind()
 * @link: in &userptr_mock_vm.bindings
 */
struct userptr_mock_binding {
	struct drm_userptr_binding base;
	bool bound;
	struct list_head link;
};

/**
 * struct userptr_mock_job - a job of which nothing exists but the end
 * @fence: signalled by userptr_mock_job_end(); first, so that it can be freed
 *	as such
 * @lock: of @fence
 * @mock: the device
 * @bystander: does not use userptrs that are taken away while it runs
 * @named: bindings that it uses, in a VM whose jobs name them
 * @signaling: somebody enabled signalling
 * @waited: somebody waits
 * @link: in &userptr_mock.jobs
 * @vm_link: in &userptr_mock_vm.jobs
 */
struct userptr_mock_job {
	struct dma_fence fence;
	spinlock_t lock;		/* of the fence */
	struct userptr_mock *mock;
	bool bystander;
	struct userptr_mock_binding *named[USERPTR_MOCK_NAMED];
	struct completion signaling;
	struct completion waited;
	struct list_head link;
	struct list_head vm_link;
};

/**
 * struct userptr_mock_queue - a long-running queue with an endless job
 * @base: the userptr part
 * @vm: whose it is
 * @link: in &userptr_mock_vm.queues
 * @slow: does not stop before @let_stop
 * @idle: there is no job after all
 * @stop_asked: completed when somebody asked it to stop
 * @let_stop: see @slow
 * @wq: woken when something below changes
 * @lock: protects what follows
 * @running: reaches memory
 * @suspends: calls of the suspend op
 * @suspend_waits: calls of the suspend_wait op
 * @resumes: calls of the resume op
 * @present: entries in the page table at the last resume
 */
struct userptr_mock_queue {
	struct drm_userptr_queue base;
	struct userptr_mock_vm *vm;
	struct list_head link;
	bool slow;
	bool idle;
	struct completion stop_asked;
	struct completion let_stop;
	wait_queue_head_t wq;
	spinlock_t lock;	/* innermost */
	bool running;
	unsigned int suspends;
	unsigned int suspend_waits;
	unsigned int resumes;
	u64 present;
};

/**
 * struct userptr_mock_file - a file whose page faults the test knows of
 * @file: to be mapped
 * @mapping: who mapped it; of its own, as anonymous inodes share one
 * @pages: what a fault finds, by page of the file
 * @nr_pages: size of the file
 * @faults: page faults so far
 * @fault: hook in the page fault, with the mmap lock held, or NULL
 * @data: for @fault
 */
struct userptr_mock_file {
	struct file *file;
	struct address_space mapping;
	struct page **pages;
	unsigned long nr_pages;
	unsigned long faults;
	void (*fault)(struct userptr_mock_file *file, unsigned long page);
	void *data;
};

/**
 * struct userptr_mock_thread - another thread of the test's process
 * @mock: the device
 * @fn: what it does
 * @arg: for @fn
 * @mm: the process, with a reference
 * @task: the thread; until @done is complete
 * @ret: what @fn returned
 * @done: completed when @fn returned
 * @link: in &userptr_mock.threads
 */
struct userptr_mock_thread {
	struct userptr_mock *mock;
	long (*fn)(void *arg);
	void *arg;
	struct mm_struct *mm;
	struct task_struct *task;
	long ret;
	struct completion done;
	struct list_head link;
};

/**
 * struct userptr_mock - stands for a device
 * @test: the test
 * @dev: what memory is DMA-mapped for
 * @device: the list of @client
 * @client: whose all userptrs and VMs are
 * @vms: list of &userptr_mock_vm.link
 * @objs: list of &userptr_mock_obj.link
 * @jobs: list of &userptr_mock_job.link
 * @threads: list of &userptr_mock_thread.link
 * @exports: list of &userptr_mock_export.link
 * @imports: list of &userptr_mock_import.link
 * @cur_seq: sequence number of made-up invalidations
 * @violation: the first thing that must never happen, but did
 * @aliased: the same page is mapped for more than one userptr: no check at DMA
 *	unmap that no device page table has it
 * @dma_pages: pages that are DMA-mapped
 * @dma_to_device_pages: pages that were mapped DMA_TO_DEVICE
 * @iommu_dev: the device behind @iommu, or NULL
 * @iommu: struct page by DMA address divided by the page size
 */
struct userptr_mock {
	struct kunit *test;
	struct device *dev;
	struct drm_userptr_device device;
	struct drm_userptr_client *client;
	struct list_head vms;
	struct list_head objs;
	struct list_head jobs;
	struct list_head threads;
	struct list_head exports;
	struct list_head imports;
	unsigned long cur_seq;
	const char *violation;
	bool aliased;
	atomic64_t dma_pages;
	atomic64_t dma_to_device_pages;
	struct device *iommu_dev;
	struct xarray iommu;
};

/* What every suite has; &kunit.priv is the struct userptr_mock */
int userptr_mock_suite_init(struct kunit_suite *suite);
void userptr_mock_suite_exit(struct kunit_suite *suite);
int userptr_mock_init(struct kunit *test);
void userptr_mock_exit(struct kunit *test);

struct dma_buf *userptr_mock_obj_export(struct userptr_mock_obj *obj);
void userptr_mock_obj_unexport(struct userptr_mock_obj *obj);
bool userptr_mock_obj_released(struct userptr_mock_obj *obj);

/* The process */
unsigned long userptr_mock_mmap(struct userptr_mock *mock, unsigned long size);
void userptr_mock_remap(struct userptr_mock *mock, unsigned long addr,
			unsigned long size, unsigned long prot);
void userptr_mock_exit_mm(struct userptr_mock *mock);
struct userptr_mock_file *
userptr_mock_file_mmap(struct userptr_mock *mock, unsigned long addr,
		       unsigned long size);
void userptr_mock_file_replace(struct userptr_mock *mock,
			       struct userptr_mock_file *file, u64 tag);
void userptr_mock_cpu_write(struct userptr_mock *mock, unsigned long addr,
			    u64 value);
u64 userptr_mock_cpu_read(struct userptr_mock *mock, unsigned long addr);
void userptr_mock_fill(struct userptr_mock *mock, unsigned long addr,
		       unsigned long size, u64 tag);

struct userptr_mock_thread *
userptr_mock_thread_start(struct userptr_mock *mock, long (*fn)(void *arg),
			  void *arg);
struct userptr_mock_thread *
userptr_mock_munmap_start(struct userptr_mock *mock, unsigned long addr,
			  unsigned long size);
bool userptr_mock_thread_join(struct userptr_mock_thread *thread);
bool userptr_mock_thread_blocked(struct userptr_mock_thread *thread);

/* The driver */
struct userptr_mock_obj *
userptr_mock_obj_new(struct userptr_mock *mock, unsigned long addr,
		     unsigned long size, u32 flags);
void userptr_mock_obj_free(struct userptr_mock_obj *obj);
struct device *userptr_mock_dev_new(struct userptr_mock *mock, const char *name);
struct userptr_mock_vm *userptr_mock_vm_new_on(struct userptr_mock *mock,
					       struct device *dev, u32 flags);
struct userptr_mock_vm *userptr_mock_vm_new(struct userptr_mock *mock);
struct userptr_mock_vm *
userptr_mock_vm_new_elsewhere(struct userptr_mock *mock, struct device *dev,
			      u32 flags);
struct userptr_mock_binding *
userptr_mock_bind(struct userptr_mock_vm *vm, struct userptr_mock_obj *obj,
		  unsigned long start, unsigned long size, u64 addr);
struct userptr_mock_binding *
userptr_mock_bind_all(struct userptr_mock_vm *vm, struct userptr_mock_obj *obj,
		      u64 addr);
void userptr_mock_binding_insert(struct userptr_mock_vm *vm,
				 struct userptr_mock_binding *binding);
void userptr_mock_unbind(struct userptr_mock_binding *binding);
void userptr_mock_revive(struct userptr_mock_binding *binding);

struct userptr_mock_job *userptr_mock_job_new(struct userptr_mock *mock,
					      u64 context, u64 seqno);
bool userptr_mock_job_waited(struct userptr_mock_job *job);
void userptr_mock_job_end(struct userptr_mock_job *job);
int userptr_mock_submit(struct userptr_mock_vm *vm,
			struct userptr_mock_job *job);
struct userptr_mock_job *userptr_mock_submit_new(struct userptr_mock_vm *vm);
int userptr_mock_submit_done(struct userptr_mock_vm *vm);
void userptr_mock_commit_by_hand(struct userptr_mock_vm *vm,
				 struct userptr_mock_job *job);

/* Long-running queues */
extern const struct drm_userptr_preempt_ops userptr_mock_preempt_ops;

struct userptr_mock_queue *userptr_mock_queue_new(struct userptr_mock_vm *vm);
void userptr_mock_queue_free(struct userptr_mock_queue *queue);
bool userptr_mock_queue_is_running(struct userptr_mock_queue *queue);
bool userptr_mock_queue_resumed(struct userptr_mock_queue *queue,
				unsigned int resumes);
bool userptr_mock_queue_stopped(struct userptr_mock_queue *queue);
bool userptr_mock_queue_stop_asked(struct userptr_mock_queue *queue);
bool userptr_mock_vm_is_running(struct userptr_mock_vm *vm);

/* The device */
int userptr_mock_read(struct userptr_mock_vm *vm, u64 addr, u64 *value);
int userptr_mock_write(struct userptr_mock_vm *vm, u64 addr, u64 value);
struct page *userptr_mock_page(struct userptr_mock_vm *vm, u64 addr);
void userptr_mock_check_unmapped(struct userptr_mock *mock, struct device *dev,
				 dma_addr_t dma, size_t size);
u64 userptr_mock_present(struct userptr_mock_vm *vm, u64 addr, u64 size);
u64 userptr_mock_matches(struct userptr_mock_vm *vm, u64 addr, u64 size,
			 u64 tag);

/* The mm, for what it cannot be made to do */
bool userptr_mock_invalidate_at(struct userptr_mock_obj *obj,
				unsigned long start, unsigned long end,
				bool blockable, unsigned long cur_seq);
bool userptr_mock_invalidate(struct userptr_mock_obj *obj, unsigned long start,
			     unsigned long end);
bool userptr_mock_invalidate_nonblock(struct userptr_mock_obj *obj,
				      unsigned long start, unsigned long end);
void userptr_mock_invalidate_finish(struct userptr_mock_obj *obj);

#endif /* __DRM_USERPTR_MOCK_H__ */
