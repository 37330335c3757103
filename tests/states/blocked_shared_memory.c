// Two processes in one address space (clone with CLONE_VM, without CLONE_THREAD).
#include "state.h"

static char stack[65536];

static int body(void *arg) {
    (void)arg;
    for (;;) syscall(SYS_pause);
    return 0;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t pid = MUST(clone(body, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
    state_ready();
    MUST(kill(pid, SIGKILL));
    int status;
    EQUAL(waitpid(pid, &status, 0), pid);
    state_pass();
}
