// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * The course of a cell. Memory and device are set up, a job has used all of the
 * range so that page table and TLB know it; the state begins; the operation is
 * done; the state ends. Then everybody is asked what they saw, and the device
 * submits again: refused or not, and then with everything mended.
 *
 * The range is the only memory of the process that is bound. What jobs read and
 * write otherwise is in buffer objects, which nothing in the mm takes away.
 */

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "igt_syncobj.h"
#include "vup_matrix.h"

const char * const vup_state_name[VUP_STATES] = {
	[VUP_IDLE] = "idle",
	[VUP_QUEUED] = "queued",
	[VUP_RUNNING] = "running",
	[VUP_ENDLESS] = "endless",
	[VUP_CONCURRENT] = "concurrent",
};

const char * const vup_access_name[VUP_ACCESSES] = {
	[VUP_RW] = "rw",
	[VUP_RO] = "ro",
};

/* Longer than anybody is patient, and then it is over by itself */
#define SPIN_NS		(20 * NSEC_PER_SEC)
/* What an endless job's operation may last before somebody puts an end to it */
#define RESCUE_MS	10000

/*
 * Where jobs put what they saw: one for each who may submit at a time. And a
 * word that they look at, with a user fence beside it.
 */
#define OUTS		4

static struct world {
	int fd;
	uint32_t out_bo, word_bo;
	char *out;
	size_t out_size;
	uint32_t *word;
	uint64_t *fence;
	struct peers {
		atomic_bool stop;
		atomic_uint rounds[OUTS];
	} *peers;
} world;

static struct vup_cell cell;

/* Huge ranges need much, and most are not. */
static void out_need(size_t size)
{
	if (world.out_size && (!size || world.out_size < size)) {
		munmap(world.out, OUTS * world.out_size);
		gem_close(world.fd, world.out_bo);
		world.out_size = 0;
	}
	if (size && !world.out_size) {
		world.out_bo = vup_dumb_create(world.fd, OUTS * size);
		world.out = vup_dumb_mmap(world.fd, world.out_bo, OUTS * size);
		world.out_size = size;
	}
}

