// TCP sockets in every state that a program can have one in: bound, dual-stack, mapped addresses, being
// connected, half closed in both ways, peers that are gone, broken off with the error not yet told, corked,
// with options; listeners with options.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "state.h"

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(fd, level, name, &value, &length));
    return value;
}

static void set(int fd, int level, int name, int value) {
    if (setsockopt(fd, level, name, &value, sizeof value) == -1) state_fail("option %d %d: %s", level, name, strerror(errno));
}

static int state(int fd) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
    return info.tcpi_state;
}

static int listening(int family, int backlog, uint16_t *port) {
    struct sockaddr_in6 b = {.sin6_family = family};
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof b;
    MUST(bind(fd, (void *)&b, length));
    if (backlog >= 0) MUST(listen(fd, backlog));
    length = sizeof b;
    MUST(getsockname(fd, (void *)&b, &length));
    *port = ntohs(b.sin6_port);
    return fd;
}

static int join(int family, uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &b.sin6_addr);
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    MUST(family == AF_INET ? connect(fd, (void *)&a, sizeof a) : connect(fd, (void *)&b, sizeof b));
    return fd;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    uint16_t port, dual_port, bound_port, full_port;
    int listener = listening(AF_INET, 20, &port), dual = listening(AF_INET6, 20, &dual_port);
    int bound = listening(AF_INET, -1, &bound_port), plain = MUST(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
    char text[64];
    // Mapped: an IPv6 socket at both ends, IPv4 between them.
    int mapped = join(AF_INET6, dual_port), mapped_end = MUST(accept(dual, NULL, NULL));
    int mixed = join(AF_INET, dual_port), mixed_end = MUST(accept(dual, NULL, NULL));
    EQUAL(write(mapped, "mapped", 6), 6);
    // Closed in one direction, in both, in both with data left.
    int own = join(AF_INET, port), own_end = MUST(accept(listener, NULL, NULL));
    MUST(shutdown(own, SHUT_WR));
    int both = join(AF_INET, port), both_end = MUST(accept(listener, NULL, NULL));
    EQUAL(write(both, "left", 4), 4);
    MUST(shutdown(both, SHUT_WR));
    MUST(shutdown(both_end, SHUT_WR));
    int deaf = join(AF_INET, port), deaf_end = MUST(accept(listener, NULL, NULL));
    MUST(shutdown(deaf, SHUT_RD));
    // The other end is gone: in order, and with a reset that nobody has been told of.
    int widow = join(AF_INET, port), widow_end = MUST(accept(listener, NULL, NULL));
    EQUAL(write(widow_end, "end", 3), 3);
    close(widow_end);
    int reset = join(AF_INET, port), reset_end = MUST(accept(listener, NULL, NULL));
    struct linger at_once = {1, 0};
    MUST(setsockopt(reset_end, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    close(reset_end);
    // Both ends closed their own, we after the other: nothing is left but the descriptor.
    int last = join(AF_INET, port), last_end = MUST(accept(listener, NULL, NULL));
    close(last_end);
    MUST(shutdown(last, SHUT_WR));
    // Our own end first, and the other one gone: still to be read to its end.
    int waits = join(AF_INET, port), waits_end = MUST(accept(listener, NULL, NULL));
    MUST(shutdown(waits, SHUT_WR));
    EQUAL(write(waits_end, "bye", 3), 3);
    close(waits_end);
    // A listener that is full: the next is still being connected.
    int full = listening(AF_INET, 0, &full_port), filler = join(AF_INET, full_port);
    int connecting = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(full_port)};
    CHECK(connect(connecting, (void *)&a, sizeof a) == -1 && errno == EINPROGRESS, "connect: %m");
    // Corked: what is written waits for more.
    int corked = join(AF_INET, port), corked_end = MUST(accept(listener, NULL, NULL));
    set(corked, IPPROTO_TCP, TCP_CORK, 1);
    EQUAL(write(corked, "part", 4), 4);
    // Options.
    int tuned = join(AF_INET, port), tuned_end = MUST(accept(listener, NULL, NULL));
    static const int options[][3] = {
        {IPPROTO_IP, IP_TOS, 0x10}, {SOL_SOCKET, SO_KEEPALIVE, 1}, {SOL_SOCKET, SO_PRIORITY, 5}, {SOL_SOCKET, SO_RCVLOWAT, 3}, {SOL_SOCKET, SO_OOBINLINE, 1},
        {SOL_SOCKET, SO_MARK, 77}, {SOL_SOCKET, SO_DONTROUTE, 1}, {SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_TIMESTAMP, 1},
        {SOL_SOCKET, SO_ZEROCOPY, 1}, {SOL_SOCKET, SO_REUSEPORT, 1}, {SOL_SOCKET, SO_BUSY_POLL, 50},
        {IPPROTO_TCP, TCP_NODELAY, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 11}, {IPPROTO_TCP, TCP_KEEPINTVL, 12}, {IPPROTO_TCP, TCP_KEEPCNT, 13},
        {IPPROTO_TCP, TCP_SYNCNT, 4}, {IPPROTO_TCP, TCP_LINGER2, 9}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 9999},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096}, {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1}, {IPPROTO_TCP, TCP_WINDOW_CLAMP, 30000},
        {IPPROTO_IP, IP_TTL, 33}, {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO},
        {IPPROTO_IP, IP_RECVTOS, 1}, {IPPROTO_IP, IP_RECVERR, 1}, {IPPROTO_IP, IP_MINTTL, 2},
    };
    enum { COUNT = sizeof options / sizeof options[0] };
    int values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        set(tuned, options[i][0], options[i][1], options[i][2]);
        values[i] = option(tuned, options[i][0], options[i][1]);
    }
    MUST(setsockopt(tuned, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    struct linger lingers = {1, 7}, is_lingering;
    MUST(setsockopt(tuned, SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers));
    struct timeval patience = {3, 500000}, is_patient;
    MUST(setsockopt(tuned, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    set(dual, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
    int defers = option(dual, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    set(listener, IPPROTO_TCP, TCP_FASTOPEN, 3);
    set(bound, IPPROTO_TCP, TCP_MAXSEG, 1000);
    set(plain, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    usleep(60000);
    int fds[] = {own, own_end, both, both_end, deaf, widow, last, waits, connecting, corked, listener, bound, plain};
    enum { STATES = sizeof fds / sizeof fds[0] };
    int states[STATES];
    for (int i = 0; i < STATES; i++) states[i] = state(fds[i]);

    state_ready();

    for (int i = 0; i < STATES; i++)
        if (fds[i] != waits && fds[i] != both && fds[i] != both_end && fds[i] != last)
            CHECK(state(fds[i]) == states[i], "socket %d is in state %d, was in %d", i, state(fds[i]), states[i]);
    EQUAL(read(mapped_end, text, 64), 6);
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    MUST(getpeername(mapped, (void *)&peer, &length));
    CHECK(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr), "no mapped address any more");
    state_ping(mapped_end, mapped);
    state_ping(mixed, mixed_end);
    EQUAL(read(own_end, text, 64), 0);
    state_ping(own_end, own);
    CHECK(write(own, "x", 1) == -1 && errno == EPIPE, "a closed direction takes data");
    EQUAL(read(both_end, text, 64), 4);
    EQUAL(read(both_end, text, 64), 0);
    EQUAL(read(both, text, 64), 0);
    EQUAL(read(deaf, text, 64), 0);
    state_ping(deaf, deaf_end);
    EQUAL(read(widow, text, 64), 3);
    EQUAL(read(widow, text, 64), 0);
    EQUAL(option(reset, SOL_SOCKET, SO_ERROR), ECONNRESET);
    EQUAL(option(reset, SOL_SOCKET, SO_ERROR), 0);
    EQUAL(read(last, text, 64), 0);
    CHECK(write(last, "x", 1) == -1 && errno == EPIPE, "a closed direction takes data: %m");
    EQUAL(read(waits, text, 64), 3);
    EQUAL(read(waits, text, 64), 0);
    struct pollfd wait = {.fd = connecting, .events = POLLOUT};
    EQUAL(poll(&wait, 1, 20), 0);
    int filler_end = MUST(accept(full, NULL, NULL));
    state_ping(filler, filler_end);
    CHECK(poll(&wait, 1, 20000) == 1 && option(connecting, SOL_SOCKET, SO_ERROR) == 0, "it never got there");
    int connected = MUST(accept(full, NULL, NULL));
    state_ping(connecting, connected);
    EQUAL(option(corked, IPPROTO_TCP, TCP_CORK), 1);
    EQUAL(write(corked, "+rest", 5), 5);
    set(corked, IPPROTO_TCP, TCP_CORK, 0);
    for (ssize_t at = 0; at < 9;) at += MUST(read(corked_end, text + at, 64 - at));
    CHECK(memcmp(text, "part+rest", 9) == 0, "%.9s", text);
    for (int i = 0; i < COUNT; i++)
        CHECK(option(tuned, options[i][0], options[i][1]) == values[i], "option %d %d is %d, was %d", options[i][0], options[i][1],
              option(tuned, options[i][0], options[i][1]), values[i]);
    char name[16] = {0};
    length = sizeof name;
    MUST(getsockopt(tuned, IPPROTO_TCP, TCP_CONGESTION, name, &length));
    CHECK(strcmp(name, "reno") == 0, "congestion control is %s", name);
    length = sizeof is_lingering;
    MUST(getsockopt(tuned, SOL_SOCKET, SO_LINGER, &is_lingering, &length));
    CHECK(is_lingering.l_onoff == 1 && is_lingering.l_linger == 7, "linger %d", is_lingering.l_linger);
    length = sizeof is_patient;
    MUST(getsockopt(tuned, SOL_SOCKET, SO_RCVTIMEO, &is_patient, &length));
    CHECK(is_patient.tv_sec == 3 && is_patient.tv_usec == 500000, "time limit %ld", is_patient.tv_sec);
    set(tuned, SOL_SOCKET, SO_RCVLOWAT, 1);
    set(tuned, SOL_SOCKET, SO_DONTROUTE, 0);
    state_ping(tuned_end, tuned);
    EQUAL(option(dual, IPPROTO_TCP, TCP_DEFER_ACCEPT), defers);
    EQUAL(option(listener, IPPROTO_TCP, TCP_FASTOPEN), 3);
    EQUAL(option(listener, SOL_SOCKET, SO_REUSEADDR), 0);
    EQUAL(option(bound, IPPROTO_TCP, TCP_MAXSEG), 1000);
    EQUAL(option(plain, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    MUST(listen(bound, 5));
    int late = join(AF_INET, bound_port), late_end = MUST(accept(bound, NULL, NULL));
    state_ping(late, late_end);
    state_pass();
}
