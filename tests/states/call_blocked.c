// Threads that are blocked without a limit in a system call each: read from a pipe, an eventfd, a
// unix socket and a FIFO, write to a full pipe, poll, select, epoll, futex, accept, flock, semop,
// msgrcv, open of a FIFO. Each gets what it waits for, and nothing before.
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "state.h"

enum { PIPE, EVENT, SOCKET, FULL, POLL, SELECT, EPOLL, FUTEX, ACCEPT, LOCK, OPEN, COUNT };
static const char *const names[COUNT] = {"pipe",   "eventfd", "socket", "full pipe", "poll", "select",
                                         "epoll",  "futex",   "accept", "flock",     "open"};
static int pipes[COUNT][2], event_fd, sockets[2], listener, epoll_fd, locked[2], word;
static volatile int started, done[COUNT];
static char *fifo;

static void *body(void *arg) {
    long n = (long)arg;
    char byte = 0;
    uint64_t number = 0;
    struct pollfd polled = {.fd = pipes[n][0], .events = POLLIN};
    struct epoll_event event;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[n][0], &set);
    __sync_fetch_and_add(&started, 1);
    long got = -1, want = 1;
    errno = 0;
    switch (n) {
    case PIPE: got = read(pipes[n][0], &byte, 1); break;
    case EVENT: got = read(event_fd, &number, 8), want = 8; break;
    case SOCKET: got = read(sockets[0], &byte, 1); break;
    case FULL: got = write(pipes[n][1], "x", 1); break;
    case POLL: got = poll(&polled, 1, -1); break;
    case SELECT: got = select(pipes[n][0] + 1, &set, NULL, NULL, NULL); break;
    case EPOLL: got = epoll_wait(epoll_fd, &event, 1, -1); break;
    case FUTEX: got = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), want = 0; break;
    case ACCEPT: got = accept(listener, NULL, NULL), want = got < 0 ? 0 : got; break;
    case LOCK: got = flock(locked[1], LOCK_EX), want = 0; break;
    case OPEN: got = open(fifo, O_RDONLY), want = got < 0 ? 0 : got; break;
    }
    CHECK(got == want, "%s: %ld (%s)", names[n], got, got < 0 ? strerror(errno) : "");
    done[n] = 1;
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    for (int i = 0; i < COUNT; i++) MUST(pipe(pipes[i]));
    event_fd = MUST(eventfd(0, 0));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    MUST(fcntl(pipes[FULL][1], F_SETFL, O_NONBLOCK));
    char page[4096] = {0};
    while (write(pipes[FULL][1], page, sizeof page) > 0) {}
    MUST(fcntl(pipes[FULL][1], F_SETFL, 0));
    listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    struct sockaddr address = {.sa_family = AF_UNIX};
    MUST(bind(listener, &address, sizeof(sa_family_t))); // an abstract name of the kernel's choice
    MUST(listen(listener, 5));
    epoll_fd = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipes[EPOLL][0], &event));
    for (int i = 0; i < 2; i++) locked[i] = MUST(open(state_path("locked"), O_RDWR | O_CREAT, 0600));
    MUST(flock(locked[0], LOCK_EX));
    fifo = strdup(state_path("fifo"));
    MUST(mkfifo(fifo, 0600));
    pthread_t threads[COUNT];
    for (long i = 0; i < COUNT; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == COUNT, "the threads do not start");
    usleep(50000);

    state_ready();

    usleep(50000);
    for (int i = 0; i < COUNT; i++) CHECK(!done[i], "%s returned before its time", names[i]);
    uint64_t number = 1;
    MUST(write(pipes[PIPE][1], "a", 1));
    MUST(write(event_fd, &number, 8));
    MUST(write(sockets[1], "b", 1));
    EQUAL(read(pipes[FULL][0], page, sizeof page), 4096);
    for (int i = POLL; i <= EPOLL; i++) MUST(write(pipes[i][1], "c", 1));
    word = 1;
    MUST(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    MUST(getsockname(listener, (struct sockaddr *)&name, &length));
    int client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(connect(client, (struct sockaddr *)&name, length));
    MUST(flock(locked[0], LOCK_UN));
    MUST(open(fifo, O_WRONLY));
    for (int i = 0; i < COUNT; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
