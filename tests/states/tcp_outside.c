// TCP connections with a process that is not part of the tree (argument: 4 or 6): idle, with data to read,
// with data that the peer has no room for, closed by either side in its own direction, accepted by a
// listener of the program, with options. The peer must not notice anything either.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "state.h"

enum { TALK, TO_READ, TO_SEND, OWN_END, PEER_END, TUNED, COUNT };
#define BIG (1 << 20)

static int family;

static int listening(uint16_t *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    if ((family == AF_INET ? bind(fd, (void *)&a, sizeof a) : bind(fd, (void *)&b, sizeof b)) == -1)
        state_skip("no loopback of family %d: %s", family, strerror(errno));
    MUST(listen(fd, 10));
    socklen_t length = sizeof b;
    MUST(getsockname(fd, (void *)&b, &length));
    *port = ntohs(b.sin6_port); // at the same place in both
    return fd;
}

static int joined(uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)};
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    MUST(family == AF_INET ? connect(fd, (void *)&a, sizeof a) : connect(fd, (void *)&b, sizeof b));
    return fd;
}

static void read_all(int fd, char *to, size_t size, const char *what) {
    ssize_t got;
    for (size_t at = 0; at < size; at += got) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        CHECK(poll(&wait, 1, 10000) == 1, "%s: stuck at %zu of %zu", what, at, size);
        got = MUST(read(fd, to + at, size - at));
        CHECK(got > 0, "%s: the end at %zu of %zu", what, at, size);
    }
}

static int number(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(fd, level, name, &value, &length));
    return value;
}

// The other program: tells its port, takes the connections, and answers once it is asked.
static void peer(int tell, int port_of_program) {
    static char bytes[BIG], is[BIG];
    state_fill(bytes, sizeof bytes, 7);
    alarm(60);
    uint16_t port;
    int listener = listening(&port), fd[COUNT];
    EQUAL(write(tell, &port, 2), 2);
    for (int i = 0; i < COUNT; i++) fd[i] = MUST(accept(listener, NULL, NULL));
    int visitor = joined(port_of_program);
    EQUAL(write(fd[TO_READ], bytes, 50000), 50000);
    MUST(shutdown(fd[PEER_END], SHUT_WR));
    EQUAL(write(tell, "r", 1), 1);
    close(tell);
    uint32_t size;
    read_all(fd[TALK], (char *)&size, 4, "the size");
    read_all(fd[TO_SEND], is, size, "what waited to be sent");
    CHECK(memcmp(is, bytes, size) == 0, "other data arrived");
    EQUAL(read(fd[OWN_END], is, 10), 0);
    EQUAL(write(fd[OWN_END], "still", 5), 5);
    read_all(fd[PEER_END], is, 4, "after the peer's end");
    CHECK(memcmp(is, "late", 4) == 0, "%.4s", is);
    read_all(fd[TUNED], is, 1, "tuned");
    EQUAL(write(visitor, "visit", 5), 5);
    read_all(visitor, is, 5, "the visitor");
    EQUAL(write(fd[TALK], "good", 4), 4);
    EQUAL(read(fd[TALK], is, 1), 0);
    exit(0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    family = state_arg(0) && *state_arg(0) == '6' ? AF_INET6 : AF_INET;
    static char bytes[BIG], is[BIG];
    state_fill(bytes, sizeof bytes, 7);
    uint16_t own_port, port;
    int listener = listening(&own_port), ends[2];
    MUST(pipe(ends));
    if (state_outsider(argv)) {
        close(listener);
        close(ends[0]);
        peer(ends[1], own_port);
    }
    close(ends[1]);
    EQUAL(read(ends[0], &port, 2), 2);
    int fd[COUNT];
    for (int i = 0; i < COUNT; i++) fd[i] = joined(port);
    int accepted = MUST(accept(listener, NULL, NULL)), one = 1, idle = 77;
    char letter;
    EQUAL(read(ends[0], &letter, 1), 1);
    close(ends[0]);
    MUST(fcntl(fd[TO_SEND], F_SETFL, O_NONBLOCK));
    uint32_t size = 0;
    for (ssize_t got; size < BIG && (got = write(fd[TO_SEND], bytes + size, BIG - size)) > 0;) size += got;
    MUST(shutdown(fd[OWN_END], SHUT_WR));
    MUST(setsockopt(fd[TUNED], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    MUST(setsockopt(fd[TUNED], SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
    MUST(setsockopt(fd[TUNED], IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle));
    struct tcp_info was, now;
    socklen_t length = sizeof was;
    usleep(100000);
    MUST(getsockopt(fd[TUNED], IPPROTO_TCP, TCP_INFO, &was, &length));

    state_ready();

    length = sizeof now;
    MUST(getsockopt(fd[TUNED], IPPROTO_TCP, TCP_INFO, &now, &length));
    EQUAL(now.tcpi_options & 7, was.tcpi_options & 7);
    EQUAL(now.tcpi_snd_wscale, was.tcpi_snd_wscale);
    EQUAL(now.tcpi_rcv_wscale, was.tcpi_rcv_wscale);
    EQUAL(now.tcpi_state, was.tcpi_state);
    EQUAL(number(fd[TUNED], IPPROTO_TCP, TCP_NODELAY), 1);
    EQUAL(number(fd[TUNED], IPPROTO_TCP, TCP_KEEPIDLE), 77);
    EQUAL(number(fd[TALK], IPPROTO_TCP, TCP_NODELAY), 0);
    EQUAL(number(fd[TALK], SOL_SOCKET, SO_ERROR), 0);
    length = sizeof now;
    MUST(getsockopt(fd[OWN_END], IPPROTO_TCP, TCP_INFO, &now, &length));
    EQUAL(now.tcpi_state, TCP_FIN_WAIT2);
    MUST(getsockopt(fd[PEER_END], IPPROTO_TCP, TCP_INFO, &now, &length));
    EQUAL(now.tcpi_state, TCP_CLOSE_WAIT);
    EQUAL(write(fd[TALK], &size, 4), 4);
    read_all(fd[TO_READ], is, 50000, "what was there to read");
    CHECK(memcmp(is, bytes, 50000) == 0, "other data");
    read_all(fd[OWN_END], is, 5, "after our own end");
    EQUAL(read(fd[PEER_END], is, 10), 0);
    EQUAL(write(fd[PEER_END], "late", 4), 4);
    EQUAL(write(fd[TUNED], "t", 1), 1);
    read_all(accepted, is, 5, "accepted");
    EQUAL(write(accepted, "visit", 5), 5);
    read_all(fd[TALK], is, 4, "the peer's verdict");
    CHECK(memcmp(is, "good", 4) == 0, "%.4s", is);
    int late = joined(own_port), late_end = MUST(accept(listener, NULL, NULL));
    state_ping(late, late_end);
    state_pass();
}
