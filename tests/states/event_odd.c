// Event descriptors in odd positions: timers of every clock, with ticks and absolute, a full and a semaphore
// eventfd, signalfd with signals waiting, pidfds of itself, a child, a thread and a zombie, epoll of a pidfd,
// exclusive and in chains, of a number that another file has by now.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "state.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static volatile int thread_tid;
static void *idle(void *arg) {
    thread_tid = gettid();
    for (;;) pause();
    return arg;
}

static void child(void *arg) {
    (void)arg;
    state_child_ready();
}

static void add(int epoll, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM};
    int timers[5], ticking, done, absolute;
    for (int i = 0; i < 5; i++) {
        timers[i] = timerfd_create(clocks[i], TFD_NONBLOCK);
        struct itimerspec in = {{1, 5}, {1000 + i, 0}};
        if (timers[i] != -1) MUST(timerfd_settime(timers[i], 0, &in, NULL));
    }
    struct itimerspec often = {{0, 20000000}, {0, 1000000}}, once = {{0, 0}, {0, 1000000}}, later = {{0, 0}, {0, 0}};
    ticking = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    MUST(timerfd_settime(ticking, 0, &often, NULL));
    done = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    MUST(timerfd_settime(done, 0, &once, NULL));
    absolute = MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    MUST(clock_gettime(CLOCK_REALTIME, &later.it_value));
    later.it_value.tv_sec += 5000;
    MUST(timerfd_settime(absolute, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &later, NULL));
    int unarmed = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    int full = MUST(eventfd(0, EFD_NONBLOCK)), semaphore = MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
    uint64_t most = UINT64_MAX - 1, value;
    EQUAL(write(full, &most, 8), 8);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 3);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int signals = MUST(signalfd(-1, &set, SFD_NONBLOCK));
    MUST(kill(getpid(), SIGUSR2));
    for (int i = 0; i < 3; i++) MUST(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 40 + i}));
    pthread_t thread;
    OK(pthread_create(&thread, NULL, idle, NULL));
    AWAIT(thread_tid, "no thread");
    pid_t pid = state_fork(child, NULL), zombie = MUST(fork());
    if (zombie == 0) _exit(9);
    siginfo_t info;
    MUST(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
    int own = MUST(syscall(SYS_pidfd_open, getpid(), 0)), of_child = MUST(syscall(SYS_pidfd_open, pid, O_NONBLOCK));
    int of_zombie = MUST(syscall(SYS_pidfd_open, zombie, 0)), of_thread = syscall(SYS_pidfd_open, thread_tid, PIDFD_THREAD);
    int epoll = MUST(epoll_create1(0)), outer = MUST(epoll_create1(0)), outermost = MUST(epoll_create1(0));
    add(epoll, of_child, EPOLLIN, 1);
    add(epoll, semaphore, EPOLLIN | EPOLLEXCLUSIVE, 2);
    add(outer, epoll, EPOLLIN, 3);
    add(outermost, outer, EPOLLIN | EPOLLET, 4);
    add(outermost, ticking, EPOLLIN, 5);
    // A number that is another file's by now, both watched.
    int early = MUST(eventfd(0, 0)), kept = MUST(dup(early)), chosen = early;
    add(epoll, early, EPOLLIN, 6);
    close(early);
    int late = MUST(eventfd(0, 0));
    if (late != chosen) MUST(dup2(late, chosen));
    add(epoll, chosen, EPOLLIN, 7);
    usleep(70000);

    state_ready();

    for (int i = 0; i < 5; i++) {
        struct itimerspec is;
        if (timers[i] == -1) continue;
        MUST(timerfd_gettime(timers[i], &is));
        CHECK(is.it_interval.tv_sec == 1 && is.it_interval.tv_nsec == 5, "clock %d: interval %ld", clocks[i], is.it_interval.tv_sec);
        CHECK(is.it_value.tv_sec > 900 && is.it_value.tv_sec <= 1000 + i, "clock %d: %ld s left", clocks[i], is.it_value.tv_sec);
    }
    EQUAL(read(ticking, &value, 8), 8);
    CHECK(value >= 3, "%lu ticks", (long)value);
    EQUAL(read(done, &value, 8), 8);
    EQUAL(value, 1);
    CHECK(read(done, &value, 8) == -1 && errno == EAGAIN, "it ticks again");
    struct itimerspec is;
    MUST(timerfd_gettime(absolute, &is));
    struct timespec now;
    MUST(clock_gettime(CLOCK_REALTIME, &now));
    CHECK(labs(now.tv_sec + is.it_value.tv_sec - later.it_value.tv_sec) <= 1, "another moment");
    MUST(timerfd_gettime(unarmed, &is));
    CHECK(is.it_value.tv_sec == 0 && is.it_value.tv_nsec == 0, "an unarmed timer is armed");
    value = 1;
    CHECK(write(full, &value, 8) == -1 && errno == EAGAIN, "there is room in a full eventfd");
    EQUAL(read(full, &value, 8), 8);
    CHECK(value == most, "%#lx", (long)value);
    struct signalfd_siginfo got;
    EQUAL(read(signals, &got, sizeof got), sizeof got);
    EQUAL(got.ssi_signo, SIGUSR2);
    for (int i = 0; i < 3; i++) {
        EQUAL(read(signals, &got, sizeof got), sizeof got);
        EQUAL(got.ssi_int, 40 + i);
        EQUAL(got.ssi_pid, getpid());
    }
    CHECK(read(signals, &got, sizeof got) == -1 && errno == EAGAIN, "one more signal");
    for (int i = 0; i < 3; i++) {
        EQUAL(read(semaphore, &value, 8), 8);
        EQUAL(value, 1);
    }
    CHECK(read(semaphore, &value, 8) == -1 && errno == EAGAIN, "more than 3");
    MUST(syscall(SYS_pidfd_send_signal, own, 0, NULL, 0));
    MUST(syscall(SYS_pidfd_send_signal, of_child, 0, NULL, 0));
    if (of_thread != -1) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", of_thread);
        EQUAL(atoi(state_field(path, "Pid")), thread_tid);
        EQUAL(fcntl(of_thread, F_GETFL) & O_EXCL, O_EXCL);
    }
    struct pollfd wait = {.fd = of_zombie, .events = POLLIN};
    EQUAL(poll(&wait, 1, 1000), 1);
    MUST(waitid(P_PIDFD, of_zombie, &info, WEXITED));
    EQUAL(info.si_status, 9);
    struct epoll_event event = {0}, events[4];
    EQUAL(epoll_wait(epoll, &event, 1, 0), 0);
    state_child_end(pid);
    EQUAL(epoll_wait(outer, &event, 1, 2000), 1);
    EQUAL(event.data.u64, 3);
    EQUAL(epoll_wait(epoll, &event, 1, 2000), 1);
    EQUAL(event.data.u64, 1);
    close(of_child);
    value = 5;
    EQUAL(write(kept, &value, 8), 8);
    EQUAL(epoll_wait(epoll, events, 4, 2000), 1);
    EQUAL(events[0].data.u64, 6);
    EQUAL(read(kept, &value, 8), 8);
    EQUAL(value, 5);
    EQUAL(write(chosen, &value, 8), 8);
    EQUAL(epoll_wait(epoll, events, 4, 2000), 1);
    EQUAL(events[0].data.u64, 7);
    struct epoll_event changed = {.events = EPOLLIN, .data.u64 = 70};
    MUST(epoll_ctl(epoll, EPOLL_CTL_MOD, chosen, &changed));
    EQUAL(epoll_wait(epoll, events, 4, 2000), 1);
    EQUAL(events[0].data.u64, 70);
    state_pass();
}
