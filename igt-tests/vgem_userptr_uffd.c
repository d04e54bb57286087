// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/userfaultfd.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr uffd
 * Description: Memory whose faults are handled in user space
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, userfaultfd
 * Test category: functionality test
 *
 * SUBTEST: armed-populated
 * Description: pages that are there need no handler
 *
 * SUBTEST: missing
 * Description: a submission waits for the handler, and its job sees what that put there
 *
 * SUBTEST: missing-probed
 * Description: creating an object that is probed waits for the handler
 *
 * SUBTEST: missing-does-not-hold-mm
 * Description: while a submission waits for the handler, the mm and other VMs go on
 *
 * SUBTEST: missing-handler-gone
 * Description: the handler is closed while a submission waits: memory is as without it
 *
 * SUBTEST: missing-refused
 * Description: where the process wants SIGBUS, not a handler, there is no memory
 *
 * SUBTEST: missing-killed
 * Description: a process is killed that waits for a handler that never answers
 *
 * SUBTEST: write-protect
 * Description: the device's write to a protected page waits for the handler, its read does not
 *
 * SUBTEST: minor
 * Description: a page that is in the file but not in the mapping
 */

IGT_TEST_DESCRIPTION("Memory whose faults are handled in user space.");

static int fd = -1;
static struct vup v;
static size_t page, size;
static const uint64_t va = VUP_VA(0), out_va = VUP_VA(1);
static uint32_t *out;

#define PAGES	4

static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	igt_require_f(uffd >= 0, "kernel without userfaultfd(), or no permission\n");
	igt_assert_eq(ioctl(uffd, UFFDIO_API, &api), 0);
	if (features) {
		igt_require_f((api.features & features) == features,
			      "kernel without this kind of userfaultfd\n");
		/* Each can be asked once, then it is in use. */
		close(uffd);
		uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		igt_assert_fd(uffd);
		api = (struct uffdio_api) { .api = UFFD_API, .features = features };
		igt_assert_eq(ioctl(uffd, UFFDIO_API, &api), 0);
	}
	return uffd;
}

static void uffd_register(int uffd, void *ptr, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)ptr, size }, .mode = mode,
	};

	igt_assert_eq(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
}

/* The address of the next fault, or 0 if there is none for a while */
static uint64_t uffd_next(int uffd, int patience_ms, uint64_t flags)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, patience_ms) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		return 0;
	igt_assert_eq(msg.event, UFFD_EVENT_PAGEFAULT);
	igt_assert_eq_u64(msg.arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WP |
						     UFFD_PAGEFAULT_FLAG_MINOR), flags);
	return msg.arg.pagefault.address & ~(uint64_t)(page - 1);
}

static void uffd_copy(int uffd, uint64_t at, const void *src)
{
	struct uffdio_copy copy = { .dst = at, .src = (uintptr_t)src, .len = page };

	igt_assert_eq(ioctl(uffd, UFFDIO_COPY, &copy), 0);
}

/* A submission in a thread of its own, since it is to wait for this one */
struct submission {
	struct drm_vgem_op op;
	uint32_t syncobj;
	int err;
};

static void submit(void *data)
{
	struct submission *s = data;

	s->err = __vup_submit(&v, &s->op, 1, &s->syncobj, NULL);
}

/* The first fault of a submission, which may also end without one */
static uint64_t first_fault(struct vup_caller *c, int uffd)
{
	uint64_t at = 0;

	igt_until_timeout(VUP_PATIENCE_S) {
		at = uffd_next(uffd, 10, 0);
		if (at || atomic_load(&c->done))
			break;
	}
	igt_assert_f(at, "nobody asked the handler\n");
	return at;
}

/* Handles faults with @handle until the submission is through; how many? */
static int serve(struct vup_caller *c, int uffd, uint64_t flags,
		 void (*handle)(int uffd, uint64_t at, const void *data), const void *data)
{
	int faults = 0;

	igt_until_timeout(VUP_PATIENCE_S) {
		uint64_t at;

		if (atomic_load(&c->done))
			break;
		at = uffd_next(uffd, 10, flags);
		if (!at)
			continue;
		handle(uffd, at, data);
		faults++;
	}
	igt_assert_f(atomic_load(&c->done), "after %d faults the submission still waits\n", faults);
	vup_caller_join(c);
	return faults;
}

struct source {
	const char *ptr;
	const char *src;
};

static void handle_missing(int uffd, uint64_t at, const void *data)
{
	const struct source *s = data;

	uffd_copy(uffd, at, s->src + (at - (uintptr_t)s->ptr));
}

