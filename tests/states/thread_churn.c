// Threads that are born and end all the time, so that any capture meets some of them half-way.
#include "state.h"

static volatile int stop;
static volatile uint64_t born, ended;

static void *brief(void *arg) {
    volatile int work = 0;
    for (int i = 0; i < 1000; i++) work += i;
    __sync_fetch_and_add(&ended, 1);
    return arg;
}

static void *spawner(void *arg) {
    while (!stop) {
        pthread_t thread;
        void *value;
        OK(pthread_create(&thread, NULL, brief, arg));
        __sync_fetch_and_add(&born, 1);
        OK(pthread_join(thread, &value));
        CHECK(value == arg, "a thread returned %p, not %p", value, arg);
    }
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t spawners[3];
    for (long i = 0; i < 3; i++) OK(pthread_create(&spawners[i], NULL, spawner, (void *)(i + 1)));
    AWAIT(ended > 100, "no threads are born");
    state_ready();
    uint64_t then = ended;
    AWAIT(ended > then + 100, "no threads are born any more");
    stop = 1;
    for (int i = 0; i < 3; i++) OK(pthread_join(spawners[i], NULL));
    EQUAL(born, ended);
    state_pass();
}
