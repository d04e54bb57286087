// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <linux/kernel-page-flags.h>
#include <linux/udmabuf.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr kinds
 * Description: Each kind of memory: does it work, or is it refused, and with which error?
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, special memory
 * Test category: functionality test
 *
 * SUBTEST: ordinary
 * Description: memory that works, wherever the process has it from
 *
 * SUBTEST: not-there
 * Description: addresses behind which there is nothing: EFAULT
 *
 * SUBTEST: gpu-mapping
 * Description: mappings of buffer objects, of this device and of others: EFAULT
 *
 * SUBTEST: pfnmap-again
 * Description: asking for a mapping without pages again and again costs no retries
 *
 * SUBTEST: secret
 * Description: memfd_secret() memory: EFAULT
 *
 * SUBTEST: guard-page
 * Description: a guard page that is installed and removed while the userptr is in use
 *
 * SUBTEST: poisoned-page
 * Description: a page whose memory failed is refused, and the address is good again with another
 *
 * SUBTEST: soft-offline
 * Description: a page that is replaced because its memory may fail soon
 *
 * SUBTEST: merged
 * Description: pages that KSM merged are written to without harm to their twins
 *
 * SUBTEST: adjacent-%s
 * Description: two neighbouring pages of all pairs of kinds, in a %arg[1] userptr
 * arg[1].values: writable, read-only
 */

IGT_TEST_DESCRIPTION("Each kind of memory: does it work, or is it refused, and with which error?");

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0);

/* Good memory, in which a checksum can be put, and a job done at any time */
static uint32_t *scratch;
static const uint64_t scratch_va = VUP_VA(1);

static void still_works(void)
{
	static uint32_t value;

	vup_ok(&v, op_fill(scratch_va, page, ++value));
	vup_check_value(scratch, page, value);
}

/* Device and CPU see the same, both ways. */
static void agrees(void *ptr, size_t size)
{
	vup_paint(ptr, size, 1);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	vup_ok(&v, op_xor(va, size, ~0));
	for (size_t i = 0; i < size / 4; i++)
		igt_assert_eq_u32(((uint32_t *)ptr)[i], ~vup_word(1, i));
}

static void works(void *ptr, size_t size)
{
	for (int how = 0; how < VUP_HOWS; how++) {
		vup_bind_how(&v, how, ptr, va, size, false);
		agrees(ptr, size);
		vup_unbind(&v, va, size);
		vup_bind_how(&v, how, ptr, va, size, true);
		igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
		vup_unbind(&v, va, size);
	}
}

#define PAGES	4

static void ordinary_anon(void)
{
	char *ptr = vup_alloc(PAGES * page);

	works(ptr, PAGES * page);
	vup_unmap(ptr, PAGES * page);
}

static void ordinary_shared_anon(void)
{
	char *ptr = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);

	igt_assert(ptr != MAP_FAILED);
	works(ptr, PAGES * page);
	vup_unmap(ptr, PAGES * page);
}

static void ordinary_memfd(void)
{
	int memfd = vup_memfd(PAGES * page);
	char *ptr = vup_map_memfd(NULL, memfd, PAGES * page, 0);

	works(ptr, PAGES * page);
	vup_unmap(ptr, PAGES * page);
	close(memfd);
}

static void ordinary_private_file(void)
{
	int memfd = vup_memfd(PAGES * page);
	char *alias = vup_map_memfd(NULL, memfd, PAGES * page, 0);
	char *ptr = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd, 0);

	igt_assert(ptr != MAP_FAILED);
	vup_paint(alias, PAGES * page, 2);
	works(ptr, PAGES * page);
	/* What the device writes is as private as what the CPU writes. */
	vup_check_paint(alias, PAGES * page, 2);
	vup_unmap(ptr, PAGES * page);
	vup_unmap(alias, PAGES * page);
	close(memfd);
}

static void ordinary_real_file(void)
{
	int file = vup_real_file(PAGES * page);
	char *ptr = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	igt_require_f(ptr != MAP_FAILED, "no shared mappings on this file system\n");
	works(ptr, PAGES * page);
	vup_unmap(ptr, PAGES * page);
	close(file);
}

