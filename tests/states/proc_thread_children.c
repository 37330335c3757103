// Children that several threads of one process have forked, one with __WNOTHREAD in mind: each is
// its thread's child, and all are the process'.
#include "state.h"

static volatile int go, started;

static void child(void *arg) {
    (void)arg;
    pid_t parent = getppid();
    state_child_ready();
    EQUAL(getppid(), parent);
}

static void *thread_body(void *arg) {
    (void)arg;
    pid_t mine = state_fork(child, NULL);
    __sync_fetch_and_add(&started, 1);
    while (!go) usleep(2000);
    MUST(kill(mine, SIGTERM));
    int status;
    EQUAL(waitpid(mine, &status, 0), mine);
    EQUAL(status, 0);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) OK(pthread_create(&threads[i], NULL, thread_body, NULL));
    AWAIT(started == 3, "the threads do not start");
    pid_t mine = state_fork(child, NULL);
    state_ready();
    go = 1;
    for (int i = 0; i < 3; i++) OK(pthread_join(threads[i], NULL));
    state_child_end(mine);
    CHECK(wait(NULL) == -1 && errno == ECHILD, "children that nobody knows");
    state_pass();
}
