/*
 * A crash point: one process of a run dies, or meets an error, at its N-th file operation.
 *
 * Preloaded into every process of a run (LD_PRELOAD); it acts in those of one role only, and there
 * only on files below one folder. It counts what changes files (and, if asked, what reads them) in
 * front of the system calls themselves, strikes once a number on its list, and lets everything
 * else through. What it does not see: calls that go past the C library, as those of `rustix`;
 * in this project these are the locks and the reads of standard input, which change no file.
 *
 *   CRASH_ROLE   sink, ventilator, worker or up (the launcher): the program's first argument, or
 *                its own name; `any` with an empty CRASH_AT, to see what there is
 *   CRASH_ROOT   the folder whose files count
 *   CRASH_STATE  a folder on the same disk, outside of it: `strike-I` is made when the I-th strike
 *                falls (from 0), `trace-ROLE-PID` has a line an operation, `lost-K` are names kept back
 *   CRASH_AT     the operations that are struck, as `12,3`: the first process of the role that gets
 *                to its 12th is struck there, and then the first one started later that gets to its 3rd
 *   CRASH_HOW    kill-before, kill-half, kill-after, eio, enospc, eintr, short
 *   CRASH_LOSS   what a kill takes along of what was not synced: none (default), all, torn (what
 *                came last, the middle write by half), some (each write by chance, CRASH_SEED)
 *   CRASH_READS  reads and opens for reading count as well
 *   CRASH_PARENT the process that started this one is killed too, as all are by a loss of power
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROLE_MAX 64
#define STRIKES_MAX 16

enum how { KILL_BEFORE, KILL_HALF, KILL_AFTER, FAIL_EIO, FAIL_ENOSPC, FAIL_EINTR, CUT_SHORT };
enum loss { LOSE_NONE, LOSE_ALL, LOSE_TORN, LOSE_SOME };

static const char *const HOWS[] = { "kill-before", "kill-half", "kill-after", "eio",
				    "enospc",	   "eintr",	"short" };
static const char *const LOSSES[] = { "none", "all", "torn", "some" };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t own; /* 0: this process is not concerned */
static char root[PATH_MAX], state[PATH_MAX], role[ROLE_MAX];
static enum how how;
static enum loss loss;
static int reads, parent_too;
static uint64_t chance, count, target; /* target 0: nothing is left to strike */
static int strike, trace = -1;

/* ---- what is not yet on the disk ---- */

enum kind { WRITTEN, CUT, MADE, MOVED, REMOVED };

struct change {
	enum kind kind;
	dev_t dev; /* of the file; names: of the file that is named */
	ino_t ino;
	dev_t folder_dev; /* names: of the folder whose sync makes it safe */
	ino_t folder_ino;
	int file; /* WRITTEN, CUT: a descriptor of our own */
	off_t at, before_bytes, size_before;
	size_t after_bytes;
	char *before, *after;
	char *path, *target, *kept; /* names; `kept` is where the lost file lies */
};

static struct change *changes;
static size_t changes_count, changes_room;

static void die(const char *what)
{
	dprintf(2, "crash_point: %s: %s\n", what, strerror(errno));
	abort();
}

static char *copy_text(const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		die("memory");
	return copy;
}

static struct change *new_change(enum kind kind)
{
	if (changes_count == changes_room) {
		changes_room = changes_room ? changes_room * 2 : 64;
		changes = realloc(changes, changes_room * sizeof *changes);
		if (!changes)
			die("memory");
	}
	struct change *change = &changes[changes_count++];
	memset(change, 0, sizeof *change);
	change->kind = kind;
	change->file = -1;
	return change;
}

static void forget(struct change *change)
{
	if (change->file >= 0)
		syscall(SYS_close, change->file);
	if (change->kept)
		syscall(SYS_unlinkat, AT_FDCWD, change->kept, 0);
	free(change->before);
	free(change->after);
	free(change->path);
	free(change->target);
	free(change->kept);
}

