// Queues with many signals of every origin: 300 of one realtime number in order, sent with kill,
// tkill, sigqueue, by a child's end with its fields, by a timer, by a descriptor.
#include "state.h"

#define MANY 300

static void take(int number, siginfo_t *info) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    int got = sigtimedwait(&one, info, &(struct timespec){0});
    CHECK(got == number, "signal %d is not pending: %s", number, strerror(errno));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGTERM);
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    for (int i = 0; i < MANY; i++) MUST(sigqueue(getpid(), SIGRTMIN + 7, (union sigval){.sival_int = i}));
    MUST(kill(getpid(), SIGUSR1));
    MUST(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2));
    MUST(raise(SIGRTMIN + 2));
    pid_t child = MUST(fork());
    if (child == 0) _exit(33);
    siginfo_t info;
    MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    int ends[2];
    MUST(pipe(ends));
    MUST(fcntl(ends[0], F_SETOWN, getpid()));
    MUST(fcntl(ends[0], F_SETSIG, SIGRTMIN + 9));
    MUST(fcntl(ends[0], F_SETFL, O_ASYNC));
    MUST(write(ends[1], "x", 1));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 4, .sigev_value.sival_int = 4711};
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    MUST(timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000}, NULL));
    MUST(kill(getpid(), SIGSEGV));
    MUST(kill(getpid(), SIGCONT));
    MUST(kill(getpid(), SIGTSTP)); // takes the SIGCONT away
    usleep(5000);

    state_ready();

    take(SIGUSR1, &info);
    EQUAL(info.si_code, SI_USER);
    EQUAL(info.si_pid, getpid());
    take(SIGUSR2, &info);
    EQUAL(info.si_code, SI_USER); // glibc says so for SI_TKILL
    take(SIGRTMIN + 2, &info);
    EQUAL(info.si_code, SI_USER); // glibc says so for SI_TKILL
    EQUAL(info.si_pid, getpid());
    take(SIGCHLD, &info);
    EQUAL(info.si_code, CLD_EXITED);
    EQUAL(info.si_pid, child);
    EQUAL(info.si_status, 33);
    take(SIGRTMIN + 9, &info);
    EQUAL(info.si_code, POLL_IN);
    EQUAL(info.si_fd, ends[0]);
    take(SIGRTMIN + 4, &info);
    EQUAL(info.si_code, SI_TIMER);
    EQUAL(info.si_value.sival_int, 4711);
    take(SIGSEGV, &info);
    EQUAL(info.si_code, SI_USER);
    take(SIGTSTP, &info);
    for (int i = 0; i < MANY; i++) {
        take(SIGRTMIN + 7, &info);
        EQUAL(info.si_value.sival_int, i);
        EQUAL(info.si_code, SI_QUEUE);
    }
    int got = sigtimedwait(&all, &info, &(struct timespec){0});
    CHECK(got == -1, "signal %d too much, code %d", got, info.si_code);
    state_expect_exit(child, 33);
    state_pass();
}
