// Blocked and pending signals with all their siginfo: queued realtime signals in order, standard
// ones, for the process and for single threads.
#include "state.h"

#define QUEUED 5
static sigset_t all;
static volatile int started, go, finished;

static void send_thread(pid_t tid, int n, int value) {
    siginfo_t info = {.si_signo = n, .si_code = -7 - value};
    info.si_pid = 1000 + value;
    info.si_uid = 2000 + value;
    info.si_value.sival_ptr = (void *)(0x1234567800000000ul + value);
    MUST(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, n, &info));
}

static void take(int n, int value, const char *who) {
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, n);
    int got = sigtimedwait(&one, &info, &(struct timespec){0});
    CHECK(got == n, "%s: signal %d is not pending (%d, %s)", who, n, got, strerror(errno));
    CHECK(info.si_code == -7 - value && info.si_pid == 1000 + value &&
              info.si_uid == 2000u + value &&
              info.si_value.sival_ptr == (void *)(0x1234567800000000ul + value),
          "%s: signal %d came with code %d pid %d uid %u value %p, in place of number %d", who, n,
          info.si_code, info.si_pid, info.si_uid, info.si_value.sival_ptr, value);
}

static void none_left(const char *who) {
    siginfo_t info;
    int got = sigtimedwait(&all, &info, &(struct timespec){0});
    CHECK(got == -1 && errno == EAGAIN, "%s: signal %d is left over", who, got);
}

static void *body(void *arg) {
    long n = (long)arg;
    char who[32];
    snprintf(who, sizeof who, "thread %ld", n);
    pid_t tid = syscall(SYS_gettid);
    for (int i = 0; i < QUEUED; i++) send_thread(tid, SIGRTMIN + 3, 10 * n + i);
    send_thread(tid, SIGRTMIN + 1, 10 * n + 7);
    send_thread(tid, SIGUSR1, 10 * n + 8);
    __sync_fetch_and_add(&started, 1);
    while (go != n) usleep(2000);
    for (int i = 0; i < QUEUED; i++) take(SIGRTMIN + 3, 10 * n + i, who);
    take(SIGUSR1, 10 * n + 8, who);
    take(SIGRTMIN + 1, 10 * n + 7, who);
    if (n == 2) none_left(who);
    finished = n;
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    sigfillset(&all);
    sigdelset(&all, SIGTERM);
    OK(pthread_sigmask(SIG_BLOCK, &all, NULL));
    pthread_t threads[2];
    for (long i = 1; i <= 2; i++) OK(pthread_create(&threads[i - 1], NULL, body, (void *)i));
    AWAIT(started == 2, "the threads do not start");
    // For the whole process: by kill, by sigqueue, by timer-like codes.
    for (int i = 0; i < QUEUED; i++)
        MUST(sigqueue(getpid(), SIGRTMIN + 9, (union sigval){.sival_int = 100 + i}));
    MUST(kill(getpid(), SIGHUP));
    MUST(kill(getpid(), SIGHUP)); // standard signals do not queue

    state_ready();

    if (state_breaking()) sigwaitinfo(&(sigset_t){{1ul << (SIGHUP - 1)}}, NULL);
    sigset_t pending;
    MUST(sigpending(&pending));
    CHECK(sigismember(&pending, SIGHUP) && sigismember(&pending, SIGRTMIN + 9) &&
              !sigismember(&pending, SIGUSR1),
          "the wrong signals are pending for the main thread");
    // Each thread empties its own queue while the process' one is full: nothing gets mixed.
    siginfo_t info;
    for (int i = 0; i < QUEUED; i++) {
        EQUAL(sigtimedwait(&(sigset_t){{1ul << (SIGRTMIN + 9 - 1)}}, &info, &(struct timespec){0}),
              SIGRTMIN + 9);
        EQUAL(info.si_code, SI_QUEUE);
        EQUAL(info.si_value.sival_int, 100 + i);
        EQUAL(info.si_pid, getpid());
    }
    EQUAL(sigtimedwait(&(sigset_t){{1ul << (SIGHUP - 1)}}, &info, &(struct timespec){0}), SIGHUP);
    EQUAL(info.si_code, SI_USER);
    EQUAL(info.si_pid, getpid());
    for (int i = 1; i <= 2; i++) {
        go = i;
        AWAIT(finished == i, "thread %d does not finish", i);
        OK(pthread_join(threads[i - 1], NULL));
    }
    none_left("the main thread");
    state_pass();
}
