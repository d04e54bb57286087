// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * DMA mappings: several devices, an IOMMU, and devices whose addresses follow
 * no rule. IOMMUs are made up here: a table from DMA pages to struct pages,
 * through which the mock device then reaches memory.
 */

#include <linux/mman.h>
#include <linux/sort.h>
#include <linux/xarray.h>

#include <kunit/static_stub.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0x4400000000ull
#define TAG2	0x4500000000ull

/* Where the made-up IOMMU begins to give out addresses */
#define IOVA_BASE	0x7f0000000000ull

/**
 * struct fake_iommu - what the stubs know
 * @fail_at: this call from now on fails, 0 for none
 * @links: calls that succeeded
 * @iovas: pieces of IO address space in use
 * @no_room: give out none
 * @next: next address for what is mapped page by page
 */
static struct fake_iommu {
	unsigned int fail_at;
	unsigned int links;
	unsigned int iovas;
	bool no_room;
	u64 next;
} fake;

static struct userptr_mock *fake_mock(void)
{
	return kunit_get_current_test()->priv;
}

static bool fake_fails(void)
{
	return fake.fail_at && !--fake.fail_at;
}

static int fake_enter(dma_addr_t addr, phys_addr_t phys, size_t size)
{
	struct userptr_mock *mock = fake_mock();
	size_t i;

	if (fake_fails())
		return -ENOMEM;

	/* Taken, or out of memory? No assertion: its caller holds locks. */
	for (i = 0; i < size / PAGE_SIZE; i++)
		KUNIT_EXPECT_EQ(mock->test, 0,
				xa_insert(&mock->iommu, addr / PAGE_SIZE + i,
					  phys_to_page(phys) + i, GFP_NOWAIT));
	fake.links++;

	return 0;
}

static void fake_remove(dma_addr_t addr, size_t size)
{
	struct userptr_mock *mock = fake_mock();
	size_t i;

	for (i = 0; i < size / PAGE_SIZE; i++)
		KUNIT_EXPECT_NOT_NULL(mock->test,
				      xa_erase(&mock->iommu,
					       addr / PAGE_SIZE + i));
}

static struct dma_iova_state fake_iova_alloc(struct device *dev, size_t size)
{
	struct dma_iova_state state = {};

	if (fake.no_room)
		return state;

	state.addr = IOVA_BASE + fake.iovas++ * SZ_1G;

	return state;
}

static void fake_iova_free(struct device *dev, struct dma_iova_state *state)
{
	fake.iovas--;
}

static int fake_iova_link(struct device *dev, struct dma_iova_state *state,
			  phys_addr_t phys, size_t offset, size_t size,
			  enum dma_data_direction dir)
{
	return fake_enter(state->addr + offset, phys, size);
}

static int fake_iova_sync(struct device *dev, struct dma_iova_state *state,
			  size_t offset, size_t size)
{
	return fake_fails() ? -ENOMEM : 0;
}

static void fake_iova_unlink(struct device *dev, struct dma_iova_state *state,
			     size_t offset, size_t size,
			     enum dma_data_direction dir)
{
	fake_remove(state->addr + offset, size);
}

/* Each run goes somewhere else: no offset fits all. */
static dma_addr_t fake_map_phys(struct device *dev, phys_addr_t phys,
				size_t size, enum dma_data_direction dir)
{
	dma_addr_t addr = IOVA_BASE + fake.next;

	if (fake_enter(addr, phys, size))
		return DMA_MAPPING_ERROR;
	fake.next += size + SZ_2M;

	return addr;
}

static void fake_unmap_phys(struct device *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir)
{
	fake_remove(addr, size);
}

static void fake_init(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;

	fake = (struct fake_iommu) {};
	mock->iommu_dev = mock->dev;
	kunit_activate_static_stub(test, drm_userptr_iova_alloc,
				   fake_iova_alloc);
	kunit_activate_static_stub(test, drm_userptr_iova_free, fake_iova_free);
	kunit_activate_static_stub(test, drm_userptr_iova_link, fake_iova_link);
	kunit_activate_static_stub(test, drm_userptr_iova_sync, fake_iova_sync);
	kunit_activate_static_stub(test, drm_userptr_iova_unlink,
				   fake_iova_unlink);
	kunit_activate_static_stub(test, drm_userptr_dma_map_phys,
				   fake_map_phys);
	kunit_activate_static_stub(test, drm_userptr_dma_unmap_phys,
				   fake_unmap_phys);
}

