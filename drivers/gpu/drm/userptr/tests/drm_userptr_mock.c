// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * A device that is only a page table and a TLB, a driver for it, and a process
 * whose memory it works on.
 *
 * The memory, its pages and what the mm does to them are real. Jobs are fences
 * that the test signals by hand. The device reaches memory through TLB and page
 * table and in no other way; the TLB keeps what it has until flushed. So what
 * the helpers forget to clear or to flush shows as data where none should be.
 *
 * Some things are never right, whatever the test is about: to clear entries
 * under a running job, or to give up DMA mappings that the page table or the
 * TLB still have. They are looked for on every call and make the test fail at
 * its end, see userptr_mock_violation().
 */

#include <linux/anon_inodes.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>

#include <kunit/device.h>

#include <drm/drm_userptr_export.h>

#include "drm_userptr_mock_export.h"

#define USERPTR_MOCK_PRESENT	BIT_ULL(0)

static struct userptr_mock_vm *to_mock_vm(struct drm_userptr_vm *vm)
{
	return container_of(vm, struct userptr_mock_vm, base);
}

/* Callable everywhere; userptr_mock_exit() reports it. */
static void userptr_mock_violation(struct userptr_mock *mock, const char *what)
{
	cmpxchg(&mock->violation, NULL, what);
}

/*
 * The process
 */

static void userptr_mock_attach_mm(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	/*
	 * An mm that khugepaged believes to know already it does not look at:
	 * tests say themselves when pages are taken away.
	 */
	mm_flags_set(MMF_VM_HUGEPAGE, current->mm);
}

/* Anonymous memory from a window's start on; the window after it is free. */
unsigned long userptr_mock_mmap(struct userptr_mock *mock, unsigned long size)
{
	unsigned long addr, start;

	userptr_mock_attach_mm(mock->test);
	addr = kunit_vm_mmap(mock->test, NULL, 0,
			     size + 2 * DRM_USERPTR_WINDOW_SIZE, PROT_NONE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(mock->test, !addr || IS_ERR_VALUE(addr));

	start = ALIGN(addr, DRM_USERPTR_WINDOW_SIZE);
	userptr_mock_remap(mock, start, size, PROT_READ | PROT_WRITE);

	return start;
}

/* A new mapping in place of the old one, in one step. */
void userptr_mock_remap(struct userptr_mock *mock, unsigned long addr,
			unsigned long size, unsigned long prot)
{
	KUNIT_ASSERT_EQ(mock->test, addr,
			vm_mmap(NULL, addr, size, prot,
				MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, 0));
}

/*
 * The process dies, with its last thread. The test goes on as a kernel thread
 * that has none.
 */
void userptr_mock_exit_mm(struct userptr_mock *mock)
{
	struct mm_struct *mm = current->mm;

	KUNIT_ASSERT_NOT_NULL(mock->test, mm);
	kthread_unuse_mm(mm);
	mmput(mm);
}

void userptr_mock_cpu_write(struct userptr_mock *mock, unsigned long addr,
			    u64 value)
{
	KUNIT_ASSERT_EQ(mock->test, 0,
			copy_to_user((void __user *)addr, &value,
				     sizeof(value)));
}

u64 userptr_mock_cpu_read(struct userptr_mock *mock, unsigned long addr)
{
	u64 value;

	KUNIT_ASSERT_EQ(mock->test, 0,
			copy_from_user(&value, (void __user *)addr,
				       sizeof(value)));

	return value;
}

/* Page i begins with @tag + i. */
void userptr_mock_fill(struct userptr_mock *mock, unsigned long addr,
		       unsigned long size, u64 tag)
{
	unsigned long i;

	for (i = 0; i < size / PAGE_SIZE; i++)
		userptr_mock_cpu_write(mock, addr + i * PAGE_SIZE, tag + i);
}

static vm_fault_t userptr_mock_file_fault(struct vm_fault *vmf)
{
	struct userptr_mock_file *file = vmf->vma->vm_private_data;

	file->faults++;
	if (vmf->pgoff >= file->nr_pages)
		return VM_FAULT_SIGBUS;
	if (file->fault)
		file->fault(file, vmf->pgoff);

	vmf->page = file->pages[vmf->pgoff];
	get_page(vmf->page);

	return 0;
}

static const struct vm_operations_struct userptr_mock_file_vm_ops = {
	.fault = userptr_mock_file_fault,
};

static int userptr_mock_file_mmap_prepare(struct vm_area_desc *desc)
{
	desc->vm_ops = &userptr_mock_file_vm_ops;
	desc->private_data = desc->file->private_data;

	return 0;
}

/* The vma keeps the file until the process is gone, maybe after the test. */
static int userptr_mock_file_release(struct inode *inode, struct file *filp)
{
	struct userptr_mock_file *file = filp->private_data;
	unsigned long i;

	for (i = 0; i < file->nr_pages && file->pages[i]; i++)
		put_page(file->pages[i]);
	kfree(file->pages);
	kfree(file);

	return 0;
}

static const struct file_operations userptr_mock_file_fops = {
	.mmap_prepare = userptr_mock_file_mmap_prepare,
	.release = userptr_mock_file_release,
};

KUNIT_DEFINE_ACTION_WRAPPER(userptr_mock_fput, fput, struct file *);

/* New pages in the file, beginning with @tag + i, for faults to come. */
void userptr_mock_file_replace(struct userptr_mock *mock,
			       struct userptr_mock_file *file, u64 tag)
{
	unsigned long i;

	for (i = 0; i < file->nr_pages; i++) {
		struct page *page = alloc_page(GFP_HIGHUSER | __GFP_ZERO);

		KUNIT_ASSERT_NOT_NULL(mock->test, page);
		memcpy_to_page(page, 0, (char *)&(u64){ tag + i }, sizeof(u64));
		if (file->pages[i])
			put_page(file->pages[i]);
		file->pages[i] = page;
	}
}

/* Shared, in place of what is there. */
struct userptr_mock_file *
userptr_mock_file_mmap(struct userptr_mock *mock, unsigned long addr,
		       unsigned long size)
{
	struct kunit *test = mock->test;
	struct userptr_mock_file *file;

	file = kzalloc_obj(*file);
	KUNIT_ASSERT_NOT_NULL(test, file);
	file->nr_pages = size / PAGE_SIZE;
	file->pages = kcalloc(file->nr_pages, sizeof(*file->pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, file->pages);

	file->file = anon_inode_getfile("userptr_mock", &userptr_mock_file_fops,
					file, O_RDWR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file->file);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, userptr_mock_fput,
						  file->file));
	address_space_init_once(&file->mapping);
	file->mapping.host = file_inode(file->file);
	file->mapping.a_ops = &empty_aops;
	file->file->f_mapping = &file->mapping;
	userptr_mock_file_replace(mock, file, 0);

	KUNIT_ASSERT_EQ(test, addr,
			vm_mmap(file->file, addr, size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, 0));

	return file;
}

