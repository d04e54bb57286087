// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/dma-buf.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr export
 * Description: userptrs as dma-bufs, for other files, processes and drivers
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, dma-buf
 * Test category: functionality test
 *
 * SUBTEST: other-file
 * Description: a userptr reaches another file, by a dma-buf, and the same memory is seen there
 *
 * SUBTEST: passed
 * Description: another process gets it by a socket; it may use it by the dma-buf alone
 *
 * SUBTEST: back
 * Description: imported where it comes from it is what it was, and exported again the same
 *
 * SUBTEST: read-only
 * Description: a read-only userptr is read-only for importers, whatever they say
 *
 * SUBTEST: busy-munmap
 * Description: the owner's munmap waits for an importer's job, and takes the memory from it
 *
 * SUBTEST: revival
 * Description: an importer gets EFAULT with the address, and memory that is mapped there anew
 *
 * SUBTEST: owner-%s
 * Description: the owner %arg[1] while an importer's job runs
 * arg[1].values: exits, is-killed, execs
 *
 * SUBTEST: mmap
 * Description: a dma-buf of a userptr cannot be mapped, in no way
 *
 * SUBTEST: elsewhere
 * Description: a driver that knows nothing of userptrs can import one, and not map it
 *
 * SUBTEST: fences
 * Description: fences that user space adds to the dma-buf hold up neither mm nor jobs
 *
 * SUBTEST: sync
 * Description: DMA_BUF_IOCTL_SYNC and EXPORT_SYNC_FILE on a userptr
 *
 * SUBTEST: pinned
 * Description: what is pinned is given back when it is unmapped and nobody has it any more
 *
 * SUBTEST: storm
 * Description: the owner changes its mappings at full rate, both sides submit
 */

IGT_TEST_DESCRIPTION("Userptrs as dma-bufs: the same memory, in another process.");

#define RELEASE	0x60606060

static int fd = -1;
static struct vup v;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1), out_va = VUP_VA(2);

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

static void reap(pid_t pid)
{
	int status;

	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_f(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x\n", status);
}

/* Userptrs as dma-bufs */

struct shared {
	char *ptr;
	size_t size;
	uint32_t handle;
	int dmabuf;
};

static struct shared share(size_t size, uint32_t flags)
{
	struct shared s = { .ptr = vup_alloc_windows(size), .size = size };

	vup_paint(s.ptr, size, 1);
	s.handle = vup_userptr_create(fd, s.ptr, size, flags);
	s.dmabuf = export_from(fd, s.handle);
	return s;
}

static void share_end(struct shared *s)
{
	gem_close(fd, s->handle);
	close(s->dmabuf);
	vup_unmap(s->ptr, s->size);
}

static void export_other_file(void)
{
	struct shared s = share(VUP_WINDOW + 4 * page, 0);
	int file = drm_reopen_driver(fd);
	uint32_t handle = import_to(file, s.dmabuf);
	struct vup w;

	vup_init(&w, file);
	vup_bind_bo(&w, handle, va, s.size, 0, 0);
	igt_assert_eq_u32(vup_device_crc(&w, va, s.size), vup_crc32(s.ptr, s.size));
	vup_ok(&w, op_fill(va + VUP_WINDOW, page, 2));
	vup_check_paint(s.ptr, VUP_WINDOW, 1);
	vup_check_value(s.ptr + VUP_WINDOW, page, 2);
	/* Part of it, at the end */
	vup_bind_bo(&w, handle, out_va, 2 * page, VUP_WINDOW + 2 * page, 0);
	vup_ok(&w, op_fill(out_va, 2 * page, 3));
	vup_check_value(s.ptr + VUP_WINDOW + 2 * page, 2 * page, 3);

	/* What is mapped there anew is what is seen. */
	vup_map_fixed(s.ptr, s.size, PROT_READ | PROT_WRITE);
	vup_paint(s.ptr, s.size, 4);
	igt_assert_eq_u32(vup_device_crc(&w, va, s.size), vup_crc32(s.ptr, s.size));
	vup_fini(&w);
	drm_close_driver(file);
	share_end(&s);
}

/*
 * An importer in another process. It does what it is told by a byte, and answers
 * by another: 0, or what went wrong.
 */
struct importer {
	pid_t pid;
	int socket;
};

enum request {
	RUN = 'r',		/* fill all of it, and see that it is there */
	REFUSED = 'x',		/* be refused, EFAULT for the byte at @value */
	START = 's',		/* a job that runs until @word says so, then fills */
	FINISH = 'f',		/* how did it go? */
	WRITES = 'w',		/* a job that writes fails */
	QUIT = 'q',
};

struct told {
	uint8_t order;
	uint32_t value;
};

static uint32_t importer_do(struct vup *w, const struct told *t, size_t size, uint32_t *syncobj)
{
	const struct drm_vgem_op fill = op_fill(va, size, t->value);
	uint64_t addr = 0;
	uint32_t none;
	int err;

	switch (t->order) {
	case RUN:
		return -__vup_run(w, &fill, 1);
	case REFUSED:
		err = __vup_submit(w, &fill, 1, &none, &addr);
		return err == -EFAULT && addr == va + t->value ? 0 : 1000 - err;
	case START:
		*syncobj = vup_start(w, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC), fill);
		return 0;
	case FINISH:
		return -vup_finish(w->fd, *syncobj);
	case WRITES:
		return -__vup_run(w, &fill, 1) == EFAULT ? 0 : 1;
	}
	return 1000;
}

