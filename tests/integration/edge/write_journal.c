/* Preloaded into a process, notes in $JOURNAL every change that it makes to files in $JOURNAL_FOLDER, and every sync.
 *
 * A record: op (1 byte), file descriptor (4), offset or flags (8), length (4), data. Each is noted after it was done, so
 * that a sync counts only when it has returned. Files that end in -shm are left out: SQLite maps them, makes them anew
 * after a crash, and relies on nothing in them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char watched[DESCRIPTORS];
static const char *folder;
static int journal = -1;

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static void note(char op, int fd, uint64_t offset, const void *data, uint32_t length) {
    char head[17];
    int32_t number = fd;
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, length}};
    head[0] = op;
    memcpy(head + 1, &number, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &length, 4);
    if (writev(journal, parts, 2) != (ssize_t)(sizeof head + length)) abort();
}

static int is_ours(const char *path) {
    size_t length = strlen(path);
    if (!folder || strncmp(path, folder, strlen(folder)) != 0) return 0;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

static int is_watched(int fd) { return fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

__attribute__((constructor)) static void begin(void) {
    journal = REAL(int, open64, const char *, int, ...)(getenv("JOURNAL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    folder = getenv("JOURNAL_FOLDER");
    if (journal < 0 || !folder) abort();
}

static int opened(const char *path, int flags, int fd) {
    if (fd >= 0 && fd < DESCRIPTORS && is_ours(path)) {
        watched[fd] = 1;
        note('o', fd, (uint64_t)flags, path, (uint32_t)strlen(path));
    }
    return fd;
}

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                    \
        va_list rest;                                                               \
        va_start(rest, flags);                                                      \
        mode_t mode = va_arg(rest, mode_t);                                         \
        va_end(rest);                                                               \
        pthread_mutex_lock(&mutex);                                                 \
        int fd = opened(path, flags, REAL(int, name, const char *, int, ...)(path, flags, mode)); \
        pthread_mutex_unlock(&mutex);                                               \
        return fd;                                                                  \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&mutex);
    int done = REAL(int, close, int)(fd);
    if (is_watched(fd)) {
        watched[fd] = 0;
        note('c', fd, 0, "", 0);
    }
    pthread_mutex_unlock(&mutex);
    return done;
}

#define PWRITE(name, offset_type)                                                   \
    ssize_t name(int fd, const void *data, size_t length, offset_type offset) {     \
        pthread_mutex_lock(&mutex);                                                 \
        ssize_t done = REAL(ssize_t, name, int, const void *, size_t, offset_type)(fd, data, length, offset); \
        if (done > 0 && is_watched(fd)) note('w', fd, (uint64_t)offset, data, (uint32_t)done); \
        pthread_mutex_unlock(&mutex);                                               \
        return done;                                                                \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t length) {
    if (!is_watched(fd)) return REAL(ssize_t, write, int, const void *, size_t)(fd, data, length);
    pthread_mutex_lock(&mutex);
    ssize_t done = REAL(ssize_t, write, int, const void *, size_t)(fd, data, length);
    if (done > 0) note('w', fd, (uint64_t)(lseek64(fd, 0, SEEK_CUR) - done), data, (uint32_t)done);
    pthread_mutex_unlock(&mutex);
    return done;
}

#define TRUNCATE(name, size_type)                                                   \
    int name(int fd, size_type size) {                                              \
        pthread_mutex_lock(&mutex);                                                 \
        int done = REAL(int, name, int, size_type)(fd, size);                       \
        if (done == 0 && is_watched(fd)) note('t', fd, (uint64_t)size, "", 0);      \
        pthread_mutex_unlock(&mutex);                                               \
        return done;                                                                \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                                  \
    int name(int fd) {                                                              \
        pthread_mutex_lock(&mutex);                                                 \
        int done = REAL(int, name, int)(fd);                                        \
        if (done == 0 && is_watched(fd)) note('s', fd, 0, "", 0);                   \
        pthread_mutex_unlock(&mutex);                                               \
        return done;                                                                \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    pthread_mutex_lock(&mutex);
    int done = REAL(int, unlink, const char *)(path);
    if (done == 0 && is_ours(path)) note('u', -1, 0, path, (uint32_t)strlen(path));
    pthread_mutex_unlock(&mutex);
    return done;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&mutex);
    int done = REAL(int, rename, const char *, const char *)(from, to);
    if (done == 0 && is_ours(from)) {
        char both[8192];
        size_t first = strlen(from) + 1, second = strlen(to);
        if (first + second > sizeof both) abort();
        memcpy(both, from, first);
        memcpy(both + first, to, second);
        note('r', -1, 0, both, (uint32_t)(first + second));
    }
    pthread_mutex_unlock(&mutex);
    return done;
}
