// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

static const struct {
	const char *name;
	bool required;
} check_infos[CHECKS] = {
	[CHECK_PICTURE] = { "every byte of the picture is what the CPU computes", true },
	[CHECK_COPY] = { "every byte of the copy is what the CPU computes", true },
	[CHECK_ENGINE] = { "the engine's CRC-32 and COMPARE of both pictures say the same", true },
	[CHECK_JOBS] = { "each copy job saw one memory from begin to end (CRC-32, COMPARE)", true },
	[CHECK_FENCES] = { "each fence signalled in time and without an error", true },
	[CHECK_FROZEN] = { "memory taken away or made read-only did not change until it was given back", false },
	[CHECK_CHILDREN] = { "forked children kept whole pictures of their own, and got nothing of the parent's", false },
	[CHECK_NEIGHBOURS] = { "neighbouring pages are unharmed", false },
	[CHECK_REFUSALS] = { "each EFAULT and EPERM names memory that was away or read-only just then", false },
	[CHECK_CALLS] = { "no call failed that had no reason to", true },
};

int run_init(struct run *run)
{
	memset(run, 0, sizeof(*run));
	pthread_mutex_init(&run->lock, NULL);
	return timeline_init(&run->timeline);
}

void run_fini(struct run *run)
{
	timeline_fini(&run->timeline);
	pthread_mutex_destroy(&run->lock);
}

bool run_check(struct run *run, enum check_id id, bool ok, const char *fmt, ...)
{
	struct check *check = &run->checks[id];
	va_list args;

	pthread_mutex_lock(&run->lock);
	if (ok) {
		check->good++;
	} else if (!check->bad++) {
		va_start(args, fmt);
		vsnprintf(check->first, sizeof(check->first), fmt, args);
		va_end(args);
	}
	pthread_mutex_unlock(&run->lock);
	return ok;
}

const char *check_name(enum check_id id)
{
	return check_infos[id].name;
}

bool check_passed(const struct run *run, enum check_id id)
{
	const struct check *check = &run->checks[id];

	return !check->bad && (check->good || !check_infos[id].required);
}

bool run_passed(const struct run *run)
{
	for (int id = 0; id < CHECKS; id++)
		if (!check_passed(run, id))
			return false;
	return true;
}

void run_count(struct run *run, const char *name, uint64_t value,
	       const char *meaning)
{
	struct counter *counter = &run->counters[run->num_counters];

	if (run->num_counters == COUNTERS)
		return;
	snprintf(counter->name, sizeof(counter->name), "%s", name);
	snprintf(counter->meaning, sizeof(counter->meaning), "%s", meaning);
	counter->value = value;
	run->num_counters++;
}

uint64_t run_counted(const struct run *run, const char *name)
{
	for (unsigned int i = 0; i < run->num_counters; i++)
		if (!strcmp(run->counters[i].name, name))
			return run->counters[i].value;
	return 0;
}

int run_save(const struct run *run, const char *path)
{
	FILE *file = fopen(path, "w");
	bool bad;

	if (!file) {
		int err = -errno;

		perror(path);
		return err;
	}

	fprintf(file, "picture\t%s\n", run->picture);
	fprintf(file, "credit\t%s\n", run->credit);
	fprintf(file, "device\t%s\n", run->device);
	fprintf(file, "system\t%s\n", run->system);
	fprintf(file, "trace\t%s\n", run->trace);
	fprintf(file, "size\t%u %u\n", run->width, run->height);
	fprintf(file, "seed\t%u\n", run->seed);
	fprintf(file, "span\t%" PRId64 " %" PRId64 "\n", run->begin, run->end);
	for (int id = 0; id < CHECKS; id++)
		fprintf(file, "check\t%d %" PRIu64 " %" PRIu64 " %s\n", id,
			run->checks[id].good, run->checks[id].bad,
			run->checks[id].first);
	for (unsigned int i = 0; i < run->num_counters; i++)
		fprintf(file, "counter\t%s %" PRIu64 " %s\n",
			run->counters[i].name, run->counters[i].value,
			run->counters[i].meaning);
	timeline_save(&run->timeline, file);

	bad = ferror(file);
	return fclose(file) || bad ? -EIO : 0;
}

static int load_check(struct run *run, const char *text)
{
	uint64_t good, bad;
	int id, used;

	if (sscanf(text, "%d %" SCNu64 " %" SCNu64 " %n", &id, &good, &bad, &used) != 3 ||
	    id < 0 || id >= CHECKS)
		return -EINVAL;

	run->checks[id].good = good;
	run->checks[id].bad = bad;
	snprintf(run->checks[id].first, sizeof(run->checks[id].first), "%s",
		 text + used);
	return 0;
}

static int load_counter(struct run *run, const char *text)
{
	uint64_t value;
	char name[32];
	int used;

	if (sscanf(text, "%31s %" SCNu64 " %n", name, &value, &used) != 2)
		return -EINVAL;

	run_count(run, name, value, text + used);
	return 0;
}

static int load_line(struct run *run, char *line)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} texts[] = {
		{ "picture", run->picture, sizeof(run->picture) },
		{ "credit", run->credit, sizeof(run->credit) },
		{ "device", run->device, sizeof(run->device) },
		{ "system", run->system, sizeof(run->system) },
		{ "trace", run->trace, sizeof(run->trace) },
	};
	char *value;

	if (!strncmp(line, "mark ", 5))
		return timeline_load_line(&run->timeline, line);

	value = strchr(line, '\t');
	if (!value)
		return -EINVAL;
	*value++ = '\0';

	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (!strcmp(line, texts[i].key)) {
			snprintf(texts[i].to, texts[i].size, "%s", value);
			return 0;
		}
	}
	if (!strcmp(line, "size"))
		return sscanf(value, "%u %u", &run->width, &run->height) == 2 ? 0 : -EINVAL;
	if (!strcmp(line, "seed"))
		return sscanf(value, "%u", &run->seed) == 1 ? 0 : -EINVAL;
	if (!strcmp(line, "span"))
		return sscanf(value, "%" SCNd64 " %" SCNd64, &run->begin,
			      &run->end) == 2 ? 0 : -EINVAL;
	if (!strcmp(line, "check"))
		return load_check(run, value);
	if (!strcmp(line, "counter"))
		return load_counter(run, value);
	return -EINVAL;
}

int run_load(struct run *run, const char *path)
{
	char *line = NULL;
	size_t size = 0;
	unsigned int n = 0;
	FILE *file;
	int err = 0;

	file = fopen(path, "r");
	if (!file) {
		err = -errno;
		perror(path);
		return err;
	}

	while (!err && getline(&line, &size, file) > 0) {
		n++;
		line[strcspn(line, "\n")] = '\0';
		err = load_line(run, line);
		if (err)
			fprintf(stderr, "%s:%u: not understood\n", path, n);
	}

	free(line);
	fclose(file);
	return err;
}
