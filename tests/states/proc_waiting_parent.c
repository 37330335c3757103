// A thread that waits for a child's end in the kernel, and one that waits for the end of any child,
// go on waiting and get it.
#include "state.h"

static pid_t child;
static volatile int got;

static void stay(void *arg) {
    (void)arg;
    state_child_ready();
}

static void *waits(void *arg) {
    (void)arg;
    int status;
    pid_t ended = waitpid(child, &status, 0);
    CHECK(ended == child, "waitpid returned %d: %s", ended, strerror(errno));
    EQUAL(status, 0);
    got = 1;
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    child = state_fork(stay, NULL);
    pthread_t thread;
    OK(pthread_create(&thread, NULL, waits, NULL));
    usleep(20000);
    state_ready();
    CHECK(!got, "the wait ended before the child");
    MUST(kill(child, SIGTERM));
    OK(pthread_join(thread, NULL));
    EQUAL(got, 1);
    state_pass();
}
