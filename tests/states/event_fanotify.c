// fanotify: marks on a file, a mount and with an ignore mask; class and flags of the group; events
// afterwards.
#include <sys/fanotify.h>

#include "state.h"

static char *marks(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    char *text = state_slurp(path), *at = strstr(text, "fanotify");
    CHECK(at, "no marks");
    return at;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY | O_LARGEFILE);
    if (fd == -1) state_skip("fanotify_init: %s", strerror(errno));
    close(MUST(open(state_path("marked"), O_RDWR | O_CREAT, 0600)));
    close(MUST(open(state_path("ignored"), O_RDWR | O_CREAT, 0600)));
    MUST(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY | FAN_CLOSE_WRITE, AT_FDCWD, state_path("marked")));
    MUST(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, state_path(".")));
    MUST(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, AT_FDCWD,
                       state_path("ignored")));
    char *was = strdup(marks(fd));

    state_ready();

    char *is = marks(fd);
    CHECK(strcmp(was, is) == 0, "the marks are\n%sbut were\n%s", is, was);
    EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    static char buffer[4096] __attribute__((aligned(8)));
    while (read(fd, buffer, sizeof buffer) > 0) {} // the harness' own files are in the folder
    close(MUST(open(state_path("ignored"), O_RDONLY)));
    CHECK(read(fd, buffer, sizeof buffer) == -1 && errno == EAGAIN, "an event of the ignored file");
    int file = MUST(open(state_path("marked"), O_WRONLY));
    EQUAL(write(file, "x", 1), 1);
    ssize_t got = read(fd, buffer, sizeof buffer);
    CHECK(got >= (ssize_t)sizeof(struct fanotify_event_metadata), "no event: %s", strerror(errno));
    bool modified = false;
    for (struct fanotify_event_metadata *event = (void *)buffer; FAN_EVENT_OK(event, got); event = FAN_EVENT_NEXT(event, got)) {
        modified |= event->mask & FAN_MODIFY;
        close(event->fd);
    }
    CHECK(modified, "the write was not told");
    state_pass();
}
