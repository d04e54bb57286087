// SPDX-License-Identifier: MIT
/* report.html: one file, nothing fetched from anywhere. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "report.h"

#define SHOWN_WIDTH 720

static const char style[] =
":root{--page:#fbfaf7;--ink:#22262b;--soft:#656c75;--line:#e2dfd8;--card:#fff;"
"--transform:#2f6db3;--copy:#1f8a83;--inval:#cf3f4a;--populate:#d9962b;"
"--commit:#7d9fc9;--call:#6b4fa0;--away:#dcd2ef;--ro:#f0e2c0;--child:#d5ead2;"
"--efault:#b3262f;--eperm:#d9962b;--eagain:#7a7f87;--good:#2e7d4f;--bad:#b3262f}\n"
"@media(prefers-color-scheme:dark){:root{--page:#17191c;--ink:#e6e4df;--soft:#9aa1aa;"
"--line:#33373d;--card:#1f2226;--transform:#5b97dc;--copy:#3fb5ac;--inval:#ee6570;"
"--populate:#e6ad4e;--commit:#5f82ad;--call:#9a80cf;--away:#3b3350;--ro:#4a4029;"
"--child:#2c4430;--efault:#ff6f78;--good:#5fbf86;--bad:#ff6f78}}\n"
"*{box-sizing:border-box}"
"body{margin:0;background:var(--page);color:var(--ink);"
"font:16px/1.55 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
"main{max-width:1240px;margin:0 auto;padding:40px 32px 64px}"
"h1{font-size:30px;line-height:1.2;margin:0 0 8px;letter-spacing:-.01em}"
"h2{font-size:20px;margin:48px 0 6px}"
"h3{font-size:16px;margin:26px 0 4px}"
"p{margin:4px 0 12px;max-width:82ch}.soft,figcaption,footer{color:var(--soft)}"
"code{font:0.92em ui-monospace,'DejaVu Sans Mono',monospace}"
".verdict{display:inline-block;border-radius:99px;padding:3px 14px;font-weight:600;"
"font-size:15px;color:#fff;vertical-align:6px;margin-left:10px}"
".passed{background:var(--good)}.failed{background:var(--bad)}\n"
".facts{display:flex;flex-wrap:wrap;gap:12px;margin:22px 0 0;padding:0;list-style:none}"
".facts li{flex:1 1 150px;background:var(--card);border:1px solid var(--line);"
"border-radius:10px;padding:10px 16px}"
".facts b{display:block;font-size:24px;font-weight:600;line-height:1.3}"
".facts span{color:var(--soft);font-size:14px}\n"
".pictures{display:grid;grid-template-columns:repeat(3,1fr);gap:16px;margin-top:12px}"
"@media(max-width:800px){.pictures{grid-template-columns:1fr}}"
"figure{margin:0}figure img{display:block;width:100%;height:auto;border-radius:8px}"
"figcaption{font-size:14px;margin-top:6px;line-height:1.4}figcaption b{color:var(--ink)}\n"
"table{border-collapse:collapse;width:100%;font-size:15px;margin-top:8px}"
"td,th{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);text-align:left;"
"vertical-align:top}th{font-weight:600;color:var(--soft);font-size:13px}"
".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:20px}"
".ok{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}"
".two{display:grid;grid-template-columns:3fr 2fr;gap:40px}"
"@media(max-width:900px){.two{grid-template-columns:1fr}}\n"
".chart{background:var(--card);border:1px solid var(--line);border-radius:10px;"
"padding:8px 12px;overflow-x:auto}"
"svg{display:block;width:100%;min-width:880px;height:auto;"
"font:11px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
".lane{text-anchor:end;fill:var(--ink);font-size:12px}"
".tick{text-anchor:middle;fill:var(--soft);font-size:11px}"
".grid{stroke:var(--line);stroke-width:.7}.rule{stroke:var(--line);stroke-width:.7}"
".on{fill:#fff;font-size:10.5px;pointer-events:none}"
".off{fill:var(--soft);font-size:11px;pointer-events:none}"
".here{fill:none;stroke:var(--ink);stroke-width:1.4}"
".transform{fill:var(--transform)}.copy{fill:var(--copy)}.queued{fill:var(--soft);opacity:.55}"
".inval{fill:var(--inval)}.shadow{fill:var(--inval);opacity:.12}"
".populate{fill:var(--populate)}.commit{fill:var(--commit)}.lost{fill:var(--efault)}"
".call{fill:var(--call)}.away{fill:var(--away)}.read-only{fill:var(--ro)}.child{fill:var(--child)}"
".refused,.efault{fill:var(--efault)}.eperm{fill:var(--eperm)}.eagain{fill:var(--eagain)}\n"
".key{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);"
"margin:8px 0 0;padding:0;list-style:none}"
".key svg{display:inline-block;width:12px;min-width:12px;height:12px;margin-right:6px;"
"vertical-align:-1px}"
"footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--line);font-size:14px}";

static void put_text(FILE *file, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		case '&':
			fputs("&amp;", file);
			break;
		case '"':
			fputs("&quot;", file);
			break;
		default:
			fputc(*text, file);
		}
	}
}

static void put_base64(FILE *file, const uint8_t *bytes, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = bytes[i] << 16;

		if (i + 1 < size)
			bits |= bytes[i + 1] << 8;
		if (i + 2 < size)
			bits |= bytes[i + 2];
		fputc(digits[bits >> 18], file);
		fputc(digits[bits >> 12 & 63], file);
		fputc(i + 1 < size ? digits[bits >> 6 & 63] : '=', file);
		fputc(i + 2 < size ? digits[bits & 63] : '=', file);
	}
}

/* Embedded at the size at which it is shown; the link leads to all of it */
static int put_picture(FILE *file, const char *dir, const char *name,
		       const char *title, const char *caption)
{
	struct picture picture;
	char path[512];
	size_t size;
	void *png;
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = picture_load(&picture, path, SHOWN_WIDTH, SHOWN_WIDTH);
	if (err)
		return err;
	err = picture_png(&picture, &png, &size);
	free(picture.pixels);
	if (err)
		return err;

	fprintf(file, "<figure><a href=\"%s\"><img alt=\"%s\" src=\"data:image/png;base64,",
		name, title);
	put_base64(file, png, size);
	fprintf(file, "\"></a><figcaption><b>%s</b> %s</figcaption></figure>\n",
		title, caption);
	free(png);
	return 0;
}