/* A sync makes the content of its file safe, and the names that it has or, of a folder, holds. */
static void synced(int fd)
{
	struct stat stat;
	size_t kept = 0;
	if (loss == LOSE_NONE || fstat(fd, &stat))
		return;
	for (size_t i = 0; i < changes_count; i++) {
		struct change *change = &changes[i];
		int content = change->kind == WRITTEN || change->kind == CUT;
		int file = change->dev == stat.st_dev && change->ino == stat.st_ino;
		int folder = !content && change->folder_dev == stat.st_dev &&
			     change->folder_ino == stat.st_ino;
		if ((file && change->kind != REMOVED) || folder)
			forget(change);
		else
			changes[kept++] = *change;
	}
	changes_count = kept;
}

/* Keeps what `bytes` at `at` (or the end of the file behind `at`, to be cut off) hold now. */
static void note_content(enum kind kind, int fd, off_t at, size_t bytes, const void *after)
{
	struct stat stat;
	char path[64];
	if (loss == LOSE_NONE || fstat(fd, &stat))
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct change *change = new_change(kind);
	change->dev = stat.st_dev;
	change->ino = stat.st_ino;
	change->size_before = stat.st_size;
	change->at = at;
	change->file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
	if (change->file < 0) { /* removed meanwhile, or not ours to open: nothing can be lost */
		changes_count--;
		return;
	}
	off_t end = kind == CUT ? stat.st_size : at + (off_t)bytes;
	if (end > stat.st_size)
		end = stat.st_size;
	if (end > at) {
		change->before_bytes = end - at;
		change->before = malloc((size_t)change->before_bytes);
		if (!change->before ||
		    syscall(SYS_pread64, change->file, change->before, change->before_bytes, at) !=
			    change->before_bytes)
			die("cannot read what is overwritten");
	}
	if (after && bytes) {
		change->after = malloc(bytes);
		if (!change->after)
			die("memory");
		memcpy(change->after, after, bytes);
		change->after_bytes = bytes;
	}
}

static void note_name(enum kind kind, const char *path, const char *target, char *kept)
{
	struct stat stat;
	char folder[PATH_MAX];
	const char *name = target ? target : path;
	if (loss == LOSE_NONE)
		return;
	struct change *change = new_change(kind);
	snprintf(folder, sizeof folder, "%s", name);
	char *slash = strrchr(folder, '/');
	if (slash && slash != folder)
		*slash = 0;
	if (slash && !lstat(folder, &stat)) {
		change->folder_dev = stat.st_dev;
		change->folder_ino = stat.st_ino;
	}
	if (!lstat(kept ? kept : name, &stat) && kind != MOVED) {
		change->dev = stat.st_dev;
		change->ino = stat.st_ino;
	} else if (!lstat(name, &stat)) {
		change->dev = stat.st_dev;
		change->ino = stat.st_ino;
	}
	change->path = copy_text(path);
	change->target = target ? copy_text(target) : NULL;
	change->kept = kept;
}

/* A second name for a file that is about to lose its first one, or be replaced. */
static char *keep_file(const char *path)
{
	static unsigned number;
	char kept[PATH_MAX + 32];
	struct stat stat;
	if (loss == LOSE_NONE || lstat(path, &stat) || !S_ISREG(stat.st_mode))
		return NULL;
	snprintf(kept, sizeof kept, "%s/lost-%d-%u", state, (int)own, number++);
	if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0))
		return NULL;
	return copy_text(kept);
}

static void put_back(struct change *change)
{
	switch (change->kind) {
	case WRITTEN:
	case CUT:
		if (change->before_bytes)
			syscall(SYS_pwrite64, change->file, change->before, change->before_bytes,
				change->at);
		syscall(SYS_ftruncate, change->file, change->size_before);
		break;
	case MADE:
		if (syscall(SYS_unlinkat, AT_FDCWD, change->path, 0) && errno == EISDIR)
			syscall(SYS_unlinkat, AT_FDCWD, change->path, AT_REMOVEDIR);
		break;
	case MOVED:
		syscall(SYS_renameat2, AT_FDCWD, change->target, AT_FDCWD, change->path, 0);
		if (change->kept)
			syscall(SYS_renameat2, AT_FDCWD, change->kept, AT_FDCWD, change->target, 0);
		break;
	case REMOVED:
		if (change->kept)
			syscall(SYS_renameat2, AT_FDCWD, change->kept, AT_FDCWD, change->path, 0);
		break;
	}
}

