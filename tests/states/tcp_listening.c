// TCP sockets that listen: IPv4, IPv6, dual-stack, with SO_REUSEADDR and SO_REUSEPORT groups, options
// set, connections not yet accepted, bound but not listening, unbound. (Argument "pending": with
// connections not yet accepted.)
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
    MUST(setsockopt(fd, level, name, &value, sizeof value));
}

static int port_of(int fd) {
    struct sockaddr_in6 a;
    socklen_t length = sizeof a;
    MUST(getsockname(fd, (struct sockaddr *)&a, &length));
    return ntohs(a.sin6_port); // at the same place in both families
}

static int listening(int family, int port, int reuse_port) {
    int fd = MUST(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reuse_port) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (family == AF_INET) MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    else {
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
        MUST(bind(fd, (struct sockaddr *)&b, sizeof b));
    }
    MUST(listen(fd, 20)); // room for all of a group's newcomers at one of its members
    return fd;
}

static int joined(int port) {
    int fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(connect(fd, (struct sockaddr *)&a, sizeof a));
    return fd;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool pending = state_arg(0) != NULL;
    int four = listening(AF_INET, 0, 0), dual = listening(AF_INET6, 0, 0);
    int group[2];
    group[0] = listening(AF_INET, 0, 1);
    group[1] = listening(AF_INET, port_of(group[0]), 1);
    MUST(fcntl(four, F_SETFL, O_NONBLOCK));
    set(four, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(four, IPPROTO_TCP, TCP_NODELAY, 1);
    set(four, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3);
    set(four, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set(four, IPPROTO_TCP, TCP_KEEPINTVL, 7);
    set(four, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(four, SOL_SOCKET, SO_RCVBUF, 60000);
    set(four, SOL_SOCKET, SO_OOBINLINE, 1);
    int defer = option(four, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    struct linger linger = {1, 9}, linger_now;
    MUST(setsockopt(four, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    int bound = MUST(socket(AF_INET, SOCK_STREAM, 0)), unbound = MUST(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
    struct sockaddr_in any = {.sin_family = AF_INET};
    MUST(bind(bound, (struct sockaddr *)&any, sizeof any));
    int ports[4] = {port_of(four), port_of(dual), port_of(group[0]), port_of(bound)};
    int clients[2] = {-1, -1};
    if (pending) {
        for (int i = 0; i < 2; i++) clients[i] = joined(ports[1]);
        EQUAL(write(clients[1], "early", 5), 5);
    }

    state_ready();

    EQUAL(port_of(four), ports[0]);
    EQUAL(port_of(dual), ports[1]);
    EQUAL(port_of(group[1]), ports[2]);
    EQUAL(port_of(bound), ports[3]);
    EQUAL(option(four, SOL_SOCKET, SO_ACCEPTCONN), 1);
    EQUAL(option(bound, SOL_SOCKET, SO_ACCEPTCONN), 0);
    EQUAL(fcntl(four, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(four, F_GETFD), FD_CLOEXEC);
    EQUAL(option(four, SOL_SOCKET, SO_REUSEADDR), 1);
    EQUAL(option(four, SOL_SOCKET, SO_REUSEPORT), 0);
    EQUAL(option(group[1], SOL_SOCKET, SO_REUSEPORT), 1);
    EQUAL(option(four, SOL_SOCKET, SO_KEEPALIVE), 1);
    EQUAL(option(four, SOL_SOCKET, SO_RCVBUF), 120000);
    EQUAL(option(four, SOL_SOCKET, SO_OOBINLINE), 1);
    EQUAL(option(four, IPPROTO_TCP, TCP_NODELAY), 1);
    EQUAL(option(four, IPPROTO_TCP, TCP_DEFER_ACCEPT), defer);
    EQUAL(option(four, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    EQUAL(option(four, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    EQUAL(option(four, IPPROTO_TCP, TCP_KEEPCNT), 3);
    EQUAL(option(dual, IPPROTO_IPV6, IPV6_V6ONLY), 0);
    socklen_t length = sizeof linger_now;
    MUST(getsockopt(four, SOL_SOCKET, SO_LINGER, &linger_now, &length));
    CHECK(linger_now.l_onoff == 1 && linger_now.l_linger == 9, "linger %d %d", linger_now.l_onoff, linger_now.l_linger);
    if (pending) {
        char text[8];
        // Two handshakes may end in either order.
        struct sockaddr_in6 peer;
        length = sizeof peer;
        int first = MUST(accept(dual, (struct sockaddr *)&peer, &length)), second = MUST(accept(dual, NULL, NULL));
        if (ntohs(peer.sin6_port) != port_of(clients[0])) {
            int swapped = first;
            first = second;
            second = swapped;
        }
        state_ping(clients[0], first);
        EQUAL(read(second, text, sizeof text), 5);
        state_ping(second, clients[1]);
    }
    int client = joined(ports[1]), server = MUST(accept(dual, NULL, NULL));
    state_ping(client, server);
    for (int i = 0; i < 8; i++) close(joined(ports[2])); // both of the group take them
    set(four, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
    client = joined(ports[0]);
    struct pollfd wait = {.fd = four, .events = POLLIN};
    EQUAL(poll(&wait, 1, 3000), 1);
    server = MUST(accept(four, NULL, NULL));
    state_ping(server, client);
    MUST(listen(bound, 2));
    close(joined(ports[3]));
    EQUAL(option(unbound, SOL_SOCKET, SO_DOMAIN), AF_INET6);
    state_pass();
}
