// Children that have ended and are not yet waited for: exit codes, deaths by signal, in groups and
// sessions of their own, and one whose end is asked for with waitid and left.
#include "state.h"

static pid_t ends_with(int code, int signal_number, int place) {
    pid_t child = MUST(fork());
    if (child == 0) {
        if (place == 1) setpgid(0, 0);
        if (place == 2) setsid();
        prctl(PR_SET_NAME, "ended");
        if (signal_number) {
            signal(signal_number, SIG_DFL);
            raise(signal_number);
        }
        _exit(code);
    }
    siginfo_t info;
    MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    return child;
}

static void check(pid_t child, int code, int signal_number) {
    siginfo_t info = {0};
    MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT | WNOHANG));
    EQUAL(info.si_pid, child);
    EQUAL(info.si_code, signal_number ? CLD_KILLED : CLD_EXITED);
    EQUAL(info.si_status, signal_number ? signal_number : code);
    int status;
    EQUAL(waitpid(child, &status, WNOHANG), child);
    if (signal_number)
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal_number, "status %#x", status);
    else
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", status);
    CHECK(kill(child, 0) == -1 && errno == ESRCH, "zombie %d is still there", child);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t zero = ends_with(0, 0, 0), seven = ends_with(7, 0, 1), high = ends_with(255, 0, 2);
    pid_t killed = ends_with(0, SIGKILL, 0), usr = ends_with(0, SIGUSR1, 1);
    pid_t term = ends_with(0, SIGTERM, 2);

    state_ready();

    EQUAL(getpgid(seven), seven);
    EQUAL(getsid(high), high);
    check(killed, 0, SIGKILL);
    check(zero, 0, 0);
    check(seven, 7, 0);
    check(high, 255, 0);
    check(usr, 0, SIGUSR1);
    check(term, 0, SIGTERM);
    CHECK(wait(NULL) == -1 && errno == ECHILD, "children that nobody knows");
    state_pass();
}
