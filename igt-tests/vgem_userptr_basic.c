// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 */

#include <sys/mman.h>

#include "igt.h"
#include "drm_userptr_lib.h"

/**
 * TEST: vgem userptr basic
 * Description: Objects of user memory, their bindings, and each operation of the engine
 * Category: Core
 * Mega feature: Memory management
 * Sub-category: userptr
 * Functionality: userptr, vm_bind, exec
 * Test category: functionality test
 *
 * SUBTEST: create-close
 * Description: make and drop objects of several sizes, and count on the handle being gone
 *
 * SUBTEST: create-unmapped
 * Description: without the probe flag an object may be made of memory that is not there yet
 *
 * SUBTEST: create-close-signals
 * Description: make, bind, use and drop objects while signals rain
 *
 * SUBTEST: probe
 * Description: the probe flag tells at once what exec would tell later
 *
 * SUBTEST: nodes
 * Description: everything works on the primary and on the render node
 *
 * SUBTEST: op-%s
 * Description: the operation %arg[1] on userptr objects, bare ranges and dumb buffers
 * arg[1].values: fill, copy, xor, compare, crc32
 *
 * SUBTEST: op-spin
 * Description: a spin ends when its time is over or when its word changes
 *
 * SUBTEST: crc32-vectors
 * Description: known CRCs, at every offset in a word
 *
 * SUBTEST: unaligned-copy
 * Description: copies between all byte offsets leave the bytes beside alone
 *
 * SUBTEST: overlapping-copy-down
 * Description: lowest address first: a copy to a lower overlapping address is a move
 *
 * SUBTEST: cross-%s
 * Description: operations that cross a %arg[1] border
 * arg[1].values: page, window, binding
 *
 * SUBTEST: many-userptrs
 * Description: a chain of copies through many objects in one VM
 *
 * SUBTEST: overlapping-userptrs
 * Description: objects of overlapping memory show each other's writes
 *
 * SUBTEST: same-memory-twice
 * Description: one object, and one range, at two addresses of a VM
 *
 * SUBTEST: same-memory-two-vms
 * Description: one range in two VMs
 *
 * SUBTEST: bo-offset
 * Description: binding a part of an object binds that part
 *
 * SUBTEST: large-object
 * Description: a buffer object whose pages lie in longer pieces than a device takes by default
 *
 * SUBTEST: mixed-memory
 * Description: userptr object, bare range and dumb buffer in one job
 *
 * SUBTEST: read-only
 * Description: the engine cannot write where any of the flags forbid it, and reads there
 *
 * SUBTEST: read-only-memory
 * Description: read-only userptrs of PROT_READ memory work, writable ones are refused
 *
 * SUBTEST: unbind
 * Description: after an unbind the engine runs into a fault, also where its TLB was warm
 *
 * SUBTEST: unbind-partial
 * Description: an unbind in the middle leaves both sides as they were
 *
 * SUBTEST: bind-over
 * Description: a new binding replaces what it covers, also where the TLB was warm
 *
 * SUBTEST: max-ops
 * Description: a job of the largest number of operations, in order
 *
 * SUBTEST: untouched-memory
 * Description: the engine is the first to touch memory; neighbours in the mapping stay untouched
 */

IGT_TEST_DESCRIPTION("User memory as buffer objects of vgem's engine: make, bind, use.");

static int fd = -1;
static struct vup v;
static size_t page;

/* Memory that the engine and the CPU both reach, of each kind */
enum kind {
	USERPTR,
	RANGE,
	DUMB,
	KINDS
};

static const char * const kind_name[KINDS] = { "userptr", "range", "dumb" };

struct buf {
	enum kind kind;
	uint64_t va;
	size_t size;
	void *ptr;
	uint32_t handle;
};

static struct buf buf_make(enum kind kind, uint64_t va, size_t size)
{
	struct buf b = { .kind = kind, .va = va, .size = size };

	switch (kind) {
	case USERPTR:
		b.ptr = vup_alloc(size);
		b.handle = vup_userptr_create(fd, b.ptr, size, 0);
		vup_bind_bo(&v, b.handle, va, size, 0, 0);
		break;
	case RANGE:
		b.ptr = vup_alloc(size);
		vup_bind_mem(&v, b.ptr, va, size, 0);
		break;
	default:
		b.handle = vup_dumb_create(fd, size);
		b.ptr = vup_dumb_mmap(fd, b.handle, size);
		vup_bind_bo(&v, b.handle, va, size, 0, 0);
	}

	return b;
}

static void buf_drop(struct buf *b)
{
	vup_unbind(&v, b->va, b->size);
	if (b->handle)
		gem_close(fd, b->handle);
	vup_unmap(b->ptr, b->size);
}

static void create_close(size_t size)
{
	struct drm_gem_close arg = {};
	void *ptr = vup_alloc(size);

	arg.handle = vup_userptr_create(fd, ptr, size, 0);
	do_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &arg);
	do_ioctl_err(fd, DRM_IOCTL_GEM_CLOSE, &arg, EINVAL);
	vup_unmap(ptr, size);
}

static void create_unmapped(void)
{
	uint64_t va = VUP_VA(0);
	uint32_t *ptr = vup_alloc(page);
	uint32_t handle;

	vup_unmap(ptr, page);
	handle = vup_userptr_create(fd, ptr, page, 0);
	vup_bind_bo(&v, handle, va, page, 0, 0);
	vup_refuse(&v, -EFAULT, va, op_fill(va, page, 1));

	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&v, op_fill(va, page, 1));
	vup_check_value(ptr, page, 1);

	vup_unbind(&v, va, page);
	gem_close(fd, handle);
	vup_unmap(ptr, page);
}

