// POSIX timers on the clocks of threads and processes, and on those that few use: a thread's CPU time,
// the process' by its number, TAI, the alarm clocks.
#include "state.h"

static volatile int go;
static timer_t of_thread;

static void *body(void *arg) {
    clockid_t clock;
    OK(pthread_getcpuclockid(pthread_self(), &clock));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 5};
    MUST(timer_create(clock, &event, &of_thread));
    MUST(timer_settime(of_thread, 0, &(struct itimerspec){.it_value.tv_sec = 300}, NULL));
    *(volatile int *)arg = 1;
    while (!go) usleep(2000);
    MUST(timer_settime(of_thread, 0, &(struct itimerspec){.it_value.tv_nsec = 20000000}, NULL));
    double start = state_now();
    while (state_now() - start < 0.3) {}
    return NULL;
}

static timer_t make(clockid_t clock, bool *there) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    *there = timer_create(clock, &event, &timer) == 0;
    if (*there) MUST(timer_settime(timer, 0, &(struct itimerspec){{7, 0}, {400, 0}}, NULL));
    return timer;
}

static void check(timer_t timer, bool there, const char *what) {
    if (!there) return;
    struct itimerspec is;
    CHECK(timer_gettime(timer, &is) == 0, "%s: %s", what, strerror(errno));
    CHECK(is.it_interval.tv_sec == 7 && is.it_value.tv_sec > 280 && is.it_value.tv_sec <= 400, "%s: %ld s every %ld", what,
          is.it_value.tv_sec, is.it_interval.tv_sec);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN + 2);
    sigaddset(&blocked, SIGRTMIN + 3);
    MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
    volatile int started = 0;
    pthread_t thread;
    OK(pthread_create(&thread, NULL, body, (void *)&started));
    AWAIT(started, "no thread");
    const clockid_t clocks[] = {CLOCK_TAI, CLOCK_BOOTTIME_ALARM, CLOCK_REALTIME_ALARM, CLOCK_THREAD_CPUTIME_ID, CLOCK_PROCESS_CPUTIME_ID, 0};
    clockid_t own;
    OK(clock_getcpuclockid(getpid(), &own));
    timer_t timers[6];
    bool there[6];
    for (int i = 0; i < 6; i++) timers[i] = make(i == 5 ? own : clocks[i], &there[i]);
    // An absolute one: it goes by the clock, however long the pause was.
    timer_t absolute;
    struct sigevent silent = {.sigev_notify = SIGEV_NONE};
    MUST(timer_create(CLOCK_REALTIME, &silent, &absolute));
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    MUST(timer_settime(absolute, TIMER_ABSTIME, &(struct itimerspec){.it_value.tv_sec = now.tv_sec + 500}, NULL));

    state_ready();

    char what[16];
    for (int i = 0; i < 6; i++) {
        snprintf(what, sizeof what, "clock %d", i == 5 ? own : clocks[i]);
        check(timers[i], there[i], what);
    }
    struct itimerspec is;
    MUST(timer_gettime(of_thread, &is));
    CHECK(is.it_value.tv_sec >= 299 || is.it_value.tv_sec == 300, "the thread's timer has %ld s left", is.it_value.tv_sec);
    go = 1;
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN + 2);
    CHECK(sigtimedwait(&one, &info, &(struct timespec){.tv_sec = 5}) == SIGRTMIN + 2, "the thread's timer never goes off");
    EQUAL(info.si_value.sival_int, 5);
    OK(pthread_join(thread, NULL));
    state_pass();
}
