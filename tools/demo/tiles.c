// SPDX-License-Identifier: MIT
#include "tiles.h"

unsigned int band_top(const struct picture *picture, unsigned int band)
{
	return picture->height * band / BANDS;
}

unsigned int tile_left(const struct picture *picture, unsigned int tile)
{
	return picture->width * tile / TILES;
}

size_t band_offset(const struct picture *picture, unsigned int band)
{
	return (size_t)band_top(picture, band) * picture->width * 4;
}

size_t band_bytes(const struct picture *picture, unsigned int band)
{
	return band_offset(picture, band + 1) - band_offset(picture, band);
}

uint32_t tile_target(unsigned int band, unsigned int tile)
{
	return (band / 2 ^ tile) & 1 ? 0x00ffffff : 0;
}

void band_xor(const struct picture *picture, unsigned int band,
	      const uint32_t values[TILES])
{
	for (unsigned int y = band_top(picture, band);
	     y < band_top(picture, band + 1); y++) {
		uint32_t *row = picture->pixels + (size_t)y * picture->width;

		for (unsigned int tile = 0; tile < TILES; tile++)
			for (unsigned int x = tile_left(picture, tile);
			     x < tile_left(picture, tile + 1); x++)
				row[x] ^= values[tile];
	}
}

/* Offset of the first pixel that is not original ^ value, or SIZE_MAX */
static size_t tile_check(const struct picture *original, const uint32_t *pixels,
			 unsigned int band, unsigned int tile, uint32_t value)
{
	for (unsigned int y = band_top(original, band);
	     y < band_top(original, band + 1); y++) {
		size_t row = (size_t)y * original->width;

		for (size_t i = row + tile_left(original, tile);
		     i < row + tile_left(original, tile + 1); i++)
			if ((pixels[i] ^ original->pixels[i]) != value)
				return i;
	}
	return SIZE_MAX;
}

bool tiles_whole(const struct picture *original, const uint32_t *pixels)
{
	for (unsigned int band = 0; band < BANDS; band++) {
		for (unsigned int tile = 0; tile < TILES; tile++) {
			size_t first = (size_t)band_top(original, band) *
				       original->width + tile_left(original, tile);
			uint32_t value = pixels[first] ^ original->pixels[first];

			if (tile_check(original, pixels, band, tile, value) != SIZE_MAX)
				return false;
		}
	}
	return true;
}

size_t tiles_first_wrong(const struct picture *original, const uint32_t *pixels)
{
	size_t first = SIZE_MAX;

	for (unsigned int band = 0; band < BANDS; band++) {
		for (unsigned int tile = 0; tile < TILES; tile++) {
			uint32_t value = tile_target(band, tile);
			size_t i = tile_check(original, pixels, band, tile, value);
			const uint8_t *have;
			uint32_t want;

			if (i == SIZE_MAX)
				continue;

			/* to the byte: the report is about bytes */
			want = original->pixels[i] ^ value;
			have = (const uint8_t *)&pixels[i];
			i *= 4;
			for (unsigned int b = 0; b < 4; b++, i++)
				if (have[b] != ((const uint8_t *)&want)[b])
					break;
			if (i < first)
				first = i;
		}
	}
	return first;
}
