// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * An exporter of dma-bufs: it really moves its memory, refuses what it is asked
 * for, and has the importer's callback called at every step. What it left is
 * poisoned, so that a device which still reaches it sees that. It looks itself
 * whether a page table or a TLB has what is unmapped.
 */

#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/highmem.h>
#include <linux/scatterlist.h>

#include "drm_userptr_mock_export.h"

MODULE_IMPORT_NS("DMA_BUF");

#define USERPTR_MOCK_POISON	0xdeaddeaddeaddeadull

static void userptr_mock_export_fire(struct dma_buf_attachment *attach,
				     enum userptr_mock_step step)
{
	struct userptr_mock_export *export = attach->dmabuf->priv;
	bool locked = step == USERPTR_MOCK_IN_ATTACH;

	if (export->fire != step)
		return;

	/* Not by dma_buf_invalidate_mappings(): it may not be on the list yet. */
	if (locked)
		dma_resv_lock(attach->dmabuf->resv, NULL);
	attach->importer_ops->invalidate_mappings(attach);
	if (locked)
		dma_resv_unlock(attach->dmabuf->resv);
}

static int userptr_mock_export_attach(struct dma_buf *dmabuf,
				      struct dma_buf_attachment *attach)
{
	struct userptr_mock_export *export = dmabuf->priv;

	userptr_mock_export_fire(attach, USERPTR_MOCK_IN_ATTACH);
	if (export->attach_err)
		return export->attach_err;

	export->attached++;

	return 0;
}

static void userptr_mock_export_detach(struct dma_buf *dmabuf,
				       struct dma_buf_attachment *attach)
{
	struct userptr_mock_export *export = dmabuf->priv;

	export->attached--;
}

static int userptr_mock_export_pin(struct dma_buf_attachment *attach)
{
	struct userptr_mock_export *export = attach->dmabuf->priv;

	userptr_mock_export_fire(attach, USERPTR_MOCK_IN_PIN);
	if (export->pin_err)
		return export->pin_err;

	export->pinned++;

	return 0;
}

static void userptr_mock_export_unpin(struct dma_buf_attachment *attach)
{
	struct userptr_mock_export *export = attach->dmabuf->priv;

	export->pinned--;
}

struct userptr_mock_mapping {
	struct sg_table sgt;
	struct userptr_mock_storage *storage;
};

static struct sg_table *
userptr_mock_export_map(struct dma_buf_attachment *attach,
			enum dma_data_direction direction)
{
	struct userptr_mock_export *export = attach->dmabuf->priv;
	unsigned int nr = export->nr_pages - export->short_by;
	struct userptr_mock_storage *storage = export->storage;
	struct userptr_mock_mapping *mapping;
	int err;

	dma_resv_assert_held(attach->dmabuf->resv);

	userptr_mock_export_fire(attach, USERPTR_MOCK_IN_MAP);
	if (export->map_err)
		return ERR_PTR(export->map_err);
	if (export->only_pinned && !export->pinned)
		return ERR_PTR(-EOPNOTSUPP);

	mapping = kzalloc_obj(*mapping);
	if (!mapping)
		return ERR_PTR(-ENOMEM);

	err = sg_alloc_table_from_pages(&mapping->sgt, storage->pages, nr, 0,
					(unsigned long)nr * PAGE_SIZE, GFP_KERNEL);
	if (err)
		goto err_free;
	err = dma_map_sgtable(attach->dev, &mapping->sgt, direction, 0);
	if (err)
		goto err_free_table;

	mapping->storage = storage;
	if (!storage->mapped++)
		reinit_completion(&storage->unmapped);
	export->direction = direction;
	export->maps++;
	export->mapped++;
	userptr_mock_export_fire(attach, USERPTR_MOCK_AFTER_MAP);

	return &mapping->sgt;

err_free_table:
	sg_free_table(&mapping->sgt);
err_free:
	kfree(mapping);
	return ERR_PTR(err);
}

static void userptr_mock_export_unmap(struct dma_buf_attachment *attach,
				      struct sg_table *sgt,
				      enum dma_data_direction direction)
{
	struct userptr_mock_mapping *mapping =
		container_of(sgt, typeof(*mapping), sgt);
	struct userptr_mock_export *export = attach->dmabuf->priv;
	struct userptr_mock_storage *storage = mapping->storage;
	struct scatterlist *sg;
	int i;

	dma_resv_assert_held(attach->dmabuf->resv);

