# SPDX-License-Identifier: MIT
import unittest

from frontdoor import logscan


def reports(*texts, **options):
    return logscan.scan([f"[    1.{i:06d}] {text}" for i, text in enumerate(texts)], **options)


class LogScan(unittest.TestCase):
    BAD = (
        "Kernel panic - not syncing: Fatal exception",
        "BUG: KASAN: slab-use-after-free in drm_userptr_invalidate+0x10/0x20",
        "BUG: sleeping function called from invalid context at mm/page_alloc.c:1",
        "kernel BUG at mm/slub.c:448!",
        "WARNING: possible circular locking dependency detected",
        "WARNING: CPU: 0 PID: 1 at drivers/gpu/drm/x.c:10 f+0x1/0x2",
        "INFO: task igt:123 blocked for more than 120 seconds.",
        "INFO: possible recursive locking detected",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "DMA-API: vgem vgem: device driver frees DMA memory with different size",
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "Oops: general protection fault, probably for non-canonical address",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!",
        "refcount_t: underflow; use-after-free.",
        "------------[ cut here ]------------",
        "Call Trace:",
        "ODEBUG: free active (active state 0) object: 1 object type: work_struct",
    )
    GOOD = (
        "DMA-API: preallocated 65536 debug entries",
        "DMA-API: debugging enabled by kernel config",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)",
        "[IGT] vgem_basic: executing WARNING: BUG: Oops",
        "frontdoor: BUG: is a word we may say",
        "kasan: KernelAddressSanitizer initialized",
        "Kernel command line: panic=-1",
        "ok 1 drm_userptr_window",
    )

    def test_each_bad_line_is_found(self):
        for text in self.BAD:
            with self.subTest(text):
                self.assertEqual(len(reports(text)), 1)

    def test_each_good_line_is_let_through(self):
        for text in self.GOOD:
            with self.subTest(text):
                self.assertEqual(reports(text), [])

    def test_user_space_may_say_anything(self):
        self.assertEqual(logscan.scan(["WARNING: not the kernel", "(test:1) CRITICAL: BUG: x"]), [])

    def test_a_kernel_line_behind_half_a_user_line(self):
        self.assertEqual(len(logscan.scan(["half a line[   12.345678] BUG: x"])), 1)

    def test_lines_with_a_caller_field(self):
        self.assertEqual(len(logscan.scan(["[   12.345678][  T123] BUG: x"])), 1)

    def test_what_follows_is_shown_with_it(self):
        found = reports("fine", "WARNING: first", "Call Trace:", "detail")
        self.assertEqual(len(found), 1)
        self.assertEqual(len(found[0]), 3)

    def test_a_second_report_further_down_is_found(self):
        self.assertEqual(len(reports("WARNING: 1", *["x"] * logscan.CONTEXT, "WARNING: 2")), 2)

    def test_a_full_control_group_is_no_bug(self):
        kill = ["test invoked oom-killer: gfp_mask=0xcc0", "CPU: 0 Comm: test", "Call Trace:", "dump_stack+0x1/0x2"]
        self.assertEqual(reports(*kill, "Memory cgroup out of memory: Killed process 1 (test)"), [])
        self.assertEqual(len(reports(*kill, "Out of memory: Killed process 1 (test)")), 1)
        self.assertEqual(len(reports(*kill, "WARNING: something else", "Call Trace:")), 1)

    def test_allowed_lines(self):
        self.assertEqual(reports("WARNING: known", allowed=["known"]), [])