static void create_close_signals(void)
{
	uint64_t va = VUP_VA(0);
	uint32_t n = 0;
	size_t size = 16 * page;

	igt_fork_signal_helper();
	igt_until_timeout(2) {
		uint32_t *ptr = vup_alloc(size);
		uint32_t handle;

		handle = vup_userptr_create(fd, ptr, size, DRM_VGEM_USERPTR_PROBE);
		vup_bind_bo(&v, handle, va, size, 0, 0);
		vup_ok(&v, op_fill(va, size, ++n));
		vup_check_value(ptr, size, n);
		vup_unbind(&v, va, size);
		gem_close(fd, handle);
		vup_unmap(ptr, size);
	}
	igt_stop_signal_helper();
	igt_info("%u rounds\n", n);
	igt_assert_lt(0, n);
}

static void probe(int prot, int hole, uint32_t flags, int expected)
{
	uint32_t handle;
	char *ptr = vup_alloc(5 * page);

	if (hole >= 0)
		vup_unmap(ptr + hole * page, page);
	/* Holes beside the range must not matter: the middle three are probed. */
	else
		vup_unmap(ptr, page);
	igt_assert_eq(mprotect(ptr + (hole == 1 ? 2 : 1) * page, page, prot), 0);

	igt_assert_eq(__vup_userptr_create(fd, (uintptr_t)ptr + page, 3 * page,
					   DRM_VGEM_USERPTR_PROBE | flags, &handle), expected);
	if (!expected)
		gem_close(fd, handle);
	/* Now and later are told apart by the flag alone. */
	handle = vup_userptr_create(fd, ptr + page, 3 * page, flags);
	gem_close(fd, handle);
	munmap(ptr, 5 * page);
}

static void one_job_on(int node)
{
	uint64_t va = VUP_VA(0);
	uint32_t *ptr = vup_alloc(page);
	struct vup w;

	igt_assert_fd(node);
	vup_init(&w, node);
	vup_bind_mem(&w, ptr, va, page, 0);
	vup_ok(&w, op_fill(va, page, 0x11223344));
	vup_check_value(ptr, page, 0x11223344);
	vup_fini(&w);
	vup_unmap(ptr, page);
}

static void op_fill_on(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 4 * page);
	uint32_t *word = b.ptr;

	vup_paint(b.ptr, b.size, 1);
	/* All but the first and the last word, which show what else is hit. */
	vup_ok(&v, op_fill(b.va + 4, b.size - 8, 0xa5a50001));
	igt_assert_eq_u32(word[0], vup_word(1, 0));
	igt_assert_eq_u32(word[b.size / 4 - 1], vup_word(1, b.size / 4 - 1));
	vup_check_value(word + 1, b.size - 8, 0xa5a50001);
	buf_drop(&b);
}

static void op_copy_on(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 4 * page);

	vup_paint(b.ptr, 2 * page, 2);
	vup_paint(b.ptr + 2 * page, 2 * page, 3);
	vup_ok(&v, op_copy(b.va + 2 * page, b.va, 2 * page));
	vup_check_paint(b.ptr, 2 * page, 2);
	vup_check_paint(b.ptr + 2 * page, 2 * page, 2);
	buf_drop(&b);
}

static void op_xor_on(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 4 * page);
	uint32_t *word = b.ptr;

	vup_paint(b.ptr, b.size, 4);
	vup_ok(&v, op_xor(b.va + page, 2 * page, 0x5a5a0ff0));
	vup_check_paint(b.ptr, page, 4);
	for (size_t i = page / 4; i < 3 * page / 4; i++)
		igt_assert_eq_u32(word[i], vup_word(4, i) ^ 0x5a5a0ff0);
	/* Twice is not at all, and the last page was never meant. */
	vup_ok(&v, op_xor(b.va + page, 2 * page, 0x5a5a0ff0));
	vup_check_paint(b.ptr, b.size, 4);
	buf_drop(&b);
}

static void op_compare_on(enum kind kind)
{
	static const int at[] = { 0, 1, 4095, 4096, 8191 };
	struct buf b = buf_make(kind, VUP_VA(0), 6 * page);
	size_t half = 2 * page;
	uint8_t *one = b.ptr, *two = b.ptr + half;
	uint64_t *result = b.ptr + 2 * half;
	uint64_t result_va = b.va + 2 * half;

	vup_paint(one, half, 5);
	memcpy(two, one, half);
	*result = 0;
	vup_ok(&v, op_compare(b.va, b.va + half, half, result_va));
	igt_assert_eq_u64(*result, ~0ull);

	for (int i = 0; i < (int)ARRAY_SIZE(at); i++) {
		two[at[i]] ^= 0x80;
		/* A later difference must not win. */
		two[half - 1] ^= 1;
		vup_ok(&v, op_compare(b.va, b.va + half, half, result_va));
		igt_assert_eq_u64(*result, min(at[i], (int)half - 1));
		two[at[i]] ^= 0x80;
		two[half - 1] ^= 1;
	}

	/* A difference just behind the end is none. */
	two[half - 1] ^= 1;
	vup_ok(&v, op_compare(b.va, b.va + half, half - 1, result_va));
	igt_assert_eq_u64(*result, ~0ull);
	buf_drop(&b);
}

static void op_crc32_on(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 4 * page);
	uint32_t *result = b.ptr + 3 * page;

	vup_paint(b.ptr, b.size, 6);
	vup_ok(&v, op_crc32(b.va + 3, 3 * page - 5, b.va + 3 * page));
	igt_assert_eq_u32(*result, vup_crc32(b.ptr + 3, 3 * page - 5));
	igt_assert_eq_u32(result[1], vup_word(6, 3 * page / 4 + 1));
	buf_drop(&b);
}