	userptr_mock_export_fire(attach, USERPTR_MOCK_IN_UNMAP);

	for_each_sgtable_dma_sg(sgt, sg, i)
		userptr_mock_check_unmapped(export->mock, attach->dev,
					    sg_dma_address(sg), sg_dma_len(sg));
	dma_unmap_sgtable(attach->dev, sgt, direction, 0);
	sg_free_table(sgt);
	kfree(mapping);

	export->mapped--;
	if (!--storage->mapped)
		complete_all(&storage->unmapped);
}

static void userptr_mock_storage_free(struct userptr_mock_storage *storage,
				      unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 *p = kmap_local_page(storage->pages[i]);

		*p = USERPTR_MOCK_POISON;
		kunmap_local(p);
		put_page(storage->pages[i]);
	}
	kfree(storage->pages);
	kfree(storage);
}

static void userptr_mock_export_release(struct dma_buf *dmabuf)
{
	struct userptr_mock_export *export = dmabuf->priv;

	userptr_mock_storage_free(export->storage, export->nr_pages);
	export->dmabuf = NULL;
}

static const struct dma_buf_ops userptr_mock_export_moving_ops = {
	.attach = userptr_mock_export_attach,
	.detach = userptr_mock_export_detach,
	.pin = userptr_mock_export_pin,
	.unpin = userptr_mock_export_unpin,
	.map_dma_buf = userptr_mock_export_map,
	.unmap_dma_buf = userptr_mock_export_unmap,
	.release = userptr_mock_export_release,
};

static const struct dma_buf_ops userptr_mock_export_static_ops = {
	.attach = userptr_mock_export_attach,
	.detach = userptr_mock_export_detach,
	.map_dma_buf = userptr_mock_export_map,
	.unmap_dma_buf = userptr_mock_export_unmap,
	.release = userptr_mock_export_release,
};

/* Page i begins with @tag + i. */
static struct userptr_mock_storage *
userptr_mock_storage_new(struct kunit *test, unsigned int nr, u64 tag)
{
	struct userptr_mock_storage *storage;
	unsigned int i;

	storage = kzalloc_obj(*storage);
	KUNIT_ASSERT_NOT_NULL(test, storage);
	storage->pages = kcalloc(nr, sizeof(*storage->pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, storage->pages);
	for (i = 0; i < nr; i++) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

		KUNIT_ASSERT_NOT_NULL(test, page);
		memcpy_to_page(page, 0, (char *)&(u64){ tag + i }, sizeof(u64));
		storage->pages[i] = page;
	}
	init_completion(&storage->unmapped);
	complete_all(&storage->unmapped);

	return storage;
}

struct userptr_mock_export *
userptr_mock_export_new(struct userptr_mock *mock, unsigned long size, bool moves,
			u64 tag)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct kunit *test = mock->test;
	struct userptr_mock_export *export;

	export = kunit_kzalloc(test, sizeof(*export), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, export);
	export->mock = mock;
	export->nr_pages = size / PAGE_SIZE;
	export->storage = userptr_mock_storage_new(test, export->nr_pages, tag);

	info.ops = moves ? &userptr_mock_export_moving_ops :
			   &userptr_mock_export_static_ops;
	info.size = size;
	info.flags = O_RDWR;
	info.priv = export;
	export->dmabuf = dma_buf_export(&info);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, export->dmabuf);
	kref_init(&export->gem.refcount);
	export->gem.resv = export->dmabuf->resv;
	list_add_tail(&export->link, &mock->exports);

	return export;
}

void userptr_mock_export_invalidate(struct userptr_mock_export *export)
{
	dma_resv_lock(export->dmabuf->resv, NULL);
	dma_buf_invalidate_mappings(export->dmabuf);
	dma_resv_unlock(export->dmabuf->resv);
}

bool userptr_mock_export_unmapped(struct userptr_mock_export *export)
{
	return wait_for_completion_timeout(&export->storage->unmapped,
					   USERPTR_MOCK_SOON);
}

/*
 * As a revoking exporter does it: both waits of dma_buf_invalidate_mappings(),
 * and the old pages are gone. What the device wrote is not taken along.
 */
