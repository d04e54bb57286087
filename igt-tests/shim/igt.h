/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * Declarations for building tests against an installed libigt, for which no
 * development header is packaged. Inside an IGT tree this directory is not on
 * the include path and the tree's own headers of the same names are used, so
 * nothing may live here that IGT does not have under the same name and with
 * the same meaning. Helpers of the tests belong in drm_userptr_lib.h.
 *
 * libigt promises no stable ABI: drm_userptr_canary proves on every run that
 * what is declared here still fits the library that is loaded.
 */
#ifndef DRM_USERPTR_SHIM_IGT_H
#define DRM_USERPTR_SHIM_IGT_H

#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

/* Small things that IGT's headers bring along. */

#ifndef __noreturn
#define __noreturn	__attribute__((noreturn))
#endif
#ifndef __maybe_unused
#define __maybe_unused	__attribute__((unused))
#endif

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define IS_ALIGNED(v, a)	(((v) & ((__typeof__(v))(a) - 1)) == 0)
#define READ_ONCE(x)		(*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))

#define min(a, b) ({ \
	__typeof__(a) min_a__ = (a); \
	__typeof__(b) min_b__ = (b); \
	min_a__ < min_b__ ? min_a__ : min_b__; })
#define max(a, b) ({ \
	__typeof__(a) max_a__ = (a); \
	__typeof__(b) max_b__ = (b); \
	max_a__ > max_b__ ? max_a__ : max_b__; })

#define NSEC_PER_SEC	1000000000L
#define NSEC_PER_MSEC	1000000L

/* Log and verdict. */

enum igt_log_level {
	IGT_LOG_DEBUG,
	IGT_LOG_INFO,
	IGT_LOG_WARN,
	IGT_LOG_CRITICAL,
	IGT_LOG_NONE,
};

#ifndef IGT_LOG_DOMAIN
#define IGT_LOG_DOMAIN	(NULL)
#endif

__attribute__((format(printf, 3, 4)))
void igt_log(const char *domain, enum igt_log_level level, const char *format, ...);

#define igt_debug(...)	igt_log(IGT_LOG_DOMAIN, IGT_LOG_DEBUG, __VA_ARGS__)
#define igt_info(...)	igt_log(IGT_LOG_DOMAIN, IGT_LOG_INFO, __VA_ARGS__)
#define igt_warn(...)	igt_log(IGT_LOG_DOMAIN, IGT_LOG_WARN, __VA_ARGS__)

/* Both leave by longjmp() to the innermost test block, or exit a child. */
__noreturn __attribute__((format(printf, 6, 7)))
void __igt_fail_assert(const char *domain, const char *file, const int line,
		       const char *func, const char *assertion,
		       const char *format, ...);
__noreturn __attribute__((format(printf, 5, 6)))
void __igt_skip_check(const char *file, const int line, const char *func,
		      const char *check, const char *format, ...);

void igt_success(void);
__noreturn void igt_exit(void);
uint64_t igt_nsec_elapsed(struct timespec *start);

static inline uint32_t igt_seconds_elapsed(struct timespec *start)
{
	return igt_nsec_elapsed(start) / NSEC_PER_SEC;
}

#define igt_shim_fail__(text, ...) \
	__igt_fail_assert(IGT_LOG_DOMAIN, __FILE__, __LINE__, __func__, text, __VA_ARGS__)
#define igt_shim_skip__(text, ...) \
	__igt_skip_check(__FILE__, __LINE__, __func__, text, __VA_ARGS__)

