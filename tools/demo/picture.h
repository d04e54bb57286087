/* SPDX-License-Identifier: MIT */
/*
 * Pictures: load (JPEG, PNG), scale down, store (PNG). Pixels are XRGB8888 in
 * the CPU's byte order, rows without gaps.
 */
#ifndef DEMO_PICTURE_H
#define DEMO_PICTURE_H

#include <stddef.h>
#include <stdint.h>

struct picture {
	unsigned int width, height;
	uint32_t *pixels;
};

static inline size_t picture_bytes(const struct picture *picture)
{
	return (size_t)picture->width * picture->height * 4;
}

/* Keeps the proportions; prints what went wrong and returns a negative errno */
int picture_load(struct picture *picture, const char *path,
		 unsigned int max_width, unsigned int max_height);

/* As a PNG: in memory of malloc(), or in a file */
int picture_png(const struct picture *picture, void **png, size_t *size);
int picture_save(const struct picture *picture, const char *path);

#endif
