// SPDX-License-Identifier: MIT
/*
 * The timeline, drawn. Times are nanoseconds on CLOCK_MONOTONIC, lengths are
 * SVG units; colours are the report's CSS classes.
 */
#include <errno.h>
#include <string.h>

#include "report.h"

#define WIDTH		1160
#define LEFT		168	/* where time begins */
#define RIGHT		12
#define AXIS		22
#define MS		1000000LL

struct view {
	const struct run *run;
	FILE *file;
	int64_t from, to;
};

static double to_x(const struct view *view, int64_t when)
{
	double part = (double)(when - view->from) / (view->to - view->from);

	if (part < 0)
		part = 0;
	if (part > 1)
		part = 1;
	return LEFT + part * (WIDTH - LEFT - RIGHT);
}

static bool seen(const struct view *view, const struct mark *mark)
{
	return mark->begin < view->to && mark->end >= view->from;
}

static const struct timeline_lane *lane_of(const struct run *run, enum lane lane)
{
	return &run->timeline.lanes[lane];
}

static bool is_call(const struct mark *mark)
{
	return mark->kind >= MARK_FIRST_CALL && mark->kind <= MARK_LAST_CALL;
}

static bool has_kernel_marks(const struct run *run)
{
	return lane_of(run, LANE_INVALIDATE)->num;
}

static void svg_begin(const struct view *view, int height, const char *label)
{
	fprintf(view->file,
		"<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
		WIDTH, height, label);
}

static void svg_end(const struct view *view)
{
	fprintf(view->file, "</svg>\n");
}

/* 1, 2 or 5 times a power of ten, for some ten ticks */
static int64_t tick_step(int64_t span)
{
	int64_t step = 1000;

	for (;;) {
		if (span / step <= 12)
			return step;
		if (span / (step * 2) <= 12)
			return step * 2;
		if (span / (step * 5) <= 12)
			return step * 5;
		step *= 10;
	}
}

static void draw_axis(const struct view *view, int height)
{
	int64_t step = tick_step(view->to - view->from);
	int64_t base = view->run->begin;
	int64_t first = (view->from - base + step - 1) / step * step;

	for (int64_t t = first; base + t <= view->to; t += step) {
		double x = to_x(view, base + t);

		fprintf(view->file,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>",
			x, AXIS, x, height);
		if (x > WIDTH - RIGHT - 30)
			continue;
		if (step >= 100 * MS)
			fprintf(view->file, "<text class=\"tick\" x=\"%.1f\" y=\"%d\">%.1f s</text>\n",
				x, AXIS - 7, t / 1e9);
		else
			fprintf(view->file, "<text class=\"tick\" x=\"%.1f\" y=\"%d\">%.*f ms</text>\n",
				x, AXIS - 7, step < MS ? 1 : 0, t / 1e6);
	}
}

static void draw_lane_name(const struct view *view, enum lane lane, int y, int height)
{
	fprintf(view->file, "<text class=\"lane\" x=\"%d\" y=\"%.1f\">%s</text>",
		LEFT - 10, y + height / 2.0 + 4, lane_name(lane));
	fprintf(view->file, "<line class=\"rule\" x1=\"0\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n",
		y + height, WIDTH, y + height);
}

static const char *lane_class(enum lane lane)
{
	switch (lane) {
	case LANE_TRANSFORM:
		return "transform";
	case LANE_COPY:
		return "copy";
	case LANE_REFUSED:
		return "refused";
	case LANE_INVALIDATE:
		return "inval";
	case LANE_POPULATE:
		return "populate";
	default:
		return "call";
	}
}

/* -- the whole run: how much of each slice of time a lane is in use ----------- */

#define SLICES		160
#define STRIP		20

static void draw_strip(const struct view *view, enum lane index, int y)
{
	const struct timeline_lane *lane = lane_of(view->run, index);
	double use[SLICES] = { 0 }, max = 0;
	int64_t span = view->to - view->from;
	double width = (double)(WIDTH - LEFT - RIGHT) / SLICES;

	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];
		int64_t slice;

		if (mark->kind == MARK_QUEUED || mark->kind == MARK_COMMIT ||
		    mark->kind == MARK_AWAY || mark->kind == MARK_READONLY ||
		    mark->kind == MARK_CHILD || !seen(view, mark))
			continue;
		slice = (mark->begin - view->from) * SLICES / span;
		if (slice < 0 || slice >= SLICES)
			continue;
		/* things without length count too */
		use[slice] += mark->end - mark->begin + 20000;
		if (use[slice] > max)
			max = use[slice];
	}

	for (int i = 0; i < SLICES; i++)
		if (use[i])
			fprintf(view->file,
				"<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" opacity=\"%.2f\"/>",
				lane_class(index), LEFT + i * width, y + 3,
				width - 0.6, STRIP - 6, 0.15 + 0.85 * use[i] / max);
	fputc('\n', view->file);
}

static struct view busy_view(const struct run *run, FILE *file);

