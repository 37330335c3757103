// A cgroup namespace that the root process has made for itself, with a group of its own as its root in every
// hierarchy that takes one, and a child in a group below. What /proc tells of PID 1 shows where the roots are.
#include "state.h"

static char base[64];

static void each_hierarchy(void (*act)(const char *at)) {
    char *mounts = state_slurp("/proc/mounts");
    char *rest = NULL;
    for (char *line = strtok_r(mounts, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char type[32], at[256];
        if (sscanf(line, "%31s %255s", type, at) != 2 || strncmp(type, "cgroup", 6) != 0) continue;
        if (!strstr(at, "cpuset")) act(at); // has to be furnished first
    }
    free(mounts);
}

static int entered;

static void begin(const char *at) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", at, base);
    if (mkdir(path, 0750) == 0) entered += state_enter_cgroup(path);
}

static void go_below(const char *at) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/below", at, base);
    if (mkdir(path, 0755) == 0) state_enter_cgroup(path);
}

static void leave(const char *at) {
    state_enter_cgroup(at);
}

static void clear(const char *at) {
    char path[512];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s%s", at, base, i == 0 ? "/below" : "");
        for (int tries = 0; tries < 100 && rmdir(path) == -1 && errno == EBUSY; tries++) usleep(5000);
    }
}

static void below(void *arg) {
    char *was = state_cgroups("/proc/self/cgroup");
    each_hierarchy(go_below);
    char *here = state_cgroups("/proc/self/cgroup");
    CHECK(strstr(here, ":/below\n"), "it is in\n%s", here);
    CHECK(!strstr(was, base), "the namespace has another root:\n%s", was);
    state_child_ready();
    char *now = state_cgroups("/proc/self/cgroup");
    CHECK(strcmp(here, now) == 0, "the child is in\n%s\nwas in\n%s", now, here);
    char link[64] = {0};
    MUST(readlink("/proc/self/ns/cgroup", link, sizeof link - 1));
    CHECK(strcmp(link, arg) != 0, "the child is in the first namespace");
    each_hierarchy(leave);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    snprintf(base, sizeof base, "torpor-state-ns-%d", getpid());
    char first[64] = {0}, link[64] = {0};
    MUST(readlink("/proc/self/ns/cgroup", first, sizeof first - 1));
    each_hierarchy(begin);
    if (entered == 0) state_skip("no cgroup can be made");
    MUST(unshare(CLONE_NEWCGROUP));
    pid_t pid = state_fork(below, first);
    char *was = state_cgroups("/proc/self/cgroup"), *outside = state_cgroups("/proc/1/cgroup");
    CHECK(strstr(outside, "/.."), "the first process is in\n%s", outside);
    state_ready();
    char *is = state_cgroups("/proc/self/cgroup"), *outside_now = state_cgroups("/proc/1/cgroup");
    MUST(readlink("/proc/self/ns/cgroup", link, sizeof link - 1));
    state_child_end(pid);
    each_hierarchy(leave);
    each_hierarchy(clear);
    CHECK(strcmp(is, was) == 0, "it is in\n%s\nwas in\n%s", is, was);
    CHECK(strcmp(outside, outside_now) == 0, "the first process is in\n%s\nwas in\n%s", outside_now, outside);
    CHECK(strcmp(link, first) != 0, "it is in the first namespace");
    state_pass();
}
