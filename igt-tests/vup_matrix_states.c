// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * The course of a cell. Memory and device are set up, a job has used all of the
 * range so that page table and TLB know it; the state begins; the operation is
 * done; the state ends. Then everybody is asked what they saw, and the device
 * submits again: refused or not, and then with everything mended.
 *
 * The range is the only memory of the process that is bound.
 */

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "igt_syncobj.h"
#include "vup_matrix_device.h"

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
#define SPIN_NS		(9 * NSEC_PER_SEC)
/* What an endless job's operation may last before somebody puts an end to it */
#define RESCUE_MS	10000

static struct vup_cell cell;

static enum vup_effect effect_of(const struct vup_cell *c)
{
	enum vup_effect effect = c->op->effect_on ? c->op->effect_on(c) : c->op->effect;

	/* What splits a mapping splits the huge page that it goes through. */
	return effect == VUP_KEEPS && c->backing->is & VUP_IS_THP ? VUP_MAY : effect;
}

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
	igt_assert_f(err == refused, "%s: %s, should be %s\n", c->op->name, strerror(-err),
		     strerror(-refused));
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
static void frames(const struct vup_cell *c, uint64_t *frame)
{
	size_t nr = c->size / vup_page();
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	memset(frame, 0, nr * sizeof(*frame));
	if (file >= 0 && pread(file, frame, nr * 8, (uintptr_t)c->ptr / vup_page() * 8) > 0)
		for (size_t i = 0; i < nr; i++)
			/* Swap entries have a number there, too. */
			frame[i] &= 1ull << 62 | ((1ull << 55) - 1);
	close(file);
}

void vup_cell_note_frames(struct vup_cell *c)
{
	frames(c, c->frames);
}

const char *vup_oracle_frames(struct vup_cell *c)
{
	size_t size = c->size / vup_page() * sizeof(*c->frames);
	uint64_t *now = malloc(size);
	bool same;

	igt_assert(now);
	frames(c, now);
	same = !memcmp(now, c->frames, size);
	free(now);
	return same ? NULL : "pages were taken away while a job used them";
}

/* A job that spins until the witness lets it go, or one that waits behind such a one */
void vup_cell_spin(struct vup_cell *c)
{
	struct drm_vgem_op ops[3] = {
		op_spin(VUP_WORD_VA, VUP_RELEASE, SPIN_NS),
	};
	int count = vup_job_ops(c, ops + 1);
	uint64_t fault = 0;

	WRITE_ONCE(*vup_world.word, 0);
	if (c->state == VUP_QUEUED) {
		c->syncobj[1] = vup_submit(&c->v, ops, 1);
		igt_assert_eq(vup_job_begin(c, ops + 1, count, &fault), 0);
	} else {
		igt_assert_eq(vup_job_begin(c, ops, 1 + count, &fault), 0);
	}
	vup_stats(&c->v, &c->before);
}

void vup_cell_spin_end(struct vup_cell *c)
{
	WRITE_ONCE(*vup_world.word, VUP_RELEASE);
	igt_assert_eq(vup_job_end(c), 0);
	if (c->syncobj[1])
		igt_assert_eq(vup_finish(c->v.fd, c->syncobj[1]), 0);
	c->syncobj[1] = 0;
}

/*
 * A call was made while vup_cell_spin()'s job was there, with the witness
 * watching. It must have been seen asleep, must not have returned before the job
 * was let go, and the VM must know of a fence that was waited for.
 */
const char *vup_oracle_waited(struct vup_cell *c)
{
	struct drm_vgem_vm_stats after;
	bool blocked;

	vup_witness_done(&c->released, &blocked);
	vup_stats(&c->v, &after);
	if (!c->released || !blocked)
		return "the call returned while a job used the memory";
	if (after.fence_waits == c->before.fence_waits)
		return "the call waited, but for no job";
	return NULL;
}

