// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "igt.h"
#include "igt_syncobj.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr observe
 * Description: What fdinfo, debugfs and tracepoints say is so
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, fdinfo, debugfs, tracing
 * Test category: functionality test
 *
 * SUBTEST: fdinfo-form
 * Description: each line is a key and a value as drm-usage-stats.rst has it
 *
 * SUBTEST: fdinfo-memory
 * Description: total, resident and pinned follow what the file has
 *
 * SUBTEST: fdinfo-counters
 * Description: counters are the sum over VMs, those that are gone included
 *
 * SUBTEST: fdinfo-engine
 * Description: busy time grows while a job runs, and stands still without
 *
 * SUBTEST: debugfs-lists
 * Description: root sees userptrs with the states of their windows; others do not
 *
 * SUBTEST: debugfs-bounded
 * Description: thousands of userptrs make no endless file
 *
 * SUBTEST: debugfs-storm
 * Description: reading while userptrs come, are used, are taken away and go
 *
 * SUBTEST: trace-text
 * Description: events name what happened in words, and show no kernel pointer
 */

IGT_TEST_DESCRIPTION("What fdinfo, debugfs and tracepoints say is so.");

static int fd = -1;
static size_t page;
static const uint64_t va = VUP_VA(0), word_va = VUP_VA(1);

#define RELEASE	0x60606060

static void bad_file(const char *path)
{
	igt_assert_f(false, "cannot read %s: %s\n", path, strerror(errno));
}

/* A whole file as a string, to be freed */
static char *slurp(const char *path)
{
	size_t size = 0, room = 1 << 16;
	char *text = malloc(room);
	int file = open(path, O_RDONLY);
	ssize_t len;

	if (file < 0)
		bad_file(path);
	while ((len = read(file, text + size, room - size - 1)) > 0) {
		size += len;
		if (room - size < 4096)
			text = realloc(text, room *= 2);
	}
	if (len < 0)
		bad_file(path);
	close(file);
	text[size] = 0;
	return text;
}

static char *fdinfo(int file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file);
	return slurp(path);
}

/* The value of a key: a number, with its unit applied. */
static uint64_t fdinfo_value(int file, const char *key)
{
	char *text = fdinfo(file), *line = text, *unit;
	uint64_t value = 0;
	bool found = false;

	for (char *next; line && *line; line = next) {
		size_t len = strlen(key);

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (strncmp(line, key, len) || line[len] != ':')
			continue;
		igt_assert_f(!found, "%s is there twice\n", key);
		found = true;
		value = strtoull(line + len + 1, &unit, 10);
		if (!strcmp(unit, " KiB"))
			value <<= 10;
		else if (!strcmp(unit, " MiB"))
			value <<= 20;
		else
			igt_assert_f(!*unit || !strcmp(unit, " ns"), "unit of %s\n", line);
	}
	igt_assert_f(found, "no %s\n", key);
	free(text);
	return value;
}

static void expect(int file, const char *key, uint64_t value)
{
	uint64_t is = fdinfo_value(file, key);

	igt_assert_f(is == value, "%s is %llu, not %llu\n", key,
		     (unsigned long long)is, (unsigned long long)value);
}

/* What closed objects leave goes in the background: nothing tells when. */
static void expect_soon(int file, const char *key, uint64_t value)
{
	igt_until_timeout(VUP_PATIENCE_S) {
		if (fdinfo_value(file, key) == value)
			return;
		sched_yield();
	}
	expect(file, key, value);
}