static void importer_main(int socket, uint32_t *word, size_t size, uint32_t bind_flags)
{
	int file = drm_open_driver(DRIVER_VGEM), dmabuf = vup_receive_file(socket);
	uint32_t handle = import_to(file, dmabuf), syncobj = 0, answer;
	struct told t;
	struct vup w;

	close(dmabuf);
	vup_init(&w, file);
	vup_bind_bo(&w, handle, va, size, 0, bind_flags);
	vup_bind_mem(&w, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	gem_close(file, handle);
	while (read(socket, &t, sizeof(t)) == sizeof(t) && t.order != QUIT) {
		answer = importer_do(&w, &t, size, &syncobj);
		if (write(socket, &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
	vup_fini(&w);
	_exit(0);
}

/* A page that both see, for jobs to look at */
static uint32_t *shared_word(void)
{
	uint32_t *word = vup_map_memfd(NULL, vup_memfd(page), page, 0);

	*word = 0;
	return word;
}

static struct importer importer_start(const struct shared *s, uint32_t *word, uint32_t bind_flags)
{
	struct importer i;
	int pair[2];

	igt_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	i.pid = vup_fork();
	if (!i.pid) {
		close(pair[0]);
		importer_main(pair[1], word, s->size, bind_flags);
	}
	close(pair[1]);
	i.socket = pair[0];
	vup_send_file(i.socket, s->dmabuf);
	return i;
}

static uint32_t importer_tell(struct importer *i, enum request what, uint32_t value)
{
	const struct told t = { .order = what, .value = value };
	uint32_t answer = ~0;

	igt_assert_eq(write(i->socket, &t, sizeof(t)), sizeof(t));
	igt_assert_f(read(i->socket, &answer, sizeof(answer)) == sizeof(answer),
		     "the importer is gone\n");
	return answer;
}

static void importer_end(struct importer *i)
{
	const struct told t = { .order = QUIT };

	igt_assert_eq(write(i->socket, &t, sizeof(t)), sizeof(t));
	reap(i->pid);
	close(i->socket);
}

static void export_passed(void)
{
	struct shared s = share(VUP_WINDOW + 4 * page, 0);
	uint32_t *word = shared_word();
	struct importer i = importer_start(&s, word, 0);

	igt_assert_eq(importer_tell(&i, RUN, 2), 0);
	vup_check_value(s.ptr, s.size, 2);
	/* All that is left is what the importer has. */
	gem_close(fd, s.handle);
	close(s.dmabuf);
	vup_map_fixed(s.ptr, page, PROT_READ | PROT_WRITE);
	igt_assert_eq(importer_tell(&i, RUN, 3), 0);
	vup_check_value(s.ptr, s.size, 3);
	importer_end(&i);
	vup_unmap(s.ptr, s.size);
	vup_unmap(word, page);
}

static void export_back(void)
{
	struct shared s = share(4 * page, 0);
	int file = drm_reopen_driver(fd), again;
	uint32_t other;
	struct stat st[2];

	/* The same handle, where it comes from */
	igt_assert_eq_u32(import_to(fd, s.dmabuf), s.handle);
	/* The same dma-buf, from where it was imported */
	other = import_to(file, s.dmabuf);
	again = export_from(file, other);
	igt_assert_eq(fstat(s.dmabuf, &st[0]), 0);
	igt_assert_eq(fstat(again, &st[1]), 0);
	igt_assert_eq_u64(st[0].st_ino, st[1].st_ino);
	close(again);
	/* And exported once more where it comes from */
	again = export_from(fd, s.handle);
	igt_assert_eq(fstat(again, &st[1]), 0);
	igt_assert_eq_u64(st[0].st_ino, st[1].st_ino);
	close(again);
	drm_close_driver(file);

	vup_bind_bo(&v, s.handle, va, s.size, 0, 0);
	vup_ok(&v, op_fill(va, s.size, 2));
	vup_check_value(s.ptr, s.size, 2);
	vup_unbind(&v, va, s.size);
	share_end(&s);
}

static void export_read_only(void)
{
	struct shared s = share(4 * page, DRM_VGEM_USERPTR_READ_ONLY);
	uint32_t *word = shared_word();
	struct importer i = importer_start(&s, word, 0);

	igt_assert_eq(importer_tell(&i, WRITES, 2), 0);
	vup_check_paint(s.ptr, s.size, 1);
	importer_end(&i);
	share_end(&s);
	vup_unmap(word, page);

	/* A binding that is read-only, of memory that is not */
	s = share(4 * page, 0);
	word = shared_word();
	i = importer_start(&s, word, DRM_VGEM_VM_BIND_READ_ONLY);
	igt_assert_eq(importer_tell(&i, WRITES, 2), 0);
	vup_check_paint(s.ptr, s.size, 1);
	importer_end(&i);
	share_end(&s);
	vup_unmap(word, page);
}

static void call_munmap(void *data)
{
	struct shared *s = data;

	munmap(s->ptr, s->size);
}

static void export_busy_munmap(void)
{
	struct shared s = share(4 * page, 0);
	uint32_t *word = shared_word();
	struct importer i = importer_start(&s, word, 0);
	struct vup_caller c;

	igt_assert_eq(importer_tell(&i, START, 2), 0);
	vup_settle();
	vup_caller_start(&c, call_munmap, &s);
	igt_assert_f(vup_caller_blocked(&c), "munmap did not wait for another process's job\n");
	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert(!c.too_early);
	igt_assert_eq(importer_tell(&i, FINISH, 0), 0);
	igt_assert_eq(importer_tell(&i, REFUSED, 0), 0);
	importer_end(&i);
	gem_close(fd, s.handle);
	close(s.dmabuf);
	vup_unmap(word, page);
}

static void export_revival(void)
{
	struct shared s = share(4 * page, 0);
	uint32_t *word = shared_word();
	struct importer i = importer_start(&s, word, 0);

	igt_assert_eq(importer_tell(&i, RUN, 2), 0);
	for (int n = 0; n < 10; n++) {
		vup_unmap(s.ptr + 2 * page, page);
		igt_assert_eq(importer_tell(&i, REFUSED, 2 * page), 0);
		vup_map_fixed(s.ptr + 2 * page, page, PROT_READ | PROT_WRITE);
		igt_assert_eq(importer_tell(&i, RUN, 4 + n), 0);
		vup_check_value(s.ptr, s.size, 4 + n);
	}
	importer_end(&i);
	share_end(&s);
	vup_unmap(word, page);
}

enum ending {
	EXITS,
	IS_KILLED,
	EXECS,
};

static __attribute__((constructor)) void after_exec(void)
{
	/* What the owner becomes: it tells that it is there, and waits for its end. */
	if (getenv("VGEM_USERPTR_EXPORT_EXEC")) {
		if (write(3, "e", 1) == 1)
			pause();
		_exit(0);
	}
}

/* The other way round: the owner is a child, the importer is here. */
static void export_owner_ends(enum ending ending)
{
	int pair[2], life = vup_life_make(), report[2], dmabuf, status;
	const size_t size = 4 * page;
	uint32_t *word = shared_word(), handle, syncobj, none;
	struct vup_gate go;
	uint64_t addr = 0;
	pid_t pid;

	igt_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	igt_assert_eq(pipe(report), 0);
	vup_gate_init(&go);
	pid = vup_fork();
	if (!pid) {
		int file = drm_open_driver(DRIVER_VGEM);
		char *ptr = vup_alloc(size);

		vup_life_tie(life);
		vup_paint(ptr, size, 1);
		vup_send_file(pair[1], export_from(file, vup_userptr_create(file, ptr, size, 0)));
		vup_gate_pass(&go);
		if (ending == EXECS) {
			char self[] = "/proc/self/exe", *argv[] = { self, NULL };
			char env[] = "VGEM_USERPTR_EXPORT_EXEC=1", *envp[] = { env, NULL };

			dup2(report[1], 3);
			execve(self, argv, envp);
		}
		_exit(0);
	}
	dmabuf = vup_receive_file(pair[0]);
	handle = import_to(fd, dmabuf);
	close(dmabuf);
	vup_bind_bo(&v, handle, va, size, 0, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_ok(&v, op_xor(va, size, ~0));
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 8 * NSEC_PER_SEC), op_xor(va, size, ~0));

	if (ending == IS_KILLED)
		igt_assert_eq(kill(pid, SIGKILL), 0);
	vup_gate_open(&go);
	igt_assert_f(vup_process_blocked(pid) || ending == IS_KILLED,
		     "the owner went without a wait\n");
	igt_assert_eq(vup_status(fd, syncobj), 1);
	igt_assert(!vup_life_over(life));
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	if (ending == EXECS) {
		char byte;

		igt_assert_eq(read(report[0], &byte, 1), 1);
		igt_assert_eq(kill(pid, SIGKILL), 0);
	}
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	vup_life_wait(life);

	{
		const struct drm_vgem_op op = op_xor(va, size, ~0);

		igt_assert_eq(__vup_submit(&v, &op, 1, &none, &addr), -EFAULT);
		igt_assert_eq_u64(addr, va);
	}
	vup_unbind(&v, va, size);
	vup_unbind(&v, word_va, page);
	gem_close(fd, handle);
	vup_gate_fini(&go);
	vup_unmap(word, page);
	close(pair[0]);
	close(pair[1]);
	close(report[0]);
	close(report[1]);
}

static void no_mmap(void *addr, size_t size, int prot, int flags, int file, off_t offset)
{
	igt_assert(mmap(addr, size, prot, flags, file, offset) == MAP_FAILED);
	igt_assert_eq(errno, ENODEV);
	errno = 0;
}

static void export_mmap(uint32_t flags)
{
	struct shared s = share(4 * page, flags);
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE };
	static const int kinds[] = { MAP_SHARED, MAP_PRIVATE };
	int file = drm_reopen_driver(fd);
	struct drm_mode_map_dumb map = { .handle = import_to(file, s.dmabuf) };
	char *place = vup_alloc(4 * page);

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++)
		for (size_t j = 0; j < ARRAY_SIZE(kinds); j++) {
			no_mmap(NULL, s.size, prots[i], kinds[j], s.dmabuf, 0);
			no_mmap(NULL, page, prots[i], kinds[j], s.dmabuf, page);
			no_mmap(place, page, prots[i], kinds[j] | MAP_FIXED | MAP_POPULATE,
				s.dmabuf, 0);
		}
	/* By way of the object that it is imported as */
	if (!igt_ioctl(file, DRM_IOCTL_MODE_MAP_DUMB, &map))
		no_mmap(NULL, s.size, PROT_READ, MAP_SHARED, file, map.offset);
	errno = 0;
	drm_close_driver(file);
	vup_check_paint(s.ptr, s.size, 1);
	vup_unmap(place, 4 * page);
	share_end(&s);
}

static void export_elsewhere(uint32_t flags)
{
	int device = drm_open_driver(DRIVER_VKMS);
	struct shared s = share(4 * page, flags);
	struct drm_mode_map_dumb map = { .handle = import_to(device, s.dmabuf) };

	if (!igt_ioctl(device, DRM_IOCTL_MODE_MAP_DUMB, &map))
		no_mmap(NULL, s.size, PROT_READ, MAP_SHARED, device, map.offset);
	errno = 0;
	/* To have been attached is no reason to be waited for. */
	vup_map_fixed(s.ptr, s.size, PROT_READ | PROT_WRITE);
	gem_close(device, map.handle);
	drm_close_driver(device);
	share_end(&s);
}

static uint32_t user_fence_attach(int file, uint32_t handle)
{
	struct {
		uint32_t handle, flags, out_fence, pad;
	} arg = { .handle = handle, .flags = 1 };

	igt_assert_eq(igt_ioctl(file, DRM_IOWR(DRM_COMMAND_BASE + 0x1, typeof(arg)), &arg), 0);
	return arg.out_fence;
}

static void export_fences(void)
{
	struct shared s = share(4 * page, 0);
	int file = drm_reopen_driver(fd);
	uint32_t handle = import_to(file, s.dmabuf), dumb = vup_dumb_create(file, page);
	struct dma_buf_export_sync_file from = { .flags = DMA_BUF_SYNC_RW, .fd = -1 };
	struct dma_buf_import_sync_file to = { .flags = DMA_BUF_SYNC_RW };
	int plain = export_from(file, dumb);
	struct vup w;

	/* A fence that nobody signals, on what is imported, and by a sync file */
	user_fence_attach(file, handle);
	user_fence_attach(file, dumb);
	igt_assert_eq(ioctl(plain, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &from), 0);
	to.fd = from.fd;
	igt_assert_eq(ioctl(s.dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &to), 0);

	vup_init(&w, file);
	vup_bind_bo(&w, handle, va, s.size, 0, 0);
	igt_set_timeout(5, "a fence of user space");
	for (int i = 0; i < 20; i++) {
		vup_ok(&w, op_fill(va, s.size, i));
		vup_check_value(s.ptr, s.size, i);
		vup_map_fixed(s.ptr, s.size, PROT_READ | PROT_WRITE);
	}
	igt_reset_timeout();
	vup_fini(&w);
	close(from.fd);
	close(plain);
	drm_close_driver(file);
	share_end(&s);
}

static void export_sync(void)
{
	struct shared s = share(4 * page, 0);
	static const uint64_t access[] = { DMA_BUF_SYNC_READ, DMA_BUF_SYNC_WRITE, DMA_BUF_SYNC_RW };
	struct dma_buf_sync bad = { .flags = ~0ull };

	for (size_t i = 0; i < ARRAY_SIZE(access); i++) {
		struct dma_buf_export_sync_file from = { .flags = access[i], .fd = -1 };
		struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | access[i] };

		igt_assert_eq(ioctl(s.dmabuf, DMA_BUF_IOCTL_SYNC, &sync), 0);
		sync.flags = DMA_BUF_SYNC_END | access[i];
		igt_assert_eq(ioctl(s.dmabuf, DMA_BUF_IOCTL_SYNC, &sync), 0);
		igt_assert_eq(ioctl(s.dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &from), 0);
		close(from.fd);
	}
	igt_assert_eq(ioctl(s.dmabuf, DMA_BUF_IOCTL_SYNC, &bad), -1);
	igt_assert_eq(errno, EINVAL);
	errno = 0;
	share_end(&s);
}

