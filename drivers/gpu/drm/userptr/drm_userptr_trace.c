// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#define CREATE_TRACE_POINTS
#include <trace/events/drm_userptr.h>
