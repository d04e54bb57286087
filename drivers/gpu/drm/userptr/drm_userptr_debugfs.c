// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What a device's userptrs are doing, for people. One file a device, readable
 * by root only as it shows addresses of all its clients' memory.
 *
 * Under the device's lock nothing in the lists goes away. Of the locks that
 * notifier callbacks take, one at a time is held while a few lines are written
 * into memory that is there already.
 */

#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/dma-fence.h>
#include <linux/export.h>
#include <linux/seq_file.h>

#include "drm_userptr_internal.h"

/* So many of each are shown; of others only that there are some. */
#define DRM_USERPTR_SHOW_CLIENTS	256
#define DRM_USERPTR_SHOW_USERPTRS	256
#define DRM_USERPTR_SHOW_VMS		256
#define DRM_USERPTR_SHOW_BINDINGS	16
/* Lists that a lock of the callback is held for are counted so far. */
#define DRM_USERPTR_SHOW_COUNT		1024

static unsigned int drm_userptr_count(const struct list_head *list)
{
	const struct list_head *pos;
	unsigned int n = 0;

	list_for_each(pos, list)
		if (++n == DRM_USERPTR_SHOW_COUNT)
			break;

	return n;
}

static unsigned int drm_userptr_running(const struct drm_userptr_ledger *ledger)
{
	unsigned int i, n = 0;

	for (i = 0; i < ledger->nr; i++)
		n += !dma_fence_is_signaled(ledger->fences[i]);

	return n;
}

static void drm_userptr_show_vm(struct seq_file *m, struct drm_userptr_vm *vm)
{
	struct drm_userptr_vm_stats *stats = &vm->stats;
	unsigned int invalidated, dead, running;

	/* Commits change the lists with the lock held for read. */
	down_write(&vm->notifier_lock);
	invalidated = drm_userptr_count(&vm->invalidated);
	dead = drm_userptr_count(&vm->dead);
	running = drm_userptr_running(vm->fences.ledger);
	up_write(&vm->notifier_lock);

	seq_printf(m, "  vm %llu on %s:%s%s\n", vm->id, dev_name(vm->dev),
		   vm->flags & DRM_USERPTR_VM_HOLES ? " holes" : "",
		   vm->flags & DRM_USERPTR_VM_EXPLICIT ? " explicit" : "");
	seq_printf(m, "    bindings: %u%s invalidated, %u%s dead\n",
		   invalidated,
		   invalidated == DRM_USERPTR_SHOW_COUNT ? " or more" : "",
		   dead, dead == DRM_USERPTR_SHOW_COUNT ? " or more" : "");
	seq_printf(m, "    contexts with running jobs: %u\n", running);
	seq_printf(m, "    submits %lld, retries %lld, invalidations %lld, windows %lld, fence waits %lld\n",
		   atomic64_read(&stats->submits),
		   atomic64_read(&stats->retries),
		   atomic64_read(&stats->invalidations),
		   atomic64_read(&stats->windows),
		   atomic64_read(&stats->fence_waits));
}

static void drm_userptr_show_windows(struct seq_file *m,
				     struct drm_userptr *userptr)
{
	unsigned long count[DRM_USERPTR_DYING + 1] = {};
	struct drm_userptr_window *window;
	unsigned long index, runs = 0, made = 0;

	/*
	 * States are read as a commit reads them, without the lock: there can be
	 * many. Numbers need not fit together to the last one.
	 */
	drm_userptr_for_each_window(window, userptr, index, userptr->start,
				    userptr->end) {
		u32 state = READ_ONCE(window->state);

		count[state]++;
		made++;
		if (state == DRM_USERPTR_VALID || state == DRM_USERPTR_DYING)
			runs += READ_ONCE(window->nr_runs);
		cond_resched();
	}

	seq_printf(m, "    windows: %lu valid, %lu dying, %lu hole, %lu populating, %lu stale, %lu never used; %lu runs\n",
		   count[DRM_USERPTR_VALID], count[DRM_USERPTR_DYING],
		   count[DRM_USERPTR_HOLE], count[DRM_USERPTR_POPULATING],
		   count[DRM_USERPTR_STALE],
		   drm_userptr_windows(userptr) - made, runs);
}

static void drm_userptr_show_binding(struct seq_file *m,
				     struct drm_userptr_binding *binding)
{
	unsigned long nr = drm_userptr_binding_windows(binding), mapped;
	bool listed;
	int error;

	lockdep_assert_held(&binding->userptr->lock);

	down_write(&binding->vm->notifier_lock);
	mapped = bitmap_weight(binding->mapped, nr);
	listed = !list_empty(&binding->vm_link);
	up_write(&binding->vm->notifier_lock);
	/* A submission may be about to find out otherwise: good enough. */
	error = READ_ONCE(binding->error);

