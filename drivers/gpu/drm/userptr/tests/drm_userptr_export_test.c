// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Userptrs as dma-bufs, for importers that know nothing of userptrs: refused
 * unless the pages are pinned, and what is pinned is given back.
 */

#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-resv.h>
#include <linux/highmem.h>
#include <linux/mman.h>
#include <linux/scatterlist.h>

#include <kunit/static_stub.h>

#include <drm/drm_userptr_export.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0xb100000000ull
#define SIZE	(SZ_2M + SZ_16K)
#define PAGES	(SIZE / PAGE_SIZE)

/* A userptr, exported, and who imports it */
struct export_case {
	struct kunit *test;
	struct userptr_mock *mock;
	unsigned long addr;
	unsigned long locked;
	struct userptr_mock_obj *obj;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	enum dma_data_direction direction;
	unsigned int invalidated;
	bool unmap_at_once;
	struct completion called;
};

static void export_unmap_locked(struct export_case *c)
{
	dma_buf_unmap_attachment(c->attach, c->sgt, c->direction);
	c->sgt = NULL;
}

static void export_invalidate(struct dma_buf_attachment *attach)
{
	struct export_case *c = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	c->invalidated++;
	if (c->sgt && c->unmap_at_once)
		export_unmap_locked(c);
	complete_all(&c->called);
}

static const struct dma_buf_attach_ops export_dynamic_ops = {
	.invalidate_mappings = export_invalidate,
};

static struct export_case *export_case_new(struct kunit *test, u32 flags,
					   bool dynamic)
{
	struct userptr_mock *mock = test->priv;
	struct export_case *c;

	c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c);
	init_completion(&c->called);
	c->test = test;
	c->mock = mock;
	c->addr = userptr_mock_mmap(mock, SIZE);
	userptr_mock_fill(mock, c->addr, SIZE, TAG);
	c->locked = current->mm->locked_vm;
	c->obj = userptr_mock_obj_new(mock, c->addr, SIZE, flags);
	c->dmabuf = userptr_mock_obj_export(c->obj);
	c->attach = dynamic ?
		    dma_buf_dynamic_attach(c->dmabuf, mock->dev,
					   &export_dynamic_ops, c) :
		    dma_buf_attach(c->dmabuf, mock->dev);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c->attach);

	return c;
}

static int export_map(struct export_case *c, enum dma_data_direction direction)
{
	struct sg_table *sgt;

	sgt = dma_buf_map_attachment_unlocked(c->attach, direction);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);

	c->sgt = sgt;
	c->direction = direction;

	return 0;
}

static void export_unmap(struct export_case *c)
{
	dma_resv_lock(c->dmabuf->resv, NULL);
	export_unmap_locked(c);
	dma_resv_unlock(c->dmabuf->resv);
}

static void export_case_end(struct export_case *c)
{
	if (c->sgt)
		export_unmap(c);
	dma_buf_detach(c->dmabuf, c->attach);
}

/* What the worker has to do is done. */
static bool export_is_pinned(struct export_case *c)
{
	flush_work(&c->obj->base.detach_work);

	return !c->obj->base.unpinned;
}

/* How many pages of the mapping begin as they were filled? */
static u64 export_sees(struct export_case *c)
{
	struct scatterlist *sg;
	u64 n = 0, done = 0;
	int i;

	for_each_sgtable_dma_sg(c->sgt, sg, i) {
		unsigned int at;

		for (at = 0; at < sg_dma_len(sg); at += PAGE_SIZE) {
			struct page *page;
			u64 *p;

			page = phys_to_page(dma_to_phys(c->attach->dev,
							sg_dma_address(sg) + at));
			p = kmap_local_page(page);
			n += *p == TAG + done++;
			kunmap_local(p);
		}
	}

	return n;
}

/* For those who pin of their own accord */
static int export_pin(struct export_case *c)
{
	int err;

	dma_resv_lock(c->dmabuf->resv, NULL);
	err = dma_buf_pin(c->attach);
	if (!err)
		dma_buf_unpin(c->attach);
	dma_resv_unlock(c->dmabuf->resv);

	return err;
}

/* Attaching means nothing, and some who attach never map. */
static void export_refused_unpinned(struct kunit *test)
{
	struct export_case *c;
	unsigned int dynamic;

	for (dynamic = 0; dynamic < 2; dynamic++) {
		c = export_case_new(test, 0, dynamic);
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
				export_map(c, DMA_BIDIRECTIONAL));
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, export_map(c, DMA_TO_DEVICE));
		if (dynamic)
			KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, export_pin(c));
		export_case_end(c);
	}
}

static void export_pinned(struct kunit *test)
{
	struct export_case *c;
	unsigned int dynamic;

	for (dynamic = 0; dynamic < 2; dynamic++) {
		c = export_case_new(test, DRM_USERPTR_PIN, dynamic);
		KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
		KUNIT_EXPECT_EQ(test, PAGES, export_sees(c));
		if (dynamic)
			KUNIT_EXPECT_EQ(test, 0, export_pin(c));
		export_case_end(c);
	}
}

