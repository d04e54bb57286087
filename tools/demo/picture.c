// SPDX-License-Identifier: MIT
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

#include "picture.h"

/* As the libraries deliver them: 3 bytes a pixel, red first */
struct rgb {
	unsigned int width, height;
	uint8_t *bytes;
};

static uint8_t *rgb_row(const struct rgb *rgb, unsigned int y)
{
	return rgb->bytes + (size_t)y * rgb->width * 3;
}

static int rgb_alloc(struct rgb *rgb, unsigned int width, unsigned int height)
{
	rgb->width = width;
	rgb->height = height;
	rgb->bytes = malloc((size_t)width * height * 3);
	return rgb->bytes ? 0 : -ENOMEM;
}

struct jpeg_errors {
	struct jpeg_error_mgr mgr;
	jmp_buf out;
};

static void jpeg_error_exit(j_common_ptr jpeg)
{
	struct jpeg_errors *errors = (struct jpeg_errors *)jpeg->err;

	jpeg->err->output_message(jpeg);
	longjmp(errors->out, 1);
}

static int load_jpeg(struct rgb *rgb, FILE *file)
{
	struct jpeg_decompress_struct jpeg;
	struct jpeg_errors errors;

	jpeg.err = jpeg_std_error(&errors.mgr);
	errors.mgr.error_exit = jpeg_error_exit;
	jpeg_create_decompress(&jpeg);
	if (setjmp(errors.out)) {
		jpeg_destroy_decompress(&jpeg);
		return -EINVAL;
	}

	jpeg_stdio_src(&jpeg, file);
	jpeg_read_header(&jpeg, TRUE);
	jpeg.out_color_space = JCS_RGB;
	jpeg_start_decompress(&jpeg);
	if (rgb_alloc(rgb, jpeg.output_width, jpeg.output_height)) {
		jpeg_destroy_decompress(&jpeg);
		return -ENOMEM;
	}
	while (jpeg.output_scanline < jpeg.output_height) {
		JSAMPROW row = rgb_row(rgb, jpeg.output_scanline);

		jpeg_read_scanlines(&jpeg, &row, 1);
	}

	jpeg_finish_decompress(&jpeg);
	jpeg_destroy_decompress(&jpeg);
	return 0;
}

static int load_png(struct rgb *rgb, FILE *file)
{
	png_image png = { .version = PNG_IMAGE_VERSION };

	if (!png_image_begin_read_from_stdio(&png, file))
		goto bad;
	png.format = PNG_FORMAT_RGB;
	if (rgb_alloc(rgb, png.width, png.height)) {
		png_image_free(&png);
		return -ENOMEM;
	}
	if (png_image_finish_read(&png, NULL, rgb->bytes, 0, NULL))
		return 0;
bad:
	fprintf(stderr, "%s\n", png.message);
	return -EINVAL;
}

/* Each pixel is the mean of the box that it stands for */
static void box_filter(struct picture *to, const struct rgb *from)
{
	for (unsigned int y = 0; y < to->height; y++) {
		unsigned int y0 = (uint64_t)y * from->height / to->height;
		unsigned int y1 = (uint64_t)(y + 1) * from->height / to->height;

		for (unsigned int x = 0; x < to->width; x++) {
			unsigned int x0 = (uint64_t)x * from->width / to->width;
			unsigned int x1 = (uint64_t)(x + 1) * from->width / to->width;
			unsigned int n = (y1 - y0) * (x1 - x0);
			unsigned int r = 0, g = 0, b = 0;

			for (unsigned int v = y0; v < y1; v++) {
				const uint8_t *p = rgb_row(from, v) + x0 * 3;

				for (unsigned int u = x0; u < x1; u++, p += 3) {
					r += p[0];
					g += p[1];
					b += p[2];
				}
			}
			to->pixels[(size_t)y * to->width + x] =
				(r / n) << 16 | (g / n) << 8 | b / n;
		}
	}
}

int picture_load(struct picture *picture, const char *path,
		 unsigned int max_width, unsigned int max_height)
{
	unsigned int width, height;
	struct rgb rgb = { 0 };
	FILE *file;
	int err;

	file = fopen(path, "rb");
	if (!file) {
		err = -errno;
		perror(path);
		return err;
	}

	/* JPEG files begin with ff d8 */
	if (ungetc(getc(file), file) == 0xff)
		err = load_jpeg(&rgb, file);
	else
		err = load_png(&rgb, file);
	fclose(file);
	if (err) {
		fprintf(stderr, "%s: not read\n", path);
		goto free_rgb;
	}

	width = rgb.width;
	height = rgb.height;
	if (width > max_width) {
		height = (uint64_t)height * max_width / width;
		width = max_width;
	}
	if (height > max_height) {
		width = (uint64_t)width * max_height / height;
		height = max_height;
	}

	picture->width = width;
	picture->height = height;
	picture->pixels = width && height ? malloc(picture_bytes(picture)) : NULL;
	if (picture->pixels)
		box_filter(picture, &rgb);
	else
		err = -ENOMEM;
free_rgb:
	free(rgb.bytes);
	return err;
}

static uint8_t *picture_rgb(const struct picture *picture)
{
	size_t pixels = picture_bytes(picture) / 4;
	uint8_t *bytes, *p;

	bytes = malloc(pixels * 3);
	if (!bytes)
		return NULL;

	p = bytes;
	for (size_t i = 0; i < pixels; i++) {
		*p++ = picture->pixels[i] >> 16;
		*p++ = picture->pixels[i] >> 8;
		*p++ = picture->pixels[i];
	}
	return bytes;
}

int picture_png(const struct picture *picture, void **png, size_t *size)
{
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = picture->width,
		.height = picture->height,
		.format = PNG_FORMAT_RGB,
	};
	png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(image);
	uint8_t *rgb = picture_rgb(picture);
	int err = 0;

	*png = malloc(room);
	if (!rgb || !*png)
		err = -ENOMEM;
	else if (!png_image_write_to_memory(&image, *png, &room, 0, rgb, 0, NULL))
		err = -EIO;
	if (err) {
		free(*png);
		*png = NULL;
	}

	*size = room;
	free(rgb);
	return err;
}

int picture_save(const struct picture *picture, const char *path)
{
	size_t size;
	FILE *file;
	void *png;
	int err;

	err = picture_png(picture, &png, &size);
	if (err)
		return err;

	file = fopen(path, "wb");
	if (!file || fwrite(png, size, 1, file) != 1)
		err = -errno;
	if (file && fclose(file) && !err)
		err = -errno;
	if (err)
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
	free(png);
	return err;
}
