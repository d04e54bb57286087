// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Imported dma-bufs: they are there when a job runs, and what an exporter has
 * taken away no device reaches.
 */

#include <linux/dma-resv.h>
#include <linux/mman.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock_export.h"

#define TAG	0xa100000000ull
#define TAG2	0xa200000000ull
#define TAG3	0xa300000000ull
#define SIZE	(16 * PAGE_SIZE)
#define PAGES	16
#define VA	(3 * PAGE_SIZE)

/* A dma-buf that is bound as a whole */
struct import_case {
	struct userptr_mock *mock;
	struct userptr_mock_export *export;
	struct userptr_mock_import *import;
	struct userptr_mock_vm *vm;
	struct userptr_mock_binding *binding;
};

static struct import_case import_case_new(struct kunit *test, u32 vm_flags,
					  u32 flags)
{
	struct import_case c = { .mock = test->priv };

	c.vm = userptr_mock_vm_new_on(c.mock, c.mock->dev, vm_flags);
	c.export = userptr_mock_export_new(c.mock, SIZE, true, TAG);
	c.import = userptr_mock_import_new(c.export, c.mock->dev, flags);
	c.binding = userptr_mock_bind_import(c.vm, c.import, 0, SIZE, VA);

	return c;
}

static u64 import_sees(struct import_case *c, u64 tag)
{
	return userptr_mock_matches(c->vm, VA, SIZE, tag);
}

/* Mapped when a job needs it and not before, and once only. */
static void import_maps_on_demand(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	KUNIT_EXPECT_EQ(test, c.export->attached, 1);
	KUNIT_EXPECT_EQ(test, c.export->maps, 0);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
	KUNIT_EXPECT_EQ(test, c.export->direction, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_TRUE(test, list_empty(&c.vm->base.invalidated));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.export->maps, 1);
	KUNIT_EXPECT_EQ(test, c.vm->mapped_pages, PAGES);
	KUNIT_EXPECT_EQ(test, 1, c.vm->submit.tries);
	KUNIT_EXPECT_EQ(test, c.export->pinned, 0);
}

/* Parts, at any place in the mapping's pieces, more than once. */
static void import_parts(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_export *export;
	struct userptr_mock_import *import;

	export = userptr_mock_export_new(mock, SIZE, true, TAG);
	import = userptr_mock_import_new(export, mock->dev, 0);
	userptr_mock_bind_import(vm, import, 5 * PAGE_SIZE, 3 * PAGE_SIZE, 0);
	userptr_mock_bind_import(vm, import, 15 * PAGE_SIZE, PAGE_SIZE,
				 8 * PAGE_SIZE);
	userptr_mock_bind_import(vm, import, 0, 7 * PAGE_SIZE, 16 * PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 3, userptr_mock_matches(vm, 0, 3 * PAGE_SIZE,
						      TAG + 5));
	KUNIT_EXPECT_EQ(test, 1, userptr_mock_matches(vm, 8 * PAGE_SIZE,
						      PAGE_SIZE, TAG + 15));
	KUNIT_EXPECT_EQ(test, 7, userptr_mock_matches(vm, 16 * PAGE_SIZE,
						      7 * PAGE_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, vm->present, 11);
	KUNIT_EXPECT_EQ(test, export->maps, 1);

	userptr_mock_export_move(export, TAG2);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 7, userptr_mock_matches(vm, 16 * PAGE_SIZE,
						      7 * PAGE_SIZE, TAG2));
}

static void import_bad_input(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct device *other = userptr_mock_dev_new(mock, "userptr_mock_other");
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct drm_userptr_binding binding = {};
	struct userptr_mock_export *export;
	struct userptr_mock_import *import;
	struct drm_userptr_import *bad;

	bad = kunit_kzalloc(test, sizeof(*bad), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bad);
	export = userptr_mock_export_new(mock, SIZE, true, TAG);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			drm_userptr_import_init(bad, mock->dev, export->dmabuf,
						BIT(3)));

	import = userptr_mock_import_new(export, mock->dev, 0);