void svg_overview(const struct run *run, FILE *file)
{
	struct view view = { run, file, run->begin, run->end };
	struct view busy = busy_view(run, file);
	int height = AXIS + LANES * STRIP + 2;
	int y = AXIS;

	svg_begin(&view, height, "The whole run");
	draw_axis(&view, height);
	for (int lane = 0; lane < LANES; lane++, y += STRIP) {
		draw_lane_name(&view, lane, y, STRIP);
		draw_strip(&view, lane, y);
	}
	fprintf(file, "<rect class=\"here\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n",
		to_x(&view, busy.from) - 1, AXIS, to_x(&view, busy.to) - to_x(&view, busy.from) + 2,
		height - AXIS - 1);
	svg_end(&view);
}

/* -- closer: each mark -------------------------------------------------------- */

#define ROW		30
#define BAR		18

static void draw_title(const struct view *view, const struct mark *mark)
{
	FILE *file = view->file;

	fprintf(file, "<title>%s", mark_name(mark->kind));
	if (mark->kind == MARK_JOB || mark->kind == MARK_QUEUED)
		fprintf(file, ", band %d", mark->arg);
	else if (mark->kind == MARK_REFUSED)
		fprintf(file, ": %s", strerror(mark->arg));
	else if (mark->arg && is_call(mark))
		fprintf(file, " (%s)", strerror(mark->arg));
	if (mark->size)
		fprintf(file, ", %llu KiB", (unsigned long long)mark->size >> 10);
	fprintf(file, ", at %.3f ms", (mark->begin - view->run->begin) / 1e6);
	if (mark->end > mark->begin)
		fprintf(file, ", for %.0f µs", (mark->end - mark->begin) / 1e3);
	fprintf(file, "</title>");
}

static void draw_bar(const struct view *view, const struct mark *mark,
		     const char *class, double y, double height, double min_width)
{
	double x = to_x(view, mark->begin);
	double width = to_x(view, mark->end) - x;

	if (width < min_width)
		width = min_width;
	fprintf(view->file,
		"<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"%s>",
		class, x, y, width, height, height > 6 ? " rx=\"2\"" : "");
	draw_title(view, mark);
	fprintf(view->file, "</rect>");
}

static void draw_text(const struct view *view, const struct mark *mark,
		      const char *class, double y, const char *text)
{
	double x = to_x(view, mark->begin);

	if (to_x(view, mark->end) - x > 6.2 * strlen(text) + 6)
		fprintf(view->file, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>",
			class, x + 4, y, text);
}

static void draw_refusals(const struct view *view, double y)
{
	const struct timeline_lane *lane = lane_of(view->run, LANE_REFUSED);

	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];
		const char *class = "efault", *text = "EFAULT";

		if (!seen(view, mark))
			continue;
		if (mark->arg == EPERM) {
			class = "eperm";
			text = "EPERM";
		} else if (mark->arg == EAGAIN) {
			class = "eagain";
			text = "EAGAIN";
		}
		draw_bar(view, mark, class, y + (ROW - BAR) / 2, BAR, 2);
		draw_text(view, mark, "on", y + ROW / 2 + 4, text);
	}
}

static void draw_jobs(const struct view *view, enum lane index, double y)
{
	const struct timeline_lane *lane = lane_of(view->run, index);

	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];
		char text[16];

		if (!seen(view, mark))
			continue;
		if (mark->kind == MARK_QUEUED) {
			draw_bar(view, mark, "queued", y + ROW - 4, 2, 0.5);
			continue;
		}
		draw_bar(view, mark, lane_class(index), y + (ROW - BAR) / 2, BAR, 1);
		snprintf(text, sizeof(text), "band %d", mark->arg);
		draw_text(view, mark, "on", y + ROW / 2 + 4, text);
	}
}

/* Up to three at once below one another */
static void draw_invalidations(const struct view *view, double y)
{
	const struct timeline_lane *lane = lane_of(view->run, LANE_INVALIDATE);
	int64_t busy_until[3] = { 0 };

	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];
		int row = 0;

		if (!seen(view, mark))
			continue;
		while (row < 2 && busy_until[row] > mark->begin)
			row++;
		busy_until[row] = mark->end;
		draw_bar(view, mark, "inval", y + 4 + row * 8, 7, 1.2);
	}
}

static void draw_populates(const struct view *view, double y)
{
	const struct timeline_lane *lane = lane_of(view->run, LANE_POPULATE);

	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];

		if (!seen(view, mark))
			continue;
		if (mark->kind == MARK_COMMIT)
			draw_bar(view, mark, mark->arg ? "lost" : "commit", y + 18, 8, 1.5);
		else
			draw_bar(view, mark, mark->arg ? "lost" : "populate", y + 4, 12, 1.5);
	}
}

