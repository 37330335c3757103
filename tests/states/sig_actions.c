// Dispositions of all 64 signals: handlers of both kinds, flags, masks, restorers, ignored ones.
#include "state.h"

struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

static volatile int caught, code, value;
static volatile sig_atomic_t nested;

static void plain(int signal_number) {
    caught = signal_number;
}

static void rich(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    caught = signal_number;
    code = info->si_code;
    value = info->si_value.sival_int;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    nested = sigismember(&mask, SIGUSR2);
}

static void get(int n, struct kernel_action *action) {
    MUST(syscall(SYS_rt_sigaction, n, NULL, action, 8));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sigaction action;
    const int flags[] = {0, SA_RESTART, SA_NODEFER, SA_RESETHAND | SA_NOCLDSTOP, SA_ONSTACK,
                         SA_RESTART | SA_NODEFER | SA_ONSTACK | SA_NOCLDWAIT};
    for (int n = 1; n <= 64; n++) {
        if (n == SIGKILL || n == SIGSTOP || n == SIGTERM || n == 32 || n == 33) continue;
        memset(&action, 0, sizeof action);
        sigemptyset(&action.sa_mask);
        for (int other = 1; other <= 64; other += n) sigaddset(&action.sa_mask, other);
        action.sa_flags = flags[n % 6];
        if (n % 5 == 0)
            action.sa_handler = SIG_IGN;
        else if (n % 5 == 1)
            action.sa_handler = SIG_DFL;
        else if (n % 2)
            action.sa_handler = plain;
        else {
            action.sa_sigaction = rich;
            action.sa_flags |= SA_SIGINFO;
        }
        MUST(sigaction(n, &action, NULL));
    }
    action = (struct sigaction){.sa_sigaction = rich, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGUSR2);
    MUST(sigaction(SIGRTMAX, &action, NULL));
    struct kernel_action was[65] = {0}, is;
    for (int n = 1; n <= 64; n++) get(n, &was[n]);

    state_ready();

    if (state_breaking()) signal(SIGHUP, plain);
    for (int n = 1; n <= 64; n++) {
        get(n, &is);
        CHECK(is.handler == was[n].handler, "signal %d: handler %p, was %p", n, is.handler,
              was[n].handler);
        CHECK(is.flags == was[n].flags, "signal %d: flags %#lx, were %#lx", n, is.flags,
              was[n].flags);
        CHECK(is.restorer == was[n].restorer, "signal %d: restorer", n);
        CHECK(is.mask == was[n].mask, "signal %d: mask %#" PRIx64 ", was %#" PRIx64, n, is.mask,
              was[n].mask);
    }
    MUST(sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = 4711}));
    EQUAL(caught, SIGRTMAX);
    EQUAL(code, SI_QUEUE);
    EQUAL(value, 4711);
    EQUAL(nested, 1);
    // SIGWINCH (28) has SA_ONSTACK and a handler of the plain kind or none: it must not end us.
    MUST(kill(getpid(), SIGURG));
    state_pass();
}