#define bind(offset__, size__)						\
	drm_userptr_binding_init_import(&binding, &vm->base, &import->base, \
					offset__, size__, VA)
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(0, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(1, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(0, PAGE_SIZE + 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(0, SIZE + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(SIZE, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(-PAGE_SIZE, 2 * PAGE_SIZE));

	/* Where it is for one device means nothing to another. */
	vm = userptr_mock_vm_new_on(mock, other, 0);
	KUNIT_EXPECT_EQ(test, -EINVAL, bind(0, SIZE));
#undef bind
	KUNIT_EXPECT_EQ(test, export->attached, 1);
}

/* With nobody at it, it is unmapped when the callback returns. */
static void import_moves_idle(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_ASSERT_EQ(test, PAGES, import_sees(&c, TAG));

	userptr_mock_export_invalidate(c.export);
	KUNIT_EXPECT_EQ(test, c.export->mapped, 0);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	/* Not by the TLB either. */
	KUNIT_EXPECT_EQ(test, 0, import_sees(&c, TAG));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&c.vm->base.stats.invalidations));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&c.vm->base.stats.fence_waits));

	/* Once is enough. */
	userptr_mock_export_move(c.export, TAG2);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&c.vm->base.stats.invalidations));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
}

static long import_submit(void *arg)
{
	return userptr_mock_submit_done(arg);
}

/*
 * The callback does not wait. The job goes on with the old memory, the next one
 * comes after it is given back, and gets the new.
 */
static void import_moves_busy(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_thread *submit;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(c.vm);
	userptr_mock_export_invalidate(c.export);
	/* The exporter is to hear of it soon. */
	KUNIT_EXPECT_TRUE(test, completion_done(&job->signaling));
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_EQ(test, c.export->mapped, 1);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&c.vm->base.stats.fence_waits));

	submit = userptr_mock_thread_start(c.mock, import_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	KUNIT_EXPECT_EQ(test, c.export->maps, 1);

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, 0, submit->ret);
	KUNIT_EXPECT_EQ(test, c.export->maps, 2);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
}

static long import_move(void *arg)
{
	userptr_mock_export_move(arg, TAG2);

	return 0;
}

/* The whole of a revocation: fences, then the end of the mapping. */
static void import_revoke_busy(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_thread *move;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(c.vm);
	move = userptr_mock_thread_start(c.mock, import_move, c.export);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(move));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(move));
	KUNIT_EXPECT_EQ(test, c.export->mapped, 0);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
}

/* Entries are written when the memory is there (bugs.md row 38). */
static void import_honours_kernel_fences(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_thread *submit;
	struct userptr_mock_job *move;

	move = userptr_mock_job_new(c.mock, 0, 1);
	userptr_mock_export_kernel_fence(c.export, move);
	submit = userptr_mock_thread_start(c.mock, import_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(move));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	/* Nobody who wants to move it is locked out meanwhile. */
	KUNIT_EXPECT_TRUE(test, dma_resv_trylock(c.export->dmabuf->resv));
	dma_resv_unlock(c.export->dmabuf->resv);

	userptr_mock_job_end(move);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, 0, submit->ret);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
}

struct import_late {
	struct import_case c;
	struct userptr_mock_job *job;
	struct completion hooked;
};

static void import_late_fence_hook(struct userptr_mock_vm *vm)
{
	struct import_late *late = vm->hook_data;

	vm->after_populate = NULL;
	userptr_mock_export_kernel_fence(late->c.export, late->job);
	complete_all(&late->hooked);
}

/* One that comes when all had been waited for */
static void import_late_kernel_fence(struct kunit *test)
{
	struct userptr_mock_thread *submit;
	struct import_late *late;

	late = kunit_kzalloc(test, sizeof(*late), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, late);
	init_completion(&late->hooked);
	late->c = import_case_new(test, 0, 0);
	late->job = userptr_mock_job_new(late->c.mock, 0, 1);
	late->c.vm->hook_data = late;
	late->c.vm->after_populate = import_late_fence_hook;

	submit = userptr_mock_thread_start(late->c.mock, import_submit, late->c.vm);
	wait_for_completion(&late->hooked);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	KUNIT_EXPECT_EQ(test, late->c.vm->present, 0);
	userptr_mock_job_end(late->job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&late->c, TAG));
}

