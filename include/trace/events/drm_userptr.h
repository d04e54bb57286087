/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM drm_userptr

#if !defined(_TRACE_DRM_USERPTR_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DRM_USERPTR_H

#include <linux/mmu_notifier.h>
#include <linux/tracepoint.h>

#include <drm/drm_userptr.h>
#include <drm/drm_userptr_import.h>

/*
 * Addresses are those of the process, readable by who may read tracefs. Userptrs
 * and VMs go by their ids, as in debugfs: a record holds no kernel pointer,
 * which tools that read the raw buffer would print as it is.
 */

TRACE_DEFINE_ENUM(MMU_NOTIFY_UNMAP);
TRACE_DEFINE_ENUM(MMU_NOTIFY_CLEAR);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_VMA);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_PAGE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_SOFT_DIRTY);
TRACE_DEFINE_ENUM(MMU_NOTIFY_RELEASE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_MIGRATE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_EXCLUSIVE);

#define drm_userptr_show_event(event__)					\
	__print_symbolic(event__,					\
			 { MMU_NOTIFY_UNMAP, "unmap" },			\
			 { MMU_NOTIFY_CLEAR, "clear" },			\
			 { MMU_NOTIFY_PROTECTION_VMA, "protection-vma" },\
			 { MMU_NOTIFY_PROTECTION_PAGE, "protection-page" },\
			 { MMU_NOTIFY_SOFT_DIRTY, "soft-dirty" },	\
			 { MMU_NOTIFY_RELEASE, "release" },		\
			 { MMU_NOTIFY_MIGRATE, "migrate" },		\
			 { MMU_NOTIFY_EXCLUSIVE, "exclusive" })

/* What a step of populate came to, as in drm_userptr_internal.h, or an errno */
#define DRM_USERPTR_TRACE_FAILED	5

#define drm_userptr_show_step(step__)					\
	__print_symbolic(step__,					\
			 { 0, "valid" },				\
			 { 1, "collision" },				\
			 { 2, "own-fault" },				\
			 { 3, "handler" },				\
			 { 4, "waiting" },				\
			 { DRM_USERPTR_TRACE_FAILED, "failed" })

/*
 * enum drm_userptr_window_state in its order, and what else keeps a commit from
 * using a window
 */
#define DRM_USERPTR_TRACE_NEVER		5
#define DRM_USERPTR_TRACE_INJECTED	6

#define drm_userptr_show_state(state__)					\
	__print_symbolic(state__,					\
			 { 0, "stale" },				\
			 { 1, "populating" },				\
			 { 2, "hole" },					\
			 { 3, "not-mapped-for-device" },		\
			 { 4, "dying" },				\
			 { DRM_USERPTR_TRACE_NEVER, "never-used" },	\
			 { DRM_USERPTR_TRACE_INJECTED, "injected" })

TRACE_EVENT(drm_userptr_create,
	TP_PROTO(const struct drm_userptr *userptr),
	TP_ARGS(userptr),
	TP_STRUCT__entry(
		__field(u64, userptr)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(u32, flags)
	),
	TP_fast_assign(
		__entry->userptr = userptr->id;
		__entry->start = userptr->start;
		__entry->end = userptr->end;
		__entry->flags = userptr->flags;
	),
	TP_printk("userptr=%llu start=0x%lx end=0x%lx flags=%s",
		  __entry->userptr, __entry->start, __entry->end,
		  __print_flags(__entry->flags, "|",
				{ 1, "read-only" },
				{ 2, "pin" }))
);

TRACE_EVENT(drm_userptr_destroy,
	TP_PROTO(const struct drm_userptr *userptr),
	TP_ARGS(userptr),
	TP_STRUCT__entry(
		__field(u64, userptr)
	),
	TP_fast_assign(
		__entry->userptr = userptr->id;
	),
	TP_printk("userptr=%llu", __entry->userptr)
);

