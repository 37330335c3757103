// Queued signals that are rarely there: more than the limit that was lowered since allows, for the process and for a
// thread; a blocked SIGCONT; and signals of the kernel's own kinds, with their addresses.
#include "state.h"

enum { QUEUED = 40 };

static const int faults[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGIO, SIGCONT};
enum { FAULTS = sizeof faults / sizeof *faults };

static void queue_fault(int i) {
    siginfo_t info = {.si_signo = faults[i], .si_code = i % 2 ? 1 : SI_KERNEL, .si_errno = i};
    info.si_addr = (void *)(0x123450000ul + i);
    if (i % 3 == 0)
        MUST(syscall(SYS_rt_sigqueueinfo, getpid(), faults[i], &info));
    else
        MUST(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), faults[i], &info));
}

static void take(int number, siginfo_t *info) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    EQUAL(sigtimedwait(&one, info, &(struct timespec){.tv_sec = 2}), number);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    // Limits count by user: one that has no other processes.
    if (geteuid() == 0) {
        MUST(setresgid(31111, 31111, 31111));
        MUST(setresuid(31111, 31111, 31111));
    }
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN + 3);
    for (int i = 0; i < FAULTS; i++) sigaddset(&blocked, faults[i]);
    MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
    for (int i = 0; i < QUEUED; i++) {
        union sigval value = {.sival_int = i};
        if (i % 2)
            MUST(sigqueue(getpid(), SIGRTMIN + 3, value));
        else
            OK(pthread_sigqueue(pthread_self(), SIGRTMIN + 3, value));
    }
    for (int i = 0; i < FAULTS; i++) queue_fault(i);
    struct rlimit limit = {3, 5};
    MUST(setrlimit(RLIMIT_SIGPENDING, &limit));
    state_ready();
    siginfo_t info;
    for (int i = 0; i < FAULTS; i++) {
        take(faults[i], &info);
        EQUAL(info.si_code, i % 2 ? 1 : SI_KERNEL);
        EQUAL(info.si_errno, i);
        EQUAL((uintptr_t)info.si_addr, 0x123450000ul + i);
    }
    // Those of the thread come first.
    for (int i = 0; i < QUEUED; i++) {
        take(SIGRTMIN + 3, &info);
        EQUAL(info.si_value.sival_int, i < QUEUED / 2 ? i * 2 : (i - QUEUED / 2) * 2 + 1);
    }
    MUST(getrlimit(RLIMIT_SIGPENDING, &limit));
    EQUAL(limit.rlim_cur, 3);
    EQUAL(limit.rlim_max, 5);
    state_pass();
}
