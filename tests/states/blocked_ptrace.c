// One process of the tree traces another: a tracer can't be taken from it unnoticed.
#include <sys/ptrace.h>

#include "state.h"

static void traced(void *arg) {
    (void)arg;
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t pid = state_fork(traced, NULL);
    MUST(ptrace(PTRACE_SEIZE, pid, 0, 0));
    state_ready();
    MUST(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
    int status;
    EQUAL(waitpid(pid, &status, __WALL), pid);
    CHECK(WIFSTOPPED(status), "status %#x", status);
    MUST(ptrace(PTRACE_DETACH, pid, 0, 0));
    state_child_end(pid);
    state_pass();
}