/* In KiB */
static long locked(void)
{
	return vup_file_number("/proc/self/status", "VmLck");
}

static void locked_soon(long value)
{
	/* A worker gives it back, and nothing tells when. */
	igt_until_timeout(VUP_PATIENCE_S) {
		if (locked() == value)
			return;
		sched_yield();
	}
	igt_assert_eq(locked(), value);
}

static void export_pinned(void)
{
	long before = locked(), kib = 4 * page / 1024;
	struct shared s = share(4 * page, DRM_VGEM_USERPTR_PIN);
	int file = drm_reopen_driver(fd);
	uint32_t handle = import_to(file, s.dmabuf);
	char *copy = vup_alloc(4 * page);
	struct vup w;

	vup_init(&w, file);
	vup_bind_bo(&w, handle, va, s.size, 0, 0);
	vup_bind_mem(&w, copy, out_va, s.size, 0);
	vup_ok(&w, op_copy(out_va, va, s.size));
	vup_check_paint(copy, s.size, 1);
	igt_assert_eq(locked(), before + kib);

	/* What is bound stays, and waits for nobody. */
	vup_unmap(s.ptr, s.size);
	vup_map_fixed(copy, 4 * page, PROT_READ | PROT_WRITE);
	vup_ok(&w, op_copy(out_va, va, s.size));
	vup_check_paint(copy, s.size, 1);
	igt_assert_eq(locked(), before + kib);

	/* With the last binding it is given back, though all handles are there. */
	vup_unbind(&w, va, s.size);
	locked_soon(before);
	vup_bind_bo(&w, handle, va, s.size, 0, 0);
	vup_refuse(&w, -EFAULT, va, op_fill(va, s.size, 2));
	vup_fini(&w);
	drm_close_driver(file);
	gem_close(fd, s.handle);
	close(s.dmabuf);
	vup_unmap(copy, 4 * page);
}

