// SPDX-License-Identifier: MIT
/*
 * A picture in a storm: a photograph in malloc()ed memory becomes a userptr on
 * vgem; the engine changes it in place and copies it to a second userptr, while
 * threads of the same process take the memory away and give it back.
 *
 *   client    the device's ioctls            jobs      what the engine is to do
 *   picture   JPEG in, PNG in and out        storm     what the mm threads do
 *   tiles     what must come out             child     what a forked child does
 *   timeline  when it all happened           ftrace    the kernel's marks
 *   run       checks, counters, run.tsv      report, svg, summary
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "demo.h"
#include "ftrace.h"
#include "jobs.h"
#include "report.h"
#include "storm.h"

#define DEFAULT_PICTURE	"/usr/share/backgrounds/mate/nature/LadyBird.jpg"
#define DEFAULT_CREDIT	"“LadyBird”, © 2008 Charles Barbin, GPL-2.0-or-later, from Debian's package mate-backgrounds"

struct options {
	const char *picture, *credit, *device, *out, *render;
	double seconds;
	unsigned int seed;
};

static const char usage[] =
"usage: userptr_demo [options]\n"
"  -p, --picture FILE   JPEG or PNG; scaled down to 1280x960 at most\n"
"                       (" DEFAULT_PICTURE ")\n"
"  -c, --credit TEXT    who made it, and under which licence\n"
"  -s, --seconds N      how long the storm lasts (4)\n"
"  -r, --seed N         for the random choices (1)\n"
"  -d, --device NODE    a card node of vgem (the first found)\n"
"  -o, --out DIR        where the report goes (.)\n"
"      --render DIR     only draw report.html from the run.tsv and pictures in DIR\n"
"  -h, --help\n"
"Exit status: 0 if every byte and every check was right, 1 if not, 2 if it could\n"
"not be tried.\n";

static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "picture", required_argument, NULL, 'p' },
		{ "credit", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "device", required_argument, NULL, 'd' },
		{ "out", required_argument, NULL, 'o' },
		{ "render", required_argument, NULL, 'R' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	*options = (struct options) {
		.out = ".",
		.seconds = 4,
		.seed = 1,
	};
	while ((c = getopt_long(argc, argv, "p:c:s:r:d:o:h", longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			options->picture = optarg;
			break;
		case 'c':
			options->credit = optarg;
			break;
		case 's':
			options->seconds = atof(optarg);
			break;
		case 'r':
			options->seed = strtoul(optarg, NULL, 0);
			break;
		case 'd':
			options->device = optarg;
			break;
		case 'o':
			options->out = optarg;
			break;
		case 'R':
			options->render = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	if (optind < argc || options->seconds <= 0 || options->seconds > 600)
		return -EINVAL;

	if (!options->picture) {
		options->picture = DEFAULT_PICTURE;
		options->credit = options->credit ?: DEFAULT_CREDIT;
	}
	options->credit = options->credit ?: "not known; a picture of the user's choice";
	return 0;
}

static int arena_init(struct arena *arena, const struct picture *like, size_t page)
{
	size_t next_door = NEIGHBOUR_PAGES * page;
	uintptr_t start;

	arena->size = (picture_bytes(like) + page - 1) & ~(page - 1);
	arena->alloc = malloc(arena->size + 2 * next_door + page);
	if (!arena->alloc)
		return -ENOMEM;

	start = ((uintptr_t)arena->alloc + page - 1) & ~(page - 1);
	arena->before = (uint8_t *)start;
	arena->after = arena->before + next_door + arena->size;
	arena->picture = *like;
	arena->picture.pixels = (uint32_t *)(arena->before + next_door);
	memset(arena->picture.pixels, 0, arena->size);
	return 0;
}

static int save(const struct picture *picture, const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return picture_save(picture, path);
}

/* Which memory a refusal named must have been away when it came */
static void check_refusals(struct run *run)
{
	const struct timeline_lane *refused = &run->timeline.lanes[LANE_REFUSED];

	for (unsigned int i = 0; i < refused->num; i++) {
		const struct mark *mark = &refused->marks[i];
		enum mark_kind reason = mark->arg == EPERM ? MARK_READONLY : MARK_AWAY;
		bool found = false;

		if (mark->arg == EAGAIN)
			continue;
		for (int lane = LANE_MOVE; lane <= LANE_REMAP; lane++) {
			const struct timeline_lane *marks = &run->timeline.lanes[lane];

			for (unsigned int n = 0; n < marks->num && !found; n++) {
				const struct mark *away = &marks->marks[n];

				found = away->kind == reason &&
					away->begin <= mark->end &&
					away->end >= mark->begin &&
					mark->addr >= away->addr &&
					mark->addr - away->addr < away->size;
			}
		}
		run_check(run, CHECK_REFUSALS, found,
			  "%s at CPU address %#llx, %.3f ms into the run, where nothing was %s",
			  strerror(mark->arg), (unsigned long long)mark->addr,
			  (mark->begin - run->begin) / 1e6,
			  reason == MARK_AWAY ? "away" : "read-only");
	}
}