/* The exporter calls at every step of an import (bugs.md row 110). */
static void import_invalidated_at_step(struct kunit *test)
{
	enum userptr_mock_step step = *(const enum userptr_mock_step *)test->param_value;
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_export *export;
	struct userptr_mock_import *import;
	struct userptr_mock_vm *vm;

	vm = userptr_mock_vm_new(mock);
	export = userptr_mock_export_new(mock, SIZE, true, TAG);
	export->fire = step;
	export->only_pinned = true;
	import = userptr_mock_import_new(export, mock->dev,
					 DRM_USERPTR_IMPORT_MAY_PIN);
	userptr_mock_export_invalidate(export);
	userptr_mock_bind_import(vm, import, 0, SIZE, VA);
	userptr_mock_export_invalidate(export);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, VA, SIZE, TAG));
	userptr_mock_export_move(export, TAG2);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_matches(vm, VA, SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, VA, SIZE, TAG2));
}

static void import_step_desc(const enum userptr_mock_step *step, char *desc)
{
	static const char * const names[USERPTR_MOCK_STEPS] = {
		"never", "attach", "pin", "map", "mapped", "unmap",
	};

	strscpy(desc, names[*step], KUNIT_PARAM_DESC_SIZE);
}

static const enum userptr_mock_step import_steps[] = {
	USERPTR_MOCK_NEVER, USERPTR_MOCK_IN_ATTACH, USERPTR_MOCK_IN_PIN,
	USERPTR_MOCK_IN_MAP, USERPTR_MOCK_AFTER_MAP, USERPTR_MOCK_IN_UNMAP,
};

KUNIT_ARRAY_PARAM(import_steps, import_steps, import_step_desc);

static void import_refused_attach(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_export *export;
	struct drm_userptr_import *import;

	import = kunit_kzalloc(test, sizeof(*import), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, import);
	export = userptr_mock_export_new(mock, SIZE, true, TAG);
	export->attach_err = -EBUSY;
	export->fire = USERPTR_MOCK_IN_ATTACH;
	KUNIT_EXPECT_EQ(test, -EBUSY,
			drm_userptr_import_init(import, mock->dev,
						export->dmabuf, 0));
}

/* Gone like memory that is not mapped: others are not disturbed, and back again. */
static void import_refused_map(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_obj *obj;
	unsigned long addr;

	addr = userptr_mock_mmap(c.mock, SZ_2M);
	userptr_mock_fill(c.mock, addr, SZ_2M, TAG3);
	obj = userptr_mock_obj_new(c.mock, addr, SZ_2M, 0);
	userptr_mock_bind_all(c.vm, obj, SZ_2M);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	c.export->map_err = -ENODEV;
	userptr_mock_export_move(c.export, TAG2);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -ENODEV);
	KUNIT_EXPECT_TRUE(test, list_empty(&c.vm->base.invalidated));
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(c.vm, SZ_2M, SZ_2M, TAG3));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_present(c.vm, VA, SIZE));

	c.export->map_err = 0;
	userptr_mock_revive(c.binding);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, 0);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
}

/* Where memory that is gone is a hole, refused imports are as well. */
static void import_refused_hole(struct kunit *test)
{
	struct import_case c = import_case_new(test, DRM_USERPTR_VM_HOLES, 0);

	c.export->map_err = -ENODEV;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, 1, c.vm->submit.tries);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&c.vm->base.invalidated));
}

/* Trouble that passes is the caller's, and nothing is given up for it. */
static void import_out_of_memory(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	c.export->map_err = -ENOMEM;
	KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, 0);
	c.export->map_err = 0;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
}

static bool import_should_fail(void)
{
	return true;
}