/* Each process's job puts its own value there, or the owner mapped it anew. */
static void storm(void)
{
	struct shared s = share(4 * page, 0);
	uint32_t *word = shared_word(), rounds = 0, refused = 0;
	struct importer i[2] = {
		importer_start(&s, word, 0), importer_start(&s, word, 0),
	};

	vup_bind_bo(&v, s.handle, va, s.size, 0, 0);
	igt_until_timeout(4) {
		uint32_t value = 100 + rounds % 2, answer;

		if (rounds % 3 == 0)
			vup_map_fixed(s.ptr + (rounds % 4) * page, page, PROT_READ | PROT_WRITE);
		if (rounds % 7 == 0)
			vup_unmap(s.ptr + 3 * page, page);
		answer = importer_tell(&i[rounds % 2], RUN, value);
		if (rounds % 7 == 0) {
			igt_assert_eq(answer, EFAULT);
			refused++;
			vup_map_fixed(s.ptr + 3 * page, page, PROT_READ | PROT_WRITE);
		} else {
			igt_assert_eq(answer, 0);
			vup_check_value(s.ptr, s.size, value);
		}
		vup_ok(&v, op_xor(va, s.size, 0xff));
		rounds++;
	}
	igt_info("%u rounds, %u refused\n", rounds, refused);
	for (int n = 0; n < 2; n++)
		importer_end(&i[n]);
	vup_unbind(&v, va, s.size);
	share_end(&s);
	vup_unmap(word, page);
}

