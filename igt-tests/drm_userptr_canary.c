// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * A suite whose assertions no longer fail looks exactly like one that passes.
 * The rig runs this one first and compares each result with canary.expected:
 * the failures here are wanted.
 */

#include <signal.h>

#include "igt.h"

/**
 * TEST: drm userptr canary
 * Description: Proves that the library's verdicts arrive as the sources mean them
 * Category: Infrastructure
 * Mega feature: General infrastructure tests
 * Sub-category: Self test
 * Functionality: harness
 * Test category: functionality test
 *
 * SUBTEST: pass
 * Description: reaches its end
 *
 * SUBTEST: skip
 * Description: a requirement is not met
 *
 * SUBTEST: fail
 * Description: an assertion does not hold
 *
 * SUBTEST: fail-compare-%s
 * Description: the comparison %arg[1] must fail for a pair that breaks it
 * arg[1].values: eq, neq, lt, lte, eq-u32, eq-u64-high, neq-u64, lt-u64, lte-u64
 *
 * SUBTEST: fail-in-fork
 * Description: an assertion in a forked child fails the parent's subtest
 *
 * SUBTEST: pass-in-fork
 * Description: children that end well let the subtest pass
 *
 * SUBTEST: fail-ioctl
 * Description: do_ioctl() on something that is no device
 *
 * SUBTEST: pass-ioctl-error
 * Description: do_ioctl_err() names the errno that it meets
 *
 * SUBTEST: pass-signals
 * Description: the signal helper interrupts a sleeping system call
 *
 * SUBTEST: mix
 * Description: dynamic subtests that pass, skip and fail
 *
 * SUBTEST: mix-pass
 * Description: dynamic subtests that pass and skip
 *
 * SUBTEST: mix-empty
 * Description: a container in which no dynamic subtest ran is a skip
 *
 * SUBTEST: group-skip-one
 * Description: first subtest of a group whose fixture skips
 *
 * SUBTEST: group-skip-two
 * Description: second subtest of a group whose fixture skips
 *
 * SUBTEST: after-group
 * Description: a skipping group must not take along what follows it
 *
 * SUBTEST: timeout
 * Description: an armed time-out ends a subtest that waits for ever
 *
 * SUBTEST: crash
 * Description: a segmentation fault is reported as a crash of this subtest
 */

IGT_TEST_DESCRIPTION("Self test of the test harness: most of its failures are wanted.");

static int fixture_runs;

static void fork_and_fail(void)
{
	igt_fork(child, 2)
		igt_assert_f(child == 0, "wanted failure in child %d\n", child);
	igt_waitchildren();
}

static void signals_interrupt(void)
{
	struct timespec ts = { .tv_sec = 20 };
	int ret;

	igt_fork_signal_helper();
	ret = nanosleep(&ts, NULL) ? errno : 0;
	igt_stop_signal_helper();
	igt_assert_eq(ret, EINTR);
}

static void wait_for_ever(void)
{
	sigset_t none;

	igt_set_timeout(1, "wanted time-out");
	sigemptyset(&none);
	for (;;)
		sigsuspend(&none);
}

int igt_main()
{
	igt_fixture()
		fixture_runs++;

	igt_describe("Broken if a subtest without any complaint is not a pass.");
	igt_subtest("pass")
		igt_assert_eq(fixture_runs, 1);

	igt_describe("Broken if an unmet requirement is taken for anything but a skip.");
	igt_subtest("skip")
		igt_require_f(fixture_runs == 0, "wanted skip\n");

	igt_describe("Broken if assertions do not fail a subtest.");
	igt_subtest("fail")
		igt_assert_f(fixture_runs == 0, "wanted failure\n");

	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-eq")
		igt_assert_eq(fixture_runs, 2);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-neq")
		igt_assert_neq(fixture_runs, 1);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-lt")
		igt_assert_lt(fixture_runs, 1);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-lte")
		igt_assert_lte(fixture_runs, 0);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-eq-u32")
		igt_assert_eq_u32(fixture_runs, 0x80000001u);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-eq-u64-high")
		igt_assert_eq_u64(fixture_runs, 0x100000001ull);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-neq-u64")
		igt_assert_neq_u64(fixture_runs, 1);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-lt-u64")
		igt_assert_lt_u64(0x100000000ull, fixture_runs);
	igt_describe("Broken if a comparison lets a wrong pair through, or truncates it.");
	igt_subtest("fail-compare-lte-u64")
		igt_assert_lte_u64(0x100000000ull, fixture_runs);

	igt_describe("Broken if a child's failed assertion does not reach the parent.");
	igt_subtest("fail-in-fork")
		fork_and_fail();

	igt_describe("Broken if children cannot end well.");
	igt_subtest("pass-in-fork") {
		igt_fork(child, 3)
			igt_assert_lt(child, 3);
		igt_waitchildren();
	}

	igt_describe("Broken if a failing ioctl goes unnoticed.");
	igt_subtest("fail-ioctl")
		do_ioctl(-1, DRM_IOCTL_GEM_CLOSE, NULL);

	igt_describe("Broken if errors of ioctls are not told apart.");
	igt_subtest("pass-ioctl-error")
		do_ioctl_err(-1, DRM_IOCTL_GEM_CLOSE, NULL, EBADF);

	igt_describe("Broken if the signal storm of other tests is silent.");
	igt_subtest("pass-signals")
		signals_interrupt();

	igt_describe("Broken if results of dynamic subtests are mixed up.");
	igt_subtest_with_dynamic("mix") {
		igt_dynamic("pass")
			igt_assert_eq(fixture_runs, 1);
		igt_dynamic("skip")
			igt_require_f(fixture_runs == 0, "wanted skip\n");
		igt_dynamic_f("fail-%d", fixture_runs)
			igt_assert_f(fixture_runs == 0, "wanted failure\n");
		igt_dynamic("pass-after-fail")
			igt_assert_eq(fixture_runs, 1);
	}

	igt_describe("Broken if a dynamic skip fails its container.");
	igt_subtest_with_dynamic_f("mix-%s", "pass") {
		igt_dynamic("pass")
			igt_assert_eq(fixture_runs, 1);
		igt_dynamic("skip")
			igt_require_f(fixture_runs == 0, "wanted skip\n");
	}

	igt_describe("Broken if an empty container counts as a pass.");
	igt_subtest_with_dynamic("mix-empty")
		igt_assert_eq(fixture_runs, 1);

	igt_subtest_group() {
		igt_fixture()
			igt_require_f(fixture_runs == 0, "wanted skip of the group\n");

		igt_describe("Broken if a fixture's skip does not reach its group.");
		igt_subtest("group-skip-one")
			igt_assert(false);

		igt_describe("Broken if a fixture's skip reaches one subtest only.");
		igt_subtest("group-skip-two")
			igt_assert(false);
	}

	igt_describe("Broken if a group's skip leaks out of the group.");
	igt_subtest_f("after-%s", "group")
		igt_assert_eq(fixture_runs, 1);

	igt_describe("Broken if nothing bounds a subtest that hangs.");
	igt_subtest("timeout")
		wait_for_ever();

	igt_describe("Broken if a crash is lost, or blamed on another subtest.");
	igt_subtest("crash")
		raise(SIGSEGV);
}