static void import_injected(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct drm_userptr_import *import;

	import = kunit_kzalloc(test, sizeof(*import), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, import);
	/* What submitting allocates is there already, the mapping is not. */
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	userptr_mock_export_invalidate(c.export);

	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   import_should_fail);
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			drm_userptr_import_init(import, c.mock->dev,
						c.export->dmabuf, 0));
	KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(c.vm));
	kunit_deactivate_static_stub(test, drm_userptr_should_fail);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
}

/* A mapping that is no good for entries is not used for any. */
static void import_malformed(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	c.export->short_by = 1;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -EINVAL);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_EQ(test, c.export->mapped, 0);
}

/* An exporter that does not map what may move pins it, if the driver wants. */
static void import_pins(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, DRM_USERPTR_IMPORT_MAY_PIN);

	c.export->only_pinned = true;
	c.export->pin_err = -ENOSPC;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -ENOSPC);

	c.export->pin_err = 0;
	userptr_mock_revive(c.binding);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
	KUNIT_EXPECT_EQ(test, c.export->pinned, 1);

	/* A revocation ends the pin, too. */
	userptr_mock_export_move(c.export, TAG2);
	KUNIT_EXPECT_EQ(test, c.export->pinned, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
}

static void import_pins_not_unasked(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	c.export->only_pinned = true;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.binding->base.error, -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, c.export->pinned, 0);
}

static void import_read_only(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, DRM_USERPTR_IMPORT_READ_ONLY);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.export->direction, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
}

/* One that never moves, as most heaps are */
static void import_static_exporter(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_export *export;
	struct userptr_mock_import *import;

	export = userptr_mock_export_new(mock, SIZE, false, TAG);
	import = userptr_mock_import_new(export, mock->dev, 0);
	userptr_mock_bind_import(vm, import, 0, SIZE, VA);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, VA, SIZE, TAG));
}

/*
 * One dma-buf, two devices, a job on one of them. What the other one has stays
 * while that job runs, too, and nobody's fence is added to anything
 * (bugs.md row 37).
 */
static void import_two_devices(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct device *other = userptr_mock_dev_new(mock, "userptr_mock_other");
	struct userptr_mock_thread *move, *submit;
	struct userptr_mock_import *import[2];
	struct userptr_mock_export *export;
	struct userptr_mock_vm *vm[2];
	struct userptr_mock_job *job;
	unsigned int i;

	export = userptr_mock_export_new(mock, SIZE, true, TAG);
	for (i = 0; i < 2; i++) {
		struct device *dev = i ? other : mock->dev;

		vm[i] = userptr_mock_vm_new_on(mock, dev, 0);
		import[i] = userptr_mock_import_new(export, dev, 0);
		userptr_mock_bind_import(vm[i], import[i], 0, SIZE, VA);
		KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[i]));
	}
	KUNIT_EXPECT_EQ(test, export->mapped, 2);

	job = userptr_mock_submit_new(vm[0]);
	move = userptr_mock_thread_start(mock, import_move, export);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	/* Who is idle is out at once. */
	KUNIT_EXPECT_EQ(test, vm[1]->present, 0);
	KUNIT_EXPECT_EQ(test, export->mapped, 1);
	KUNIT_EXPECT_EQ(test, vm[0]->present, PAGES);

	/* And in again, as soon as it gets the lock. */
	submit = userptr_mock_thread_start(mock, import_submit, vm[1]);
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(move));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm[0]));
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, PAGES,
				userptr_mock_matches(vm[i], VA, SIZE, TAG2));
}

/* One import in two VMs: mapped once, given back when both are out of it. */
static void import_two_vms(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(c.mock);
	struct userptr_mock_thread *submit;
	struct userptr_mock_job *job;

	userptr_mock_bind_import(vm, c.import, 0, SIZE, VA);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_EQ(test, c.export->maps, 1);

	userptr_mock_export_invalidate(c.export);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_EQ(test, c.export->mapped, 1);
	submit = userptr_mock_thread_start(c.mock, import_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, c.export->maps, 2);
	KUNIT_EXPECT_EQ(test, vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, c.export->maps, 2);
}