static void fdinfo_form(void)
{
	static const char * const keys[] = {
		"drm-driver", "drm-client-id", "drm-engine-gpu", "drm-total-userptr",
		"drm-resident-userptr", "drm-shared-userptr", "vgem-userptr-pinned",
		"vgem-userptr-count", "vgem-userptr-metadata", "vgem-userptr-submits",
		"vgem-userptr-retries", "vgem-userptr-invalidations",
		"vgem-userptr-windows", "vgem-userptr-fence-waits",
	};
	char *text = fdinfo(fd);

	igt_assert(strstr(text, "\ndrm-driver:\tvgem\n"));
	igt_assert(fdinfo_value(fd, "drm-client-id"));
	for (size_t i = 2; i < ARRAY_SIZE(keys); i++)
		fdinfo_value(fd, keys[i]);
	/* Userptrs are one region; they must not count in another one, too. */
	igt_assert(!strstr(text, "drm-total-memory"));
	for (char *p = text; *p; p = strchr(p, '\n') + 1) {
		size_t key = strcspn(p, ": \t\n");

		igt_assert_f(p[key] == ':', "%s\n", p);
		igt_assert_f(p[key + 1] == '\t', "%s\n", p);
	}
	free(text);
}

static void fdinfo_memory(void)
{
	const size_t size = 2 * VUP_WINDOW;
	char *ptr = vup_alloc_windows(size);
	int file = drm_open_driver(DRIVER_VGEM);
	uint32_t handle, pinned;
	struct vup v;

	vup_init(&v, file);
	expect(file, "vgem-userptr-count", 0);
	expect(file, "drm-total-userptr", 0);
	expect(file, "vgem-userptr-metadata", 0);

	handle = vup_userptr_create(file, ptr, size, 0);
	expect(file, "vgem-userptr-count", 1);
	expect(file, "drm-total-userptr", size);
	expect(file, "drm-resident-userptr", 0);

	vup_bind_bo(&v, handle, va, size, 0, 0);
	vup_ok(&v, op_fill(va, 4, 1));
	expect(file, "drm-resident-userptr", size);
	igt_assert(fdinfo_value(file, "vgem-userptr-metadata") > 0);
	/* Another file has nothing to do with it. */
	expect(fd, "drm-resident-userptr", 0);

	vup_unmap(ptr, VUP_WINDOW);
	expect(file, "drm-resident-userptr", size - VUP_WINDOW);
	expect(file, "drm-total-userptr", size);

	pinned = vup_userptr_create(file, ptr + VUP_WINDOW, 2 * page, DRM_VGEM_USERPTR_PIN);
	expect(file, "vgem-userptr-pinned", 2 * page);
	expect(file, "drm-resident-userptr", size - VUP_WINDOW + 2 * page);
	gem_close(file, pinned);
	expect_soon(file, "vgem-userptr-pinned", 0);

	/* The binding keeps it. */
	gem_close(file, handle);
	expect_soon(file, "drm-total-userptr", size);
	vup_unbind(&v, va, size);
	expect_soon(file, "vgem-userptr-count", 0);
	expect(file, "drm-total-userptr", 0);
	expect(file, "drm-resident-userptr", 0);
	expect(file, "vgem-userptr-metadata", 0);
	vup_fini(&v);
	drm_close_driver(file);
	vup_unmap(ptr + VUP_WINDOW, size - VUP_WINDOW);
}

static void fdinfo_counters(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	struct drm_vgem_vm_stats sum = {};
	char *ptr = vup_alloc(page);

	for (int i = 0; i < 2; i++) {
		struct drm_vgem_vm_stats stats;
		struct vup v;

		vup_init(&v, file);
		vup_bind_mem(&v, ptr, va, page, 0);
		for (int j = 0; j <= i; j++) {
			vup_ok(&v, op_fill(va, page, 1));
			vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
		}
		vup_stats(&v, &stats);
		sum.submits += stats.submits;
		sum.retries += stats.retries;
		sum.invalidations += stats.invalidations;
		sum.windows += stats.windows;
		sum.fence_waits += stats.fence_waits;
		vup_fini(&v);
	}
	igt_assert_eq_u64(sum.submits, 3);
	igt_assert_lte_u64(3, sum.invalidations);
	expect(file, "vgem-userptr-submits", sum.submits);
	expect(file, "vgem-userptr-retries", sum.retries);
	expect(file, "vgem-userptr-windows", sum.windows);
	expect(file, "vgem-userptr-fence-waits", sum.fence_waits);
	igt_assert_lte_u64(sum.invalidations, fdinfo_value(file, "vgem-userptr-invalidations"));
	drm_close_driver(file);
	vup_unmap(ptr, page);
}

