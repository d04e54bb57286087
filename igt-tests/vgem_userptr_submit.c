// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "sw_sync.h"
#include "drm_userptr_lib.h"
#include "vgem_drm.h"

/**
 * TEST: vgem userptr submit
 * Description: Fences in and out of jobs, their errors, and submission under fire
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, exec, syncobj
 * Test category: functionality test
 *
 * SUBTEST: in-order
 * Description: jobs of one queue run one after the other without any fence
 *
 * SUBTEST: queues-run-apart
 * Description: a job that spins does not stop another queue
 *
 * SUBTEST: syncobj-binary
 * Description: a job waits for another queue's job by a binary syncobj
 *
 * SUBTEST: syncobj-timeline
 * Description: points of a timeline order jobs of several queues
 *
 * SUBTEST: syncobj-many
 * Description: as many syncobjs as a job may have, waited for and signalled
 *
 * SUBTEST: syncobj-other-file
 * Description: a fence of the same device from another file's VM
 *
 * SUBTEST: sync-file
 * Description: a job's fence as a sync_file and back
 *
 * SUBTEST: already-signalled
 * Description: waiting for a fence that is signalled costs nothing
 *
 * SUBTEST: foreign-timeout
 * Description: a foreign fence that does not signal in time: ETIME, nothing was submitted
 *
 * SUBTEST: foreign-signals
 * Description: a job with a foreign fence is submitted when that signals, and sees memory then
 *
 * SUBTEST: foreign-does-not-hold-mm
 * Description: while exec waits for a foreign fence, munmap of its memory does not
 *
 * SUBTEST: foreign-hidden
 * Description: a foreign fence merged with one of our own is still found
 *
 * SUBTEST: foreign-interrupted
 * Description: signals do not disturb the wait, and do not stretch its limit
 *
 * SUBTEST: fault-is-fence-error
 * Description: an access without translation ends the job, not the queue
 *
 * SUBTEST: spin-limit
 * Description: a job that never ends is ended by the time limit, with ETIME
 *
 * SUBTEST: no-syncs
 * Description: jobs without any syncobj run all the same
 *
 * SUBTEST: signal-storm
 * Description: submissions, bindings and waits under a storm of signals
 *
 * SUBTEST: concurrent-processes
 * Description: several processes, each with its own VM
 *
 * SUBTEST: concurrent-queues
 * Description: several queues of one VM write side by side
 *
 * SUBTEST: storm-%s
 * Description: jobs while a thread applies %arg[1] to their memory: right, or EAGAIN
 * arg[1].values: dontneed, dontneed-shared, mprotect, remap, munmap, mremap
 */

IGT_TEST_DESCRIPTION("Jobs and fences: order, errors, time-outs, storms.");

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

#define RELEASE	0x60606060

static uint32_t *ptr, *word;