static void ordinary_sysv(void)
{
	int id = shmget(IPC_PRIVATE, PAGES * page, IPC_CREAT | 0600);
	char *ptr;

	igt_require_f(id >= 0, "kernel without System V shared memory\n");
	ptr = shmat(id, NULL, 0);
	igt_assert(ptr != (void *)-1);
	/* Gone with the last mapping, come what may */
	igt_assert_eq(shmctl(id, IPC_RMID, NULL), 0);
	works(ptr, PAGES * page);
	igt_assert_eq(shmdt(ptr), 0);
}

static void ordinary_locked(void)
{
	char *ptr = vup_alloc(PAGES * page);

	igt_require_f(mlock(ptr, PAGES * page) == 0, "no permission to lock memory\n");
	works(ptr, PAGES * page);
	vup_unmap(ptr, PAGES * page);
}

static void ordinary_heap(void)
{
	char *ptr = sbrk(0);
	size_t skip = -(uintptr_t)ptr & (page - 1);

	igt_require_f(sbrk(skip + PAGES * page) != (void *)-1, "no heap\n");
	works(ptr + skip, PAGES * page);
	/* malloc() may have grown it in the meantime. */
	if (sbrk(0) == ptr + skip + PAGES * page)
		sbrk(-(intptr_t)(skip + PAGES * page));
}

static void ordinary_stack(void)
{
	char area[(PAGES + 1) * 4096] __attribute__((aligned(4096)));

	igt_require_f(page == 4096, "not for this page size\n");
	works(area, PAGES * page);
}

static const struct {
	const char *name;
	void (*run)(void);
} ordinary[] = {
	{ "anonymous", ordinary_anon },
	{ "shared-anonymous", ordinary_shared_anon },
	{ "memfd", ordinary_memfd },
	{ "private-file", ordinary_private_file },
	{ "real-file", ordinary_real_file },
	{ "sysv", ordinary_sysv },
	{ "locked", ordinary_locked },
	{ "heap", ordinary_heap },
	{ "stack", ordinary_stack },
};

/* Three pages, of which the middle one cannot be used */
static void refused(char *mem)
{
	uint32_t object;

	for (uint32_t flags = 0; flags <= DRM_VGEM_USERPTR_READ_ONLY; flags++) {
		igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)mem, 3 * page,
						   flags | DRM_VGEM_USERPTR_PROBE, &object),
			      -EFAULT);
		for (int how = 0; how < VUP_HOWS; how++) {
			vup_bind_how(&v, how, mem, va, 3 * page, flags);
			vup_refuse(&v, -EFAULT, va + page, op_crc32(va, 3 * page, scratch_va));
			vup_unbind(&v, va, 3 * page);
			still_works();
		}
	}

	/* The ordinary pages at both sides are as good as ever. */
	vup_bind_mem(&v, mem, va, page, 0);
	vup_bind_mem(&v, mem + 2 * page, va + page, page, 0);
	vup_ok(&v, op_fill(va, 2 * page, 0x99));
	vup_check_value(mem, page, 0x99);
	vup_check_value(mem + 2 * page, page, 0x99);
	vup_unbind(&v, va, 2 * page);
}

static void not_there_hole(void)
{
	char *mem = vup_alloc(3 * page);

	vup_unmap(mem + page, page);
	refused(mem);
	munmap(mem, 3 * page);
}

static void not_there_no_access(void)
{
	char *mem = vup_alloc(3 * page);

	vup_paint(mem, 3 * page, 3);
	igt_assert_eq(mprotect(mem + page, page, PROT_NONE), 0);
	refused(mem);
	vup_unmap(mem, 3 * page);
}

static void not_there_past_eof(void)
{
	int memfd = vup_memfd(page);
	char *mem = vup_alloc(3 * page);

	/* Mapped, but there is no file behind: SIGBUS to the CPU */
	vup_map_memfd(mem + page, memfd, page, page);
	refused(mem);
	vup_unmap(mem, 3 * page);
	close(memfd);
}