int igt_main()
{
	static const char * const endings[] = { "exits", "is-killed", "execs" };

	igt_fixture() {
		fd = vup_open();
		page = vup_page();
		vup_init(&v, fd);
	}

	igt_describe("Broken if an importer sees other memory than the owner has.");
	igt_subtest("other-file")
		export_other_file();

	igt_describe("Broken if a dma-buf is no way to another process.");
	igt_subtest("passed")
		export_passed();

	igt_describe("Broken if a userptr that comes back is another one (CVE-2026-43498).");
	igt_subtest("back")
		export_back();

	igt_describe("Broken if read-only ends at the dma-buf.");
	igt_subtest("read-only")
		export_read_only();

	igt_describe("Broken if the owner gets its pages back while another process's job uses them.");
	igt_subtest("busy-munmap")
		export_busy_munmap();

	igt_describe("Broken if an importer is not told what is missing, or does not see it come back.");
	igt_subtest("revival")
		export_revival();

	for (int i = 0; i < 3; i++) {
		igt_describe("Broken if the end of the owner leaves pages to an importer.");
		igt_subtest_f("owner-%s", endings[i])
			export_owner_ends(i);
	}

	igt_describe("Broken if there is a second CPU mapping of the pages (fbsd:19d2875023).");
	igt_subtest_with_dynamic("mmap") {
		igt_dynamic("userptr")
			export_mmap(0);
		igt_dynamic("pinned")
			export_mmap(DRM_VGEM_USERPTR_PIN);
		igt_dynamic("read-only")
			export_mmap(DRM_VGEM_USERPTR_READ_ONLY);
	}

	igt_describe("Broken if somebody who only attaches is refused, or holds up the mm.");
	igt_subtest_with_dynamic("elsewhere") {
		igt_dynamic("userptr")
			export_elsewhere(0);
		igt_dynamic("pinned")
			export_elsewhere(DRM_VGEM_USERPTR_PIN);
	}

	igt_describe("Broken if fences of user space hold the mm hostage.");
	igt_subtest("fences")
		export_fences();

	igt_describe("Broken if what works on any dma-buf does not on this one.");
	igt_subtest("sync")
		export_sync();

	igt_describe("Broken if pins outlive who needs them.");
	igt_subtest("pinned")
		export_pinned();

	igt_describe("Broken if several processes at one userptr see or write what is not theirs.");
	igt_subtest("storm")
		storm();

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