static void do_again(const struct change *change, size_t bytes)
{
	if (change->kind == CUT)
		syscall(SYS_ftruncate, change->file, change->at);
	else if (change->kind == WRITTEN)
		syscall(SYS_pwrite64, change->file, change->after, bytes, change->at);
}

static int heads(void)
{
	chance = chance * 6364136223846793005u + 1442695040888963407u;
	return (int)(chance >> 62) & 1;
}

/* Names are lost with `all` only: the other kinds are about content that arrives in part. */
static void lose(void)
{
	size_t half = changes_count / 2;
	for (size_t i = changes_count; i-- > 0;) {
		struct change *change = &changes[i];
		int content = change->kind == WRITTEN || change->kind == CUT;
		if (content || loss == LOSE_ALL)
			put_back(change);
	}
	for (size_t i = 0; i < changes_count; i++) {
		const struct change *change = &changes[i];
		if (loss == LOSE_TORN && i <= half)
			do_again(change, i < half ? change->after_bytes : change->after_bytes / 2);
		if (loss == LOSE_SOME && heads())
			do_again(change, change->after_bytes);
	}
}

/* ---- who is concerned, and when ---- */

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "";
}

static int chosen(const char *name, const char *const *words, size_t count_of)
{
	const char *value = variable(name);
	for (size_t i = 0; i < count_of; i++)
		if (!strcmp(value, words[i]))
			return (int)i;
	return 0;
}

/* The first argument of `pipeline ROLE`, or the program's own name. */
static int has_role(void)
{
	char line[4096];
	int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
	ssize_t bytes = file < 0 ? -1 : syscall(SYS_read, file, line, sizeof line - 1);
	if (file >= 0)
		syscall(SYS_close, file);
	if (bytes <= 0)
		return 0;
	line[bytes] = 0;
	const char *slash = strrchr(line, '/');
	const char *name = slash ? slash + 1 : line;
	const char *first = line + strlen(line) + 1;
	if (!strcmp(name, "pipeline"))
		name = first < line + bytes ? first : "";
	if (!strcmp(role, "any") && *name)
		snprintf(role, sizeof role, "%.*s", ROLE_MAX - 1, name);
	return !strcmp(name, role);
}

static void aim(void)
{
	char path[PATH_MAX + 2 * ROLE_MAX];
	const char *at = variable("CRASH_AT");
	for (strike = 0; strike < STRIKES_MAX; strike++) {
		snprintf(path, sizeof path, "%s/strike-%d", state, strike);
		if (syscall(SYS_faccessat, AT_FDCWD, path, F_OK))
			break;
		at = strchr(at, ',');
		if (!at)
			return;
		at++;
	}
	target = strtoull(at, NULL, 10);
}

__attribute__((constructor)) static void begin(void)
{
	char path[PATH_MAX + 2 * ROLE_MAX];
	snprintf(role, sizeof role, "%s", variable("CRASH_ROLE"));
	snprintf(root, sizeof root, "%s", variable("CRASH_ROOT"));
	snprintf(state, sizeof state, "%s", variable("CRASH_STATE"));
	if (!*role || !*root || !*state || !has_role())
		return;
	how = (enum how)chosen("CRASH_HOW", HOWS, sizeof HOWS / sizeof *HOWS);
	loss = (enum loss)chosen("CRASH_LOSS", LOSSES, sizeof LOSSES / sizeof *LOSSES);
	reads = *variable("CRASH_READS") != 0;
	parent_too = *variable("CRASH_PARENT") != 0;
	chance = strtoull(variable("CRASH_SEED"), NULL, 10) * 2 + 1;
	aim();
	snprintf(path, sizeof path, "%s/trace-%s-%d", state, role, (int)getpid());
	trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	own = getpid();
}

static int below_root(const char *path)
{
	size_t length = strlen(root);
	return !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* The path of a regular file (or folder) of the run that is open as `fd`; 0 if it is none. A forked child that
 * has not yet become another program is not concerned. */
static int path_of_fd(int fd, char *path)
{
	struct stat stat;
	char link[64];
	if (!own || fstat(fd, &stat) || !(S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)))
		return 0;
	if (getpid() != own)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t bytes = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	if (bytes <= 0)
		return 0;
	path[bytes] = 0;
	return below_root(path);
}