static void map_over(char *addr, int file, off_t offset)
{
	igt_assert(mmap(addr, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
			offset) == addr);
	/* Also where the CPU has touched it */
	memset(addr, 0x5a, page);
}

static void gpu_mapping_dumb(int device)
{
	struct drm_mode_map_dumb map = { .handle = vup_dumb_create(device, 4096) };
	char *mem = vup_alloc(3 * page);

	do_ioctl(device, DRM_IOCTL_MODE_MAP_DUMB, &map);
	map_over(mem + page, device, map.offset);
	refused(mem);
	vup_unmap(mem, 3 * page);
	gem_close(device, map.handle);
}

static void gpu_mapping_dma_buf(void)
{
	uint32_t handle = vup_dumb_create(fd, 4096);
	char *mem = vup_alloc(3 * page);
	int dmabuf;

	igt_assert_eq(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf), 0);
	map_over(mem + page, dmabuf, 0);
	refused(mem);
	vup_unmap(mem, 3 * page);
	close(dmabuf);
	gem_close(fd, handle);
}

static void gpu_mapping_udmabuf(void)
{
	int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), memfd, dmabuf;
	struct udmabuf_create create = { .size = page };
	char *mem = vup_alloc(3 * page);

	igt_require_f(device >= 0, "no /dev/udmabuf\n");
	memfd = memfd_create("vgem_userptr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	igt_assert_fd(memfd);
	igt_assert_eq(ftruncate(memfd, page), 0);
	igt_assert_eq(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	create.memfd = memfd;
	dmabuf = ioctl(device, UDMABUF_CREATE, &create);
	igt_assert_fd(dmabuf);
	map_over(mem + page, dmabuf, 0);
	refused(mem);
	vup_unmap(mem, 3 * page);
	close(dmabuf);
	close(memfd);
	close(device);
}

static void pfnmap_again(enum vup_how how)
{
	uint32_t handle = vup_dumb_create(fd, 4096);
	char *ptr = vup_dumb_mmap(fd, handle, 4096);
	const struct drm_vgem_op op = op_fill(va, 4096, 1);
	struct drm_vgem_vm_stats before, after;

	memset(ptr, 0x5a, 4096);
	vup_bind_how(&v, how, ptr, va, 4096, false);
	/* Whatever else is bound is populated now. */
	still_works();
	vup_stats(&v, &before);
	/* Were there a loop in it, one of them would never come back. */
	igt_set_timeout(VUP_PATIENCE_S, "asking for a mapping without pages");
	for (int i = 0; i < 500; i++)
		igt_assert_eq(__vup_run(&v, &op, 1), -EFAULT);
	igt_reset_timeout();
	vup_stats(&v, &after);
	igt_assert_eq_u64(before.submits, after.submits);
	igt_assert_eq_u64(before.windows, after.windows);
	igt_assert_eq_u64(before.retries, after.retries);
	vup_check_value(ptr, 4096, 0x5a5a5a5a);
	vup_unbind(&v, va, 4096);
	vup_unmap(ptr, 4096);
	gem_close(fd, handle);
}

static void secret(void)
{
	char *mem = vup_alloc(3 * page);
	int file = -1;

#ifdef SYS_memfd_secret
	file = syscall(SYS_memfd_secret, 0);
#endif
	igt_require_f(file >= 0, "kernel without memfd_secret(), or secretmem is not enabled\n");
	igt_assert_eq(ftruncate(file, page), 0);
	map_over(mem + page, file, 0);
	refused(mem);
	vup_unmap(mem, 3 * page);
	close(file);
}

static void guard_page(void)
{
	char *mem = vup_alloc(3 * page);

	vup_paint(mem, 3 * page, 4);
	igt_require_f(madvise(mem + page, page, MADV_GUARD_INSTALL) == 0,
		      "kernel without MADV_GUARD_INSTALL\n");
	refused(mem);
	igt_assert_eq(madvise(mem + page, page, MADV_GUARD_REMOVE), 0);
	works(mem, 3 * page);

	/* Under a userptr in use, and there again after it */
	vup_bind_mem(&v, mem, va, 3 * page, 0);
	agrees(mem, 3 * page);
	igt_assert_eq(madvise(mem + 2 * page, page, MADV_GUARD_INSTALL), 0);
	vup_refuse(&v, -EFAULT, va + 2 * page, op_fill(va, 3 * page, 1));
	igt_assert_eq(madvise(mem + 2 * page, page, MADV_GUARD_REMOVE), 0);
	vup_check_value(mem + 2 * page, page, 0);
	agrees(mem, 3 * page);
	vup_unbind(&v, va, 3 * page);
	vup_unmap(mem, 3 * page);
}

/* Gives the machine its page back. */
static void unpoison(uint64_t frame)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)frame);
	igt_assert_f(vup_file_write("/sys/kernel/debug/hwpoison/unpoison-pfn", text),
		     "page %s remains unusable: %s\n", text, strerror(errno));
}

