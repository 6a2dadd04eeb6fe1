/* LD_PRELOAD: asks a hook before each call that reads or changes a file. The hook answers 0, or the errno to fail with. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int (*hook)(const char *call, const char *path);
static __thread int inside;

void set_hook(int (*function)(const char *, const char *)) { hook = function; }

static int refused(const char *call, const char *path) {
    if (!hook || inside) return 0;
    inside = 1; /* the hook's own calls pass */
    int error = hook(call, path);
    inside = 0;
    errno = error;
    return error;
}

static int refused_fd(const char *call, int fd) {
    if (!hook || inside) return 0;
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    return refused(call, path);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        int mode = va_arg(rest, int); \
        va_end(rest); \
        if (refused(flags & (O_WRONLY | O_RDWR) ? "create" : "open", path)) return -1; \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size) {
    return refused_fd("write", fd) ? -1 : REAL(write)(fd, data, size);
}
ssize_t read(int fd, void *data, size_t size) { return refused_fd("read", fd) ? -1 : REAL(read)(fd, data, size); }
int fsync(int fd) { return refused_fd("fsync", fd) ? -1 : REAL(fsync)(fd); }
int rename(const char *from, const char *to) { return refused("rename", to) ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return refused("unlink", path) ? -1 : REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { return refused("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }
int chmod(const char *path, mode_t mode) { return refused("chmod", path) ? -1 : REAL(chmod)(path, mode); }
