// Open files of namespaces: of the machine's, of one that a child has made and is in, of one that nobody is in any
// more, by O_PATH as well, and in a message that nobody has received. They lead to the same namespaces, and can be
// entered.
#include <sys/socket.h>

#include "state.h"

static const char *kinds[] = {"mnt", "net", "pid", "user", "uts", "ipc", "cgroup", "time"};
#define KINDS (int)(sizeof kinds / sizeof *kinds)

static void rename_host(const char *name) {
    MUST(unshare(CLONE_NEWUTS));
    MUST(sethostname(name, strlen(name)));
}

static void in_own(void *arg) {
    (void)arg;
    rename_host("of-a-child");
    state_child_ready();
}

static void expect_host(int ns, const char *name) {
    char found[65];
    MUST(setns(ns, CLONE_NEWUTS));
    MUST(gethostname(found, sizeof found));
    CHECK(strcmp(found, name) == 0, "the namespace's host is %s, not %s", found, name);
}

static ino_t inode(int fd) {
    struct stat stat;
    MUST(fstat(fd, &stat));
    return stat.st_ino;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int own[KINDS];
    ino_t inodes[KINDS];
    for (int i = 0; i < KINDS; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        own[i] = MUST(open(path, O_RDONLY | (i & 1 ? O_CLOEXEC : 0)));
        inodes[i] = inode(own[i]);
    }
    pid_t child = state_fork(in_own, NULL);
    char childs[64];
    snprintf(childs, sizeof childs, "/proc/%d/ns/uts", child);
    int of_child = MUST(open(childs, O_RDONLY)), named = MUST(open(childs, O_PATH));

    rename_host("of-nobody");
    int of_nobody = MUST(open("/proc/self/ns/uts", O_RDONLY));
    MUST(setns(own[4], CLONE_NEWUTS));

    int ends[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    state_give(ends[0], of_child);

    state_ready();

    for (int i = 0; i < KINDS; i++) {
        EQUAL(inode(own[i]), inodes[i]);
        EQUAL(fcntl(own[i], F_GETFD), i & 1);
    }
    struct stat there;
    MUST(stat(childs, &there));
    EQUAL(inode(of_child), there.st_ino);
    EQUAL(inode(named), there.st_ino);
    EQUAL(fcntl(named, F_GETFL) & O_PATH, O_PATH);
    int received = state_take(ends[1], 0);
    EQUAL(inode(received), there.st_ino);
    expect_host(received, "of-a-child");
    expect_host(of_nobody, "of-nobody");
    MUST(setns(own[4], CLONE_NEWUTS));
    state_child_end(child);
    state_pass();
}