void vup_matrix_init(int fd)
{
	world.fd = fd;
	world.word_bo = vup_dumb_create(fd, 4096);
	world.word = vup_dumb_mmap(fd, world.word_bo, 4096);
	world.fence = (uint64_t *)world.word + 64;
	world.peers = mmap(NULL, vup_page(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	igt_assert(world.peers != MAP_FAILED);
	/* Before anything is bound, so that the helpers share no page of a range */
	vup_helpers_start(world.word);
	vup_stop_numa_balancing();
}

void vup_matrix_fini(void)
{
	vup_helpers_stop();
	out_need(0);
	munmap(world.word, 4096);
	gem_close(world.fd, world.word_bo);
}

enum vup_effect vup_effect(const struct vup_cell *c)
{
	return c->op->effect_on ? c->op->effect_on(c) : c->op->effect;
}

/* The device */

static void bind_all(const struct vup_cell *c, const struct vup *v, int out)
{
	vup_bind_how(v, c->how, c->ptr, VUP_CELL_VA, c->size, c->read_only);
	vup_bind_bo(v, world.out_bo, VUP_OUT_VA, c->size, out * world.out_size, 0);
	vup_bind_bo(v, world.word_bo, VUP_WORD_VA, 4096, 0, 0);
}

static bool long_running(const struct vup_cell *c)
{
	return c->state == VUP_ENDLESS;
}

static char *out_of(int who)
{
	return world.out + who * world.out_size;
}

/* -errno of the ioctl. What it submits is to be waited for by job_end(). */
static int job_begin(struct vup_cell *c, const struct drm_vgem_op *ops, int count,
		     uint64_t *fault)
{
	struct drm_vgem_op with[8];
	struct drm_vgem_exec exec = {
		.queue_id = c->v.queue,
		.ops = { .stride = sizeof(*with), .array = (uintptr_t)with },
	};
	int err;

	if (!long_running(c))
		return __vup_submit(&c->v, ops, count, &c->syncobj[0], fault);

	igt_assert_lt(count, (int)ARRAY_SIZE(with));
	memcpy(with, ops, count * sizeof(*ops));
	with[count] = op_user_fence(VUP_WORD_VA + 512, ++c->fence_value);
	exec.ops.count = count + 1;
	err = __vup_exec(c->v.fd, &exec);
	*fault = exec.fault_addr;
	return err;
}

static int wait_fence(struct vup_cell *c, uint64_t value)
{
	struct drm_vgem_wait_user_fence wait = {
		.addr = (uintptr_t)world.fence, .op = DRM_VGEM_WAIT_OP_GREATER_EQUAL,
		.value = value, .mask = ~0ull,
		.timeout_ns = vup_now_ns() + VUP_PATIENCE_S * 1000000000ull,
	};
	int err = __vup_wait_user_fence(c->v.fd, &wait);

	return err == -EIO && wait.seen > DRM_VGEM_USER_FENCE_MAX ? (int)wait.seen : err;
}

static int job_end(struct vup_cell *c)
{
	uint32_t syncobj = c->syncobj[0];
	int err;

	if (!long_running(c)) {
		c->syncobj[0] = 0;
		return vup_finish(c->v.fd, syncobj);
	}
	err = wait_fence(c, c->fence_value);
	/* An error is in place of the fence: begin anew. */
	c->fence_value = 0;
	WRITE_ONCE(*world.fence, 0);
	return err;
}

/* What every job does: copy all of it out, and where it may write, leave a mark. */
static int job_ops(const struct vup_cell *c, struct drm_vgem_op *ops)
{
	ops[0] = op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size);
	ops[1] = op_xor(VUP_CELL_VA, c->size, VUP_MARK);
	return c->read_only ? 1 : 2;
}

static void job_apply(struct vup_cell *c)
{
	uint32_t *word = (uint32_t *)c->shadow;

	for (size_t i = 0; !c->read_only && i < c->size / 4; i++)
		word[i] ^= VUP_MARK;
}

static void job_ok(struct vup_cell *c)
{
	struct drm_vgem_op ops[2];
	uint64_t fault = 0;

	igt_assert_eq(job_begin(c, ops, job_ops(c, ops), &fault), 0);
	igt_assert_eq(job_end(c), 0);
	vup_oracle_silent(vup_oracle_device(c, out_of(0)));
	job_apply(c);
}

/* A read-only userptr is that, whatever the process may do. */
static void job_cannot_write(struct vup_cell *c)
{
	const struct drm_vgem_op op = op_fill(VUP_CELL_VA + c->at, 4, 0xbad);
	uint64_t fault = 0;

	igt_assert_eq(job_begin(c, &op, 1, &fault), 0);
	igt_assert_eq(job_end(c), -EFAULT);
}

int vup_cell_copy_out(struct vup_cell *c)
{
	const struct drm_vgem_op op = op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size);
	uint64_t fault = 0;

	return job_begin(c, &op, 1, &fault) ?: job_end(c);
}

const char *vup_cell_out(void)
{
	return out_of(0);
}

/* States */

static void everybody_silent(struct vup_cell *c)
{
	vup_oracle_silent(vup_oracle_shadow(c));
	vup_oracle_silent(vup_oracle_canaries(c));
	vup_oracle_silent(vup_oracle_behind(c));
}

static void perform(struct vup_cell *c)
{
	int refused = c->op->refused ? c->op->refused(c) : 0;
	int err = c->op->run(c);

	errno = 0;
	igt_assert_f(err == refused, "%s: %s, should be %s\n", c->op->name, strerror(err),
		     strerror(refused));
	/* Taken at once by somebody else, before the device has a chance */
	vup_other_take_pages();
}

static bool is_refused(const struct vup_cell *c)
{
	return c->op->refused && c->op->refused(c);
}

static void expect(struct vup_cell *c)
{
	if (!is_refused(c))
		c->op->expect(c);
}

/* Nothing runs. */
static void idle(struct vup_cell *c)
{
	perform(c);
	expect(c);
}

/*
 * Where the process has its pages: while a job uses them, these are the device's
 * as well. Zeroes if that may not be seen.
 */
static uint64_t *frames(const struct vup_cell *c)
{
	size_t nr = c->size / vup_page();
	uint64_t *frame = calloc(nr, sizeof(*frame));
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	igt_assert(frame);
	if (file >= 0 && pread(file, frame, nr * 8, (uintptr_t)c->ptr / vup_page() * 8) > 0)
		for (size_t i = 0; i < nr; i++)
			/* Swap entries have a number there, too. */
			frame[i] &= 1ull << 62 | ((1ull << 55) - 1);
	close(file);
	return frame;
}

