// Leaders that have ended and were not waited for: of a group with a living member, of a session with
// a living member, and a zombie in a group whose leader lives; an orphan below a zombie's parent.
#include "state.h"

static void waits(void *arg) {
    if (arg) MUST(setpgid(0, *(pid_t *)arg));
    state_child_ready();
}

static pid_t member_pid;
static void leads_session(int report) {
    MUST(setsid());
    pid_t member = MUST(fork());
    if (member == 0) {
        close(report);
        prctl(PR_SET_NAME, "member");
        for (;;) pause();
    }
    MUST(write(report, &member, sizeof member));
    _exit(9);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    siginfo_t info;
    pid_t leader = MUST(fork());
    if (leader == 0) {
        MUST(setpgid(0, 0));
        for (;;) pause();
    }
    AWAIT(getpgid(leader) == leader, "no group");
    pid_t member = state_fork(waits, &leader);
    MUST(kill(leader, SIGKILL));
    MUST(waitid(P_PID, leader, &info, WEXITED | WNOWAIT));
    int ends[2];
    MUST(pipe(ends));
    pid_t session = MUST(fork());
    if (session == 0) leads_session(ends[1]);
    EQUAL(read(ends[0], &member_pid, sizeof member_pid), (ssize_t)sizeof member_pid);
    MUST(waitid(P_PID, session, &info, WEXITED | WNOWAIT));
    pid_t quick = MUST(fork());
    if (quick == 0) {
        setpgid(0, leader);
        _exit(4);
    }
    MUST(waitid(P_PID, quick, &info, WEXITED | WNOWAIT));

    state_ready();

    EQUAL(getpgid(member), leader);
    EQUAL(getpgid(quick), leader);
    EQUAL(getpgid(member_pid), session);
    EQUAL(getsid(member_pid), session);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", member_pid);
    EQUAL(atoi(state_field(path, "PPid")), getpid());
    int status;
    EQUAL(waitpid(leader, &status, WNOHANG), leader);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
    state_expect_exit(session, 9);
    state_expect_exit(quick, 4);
    MUST(kill(member_pid, SIGKILL));
    EQUAL(waitpid(member_pid, &status, 0), member_pid);
    state_child_end(member);
    state_pass();
}