static void setup(void)
{
	ptr = vup_alloc(4 * page);
	word = vup_alloc_word();
	vup_bind_mem(&v, ptr, va, 4 * page, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
}

static void teardown(void)
{
	vup_unbind(&v, va, 4 * page);
	vup_unbind(&v, word_va, page);
	munmap(ptr, 4 * page);
	vup_unmap(word, page);
}

/* One op with any syncs, on any queue */
static int submit(uint32_t queue, const struct drm_vgem_op *ops, int count,
		  const struct drm_vgem_sync *syncs, int nsyncs, int64_t timeout_ns)
{
	struct drm_vgem_exec exec = {
		.queue_id = queue,
		.ops = { .stride = sizeof(*ops), .count = count, .array = (uintptr_t)ops },
		.timeout_ns = timeout_ns,
	};

	if (nsyncs)
		exec.syncs = (struct drm_vgem_array) {
			.stride = sizeof(*syncs), .count = nsyncs, .array = (uintptr_t)syncs,
		};
	return __vup_exec(fd, &exec);
}

static struct drm_vgem_sync sync_wait(uint32_t handle, uint64_t point)
{
	return (struct drm_vgem_sync) { .handle = handle, .point = point };
}

static struct drm_vgem_sync sync_signal(uint32_t handle, uint64_t point)
{
	return (struct drm_vgem_sync) {
		.handle = handle, .flags = DRM_VGEM_SYNC_SIGNAL, .point = point,
	};
}

static uint32_t another_queue(void)
{
	uint32_t queue;

	igt_assert_eq(__vup_queue_create(fd, v.vm, &queue), 0);
	return queue;
}

static void in_order(void)
{
	uint32_t syncobj[100];

	setup();
	*ptr = 1;
	/* x -> x ^ i by turns with a copy to and fro: no two of these commute. */
	for (int i = 0; i < 100; i++)
		syncobj[i] = i & 1 ? vup_start(&v, op_copy(va, va + 8, 4), op_xor(va, 4, i)) :
				     vup_start(&v, op_copy(va + 8, va, 4), op_fill(va, 4, i));
	for (int i = 99; i >= 0; i--)
		igt_assert_eq(vup_finish(fd, syncobj[i]), 0);
	/* Even jobs keep x in a second place, odd ones bring it back changed. */
	{
		uint32_t x = 1;

		for (int i = 1; i < 100; i += 2)
			x ^= i;
		igt_assert_eq_u32(*ptr, x);
	}
	teardown();
}

static void queues_run_apart(void)
{
	struct vup w = v;
	uint32_t syncobj;

	setup();
	w.queue = another_queue();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	vup_ok(&w, op_fill(va, 4 * page, 0x51));
	igt_assert_eq(vup_status(fd, syncobj), 1);
	vup_check_value(ptr, 4 * page, 0x51);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	igt_assert_eq(__vup_queue_destroy(fd, w.queue), 0);
	teardown();
}

static void syncobj_binary(void)
{
	struct drm_vgem_op spin[2], fill = op_fill(va + 4, 4, 2);
	uint32_t queue = another_queue();
	uint32_t one = syncobj_create(fd, 0), two = syncobj_create(fd, 0);
	struct drm_vgem_sync syncs[2] = { sync_wait(one, 0), sync_signal(two, 0) };

	setup();
	spin[0] = op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC);
	spin[1] = op_copy(va, va + 4, 4);
	igt_assert_eq(submit(v.queue, spin, 2, (struct drm_vgem_sync[]){ sync_signal(one, 0) },
			     1, 0), 0);
	/* No time-out applies: the fence is the device's own, and exec does not wait. */
	igt_assert_eq(submit(queue, &fill, 1, syncs, 2, 0), 0);
	igt_assert_eq(vup_status(fd, two), 1);
	igt_assert_eq_u32(READ_ONCE(ptr[1]), 0);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, two), 0);
	/* The first had read zero before the second wrote two. */
	igt_assert_eq(vup_status(fd, one), 0);
	igt_assert_eq_u32(ptr[0], 0);
	igt_assert_eq_u32(ptr[1], 2);
	syncobj_destroy(fd, one);
	igt_assert_eq(__vup_queue_destroy(fd, queue), 0);
	teardown();
}

static void syncobj_timeline(void)
{
	enum { QUEUES = 4, JOBS = 40 };
	uint32_t timeline = syncobj_create(fd, 0), queue[QUEUES];
	uint64_t point = JOBS, now = 0;

	setup();
	for (int i = 0; i < QUEUES; i++)
		queue[i] = another_queue();
	/* Job i copies word i to word i + 1, on any queue; point i says that word i is there. */
	for (int i = 0; i < JOBS; i++) {
		struct drm_vgem_sync syncs[2] = {
			sync_signal(timeline, i + 1), sync_wait(timeline, i),
		};
		struct drm_vgem_op ops[2] = {
			op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC),
			op_copy(va + 4 * i + 4, va + 4 * i, 4),
		};

		if (!i)
			ptr[0] = 0xcafe;
		igt_assert_eq(submit(queue[i * 7 % QUEUES], ops + !!i, 2 - !!i, syncs,
				     1 + !!i, 0), 0);
	}
	syncobj_timeline_query(fd, &timeline, &now, 1);
	igt_assert_eq_u64(now, 0);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(syncobj_timeline_wait_err(fd, &timeline, &point, 1,
						vup_now_ns() + VUP_PATIENCE_S * 1000000000ull,
						0), 0);
	syncobj_timeline_query(fd, &timeline, &now, 1);
	igt_assert_eq_u64(now, JOBS);
	vup_check_value(ptr, 4 * (JOBS + 1), 0xcafe);
	for (int i = 0; i < QUEUES; i++)
		igt_assert_eq(__vup_queue_destroy(fd, queue[i]), 0);
	syncobj_destroy(fd, timeline);
	teardown();
}

