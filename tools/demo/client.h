/* SPDX-License-Identifier: MIT */
/*
 * The device: vgem's userptr ioctls, one function each. All return 0 or a
 * negative errno.
 */
#ifndef DEMO_CLIENT_H
#define DEMO_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <drm/vgem_userptr_drm.h>

struct client {
	int fd;
	uint32_t vm;
	char node[64];
};

/* @node may be NULL: the first vgem node of /dev/dri is taken */
int client_open(struct client *client, const char *node);
void client_close(struct client *client);

int client_userptr_create(struct client *client, void *addr, size_t size,
			  uint32_t flags, uint32_t *handle);
int client_bo_create(struct client *client, size_t size, uint32_t *handle,
		     void **map);
void client_bo_close(struct client *client, uint32_t handle);

int client_bind_bo(struct client *client, uint64_t va, size_t size,
		   uint32_t handle, uint32_t flags);
int client_bind_range(struct client *client, uint64_t va, size_t size,
		      void *addr, uint32_t flags);
int client_unbind(struct client *client, uint64_t va, size_t size);

int client_queue_create(struct client *client, uint32_t *queue);

/* Tried once: EAGAIN is the caller's business, only EINTR is not. */
int client_exec(struct client *client, uint32_t queue,
		const struct drm_vgem_op *ops, unsigned int num_ops,
		const struct drm_vgem_sync *syncs, unsigned int num_syncs,
		uint64_t *fault_addr);

int client_stats(struct client *client, struct drm_vgem_vm_stats *stats);

/* Waits for a binary syncobj; tells when its fence signalled, and with what */
int client_fence_wait(struct client *client, uint32_t syncobj,
		      int64_t deadline, int64_t *when, int *status);

#endif
