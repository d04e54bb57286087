/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_CLIENT_H__
#define __DRM_USERPTR_CLIENT_H__

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include <drm/drm_userptr.h>

struct dentry;
struct drm_printer;

/**
 * struct drm_userptr_device - the clients of a device
 *
 * Embedded in the driver's device.
 */
struct drm_userptr_device {
	/**
	 * @lock: protects @clients and what their lists hold. Outside
	 * &drm_userptr.lock and &drm_userptr_vm.notifier_lock; no memory is
	 * allocated and nothing waited for under it.
	 */
	struct mutex lock;
	/** @clients: list of &drm_userptr_client.link */
	struct list_head clients;
	/** @teardown_wq: where &drm_userptr_client.dead_work runs; constant */
	struct workqueue_struct *teardown_wq;
};

/**
 * struct drm_userptr_client - what one client has, and may have
 *
 * One for each open file as a rule. Every userptr and every VM that names it
 * holds a reference, so it outlives the file by what is still being let go of.
 */
struct drm_userptr_client {
	/** @ref: references */
	struct kref ref;
	/** @device: whose client; constant */
	struct drm_userptr_device *device;
	/** @id: what to call it, &drm_file.client_id as a rule; constant */
	u64 id;
	/** @max_userptrs: how many it may have; constant */
	unsigned int max_userptrs;
	/** @link: in &drm_userptr_device.clients, under its lock */
	struct list_head link;
	/** @userptrs: list of &drm_userptr.client_link, under the device's lock */
	struct list_head userptrs;
	/** @vms: list of &drm_userptr_vm.client_link, under the device's lock */
	struct list_head vms;
	/** @dead: userptrs to be let go of, see drm_userptr_fini_async() */
	struct llist_head dead;
	/** @dead_work: lets go of them; holds a reference when queued */
	struct work_struct dead_work;

	/** @nr_userptrs: how many it has, those on their way out included */
	atomic_t nr_userptrs;
	/** @total: bytes that these cover */
	atomic64_t total;
	/** @resident: bytes of which the pages are known: windows valid or dying */
	atomic64_t resident;
	/** @pinned: bytes that are pinned, a part of @resident */
	atomic64_t pinned;
	/** @metadata: bytes that the helpers spend on windows and mappings */
	atomic64_t metadata;
	/** @stats: sum over its VMs, those that are gone included */
	struct drm_userptr_vm_stats stats;
};

int drm_userptr_device_init(struct drm_userptr_device *device);
void drm_userptr_device_fini(struct drm_userptr_device *device);
void drm_userptr_device_debugfs_init(struct drm_userptr_device *device,
				     struct dentry *dir);

struct drm_userptr_client *
drm_userptr_client_create(struct drm_userptr_device *device, u64 id,
			  unsigned int max_userptrs);
void drm_userptr_client_put(struct drm_userptr_client *client);
void drm_userptr_client_show_fdinfo(struct drm_userptr_client *client,
				    struct drm_printer *p, const char *driver);

#endif /* __DRM_USERPTR_CLIENT_H__ */
