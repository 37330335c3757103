// System calls that a thread has dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH), let through at the moment: the
// selector is still looked at, and code in the exempt range of another thread still exempt.
#include <ucontext.h>

#include "state.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static char selector;
static volatile int caught;

static void on_sigsys(int signal, siginfo_t *info, void *context) {
    (void)signal;
    selector = 0;
    caught = info->si_syscall;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 777;
}

static void *undisturbed(void *arg) {
    (void)arg;
    EQUAL(syscall(SYS_getppid), getppid());
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSYS, &action, NULL));
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) == -1) state_skip("%s", strerror(errno));

    state_ready();

    // One that is made now has none of it.
    pthread_t other;
    OK(pthread_create(&other, NULL, undisturbed, NULL));
    OK(pthread_join(other, NULL));
    selector = 1;
    EQUAL(syscall(SYS_getpid), 777);
    EQUAL(caught, SYS_getpid);
    EQUAL(selector, 0);
    EQUAL(syscall(SYS_getpid), getpid());
    state_pass();
}
