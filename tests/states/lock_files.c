// File locks: flock exclusive and shared (held by the description, also by a child's), POSIX read
// and write locks with ranges (held by the process), open-file-description locks.
#include <sys/file.h>

#include "state.h"

static int ranged;

static void child(void *arg) {
    (void)arg;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 500, .l_len = 10};
    MUST(fcntl(ranged, F_SETLK, &lock));
    state_child_ready();
}

static void expect_owner(int fd, short type, off_t start, off_t length, pid_t owner, short found) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    MUST(fcntl(fd, F_GETLK, &lock));
    CHECK(lock.l_type == found, "at %ld there is lock type %d, not %d", (long)start, lock.l_type, found);
    if (found != F_UNLCK) EQUAL(lock.l_pid, owner);
}

static void asks(void *arg) {
    pid_t *pids = arg;
    int fd = MUST(open(state_path("ranged"), O_RDWR));
    expect_owner(fd, F_WRLCK, 0, 10, pids[0], F_RDLCK);
    expect_owner(fd, F_RDLCK, 0, 10, 0, F_UNLCK);
    expect_owner(fd, F_RDLCK, 100, 1, pids[0], F_WRLCK);
    expect_owner(fd, F_RDLCK, 1l << 40, 1, pids[0], F_WRLCK);
    expect_owner(fd, F_RDLCK, 300, 1, 0, F_UNLCK);
    expect_owner(fd, F_RDLCK, 505, 1, pids[1], F_WRLCK);
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *names[3] = {"exclusive", "shared", "by description"};
    int fds[3], others[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = MUST(open(state_path(names[i]), O_RDWR | O_CREAT, 0600));
        others[i] = MUST(open(state_path(names[i]), O_RDWR));
    }
    MUST(flock(fds[0], LOCK_EX));
    MUST(flock(fds[1], LOCK_SH));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 50};
    MUST(fcntl(fds[2], F_OFD_SETLK, &lock));
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 200, .l_len = 0};
    MUST(fcntl(others[2], F_OFD_SETLK, &lock));
    ranged = MUST(open(state_path("ranged"), O_RDWR | O_CREAT, 0600));
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    MUST(fcntl(ranged, F_SETLK, &lock));
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 10};
    MUST(fcntl(ranged, F_SETLK, &lock));
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1000, .l_len = 0};
    MUST(fcntl(ranged, F_SETLK, &lock));
    pid_t pids[2] = {getpid(), state_fork(child, NULL)};

    state_ready();

    CHECK(flock(others[0], LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the exclusive lock is gone");
    CHECK(flock(others[1], LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the shared lock is gone");
    MUST(flock(others[1], LOCK_SH | LOCK_NB));
    MUST(flock(others[1], LOCK_UN));
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 60, .l_len = 1};
    CHECK(fcntl(others[2], F_OFD_SETLK, &lock) == -1 && errno == EAGAIN, "the description's lock is gone");
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5000, .l_len = 1};
    CHECK(fcntl(fds[2], F_OFD_SETLK, &lock) == -1 && errno == EAGAIN, "the other description's lock is gone");
    state_child_end(state_fork(asks, pids));
    // The locks end with what holds them: the child's with the child, a description's when the last
    // descriptor is closed (the child inherited some).
    state_child_end(pids[1]);
    expect_owner(ranged, F_WRLCK, 505, 1, 0, F_UNLCK);
    close(fds[0]);
    MUST(flock(others[0], LOCK_EX | LOCK_NB));
    MUST(flock(fds[1], LOCK_EX | LOCK_NB)); // own lock, upgraded
    close(fds[2]);
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    MUST(fcntl(others[2], F_OFD_SETLK, &lock));
    state_pass();
}
