// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ftrace.h"

#define INSTANCES	"/sys/kernel/tracing/instances"
#define BUFFER_KB	"8192"

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	ssize_t len;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = write(fd, text, strlen(text));
	if (len < 0)
		err = -errno;
	close(fd);
	return err;
}

void ftrace_start(struct ftrace *ftrace, struct run *run)
{
	const char *what = "no tracefs";
	int err;

	snprintf(ftrace->dir, sizeof(ftrace->dir), INSTANCES "/userptr_demo.%d",
		 (int)getpid());
	if (mkdir(ftrace->dir, 0700)) {
		err = -errno;
		goto none;
	}

	what = "events/drm_userptr";
	err = write_file(ftrace->dir, "trace_clock", "mono") ?:
	      write_file(ftrace->dir, "buffer_size_kb", BUFFER_KB) ?:
	      write_file(ftrace->dir, "events/drm_userptr/enable", "1");
	if (!err)
		return;

	rmdir(ftrace->dir);
none:
	ftrace->dir[0] = '\0';
	snprintf(run->trace, sizeof(run->trace), "no kernel tracepoints (%s: %s)",
		 what, strerror(-err));
}

/* "key=value" among the fields of an event */
static uint64_t field(const char *fields, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = fields; (p = strstr(p, key)); p += len)
		if ((p == fields || p[-1] == ' ') && p[len] == '=')
			return strtoull(p + len + 1, NULL, 0);
	return 0;
}

/* Invalidations that have begun; few, as each is some task in an mm call */
struct open_invalidation {
	uint64_t userptr, seq;
	struct mark mark;
};

struct parser {
	struct run *run;
	struct open_invalidation open[64];
	unsigned int num_open;
	uint64_t starts, waits, lost_steps;
};

static void parse_event(struct parser *parser, const char *name,
			const char *fields, int64_t when)
{
	struct timeline *timeline = &parser->run->timeline;
	struct mark mark = { .begin = when, .end = when };

	if (!strcmp(name, "drm_userptr_invalidate_start")) {
		struct open_invalidation *open = &parser->open[parser->num_open];

		parser->starts++;
		if (parser->num_open == 64)
			return;
		mark.kind = MARK_INVALIDATE;
		mark.addr = field(fields, "start");
		mark.size = field(fields, "end") - mark.addr;
		open->userptr = field(fields, "userptr");
		open->seq = field(fields, "seq");
		open->mark = mark;
		parser->num_open++;
	} else if (!strcmp(name, "drm_userptr_invalidate_finish")) {
		uint64_t userptr = field(fields, "userptr");
		uint64_t seq = field(fields, "seq");

		for (unsigned int i = 0; i < parser->num_open; i++) {
			struct open_invalidation *open = &parser->open[i];

			if (open->userptr != userptr || open->seq != seq)
				continue;
			open->mark.end = when;
			timeline_mark(timeline, LANE_INVALIDATE, &open->mark);
			*open = parser->open[--parser->num_open];
			break;
		}
	} else if (!strcmp(name, "drm_userptr_populate")) {
		mark.kind = MARK_POPULATE;
		mark.addr = field(fields, "window");
		mark.arg = (int)field(fields, "err");
		if (mark.arg == 1)
			parser->lost_steps++;
		timeline_mark(timeline, LANE_POPULATE, &mark);
	} else if (!strcmp(name, "drm_userptr_commit")) {
		mark.kind = MARK_COMMIT;
		mark.arg = (int)field(fields, "err");
		timeline_mark(timeline, LANE_POPULATE, &mark);
	}
}

/* "  task-123   [001] d..1.  12.345678: name: key=value ..." */
static void parse_line(struct parser *parser, char *line)
{
	char *name = strstr(line, ": drm_userptr_"), *stamp, *fields;
	unsigned long long sec, usec;

	if (line[0] == '#' || !name)
		return;
	*name = '\0';
	name += 2;
	stamp = strrchr(line, ' ');
	fields = strchr(name, ':');
	if (!stamp || !fields || sscanf(stamp, "%llu.%llu", &sec, &usec) != 2)
		return;
	*fields = '\0';

	parse_event(parser, name, fields + 2,
		    (sec * 1000000 + usec) * 1000LL);
}

void ftrace_stop(struct ftrace *ftrace, struct run *run)
{
	struct parser parser = { .run = run };
	char path[256], *line = NULL;
	size_t size = 0;
	FILE *file;

	if (!ftrace->dir[0])
		return;

	write_file(ftrace->dir, "tracing_on", "0");
	snprintf(path, sizeof(path), "%s/trace", ftrace->dir);
	file = fopen(path, "r");
	if (file) {
		while (getline(&line, &size, file) > 0)
			parse_line(&parser, line);
		fclose(file);
		free(line);
	}

	write_file(ftrace->dir, "events/enable", "0");
	rmdir(ftrace->dir);

	if (!parser.starts)
		snprintf(run->trace, sizeof(run->trace),
			 "no kernel tracepoints (they stayed silent)");
	else
		run_count(run, "steps_lost", parser.lost_steps,
			  "populate steps that an invalidation overtook (tracepoint)");
}
