// Pipes: empty, with data, full, packet mode with packet boundaries, other sizes, non-blocking ends,
// write end closed with data left, read end closed, a pipe shared by processes and duplicated.
#include "state.h"

static int shared[2];

static void child(void *arg) {
    (void)arg;
    close(shared[0]);
    state_child_ready();
    EQUAL(write(shared[1], "from the child", 14), 14);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    static char bytes[1 << 20], is[1 << 20];
    state_fill(bytes, sizeof bytes, 1);
    int empty[2], some[2], full[2], packets[2], large[2], small[2], ended[2], broken[2];
    MUST(pipe(empty));
    MUST(pipe2(some, O_NONBLOCK | O_CLOEXEC));
    EQUAL(write(some[1], bytes, 12345), 12345);
    EQUAL(read(some[0], is, 100), 100); // begins in the middle of a page
    MUST(pipe(full));
    MUST(fcntl(full[1], F_SETFL, O_NONBLOCK));
    size_t filled = 0;
    ssize_t got;
    while ((got = write(full[1], bytes + filled, 4096)) > 0) filled += got;
    MUST(pipe2(packets, O_DIRECT));
    EQUAL(write(packets[1], "one", 3), 3);
    EQUAL(write(packets[1], bytes, 4096), 4096);
    EQUAL(write(packets[1], "three", 5), 5);
    MUST(pipe(large));
    EQUAL(MUST(fcntl(large[0], F_SETPIPE_SZ, 1 << 20)), 1 << 20);
    EQUAL(write(large[1], bytes, 1000000), 1000000);
    MUST(pipe(small));
    EQUAL(MUST(fcntl(small[0], F_SETPIPE_SZ, 4096)), 4096);
    MUST(pipe(ended));
    EQUAL(write(ended[1], "the end", 7), 7);
    close(ended[1]);
    MUST(pipe(broken));
    close(broken[0]);
    MUST(pipe(shared));
    EQUAL(write(shared[1], "before,", 7), 7);
    int twin = MUST(dup(shared[0]));
    pid_t pid = state_fork(child, NULL);

    state_ready();

    struct pollfd poll_empty = {.fd = empty[0], .events = POLLIN};
    EQUAL(poll(&poll_empty, 1, 0), 0);
    state_ping(empty[1], empty[0]);
    EQUAL(fcntl(some[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(some[1], F_GETFD), FD_CLOEXEC);
    EQUAL(fcntl(some[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    EQUAL(fcntl(some[1], F_GETFL) & O_ACCMODE, O_WRONLY);
    EQUAL(read(some[0], is, sizeof is), 12245);
    CHECK(memcmp(is, bytes + 100, 12245) == 0, "the pipe's data has changed");
    CHECK(read(some[0], is, 1) == -1 && errno == EAGAIN, "more data than there was");
    CHECK(write(full[1], bytes, 1) == -1 && errno == EAGAIN, "the full pipe takes more");
    EQUAL(fcntl(full[0], F_GETFL) & O_NONBLOCK, 0);
    for (size_t at = 0; at < filled; at += got) {
        got = MUST(read(full[0], is, sizeof is));
        CHECK(memcmp(is, bytes + at, got) == 0, "the full pipe's data has changed");
    }
    CHECK(fcntl(packets[1], F_GETFL) & O_DIRECT, "packet mode was lost");
    EQUAL(read(packets[0], is, sizeof is), 3);
    EQUAL(read(packets[0], is, 10), 10); // the rest of a packet is dropped
    EQUAL(read(packets[0], is, sizeof is), 5);
    CHECK(memcmp(is, "three", 5) == 0, "the third packet is %.5s", is);
    EQUAL(write(packets[1], "aa", 2) + write(packets[1], "bb", 2), 4);
    EQUAL(read(packets[0], is, sizeof is), 2);
    EQUAL(fcntl(large[1], F_GETPIPE_SZ), 1 << 20);
    for (size_t at = 0; at < 1000000; at += got) {
        got = MUST(read(large[0], is, sizeof is));
        CHECK(memcmp(is, bytes + at, got) == 0, "the large pipe's data has changed");
    }
    EQUAL(fcntl(small[1], F_GETPIPE_SZ), 4096);
    EQUAL(read(ended[0], is, sizeof is), 7);
    EQUAL(read(ended[0], is, sizeof is), 0);
    CHECK(write(broken[1], "x", 1) == -1 && errno == EPIPE, "a pipe without readers takes data");
    state_child_end(pid);
    EQUAL(read(twin, is, 7), 7);
    EQUAL(read(shared[0], is, sizeof is), 14);
    CHECK(memcmp(is, "from the child", 14) == 0, "the child wrote %.14s", is);
    close(shared[1]);
    EQUAL(read(twin, is, 1), 0);
    state_pass();
}