static void armed_populated(bool read_only)
{
	int uffd = uffd_open(0);
	char *ptr = vup_alloc(size);

	vup_paint(ptr, size, 1);
	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MISSING);
	vup_bind_how(&v, VUP_RANGE, ptr, va, size, read_only);
	vup_ok(&v, op_crc32(va, size, out_va));
	igt_assert_eq_u32(*out, vup_crc32(ptr, size));
	igt_assert_eq_u64(uffd_next(uffd, 0, 0), 0);
	vup_unbind(&v, va, size);
	close(uffd);
	vup_unmap(ptr, size);
}

static void missing(bool shared, bool read_only)
{
	int uffd = uffd_open(shared ? UFFD_FEATURE_MISSING_SHMEM : 0), memfd = -1;
	char *ptr = vup_alloc(size), *src = vup_alloc(size);
	struct submission s = { .op = op_crc32(va, size, out_va) };
	struct source source = { ptr, src };
	struct vup_caller c;

	if (shared) {
		memfd = vup_memfd(size);
		vup_map_memfd(ptr, memfd, size, 0);
	}
	vup_paint(src, size, 2);
	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MISSING);
	vup_bind_how(&v, VUP_BO, ptr, va, size, read_only);
	/* One page is there already. */
	uffd_copy(uffd, (uintptr_t)ptr + page, src + page);
	vup_caller_start(&c, submit, &s);
	igt_assert_eq(serve(&c, uffd, 0, handle_missing, &source), PAGES - 1);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(vup_finish(fd, s.syncobj), 0);
	igt_assert_eq_u32(*out, vup_crc32(src, size));
	vup_check_paint(ptr, size, 2);

	if (!read_only) {
		/* Thrown away, so missing again; now the device writes. */
		igt_assert_eq(madvise(ptr, size, shared ? MADV_REMOVE : MADV_DONTNEED), 0);
		s.op = op_xor(va, size, ~0);
		vup_caller_start(&c, submit, &s);
		igt_assert_eq(serve(&c, uffd, 0, handle_missing, &source), PAGES);
		igt_assert_eq(s.err, 0);
		igt_assert_eq(vup_finish(fd, s.syncobj), 0);
		for (size_t i = 0; i < size / 4; i++)
			igt_assert_eq_u32(((uint32_t *)ptr)[i], ~vup_word(2, i));
	}
	vup_unbind(&v, va, size);
	close(uffd);
	vup_unmap(ptr, size);
	vup_unmap(src, size);
	if (memfd >= 0)
		close(memfd);
}

struct probe {
	char *ptr;
	uint32_t handle;
	int err;
};

static void probe(void *data)
{
	struct probe *p = data;

	p->err = __vup_userptr_create(fd, (uintptr_t)p->ptr, size, DRM_VGEM_USERPTR_PROBE,
				      &p->handle);
}

static void missing_probed(void)
{
	int uffd = uffd_open(0);
	char *src = vup_alloc(size);
	struct probe p = { .ptr = vup_alloc(size) };
	struct source source = { p.ptr, src };
	struct vup_caller c;

	vup_paint(src, size, 4);
	uffd_register(uffd, p.ptr, UFFDIO_REGISTER_MODE_MISSING);
	uffd_copy(uffd, (uintptr_t)p.ptr + page, src + page);
	vup_caller_start(&c, probe, &p);
	igt_assert_eq(serve(&c, uffd, 0, handle_missing, &source), PAGES - 1);
	igt_assert_eq(p.err, 0);
	vup_check_paint(p.ptr, size, 4);
	gem_close(fd, p.handle);
	close(uffd);
	vup_unmap(p.ptr, size);
	vup_unmap(src, size);
}

static void missing_does_not_hold_mm(void)
{
	int uffd = uffd_open(0);
	char *ptr = vup_alloc(size), *src = vup_alloc(size), *other = vup_alloc(size);
	struct submission s = { .op = op_crc32(va, size, out_va) };
	struct source source = { ptr, src };
	struct vup_caller c;
	struct vup w;
	uint64_t at;

	vup_paint(src, size, 3);
	vup_init(&w, fd);
	vup_bind_mem(&w, other, va, size, 0);
	vup_ok(&w, op_fill(va, size, 1));
	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MISSING);
	vup_bind_mem(&v, ptr, va, size, 0);
	vup_caller_start(&c, submit, &s);
	at = first_fault(&c, uffd);

	/* Takes the mmap_lock for writing, calls notifiers, populates, runs a job. */
	igt_set_timeout(VUP_PATIENCE_S, "going on beside a submission that waits");
	vup_map_fixed(other, size, PROT_READ | PROT_WRITE);
	vup_ok(&w, op_fill(va, size, 2));
	vup_check_value(other, size, 2);
	vup_unmap(other, size);
	igt_reset_timeout();
	igt_assert(!atomic_load(&c.done));

	handle_missing(uffd, at, &source);
	igt_assert_eq(serve(&c, uffd, 0, handle_missing, &source), PAGES - 1);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(vup_finish(fd, s.syncobj), 0);
	igt_assert_eq_u32(*out, vup_crc32(src, size));
	vup_fini(&w);
	vup_unbind(&v, va, size);
	close(uffd);
	vup_unmap(ptr, size);
	vup_unmap(src, size);
}

