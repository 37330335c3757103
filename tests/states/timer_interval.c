// The three interval timers, each with a long remaining time and an interval, then run out.
#include "state.h"

static volatile int alarms, virtual_alarms, profiles;

static void handler(int n) {
    if (n == SIGALRM) alarms++;
    if (n == SIGVTALRM) virtual_alarms++;
    if (n == SIGPROF) profiles++;
}

static void check(int which, long value, long interval, const char *name) {
    struct itimerval now;
    MUST(getitimer(which, &now));
    CHECK(now.it_interval.tv_sec == interval && now.it_interval.tv_usec == 250000,
          "%s: interval %ld.%06ld", name, now.it_interval.tv_sec, now.it_interval.tv_usec);
    CHECK(now.it_value.tv_sec <= value && now.it_value.tv_sec > value - 120,
          "%s: %ld.%06ld s left of %ld", name, now.it_value.tv_sec, now.it_value.tv_usec, value);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    for (int n = 0; n < 3; n++)
        MUST(sigaction((int[]){SIGALRM, SIGVTALRM, SIGPROF}[n],
                       &(struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART}, NULL));
    MUST(setitimer(ITIMER_REAL, &(struct itimerval){{11, 250000}, {1000, 5}}, NULL));
    MUST(setitimer(ITIMER_VIRTUAL, &(struct itimerval){{22, 250000}, {2000, 0}}, NULL));
    MUST(setitimer(ITIMER_PROF, &(struct itimerval){{33, 250000}, {3000, 0}}, NULL));
    state_ready();
    if (state_breaking()) setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    check(ITIMER_REAL, 1000, 11, "real");
    check(ITIMER_VIRTUAL, 2000, 22, "virtual");
    check(ITIMER_PROF, 3000, 33, "profiling");
    EQUAL(alarms + virtual_alarms + profiles, 0);
    MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 10000}, {0, 10000}}, NULL));
    MUST(setitimer(ITIMER_VIRTUAL, &(struct itimerval){{0, 10000}, {0, 10000}}, NULL));
    MUST(setitimer(ITIMER_PROF, &(struct itimerval){{0, 10000}, {0, 10000}}, NULL));
    double limit = state_now() + 10;
    while (alarms < 3 || virtual_alarms < 3 || profiles < 3)
        CHECK(state_now() < limit, "ticks: %d %d %d", alarms, virtual_alarms, profiles);
    state_pass();
}