static int fake_cmp_pages(const void *a, const void *b)
{
	return cmp_int(page_to_pfn(*(struct page * const *)b),
		       page_to_pfn(*(struct page * const *)a));
}

/*
 * Three windows but for a page at each end, filled, in @vm at address 0. Of
 * pages that fall, so that no two neighbours make one run.
 */
static struct userptr_mock_obj *fake_three_windows(struct userptr_mock_vm *vm)
{
	struct userptr_mock *mock = vm->mock;
	unsigned long size = 3 * SZ_2M - 2 * PAGE_SIZE;
	unsigned long addr = userptr_mock_mmap(mock, 3 * SZ_2M) + PAGE_SIZE;
	struct userptr_mock_file *file;
	struct userptr_mock_obj *obj;

	file = userptr_mock_file_mmap(mock, addr, size);
	sort(file->pages, file->nr_pages, sizeof(*file->pages), fake_cmp_pages,
	     NULL);
	userptr_mock_fill(mock, addr, size, TAG);
	obj = userptr_mock_obj_new(mock, addr, size, 0);
	userptr_mock_bind_all(vm, obj, 0);

	return obj;
}

static unsigned long fake_pages(struct userptr_mock *mock)
{
	unsigned long index, n = 0;
	void *page;

	xa_for_each(&mock->iommu, index, page)
		n++;

	return n;
}

#define PAGES	(3 * USERPTR_MOCK_WINDOW_PAGES - 2)

/* What is scattered in memory is one piece to the device. */
static void dma_iova(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	unsigned long middle;

	fake_init(test);
	vm = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, fake.iovas, 1);
	KUNIT_EXPECT_EQ(test, vm->maps, 3);
	KUNIT_EXPECT_EQ(test, fake_pages(mock), PAGES);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, 0, PAGES * PAGE_SIZE, TAG));

	/* Only the window that is hit leaves the IOMMU. */
	middle = ALIGN(obj->base.start, SZ_2M) + SZ_1M;
	userptr_mock_remap(mock, middle, PAGE_SIZE, PROT_READ | PROT_WRITE);
	KUNIT_EXPECT_EQ(test, fake_pages(mock),
			PAGES - USERPTR_MOCK_WINDOW_PAGES);
	KUNIT_EXPECT_EQ(test, fake.iovas, 1);

	userptr_mock_cpu_write(mock, middle, TAG2);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, vm->maps, 4);
	KUNIT_EXPECT_EQ(test, fake_pages(mock), PAGES);
	KUNIT_EXPECT_EQ(test, 1,
			userptr_mock_matches(vm, middle - obj->base.start,
					     PAGE_SIZE, TAG2));
}

/* The last binding on a device takes its mappings away, valid or not. */
static void dma_iova_unbind(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_binding *second;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;

	fake_init(test);
	vm = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm);
	second = userptr_mock_bind(vm, obj, obj->base.start, PAGE_SIZE, SZ_8M);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	userptr_mock_unbind(list_first_entry(&vm->bindings,
					     struct userptr_mock_binding, link));
	KUNIT_EXPECT_EQ(test, fake_pages(mock), PAGES);
	KUNIT_EXPECT_EQ(test, 1, userptr_mock_matches(vm, SZ_8M, PAGE_SIZE, TAG));

	userptr_mock_unbind(second);
	list_del(&second->link);
	drm_userptr_binding_fini(&second->base);
	KUNIT_EXPECT_EQ(test, fake.iovas, 1);
}

/* Wherever it fails, nothing is left behind and the next try is whole. */
static void dma_iova_fails(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm;
	unsigned int at;

	fake_init(test);
	vm = userptr_mock_vm_new(mock);
	fake_three_windows(vm);

	for (at = 1; at <= 64; at *= 4) {
		fake.fail_at = at;
		KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(vm));
		KUNIT_EXPECT_EQ(test, fake.fail_at, 0);
		KUNIT_EXPECT_EQ(test, fake_pages(mock), 0);
		KUNIT_EXPECT_EQ(test, vm->maps, 0);
	}
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, 0, PAGES * PAGE_SIZE, TAG));
}