static void syncobj_many(void)
{
	enum { HALF = DRM_VGEM_EXEC_MAX_SYNCS / 2 };
	struct drm_vgem_sync syncs[DRM_VGEM_EXEC_MAX_SYNCS];
	struct drm_vgem_op op = op_fill(va, 4, 3);
	uint32_t handle[DRM_VGEM_EXEC_MAX_SYNCS];

	setup();
	for (int i = 0; i < HALF; i++) {
		handle[i] = vup_start(&v, op_fill(va + 4 + 4 * i, 4, i));
		syncs[2 * i] = sync_wait(handle[i], 0);
		handle[HALF + i] = syncobj_create(fd, 0);
		syncs[2 * i + 1] = sync_signal(handle[HALF + i], i & 1 ? 5 : 0);
	}
	igt_assert_eq(submit(v.queue, &op, 1, syncs, DRM_VGEM_EXEC_MAX_SYNCS, 0), 0);
	for (int i = HALF; i < 2 * HALF; i++) {
		uint64_t point = (i - HALF) & 1 ? 5 : 0;

		igt_assert_eq(syncobj_timeline_wait_err(fd, &handle[i], &point, 1,
							vup_now_ns() +
							VUP_PATIENCE_S * 1000000000ull, 0), 0);
	}
	igt_assert_eq_u32(*ptr, 3);
	for (int i = 0; i < 2 * HALF; i++)
		syncobj_destroy(fd, handle[i]);
	teardown();
}

static void syncobj_other_file(void)
{
	int file = drm_open_driver(DRIVER_VGEM), object;
	struct drm_vgem_op op = op_fill(va, 4, 7);
	struct drm_vgem_sync syncs[2];
	uint32_t theirs, ours, done = syncobj_create(fd, 0);
	struct vup w;

	setup();
	vup_init(&w, file);
	vup_bind_mem(&w, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	theirs = vup_start(&w, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	object = syncobj_handle_to_fd(file, theirs, 0);
	igt_assert_eq(drmSyncobjFDToHandle(fd, object, &ours), 0);
	close(object);

	syncs[0] = sync_wait(ours, 0);
	syncs[1] = sync_signal(done, 0);
	igt_assert_eq(submit(v.queue, &op, 1, syncs, 2, 0), 0);
	igt_assert_eq(vup_status(fd, done), 1);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, done), 0);
	igt_assert_eq(vup_finish(file, theirs), 0);
	igt_assert_eq_u32(*ptr, 7);
	syncobj_destroy(fd, ours);
	vup_fini(&w);
	drm_close_driver(file);
	teardown();
}

static void sync_file_roundtrip(void)
{
	struct drm_vgem_op op = op_fill(va, 4, 8);
	uint32_t one, two = syncobj_create(fd, 0), done = syncobj_create(fd, 0);
	struct drm_vgem_sync syncs[2] = { sync_wait(two, 0), sync_signal(done, 0) };
	struct vup w = v;
	int file;

	setup();
	w.queue = another_queue();
	one = vup_start(&w, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	file = syncobj_handle_to_fd(fd, one, DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE);
	igt_assert_eq(sync_fence_status(file), 0);
	syncobj_import_sync_file(fd, two, file);
	igt_assert_eq(submit(v.queue, &op, 1, syncs, 2, 0), 0);
	igt_assert_eq(vup_status(fd, done), 1);
	igt_assert_eq_u32(READ_ONCE(*ptr), 0);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, done), 0);
	igt_assert_eq(sync_fence_status(file), 1);
	igt_assert_eq_u32(*ptr, 8);
	close(file);
	syncobj_destroy(fd, one);
	syncobj_destroy(fd, two);
	igt_assert_eq(__vup_queue_destroy(fd, w.queue), 0);
	teardown();
}

static void already_signalled(void)
{
	uint32_t signalled = syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED);
	uint32_t timeline = syncobj_create(fd, 0), done = syncobj_create(fd, 0);
	struct drm_vgem_sync syncs[3] = {
		sync_wait(signalled, 0), sync_wait(timeline, 3), sync_signal(done, 0),
	};
	struct drm_vgem_op op = op_fill(va, 4, 9);
	uint64_t point = 3;

	setup();
	syncobj_timeline_signal(fd, &timeline, &point, 1);
	/* A time-out in the past is no hindrance when there is nothing to wait for. */
	igt_assert_eq(submit(v.queue, &op, 1, syncs, 3, 0), 0);
	igt_assert_eq(vup_finish(fd, done), 0);
	igt_assert_eq_u32(*ptr, 9);
	syncobj_destroy(fd, signalled);
	syncobj_destroy(fd, timeline);
	teardown();
}

/*
 * Foreign fences: vgem's own fences on dumb buffers, which user space signals
 * and which give up after ten seconds; and, where the kernel has them, those of
 * sw_sync, which never give up.
 */