static void missing_handler_gone(void)
{
	int uffd = uffd_open(0);
	char *ptr = vup_alloc(size);
	struct submission s = { .op = op_fill(va, size, 5) };
	struct vup_caller c;

	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MISSING);
	vup_bind_mem(&v, ptr, va, size, 0);
	vup_caller_start(&c, submit, &s);
	first_fault(&c, uffd);
	close(uffd);
	vup_caller_join(&c);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(vup_finish(fd, s.syncobj), 0);
	vup_check_value(ptr, size, 5);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void missing_refused(bool read_only)
{
	int uffd = uffd_open(UFFD_FEATURE_SIGBUS);
	char *ptr = vup_alloc(size), *src = vup_alloc(size);
	struct drm_vgem_op op = op_crc32(va, size, out_va);

	vup_paint(src, size, 7);
	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MISSING);
	vup_bind_how(&v, VUP_BO, ptr, va, size, read_only);
	/* The first and the last page are there. */
	uffd_copy(uffd, (uintptr_t)ptr, src);
	uffd_copy(uffd, (uintptr_t)ptr + size - page, src + size - page);
	vup_refused(&v, &op, 1, -EFAULT, va + page);
	for (size_t at = page; at < size - page; at += page)
		uffd_copy(uffd, (uintptr_t)ptr + at, src + at);
	vup_ok(&v, op);
	igt_assert_eq_u32(*out, vup_crc32(src, size));
	vup_unbind(&v, va, size);
	close(uffd);
	vup_unmap(ptr, size);
	vup_unmap(src, size);
}

static void missing_killed(void)
{
	int life = vup_life_make(), status;
	struct vup_gate waiting;
	pid_t pid;

	vup_gate_init(&waiting);
	close(uffd_open(0));
	pid = vup_fork();
	if (!pid) {
		struct submission s = { .op = op_fill(va, size, 5) };
		struct vup_caller c;
		char *ptr;
		int uffd;

		vup_life_tie(life);
		fd = drm_open_driver(DRIVER_VGEM);
		vup_init(&v, fd);
		uffd = uffd_open(0);
		ptr = vup_alloc(size);
		uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MISSING);
		vup_bind_mem(&v, ptr, va, size, 0);
		vup_caller_start(&c, submit, &s);
		while (!uffd_next(uffd, 10, 0))
			if (atomic_load(&c.done))
				_exit(1);
		/* And never answers. */
		vup_gate_open(&waiting);
		for (;;)
			pause();
	}
	close(waiting.fd[1]);
	vup_gate_pass(&waiting);
	close(waiting.fd[0]);
	igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	vup_life_wait(life);
}

static void uffd_protect(int uffd, const void *ptr, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)ptr, len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	igt_assert_eq(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), 0);
}

static void handle_protect(int uffd, uint64_t at, const void *data)
{
	(void)data;
	uffd_protect(uffd, (void *)(uintptr_t)at, page, false);
}

static void write_protect(void)
{
	int uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	char *ptr = vup_alloc(size);
	struct submission s = { .op = op_xor(va, size, ~0) };
	struct vup_caller c;

	vup_paint(ptr, size, 4);
	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_WP);
	uffd_protect(uffd, ptr, size, true);

	/* Reading is nobody's business. */
	vup_bind_how(&v, VUP_RANGE, ptr, va, size, true);
	vup_ok(&v, op_crc32(va, size, out_va));
	igt_assert_eq_u32(*out, vup_crc32(ptr, size));
	igt_assert_eq_u64(uffd_next(uffd, 0, 0), 0);
	vup_unbind(&v, va, size);

	vup_bind_how(&v, VUP_RANGE, ptr, va, size, false);
	vup_caller_start(&c, submit, &s);
	igt_assert_eq(serve(&c, uffd, UFFD_PAGEFAULT_FLAG_WP, handle_protect, NULL), PAGES);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(vup_finish(fd, s.syncobj), 0);
	for (size_t i = 0; i < size / 4; i++)
		igt_assert_eq_u32(((uint32_t *)ptr)[i], ~vup_word(4, i));

	/* Protected under a device that may write: it has to ask again, for that page. */
	uffd_protect(uffd, ptr + 2 * page, page, true);
	vup_caller_start(&c, submit, &s);
	igt_assert_eq(serve(&c, uffd, UFFD_PAGEFAULT_FLAG_WP, handle_protect, NULL), 1);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(vup_finish(fd, s.syncobj), 0);
	vup_check_paint(ptr, size, 4);
	vup_unbind(&v, va, size);
	close(uffd);
	vup_unmap(ptr, size);
}

