/* Preloaded into a broker: what SQLite asks of the disk fails, or ends the process, at an exact call.
 *
 * Counted are the calls on files whose path contains `only`, of one kind: writes (with truncations) or flushes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITES = 1, FLUSHES = 2 };
enum { KILL_BEFORE = 1, KILL_AFTER = 2, KILL_TORN = 3, FAIL = 4 };

static int kind, action, error_number;
static long nth, calls;
static char only[512], lasts_while[512], fired[512];

/* action FAIL: the nth call and, while the file `lasts_while` exists, all that follow give `error`. */
void disk_arm(int arm_kind, long arm_nth, int arm_action, int error, const char *path, const char *while_file,
              const char *fired_file)
{
    kind = arm_kind, nth = arm_nth, action = arm_action, error_number = error, calls = 0;
    snprintf(only, sizeof only, "%s", path);
    snprintf(lasts_while, sizeof lasts_while, "%s", while_file);
    snprintf(fired, sizeof fired, "%s", fired_file);
}

static int ours(int fd)
{
    char name[64], path[1024];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, only) != NULL;
}

static void die(void) { kill(getpid(), SIGKILL); }

/* Whether this call of `call_kind` on `fd` is the one; *fails: it shall fail. */
static int due(int fd, int call_kind, int *fails)
{
    struct stat found;
    *fails = 0;
    if (kind != call_kind || !ours(fd))
        return 0;
    int now = ++calls == nth;
    if (now) {
        int created = open(fired, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (created >= 0)
            close(created);
    }
    if (action == FAIL)
        *fails = now || (calls > nth && stat(lasts_while, &found) == 0);
    if (now && action == KILL_BEFORE)
        die();
    return now;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);

#define FAILED \
    if (fails) { \
        errno = error_number; \
        return -1; \
    }

#define DONE \
    if (now && action == KILL_AFTER) \
        die();

ssize_t write(int fd, const void *data, size_t size)
{
    int fails, now = due(fd, WRITES, &fails);
    REAL(write)
    FAILED
    ssize_t result = real(fd, data, now && action == KILL_TORN ? size / 2 : size);
    if (now && action == KILL_TORN)
        die();
    DONE
    return result;
}

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset) \
    { \
        int fails, now = due(fd, WRITES, &fails); \
        REAL(name) \
        FAILED \
        ssize_t result = real(fd, data, now && action == KILL_TORN ? size / 2 : size, offset); \
        if (now && action == KILL_TORN) \
            die(); \
        DONE \
        return result; \
    }

#define WHOLE(name, call_kind, parameters, arguments) \
    int name parameters \
    { \
        int fails, now = due(fd, call_kind, &fails); \
        REAL(name) \
        FAILED \
        int result = real arguments; \
        DONE \
        return result; \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
WHOLE(ftruncate, WRITES, (int fd, off_t size), (fd, size))
WHOLE(ftruncate64, WRITES, (int fd, off64_t size), (fd, size))
WHOLE(fsync, FLUSHES, (int fd), (fd))
WHOLE(fdatasync, FLUSHES, (int fd), (fd))
