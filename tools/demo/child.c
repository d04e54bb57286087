// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include <zlib.h>

#include "child.h"

/* exit status */
enum {
	CHILD_TORN = 1,
	CHILD_STORES_LOST,
	CHILD_PICTURE_CHANGED,
	CHILD_COPY_CHANGED,
	CHILD_NOT_REFUSED,
	CHILD_COMPLAINTS
};

static const char * const complaints[CHILD_COMPLAINTS] = {
	[CHILD_TORN] = "its picture was torn: fork() caught a job half way",
	[CHILD_STORES_LOST] = "what it stored to its picture was overwritten",
	[CHILD_PICTURE_CHANGED] = "the parent's jobs wrote to its picture",
	[CHILD_COPY_CHANGED] = "the parent's jobs wrote to its copy",
	[CHILD_NOT_REFUSED] = "it was not refused with EPERM as it used the parent's VM",
};

#define SCRIBBLE_EVERY	7	/* pages */
#define SCRIBBLE_BYTE	0x5c

/* CRC-32 of the pages that are not scribbled on */
static uint32_t others_crc(const struct demo *demo)
{
	const uint8_t *start = arena_start(&demo->picture);
	uint32_t crc = 0;

	for (size_t i = 0; i < demo->picture.size / demo->page; i++)
		if (i % SCRIBBLE_EVERY)
			crc = crc32(crc, start + i * demo->page, demo->page);
	return crc;
}

static void scribble(struct demo *demo)
{
	uint8_t *start = arena_start(&demo->picture);

	for (size_t i = 0; i < demo->picture.size / demo->page; i += SCRIBBLE_EVERY)
		memset(start + i * demo->page, SCRIBBLE_BYTE, demo->page);
}

static bool scribble_there(const struct demo *demo)
{
	const uint8_t *start = arena_start(&demo->picture);

	for (size_t i = 0; i < demo->picture.size / demo->page; i += SCRIBBLE_EVERY)
		for (size_t b = 0; b < demo->page; b++)
			if (start[i * demo->page + b] != SCRIBBLE_BYTE)
				return false;
	return true;
}

int child_main(struct demo *demo, uint32_t queue)
{
	const struct timespec some_jobs = { .tv_nsec = 10 * 1000000 };
	const struct drm_vgem_op nothing = {
		.opcode = DRM_VGEM_OP_SPIN,
		.src = RESULT_VA,
		.value = ~0u,
		.size = 1,
	};
	uint32_t others, copy;
	uint64_t fault;

	if (!tiles_whole(&demo->original, demo->picture.picture.pixels))
		return CHILD_TORN;

	others = others_crc(demo);
	copy = crc32(0, arena_start(&demo->copy), demo->copy.size);
	scribble(demo);

	if (client_exec(&demo->client, queue, &nothing, 1, NULL, 0, &fault) != -EPERM)
		return CHILD_NOT_REFUSED;

	nanosleep(&some_jobs, NULL);

	if (!scribble_there(demo))
		return CHILD_STORES_LOST;
	if (others_crc(demo) != others)
		return CHILD_PICTURE_CHANGED;
	if (crc32(0, arena_start(&demo->copy), demo->copy.size) != copy)
		return CHILD_COPY_CHANGED;
	return 0;
}

const char *child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return "lost";

	if (!WIFEXITED(status))
		return strsignal(WTERMSIG(status));
	if (!WEXITSTATUS(status))
		return NULL;
	if (WEXITSTATUS(status) < CHILD_COMPLAINTS)
		return complaints[WEXITSTATUS(status)];
	return "ended strangely";
}
