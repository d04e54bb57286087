/* SPDX-License-Identifier: MIT */
/*
 * What is done to the picture, and what must come out.
 *
 * The picture is cut into 16 bands of 8 tiles. A job takes one band; it
 * exclusive-ors each tile with a value of its own. The values are random, so
 * that a job which is lost, or done twice, is never made good by another; the
 * last job of a band brings its tiles to the target: a chess board, negative
 * where it is black. A square of the board is as high as two bands.
 */
#ifndef DEMO_TILES_H
#define DEMO_TILES_H

#include <stdbool.h>

#include "picture.h"

#define BANDS		16
#define TILES		8	/* in a band */
#define MAX_WIDTH	1280
#define MAX_HEIGHT	960
#define MAX_BAND_ROWS	(MAX_HEIGHT / BANDS)

/* rows of a band, columns of a tile */
unsigned int band_top(const struct picture *picture, unsigned int band);
unsigned int tile_left(const struct picture *picture, unsigned int tile);

/* bytes from the start of the picture */
size_t band_offset(const struct picture *picture, unsigned int band);
size_t band_bytes(const struct picture *picture, unsigned int band);

uint32_t tile_target(unsigned int band, unsigned int tile);

/* What the engine is asked for, done by the CPU */
void band_xor(const struct picture *picture, unsigned int band,
	      const uint32_t values[TILES]);

/*
 * Is @pixels the original after some whole number of jobs: does each tile
 * differ from the original by one value, the same in all its pixels?
 */
bool tiles_whole(const struct picture *original, const uint32_t *pixels);

/* Byte offset where @pixels is not the finished picture, or SIZE_MAX */
size_t tiles_first_wrong(const struct picture *original, const uint32_t *pixels);

#endif