static void same_frames(const struct vup_cell *c, const uint64_t *before, const uint64_t *after)
{
	for (size_t i = 0; i < c->size / vup_page(); i++)
		igt_assert_f(before[i] == after[i],
			     "%s took page %zu, %#llx for %#llx, while a job used it\n",
			     c->op->name, i, (unsigned long long)before[i],
			     (unsigned long long)after[i]);
}

/*
 * A job runs, or waits behind one that does. Either spins until the witness lets
 * it go, which that does when the operation was seen to wait.
 */
static void busy(struct vup_cell *c)
{
	enum vup_effect effect = is_refused(c) ? VUP_MAY : vup_effect(c);
	struct drm_vgem_op ops[3] = {
		op_spin(VUP_WORD_VA, VUP_RELEASE, SPIN_NS),
	};
	struct drm_vgem_vm_stats before, after;
	uint64_t fault = 0, *frame[2];
	bool released, blocked;

	if (c->state == VUP_QUEUED) {
		c->syncobj[1] = vup_submit(&c->v, ops, 1);
		igt_assert_eq(job_begin(c, ops, job_ops(c, ops), &fault), 0);
	} else {
		igt_assert_eq(job_begin(c, ops, 1 + job_ops(c, ops + 1), &fault), 0);
	}

	frame[0] = frames(c);
	vup_stats(&c->v, &before);
	vup_witness_watch(c->op->flags & VUP_OP_BY_OTHER ? vup_other_pid() : getpid(), 0);
	perform(c);
	frame[1] = frames(c);
	vup_witness_done(&released, &blocked);
	vup_stats(&c->v, &after);
	/* The job is not done yet, whoever says so. */
	if (!released && effect != VUP_TAKES)
		same_frames(c, frame[0], frame[1]);
	free(frame[0]);
	free(frame[1]);
	if (effect == VUP_TAKES) {
		igt_assert_f(released && blocked, "%s returned while a job used the memory\n",
			     c->op->name);
		igt_assert_lt_u64(before.fence_waits, after.fence_waits);
	}
	if (effect == VUP_KEEPS)
		igt_assert_f(before.fence_waits == after.fence_waits,
			     "%s waited for a job whose memory it leaves alone\n", c->op->name);

	WRITE_ONCE(*world.word, VUP_RELEASE);
	igt_assert_eq(job_end(c), 0);
	if (c->syncobj[1])
		igt_assert_eq(vup_finish(c->v.fd, c->syncobj[1]), 0);
	c->syncobj[1] = 0;

	/* The job had its memory to the end, with what was in it at its time. */
	if (effect != VUP_TAKES)
		expect(c);
	vup_oracle_silent(vup_oracle_device(c, out_of(0)));
	job_apply(c);
	if (effect == VUP_TAKES)
		expect(c);
}

/*
 * A job that has no end is interrupted, and not waited for. It goes on with
 * memory as it is then.
 */
static void endless(struct vup_cell *c)
{
	struct drm_vgem_op ops[4] = {
		op_user_fence(VUP_WORD_VA + 512, 1), op_spin(VUP_WORD_VA, VUP_RELEASE, 0),
	};
	bool released, blocked;
	uint64_t fault = 0;
	int err;

	c->fence_value = 1;
	igt_assert_eq(job_begin(c, ops, 2 + job_ops(c, ops + 2), &fault), 0);
	igt_assert_eq(wait_fence(c, 1), 0);

	vup_witness_watch(getpid(), RESCUE_MS);
	perform(c);
	vup_witness_done(&released, &blocked);
	igt_assert_f(!released, "%s waited for a job that has no end\n", c->op->name);
	igt_assert_eq_u64(READ_ONCE(*world.fence), 1);
	expect(c);

	WRITE_ONCE(*world.word, VUP_RELEASE);
	if (c->verdict || c->serve) {
		/* To such a job it is a hole. How much it did by then is its business. */
		igt_assert_eq(job_end(c), -EFAULT);
		return;
	}
	err = job_end(c);
	if (err == -EFAULT && c->op->flags & VUP_OP_GAP)
		return;
	igt_assert_eq(err, 0);
	vup_oracle_silent(vup_oracle_device(c, out_of(0)));
	job_apply(c);
}

/*
 * Others submit all the time: a thread to another queue of the VM, and processes
 * that share the memory or have a copy of it.
 */
