// Unix socket pairs, stream, datagram and seqpacket, with data in flight both ways and message
// boundaries, half closed, with the peer gone and data left, shared with a child, and their options.
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static int across[2];

static void child(void *arg) {
    (void)arg;
    close(across[0]);
    state_child_ready();
    char text[32] = {0};
    EQUAL(read(across[1], text, sizeof text), 15);
    CHECK(strcmp(text, "from the parent") == 0, "%s", text);
    EQUAL(write(across[1], "from the child", 14), 14);
}

static int option(int fd, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(fd, SOL_SOCKET, name, &value, &length));
    return value;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    static char bytes[100000], is[200000];
    state_fill(bytes, sizeof bytes, 1);
    int stream[2], datagram[2], packet[2], half[2], widow[2], tuned[2], quiet[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, stream));
    EQUAL(write(stream[0], bytes, sizeof bytes), sizeof bytes);
    EQUAL(read(stream[1], is, 1000), 1000);
    EQUAL(write(stream[1], "back", 4), 4);
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram));
    EQUAL(write(datagram[0], "one", 3), 3);
    EQUAL(write(datagram[0], "", 0), 0);
    EQUAL(write(datagram[0], bytes, 30000), 30000);
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packet));
    EQUAL(send(packet[1], "first", 5, MSG_EOR), 5);
    EQUAL(send(packet[1], "second", 6, MSG_EOR), 6);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, half));
    EQUAL(write(half[0], "last words", 10), 10);
    MUST(shutdown(half[0], SHUT_WR));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, widow));
    EQUAL(write(widow[1], "inheritance", 11), 11);
    close(widow[1]);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, tuned));
    int on = 1, size = 50000;
    struct timeval span = {3, 500000}, span_now;
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof span));
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_PRIORITY, &(int){4}, sizeof(int)));
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_MARK, &(int){99}, sizeof(int)));
    MUST(setsockopt(tuned[0], SOL_SOCKET, SO_PEEK_OFF, &(int){2}, sizeof(int)));
    int sndbuf = option(tuned[0], SO_SNDBUF);
    struct ucred peer, peer_now;
    socklen_t length = sizeof peer;
    MUST(getsockopt(tuned[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, quiet));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, across));
    EQUAL(write(across[0], "from the parent", 15), 15);
    pid_t pid = state_fork(child, NULL);
    close(across[1]);

    state_ready();

    EQUAL(fcntl(stream[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(stream[1], F_GETFD), FD_CLOEXEC);
    ssize_t got;
    for (size_t at = 1000; at < sizeof bytes; at += got) {
        got = MUST(read(stream[1], is, sizeof is));
        CHECK(memcmp(is, bytes + at, got) == 0, "the stream's data has changed at %zu", at);
    }
    EQUAL(read(stream[0], is, sizeof is), 4);
    CHECK(read(stream[1], is, 1) == -1 && errno == EAGAIN, "more data than there was");
    state_ping(stream[0], stream[1]);
    EQUAL(read(datagram[1], is, sizeof is), 3);
    EQUAL(read(datagram[1], is, sizeof is), 0);
    EQUAL(read(datagram[1], is, sizeof is), 30000);
    CHECK(memcmp(is, bytes, 30000) == 0, "the datagram has changed");
    state_ping(datagram[1], datagram[0]);
    EQUAL(recv(packet[0], is, sizeof is, 0), 5);
    EQUAL(recv(packet[0], is, sizeof is, 0), 6);
    CHECK(memcmp(is, "second", 6) == 0, "the second packet is %.6s", is);
    state_ping(packet[0], packet[1]);
    EQUAL(read(half[1], is, sizeof is), 10);
    EQUAL(read(half[1], is, sizeof is), 0);
    CHECK(write(half[0], "x", 1) == -1 && errno == EPIPE, "a closed direction takes data");
    state_ping(half[1], half[0]);
    EQUAL(read(widow[0], is, sizeof is), 11);
    EQUAL(read(widow[0], is, sizeof is), 0);
    CHECK(write(widow[0], "x", 1) == -1 && errno == EPIPE, "a peer that is gone takes data");
    EQUAL(option(tuned[0], SO_PASSCRED), 1);
    EQUAL(option(tuned[1], SO_PASSCRED), 0);
    EQUAL(option(tuned[0], SO_SNDBUF), sndbuf);
    EQUAL(option(tuned[0], SO_RCVBUF), 100000);
    EQUAL(option(tuned[0], SO_PRIORITY), 4);
    EQUAL(option(tuned[0], SO_MARK), 99);
    EQUAL(option(tuned[0], SO_PEEK_OFF), 2);
    EQUAL(option(tuned[0], SO_TYPE), SOCK_STREAM);
    length = sizeof span_now;
    MUST(getsockopt(tuned[0], SOL_SOCKET, SO_RCVTIMEO, &span_now, &length));
    EQUAL(span_now.tv_sec * 10 + span_now.tv_usec / 100000, 35);
    length = sizeof peer_now;
    MUST(getsockopt(tuned[0], SOL_SOCKET, SO_PEERCRED, &peer_now, &length));
    CHECK(memcmp(&peer, &peer_now, sizeof peer) == 0, "the peer is pid %d uid %u, was pid %d uid %u", peer_now.pid,
          peer_now.uid, peer.pid, peer.uid);
    state_ping(quiet[0], quiet[1]);
    state_child_end(pid);
    EQUAL(read(across[0], is, sizeof is), 14);
    EQUAL(read(across[0], is, sizeof is), 0);
    state_pass();
}
