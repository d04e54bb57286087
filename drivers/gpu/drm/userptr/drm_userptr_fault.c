// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Faults that somebody in user space handles (userfaultfd).
 *
 * The handler may take as long as it likes, and may need the very VM that is
 * being submitted to, so it is waited for with no lock held. What it brought in
 * may be gone again when populate looks: then it is the next round's business.
 */

#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "drm_userptr_internal.h"

/*
 * Fault in what is missing from @addr to the end of its window.
 *
 * Returns 0; -EFAULT, -ERESTARTSYS if a signal came first, -ENOMEM.
 */
int drm_userptr_fault(struct mm_struct *mm, unsigned long addr,
		      unsigned long end, bool write)
{
	int locked = 1;
	long ret;

	might_fault();

	if (!mmget_not_zero(mm))
		return -EFAULT;

	if (mmap_read_lock_killable(mm)) {
		ret = -EINTR;
		goto out_mmput;
	}

	/* No references are wanted, only the faults. */
	ret = get_user_pages_remote(mm, addr, (end - addr) >> PAGE_SHIFT,
				    FOLL_INTERRUPTIBLE |
				    (write ? FOLL_WRITE : 0),
				    NULL, &locked);
	if (locked)
		mmap_read_unlock(mm);

out_mmput:
	/* Not mmput(): exit_mmap() calls back. */
	mmput_async(mm);

	if (ret > 0)
		return 0;
	if (signal_pending(current))
		return -ERESTARTSYS;

	return ret == -ENOMEM ? ret : -EFAULT;
}
