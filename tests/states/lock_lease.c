// Leases: a read lease and a write lease, the signal that breaks them, and that they are broken by
// an open of another process.
#include "state.h"

static volatile int caught_fd = -1;

static void handler(int n, siginfo_t *info, void *context) {
    (void)n;
    (void)context;
    caught_fd = info->si_fd;
}

static void opener(void *arg) {
    state_child_reports();
    CHECK(open(arg, O_RDWR | O_NONBLOCK) == -1 && errno == EWOULDBLOCK, "the lease does not hold: %s", strerror(errno));
    state_child_waits();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    MUST(sigaction(SIGRTMIN + 6, &action, NULL));
    const char *read_name = strdup(state_path("read")), *write_name = strdup(state_path("write"));
    close(MUST(open(read_name, O_CREAT | O_RDWR, 0600)));
    int read_fd = MUST(open(read_name, O_RDONLY)), write_fd = MUST(open(write_name, O_CREAT | O_RDWR, 0600));
    MUST(fcntl(read_fd, F_SETSIG, SIGRTMIN + 6));
    MUST(fcntl(write_fd, F_SETSIG, SIGRTMIN + 6));
    if (fcntl(read_fd, F_SETLEASE, F_RDLCK) == -1) state_skip("no leases on this file system: %s", strerror(errno));
    MUST(fcntl(write_fd, F_SETLEASE, F_WRLCK));
    state_ready();
    EQUAL(fcntl(read_fd, F_GETLEASE), F_RDLCK);
    EQUAL(fcntl(write_fd, F_GETLEASE), F_WRLCK);
    EQUAL(caught_fd, -1);
    // state_fork's child inherits the descriptors, but a lease is the description's: the child
    // breaks it by opening the name.
    pid_t pid = state_fork(opener, (void *)write_name);
    AWAIT(caught_fd == write_fd, "the write lease's break is not told");
    MUST(fcntl(write_fd, F_SETLEASE, F_UNLCK));
    state_child_end(pid);
    caught_fd = -1;
    pid = state_fork(opener, (void *)read_name);
    AWAIT(caught_fd == read_fd, "the read lease's break is not told");
    MUST(fcntl(read_fd, F_SETLEASE, F_UNLCK));
    state_child_end(pid);
    state_pass();
}
