// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What the helpers need of mm/mmu_notifier.c: an invalidation that began ends,
 * also one that is refused.
 *
 * The OOM reaper and process_mrelease() invalidate without blocking. A notifier
 * that would have to sleep refuses, and then the caller must not call
 * mmu_notifier_invalidate_range_end(). If the core forgets any of those who had
 * accepted already, whoever reads or removes an interval sleeps for ever. The
 * tests do what the reaper does, with notifiers that do as they are told.
 *
 * Nothing here is about userptrs. It is built into the kernel or not at all, as
 * nobody outside of it may invalidate.
 */

#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include <kunit/test.h>

/* Long enough for anything that is going to happen at all */
#define CORE_SOON	(5 * HZ)
/* Long enough to catch, as a rule, what must not happen */
#define CORE_AWHILE	max(HZ / 20, 2)

/* Nothing is mapped there: notifiers are asked all the same. */
#define CORE_ADDR	((unsigned long)SZ_1G)
#define CORE_SIZE	((unsigned long)SZ_2M)

/**
 * struct core_interval - an interval notifier
 * @notifier: for [CORE_ADDR, CORE_ADDR + CORE_SIZE)
 * @finish: handed out if @two_pass
 * @lock: the user lock
 * @refuse: what does not block
 * @two_pass: also what does not block, which the core allows
 * @starts: calls of the first pass
 * @finishes: calls of the second pass
 * @inserted: it must be removed
 */
struct core_interval {
	struct mmu_interval_notifier notifier;
	struct mmu_interval_notifier_finish finish;
	spinlock_t lock;	/* the user lock */
	bool refuse;
	bool two_pass;
	unsigned int starts;
	unsigned int finishes;
	bool inserted;
};

/**
 * struct core_plain - a plain notifier, for the whole mm
 * @notifier: refuses what does not block, or accepts all, depending on its ops
 * @starts: calls of invalidate_range_start
 * @ends: calls of invalidate_range_end
 * @registered: it must be unregistered
 */
struct core_plain {
	struct mmu_notifier notifier;
	unsigned int starts;
	unsigned int ends;
	bool registered;
};

/**
 * struct core_test - what every test has
 * @interval: not inserted yet
 * @other: a second one, likewise
 * @refuses: not registered yet
 * @accepts: likewise
 * @lost: ends that are missing if the core forgets them
 */
struct core_test {
	struct core_interval interval;
	struct core_interval other;
	struct core_plain refuses;
	struct core_plain accepts;
	unsigned int lost;
};

static bool core_interval_start(struct mmu_interval_notifier *notifier,
				const struct mmu_notifier_range *range,
				unsigned long cur_seq,
				struct mmu_interval_notifier_finish **finish)
{
	struct core_interval *interval =
		container_of(notifier, typeof(*interval), notifier);

	interval->starts++;
	if (interval->refuse && !mmu_notifier_range_blockable(range))
		return false;

	scoped_guard(spinlock, &interval->lock)
		mmu_interval_set_seq(notifier, cur_seq);
	if (interval->two_pass)
		*finish = &interval->finish;

	return true;
}

static void core_interval_finish(struct mmu_interval_notifier_finish *finish)
{
	struct core_interval *interval =
		container_of(finish->notifier, typeof(*interval), notifier);

	interval->finishes++;
}

static const struct mmu_interval_notifier_ops core_interval_ops = {
	.invalidate_start = core_interval_start,
	.invalidate_finish = core_interval_finish,
};

static void core_interval_insert(struct kunit *test,
				 struct core_interval *interval)
{
	KUNIT_ASSERT_EQ(test, 0,
			mmu_interval_notifier_insert(&interval->notifier,
						     current->mm, CORE_ADDR,
						     CORE_SIZE,
						     &core_interval_ops));
	interval->inserted = true;
}

static int core_plain_start(struct mmu_notifier *notifier,
			    const struct mmu_notifier_range *range)
{
	container_of(notifier, struct core_plain, notifier)->starts++;

	return 0;
}

static void core_plain_end(struct mmu_notifier *notifier,
			   const struct mmu_notifier_range *range)
{
	container_of(notifier, struct core_plain, notifier)->ends++;
}

static const struct mmu_notifier_ops core_accepts_ops = {
	.invalidate_range_start = core_plain_start,
	.invalidate_range_end = core_plain_end,
};

static int core_plain_refuse(struct mmu_notifier *notifier,
			     const struct mmu_notifier_range *range)
{
	core_plain_start(notifier, range);

	return mmu_notifier_range_blockable(range) ? 0 : -EAGAIN;
}

/* One that may refuse must not have an end. */
static const struct mmu_notifier_ops core_refuses_ops = {
	.invalidate_range_start = core_plain_refuse,
};

static void core_plain_register(struct kunit *test, struct core_plain *plain,
				const struct mmu_notifier_ops *ops)
{
	plain->notifier.ops = ops;
	KUNIT_ASSERT_EQ(test, 0,
			mmu_notifier_register(&plain->notifier, current->mm));
	plain->registered = true;
}

