// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Page table and TLB of vgem's engine. Tables of 512 entries hang off an
 * xarray, which stands for the upper levels; an entry is a DMA address and two
 * flags. The engine sees memory only by vgem_tlb_access().
 */

#include <linux/debugfs.h>
#include <linux/dma-direct.h>
#include <linux/fault-inject.h>
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_print.h>

#include "vgem_gpu.h"

#define VGEM_PT_ENTRIES		512
#define VGEM_PT_REACH		(VGEM_PT_ENTRIES * VGEM_GPU_PAGE_SIZE)
/* Half a GiB of tables, reach of 256 GiB: what one VM may make us allocate. */
#define VGEM_PT_MAX_TABLES	SZ_128K

#define VGEM_PTE_VALID		BIT_ULL(0)
#define VGEM_PTE_WRITE		BIT_ULL(1)
#define VGEM_PTE_ADDR		(~(VGEM_GPU_PAGE_SIZE - 1))

/**
 * struct vgem_pt_table - reach of 2 MiB
 * @entries: page of entries
 * @users: mappings that have a page in it; under the VM's lock
 */
struct vgem_pt_table {
	u64 *entries;
	unsigned int users;
};

void vgem_pt_init(struct vgem_pt *pt, struct device *dev)
{
	pt->dev = dev;
	xa_init_flags(&pt->tables, XA_FLAGS_ACCOUNT);
	spin_lock_init(&pt->lock);
	INIT_LIST_HEAD(&pt->tlbs);
}

void vgem_pt_fini(struct vgem_pt *pt)
{
	WARN(!xa_empty(&pt->tables), "vgem page tables are still in use\n");
	WARN(!list_empty(&pt->tlbs), "vgem TLBs are still in use\n");
	xa_destroy(&pt->tables);
}

static void vgem_pt_put(struct vgem_pt *pt, unsigned long index)
{
	struct vgem_pt_table *table = xa_load(&pt->tables, index);

	if (--table->users)
		return;

	xa_erase(&pt->tables, index);
	pt->nr_tables--;
	free_page((unsigned long)table->entries);
	kfree(table);
}

static int vgem_pt_get(struct vgem_pt *pt, unsigned long index)
{
	struct vgem_pt_table *table = xa_load(&pt->tables, index);
	int err;

	if (table) {
		table->users++;
		return 0;
	}

	if (pt->nr_tables == VGEM_PT_MAX_TABLES)
		return -ENOMEM;

	table = kzalloc_obj(*table, GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;

	table->users = 1;
	table->entries = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!table->entries) {
		err = -ENOMEM;
		goto err_free;
	}

	err = xa_insert(&pt->tables, index, table, GFP_KERNEL_ACCOUNT);
	if (err)
		goto err_free;
	pt->nr_tables++;

	return 0;

err_free:
	free_page((unsigned long)table->entries);
	kfree(table);
	return err;
}

static void vgem_pt_put_range(struct vgem_pt *pt, unsigned long first,
			      unsigned long end)
{
	while (end-- > first) {
		vgem_pt_put(pt, end);
		cond_resched();
	}
}

/*
 * Make sure that tables exist, so that writing entries needs no memory. Under
 * the VM's lock.
 */
int vgem_pt_reserve(struct vgem_pt *pt, u64 addr, u64 range)
{
	unsigned long first = addr / VGEM_PT_REACH;
	unsigned long last = (addr + range - 1) / VGEM_PT_REACH;
	unsigned long index;
	int err;

	for (index = first; index <= last; index++) {
		err = fatal_signal_pending(current) ? -EINTR :
						      vgem_pt_get(pt, index);
		if (err) {
			vgem_pt_put_range(pt, first, index);
			return err;
		}
		cond_resched();
	}

	return 0;
}

/* Undo vgem_pt_reserve(), after the entries were zapped and flushed. */
void vgem_pt_release(struct vgem_pt *pt, u64 addr, u64 range)
{
	vgem_pt_put_range(pt, addr / VGEM_PT_REACH,
			  (addr + range - 1) / VGEM_PT_REACH + 1);
}

static u64 *vgem_pt_entry(struct vgem_pt *pt, u64 addr)
{
	struct vgem_pt_table *table = xa_load(&pt->tables, addr / VGEM_PT_REACH);

	if (!table)
		return NULL;

	return &table->entries[(addr / VGEM_GPU_PAGE_SIZE) % VGEM_PT_ENTRIES];
}

void vgem_pt_map(struct vgem_pt *pt, u64 addr, dma_addr_t dma, u64 size,
		 bool writable)
{
	u64 flags = VGEM_PTE_VALID | (writable ? VGEM_PTE_WRITE : 0);
	u64 off;

	for (off = 0; off < size; off += VGEM_GPU_PAGE_SIZE) {
		u64 *entry = vgem_pt_entry(pt, addr + off);

		/* What the mm took away must have been zapped before. */
		WARN_ONCE(READ_ONCE(*entry), "vgem page table entry in use\n");
		WRITE_ONCE(*entry, (dma + off) | flags);
	}
}

/* A table at a time: ranges are large, and in reclaim's way. */
void vgem_pt_zap(struct vgem_pt *pt, u64 addr, u64 size)
{
	u64 end = addr + size;

	while (addr < end) {
		u64 next = min(end, round_down(addr, VGEM_PT_REACH) +
				    VGEM_PT_REACH);
		u64 *entry = vgem_pt_entry(pt, addr);

		for (; addr < next; addr += VGEM_GPU_PAGE_SIZE)
			WRITE_ONCE(*entry++, 0);
	}
}

