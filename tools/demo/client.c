// SPDX-License-Identifier: MIT
/*
 * The device. Everything goes through libdrm's drmIoctl(), except exec:
 * drmIoctl() repeats on EAGAIN as it does on EINTR, and the demo wants to count
 * the first of these.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sync_file.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "client.h"

static int do_ioctl(struct client *client, unsigned long request, void *arg)
{
	return drmIoctl(client->fd, request, arg) ? -errno : 0;
}

static int node_open(struct client *client, const char *node)
{
	drmVersionPtr version;
	int fd, is_vgem;

	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	version = drmGetVersion(fd);
	is_vgem = version && !strcmp(version->name, "vgem");
	drmFreeVersion(version);
	if (!is_vgem) {
		close(fd);
		return -ENODEV;
	}

	client->fd = fd;
	snprintf(client->node, sizeof(client->node), "%s", node);
	return 0;
}

int client_open(struct client *client, const char *node)
{
	struct drm_vgem_vm_create create = { 0 };
	int err = -ENODEV;

	memset(client, 0, sizeof(*client));

	if (node) {
		err = node_open(client, node);
	} else {
		for (int i = 0; i < 64 && err; i++) {
			char name[32];

			/* not the render node: dumb buffers are wanted too */
			snprintf(name, sizeof(name), "/dev/dri/card%d", i);
			err = node_open(client, name);
		}
	}
	if (err)
		return -ENODEV;

	err = do_ioctl(client, DRM_IOCTL_VGEM_VM_CREATE, &create);
	if (err) {
		close(client->fd);
		return err;
	}

	client->vm = create.vm_id;
	return 0;
}

void client_close(struct client *client)
{
	close(client->fd);
}

int client_userptr_create(struct client *client, void *addr, size_t size,
			  uint32_t flags, uint32_t *handle)
{
	struct drm_vgem_userptr_create create = {
		.addr = (uintptr_t)addr,
		.size = size,
		.flags = flags,
	};
	int err = do_ioctl(client, DRM_IOCTL_VGEM_USERPTR_CREATE, &create);

	*handle = create.handle;
	return err;
}

int client_bo_create(struct client *client, size_t size, uint32_t *handle,
		     void **map)
{
	uint64_t offset;
	uint64_t actual;
	uint32_t pitch;
	int err;

	err = drmModeCreateDumbBuffer(client->fd, size / 4, 1, 32, 0, handle,
				      &pitch, &actual);
	if (err)
		return err;

	err = drmModeMapDumbBuffer(client->fd, *handle, &offset);
	if (err)
		return err;

	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, client->fd,
		    offset);
	return *map == MAP_FAILED ? -errno : 0;
}

void client_bo_close(struct client *client, uint32_t handle)
{
	drmCloseBufferHandle(client->fd, handle);
}

int client_bind_bo(struct client *client, uint64_t va, size_t size,
		   uint32_t handle, uint32_t flags)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = client->vm,
		.op = DRM_VGEM_VM_BIND_OP_MAP,
		.handle = handle,
		.flags = flags,
		.addr = va,
		.range = size,
	};

	return do_ioctl(client, DRM_IOCTL_VGEM_VM_BIND, &bind);
}

int client_bind_range(struct client *client, uint64_t va, size_t size,
		      void *addr, uint32_t flags)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = client->vm,
		.op = DRM_VGEM_VM_BIND_OP_MAP_USERPTR,
		.flags = flags,
		.addr = va,
		.range = size,
		.offset = (uintptr_t)addr,
	};

	return do_ioctl(client, DRM_IOCTL_VGEM_VM_BIND, &bind);
}

int client_unbind(struct client *client, uint64_t va, size_t size)
{
	struct drm_vgem_vm_bind bind = {
		.vm_id = client->vm,
		.op = DRM_VGEM_VM_BIND_OP_UNMAP,
		.addr = va,
		.range = size,
	};

	return do_ioctl(client, DRM_IOCTL_VGEM_VM_BIND, &bind);
}

int client_queue_create(struct client *client, uint32_t *queue)
{
	struct drm_vgem_queue_create create = { .vm_id = client->vm };
	int err = do_ioctl(client, DRM_IOCTL_VGEM_QUEUE_CREATE, &create);

	*queue = create.queue_id;
	return err;
}

int client_exec(struct client *client, uint32_t queue,
		const struct drm_vgem_op *ops, unsigned int num_ops,
		const struct drm_vgem_sync *syncs, unsigned int num_syncs,
		uint64_t *fault_addr)
{
	struct drm_vgem_exec exec = {
		.queue_id = queue,
		.ops = { sizeof(*ops), num_ops, (uintptr_t)ops },
		/* an empty array has no stride */
		.syncs = { num_syncs ? sizeof(*syncs) : 0, num_syncs, (uintptr_t)syncs },
	};
	int ret;

	do {
		ret = ioctl(client->fd, DRM_IOCTL_VGEM_EXEC, &exec);
	} while (ret && errno == EINTR);

	*fault_addr = exec.fault_addr;
	return ret ? -errno : 0;
}

int client_stats(struct client *client, struct drm_vgem_vm_stats *stats)
{
	struct drm_vgem_vm_query query = {
		.vm_id = client->vm,
		.query = DRM_VGEM_VM_QUERY_STATS,
		.size = sizeof(*stats),
		.data = (uintptr_t)stats,
	};

	memset(stats, 0, sizeof(*stats));
	return do_ioctl(client, DRM_IOCTL_VGEM_VM_QUERY, &query);
}

int client_fence_wait(struct client *client, uint32_t syncobj,
		      int64_t deadline, int64_t *when, int *status)
{
	struct sync_fence_info fence = { 0 };
	struct sync_file_info info = {
		.num_fences = 1,
		.sync_fence_info = (uintptr_t)&fence,
	};
	int fd, err;

	err = drmSyncobjWait(client->fd, &syncobj, 1, deadline, 0, NULL);
	if (err)
		return err;

	/*
	 * A syncobj forgets how its fence ended; a sync_file tells, and when:
	 * on CLOCK_MONOTONIC, taken by the kernel as it signalled.
	 */
	err = drmSyncobjExportSyncFile(client->fd, syncobj, &fd);
	if (err)
		return err;
	err = drmIoctl(fd, SYNC_IOC_FILE_INFO, &info) ? -errno : 0;
	close(fd);

	*when = fence.timestamp_ns;
	*status = info.status;
	return err;
}