static void spin(void)
{
	uint64_t va = VUP_VA(0), before;
	uint32_t *word = vup_alloc_word();
	uint32_t syncobj;

	vup_bind_mem(&v, word, va, page, 0);

	before = vup_now_ns();
	vup_ok(&v, op_spin(va, 1, 20 * NSEC_PER_MSEC), op_fill(va + 8, 4, 7));
	igt_assert_lte_u64(20 * NSEC_PER_MSEC, vup_now_ns() - before);
	igt_assert_eq_u32(word[2], 7);

	/* A word that already is right costs no time worth mentioning. */
	WRITE_ONCE(word[0], 1);
	before = vup_now_ns();
	vup_ok(&v, op_spin(va, 1, 8 * NSEC_PER_SEC));
	igt_assert_lt_u64(vup_now_ns() - before, 5 * NSEC_PER_SEC);

	WRITE_ONCE(word[0], 0);
	before = vup_now_ns();
	syncobj = vup_start(&v, op_spin(va, 1, 8 * NSEC_PER_SEC), op_fill(va + 8, 4, 9));
	igt_assert_eq(vup_status(fd, syncobj), 1);
	igt_assert_eq_u32(READ_ONCE(word[2]), 7);
	WRITE_ONCE(word[0], 1);
	igt_assert_eq(vup_finish(fd, syncobj), 0);
	igt_assert_lt_u64(vup_now_ns() - before, 7 * NSEC_PER_SEC);
	igt_assert_eq_u32(word[2], 9);

	vup_unbind(&v, va, page);
	vup_unmap(word, page);
}

static void crc32_vectors(void)
{
	static const struct {
		const char *text;
		uint32_t crc;
	} vector[] = {
		{ "a", 0xe8b7be43 },
		{ "abc", 0x352441c2 },
		{ "123456789", 0xcbf43926 },
		{ "The quick brown fox jumps over the lazy dog", 0x414fa339 },
	};
	uint64_t va = VUP_VA(0);
	char *ptr = vup_alloc(page);

	vup_bind_mem(&v, ptr, va, page, 0);
	for (int i = 0; i < (int)ARRAY_SIZE(vector); i++) {
		size_t len = strlen(vector[i].text);

		igt_assert_eq_u32(vup_crc32(vector[i].text, len), vector[i].crc);
		for (int off = 0; off < 8; off++) {
			memset(ptr, 0xcc, page);
			memcpy(ptr + off, vector[i].text, len);
			igt_assert_eq_u32(vup_device_crc(&v, va + off, len), vector[i].crc);
		}
	}
	vup_unbind(&v, va, page);
	vup_unmap(ptr, page);
}

static void unaligned_copy(void)
{
	uint64_t va = VUP_VA(0);
	size_t size = 4 * page;
	uint8_t *src = vup_alloc(size), *dst = vup_alloc(size), *model = vup_alloc(size);

	vup_bind_mem(&v, src, va, size, DRM_VGEM_VM_BIND_READ_ONLY);
	vup_bind_mem(&v, dst, va + size, size, 0);
	vup_paint(src, size, 7);

	for (int from = 0; from < 8; from++) {
		for (int to = 0; to < 8; to++) {
			/* Begins and ends near page borders, on both sides. */
			size_t s = page - 4 + from, d = page - 4 + to;
			size_t len = page + 1 + 3 * from + to;

			vup_paint(dst, size, 8);
			vup_paint(model, size, 8);
			memcpy(model + d, src + s, len);
			vup_ok(&v, op_copy(va + size + d, va + s, len));
			igt_assert_f(!memcmp(dst, model, size), "from +%d to +%d\n", from, to);
		}
	}

	vup_unbind(&v, va, 2 * size);
	vup_unmap(src, size);
	vup_unmap(dst, size);
	vup_unmap(model, size);
}

static void overlapping_copy_down(void)
{
	static const int distance[] = { 1, 4, 100, 4095, 4096, 5000 };
	uint64_t va = VUP_VA(0);
	size_t size = 4 * page;
	uint8_t *ptr = vup_alloc(size), *model = vup_alloc(size);

	vup_bind_mem(&v, ptr, va, size, 0);
	for (int i = 0; i < (int)ARRAY_SIZE(distance); i++) {
		vup_paint(ptr, size, 9);
		vup_paint(model, size, 9);
		memmove(model + 8, model + 8 + distance[i], size - 8 - distance[i]);
		vup_ok(&v, op_copy(va + 8, va + 8 + distance[i], size - 8 - distance[i]));
		igt_assert_f(!memcmp(ptr, model, size), "distance %d\n", distance[i]);
	}
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
	vup_unmap(model, size);
}

/* Every operation across the border at @va + @at, of memory that begins at @ptr */
static void cross(uint32_t *ptr, uint64_t va, size_t at)
{
	uint32_t *border = ptr + at / 4;
	uint64_t mid = va + at;

	vup_paint(border - 64, 512, 10);
	vup_ok(&v, op_xor(mid - 16, 32, 0xffffffff));
	for (int i = -64; i < 64; i++)
		igt_assert_eq_u32(border[i], vup_word(10, i + 64) ^ (i >= -4 && i < 4 ? ~0u : 0));

	vup_ok(&v, op_fill(mid - 8, 16, 0x77));
	vup_check_value(border - 2, 16, 0x77);
	igt_assert_eq_u32(border[-3], ~vup_word(10, 61));
	igt_assert_eq_u32(border[2], ~vup_word(10, 66));

	vup_paint(border - 64, 512, 11);
	vup_ok(&v, op_copy(mid + 64, mid - 32, 64));
	igt_assert(!memcmp(border + 16, border - 8, 64));

	vup_paint(border - 64, 512, 12);
	vup_ok(&v, op_crc32(mid - 101, 203, mid + 128));
	igt_assert_eq_u32(border[32], vup_crc32((char *)border - 101, 203));
}

static void cross_page(void)
{
	uint64_t va = VUP_VA(0);
	void *ptr = vup_alloc(2 * page);

	vup_bind_mem(&v, ptr, va, 2 * page, 0);
	cross(ptr, va, page);
	vup_unbind(&v, va, 2 * page);
	vup_unmap(ptr, 2 * page);
}

