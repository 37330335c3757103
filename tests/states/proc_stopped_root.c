// The root itself is stopped, with threads; a child lets it go on once it has been told to.
#include "state.h"

static volatile int *counter;

static void *counts(void *arg) {
    for (;;) {
        ++*counter;
        usleep(1000);
    }
    return arg;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    counter = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t root = getpid();
    const char *ready = state_path("ready");
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", root);
    pid_t child = MUST(fork());
    if (child == 0) {
        char *state;
        do {
            usleep(2000);
            state = state_field(path, "State");
        } while (state[0] != 'T');
        int was = *counter;
        close(open(ready, O_WRONLY | O_CREAT, 0666));
        while (!(strtoull(state_field(path, "ShdPnd"), NULL, 16) & (1ull << (SIGTERM - 1)))) usleep(2000);
        CHECK(state_field(path, "State")[0] == 'T', "it is not stopped: %s", state_field(path, "State"));
        EQUAL(*counter, was);
        MUST(kill(root, SIGCONT));
        _exit(0);
    }
    pthread_t thread;
    OK(pthread_create(&thread, NULL, counts, NULL));
    raise(SIGSTOP);
    int was = *counter;
    AWAIT(*counter > was, "the thread does not go on");
    state_expect_exit(child, 0);
    state_pass();
}