static int userptr_mock_thread_fn(void *data)
{
	struct userptr_mock_thread *thread = data;

	/* So that the test's stubs hold here, too. */
	current->kunit_test = thread->mock->test;
	kthread_use_mm(thread->mm);
	thread->ret = thread->fn(thread->arg);
	kthread_unuse_mm(thread->mm);
	mmput(thread->mm);
	complete_all(&thread->done);

	return 0;
}

struct userptr_mock_thread *
userptr_mock_thread_start(struct userptr_mock *mock, long (*fn)(void *arg),
			  void *arg)
{
	struct userptr_mock_thread *thread;
	struct task_struct *task;

	thread = kunit_kzalloc(mock->test, sizeof(*thread), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(mock->test, thread);
	thread->mock = mock;
	thread->fn = fn;
	thread->arg = arg;
	thread->mm = current->mm;
	init_completion(&thread->done);

	mmget(thread->mm);
	task = kthread_run(userptr_mock_thread_fn, thread, "userptr_mock");
	if (IS_ERR(task))
		mmput(thread->mm);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(mock->test, task);
	thread->task = task;
	list_add_tail(&thread->link, &mock->threads);

	return thread;
}

struct userptr_mock_munmap {
	unsigned long addr;
	unsigned long size;
};

static long userptr_mock_munmap(void *arg)
{
	struct userptr_mock_munmap *munmap = arg;

	return vm_munmap(munmap->addr, munmap->size);
}

struct userptr_mock_thread *
userptr_mock_munmap_start(struct userptr_mock *mock, unsigned long addr,
			  unsigned long size)
{
	struct userptr_mock_munmap *munmap;

	munmap = kunit_kzalloc(mock->test, sizeof(*munmap), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(mock->test, munmap);
	munmap->addr = addr;
	munmap->size = size;

	return userptr_mock_thread_start(mock, userptr_mock_munmap, munmap);
}

/* True if it came to its end, within any sensible time. */
bool userptr_mock_thread_join(struct userptr_mock_thread *thread)
{
	return wait_for_completion_timeout(&thread->done, USERPTR_MOCK_SOON);
}

/* True if it does not come to its end, as far as can be told by waiting. */
bool userptr_mock_thread_blocked(struct userptr_mock_thread *thread)
{
	return !wait_for_completion_timeout(&thread->done, USERPTR_MOCK_AWHILE);
}

/*
 * The device
 */

static void userptr_mock_map(struct drm_userptr_binding *binding, u64 addr,
			     dma_addr_t dma, u64 size)
{
	struct userptr_mock_vm *vm = to_mock_vm(binding->vm);
	u64 i, first = addr / PAGE_SIZE;

	lockdep_assert_held_read(&vm->base.notifier_lock);
	lockdep_assert_held(&vm->lock);

	/* Jobs that are there already could use it at once. */
	if (binding->import &&
	    !dma_resv_test_signaled(binding->import->dmabuf->resv,
				    DMA_RESV_USAGE_KERNEL))
		userptr_mock_violation(vm->mock, "mapped before the memory is there");

	guard(spinlock)(&vm->pt_lock);

	vm->maps++;
	vm->mapped_pages += size / PAGE_SIZE;

	if (addr < binding->addr ||
	    addr + size > binding->addr + (binding->end - binding->start)) {
		userptr_mock_violation(vm->mock, "mapped outside of the binding");
		return;
	}

	for (i = 0; i < size / PAGE_SIZE; i++) {
		if (vm->pt[first + i])
			userptr_mock_violation(vm->mock, "mapped twice");
		else
			vm->present++;
		vm->pt[first + i] = (dma + i * PAGE_SIZE) | USERPTR_MOCK_PRESENT;
	}
}

static bool userptr_mock_job_uses(struct userptr_mock_job *job,
				  struct userptr_mock_vm *vm,
				  struct drm_userptr_binding *binding)
{
	unsigned int i;

	if (!(vm->base.flags & DRM_USERPTR_VM_EXPLICIT))
		return !job->bystander;

	for (i = 0; i < USERPTR_MOCK_NAMED && job->named[i]; i++)
		if (&job->named[i]->base == binding)
			return true;

	return false;
}

static void userptr_mock_zap(struct drm_userptr_binding *binding, u64 addr,
			     u64 size)
{
	struct userptr_mock_vm *vm = to_mock_vm(binding->vm);
	u64 i, first = addr / PAGE_SIZE;
	struct userptr_mock_job *job;

	if (binding->userptr)
		lockdep_assert_held(&binding->userptr->lock);
	else
		lockdep_assert_held_write(&vm->base.notifier_lock);

	guard(spinlock)(&vm->pt_lock);

	vm->zaps++;

	list_for_each_entry(job, &vm->jobs, vm_link)
		if (userptr_mock_job_uses(job, vm, binding))
			userptr_mock_violation(vm->mock,
					       "zapped under a running job");
	if (userptr_mock_vm_is_running(vm))
		userptr_mock_violation(vm->mock,
				       "zapped under a running queue");

	if (addr < binding->addr ||
	    addr + size > binding->addr + (binding->end - binding->start)) {
		userptr_mock_violation(vm->mock, "zapped outside of the binding");
		return;
	}

	for (i = 0; i < size / PAGE_SIZE; i++) {
		if (vm->pt[first + i])
			vm->present--;
		vm->pt[first + i] = 0;
	}
}

static u64 userptr_mock_tlb_submit(struct drm_userptr_vm *base)
{
	struct userptr_mock_vm *vm = to_mock_vm(base);

	guard(spinlock)(&vm->pt_lock);

	return ++vm->tlb_submits;
}

/* Nothing is flushed before it is waited for: the slowest device possible. */
static void userptr_mock_tlb_wait(struct drm_userptr_vm *base, u64 seqno)
{
	struct userptr_mock_vm *vm = to_mock_vm(base);

	if (vm->slow_tlb)
		wait_for_completion(&vm->let_flush);

	guard(spinlock)(&vm->pt_lock);

	vm->tlb_waits++;
	if (seqno > vm->tlb_submits)
		userptr_mock_violation(vm->mock, "flush was never submitted");
	if (seqno <= vm->flushed)
		return;

	vm->flushed = vm->tlb_submits;
	memset(vm->tlb, 0, USERPTR_MOCK_VA_PAGES * sizeof(*vm->tlb));
}

static const struct drm_userptr_vm_ops userptr_mock_vm_ops = {
	.map = userptr_mock_map,
	.zap = userptr_mock_zap,
	.tlb_submit = userptr_mock_tlb_submit,
	.tlb_wait = userptr_mock_tlb_wait,
};

/* What is behind a DMA address? NULL if the IOMMU knows of nothing there. */
static struct page *userptr_mock_dma_page(struct userptr_mock_vm *vm,
					  dma_addr_t dma)
{
	struct userptr_mock *mock = vm->mock;

	if (mock->iommu_dev == vm->base.dev)
		return xa_load(&mock->iommu, dma / PAGE_SIZE);

	return phys_to_page(dma_to_phys(vm->base.dev, dma));
}

static int userptr_mock_access(struct userptr_mock_vm *vm, u64 addr,
			       u64 *value, bool write)
{
	u64 index = addr / PAGE_SIZE;
	struct page *page;
	u64 *p;

	guard(spinlock)(&vm->pt_lock);

	if (!vm->tlb[index])
		vm->tlb[index] = vm->pt[index];
	if (!vm->tlb[index])
		return -EFAULT;

	page = userptr_mock_dma_page(vm, vm->tlb[index] & PAGE_MASK);
	if (!page) {
		userptr_mock_violation(vm->mock, "access to what is not mapped for DMA");
		return -EFAULT;
	}
	p = kmap_local_page(page) + offset_in_page(addr);
	if (write)
		*p = *value;
	else
		*value = *p;
	kunmap_local(p);

	return 0;
}

int userptr_mock_read(struct userptr_mock_vm *vm, u64 addr, u64 *value)
{
	return userptr_mock_access(vm, addr, value, false);
}

int userptr_mock_write(struct userptr_mock_vm *vm, u64 addr, u64 value)
{
	return userptr_mock_access(vm, addr, &value, true);
}

/* The page behind a device address, or NULL. Leaves the TLB alone. */
struct page *userptr_mock_page(struct userptr_mock_vm *vm, u64 addr)
{
	u64 entry = vm->pt[addr / PAGE_SIZE];

	return entry ? userptr_mock_dma_page(vm, entry & PAGE_MASK) : NULL;
}

/* How many pages of a range are in the page table? Leaves the TLB alone. */
u64 userptr_mock_present(struct userptr_mock_vm *vm, u64 addr, u64 size)
{
	u64 i, n = 0;

	guard(spinlock)(&vm->pt_lock);

	for (i = 0; i < size / PAGE_SIZE; i++)
		n += !!vm->pt[addr / PAGE_SIZE + i];

	return n;
}

/* How many pages of a range does the device see as userptr_mock_fill()ed? */
u64 userptr_mock_matches(struct userptr_mock_vm *vm, u64 addr, u64 size,
			 u64 tag)
{
	u64 i, value, n = 0;

	for (i = 0; i < size / PAGE_SIZE; i++)
		n += !userptr_mock_read(vm, addr + i * PAGE_SIZE, &value) &&
		     value == tag + i;

	return n;
}

/*
 * DMA mappings, as traced by the DMA API
 */

/*
 * The device of the test that runs. Its mock exists whenever a mapping of it
 * comes or goes; nothing is known about those of others.
 */
static struct device *userptr_mock_dev;
static struct userptr_mock *userptr_mock_of_dev;

static void userptr_mock_dma_map(void *data, struct device *dev,
				 phys_addr_t phys, dma_addr_t dma, size_t size,
				 enum dma_data_direction dir,
				 unsigned long attrs)
{
	struct userptr_mock *mock;

	if (dev != READ_ONCE(userptr_mock_dev) || dma == DMA_MAPPING_ERROR)
		return;

	mock = userptr_mock_of_dev;
	atomic64_add(size / PAGE_SIZE, &mock->dma_pages);
	if (dir == DMA_TO_DEVICE)
		atomic64_add(size / PAGE_SIZE, &mock->dma_to_device_pages);
}

static bool userptr_mock_reaches(struct userptr_mock_vm *vm, dma_addr_t dma,
				 size_t size)
{
	u64 i;

	guard(spinlock)(&vm->pt_lock);

	for (i = 0; i < USERPTR_MOCK_VA_PAGES; i++)
		if ((vm->pt[i] && (vm->pt[i] & PAGE_MASK) - dma < size) ||
		    (vm->tlb[i] && (vm->tlb[i] & PAGE_MASK) - dma < size))
			return true;

	return false;
}

/* A page table must have forgotten what is to be unmapped, and a TLB, too. */
void userptr_mock_check_unmapped(struct userptr_mock *mock, struct device *dev,
				 dma_addr_t dma, size_t size)
{
	struct userptr_mock_vm *vm;

	guard(rcu)();

	list_for_each_entry_rcu(vm, &mock->vms, link)
		if (vm->base.dev == dev && userptr_mock_reaches(vm, dma, size))
			userptr_mock_violation(mock,
					       "unmapped for DMA while the device can reach it");
}

static void userptr_mock_dma_unmap(void *data, struct device *dev,
				   dma_addr_t dma, size_t size,
				   enum dma_data_direction dir,
				   unsigned long attrs)
{
	struct userptr_mock *mock;

	if (dev != READ_ONCE(userptr_mock_dev))
		return;

	mock = userptr_mock_of_dev;
	atomic64_sub(size / PAGE_SIZE, &mock->dma_pages);
	if (!mock->aliased)
		userptr_mock_check_unmapped(mock, dev, dma, size);
}

struct userptr_mock_probe {
	const char *name;
	void *probe;
	struct tracepoint *tp;
};

/* Found by name, as the tracepoints are not exported to modules. */
static struct userptr_mock_probe userptr_mock_probes[] = {
	{ "dma_map_phys", userptr_mock_dma_map },
	{ "dma_unmap_phys", userptr_mock_dma_unmap },
};

static void userptr_mock_find_tracepoint(struct tracepoint *tp, void *priv)
{
	struct userptr_mock_probe *probe = priv;

	if (!strcmp(tp->name, probe->name))
		probe->tp = tp;
}

/* For a whole suite: it takes many grace periods. */
int userptr_mock_suite_init(struct kunit_suite *suite)
{
	struct userptr_mock_probe *probe = userptr_mock_probes;
	int err;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		return 0;

	for (; probe < ARRAY_END(userptr_mock_probes); probe++) {
		probe->tp = NULL;
		for_each_kernel_tracepoint(userptr_mock_find_tracepoint, probe);
		if (!probe->tp)
			return -ENOENT;
		err = tracepoint_probe_register(probe->tp, probe->probe, NULL);
		if (err)
			return err;
	}

	return 0;
}

void userptr_mock_suite_exit(struct kunit_suite *suite)
{
	struct userptr_mock_probe *probe = userptr_mock_probes;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		return;

	for (; probe < ARRAY_END(userptr_mock_probes); probe++)
		if (probe->tp)
			tracepoint_probe_unregister(probe->tp, probe->probe,
						    NULL);
	tracepoint_synchronize_unregister();
}

/*
 * Jobs
 */

static struct userptr_mock_job *to_mock_job(struct dma_fence *fence)
{
	return container_of(fence, struct userptr_mock_job, fence);
}

static const char *userptr_mock_fence_name(struct dma_fence *fence)
{
	return "userptr_mock";
}

static bool userptr_mock_fence_enable_signaling(struct dma_fence *fence)
{
	complete_all(&to_mock_job(fence)->signaling);

	return true;
}

/* The default one, but a test can tell that somebody waits. */
static signed long userptr_mock_fence_wait(struct dma_fence *fence, bool intr,
					   signed long timeout)
{
	complete_all(&to_mock_job(fence)->waited);

	return dma_fence_default_wait(fence, intr, timeout);
}

static const struct dma_fence_ops userptr_mock_fence_ops = {
	.get_driver_name = userptr_mock_fence_name,
	.get_timeline_name = userptr_mock_fence_name,
	.enable_signaling = userptr_mock_fence_enable_signaling,
	.wait = userptr_mock_fence_wait,
};

/* @context 0 stands for a new one. */
struct userptr_mock_job *userptr_mock_job_new(struct userptr_mock *mock,
					      u64 context, u64 seqno)
{
	struct userptr_mock_job *job;

	job = kzalloc_obj(*job);
	KUNIT_ASSERT_NOT_NULL(mock->test, job);

	static_assert(!offsetof(typeof(*job), fence));
	job->mock = mock;
	spin_lock_init(&job->lock);
	init_completion(&job->signaling);
	init_completion(&job->waited);
	INIT_LIST_HEAD(&job->vm_link);
	dma_fence_init(&job->fence, &userptr_mock_fence_ops, &job->lock,
		       context ?: dma_fence_context_alloc(1), seqno);
	list_add_tail(&job->link, &mock->jobs);

	return job;
}

/* True as soon as somebody waits for the job; false if that never happens. */
bool userptr_mock_job_waited(struct userptr_mock_job *job)
{
	return wait_for_completion_timeout(&job->waited, USERPTR_MOCK_SOON);
}

static void userptr_mock_job_add(struct userptr_mock_job *job,
				 struct userptr_mock_vm *vm)
{
	guard(spinlock)(&vm->pt_lock);

	list_add_tail(&job->vm_link, &vm->jobs);
}

static void userptr_mock_job_remove(struct userptr_mock_job *job)
{
	struct userptr_mock_vm *vm;

	list_for_each_entry(vm, &job->mock->vms, link) {
		struct userptr_mock_job *pos;

		guard(spinlock)(&vm->pt_lock);

		list_for_each_entry(pos, &vm->jobs, vm_link) {
			if (pos == job) {
				list_del_init(&job->vm_link);
				return;
			}
		}
	}
}

void userptr_mock_job_end(struct userptr_mock_job *job)
{
	userptr_mock_job_remove(job);
	dma_fence_signal(&job->fence);
}

/*
 * The driver
 */

struct userptr_mock_obj *
userptr_mock_obj_new(struct userptr_mock *mock, unsigned long addr,
		     unsigned long size, u32 flags)
{
	struct userptr_mock_obj *obj;

	obj = kunit_kzalloc(mock->test, sizeof(*obj), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(mock->test, obj);
	obj->mock = mock;
	init_completion(&obj->release);
	obj->base.client = mock->client;
	KUNIT_ASSERT_EQ(mock->test, 0,
			drm_userptr_init(&obj->base, mock->dev, addr, size,
					 flags));
	list_add_tail(&obj->link, &mock->objs);

	return obj;
}

static void userptr_mock_obj_release(struct drm_userptr *userptr)
{
	struct userptr_mock_obj *obj = container_of(userptr, typeof(*obj), base);

	obj->released++;
	complete(&obj->release);
}

/* True as soon as the dma-buf is released, whoever has the last reference. */
bool userptr_mock_obj_released(struct userptr_mock_obj *obj)
{
	return wait_for_completion_timeout(&obj->release, USERPTR_MOCK_SOON);
}

struct dma_buf *userptr_mock_obj_export(struct userptr_mock_obj *obj)
{
	struct dma_buf *dmabuf;

	dmabuf = drm_userptr_export(&obj->base, THIS_MODULE, O_RDWR,
				    userptr_mock_obj_release);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(obj->mock->test, dmabuf);
	obj->dmabuf = dmabuf;

	return dmabuf;
}

void userptr_mock_obj_unexport(struct userptr_mock_obj *obj)
{
	dma_buf_put(obj->dmabuf);
	obj->dmabuf = NULL;
	/* A kernel thread's last reference is dropped by a worker. */
	flush_delayed_fput();
	KUNIT_EXPECT_TRUE(obj->mock->test, userptr_mock_obj_released(obj));
}

void userptr_mock_obj_free(struct userptr_mock_obj *obj)
{
	list_del(&obj->link);
	/* What still revokes it has a reference, too. */
	flush_work(&obj->base.detach_work);
	if (obj->dmabuf)
		userptr_mock_obj_unexport(obj);
	drm_userptr_fini(&obj->base);
}

struct userptr_mock_vm *userptr_mock_vm_new(struct userptr_mock *mock)
{
	return userptr_mock_vm_new_on(mock, mock->dev, 0);
}

KUNIT_DEFINE_ACTION_WRAPPER(userptr_mock_mmput, mmput, struct mm_struct *);

/* A VM of another process */
struct userptr_mock_vm *
userptr_mock_vm_new_elsewhere(struct userptr_mock *mock, struct device *dev,
			      u32 flags)
{
	struct mm_struct *mm = current->mm, *other;
	struct kunit *test = mock->test;
	struct userptr_mock_vm *vm;

	kthread_unuse_mm(mm);
	vm = userptr_mock_vm_new_on(mock, dev, flags);
	other = current->mm;
	kthread_unuse_mm(other);
	kthread_use_mm(mm);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, userptr_mock_mmput,
						  other));
	KUNIT_ASSERT_PTR_NE(test, vm->base.mm, mm);

	return vm;
}

struct userptr_mock_vm *userptr_mock_vm_new_on(struct userptr_mock *mock,
					       struct device *dev, u32 flags)
{
	struct kunit *test = mock->test;
	struct userptr_mock_vm *vm;

	userptr_mock_attach_mm(test);
	vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vm);
	vm->pt = kunit_kcalloc(test, USERPTR_MOCK_VA_PAGES, sizeof(*vm->pt),
			       GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vm->pt);
	init_completion(&vm->let_flush);
	vm->tlb = kunit_kcalloc(test, USERPTR_MOCK_VA_PAGES, sizeof(*vm->tlb),
				GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vm->tlb);

	vm->mock = mock;
	vm->base.client = mock->client;
	mutex_init(&vm->lock);
	spin_lock_init(&vm->pt_lock);
	INIT_LIST_HEAD(&vm->bindings);
	INIT_LIST_HEAD(&vm->queues);
	INIT_LIST_HEAD(&vm->jobs);
	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_vm_init(&vm->base, dev,
					    &userptr_mock_vm_ops, flags));
	drm_userptr_vm_set_lock(&vm->base, &vm->lock);
	if (flags == DRM_USERPTR_VM_HOLES)
		KUNIT_ASSERT_EQ(test, 0,
				drm_userptr_preempt_init(&vm->preempt, &vm->base,
							 &userptr_mock_preempt_ops));
	list_add_tail_rcu(&vm->link, &mock->vms);

	return vm;
}