void userptr_mock_export_move(struct userptr_mock_export *export, u64 tag)
{
	struct dma_resv *resv = export->dmabuf->resv;
	struct kunit *test = export->mock->test;
	struct userptr_mock_storage *new, *old;

	new = userptr_mock_storage_new(test, export->nr_pages, tag);
	dma_resv_lock(resv, NULL);
	old = export->storage;
	export->storage = new;
	dma_buf_invalidate_mappings(export->dmabuf);
	dma_resv_wait_timeout(resv, DMA_RESV_USAGE_BOOKKEEP, false,
			      MAX_SCHEDULE_TIMEOUT);
	dma_resv_unlock(resv);

	/* Others may map the new one already. */
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&old->unmapped,
							    USERPTR_MOCK_SOON));
	userptr_mock_storage_free(old, export->nr_pages);
}

/* Its memory is not ready to be used before the job ends. */
struct dma_fence *
userptr_mock_export_kernel_fence(struct userptr_mock_export *export,
				 struct userptr_mock_job *job)
{
	struct dma_resv *resv = export->dmabuf->resv;

	dma_resv_lock(resv, NULL);
	KUNIT_EXPECT_EQ(export->mock->test, 0, dma_resv_reserve_fences(resv, 1));
	dma_resv_add_fence(resv, &job->fence, DMA_RESV_USAGE_KERNEL);
	dma_resv_unlock(resv);

	return &job->fence;
}

/*
 * The importing driver
 */

struct userptr_mock_import *
userptr_mock_import_new(struct userptr_mock_export *export, struct device *dev,
			u32 flags)
{
	struct userptr_mock *mock = export->mock;
	struct userptr_mock_import *import;

	import = kunit_kzalloc(mock->test, sizeof(*import), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(mock->test, import);
	import->export = export;
	KUNIT_ASSERT_EQ(mock->test, 0,
			drm_userptr_import_init(&import->base, dev,
						export->dmabuf, flags));
	list_add_tail(&import->link, &mock->imports);

	return import;
}

void userptr_mock_import_free(struct userptr_mock_import *import)
{
	list_del(&import->link);
	drm_userptr_import_fini(&import->base);
}

struct userptr_mock_binding *
userptr_mock_bind_import(struct userptr_mock_vm *vm,
			 struct userptr_mock_import *import, u64 offset,
			 u64 size, u64 addr)
{
	struct userptr_mock_binding *binding;
	struct kunit *test = vm->mock->test;

	binding = kunit_kzalloc(test, sizeof(*binding), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, binding);
	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_binding_init_import(&binding->base, &vm->base,
							&import->base, offset,
							size, addr));
	userptr_mock_binding_insert(vm, binding);

	return binding;
}

/* Lock the dma_resv of all there is, with room for a job's fence or the queues'. */
int userptr_mock_exports_lock(struct userptr_mock *mock, struct drm_exec *exec)
{
	struct userptr_mock_export *export;
	int err = 0;

	drm_exec_init(exec, 0, 0);
	drm_exec_until_all_locked(exec) {
		list_for_each_entry(export, &mock->exports, link) {
			err = drm_exec_prepare_obj(exec, &export->gem,
						   USERPTR_MOCK_NAMED);
			drm_exec_retry_on_contention(exec);
			if (err)
				break;
		}
	}
	if (err)
		drm_exec_fini(exec);

	return err;
}

/* The queues have been resumed: whoever moves memory has to have them stopped. */
void userptr_mock_exports_add_preempt(struct drm_exec *exec,
				      struct drm_userptr_preempt *preempt)
{
	struct drm_userptr_queue *queue;
	struct drm_gem_object *obj;

	drm_exec_for_each_locked_object(exec, obj)
		drm_userptr_for_each_preempt_fence(queue, preempt)
			dma_resv_add_fence(obj->resv, queue->fence,
					   DMA_RESV_USAGE_BOOKKEEP);
}

void userptr_mock_imports_fini(struct userptr_mock *mock)
{
	struct userptr_mock_import *import, *next;

	list_for_each_entry_safe(import, next, &mock->imports, link)
		userptr_mock_import_free(import);
}

void userptr_mock_exports_fini(struct userptr_mock *mock)
{
	struct userptr_mock_export *export;

	list_for_each_entry(export, &mock->exports, link) {
		KUNIT_EXPECT_EQ(mock->test, export->attached, 0);
		KUNIT_EXPECT_EQ(mock->test, export->mapped, 0);
		KUNIT_EXPECT_EQ(mock->test, export->pinned, 0);
		dma_buf_put(export->dmabuf);
	}
	/* The last reference is dropped on the way back to user space, or by a worker. */
	flush_delayed_fput();
	list_for_each_entry(export, &mock->exports, link)
		KUNIT_EXPECT_NULL(mock->test, export->dmabuf);
}
