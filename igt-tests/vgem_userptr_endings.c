// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "igt.h"
#include "vup_matrix.h"

/**
 * TEST: vgem userptr endings
 * Description: The ways in which an mm ends, on every kind of memory, in every state of the device
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, process exit
 * Test category: functionality test
 *
 * SUBTEST: %s
 * Description: %arg[1], by kind of memory, state of the device and access
 * arg[1].values: exit, exec, kill, process-mrelease, memcg-oom
 *
 * SUBTEST: %s-long
 * Description: %arg[1], the combinations that are not for every day
 * arg[1].values: exit, exec, kill, process-mrelease, memcg-oom
 */

IGT_TEST_DESCRIPTION("The ways in which an mm ends, in every state of the device.");

/*
 * The matrix' memory is made here and inherited by the process that is to end,
 * which binds it: its device writes to what is shared, and to private copies
 * that are nobody's when it is gone.
 */

enum ending {
	EXIT,
	EXEC,
	KILL,
	MRELEASE,
	OOM,
	ENDINGS
};

static const char * const ending_name[ENDINGS] = {
	[EXIT] = "exit",
	[EXEC] = "exec",
	[KILL] = "kill",
	[MRELEASE] = "process-mrelease",
	[OOM] = "memcg-oom",
};

#define RESULT	0x0ff0u		/* what the last job leaves, beside the mark */

static int fd = -1;
static struct vup_cell cell;
/*
 * Shared with the process that ends: its job can be let go from here, and what
 * that is to be seen by; and how often it submitted
 */
static uint32_t *word;
#define FENCE	1
#define ROUNDS	2
static char *scratch;
static struct vup_gate ready, go;

/* The one that ends */

static void *submits(void *data)
{
	struct vup_cell *c = data;
	const struct drm_vgem_op ops[] = {
		op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size),
		op_xor(VUP_CELL_VA, c->size, VUP_MARK), op_xor(VUP_CELL_VA, c->size, VUP_MARK),
	};

	for (;;)
		if (__vup_run(&c->v, ops, c->read_only ? 1 : 3) == 0)
			WRITE_ONCE(word[ROUNDS], word[ROUNDS] + 1);
	return NULL;
}

static void begin_state(struct vup_cell *c)
{
	const struct drm_vgem_op ops[] = {
		op_spin(VUP_WORD_VA, VUP_RELEASE, 8 * NSEC_PER_SEC),
		op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size),
		op_xor(VUP_CELL_VA, c->size, RESULT),
	};
	int count = c->read_only ? 2 : 3;
	pthread_t thread;

	switch (c->state) {
	case VUP_QUEUED:
		vup_submit(&c->v, ops, 1);
		word[FENCE] = vup_submit(&c->v, ops + 1, count - 1);
		break;
	case VUP_RUNNING:
		word[FENCE] = vup_submit(&c->v, ops, count);
		break;
	case VUP_ENDLESS:
		vup_push(&c->v, op_spin(VUP_WORD_VA, VUP_RELEASE, 0),
			 op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size));
		break;
	case VUP_CONCURRENT:
		igt_assert_eq(pthread_create(&thread, NULL, submits, c), 0);
		while (READ_ONCE(word[ROUNDS]) < 2)
			sched_yield();
		break;
	default:
		break;
	}
}

/* More than there is for all of its control group */
#define LIMIT	"12582912"

static void use_up(void)
{
	size_t size = 24 << 20;
	char *ptr = vup_alloc(size);

	for (size_t at = 0; at < size; at += vup_page())
		WRITE_ONCE(ptr[at], 1);
	_exit(2);
}

