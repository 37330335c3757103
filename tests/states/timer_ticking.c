// A real-time interval timer that ticks all the time: it still does, at its pace.
#include "state.h"

static volatile int ticks;

static void handler(int n) {
    (void)n;
    ticks++;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(sigaction(SIGALRM, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART}, NULL));
    MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL));
    AWAIT(ticks > 2, "no ticks");
    state_ready();
    int before = ticks;
    double start = state_now();
    while (ticks < before + 25) CHECK(state_now() < start + 10, "only %d ticks", ticks - before);
    double took = state_now() - start;
    CHECK(took > 0.40, "25 ticks of 20 ms took only %f s", took);
    state_pass();
}