static void put_fact(FILE *file, uint64_t value, const char *what)
{
	fprintf(file, "<li><b>%" PRIu64 "</b><span>%s</span></li>\n", value, what);
}

static void put_head(FILE *file, const struct run *run)
{
	bool passed = run_passed(run);

	fprintf(file, "<!DOCTYPE html>\n<!-- SPDX-License-Identifier: MIT -->\n"
		"<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n"
		"<title>drm_userptr: a picture in a storm</title>\n<style>%s</style></head>\n"
		"<body><main>\n", style);
	fprintf(file, "<h1>A picture in a storm <span class=\"verdict %s\">%s</span></h1>\n",
		passed ? "passed" : "failed", passed ? "passed" : "failed");
	fprintf(file, "<p>A photograph in ordinary <code>malloc()</code>ed memory is handed to vgem's engine "
		"as a userptr: nothing is copied, nothing is pinned. The engine changes it in place and copies it "
		"to a second userptr, band by band, while five threads take the memory away "
		"under it and give it back. In the end every byte is compared with what the CPU computes.</p>\n");

	if (run_weak(run))
		fputs("<p><b>The machine was busy:</b> so few jobs and calls prove little. Run it again.</p>\n", file);

	fputs("<ul class=\"facts\">\n", file);
	put_fact(file, run_counted(run, "jobs"), "jobs done");
	put_fact(file, num_calls(run), "mm calls against them");
	put_fact(file, run_counted(run, "invalidations"), "invalidations");
	put_fact(file, run_counted(run, "fence_waits"), "of them waited for a job");
	put_fact(file, run_counted(run, "windows"), "windows (re)fetched");
	put_fact(file, run->checks[CHECK_PICTURE].bad + run->checks[CHECK_COPY].bad,
		 "pictures with a wrong byte");
	fputs("</ul>\n", file);
}