void userptr_mock_binding_insert(struct userptr_mock_vm *vm,
				 struct userptr_mock_binding *binding)
{
	list_add_tail(&binding->link, &vm->bindings);

	guard(mutex)(&vm->lock);
	drm_userptr_bind(&binding->base);
	binding->bound = true;
}

struct userptr_mock_binding *
userptr_mock_bind(struct userptr_mock_vm *vm, struct userptr_mock_obj *obj,
		  unsigned long start, unsigned long size, u64 addr)
{
	struct userptr_mock_binding *binding;
	struct kunit *test = vm->mock->test;

	KUNIT_ASSERT_LE(test, addr + size, USERPTR_MOCK_VA_PAGES * PAGE_SIZE);

	binding = kunit_kzalloc(test, sizeof(*binding), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, binding);
	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_binding_init(&binding->base, &vm->base,
						 &obj->base, start, size,
						 addr));
	userptr_mock_binding_insert(vm, binding);

	return binding;
}

struct userptr_mock_binding *
userptr_mock_bind_all(struct userptr_mock_vm *vm, struct userptr_mock_obj *obj,
		      u64 addr)
{
	return userptr_mock_bind(vm, obj, obj->base.start,
				 obj->base.end - obj->base.start, addr);
}

void userptr_mock_unbind(struct userptr_mock_binding *binding)
{
	struct userptr_mock_vm *vm = to_mock_vm(binding->base.vm);

	mutex_lock(&vm->lock);
	drm_userptr_vm_wait_idle(&vm->base);
	drm_userptr_unbind(&binding->base);
	binding->bound = false;
	mutex_unlock(&vm->lock);
}

