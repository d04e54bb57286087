// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * Long-running queues of the mock device. A queue is only a bit that says
 * whether it reaches memory; clearing page table entries while it does is a
 * violation. It stops when the test lets it.
 */

#include "drm_userptr_mock_export.h"

static struct userptr_mock_queue *to_mock_queue(struct drm_userptr_queue *queue)
{
	return container_of(queue, struct userptr_mock_queue, base);
}

static void userptr_mock_queue_suspend(struct drm_userptr_queue *base)
{
	struct userptr_mock_queue *queue = to_mock_queue(base);

	guard(spinlock_irqsave)(&queue->lock);

	queue->suspends++;
	complete_all(&queue->stop_asked);
}

static void userptr_mock_queue_suspend_wait(struct drm_userptr_queue *base)
{
	struct userptr_mock_queue *queue = to_mock_queue(base);

	if (READ_ONCE(queue->slow))
		wait_for_completion(&queue->let_stop);

	guard(spinlock_irqsave)(&queue->lock);

	queue->suspend_waits++;
	queue->running = false;
	wake_up_all(&queue->wq);
}

static void userptr_mock_queue_resume(struct drm_userptr_queue *base)
{
	struct userptr_mock_queue *queue = to_mock_queue(base);
	struct userptr_mock_vm *vm = queue->vm;

	lockdep_assert_held_read(&vm->base.notifier_lock);
	lockdep_assert_held(&vm->lock);

	guard(spinlock)(&vm->pt_lock);
	guard(spinlock_irqsave)(&queue->lock);

	if (queue->running || queue->suspends != queue->suspend_waits ||
	    queue->suspends != queue->resumes)
		cmpxchg(&vm->mock->violation, NULL,
			"resumed a queue that is not suspended");
	reinit_completion(&queue->stop_asked);
	queue->present = vm->present;
	queue->resumes++;
	queue->running = true;
	wake_up_all(&queue->wq);
}

static bool userptr_mock_queue_idle(struct drm_userptr_queue *base)
{
	return READ_ONCE(to_mock_queue(base)->idle);
}

static const struct drm_userptr_queue_ops userptr_mock_queue_ops = {
	.suspend = userptr_mock_queue_suspend,
	.suspend_wait = userptr_mock_queue_suspend_wait,
	.resume = userptr_mock_queue_resume,
	.idle = userptr_mock_queue_idle,
};

/* As a driver's worker does it. Dead bindings are holes. */
static int userptr_mock_rebind_locked(struct userptr_mock_vm *vm)
{
	struct drm_userptr_submit *submit = &vm->submit;
	struct drm_exec exec;
	int err;

	lockdep_assert_held(&vm->lock);

	err = drm_userptr_rebind_begin(submit, &vm->preempt);
	if (err)
		return err;

	drm_userptr_until_valid(submit) {
		err = drm_userptr_submit_populate(submit);
		if (err)
			break;

		err = drm_userptr_resume_prepare(submit, &vm->preempt);
		if (err)
			break;

		if (vm->after_populate)
			vm->after_populate(vm);

		err = userptr_mock_exports_lock(vm->mock, &exec);
		if (err)
			break;
		err = drm_userptr_submit_validate(submit);
		if (!err && !drm_userptr_commit_begin(submit)) {
			drm_userptr_commit_resume(submit, &vm->preempt);
			userptr_mock_exports_add_preempt(&exec, &vm->preempt);
			drm_userptr_commit_end(submit);
		}
		drm_exec_fini(&exec);
		if (err)
			break;
	}
	drm_userptr_submit_fini(submit);

	return err;
}

static int userptr_mock_rebind(struct drm_userptr_preempt *preempt)
{
	struct userptr_mock_vm *vm =
		container_of(preempt, struct userptr_mock_vm, preempt);

	guard(mutex)(&vm->lock);

	/* So that the test's stubs hold here, too. */
	current->kunit_test = vm->mock->test;
	vm->rebinds++;
	vm->rebind_err = userptr_mock_rebind_locked(vm);
	current->kunit_test = NULL;

	return vm->rebind_err;
}

const struct drm_userptr_preempt_ops userptr_mock_preempt_ops = {
	.rebind = userptr_mock_rebind,
};

/* Suspended until the next drm_userptr_preempt_kick(). */
struct userptr_mock_queue *userptr_mock_queue_new(struct userptr_mock_vm *vm)
{
	struct kunit *test = vm->mock->test;
	struct userptr_mock_queue *queue;

	queue = kunit_kzalloc(test, sizeof(*queue), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, queue);
	queue->vm = vm;
	init_completion(&queue->stop_asked);
	init_completion(&queue->let_stop);
	init_waitqueue_head(&queue->wq);
	spin_lock_init(&queue->lock);

	mutex_lock(&vm->lock);
	KUNIT_EXPECT_EQ(test, 0,
			drm_userptr_queue_init(&queue->base, &vm->preempt,
					       &userptr_mock_queue_ops));
	mutex_unlock(&vm->lock);

	scoped_guard(spinlock, &vm->pt_lock)
		list_add_tail(&queue->link, &vm->queues);

	return queue;
}

void userptr_mock_queue_free(struct userptr_mock_queue *queue)
{
	struct userptr_mock_vm *vm = queue->vm;

	/* In this order: one that stops before it is killed is resumed. */
	drm_userptr_queue_kill(&queue->base);
	complete_all(&queue->let_stop);

	mutex_lock(&vm->lock);
	drm_userptr_queue_fini(&queue->base);
	mutex_unlock(&vm->lock);

	guard(spinlock)(&vm->pt_lock);
	list_del(&queue->link);
}

bool userptr_mock_queue_is_running(struct userptr_mock_queue *queue)
{
	guard(spinlock_irqsave)(&queue->lock);

	return queue->running;
}

static bool userptr_mock_queue_has_resumed(struct userptr_mock_queue *queue,
					   unsigned int resumes)
{
	guard(spinlock_irqsave)(&queue->lock);

	return queue->resumes >= resumes;
}

/* True as soon as it has been resumed so often; false if that never happens. */
bool userptr_mock_queue_resumed(struct userptr_mock_queue *queue,
				unsigned int resumes)
{
	return wait_event_timeout(queue->wq,
				  userptr_mock_queue_has_resumed(queue, resumes),
				  USERPTR_MOCK_SOON);
}

/* True as soon as it does not run; false if it runs for ever. */
bool userptr_mock_queue_stopped(struct userptr_mock_queue *queue)
{
	return wait_event_timeout(queue->wq,
				  !userptr_mock_queue_is_running(queue),
				  USERPTR_MOCK_SOON);
}

/* True as soon as somebody asked it to stop. */
bool userptr_mock_queue_stop_asked(struct userptr_mock_queue *queue)
{
	return wait_for_completion_timeout(&queue->stop_asked,
					   USERPTR_MOCK_SOON);
}

/* Does any queue of the VM reach its memory? */
bool userptr_mock_vm_is_running(struct userptr_mock_vm *vm)
{
	struct userptr_mock_queue *queue;

	lockdep_assert_held(&vm->pt_lock);

	list_for_each_entry(queue, &vm->queues, link)
		if (userptr_mock_queue_is_running(queue))
			return true;

	return false;
}
