// A thread with descriptors of its own (unshare with CLONE_FILES).
#include "state.h"

static int told[2], fd = -1;

static void *alone(void *arg) {
    (void)arg;
    MUST(unshare(CLONE_FILES));
    fd = MUST(open("/dev/zero", O_RDONLY));
    MUST(write(told[1], "r", 1));
    for (;;) pause();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(pipe(told));
    pthread_t thread;
    OK(pthread_create(&thread, NULL, alone, NULL));
    char got;
    MUST(read(told[0], &got, 1));
    state_ready();
    CHECK(fcntl(fd, F_GETFD) == -1, "the thread's descriptor is in the process");
    state_pass();
}
