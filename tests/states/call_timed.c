// A thread in a timed system call (argument: which) that is interrupted by the capture: it returns
// what it would have returned, after the time that it was given, and not EINTR.
#include <linux/futex.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>

#include "state.h"

#define SECONDS 2.0
static const char *kind;
static volatile int started, done;

static bool is(const char *name) {
    return strcmp(kind, name) == 0;
}

// The call's return value or, where it is -1, minus errno.
static long wait_once(void) {
    struct timespec span = {.tv_sec = (long)SECONDS}, until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (long)SECONDS;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    wall.tv_sec += (long)SECONDS;
    struct timeval span_us = {.tv_sec = (long)SECONDS};
    int silent[2], word = 5, ms = SECONDS * 1000;
    MUST(pipe(silent));
    struct pollfd polled = {.fd = silent[0], .events = POLLIN};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(silent[0], &set);
    errno = 0;
    long got = -1;
    if (is("nanosleep"))
        got = syscall(SYS_nanosleep, &span, NULL);
    else if (is("clock-relative"))
        got = syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &span, NULL);
    else if (is("clock-absolute"))
        got = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    else if (is("wall-absolute"))
        got = syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &wall, NULL);
    else if (is("poll"))
        got = syscall(SYS_poll, &polled, 1, ms);
    else if (is("ppoll"))
        got = ppoll(&polled, 1, &span, NULL);
    else if (is("select"))
        got = syscall(SYS_select, silent[0] + 1, &set, NULL, NULL, &span_us);
    else if (is("pselect"))
        got = pselect(silent[0] + 1, &set, NULL, NULL, &span, NULL);
    else if (is("futex-relative"))
        got = syscall(SYS_futex, &word, FUTEX_WAIT, 5, &span, NULL, 0);
    else if (is("futex-absolute"))
        got = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, &until, NULL, FUTEX_BITSET_MATCH_ANY);
    else if (is("epoll")) {
        int epoll = MUST(epoll_create1(0));
        struct epoll_event event = {.events = EPOLLIN};
        MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, silent[0], &event));
        got = epoll_wait(epoll, &event, 1, ms);
    } else if (is("semop")) {
        int id = MUST(semget(IPC_PRIVATE, 1, 0600));
        struct sembuf down = {.sem_op = -1};
        got = semtimedop(id, &down, 1, &span);
        int error = errno;
        semctl(id, 0, IPC_RMID);
        errno = error;
    } else if (is("sigtimedwait")) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, SIGRTMIN + 5);
        got = sigtimedwait(&one, NULL, &span);
    } else if (is("receive")) {
        int ends[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        MUST(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &span_us, sizeof span_us));
        char byte;
        got = recv(ends[0], &byte, 1, 0);
    } else
        state_fail("no such call: %s", kind);
    return got == -1 ? -errno : got;
}

static void *body(void *arg) {
    long want = is("futex-relative") || is("futex-absolute") ? -ETIMEDOUT
                : is("semop") || is("sigtimedwait") || is("receive") ? -EAGAIN
                                                                      : 0;
    double start = state_now();
    started = 1;
    long got = wait_once();
    double took = state_now() - start;
    CHECK(got == want, "%s returned %ld (%s) after %f s, not %ld", kind, got,
          got < 0 ? strerror(-got) : "", took, want);
    CHECK(took > SECONDS - 0.02, "%s took only %f s", kind, took);
    done = 1;
    return arg;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    kind = state_arg(0);
    // What tells the program to go on is not for the thread, whose call it would end.
    sigset_t one, go;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN + 5);
    sigemptyset(&go);
    sigaddset(&go, SIGTERM);
    MUST(sigprocmask(SIG_BLOCK, &one, NULL));
    MUST(sigprocmask(SIG_BLOCK, &go, NULL));
    pthread_t thread;
    OK(pthread_create(&thread, NULL, body, NULL));
    MUST(sigprocmask(SIG_UNBLOCK, &go, NULL));
    AWAIT(started, "the thread does not start");
    usleep(30000);
    state_ready();
    OK(pthread_join(thread, NULL));
    EQUAL(done, 1);
    state_pass();
}