static void busy(struct vup_cell *c)
{
	enum vup_effect effect = is_refused(c) ? VUP_MAY : effect_of(c);
	struct drm_vgem_vm_stats after;
	const char *waited, *kept;

	vup_cell_spin(c);
	vup_cell_note_frames(c);
	vup_witness_watch(c->op->flags & VUP_OP_BY_OTHER ? vup_other_pid() : getpid(), 0);
	perform(c);
	kept = vup_oracle_frames(c);
	waited = vup_oracle_waited(c);
	vup_stats(&c->v, &after);
	if (effect == VUP_TAKES)
		vup_oracle_silent(waited);
	else if (!c->released)
		/* The job is not done yet, whoever says so. */
		vup_oracle_silent(kept);
	if (effect == VUP_KEEPS)
		igt_assert_f(c->before.fence_waits == after.fence_waits,
			     "%s waited for a job whose memory it leaves alone\n", c->op->name);
	vup_cell_spin_end(c);

	/* The job had its memory to the end, with what was in it at its time. */
	if (effect != VUP_TAKES)
		expect(c);
	vup_oracle_silent(vup_oracle_device(c, vup_cell_out(0)));
	vup_job_apply(c);
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
		op_user_fence(VUP_FENCE_VA, 1), op_spin(VUP_WORD_VA, VUP_RELEASE, 0),
	};
	bool released, blocked;
	uint64_t fault = 0;
	int err;

	c->fence_value = 1;
	igt_assert_eq(vup_job_begin(c, ops, 2 + vup_job_ops(c, ops + 2), &fault), 0);
	igt_assert_eq(vup_wait_fence(c, 1), 0);

	vup_witness_watch(getpid(), RESCUE_MS);
	perform(c);
	vup_witness_done(&released, &blocked);
	igt_assert_f(!released, "%s waited for a job that has no end\n", c->op->name);
	igt_assert_eq_u64(READ_ONCE(*vup_world.fence), 1);
	expect(c);

	WRITE_ONCE(*vup_world.word, VUP_RELEASE);
	if (c->verdict || c->serve) {
		/* To such a job it is a hole. How much it did by then is its business. */
		igt_assert_eq(vup_job_end(c), -EFAULT);
		return;
	}
	err = vup_job_end(c);
	if (err == -EFAULT && c->op->flags & VUP_OP_GAP)
		return;
	igt_assert_eq(err, 0);
	vup_oracle_silent(vup_oracle_device(c, vup_cell_out(0)));
	vup_job_apply(c);
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
	vup_cell_bind(c, &v, who);
	while (!atomic_load(&vup_world.peers->stop)) {
		int err = submit_round(c, &v, is_private(c));

		igt_assert_f(!err || err == -EFAULT || err == -EAGAIN, "peer: %d\n", err);
		igt_assert(err != -EFAULT || !is_private(c));
		if (!err && is_private(c))
			igt_assert_f(!memcmp(vup_cell_out(who), c->shadow, c->size),
				     "a child's copy changed\n");
		else if (!err)
			vup_oracle_silent(vup_oracle_legit(vup_cell_out(who), c->size));
		atomic_fetch_add(&vup_world.peers->rounds[who], 1);
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

	while (!atomic_load(&vup_world.peers->stop) && !s->wrong) {
		int err = submit_round(s->c, &s->v, !(s->c->op->flags & VUP_OP_WRITES));

		if (!err)
			s->wrong = vup_oracle_legit(vup_cell_out(1), s->c->size);
		else if (err != -EFAULT && err != -EPERM && err != -EAGAIN)
			s->err = err;
		atomic_fetch_add(&vup_world.peers->rounds[1], 1);
	}
	return NULL;
}

static void await_round(int who)
{
	unsigned int seen = atomic_load(&vup_world.peers->rounds[who]);

	igt_until_timeout(VUP_PATIENCE_S) {
		if (atomic_load(&vup_world.peers->rounds[who]) != seen)
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

	memset(vup_world.peers, 0, sizeof(*vup_world.peers));
	igt_assert_eq(__vup_queue_create(c->v.fd, c->v.vm, &s.v.queue), 0);
	vup_bind_bo(&s.v, vup_world.out_bo, VUP_OUT_VA, c->size, vup_world.out_size, 0);
	if (forks)
		igt_fork(child, VUP_OUTS - 2)
			peer(c, 2 + child);
	igt_assert_eq(pthread_create(&thread, NULL, submitter, &s), 0);
	for (int who = 1; who < (forks ? VUP_OUTS : 2); who++)
		await_round(who);
	perform(c);
	expect(c);
	for (int who = 1; who < (forks ? VUP_OUTS : 2); who++)
		await_round(who);
	atomic_store(&vup_world.peers->stop, true);
	igt_assert_eq(pthread_join(thread, NULL), 0);
	if (forks)
		igt_waitchildren();
	vup_oracle_silent(s.wrong);
	igt_assert_eq(s.err, 0);
	igt_assert_eq(__vup_queue_destroy(c->v.fd, s.v.queue), 0);
	vup_bind_bo(&c->v, vup_world.out_bo, VUP_OUT_VA, c->size, 0, 0);
}

/* The course of a cell */

void vup_cell_begin(struct vup_cell *c)
{
	WRITE_ONCE(*vup_world.word, 0);
	WRITE_ONCE(*vup_world.fence, 0);
	c->uffd = -1;
	vup_backing_make(c);
	vup_out_need(c->size);
	if (c->op->prepare)
		c->op->prepare(c);
	if (vup_cell_is_endless(c))
		vup_init_long_running(&c->v, vup_world.fd);
	else
		vup_init(&c->v, vup_world.fd);
	vup_cell_bind(c, &c->v, 0);
	vup_job_ok(c);
	if (c->read_only)
		vup_job_cannot_write(c);
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
	c->hidden = false;
}

/* A VM that has holes instead takes the job, which then ends where they are. */
static void hole_instead(struct vup_cell *c)
{
	struct vup *v = &c->holes;

	v->fd = vup_world.fd;
	igt_assert_eq(__vup_vm_create(v->fd, DRM_VGEM_VM_CREATE_HOLES, &v->vm), 0);
	igt_assert_eq(__vup_queue_create(v->fd, v->vm, &v->queue), 0);
	vup_cell_bind(c, v, 0);
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
		vup_job_ok(c);
		return;
	}
	for (int i = vup_job_ops(c, ops) - 1; i >= 0; i--) {
		igt_assert_eq(vup_job_begin(c, ops + i, 1, &fault), c->verdict);
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

	if (!c->begun)
		return;
	atomic_store(&vup_world.peers->stop, true);
	WRITE_ONCE(*vup_world.word, VUP_RELEASE);
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
	c->begun = true;

	vup_cell_begin(c);
	state_run[state](c);
	if (!c->serve)
		everybody_silent(c);
	serve_begin(c);
	submit_again(c);
	serve_end(c);
	everybody_silent(c);
	mend(c);
	vup_job_ok(c);
	/* Both directions once more, in all of it */
	vup_cell_write(c, 0, c->size, VUP_NEW);
	c->lazy = false;
	vup_job_ok(c);
	everybody_silent(c);
	vup_oracle_silent(vup_oracle_poison());
	vup_cell_end(c);
}
