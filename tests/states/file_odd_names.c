// Names and owners of what is open: several files that had one name and lost it, removed folders of one name, a name
// that looks like one that O_TMPFILE makes, an O_TMPFILE file that was named later, O_NOFOLLOW of a removed file, a
// name that is no text; the times of the folders; a pipe of a user's own that is opened again through /proc; many
// epoll entries of numbers that are gone.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "state.h"

#define ENTRIES 1000

static char *link_of(int fd) {
    char path[64], text[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t got = MUST(readlink(path, text, sizeof text - 1));
    text[got] = 0;
    return strdup(text);
}

static int create(const char *name, int flags) {
    return MUST(open(state_path(name), O_RDWR | O_CREAT | O_EXCL | flags, 0640));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(mkdir(state_path("in"), 0755));
    int files[7], n = 0;
    for (; n < 3; n++) {
        files[n] = create("in/same", 0);
        EQUAL(write(files[n], "123", n + 1), n + 1);
        MUST(unlink(state_path("in/same")));
    }
    files[n++] = create("in/#name", 0);
    MUST(unlink(state_path("in/#name")));
    files[n++] = create("in/nofollow", O_NOFOLLOW);
    MUST(unlink(state_path("in/nofollow")));
    files[n++] = create("in/caf\xe9", 0);
    files[n] = MUST(open(state_path("in"), O_TMPFILE | O_RDWR, 0640));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", files[n++]);
    MUST(linkat(AT_FDCWD, path, AT_FDCWD, state_path("in/later"), AT_SYMLINK_FOLLOW));
    MUST(mkdir(state_path("in/folder"), 0711));
    int one = MUST(open(state_path("in/folder"), O_RDONLY | O_DIRECTORY));
    MUST(rmdir(state_path("in/folder")));
    MUST(mkdir(state_path("in/folder"), 0700));
    int two = MUST(open(state_path("in/folder"), O_RDONLY | O_DIRECTORY));
    MUST(rmdir(state_path("in/folder")));
    char *names[7];
    int flags[7];
    struct stat was[7], now, other, folder;
    for (int i = 0; i < n; i++) {
        names[i] = link_of(files[i]);
        flags[i] = fcntl(files[i], F_GETFL);
        MUST(fstat(files[i], &was[i]));
    }
    MUST(stat(state_path("in"), &folder));
    int entries[ENTRIES], epoll = MUST(epoll_create1(EPOLL_CLOEXEC));
    for (int i = 0; i < ENTRIES; i++) {
        entries[i] = MUST(eventfd(0, EFD_NONBLOCK));
        int again = MUST(dup(entries[i]));
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, again, &event));
        close(again);
    }
    int ends[2];
    MUST(pipe(ends));
    MUST(fchown(ends[0], 1234, 2345));
    MUST(fchmod(ends[0], 0620));

    state_ready();

    for (int i = 0; i < n; i++) {
        MUST(fstat(files[i], &now));
        CHECK(strcmp(link_of(files[i]), names[i]) == 0, "%s was %s", link_of(files[i]), names[i]);
        EQUAL(now.st_nlink, was[i].st_nlink);
        EQUAL(now.st_size, was[i].st_size);
        if (now.st_nlink) EQUAL(now.st_ino, was[i].st_ino);
        // Nobody can open a file that has a name as one that has none.
        if (i != 6) EQUAL(fcntl(files[i], F_GETFL), flags[i]);
    }
    MUST(fstat(one, &now));
    MUST(fstat(two, &other));
    CHECK(now.st_ino != other.st_ino, "two folders became one");
    EQUAL(now.st_mode & 0777, 0711);
    EQUAL(other.st_mode & 0777, 0700);
    MUST(stat(state_path("in"), &now));
    EQUAL(now.st_mtim.tv_sec, folder.st_mtim.tv_sec);
    EQUAL(now.st_mtim.tv_nsec, folder.st_mtim.tv_nsec);
    static struct epoll_event events[2 * ENTRIES];
    for (int i = 0; i < ENTRIES; i++) MUST(eventfd_write(entries[i], 1));
    EQUAL(epoll_wait(epoll, events, 2 * ENTRIES, 0), ENTRIES);
    MUST(fstat(ends[1], &now));
    EQUAL(now.st_uid, 1234);
    EQUAL(now.st_gid, 2345);
    EQUAL(now.st_mode & 0777, 0620);
    state_pass();
}