/* The last call of a window is the sync. */
static void dma_iova_sync_fails(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;

	fake_init(test);
	vm = userptr_mock_vm_new(mock);
	userptr_mock_fill(mock, addr, PAGE_SIZE, TAG);
	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	userptr_mock_bind_all(vm, obj, 0);

	fake.fail_at = 2;
	KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, fake.links, 1);
	KUNIT_EXPECT_EQ(test, fake_pages(mock), 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, 1, userptr_mock_matches(vm, 0, PAGE_SIZE, TAG));
}

/* No room in the IO address space: run by run, and each somewhere else. */
static void dma_scattered(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;
	unsigned long middle;

	fake_init(test);
	fake.no_room = true;
	vm = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	KUNIT_EXPECT_EQ(test, fake_pages(mock), PAGES);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, 0, PAGES * PAGE_SIZE, TAG));

	middle = ALIGN(obj->base.start, SZ_2M) + SZ_1M;
	userptr_mock_remap(mock, middle, PAGE_SIZE, PROT_READ | PROT_WRITE);
	KUNIT_EXPECT_EQ(test, fake_pages(mock),
			PAGES - USERPTR_MOCK_WINDOW_PAGES);
	userptr_mock_cpu_write(mock, middle, TAG2);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES - 1,
			userptr_mock_matches(vm, 0, PAGES * PAGE_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 1,
			userptr_mock_matches(vm, middle - obj->base.start,
					     PAGE_SIZE, TAG2));
}

static void dma_scattered_fails(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm;
	unsigned int at;

	fake_init(test);
	fake.no_room = true;
	vm = userptr_mock_vm_new(mock);
	fake_three_windows(vm);

	for (at = 1; at <= 64; at *= 4) {
		fake.fail_at = at;
		KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(vm));
		KUNIT_EXPECT_EQ(test, fake.fail_at, 0);
		KUNIT_EXPECT_EQ(test, fake_pages(mock), 0);
		KUNIT_EXPECT_EQ(test, vm->maps, 0);
	}
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm, 0, PAGES * PAGE_SIZE, TAG));
}

/* One collection of pages, two devices, each with its own addresses */
static void dma_two_devices(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct device *other = userptr_mock_dev_new(mock, "userptr_mock_other");
	struct userptr_mock_vm *vm[2];
	struct userptr_mock_obj *obj;

	fake_init(test);
	mock->iommu_dev = other;
	kunit_deactivate_static_stub(test, drm_userptr_dma_map_phys);
	kunit_deactivate_static_stub(test, drm_userptr_dma_unmap_phys);

	fake.no_room = true;
	vm[0] = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm[0]);
	fake.no_room = false;
	vm[1] = userptr_mock_vm_new_on(mock, other, 0);
	userptr_mock_bind_all(vm[1], obj, 0);

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[0]));
	KUNIT_EXPECT_EQ(test, fake_pages(mock), 0);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm[0], 0, PAGES * PAGE_SIZE, TAG));

	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[1]));
	KUNIT_EXPECT_EQ(test, fake_pages(mock), PAGES);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm[1], 0, PAGES * PAGE_SIZE, TAG));
	KUNIT_EXPECT_PTR_EQ(test, userptr_mock_page(vm[0], 0),
			    userptr_mock_page(vm[1], 0));

	/* What the mm takes leaves both; one is looked for again, by one. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(obj->base.start, PAGES * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, fake_pages(mock), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->dma_pages), 0);
	KUNIT_EXPECT_EQ(test, vm[0]->present, 0);
	KUNIT_EXPECT_EQ(test, vm[1]->present, 0);

	userptr_mock_remap(mock, obj->base.start, PAGES * PAGE_SIZE,
			   PROT_READ | PROT_WRITE);
	userptr_mock_fill(mock, obj->base.start, PAGES * PAGE_SIZE, TAG2);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[1]));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm[1], 0, PAGES * PAGE_SIZE, TAG2));
	KUNIT_EXPECT_EQ(test, atomic64_read(&mock->dma_pages), 0);
}

/* A window that another device has already: the memory for it is missing. */
static void dma_share_fails(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct device *other = userptr_mock_dev_new(mock, "userptr_mock_other");
	struct userptr_mock_vm *vm[2];
	struct userptr_mock_obj *obj;

	fake_init(test);
	vm[0] = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm[0]);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[0]));

	vm[1] = userptr_mock_vm_new_on(mock, other, 0);
	userptr_mock_bind_all(vm[1], obj, 0);
	fake.fail_at = 1;
	KUNIT_EXPECT_EQ(test, -ENOMEM, userptr_mock_submit_done(vm[1]));
	KUNIT_EXPECT_EQ(test, vm[1]->present, 0);

	/* The first does not notice. */
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm[0]));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm[0], 0, PAGES * PAGE_SIZE, TAG));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm[1]));
	KUNIT_EXPECT_EQ(test, vm[1]->present, PAGES);
}

