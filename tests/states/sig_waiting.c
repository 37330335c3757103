// Threads that wait for signals in the kernel: sigwaitinfo, sigtimedwait, sigsuspend, pause,
// ppoll with a mask. They go on waiting, with their old masks kept for afterwards.
#include "state.h"

static volatile int started, caught[5], done[5];

static void handler(int signal_number) {
    caught[signal_number - SIGRTMIN - 5]++;
}

static void check_mask(int who) {
    sigset_t mask;
    OK(pthread_sigmask(SIG_BLOCK, NULL, &mask));
    for (int i = 0; i < 5; i++)
        CHECK(sigismember(&mask, SIGRTMIN + 5 + i), "waiter %d: signal %d is not blocked", who, i);
}

static void *body(void *arg) {
    long n = (long)arg;
    int mine = SIGRTMIN + 5 + n;
    sigset_t only, but;
    sigemptyset(&only);
    sigaddset(&only, mine);
    sigfillset(&but);
    sigdelset(&but, mine);
    __sync_fetch_and_add(&started, 1);
    int got = 0;
    switch (n) {
    case 0: got = sigwaitinfo(&only, NULL); break;
    case 1: got = sigtimedwait(&only, NULL, &(struct timespec){.tv_sec = 3000}); break;
    case 2: got = sigsuspend(&but); break;
    case 3: got = ppoll(NULL, 0, NULL, &but); break;
    case 4:
        OK(pthread_sigmask(SIG_UNBLOCK, &only, NULL));
        got = pause();
        OK(pthread_sigmask(SIG_BLOCK, &only, NULL));
        break;
    }
    if (n < 2) {
        CHECK(got == mine, "waiter %ld got %d: %s", n, got, strerror(errno));
        EQUAL(caught[n], 0);
    } else {
        CHECK(got == -1 && errno == EINTR, "waiter %ld got %d: %s", n, got, strerror(errno));
        EQUAL(caught[n], 1);
    }
    check_mask(n);
    done[n] = 1;
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    sigset_t five;
    sigemptyset(&five);
    for (int i = 0; i < 5; i++) {
        sigaddset(&five, SIGRTMIN + 5 + i);
        MUST(sigaction(SIGRTMIN + 5 + i, &(struct sigaction){.sa_handler = handler}, NULL));
    }
    OK(pthread_sigmask(SIG_BLOCK, &five, NULL));
    pthread_t threads[5];
    for (long i = 0; i < 5; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == 5, "the threads do not start");
    usleep(30000);
    state_ready();
    usleep(30000);
    for (int i = 0; i < 5; i++) {
        CHECK(!done[i], "waiter %d has ended without its signal", i);
        OK(pthread_kill(threads[i], SIGRTMIN + 5 + i));
        OK(pthread_join(threads[i], NULL));
    }
    state_pass();
}