static int put_pictures(FILE *file, const struct run *run, const char *dir)
{
	int err;

	fputs("<h2>The pictures</h2>\n<div class=\"pictures\">\n", file);
	err = put_picture(file, dir, "before.png", "Before:",
			  "as loaded from its file.") ?:
	      put_picture(file, dir, "after.png", "After:",
			  "the same memory. Each tile was exclusive-ored with many random values, "
			  "one a job; the last one makes a chess board of negatives. One job lost, "
			  "or done twice, would show as a tile in a wrong colour.") ?:
	      put_picture(file, dir, "copy.png", "Copy:",
			  "a second userptr, a bare address range, written by the engine. Parts of "
			  "it were discarded, moved and replaced all the time.");
	fputs("</div>\n<p class=\"soft\" style=\"font-size:14px;margin-top:10px\">Photograph: ", file);
	put_text(file, run->credit);
	fputs(". The changed pictures are under the same licence.</p>\n", file);
	return err;
}

static void put_checks(FILE *file, const struct run *run)
{
	fputs("<h2>What was checked</h2>\n<table>\n"
	      "<tr><th></th><th>what must hold</th><th class=\"n\">checks</th></tr>\n", file);
	for (int id = 0; id < CHECKS; id++) {
		const struct check *check = &run->checks[id];
		bool passed = check_passed(run, id);

		fprintf(file, "<tr><td class=\"%s\">%s</td><td>%s",
			passed ? "ok" : "no", passed ? "✓" : "✗", check_name(id));
		if (check->bad) {
			fprintf(file, "<br><span class=\"no\">%" PRIu64 " failed; the first: ",
				check->bad);
			put_text(file, check->first);
			fputs("</span>", file);
		} else if (!check->good) {
			fputs(passed ? " <span class=\"soft\">(did not come up)</span>" :
				       " <span class=\"no\">(never got that far)</span>", file);
		}
		fprintf(file, "</td><td class=\"n\">%" PRIu64 "</td></tr>\n",
			check->good + check->bad);
	}
	fputs("</table>\n", file);
}

