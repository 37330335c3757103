// A pidfd of a process that has ended and was waited for.
#include <sys/pidfd.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t gone = MUST(fork());
    if (gone == 0) _exit(0);
    int first = MUST(syscall(SYS_pidfd_open, gone, 0)), second = MUST(syscall(SYS_pidfd_open, gone, 0));
    state_expect_exit(gone, 0);
    state_ready();
    struct pollfd wait[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
    EQUAL(poll(wait, 2, 0), 2);
    CHECK(syscall(SYS_pidfd_send_signal, first, 0, NULL, 0) == -1 && errno == ESRCH, "the process is back");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", first);
    EQUAL(atoi(state_field(path, "Pid")), -1);
    state_pass();
}