static void check_pictures(struct demo *demo)
{
	const struct {
		enum check_id id;
		const struct picture *picture;
	} pictures[] = {
		{ CHECK_PICTURE, &demo->picture.picture },
		{ CHECK_COPY, &demo->copy.picture },
	};

	for (int i = 0; i < 2; i++) {
		const struct picture *picture = pictures[i].picture;
		size_t wrong = tiles_first_wrong(&demo->original, picture->pixels);

		run_check(&demo->run, pictures[i].id, wrong == SIZE_MAX,
			  "the first wrong byte is at offset %zu (%#zx): row %zu, column %zu",
			  wrong, wrong, wrong / 4 / picture->width,
			  wrong / 4 % picture->width);
	}
}

static void count_all(struct demo *demo, const struct jobs *jobs,
		      unsigned int damaged_bands)
{
	struct drm_vgem_vm_stats stats;
	struct run *run = &demo->run;
	int err;

	err = client_stats(&demo->client, &stats);
	run_check(run, CHECK_CALLS, !err, "vm query: %s", strerror(-err));

	run_count(run, "jobs", jobs->submitted, "jobs that the client submitted");
	run_count(run, "again", jobs->again, "submitted again after EAGAIN: invalidated faster than the retry budget allows");
	run_count(run, "fault", jobs->fault, "submitted again after EFAULT: memory was away, on purpose");
	run_count(run, "perm", jobs->perm, "submitted again after EPERM: memory was read-only, on purpose");
	run_count(run, "aliases", jobs->aliases, "further userptrs made over parts of the picture");
	run_count(run, "damaged_bands", damaged_bands, "bands of the copy that the storm's last blows had damaged; copied once more");
	run_count(run, "submits", stats.submits, "jobs committed, as the kernel counts");
	run_count(run, "retries", stats.retries, "times a submission went round again in the kernel");
	run_count(run, "invalidations", stats.invalidations, "callbacks that took memory away from this VM");
	run_count(run, "windows", stats.windows, "windows (of up to 2 MiB) populated");
	run_count(run, "fence_waits", stats.fence_waits, "invalidations that had to wait for a job");
	run_count(run, "tlb_flushes", stats.tlb_flushes, "flushes of the software TLB");
	run_count(run, "faults", stats.faults, "accesses by the engine that no page table entry allowed");

	run_check(run, CHECK_CALLS, !stats.faults,
		  "the engine faulted %llu times, last at GPU address %#llx",
		  (unsigned long long)stats.faults,
		  (unsigned long long)stats.fault_addr);
}

