// Control groups that are removed as soon as the program is gone: a group with settings and an owner of its own, and
// one below it in which nobody is. Argument named: in a hierarchy with a name and without controllers, that is
// unmounted too.
#include <sys/mount.h>

#include "state.h"

static bool named;
static char base[64], hierarchy[64];

struct setting {
    const char *at, *name, *value;
};

// Of the hierarchies that are mounted where these are, as a rule.
static const struct setting settings[] = {
    {"pids", "pids.max", "37"},
    {"memory", "memory.swappiness", "33"},
    {"memory", "memory.limit_in_bytes", "268435456"},
    {"cpuset", "cpuset.cpus", "0"},
    {"cpuset", "cpuset.mems", "0"},
    {"cpu", "cpu.shares", "333"},
    {"unified", "cgroup.max.descendants", "7"},
};

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return;
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path, strerror(errno));
    close(fd);
}

static int each_hierarchy(int (*act)(const char *at)) {
    if (named) return act(state_path("named"));
    char *mounts = state_slurp("/proc/mounts"), *rest = NULL;
    int sum = 0;
    for (char *line = strtok_r(mounts, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char type[32], at[256];
        if (sscanf(line, "%31s %255s", type, at) == 2 && strncmp(type, "cgroup", 6) == 0) sum += act(at);
    }
    free(mounts);
    return sum;
}

static int begin(const char *at) {
    char path[400], file[512];
    snprintf(path, sizeof path, "%s/%s", at, base);
    if (mkdir(path, 0750) == -1) return 0;
    MUST(chown(path, 1234, 2345));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        snprintf(file, sizeof file, "%s/%s", path, settings[i].name);
        put(file, settings[i].value);
    }
    snprintf(file, sizeof file, "%s/cgroup.procs", path);
    MUST(chown(file, 1234, 0));
    snprintf(file, sizeof file, "%s/empty", path);
    MUST(mkdir(file, 0711));
    return state_enter_cgroup(path);
}

static int look(const char *at) {
    char path[400], file[512];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", at, base);
    MUST(stat(path, &about));
    EQUAL(about.st_uid, 1234);
    EQUAL(about.st_gid, 2345);
    EQUAL(about.st_mode & 07777, 0750);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        snprintf(file, sizeof file, "%s/%s", path, settings[i].name);
        if (access(file, F_OK) == -1) continue;
        char *value = state_slurp(file);
        value[strcspn(value, "\n")] = 0;
        CHECK(strcmp(value, settings[i].value) == 0, "%s is %s", file, value);
        free(value);
    }
    snprintf(file, sizeof file, "%s/cgroup.procs", path);
    MUST(stat(file, &about));
    EQUAL(about.st_uid, 1234);
    snprintf(file, sizeof file, "%s/empty", path);
    MUST(stat(file, &about));
    EQUAL(about.st_mode & 07777, 0711);
    return 1;
}

static int leave(const char *at) {
    char path[512];
    state_enter_cgroup(at);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s%s", at, base, i == 0 ? "/empty" : "");
        for (int tries = 0; tries < 100 && rmdir(path) == -1 && errno == EBUSY; tries++) usleep(5000);
    }
    return 0;
}

static int clear(const char *at) {
    char path[512];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s%s", at, base, i == 0 ? "/empty" : "");
        for (int tries = 0; tries < 400 && rmdir(path) == -1 && errno == EBUSY; tries++) usleep(5000);
    }
    return 0;
}

static void mount_named(void) {
    char options[128];
    snprintf(options, sizeof options, "none,name=%s", hierarchy);
    if (mkdir(state_path("named"), 0755) == -1) EQUAL(errno, EEXIST);
    if (mount("none", state_path("named"), "cgroup", 0, options) == -1) state_skip("mounting: %s", strerror(errno));
}

static bool is_mounted(void) {
    char name[80];
    snprintf(name, sizeof name, "name=%s:", hierarchy);
    char *all = state_slurp("/proc/self/cgroup");
    bool there = strstr(all, name) != NULL;
    free(all);
    return there;
}

// A hierarchy goes soon after its last mount, but not while the kernel is still at removing a group of it.
static void unmount_named(void) {
    for (int rounds = 0; rounds < 20; rounds++) {
        umount(state_path("named"));
        for (int tries = 0; tries < 30 && is_mounted(); tries++) usleep(10000);
        if (!is_mounted()) return;
        mount_named();
    }
    umount(state_path("named"));
}

// Only what is said of our own groups: other hierarchies come and go.
static void keep_own(char *text) {
    char *to = text, *next;
    for (char *line = text; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        char end = *next;
        *next = 0;
        // The numbers of hierarchies are the kernel's.
        char *path = strchr(line, ':');
        if (path && strstr(path, base)) {
            size_t length = strlen(path);
            memmove(to, path, length);
            to += length;
        }
        *next = end;
    }
    *to = 0;
}

// Nobody's child: it waits for the program's end, and takes the groups away.
static void remove_afterwards(void) {
    pid_t program = getpid();
    int fds[2];
    MUST(pipe(fds));
    pid_t between = MUST(fork());
    if (between == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        signal(SIGTERM, SIG_IGN);
        char name[32], byte = 0;
        snprintf(name, sizeof name, "/proc/%d/stat", program);
        if (write(fds[1], &byte, 1) != 1) _exit(1);
        close(fds[0]);
        close(fds[1]);
        for (int tries = 0; tries < 24000; tries++, usleep(5000)) {
            FILE *file = fopen(name, "r");
            char letter = 'X';
            if (!file || fscanf(file, "%*d (%*[^)]) %c", &letter) != 1 || letter == 'Z' || letter == 'X') break;
            fclose(file);
        }
        each_hierarchy(clear);
        if (named) {
            // Given time to end, the hierarchy goes with its mount.
            usleep(300000);
            umount(state_path("named"));
        }
        _exit(0);
    }
    char byte;
    EQUAL(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    EQUAL(waitpid(between, NULL, 0), between);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    named = state_arg(0) != NULL;
    snprintf(base, sizeof base, "torpor-state-gone-%d", getpid());
    snprintf(hierarchy, sizeof hierarchy, "torpor-%d", getpid());
    if (named) mount_named();
    // Before it is in any of them.
    remove_afterwards();
    if (each_hierarchy(begin) == 0) state_skip("no cgroup can be made");
    char *was = state_slurp("/proc/self/cgroup");
    CHECK(!named || strstr(was, hierarchy), "it is in\n%s", was);
    state_ready();
    char *is = state_slurp("/proc/self/cgroup");
    if (named) {
        // Where it was not captured it is mounted still.
        umount(state_path("named"));
        mount_named();
    }
    // What is in the way of looking is told after clearing up.
    pid_t looker = MUST(fork());
    if (looker == 0) {
        each_hierarchy(look);
        _exit(0);
    }
    int status;
    EQUAL(waitpid(looker, &status, 0), looker);
    each_hierarchy(leave);
    if (named) unmount_named();
    keep_own(was);
    keep_own(is);
    CHECK(strcmp(is, was) == 0, "it is in\n%s\nwas in\n%s", is, was);
    EQUAL(status, 0);
    state_pass();
}
