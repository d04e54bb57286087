// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr dmabuf
 * Description: dma-bufs of others in a GPU address space, and what is left when they are closed
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, dma-buf
 * Test category: functionality test
 *
 * SUBTEST: import
 * Description: the engine reads and writes memory of other exporters
 *
 * SUBTEST: import-parts
 * Description: a part of a dma-buf is bound, split and replaced
 *
 * SUBTEST: import-read-only
 * Description: a binding that is read-only is that for imports, too
 *
 * SUBTEST: import-range
 * Description: what is not within the dma-buf is refused
 *
 * SUBTEST: import-shared
 * Description: one dma-buf in several VMs and files, beside userptrs
 *
 * SUBTEST: import-long-running
 * Description: a long-running queue uses an import
 *
 * SUBTEST: import-exporter-gone
 * Description: the process that exported it is gone, a job goes on
 *
 * SUBTEST: close-order
 * Description: handle, file, dma-buf and mapping are closed in every order under a running job
 *
 * SUBTEST: fd-table-full
 * Description: no file descriptor is left for an export, and nothing of it stays
 *
 * SUBTEST: cycles
 * Description: nothing is left behind by exporting and importing over and over
 *
 * SUBTEST: cycles-long
 * Description: a hundred thousand times
 */

IGT_TEST_DESCRIPTION("dma-bufs of other exporters in GPU address spaces.");

#define RELEASE	0x60606060

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1), out_va = VUP_VA(2);

/* Exporters */

struct buffer {
	int dmabuf;
	size_t size;
	/* The CPU's view */
	char *ptr;
	/* What it is of, or -1 */
	int device;
};

static void heap_make(struct buffer *b)
{
	struct dma_heap_allocation_data data = {
		.len = b->size, .fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	igt_require_f(heap >= 0, "no /dev/dma_heap/system\n");
	igt_assert_eq(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data), 0);
	close(heap);
	b->dmabuf = data.fd;
	b->ptr = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->dmabuf, 0);
}

