// A ring of io_uring: its requests live in the kernel and can't be read out.
#include <linux/io_uring.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct io_uring_params parameters = {0};
    int ring = syscall(SYS_io_uring_setup, 8, &parameters);
    if (ring == -1) state_skip("io_uring_setup: %s", strerror(errno));
    state_ready();
    CHECK(syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0) == 0, "the ring is broken: %s", strerror(errno));
    state_pass();
}