static void fdinfo_engine(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	uint32_t *word = vup_alloc_word(), syncobj;
	uint64_t begin, busy = 0, later = 0, end;
	struct vup v;

	vup_init(&v, file);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	expect(file, "drm-engine-gpu", 0);

	begin = vup_now_ns();
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 9 * NSEC_PER_SEC));
	/* While it runs, not only when it is done */
	igt_until_timeout(VUP_PATIENCE_S) {
		busy = fdinfo_value(file, "drm-engine-gpu");
		if (busy)
			break;
	}
	igt_assert(busy);
	igt_until_timeout(VUP_PATIENCE_S) {
		later = fdinfo_value(file, "drm-engine-gpu");
		if (later > busy)
			break;
	}
	igt_assert_lt_u64(busy, later);
	igt_assert_eq(vup_status(file, syncobj), 1);
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(file, syncobj), 0);
	end = vup_now_ns();

	busy = fdinfo_value(file, "drm-engine-gpu");
	igt_assert_lte_u64(later, busy);
	igt_assert_lte_u64(busy, end - begin);
	expect(file, "drm-engine-gpu", busy);
	expect(fd, "drm-engine-gpu", 0);

	vup_fini(&v);
	expect(file, "drm-engine-gpu", busy);
	drm_close_driver(file);
	vup_unmap(word, page);
}

/* Our file in debugfs, or skip */
static const char *debugfs_path(void)
{
	static char path[sizeof("/sys/kernel/debug/dri/") + NAME_MAX + sizeof("/userptr")];
	DIR *dir = opendir("/sys/kernel/debug/dri");
	struct dirent *entry;
	bool found = false;

	igt_require_f(dir, "no debugfs\n");
	while (!found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%s/userptr", entry->d_name);
		found = !access(path, F_OK);
	}
	closedir(dir);
	igt_require_f(found, "no debugfs file\n");
	return path;
}

/* The part of the file that is about one client; "" if there is none */
static char *debugfs_client(int file)
{
	uint64_t id = fdinfo_value(file, "drm-client-id");
	char *text = slurp(debugfs_path()), *part, *end;
	char begin[64];

	snprintf(begin, sizeof(begin), "client %llu: ", (unsigned long long)id);
	part = strstr(text, begin);
	igt_assert_f(part, "client is not listed\n");
	end = strstr(part + 1, "\nclient ");
	if (end)
		*end = 0;
	part = strdup(part);
	free(text);
	return part;
}

static void expect_listed(int file, const char *words)
{
	char *part = debugfs_client(file);

	igt_assert_f(strstr(part, words), "no '%s' in\n%s", words, part);
	free(part);
}

static void debugfs_lists(void)
{
	const size_t size = 3 * VUP_WINDOW;
	char *ptr = vup_alloc_windows(size), line[128];
	uint32_t *word = vup_alloc_word(), syncobj;
	const char *path = debugfs_path();
	struct stat st;
	struct vup v;

	igt_assert_eq(stat(path, &st), 0);
	igt_assert_eq(st.st_mode & 0777, 0400);

	vup_init(&v, fd);
	vup_bind_mem(&v, ptr, va, size, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	snprintf(line, sizeof(line), ": %p-%p, 6144 KiB, ", ptr, ptr + size);
	expect_listed(fd, line);
	expect_listed(fd, " 3 never used");
	expect_listed(fd, "invalidated\n");
	expect_listed(fd, "KiB, read-only, ");

	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 9 * NSEC_PER_SEC));
	expect_listed(fd, "windows: 3 valid, 0 dying, 0 hole, 0 populating, 0 stale, 0 never used");
	expect_listed(fd, "3 of 3 windows mapped\n");
	expect_listed(fd, "contexts with running jobs: 1\n");
	WRITE_ONCE(*word, RELEASE);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	vup_unmap(ptr, VUP_WINDOW);
	expect_listed(fd, "windows: 2 valid, 0 dying, 0 hole, 0 populating, 1 stale, 0 never used");
	expect_listed(fd, "2 of 3 windows mapped, invalidated\n");
	vup_refuse(&v, -EFAULT, va, op_fill(va, 4, 1));
	snprintf(line, sizeof(line), "mapped, error -14 at %p\n", ptr);
	expect_listed(fd, line);
	expect_listed(fd, "bindings: 0 invalidated, 1 dead\n");
	expect_listed(fd, "submits 1, ");

	vup_fini(&v);
	vup_unmap(ptr + VUP_WINDOW, size - VUP_WINDOW);
	vup_unmap(word, page);
}

