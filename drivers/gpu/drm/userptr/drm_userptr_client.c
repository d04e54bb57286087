// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Clients: how much one has, how much it may have, and what fdinfo says of it.
 */

#include <linux/export.h>
#include <linux/lockdep.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_print.h>
#include <drm/drm_userptr_client.h>

#include "drm_userptr_internal.h"

/**
 * DOC: Clients
 *
 * A driver that has a &struct drm_userptr_client for each open file, and sets
 * &drm_userptr.client and &drm_userptr_vm.client to it before
 * drm_userptr_init() and drm_userptr_vm_init(), gets a limit for how many
 * userptrs the file can have, lines for its fdinfo, and a file in debugfs. Both
 * may be NULL; then nothing is counted or listed.
 *
 * What is counted in fdinfo, for a driver called foo:
 *
 * - drm-total-userptr: <uint> [KiB|MiB], the ranges of all userptrs; memory in
 *   two of them counts twice
 * - drm-resident-userptr: <uint> [KiB|MiB], the part of that of which the pages
 *   are known to the device, in windows of up to %DRM_USERPTR_WINDOW_SIZE
 * - drm-shared-userptr: always zero
 * - foo-userptr-pinned: <uint> [KiB|MiB], the part that is pinned
 * - foo-userptr-count: <uint>, the number of userptrs, with those closed already
 *   that the mm has not let go of
 * - foo-userptr-metadata: <uint>, bytes that the helpers spend on windows, runs,
 *   DMA addresses and mappings; without the nodes of xarrays
 * - foo-userptr-submits, -retries, -invalidations, -windows, -fence-waits:
 *   <uint>, see &struct drm_userptr_vm_stats
 */

/**
 * drm_userptr_device_init() - make the list of a device's clients
 * @device: zeroed memory
 *
 * Context: process context.
 *
 * Return: 0 or -ENOMEM.
 */
int drm_userptr_device_init(struct drm_userptr_device *device)
{
	mutex_init(&device->lock);
	INIT_LIST_HEAD(&device->clients);

	/* Nothing is allocated under what reclaim's callbacks nest inside. */
	if (IS_ENABLED(CONFIG_LOCKDEP)) {
		fs_reclaim_acquire(GFP_KERNEL);
		might_lock(&device->lock);
		fs_reclaim_release(GFP_KERNEL);
	}

	/* Unbound, as items sleep: for each client there is one at most. */
	device->teardown_wq = alloc_workqueue("drm-userptr-teardown",
					      WQ_UNBOUND, 0);

	return device->teardown_wq ? 0 : -ENOMEM;
}
EXPORT_SYMBOL_GPL(drm_userptr_device_init);

/**
 * drm_userptr_device_fini() - undo drm_userptr_device_init()
 * @device: a device whose clients and VMs are all gone, and userptrs, but for
 *          those that drm_userptr_fini_async() was called for
 *
 * Context: sleeps for these as drm_userptr_fini() does.
 */
