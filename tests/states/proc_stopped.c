// A stopped child stays stopped: one stopped by SIGSTOP, one by SIGTSTP, one stopped and not yet
// reported to its parent, one stopped with a signal pending.
#include "state.h"

static volatile int *counts;

static void counts_up(void *arg) {
    int n = (int)(long)arg;
    // SIGTSTP does not stop a member of an orphaned group, such as the root's.
    if (n == 1) MUST(setpgid(0, 0));
    state_child_reports();
    for (;;) {
        counts[n]++;
        usleep(1000);
    }
}

static void stop(pid_t child, int signal_number, int options) {
    siginfo_t info;
    MUST(kill(child, signal_number));
    MUST(waitid(P_PID, child, &info, WSTOPPED | options));
    EQUAL(info.si_code, CLD_STOPPED);
    EQUAL(info.si_status, signal_number);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    counts = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t children[4];
    int was[4];
    for (long i = 0; i < 4; i++) children[i] = state_fork(counts_up, (void *)i);
    stop(children[0], SIGSTOP, 0);
    stop(children[1], SIGTSTP, 0);
    stop(children[2], SIGSTOP, WNOWAIT);
    stop(children[3], SIGSTOP, 0);
    MUST(kill(children[3], SIGUSR1));
    for (int i = 0; i < 4; i++) was[i] = counts[i];

    state_ready();

    usleep(30000);
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/status", children[i]);
        char *state = state_field(path, "State");
        CHECK(state[0] == 'T', "child %d is in state %s", i, state);
        CHECK(counts[i] == was[i], "child %d counted while it was stopped", i);
    }
    siginfo_t info = {0};
    MUST(waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG));
    EQUAL(info.si_pid, children[2]); // the stop that was not taken yet, and no other
    EQUAL(info.si_status, SIGSTOP);
    info.si_pid = 0;
    MUST(waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG));
    EQUAL(info.si_pid, 0);
    for (int i = 0; i < 4; i++) {
        MUST(kill(children[i], SIGCONT));
        int status;
        if (i == 3) { // the pending signal strikes as soon as it runs
            EQUAL(waitpid(children[i], &status, 0), children[i]);
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1, "status %#x", status);
            continue;
        }
        EQUAL(waitpid(children[i], &status, WCONTINUED), children[i]);
        CHECK(WIFCONTINUED(status), "status %#x", status);
        AWAIT(counts[i] > was[i], "child %d does not go on", i);
        MUST(kill(children[i], SIGKILL));
        EQUAL(waitpid(children[i], &status, 0), children[i]);
    }
    state_pass();
}
