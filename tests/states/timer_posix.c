// POSIX timers: ids with a gap, several clocks, all four ways to notify, values and intervals,
// disarmed ones, and a signal that waits with an overrun.
#include "state.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct kernel_event {
    union sigval value;
    int signo, notify, tid;
    int pad[12];
};

static int kernel_create(clockid_t clock, int notify, int signo, int value) {
    struct kernel_event event = {.signo = signo, .notify = notify, .tid = syscall(SYS_gettid)};
    event.value.sival_int = value;
    int id = -1;
    MUST(syscall(SYS_timer_create, clock, &event, &id));
    return id;
}

static void set(int id, long value, long interval_ms) {
    struct itimerspec spec = {{interval_ms / 1000, interval_ms % 1000 * 1000000}, {value, 500}};
    MUST(syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

static struct itimerspec get(int id) {
    struct itimerspec spec;
    MUST(syscall(SYS_timer_gettime, id, &spec));
    return spec;
}

static void check(int id, long value, long interval_ms) {
    struct itimerspec spec = get(id);
    EQUAL(spec.it_interval.tv_sec * 1000 + spec.it_interval.tv_nsec / 1000000, interval_ms);
    CHECK(spec.it_value.tv_sec <= value && spec.it_value.tv_sec > value - 120,
          "timer %d: %ld s left of %ld", id, spec.it_value.tv_sec, value);
}

static siginfo_t expect(int signo, int seconds) {
    siginfo_t info = {0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signo);
    int got = sigtimedwait(&one, &info, &(struct timespec){.tv_sec = seconds});
    CHECK(got == signo, "timer signal %d: %d, %s", signo, got, strerror(errno));
    return info;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    sigset_t blocked;
    sigemptyset(&blocked);
    for (int i = 0; i < 8; i++) sigaddset(&blocked, SIGRTMIN + i);
    sigaddset(&blocked, SIGALRM);
    MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));

    int first = kernel_create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 1, 111);
    int gap[5];
    for (int i = 0; i < 5; i++) gap[i] = kernel_create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    int thread = kernel_create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 2, 222);
    for (int i = 0; i < 5; i++) MUST(syscall(SYS_timer_delete, gap[i]));
    int none = kernel_create(CLOCK_BOOTTIME, SIGEV_NONE, 0, 333);
    int cpu = kernel_create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 3, 444);
    int disarmed = kernel_create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 4, 555);
    int ran_out = kernel_create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 5, 666);
    int overrun = kernel_create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 6, 777);
    int standard;
    MUST(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &standard)); // SIGALRM with the id
    set(first, 1000, 1500);
    set(thread, 2000, 2500);
    set(none, 3000, 0);
    set(cpu, 4000, 4500);
    set(standard, 5000, 5500);
    struct itimerspec soon = {{0, 0}, {0, 1}};
    MUST(syscall(SYS_timer_settime, ran_out, 0, &soon, NULL));
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    MUST(syscall(SYS_timer_settime, overrun, 0, &often, NULL));
    usleep(30000);

    state_ready();

    check(first, 1000, 1500);
    check(thread, 2000, 2500);
    check(none, 3000, 0);
    check(cpu, 4000, 4500);
    check(standard, 5000, 5500);
    struct itimerspec zero = get(disarmed);
    EQUAL(zero.it_value.tv_sec + zero.it_value.tv_nsec + zero.it_interval.tv_nsec, 0);
    zero = get(ran_out);
    EQUAL(zero.it_value.tv_sec + zero.it_value.tv_nsec, 0);
    CHECK(syscall(SYS_timer_gettime, gap[0], &zero) == -1 && errno == EINVAL, "a deleted timer is back");

    siginfo_t info = expect(SIGRTMIN + 5, 0);
    EQUAL(info.si_code, SI_TIMER);
    EQUAL(info.si_timerid, ran_out);
    EQUAL(info.si_value.sival_int, 666);
    usleep(30000); // what came before nobody can ask the kernel for
    info = expect(SIGRTMIN + 6, 1);
    EQUAL(info.si_code, SI_TIMER);
    EQUAL(info.si_value.sival_int, 777);
    CHECK(info.si_overrun >= 10, "the overrun is %d after 30 ms of 1 ms ticks", info.si_overrun);
    EQUAL(MUST(syscall(SYS_timer_getoverrun, overrun)), info.si_overrun);
    expect(SIGRTMIN + 6, 1); // goes on ticking
    MUST(syscall(SYS_timer_delete, overrun));

    for (int i = 0; i < 3; i++) {
        int id = (int[]){first, thread, disarmed}[i], signo = SIGRTMIN + (int[]){1, 2, 4}[i];
        MUST(syscall(SYS_timer_settime, id, 0, &soon, NULL));
        info = expect(signo, 5);
        EQUAL(info.si_value.sival_int, ((int[]){111, 222, 555}[i]));
        EQUAL(info.si_timerid, id);
    }
    int next = kernel_create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    CHECK(next != first && next != thread && next != none && next != cpu, "timer id %d twice", next);
    MUST(syscall(SYS_timer_settime, standard, 0, &soon, NULL));
    info = expect(SIGALRM, 5);
    EQUAL(info.si_value.sival_int, standard);
    state_pass();
}
