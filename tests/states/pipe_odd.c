// Pipes in odd positions: one packet, full of small packets, both ends by one description, ends opened anew
// through /proc, a loop of two, in pieces that splice left behind, without a reader and with data, of one page,
// FIFOs that had writers and that never had, ends in several processes.
#include <sys/uio.h>

#include "state.h"

static int tube[2];

static void child(void *arg) {
    (void)arg;
    close(tube[0]);
    state_child_ready();
    EQUAL(write(tube[1], "from the child", 14), 14);
}

static short events(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT};
    poll(&poll_fd, 1, 0);
    return poll_fd.revents;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    char text[100], path[64];
    int packet[2], packets[2], full[2], spliced[2], source[2], lonely[2], small[2], ended[2];
    MUST(pipe2(packet, O_DIRECT));
    EQUAL(write(packet[1], "only packet", 11), 11);
    MUST(pipe2(packets, O_DIRECT | O_NONBLOCK));
    int count = 0;
    while (write(packets[1], "0123456789" + count % 10, 3 - (count % 10 > 7)) > 0) count++;
    MUST(pipe2(full, O_NONBLOCK));
    static char bytes[1 << 20], is[1 << 20];
    state_fill(bytes, sizeof bytes, 3);
    ssize_t in_full = 0, got;
    while ((got = write(full[1], bytes + in_full, 4096)) > 0) in_full += got;
    MUST(pipe(spliced));
    MUST(pipe(source));
    for (int i = 0; i < 5; i++) {
        EQUAL(write(source[1], bytes + i * 100, 100), 100);
        EQUAL(splice(source[0], NULL, spliced[1], NULL, 100, 0), 100);
    }
    struct iovec piece = {bytes + 500, 100};
    EQUAL(vmsplice(spliced[1], &piece, 1, 0), 100);
    MUST(pipe(lonely));
    EQUAL(write(lonely[1], "nobody reads", 12), 12);
    close(lonely[0]);
    MUST(pipe(ended));
    EQUAL(write(ended[1], "last words", 10), 10);
    close(ended[1]);
    MUST(pipe(small));
    MUST(fcntl(small[0], F_SETPIPE_SZ, 4096));
    // Both ways by one description; another description of the same pipe.
    int anonymous[2];
    MUST(pipe(anonymous));
    snprintf(path, sizeof path, "/proc/self/fd/%d", anonymous[0]);
    int both = MUST(open(path, O_RDWR)), again = MUST(open(path, O_RDONLY | O_NONBLOCK));
    close(anonymous[0]);
    close(anonymous[1]);
    EQUAL(write(both, "both ways", 9), 9);
    int ring[2][2];
    for (int i = 0; i < 2; i++) MUST(pipe(ring[i]));
    EQUAL(write(ring[0][1], "a", 1), 1);
    EQUAL(write(ring[1][1], "b", 1), 1);
    MUST(mkfifo(state_path("had"), 0600));
    MUST(mkfifo(state_path("never"), 0600));
    int had = MUST(open(state_path("had"), O_RDONLY | O_NONBLOCK)), writer = MUST(open(state_path("had"), O_WRONLY));
    close(writer);
    int never = MUST(open(state_path("never"), O_RDONLY | O_NONBLOCK));
    short had_events = events(had), never_events = events(never);
    MUST(pipe(tube));
    pid_t pid = state_fork(child, NULL);
    close(tube[1]);

    state_ready();

    EQUAL(read(packet[0], text, 4), 4);
    MUST(fcntl(packet[0], F_SETFL, O_NONBLOCK));
    CHECK(read(packet[0], text, 4) == -1 && errno == EAGAIN, "the packet is a stream now");
    for (int i = 0; i < count; i++) {
        EQUAL(read(packets[0], text, 50), 3 - (i % 10 > 7));
        CHECK(text[0] == '0' + i % 10, "packet %d begins with %c", i, text[0]);
    }
    CHECK(read(packets[0], text, 1) == -1 && errno == EAGAIN, "more packets than there were");
    CHECK(write(full[1], "x", 1) == -1 && errno == EAGAIN, "there is room in a full pipe");
    for (ssize_t at = 0; at < in_full; at += got) {
        got = MUST(read(full[0], is, sizeof is));
        CHECK(memcmp(is, bytes + at, got) == 0, "other data at %zd", at);
    }
    EQUAL(fcntl(full[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(read(spliced[0], is, 1000), 600);
    CHECK(memcmp(is, bytes, 600) == 0, "other data");
    CHECK(write(lonely[1], "x", 1) == -1 && errno == EPIPE, "somebody reads");
    snprintf(path, sizeof path, "/proc/self/fd/%d", lonely[1]);
    int reader = MUST(open(path, O_RDONLY | O_NONBLOCK));
    EQUAL(read(reader, text, 50), 12);
    EQUAL(read(ended[0], text, 50), 10);
    EQUAL(read(ended[0], text, 50), 0);
    EQUAL(fcntl(small[1], F_GETPIPE_SZ), 4096);
    EQUAL(fcntl(both, F_GETFL) & O_ACCMODE, O_RDWR);
    EQUAL(read(again, text, 50), 9);
    state_ping(both, again);
    state_ping(both, both);
    CHECK(read(again, text, 1) == -1 && errno == EAGAIN, "data in an empty pipe");
    EQUAL(read(ring[0][0], text, 1), 1);
    EQUAL(text[0], 'a');
    EQUAL(read(ring[1][0], text, 1), 1);
    EQUAL(text[0], 'b');
    EQUAL(events(had), had_events);
    EQUAL(events(never), never_events);
    state_child_end(pid);
    EQUAL(read(tube[0], text, 50), 14);
    EQUAL(read(tube[0], text, 50), 0);
    state_pass();
}