/* The CPU is told as well, by a signal that cannot be ignored. */
static void memory_failed(int sig)
{
	(void)sig;
}

static void failing_page(int advice)
{
	struct sigaction action = { .sa_handler = memory_failed }, before;
	char *mem = vup_alloc(3 * page);
	uint64_t frame;
	int err;

	igt_require_f(access("/sys/kernel/debug/hwpoison/unpoison-pfn", W_OK) == 0,
		      "kernel that cannot take a memory failure back\n");
	igt_emit_ignore_dmesg_regex("Memory failure: |Soft offlin|soft offline|Unpoison: ");
	igt_assert_eq(madvise(mem, 3 * page, MADV_NOHUGEPAGE), 0);
	vup_bind_mem(&v, mem, va, 3 * page, 0);
	agrees(mem, 3 * page);
	vup_paint(mem, 3 * page, 5);
	frame = vup_page_frame(mem + page);
	igt_assert_eq(sigaction(SIGBUS, &action, &before), 0);
	err = madvise(mem + page, page, advice) ? errno : 0;
	igt_assert_eq(sigaction(SIGBUS, &before, NULL), 0);
	igt_require_f(err != EINVAL && err != EPERM, "kernel without memory failure handling\n");
	igt_assert_eq(err, 0);

	if (advice == MADV_HWPOISON) {
		vup_refuse(&v, -EFAULT, va + page, op_fill(va, 3 * page, 1));
		vup_unbind(&v, va, 3 * page);
		refused(mem);
		vup_bind_mem(&v, mem, va, 3 * page, 0);
		/* The memory is lost, the address is not. */
		igt_assert_eq(madvise(mem + page, page, MADV_DONTNEED), 0);
	} else {
		/* Nothing is lost: the data have moved, and the device with them. */
		igt_assert_neq_u64(vup_page_frame(mem + page), frame);
		igt_assert_eq_u32(vup_device_crc(&v, va, 3 * page), vup_crc32(mem, 3 * page));
		vup_check_paint(mem, 3 * page, 5);
	}
	agrees(mem, 3 * page);
	vup_unbind(&v, va, 3 * page);
	vup_unmap(mem, 3 * page);
	unpoison(frame);
}

