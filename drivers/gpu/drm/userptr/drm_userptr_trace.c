// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#define CREATE_TRACE_POINTS
#include <trace/events/drm_userptr.h>

#include "drm_userptr_internal.h"

/* Events spell these out by number: their header is not for the helper alone. */
static_assert(DRM_USERPTR_COLLISION == 1);
static_assert(DRM_USERPTR_PROGRESS == 2);
static_assert(DRM_USERPTR_HANDLER == 3);
static_assert(DRM_USERPTR_WAITING == 4);
static_assert(DRM_USERPTR_STALE == 0);
static_assert(DRM_USERPTR_POPULATING == 1);
static_assert(DRM_USERPTR_HOLE == 2);
static_assert(DRM_USERPTR_VALID == 3);
static_assert(DRM_USERPTR_DYING == 4);
