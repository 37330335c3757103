// Children that have ended as other users: what waitid(2) and /proc tell of them.
#include "state.h"

enum { KIDS = 4 };

static void end(int i) {
    const uid_t users[KIDS][3] = {{1234, 1234, 1234}, {1234, 4321, 99}, {0, 77, 0}, {5, 5, 5}};
    MUST(setresgid(users[i][0] + 1, users[i][1] + 1, users[i][2] + 1));
    MUST(setresuid(users[i][0], users[i][1], users[i][2]));
    if (i == 3) raise(SIGKILL);
    _exit(30 + i);
}

static char *ids(pid_t pid, const char *key) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    return state_field(path, key);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (geteuid() != 0) state_skip("only root can become another user");
    pid_t kids[KIDS];
    siginfo_t before[KIDS];
    char *users[KIDS], *groups[KIDS];
    for (int i = 0; i < KIDS; i++) {
        kids[i] = MUST(fork());
        if (kids[i] == 0) end(i);
        MUST(waitid(P_PID, kids[i], &before[i], WEXITED | WNOWAIT));
        users[i] = ids(kids[i], "Uid");
        groups[i] = ids(kids[i], "Gid");
    }
    state_ready();
    for (int i = 0; i < KIDS; i++) {
        CHECK(strcmp(ids(kids[i], "Uid"), users[i]) == 0, "users %s, not %s", ids(kids[i], "Uid"), users[i]);
        CHECK(strcmp(ids(kids[i], "Gid"), groups[i]) == 0, "groups %s, not %s", ids(kids[i], "Gid"), groups[i]);
        siginfo_t info;
        MUST(waitid(P_PID, kids[i], &info, WEXITED));
        EQUAL(info.si_uid, before[i].si_uid);
        EQUAL(info.si_code, before[i].si_code);
        EQUAL(info.si_status, before[i].si_status);
    }
    state_pass();
}