static void debugfs_bounded(void)
{
	int file = drm_open_driver(DRIVER_VGEM);
	char *ptr = vup_alloc(page), *text;

	debugfs_path();
	for (int i = 0; i < 3000; i++)
		vup_userptr_create(file, ptr, page, 0);
	text = slurp(debugfs_path());
	igt_info("%zu bytes\n", strlen(text));
	igt_assert(strstr(text, " other userptrs\n"));
	igt_assert_lt_u64(strlen(text), 512 << 10);
	free(text);
	expect_listed(file, ": 3000 userptrs of at most");
	drm_close_driver(file);
	vup_unmap(ptr, page);
}

struct storm {
	char *ptr;
	size_t size;
	bool stop;
};

static void replace_again_and_again(void *data)
{
	struct storm *s = data;

	while (!READ_ONCE(s->stop))
		vup_map_fixed(s->ptr, s->size, PROT_READ | PROT_WRITE);
}

static void debugfs_storm(void)
{
	struct storm s = { .ptr = vup_alloc(16 * page), .size = 16 * page };
	const char *path = debugfs_path();
	unsigned int reads = 0;
	struct vup_caller c;
	bool *stop;

	stop = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	igt_assert(stop != MAP_FAILED);
	igt_fork(child, 2) {
		struct drm_vgem_op op = op_fill(va, s.size, 1);

		/* Threads do not survive a fork. */
		vup_caller_start(&c, replace_again_and_again, &s);
		while (!READ_ONCE(*stop)) {
			int file = drm_open_driver(DRIVER_VGEM);
			struct vup v;
			int err;

			vup_init(&v, file);
			vup_bind_mem(&v, s.ptr, va, s.size, 0);
			for (int i = 0; i < 10 && !READ_ONCE(*stop); i++) {
				err = __vup_run(&v, &op, 1);
				igt_assert_f(!err || err == -EAGAIN || err == -EFAULT, "%d\n", err);
			}
			vup_unbind(&v, va, s.size);
			drm_close_driver(file);
		}
		WRITE_ONCE(s.stop, true);
		vup_caller_join(&c);
	}
	igt_until_timeout(3) {
		char *text = slurp(path);

		igt_assert(strstr(text, "client "));
		free(text);
		reads++;
	}
	WRITE_ONCE(*stop, true);
	igt_waitchildren();
	igt_info("%u reads\n", reads);
	munmap(stop, page);
	vup_unmap(s.ptr, s.size);
}

/* An instance of our own, wherever tracefs is */
static char tracing[64];

static void trace_begin(void)
{
	static const char * const mounts[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		snprintf(path, sizeof(path), "%s/events/drm_userptr", mounts[i]);
		if (access(path, F_OK))
			continue;
		snprintf(tracing, sizeof(tracing), "%s/instances/vgem_userptr", mounts[i]);
		rmdir(tracing);
		igt_assert_eq(mkdir(tracing, 0700), 0);
		return;
	}
	igt_require_f(false, "no tracepoints\n");
}

static void trace_enable(const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/events/drm_userptr/enable", tracing);
	igt_assert(vup_file_write(path, value));
}

static void expect_traced(const char *text, const char *event, const char *words)
{
	for (const char *line = text; (line = strstr(line, event)); line++) {
		const char *found = strstr(line, words), *end = strchr(line, '\n');

		if (found && found < end)
			return;
	}
	igt_assert_f(false, "no '%s' in any %s of\n%s", words, event, text);
}