/*
 * The mm
 */

static void core_range_init(struct mmu_notifier_range *range,
			    unsigned long start)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, current->mm, start,
				start + PAGE_SIZE);
}

/* What the OOM reaper does to a VMA; here it must be refused. */
static void core_reap(struct kunit *test, unsigned long start)
{
	struct core_test *core = test->priv;
	struct mmu_notifier_range range;
	int err;

	core_range_init(&range, start);
	mmap_read_lock(current->mm);
	err = mmu_notifier_invalidate_range_start_nonblock(&range);
	mmap_read_unlock(current->mm);

	KUNIT_EXPECT_EQ(test, err, -EAGAIN);
	if (err)
		core->lost++;
	else
		mmu_notifier_invalidate_range_end(&range);
}

/* An end that the core forgot, for the tests to go on and the mm to exit. */
static void core_repair(struct core_test *core)
{
	struct mmu_notifier_range range;

	core_range_init(&range, CORE_ADDR);
	mmu_notifier_invalidate_range_end(&range);
	core->lost--;
}

/*
 * Somebody who may sleep for ever
 */

/**
 * struct core_call - a call that may sleep for the mm
 * @work: makes it
 * @fn: what is called
 * @interval: for @fn
 * @done: complete when it returned
 */
struct core_call {
	struct work_struct work;
	void (*fn)(struct core_interval *interval);
	struct core_interval *interval;
	struct completion done;
};

static void core_read(struct core_interval *interval)
{
	mmu_interval_read_begin(&interval->notifier);
}

static void core_remove(struct core_interval *interval)
{
	mmu_interval_notifier_remove(&interval->notifier);
	interval->inserted = false;
}

static void core_call_work(struct work_struct *work)
{
	struct core_call *call = container_of(work, typeof(*call), work);

	call->fn(call->interval);
	complete_all(&call->done);
}

static struct core_call *
core_call_start(struct kunit *test, void (*fn)(struct core_interval *interval),
		struct core_interval *interval)
{
	struct core_call *call = kzalloc_obj(*call);

	KUNIT_ASSERT_NOT_NULL(test, call);
	INIT_WORK(&call->work, core_call_work);
	call->fn = fn;
	call->interval = interval;
	init_completion(&call->done);
	queue_work(system_dfl_wq, &call->work);

	return call;
}

/* It must return. If not, the test fails, and the mm is repaired. */
static void core_call_end(struct kunit *test, struct core_call *call)
{
	bool returned = wait_for_completion_timeout(&call->done, CORE_SOON);
	struct core_test *core = test->priv;

	KUNIT_EXPECT_TRUE_MSG(test, returned,
			      "%ps() sleeps for an invalidation that is over",
			      call->fn);
	/* At the end of the test there is no mm any more to be repaired. */
	while (!returned && core->lost && current->mm) {
		core_repair(core);
		returned = wait_for_completion_timeout(&call->done,
						       CORE_AWHILE);
	}
	KUNIT_ASSERT_TRUE(test, returned);
	flush_work(&call->work);
	kfree(call);
}

static void core_expect_returns(struct kunit *test,
				void (*fn)(struct core_interval *interval),
				struct core_interval *interval)
{
	core_call_end(test, core_call_start(test, fn, interval));
}

/*
 * The tests
 */

/* The reader of an interval that accepted does not sleep for ever... */
static void refused_then_read(struct kunit *test)
{
	struct core_test *core = test->priv;

	core_interval_insert(test, &core->interval);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_reap(test, CORE_ADDR);
	KUNIT_EXPECT_EQ(test, core->interval.starts, 1);
	KUNIT_EXPECT_EQ(test, core->refuses.starts, 1);
	core_expect_returns(test, core_read, &core->interval);
}

/* ...nor does who removes it, as when the reaped process exits... */
static void refused_then_removed(struct kunit *test)
{
	struct core_test *core = test->priv;

	core_interval_insert(test, &core->interval);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_reap(test, CORE_ADDR);
	core_expect_returns(test, core_remove, &core->interval);
}

/* ...nor who inserts another one, which the mm must get to know of. */
static void refused_then_inserted(struct kunit *test)
{
	struct core_test *core = test->priv;
	struct mmu_notifier_range range;

	core_interval_insert(test, &core->interval);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_reap(test, CORE_ADDR);
	core_interval_insert(test, &core->other);
	core_expect_returns(test, core_read, &core->other);

	core_range_init(&range, CORE_ADDR);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_EQ(test, core->other.starts, 1);
	core_expect_returns(test, core_read, &core->other);
}