void userptr_mock_revive(struct userptr_mock_binding *binding)
{
	struct userptr_mock_vm *vm = to_mock_vm(binding->base.vm);

	mutex_lock(&vm->lock);
	drm_userptr_binding_revive(&binding->base);
	mutex_unlock(&vm->lock);
}

/* With the dma_resv of all imports held */
static int userptr_mock_commit(struct userptr_mock_vm *vm,
			       struct drm_exec *exec,
			       struct userptr_mock_job *job)
{
	struct drm_userptr_submit *submit = &vm->submit;
	struct drm_gem_object *obj;
	int err;

	err = drm_userptr_submit_validate(submit);
	if (err)
		return err;

	/* The loop goes round. */
	if (drm_userptr_commit_begin(submit))
		return 0;

	userptr_mock_job_add(job, vm);
	drm_userptr_commit_fence(submit, &job->fence);
	drm_exec_for_each_locked_object(exec, obj)
		dma_resv_add_fence(obj->resv, &job->fence,
				   DMA_RESV_USAGE_BOOKKEEP);
	drm_userptr_commit_end(submit);

	return 0;
}

/* A whole submission. Dead bindings are holes. */
int userptr_mock_submit(struct userptr_mock_vm *vm,
			struct userptr_mock_job *job)
{
	struct drm_userptr_submit *submit = &vm->submit;
	struct drm_exec exec;
	unsigned int i;
	int err = 0;