static void cross_window(void)
{
	size_t size = 2 * VUP_WINDOW;
	uint64_t va = VUP_VA(0);
	void *ptr = vup_alloc_windows(size);

	/* Borders of windows of the CPU's address, then of the GPU's. */
	vup_bind_mem(&v, ptr, va, size, 0);
	cross(ptr, va, VUP_WINDOW);
	vup_unbind(&v, va, size);

	vup_bind_mem(&v, ptr, va + page, size, 0);
	cross(ptr, va + page, VUP_WINDOW);
	cross(ptr, va + page, VUP_WINDOW - page);
	vup_unbind(&v, va + page, size);

	/* An object that begins in the middle of one. */
	vup_bind_mem(&v, ptr + VUP_WINDOW - 3 * page, va, 6 * page, 0);
	cross(ptr + VUP_WINDOW - 3 * page, va, 3 * page);
	vup_unbind(&v, va, 6 * page);
	vup_unmap(ptr, size);
}

static void cross_binding(void)
{
	uint64_t va = VUP_VA(0);
	uint32_t handle = vup_dumb_create(fd, page);
	uint32_t *ptr = vup_alloc(3 * page);
	uint32_t *dumb = vup_dumb_mmap(fd, handle, page);

	/* Neighbours on the CPU's side, swapped on the GPU's */
	vup_bind_mem(&v, ptr + page / 4, va, page, 0);
	vup_bind_bo(&v, handle, va + page, page, 0, 0);
	vup_bind_mem(&v, ptr, va + 2 * page, page, 0);
	vup_ok(&v, op_fill(va, 3 * page, 0x13), op_fill(va + page - 4, 8, 0x14),
	       op_fill(va + 2 * page - 4, 8, 0x15));
	igt_assert_eq_u32(ptr[2 * page / 4 - 1], 0x14);
	igt_assert_eq_u32(dumb[0], 0x14);
	igt_assert_eq_u32(dumb[1], 0x13);
	igt_assert_eq_u32(dumb[page / 4 - 1], 0x15);
	igt_assert_eq_u32(ptr[0], 0x15);
	vup_check_value(ptr + 1, page - 4, 0x13);
	vup_check_value(ptr + 2 * page / 4, page, 0);

	vup_unbind(&v, va, 3 * page);
	gem_close(fd, handle);
	vup_unmap(dumb, page);
	vup_unmap(ptr, 3 * page);
}

static void many_userptrs(void)
{
	enum { COUNT = 64 };
	uint64_t va = VUP_VA(0);
	size_t size = 2 * page;
	uint32_t *ptr[COUNT], handle[COUNT];

	for (int i = 0; i < COUNT; i++) {
		ptr[i] = vup_alloc(size);
		vup_paint(ptr[i], size, 20 + i);
		handle[i] = vup_userptr_create(fd, ptr[i], size, 0);
		/* Not side by side: each has a hole before it. */
		vup_bind_bo(&v, handle[i], va + i * 2 * size, size, 0, 0);
	}
	for (int i = 1; i < COUNT; i++)
		vup_ok(&v, op_copy(va + i * 2 * size, va + (i - 1) * 2 * size, size));
	for (int i = 0; i < COUNT; i++) {
		vup_check_paint(ptr[i], size, 20);
		gem_close(fd, handle[i]);
	}
	/* One unbind for all of them, holes included */
	vup_unbind(&v, va, COUNT * 2 * size);
	for (int i = 0; i < COUNT; i++)
		vup_unmap(ptr[i], size);
}

static void overlapping_userptrs(void)
{
	uint64_t va = VUP_VA(0);
	char *ptr = vup_alloc(6 * page);
	/* Equal, front, back, inside, around */
	static const struct {
		int first, count;
	} range[] = { { 1, 4 }, { 1, 4 }, { 0, 2 }, { 4, 2 }, { 2, 2 }, { 0, 6 } };
	uint32_t handle[ARRAY_SIZE(range)];

	for (int i = 0; i < (int)ARRAY_SIZE(range); i++) {
		handle[i] = vup_userptr_create(fd, ptr + range[i].first * page,
					       range[i].count * page, 0);
		vup_bind_bo(&v, handle[i], va + i * 16 * page, range[i].count * page, 0, 0);
	}
	for (int i = 0; i < (int)ARRAY_SIZE(range); i++) {
		vup_paint(ptr, 6 * page, 100 + i);
		vup_ok(&v, op_fill(va + i * 16 * page, range[i].count * page, 0x1000 + i));
		vup_check_value(ptr + range[i].first * page, range[i].count * page, 0x1000 + i);
		for (int j = 0; j < (int)ARRAY_SIZE(range); j++)
			igt_assert_eq_u32(vup_device_crc(&v, va + j * 16 * page,
							 range[j].count * page),
					  vup_crc32(ptr + range[j].first * page,
						    range[j].count * page));
	}
	for (int i = 0; i < (int)ARRAY_SIZE(range); i++)
		gem_close(fd, handle[i]);
	vup_unbind(&v, va, ARRAY_SIZE(range) * 16 * page);
	vup_unmap(ptr, 6 * page);
}