/* An idle VM's binding may go while another VM's job keeps the mapping. */
static void import_unbind_while_void(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(c.mock);
	struct userptr_mock_job *job;

	userptr_mock_bind_import(vm, c.import, 0, SIZE, VA);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	job = userptr_mock_submit_new(vm);
	userptr_mock_export_invalidate(c.export);
	KUNIT_EXPECT_EQ(test, c.vm->base.nr_void, 1);

	userptr_mock_unbind(c.binding);
	KUNIT_EXPECT_EQ(test, c.vm->base.nr_void, 0);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));

	KUNIT_EXPECT_EQ(test, c.export->mapped, 1);
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_export_unmapped(c.export));
}

/* One that comes while the old mapping is on its way out waits like the others. */
static void import_bind_while_void(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(c.mock);
	struct userptr_mock_thread *submit;
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(c.vm);
	userptr_mock_export_invalidate(c.export);
	userptr_mock_bind_import(vm, c.import, 0, SIZE, VA);
	submit = userptr_mock_thread_start(c.mock, import_submit, vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, 0, submit->ret);
	KUNIT_EXPECT_EQ(test, PAGES, userptr_mock_matches(vm, VA, SIZE, TAG));
}

/* The last binding goes, and so does the import, with the exporter's call open. */
static void import_fini_while_void(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_job *job;

	job = userptr_mock_submit_new(c.vm);
	userptr_mock_export_invalidate(c.export);
	userptr_mock_job_end(job);
	userptr_mock_unbind(c.binding);
	userptr_mock_import_free(c.import);
	KUNIT_EXPECT_EQ(test, c.export->mapped, 0);
	KUNIT_EXPECT_EQ(test, c.export->attached, 0);
}

/* Jobs that do not name it could reach it all the same: none while it is void. */
static void import_explicit(struct kunit *test)
{
	struct import_case c = import_case_new(test, DRM_USERPTR_VM_EXPLICIT, 0);
	struct userptr_mock_thread *submit;
	struct userptr_mock_job *job;

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.export->maps, 0);

	c.vm->named[0] = c.binding;
	job = userptr_mock_submit_new(c.vm);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
	userptr_mock_export_invalidate(c.export);

	c.vm->named[0] = NULL;
	submit = userptr_mock_thread_start(c.mock, import_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, 0, submit->ret);
	KUNIT_EXPECT_EQ(test, c.export->maps, 1);

	c.vm->named[0] = c.binding;
	c.export->map_err = -ENODEV;
	KUNIT_EXPECT_EQ(test, -ENODEV, userptr_mock_submit_done(c.vm));
	c.export->map_err = -ENOMEM;
	KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(c.vm));
	c.export->map_err = 0;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
}

static void import_explicit_hook(struct userptr_mock_vm *vm)
{
	vm->after_populate = NULL;
	userptr_mock_export_invalidate(vm->hook_data);
}

/* The same, if it becomes void between the look and the commit */
static void import_explicit_collision(struct kunit *test)
{
	struct import_case c = import_case_new(test, DRM_USERPTR_VM_EXPLICIT, 0);
	struct userptr_mock_thread *submit;
	struct userptr_mock_job *job;

	c.vm->named[0] = c.binding;
	job = userptr_mock_submit_new(c.vm);
	c.vm->named[0] = NULL;
	c.vm->hook_data = c.export;
	c.vm->after_populate = import_explicit_hook;
	submit = userptr_mock_thread_start(c.mock, import_submit, c.vm);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_blocked(submit));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submit));
	KUNIT_EXPECT_EQ(test, 0, submit->ret);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&c.vm->base.stats.retries));
}

