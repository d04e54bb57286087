// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Clients: what is counted, what is refused, and what fdinfo says.
 *
 * That nothing is left of any count when everything is gone is checked by the
 * mock in every test of every suite.
 */

#include <linux/completion.h>
#include <linux/mman.h>
#include <linux/slab.h>

#include <drm/drm_print.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define PAGES	USERPTR_MOCK_WINDOW_PAGES

static int client_init_one(struct userptr_mock *mock,
			   struct drm_userptr *userptr,
			   struct drm_userptr_client *client,
			   unsigned long addr, unsigned long size)
{
	memset(userptr, 0, sizeof(*userptr));
	userptr->client = client;

	return drm_userptr_init(userptr, mock->dev, addr, size, 0);
}

/* No more than it may have; what was refused or is gone does not count. */
static void client_limit(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_client *client;
	struct drm_userptr *userptr;
	unsigned long addr;

	addr = userptr_mock_mmap(mock, SZ_2M);
	userptr = kunit_kcalloc(test, 3, sizeof(*userptr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptr);
	client = drm_userptr_client_create(&mock->device, 2, 2);
	KUNIT_ASSERT_NOT_NULL(test, client);

	KUNIT_EXPECT_EQ(test, -EINVAL,
			client_init_one(mock, userptr, client, addr, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			client_init_one(mock, userptr, client, addr, 0));
	KUNIT_EXPECT_EQ(test, 0, client_init_one(mock, userptr, client, addr,
						 SZ_2M));
	KUNIT_EXPECT_EQ(test, 0, client_init_one(mock, userptr + 1, client,
						 addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, -ENOMEM, client_init_one(mock, userptr + 2,
						       client, addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, -ENOMEM, client_init_one(mock, userptr + 2,
						       client, addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, atomic_read(&client->nr_userptrs), 2);
	KUNIT_EXPECT_EQ(test, 2 * SZ_2M, atomic64_read(&client->total));

	drm_userptr_fini(userptr);
	KUNIT_EXPECT_EQ(test, 0, client_init_one(mock, userptr + 2, client,
						 addr, SZ_2M));
	drm_userptr_fini(userptr + 1);

	/* The file may be closed first. */
	drm_userptr_client_put(client);
	KUNIT_EXPECT_EQ(test, atomic_read(&client->nr_userptrs), 1);
	drm_userptr_fini(userptr + 2);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&mock->device.clients));
}

/* Bytes are those of windows that are valid, until the mm has them back. */
static void client_resident(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_client *client = mock->client;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;
	struct userptr_mock_vm *vm;
	unsigned long addr;

	addr = userptr_mock_mmap(mock, 2 * SZ_2M + PAGE_SIZE);
	obj = userptr_mock_obj_new(mock, addr, 2 * SZ_2M + PAGE_SIZE, 0);
	vm = userptr_mock_vm_new(mock);
	userptr_mock_bind_all(vm, obj, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&client->resident));
	KUNIT_EXPECT_EQ(test, 2 * SZ_2M + PAGE_SIZE,
			atomic64_read(&client->total));

	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_EQ(test, 2 * SZ_2M + PAGE_SIZE,
			atomic64_read(&client->resident));

	munmap = userptr_mock_munmap_start(mock, addr + SZ_2M, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	KUNIT_EXPECT_EQ(test, 2 * SZ_2M + PAGE_SIZE,
			atomic64_read(&client->resident));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, SZ_2M + PAGE_SIZE,
			atomic64_read(&client->resident));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&client->pinned));

	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&client->stats.submits));
	KUNIT_EXPECT_EQ(test, 3, atomic64_read(&client->stats.windows));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&client->stats.invalidations));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&client->stats.fence_waits));
}

