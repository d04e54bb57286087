// SPDX-License-Identifier: MIT
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * What memory must hold, and who sees that it does not: patterns in the range,
 * around it and behind it.
 */

#include "vup_matrix.h"

static char said[256];

void vup_cell_fill(void *to, size_t at, size_t len, enum vup_seed seed)
{
	uint32_t *word = to;

	for (size_t i = 0; i < len / 4; i++)
		word[i] = vup_word(seed, at / 4 + i);
}

void vup_cell_write(struct vup_cell *c, size_t at, size_t len, enum vup_seed seed)
{
	vup_cell_fill(c->ptr + at, at, len, seed);
	vup_cell_fill(c->shadow + at, at, len, seed);
}

/*
 * Pages left the mapping, which finds them again where it found them at first:
 * for shared memory that is what is there.
 */
void vup_expect_dropped(struct vup_cell *c, size_t at, size_t len)
{
	if (c->backing->is & VUP_IS_ANON)
		memset(c->shadow + at, 0, len);
	else if (!(c->backing->is & VUP_IS_SHARED))
		memcpy(c->shadow + at, c->below + at, len);
}

/* Pages left the file. Private copies of them, which a writable job makes, stay. */
void vup_expect_punched(struct vup_cell *c, size_t at, size_t len)
{
	bool copied = !(c->backing->is & VUP_IS_SHARED) && !c->read_only;

	memset(c->below + at, 0, len);
	if (!copied)
		memset(c->shadow + at, 0, len);
}

/* Other memory is there now, and the file, if any, is out of reach. */
void vup_expect_anon(struct vup_cell *c, size_t at, size_t len)
{
	if (c->backing->is & VUP_IS_SHARED)
		memcpy(c->below + at, c->shadow + at, len);
	c->detached_at = at;
	c->detached_len = len;
	memset(c->shadow + at, 0, len);
}

void vup_expect_gone(struct vup_cell *c, int verdict, size_t at, size_t len)
{
	c->verdict = verdict;
	c->gone_at = at;
	c->gone_len = len;
	c->hidden = verdict == -EFAULT;
}

/* What was in the range is at @away. If that is the same file, it is no copy. */
void vup_expect_moved(struct vup_cell *c, size_t at, size_t len)
{
	if (c->backing->is & VUP_IS_SHARED)
		return;
	c->away_shadow = calloc(1, c->away_len);
	igt_assert(c->away_shadow);
	memcpy(c->away_shadow, c->shadow + at, min(len, c->away_len));
}

#define say(...)	(snprintf(said, sizeof(said), __VA_ARGS__), said)

/* Whose word is it? Helps to read a failure. */
static const char *whose(uint32_t word, size_t at)
{
	static const char * const name[] = {
		[VUP_OLD] = "old", [VUP_NEW] = "new", [VUP_OTHER] = "other",
		[VUP_WRITTEN] = "written", [VUP_CHILD] = "child", [VUP_CANARY] = "canary",
		[VUP_POISON] = "poison",
	};

	for (int seed = VUP_OLD; seed <= VUP_POISON; seed++)
		if (word == vup_word(seed, at / 4))
			return name[seed];
		else if (word == (vup_word(seed, at / 4) ^ VUP_MARK))
			return "marked";
	return word ? "stray" : "zero";
}

static const char *differ(const char *what, const void *is, const void *want, size_t at, size_t len)
{
	const uint32_t *a = (void *)((char *)is + at), *b = (void *)((char *)want + at);

	if (!memcmp(a, b, len))
		return NULL;
	for (size_t i = 0; i < len / 4; i++)
		if (a[i] != b[i])
			return say("%s: byte %#zx is %#x (%s), not %#x (%s)", what, at + 4 * i,
				   a[i], whose(a[i], at + 4 * i), b[i], whose(b[i], at + 4 * i));
	return NULL;
}

/* Pages that the kernel may drop at any time are old or zero, each as a whole. */
static void settle_lazy(struct vup_cell *c, const char *buf)
{
	static const char zero[4096];

	for (size_t at = c->at; c->lazy && at < c->at + c->len; at += sizeof(zero))
		if (!memcmp(buf + at, zero, sizeof(zero)))
			memset(c->shadow + at, 0, sizeof(zero));
}

const char *vup_oracle_shadow(struct vup_cell *c)
{
	size_t gone = c->hidden ? c->gone_at : c->size;
	size_t back = c->hidden ? c->gone_at + c->gone_len : c->size;

	settle_lazy(c, c->ptr);
	return differ("memory", c->ptr, c->shadow, 0, gone) ?:
	       differ("memory", c->ptr, c->shadow, back, c->size - back);
}

static const char *canary(const char *ptr, size_t size, const char *side)
{
	for (size_t i = 0; i < size / 4; i++) {
		uint32_t word = ((uint32_t *)ptr)[i];

		if (word != vup_word(VUP_CANARY, i))
			return say("canary %s the range: byte %#zx is %#x (%s)", side, 4 * i,
				   word, whose(word, 4 * i));
	}
	return NULL;
}

const char *vup_oracle_canaries(struct vup_cell *c)
{
	return canary(c->ptr - c->canary, c->canary, "before") ?:
	       canary(c->ptr + c->size, c->canary, "after");
}

/*
 * Behind the range: pages that are in the file and not in the mapping any more,
 * and pages that went to another address.
 */
const char *vup_oracle_behind(struct vup_cell *c)
{
	const char *wrong = NULL;
	size_t end = c->detached_at + c->detached_len;
	char *buf;

	if (c->away && c->away_shadow)
		wrong = differ("moved memory", c->away, c->away_shadow, 0, c->away_len);
	if (wrong || c->file < 0)
		return wrong;

	if (c->backing->is & VUP_IS_SHARED) {
		memcpy(c->below, c->shadow, c->detached_at);
		memcpy(c->below + end, c->shadow + end, c->size - end);
	}
	/* A file that was cut ends within the range. */
	buf = calloc(1, c->size);
	igt_assert(buf);
	igt_assert(pread(c->file, buf, c->size, vup_cell_offset(c, 0)) >= 0);
	wrong = differ("file", buf, c->below, 0, c->size);
	free(buf);
	return wrong;
}

/* Old, new or nothing, and each word at its own place */
const char *vup_oracle_legit(const void *buf, size_t size)
{
	const uint32_t *word = buf;

	for (size_t i = 0; i < size / 4; i++) {
		bool legit = !word[i] || word[i] == VUP_MARK;

		for (int seed = VUP_OLD; !legit && seed < VUP_FIRST_ILLEGAL; seed++)
			legit = (word[i] | VUP_MARK) == (vup_word(seed, i) | VUP_MARK);
		if (!legit)
			return say("while it changed: byte %#zx was %#x (%s)", 4 * i, word[i],
				   whose(word[i], 4 * i));
	}
	return NULL;
}

const char *vup_oracle_device(struct vup_cell *c, const char *out)
{
	settle_lazy(c, out);
	return vup_oracle_device_part(c, out, 0, c->size);
}

const char *vup_oracle_device_part(struct vup_cell *c, const char *out, size_t at, size_t len)
{
	return differ("the device's view", out, c->shadow, at, len);
}