static void victim(struct vup_cell *c, enum ending ending, int life, int node)
{
	if (ending == OOM && !vup_file_write(VUP_CGROUP "/cgroup.procs", "0"))
		_exit(1);
	vup_life_tie(life);
	if (c->state == VUP_ENDLESS)
		vup_init_long_running(&c->v, node);
	else
		vup_init(&c->v, node);
	vup_bind_how(&c->v, c->how, c->ptr, VUP_CELL_VA, c->size, c->read_only);
	vup_bind_mem(&c->v, scratch, VUP_OUT_VA, c->size, 0);
	vup_bind_mem(&c->v, word, VUP_WORD_VA, vup_page(), DRM_VGEM_VM_BIND_READ_ONLY);
	if (c->state != VUP_ENDLESS)
		vup_ok(&c->v, op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size));
	if (c->state != VUP_ENDLESS && !c->read_only)
		vup_ok(&c->v, op_xor(VUP_CELL_VA, c->size, VUP_MARK));
	begin_state(c);
	vup_gate_open(&ready);
	vup_gate_pass(&go);
	if (ending == EXIT)
		_exit(0);
	if (ending == EXEC)
		execl("/bin/true", "true", NULL);
	if (ending == OOM)
		use_up();
	for (;;)
		pause();
}

/* The one that watches */

static void require_mrelease(void)
{
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);

	igt_require_f(pidfd >= 0, "kernel without pidfd_open()\n");
	close(pidfd);
	/* No process is that: ENOSYS, or EBADF. */
	igt_require_f(syscall(SYS_process_mrelease, -1, 0) == -1 && errno != ENOSYS,
		      "kernel without process_mrelease()\n");
	errno = 0;
}

/* A process that is to end is held up right before it would let go of its memory. */
static void hold(pid_t pid)
{
	int status;

	igt_require_f(ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) == 0,
		      "no permission to trace a child\n");
	igt_assert_eq(kill(pid, SIGKILL), 0);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_assert_eq(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
}

static bool waits_for_job(const struct vup_cell *c)
{
	return c->state == VUP_QUEUED || c->state == VUP_RUNNING;
}

/* Somebody wants the memory at once, who cannot wait. */
static void mrelease(const struct vup_cell *c, pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), err;

	igt_assert_fd(pidfd);
	hold(pid);
	err = syscall(SYS_process_mrelease, pidfd, 0) ? errno : 0;
	if (c->state == VUP_IDLE)
		igt_assert_eq(err, 0);
	else if (waits_for_job(c))
		igt_assert_eq(err, EAGAIN);
	else
		igt_assert(err == 0 || err == EAGAIN);

	/* When the job is done, it is as idle as any. */
	WRITE_ONCE(*word, VUP_RELEASE);
	igt_until_timeout(VUP_PATIENCE_S) {
		err = syscall(SYS_process_mrelease, pidfd, 0) ? errno : 0;
		if (err != EAGAIN)
			break;
	}
	igt_assert_eq(err, 0);
	close(pidfd);
	igt_assert_eq(ptrace(PTRACE_CONT, pid, NULL, 0), 0);
}

static void ends(const struct vup_cell *c, enum ending ending, pid_t pid, int life, int node)
{
	bool over;

	if (ending == MRELEASE) {
		mrelease(c, pid);
		return;
	}
	if (ending == KILL)
		igt_assert_eq(kill(pid, SIGKILL), 0);
	else
		vup_gate_open(&go);
	if (!waits_for_job(c))
		return;
	/*
	 * It sleeps, or left its mm to a worker that had to do with it. The mm is
	 * there in any case; only now may the job end.
	 */
	vup_process_blocked(pid);
	over = vup_life_over(life);
	igt_assert_f(!over || vup_status(node, word[FENCE]) != 1,
		     "the memory is gone, and its job is not\n");
	WRITE_ONCE(*word, VUP_RELEASE);
}

/* What is in shared memory after it: all that was submitted with a fence was done. */
static void expect(struct vup_cell *c)
{
	uint32_t left = c->state == VUP_ENDLESS ? 0 : VUP_MARK, *shadow = (uint32_t *)c->shadow;

	if (c->read_only || !(c->backing->is & VUP_IS_SHARED))
		return;
	if (waits_for_job(c))
		left ^= RESULT;
	for (size_t i = 0; i < c->size / 4; i++)
		shadow[i] ^= left;
}

