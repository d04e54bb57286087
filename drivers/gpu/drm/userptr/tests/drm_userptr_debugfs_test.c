// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

/*
 * What debugfs says, read as root reads it: the kinds of things there are, the
 * states that they can be in, and that of very many not all are listed.
 */

#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/uaccess.h>

#include "../drm_userptr_internal.h"
#include "drm_userptr_mock.h"

#define TAG	0xc100000000ull

/* As documented: so many are listed, and so many of the others counted. */
#define SHOWN		256
#define SHOWN_BINDINGS	16
#define COUNTED		1024

/* More than there is ever to say */
#define TEXT_SIZE	SZ_1M

KUNIT_DEFINE_ACTION_WRAPPER(debugfs_remove_dir, debugfs_remove,
			    struct dentry *);

static void debugfs_unmount(void *mnt)
{
	kern_unmount(mnt);
}

static void debugfs_fput(void *file)
{
	__fput_sync(file);
}

/* The file, in a mount that nobody else sees */
static struct file *debugfs_open(struct kunit *test)
{
	struct userptr_mock *mock = test->priv;
	struct file_system_type *type;
	struct dentry *dir;
	struct vfsmount *mnt;
	struct file *file;
	struct path root;

	if (!IS_ENABLED(CONFIG_DEBUG_FS))
		kunit_skip(test, "needs debugfs");

	dir = debugfs_create_dir("userptr_mock", NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dir);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, debugfs_remove_dir, dir));
	drm_userptr_device_debugfs_init(&mock->device, dir);

	type = get_fs_type("debugfs");
	KUNIT_ASSERT_NOT_NULL(test, type);
	mnt = kern_mount(type);
	put_filesystem(type);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, debugfs_unmount, mnt));

	root = (struct path) { .mnt = mnt, .dentry = mnt->mnt_root };
	file = file_open_root(&root, "userptr_mock/userptr", O_RDONLY, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, debugfs_fput, file));

	return file;
}

/* What the file says now; it gets to a user, as everything that is read. */
static const char *debugfs_read(struct kunit *test, struct file *file)
{
	unsigned long addr;
	size_t size = 0;
	loff_t pos = 0;
	ssize_t got;
	char *text;

	addr = kunit_vm_mmap(test, NULL, 0, TEXT_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, !addr || IS_ERR_VALUE(addr));
	text = kunit_kzalloc(test, TEXT_SIZE + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);

	do {
		got = file->f_op->read(file, (char __user *)addr + size,
				       TEXT_SIZE - size, &pos);
		KUNIT_ASSERT_GE(test, got, 0);
		size += got;
	} while (got);
	KUNIT_ASSERT_LT(test, size, TEXT_SIZE);
	KUNIT_ASSERT_EQ(test, 0,
			copy_from_user(text, (const char __user *)addr, size));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, TEXT_SIZE));

	return text;
}

/* How often does a text contain another? */
static unsigned int debugfs_count(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}

	return n;
}

static __printf(3, 4) void debugfs_expect(struct kunit *test, const char *text,
					  const char *fmt, ...)
{
	va_list args;
	char *line;

	va_start(args, fmt);
	line = kvasprintf(GFP_KERNEL, fmt, args);
	va_end(args);
	KUNIT_ASSERT_NOT_NULL(test, line);
	if (!strstr(text, line))
		KUNIT_FAIL(test, "no '%s' in\n%.4096s", line, text);
	kfree(line);
}

static void debugfs_vms(struct kunit *test)
{
	struct file *file = debugfs_open(test);
	static const char * const kind[] = {
		"", " holes", " explicit", " holes explicit",
	};
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *vm[ARRAY_SIZE(kind)];
	struct userptr_mock_obj *obj;
	struct userptr_mock_job *job;
	unsigned long addr;
	const char *text;
	u32 flags;

	/* DRM_USERPTR_VM_HOLES is bit 0, DRM_USERPTR_VM_EXPLICIT bit 1. */
	for (flags = 0; flags < ARRAY_SIZE(kind); flags++)
		vm[flags] = userptr_mock_vm_new_on(mock, mock->dev, flags);
	addr = userptr_mock_mmap(mock, SZ_4M);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	userptr_mock_bind_all(vm[0], obj, 0);
	userptr_mock_bind(vm[0], obj, addr, SZ_2M, SZ_4M);
	text = debugfs_read(test, file);
	for (flags = 0; flags < ARRAY_SIZE(kind); flags++)
		debugfs_expect(test, text, "  vm %llu on %s:%s\n",
			       vm[flags]->base.id, dev_name(mock->dev),
			       kind[flags]);
	debugfs_expect(test, text, "    bindings: 2 invalidated, 0 dead\n");
	KUNIT_EXPECT_EQ(test, ARRAY_SIZE(kind),
			debugfs_count(text, "contexts with running jobs: 0\n"));

	job = userptr_mock_submit_new(vm[0]);
	text = debugfs_read(test, file);
	debugfs_expect(test, text,
		       "    bindings: 0 invalidated, 0 dead\n"
		       "    contexts with running jobs: 1\n"
		       "    submits 1, retries 0, invalidations 0, windows 2, fence waits 0\n");
	userptr_mock_job_end(job);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr + SZ_2M, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm[0]));
	text = debugfs_read(test, file);
	debugfs_expect(test, text,
		       "    bindings: 0 invalidated, 1 dead\n"
		       "    contexts with running jobs: 0\n"
		       "    submits 2, retries 0, invalidations 1, windows 2, fence waits 0\n");
}