TRACE_EVENT(drm_userptr_populate,
	TP_PROTO(const struct drm_userptr *userptr, unsigned long index,
		 int err),
	TP_ARGS(userptr, index, err),
	TP_STRUCT__entry(
		__field(u64, userptr)
		__field(unsigned long, addr)
		__field(int, err)
		__field(unsigned int, step)
	),
	TP_fast_assign(
		__entry->userptr = userptr->id;
		__entry->addr = index * DRM_USERPTR_WINDOW_SIZE;
		__entry->err = err;
		__entry->step = err < 0 ? DRM_USERPTR_TRACE_FAILED : err;
	),
	/* err: 0, an errno, or why the step was lost, which @step spells out */
	TP_printk("userptr=%llu window=0x%lx err=%d step=%s",
		  __entry->userptr, __entry->addr, __entry->err,
		  drm_userptr_show_step(__entry->step))
);

TRACE_EVENT(drm_userptr_commit,
	TP_PROTO(const struct drm_userptr_vm *vm, unsigned int tries, int err),
	TP_ARGS(vm, tries, err),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(unsigned int, tries)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->vm = vm->id;
		__entry->tries = tries;
		__entry->err = err;
	),
	TP_printk("vm=%llu tries=%u err=%d",
		  __entry->vm, __entry->tries, __entry->err)
);

/* Why a commit has to go round again; drm_userptr_commit follows. */
TRACE_EVENT(drm_userptr_retry,
	TP_PROTO(const struct drm_userptr_binding *binding,
		 unsigned long index, u32 state),
	TP_ARGS(binding, index, state),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, userptr)
		__field(u64, addr)
		__field(unsigned long, window)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->vm = binding->vm->id;
		__entry->userptr = binding->userptr->id;
		__entry->addr = binding->addr;
		__entry->window = index * DRM_USERPTR_WINDOW_SIZE;
		__entry->state = state;
	),
	/* addr: device address of the binding */
	TP_printk("vm=%llu userptr=%llu addr=0x%llx window=0x%lx state=%s",
		  __entry->vm, __entry->userptr, __entry->addr,
		  __entry->window, drm_userptr_show_state(__entry->state))
);

/* A binding, or a part of it, has no memory. What is bound may be an import. */
TRACE_EVENT(drm_userptr_dead,
	TP_PROTO(const struct drm_userptr_binding *binding),
	TP_ARGS(binding),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, userptr)
		__field(u64, addr)
		__field(unsigned long, fault_addr)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->vm = binding->vm->id;
		__entry->userptr = drm_userptr_binding_id(binding);
		__entry->addr = binding->addr;
		__entry->fault_addr = binding->fault_addr;
		__entry->err = binding->error;
	),
	TP_printk("vm=%llu userptr=%llu addr=0x%llx fault_addr=0x%lx err=%d",
		  __entry->vm, __entry->userptr, __entry->addr,
		  __entry->fault_addr, __entry->err)
);

/* It has memory again, all of it. */
TRACE_EVENT(drm_userptr_revive,
	TP_PROTO(const struct drm_userptr_binding *binding),
	TP_ARGS(binding),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, userptr)
		__field(u64, addr)
	),
	TP_fast_assign(
		__entry->vm = binding->vm->id;
		__entry->userptr = drm_userptr_binding_id(binding);
		__entry->addr = binding->addr;
	),
	TP_printk("vm=%llu userptr=%llu addr=0x%llx",
		  __entry->vm, __entry->userptr, __entry->addr)
);

/* An exporter wants the memory of a binding back, or moves it. */
TRACE_EVENT(drm_userptr_import_invalidate,
	TP_PROTO(const struct drm_userptr_binding *binding, bool busy),
	TP_ARGS(binding, busy),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, import)
		__field(u64, addr)
		__field(bool, busy)
	),
	TP_fast_assign(
		__entry->vm = binding->vm->id;
		__entry->import = binding->import->id;
		__entry->addr = binding->addr;
		__entry->busy = busy;
	),
	TP_printk("vm=%llu import=%llu addr=0x%llx busy=%d",
		  __entry->vm, __entry->import, __entry->addr, __entry->busy)
);