static void same_memory_twice(enum vup_how how)
{
	uint64_t one = VUP_VA(0), two = VUP_VA(1);
	uint32_t *ptr = vup_alloc(2 * page), handle = 0;

	if (how == VUP_BO) {
		handle = vup_userptr_create(fd, ptr, 2 * page, 0);
		vup_bind_bo(&v, handle, one, 2 * page, 0, 0);
		vup_bind_bo(&v, handle, two, 2 * page, 0, 0);
	} else {
		vup_bind_mem(&v, ptr, one, 2 * page, 0);
		vup_bind_mem(&v, ptr, two, 2 * page, 0);
	}

	vup_ok(&v, op_fill(one, 2 * page, 0x0f), op_xor(two, page, 0xff),
	       op_copy(one + page, two, page));
	vup_check_value(ptr, 2 * page, 0xf0);

	/* One goes, the other stays. */
	vup_unbind(&v, one, 2 * page);
	igt_assert_eq(vup_do(&v, op_fill(one, 4, 1)), -EFAULT);
	vup_ok(&v, op_fill(two, 2 * page, 3));
	vup_check_value(ptr, 2 * page, 3);
	vup_unbind(&v, two, 2 * page);
	if (handle)
		gem_close(fd, handle);
	vup_unmap(ptr, 2 * page);
}

static void same_memory_two_vms(enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	uint32_t *ptr = vup_alloc(page);
	struct vup w;

	vup_init(&w, fd);
	vup_bind_how(&v, how, ptr, va, page, false);
	vup_bind_how(&w, how, ptr, va, page, false);
	vup_ok(&v, op_fill(va, page, 0x21));
	igt_assert_eq_u32(vup_device_crc(&w, va, page), vup_crc32(ptr, page));
	vup_ok(&w, op_xor(va, page, 0x03));
	vup_check_value(ptr, page, 0x22);

	/* Both must lose and find the memory again. */
	vup_unmap(ptr, page);
	vup_refuse(&v, -EFAULT, va, op_fill(va, page, 1));
	vup_refuse(&w, -EFAULT, va, op_fill(va, page, 1));
	vup_map_fixed(ptr, page, PROT_READ | PROT_WRITE);
	vup_ok(&w, op_fill(va, page, 0x31));
	vup_ok(&v, op_xor(va, page, 0x03));
	vup_check_value(ptr, page, 0x32);

	vup_fini(&w);
	vup_ok(&v, op_fill(va, page, 0x41));
	vup_check_value(ptr, page, 0x41);
	vup_unbind(&v, va, page);
	vup_unmap(ptr, page);
}

static void bo_offset(enum kind kind)
{
	uint64_t va = VUP_VA(0), size = 8 * page;
	uint32_t handle;
	char *ptr;

	if (kind == DUMB) {
		handle = vup_dumb_create(fd, size);
		ptr = vup_dumb_mmap(fd, handle, size);
	} else {
		ptr = vup_alloc(size);
		handle = vup_userptr_create(fd, ptr, size, 0);
	}

	vup_paint(ptr, size, 30);
	/* Backwards, page by page */
	for (int i = 0; i < 8; i++)
		vup_bind_bo(&v, handle, va + i * page, page, (7 - i) * page, 0);
	for (int i = 0; i < 8; i++)
		igt_assert_eq_u32(vup_device_crc(&v, va + i * page, page),
				  vup_crc32(ptr + (7 - i) * page, page));
	vup_ok(&v, op_fill(va + 2 * page, page, 0x99));
	vup_check_value(ptr + 5 * page, page, 0x99);
	igt_assert_eq_u32(*(uint32_t *)(ptr + 4 * page), vup_word(30, page));

	vup_unbind(&v, va, size);
	gem_close(fd, handle);
	vup_unmap(ptr, size);
}

static void large_object(void)
{
	struct buf b = buf_make(DUMB, VUP_VA(0), 24ull << 20);

	/* That it is too long for the device is for the DMA-API's debugging to say. */
	vup_ok(&v, op_fill(b.va, b.size, 0x1a));
	vup_check_value(b.ptr, b.size, 0x1a);
	buf_drop(&b);
}

static void mixed_memory(void)
{
	struct buf a = buf_make(USERPTR, VUP_VA(0), 4 * page);
	struct buf b = buf_make(RANGE, VUP_VA(1), 4 * page);
	struct buf c = buf_make(DUMB, VUP_VA(2), 5 * page);
	uint32_t *crc = c.ptr + 4 * page;

	vup_paint(a.ptr, a.size, 40);
	vup_ok(&v, op_copy(b.va, a.va, a.size), op_copy(c.va, b.va, b.size),
	       op_xor(c.va, a.size, ~0), op_copy(a.va, c.va, a.size), op_xor(a.va, a.size, ~0),
	       op_crc32(b.va, b.size, c.va + 4 * page));
	vup_check_paint(a.ptr, a.size, 40);
	vup_check_paint(b.ptr, b.size, 40);
	igt_assert_eq_u32(*(uint32_t *)c.ptr, ~vup_word(40, 0));
	igt_assert_eq_u32(*crc, vup_crc32(b.ptr, b.size));
	buf_drop(&a);
	buf_drop(&b);
	buf_drop(&c);
}

static void read_only_write(uint64_t va, uint64_t scratch, uint32_t *ptr)
{
	struct drm_vgem_vm_stats before, after;

	vup_paint(ptr, page, 50);
	/* Reading is fine, and warms the TLB for the write. */
	igt_assert_eq_u32(vup_device_crc(&v, va, page), vup_crc32(ptr, page));
	vup_stats(&v, &before);
	igt_assert_eq(vup_do(&v, op_fill(va + 64, 4, 1)), -EFAULT);
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.faults, before.faults + 1);
	igt_assert_eq_u64(after.fault_addr, va + 64);
	igt_assert_eq(vup_do(&v, op_xor(va, page, 1)), -EFAULT);
	igt_assert_eq(vup_do(&v, op_copy(va, scratch, page)), -EFAULT);
	igt_assert_eq(vup_do(&v, op_crc32(scratch, page, va + 8)), -EFAULT);
	igt_assert_eq(vup_do(&v, op_compare(scratch, scratch, page, va + 8)), -EFAULT);
	vup_check_paint(ptr, page, 50);
	/* What follows the faulting operation in its job is not done either. */
	igt_assert_eq(vup_do(&v, op_fill(va, 4, 1), op_fill(scratch, 4, 0xbad)), -EFAULT);
	vup_ok(&v, op_copy(scratch + 8, scratch, 4));
}

