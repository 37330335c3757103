// Threads in different control groups: of a threaded group (version 2), and of a hierarchy of version 1.
#include "state.h"

static char groups[2][3][640];
static int hierarchies;
static pthread_barrier_t met;
static pid_t tids[2];

static void put(const char *folder, const char *name, const char *text) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path, strerror(errno));
    close(fd);
}

static void move(const char *folder, const char *name, pid_t task) {
    char text[32];
    snprintf(text, sizeof text, "%d", task);
    put(folder, name, text);
}

static void begin(const char *at, bool second) {
    int n = hierarchies;
    for (int i = 0; i < 3; i++) {
        const char *below = i == 0 ? "" : i == 1 ? "/first" : "/second";
        snprintf(groups[n][i], sizeof groups[n][i], "%s/torpor-state-threads-%d%s", at, getpid(), below);
        if (mkdir(groups[n][i], 0755) == -1) return;
        if (second && i > 0) put(groups[n][i], "cgroup.type", "threaded");
    }
    hierarchies++;
    move(groups[n][0], "cgroup.procs", getpid());
    for (int i = 0; i < 2; i++) move(groups[n][i + 1], second ? "cgroup.threads" : "tasks", tids[i]);
}

static void *run(void *arg) {
    int n = arg != NULL;
    tids[n] = gettid();
    pthread_barrier_wait(&met);
    pthread_barrier_wait(&met);
    return NULL;
}

static char *where(pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/cgroup", tid);
    return state_cgroups(path);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[2];
    pthread_barrier_init(&met, NULL, 3);
    for (int i = 0; i < 2; i++) OK(pthread_create(&threads[i], NULL, run, i == 0 ? NULL : &met));
    pthread_barrier_wait(&met);
    char tops[2][256] = {"", ""};
    char *mounts = state_slurp("/proc/mounts"), *rest = NULL;
    for (char *line = strtok_r(mounts, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char type[32], at[256];
        if (sscanf(line, "%31s %255s", type, at) != 2) continue;
        bool first = strcmp(type, "cgroup") == 0 && (strstr(at, "freezer") || strstr(at, "pids"));
        if (first) strcpy(tops[0], at);
        if (strcmp(type, "cgroup2") == 0) strcpy(tops[1], at);
    }
    for (int i = 0; i < 2; i++)
        if (*tops[i]) begin(tops[i], i == 1);
    if (hierarchies == 0) state_skip("no cgroup can be made");
    char *was[3] = {where(getpid()), where(tids[0]), where(tids[1])};
    CHECK(strcmp(was[0], was[1]) != 0 && strcmp(was[1], was[2]) != 0, "all are in\n%s", was[0]);
    state_ready();
    char *is[3] = {where(getpid()), where(tids[0]), where(tids[1])};
    pthread_barrier_wait(&met);
    for (int i = 0; i < 2; i++) OK(pthread_join(threads[i], NULL));
    for (int n = 0; n < 2; n++)
        if (*tops[n]) move(tops[n], "cgroup.procs", getpid());
    for (int n = 0; n < hierarchies; n++)
        for (int i = 2; i >= 0; i--)
            for (int tries = 0; tries < 100 && rmdir(groups[n][i]) == -1 && errno == EBUSY; tries++) usleep(5000);
    for (int i = 0; i < 3; i++) CHECK(strcmp(is[i], was[i]) == 0, "%d is in\n%s\nwas in\n%s", i, is[i], was[i]);
    state_pass();
}
