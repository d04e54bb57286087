/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#ifndef __DRM_USERPTR_MOCK_EXPORT_H__
#define __DRM_USERPTR_MOCK_EXPORT_H__

#include <linux/dma-buf.h>

#include <drm/drm_exec.h>
#include <drm/drm_gem.h>
#include <drm/drm_userptr_import.h>

#include "drm_userptr_mock.h"

/* Where an exporter can be made to invalidate out of the blue */
enum userptr_mock_step {
	USERPTR_MOCK_NEVER,
	USERPTR_MOCK_IN_ATTACH,		/* before the importer knows */
	USERPTR_MOCK_IN_PIN,
	USERPTR_MOCK_IN_MAP,		/* before there is a mapping */
	USERPTR_MOCK_AFTER_MAP,		/* before the importer has it */
	USERPTR_MOCK_IN_UNMAP,
	USERPTR_MOCK_STEPS
};

/**
 * struct userptr_mock_storage - where the memory of a dma-buf is
 * @pages: its pages
 * @mapped: how often they are mapped; under the dma_resv
 * @unmapped: complete as long as @mapped is zero
 */
struct userptr_mock_storage {
	struct page **pages;
	unsigned int mapped;
	struct completion unmapped;
};

/**
 * struct userptr_mock_export - a dma-buf whose memory moves
 * @gem: what drm_exec locks; has a dma_resv, a reference, and nothing else
 * @mock: the device
 * @dmabuf: the dma-buf; a reference is the test's
 * @storage: where its memory is now; changed under the dma_resv
 * @nr_pages: how large it is
 * @fire: at this step the importer's callback is called
 * @attach_err: what to answer in place of an attachment, or 0
 * @map_err: what to answer in place of a mapping, or 0
 * @pin_err: what to answer in place of pinning, or 0
 * @only_pinned: no mapping of what may move
 * @short_by: how many pages a mapping lacks
 * @attached: how often it is attached
 * @mapped: how often it is mapped
 * @maps: how often it ever was
 * @pinned: how often it is pinned
 * @direction: of the last mapping
 * @link: in &userptr_mock.exports
 */
struct userptr_mock_export {
	struct drm_gem_object gem;
	struct userptr_mock *mock;
	struct dma_buf *dmabuf;
	struct userptr_mock_storage *storage;
	unsigned int nr_pages;
	enum userptr_mock_step fire;
	int attach_err;
	int map_err;
	int pin_err;
	bool only_pinned;
	unsigned int short_by;
	unsigned int attached;
	unsigned int mapped;
	unsigned int maps;
	unsigned int pinned;
	enum dma_data_direction direction;
	struct list_head link;
};

/**
 * struct userptr_mock_import - what a driver has for it
 * @base: the import
 * @export: of what
 * @link: in &userptr_mock.imports
 */
struct userptr_mock_import {
	struct drm_userptr_import base;
	struct userptr_mock_export *export;
	struct list_head link;
};

struct userptr_mock_export *
userptr_mock_export_new(struct userptr_mock *mock, unsigned long size, bool moves,
			u64 tag);
void userptr_mock_export_invalidate(struct userptr_mock_export *export);
void userptr_mock_export_move(struct userptr_mock_export *export, u64 tag);
struct dma_fence *
userptr_mock_export_kernel_fence(struct userptr_mock_export *export,
				 struct userptr_mock_job *job);
bool userptr_mock_export_unmapped(struct userptr_mock_export *export);

struct userptr_mock_import *
userptr_mock_import_new(struct userptr_mock_export *export, struct device *dev,
			u32 flags);
void userptr_mock_import_free(struct userptr_mock_import *import);
struct userptr_mock_binding *
userptr_mock_bind_import(struct userptr_mock_vm *vm,
			 struct userptr_mock_import *import, u64 offset,
			 u64 size, u64 addr);

int userptr_mock_exports_lock(struct userptr_mock *mock, struct drm_exec *exec);
void userptr_mock_exports_add_preempt(struct drm_exec *exec,
				      struct drm_userptr_preempt *preempt);
void userptr_mock_exports_fini(struct userptr_mock *mock);
void userptr_mock_imports_fini(struct userptr_mock *mock);

#endif /* __DRM_USERPTR_MOCK_EXPORT_H__ */
