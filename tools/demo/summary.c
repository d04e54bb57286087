// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "report.h"

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

bool mark_waited(const struct run *run, const struct mark *mark)
{
	for (int index = LANE_TRANSFORM; index <= LANE_COPY; index++) {
		const struct timeline_lane *lane = &run->timeline.lanes[index];

		for (unsigned int i = 0; i < lane->num; i++) {
			const struct mark *job = &lane->marks[i];

			if (job->kind == MARK_JOB && job->begin < mark->begin &&
			    job->end > mark->begin && job->end <= mark->end)
				return true;
		}
	}
	return false;
}

static bool is_any(const struct run *run, const struct mark *mark)
{
	(void)run;
	(void)mark;
	return true;
}

static struct durations collect(const struct run *run, enum mark_kind kind,
				bool (*counts)(const struct run *run,
					       const struct mark *mark))
{
	struct durations durations = { 0 };
	unsigned int num = 0;
	int64_t *all;

	for (int i = 0; i < LANES; i++)
		num += run->timeline.lanes[i].num;
	all = calloc(num + 1, sizeof(*all));
	if (!all)
		return durations;

	for (int i = 0; i < LANES; i++) {
		const struct timeline_lane *lane = &run->timeline.lanes[i];

		for (unsigned int n = 0; n < lane->num; n++) {
			const struct mark *mark = &lane->marks[n];

			if (mark->kind == kind && counts(run, mark))
				all[durations.num++] = mark->end - mark->begin;
		}
	}

	qsort(all, durations.num, sizeof(*all), compare);
	if (durations.num) {
		durations.median = all[durations.num / 2];
		durations.max = all[durations.num - 1];
	}
	free(all);
	return durations;
}

struct durations durations_of(const struct run *run, enum mark_kind kind)
{
	return collect(run, kind, is_any);
}

struct durations durations_of_waits(const struct run *run)
{
	return collect(run, MARK_INVALIDATE, mark_waited);
}

unsigned int num_calls(const struct run *run)
{
	unsigned int num = 0;

	for (int kind = MARK_FIRST_CALL; kind <= MARK_LAST_CALL; kind++)
		num += durations_of(run, kind).num;
	return num;
}

bool run_weak(const struct run *run)
{
	return run_counted(run, "jobs") < 200 || num_calls(run) < 50;
}

static void json_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(file, "\\u%04x", *text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

static void json_member(FILE *file, const char *name, const char *text)
{
	fprintf(file, "  \"%s\": ", name);
	json_string(file, text);
	fputs(",\n", file);
}

static void json_durations(FILE *file, const struct run *run,
			   enum mark_kind kind, const char *end)
{
	struct durations durations = durations_of(run, kind);

	fprintf(file, "    \"%s\": { \"count\": %u, \"median_ns\": %" PRId64
		", \"max_ns\": %" PRId64 " }%s\n", mark_name(kind), durations.num,
		durations.median, durations.max, end);
}

int summary_write(const struct run *run, const char *dir)
{
	char path[512];
	FILE *file;
	bool bad;

	snprintf(path, sizeof(path), "%s/summary.json", dir);
	file = fopen(path, "w");
	if (!file) {
		int err = -errno;

		perror(path);
		return err;
	}

	fprintf(file, "{\n  \"passed\": %s,\n  \"weak\": %s,\n",
		run_passed(run) ? "true" : "false", run_weak(run) ? "true" : "false");
	json_member(file, "picture", run->picture);
	json_member(file, "credit", run->credit);
	json_member(file, "device", run->device);
	json_member(file, "system", run->system);
	json_member(file, "trace_missing", run->trace);
	fprintf(file, "  \"width\": %u,\n  \"height\": %u,\n  \"seed\": %u,\n",
		run->width, run->height, run->seed);
	fprintf(file, "  \"storm_ns\": %" PRId64 ",\n", run->end - run->begin);

	fputs("  \"checks\": [\n", file);
	for (int id = 0; id < CHECKS; id++) {
		const struct check *check = &run->checks[id];

		fputs("    { \"what\": ", file);
		json_string(file, check_name(id));
		fprintf(file, ", \"passed\": %s, \"good\": %" PRIu64 ", \"bad\": %"
			PRIu64 ", \"first\": ", check_passed(run, id) ? "true" : "false",
			check->good, check->bad);
		json_string(file, check->first);
		fprintf(file, " }%s\n", id < CHECKS - 1 ? "," : "");
	}

	fputs("  ],\n  \"counters\": {\n", file);
	for (unsigned int i = 0; i < run->num_counters; i++)
		fprintf(file, "    \"%s\": %" PRIu64 "%s\n", run->counters[i].name,
			run->counters[i].value,
			i < run->num_counters - 1 ? "," : "");

	fputs("  },\n  \"durations\": {\n", file);
	json_durations(file, run, MARK_JOB, ",");
	json_durations(file, run, MARK_INVALIDATE, ",");
	for (int kind = MARK_FIRST_CALL; kind <= MARK_LAST_CALL; kind++)
		json_durations(file, run, kind, kind < MARK_LAST_CALL ? "," : "");
	fputs("  }\n}\n", file);

	bad = ferror(file);
	return fclose(file) || bad ? -EIO : 0;
}

void summary_print(const struct run *run)
{
	struct durations any = durations_of(run, MARK_INVALIDATE);
	struct durations wait = durations_of_waits(run);

	printf("  picture        %ux%u, %.1f MB, as a userptr on vgem (%s)\n",
	       run->width, run->height, run->width * run->height * 4 / 1e6,
	       run->device);
	printf("  jobs           %" PRIu64 " in %.1f s; submitted again after EAGAIN %" PRIu64
	       ", EFAULT %" PRIu64 ", EPERM %" PRIu64 "\n",
	       run_counted(run, "jobs"), (run->end - run->begin) / 1e9,
	       run_counted(run, "again"), run_counted(run, "fault"),
	       run_counted(run, "perm"));
	printf("  mm storm       %u calls: munmap, mmap, mremap, mprotect, madvise; %u forks\n",
	       num_calls(run), durations_of(run, MARK_FORK).num);
	printf("  kernel         %" PRIu64 " invalidations, %" PRIu64 " waited for a job; %" PRIu64
	       " windows refetched, %" PRIu64 " retries, %" PRIu64 " TLB flushes\n",
	       run_counted(run, "invalidations"), run_counted(run, "fence_waits"),
	       run_counted(run, "windows"), run_counted(run, "retries"),
	       run_counted(run, "tlb_flushes"));
	if (any.num)
		printf("  waiting        an invalidation took %.2f ms in the median; %.2f ms if a job was running, %.2f ms at most\n",
		       any.median / 1e6, wait.median / 1e6, any.max / 1e6);
	else
		printf("  timeline       %s\n", run->trace);

	for (int id = 0; id < CHECKS; id++) {
		const struct check *check = &run->checks[id];

		if (check->bad)
			printf("  FAILED         %s: %" PRIu64 " of %" PRIu64 "\n                 %s\n",
			       check_name(id), check->bad, check->good + check->bad,
			       check->first);
		else if (!check_passed(run, id))
			printf("  FAILED         %s: never got that far\n", check_name(id));
		else
			printf("  ok %9" PRIu64 "   %s\n", check->good, check_name(id));
	}
	if (run_weak(run))
		printf("  note           the machine was busy: so few jobs and calls prove little, run it again\n");
	printf("  verdict        %s\n", run_passed(run) ? "PASSED" : "FAILED");
}
