// What has to be refused of files: permission events that the program answers (permission), a file whose file
// system is not mounted any more (unmounted), and one without a name that is open for writing only, with a lease (lease).
#include <sys/fanotify.h>
#include <sys/mount.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *kind = state_arg(0);
    int fd;
    MUST(mkdir(state_path("folder"), 0700));
    if (strcmp(kind, "permission") == 0) {
        close(MUST(open(state_path("folder/file"), O_RDWR | O_CREAT, 0600)));
        fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
        if (fd == -1) state_skip("fanotify_init: %s", strerror(errno));
        if (fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, state_path("folder")) == -1)
            state_skip("fanotify_mark: %s", strerror(errno));
    } else if (strcmp(kind, "lease") == 0) {
        fd = MUST(open(state_path("folder/file"), O_WRONLY | O_CREAT, 0600));
        if (fcntl(fd, F_SETLEASE, F_WRLCK) == -1) state_skip("no leases on this file system: %s", strerror(errno));
        MUST(unlink(state_path("folder/file")));
    } else {
        if (mount("none", state_path("folder"), "tmpfs", 0, "") == -1) state_skip("mount: %s", strerror(errno));
        fd = MUST(open(state_path("folder/file"), O_RDWR | O_CREAT, 0600));
        MUST(umount2(state_path("folder"), MNT_DETACH));
    }

    state_ready();

    MUST(fcntl(fd, F_GETFD));
    if (strcmp(kind, "lease") == 0) EQUAL(fcntl(fd, F_GETLEASE), F_WRLCK);
    state_pass();
}