enum foreign_kind {
	VGEM_FENCE,
	SW_SYNC,
	FOREIGN_KINDS
};

static const char * const foreign_name[FOREIGN_KINDS] = { "vgem-fence", "sw-sync" };

struct foreign {
	enum foreign_kind kind;
	int file;
	uint32_t syncobj;
	uint32_t handle;
	uint32_t fence;
	int timeline;
};

static void foreign_make(struct foreign *f, enum foreign_kind kind)
{
	memset(f, 0, sizeof(*f));
	f->kind = kind;
	if (kind == SW_SYNC) {
		igt_require_sw_sync();
		f->timeline = sw_sync_timeline_create();
		f->file = sw_sync_timeline_create_fence(f->timeline, 1);
	} else {
		struct drm_vgem_fence_attach attach = { .flags = VGEM_FENCE_WRITE };
		struct dma_buf_export_sync_file export = { .flags = DMA_BUF_SYNC_RW };
		int dmabuf;

		f->handle = vup_dumb_create(fd, 4096);
		attach.handle = f->handle;
		do_ioctl(fd, DRM_IOCTL_VGEM_FENCE_ATTACH, &attach);
		f->fence = attach.out_fence;
		igt_assert_eq(drmPrimeHandleToFD(fd, f->handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf),
			      0);
		igt_assert_eq(ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export), 0);
		f->file = export.fd;
		close(dmabuf);
	}
	igt_assert_eq(sync_fence_status(f->file), 0);
	f->syncobj = syncobj_create(fd, 0);
	syncobj_import_sync_file(fd, f->syncobj, f->file);
}

static void foreign_signal(struct foreign *f)
{
	struct drm_vgem_fence_signal signal = { .fence = f->fence };

	if (f->kind == SW_SYNC)
		sw_sync_timeline_inc(f->timeline, 1);
	else
		do_ioctl(fd, DRM_IOCTL_VGEM_FENCE_SIGNAL, &signal);
}

static void foreign_drop(struct foreign *f)
{
	syncobj_destroy(fd, f->syncobj);
	close(f->file);
	if (f->kind == SW_SYNC)
		close(f->timeline);
	else
		gem_close(fd, f->handle);
}

static int64_t soon(int64_t ns)
{
	return vup_now_ns() + ns;
}

static void foreign_timeout(enum foreign_kind kind)
{
	struct drm_vgem_vm_stats before, after;
	uint32_t done = syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED);
	struct drm_vgem_op op = op_fill(va, 4, 10);
	struct drm_vgem_sync syncs[2];
	struct foreign f;
	int64_t limit;

	foreign_make(&f, kind);
	setup();
	vup_stats(&v, &before);
	syncs[0] = sync_signal(done, 0);
	syncs[1] = sync_wait(f.syncobj, 0);
	igt_assert_eq(submit(v.queue, &op, 1, syncs, 2, 0), -ETIME);
	limit = soon(100 * NSEC_PER_MSEC);
	igt_assert_eq(submit(v.queue, &op, 1, syncs, 2, limit), -ETIME);
	igt_assert_lte_u64(limit, vup_now_ns());
	igt_assert_eq(sync_fence_status(f.file), 0);
	vup_stats(&v, &after);
	igt_assert_eq_u64(before.submits, after.submits);
	/* The syncobj still has the fence that it had. */
	igt_assert_eq(vup_status(fd, done), 0);

	/* Nothing of it comes later either. */
	foreign_signal(&f);
	vup_ok(&v, op_fill(va + 4, 4, 11));
	igt_assert_eq_u32(ptr[0], 0);
	igt_assert_eq(submit(v.queue, &op, 1, syncs, 2, 0), 0);
	igt_assert_eq(vup_finish(fd, done), 0);
	igt_assert_eq_u32(ptr[0], 10);
	foreign_drop(&f);
	teardown();
}

struct waiting_exec {
	struct drm_vgem_op op;
	struct drm_vgem_sync syncs[2];
	int err;
};

static void exec_and_wait(void *data)
{
	struct waiting_exec *e = data;

	e->err = submit(v.queue, &e->op, 1, e->syncs, 2, soon(8 * NSEC_PER_SEC));
}