/* No interval is hit by what is refused, but one by what comes next. */
static void refused_elsewhere(struct kunit *test)
{
	struct core_test *core = test->priv;
	struct mmu_notifier_range range;

	core_interval_insert(test, &core->interval);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_reap(test, CORE_ADDR + CORE_SIZE);
	KUNIT_EXPECT_EQ(test, core->interval.starts, 0);

	core_range_init(&range, CORE_ADDR);
	mmu_notifier_invalidate_range_start(&range);
	KUNIT_EXPECT_EQ(test, core->interval.starts, 1);
	mmu_notifier_invalidate_range_end(&range);
	core_expect_returns(test, core_read, &core->interval);
}

/* The end of what was refused is not the end of what others do meanwhile. */
static void refused_while_another_runs(struct kunit *test)
{
	struct core_test *core = test->priv;
	struct mmu_notifier_range range;
	struct core_call *call;

	core_interval_insert(test, &core->interval);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_range_init(&range, CORE_ADDR);
	mmu_notifier_invalidate_range_start(&range);
	core_reap(test, CORE_ADDR);
	core_reap(test, CORE_ADDR + CORE_SIZE);

	call = core_call_start(test, core_read, &core->interval);
	KUNIT_EXPECT_FALSE(test, wait_for_completion_timeout(&call->done,
							     CORE_AWHILE));
	mmu_notifier_invalidate_range_end(&range);
	core_call_end(test, call);
}

/* A second pass that was handed out has run when the refusal is known. */
static void refused_after_two_passes(struct kunit *test)
{
	struct core_test *core = test->priv;

	core->interval.two_pass = true;
	core_interval_insert(test, &core->interval);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_reap(test, CORE_ADDR);
	KUNIT_EXPECT_EQ(test, core->interval.starts, 1);
	KUNIT_EXPECT_EQ(test, core->interval.finishes, 1);
	core_expect_returns(test, core_read, &core->interval);
}

/* An interval refuses: so does the whole, and no plain notifier is asked. */
static void refused_by_interval(struct kunit *test)
{
	struct core_test *core = test->priv;

	core->interval.refuse = true;
	core->other.two_pass = true;
	core_interval_insert(test, &core->interval);
	core_interval_insert(test, &core->other);
	core_plain_register(test, &core->refuses, &core_refuses_ops);

	core_reap(test, CORE_ADDR);
	KUNIT_EXPECT_EQ(test, core->refuses.starts, 0);
	KUNIT_EXPECT_EQ(test, core->other.finishes, core->other.starts);
	core_expect_returns(test, core_read, &core->interval);
	core_expect_returns(test, core_remove, &core->other);
}

/* A plain notifier that accepted has its end, with intervals and without. */
static void refused_with_plain_end(struct kunit *test)
{
	struct core_test *core = test->priv;

	core_plain_register(test, &core->refuses, &core_refuses_ops);
	core_plain_register(test, &core->accepts, &core_accepts_ops);

	core_reap(test, CORE_ADDR);
	KUNIT_EXPECT_EQ(test, core->accepts.starts, 1);
	KUNIT_EXPECT_EQ(test, core->accepts.ends, 1);

	core_interval_insert(test, &core->interval);
	core_expect_returns(test, core_read, &core->interval);

	core_reap(test, CORE_ADDR);
	KUNIT_EXPECT_EQ(test, core->accepts.starts, 2);
	KUNIT_EXPECT_EQ(test, core->accepts.ends, 2);
	core_expect_returns(test, core_read, &core->interval);
}

static int core_init(struct kunit *test)
{
	struct core_test *core;

	core = kzalloc_obj(*core);
	KUNIT_ASSERT_NOT_NULL(test, core);
	spin_lock_init(&core->interval.lock);
	spin_lock_init(&core->other.lock);
	test->priv = core;

	return kunit_attach_mm();
}

static void core_exit(struct kunit *test)
{
	struct core_test *core = test->priv;

	if (!core)
		return;

	/* The mm is gone, but for what the notifiers keep of it. */
	if (core->refuses.registered)
		mmu_notifier_unregister(&core->refuses.notifier,
					core->refuses.notifier.mm);
	if (core->accepts.registered)
		mmu_notifier_unregister(&core->accepts.notifier,
					core->accepts.notifier.mm);
	if (core->interval.inserted)
		core_expect_returns(test, core_remove, &core->interval);
	if (core->other.inserted)
		core_expect_returns(test, core_remove, &core->other);

	/* Not the test's memory: what sleeps for ever keeps it for ever. */
	kfree(core);
}

static struct kunit_case drm_userptr_core_tests[] = {
	KUNIT_CASE(refused_then_read),
	KUNIT_CASE(refused_then_removed),
	KUNIT_CASE(refused_then_inserted),
	KUNIT_CASE(refused_elsewhere),
	KUNIT_CASE(refused_while_another_runs),
	KUNIT_CASE(refused_after_two_passes),
	KUNIT_CASE(refused_by_interval),
	KUNIT_CASE(refused_with_plain_end),
	{ }
};

static struct kunit_suite drm_userptr_core_suite = {
	.name = "drm_userptr_core",
	.init = core_init,
	.exit = core_exit,
	.test_cases = drm_userptr_core_tests,
};

kunit_test_suite(drm_userptr_core_suite);
