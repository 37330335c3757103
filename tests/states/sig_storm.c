// Signals that arrive all the time: a child sends numbered realtime signals; none is lost, doubled
// or out of order, whenever the capture strikes.
#include "state.h"

static volatile uint32_t received;
static volatile int bad;
static volatile uint32_t *shared;

static void handler(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    (void)context;
    if ((uint32_t)info->si_value.sival_int != received + 1) bad = 1;
    received = info->si_value.sival_int;
    shared[1] = received;
}

static void sender(void *arg) {
    (void)arg;
    pid_t parent = getppid();
    state_child_reports();
    for (uint32_t n = 1; !shared[0]; n++) {
        while (n > shared[1] + 100) sched_yield();
        MUST(sigqueue(parent, SIGRTMIN + 4, (union sigval){.sival_int = n}));
        shared[2] = n;
    }
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    MUST(sigaction(SIGRTMIN + 4, &action, NULL));
    pid_t child = state_fork(sender, NULL);
    AWAIT(received > 1000, "no signals arrive");
    state_ready();
    uint32_t then = received;
    AWAIT(received > then + 1000, "no signals arrive any more");
    shared[0] = 1;
    int status;
    pid_t got;
    while ((got = waitpid(child, &status, 0)) == -1 && errno == EINTR) {}
    EQUAL(got, child);
    EQUAL(status, 0);
    AWAIT(received == shared[2], "received %u of %u", received, shared[2]);
    CHECK(!bad, "a signal was lost, doubled or out of order");
    state_pass();
}
