// eventfd (counter, semaphore mode, full, shared with a child), signalfd (mask, pending signals) and
// pidfd (of a child, of a zombie, of itself, non-blocking).
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>

#include "state.h"

#ifndef PIDFD_NONBLOCK
#define PIDFD_NONBLOCK O_NONBLOCK
#endif

static int shared;

static void child(void *arg) {
    (void)arg;
    state_child_ready();
    uint64_t value = 5;
    EQUAL(write(shared, &value, 8), 8);
}

static uint64_t take(int fd) {
    uint64_t value = 0;
    EQUAL(read(fd, &value, 8), 8);
    return value;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int counter = MUST(eventfd(77, EFD_NONBLOCK | EFD_CLOEXEC)), semaphore = MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
    int full = MUST(eventfd(0, EFD_NONBLOCK));
    uint64_t most = UINT64_MAX - 1;
    EQUAL(write(full, &most, 8), 8);
    shared = MUST(eventfd(1, 0));
    pid_t pid = state_fork(child, NULL);

    sigset_t mask, wide;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGRTMIN + 5);
    MUST(sigprocmask(SIG_BLOCK, &mask, NULL));
    int signals = MUST(signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC));
    sigfillset(&wide);
    int wide_signals = MUST(signalfd(-1, &wide, 0));
    MUST(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 99}));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", wide_signals);
    char *wide_was = state_field(path, "sigmask");

    pid_t zombie = MUST(fork());
    if (zombie == 0) _exit(9);
    siginfo_t info;
    MUST(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
    int of_child = MUST(syscall(SYS_pidfd_open, pid, PIDFD_NONBLOCK)), of_zombie = MUST(syscall(SYS_pidfd_open, zombie, 0));
    int of_self = MUST(syscall(SYS_pidfd_open, getpid(), 0));

    state_ready();

    EQUAL(take(counter), 77);
    uint64_t value;
    CHECK(read(counter, &value, 8) == -1 && errno == EAGAIN, "the counter was not emptied");
    EQUAL(fcntl(counter, F_GETFD), FD_CLOEXEC);
    for (int i = 0; i < 3; i++) EQUAL(take(semaphore), 1);
    CHECK(read(semaphore, &value, 8) == -1 && errno == EAGAIN, "the semaphore counts too much");
    value = 1;
    CHECK(write(full, &value, 8) == -1 && errno == EAGAIN, "the full counter takes more");
    EQUAL(take(full), UINT64_MAX - 1);

    char *wide_is = state_field(path, "sigmask");
    CHECK(strcmp(wide_was, wide_is) == 0, "signalfd's mask is %s, was %s", wide_is, wide_was);
    struct signalfd_siginfo event;
    EQUAL(read(signals, &event, sizeof event), sizeof event);
    EQUAL(event.ssi_signo, SIGRTMIN + 5);
    EQUAL(event.ssi_int, 99);
    CHECK(read(signals, &event, sizeof event) == -1 && errno == EAGAIN, "one signal too many");
    MUST(kill(getpid(), SIGUSR1));
    EQUAL(read(signals, &event, sizeof event), sizeof event);
    EQUAL(event.ssi_signo, SIGUSR1);

    struct pollfd wait = {.fd = of_child, .events = POLLIN};
    EQUAL(poll(&wait, 1, 0), 0);
    EQUAL(fcntl(of_child, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(of_child, F_GETFD), FD_CLOEXEC);
    MUST(syscall(SYS_pidfd_send_signal, of_child, SIGTERM, NULL, 0));
    EQUAL(poll(&wait, 1, 5000), 1);
    state_expect_exit(pid, 0);
    EQUAL(take(shared), 6);
    wait.fd = of_zombie;
    EQUAL(poll(&wait, 1, 0), 1);
    info.si_pid = 0;
    MUST(waitid(P_PIDFD, of_zombie, &info, WEXITED));
    EQUAL(info.si_status, 9);
    CHECK(syscall(SYS_pidfd_send_signal, of_zombie, 0, NULL, 0) == -1 && errno == ESRCH, "it still is there");
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", of_self);
    EQUAL(atoi(state_field(path, "Pid")), getpid());
    MUST(syscall(SYS_pidfd_send_signal, of_self, 0, NULL, 0));
    state_pass();
}
