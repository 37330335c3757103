// Children made by clone with another exit signal than SIGCHLD, or none at all, are waited for with
// __WALL, and their end is told by that signal.
#include "state.h"

static volatile sig_atomic_t told;

static void on_end(int signal_number) {
    told = signal_number;
}

static pid_t clone_with(int exit_signal) {
    pid_t child = MUST(syscall(SYS_clone, exit_signal, NULL, NULL, NULL, NULL));
    if (child == 0) {
        for (;;) pause();
    }
    return child;
}

static void end(pid_t child, int want) {
    int status;
    told = 0;
    MUST(kill(child, SIGKILL));
    if (want != SIGCHLD) {
        CHECK(waitpid(child, &status, WNOHANG) == -1 && errno == ECHILD,
              "a child with exit signal %d is waited for as any other", want);
    }
    EQUAL(waitpid(child, &status, __WALL), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
    if (want) AWAIT(told == want, "told by signal %d, not %d", told, want);
    EQUAL(told, want);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGUSR1, on_end);
    signal(SIGCHLD, on_end);
    signal(SIGRTMIN + 2, on_end);
    pid_t usual = clone_with(SIGCHLD), usr = clone_with(SIGUSR1), rt = clone_with(SIGRTMIN + 2);
    pid_t silent = clone_with(0);
    state_ready();
    end(usual, SIGCHLD);
    end(usr, SIGUSR1);
    end(rt, SIGRTMIN + 2);
    end(silent, 0);
    state_pass();
}
