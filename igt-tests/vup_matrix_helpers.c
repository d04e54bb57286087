// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * The matrix' other processes: one that watches how long a call into the mm
 * takes, in terms of events and not of time, and one that has pages which were
 * ours, and writes to those that are.
 */

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "vup_matrix.h"

/* Each helper does what a letter in a pipe says, and answers. */

#define POISON_PAGES	48

static struct shared {
	/* The witness */
	pid_t watched;
	int patience_ms;
	atomic_bool returned, released, blocked;
	/* The other */
	pid_t ours;
	void *to;
	size_t len;
	long value;
	int err;
	uint32_t bad;
	uint64_t frame;
	bool has;
	char data[2 << 20];
} *shared;

static struct helper {
	pid_t pid;
	int order[2], answer[2];
} witness, other;

static uint32_t *release_word;
static bool watching;

#define ENOUGH	50

static bool asleep(pid_t pid)
{
	char path[64], stat[512], *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!vup_file_read(path, stat, sizeof(stat)))
		return false;
	/* The name is in parentheses and may contain anything. */
	end = strrchr(stat, ')');
	return end && end[2] == 'D';
}

/*
 * Seen asleep so often in a row, it waits for the job and not for a lock. As the
 * job's end is up to this process, who returns before it is told did not wait.
 */
static void witness_watch(void)
{
	uint64_t give_up = vup_now_ns() + shared->patience_ms * 1000000ull;
	int seen = 0;

	while (!atomic_load(&shared->returned)) {
		seen = asleep(shared->watched) ? seen + 1 : 0;
		if (seen >= ENOUGH)
			atomic_store(&shared->blocked, true);
		if (shared->patience_ms ? vup_now_ns() > give_up : seen >= ENOUGH)
			break;
		sched_yield();
	}
	if (atomic_load(&shared->returned))
		return;
	/* Order matters: first say so, then let go. */
	atomic_store(&shared->released, true);
	WRITE_ONCE(*release_word, VUP_RELEASE);
}

static uint32_t *poison;

static uint64_t frame_of(const void *ptr)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (file < 0)
		return 0;
	if (pread(file, &entry, 8, (uintptr_t)ptr / 4096 * 8) != 8)
		entry = 0;
	close(file);
	return entry & ((1ull << 55) - 1);
}

