/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_PREEMPT_TEST_H__
#define __DRM_USERPTR_PREEMPT_TEST_H__

#include "drm_userptr_mock.h"

#define TAG	0x1000000
#define PAGES	USERPTR_MOCK_WINDOW_PAGES

/* Two windows of memory, bound at device address 0, and a queue that runs. */
struct preempt_one {
	unsigned long addr;
	struct userptr_mock_vm *vm;
	struct userptr_mock_obj *obj;
	struct userptr_mock_binding *binding;
	struct userptr_mock_queue *queue;
	/* For hooks of the worker, which has no mm. */
	struct completion at_hook;
	struct completion go_on;
	unsigned int hooks;
};

#define PREEMPT_SIZE	(2 * DRM_USERPTR_WINDOW_SIZE)

struct userptr_mock_vm *preempt_vm_new(struct userptr_mock *mock);
struct preempt_one *preempt_one_new_suspended(struct kunit *test);
struct preempt_one *preempt_one_new(struct kunit *test);
void preempt_wait_worker(struct userptr_mock_vm *vm);
long preempt_kick(void *vm);
void preempt_hook_once(struct userptr_mock_vm *vm);
bool preempt_at_hook(struct preempt_one *one);

#endif /* __DRM_USERPTR_PREEMPT_TEST_H__ */