/* Jobs and storm together. An error is one that leaves nothing to report on. */
static int run_demo(struct demo *demo, const struct options *options)
{
	unsigned int damaged_bands = 0;
	struct run *run = &demo->run;
	struct ftrace ftrace;
	struct storm storm;
	struct jobs jobs;
	int64_t deadline;
	int err;

	err = jobs_start(&jobs, demo);
	if (err) {
		fprintf(stderr, "%s: setting up userptrs and queues: %s\n",
			demo->client.node, strerror(-err));
		return err;
	}

	ftrace_start(&ftrace, run);
	run->begin = now();
	deadline = run->begin + (int64_t)(options->seconds * 1e9);

	/* the last step runs in the storm, too, unless that takes very long */
	err = storm_start(&storm, demo, jobs.queue[JOB_TRANSFORM],
			  deadline + 1500000000);
	if (err) {
		fprintf(stderr, "starting the mm threads: %s\n", strerror(-err));
		return err;
	}

	/* what goes wrong from here on is in the checks */
	err = jobs_run(&jobs, deadline);
	storm_stop(&storm);
	run->end = now();
	if (!err)
		jobs_settle(&jobs, &damaged_bands);
	jobs_stop(&jobs);
	count_all(demo, &jobs, damaged_bands);
	ftrace_stop(&ftrace, run);

	timeline_sort(&run->timeline);
	check_refusals(run);
	check_pictures(demo);
	return 0;
}

static void describe(struct demo *demo, const struct options *options)
{
	struct run *run = &demo->run;
	struct utsname uts;

	uname(&uts);
	snprintf(run->picture, sizeof(run->picture), "%s", options->picture);
	snprintf(run->credit, sizeof(run->credit), "%s", options->credit);
	snprintf(run->device, sizeof(run->device), "%s", demo->client.node);
	snprintf(run->system, sizeof(run->system), "%s %s %s, %ld CPUs", uts.sysname,
		 uts.release, uts.machine, sysconf(_SC_NPROCESSORS_ONLN));
	run->width = demo->original.width;
	run->height = demo->original.height;
	run->seed = options->seed;
}

static int write_all(const struct run *run, const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/run.tsv", dir);
	return run_save(run, path) ?: report_write(run, dir) ?: summary_write(run, dir);
}

static int render(struct run *run, const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/run.tsv", dir);
	return run_load(run, path) ?: report_write(run, dir) ?: summary_write(run, dir);
}

int main(int argc, char **argv)
{
	static struct demo demo;
	struct options options;
	int err;

	if (parse_options(&options, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}

	/* one heap: threads must not map new ones while there are holes */
	mallopt(M_ARENA_MAX, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);

	demo.page = sysconf(_SC_PAGESIZE);
	err = run_init(&demo.run);
	if (err)
		return 2;
	if (options.render)
		return render(&demo.run, options.render) ? 2 : 0;

	err = picture_load(&demo.original, options.picture, MAX_WIDTH, MAX_HEIGHT);
	if (err)
		return 2;
	if (picture_bytes(&demo.original) < 64 * demo.page) {
		fprintf(stderr, "%s: too small\n", options.picture);
		return 2;
	}
	err = arena_init(&demo.picture, &demo.original, demo.page) ?:
	      arena_init(&demo.copy, &demo.original, demo.page);
	if (err)
		return 2;
	memcpy(demo.picture.picture.pixels, demo.original.pixels,
	       picture_bytes(&demo.original));

	err = client_open(&demo.client, options.device);
	if (err) {
		fprintf(stderr, "%s: %s\n", options.device ?: "/dev/dri/card*",
			err == -ENODEV ? "no vgem here" : strerror(-err));
		return 2;
	}
	describe(&demo, &options);

	err = save(&demo.original, options.out, "before.png");
	if (err)
		return 2;
	err = run_demo(&demo, &options);
	if (err)
		return 2;
	err = save(&demo.picture.picture, options.out, "after.png") ?:
	      save(&demo.copy.picture, options.out, "copy.png") ?:
	      write_all(&demo.run, options.out);
	if (err)
		return 2;

	summary_print(&demo.run);
	return run_passed(&demo.run) ? 0 : 1;
}