static void merged(enum vup_how how)
{
	size_t size = 32 * page;
	char *ptr = vup_alloc(size), *twin = vup_alloc(size);
	bool shared = false;
	long scans;

	igt_require_f(access("/sys/kernel/mm/ksm/run", W_OK) == 0, "kernel without KSM\n");
	for (size_t at = 0; at < size; at += page) {
		vup_paint(ptr + at, page, 6);
		vup_paint(twin + at, page, 6);
	}
	vup_bind_how(&v, how, ptr, va, size, false);
	vup_ok(&v, op_xor(va, size, 1), op_xor(va, size, 1));
	igt_assert_eq(madvise(ptr, size, MADV_MERGEABLE), 0);
	igt_assert_eq(madvise(twin, size, MADV_MERGEABLE), 0);
	vup_knob_set("/sys/kernel/mm/ksm/sleep_millisecs", "0");
	vup_knob_set("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	vup_knob_set("/sys/kernel/mm/ksm/run", "1");
	/* ksmd compares in passes; the device reads and writes meanwhile. */
	scans = 0;
	igt_until_timeout(10) {
		vup_ok(&v, op_xor(va + page, page, 1), op_xor(va + page, page, 1));
		shared = vup_page_flag(twin, KPF_KSM);
		scans++;
		if (shared)
			break;
	}
	igt_assert_f(shared, "ksmd merged nothing in %ld looks\n", scans);

	/* The device writes to its own page, not to the one that all share. */
	vup_ok(&v, op_fill(va, size / 2, 0xc5));
	vup_check_value(ptr, size / 2, 0xc5);
	for (size_t at = 0; at < size; at += page) {
		vup_check_paint(twin + at, page, 6);
		if (at >= size / 2)
			vup_check_paint(ptr + at, page, 6);
	}
	/* Unmerged, which replaces all that is left. */
	igt_assert(vup_file_write("/sys/kernel/mm/ksm/run", "2"));
	vup_knob_set("/sys/kernel/mm/ksm/run", "0");
	agrees(ptr, size);
	for (size_t at = 0; at < size; at += page)
		vup_check_paint(twin + at, page, 6);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	vup_unmap(twin, size);
}

/*
 * A range may span mappings of different kinds: each page is judged by its own,
 * and the first that cannot be used is the one that is named.
 */
enum piece {
	ANON_RW,
	ANON_RO,
	FILE_RW,
	FILE_RO,
	SHM_RW,
	SHM_RO,
	PFNMAP_RW,
	PFNMAP_RO,
	HOLE,
	PIECES
};

static const char * const piece_name[PIECES] = {
	"anon-rw", "anon-ro", "file-rw", "file-ro", "shm-rw", "shm-ro", "pfnmap-rw", "pfnmap-ro",
	"hole",
};

/* What the pieces are made of, at each place another page */
struct quarry {
	int memfd;
	uint32_t dumb;
	off_t dumb_offset;
};

static void piece_make(const struct quarry *q, char *addr, enum piece piece)
{
	int prot = PROT_READ | (piece & 1 ? 0 : PROT_WRITE);
	int kind = piece & ~1, flags = MAP_PRIVATE | MAP_FIXED, file = q->memfd;
	off_t offset = ((uintptr_t)addr / page & 1) * page;

	if (piece == HOLE) {
		munmap(addr, page);
		return;
	}
	if (kind == ANON_RW) {
		flags |= MAP_ANONYMOUS;
		file = -1;
		offset = 0;
	} else if (kind == SHM_RW) {
		flags = MAP_SHARED | MAP_FIXED;
	} else if (kind == PFNMAP_RW) {
		flags = MAP_SHARED | MAP_FIXED;
		file = fd;
		offset = q->dumb_offset;
	}
	igt_assert(mmap(addr, page, prot, flags, file, offset) == addr);
}

static int piece_verdict(enum piece piece, bool read_only)
{
	if (piece >= PFNMAP_RW)
		return -EFAULT;
	return piece & 1 && !read_only ? -EPERM : 0;
}

static void adjacent_pair(const struct quarry *q, char *mem, enum piece one, enum piece two,
			  bool read_only)
{
	int verdict[2] = { piece_verdict(one, read_only), piece_verdict(two, read_only) };
	const struct drm_vgem_op read = op_crc32(va, 2 * page, scratch_va);
	const struct drm_vgem_op write = op_fill(va, 2 * page, 0xadad);

	igt_debug("%s beside %s\n", piece_name[one], piece_name[two]);
	for (int how = 0; how < VUP_HOWS; how++) {
		piece_make(q, mem, one);
		piece_make(q, mem + page, two);
		vup_bind_how(&v, how, mem, va, 2 * page, read_only);
		if (verdict[0]) {
			vup_refused(&v, &read, 1, verdict[0], va);
		} else if (verdict[1]) {
			vup_refused(&v, &read, 1, verdict[1], va + page);
		} else if (read_only) {
			igt_assert_eq(vup_run(&v, &read, 1), 0);
			igt_assert_eq_u32(*scratch, vup_crc32(mem, 2 * page));
			igt_assert_eq(vup_run(&v, &write, 1), -EFAULT);
		} else {
			igt_assert_eq(vup_run(&v, &write, 1), 0);
			vup_check_value(mem, 2 * page, 0xadad);
		}
		vup_unbind(&v, va, 2 * page);
	}
}

static void adjacent(bool read_only)
{
	struct quarry q = { .memfd = vup_memfd(2 * page), .dumb = vup_dumb_create(fd, 4096) };
	struct drm_mode_map_dumb map = { .handle = q.dumb };
	/* Rims, so that nothing maps into a hole and nothing merges */
	char *mem = vup_reserve(4 * page, page);

	igt_require_f(page == 4096, "not for this page size\n");
	do_ioctl(fd, DRM_IOCTL_MODE_MAP_DUMB, &map);
	q.dumb_offset = map.offset;
	for (int one = 0; one < PIECES; one++)
		for (int two = 0; two < PIECES; two++)
			adjacent_pair(&q, mem + page, one, two, read_only);
	munmap(mem, 4 * page);
	gem_close(fd, q.dumb);
	close(q.memfd);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
		scratch = vup_alloc(page);
		vup_bind_mem(&v, scratch, scratch_va, page, 0);
	}

	igt_describe("Broken if memory does not work that is as good as any.");
	igt_subtest_with_dynamic("ordinary")
		for (int i = 0; i < (int)ARRAY_SIZE(ordinary); i++)
			igt_dynamic(ordinary[i].name)
				ordinary[i].run();

	igt_describe("Broken if the device gets at an address where there is nothing.");
	igt_subtest_with_dynamic("not-there") {
		igt_dynamic("hole")
			not_there_hole();
		igt_dynamic("no-access")
			not_there_no_access();
		igt_dynamic("past-end-of-file")
			not_there_past_eof();
	}

	igt_describe("Broken if the device gets at another device's pages by their mapping "
		     "(fbsd:19d2875023).");
	igt_subtest_with_dynamic("gpu-mapping") {
		igt_dynamic("own-dumb")
			gpu_mapping_dumb(fd);
		igt_dynamic("other-dumb") {
			int device = drm_open_driver(DRIVER_VKMS);

			gpu_mapping_dumb(device);
			drm_close_driver(device);
		}
		igt_dynamic("dma-buf")
			gpu_mapping_dma_buf();
		igt_dynamic("udmabuf")
			gpu_mapping_udmabuf();
	}

	igt_describe("Broken if a mapping without pages is asked for in a loop (CVE-2026-74420).");
	igt_subtest_with_dynamic("pfnmap-again")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				pfnmap_again(how);

	igt_describe("Broken if the device reads what not even the kernel may.");
	igt_subtest("secret")
		secret();

	igt_describe("Broken if the device reads or writes where the CPU would be killed.");
	igt_subtest("guard-page")
		guard_page();

	igt_describe("Broken if the device uses memory that is known to have failed.");
	igt_subtest("poisoned-page")
		failing_page(MADV_HWPOISON);

	igt_describe("Broken if the device keeps a page that was taken out of service.");
	igt_subtest("soft-offline")
		failing_page(MADV_SOFT_OFFLINE);

	igt_describe("Broken if the device writes to a page that others were told is theirs.");
	igt_subtest_with_dynamic("merged")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				merged(how);

	igt_describe("Broken if only the first mapping of a range is looked at "
		     "(fbsd:f24d1378ef, src amdgpu_ttm.c:772).");
	igt_subtest("adjacent-writable")
		adjacent(false);

	igt_describe("Broken if only the first mapping of a range is looked at "
		     "(fbsd:f24d1378ef, src amdgpu_ttm.c:772).");
	igt_subtest("adjacent-read-only")
		adjacent(true);

	igt_fixture() {
		vup_fini(&v);
		vup_unmap(scratch, page);
		drm_close_driver(fd);
	}
}
