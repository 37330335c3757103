// A process of many threads that has given up root and is dumpable again: each thread's change of credentials would
// take that away. And a child that is not dumpable.
#include "state.h"

enum { THREADS = 80 };

static pthread_barrier_t barrier;

static void *body(void *unused) {
    (void)unused;
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void give_up_root(void) {
    if (geteuid() != 0) return;
    MUST(setresgid(3000, 3001, 3002));
    MUST(setresuid(3000, 3001, 3002));
}

static void child(void *unused) {
    (void)unused;
    give_up_root();
    MUST(prctl(PR_SET_DUMPABLE, 0));
    state_child_ready();
    EQUAL(prctl(PR_GET_DUMPABLE), 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t undumpable = state_fork(child, NULL);
    give_up_root();
    OK(pthread_barrier_init(&barrier, NULL, THREADS + 1));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) OK(pthread_create(&threads[i], NULL, body, NULL));
    MUST(prctl(PR_SET_DUMPABLE, 1));
    state_ready();
    EQUAL(prctl(PR_GET_DUMPABLE), 1);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) OK(pthread_join(threads[i], NULL));
    state_child_end(undumpable);
    state_pass();
}