	guard(mutex)(&vm->lock);

	memcpy(job->named, vm->named, sizeof(job->named));
	drm_userptr_submit_init(submit, &vm->base);
	for (i = 0; i < USERPTR_MOCK_NAMED && vm->named[i]; i++)
		drm_userptr_submit_add(submit, &vm->named[i]->base);
	drm_userptr_until_valid(submit) {
		err = drm_userptr_submit_populate(submit);
		if (err == -EBUSY) {
			mutex_unlock(&vm->lock);
			err = drm_userptr_submit_fault(submit);
			mutex_lock(&vm->lock);
			if (err)
				break;
			continue;
		}
		if (err)
			break;

		if (vm->after_populate)
			vm->after_populate(vm);

		err = userptr_mock_exports_lock(vm->mock, &exec);
		if (err)
			break;
		err = userptr_mock_commit(vm, &exec, job);
		drm_exec_fini(&exec);
		if (err)
			break;
	}
	drm_userptr_submit_fini(submit);

	return err;
}

/* A job with a context of its own, running from here on. */
struct userptr_mock_job *userptr_mock_submit_new(struct userptr_mock_vm *vm)
{
	struct userptr_mock_job *job = userptr_mock_job_new(vm->mock, 0, 1);

	KUNIT_ASSERT_EQ(vm->mock->test, 0, userptr_mock_submit(vm, job));