static void foreign_signals(enum foreign_kind kind)
{
	uint32_t done = syncobj_create(fd, 0);
	struct waiting_exec e = { .op = op_xor(va, 4, 12) };
	struct vup_caller c;
	struct foreign f;

	foreign_make(&f, kind);
	setup();
	e.syncs[0] = sync_wait(f.syncobj, 0);
	e.syncs[1] = sync_signal(done, 0);
	vup_caller_start(&c, exec_and_wait, &e);
	igt_assert(vup_caller_sleeps(&c));
	/* The queue is free for others meanwhile. */
	vup_ok(&v, op_fill(va, 4, 0x100));
	igt_assert_eq_u32(*ptr, 0x100);
	igt_assert(!atomic_load(&c.done));
	atomic_store(&c.released, true);
	foreign_signal(&f);
	vup_caller_join(&c);
	igt_assert(!c.too_early);
	igt_assert_eq(e.err, 0);
	igt_assert_eq(vup_finish(fd, done), 0);
	igt_assert_eq_u32(*ptr, 0x10c);
	foreign_drop(&f);
	teardown();
}

static void foreign_does_not_hold_mm(enum foreign_kind kind)
{
	uint32_t done = syncobj_create(fd, 0);
	struct waiting_exec e = { .op = op_fill(va, 4, 13) };
	struct vup_caller c;
	struct foreign f;

	foreign_make(&f, kind);
	setup();
	vup_ok(&v, op_fill(va, 4 * page, 1));
	e.syncs[0] = sync_wait(f.syncobj, 0);
	e.syncs[1] = sync_signal(done, 0);
	vup_caller_start(&c, exec_and_wait, &e);
	igt_assert(vup_caller_sleeps(&c));
	/* Were it to wait for the fence, that would be signalled or late by now. */
	vup_unmap(ptr, 4 * page);
	igt_assert_eq(sync_fence_status(f.file), 0);
	igt_assert(!atomic_load(&c.done));
	atomic_store(&c.released, true);
	foreign_signal(&f);
	vup_caller_join(&c);
	igt_assert(!c.too_early);
	/* Memory is looked at after the wait: there is none any more. */
	igt_assert_eq(e.err, -EFAULT);
	syncobj_destroy(fd, done);
	foreign_drop(&f);
	teardown();
}

static void foreign_hidden(enum foreign_kind kind)
{
	struct sync_merge_data merge = { .name = "hidden" };
	struct drm_vgem_op op = op_fill(va, 4, 14);
	uint32_t ours, merged = syncobj_create(fd, 0);
	struct drm_vgem_sync sync = sync_wait(merged, 0);
	struct drm_vgem_vm_stats before, after;
	struct vup w = v;
	struct foreign f;
	int file;

	foreign_make(&f, kind);
	setup();
	w.queue = another_queue();
	ours = vup_start(&w, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC));
	file = syncobj_handle_to_fd(fd, ours, DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE);
	merge.fd2 = f.file;
	igt_assert_eq(ioctl(file, SYNC_IOC_MERGE, &merge), 0);
	syncobj_import_sync_file(fd, merged, merge.fence);

	vup_stats(&v, &before);
	igt_assert_eq(submit(v.queue, &op, 1, &sync, 1, soon(50 * NSEC_PER_MSEC)), -ETIME);
	vup_stats(&v, &after);
	igt_assert_eq_u64(before.submits, after.submits);

	/* With the foreign part done, our own part is no reason to wait in exec. */
	foreign_signal(&f);
	igt_assert_eq(vup_status(fd, ours), 1);
	igt_assert_eq(submit(v.queue, &op, 1, &sync, 1, 0), 0);
	igt_assert_eq(vup_status(fd, ours), 1);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, ours), 0);
	vup_ok(&v, op_xor(va, 4, 0x10));
	igt_assert_eq_u32(*ptr, 0x1e);

	close(file);
	close(merge.fence);
	syncobj_destroy(fd, merged);
	foreign_drop(&f);
	igt_assert_eq(__vup_queue_destroy(fd, w.queue), 0);
	teardown();
}

static void foreign_interrupted(enum foreign_kind kind)
{
	struct drm_vgem_op op = op_fill(va, 4, 15);
	struct drm_vgem_sync sync;
	struct foreign f;
	int64_t limit;
	int err;

	foreign_make(&f, kind);
	setup();
	sync = sync_wait(f.syncobj, 0);
	igt_fork_signal_helper();
	limit = soon(NSEC_PER_SEC);
	err = submit(v.queue, &op, 1, &sync, 1, limit);
	igt_stop_signal_helper();
	igt_assert_eq(err, -ETIME);
	igt_assert_lte_u64(limit, vup_now_ns());
	/* A limit counted anew at each signal would never come. */
	igt_assert_lt_u64(vup_now_ns(), limit + 5 * NSEC_PER_SEC);
	foreign_signal(&f);
	foreign_drop(&f);
	teardown();
}