static void read_only(int variant)
{
	uint64_t va = VUP_VA(0), scratch_va = VUP_VA(1);
	uint32_t *ptr = vup_alloc(page), *scratch = vup_alloc(page), handle = 0;
	struct drm_vgem_vm_bind bind = {
		.vm_id = v.vm, .op = DRM_VGEM_VM_BIND_OP_MAP, .addr = va, .range = page,
	};
	int err;

	vup_bind_mem(&v, scratch, scratch_va, page, 0);
	switch (variant) {
	case 0:
		handle = vup_userptr_create(fd, ptr, page, DRM_VGEM_USERPTR_READ_ONLY);
		vup_bind_bo(&v, handle, va, page, 0, DRM_VGEM_VM_BIND_READ_ONLY);
		break;
	case 1:
		handle = vup_userptr_create(fd, ptr, page, 0);
		vup_bind_bo(&v, handle, va, page, 0, DRM_VGEM_VM_BIND_READ_ONLY);
		break;
	case 2:
		vup_bind_mem(&v, ptr, va, page, DRM_VGEM_VM_BIND_READ_ONLY);
		break;
	case 3:
		handle = vup_dumb_create(fd, page);
		vup_unmap(ptr, page);
		ptr = vup_dumb_mmap(fd, handle, page);
		vup_bind_bo(&v, handle, va, page, 0, DRM_VGEM_VM_BIND_READ_ONLY);
		break;
	default:
		/* Refused, or read-only all the same: never writable */
		handle = vup_userptr_create(fd, ptr, page, DRM_VGEM_USERPTR_READ_ONLY);
		bind.handle = handle;
		err = __vup_bind(fd, &bind);
		if (err) {
			igt_assert_eq(err, -EPERM);
			goto out;
		}
	}

	read_only_write(va, scratch_va, ptr);
	igt_assert_eq_u32(scratch[0], 0);
	vup_unbind(&v, va, page);
out:
	vup_unbind(&v, scratch_va, page);
	if (handle)
		gem_close(fd, handle);
	vup_unmap(ptr, page);
	vup_unmap(scratch, page);
}

static void read_only_memory(enum vup_how how)
{
	uint64_t va = VUP_VA(0);
	size_t size = 4 * page;
	uint32_t *ptr = vup_alloc(size);

	vup_paint(ptr, size, 60);
	igt_assert_eq(mprotect(ptr, size, PROT_READ), 0);
	vup_bind_how(&v, how, ptr, va, size, true);
	igt_assert_eq_u32(vup_device_crc(&v, va, size), vup_crc32(ptr, size));
	igt_assert_eq(vup_do(&v, op_fill(va, 4, 1)), -EFAULT);
	vup_unbind(&v, va, size);

	vup_bind_how(&v, how, ptr, va, size, false);
	vup_refuse(&v, -EPERM, va, op_fill(va, size, 1));
	/* The promise is about the memory, whatever a job does with it. */
	vup_refuse(&v, -EPERM, va, op_spin(va, 1, 1));
	vup_check_paint(ptr, size, 60);

	/* Most of it is not enough. */
	igt_assert_eq(mprotect(ptr, 2 * page, PROT_READ | PROT_WRITE), 0);
	vup_refuse(&v, -EPERM, va + 2 * page, op_fill(va, size, 1));
	vup_check_paint(ptr, size, 60);
	igt_assert_eq(mprotect(ptr, size, PROT_READ | PROT_WRITE), 0);
	vup_ok(&v, op_fill(va, size, 1));
	vup_check_value(ptr, size, 1);
	vup_unbind(&v, va, size);
	vup_unmap(ptr, size);
}

static void unbind(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 2 * page);
	struct drm_vgem_vm_stats before, after;

	vup_paint(b.ptr, b.size, 70);
	igt_assert_eq_u32(vup_device_crc(&v, b.va, b.size), vup_crc32(b.ptr, b.size));
	vup_unbind(&v, b.va, b.size);
	vup_stats(&v, &before);
	igt_assert_eq(vup_do(&v, op_fill(b.va, b.size, 1)), -EFAULT);
	igt_assert_eq(vup_do(&v, op_spin(b.va + page, 0, 1)), -EFAULT);
	vup_stats(&v, &after);
	igt_assert_eq_u64(after.faults, before.faults + 2);
	igt_assert_eq_u64(after.fault_addr, b.va + page);
	vup_check_paint(b.ptr, b.size, 70);
	buf_drop(&b);
}

static void unbind_partial(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 6 * page);

	vup_paint(b.ptr, b.size, 71);
	vup_ok(&v, op_xor(b.va, b.size, 1));
	vup_unbind(&v, b.va + 2 * page, page);
	vup_unbind(&v, b.va + 4 * page, page);
	igt_assert_eq(vup_do(&v, op_fill(b.va + 2 * page, 4, 1)), -EFAULT);
	igt_assert_eq(vup_do(&v, op_fill(b.va + 4 * page + 64, 4, 1)), -EFAULT);
	/* Up to the hole, not beyond */
	igt_assert_eq(vup_do(&v, op_xor(b.va, 4 * page, 1)), -EFAULT);
	vup_ok(&v, op_xor(b.va + 3 * page, page, 1), op_xor(b.va + 5 * page, page, 1));
	vup_unbind(&v, b.va + 5 * page, page);
	vup_check_paint(b.ptr, 2 * page, 71);
	igt_assert_eq_u32(((uint32_t *)b.ptr)[2 * page / 4], vup_word(71, 2 * page / 4) ^ 1);
	igt_assert_eq_u32(((uint32_t *)b.ptr)[3 * page / 4], vup_word(71, 3 * page / 4));
	igt_assert_eq_u32(((uint32_t *)b.ptr)[4 * page / 4], vup_word(71, 4 * page / 4) ^ 1);
	igt_assert_eq_u32(((uint32_t *)b.ptr)[5 * page / 4], vup_word(71, 5 * page / 4));

	/* What is left of a split binding follows the mm as before. */
	if (kind != DUMB) {
		vup_map_fixed(b.ptr, b.size, PROT_READ | PROT_WRITE);
		vup_ok(&v, op_fill(b.va, 2 * page, 5), op_fill(b.va + 3 * page, page, 6));
		vup_check_value(b.ptr, 2 * page, 5);
		vup_check_value(b.ptr + 2 * page, page, 0);
		vup_check_value(b.ptr + 3 * page, page, 6);
		vup_check_value(b.ptr + 4 * page, 2 * page, 0);
	}
	buf_drop(&b);
}