	return job;
}

/* A job that is over at once, for what it leaves in the page table. */
int userptr_mock_submit_done(struct userptr_mock_vm *vm)
{
	struct userptr_mock_job *job = userptr_mock_job_new(vm->mock, 0, 1);
	int err = userptr_mock_submit(vm, job);

	userptr_mock_job_end(job);

	return err;
}

/*
 * What a job does that needs nothing of what is being taken away. A submission
 * of today needs all that is bound, and sleeps until the invalidation is over;
 * so the part of it that matters is made by hand here.
 */
void userptr_mock_commit_by_hand(struct userptr_mock_vm *vm,
				 struct userptr_mock_job *job)
{
	struct drm_userptr_submit submit = {};

	guard(mutex)(&vm->lock);

	drm_userptr_submit_init(&submit, &vm->base);
	down_read(&vm->base.notifier_lock);
	job->bystander = true;
	userptr_mock_job_add(job, vm);
	drm_userptr_commit_fence(&submit, &job->fence);
	drm_userptr_commit_end(&submit);
}

/*
 * The mm, for what it cannot be made to do
 */

static void userptr_mock_finish_add(struct userptr_mock_obj *obj,
				    struct mmu_interval_notifier_finish *finish)
{
	unsigned int i;

	if (finish == obj->finish)
		userptr_mock_violation(obj->mock, "second pass handed out twice");
	if (!obj->finish) {
		obj->finish = finish;
		return;
	}

