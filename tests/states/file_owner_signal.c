// Who gets SIGIO: F_SETOWN to a process and a group, F_SETOWN_EX to a thread, F_SETSIG, O_ASYNC on a
// pipe and a socket, and that it arrives.
#include <sys/socket.h>

#include "state.h"

static volatile int caught, caught_fd;

static void handler(int n, siginfo_t *info, void *context) {
    (void)context;
    caught = n;
    caught_fd = info->si_fd;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    MUST(sigaction(SIGRTMIN + 7, &action, NULL));
    MUST(sigaction(SIGIO, &action, NULL));
    int one[2], two[2], pair[2];
    MUST(pipe(one));
    MUST(pipe(two));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(fcntl(one[0], F_SETOWN, getpid()));
    MUST(fcntl(one[0], F_SETSIG, SIGRTMIN + 7));
    MUST(fcntl(one[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    MUST(fcntl(two[0], F_SETOWN, -getpgrp()));
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = syscall(SYS_gettid)}, is;
    MUST(fcntl(pair[0], F_SETOWN_EX, &owner));
    MUST(fcntl(pair[0], F_SETFL, O_ASYNC));

    state_ready();

    EQUAL(fcntl(one[0], F_GETOWN), getpid());
    EQUAL(fcntl(one[0], F_GETSIG), SIGRTMIN + 7);
    EQUAL(fcntl(one[0], F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
    MUST(fcntl(two[0], F_GETOWN_EX, &is));
    EQUAL(is.type, F_OWNER_PGRP);
    EQUAL(is.pid, getpgrp());
    MUST(fcntl(pair[0], F_GETOWN_EX, &is));
    EQUAL(is.type, F_OWNER_TID);
    EQUAL(is.pid, getpid());
    MUST(fcntl(two[1], F_GETOWN_EX, &is));
    EQUAL(is.pid, 0);
    EQUAL(caught, 0);
    EQUAL(write(one[1], "x", 1), 1);
    AWAIT(caught == SIGRTMIN + 7, "no signal for the pipe");
    EQUAL(caught_fd, one[0]);
    EQUAL(write(pair[1], "x", 1), 1);
    AWAIT(caught == SIGIO, "no signal for the socket");
    state_pass();
}
