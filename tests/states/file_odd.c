// Files in odd positions: O_PATH of a link, a socket and removed things, O_DIRECT, folders half read, nested
// removed folders, removed devices and sockets, names of one file all gone, holes and attributes of removed
// files, files of /proc of a child that has ended and of a thread, namespaces, a file renamed over.
#include <dirent.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "state.h"

static const char *link_of(int fd) {
    static char text[4][PATH_MAX];
    static int next;
    char *at = text[next++ % 4], path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t got = MUST(readlink(path, at, PATH_MAX - 1));
    at[got] = 0;
    return at;
}

static pid_t ended_child(int *status_fd, int *folder_fd) {
    int hold[2];
    MUST(pipe(hold));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        close(hold[1]);
        char c;
        _exit(read(hold[0], &c, 1) != 0);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    *status_fd = MUST(open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d", pid);
    *folder_fd = MUST(open(path, O_RDONLY | O_DIRECTORY));
    close(hold[1]);
    close(hold[0]);
    state_expect_exit(pid, 0);
    return pid;
}

static volatile int thread_tid;
static void *idle(void *arg) {
    thread_tid = gettid();
    for (;;) pause();
    return arg;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    char text[65] = {0};
    MUST(symlink("nowhere", state_path("link")));
    int on_link = MUST(open(state_path("link"), O_PATH | O_NOFOLLOW));
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, state_path("socket"));
    int socket_fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(socket_fd, (void *)&a, sizeof a));
    int on_socket = MUST(open(state_path("socket"), O_PATH));
    MUST(symlink("elsewhere", state_path("gone link")));
    int on_gone_link = MUST(open(state_path("gone link"), O_PATH | O_NOFOLLOW));
    MUST(unlink(state_path("gone link")));
    close(MUST(open(state_path("gone file"), O_RDWR | O_CREAT, 0604)));
    int on_gone_file = MUST(open(state_path("gone file"), O_PATH));
    MUST(unlink(state_path("gone file")));
    int direct = MUST(open(state_path("direct"), O_RDWR | O_CREAT | O_DIRECT, 0600));
    // A folder half read.
    MUST(mkdir(state_path("folder"), 0700));
    for (int i = 0; i < 40; i++) {
        char name[40];
        snprintf(name, sizeof name, "folder/entry %d", i);
        close(MUST(open(state_path(name), O_RDWR | O_CREAT, 0600)));
    }
    DIR *reader = opendir(state_path("folder"));
    int seen = 0;
    int folder_fd = MUST(open(state_path("folder"), O_RDONLY | O_DIRECTORY));
    char entries[600];
    long part = MUST(syscall(SYS_getdents64, folder_fd, entries, sizeof entries)), part_position = lseek(folder_fd, 0, SEEK_CUR);
    CHECK(part > 0 && part_position > 0, "no entries");
    // Nested and removed, each held, one as the working directory.
    MUST(mkdir(state_path("a"), 0751));
    MUST(mkdir(state_path("a/b"), 0700));
    MUST(mkdir(state_path("a/b/c"), 0711));
    int on_a = MUST(open(state_path("a"), O_RDONLY | O_DIRECTORY)), on_c = MUST(open(state_path("a/b/c"), O_RDONLY | O_DIRECTORY));
    int in_c = MUST(open(state_path("a/b/c/file"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(in_c, "deep", 4), 4);
    MUST(chdir(state_path("a/b")));
    MUST(unlink(state_path("a/b/c/file")));
    MUST(rmdir(state_path("a/b/c")));
    MUST(rmdir(state_path("a/b")));
    MUST(rmdir(state_path("a")));
    // A device of our own, removed.
    int device = -1;
    if (mknod(state_path("device"), S_IFCHR | 0640, makedev(1, 3)) == 0) {
        device = MUST(open(state_path("device"), O_RDWR));
        MUST(unlink(state_path("device")));
    }
    // One file with two names, both gone, open by both.
    int first = MUST(open(state_path("first"), O_RDWR | O_CREAT, 0600));
    MUST(link(state_path("first"), state_path("second")));
    int second = MUST(open(state_path("second"), O_RDWR | O_APPEND));
    MUST(unlink(state_path("first")));
    MUST(unlink(state_path("second")));
    EQUAL(write(first, "shared", 6), 6);
    // Holes and an attribute.
    int holes = MUST(open(state_path("holes"), O_RDWR | O_CREAT, 0600));
    for (long i = 0; i < 4; i++) EQUAL(pwrite(holes, "data", 4, i * 3 * 65536), 4);
    MUST(ftruncate(holes, 20 * 65536));
    bool attribute = fsetxattr(holes, "user.torpor", "value", 5, 0) == 0;
    MUST(unlink(state_path("holes")));
    struct stat was_holes, stat_now, stat_other;
    MUST(fstat(holes, &was_holes));
    off_t next_hole = lseek(holes, 0, SEEK_HOLE), next_data = lseek(holes, next_hole, SEEK_DATA);
    MUST(lseek(holes, 5, SEEK_SET));
    // A name that stands for another file by now, which is there under a third name.
    int over = MUST(open(state_path("over"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(over, "old", 3), 3);
    MUST(link(state_path("over"), state_path("kept")));
    close(MUST(open(state_path("new"), O_RDWR | O_CREAT, 0600)));
    MUST(rename(state_path("new"), state_path("over")));
    // A name in another folder.
    int far = MUST(open(state_path("near name"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(far, "far", 3), 3);
    MUST(link(state_path("near name"), state_path("folder/far name")));
    MUST(unlink(state_path("near name")));
    struct stat far_was;
    MUST(fstat(far, &far_was));
    int dead_status, dead_folder, space = MUST(open("/proc/self/ns/uts", O_RDONLY));
    pid_t dead = ended_child(&dead_status, &dead_folder);
    pthread_t thread;
    OK(pthread_create(&thread, NULL, idle, NULL));
    AWAIT(thread_tid, "no thread");
    char path[64], other_path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", thread_tid);
    int of_thread = MUST(open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/self/fd/%d", first);
    int again = MUST(open(path, O_RDONLY));

    state_ready();

    ssize_t got = MUST(readlinkat(on_link, "", text, 64));
    CHECK(got == 7 && memcmp(text, "nowhere", 7) == 0, "the link leads to %s", text);
    MUST(fstat(on_socket, &stat_now));
    CHECK(S_ISSOCK(stat_now.st_mode), "no socket");
    got = MUST(readlinkat(on_gone_link, "", text, 64));
    CHECK(got == 9 && memcmp(text, "elsewhere", 9) == 0, "the link leads to %s", text);
    MUST(fstat(on_gone_file, &stat_now));
    CHECK(S_ISREG(stat_now.st_mode) && (stat_now.st_mode & 0777) == 0604, "mode %o", stat_now.st_mode);
    EQUAL(fcntl(on_gone_file, F_GETFL) & O_PATH, O_PATH);
    EQUAL(fcntl(direct, F_GETFL) & O_DIRECT, O_DIRECT);
    EQUAL(lseek(folder_fd, 0, SEEK_CUR), part_position);
    char rest[4096];
    for (char *at = entries; at < entries + part; at += *(unsigned short *)(at + 16)) seen++;
    while ((part = MUST(syscall(SYS_getdents64, folder_fd, rest, sizeof rest))) > 0)
        for (char *at = rest; at < rest + part; at += *(unsigned short *)(at + 16)) seen++;
    EQUAL(seen, 43);
    CHECK(readdir(reader) != NULL, "nothing to read");
    CHECK(strstr(link_of(on_a), "/a (deleted)") && strstr(link_of(on_c), "/a/b/c (deleted)"), "%s, %s", link_of(on_a), link_of(on_c));
    MUST(fstat(on_c, &stat_now));
    EQUAL(stat_now.st_mode & 0777, 0711);
    EQUAL(stat_now.st_nlink, 0);
    CHECK(getcwd(rest, sizeof rest) == NULL && errno == ENOENT, "the working directory is there");
    CHECK(access(state_path("a"), F_OK) == -1, "a removed folder is back");
    EQUAL(pread(in_c, text, 10, 0), 4);
    if (device != -1) {
        MUST(fstat(device, &stat_now));
        CHECK(S_ISCHR(stat_now.st_mode) && stat_now.st_rdev == makedev(1, 3) && (stat_now.st_mode & 0777) == 0640, "another device");
        EQUAL(write(device, "x", 1), 1);
        CHECK(access(state_path("device"), F_OK) == -1, "the removed device is back");
    }
    MUST(fstat(first, &stat_now));
    MUST(fstat(second, &stat_other));
    CHECK(stat_now.st_ino == stat_other.st_ino && stat_now.st_nlink == 0, "one file became two");
    EQUAL(write(second, "+", 1), 1);
    EQUAL(pread(first, text, 10, 0), 7);
    EQUAL(pread(again, text, 10, 0), 7);
    MUST(fstat(holes, &stat_now));
    EQUAL(stat_now.st_size, was_holes.st_size);
    EQUAL(stat_now.st_blocks, was_holes.st_blocks);
    EQUAL(stat_now.st_mtim.tv_nsec, was_holes.st_mtim.tv_nsec);
    EQUAL(lseek(holes, 0, SEEK_CUR), 5);
    EQUAL(lseek(holes, 0, SEEK_HOLE), next_hole);
    EQUAL(lseek(holes, next_hole, SEEK_DATA), next_data);
    if (attribute) EQUAL(fgetxattr(holes, "user.torpor", text, 64), 5);
    MUST(fstat(over, &stat_now));
    MUST(stat(state_path("kept"), &stat_other));
    EQUAL(stat_now.st_ino, stat_other.st_ino);
    EQUAL(pread(over, text, 10, 0), 3);
    MUST(stat(state_path("over"), &stat_other));
    CHECK(stat_now.st_ino != stat_other.st_ino, "the new file is gone");
    MUST(fstat(far, &stat_now));
    CHECK(stat_now.st_ino == far_was.st_ino && stat_now.st_nlink == 1, "another file, %ld links", (long)stat_now.st_nlink);
    CHECK(pread(dead_status, text, 10, 0) == -1 && errno == ESRCH, "the status of a process that has ended: %m");
    snprintf(other_path, sizeof other_path, "/proc/%d", dead);
    CHECK(strncmp(link_of(dead_folder), other_path, strlen(other_path)) == 0, "%s", link_of(dead_folder));
    CHECK(openat(dead_folder, "status", O_RDONLY) == -1, "a process that has ended has a status");
    MUST(fstat(space, &stat_now));
    MUST(stat("/proc/self/ns/uts", &stat_other));
    EQUAL(stat_now.st_ino, stat_other.st_ino);
    CHECK(pread(of_thread, text, 20, 0) > 0, "nothing of the thread: %m");
    state_pass();
}