static void fault_is_fence_error(void)
{
	uint32_t bad, good;

	setup();
	bad = vup_start(&v, op_fill(va, 4, 16), op_fill(VUP_VA(7), 4, 1), op_fill(va + 4, 4, 17));
	good = vup_start(&v, op_fill(va + 8, 4, 18));
	igt_assert_eq(vup_finish(fd, bad), -EFAULT);
	igt_assert_eq(vup_finish(fd, good), 0);
	igt_assert_eq_u32(ptr[0], 16);
	igt_assert_eq_u32(ptr[1], 0);
	igt_assert_eq_u32(ptr[2], 18);
	/* Half a page is there: what lies before the border is done, the job is not. */
	igt_assert_eq(vup_do(&v, op_fill(va + 4 * page - 16, 32, 19)), -EFAULT);
	teardown();
}

static void spin_limit(void)
{
	uint64_t before = vup_now_ns();
	uint32_t syncobj, behind;

	setup();
	/* For ever, and nearly for ever: both are over the limit of ten seconds. */
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 0), op_fill(va, 4, 20));
	behind = vup_start(&v, op_fill(va + 4, 4, 21));
	igt_assert_eq(vup_finish(fd, syncobj), -ETIME);
	igt_assert_lte_u64(9 * NSEC_PER_SEC, vup_now_ns() - before);
	igt_assert_eq(vup_finish(fd, behind), 0);
	igt_assert_eq_u32(ptr[0], 0);
	igt_assert_eq_u32(ptr[1], 21);
	teardown();
}

static void no_syncs(void)
{
	setup();
	for (int i = 0; i < 20; i++) {
		struct drm_vgem_op op = op_fill(va + 4 * i, 4, i + 1);

		igt_assert_eq(submit(v.queue, &op, 1, NULL, 0, 0), 0);
	}
	/* In order, so the last one's fence speaks for all. */
	vup_ok(&v, op_fill(va + 80, 4, 21));
	for (uint32_t i = 0; i < 21; i++)
		igt_assert_eq_u32(ptr[i], i + 1);
	teardown();
}

static void signal_storm(void)
{
	uint32_t n = 0;

	setup();
	igt_fork_signal_helper();
	igt_until_timeout(3) {
		uint32_t seed = ++n, syncobj;

		vup_paint(ptr, 4 * page, seed);
		if (n & 1)
			igt_assert_eq(madvise(word, page, MADV_DONTNEED), 0);
		syncobj = vup_start(&v, op_xor(va, 4 * page, 0xff),
				    op_spin(word_va, 1, 2 * NSEC_PER_MSEC));
		vup_unbind(&v, va + page, page);
		vup_bind_mem(&v, (char *)ptr + page, va + page, page, 0);
		igt_assert_eq(vup_finish(fd, syncobj), 0);
		vup_ok(&v, op_xor(va, 4 * page, 0xff));
		vup_check_paint(ptr, 4 * page, seed);
	}
	igt_stop_signal_helper();
	igt_info("%u rounds\n", n);
	teardown();
}

static void concurrent_processes(void)
{
	igt_fork(child, 4) {
		int file = drm_open_driver(DRIVER_VGEM);
		size_t size = 64 * page;
		char *mem = vup_alloc(size);
		uint32_t n = child << 24;
		struct vup w;

		vup_init(&w, file);
		vup_bind_mem(&w, mem, va, size, 0);
		igt_until_timeout(2) {
			uint32_t seed = ++n;

			if (n % 3 == 0)
				vup_map_fixed(mem, size, PROT_READ | PROT_WRITE);
			vup_paint(mem, size, seed);
			vup_ok(&w, op_copy(va + size / 2, va, size / 2));
			vup_check_paint(mem, size / 2, seed);
			vup_check_paint(mem + size / 2, size / 2, seed);
		}
		vup_fini(&w);
		drm_close_driver(file);
	}
	igt_waitchildren();
}