static void unmap_window(void *ptr)
{
	vup_unmap(ptr, VUP_WINDOW);
}

static void trace_scenario(void)
{
	char *ptr = vup_alloc_windows(VUP_WINDOW);
	uint32_t *word = vup_alloc_word(), syncobj;
	struct vup_caller c;
	struct vup v;

	vup_init(&v, fd);
	vup_bind_mem(&v, ptr, va, VUP_WINDOW, 0);
	vup_bind_mem(&v, word, word_va, page, DRM_VGEM_VM_BIND_READ_ONLY);
	syncobj = vup_start(&v, op_spin(word_va, RELEASE, 9 * NSEC_PER_SEC));
	vup_settle();
	vup_caller_start(&c, unmap_window, ptr);
	igt_assert(vup_caller_blocked(&c));
	atomic_store(&c.released, true);
	WRITE_ONCE(*word, RELEASE);
	vup_caller_join(&c);
	igt_assert_eq(vup_finish(fd, syncobj), 0);

	vup_refuse(&v, -EFAULT, va, op_fill(va, 4, 1));
	vup_map_fixed(ptr, VUP_WINDOW, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, 4, 1));
	vup_map_fixed(ptr, VUP_WINDOW, PROT_READ);
	vup_refuse(&v, -EPERM, va, op_fill(va, 4, 1));
	vup_fini(&v);
	vup_unmap(ptr, VUP_WINDOW);
	vup_unmap(word, page);
}

static void trace_text(void)
{
	char path[128], *text;

	trace_begin();
	trace_enable("1");
	trace_scenario();
	trace_enable("0");
	snprintf(path, sizeof(path), "%s/trace", tracing);
	text = slurp(path);
	rmdir(tracing);

	expect_traced(text, "drm_userptr_create:", "flags=read-only");
	expect_traced(text, "drm_userptr_populate:", "err=0 step=valid");
	expect_traced(text, "drm_userptr_populate:", "err=-14 step=failed");
	expect_traced(text, "drm_userptr_invalidate_start:", "event=unmap vms=1 passes=2");
	expect_traced(text, "drm_userptr_invalidate_finish:", "waited_ns=");
	expect_traced(text, "drm_userptr_dead:", "err=-14");
	expect_traced(text, "drm_userptr_dead:", "err=-1\n");
	expect_traced(text, "drm_userptr_revive:", "vm=");
	expect_traced(text, "drm_userptr_commit:", "tries=1 err=0");
	/* All addresses are those of user space. */
	for (const char *p = text; (p = strstr(p, "0x")); p += 2)
		igt_assert_lt_u64(strtoull(p, NULL, 16), 1ull << 63);
	free(text);
}

int igt_main()
{
	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_stop_numa_balancing();
	}

	igt_describe("Broken if tools like gputop cannot read it.");
	igt_subtest("fdinfo-form")
		fdinfo_form();

	igt_describe("Broken if memory is counted twice, for others, or for ever.");
	igt_subtest("fdinfo-memory")
		fdinfo_memory();

	igt_describe("Broken if a counter is forgotten with its VM.");
	igt_subtest("fdinfo-counters")
		fdinfo_counters();

	igt_describe("Broken if a busy engine looks idle, or the other way round.");
	igt_subtest("fdinfo-engine")
		fdinfo_engine();

	igt_describe("Broken if the list is not what is, or everybody may read it.");
	igt_subtest("debugfs-lists")
		debugfs_lists();

	igt_describe("Broken if a client can make the file as large as it likes.");
	igt_subtest("debugfs-bounded")
		debugfs_bounded();

	igt_describe("Broken if looking disturbs, or looks at what is gone.");
	igt_subtest("debugfs-storm")
		debugfs_storm();

	igt_describe("Broken if people cannot tell from a trace what happened.");
	igt_subtest("trace-text")
		trace_text();

	igt_fixture()
		drm_close_driver(fd);
}
