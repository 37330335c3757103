// Limits and switches of a process: every rlimit, oom_score_adj, personality, timer slack, core dump
// filter, child subreaper, no THP, per process different ones.
#include <sys/personality.h>

#include "state.h"

static void write_to(const char *path, const char *text) {
    int fd = MUST(open(path, O_WRONLY));
    EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void look(char *text, size_t room) {
    size_t used = 0;
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;
        MUST(getrlimit(i, &limit));
        used += snprintf(text + used, room - used, "%d: %lx %lx\n", i, (long)limit.rlim_cur, (long)limit.rlim_max);
    }
    int subreaper;
    MUST(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
    char *oom = state_slurp("/proc/self/oom_score_adj"), *filter = state_slurp("/proc/self/coredump_filter");
    snprintf(text + used, room - used, "oom %s filter %s personality %x slack %d subreaper %d dumpable %d mce %d", oom,
             filter, personality(0xffffffff), prctl(PR_GET_TIMERSLACK), subreaper, prctl(PR_GET_DUMPABLE),
             prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
    free(oom);
    free(filter);
}

static void check_same(const char *was) {
    char is[4096];
    look(is, sizeof is);
    CHECK(strcmp(was, is) == 0, "is\n%s\nwas\n%s", is, was);
}

static void child(void *arg) {
    (void)arg;
    MUST(setrlimit(RLIMIT_NOFILE, &(struct rlimit){50, 60}));
    write_to("/proc/self/oom_score_adj", "600");
    MUST(prctl(PR_SET_DUMPABLE, 0));
    char was[4096];
    // A process that is not dumpable can't read its own /proc files unless it is root.
    look(was, sizeof was);
    state_child_ready();
    check_same(was);
    EQUAL(prctl(PR_GET_DUMPABLE), 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;
        MUST(getrlimit(i, &limit));
        rlim_t most = limit.rlim_max == RLIM_INFINITY ? 1ul << 40 : limit.rlim_max;
        limit.rlim_cur = most - most / 8;
        if (i % 3 == 1) limit.rlim_max = most - most / 16;
        if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
        MUST(setrlimit(i, &limit));
    }
    write_to("/proc/self/oom_score_adj", "300");
    write_to("/proc/self/coredump_filter", "0x7b");
    MUST(personality(ADDR_NO_RANDOMIZE | PER_LINUX | SHORT_INODE));
    MUST(prctl(PR_SET_TIMERSLACK, 123456));
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
    pid_t pid = state_fork(child, NULL);
    char was[4096];
    look(was, sizeof was);
    state_ready();
    if (state_breaking()) prctl(PR_SET_TIMERSLACK, 1);
    check_same(was);
    state_child_end(pid);
    state_pass();
}
