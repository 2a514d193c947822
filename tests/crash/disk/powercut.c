/*
 * powercut.so: a disk that keeps only what was synced, for one process, by LD_PRELOAD.
 *
 * Beside the folder POWERCUT_DATA it keeps POWERCUT_PLATTER, a second one into which a file's octets go only when the
 * process calls fsync or fdatasync on it, and a file's removal only when it syncs the folder. After a SIGKILL the
 * platter is what a power cut would have left. (A file's name reaches the platter with its first sync.)
 *
 * POWERCUT_AFTER=n   SIGKILL to itself before the n-th write or sync.
 * POWERCUT_LIE=-wal  syncs of files whose names end so do nothing: a disk, or a setting, that lies.
 * POWERCUT_FAULTS=f  while the file f exists, calls on the data fail: each of its lines is a kind and an errno.
 *                    kinds: write (also making and cutting files), open (for writing), sync
 *
 * SQLite maps its -shm file, which is never synced and never kept; all else goes through the calls below.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS 4096
#define NODES 1024

struct piece { off_t from, to; };

struct node { /* one file while it has its name */
    char name[NAME_MAX + 1]; /* "" for the folder itself */
    int fresh;               /* made since the last sync: what the platter has under this name is another file */
    int gone;
    struct piece *dirty;
    size_t count, room;
};

static struct node nodes[NODES];
static size_t used;
static struct node *of[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long left = -1;
static const char *data, *platter, *lie, *faults;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int real_open(const char *path, int flags, mode_t mode)
{
    REAL(int, "open64", const char *, int, ...);
    return real(path, flags, mode);
}

static ssize_t real_pwrite(int fd, const void *octets, size_t size, off_t at)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    return real(fd, octets, size, at);
}

static int real_ftruncate(int fd, off_t size)
{
    REAL(int, "ftruncate64", int, off_t);
    return real(fd, size);
}

/* What the environment says is read late: a parent that was forked had nothing to say yet. */
static int ready(void)
{
    if (!data && (data = getenv("POWERCUT_DATA"))) {
        const char *after = getenv("POWERCUT_AFTER");
        platter = getenv("POWERCUT_PLATTER");
        lie = getenv("POWERCUT_LIE");
        faults = getenv("POWERCUT_FAULTS");
        left = after ? atol(after) : -1;
    }
    return data != NULL;
}

/* The name inside the folder, "" for the folder itself, NULL for any other path. */
static const char *inside(const char *path)
{
    size_t length = strlen(data);
    if (strncmp(path, data, length) != 0) return NULL;
    if (path[length] == '\0') return path + length;
    return path[length] == '/' && !strchr(path + length + 1, '/') ? path + length + 1 : NULL;
}

static struct node *find(const char *name)
{
    for (size_t i = used; i-- > 0;)
        if (!nodes[i].gone && strcmp(nodes[i].name, name) == 0) return &nodes[i];
    return NULL;
}

static struct node *know(const char *name, int fresh)
{
    struct node *node = find(name);
    if (node) return node;
    if (used == NODES || strlen(name) > NAME_MAX) abort();
    node = &nodes[used++];
    strcpy(node->name, name);
    node->fresh = fresh;
    return node;
}

static void soil(struct node *node, off_t from, off_t to)
{
    struct piece *last = node->count ? &node->dirty[node->count - 1] : NULL;
    if (last && last->to == from) {
        last->to = to;
        return;
    }
    if (node->count == node->room) {
        node->room = node->room ? 2 * node->room : 64;
        node->dirty = realloc(node->dirty, node->room * sizeof *node->dirty);
        if (!node->dirty) abort();
    }
    node->dirty[node->count++] = (struct piece){from, to};
}

/* True if such a call is to fail now; errno says how. */
static int fails(const char *kind)
{
    char word[16];
    int number, found = 0;
    FILE *file = faults ? fopen(faults, "re") : NULL;
    if (!file) return 0;
    while (!found && fscanf(file, "%15s %d", word, &number) == 2)
        found = strcmp(word, kind) == 0;
    fclose(file);
    if (found) errno = number;
    return found;
}

static void count_down(void)
{
    if (left > 0 && --left == 0) kill(getpid(), SIGKILL);
}

static struct node *node_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && ready() ? of[fd] : NULL;
}

/* To the platter. */

static void name_in(const char *folder, const struct node *node, char *path)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, node->name) >= PATH_MAX) abort();
}

static void copy(int from, int to, struct piece piece)
{
    char octets[65536];
    while (piece.from < piece.to) {
        size_t want = piece.to - piece.from < (off_t)sizeof octets ? (size_t)(piece.to - piece.from) : sizeof octets;
        ssize_t got = pread(from, octets, want, piece.from);
        if (got <= 0) return; /* cut off since */
        if (real_pwrite(to, octets, got, piece.from) != got) abort();
        piece.from += got;
    }
}

