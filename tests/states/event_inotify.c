// inotify: watches with their numbers, masks and paths, a gap in the numbers, events not yet read, a
// watch on a removed file, and events afterwards with the same numbers. What was not read can't be kept, and nobody
// may go on as if nothing had happened: it is told that the queue overflowed.
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "state.h"

static char buffer[65536] __attribute__((aligned(8)));

static void touch(const char *name) {
    close(MUST(open(state_path(name), O_WRONLY | O_CREAT, 0600)));
}

// The next event that is for this watch; others between are those that come with it.
static void expect(int fd, int watch, uint32_t mask, const char *name) {
    static char *at, *end;
    for (int tries = 0; tries < 100; tries++) {
        if (at == end) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            CHECK(poll(&wait, 1, 3000) == 1, "no event for watch %d with mask %#x", watch, mask);
            ssize_t got = MUST(read(fd, buffer, sizeof buffer));
            at = buffer;
            end = buffer + got;
        }
        struct inotify_event *event = (void *)at;
        at += sizeof *event + event->len;
        if (event->wd == watch && (event->mask & mask) &&
            (name == NULL || (event->len && strcmp(event->name, name) == 0)))
            return;
    }
    state_fail("no event for watch %d with mask %#x", watch, mask);
}

// What is watched: an unlinked file is another inode after a restore.
static char *watches(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    char *text = state_slurp(path), *all = calloc(1, strlen(text) + 1);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *inode = strstr(line, " ino:"), *mask = strstr(line, " mask:"), *rest = strstr(line, " fhandle");
        if (strncmp(line, "inotify", 7) || !inode || !mask) continue;
        *inode = 0;
        if (rest) *rest = 0;
        strcat(strcat(strcat(all, line), mask), "\n");
    }
    free(text);
    return all;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *folder = strdup(state_path("watched"));
    MUST(mkdir(folder, 0700));
    touch("watched/file");
    touch("alone");
    touch("removed");
    int fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), quiet = MUST(inotify_init1(IN_NONBLOCK));
    int on_folder = MUST(inotify_add_watch(fd, folder, IN_ALL_EVENTS));
    int dropped = MUST(inotify_add_watch(fd, state_path("watched/file"), IN_OPEN));
    int alone = MUST(inotify_add_watch(fd, state_path("alone"), IN_CLOSE_WRITE | IN_ONESHOT));
    MUST(inotify_rm_watch(fd, dropped));
    int held = MUST(open(state_path("removed"), O_RDWR));
    int removed = MUST(inotify_add_watch(fd, state_path("removed"), IN_MODIFY | IN_ATTRIB));
    MUST(unlink(state_path("removed")));
    int only = MUST(inotify_add_watch(quiet, folder, IN_DELETE | IN_ONLYDIR));
    while (read(fd, buffer, sizeof buffer) > 0) {}
    bool pending = state_arg(0) != NULL;
    if (pending) touch("watched/not yet read");
    char *was = watches(fd);

    state_ready();

    EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char *is = watches(fd);
    CHECK(strcmp(was, is) == 0, "watches are\n%sbut were\n%s", is, was);
    int waiting;
    MUST(ioctl(fd, FIONREAD, &waiting));
    if (pending && waiting == sizeof(struct inotify_event)) {
        expect(fd, -1, IN_Q_OVERFLOW, NULL);
        CHECK(read(fd, buffer, sizeof buffer) == -1 && errno == EAGAIN, "an event that nobody caused");
    } else if (pending)
        expect(fd, on_folder, IN_CREATE, "not yet read");
    else
        CHECK(read(fd, buffer, sizeof buffer) == -1 && errno == EAGAIN, "an event that nobody caused");
    CHECK(read(quiet, buffer, sizeof buffer) == -1 && errno == EAGAIN, "an event that nobody caused");
    touch("watched/new");
    expect(fd, on_folder, IN_CREATE, "new");
    touch("alone");
    expect(fd, alone, IN_CLOSE_WRITE, NULL);
    EQUAL(write(held, "x", 1), 1);
    expect(fd, removed, IN_MODIFY, NULL);
    MUST(unlink(state_path("watched/new")));
    expect(quiet, only, IN_DELETE, "new");
    int next = MUST(inotify_add_watch(fd, state_path("alone"), IN_OPEN));
    CHECK(next > removed, "watch number %d twice", next);
    state_pass();
}