/* A queue that would run for ever is suspended for a move, and resumed. */
static void import_long_running(struct kunit *test)
{
	struct import_case c = import_case_new(test, DRM_USERPTR_VM_HOLES, 0);
	struct userptr_mock_queue *queue = userptr_mock_queue_new(c.vm);

	drm_userptr_preempt_kick(&c.vm->preempt);
	KUNIT_ASSERT_TRUE(test, userptr_mock_queue_resumed(queue, 1));
	KUNIT_EXPECT_EQ(test, queue->present, PAGES);

	userptr_mock_export_move(c.export, TAG2);
	KUNIT_EXPECT_TRUE(test, userptr_mock_queue_resumed(queue, 2));
	KUNIT_EXPECT_EQ(test, queue->suspends, 1);
	KUNIT_EXPECT_EQ(test, queue->present, PAGES);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
}

/* What is invalidated is looked at, be it one or the other, and nothing else. */
static void import_beside_userptr(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);
	struct userptr_mock_obj *obj;
	unsigned long addr;

	addr = userptr_mock_mmap(c.mock, SZ_2M);
	userptr_mock_fill(c.mock, addr, SZ_2M, TAG3);
	obj = userptr_mock_obj_new(c.mock, addr, SZ_2M, 0);
	userptr_mock_bind_all(c.vm, obj, SZ_2M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	c.vm->mapped_pages = 0;

	userptr_mock_export_move(c.export, TAG2);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.vm->mapped_pages, PAGES);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&c.vm->base.stats.windows));

	KUNIT_EXPECT_TRUE(test, userptr_mock_invalidate(obj, addr, addr + SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, c.export->maps, 2);
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
	KUNIT_EXPECT_EQ(test, USERPTR_MOCK_WINDOW_PAGES,
			userptr_mock_matches(c.vm, SZ_2M, SZ_2M, TAG3));
}

/* A reset loses the entries, not the mapping. */
static void import_survives_reset(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	mutex_lock(&c.vm->lock);
	drm_userptr_vm_invalidate(&c.vm->base);
	mutex_unlock(&c.vm->lock);
	KUNIT_EXPECT_EQ(test, c.vm->present, 0);
	KUNIT_EXPECT_EQ(test, 0, import_sees(&c, TAG));

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG));
	KUNIT_EXPECT_EQ(test, c.export->maps, 1);
}

static void import_between_steps_hook(struct userptr_mock_vm *vm)
{
	struct userptr_mock_export *export = vm->hook_data;

	vm->after_populate = NULL;
	userptr_mock_export_move(export, TAG2);
}

/* Invalidated after it was looked at, before it is locked */
static void import_moves_before_lock(struct kunit *test)
{
	struct import_case c = import_case_new(test, 0, 0);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	c.vm->hook_data = c.export;
	c.vm->after_populate = import_between_steps_hook;
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&c, TAG2));
}

/* So often the memory is moved away from under somebody. */
#define STORM_MAPS	100

struct import_storm {
	struct import_case c;
	/* A userptr in the same VMs, of which a page is replaced over and over */
	unsigned long addr;
	/* Another VM that has both, and another process's thread that submits */
	struct userptr_mock_vm *vm;
	struct userptr_mock_thread *mover;
	unsigned int moves;
};

static long import_storm_move(void *arg)
{
	struct import_storm *storm = arg;

	while (READ_ONCE(storm->c.export->maps) < STORM_MAPS) {
		userptr_mock_export_move(storm->c.export, TAG + ++storm->moves);
		cond_resched();
	}

	return 0;
}

static long import_storm_remap(void *arg)
{
	struct import_storm *storm = arg;

	while (!completion_done(&storm->mover->done)) {
		userptr_mock_remap(storm->c.mock, storm->addr, PAGE_SIZE,
				   PROT_READ | PROT_WRITE);
		cond_resched();
	}

	return 0;
}

static long import_storm_submit(void *arg)
{
	struct import_storm *storm = arg;
	long err = 0;

	while (!err && !completion_done(&storm->mover->done))
		err = userptr_mock_submit_done(storm->vm);

	return err;
}

/*
 * Submissions on both sides get through while neither the exporter's memory nor
 * the process's ever stays as it is.
 */