static void draw_calls(const struct view *view, enum lane index, double y)
{
	const struct timeline_lane *lane = lane_of(view->run, index);

	/* states below, calls on top of them */
	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];

		if (!seen(view, mark) || is_call(mark))
			continue;
		draw_bar(view, mark, mark_name(mark->kind), y + 3, ROW - 6, 1);
	}
	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];

		if (!seen(view, mark) || !is_call(mark))
			continue;
		draw_bar(view, mark, "call", y + (ROW - BAR) / 2, BAR, 1.5);
		draw_text(view, mark, "on", y + ROW / 2 + 4, mark_name(mark->kind));
	}
	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *mark = &lane->marks[i];

		if (mark->kind == MARK_CHILD && seen(view, mark))
			draw_text(view, mark, "off", y + ROW / 2 + 4, "child alive");
	}
}

/* What the device lost, drawn through the queues: no job crosses its end */
static void draw_shadows(const struct view *view, int top, int bottom)
{
	const struct timeline_lane *lane = lane_of(view->run, LANE_INVALIDATE);

	for (unsigned int i = 0; i < lane->num; i++)
		if (seen(view, &lane->marks[i]))
			draw_bar(view, &lane->marks[i], "shadow", top, bottom - top, 1);
}

static void draw_view(const struct view *view, const char *label)
{
	const struct run *run = view->run;
	int height = AXIS + LANES * ROW + 2;
	int y = AXIS;

	svg_begin(view, height, label);
	draw_axis(view, height);
	draw_shadows(view, AXIS, AXIS + 4 * ROW);

	for (int lane = 0; lane < LANES; lane++, y += ROW) {
		draw_lane_name(view, lane, y, ROW);
		switch (lane) {
		case LANE_TRANSFORM:
		case LANE_COPY:
			draw_jobs(view, lane, y);
			break;
		case LANE_REFUSED:
			draw_refusals(view, y);
			break;
		case LANE_INVALIDATE:
			if (has_kernel_marks(run))
				draw_invalidations(view, y);
			else
				fprintf(view->file,
					"<text class=\"off\" x=\"%d\" y=\"%d\">%s: see the calls below</text>",
					LEFT + 6, y + ROW / 2 + 4, run->trace);
			break;
		case LANE_POPULATE:
			draw_populates(view, y);
			break;
		default:
			draw_calls(view, lane, y);
			break;
		}
		fputc('\n', view->file);
	}
	svg_end(view);
}

/* -- where to look ------------------------------------------------------------ */

#define BUSY_SPAN	(28 * MS)

/* How much there is to see: many kinds of things rather than many things */
static int interest(const struct view *view)
{
	int score = 0;

	for (int index = 0; index < LANES; index++) {
		const struct timeline_lane *lane = lane_of(view->run, index);
		unsigned int kinds = 0, num = 0;

		for (unsigned int i = 0; i < lane->num; i++) {
			if (!seen(view, &lane->marks[i]))
				continue;
			kinds |= 1u << lane->marks[i].kind;
			num++;
		}
		score += 10 * __builtin_popcount(kinds) + (num < 10 ? num : 10);
	}
	return score;
}

static struct view busy_view(const struct run *run, FILE *file)
{
	struct view best = { run, file, run->begin, run->begin + BUSY_SPAN };
	int best_score = -1;

	for (int64_t t = run->begin; t + BUSY_SPAN <= run->end; t += BUSY_SPAN / 4) {
		struct view view = { run, file, t, t + BUSY_SPAN };
		int score = interest(&view);

		if (score > best_score) {
			best_score = score;
			best = view;
		}
	}
	return best;
}

/* Is a job published after it that needed windows anew? */
static bool followed_by_commit(const struct view *view, const struct mark *mark)
{
	const struct timeline_lane *lane = lane_of(view->run, LANE_POPULATE);
	bool populated = false;

	for (unsigned int i = 0; i < lane->num; i++) {
		const struct mark *event = &lane->marks[i];

		if (event->begin < mark->end || event->begin > view->to || event->arg)
			continue;
		if (event->kind == MARK_POPULATE)
			populated = true;
		else if (populated)
			return true;
	}
	return false;
}

/* One call that waits, with what comes before it and after */
static struct view close_up_view(const struct run *run, FILE *file)
{
	struct view best = busy_view(run, file);
	int best_score = -1;

	for (int index = LANE_MOVE; index <= LANE_DISCARD; index++) {
		const struct timeline_lane *lane = lane_of(run, index);

		for (unsigned int i = 0; i < lane->num; i++) {
			const struct mark *mark = &lane->marks[i];
			int64_t length = mark->end - mark->begin;
			struct view view = { run, file, mark->begin - length / 2 - MS / 2,
					     mark->end + length + 3 * MS / 2 };
			int score;

			if (!is_call(mark) || length < MS / 4 || length > 3 * MS ||
			    mark->end > run->end || !mark_waited(run, mark))
				continue;
			score = interest(&view) + 100 * followed_by_commit(&view, mark);
			if (score > best_score) {
				best_score = score;
				best = view;
			}
		}
	}
	return best;
}

void svg_busy(const struct run *run, FILE *file)
{
	struct view view = busy_view(run, file);

	draw_view(&view, "The busiest moment");
}

void svg_close_up(const struct run *run, FILE *file)
{
	struct view view = close_up_view(run, file);

	draw_view(&view, "One call that had to wait");
}
