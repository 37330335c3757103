// TCP connections whose ends are left alone: with a child, closed by the peer with data unread, between IPv4 and a
// dual-stack listener, of a listener that is gone, broken off with it, not yet accepted and ended already; and a queue
// of datagrams of all lengths.
#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "state.h"


static int lis(int family, struct sockaddr_in6 *n, int backlog) {
    *n = (struct sockaddr_in6){.sin6_family = family};
    socklen_t l = sizeof *n;
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    MUST(bind(fd, (void *)n, l));
    MUST(listen(fd, backlog));
    MUST(getsockname(fd, (void *)n, &l));
    if (family == AF_INET) ((struct sockaddr_in *)n)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else inet_pton(AF_INET6, "::ffff:127.0.0.1", &n->sin6_addr);
    return fd;
}
static int joined(struct sockaddr_in6 *n) {
    int fd = MUST(socket(n->sin6_family, SOCK_STREAM, 0));
    MUST(connect(fd, (void *)n, sizeof *n));
    return fd;
}

static int c0;
static void child(void *arg) {
    (void)arg;
    state_child_ready();
    char t[9];
    EQUAL(read(c0, t, 9), 4);
    EQUAL(write(c0, "back", 4), 4);
    EQUAL(read(c0, t, 9), 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    char t[70000];
    struct sockaddr_in6 n, m, d;
    int l = lis(AF_INET, &n, 5), l6 = lis(AF_INET6, &m, 5);
    c0 = joined(&n);
    pid_t pid = state_fork(child, NULL);
    close(c0);
    int s0 = MUST(accept(l, NULL, NULL));
    EQUAL(write(s0, "to c", 4), 4);
    // all data sent, closed on the other side: close-wait with data, the peer an orphan
    int c1 = joined(&n), s1 = MUST(accept(l, NULL, NULL));
    memset(t, 'q', sizeof t);
    EQUAL(write(c1, t, 30000), 30000);
    close(c1);
    // mapped
    int c2 = joined(&m), s2 = MUST(accept(l6, NULL, NULL));
    EQUAL(write(c2, "mapped", 6), 6);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = m.sin6_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int c3 = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c3, (void *)&v4, sizeof v4));
    int s3 = MUST(accept(l6, NULL, NULL));
    EQUAL(write(s3, "v4", 2), 2);
    // the listener is gone
    int lg = lis(AF_INET, &d, 1), c4 = joined(&d), s4 = MUST(accept(lg, NULL, NULL)), c5 = joined(&d);
    close(lg);
    // pending
    int c6 = joined(&n);
    int c7 = joined(&n);
    EQUAL(write(c7, "seven", 5), 5);
    close(c7);
    int u = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in any = {.sin_family = AF_INET};
    MUST(bind(u, (void *)&any, sizeof any));
    socklen_t len = sizeof any;
    MUST(getsockname(u, (void *)&any, &len));
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int u2 = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(connect(u2, (void *)&any, sizeof any));
    for (int i = 0; i < 15; i++) EQUAL(send(u2, t, i * 100, 0), i * 100);
    EQUAL(send(u2, t, 60000, 0), 60000);
    // half: shut down for writing, peer alive
    usleep(10000);
    usleep(20000);
    state_ready();
    MUST(shutdown(s0, SHUT_WR));
    state_child_end(pid);
    EQUAL(read(s0, t, 4), 4);
    long got = 0;
    ssize_t k;
    while ((k = read(s1, t, sizeof t)) > 0) got += k;
    EQUAL(k, 0);
    EQUAL(got, 30000);
    EQUAL(read(s2, t, 64), 6);
    state_ping(c2, s2);
    state_ping(s2, c2);
    struct sockaddr_in6 who;
    len = sizeof who;
    MUST(getpeername(c2, (void *)&who, &len));
    EQUAL(who.sin6_family, AF_INET6);
    CHECK(IN6_IS_ADDR_V4MAPPED(&who.sin6_addr), "not mapped");
    EQUAL(read(c3, t, 64), 2);
    state_ping(c3, s3);
    len = sizeof who;
    MUST(getpeername(s3, (void *)&who, &len));
    EQUAL(who.sin6_family, AF_INET6);
    state_ping(c4, s4);
    CHECK(read(c5, t, 1) == -1 && errno == ECONNRESET, "c5: %m");
    int s6 = MUST(accept(l, NULL, NULL));
    state_ping(c6, s6);
    int s7 = MUST(accept(l, NULL, NULL));
    EQUAL(read(s7, t, 64), 5);
    EQUAL(read(s7, t, 64), 0);
    for (int i = 0; i < 15; i++) EQUAL(recv(u, t, sizeof t, MSG_DONTWAIT), i * 100);
    EQUAL(recv(u, t, sizeof t, MSG_DONTWAIT), 60000);

    state_pass();
}
