// Kernel AIO: contexts with completed events that were not collected, the ring at its address, and
// requests after the restore.
#include <linux/aio_abi.h>

#include "state.h"

static char text[64] = "written by aio";

static void submit(aio_context_t context, int fd, uint64_t data, int what) {
    struct iocb block = {.aio_data = data, .aio_lio_opcode = what, .aio_fildes = fd, .aio_buf = (uintptr_t)text, .aio_nbytes = 14};
    struct iocb *list[] = {&block};
    EQUAL(syscall(SYS_io_submit, context, 1, list), 1);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    aio_context_t empty = 0, used = 0;
    if (syscall(SYS_io_setup, 10, &empty) == -1) state_skip("io_setup: %s", strerror(errno));
    MUST(syscall(SYS_io_setup, 64, &used));
    int fd = MUST(open(state_path("file"), O_RDWR | O_CREAT, 0600));
    struct io_event events[8];
    for (int i = 0; i < 5; i++) submit(used, fd, 100 + i, IOCB_CMD_PWRITE);
    EQUAL(syscall(SYS_io_getevents, used, 2, 2, events, NULL), 2);

    state_ready();

    int got = syscall(SYS_io_getevents, used, 3, 8, events, NULL);
    CHECK(got == 3, "io_getevents: %d %s", got, strerror(errno));
    for (int i = 0; i < 3; i++) {
        EQUAL(events[i].data, 102 + i);
        EQUAL(events[i].res, 14);
    }
    for (int round = 0; round < 100; round++) {
        submit(empty, fd, 7, IOCB_CMD_PREAD);
        submit(used, fd, 8, IOCB_CMD_PREAD);
        EQUAL(syscall(SYS_io_getevents, empty, 1, 8, events, NULL), 1);
        EQUAL(events[0].data, 7);
        EQUAL(syscall(SYS_io_getevents, used, 1, 8, events, NULL), 1);
        EQUAL(events[0].data, 8);
    }
    MUST(syscall(SYS_io_destroy, used));
    MUST(syscall(SYS_io_destroy, empty));
    state_pass();
}