static void bind_over(enum kind kind)
{
	struct buf b = buf_make(kind, VUP_VA(0), 6 * page);
	char *ptr = vup_alloc(2 * page);

	vup_paint(b.ptr, b.size, 72);
	vup_paint(ptr, 2 * page, 73);
	igt_assert_eq_u32(vup_device_crc(&v, b.va, b.size), vup_crc32(b.ptr, b.size));
	vup_bind_mem(&v, ptr, b.va + 2 * page, 2 * page, 0);
	igt_assert_eq_u32(vup_device_crc(&v, b.va + 2 * page, 2 * page), vup_crc32(ptr, 2 * page));
	vup_ok(&v, op_fill(b.va, b.size, 0x55));
	vup_check_value(b.ptr, 2 * page, 0x55);
	vup_check_value(ptr, 2 * page, 0x55);
	vup_check_value(b.ptr + 4 * page, 2 * page, 0x55);
	for (size_t i = 2 * page / 4; i < 4 * page / 4; i++)
		igt_assert_eq_u32(((uint32_t *)b.ptr)[i], vup_word(72, i));
	buf_drop(&b);
	vup_unmap(ptr, 2 * page);
}

static void max_ops(void)
{
	static struct drm_vgem_op ops[DRM_VGEM_EXEC_MAX_OPS];
	uint64_t va = VUP_VA(0);
	uint32_t *ptr = vup_alloc(page);

	vup_bind_mem(&v, ptr, va, page, 0);
	/* Each copies what the one before it wrote: any other order shows. */
	ops[0] = op_fill(va, 4, 0xc0ffee);
	for (int i = 1; i < DRM_VGEM_EXEC_MAX_OPS; i++)
		ops[i] = op_copy(va + 4 * (i % 1024), va + 4 * (i - 1), 4);
	igt_assert_eq(vup_run(&v, ops, DRM_VGEM_EXEC_MAX_OPS), 0);
	vup_check_value(ptr, min(page, (size_t)4 * DRM_VGEM_EXEC_MAX_OPS), 0xc0ffee);
	vup_unbind(&v, va, page);
	vup_unmap(ptr, page);
}

static void untouched_memory(void)
{
	uint64_t va = VUP_VA(0);
	size_t size = 16 * page;
	char *ptr = vup_alloc(size);
	unsigned char vec[16];

	madvise(ptr, size, MADV_NOHUGEPAGE);
	errno = 0;
	vup_bind_mem(&v, ptr + 4 * page, va, 8 * page, 0);
	vup_ok(&v, op_fill(va, 4 * page, 0x66));
	igt_assert_eq(mincore(ptr, size, vec), 0);
	for (int i = 0; i < 16; i++) {
		if (i < 4 || i >= 12)
			igt_assert_f(!(vec[i] & 1), "page %d beside the range was touched\n", i);
		else if (i < 8)
			igt_assert_f(vec[i] & 1, "page %d was written but is not there\n", i);
	}
	vup_check_value(ptr + 4 * page, 4 * page, 0x66);
	vup_check_value(ptr + 8 * page, 8 * page, 0);
	vup_unbind(&v, va, 8 * page);
	vup_unmap(ptr, size);
}