/* Ask for a flush. It is made when somebody waits for it. */
u64 vgem_tlb_flush_submit(struct vgem_pt *pt)
{
	guard(spinlock)(&pt->lock);

	return ++pt->requested;
}

#ifdef CONFIG_DRM_USERPTR_FAULT_INJECTION
/*
 * A flush that is forgotten, by fail_tlb_flush in debugfs: how a test shows that
 * it would notice. The engine then reaches memory that is no longer its own.
 */
static DECLARE_FAULT_ATTR(vgem_tlb_flush_fault);

static bool vgem_tlb_flush_forgotten(void)
{
	return should_fail(&vgem_tlb_flush_fault, 1);
}

void vgem_pt_debugfs_init(struct dentry *dir)
{
	fault_create_debugfs_attr("fail_tlb_flush", dir, &vgem_tlb_flush_fault);
}
#else
static bool vgem_tlb_flush_forgotten(void)
{
	return false;
}

void vgem_pt_debugfs_init(struct dentry *dir)
{
}
#endif

static void vgem_tlb_flush(struct vgem_pt *pt)
{
	struct vgem_tlb *tlb;

	lockdep_assert_held(&pt->lock);

	list_for_each_entry(tlb, &pt->tlbs, link) {
		guard(spinlock)(&tlb->lock);
		memset(tlb->tag, 0, sizeof(tlb->tag));
	}
}

/* Does not sleep: an engine holds its lock for one access. */
void vgem_tlb_flush_wait(struct vgem_pt *pt, u64 seqno)
{
	guard(spinlock)(&pt->lock);

	if (pt->done >= seqno)
		return;

	if (!vgem_tlb_flush_forgotten())
		vgem_tlb_flush(pt);

	pt->done = pt->requested;
	pt->flushes++;
}

void vgem_tlb_init(struct vgem_tlb *tlb, struct vgem_pt *pt)
{
	spin_lock_init(&tlb->lock);

	guard(spinlock)(&pt->lock);
	list_add(&tlb->link, &pt->tlbs);
}

void vgem_tlb_fini(struct vgem_tlb *tlb, struct vgem_pt *pt)
{
	guard(spinlock)(&pt->lock);
	list_del(&tlb->link);
}

/* The entry for an address; read from the page table only if not remembered. */
static u64 vgem_tlb_lookup(struct vgem_tlb *tlb, struct vgem_pt *pt, u64 addr)
{
	u64 tag = (addr >> VGEM_GPU_PAGE_SHIFT) + 1;
	unsigned int slot = tag % VGEM_TLB_ENTRIES;
	u64 *entry, pte;

	lockdep_assert_held(&tlb->lock);

	if (tlb->tag[slot] == tag)
		return tlb->pte[slot];

	entry = vgem_pt_entry(pt, addr);
	pte = entry ? READ_ONCE(*entry) : 0;

	/* As in hardware, what is absent is not remembered. */
	if (pte & VGEM_PTE_VALID) {
		tlb->tag[slot] = tag;
		tlb->pte[slot] = pte;
	}

	return pte;
}

/* Where an address is, to be unmapped by kunmap_local(); NULL for a fault. */
static void *vgem_tlb_kmap(struct vgem_tlb *tlb, struct vgem_pt *pt, u64 addr,
			   bool write)
{
	phys_addr_t phys;
	u64 pte;

	pte = vgem_tlb_lookup(tlb, pt, addr);
	if (!(pte & VGEM_PTE_VALID) || (write && !(pte & VGEM_PTE_WRITE)))
		return NULL;

	phys = dma_to_phys(pt->dev, pte & VGEM_PTE_ADDR) +
	       (addr & (VGEM_GPU_PAGE_SIZE - 1));

	return kmap_local_pfn(PHYS_PFN(phys)) + offset_in_page(phys);
}

/*
 * One access by the engine, within a page: @len bytes between @addr and @buf.
 * Returns -EFAULT if no entry allows it.
 */
int vgem_tlb_access(struct vgem_tlb *tlb, struct vgem_pt *pt, u64 addr,
		    void *buf, unsigned int len, bool write)
{
	void *vaddr;

	guard(spinlock)(&tlb->lock);

	vaddr = vgem_tlb_kmap(tlb, pt, addr, write);
	if (!vaddr)
		return -EFAULT;

	if (write)
		memcpy(vaddr, buf, len);
	else
		memcpy(buf, vaddr, len);
	kunmap_local(vaddr);

	return 0;
}

/*
 * Store eight bytes, in one piece where the CPU can, after everything that the
 * engine has stored so far.
 */
int vgem_tlb_store_release(struct vgem_tlb *tlb, struct vgem_pt *pt, u64 addr,
			   u64 value)
{
	u64 *vaddr;

	guard(spinlock)(&tlb->lock);

	vaddr = vgem_tlb_kmap(tlb, pt, addr, true);
	if (!vaddr)
		return -EFAULT;

	/* Pairs with the acquire of whoever polls, in user space as a rule. */
	smp_wmb();
	WRITE_ONCE(*vaddr, value);
	kunmap_local(vaddr);

	return 0;
}