/* On every CPU: pages that were freed wait to be used on the one that freed them. */
static void other_take(void)
{
	size_t each = POISON_PAGES * 4096 / 2;
	cpu_set_t set;

	poison = mmap(NULL, 2 * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (poison == MAP_FAILED)
		_exit(1);
	for (int cpu = 0; cpu < 2; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		/* No such CPU: then here. */
		sched_setaffinity(0, sizeof(set), &set);
		vup_paint((char *)poison + cpu * each, each, VUP_POISON);
	}
}

static void other_drop(void)
{
	size_t words = POISON_PAGES * 1024;

	shared->bad = 0;
	for (size_t i = 0; poison && i < words; i++)
		if (poison[i] != vup_word(VUP_POISON, i % (words / 2)))
			shared->bad++;
	if (poison)
		munmap(poison, words * 4);
	poison = NULL;
}

/* Does one of its pages lie in the frame that is asked for? */
static void other_look(void)
{
	shared->has = false;
	for (int i = 0; i < POISON_PAGES && poison; i++)
		if (frame_of(poison + i * 1024) == shared->frame)
			shared->has = true;
}

static void other_write(void)
{
	struct iovec from = { shared->data, shared->len }, to = { shared->to, shared->len };

	shared->err = process_vm_writev(shared->ours, &from, 1, &to, 1, 0) ==
		      (ssize_t)shared->len ? 0 : errno ? -errno : -EIO;
}

static void other_poke(void)
{
	int status;

	shared->err = 0;
	if (ptrace(PTRACE_ATTACH, shared->ours, NULL, 0)) {
		shared->err = -errno;
		return;
	}
	if (waitpid(shared->ours, &status, __WALL) != shared->ours ||
	    ptrace(PTRACE_POKEDATA, shared->ours, shared->to, shared->value))
		shared->err = errno ? -errno : -EIO;
	ptrace(PTRACE_DETACH, shared->ours, NULL, 0);
}

static void helper_main(int orders, int answers)
{
	char order;

	prctl(PR_SET_NAME, "vup-helper");
	while (read(orders, &order, 1) == 1) {
		switch (order) {
		case 'q':
			_exit(0);
		case 'w':
			witness_watch();
			break;
		case 't':
			other_drop();
			other_take();
			break;
		case 'd':
			other_drop();
			break;
		case 'l':
			other_look();
			break;
		case 's':
			poison[7] ^= 1;
			break;
		case 'm':
			other_write();
			break;
		case 'p':
			other_poke();
			break;
		}
		if (write(answers, &order, 1) != 1)
			break;
	}
	_exit(0);
}

static void helper_start(struct helper *h)
{
	igt_assert_eq(pipe(h->order), 0);
	igt_assert_eq(pipe(h->answer), 0);
	h->pid = vup_fork();
	if (!h->pid) {
		close(h->order[1]);
		close(h->answer[0]);
		helper_main(h->order[0], h->answer[1]);
	}
	close(h->order[0]);
	close(h->answer[1]);
}

static void helper_order(struct helper *h, char order)
{
	igt_assert_eq(write(h->order[1], &order, 1), 1);
}

static void helper_stop(struct helper *h)
{
	helper_order(h, 'q');
	igt_assert_eq(waitpid(h->pid, NULL, 0), h->pid);
	close(h->order[1]);
	close(h->answer[0]);
}

static void helper_await(struct helper *h)
{
	struct pollfd p = { .fd = h->answer[0], .events = POLLIN };
	char order;
	int ret;

	do {
		ret = poll(&p, 1, VUP_PATIENCE_S * 1000);
	} while (ret < 0 && errno == EINTR);
	igt_assert_f(ret == 1 && read(p.fd, &order, 1) == 1, "the helper does not answer\n");
	errno = 0;
}

static void other_does(char order)
{
	helper_order(&other, order);
	helper_await(&other);
}

void vup_helpers_start(uint32_t *word)
{
	release_word = word;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	igt_assert(shared != MAP_FAILED);
	shared->ours = getpid();
	helper_start(&witness);
	helper_start(&other);
	/* Where a security module cares, the other may write to us. */
	prctl(PR_SET_PTRACER, other.pid);
	errno = 0;
}

void vup_helpers_stop(void)
{
	helper_stop(&witness);
	helper_stop(&other);
	munmap(shared, sizeof(*shared));
}

void vup_witness_watch(pid_t pid, int patience_ms)
{
	shared->watched = pid;
	shared->patience_ms = patience_ms;
	atomic_store(&shared->returned, false);
	atomic_store(&shared->released, false);
	atomic_store(&shared->blocked, false);
	helper_order(&witness, 'w');
	watching = true;
}

void vup_witness_done(bool *released, bool *blocked)
{
	*released = atomic_load(&shared->released);
	*blocked = atomic_load(&shared->blocked);
	atomic_store(&shared->returned, true);
	if (watching)
		helper_await(&witness);
	watching = false;
}

pid_t vup_other_pid(void)
{
	return other.pid;
}

void vup_other_take_pages(void)
{
	other_does('t');
}

/* Is the frame one of those that it took? */
bool vup_other_has(uint64_t frame)
{
	shared->frame = frame;
	other_does('l');
	return shared->has;
}

void vup_other_spoil(void)
{
	other_does('s');
}

const char *vup_oracle_poison(void)
{
	static char said[96];

	other_does('d');
	if (!shared->bad)
		return NULL;
	snprintf(said, sizeof(said), "%u words of pages that another process has were changed",
		 shared->bad);
	return said;
}

int vup_other_write(void *to, const void *from, size_t len)
{
	igt_assert_lte_u64(len, sizeof(shared->data));
	memcpy(shared->data, from, len);
	shared->to = to;
	shared->len = len;
	other_does('m');
	return shared->err;
}

int vup_other_poke(void *to, long value)
{
	shared->to = to;
	shared->value = value;
	other_does('p');
	return shared->err;
}