static void udmabuf_make(struct buffer *b)
{
	struct udmabuf_create create = { .size = b->size };
	int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);

	igt_require_f(device >= 0, "no /dev/udmabuf\n");
	b->device = memfd_create("vgem_userptr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	igt_assert_fd(b->device);
	igt_assert_eq(ftruncate(b->device, b->size), 0);
	igt_assert_eq(fcntl(b->device, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	create.memfd = b->device;
	b->dmabuf = ioctl(device, UDMABUF_CREATE, &create);
	igt_assert_fd(b->dmabuf);
	close(device);
	b->ptr = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->device, 0);
}

static void dumb_make(struct buffer *b, int driver)
{
	uint32_t handle;

	b->device = drm_open_driver(driver);
	handle = vup_dumb_create(b->device, b->size);
	b->ptr = vup_dumb_mmap(b->device, handle, b->size);
	igt_assert_eq(drmPrimeHandleToFD(b->device, handle, DRM_CLOEXEC | DRM_RDWR, &b->dmabuf), 0);
	gem_close(b->device, handle);
}

static void vkms_make(struct buffer *b)
{
	dumb_make(b, DRIVER_VKMS);
}

/* The object itself, in another file */
static void vgem_make(struct buffer *b)
{
	dumb_make(b, DRIVER_VGEM);
}

static const struct {
	const char *name;
	void (*make)(struct buffer *b);
} exporters[] = {
	{ "system-heap", heap_make },
	{ "udmabuf", udmabuf_make },
	{ "vkms", vkms_make },
	{ "vgem", vgem_make },
};

static struct buffer buffer_make(int exporter, size_t size)
{
	struct buffer b = { .size = size, .device = -1 };

	exporters[exporter].make(&b);
	igt_assert(b.ptr != MAP_FAILED);
	return b;
}

static void buffer_free(struct buffer *b)
{
	vup_unmap(b->ptr, b->size);
	close(b->dmabuf);
	if (b->device >= 0)
		close(b->device);
}

static uint32_t import_to(int file, int dmabuf)
{
	uint32_t handle;

	igt_assert_eq(drmPrimeFDToHandle(file, dmabuf, &handle), 0);
	return handle;
}

static int export_from(int file, uint32_t handle)
{
	int dmabuf = -1;

	igt_assert_eq(drmPrimeHandleToFD(file, handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf), 0);
	return dmabuf;
}

static void import(int exporter)
{
	/* Longer than a window, shorter than two */
	struct buffer b = buffer_make(exporter, VUP_WINDOW + 8 * page);
	uint32_t handle = import_to(fd, b.dmabuf);

	vup_paint(b.ptr, b.size, 1);
	vup_bind_bo(&v, handle, va, b.size, 0, 0);
	igt_assert_eq_u32(vup_device_crc(&v, va, b.size), vup_crc32(b.ptr, b.size));
	vup_ok(&v, op_xor(va, b.size, ~0), op_xor(va, b.size, ~0));
	vup_check_paint(b.ptr, b.size, 1);
	vup_ok(&v, op_fill(va + b.size - page, page, 2));
	vup_check_paint(b.ptr, b.size - page, 1);
	vup_check_value(b.ptr + b.size - page, page, 2);
	/* The CPU's writes are seen without another submission's help. */
	vup_paint(b.ptr, b.size, 3);
	igt_assert_eq_u32(vup_device_crc(&v, va, b.size), vup_crc32(b.ptr, b.size));

	gem_close(fd, handle);
	vup_ok(&v, op_fill(va, page, 4));
	vup_check_value(b.ptr, page, 4);
	vup_unbind(&v, va, b.size);
	igt_assert_eq(vup_do(&v, op_fill(va, page, 5)), -EFAULT);
	vup_check_value(b.ptr, page, 4);
	buffer_free(&b);
}

static int any_exporter(void)
{
	return access("/dev/dma_heap/system", R_OK | W_OK) ? 2 : 0;
}

static void import_parts(void)
{
	struct buffer b = buffer_make(any_exporter(), 16 * page);
	uint32_t handle = import_to(fd, b.dmabuf);
	char *mine = vup_alloc(2 * page);

	vup_paint(b.ptr, b.size, 1);
	vup_bind_bo(&v, handle, va, 8 * page, 5 * page, 0);
	igt_assert_eq_u32(vup_device_crc(&v, va, 8 * page), vup_crc32(b.ptr + 5 * page, 8 * page));

	/* Memory of the process into the middle of it; both ends stay what they were. */
	vup_bind_mem(&v, mine, va + 3 * page, 2 * page, 0);
	vup_ok(&v, op_fill(va, 8 * page, 7));
	vup_check_paint(b.ptr, 5 * page, 1);
	vup_check_value(b.ptr + 5 * page, 3 * page, 7);
	vup_check_value(mine, 2 * page, 7);
	igt_assert_eq_u32(*(uint32_t *)(b.ptr + 8 * page), vup_word(1, 8 * page / 4));
	vup_check_value(b.ptr + 10 * page, 3 * page, 7);

	vup_unbind(&v, va + page, 6 * page);
	vup_ok(&v, op_fill(va, page, 8), op_fill(va + 7 * page, page, 8));
	igt_assert_eq(vup_do(&v, op_fill(va + page, page, 9)), -EFAULT);
	vup_check_value(b.ptr + 5 * page, page, 8);
	vup_check_value(b.ptr + 12 * page, page, 8);
	vup_check_value(b.ptr + 6 * page, 2 * page, 7);
	vup_unbind(&v, va, 8 * page);
	gem_close(fd, handle);
	vup_unmap(mine, 2 * page);
	buffer_free(&b);
}

static void import_read_only(void)
{
	struct buffer b = buffer_make(any_exporter(), page);
	uint32_t handle = import_to(fd, b.dmabuf);

	vup_paint(b.ptr, page, 1);
	vup_bind_bo(&v, handle, va, page, 0, DRM_VGEM_VM_BIND_READ_ONLY);
	igt_assert_eq_u32(vup_device_crc(&v, va, page), vup_crc32(b.ptr, page));
	igt_assert_eq(vup_do(&v, op_fill(va, page, 2)), -EFAULT);
	vup_check_paint(b.ptr, page, 1);
	vup_unbind(&v, va, page);
	gem_close(fd, handle);
	buffer_free(&b);
}

static void import_range(void)
{
	struct buffer b = buffer_make(any_exporter(), 4 * page);
	uint32_t handle = import_to(fd, b.dmabuf);
	const struct {
		uint64_t offset, range;
	} bad[] = {
		{ 0, 5 * page }, { 4 * page, page }, { 3 * page, 2 * page }, { 1, page },
		{ 0, page + 1 }, { -page, 2 * page }, { 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drm_vgem_vm_bind bind = {
			.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .handle = handle,
			.addr = va, .range = bad[i].range, .offset = bad[i].offset,
		};

		igt_assert_eq(__vup_bind(fd, &bind), -EINVAL);
	}
	igt_assert_eq(vup_do(&v, op_fill(va, page, 1)), -EFAULT);
	gem_close(fd, handle);
	buffer_free(&b);
}

static void import_shared(void)
{
	struct buffer b = buffer_make(any_exporter(), 4 * page);
	int files[3] = { fd, fd, drm_reopen_driver(fd) };
	char *mine = vup_alloc(4 * page);
	struct vup w[3];

	for (int i = 0; i < 3; i++) {
		uint32_t handle = import_to(files[i], b.dmabuf);

		vup_init(&w[i], files[i]);
		vup_bind_bo(&w[i], handle, va + i * VUP_WINDOW, b.size, 0, 0);
		vup_bind_mem(&w[i], mine, out_va, 4 * page, 0);
		if (i != 1)
			gem_close(files[i], handle);
	}
	for (int i = 0; i < 12; i++) {
		vup_ok(&w[i % 3], op_fill(va + i % 3 * VUP_WINDOW, b.size, i),
		       op_copy(out_va, va + i % 3 * VUP_WINDOW, b.size));
		vup_check_value(b.ptr, b.size, i);
		vup_check_value(mine, b.size, i);
		/* What the one takes away does not touch the other. */
		vup_map_fixed(mine, 4 * page, PROT_READ | PROT_WRITE);
	}
	for (int i = 0; i < 3; i++)
		vup_fini(&w[i]);
	drm_close_driver(files[2]);
	vup_unmap(mine, 4 * page);
	buffer_free(&b);
}

static void import_long_running(void)
{
	struct buffer b = buffer_make(any_exporter(), 4 * page);
	uint32_t handle = import_to(fd, b.dmabuf);
	uint64_t *fence = (uint64_t *)vup_alloc_word();
	struct drm_vgem_wait_user_fence wait = {
		.addr = (uintptr_t)fence, .value = 1, .mask = ~0ull, .timeout_ns = INT64_MAX,
	};
	struct vup w;

	vup_init_long_running(&w, fd);
	vup_bind_bo(&w, handle, va, b.size, 0, 0);
	vup_bind_mem(&w, fence, word_va, page, 0);
	vup_push(&w, op_fill(va, b.size, 3), op_user_fence(word_va, 1));
	igt_assert_eq(__vup_wait_user_fence(fd, &wait), 0);
	vup_check_value(b.ptr, b.size, 3);
	vup_fini(&w);
	gem_close(fd, handle);
	vup_unmap(fence, page);
	buffer_free(&b);
}

static void reap(pid_t pid)
{
	int status;

	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_f(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x\n", status);
}

static void import_exporter_gone(int exporter)
{
	uint32_t *word = vup_alloc_word(), syncobj, handle;
	struct buffer b;
	int pair[2];
	pid_t pid;

	/* What it needs to be made, or skip, here */
	b = buffer_make(exporter, 4 * page);
	buffer_free(&b);

	igt_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = vup_fork();
	if (!pid) {
		b = buffer_make(exporter, 4 * page);
		vup_paint(b.ptr, b.size, 1);
		vup_send_file(pair[1], b.dmabuf);
		_exit(0);
	}
	b = (struct buffer) { .size = 4 * page, .device = -1 };
	b.dmabuf = vup_receive_file(pair[0]);
	handle = import_to(fd, b.dmabuf);
	vup_bind_bo(&v, handle, va, b.size, 0, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC),
			    op_xor(va, b.size, ~0), op_xor(va, b.size, ~0));
	reap(pid);
	close(b.dmabuf);
	gem_close(fd, handle);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	b.ptr = vup_alloc(b.size);
	vup_bind_mem(&v, b.ptr, out_va, b.size, 0);
	vup_ok(&v, op_copy(out_va, va, b.size));
	vup_check_paint(b.ptr, b.size, 1);
	vup_unbind(&v, va, b.size);
	vup_unbind(&v, word_va, page);
	vup_unbind(&v, out_va, b.size);
	vup_unmap(b.ptr, b.size);
	vup_unmap(word, page);
	close(pair[0]);
	close(pair[1]);
}

/* Everything that holds on to it is closed under a running job, in this order. */
enum part {
	HANDLE,
	FILE_,
	DMABUF,
	MAPPING,
	PARTS
};

static void close_order(const enum part order[PARTS], bool userptr)
{
	uint32_t *word = vup_alloc_word(), handle;
	int file = drm_reopen_driver(fd);
	struct buffer b;
	struct vup w;

	if (userptr) {
		b = (struct buffer) { .size = 4 * page, .device = -1 };
		b.ptr = vup_alloc(b.size);
		handle = vup_userptr_create(fd, b.ptr, b.size, 0);
		b.dmabuf = export_from(fd, handle);
		gem_close(fd, handle);
	} else {
		b = buffer_make(any_exporter(), 4 * page);
	}
	handle = import_to(file, b.dmabuf);
	vup_init(&w, file);
	vup_bind_bo(&w, handle, va, b.size, 0, 0);
	vup_bind_mem(&w, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_ok(&w, op_fill(va, b.size, 1));
	vup_check_value(b.ptr, b.size, 1);
	vup_start(&w, op_spin(word_va, RELEASE, 20 * NSEC_PER_MSEC), op_fill(va, b.size, 2));

	for (int i = 0; i < PARTS; i++) {
		switch (order[i]) {
		case HANDLE:
			/* Else it went with the file. */
			if (file >= 0)
				gem_close(file, handle);
			break;
		case FILE_:
			drm_close_driver(file);
			file = -1;
			break;
		case DMABUF:
			close(b.dmabuf);
			break;
		default:
			vup_unmap(b.ptr, b.size);
		}
	}
	if (b.device >= 0)
		close(b.device);
	vup_unmap(word, page);
}

static void close_orders(bool userptr)
{
	for (int a = 0; a < PARTS; a++)
		for (int b = 0; b < PARTS; b++)
			for (int c = 0; c < PARTS; c++) {
				enum part order[PARTS] = { a, b, c, 6 - a - b - c };

				if (a != b && b != c && a != c)
					close_order(order, userptr);
			}
}

/* How many dma-bufs are there? -1 if that cannot be seen. */
static long dmabufs(void)
{
	char line[256];
	long n = -1;
	FILE *f = fopen("/sys/kernel/debug/dma_buf/bufinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Total %ld objects", &n);
	if (f)
		fclose(f);
	return n;
}

static void fd_table_full(void)
{
	struct rlimit old, low;
	char *ptr = vup_alloc(page);
	uint32_t handle = vup_userptr_create(fd, ptr, page, 0);
	long before = dmabufs();
	int dup_fd, dmabuf = -1;

	igt_require_f(before >= 0, "no list of dma-bufs\n");
	igt_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	dup_fd = dup(fd);
	igt_assert_fd(dup_fd);
	low = old;
	/* The next one would be just where the table ends. */
	low.rlim_cur = dup_fd + 1;
	igt_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 100; i++) {
		igt_assert(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf) != 0);
		igt_assert_eq(errno, EMFILE);
	}
	igt_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	errno = 0;
	close(dup_fd);

	/* The object may hold on to one, as long as it has a handle. */
	igt_assert_lte(dmabufs(), before + 1);
	dmabuf = export_from(fd, handle);
	close(dmabuf);
	gem_close(fd, handle);
	igt_assert_eq(dmabufs(), before);
	vup_unmap(ptr, page);
}

static void cycles(int count)
{
	long before = dmabufs();
	uint64_t begin = vup_now_ns();
	char *ptr = vup_alloc(page);
	int file = drm_reopen_driver(fd);
	struct vup w;

	igt_require_f(before >= 0, "no list of dma-bufs\n");
	vup_init(&w, file);
	for (int i = 0; i < count; i++) {
		bool pin = i % 3 == 2;
		uint32_t mine, theirs;
		int dmabuf;

		mine = vup_userptr_create(fd, ptr, page, pin ? DRM_VGEM_USERPTR_PIN : 0);
		dmabuf = export_from(fd, mine);
		theirs = import_to(file, dmabuf);
		if (i % 16 < 3) {
			vup_bind_bo(&w, theirs, va, page, 0, 0);
			vup_ok(&w, op_fill(va, page, i));
			vup_check_value(ptr, page, i);
		}
		if (i & 1)
			close(dmabuf);
		gem_close(fd, mine);
		if (i % 16 < 3)
			vup_unbind(&w, va, page);
		gem_close(file, theirs);
		if (!(i & 1))
			close(dmabuf);
	}
	vup_fini(&w);
	drm_close_driver(file);
	vup_unmap(ptr, page);
	igt_assert_eq(dmabufs(), before);
	igt_info("%d cycles, %llu us each\n", count,
		 (unsigned long long)((vup_now_ns() - begin) / 1000 / count));
}

int igt_main()
{
	igt_fixture() {
		fd = vup_open();
		page = vup_page();
		vup_init(&v, fd);
	}

	igt_describe("Broken if the engine does not get at memory of other exporters.");
	igt_subtest_with_dynamic("import")
		for (size_t i = 0; i < ARRAY_SIZE(exporters); i++)
			igt_dynamic(exporters[i].name)
				import(i);

	igt_describe("Broken if offsets are mixed up, or a split loses a part.");
	igt_subtest("import-parts")
		import_parts();

	igt_describe("Broken if a read-only binding of an import can be written to.");
	igt_subtest("import-read-only")
		import_read_only();

	igt_describe("Broken if more can be bound than there is.");
	igt_subtest("import-range")
		import_range();

	igt_describe("Broken if imports in several VMs, or beside userptrs, get into each other's way.");
	igt_subtest("import-shared")
		import_shared();

	igt_describe("Broken if a queue without fences cannot use an import.");
	igt_subtest("import-long-running")
		import_long_running();

	igt_describe("Broken if memory goes with the process that made the dma-buf.");
	igt_subtest_with_dynamic("import-exporter-gone")
		for (size_t i = 0; i < ARRAY_SIZE(exporters); i++)
			igt_dynamic(exporters[i].name)
				import_exporter_gone(i);

	igt_describe("Broken if something is used after what kept it is closed (CVE-2026-54976).");
	igt_subtest_with_dynamic("close-order") {
		igt_dynamic("import")
			close_orders(false);
		igt_dynamic("userptr")
			close_orders(true);
	}

	igt_describe("Broken if an export that fails late leaves something (deb:6.1.184).");
	igt_subtest("fd-table-full")
		fd_table_full();

	igt_describe("Broken if something is left behind each time.");
	igt_subtest("cycles")
		cycles(1000);

	igt_describe("Broken if something is left behind each time.");
	igt_subtest("cycles-long")
		cycles(100000);

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
