// Regular files: positions, open modes, all status flags, close-on-exec, sizes, duplicates, the same
// file open several times, a file renamed since it was opened, one with a second name.
#include "state.h"

static const int modes[] = {
    O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND, O_RDWR | O_NONBLOCK, O_WRONLY | O_SYNC, O_WRONLY | O_DSYNC,
    O_RDONLY | O_NOATIME, O_RDONLY | O_CLOEXEC, O_RDWR | O_NOFOLLOW, O_RDONLY | O_LARGEFILE, O_RDWR | O_ASYNC,
};
#define COUNT (int)(sizeof modes / sizeof modes[0])

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fds[COUNT], flags[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "file %d\n\\040", i); // a name that has to be quoted in many places
        const char *path = state_path(name);
        int fd = MUST(open(path, O_WRONLY | O_CREAT, 0640));
        static char content[5000];
        state_fill(content, sizeof content, i);
        EQUAL(write(fd, content, sizeof content), sizeof content);
        close(fd);
        fds[i] = MUST(open(path, modes[i]));
        if (modes[i] & O_ASYNC) MUST(fcntl(fds[i], F_SETFL, modes[i]));
        MUST(lseek(fds[i], 100 * i, SEEK_SET));
        flags[i] = MUST(fcntl(fds[i], F_GETFL));
    }
    int duplicate = MUST(dup2(fds[2], 200)), reopened = MUST(open(state_path("file 2\n\\040"), O_RDWR));
    MUST(fcntl(duplicate, F_SETFD, FD_CLOEXEC));
    MUST(lseek(reopened, 7, SEEK_SET));
    int high = MUST(fcntl(fds[0], F_DUPFD, 1000));
    int renamed = MUST(open(state_path("old name"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(renamed, "abc", 3), 3);
    MUST(rename(state_path("old name"), state_path("new name")));
    int linked = MUST(open(state_path("one name"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(linked, "xyz", 3), 3);
    MUST(link(state_path("one name"), state_path("other name")));
    MUST(unlink(state_path("one name"))); // the open name is gone, the file is still there
    int beyond = MUST(open(state_path("beyond"), O_RDWR | O_CREAT, 0600));
    MUST(lseek(beyond, 1l << 40, SEEK_SET));

    state_ready();

    if (state_breaking()) lseek(fds[3], 1, SEEK_CUR);
    for (int i = 0; i < COUNT; i++) {
        EQUAL(fcntl(fds[i], F_GETFL), flags[i]);
        EQUAL(fcntl(fds[i], F_GETFD), modes[i] & O_CLOEXEC ? FD_CLOEXEC : 0);
        EQUAL(lseek(fds[i], 0, SEEK_CUR), 100 * i);
        char was[5000], is[10];
        state_fill(was, sizeof was, i);
        if ((flags[i] & O_ACCMODE) != O_WRONLY) {
            EQUAL(read(fds[i], is, 10), 10);
            CHECK(memcmp(is, was + 100 * i, 10) == 0, "file %d: other content", i);
        } else
            CHECK(read(fds[i], is, 1) == -1 && errno == EBADF, "file %d can be read", i);
        if ((flags[i] & O_ACCMODE) == O_RDONLY)
            CHECK(write(fds[i], is, 1) == -1 && errno == EBADF, "file %d can be written", i);
        else
            EQUAL(write(fds[i], is, 10), 10);
    }
    EQUAL(lseek(fds[3], 0, SEEK_CUR), 5010); // appended
    EQUAL(lseek(duplicate, 0, SEEK_CUR), lseek(fds[2], 0, SEEK_CUR));
    MUST(lseek(duplicate, 4000, SEEK_SET));
    EQUAL(lseek(fds[2], 0, SEEK_CUR), 4000);
    EQUAL(lseek(reopened, 0, SEEK_CUR), 7);
    EQUAL(fcntl(duplicate, F_GETFD), FD_CLOEXEC);
    MUST(lseek(high, 42, SEEK_SET));
    EQUAL(lseek(fds[0], 0, SEEK_CUR), 42);
    struct stat one, two;
    MUST(fstat(renamed, &one));
    MUST(stat(state_path("new name"), &two));
    EQUAL(one.st_ino, two.st_ino);
    CHECK(access(state_path("old name"), F_OK) == -1, "the old name is back");
    MUST(fstat(linked, &one));
    MUST(stat(state_path("other name"), &two));
    EQUAL(one.st_ino, two.st_ino);
    EQUAL(one.st_nlink, 1);
    CHECK(access(state_path("one name"), F_OK) == -1, "the removed name is back");
    EQUAL(lseek(beyond, 0, SEEK_CUR), 1l << 40);
    state_pass();
}