/* Fail the allocation or step that makes it zero; zero for none. */
static unsigned int dma_nth;

static bool dma_should_fail(void)
{
	return dma_nth && !--dma_nth;
}

/* Addresses have to be remembered, and there is no memory for that. */
static void dma_scattered_no_memory(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned int nth, failures = 0;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;

	fake_init(test);
	fake.no_room = true;
	vm = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm);
	/* From here on the device is known to be of that kind. */
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   dma_should_fail);
	for (nth = 1; nth < 1000; nth++) {
		bool failed;
		int err;

		userptr_mock_invalidate(obj, obj->base.start, obj->base.end);
		KUNIT_EXPECT_EQ(test, fake_pages(mock), 0);
		dma_nth = nth;
		err = userptr_mock_submit_done(vm);
		failed = !dma_nth;
		dma_nth = 0;

		KUNIT_EXPECT_TRUE_MSG(test, !err || (failed && err == -ENOMEM),
				      "step %u: %d", nth, err);
		if (!err)
			KUNIT_EXPECT_EQ(test, PAGES,
					userptr_mock_matches(vm, 0,
							     PAGES * PAGE_SIZE,
							     TAG));
		failures += !!err;
		if (!failed)
			break;
	}
	KUNIT_EXPECT_LT(test, nth, 1000);
	/* For each window: its pages, its runs, the copy of those, addresses. */
	KUNIT_EXPECT_GE(test, failures, 3 * 4);
}

/**
 * struct dma_hit - an invalidation in the middle of sharing a window
 * @obj: of what
 * @maps: runs that the second device was given
 * @due: the next allocation is the one for the addresses
 * @hits: so often was it invalidated
 */
static struct dma_hit {
	struct userptr_mock_obj *obj;
	unsigned int maps;
	bool due;
	unsigned int hits;
} dma_hit;

static dma_addr_t dma_hit_map_phys(struct device *dev, phys_addr_t phys,
				   size_t size, enum dma_data_direction dir)
{
	/* The second run's offset is not the first one's. */
	if (++dma_hit.maps == 2)
		dma_hit.due = true;

	return fake_map_phys(dev, phys, size, dir);
}

static bool dma_hit_should_fail(void)
{
	if (dma_hit.due) {
		dma_hit.due = false;
		dma_hit.hits++;
		userptr_mock_invalidate(dma_hit.obj, dma_hit.obj->base.start,
					dma_hit.obj->base.end);
	}

	return false;
}

/* A window that another device has is gone before it is mapped for this one. */
static void dma_share_hit(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct device *other = userptr_mock_dev_new(mock, "userptr_mock_other");
	struct userptr_mock_vm *vm[2];

	fake_init(test);
	vm[0] = userptr_mock_vm_new(mock);
	dma_hit = (struct dma_hit) { .obj = fake_three_windows(vm[0]) };
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[0]));

	mock->iommu_dev = other;
	fake.no_room = true;
	/* There is one table for all; the first device's are below. */
	fake.next = SZ_1G;
	kunit_deactivate_static_stub(test, drm_userptr_dma_map_phys);
	kunit_activate_static_stub(test, drm_userptr_dma_map_phys,
				   dma_hit_map_phys);
	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   dma_hit_should_fail);
	vm[1] = userptr_mock_vm_new_on(mock, other, 0);
	userptr_mock_bind_all(vm[1], dma_hit.obj, 0);
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm[1]));

	KUNIT_EXPECT_EQ(test, dma_hit.hits, 1);
	KUNIT_EXPECT_EQ(test, vm[0]->present, 0);
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm[1], 0, PAGES * PAGE_SIZE, TAG));
}

/**
 * struct dma_race - somebody else binds on the same device, a little earlier
 * @vm: where
 * @obj: what
 * @winner: its binding, while @err is zero
 * @err: what came of it, positive before it happened
 */