/* Pieces are no longer than the device takes (bugs.md row 106). */
static void export_segments(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
	size_t max = dma_get_max_seg_size(c->mock->dev);
	struct scatterlist *sg;
	int i;

	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	for_each_sgtable_sg(c->sgt, sg, i)
		KUNIT_EXPECT_LE(test, sg->length, max);
	export_case_end(c);
}

static void export_read_only(struct kunit *test)
{
	struct export_case *c;

	c = export_case_new(test, DRM_USERPTR_PIN | DRM_USERPTR_READ_ONLY, true);
	KUNIT_EXPECT_EQ(test, -EPERM, export_map(c, DMA_BIDIRECTIONAL));
	KUNIT_EXPECT_EQ(test, -EPERM, export_map(c, DMA_FROM_DEVICE));
	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_TO_DEVICE));
	KUNIT_EXPECT_EQ(test, PAGES, export_sees(c));
	export_case_end(c);
}

static void export_no_mmap(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
	struct iosys_map map;

	KUNIT_EXPECT_EQ(test, -ENODEV, c->dmabuf->ops->mmap(c->dmabuf, NULL));
	KUNIT_EXPECT_GT(test, 0, dma_buf_vmap_unlocked(c->dmabuf, &map));
	export_case_end(c);
}

/*
 * The process unmaps: it waits for nobody. The importer is told, and the pages
 * are given back when it has let go of them.
 */
static void export_revoked(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);

	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&c->called,
							    USERPTR_MOCK_SOON));
	KUNIT_EXPECT_TRUE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, c->invalidated, 1);
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, c->locked + PAGES);
	/* A snapshot, until then. */
	KUNIT_EXPECT_EQ(test, PAGES, export_sees(c));

	export_unmap(c);
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, c->locked);
	KUNIT_EXPECT_EQ(test, -ENODEV, export_map(c, DMA_BIDIRECTIONAL));
	export_case_end(c);
}

static void export_revoked_at_once(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);

	c->unmap_at_once = true;
	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, SIZE));
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, c->locked);
	export_case_end(c);
}

/* An importer's job: the worker waits for it, the process does not. */
static void export_revoked_busy(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
	struct dma_resv *resv = c->dmabuf->resv;
	struct userptr_mock_job *job;

	c->unmap_at_once = true;
	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	job = userptr_mock_job_new(c->mock, 0, 1);
	dma_resv_lock(resv, NULL);
	KUNIT_EXPECT_EQ(test, 0, dma_resv_reserve_fences(resv, 1));
	dma_resv_add_fence(resv, &job->fence, DMA_RESV_USAGE_BOOKKEEP);
	dma_resv_unlock(resv);

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, SIZE));
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_EQ(test, current->mm->locked_vm, c->locked + PAGES);
	userptr_mock_job_end(job);
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));
	export_case_end(c);
}

/* Somebody else who has the dma_resv, for as long as we like */
struct export_holder {
	struct dma_resv *resv;
	struct completion held;
	struct completion let_go;
};

static long export_hold(void *arg)
{
	struct export_holder *holder = arg;

	dma_resv_lock(holder->resv, NULL);
	complete_all(&holder->held);
	wait_for_completion(&holder->let_go);
	dma_resv_unlock(holder->resv);

	return 0;
}

static struct export_holder *export_holder_new(struct export_case *c)
{
	struct export_holder *holder;

	holder = kunit_kzalloc(c->test, sizeof(*holder), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(c->test, holder);
	holder->resv = c->dmabuf->resv;
	init_completion(&holder->held);
	init_completion(&holder->let_go);

	return holder;
}

/* How long it takes from where it can go on to the end of the pins */
static void export_time_to_unpin(struct kunit *test)
{
	static const char * const states[] = { "idle", "busy", "contended" };
	unsigned int state;

	for (state = 0; state < ARRAY_SIZE(states); state++) {
		struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
		struct userptr_mock_job *job = userptr_mock_job_new(c->mock, 0, 1);
		struct export_holder *holder = export_holder_new(c);
		struct dma_resv *resv = c->dmabuf->resv;
		u64 ns;

		c->unmap_at_once = true;
		KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
		dma_resv_lock(resv, NULL);
		KUNIT_EXPECT_EQ(test, 0, dma_resv_reserve_fences(resv, 1));
		dma_resv_add_fence(resv, &job->fence, DMA_RESV_USAGE_BOOKKEEP);
		dma_resv_unlock(resv);
		if (state != 1)
			userptr_mock_job_end(job);
		if (state == 2) {
			userptr_mock_thread_start(c->mock, export_hold, holder);
			wait_for_completion(&holder->held);
		}

		KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, SIZE));
		if (state == 1)
			KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
		ns = ktime_get_ns();
		if (state == 1)
			userptr_mock_job_end(job);
		complete_all(&holder->let_go);
		KUNIT_EXPECT_FALSE(test, export_is_pinned(c));
		kunit_info(test, "%s: unpinned after %llu us\n", states[state],
			   (ktime_get_ns() - ns) / NSEC_PER_USEC);
		export_case_end(c);
	}
}