/* It has it: nothing that was bound reaches it any more. */
TRACE_EVENT(drm_userptr_import_retire,
	TP_PROTO(const struct drm_userptr_import *import),
	TP_ARGS(import),
	TP_STRUCT__entry(
		__field(u64, import)
	),
	TP_fast_assign(
		__entry->import = import->id;
	),
	TP_printk("import=%llu", __entry->import)
);

TRACE_EVENT(drm_userptr_invalidate_start,
	TP_PROTO(const struct drm_userptr *userptr,
		 const struct drm_userptr_inval *inval, int event,
		 unsigned int passes),
	TP_ARGS(userptr, inval, event, passes),
	TP_STRUCT__entry(
		__field(u64, userptr)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(u64, seq)
		__field(int, event)
		__field(unsigned int, vms)
		__field(bool, more)
		__field(unsigned int, passes)
	),
	TP_fast_assign(
		__entry->userptr = userptr->id;
		__entry->start = inval->start;
		__entry->end = inval->end;
		__entry->seq = inval->seq;
		__entry->event = event;
		__entry->vms = inval->nr_jobs;
		__entry->more = inval->more_jobs;
		__entry->passes = passes;
	),
	/* vms: VMs that are hit, or bindings in VMs whose jobs name them */
	TP_printk("userptr=%llu start=0x%lx end=0x%lx seq=%llu event=%s vms=%u%s passes=%u",
		  __entry->userptr, __entry->start, __entry->end,
		  __entry->seq, drm_userptr_show_event(__entry->event),
		  __entry->vms, __entry->more ? "+" : "", __entry->passes)
);

TRACE_EVENT(drm_userptr_invalidate_finish,
	TP_PROTO(const struct drm_userptr *userptr, u64 seq, u64 waited_ns),
	TP_ARGS(userptr, seq, waited_ns),
	TP_STRUCT__entry(
		__field(u64, userptr)
		__field(u64, seq)
		__field(u64, waited_ns)
	),
	TP_fast_assign(
		__entry->userptr = userptr->id;
		__entry->seq = seq;
		__entry->waited_ns = waited_ns;
	),
	/* waited_ns: for jobs; without the TLB */
	TP_printk("userptr=%llu seq=%llu waited_ns=%llu",
		  __entry->userptr, __entry->seq, __entry->waited_ns)
);

/* The OOM reaper's kind, which is over when it is traced. */
TRACE_EVENT(drm_userptr_invalidate_nonblock,
	TP_PROTO(const struct drm_userptr *userptr, unsigned long start,
		 unsigned long end, int event, bool granted),
	TP_ARGS(userptr, start, end, event, granted),
	TP_STRUCT__entry(
		__field(u64, userptr)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(int, event)
		__field(bool, granted)
	),
	TP_fast_assign(
		__entry->userptr = userptr->id;
		__entry->start = start;
		__entry->end = end;
		__entry->event = event;
		__entry->granted = granted;
	),
	TP_printk("userptr=%llu start=0x%lx end=0x%lx event=%s %s",
		  __entry->userptr, __entry->start, __entry->end,
		  drm_userptr_show_event(__entry->event),
		  __entry->granted ? "granted" : "refused")
);

DECLARE_EVENT_CLASS(drm_userptr_queue,
	TP_PROTO(struct drm_userptr_queue *queue),
	TP_ARGS(queue),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, queue)
		__field(u64, seqno)
	),
	TP_fast_assign(
		__entry->vm = queue->preempt->vm->id;
		__entry->queue = queue->context;
		__entry->seqno = queue->seqno;
	),
	/* queue: its fence context; seqno: of the run that ends or begins */
	TP_printk("vm=%llu queue=%llu seqno=%llu",
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