	for (i = 0; i < ARRAY_SIZE(obj->later); i++) {
		if (obj->later[i] == finish)
			userptr_mock_violation(obj->mock,
					       "second pass handed out twice");
		if (!obj->later[i]) {
			obj->later[i] = finish;
			return;
		}
	}

	KUNIT_FAIL(obj->mock->test, "too many second passes");
}

/*
 * An invalidation that comes from nowhere: the mm knows nothing of it, and does
 * not make anybody wait for its end. userptr_mock_invalidate_finish() does the
 * second pass if there is one.
 */
bool userptr_mock_invalidate_at(struct userptr_mock_obj *obj,
				unsigned long start, unsigned long end,
				bool blockable, unsigned long cur_seq)
{
	struct mmu_interval_notifier *notifier = &obj->base.notifier;
	struct mmu_interval_notifier_finish *finish = NULL;
	struct mmu_notifier_range range;
	bool ret;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, notifier->mm,
				start, end);

	if (notifier->ops->invalidate)
		return notifier->ops->invalidate(notifier, &range, cur_seq);

	if (blockable) {
		range.flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
		ret = notifier->ops->invalidate_start(notifier, &range, cur_seq,
						      &finish);
	} else {
		non_block_start();
		ret = notifier->ops->invalidate_start(notifier, &range, cur_seq,
						      &finish);
		non_block_end();
		if (finish)
			userptr_mock_violation(obj->mock,
					       "non-blockable, but has a second pass");
	}

	if (finish) {
		finish->notifier = notifier;
		userptr_mock_finish_add(obj, finish);
	}

	return ret;
}