static void keep(struct node *node)
{
    char path[PATH_MAX], source[PATH_MAX];
    struct stat now;
    name_in(data, node, source);
    int from = real_open(source, O_RDONLY | O_CLOEXEC, 0);
    name_in(platter, node, path);
    int to = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (node->fresh ? O_TRUNC : 0), 0600);
    if (from < 0 || to < 0 || fstat(from, &now) < 0) abort();
    for (size_t i = 0; i < node->count; i++) copy(from, to, node->dirty[i]);
    if (real_ftruncate(to, now.st_size) < 0) abort();
    close(from);
    close(to);
    node->fresh = 0;
    node->count = 0;
}

static void keep_removals(void)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < used; i++)
        if (nodes[i].gone && nodes[i].name[0] && !find(nodes[i].name)) {
            name_in(platter, &nodes[i], path);
            unlink(path);
            nodes[i].name[0] = '\0';
        }
}

static int lies(const struct node *node)
{
    size_t name = strlen(node->name), end = lie ? strlen(lie) : 0;
    return end && name >= end && strcmp(node->name + name - end, lie) == 0;
}

static int sync_node(struct node *node)
{
    int failed;
    pthread_mutex_lock(&lock);
    count_down();
    failed = fails("sync");
    if (!failed && !lies(node) && !node->gone) {
        if (node->name[0]) keep(node);
        else keep_removals();
    }
    pthread_mutex_unlock(&lock);
    return failed ? -1 : 0;
}

/* The calls. */

static int opened(const char *path, int flags, mode_t mode)
{
    const char *name = ready() ? inside(path) : NULL;
    struct stat before;
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (!name) return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int fresh = stat(path, &before) < 0;
    int fd = -1;
    if (!(writes && fails("open")) && !(writes && fresh && fails("write"))) fd = real_open(path, flags, mode);
    if (fd >= DESCRIPTORS) abort();
    if (fd >= 0) {
        of[fd] = know(name, fresh);
        if (flags & O_TRUNC && !fresh) of[fd]->fresh = 1;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        mode_t mode = 0; \
        va_list rest; \
        va_start(rest, flags); \
        if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return opened(path, flags, mode); \
    }

OPEN(open)
OPEN(open64)

int close(int fd)
{
    REAL(int, "close", int);
    if (node_of(fd)) of[fd] = NULL;
    return real(fd);
}

/* Before a write: the moment to die, or to fail. Holds the lock if it may go on. */
static int may_write(void)
{
    pthread_mutex_lock(&lock);
    count_down();
    if (!fails("write")) return 1;
    pthread_mutex_unlock(&lock);
    return 0;
}

static ssize_t written_at(int fd, const void *octets, size_t size, off_t at)
{
    struct node *node = node_of(fd);
    if (!node) return real_pwrite(fd, octets, size, at);
    if (!may_write()) return -1;
    ssize_t written = real_pwrite(fd, octets, size, at);
    if (written > 0) soil(node, at, at + written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *octets, size_t size, off_t at) { return written_at(fd, octets, size, at); }
ssize_t pwrite64(int fd, const void *octets, size_t size, off64_t at) { return written_at(fd, octets, size, at); }

ssize_t write(int fd, const void *octets, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    struct node *node = node_of(fd);
    if (!node) return real(fd, octets, size);
    if (!may_write()) return -1;
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t written = real(fd, octets, size);
    if (written > 0) soil(node, at, at + written);
    pthread_mutex_unlock(&lock);
    return written;
}

static int cut(int fd, off_t size)
{
    struct node *node = node_of(fd);
    struct stat before;
    if (!node) return real_ftruncate(fd, size);
    if (!may_write()) return -1;
    int failed = fstat(fd, &before) < 0 || real_ftruncate(fd, size) < 0;
    if (!failed && size < before.st_size) soil(node, size, before.st_size); /* if it grows again, it grows with zeros */
    pthread_mutex_unlock(&lock);
    return failed ? -1 : 0;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

int fsync(int fd)
{
    REAL(int, "fsync", int);
    struct node *node = node_of(fd);
    return node ? sync_node(node) : real(fd);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    struct node *node = node_of(fd);
    return node ? sync_node(node) : real(fd);
}

int unlink(const char *path)
{
    REAL(int, "unlink", const char *);
    const char *name = ready() ? inside(path) : NULL;
    if (!name) return real(path);
    pthread_mutex_lock(&lock);
    int failed = fails("write") ? -1 : real(path);
    if (!failed) know(name, 0)->gone = 1;
    pthread_mutex_unlock(&lock);
    return failed;
}

/* Nothing here renames or links files; if that changes, the imitation has to follow. */
int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    if (ready() && (inside(from) || inside(to))) abort();
    return real(from, to);
}
