// signalfds that epoll instances look at, of a process, which its child has inherited with their instances (they tell of
// signals of whoever added them), and of the child: each is heard when a signal comes, at once, again and again, also by
// an instance that looks at the instance.
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "state.h"

struct watched {
    int signals, epoll, outer;
};

static void add(int epoll, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

static struct watched watch(uint32_t events) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    struct watched w = {MUST(signalfd(-1, &set, SFD_NONBLOCK)), MUST(epoll_create1(0)), MUST(epoll_create1(EPOLL_CLOEXEC))};
    add(w.epoll, w.signals, events);
    add(w.outer, w.epoll, EPOLLIN);
    return w;
}

static void check_heard(const struct watched *w) {
    struct epoll_event event;
    struct signalfd_siginfo got;
    for (int i = 0; i < 3; i++) {
        EQUAL(epoll_wait(w->outer, &event, 1, 0), 0);
        MUST(kill(getpid(), SIGUSR2));
        EQUAL(epoll_wait(w->outer, &event, 1, 2000), 1);
        EQUAL(event.data.fd, w->epoll);
        EQUAL(epoll_wait(w->epoll, &event, 1, 2000), 1);
        EQUAL(event.data.fd, w->signals);
        EQUAL(read(w->signals, &got, sizeof got), sizeof got);
        EQUAL(got.ssi_signo, SIGUSR2);
    }
}

static void child(void *arg) {
    (void)arg;
    struct watched own = watch(EPOLLIN);
    state_child_ready();
    check_heard(&own);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct watched level = watch(EPOLLIN), edge = watch(EPOLLIN | EPOLLET);
    pid_t pid = state_fork(child, NULL);
    state_ready();
    if (state_breaking()) MUST(epoll_ctl(level.epoll, EPOLL_CTL_DEL, level.signals, NULL));
    state_child_end(pid);
    check_heard(&level);
    // Every signal makes it look again.
    struct epoll_event event;
    MUST(epoll_wait(edge.epoll, &event, 1, 0));
    check_heard(&edge);
    state_pass();
}
