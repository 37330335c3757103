// Threads that keep different vector and x87 values in registers while they compute: each thread
// has its own.
#include "state.h"

#define THREADS 4
static volatile int stop;
static volatile int started;

static void *compute(void *arg) {
    long seed = (long)arg;
    double sse = seed;
    long double x87 = seed;
    uint64_t rounds = 0, sum = 0;
    __sync_fetch_and_add(&started, 1);
    while (!stop) {
        sse = sse * 1.0000001 + 0.5;
        x87 = x87 * 1.0000001L + 0.5L;
        sum += rounds++ * seed;
        if (rounds % 1000 == 0) {
            CHECK(sse > 0 && x87 > 0 && (sse - (double)x87) < 1e-3 * sse, "thread %ld: %f %Lf",
                  seed, sse, x87);
            sse = seed;
            x87 = seed;
        }
    }
    uint64_t want = seed * (rounds * (rounds - 1) / 2);
    EQUAL(sum, want);
    return arg;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++) OK(pthread_create(&threads[i], NULL, compute, (void *)(i + 1)));
    AWAIT(started == THREADS, "the threads do not start");
    state_ready();
    stop = 1;
    for (long i = 0; i < THREADS; i++) {
        void *value;
        OK(pthread_join(threads[i], &value));
        EQUAL((long)value, i + 1);
    }
    state_pass();
}
