// POSIX timers that tell a thread which has ended since (SIGEV_THREAD_ID): they run on, tell nobody, and can be
// asked, set and deleted.
#include "state.h"

static timer_t armed, disarmed;
static pid_t thread;

static void make(timer_t *timer, int signal_number) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal_number};
    event._sigev_un._tid = thread;
    MUST(timer_create(CLOCK_MONOTONIC, &event, timer));
}

static void *body(void *unused) {
    (void)unused;
    thread = gettid();
    make(&armed, SIGUSR1);
    make(&disarmed, SIGUSR2);
    struct itimerspec value = {.it_value.tv_sec = 1000, .it_interval.tv_sec = 5};
    MUST(timer_settime(armed, 0, &value, NULL));
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    timer_t alive;
    MUST(timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &alive));
    pthread_t handle;
    OK(pthread_create(&handle, NULL, body, NULL));
    OK(pthread_join(handle, NULL));
    state_ready();
    struct itimerspec value;
    MUST(timer_gettime(armed, &value));
    CHECK(value.it_value.tv_sec > 900, "%ld s are left", (long)value.it_value.tv_sec);
    EQUAL(value.it_interval.tv_sec, 5);
    MUST(timer_gettime(disarmed, &value));
    EQUAL(value.it_value.tv_sec, 0);
    // It goes off, and nobody hears of it.
    MUST(timer_settime(armed, 0, &(struct itimerspec){.it_value.tv_nsec = 1000000}, NULL));
    usleep(20000);
    char *tasks = state_field("/proc/self/status", "Threads");
    EQUAL(atoi(tasks), 1);
    MUST(timer_delete(armed));
    MUST(timer_delete(disarmed));
    MUST(timer_delete(alive));
    state_pass();
}