static void put_key(FILE *file)
{
	static const struct {
		const char *class, *text;
	} keys[] = {
		{ "transform", "transform job" },
		{ "copy", "copy job" },
		{ "queued", "job waiting in its queue" },
		{ "inval", "invalidation: start to finish, also as a shadow on the queues" },
		{ "populate", "window populated" },
		{ "commit", "commit: job published" },
		{ "lost", "populate that found memory missing; populate or commit overtaken by an invalidation" },
		{ "efault", "refused: EFAULT" },
		{ "eperm", "refused: EPERM" },
		{ "eagain", "refused: EAGAIN" },
		{ "call", "system call" },
		{ "away", "memory away" },
		{ "read-only", "memory read-only" },
		{ "child", "forked child alive" },
	};

	fputs("<ul class=\"key\">\n", file);
	for (unsigned int i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		fprintf(file, "<li><svg viewBox=\"0 0 12 12\"><rect class=\"%s\" width=\"12\" height=\"12\" rx=\"2\"/></svg>%s</li>\n",
			keys[i].class, keys[i].text);
	fputs("</ul>\n", file);
}

static void put_timeline(FILE *file, const struct run *run)
{
	fputs("<h2>Invalidations against jobs</h2>\n", file);
	if (run->trace[0]) {
		fputs("<p class=\"soft\">This run has ", file);
		put_text(file, run->trace);
		fputs(": the timeline shows the client's own marks, taken around its calls.</p>\n", file);
	}

	fputs("<h3>The whole run</h3>\n<p class=\"soft\">How busy each lane was; the frame is "
	      "the moment below.</p>\n<div class=\"chart\">\n", file);
	svg_overview(run, file);
	fputs("</div>\n<h3>The busiest moment</h3>\n<p class=\"soft\">Every mark. A call that takes memory away "
	      "returns only when the jobs that could reach it are done; nothing else makes a job late. "
	      "Point at a mark for what it is.</p>\n<div class=\"chart\">\n", file);
	svg_busy(run, file);
	fputs("</div>\n", file);
	put_key(file);
	fputs("<h3>One call that had to wait</h3>\n<p class=\"soft\">The call begins, the invalidation starts, the jobs "
	      "published before it come to their end, the invalidation finishes, the call returns. The next submission "
	      "fetches the windows anew and is committed.</p>\n<div class=\"chart\">\n", file);
	svg_close_up(run, file);
	fputs("</div>\n", file);
}

static void put_durations(FILE *file, const char *name, struct durations durations)
{
	if (!durations.num)
		return;
	fprintf(file, "<tr><td>%s</td><td class=\"n\">%u</td><td class=\"n\">%.2f</td><td class=\"n\">%.2f</td></tr>\n",
		name, durations.num, durations.median / 1e6, durations.max / 1e6);
}

static void put_counters(FILE *file, const struct run *run)
{
	fputs("<div class=\"two\"><div>\n<h2>Counters</h2>\n<table>\n", file);
	for (unsigned int i = 0; i < run->num_counters; i++) {
		const struct counter *counter = &run->counters[i];

		fprintf(file, "<tr><td class=\"n\">%" PRIu64 "</td><td><code>", counter->value);
		put_text(file, counter->name);
		fputs("</code></td><td class=\"soft\">", file);
		put_text(file, counter->meaning);
		fputs("</td></tr>\n", file);
	}
	fputs("</table>\n</div><div>\n<h2>How long it took</h2>\n<table>\n"
	      "<tr><th></th><th class=\"n\">count</th><th class=\"n\">median, ms</th>"
	      "<th class=\"n\">longest, ms</th></tr>\n", file);
	put_durations(file, "a job on the engine", durations_of(run, MARK_JOB));
	put_durations(file, "an invalidation", durations_of(run, MARK_INVALIDATE));
	put_durations(file, "… that found a job running", durations_of_waits(run));
	for (int kind = MARK_FIRST_CALL; kind <= MARK_LAST_CALL; kind++)
		put_durations(file, mark_name(kind), durations_of(run, kind));
	fputs("</table>\n</div></div>\n", file);
}

static void put_foot(FILE *file, const struct run *run)
{
	fputs("<footer>", file);
	put_text(file, run->system);
	fprintf(file, " · %s · picture %u × %u · seed %u · storm of %.1f s<br>Picture: ",
		run->device, run->width, run->height, run->seed,
		(run->end - run->begin) / 1e9);
	put_text(file, run->picture);
	fputs("; ", file);
	put_text(file, run->credit);
	fputs(".<br>Next to this file: <a href=\"summary.json\">summary.json</a>, "
	      "<a href=\"run.tsv\">run.tsv</a> (all marks; <code>userptr_demo --render</code> "
	      "draws this page from it).</footer>\n</main></body></html>\n", file);
}

int report_write(const struct run *run, const char *dir)
{
	char path[512];
	FILE *file;
	bool bad;
	int err;

	snprintf(path, sizeof(path), "%s/report.html", dir);
	file = fopen(path, "w");
	if (!file) {
		err = -errno;
		perror(path);
		return err;
	}

	put_head(file, run);
	err = put_pictures(file, run, dir);
	put_checks(file, run);
	put_timeline(file, run);
	put_counters(file, run);
	put_foot(file, run);

	bad = ferror(file);
	return fclose(file) || bad ? -EIO : err;
}
