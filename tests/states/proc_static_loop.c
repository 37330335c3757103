// A statically linked program with one thread that counts without a system call: nothing but
// registers and one page of data.
// build: -static
#include "state.h"

static volatile uint64_t count, mirror;
static volatile sig_atomic_t stop;

static void on_stop(int signal_number) {
    (void)signal_number;
    stop = 1;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    // The harness waits in system calls; this program is caught in its loop, so it is told to go on
    // by a handler of its own, and says ready from a child that leaves nothing behind.
    signal(SIGTERM, on_stop);
    signal(SIGCHLD, SIG_IGN);
    char *ready = strdup(state_path("ready"));
    while (!stop) {
        count++;
        mirror = ~count;
        if (count == 1000000) {
            int fd = MUST(open(ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
            close(fd);
        }
    }
    CHECK(count >= 1000000, "the count fell back to %" PRIu64, count);
    EQUAL(mirror, ~count);
    state_pass();
}
