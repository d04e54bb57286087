// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Fault injection: by /sys/kernel/debug/fail_drm_userptr, or by a KUnit test
 * that stands in for drm_userptr_should_fail(). Lets allocations and steps fail
 * that fail seldom, and invalidates between steps what nobody touched. Whatever
 * the settings, a submission ends: lost steps count against its budget.
 */

#include <linux/debugfs.h>
#include <linux/fault-inject.h>

#include <kunit/static_stub.h>
#include <kunit/visibility.h>

#include "drm_userptr_internal.h"

#ifdef CONFIG_DRM_USERPTR_FAULT_INJECTION
static DECLARE_FAULT_ATTR(drm_userptr_fault_attr);
static struct dentry *drm_userptr_fault_dir;

static bool drm_userptr_fault_due(void)
{
	return should_fail(&drm_userptr_fault_attr, 1);
}

void drm_userptr_inject_init(void)
{
	drm_userptr_fault_dir = fault_create_debugfs_attr("fail_drm_userptr",
							  NULL,
							  &drm_userptr_fault_attr);
}

void drm_userptr_inject_fini(void)
{
	if (!IS_ERR(drm_userptr_fault_dir))
		debugfs_remove(drm_userptr_fault_dir);
}
#else
static bool drm_userptr_fault_due(void)
{
	return false;
}
#endif

bool drm_userptr_should_fail(void)
{
	KUNIT_STATIC_STUB_REDIRECT(drm_userptr_should_fail);

	return drm_userptr_fault_due();
}
EXPORT_SYMBOL_IF_KUNIT(drm_userptr_should_fail);