static struct dma_race {
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct drm_userptr_binding winner;
	int err;
} dma_race;

static struct dma_iova_state dma_race_iova_alloc(struct device *dev,
						 size_t size)
{
	if (dma_race.err > 0) {
		dma_race.err = 0;
		dma_race.err = drm_userptr_binding_init(&dma_race.winner,
							&dma_race.vm->base,
							&dma_race.obj->base,
							dma_race.obj->base.start,
							PAGE_SIZE, 0);
	}

	return fake_iova_alloc(dev, size);
}

/* A window that another device has: there is no memory to remember it with. */
static void dma_share_no_memory(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct device *other = userptr_mock_dev_new(mock, "userptr_mock_other");
	unsigned int nth, failures = 0;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm[2];
	bool failed;
	int err;

	fake_init(test);
	vm[0] = userptr_mock_vm_new(mock);
	obj = fake_three_windows(vm[0]);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm[0]));

	mock->iommu_dev = other;
	fake.no_room = true;
	fake.next = SZ_1G;
	vm[1] = userptr_mock_vm_new_on(mock, other, 0);
	userptr_mock_bind_all(vm[1], obj, 0);
	kunit_activate_static_stub(test, drm_userptr_should_fail,
				   dma_should_fail);
	/* What it has got it keeps, so each try is shorter. */
	for (nth = 1; nth < 1000; nth++) {
		dma_nth = nth;
		err = userptr_mock_submit_done(vm[1]);
		failed = !dma_nth;
		dma_nth = 0;
		if (!err)
			break;

		KUNIT_EXPECT_EQ(test, err, -ENOMEM);
		KUNIT_EXPECT_EQ(test, vm[1]->present, 0);
		KUNIT_EXPECT_EQ(test, vm[0]->present, PAGES);
		failures++;
	}

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GE(test, failures, 2);
	/* Of the steps it is the commit alone that may just be tried again. */
	KUNIT_EXPECT_EQ(test, failed,
			atomic64_read(&vm[1]->base.stats.retries));
	KUNIT_EXPECT_EQ(test, PAGES,
			userptr_mock_matches(vm[1], 0, PAGES * PAGE_SIZE, TAG));
}

/* Two bindings at once are the first on a device: it has one mapping. */
static void dma_first_binding_races(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct drm_userptr_binding *loser;

	fake_init(test);
	loser = kunit_kzalloc(test, sizeof(*loser), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, loser);
	dma_race = (struct dma_race) {
		.vm = userptr_mock_vm_new(mock),
		.obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0),
		.err = 1,
	};
	kunit_deactivate_static_stub(test, drm_userptr_iova_alloc);
	kunit_activate_static_stub(test, drm_userptr_iova_alloc,
				   dma_race_iova_alloc);

	KUNIT_ASSERT_EQ(test, 0,
			drm_userptr_binding_init(loser, &dma_race.vm->base,
						 &dma_race.obj->base, addr,
						 PAGE_SIZE, 0));
	KUNIT_ASSERT_EQ(test, dma_race.err, 0);
	KUNIT_EXPECT_PTR_EQ(test, loser->dma, dma_race.winner.dma);
	KUNIT_EXPECT_EQ(test, fake.iovas, 1);

	drm_userptr_binding_fini(&dma_race.winner);
	KUNIT_EXPECT_EQ(test, fake.iovas, 1);
	drm_userptr_binding_fini(loser);
	KUNIT_EXPECT_EQ(test, fake.iovas, 0);
}

static struct kunit_case drm_userptr_dma_tests[] = {
	KUNIT_CASE(dma_iova),
	KUNIT_CASE(dma_iova_unbind),
	KUNIT_CASE(dma_iova_fails),
	KUNIT_CASE(dma_iova_sync_fails),
	KUNIT_CASE(dma_scattered),
	KUNIT_CASE(dma_scattered_fails),
	KUNIT_CASE(dma_two_devices),
	KUNIT_CASE(dma_share_fails),
	KUNIT_CASE(dma_scattered_no_memory),
	KUNIT_CASE(dma_share_hit),
	KUNIT_CASE(dma_share_no_memory),
	KUNIT_CASE(dma_first_binding_races),
	{ }
};

static struct kunit_suite drm_userptr_dma_suite = {
	.name = "drm_userptr_dma",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_dma_tests,
};

kunit_test_suite(drm_userptr_dma_suite);