#define igt_assert_f(cond, ...) \
	do { if (!(cond)) igt_shim_fail__(#cond, __VA_ARGS__); } while (0)
#define igt_assert(cond)	igt_assert_f(cond, NULL)

/* Each operand is evaluated once, as the type that the macro's name says. */
#define igt_shim_cmp__(type, fmt, n1, op, n2) \
	do { \
		type shim_n1__ = (n1), shim_n2__ = (n2); \
		if (!(shim_n1__ op shim_n2__)) \
			igt_shim_fail__(#n1 " " #op " " #n2, \
					"wanted " fmt " " #op " " fmt "\n", \
					shim_n1__, shim_n2__); \
	} while (0)

#define igt_assert_eq(a, b)		igt_shim_cmp__(int, "%d", a, ==, b)
#define igt_assert_neq(a, b)		igt_shim_cmp__(int, "%d", a, !=, b)
#define igt_assert_lt(a, b)		igt_shim_cmp__(int, "%d", a, <, b)
#define igt_assert_lte(a, b)		igt_shim_cmp__(int, "%d", a, <=, b)
#define igt_assert_eq_u32(a, b)		igt_shim_cmp__(uint32_t, "%#x", a, ==, b)
#define igt_assert_neq_u32(a, b)	igt_shim_cmp__(uint32_t, "%#x", a, !=, b)
#define igt_assert_eq_u64(a, b)		igt_shim_cmp__(unsigned long long, "%#llx", a, ==, b)
#define igt_assert_neq_u64(a, b)	igt_shim_cmp__(unsigned long long, "%#llx", a, !=, b)
#define igt_assert_lt_u64(a, b)		igt_shim_cmp__(unsigned long long, "%#llx", a, <, b)
#define igt_assert_lte_u64(a, b)	igt_shim_cmp__(unsigned long long, "%#llx", a, <=, b)
#define igt_assert_fd(fd)		igt_assert_f((fd) >= 0, NULL)

#define igt_require_f(cond, ...) \
	do { if (!(cond)) igt_shim_skip__(#cond, __VA_ARGS__); } while (0)
#define igt_require(cond)	igt_require_f(cond, NULL)
#define igt_skip_on_f(cond, ...) \
	do { if (cond) igt_shim_skip__("!(" #cond ")", __VA_ARGS__); } while (0)
#define igt_skip_on(cond)	igt_skip_on_f(cond, NULL)

/* The shape of a test binary. */

typedef int (*igt_opt_handler_t)(int opt, int opt_index, void *data);

int igt_subtest_init_parse_opts(int *argc, char **argv,
				const char *extra_short_opts,
				const struct option *extra_long_opts,
				const char *help_str,
				igt_opt_handler_t extra_opt_handler,
				void *handler_data);

/* libigt refers to this weakly and finds the one that the test exports. */
extern const char *__igt_test_description __attribute__((weak));
#define IGT_TEST_DESCRIPTION(text)	const char *__igt_test_description = text

__attribute__((format(printf, 1, 2)))
void igt_describe_f(const char *fmt, ...);
#define igt_describe(text)	igt_describe_f("%s", text)

/* Written `int igt_main()`: the int goes to the prototype that comes first. */
#define igt_main() \
	main(int argc, char **argv); \
	static void igt_shim_body__(void); \
	int main(int argc, char **argv) \
	{ \
		igt_subtest_init_parse_opts(&argc, argv, NULL, NULL, NULL, NULL, NULL); \
		igt_shim_body__(); \
		igt_exit(); \
	} \
	static void igt_shim_body__(void)

extern jmp_buf igt_subtest_jmpbuf;
extern jmp_buf igt_dynamic_jmpbuf;

bool __igt_fixture(void);
void __igt_fixture_complete(void);
void __igt_subtest_group_save(int *save, int *desc);
void __igt_subtest_group_restore(int save, int desc);
bool __igt_run_subtest(const char *subtest_name, const char *file, const int line);
bool __igt_enter_dynamic_container(void);
bool __igt_run_dynamic_subtest(const char *dynamic_subtest_name);

/*
 * Every block is a loop that runs its body at most once: the library says
 * whether to enter, failures and skips land on the sigsetjmp(), and falling
 * out of the body is reported in the loop step.
 */
#define igt_shim_once__(enter, land, leave) \
	for (; (enter) && sigsetjmp(land, 1) == 0; leave)

/* The flag lives across the sigsetjmp(), hence volatile. */
#define igt_fixture() \
	for (volatile bool shim_ran__ = false; !shim_ran__; shim_ran__ = true) \
		for (; !shim_ran__ && __igt_fixture() && \
		       sigsetjmp(igt_subtest_jmpbuf, 1) == 0; \
		     shim_ran__ = true, __igt_fixture_complete())

#define igt_subtest_group() \
	for (int shim_go__ = 1, shim_save__ = 0, shim_desc__ = 0; \
	     shim_go__ && (__igt_subtest_group_save(&shim_save__, &shim_desc__), 1); \
	     shim_go__ = 0, __igt_subtest_group_restore(shim_save__, shim_desc__))

#define igt_subtest(name) \
	igt_shim_once__(__igt_run_subtest(name, __FILE__, __LINE__), \
			igt_subtest_jmpbuf, igt_success())

#define igt_subtest_with_dynamic(name) \
	igt_shim_once__(__igt_run_subtest(name, __FILE__, __LINE__) && \
			__igt_enter_dynamic_container(), \
			igt_subtest_jmpbuf, igt_success())

#define igt_dynamic(name) \
	igt_shim_once__(__igt_run_dynamic_subtest(name), \
			igt_dynamic_jmpbuf, igt_success())

/* The formatted name only has to live until the library has looked at it. */
#define igt_shim_name__(...) ({ \
	static char shim_name__[256]; \
	snprintf(shim_name__, sizeof(shim_name__), __VA_ARGS__); \
	shim_name__; })

#define igt_subtest_f(...)		igt_subtest(igt_shim_name__(__VA_ARGS__))
#define igt_subtest_with_dynamic_f(...)	igt_subtest_with_dynamic(igt_shim_name__(__VA_ARGS__))
#define igt_dynamic_f(...)		igt_dynamic(igt_shim_name__(__VA_ARGS__))

/* Children, signals, time. */

bool __igt_fork(void);
void igt_waitchildren(void);
void igt_waitchildren_timeout(int seconds, const char *reason);
#define igt_fork(child, count) \
	for (int child = 0; child < (count); child++) \
		for (; __igt_fork(); exit(0))

void igt_fork_signal_helper(void);
void igt_stop_signal_helper(void);
void igt_set_timeout(unsigned int seconds, const char *op);
void igt_reset_timeout(void);

/* Called however the test ends, by a signal too. */
typedef void (*igt_exit_handler_t)(int sig);
void igt_install_exit_handler(igt_exit_handler_t fn);

/* Tells the runner which of the kernel's messages a test provokes by design. */
void igt_emit_ignore_dmesg_regex(const char *ignore_dmesg_regex);

#define igt_until_timeout(seconds) \
	for (struct timespec shim_t__ = {}; igt_seconds_elapsed(&shim_t__) < (seconds); )

/* Devices. */

#define DRIVER_VGEM	(1 << 2)
#define DRIVER_VKMS	(1 << 9)

int drm_open_driver(int chipset);
int drm_open_driver_render(int chipset);
int drm_reopen_driver(int fd);
int drm_close_driver(int fd);

extern __thread int (*igt_ioctl)(int fd, unsigned long request, void *arg);

#define do_ioctl(fd, request, arg) \
	do { \
		igt_assert_eq(igt_ioctl(fd, request, arg), 0); \
		errno = 0; \
	} while (0)
#define do_ioctl_err(fd, request, arg, err) \
	do { \
		igt_assert_eq(igt_ioctl(fd, request, arg), -1); \
		igt_assert_eq(errno, err); \
		errno = 0; \
	} while (0)

void gem_close(int fd, uint32_t handle);

#endif /* DRM_USERPTR_SHIM_IGT_H */