static void client_pinned(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_client *client = mock->client;
	struct userptr_mock_obj *obj;
	unsigned long addr;

	addr = userptr_mock_mmap(mock, SZ_2M);
	userptr_mock_fill(mock, addr, SZ_2M, 1);
	obj = userptr_mock_obj_new(mock, addr, SZ_2M, DRM_USERPTR_PIN);
	KUNIT_EXPECT_EQ(test, SZ_2M, atomic64_read(&client->pinned));
	KUNIT_EXPECT_EQ(test, SZ_2M, atomic64_read(&client->resident));
	userptr_mock_obj_free(obj);
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&client->pinned));
}

/* What is not contiguous takes eight bytes a run, no more. */
static void client_metadata(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_file *file;
	struct userptr_mock_obj *obj;
	unsigned long addr, fault_addr;
	long unused, used;

	addr = userptr_mock_mmap(mock, SZ_2M);
	file = userptr_mock_file_mmap(mock, addr, SZ_2M);
	/* Every other page the same one: no two are next to each other. */
	for (unsigned long i = 2; i < PAGES; i += 2) {
		put_page(file->pages[i]);
		file->pages[i] = file->pages[0];
		get_page(file->pages[0]);
	}
	mock->aliased = true;

	obj = userptr_mock_obj_new(mock, addr, SZ_2M, DRM_USERPTR_READ_ONLY);
	unused = atomic_long_read(&obj->base.metadata);
	KUNIT_EXPECT_EQ(test, unused, 0);
	KUNIT_ASSERT_EQ(test, 0, drm_userptr_probe(&obj->base, &fault_addr));
	used = atomic_long_read(&obj->base.metadata);
	KUNIT_EXPECT_GE(test, used, (long)(PAGES / 2 * sizeof(u64)));
	KUNIT_EXPECT_LE(test, used, (long)(PAGES * sizeof(u64) +
					   sizeof(struct drm_userptr_window)));
	KUNIT_EXPECT_EQ(test, used, atomic64_read(&mock->client->metadata));

	/* The leaf stays, the runs do not. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, SZ_2M));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&obj->base.metadata),
			(long)sizeof(struct drm_userptr_window));
}

struct client_one {
	struct drm_userptr base;
	struct completion gone;
};

static void client_gone(struct drm_userptr *userptr)
{
	complete(&container_of(userptr, struct client_one, base)->gone);
}

/* Does not wait for the mm, but until the mm lets go they count. */
static void client_fini_async(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_thread *munmap;
	struct drm_userptr_client *client;
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;
	struct userptr_mock_vm *vm;
	struct client_one *one;
	unsigned long addr;
	int i;

	one = kunit_kcalloc(test, 4, sizeof(*one), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, one);
	addr = userptr_mock_mmap(mock, SZ_2M);
	obj = userptr_mock_obj_new(mock, addr, SZ_2M, 0);
	vm = userptr_mock_vm_new(mock);
	userptr_mock_bind_all(vm, obj, 0);
	client = drm_userptr_client_create(&mock->device, 2, 3);
	KUNIT_ASSERT_NOT_NULL(test, client);
	for (i = 0; i < 3; i++) {
		init_completion(&one[i].gone);
		KUNIT_ASSERT_EQ(test, 0, client_init_one(mock, &one[i].base,
							 client, addr, SZ_2M));
	}

	job = userptr_mock_submit_new(vm);
	munmap = userptr_mock_munmap_start(mock, addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	for (i = 0; i < 3; i++)
		drm_userptr_fini_async(&one[i].base, client_gone);
	KUNIT_EXPECT_EQ(test, 0,
			wait_for_completion_timeout(&one[0].gone,
						    USERPTR_MOCK_AWHILE));
	KUNIT_EXPECT_EQ(test, -ENOMEM, client_init_one(mock, &one[3].base,
						       client, addr, SZ_2M));
	drm_userptr_client_put(client);

	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_NE(test, 0,
				wait_for_completion_timeout(&one[i].gone,
							    USERPTR_MOCK_SOON));
}

static void client_hit_once(struct userptr_mock_vm *vm)
{
	struct userptr_mock_obj *obj = vm->hook_data;

	vm->after_populate = NULL;
	userptr_mock_invalidate(obj, obj->base.start, obj->base.end);
}

/* Of a driver that counts for nobody: everything works. */
static void client_none(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_client *client = mock->client;
	struct userptr_mock_thread *munmap;
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;
	struct userptr_mock_vm *vm;
	unsigned long addr;

	mock->client = NULL;
	addr = userptr_mock_mmap(mock, SZ_4M);
	userptr_mock_fill(mock, addr, SZ_4M, 1);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	vm = userptr_mock_vm_new(mock);
	mock->client = client;
	userptr_mock_bind_all(vm, obj, 0);
	vm->hook_data = obj;
	vm->after_populate = client_hit_once;
	job = userptr_mock_submit_new(vm);
	KUNIT_EXPECT_EQ(test, 2 * PAGES, userptr_mock_matches(vm, 0, SZ_4M, 1));

	munmap = userptr_mock_munmap_start(mock, addr, SZ_2M);
	KUNIT_EXPECT_TRUE(test, userptr_mock_job_waited(job));
	userptr_mock_job_end(job);
	KUNIT_EXPECT_TRUE(test, userptr_mock_thread_join(munmap));
	KUNIT_EXPECT_EQ(test, vm->present, PAGES);

	/* The VM counts nevertheless, and the other client does not. */
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.submits));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.retries));
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&vm->base.stats.fence_waits));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&client->stats.submits));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&client->total));
	KUNIT_EXPECT_TRUE(test, list_empty(&client->userptrs));
	KUNIT_EXPECT_TRUE(test, list_empty(&client->vms));
}