/* Odd, as all are, and never the one that the mm is at. */
static unsigned long userptr_mock_next_seq(struct userptr_mock *mock)
{
	return mock->cur_seq += 2;
}

bool userptr_mock_invalidate(struct userptr_mock_obj *obj, unsigned long start,
			     unsigned long end)
{
	return userptr_mock_invalidate_at(obj, start, end, true,
					  userptr_mock_next_seq(obj->mock));
}

bool userptr_mock_invalidate_nonblock(struct userptr_mock_obj *obj,
				      unsigned long start, unsigned long end)
{
	return userptr_mock_invalidate_at(obj, start, end, false,
					  userptr_mock_next_seq(obj->mock));
}

void userptr_mock_invalidate_finish(struct userptr_mock_obj *obj)
{
	struct mmu_interval_notifier_finish *finish = obj->finish;

	obj->finish = obj->later[0];
	memmove(&obj->later[0], &obj->later[1],
		sizeof(obj->later) - sizeof(obj->later[0]));
	obj->later[ARRAY_SIZE(obj->later) - 1] = NULL;
	obj->base.notifier.ops->invalidate_finish(finish);
}

/*
 * Set-up and clean-up
 */

struct device *userptr_mock_dev_new(struct userptr_mock *mock, const char *name)
{
	struct kunit *test = mock->test;
	struct device *dev;

	dev = kunit_device_register(test, name);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	KUNIT_ASSERT_EQ(test, 0,
			dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)));

	return dev;
}

int userptr_mock_init(struct kunit *test)
{
	struct userptr_mock *mock;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "needs tracepoints to see DMA mappings");

	mock = kunit_kzalloc(test, sizeof(*mock), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mock);

	mock->test = test;
	mock->cur_seq = ULONG_MAX / 2;
	INIT_LIST_HEAD(&mock->vms);
	INIT_LIST_HEAD(&mock->objs);
	INIT_LIST_HEAD(&mock->jobs);
	INIT_LIST_HEAD(&mock->threads);
	INIT_LIST_HEAD(&mock->exports);
	INIT_LIST_HEAD(&mock->imports);
	xa_init(&mock->iommu);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_device_init(&mock->device));
	mock->client = drm_userptr_client_create(&mock->device, 1,
						 USERPTR_MOCK_MAX_USERPTRS);
	KUNIT_ASSERT_NOT_NULL(test, mock->client);
	test->priv = mock;

	mock->dev = userptr_mock_dev_new(mock, "userptr_mock");
	userptr_mock_of_dev = mock;
	WRITE_ONCE(userptr_mock_dev, mock->dev);

	return 0;
}

/* Whatever state a failed assertion left behind: ends jobs, then the rest. */
void userptr_mock_exit(struct kunit *test)
{
	struct userptr_mock_binding *binding;
	struct userptr_mock_thread *thread;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_obj *obj, *next;
	struct userptr_mock_job *job, *tmp;
	struct userptr_mock_vm *vm;

	if (!mock)
		return;

	list_for_each_entry(job, &mock->jobs, link)
		userptr_mock_job_end(job);

	list_for_each_entry(vm, &mock->vms, link)
		complete_all(&vm->let_flush);

	list_for_each_entry(vm, &mock->vms, link)
		while (!list_empty(&vm->queues))
			userptr_mock_queue_free(list_first_entry(&vm->queues,
								 struct userptr_mock_queue,
								 link));

	list_for_each_entry(obj, &mock->objs, link)
		while (obj->finish)
			userptr_mock_invalidate_finish(obj);

	/* What it uses is freed after this function. */
	list_for_each_entry(thread, &mock->threads, link)
		wait_for_completion(&thread->done);

	list_for_each_entry(vm, &mock->vms, link) {
		list_for_each_entry(binding, &vm->bindings, link) {
			if (binding->bound)
				userptr_mock_unbind(binding);
			drm_userptr_binding_fini(&binding->base);
		}
		KUNIT_EXPECT_EQ(test, vm->present, 0);
	}
	list_for_each_entry_safe(obj, next, &mock->objs, link)
		userptr_mock_obj_free(obj);
	userptr_mock_imports_fini(mock);
	userptr_mock_exports_fini(mock);
	list_for_each_entry(vm, &mock->vms, link) {
		if (vm->base.flags == DRM_USERPTR_VM_HOLES)
			drm_userptr_preempt_fini(&vm->preempt);
		drm_userptr_vm_fini(&vm->base);
	}

	/* Whatever was counted is gone. */
	KUNIT_EXPECT_EQ(test, atomic_read(&mock->client->nr_userptrs), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->client->total), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->client->resident), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->client->pinned), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->client->metadata), 0);
	drm_userptr_client_put(mock->client);
	drm_userptr_device_fini(&mock->device);

	WRITE_ONCE(userptr_mock_dev, NULL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->dma_pages), 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&mock->iommu));
	xa_destroy(&mock->iommu);
	KUNIT_EXPECT_STREQ(test, mock->violation ?: "none", "none");

	list_for_each_entry_safe(job, tmp, &mock->jobs, link)
		dma_fence_put(&job->fence);
}
