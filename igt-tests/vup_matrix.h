/* SPDX-License-Identifier: MIT */
/*
 * Copyright © 2026 The drm_userptr authors
 *
 * The matrix: what the mm can do, on each kind of memory, in each state of the
 * device, for both kinds of access. One such combination is a cell.
 *
 * A cell is a range of eight pages (or a few huge ones) between two canaries,
 * bound in a VM. Its operation is done to a part in the middle, so that what is
 * lost, and what must not be, are both in the same userptr.
 *
 *	vup_matrix_backings.c	the memory
 *	vup_matrix_ops_*.c	the operations: what they do and what that means
 *	vup_matrix_device.c	the jobs
 *	vup_matrix_states.c	the device idle and busy, and the course of a cell
 *	vup_matrix_shadow.c	what memory must hold, and who sees that it does not
 *	vup_matrix_helpers.c	other processes that see what this one cannot
 */
#ifndef VUP_MATRIX_H
#define VUP_MATRIX_H

#include "drm_userptr_lib.h"

struct vup_cell;

/* Backings */

/* What an operation may have to know about the memory that it is done to */
#define VUP_IS_ANON	(1 << 0)	/* private, and of no file */
#define VUP_IS_SHARED	(1 << 1)	/* writes go to the file */
#define VUP_IS_REAL	(1 << 2)	/* the file is on a file system with writeback */
#define VUP_IS_HUGETLB	(1 << 3)
#define VUP_IS_THP	(1 << 4)
#define VUP_IS_SWAPPED	(1 << 5)	/* reclaim puts it into swap */
#define VUP_IS_HUGE	(VUP_IS_HUGETLB | VUP_IS_THP)

struct vup_backing {
	const char *name;
	unsigned int is;
	/* Skips, with the reason, where there is no such memory */
	void (*require)(void);
	/* Fills in @file, @map_flags and the address; see vup_cell_map() */
	void (*make)(struct vup_cell *c);
};

extern const struct vup_backing vup_backings[];
extern const int vup_nr_backings;

/* Asks the same as @require, but says so. */
bool vup_backing_there(const struct vup_backing *b);
void vup_backing_make(struct vup_cell *c);
void vup_backing_free(struct vup_cell *c);
/* Map anew what was mapped there at first. */
void vup_cell_map(struct vup_cell *c, size_t at, size_t size);
/* Where byte @at of the range is in the file */
off_t vup_cell_offset(const struct vup_cell *c, size_t at);

/* Operations */

/* What becomes of the pages that the device uses */
enum vup_effect {
	VUP_KEEPS,	/* They stay, so nobody may wait for a job. */
	VUP_MAY,	/* That is for the kernel to decide. */
	VUP_TAKES,	/* They are taken away: only when no job is using them. */
};

struct vup_op {
	const char *name;
	const char *describe;
	enum vup_effect effect;
	/* Where the effect depends on the memory; else NULL */
	enum vup_effect (*effect_on)(const struct vup_cell *c);
	/* Skips, with the reason, where the kernel cannot do it at all */
	void (*require)(void);
	/* Does it make sense with this memory? NULL: always */
	bool (*sense)(const struct vup_cell *c);
	/* The documented error with which it is refused, negative, or 0 */
	int (*refused)(const struct vup_cell *c);
	/* Before anything is bound */
	void (*prepare)(struct vup_cell *c);
	/* Returns 0 or a negative errno. Nothing else may fail here but by assertion. */
	int (*run)(struct vup_cell *c);
	/* It is done: what does the range hold, and what may the device not have? */
	void (*expect)(struct vup_cell *c);
	/* Make everything accessible again. NULL: map what is gone anew */
	void (*mend)(struct vup_cell *c);
	/* Undo what outlives the mapping */
	void (*undo)(struct vup_cell *c);
	unsigned int flags;
#define VUP_OP_BY_OTHER	(1 << 0)	/* The other process does it. */
#define VUP_OP_LARGE	(1 << 1)	/* Needs room for a huge page. */
#define VUP_OP_SLOW	(1 << 2)	/* One cell of each backing is enough for every day. */
#define VUP_OP_LATER	(1 << 3)	/* Somebody else does it, who would wait for the job. */
#define VUP_OP_NO_FORK	(1 << 4)	/* Pages that a child shares too are left alone. */
#define VUP_OP_GAP	(1 << 5)	/* For a moment there is nothing, which a job may meet. */
#define VUP_OP_EMULATED	(1 << 6)	/* User Mode Linux has not what it takes. */
#define VUP_OP_WRITES	(1 << 7)	/* The CPU writes, and nobody else may then. */
#define VUP_OP_HUGETLB	(1 << 8)	/* Is there for hugetlb only. */
};