static void run(enum ending ending, const struct vup_backing *backing, enum vup_state state,
		enum vup_access access)
{
	struct vup_cell *c = &cell;
	int life, status, node;
	pid_t pid;

	backing->require();
	if (ending == OOM) {
		vup_cgroup_make(LIMIT, "0");
		vup_ignore_oom_kill();
	}
	memset(c, 0, sizeof(*c));
	c->op = &vup_no_op;
	c->uffd = -1;
	c->backing = backing;
	c->state = state;
	c->read_only = access == VUP_RO;
	c->how = (ending + state + access) % VUP_HOWS;
	vup_backing_make(c);
	scratch = vup_alloc(c->size);
	WRITE_ONCE(word[0], 0);
	WRITE_ONCE(word[ROUNDS], 0);
	vup_gate_init(&ready);
	vup_gate_init(&go);
	life = vup_life_make();
	/* Stays open here: else the process could take its jobs along with the file. */
	node = drm_reopen_driver(fd);

	pid = vup_fork();
	if (!pid)
		victim(c, ending, life, node);
	vup_gate_pass(&ready);
	/* A call that is to come to an end, even if the job does not. */
	igt_set_timeout(VUP_PATIENCE_S, "waiting for a process to end");
	ends(c, ending, pid, life, node);
	igt_assert_eq(waitpid(pid, &status, 0), pid);
	igt_reset_timeout();
	if (ending != EXIT && ending != EXEC)
		igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		igt_assert_eq(status, 0);
	vup_life_wait(life);
	if (ending == OOM)
		vup_cgroup_drop();
	vup_other_take_pages();

	/* With two marks or with one, who was stopped in the middle of it */
	if (state == VUP_CONCURRENT) {
		vup_oracle_silent(vup_oracle_legit(c->ptr, c->size));
		memcpy(c->shadow, c->ptr, c->size);
	} else {
		expect(c);
	}
	vup_oracle_silent(vup_oracle_shadow(c));
	vup_oracle_silent(vup_oracle_canaries(c));
	vup_oracle_silent(vup_oracle_behind(c));
	vup_oracle_silent(vup_oracle_poison());
	vup_gate_fini(&ready);
	vup_gate_fini(&go);
	drm_close_driver(node);
	vup_unmap(scratch, c->size);
	vup_cell_end(c);
}

/* With a job running always, and of the others each third, or few if they take long */
static bool every_day(int ending, int backing, int state, int access)
{
	return (state == VUP_RUNNING && access == VUP_RW) ||
	       (ending + backing + 2 * state + access) % (ending == OOM ? 10 : 3) == 0;
}

static void cells(enum ending ending, int backing, bool is_long)
{
	const struct vup_backing *b = &vup_backings[backing];

	for (int state = 0; state < VUP_STATES; state++)
		for (int access = 0; access < VUP_ACCESSES; access++) {
			if (every_day(ending, backing, state, access) == is_long)
				continue;
			igt_dynamic_f("%s-%s-%s", b->name, vup_state_name[state],
				      vup_access_name[access])
				run(ending, b, state, access);
		}
}

int igt_main()
{
	igt_fixture() {
		igt_require_f(vup_page() == 4096, "not for this page size\n");
		fd = vup_open();
		word = mmap(NULL, vup_page(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
		igt_assert(word != MAP_FAILED);
		vup_matrix_init(fd);
	}

	for (int ending = 0; ending < ENDINGS; ending++)
		for (int is_long = 0; is_long < 2; is_long++) {
			igt_describe("Broken if the memory of a process is gone before its jobs "
				     "are, or the process stays for a job that has no end.");
			igt_subtest_with_dynamic_f("%s%s", ending_name[ending],
						   is_long ? "-long" : "") {
				if (ending == MRELEASE)
					require_mrelease();
				for (int b = 0; b < vup_nr_backings; b++)
					if (vup_backing_there(&vup_backings[b]))
						cells(ending, b, is_long);
			}
		}

	igt_fixture() {
		vup_matrix_fini();
		drm_close_driver(fd);
	}
}
