// Interrupted calls and handlers: a sleep, a poll, a read, a wait and a futex that a handler interrupts
// only after the restore; with SA_RESTART and without it.
#include <linux/futex.h>
#include <sys/epoll.h>

#include "state.h"

enum { SLEEP, POLL, READ, WAIT, FUTEX, PAUSE, EPOLL, SUSPEND, RESTARTED, KINDS };
static const char *const names[] = {"nanosleep", "poll", "read", "waitpid", "futex", "pause", "epoll", "sigsuspend", "read with SA_RESTART"};
static volatile int started, handled[KINDS];
static pid_t tids[KINDS];
static int pipes[2], word;
static __thread int own;

static void on_usr(int n) {
    (void)n;
    handled[own]++;
}

static long wait_in(int kind, struct timespec *left) {
    struct timespec span = {.tv_sec = 60};
    struct pollfd polled = {.fd = pipes[0], .events = POLLIN};
    struct epoll_event event;
    sigset_t none;
    sigemptyset(&none);
    char byte;
    switch (kind) {
    case SLEEP: return nanosleep(&span, left);
    case POLL: return poll(&polled, 1, 60000);
    case READ:
    case RESTARTED: return read(pipes[0], &byte, 1);
    case WAIT: return waitpid(-1, NULL, __WALL);
    case FUTEX: return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &span, NULL, 0);
    case PAUSE: return pause();
    case EPOLL: return epoll_wait(epoll_create1(0), &event, 1, 60000);
    default: return sigsuspend(&none);
    }
}

static void *body(void *arg) {
    own = (int)(long)arg;
    tids[own] = syscall(SYS_gettid);
    __sync_fetch_and_add(&started, 1);
    struct timespec left = {0};
    long got = wait_in(own, &left);
    int error = errno;
    EQUAL(handled[own], 1);
    if (own == RESTARTED)
        CHECK(got == 1, "%s: %ld, %s", names[own], got, strerror(error));
    else
        CHECK(got == -1 && error == EINTR, "%s: %ld, %s", names[own], got, strerror(error));
    if (own == SLEEP) CHECK(left.tv_sec > 20 && left.tv_sec < 60, "%ld s were left to sleep", left.tv_sec);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(pipe(pipes));
    MUST(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_usr}, NULL));
    MUST(sigaction(SIGUSR2, &(struct sigaction){.sa_handler = on_usr, .sa_flags = SA_RESTART}, NULL));
    pid_t child = MUST(fork());
    if (child == 0) for (;;) pause();
    pthread_t threads[KINDS];
    for (long i = 0; i < KINDS; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == KINDS, "threads do not start");
    usleep(100000);

    state_ready();

    for (int i = 0; i < KINDS; i++) {
        MUST(syscall(SYS_tgkill, getpid(), tids[i], i == RESTARTED ? SIGUSR2 : SIGUSR1));
        AWAIT(handled[i] == 1, "%s: no handler ran", names[i]);
        if (i == RESTARTED) {
            usleep(20000);
            MUST(write(pipes[1], "x", 1));
        }
        OK(pthread_join(threads[i], NULL));
    }
    kill(child, SIGKILL);
    state_pass();
}
