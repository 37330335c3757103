// The working directory is the folder in /proc of a process that has ended: nothing is found in it, and it has no
// name; the same of a child, and an open folder of the same process.
#include "state.h"

static void check(int folder) {
    char path[PATH_MAX];
    CHECK(getcwd(path, sizeof path) == NULL && errno == ENOENT, "it has a name");
    CHECK(open("status", O_RDONLY) == -1, "there is something in it");
    CHECK(openat(folder, "status", O_RDONLY) == -1, "there is something in the open one");
    ssize_t len = MUST(readlink("/proc/self/cwd", path, sizeof path - 1));
    path[len] = 0;
    CHECK(strstr(path, "/proc/") == path && strstr(path, "(deleted)") != NULL, "it is %s", path);
}

static void child(void *folder) {
    state_child_ready();
    check(*(int *)folder);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t gone = MUST(fork());
    if (gone == 0) {
        pause();
        _exit(0);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d", gone);
    int folder = MUST(open(path, O_RDONLY | O_DIRECTORY));
    MUST(chdir(path));
    MUST(kill(gone, SIGKILL));
    EQUAL(MUST(waitpid(gone, NULL, 0)), gone);
    pid_t other = state_fork(child, &folder);
    state_ready();
    check(folder);
    state_child_end(other);
    state_pass();
}