static void debugfs_userptrs(struct kunit *test)
{
	struct file *file = debugfs_open(test);
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, SZ_4M);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj, *read_only, *pinned;
	struct userptr_mock_job *job;
	const char *text;

	mock->aliased = true;
	userptr_mock_fill(mock, addr, SZ_4M, TAG);
	obj = userptr_mock_obj_new(mock, addr, SZ_4M, 0);
	userptr_mock_bind(vm, obj, addr, SZ_2M, SZ_2M);
	job = userptr_mock_submit_new(vm);
	read_only = userptr_mock_obj_new(mock, addr, SZ_2M,
					 DRM_USERPTR_READ_ONLY);
	pinned = userptr_mock_obj_new(mock, addr, PAGE_SIZE, DRM_USERPTR_PIN);

	text = debugfs_read(test, file);
	debugfs_expect(test, text,
		       "client 1: 3 userptrs of at most %u, 6148 KiB, 2052 KiB resident, 4 KiB pinned,",
		       USERPTR_MOCK_MAX_USERPTRS);
	debugfs_expect(test, text, "  userptr %llu: 0x%lx-0x%lx, 4096 KiB, %ld bytes",
		       obj->base.id, addr, addr + SZ_4M,
		       atomic_long_read(&obj->base.metadata));
	debugfs_expect(test, text,
		       "    windows: 1 valid, 0 dying, 0 hole, 0 populating, 1 stale, 0 never used;");
	debugfs_expect(test, text,
		       "    bound in vm %llu at 0x200000 from 0x%lx, 2048 KiB: 1 of 1 windows mapped\n",
		       vm->base.id, addr);
	debugfs_expect(test, text, "  userptr %llu: 0x%lx-0x%lx, 2048 KiB, read-only,",
		       read_only->base.id, addr, addr + SZ_2M);
	debugfs_expect(test, text,
		       "    windows: 0 valid, 0 dying, 0 hole, 0 populating, 0 stale, 1 never used; 0 runs\n");
	debugfs_expect(test, text, "  userptr %llu: 0x%lx-0x%lx, 4 KiB, pinned,",
		       pinned->base.id, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, debugfs_count(text, "being invalidated"));

	/* Waits for the job. */
	userptr_mock_invalidate(obj, addr, addr + PAGE_SIZE);
	text = debugfs_read(test, file);
	debugfs_expect(test, text,
		       "    windows: 0 valid, 1 dying, 0 hole, 0 populating, 1 stale,");
	debugfs_expect(test, text,
		       "from 0x%lx, 2048 KiB: 0 of 1 windows mapped, invalidated\n    being invalidated\n",
		       addr);
	userptr_mock_job_end(job);
	userptr_mock_invalidate_finish(obj);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr + PAGE_SIZE, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	text = debugfs_read(test, file);
	debugfs_expect(test, text,
		       "    windows: 0 valid, 0 dying, 1 hole, 0 populating, 1 stale,");
	debugfs_expect(test, text, "0 of 1 windows mapped, error %d at 0x%lx\n",
		       -EFAULT, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, debugfs_count(text, "being invalidated"));
}

/* Of very many bindings the first are listed, and the others counted so far. */
static void debugfs_many_bindings(struct kunit *test)
{
	struct file *file = debugfs_open(test);
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct userptr_mock_vm *vm = userptr_mock_vm_new(mock);
	struct userptr_mock_obj *obj;
	const char *text;
	unsigned int n;

	obj = userptr_mock_obj_new(mock, addr, PAGE_SIZE, 0);
	for (n = 0; n < SHOWN_BINDINGS + 3; n++)
		userptr_mock_bind_all(vm, obj, n * PAGE_SIZE);
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "bound in vm"), SHOWN_BINDINGS);
	debugfs_expect(test, text, "    and 3 other bindings\n");
	debugfs_expect(test, text, "    bindings: %u invalidated, 0 dead\n", n);

	for (; n < SHOWN_BINDINGS + COUNTED + 1; n++)
		userptr_mock_bind_all(vm, obj, n * PAGE_SIZE);
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "bound in vm"), SHOWN_BINDINGS);
	debugfs_expect(test, text, "    and %u or more other bindings\n", COUNTED);
	debugfs_expect(test, text,
		       "    bindings: %u or more invalidated, 0 dead\n", COUNTED);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, userptr_mock_submit_done(vm));
	text = debugfs_read(test, file);
	debugfs_expect(test, text,
		       "    bindings: 0 invalidated, %u or more dead\n", COUNTED);
}

