// A watched folder in which an open file has only another name: nobody is told that a capture opened the folder to look
// for that.
#include <sys/inotify.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    static char buffer[4096];
    const char *folder = strdup(state_path("folder"));
    MUST(mkdir(folder, 0700));
    int file = MUST(open(state_path("folder/one"), O_RDWR | O_CREAT, 0600));
    MUST(link(state_path("folder/one"), state_path("folder/two")));
    MUST(unlink(state_path("folder/one")));
    int fd = MUST(inotify_init1(IN_NONBLOCK));
    MUST(inotify_add_watch(fd, folder, IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE));

    state_ready();

    CHECK(read(fd, buffer, sizeof buffer) == -1 && errno == EAGAIN, "somebody has opened the folder");
    struct stat now;
    MUST(fstat(file, &now));
    EQUAL(now.st_nlink, 1);
    close(MUST(open(folder, O_RDONLY | O_DIRECTORY)));
    CHECK(read(fd, buffer, sizeof buffer) > 0, "the folder is not watched any more");
    state_pass();
}