static bool is_private(const struct vup_cell *c)
{
	return c->backing->is & VUP_IS_ANON ||
	       (!(c->backing->is & VUP_IS_SHARED) && !c->read_only);
}

/*
 * Mark and unmark, so that it makes no difference how often. Of those that share
 * memory only one does so, as they know nothing of each other.
 */
static int submit_round(const struct vup_cell *c, const struct vup *v, bool writes)
{
	const struct drm_vgem_op ops[] = {
		op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size),
		op_xor(VUP_CELL_VA, c->size, VUP_MARK), op_xor(VUP_CELL_VA, c->size, VUP_MARK),
	};

	return __vup_run(v, ops, writes && !c->read_only ? 3 : 1);
}

static void peer(const struct vup_cell *c, int who)
{
	struct vup v;

	vup_init(&v, c->v.fd);
	bind_all(c, &v, who);
	while (!atomic_load(&world.peers->stop)) {
		int err = submit_round(c, &v, is_private(c));

		igt_assert_f(!err || err == -EFAULT || err == -EAGAIN, "peer: %d\n", err);
		igt_assert(!err || !is_private(c));
		if (!err && is_private(c))
			igt_assert_f(!memcmp(out_of(who), c->shadow, c->size),
				     "a child's copy changed\n");
		else if (!err)
			vup_oracle_silent(vup_oracle_legit(out_of(who), c->size));
		atomic_fetch_add(&world.peers->rounds[who], 1);
	}
	vup_fini(&v);
}

struct submitter {
	struct vup_cell *c;
	struct vup v;
	const char *wrong;
	int err;
};

static void *submitter(void *data)
{
	struct submitter *s = data;

	while (!atomic_load(&world.peers->stop) && !s->wrong) {
		int err = submit_round(s->c, &s->v, true);

		if (!err)
			s->wrong = vup_oracle_legit(out_of(1), s->c->size);
		else if (err != -EFAULT && err != -EPERM && err != -EAGAIN)
			s->err = err;
		atomic_fetch_add(&world.peers->rounds[1], 1);
	}
	return NULL;
}

static void await_round(int who)
{
	unsigned int seen = atomic_load(&world.peers->rounds[who]);

	igt_until_timeout(VUP_PATIENCE_S) {
		if (atomic_load(&world.peers->rounds[who]) != seen)
			return;
		sched_yield();
	}
	igt_assert_f(false, "submitter %d does not get on\n", who);
}

static void concurrent(struct vup_cell *c)
{
	struct submitter s = { .c = c, .v = c->v };
	bool forks = !(c->op->flags & VUP_OP_NO_FORK);
	pthread_t thread;

	memset(world.peers, 0, sizeof(*world.peers));
	igt_assert_eq(__vup_queue_create(c->v.fd, c->v.vm, &s.v.queue), 0);
	vup_bind_bo(&s.v, world.out_bo, VUP_OUT_VA, c->size, world.out_size, 0);
	if (forks)
		igt_fork(child, OUTS - 2)
			peer(c, 2 + child);
	igt_assert_eq(pthread_create(&thread, NULL, submitter, &s), 0);
	for (int who = 1; who < (forks ? OUTS : 2); who++)
		await_round(who);
	perform(c);
	expect(c);
	for (int who = 1; who < (forks ? OUTS : 2); who++)
		await_round(who);
	atomic_store(&world.peers->stop, true);
	igt_assert_eq(pthread_join(thread, NULL), 0);
	if (forks)
		igt_waitchildren();
	vup_oracle_silent(s.wrong);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(__vup_queue_destroy(c->v.fd, s.v.queue), 0);
	vup_bind_bo(&c->v, world.out_bo, VUP_OUT_VA, c->size, 0, 0);
}

/* The course of a cell */

void vup_cell_begin(struct vup_cell *c)
{
	WRITE_ONCE(*world.word, 0);
	WRITE_ONCE(*world.fence, 0);
	c->uffd = -1;
	vup_backing_make(c);
	out_need(c->size);
	if (c->op->prepare)
		c->op->prepare(c);
	if (long_running(c))
		vup_init_long_running(&c->v, world.fd);
	else
		vup_init(&c->v, world.fd);
	bind_all(c, &c->v, 0);
	job_ok(c);
	if (c->read_only)
		job_cannot_write(c);
	everybody_silent(c);
}