static int path_at(int folder, const char *name, char *path)
{
	char link[64], base[PATH_MAX];
	if (!own || getpid() != own)
		return 0;
	if (*name == '/') {
		snprintf(path, PATH_MAX, "%s", name);
		return below_root(path);
	}
	if (folder == AT_FDCWD)
		snprintf(link, sizeof link, "/proc/self/cwd");
	else
		snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
	ssize_t bytes = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
	if (bytes <= 0)
		return 0;
	base[bytes] = 0;
	if (strlen(base) + strlen(name) + 2 > PATH_MAX)
		return 0;
	strcpy(path, base);
	strcat(path, "/");
	strcat(path, name);
	return below_root(path);
}

/* ---- the strike ---- */

static void mark_strike(const char *operation, const char *path)
{
	char mark[PATH_MAX + 32];
	snprintf(mark, sizeof mark, "%s/strike-%d", state, strike);
	int file = (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	dprintf(file, "%llu %s %s\n", (unsigned long long)count, operation, path);
	syscall(SYS_close, file);
}

static void die_now(void)
{
	lose();
	/* A launcher's parent is no part of the run. */
	if (parent_too && strcmp(role, "up"))
		syscall(SYS_kill, getppid(), SIGKILL);
	for (;;)
		syscall(SYS_kill, own, SIGKILL);
}

/* What is to be done with the operation that is about to be done. */
enum deed { GO, HALF, DIE_AFTER, FAIL };

/* Counts an operation; the lock is held until `over`. */
static enum deed begin_operation(const char *operation, const char *path)
{
	pthread_mutex_lock(&lock);
	count++;
	if (trace >= 0)
		dprintf(trace, "%llu %s %s\n", (unsigned long long)count, operation, path);
	if (count != target)
		return GO;
	/* Nothing else on a disk is interrupted. */
	if (how == FAIL_EINTR && !strstr("read pread write pwrite writev create open", operation))
		return GO;
	mark_strike(operation, path);
	target = 0;
	switch (how) {
	case KILL_BEFORE:
		die_now();
		break;
	case KILL_HALF:
	case CUT_SHORT:
		return HALF;
	case KILL_AFTER:
		return DIE_AFTER;
	case FAIL_EIO:
	case FAIL_ENOSPC:
	case FAIL_EINTR:
		break;
	}
	return FAIL;
}

static void over(enum deed deed)
{
	int error = errno;
	if (deed == DIE_AFTER || (deed == HALF && how == KILL_HALF))
		die_now();
	pthread_mutex_unlock(&lock);
	errno = error;
}

static long failed(enum deed deed)
{
	over(deed);
	errno = how == FAIL_EIO ? EIO : how == FAIL_ENOSPC ? ENOSPC : EINTR;
	return -1;
}

/* An operation that has no half: done whole, then `over` decides. */
#define WHOLE(deed, call)                  \
	({                                 \
		long result_;              \
		if ((deed) == FAIL) {      \
			result_ = failed(deed); \
		} else {                   \
			result_ = (call);  \
			over(deed);        \
		}                          \
		result_;                   \
	})

/* ---- operations ---- */

static ssize_t write_at(const char *operation, int fd, const void *bytes, size_t length, off_t at, int here)
{
	char path[PATH_MAX];
	if (!path_of_fd(fd, path))
		return here ? syscall(SYS_write, fd, bytes, length) :
			      syscall(SYS_pwrite64, fd, bytes, length, at);
	enum deed deed = begin_operation(operation, path);
	if (deed == FAIL)
		return failed(deed);
	if (deed == HALF && length > 1)
		length /= 2;
	off_t place = at;
	if (here) {
		struct stat stat;
		int append = fcntl(fd, F_GETFL) & O_APPEND;
		place = append && !fstat(fd, &stat) ? stat.st_size : syscall(SYS_lseek, fd, 0, SEEK_CUR);
	}
	note_content(WRITTEN, fd, place, length, bytes);
	ssize_t written = here ? syscall(SYS_write, fd, bytes, length) :
				 syscall(SYS_pwrite64, fd, bytes, length, at);
	over(deed);
	return written;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	return write_at("write", fd, bytes, length, 0, 1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
	return write_at("pwrite", fd, bytes, length, at, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
	return write_at("pwrite", fd, bytes, length, at, 0);
}

/* A write of several pieces is one of their sum, so that it can be halved anywhere. */
ssize_t writev(int fd, const struct iovec *pieces, int pieces_count)
{
	char path[PATH_MAX];
	size_t length = 0;
	if (!path_of_fd(fd, path))
		return syscall(SYS_writev, fd, pieces, pieces_count);
	for (int i = 0; i < pieces_count; i++)
		length += pieces[i].iov_len;
	char *joined = malloc(length ? length : 1), *end = joined;
	if (!joined)
		die("memory");
	for (int i = 0; i < pieces_count; i++)
		end = mempcpy(end, pieces[i].iov_base, pieces[i].iov_len);
	ssize_t written = write_at("writev", fd, joined, length, 0, 1);
	int error = errno;
	free(joined);
	errno = error;
	return written;
}

static ssize_t read_op(const char *operation, int fd, size_t *length, enum deed *deed)
{
	char path[PATH_MAX];
	*deed = GO;
	if (!reads || !path_of_fd(fd, path))
		return 0;
	*deed = begin_operation(operation, path);
	if (*deed == FAIL)
		return failed(*deed);
	if (*deed == HALF && *length > 1)
		*length /= 2;
	over(*deed);
	return 0;
}

ssize_t read(int fd, void *bytes, size_t length)
{
	enum deed deed;
	if (read_op("read", fd, &length, &deed))
		return -1;
	return syscall(SYS_read, fd, bytes, length);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t at)
{
	enum deed deed;
	if (read_op("pread", fd, &length, &deed))
		return -1;
	return syscall(SYS_pread64, fd, bytes, length, at);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t at)
{
	return pread64(fd, bytes, length, at);
}

static int open_at(int folder, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	struct stat stat;
	flags |= O_LARGEFILE;
	if (!path_at(folder, name, path))
		return (int)syscall(SYS_openat, folder, name, flags, mode);
	/* Made without a name it changes nothing that outlives its process. */
	int nameless = (flags & O_TMPFILE) == O_TMPFILE;
	int is_there = !lstat(path, &stat);
	int makes = (flags & O_CREAT) && !is_there && !nameless;
	int empties = (flags & O_TRUNC) && is_there && S_ISREG(stat.st_mode) && stat.st_size > 0;
	if (!makes && !empties && !reads)
		return (int)syscall(SYS_openat, folder, name, flags, mode);
	enum deed deed = begin_operation(makes ? "create" : empties ? "empty" : "open", path);
	if (deed == FAIL)
		return (int)failed(deed);
	int fd = (int)syscall(SYS_openat, folder, name, empties ? flags & ~O_TRUNC : flags, mode);
	int error = errno;
	if (fd >= 0 && makes)
		note_name(MADE, path, NULL, NULL);
	if (fd >= 0 && empties) {
		note_content(CUT, fd, 0, 0, NULL);
		syscall(SYS_ftruncate, fd, 0);
	}
	errno = error;
	over(deed);
	return fd;
}

#define MODE_OF(flags)                                              \
	mode_t mode = 0;                                            \
	if ((flags) & (O_CREAT | O_TMPFILE)) {                      \
		va_list arguments;                                  \
		va_start(arguments, flags);                         \
		mode = va_arg(arguments, mode_t);                   \
		va_end(arguments);                                  \
	}

int open(const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(AT_FDCWD, name, flags, mode);
}

int openat(int folder, const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(folder, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_at(folder, name, flags, mode);
}

int creat(const char *name, mode_t mode)
{
	return open_at(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

static int sync_file(const char *operation, long call, int fd)
{
	char path[PATH_MAX];
	if (!path_of_fd(fd, path))
		return (int)syscall(call, fd);
	enum deed deed = begin_operation(operation, path);
	if (deed == FAIL)
		return (int)failed(deed);
	/* Half a sync has reached the disk with some of it, and says nothing. */
	int result = (int)syscall(call, fd);
	if (!result && deed != HALF)
		synced(fd);
	over(deed);
	return result;
}

int fsync(int fd)
{
	return sync_file("fsync", SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_file("fdatasync", SYS_fdatasync, fd);
}

int ftruncate64(int fd, off64_t length)
{
	char path[PATH_MAX];
	struct stat stat;
	if (!path_of_fd(fd, path) || fstat(fd, &stat))
		return (int)syscall(SYS_ftruncate, fd, length);
	enum deed deed = begin_operation("ftruncate", path);
	if (deed == FAIL)
		return (int)failed(deed);
	note_content(CUT, fd, length < stat.st_size ? length : stat.st_size, 0, NULL);
	int result = (int)syscall(SYS_ftruncate, fd, length);
	over(deed);
	return result;
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}

int close(int fd)
{
	char path[PATH_MAX];
	int flags = own ? fcntl(fd, F_GETFL) : -1;
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || !path_of_fd(fd, path))
		return (int)syscall(SYS_close, fd);
	enum deed deed = begin_operation("close", path);
	if (deed == FAIL) {
		/* The descriptor is gone whatever close says. */
		syscall(SYS_close, fd);
		return (int)failed(deed);
	}
	int result = (int)syscall(SYS_close, fd);
	over(deed);
	return result;
}

static int rename_at(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
	char path[PATH_MAX], target_path[PATH_MAX];
	if (!path_at(from_folder, from, path) | !path_at(to_folder, to, target_path))
		return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
	enum deed deed = begin_operation("rename", target_path);
	if (deed == FAIL)
		return (int)failed(deed);
	char *kept = keep_file(target_path);
	int result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
	int error = errno;
	if (!result)
		note_name(MOVED, path, target_path, kept);
	errno = error;
	over(deed);
	return result;
}

int rename(const char *from, const char *to)
{
	return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
	return rename_at(from_folder, from, to_folder, to, 0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
	return rename_at(from_folder, from, to_folder, to, flags);
}

int unlinkat(int folder, const char *name, int flags)
{
	char path[PATH_MAX];
	if (!path_at(folder, name, path))
		return (int)syscall(SYS_unlinkat, folder, name, flags);
	enum deed deed = begin_operation(flags & AT_REMOVEDIR ? "rmdir" : "unlink", path);
	if (deed == FAIL)
		return (int)failed(deed);
	char *kept = flags & AT_REMOVEDIR ? NULL : keep_file(path);
	int result = (int)syscall(SYS_unlinkat, folder, name, flags);
	int error = errno;
	if (!result && kept)
		note_name(REMOVED, path, NULL, kept);
	errno = error;
	over(deed);
	return result;
}

int unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
	return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdirat(int folder, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	struct stat stat;
	if (!path_at(folder, name, path) || !lstat(path, &stat))
		return (int)syscall(SYS_mkdirat, folder, name, mode);
	enum deed deed = begin_operation("mkdir", path);
	return (int)WHOLE(deed, syscall(SYS_mkdirat, folder, name, mode));
}

int mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
	char path[PATH_MAX];
	if (!path_at(to_folder, to, path))
		return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
	enum deed deed = begin_operation("link", path);
	return (int)WHOLE(deed, syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int symlink(const char *content, const char *to)
{
	char path[PATH_MAX];
	if (!path_at(AT_FDCWD, to, path))
		return (int)syscall(SYS_symlinkat, content, AT_FDCWD, to);
	enum deed deed = begin_operation("symlink", path);
	return (int)WHOLE(deed, syscall(SYS_symlinkat, content, AT_FDCWD, to));
}

/* Copies inside the kernel: what they write is not kept, so it can be torn but not lost. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags)
{
	char path[PATH_MAX];
	if (!path_of_fd(to, path))
		return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
	enum deed deed = begin_operation("copy_file_range", path);
	if (deed == HALF && length > 1)
		length /= 2;
	return WHOLE(deed, syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags));
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags)
{
	char path[PATH_MAX];
	if (!path_of_fd(to, path))
		return syscall(SYS_splice, from, from_at, to, to_at, length, flags);
	enum deed deed = begin_operation("splice", path);
	if (deed == HALF && length > 1)
		length /= 2;
	return WHOLE(deed, syscall(SYS_splice, from, from_at, to, to_at, length, flags));
}
