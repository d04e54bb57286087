// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/kernel-page-flags.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr reclaim
 * Description: What the device wrote outlives the page that it was written to
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, reclaim
 * Test category: functionality test
 *
 * SUBTEST: lost-write
 * Description: what the device wrote survives reclaim of pages that the CPU left clean
 *
 * SUBTEST: swapped-out
 * Description: the device finds what is in swap, and what it writes there goes back
 *
 * SUBTEST: busy
 * Description: a page that a job uses is reclaimed only when the job is done
 *
 * SUBTEST: writeback
 * Description: the device writes to a file's page again that was just written back
 *
 * SUBTEST: read-only-clean
 * Description: a read-only userptr leaves pages clean, a writable one makes them dirty
 *
 * SUBTEST: accessed
 * Description: of equally old memory reclaim prefers what neither CPU nor device uses
 *
 * SUBTEST: storm-pageout
 * Description: another process pages memory out as fast as it can while jobs write to it
 */

IGT_TEST_DESCRIPTION("What the device wrote outlives the page that it was written to.");

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

#define RELEASE	0x60606060

/*
 * To the CPU's page tables these pages are clean: thrown away as good as free,
 * in swap or in the file unchanged, or never written to. Only the device has.
 */
enum clean {
	LAZY_FREE,
	SWAPPED_IN,
	SHMEM_READ,
	ZERO_PAGE,
	CLEANS
};

static const char * const clean_name[CLEANS] = {
	[LAZY_FREE] = "lazy-free",
	[SWAPPED_IN] = "swapped-in",
	[SHMEM_READ] = "shmem-read",
	[ZERO_PAGE] = "zero-page",
};

static void page_out(void *ptr, size_t size)
{
	int err = madvise(ptr, size, MADV_PAGEOUT) ? errno : 0;

	igt_require_f(err != EINVAL, "kernel without MADV_PAGEOUT\n");
	igt_assert_eq(err, 0);
}

static void look_at(const char *ptr, size_t size)
{
	for (size_t i = 0; i < size; i += page)
		READ_ONCE(ptr[i]);
}

static void lost_write(enum clean clean, enum vup_how how)
{
	size_t size = 16 * page;
	int memfd = -1, err;
	char *ptr;

	igt_require_f(vup_have_swap(), "no swap to reclaim pages to\n");
	if (clean == SHMEM_READ) {
		memfd = vup_memfd(size);
		ptr = vup_map_memfd(NULL, memfd, size, 0);
	} else {
		ptr = vup_alloc(size);
	}

	switch (clean) {
	case LAZY_FREE:
		vup_paint(ptr, size, 50);
		err = madvise(ptr, size, MADV_FREE) ? errno : 0;
		igt_require_f(err != EINVAL, "kernel without MADV_FREE\n");
		igt_assert_eq(err, 0);
		break;
	case SWAPPED_IN:
		vup_paint(ptr, size, 50);
		page_out(ptr, size);
		/* fallthrough */
	default:
		look_at(ptr, size);
	}

	vup_bind_how(&v, how, ptr, va, size, false);
	vup_ok(&v, op_fill(va, size, 0xd1c7));
	page_out(ptr, size);
	vup_check_value(ptr, size, 0xd1c7);

	/* And once more, now that the device meets what came back from swap. */
	vup_ok(&v, op_xor(va, size, 0xff));
	page_out(ptr, size);
	vup_check_value(ptr, size, 0xd1c7 ^ 0xff);

	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	if (memfd >= 0)
		close(memfd);
}

static bool swapped_out(const char *ptr)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	igt_assert_fd(file);
	igt_assert_eq(pread(file, &entry, 8, (uintptr_t)ptr / page * 8), 8);
	close(file);
	return entry >> 62 & 1;
}

static void from_swap(enum vup_how how)
{
	size_t size = 16 * page, out = 0;
	char *ptr = vup_alloc(size);

	igt_require_f(vup_have_swap(), "no swap to reclaim pages to\n");
	vup_paint(ptr, size, 51);
	vup_bind_how(&v, how, ptr, va, size, false);
	for (uint32_t i = 1; i <= 20; i++) {
		page_out(ptr, size);
		for (size_t at = 0; at < size; at += page)
			out += swapped_out(ptr + at);
		/* The device first, then the CPU, and by turns */
		vup_ok(&v, op_xor(va + page, size - 2 * page, i));
		if (i & 1)
			page_out(ptr, size);
		for (size_t w = 0; w < size / 4; w++) {
			bool inner = w >= page / 4 && w < (size - page) / 4;

			igt_assert_eq_u32(((uint32_t *)ptr)[w], vup_word(51, w) ^ (inner ? i : 0));
		}
		vup_ok(&v, op_xor(va + page, size - 2 * page, i));
	}
	/* The kernel need not page everything out, but it has not been asked in vain. */
	igt_assert_lt_u64(0, out);
	vup_check_paint(ptr, size, 51);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

struct range {
	char *ptr;
	size_t size;
};

static void do_page_out(void *data)
{
	struct range *r = data;

	madvise(r->ptr, r->size, MADV_PAGEOUT);
}

static void busy(enum vup_how how)
{
	struct range r = { .ptr = vup_alloc(4 * page), .size = 4 * page };
	uint32_t *word = vup_alloc_word(), *out = vup_alloc(r.size);
	uint64_t out_va = VUP_VA(2);
	struct vup_caller c;
	uint32_t syncobj;
	bool blocked;

	igt_require_f(vup_have_swap(), "no swap to reclaim pages to\n");
	page_out(out, r.size);
	vup_paint(r.ptr, r.size, 52);
	vup_bind_how(&v, how, r.ptr, va, r.size, false);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, out, out_va, r.size, 0);
	vup_settle();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC),
			    op_copy(out_va, va, r.size), op_fill(va, r.size, 0xb5));
	vup_caller_start(&c, do_page_out, &r);
	blocked = vup_caller_blocked(&c);
	if (blocked)
		igt_assert_eq(vup_status(fd, syncobj), 1);
	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	igt_assert_f(blocked && !c.too_early, "pages were reclaimed from a running job\n");
	vup_check_paint(out, r.size, 52);
	vup_check_value(r.ptr, r.size, 0xb5);

	vup_unbind(&v, va, r.size);
	vup_unbind(&v, word_va, page);
	vup_unbind(&v, out_va, r.size);
	vup_unmap(r.ptr, r.size);
	vup_unmap(word, page);
	vup_unmap(out, r.size);
}