static void client_expect_line(struct kunit *test, const char *text,
			       const char *line)
{
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, line), "no '%s' in\n%s",
				  line, text);
}

static void client_fdinfo(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_obj *obj;
	struct userptr_mock_vm *vm;
	struct drm_print_iterator iter = { .remain = SZ_4K };
	struct drm_printer p;
	unsigned long addr;
	char *text;

	text = kunit_kzalloc(test, SZ_4K + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);
	addr = userptr_mock_mmap(mock, SZ_4M);
	userptr_mock_fill(mock, addr, SZ_4M, 1);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	userptr_mock_obj_new(mock, addr, SZ_1M, DRM_USERPTR_PIN);
	vm = userptr_mock_vm_new(mock);
	mock->aliased = true;
	userptr_mock_bind(vm, obj, addr, SZ_2M, 0);
	KUNIT_ASSERT_EQ(test, 0, userptr_mock_submit_done(vm));

	iter.data = text;
	p = drm_coredump_printer(&iter);
	drm_userptr_client_show_fdinfo(mock->client, &p, "mock");

	client_expect_line(test, text, "drm-total-userptr:\t5 MiB\n");
	client_expect_line(test, text, "drm-resident-userptr:\t3 MiB\n");
	client_expect_line(test, text, "drm-shared-userptr:\t0\n");
	client_expect_line(test, text, "mock-userptr-pinned:\t1 MiB\n");
	client_expect_line(test, text, "mock-userptr-count:\t2\n");
	client_expect_line(test, text, "mock-userptr-submits:\t1\n");
	client_expect_line(test, text, "mock-userptr-retries:\t0\n");
	client_expect_line(test, text, "mock-userptr-invalidations:\t0\n");
	client_expect_line(test, text, "mock-userptr-windows:\t1\n");
	client_expect_line(test, text, "mock-userptr-fence-waits:\t0\n");
	client_expect_line(test, text, "mock-userptr-metadata:\t");
}

static struct kunit_case drm_userptr_client_tests[] = {
	KUNIT_CASE(client_limit),
	KUNIT_CASE(client_resident),
	KUNIT_CASE(client_pinned),
	KUNIT_CASE(client_metadata),
	KUNIT_CASE(client_fini_async),
	KUNIT_CASE(client_none),
	KUNIT_CASE(client_fdinfo),
	{ }
};

static struct kunit_suite drm_userptr_client_suite = {
	.name = "drm_userptr_client",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_client_tests,
};

kunit_test_suite(drm_userptr_client_suite);