	seq_printf(m, "    bound in vm %llu at 0x%llx from 0x%lx, %lu KiB: %lu of %lu windows mapped",
		   binding->vm->id, binding->addr, binding->start,
		   (binding->end - binding->start) / SZ_1K, mapped, nr);
	if (error)
		seq_printf(m, ", error %d at 0x%lx", error,
			   READ_ONCE(binding->fault_addr));
	else if (listed)
		seq_puts(m, ", invalidated");
	seq_putc(m, '\n');
}

static void drm_userptr_show_bindings(struct seq_file *m,
				      struct drm_userptr *userptr)
{
	struct drm_userptr_binding *binding;
	unsigned int shown = 0, more = 0;

	guard(mutex)(&userptr->lock);

	list_for_each_entry(binding, &userptr->bindings, link) {
		if (shown < DRM_USERPTR_SHOW_BINDINGS) {
			drm_userptr_show_binding(m, binding);
			shown++;
		} else if (++more == DRM_USERPTR_SHOW_COUNT) {
			break;
		}
	}

	if (more)
		seq_printf(m, "    and %u%s other bindings\n", more,
			   more == DRM_USERPTR_SHOW_COUNT ? " or more" : "");
	if (!list_empty(&userptr->invals))
		seq_puts(m, "    being invalidated\n");
}

static void drm_userptr_show(struct seq_file *m, struct drm_userptr *userptr)
{
	seq_printf(m, "  userptr %llu: 0x%lx-0x%lx, %lu KiB%s%s, %ld bytes of metadata\n",
		   userptr->id, userptr->start, userptr->end,
		   drm_userptr_size(userptr) / SZ_1K,
		   drm_userptr_writable(userptr) ? "" : ", read-only",
		   drm_userptr_pinned(userptr) ? ", pinned" : "",
		   atomic_long_read(&userptr->metadata));
	drm_userptr_show_windows(m, userptr);
	drm_userptr_show_bindings(m, userptr);
}

static void drm_userptr_show_client(struct seq_file *m,
				    struct drm_userptr_client *client,
				    unsigned int *vms, unsigned int *userptrs)
{
	struct drm_userptr *userptr;
	struct drm_userptr_vm *vm;

	lockdep_assert_held(&client->device->lock);

	seq_printf(m, "client %llu: %d userptrs of at most %u, %lld KiB, %lld KiB resident, %lld KiB pinned, %lld bytes of metadata\n",
		   client->id, atomic_read(&client->nr_userptrs),
		   client->max_userptrs,
		   atomic64_read(&client->total) / SZ_1K,
		   atomic64_read(&client->resident) / SZ_1K,
		   atomic64_read(&client->pinned) / SZ_1K,
		   atomic64_read(&client->metadata));

	list_for_each_entry(vm, &client->vms, client_link) {
		if (!*vms) {
			seq_puts(m, "  and other VMs\n");
			break;
		}
		drm_userptr_show_vm(m, vm);
		--*vms;
	}

	list_for_each_entry(userptr, &client->userptrs, client_link) {
		if (!*userptrs) {
			seq_puts(m, "  and other userptrs\n");
			break;
		}
		drm_userptr_show(m, userptr);
		--*userptrs;
	}
}

static int drm_userptr_device_show(struct seq_file *m, void *unused)
{
	struct drm_userptr_device *device = m->private;
	unsigned int userptrs = DRM_USERPTR_SHOW_USERPTRS;
	unsigned int vms = DRM_USERPTR_SHOW_VMS;
	unsigned int clients = DRM_USERPTR_SHOW_CLIENTS;
	struct drm_userptr_client *client;

	guard(mutex)(&device->lock);

	list_for_each_entry(client, &device->clients, link) {
		if (!clients--) {
			seq_puts(m, "and other clients\n");
			break;
		}
		drm_userptr_show_client(m, client, &vms, &userptrs);
		/* Too small a buffer: it all begins again, with a larger one. */
		if (seq_has_overflowed(m))
			break;
	}

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(drm_userptr_device);

/**
 * drm_userptr_device_debugfs_init() - make the file in debugfs
 * @device: must exist as long as the file
 * @dir: where, &drm_device.debugfs_root as a rule
 *
 * The file is called "userptr" and is for people: what it says may change. It
 * lists clients with their VMs, and userptrs with the states of their windows
 * and where they are bound, up to 256 of each.
 *
 * Call it from &drm_driver.debugfs_init.
 */
void drm_userptr_device_debugfs_init(struct drm_userptr_device *device,
				     struct dentry *dir)
{
	debugfs_create_file("userptr", 0400, dir, device,
			    &drm_userptr_device_fops);
}
EXPORT_SYMBOL_GPL(drm_userptr_device_debugfs_init);