void drm_userptr_device_fini(struct drm_userptr_device *device)
{
	destroy_workqueue(device->teardown_wq);
	WARN(!list_empty(&device->clients), "userptr clients are left\n");
	mutex_destroy(&device->lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_device_fini);

/*
 * One after the other: a work item for each would make as many threads, all of
 * which want the same locks, and the CPUs on which the client is still closing.
 */
static void drm_userptr_client_dead_work(struct work_struct *work)
{
	struct drm_userptr_client *client =
		container_of(work, typeof(*client), dead_work);
	struct drm_userptr *userptr, *next;
	struct llist_node *dead = llist_del_all(&client->dead);

	/* Not for each: somebody may be reading the list over and over. */
	scoped_guard(mutex, &client->device->lock)
		llist_for_each_entry(userptr, dead, dead_link)
			list_del_init(&userptr->client_link);

	llist_for_each_entry_safe(userptr, next, dead, dead_link) {
		drm_userptr_fini(userptr);
		userptr->free(userptr);
		cond_resched();
	}

	drm_userptr_client_put(client);
}

/**
 * drm_userptr_fini_async() - let go of a userptr's memory, in the background
 * @userptr: a userptr with a client, for which drm_userptr_init() succeeded
 * @free: frees the memory that it is in; called from a worker
 *
 * What drm_userptr_fini() does, for those who must not sleep for the mm, as when
 * a handle or a file is closed. A client's are let go of one by one, while other
 * clients' need not wait for them.
 *
 * Context: process context, without locks that the helpers nest in theirs.
 */
void drm_userptr_fini_async(struct drm_userptr *userptr,
			    void (*free)(struct drm_userptr *userptr))
{
	struct drm_userptr_client *client = userptr->client;

	/* For the work item; @userptr's own may be dropped any time from here. */
	kref_get(&client->ref);
	userptr->free = free;
	llist_add(&userptr->dead_link, &client->dead);
	if (!queue_work(client->device->teardown_wq, &client->dead_work))
		drm_userptr_client_put(client);
}
EXPORT_SYMBOL_GPL(drm_userptr_fini_async);

/**
 * drm_userptr_client_create() - begin to count for a client
 * @device: whose client
 * @id: what to call it, &drm_file.client_id as a rule
 * @max_userptrs: how many userptrs it may have
 *
 * Context: process context.
 *
 * Return: the client, to be dropped with drm_userptr_client_put(); NULL if out
 * of memory.
 */
struct drm_userptr_client *
drm_userptr_client_create(struct drm_userptr_device *device, u64 id,
			  unsigned int max_userptrs)
{
	struct drm_userptr_client *client;

	client = drm_userptr_alloc(kzalloc_obj(*client, GFP_KERNEL_ACCOUNT));
	if (!client)
		return NULL;

	kref_init(&client->ref);
	client->device = device;
	client->id = id;
	client->max_userptrs = max_userptrs;
	INIT_LIST_HEAD(&client->userptrs);
	INIT_LIST_HEAD(&client->vms);
	init_llist_head(&client->dead);
	INIT_WORK(&client->dead_work, drm_userptr_client_dead_work);

	guard(mutex)(&device->lock);
	list_add_tail(&client->link, &device->clients);

	return client;
}
EXPORT_SYMBOL_GPL(drm_userptr_client_create);

static void drm_userptr_client_release(struct kref *ref)
{
	struct drm_userptr_client *client =
		container_of(ref, typeof(*client), ref);

	lockdep_assert_held(&client->device->lock);

	list_del(&client->link);
	mutex_unlock(&client->device->lock);

	WARN(atomic64_read(&client->metadata) ||
	     atomic64_read(&client->resident) ||
	     atomic64_read(&client->pinned) || atomic64_read(&client->total),
	     "userptr client is gone, but not what it had\n");
	kfree(client);
}

/**
 * drm_userptr_client_put() - drop a reference
 * @client: the client
 *
 * The driver's own, when the file is closed. Userptrs and VMs may still be
 * there, and hold theirs.
 *
 * Context: process context, without locks that the helpers nest in theirs.
 */
void drm_userptr_client_put(struct drm_userptr_client *client)
{
	/* Who is on the list has a reference, as the list is looked at. */
	kref_put_mutex(&client->ref, drm_userptr_client_release,
		       &client->device->lock);
}
EXPORT_SYMBOL_GPL(drm_userptr_client_put);

/* One more userptr; -ENOMEM if that is one too many. */
int drm_userptr_client_charge(struct drm_userptr *userptr)
{
	struct drm_userptr_client *client = userptr->client;

	if (!client)
		return 0;

	/* Together with the comparison, so that no two take the last place. */
	if (atomic_inc_return(&client->nr_userptrs) > client->max_userptrs) {
		atomic_dec(&client->nr_userptrs);
		return -ENOMEM;
	}

	kref_get(&client->ref);
	atomic64_add(drm_userptr_size(userptr), &client->total);

	return 0;
}

/* The last thing but one that happens to a userptr. */
void drm_userptr_client_uncharge(struct drm_userptr *userptr)
{
	struct drm_userptr_client *client = userptr->client;

	if (!client)
		return;

	atomic64_sub(drm_userptr_size(userptr), &client->total);
	atomic_dec(&client->nr_userptrs);
	drm_userptr_client_put(client);
}

/* From here on others may look at it. */
void drm_userptr_client_add(struct drm_userptr *userptr)
{
	struct drm_userptr_client *client = userptr->client;

	if (!client)
		return;

	guard(mutex)(&client->device->lock);
	list_add_tail(&userptr->client_link, &client->userptrs);
}

/* Nobody else looks at it any more. */
void drm_userptr_client_del(struct drm_userptr *userptr)
{
	struct drm_userptr_client *client = userptr->client;

	/* If it was listed, only its end changes that. */
	if (!client || list_empty(&userptr->client_link))
		return;

	guard(mutex)(&client->device->lock);
	list_del_init(&userptr->client_link);
}

void drm_userptr_client_add_vm(struct drm_userptr_vm *vm)
{
	struct drm_userptr_client *client = vm->client;

	if (!client)
		return;

	kref_get(&client->ref);
	guard(mutex)(&client->device->lock);
	list_add_tail(&vm->client_link, &client->vms);
}

void drm_userptr_client_del_vm(struct drm_userptr_vm *vm)
{
	struct drm_userptr_client *client = vm->client;

	if (!client)
		return;

	scoped_guard(mutex, &client->device->lock)
		list_del(&vm->client_link);
	drm_userptr_client_put(client);
}

/* Memory spent on a userptr: @bytes more, or less. Any context. */
void drm_userptr_account_metadata(struct drm_userptr *userptr, long bytes)
{
	atomic_long_add(bytes, &userptr->metadata);
	if (userptr->client)
		atomic64_add(bytes, &userptr->client->metadata);
}

/* A window that became valid, or is about to be let go of. */
void drm_userptr_account_window(struct drm_userptr *userptr,
				const struct drm_userptr_window *window,
				unsigned long index, bool resident)
{
	struct drm_userptr_client *client = userptr->client;
	s64 bytes = drm_userptr_window_end(userptr, index) -
		    drm_userptr_window_start(userptr, index);
	long runs = window->nr_runs > 1 ?
		    window->nr_runs * sizeof(*window->runs) : 0;

	lockdep_assert_held(&userptr->lock);

	if (!resident) {
		bytes = -bytes;
		runs = -runs;
	}

	drm_userptr_account_metadata(userptr, runs);
	if (!client)
		return;

	atomic64_add(bytes, &client->resident);
	if (drm_userptr_pinned(userptr))
		atomic64_add(bytes, &client->pinned);
}

static void drm_userptr_client_show_count(struct drm_printer *p,
					  const char *driver, const char *what,
					  u64 count)
{
	drm_printf(p, "%s-userptr-%s:\t%llu\n", driver, what, count);
}

/**
 * drm_userptr_client_show_fdinfo() - what a file's fdinfo says of its userptrs
 * @client: the client
 * @p: where to
 * @driver: name of the driver, as in &drm_driver.name
 *
 * For &drm_driver.show_fdinfo. Costs the same however much the client has.
 * Drivers that call drm_show_memory_stats(), too, must leave userptr objects out
 * there: they would count twice.
 *
 * Context: process context.
 */
void drm_userptr_client_show_fdinfo(struct drm_userptr_client *client,
				    struct drm_printer *p, const char *driver)
{
	struct drm_userptr_vm_stats *stats = &client->stats;
	struct drm_memory_stats memory = {
		.private = atomic64_read(&client->total),
		.resident = atomic64_read(&client->resident),
	};

	drm_print_memory_stats(p, &memory, DRM_GEM_OBJECT_RESIDENT, "userptr");
	drm_fdinfo_print_size(p, driver, "userptr", "pinned",
			      atomic64_read(&client->pinned));
	drm_userptr_client_show_count(p, driver, "count",
				      atomic_read(&client->nr_userptrs));
	drm_userptr_client_show_count(p, driver, "metadata",
				      atomic64_read(&client->metadata));
	drm_userptr_client_show_count(p, driver, "submits",
				      atomic64_read(&stats->submits));
	drm_userptr_client_show_count(p, driver, "retries",
				      atomic64_read(&stats->retries));
	drm_userptr_client_show_count(p, driver, "invalidations",
				      atomic64_read(&stats->invalidations));
	drm_userptr_client_show_count(p, driver, "windows",
				      atomic64_read(&stats->windows));
	drm_userptr_client_show_count(p, driver, "fence-waits",
				      atomic64_read(&stats->fence_waits));
}
EXPORT_SYMBOL_GPL(drm_userptr_client_show_fdinfo);