static void debugfs_many_vms(struct kunit *test)
{
	struct file *file = debugfs_open(test);
	struct userptr_mock *mock = test->priv;
	struct userptr_mock_vm *one = userptr_mock_vm_new(mock);
	struct drm_userptr_vm *vms;
	const char *text;
	unsigned int n;

	/* One is there already. */
	vms = kunit_kcalloc(test, SHOWN + 1, sizeof(*vms), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vms);
	for (n = 0; n < SHOWN + 1; n++) {
		vms[n].client = mock->client;
		KUNIT_ASSERT_EQ(test, 0,
				drm_userptr_vm_init(&vms[n], mock->dev,
						    one->base.ops, 0));
	}
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "  vm "), SHOWN);
	debugfs_expect(test, text, "  and other VMs\n");

	for (n = 0; n < SHOWN + 1; n++)
		drm_userptr_vm_fini(&vms[n]);
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "  vm "), 1);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "other VMs"), 0);
}

static void debugfs_many_userptrs(struct kunit *test)
{
	struct file *file = debugfs_open(test);
	struct userptr_mock *mock = test->priv;
	unsigned long addr = userptr_mock_mmap(mock, PAGE_SIZE);
	struct drm_userptr_client *client;
	struct drm_userptr *userptrs;
	const char *text;
	unsigned int n;

	client = drm_userptr_client_create(&mock->device, 2, SHOWN + 3);
	KUNIT_ASSERT_NOT_NULL(test, client);
	userptrs = kunit_kcalloc(test, SHOWN + 3, sizeof(*userptrs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, userptrs);
	for (n = 0; n < SHOWN + 3; n++) {
		userptrs[n].client = client;
		KUNIT_ASSERT_EQ(test, 0,
				drm_userptr_init(&userptrs[n], mock->dev, addr,
						 PAGE_SIZE, 0));
	}
	text = debugfs_read(test, file);
	debugfs_expect(test, text, "client 2: %u userptrs of at most %u,",
		       SHOWN + 3, SHOWN + 3);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "  userptr "), SHOWN);
	debugfs_expect(test, text, "  and other userptrs\n");

	for (n = 0; n < SHOWN + 3; n++)
		drm_userptr_fini(&userptrs[n]);
	drm_userptr_client_put(client);
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "userptr "), 0);
}

static void debugfs_many_clients(struct kunit *test)
{
	struct file *file = debugfs_open(test);
	struct userptr_mock *mock = test->priv;
	struct drm_userptr_client **clients;
	const char *text;
	unsigned int n;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	/* One is there already. */
	clients = kunit_kcalloc(test, SHOWN, sizeof(*clients), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, clients);
	for (n = 0; n < SHOWN - 1; n++) {
		clients[n] = drm_userptr_client_create(&mock->device, 2 + n, 1);
		KUNIT_ASSERT_NOT_NULL(test, clients[n]);
	}
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "client "), SHOWN);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "other clients"), 0);

	clients[n] = drm_userptr_client_create(&mock->device, 2 + n, 1);
	KUNIT_ASSERT_NOT_NULL(test, clients[n]);
	text = debugfs_read(test, file);
	KUNIT_EXPECT_EQ(test, debugfs_count(text, "client "), SHOWN);
	debugfs_expect(test, text, "and other clients\n");

	for (n = 0; n < SHOWN; n++)
		drm_userptr_client_put(clients[n]);
}

static struct kunit_case drm_userptr_debugfs_tests[] = {
	KUNIT_CASE(debugfs_vms),
	KUNIT_CASE(debugfs_userptrs),
	KUNIT_CASE(debugfs_many_bindings),
	KUNIT_CASE(debugfs_many_vms),
	KUNIT_CASE(debugfs_many_userptrs),
	KUNIT_CASE(debugfs_many_clients),
	{ }
};

static struct kunit_suite drm_userptr_debugfs_suite = {
	.name = "drm_userptr_debugfs",
	.suite_init = userptr_mock_suite_init,
	.suite_exit = userptr_mock_suite_exit,
	.init = userptr_mock_init,
	.exit = userptr_mock_exit,
	.test_cases = drm_userptr_debugfs_tests,
};

kunit_test_suite(drm_userptr_debugfs_suite);