int igt_main()
{
	static const struct {
		const char *name;
		void (*run)(enum kind kind);
		const char *describe;
	} op_test[] = {
		{ "fill", op_fill_on, "Broken if a fill writes too little, too much or the wrong value." },
		{ "copy", op_copy_on, "Broken if a copy changes its source or misses its destination." },
		{ "xor", op_xor_on, "Broken if read-modify-write loses one of the three." },
		{ "compare", op_compare_on, "Broken if a difference is missed or its place is wrong." },
		{ "crc32", op_crc32_on, "Broken if the checksum is not that of the bytes named." },
	};
	static const struct {
		const char *name;
		int prot, hole;
		uint32_t flags;
		int expected;
	} probe_test[] = {
		{ "mapped", PROT_READ | PROT_WRITE, -1, 0, 0 },
		{ "hole-before", PROT_READ | PROT_WRITE, 0, 0, 0 },
		{ "hole-after", PROT_READ | PROT_WRITE, 4, 0, 0 },
		{ "hole-first", PROT_READ | PROT_WRITE, 1, 0, -EFAULT },
		{ "hole-middle", PROT_READ | PROT_WRITE, 2, 0, -EFAULT },
		{ "hole-last", PROT_READ | PROT_WRITE, 3, 0, -EFAULT },
		{ "read-only-memory", PROT_READ, -1, 0, -EPERM },
		{ "read-only-both", PROT_READ, -1, DRM_VGEM_USERPTR_READ_ONLY, 0 },
		{ "read-only-hole", PROT_READ, 3, DRM_VGEM_USERPTR_READ_ONLY, -EFAULT },
		{ "no-access", PROT_NONE, -1, 0, -EFAULT },
		{ "no-access-read-only", PROT_NONE, -1, DRM_VGEM_USERPTR_READ_ONLY, -EFAULT },
	};
	static const char * const read_only_name[] = {
		"userptr-and-bind", "bind", "range", "dumb", "userptr",
	};

	igt_fixture() {
		page = vup_page();
		fd = vup_open();
		vup_init(&v, fd);
	}

	igt_describe("Broken if objects of user memory cannot be made, or outlive their handle.");
	igt_subtest_with_dynamic("create-close") {
		static const size_t pages[] = { 1, 2, 511, 512, 513, 4096 };

		for (int i = 0; i < (int)ARRAY_SIZE(pages); i++)
			igt_dynamic_f("%zu-pages", pages[i])
				create_close(pages[i] * page);
	}

	igt_describe("Broken if the memory must exist before its object does.");
	igt_subtest("create-unmapped")
		create_unmapped();

	igt_describe("Broken if an interrupted call leaves something half done.");
	igt_subtest("create-close-signals")
		create_close_signals();

	igt_describe("Broken if probing looks beside the range, or does not look at all of it.");
	igt_subtest_with_dynamic("probe")
		for (int i = 0; i < (int)ARRAY_SIZE(probe_test); i++)
			igt_dynamic(probe_test[i].name)
				probe(probe_test[i].prot, probe_test[i].hole,
				      probe_test[i].flags, probe_test[i].expected);

	igt_describe("Broken if one of the device's nodes refuses what the other allows.");
	igt_subtest_with_dynamic("nodes") {
		igt_dynamic("primary") {
			int node = drm_open_driver(DRIVER_VGEM);

			one_job_on(node);
			drm_close_driver(node);
		}
		igt_dynamic("render") {
			int node = drm_open_driver_render(DRIVER_VGEM);

			one_job_on(node);
			drm_close_driver(node);
		}
	}

	for (int i = 0; i < (int)ARRAY_SIZE(op_test); i++) {
		igt_describe(op_test[i].describe);
		igt_subtest_with_dynamic_f("op-%s", op_test[i].name)
			for (int kind = 0; kind < KINDS; kind++)
				igt_dynamic(kind_name[kind])
					op_test[i].run(kind);
	}

	igt_describe("Broken if a spin ends early, late, or does not look at memory.");
	igt_subtest("op-spin")
		spin();

	igt_describe("Broken if the checksum is not zlib's.");
	igt_subtest("crc32-vectors")
		crc32_vectors();

	igt_describe("Broken if offsets in a page are rounded, or chunks miscounted.");
	igt_subtest("unaligned-copy")
		unaligned_copy();

	igt_describe("Broken if a copy does not begin at the lowest address.");
	igt_subtest("overlapping-copy-down")
		overlapping_copy_down();

	igt_describe("Broken if an operation stops or strays at a page border.");
	igt_subtest("cross-page")
		cross_page();

	igt_describe("Broken if an operation stops or strays at a border of windows.");
	igt_subtest("cross-window")
		cross_window();

	igt_describe("Broken if an operation cannot go from one binding to the next.");
	igt_subtest("cross-binding")
		cross_binding();

	igt_describe("Broken if objects of one VM are mixed up.");
	igt_subtest("many-userptrs")
		many_userptrs();

	igt_describe("Broken if overlapping ranges are refused or keep separate pages.");
	igt_subtest("overlapping-userptrs")
		overlapping_userptrs();

	igt_describe("Broken if a second binding disturbs the first.");
	igt_subtest_with_dynamic("same-memory-twice")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				same_memory_twice(how);

	igt_describe("Broken if one of two VMs misses what happens to their memory.");
	igt_subtest_with_dynamic("same-memory-two-vms")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				same_memory_two_vms(how);

	igt_describe("Broken if the offset of a binding is ignored.");
	igt_subtest_with_dynamic("bo-offset") {
		igt_dynamic("userptr")
			bo_offset(USERPTR);
		igt_dynamic("dumb")
			bo_offset(DUMB);
	}

	igt_describe("Broken if a device does not say how long a piece of memory it takes.");
	igt_subtest("large-object")
		large_object();

	igt_describe("Broken if kinds of memory do not work side by side.");
	igt_subtest("mixed-memory")
		mixed_memory();

	igt_describe("Broken if the engine writes where it may only read.");
	igt_subtest_with_dynamic("read-only")
		for (int i = 0; i < (int)ARRAY_SIZE(read_only_name); i++)
			igt_dynamic(read_only_name[i])
				read_only(i);

	igt_describe("Broken if the device gets write access that the process does not have "
		     "(CVE-2026-31785).");
	igt_subtest_with_dynamic("read-only-memory")
		for (int how = 0; how < VUP_HOWS; how++)
			igt_dynamic(vup_how_name[how])
				read_only_memory(how);

	igt_describe("Broken if page table or TLB keep what was unbound.");
	igt_subtest_with_dynamic("unbind")
		for (int kind = 0; kind < KINDS; kind++)
			igt_dynamic(kind_name[kind])
				unbind(kind);

	igt_describe("Broken if a split takes too much, or its halves lose their notifier.");
	igt_subtest_with_dynamic("unbind-partial")
		for (int kind = 0; kind < KINDS; kind++)
			igt_dynamic(kind_name[kind])
				unbind_partial(kind);

	igt_describe("Broken if the replaced memory is still reached, or its neighbours are not.");
	igt_subtest_with_dynamic("bind-over")
		for (int kind = 0; kind < KINDS; kind++)
			igt_dynamic(kind_name[kind])
				bind_over(kind);

	igt_describe("Broken if operations of a job are lost or change places.");
	igt_subtest("max-ops")
		max_ops();

	igt_describe("Broken if the engine cannot fault memory in, or faults in too much.");
	igt_subtest("untouched-memory")
		untouched_memory();

	igt_fixture() {
		vup_fini(&v);
		drm_close_driver(fd);
	}
}