struct vup_op_table {
	const char *name;
	const struct vup_op *ops;
};

extern const struct vup_op_table vup_op_tables[];
/* For cells whose memory is left alone, or not by an operation of the matrix */
extern const struct vup_op vup_no_op;

/* States and access */

enum vup_state {
	VUP_IDLE,
	VUP_QUEUED,
	VUP_RUNNING,
	VUP_ENDLESS,
	VUP_CONCURRENT,
	VUP_STATES
};

enum vup_access {
	VUP_RW,
	VUP_RO,
	VUP_ACCESSES
};

extern const char * const vup_state_name[VUP_STATES];
extern const char * const vup_access_name[VUP_ACCESSES];

/* What the patterns are that may be in memory; see vup_word(). */
enum vup_seed {
	VUP_OLD = 1,	/* before the operation */
	VUP_NEW,	/* after all */
	VUP_OTHER,	/* of memory that is put in place of the range's */
	VUP_WRITTEN,	/* by the CPU while the cell runs */
	VUP_CHILD,	/* by a child into its copy */
	VUP_CANARY,	/* beside the range */
	VUP_POISON,	/* in the other process, in pages that may have been ours */
	VUP_FIRST_ILLEGAL = VUP_CHILD,
};

/* What a job leaves where it may write, until the next one takes it away again */
#define VUP_MARK	0x00a5a500u

struct vup_cell {
	const struct vup_op *op;
	const struct vup_backing *backing;
	enum vup_state state;
	bool read_only;
	enum vup_how how;

	/* The range. Around it are so many bytes of canary on either side. */
	char *ptr;
	size_t size, canary;
	/* What the operation is done to: so many bytes from there on */
	size_t at, len;
	int file, map_flags, prot;

	/* What the range holds, and what the file behind it does */
	char *shadow, *below;
	/* Where the process had its pages */
	uint64_t *frames;
	/* Of this part the file is not behind the range any more. */
	size_t detached_at, detached_len;
	/* What the device cannot have, with which error; may the CPU look? */
	int verdict;
	size_t gone_at, gone_len;
	bool hidden;
	/* Pages that may be dropped for zeroes at any time */
	bool lazy;
	/* Where the part went, with what was in it */
	char *away;
	size_t away_len;
	char *away_shadow;
	/* Somebody has to serve faults: a thread with @uffd, until @served is set */
	void *(*serve)(void *cell);
	bool being_served;
	atomic_bool served;
	pthread_t server;
	int uffd;
	unsigned int faults;

	/* The device: a VM in which it is bound, and one that has holes instead */
	struct vup v, holes;
	/* What an endless VM's job stores last; fences of a job and of the one before it */
	uint64_t fence_value;
	uint32_t syncobj[2];
	/* Counters when the job was submitted; did the witness let it go? */
	struct drm_vgem_vm_stats before;
	bool released;
	/* Begun and not ended yet: if it fails, the next one cleans up. */
	bool begun;
};

/*
 * Where things are for the device. Not at the same place in each GiB: one would
 * push the other out of the TLB, and a forgotten flush would go unnoticed.
 */
#define VUP_CELL_VA	VUP_VA(0)
#define VUP_OUT_VA	(VUP_VA(1) + 0x10000)
#define VUP_WORD_VA	(VUP_VA(2) + 0x20000)
#define VUP_FENCE_VA	(VUP_WORD_VA + 512)

/* Room for the operation's result, outside of everything */
char *vup_cell_reserve_away(struct vup_cell *c, size_t len);

