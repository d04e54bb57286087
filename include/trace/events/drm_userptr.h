/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM drm_userptr

#if !defined(_TRACE_DRM_USERPTR_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DRM_USERPTR_H

#include <linux/tracepoint.h>

#include <drm/drm_userptr.h>

/*
 * Raw addresses are those of the task that is traced or of its owner's ioctl,
 * readable by who may read tracefs; objects are named by hashed pointers.
 */

TRACE_EVENT(drm_userptr_populate,
	TP_PROTO(struct drm_userptr *userptr, unsigned long index, int err),
	TP_ARGS(userptr, index, err),
	TP_STRUCT__entry(
		__field(void *, userptr)
		__field(unsigned long, addr)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->userptr = userptr;
		__entry->addr = index * DRM_USERPTR_WINDOW_SIZE;
		__entry->err = err;
	),
	/* err: 0, an errno, or 1 for a step lost to an invalidation */
	TP_printk("userptr=%p window=0x%lx err=%d",
		  __entry->userptr, __entry->addr, __entry->err)
);

TRACE_EVENT(drm_userptr_commit,
	TP_PROTO(struct drm_userptr_vm *vm, unsigned int tries, int err),
	TP_ARGS(vm, tries, err),
	TP_STRUCT__entry(
		__field(void *, vm)
		__field(unsigned int, tries)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->vm = vm;
		__entry->tries = tries;
		__entry->err = err;
	),
	TP_printk("vm=%p tries=%u err=%d",
		  __entry->vm, __entry->tries, __entry->err)
);

TRACE_EVENT(drm_userptr_invalidate_start,
	TP_PROTO(struct drm_userptr *userptr, unsigned long start,
		 unsigned long end, u64 seq, int event),
	TP_ARGS(userptr, start, end, seq, event),
	TP_STRUCT__entry(
		__field(void *, userptr)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(u64, seq)
		__field(int, event)
	),
	TP_fast_assign(
		__entry->userptr = userptr;
		__entry->start = start;
		__entry->end = end;
		__entry->seq = seq;
		__entry->event = event;
	),
	/* event: enum mmu_notifier_event */
	TP_printk("userptr=%p start=0x%lx end=0x%lx seq=%llu event=%d",
		  __entry->userptr, __entry->start, __entry->end,
		  __entry->seq, __entry->event)
);

TRACE_EVENT(drm_userptr_invalidate_finish,
	TP_PROTO(struct drm_userptr *userptr, u64 seq),
	TP_ARGS(userptr, seq),
	TP_STRUCT__entry(
		__field(void *, userptr)
		__field(u64, seq)
	),
	TP_fast_assign(
		__entry->userptr = userptr;
		__entry->seq = seq;
	),
	TP_printk("userptr=%p seq=%llu", __entry->userptr, __entry->seq)
);

DECLARE_EVENT_CLASS(drm_userptr_queue,
	TP_PROTO(struct drm_userptr_queue *queue),
	TP_ARGS(queue),
	TP_STRUCT__entry(
		__field(void *, vm)
		__field(void *, queue)
		__field(u64, seqno)
	),
	TP_fast_assign(
		__entry->vm = queue->preempt->vm;
		__entry->queue = queue;
		__entry->seqno = queue->seqno;
	),
	/* seqno: of the run that ends or begins */
	TP_printk("vm=%p queue=%p seqno=%llu",
		  __entry->vm, __entry->queue, __entry->seqno)
);

DEFINE_EVENT(drm_userptr_queue, drm_userptr_queue_suspended,
	TP_PROTO(struct drm_userptr_queue *queue),
	TP_ARGS(queue)
);

DEFINE_EVENT(drm_userptr_queue, drm_userptr_queue_resumed,
	TP_PROTO(struct drm_userptr_queue *queue),
	TP_ARGS(queue)
);

#endif /* _TRACE_DRM_USERPTR_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