static void concurrent_queues(void)
{
	enum { QUEUES = 8, JOBS = 50 };
	uint32_t syncobj[QUEUES][JOBS];
	struct vup w[QUEUES];

	setup();
	for (int q = 0; q < QUEUES; q++) {
		w[q] = v;
		w[q].queue = another_queue();
	}
	for (int i = 0; i < JOBS; i++)
		for (int q = 0; q < QUEUES; q++)
			syncobj[q][i] = vup_start(&w[q], op_xor(va + q * page / 2, page / 2,
								1u << (i % 32)));
	for (int q = 0; q < QUEUES; q++) {
		for (int i = 0; i < JOBS; i++)
			igt_assert_eq(vup_finish(fd, syncobj[q][i]), 0);
		/* Bits 0 to 17 twice, so not at all */
		vup_check_value((char *)ptr + q * page / 2, page / 2, 0xfffc0000);
		igt_assert_eq(__vup_queue_destroy(fd, w[q].queue), 0);
	}
	teardown();
}

/*
 * Storms: a thread changes the mapping as fast as it can while jobs write to
 * it. A job may be refused with an error of the kind's own or EAGAIN; if it is
 * accepted, what it wrote must be found wherever the mm can still have it.
 */
struct storm {
	char *mem;
	char *away;
	size_t size;
	int memfd;
	bool stop;
	uint32_t rounds;
};

static void storm_dontneed(struct storm *s)
{
	madvise(s->mem, s->size, MADV_DONTNEED);
}

static void storm_mprotect(struct storm *s)
{
	mprotect(s->mem, s->size, PROT_READ);
	mprotect(s->mem, s->size, PROT_READ | PROT_WRITE);
}

static void storm_remap(struct storm *s)
{
	mmap(s->mem, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s->memfd,
	     s->rounds & 1 ? 0 : s->size);
}

static void storm_munmap(struct storm *s)
{
	munmap(s->mem, s->size);
	mmap(s->mem, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s->memfd, 0);
}

static void storm_mremap(struct storm *s)
{
	mremap(s->mem, s->size, s->size, MREMAP_MAYMOVE | MREMAP_FIXED, s->away);
	mremap(s->away, s->size, s->size, MREMAP_MAYMOVE | MREMAP_FIXED, s->mem);
}

static const struct storm_test {
	const char *name;
	void (*change)(struct storm *s);
	/* The other errors that it may earn */
	int error[2];
	/* Backed by a memfd, whose pages are looked at through @alias */
	bool shared;
	const char *describe;
} storm_test[] = {
	{ "dontneed", storm_dontneed, { }, false,
	  "Broken if a job writes to pages that were dropped, or jobs no longer get through." },
	{ "dontneed-shared", storm_dontneed, { }, true,
	  "Broken if a job's writes are lost when their mapping is dropped." },
	{ "mprotect", storm_mprotect, { -EPERM }, true,
	  "Broken if a job's writes are lost when their memory is protected." },
	{ "remap", storm_remap, { }, true,
	  "Broken if a job writes neither to the old nor to the new mapping." },
	{ "munmap", storm_munmap, { -EFAULT }, true,
	  "Broken if a job's writes are lost when their memory is unmapped." },
	{ "mremap", storm_mremap, { -EFAULT }, true,
	  "Broken if a job's writes do not move along with the memory." },
};

static const struct storm_test *storm_now;

static void storm_run(void *data)
{
	struct storm *s = data;

	while (!READ_ONCE(s->stop)) {
		storm_now->change(s);
		WRITE_ONCE(s->rounds, s->rounds + 1);
	}
}

static void storm(const struct storm_test *test)
{
	struct storm s = { .size = 8 * page, .memfd = -1 };
	uint32_t done = 0, refused = 0, again = 0;
	char *alias = NULL;
	struct vup_caller c;

	s.mem = vup_alloc(s.size);
	s.away = vup_reserve(s.size, page);
	if (test->shared) {
		s.memfd = vup_memfd(2 * s.size);
		vup_map_memfd(s.mem, s.memfd, s.size, 0);
		alias = vup_map_memfd(NULL, s.memfd, 2 * s.size, 0);
	}
	vup_bind_mem(&v, s.mem, va, s.size, 0);
	storm_now = test;
	vup_caller_start(&c, storm_run, &s);

	igt_until_timeout(3) {
		uint32_t value = done + 1;
		const struct drm_vgem_op op = op_fill(va, s.size, value);
		int err = __vup_run(&v, &op, 1);

		if (err == -EAGAIN) {
			again++;
			continue;
		}
		if (err && (err == test->error[0] || err == test->error[1])) {
			refused++;
			continue;
		}
		igt_assert_f(err == 0, "after %u jobs: %d\n", done, err);
		done = value;

		if (!test->shared) {
			/* Dropped later, or still there; never the job before. */
			for (size_t i = 0; i < s.size / 4; i++) {
				uint32_t seen = READ_ONCE(((uint32_t *)s.mem)[i]);

				igt_assert_f(seen == 0 || seen == value,
					     "word %zu: %#x after job %#x\n", i, seen, value);
			}
		} else if (test->change == storm_remap) {
			/* All in one place or all in the other, not half and half */
			uint32_t *one = (uint32_t *)alias;
			uint32_t *two = (uint32_t *)(alias + s.size);

			vup_check_value(*one == value ? one : two, s.size, value);
		} else {
			vup_check_value(alias, s.size, value);
			vup_check_value(alias + s.size, s.size, 0);
		}
	}
	WRITE_ONCE(s.stop, true);
	vup_caller_join(&c);
	igt_info("%u jobs done, %u refused, %u with EAGAIN, %u changes\n",
		 done, refused, again, s.rounds);
	/* The storm must have been one. */
	igt_assert_lt_u64(10, s.rounds);

	/* And in the calm after it a job is just a job. */
	vup_ok(&v, op_fill(va, s.size, 0xca1));
	vup_check_value(s.mem, s.size, 0xca1);
	vup_unbind(&v, va, s.size);
	vup_unmap(s.mem, s.size);
	munmap(s.away, s.size);
	if (test->shared) {
		vup_unmap(alias, 2 * s.size);
		close(s.memfd);
	}
}

