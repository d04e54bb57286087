// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr delay
 * Description: How long calls into the mm take, and because of whose jobs
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, invalidation
 * Test category: functionality test
 *
 * SUBTEST: munmap-beside
 * Description: munmap while another process's jobs of half a second run one after the other
 *
 * SUBTEST: munmap-beside-shared
 * Description: the same, of memory that those jobs write to through the other process
 */

IGT_TEST_DESCRIPTION("A job delays the process whose memory it uses, and nobody else.");

#define SAMPLES	400
#define JOB_NS	(NSEC_PER_SEC / 2)

static int fd = -1;
static size_t page, size;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

/* Until it is killed: as soon as a job is done the next one runs. */
static void run_jobs(int memfd, struct vup_gate *running)
{
	uint32_t *word = vup_alloc_word(), syncobj[2];
	int file = drm_open_driver(DRIVER_VGEM);
	char *ptr = vup_map_memfd(NULL, memfd, size, 0);
	struct vup v;

	vup_init(&v, file);
	vup_bind_mem(&v, ptr, va, size, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	syncobj[0] = vup_start(&v, op_spin(word_va, 1, JOB_NS), op_fill(va, size, 1));
	vup_gate_open(running);
	for (int i = 1;; i = !i) {
		syncobj[i] = vup_start(&v, op_spin(word_va, 1, JOB_NS), op_fill(va, size, 1));
		if (vup_finish(file, syncobj[!i]))
			_exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void munmap_beside(bool shared)
{
	uint64_t took[SAMPLES], begin;
	struct vup_gate running;
	char *ptr, *place;
	struct vup v;
	int memfd;
	pid_t pid;

	memfd = vup_memfd(size);
	vup_gate_init(&running);
	pid = vup_fork();
	if (!pid)
		run_jobs(memfd, &running);
	vup_gate_pass(&running);

	place = vup_reserve(size, page);
	vup_init(&v, fd);
	for (int i = 0; i < SAMPLES; i++) {
		if (shared)
			ptr = vup_map_memfd(place, memfd, size, 0);
		else
			ptr = vup_map_fixed(place, size, PROT_READ | PROT_WRITE);
		igt_assert(ptr == place);
		if (!i)
			vup_bind_mem(&v, ptr, va, size, 0);
		/* The device has all of it when it goes. */
		vup_ok(&v, op_fill(va, size, i));
		begin = vup_now_ns();
		vup_unmap(ptr, size);
		took[i] = vup_now_ns() - begin;
	}

	/* Its jobs ran all the time, and all was well with them. */
	igt_assert_eq(waitpid(pid, NULL, WNOHANG), 0);
	igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, NULL, 0), pid);

	qsort(took, SAMPLES, sizeof(*took), compare);
	igt_info("munmap took %.3f ms (median), %.3f ms (99 in 100), %.3f ms (longest)\n",
		 took[SAMPLES / 2] / 1e6, took[SAMPLES * 99 / 100] / 1e6,
		 took[SAMPLES - 1] / 1e6);
	/* Who waits for a job waits for half of one on average. */
	igt_assert_lt_u64(took[SAMPLES * 99 / 100], JOB_NS / 5);

	vup_fini(&v);
	vup_gate_fini(&running);
	close(memfd);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		size = 4 * page;
		fd = vup_open();
	}

	igt_describe("Broken if a job delays those whose memory it does not use.");
	igt_subtest("munmap-beside")
		munmap_beside(false);

	igt_describe("Broken if a job delays who only shares memory with its owner.");
	igt_subtest("munmap-beside-shared")
		munmap_beside(true);

	igt_fixture()
		drm_close_driver(fd);
}