static void writeback(enum vup_how how)
{
	size_t size = 8 * page;
	int file = vup_real_file(size);
	char *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	uint32_t *back = vup_alloc(size);

	igt_require_f(ptr != MAP_FAILED, "no shared mappings on this file system\n");
	vup_bind_how(&v, how, ptr, va, size, false);
	for (uint32_t i = 1; i <= 10; i++) {
		vup_ok(&v, op_fill(va, size, i));
		/* Cleans and write-protects the pages, under the device's nose */
		igt_assert_eq(msync(ptr, size, MS_SYNC), 0);
		vup_ok(&v, op_fill(va, size / 2, 0x1000 + i));
		igt_assert_eq(msync(ptr, size, MS_SYNC), 0);

		/* Out of the page cache: what comes back was written. */
		igt_assert_eq(madvise(ptr, size, MADV_DONTNEED), 0);
		igt_assert_eq(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
		vup_file_write("/proc/sys/vm/drop_caches", "1");
		igt_assert_eq(pread(file, back, size, 0), size);
		vup_check_value(back, size / 2, 0x1000 + i);
		vup_check_value((char *)back + size / 2, size / 2, i);
		vup_check_value(ptr, size / 2, 0x1000 + i);
	}
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	vup_unmap(back, size);
	close(file);
}

/* Pages that were read before they were ever written to are clean. */
static void read_only_clean(enum vup_how how)
{
	size_t size = 4 * page;
	int memfd = vup_memfd(size);
	char *ptr = vup_map_memfd(NULL, memfd, size, 0);

	look_at(ptr, size);
	igt_require_f(!vup_page_flag(ptr, KPF_DIRTY), "this kernel's shmem pages are born dirty\n");
	vup_bind_how(&v, how, ptr, va, size, true);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	for (size_t at = 0; at < size; at += page)
		igt_assert_f(!vup_page_flag(ptr + at, KPF_DIRTY), "page at %#zx is dirty\n", at);
	vup_unbind(&v, va, size);

	/* That the flag would show is seen where it has to. */
	vup_bind_how(&v, how, ptr, va, size, false);
	vup_ok(&v, op_fill(va, size, 1));
	for (size_t at = 0; at < size; at += page)
		igt_assert_f(vup_page_flag(ptr + at, KPF_DIRTY), "page at %#zx is clean\n", at);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	close(memfd);
}

static size_t count_swapped(const char *ptr, size_t size)
{
	size_t out = 0;

	for (size_t at = 0; at < size; at += page)
		out += swapped_out(ptr + at);
	return out;
}

/*
 * In a child that is alone in a cgroup. Two halves, one of which the device
 * uses; then a quarter of both together has to go.
 */
static void use_half(enum vup_how how, size_t size, size_t out[2])
{
	char *ptr[2], amount[32];

	if (!vup_file_write(VUP_CGROUP "/cgroup.procs", "0"))
		_exit(1);
	for (int i = 0; i < 2; i++) {
		ptr[i] = vup_alloc(size);
		madvise(ptr[i], size, MADV_NOHUGEPAGE);
		vup_paint(ptr[i], size, 54 + i);
	}
	vup_bind_how(&v, how, ptr[0], va, size, false);
	/* What was just written to is young. The first look at it only notes that. */
	snprintf(amount, sizeof(amount), "%zu", size / 2);
	for (int i = 0; i < 8 && out[0] + out[1] < size / page / 4; i++) {
		vup_ok(&v, op_xor(va, size, 1));
		vup_file_write(VUP_CGROUP "/memory.reclaim", amount);
		for (int half = 0; half < 2; half++)
			out[half] = count_swapped(ptr[half], size);
	}
	vup_unbind(&v, va, size);
	_exit(0);
}

static void accessed(enum vup_how how)
{
	size_t size = 2048 * page;
	size_t *out = (size_t *)vup_map_memfd(NULL, vup_memfd(page), page, 0);
	int status, file;
	pid_t pid;

	igt_require_f(vup_have_swap(), "no swap to reclaim pages to\n");
	vup_cgroup_make("max", "max");
	igt_require_f(!access(VUP_CGROUP "/memory.reclaim", W_OK), "no memory.reclaim\n");
	pid = vup_fork();
	if (!pid) {
		file = drm_open_driver(DRIVER_VGEM);
		vup_init(&v, file);
		use_half(how, size, out);
	}
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	vup_cgroup_drop();

	igt_info("of %zu pages each, %zu that the device uses and %zu others were paged out\n",
		 size / page, out[0], out[1]);
	igt_assert_lt_u64(0, out[1]);
	igt_assert_lt_u64(2 * out[0], out[1]);
	vup_unmap(out, page);
}

static void storm_pageout(enum vup_how how)
{
	/* More than a CPU keeps to itself before others may reclaim it */
	size_t size = 48 * page;
	uint32_t *ptr = vup_alloc(size);
	struct iovec iov = { .iov_base = ptr, .iov_len = size };
	struct drm_vgem_vm_stats before, last, after;
	uint32_t done = 0, again = 0;
	int pidfd, status;
	uint64_t start;
	pid_t pid;

	igt_require_f(vup_have_swap(), "no swap to reclaim pages to\n");
	pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	igt_require_f(pidfd >= 0, "kernel without pidfd_open()\n");
	igt_require_f(syscall(SYS_process_madvise, pidfd, &iov, 1, MADV_PAGEOUT, 0) >= 0,
		      "kernel without process_madvise(MADV_PAGEOUT)\n");
	/* Pages that a child shares would be left alone. */
	igt_assert_eq(madvise(ptr, size, MADV_DONTFORK), 0);
	vup_bind_how(&v, how, ptr, va, size, false);
	vup_paint(ptr, size, 53);
	vup_stats(&v, &before);
	pid = vup_fork();
	if (!pid)
		for (;;)
			syscall(SYS_process_madvise, pidfd, &iov, 1, MADV_PAGEOUT, 0);

	/*
	 * Each page is gone again as soon as it is there. A submission may give
	 * up, but cleanly, and not as a rule.
	 */
	last = after = before;
	start = vup_now_ns();
	igt_until_timeout(VUP_PATIENCE_S) {
		const struct drm_vgem_op op = op_xor(va, size, ~0u);
		int err = __vup_run(&v, &op, 1);

		igt_assert_f(err == 0 || err == -EAGAIN, "after %u jobs: %d\n", done, err);
		if (err)
			again++;
		else
			done++;
		vup_stats(&v, &after);
		igt_assert_eq_u64(after.submits - last.submits, !err);
		last = after;
		/* Until there was a storm, which may take a busy machine a while. */
		if (vup_now_ns() - start > 3 * NSEC_PER_SEC &&
		    after.invalidations - before.invalidations > 10)
			break;
	}
	igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	close(pidfd);
	igt_info("%u jobs, %u with EAGAIN; %llu invalidations, %llu retries\n", done, again,
		 (unsigned long long)(after.invalidations - before.invalidations),
		 (unsigned long long)(after.retries - before.retries));
	igt_assert_lt_u64(10, after.invalidations - before.invalidations);
	igt_assert_lt(again, done);

	for (size_t i = 0; i < size / 4; i++)
		igt_assert_eq_u32(ptr[i], done & 1 ? ~vup_word(53, i) : vup_word(53, i));
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if pages are thrown away that only the device has written to "
		     "(2577b202458c).");
	igt_subtest_with_dynamic("lost-write")
		for (int clean = 0; clean < CLEANS; clean++)
			for (int how = 0; how < VUP_HOWS; how++)
				igt_dynamic_f("%s-%s", clean_name[clean], vup_how_name[how])
					lost_write(clean, how);

	igt_describe("Broken if the device reads old data, or a lock is taken that reclaim needs "
		     "(5ed93d5d96, CVE-2025-38373).");
	igt_subtest_with_dynamic("swapped-out")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				from_swap(how);

	igt_describe("Broken if reclaim takes pages from a running job (fbsd:043f723846).");
	igt_subtest_with_dynamic("busy")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				busy(how);

	igt_describe("Broken if a write after writeback is lost, or is made behind its file's back "
		     "(CVE-2022-49171).");
	igt_subtest_with_dynamic("writeback")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				writeback(how);

	igt_describe("Broken if reading makes pages dirty (fbsd:5a3475232b, fbsd:6fc999add6).");
	igt_subtest_with_dynamic("read-only-clean")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				read_only_clean(how);

	igt_describe("Broken if what only the device uses looks cold to reclaim.");
	igt_subtest_with_dynamic("accessed")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				accessed(how);

	igt_describe("Broken if submissions give up because the kernel reclaims "
		     "(fbsd:9b34556cf3, fbsd:2f467baccb).");
	igt_subtest_with_dynamic("storm-pageout")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				storm_pageout(how);

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