/* Who cannot be told keeps it, until it does not need it any more. */
static void export_static_keeps(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, false);

	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, SIZE));
	KUNIT_EXPECT_TRUE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, PAGES, export_sees(c));
	export_unmap(c);
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));
	export_case_end(c);
}

/* As does what is bound. */
static void export_binding_keeps(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(c->mock);
	struct userptr_mock_binding *binding;

	binding = userptr_mock_bind_all(vm, c->obj, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, SIZE));
	KUNIT_EXPECT_TRUE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, 0, SIZE, TAG));

	userptr_mock_unbind(binding);
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));

	/* From then on there is nothing to be had, whatever is mapped there. */
	userptr_mock_remap(c->mock, c->addr, SIZE, PROT_READ | PROT_WRITE);
	userptr_mock_fill(c->mock, c->addr, SIZE, TAG);
	binding = userptr_mock_bind_all(vm, c->obj, SZ_4M);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, binding->base.error, -EFAULT);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	export_case_end(c);
}

/* What is replaced without being unmapped is not given up. */
static void export_survives_zapping(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);

	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	KUNIT_EXPECT_TRUE(test, userptr_mock_invalidate(c->obj, c->addr,
							c->addr + SIZE));
	KUNIT_EXPECT_TRUE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, c->invalidated, 0);
	KUNIT_EXPECT_EQ(test, PAGES, export_sees(c));
	export_case_end(c);
}

/* The end of the process is an unmapping, too. */
static void export_process_exits(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);

	c->unmap_at_once = true;
	KUNIT_ASSERT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	userptr_mock_exit_mm(c->mock);
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));
	KUNIT_EXPECT_EQ(test, c->invalidated, 1);
	KUNIT_EXPECT_EQ(test, -ENODEV, export_map(c, DMA_BIDIRECTIONAL));
	export_case_end(c);
}

/* The dma-buf is closed while the userptr lives, and made anew. */
static void export_again(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
	struct dma_buf *other;

	other = drm_userptr_export(&c->obj->base, THIS_MODULE, O_RDWR, NULL);
	KUNIT_EXPECT_EQ(test, -EBUSY, PTR_ERR_OR_ZERO(other));
	KUNIT_EXPECT_PTR_EQ(test, &c->obj->base,
			    drm_userptr_from_dma_buf(c->dmabuf));

	export_case_end(c);
	userptr_mock_obj_unexport(c->obj);
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, export_is_pinned(c));

	c->dmabuf = userptr_mock_obj_export(c->obj);
	c->attach = dma_buf_attach(c->dmabuf, c->mock->dev);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c->attach);
	KUNIT_EXPECT_EQ(test, -ENODEV, export_map(c, DMA_BIDIRECTIONAL));
	export_case_end(c);
}

static unsigned int export_fail_at;

static bool export_should_fail(void)
{
	return !export_fail_at--;
}

/* Each allocation fails once. */
static void export_injected(struct kunit *test)
{
	struct export_case *c = export_case_new(test, DRM_USERPTR_PIN, true);
	unsigned int i;

	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   export_should_fail);
	for (i = 0; i < 2; i++) {
		export_fail_at = i;
		KUNIT_EXPECT_EQ(test, -ENOMEM, export_map(c, DMA_BIDIRECTIONAL));
	}
	export_fail_at = 0;
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			PTR_ERR_OR_ZERO(drm_userptr_export(&c->obj->base,
							   THIS_MODULE, O_RDWR,
							   NULL)));
	kunit_deactivate_static_stub(test, drm_userptr_should_fail);
	KUNIT_EXPECT_EQ(test, 0, export_map(c, DMA_BIDIRECTIONAL));
	export_case_end(c);
}

static struct kunit_case export_cases[] = {
	KUNIT_CASE(export_refused_unpinned),
	KUNIT_CASE(export_pinned),
	KUNIT_CASE(export_segments),
	KUNIT_CASE(export_read_only),
	KUNIT_CASE(export_no_mmap),
	KUNIT_CASE(export_revoked),
	KUNIT_CASE(export_revoked_at_once),
	KUNIT_CASE(export_revoked_busy),
	KUNIT_CASE(export_time_to_unpin),
	KUNIT_CASE(export_static_keeps),
	KUNIT_CASE(export_binding_keeps),
	KUNIT_CASE(export_survives_zapping),
	KUNIT_CASE(export_process_exits),
	KUNIT_CASE(export_again),
	KUNIT_CASE(export_injected),
	{ }
};

static struct kunit_suite export_suite = {
	.name = "drm_userptr_export",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = export_cases,
};

kunit_test_suite(export_suite);