int igt_main()
{
	static const struct {
		const char *name;
		void (*run)(enum foreign_kind kind);
		const char *describe;
	} foreign_test[] = {
		{ "foreign-timeout", foreign_timeout,
		  "Broken if the time-out is not kept, or the job is submitted all the same." },
		{ "foreign-signals", foreign_signals,
		  "Broken if a job does not wait for others, or holds up the queue meanwhile." },
		{ "foreign-does-not-hold-mm", foreign_does_not_hold_mm,
		  "Broken if a fence that user space controls holds up the mm." },
		{ "foreign-hidden", foreign_hidden,
		  "Broken if a foreign fence slips into the scheduler inside another." },
		{ "foreign-interrupted", foreign_interrupted,
		  "Broken if a signal ends the wait, or starts its time-out anew." },
	};

	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if jobs of a queue overtake each other.");
	igt_subtest("in-order")
		in_order();

	igt_describe("Broken if queues share an engine.");
	igt_subtest("queues-run-apart")
		queues_run_apart();

	igt_describe("Broken if a job does not wait for its fence, or signals too early.");
	igt_subtest("syncobj-binary")
		syncobj_binary();

	igt_describe("Broken if points of a timeline do not order jobs.");
	igt_subtest("syncobj-timeline")
		syncobj_timeline();

	igt_describe("Broken if some of many syncobjs are overlooked.");
	igt_subtest("syncobj-many")
		syncobj_many();

	igt_describe("Broken if fences work within one file only.");
	igt_subtest("syncobj-other-file")
		syncobj_other_file();

	igt_describe("Broken if a fence changes its meaning as a sync_file.");
	igt_subtest("sync-file")
		sync_file_roundtrip();

	igt_describe("Broken if signalled fences are waited for.");
	igt_subtest("already-signalled")
		already_signalled();

	for (int i = 0; i < (int)ARRAY_SIZE(foreign_test); i++) {
		igt_describe(foreign_test[i].describe);
		igt_subtest_with_dynamic(foreign_test[i].name)
			for (int kind = 0; kind < FOREIGN_KINDS; kind++)
				igt_dynamic(foreign_name[kind])
					foreign_test[i].run(kind);
	}

	igt_describe("Broken if a fault goes unnoticed or takes the queue along.");
	igt_subtest("fault-is-fence-error")
		fault_is_fence_error();

	igt_describe("Broken if a job can run for ever, or its end takes the queue along.");
	igt_subtest("spin-limit")
		spin_limit();

	igt_describe("Broken if a job needs a syncobj to run.");
	igt_subtest("no-syncs")
		no_syncs();

	igt_describe("Broken if an interrupted call is done twice, or by half.");
	igt_subtest("signal-storm")
		signal_storm();

	igt_describe("Broken if processes disturb each other.");
	igt_subtest("concurrent-processes")
		concurrent_processes();

	igt_describe("Broken if queues of one VM disturb each other.");
	igt_subtest("concurrent-queues")
		concurrent_queues();

	for (int i = 0; i < (int)ARRAY_SIZE(storm_test); i++) {
		igt_describe(storm_test[i].describe);
		igt_subtest_f("storm-%s", storm_test[i].name)
			storm(&storm_test[i]);
	}

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
