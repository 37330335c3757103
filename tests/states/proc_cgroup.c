// Control groups: the root in one of its own, a child in another, in every hierarchy that can be
// written to.
#include "state.h"

static char *where(void) {
    return state_cgroups("/proc/self/cgroup");
}

// Finds where a hierarchy is mounted that takes a new group; makes it and goes there.
static int enter(const char *name) {
    char *mounts = state_slurp("/proc/mounts");
    int entered = 0;
    for (char *line = strtok(mounts, "\n"); line; line = strtok(NULL, "\n")) {
        char type[32], at[256];
        if (sscanf(line, "%31s %255s", type, at) != 2 || strncmp(type, "cgroup", 6) != 0) continue;
        if (strstr(at, "cpuset")) continue; // has to be furnished first
        char path[512], text[32];
        snprintf(path, sizeof path, "%s/%s", at, name);
        if (mkdir(path, 0755) == -1 && errno != EEXIST) continue;
        strcat(path, "/cgroup.procs");
        int fd = open(path, O_WRONLY);
        if (fd < 0) continue;
        int length = snprintf(text, sizeof text, "%d", getpid());
        entered += write(fd, text, length) == length;
        close(fd);
    }
    free(mounts);
    return entered;
}

// The groups outlive the program: it goes back to the top, and removes them.
static void leave(const char *name) {
    char *mounts = state_slurp("/proc/mounts");
    for (char *line = strtok(mounts, "\n"); line; line = strtok(NULL, "\n")) {
        char type[32], at[256], path[512];
        if (sscanf(line, "%31s %255s", type, at) != 2 || strncmp(type, "cgroup", 6) != 0) continue;
        snprintf(path, sizeof path, "%s/cgroup.procs", at);
        int fd = open(path, O_WRONLY);
        if (fd >= 0) {
            char text[32];
            if (write(fd, text, snprintf(text, sizeof text, "%d", getpid())) < 0) perror(path);
            close(fd);
        }
        snprintf(path, sizeof path, "%s/%s", at, name);
        for (int i = 0; i < 100 && rmdir(path) == -1 && errno == EBUSY; i++) usleep(5000);
    }
    free(mounts);
}

static void child(void *arg) {
    (void)arg;
    enter("torpor-state-child");
    char *was = where();
    state_child_ready();
    char *is = where();
    CHECK(strcmp(is, was) == 0, "the child is in\n%s\nwas in\n%s", is, was);
    leave("torpor-state-child");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (enter("torpor-state-root") == 0) state_skip("no cgroup can be made");
    pid_t pid = state_fork(child, NULL);
    char *was = where();
    state_ready();
    char *is = where();
    bool same = strcmp(is, was) == 0;
    leave("torpor-state-root");
    CHECK(same, "it is in\n%s\nwas in\n%s", is, was);
    state_child_end(pid);
    state_pass();
}