static void import_storm(struct kunit *test)
{
	struct userptr_mock_thread *submitter;
	struct userptr_mock_obj *obj;
	struct import_storm *storm;
	unsigned int submits = 0;
	int err = 0;

	storm = kunit_kzalloc(test, sizeof(*storm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, storm);
	storm->c = import_case_new(test, 0, 0);
	storm->vm = userptr_mock_vm_new(storm->c.mock);
	userptr_mock_bind_import(storm->vm, storm->c.import, 0, SIZE, VA);
	storm->addr = userptr_mock_mmap(storm->c.mock, SZ_64K);
	userptr_mock_fill(storm->c.mock, storm->addr, SZ_64K, TAG3);
	obj = userptr_mock_obj_new(storm->c.mock, storm->addr, SZ_64K, 0);
	userptr_mock_bind_all(storm->c.vm, obj, SZ_2M);
	userptr_mock_bind_all(storm->vm, obj, SZ_2M);

	storm->mover = userptr_mock_thread_start(storm->c.mock,
						 import_storm_move, storm);
	userptr_mock_thread_start(storm->c.mock, import_storm_remap, storm);
	submitter = userptr_mock_thread_start(storm->c.mock,
					      import_storm_submit, storm);
	/* Shooting at oneself without end may use up a budget. */
	while (!completion_done(&storm->mover->done) && (!err || err == -EAGAIN)) {
		err = userptr_mock_submit_done(storm->c.vm);
		submits += !err;
	}
	KUNIT_EXPECT_TRUE(test, !err || err == -EAGAIN);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(storm->mover));
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(submitter));
	KUNIT_EXPECT_TRUE(test, !submitter->ret || submitter->ret == -EAGAIN);

	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(storm->c.vm));
	KUNIT_EXPECT_EQ(test, PAGES, import_sees(&storm->c, TAG + storm->moves));
	KUNIT_EXPECT_EQ(test, 15, userptr_mock_matches(storm->c.vm,
						       SZ_2M + PAGE_SIZE,
						       SZ_64K - PAGE_SIZE,
						       TAG3 + 1));
	KUNIT_EXPECT_GT(test, submits, 0);
	kunit_info(test, "%u submissions, %u moves, %u mappings, %lld invalidations\n",
		   submits, storm->moves, storm->c.export->maps,
		   atomic64_read(&storm->c.vm->base.stats.invalidations));
}

static struct kunit_case import_cases[] = {
	KUNIT_CASE(import_maps_on_demand),
	KUNIT_CASE(import_parts),
	KUNIT_CASE(import_bad_input),
	KUNIT_CASE(import_moves_idle),
	KUNIT_CASE(import_moves_busy),
	KUNIT_CASE(import_revoke_busy),
	KUNIT_CASE(import_honours_kernel_fences),
	KUNIT_CASE(import_late_kernel_fence),
	KUNIT_CASE_PARAM(import_invalidated_at_step, import_steps_gen_params),
	KUNIT_CASE(import_refused_attach),
	KUNIT_CASE(import_refused_map),
	KUNIT_CASE(import_refused_hole),
	KUNIT_CASE(import_out_of_memory),
	KUNIT_CASE(import_injected),
	KUNIT_CASE(import_malformed),
	KUNIT_CASE(import_pins),
	KUNIT_CASE(import_pins_not_unasked),
	KUNIT_CASE(import_read_only),
	KUNIT_CASE(import_static_exporter),
	KUNIT_CASE(import_two_devices),
	KUNIT_CASE(import_two_vms),
	KUNIT_CASE(import_unbind_while_void),
	KUNIT_CASE(import_bind_while_void),
	KUNIT_CASE(import_fini_while_void),
	KUNIT_CASE(import_explicit),
	KUNIT_CASE(import_explicit_collision),
	KUNIT_CASE(import_long_running),
	KUNIT_CASE(import_beside_userptr),
	KUNIT_CASE(import_survives_reset),
	KUNIT_CASE(import_moves_before_lock),
	KUNIT_CASE_SLOW(import_storm),
	{ }
};

static struct kunit_suite import_suite = {
	.name = "drm_userptr_import",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = import_cases,
};

kunit_test_suite(import_suite);
