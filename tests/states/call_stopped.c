// Threads in timed calls that were stopped (SIGSTOP) and went on before the capture: the kernel has begun the calls anew
// by then (restart_syscall), and only it knows which they were. Made by bare instructions, whose code does not tell the
// number either.
#include <stdatomic.h>

#include "state.h"

enum { NANOSLEEP, FUTEX, CLOCK_NANOSLEEP, POLL, COUNT };

static struct timespec length = {1, 500000000};
static int word;
static volatile long result[COUNT];
static atomic_int begun;

static long bare_call(long number, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d;
    long answer;
    __asm__ volatile("syscall"
                     : "=a"(answer)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return answer;
}

static void *wait_in(void *arg) {
    struct pollfd nothing = {-1, POLLIN, 0};
    begun++;
    switch ((long)arg) {
    case NANOSLEEP: result[NANOSLEEP] = bare_call(SYS_nanosleep, (long)&length, 0, 0, 0); break;
    case FUTEX: result[FUTEX] = bare_call(SYS_futex, (long)&word, 0, 0, (long)&length); break;
    case CLOCK_NANOSLEEP:
        result[CLOCK_NANOSLEEP] = bare_call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&length, 0);
        break;
    case POLL: result[POLL] = bare_call(SYS_poll, (long)&nothing, 1, 1500, 0); break;
    }
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[COUNT];
    sigset_t go, before;
    sigemptyset(&go);
    sigaddset(&go, SIGTERM);
    OK(pthread_sigmask(SIG_BLOCK, &go, &before));
    double started = state_now();
    for (long i = 0; i < COUNT; i++) OK(pthread_create(&threads[i], NULL, wait_in, (void *)i));
    OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
    AWAIT(begun == COUNT, "the threads do not begin");
    usleep(20000);
    pid_t self = getpid(), other = MUST(fork());
    if (other == 0) {
        usleep(20000);
        kill(self, SIGSTOP);
        usleep(50000);
        kill(self, SIGCONT);
        _exit(0);
    }
    state_expect_exit(other, 0);
    usleep(20000);

    state_ready();

    for (int i = 0; i < COUNT; i++) OK(pthread_join(threads[i], NULL));
    EQUAL(result[NANOSLEEP], 0);
    EQUAL(result[FUTEX], -ETIMEDOUT);
    EQUAL(result[CLOCK_NANOSLEEP], 0);
    EQUAL(result[POLL], 0);
    CHECK(state_now() - started >= 1.5, "the calls returned too early");
    state_pass();
}