/* Patterns, by their place in the range, in memory and in the shadow or in one of them */
void vup_cell_fill(void *to, size_t at, size_t len, enum vup_seed seed);
void vup_cell_write(struct vup_cell *c, size_t at, size_t len, enum vup_seed seed);

/* What operations are done to */
static inline char *vup_part(const struct vup_cell *c)
{
	return c->ptr + c->at;
}

static inline bool vup_is(const struct vup_cell *c, unsigned int what)
{
	return c->backing->is & what;
}

/* What operations do to the shadow */
void vup_expect_nothing(struct vup_cell *c);
void vup_expect_dropped(struct vup_cell *c, size_t at, size_t len);
void vup_expect_punched(struct vup_cell *c, size_t at, size_t len);
void vup_expect_anon(struct vup_cell *c, size_t at, size_t len);
void vup_expect_gone(struct vup_cell *c, int verdict, size_t at, size_t len);
void vup_expect_moved(struct vup_cell *c, size_t at, size_t len);

/*
 * Dynamic subtests: the cells of an operation, the @nr'th one, on a kind of
 * memory. Long or not: what is for every day, or all of the others.
 */
void vup_cells(const struct vup_op *op, int nr, int backing, bool is_long, bool name_op);

/* States: the whole course of a cell */
void vup_matrix_init(int fd);
void vup_matrix_fini(void);
void vup_cell_run(const struct vup_op *op, const struct vup_backing *backing,
		  enum vup_state state, enum vup_access access);
/* The parts of it that proofs of the oracles use */
void vup_cell_begin(struct vup_cell *c);
void vup_cell_end(struct vup_cell *c);
/* What a job sees, in all of the range or a part of it, each at its place in the result */
const char *vup_cell_copy_out(struct vup_cell *c, size_t at, size_t len);
/* A job that uses all of it, and does not end before it is told */
void vup_cell_spin(struct vup_cell *c);
void vup_cell_spin_end(struct vup_cell *c);

/*
 * Oracles. They return NULL, or what they saw that must not be. Each is proven
 * by vgem_userptr_oracles, which does on purpose what they are to see.
 */
const char *vup_oracle_shadow(struct vup_cell *c);	/* the CPU's view */
const char *vup_oracle_device(struct vup_cell *c, const char *out);	/* what a job copied */
const char *vup_oracle_device_part(struct vup_cell *c, const char *out, size_t at, size_t len);
const char *vup_oracle_canaries(struct vup_cell *c);	/* around */
const char *vup_oracle_behind(struct vup_cell *c);	/* file and pages that moved away */
const char *vup_oracle_legit(const void *buf, size_t size);	/* while things change */
const char *vup_oracle_poison(void);			/* pages that others have by now */
const char *vup_oracle_waited(struct vup_cell *c);	/* a call, while a job ran */
void vup_cell_note_frames(struct vup_cell *c);
const char *vup_oracle_frames(struct vup_cell *c);	/* still the same pages */

#define vup_oracle_silent(what) do { \
		const char *said__ = what; \
		igt_assert_f(!said__, "%s\n", said__); \
	} while (0)

/*
 * Two helpers, separate processes, so that they run while the test sleeps in the
 * kernel, and memory that they have is not its own. The witness watches a call
 * and lets the job go when the call was seen to wait for it. The other takes
 * freed pages and fills them with poison, and writes to our memory.
 */
void vup_helpers_start(uint32_t *word);
void vup_helpers_stop(void);
/* The call is going to be made by @pid. Waits for at most so long, or as long as it takes. */
void vup_witness_watch(pid_t pid, int patience_ms);
/* The call has returned. Was the word let go before, and was it seen to wait? */
void vup_witness_done(bool *released, bool *blocked);
pid_t vup_other_pid(void);
void vup_other_take_pages(void);
bool vup_other_has(uint64_t frame);
int vup_other_write(void *to, const void *from, size_t len);
int vup_other_poke(void *to, long value);
void vup_other_spoil(void);

#define VUP_RELEASE	0x60606060u

#endif /* VUP_MATRIX_H */