static void handle_minor(int uffd, uint64_t at, const void *data)
{
	const struct source *s = data;
	struct uffdio_continue cont = { .range = { at, page } };

	/* The handler may change it, by another way, before it lets others see it. */
	memcpy((char *)s->src + (at - (uintptr_t)s->ptr), "seen", 4);
	igt_assert_eq(ioctl(uffd, UFFDIO_CONTINUE, &cont), 0);
}

static void minor(bool read_only)
{
	int uffd = uffd_open(UFFD_FEATURE_MINOR_SHMEM), memfd = vup_memfd(size);
	char *ptr = vup_map_memfd(NULL, memfd, size, 0);
	char *alias = vup_map_memfd(NULL, memfd, size, 0);
	struct submission s = { .op = op_crc32(va, size, out_va) };
	struct source source = { ptr, alias };
	struct vup_caller c;

	vup_paint(alias, size, 6);
	uffd_register(uffd, ptr, UFFDIO_REGISTER_MODE_MINOR);
	vup_bind_how(&v, VUP_BO, ptr, va, size, read_only);
	vup_caller_start(&c, submit, &s);
	igt_assert_eq(serve(&c, uffd, UFFD_PAGEFAULT_FLAG_MINOR, handle_minor, &source), PAGES);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(vup_finish(fd, s.syncobj), 0);
	igt_assert(!memcmp(alias, "seen", 4));
	igt_assert_eq_u32(*out, vup_crc32(alias, size));
	vup_unbind(&v, va, size);
	close(uffd);
	vup_unmap(ptr, size);
	vup_unmap(alias, size);
	close(memfd);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		size = PAGES * page;
		fd = vup_open();
		vup_init(&v, fd);
		out = vup_alloc(page);
		vup_bind_mem(&v, out, out_va, page, 0);
		/* Populated, so that only what is tested has to wait */
		vup_ok(&v, op_fill(out_va, page, 0));
	}

	igt_describe("Broken if a handler that nobody needs makes memory unusable.");
	igt_subtest_with_dynamic("armed-populated") {
		igt_dynamic("writable")
			armed_populated(false);
		igt_dynamic("read-only")
			armed_populated(true);
	}

	igt_describe("Broken if the handler is not asked, or its page is not what is used.");
	igt_subtest_with_dynamic("missing") {
		igt_dynamic("anon-writable")
			missing(false, false);
		igt_dynamic("anon-read-only")
			missing(false, true);
		igt_dynamic("shmem-writable")
			missing(true, false);
		igt_dynamic("shmem-read-only")
			missing(true, true);
	}

	igt_describe("Broken if probing fails where the handler would have helped.");
	igt_subtest("missing-probed")
		missing_probed();

	igt_describe("Broken if the handler is waited for with a lock that others need.");
	igt_subtest("missing-does-not-hold-mm")
		missing_does_not_hold_mm();

	igt_describe("Broken if a handler that is gone is waited for.");
	igt_subtest("missing-handler-gone")
		missing_handler_gone();

	igt_describe("Broken if a handler that never comes is waited for, or the job sees nothing.");
	igt_subtest_with_dynamic("missing-refused") {
		igt_dynamic("writable")
			missing_refused(false);
		igt_dynamic("read-only")
			missing_refused(true);
	}

	igt_describe("Broken if a handler can keep a process from dying.");
	igt_subtest("missing-killed")
		missing_killed();

	igt_describe("Broken if the device writes where the handler said not yet.");
	igt_subtest("write-protect")
		write_protect();

	igt_describe("Broken if the device sees a page before the handler lets it.");
	igt_subtest_with_dynamic("minor") {
		igt_dynamic("writable")
			minor(false);
		igt_dynamic("read-only")
			minor(true);
	}

	igt_fixture() {
		vup_fini(&v);
		vup_unmap(out, page);
		drm_close_driver(fd);
	}
}