static void serve_begin(struct vup_cell *c)
{
	if (!c->serve || c->being_served)
		return;
	atomic_store(&c->served, false);
	igt_assert_eq(pthread_create(&c->server, NULL, c->serve, c), 0);
	c->being_served = true;
}

static void serve_end(struct vup_cell *c)
{
	if (!c->being_served)
		return;
	atomic_store(&c->served, true);
	igt_assert_eq(pthread_join(c->server, NULL), 0);
	c->being_served = false;
	igt_assert_f(c->faults, "nobody asked the handler\n");
}

/* A VM that has holes instead takes the job, which then ends where they are. */
static void hole_instead(struct vup_cell *c)
{
	struct vup *v = &c->holes;

	v->fd = world.fd;
	igt_assert_eq(__vup_vm_create(v->fd, DRM_VGEM_VM_CREATE_HOLES, &v->vm), 0);
	igt_assert_eq(__vup_queue_create(v->fd, v->vm, &v->queue), 0);
	bind_all(c, v, 0);
	igt_assert_eq(vup_do(v, op_copy(VUP_OUT_VA, VUP_CELL_VA, c->size)), -EFAULT);
	vup_fini(v);
	v->vm = 0;
}

/* What the next submission is told, of what it may have and what not */
static void submit_again(struct vup_cell *c)
{
	struct drm_vgem_op ops[2];
	uint64_t fault = 0;

	if (!c->verdict) {
		job_ok(c);
		return;
	}
	for (int i = job_ops(c, ops) - 1; i >= 0; i--) {
		igt_assert_eq(job_begin(c, ops + i, 1, &fault), c->verdict);
		c->fence_value = 0;
		igt_assert_eq_u64(fault & ~(uint64_t)(vup_page() - 1), VUP_CELL_VA + c->gone_at);
	}
	hole_instead(c);
}

static void mend(struct vup_cell *c)
{
	if (c->op->mend) {
		c->op->mend(c);
	} else if (c->verdict) {
		vup_cell_map(c, c->gone_at, c->gone_len);
		vup_expect_dropped(c, c->gone_at, c->gone_len);
	}
	c->verdict = 0;
	c->hidden = false;
}

void vup_cell_end(struct vup_cell *c)
{
	if (c->being_served) {
		atomic_store(&c->served, true);
		pthread_join(c->server, NULL);
	}
	if (c->uffd >= 0)
		close(c->uffd);
	if (c->v.vm)
		vup_fini(&c->v);
	if (c->holes.vm)
		vup_fini(&c->holes);
	if (c->op && c->op->undo)
		c->op->undo(c);
	if (c->away)
		munmap(c->away, c->away_len);
	free(c->away_shadow);
	vup_backing_free(c);
	memset(c, 0, sizeof(*c));
	c->file = -1;
	errno = 0;
}

/* What a cell left behind that failed */
static void clean_up(struct vup_cell *c)
{
	bool released, blocked;

	if (!c->oops)
		return;
	atomic_store(&world.peers->stop, true);
	WRITE_ONCE(*world.word, VUP_RELEASE);
	vup_witness_done(&released, &blocked);
	igt_waitchildren();
	vup_cell_end(c);
}

static void (* const state_run[VUP_STATES])(struct vup_cell *c) = {
	[VUP_IDLE] = idle,
	[VUP_QUEUED] = busy,
	[VUP_RUNNING] = busy,
	[VUP_ENDLESS] = endless,
	[VUP_CONCURRENT] = concurrent,
};

void vup_cell_run(const struct vup_op *op, const struct vup_backing *backing,
		  enum vup_state state, enum vup_access access)
{
	struct vup_cell *c = &cell;

	clean_up(c);
	c->op = op;
	c->backing = backing;
	c->state = state;
	c->read_only = access == VUP_RO;
	/* Both ways to bind must do for all; each cell tries one. */
	c->how = (op->name[0] + backing->name[0] + state + access) % VUP_HOWS;
	c->oops = true;

	vup_cell_begin(c);
	state_run[state](c);
	everybody_silent(c);
	serve_begin(c);
	submit_again(c);
	everybody_silent(c);
	serve_end(c);
	mend(c);
	job_ok(c);
	/* Both directions once more, in all of it */
	vup_cell_write(c, 0, c->size, VUP_NEW);
	c->lazy = false;
	job_ok(c);
	everybody_silent(c);
	vup_oracle_silent(vup_oracle_poison());
	vup_cell_end(c);
}
