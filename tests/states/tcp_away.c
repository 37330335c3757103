// TCP connections with a process outside the tree, which talks and ends them while the program is away
// (arguments: 4, 6 or mapped; how long the tests leave it away): full in both directions, sent to, closed,
// in every state that a half-closed connection can be in, being made, accepted and not read. All arrives
// whole, in both directions, and so does the end.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "state.h"

enum { TALK, FULL, SENT_TO, CLOSED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING, COUNT };
#define BIG (8 << 20)

static int family;
static bool mapped;
// What each side sends on each connection, before the program is away, meanwhile, and in all.
static uint32_t *sent_by_program, *sent_by_peer;
static char bytes[BIG], is[BIG];

static socklen_t address(struct sockaddr_in6 *to, uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)};
    if (mapped) inet_pton(AF_INET6, "::ffff:127.0.0.1", &b.sin6_addr);
    if (family == AF_INET6) *to = b;
    else memcpy(to, &a, sizeof a);
    return family == AF_INET ? sizeof a : sizeof b;
}

static int listening(uint16_t *port, int backlog) {
    struct sockaddr_in6 name;
    socklen_t length = address(&name, 0);
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    if (bind(fd, (void *)&name, length) == -1) state_skip("no loopback of family %d: %s", family, strerror(errno));
    MUST(listen(fd, backlog));
    MUST(getsockname(fd, (void *)&name, &length));
    *port = ntohs(name.sin6_port); // at the same place in both
    return fd;
}

static int joined(uint16_t port, int flags) {
    struct sockaddr_in6 name;
    socklen_t length = address(&name, port);
    int fd = MUST(socket(family, SOCK_STREAM | flags, 0));
    if (connect(fd, (void *)&name, length) == -1) CHECK(flags && errno == EINPROGRESS, "connect: %m");
    return fd;
}

static int state(int fd) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
    return info.tcpi_state;
}

// Writes until nothing more fits, and it has stood still for a while.
static void fill(int fd, uint32_t *sent) {
    for (int still = 0; still < 10 && *sent < BIG;) {
        ssize_t got = send(fd, bytes + *sent, BIG - *sent, MSG_DONTWAIT);
        if (got > 0) *sent += got, still = 0;
        else usleep(10000), still++;
    }
}

static void read_all(int fd, size_t size, bool ends, const char *what, int number) {
    for (size_t at = 0, got; at < size + ends; at += got) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        CHECK(poll(&wait, 1, 30000) == 1, "%s %d: stuck at %zu of %zu", what, number, at, size);
        got = MUST(read(fd, is + at, size + ends - at));
        if (got == 0) {
            CHECK(ends && at == size, "%s %d: the end at %zu of %zu", what, number, at, size);
            break;
        }
    }
    CHECK(memcmp(is, bytes, size) == 0, "%s %d: other data", what, number);
}

// The other program. It notices that the program is away by its end.
static void peer(int tell, int port_of_program, int program) {
    alarm(120);
    uint16_t port[2];
    int listener = listening(&port[0], 20), full = listening(&port[1], 0), fd[COUNT];
    int filler = joined(port[1], 0);
    EQUAL(write(tell, port, 4), 4);
    for (int i = 0; i < COUNT; i++) fd[i] = MUST(accept(listener, NULL, NULL));
    int visitor = joined(port_of_program, 0);
    EQUAL(write(visitor, bytes, 1000), 1000);
    fill(fd[FULL], &sent_by_peer[FULL]);
    for (int i = CLOSE_WAIT; i <= LAST_ACK; i++) MUST(shutdown(fd[i], SHUT_WR));
    EQUAL(write(tell, "r", 1), 1);
    // Its own end comes only after the program's.
    char letter;
    EQUAL(read(fd[TALK], &letter, 1), 1);
    MUST(shutdown(fd[CLOSING], SHUT_WR));
    usleep(50000);
    EQUAL(write(tell, "c", 1), 1);
    close(tell);
    struct pollfd away[] = {{.fd = program, .events = POLLIN}, {.fd = fd[TALK], .events = POLLIN}};
    CHECK(poll(away, 2, 60000) > 0, "nothing happens");
    for (int i = SENT_TO; i <= FIN_WAIT2; i++) {
        EQUAL(write(fd[i], bytes, 100000), 100000);
        sent_by_peer[i] += 100000;
        if (i != SENT_TO) MUST(shutdown(fd[i], SHUT_WR));
    }
    EQUAL(write(visitor, bytes + 1000, 50000), 50000);
    MUST(shutdown(visitor, SHUT_WR));
    read_all(fd[TALK], 1, false, "asked", TALK);
    MUST(accept(full, NULL, NULL));
    int late = MUST(accept(full, NULL, NULL));
    for (int i = FULL; i < COUNT; i++) read_all(fd[i], sent_by_program[i], i != SENT_TO, "at the peer", i);
    MUST(shutdown(fd[FULL], SHUT_WR));
    MUST(shutdown(fd[SENT_TO], SHUT_WR));
    EQUAL(read(fd[SENT_TO], is, 1), 0);
    read_all(visitor, 5, true, "the visitor", 0);
    read_all(late, 4, true, "late", 0);
    EQUAL(write(fd[TALK], "good", 4), 4);
    EQUAL(read(fd[TALK], is, 1), 0);
    close(filler);
    exit(0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    const char *kind = state_arg(0) ? state_arg(0) : "4";
    mapped = *kind == 'm';
    family = *kind == '4' ? AF_INET : AF_INET6;
    state_fill(bytes, sizeof bytes, 7);
    sent_by_program = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    sent_by_peer = sent_by_program + COUNT;
    uint16_t own_port, port[2];
    int listener = listening(&own_port, 10), ends[2], self = MUST(syscall(SYS_pidfd_open, getpid(), 0));
    MUST(pipe(ends));
    if (state_outsider(argv)) {
        close(listener);
        close(ends[0]);
        peer(ends[1], own_port, self);
    }
    close(ends[1]);
    close(self);
    EQUAL(read(ends[0], port, 4), 4);
    int fd[COUNT];
    for (int i = 0; i < COUNT; i++) fd[i] = joined(port[0], 0);
    int accepted = MUST(accept(listener, NULL, NULL)), connecting = joined(port[1], SOCK_NONBLOCK);
    char letter;
    EQUAL(read(ends[0], &letter, 1), 1);
    for (int i = FULL; i < COUNT; i++)
        if (i == FULL || i == FIN_WAIT1 || i == LAST_ACK || i == CLOSING) fill(fd[i], &sent_by_program[i]);
    for (int i = FIN_WAIT1; i < COUNT; i++)
        if (i != CLOSE_WAIT) MUST(shutdown(fd[i], SHUT_WR));
    EQUAL(write(fd[TALK], bytes, 1), 1);
    EQUAL(read(ends[0], &letter, 1), 1);
    close(ends[0]);
    usleep(100000);
    int states[COUNT], wanted[COUNT] = {TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_FIN_WAIT1,
                                        TCP_FIN_WAIT2,   TCP_CLOSE_WAIT,  TCP_LAST_ACK,    TCP_CLOSING};
    for (int i = 0; i < COUNT; i++) {
        states[i] = state(fd[i]);
        EQUAL(states[i], wanted[i]);
    }
    EQUAL(state(connecting), TCP_SYN_SENT);
    // Sent by now; the peer counts on in its own copy, which is the same memory no longer once the program was away.
    uint32_t from_peer[COUNT];
    memcpy(from_peer, sent_by_peer, sizeof from_peer);
    MUST(munmap(sent_by_program, 4096));

    state_ready();

    for (int i = 0; i < COUNT; i++)
        if (i < CLOSED || i == CLOSE_WAIT || i == LAST_ACK || i == CLOSING) EQUAL(state(fd[i]), states[i]);
    EQUAL(write(fd[TALK], bytes, 1), 1);
    read_all(accepted, 51000, true, "accepted", 0);
    EQUAL(write(accepted, bytes, 5), 5);
    MUST(shutdown(accepted, SHUT_WR));
    for (int i = SENT_TO; i <= FIN_WAIT2; i++) from_peer[i] += 100000;
    MUST(shutdown(fd[FULL], SHUT_WR));
    for (int i = CLOSED; i <= CLOSE_WAIT; i++)
        if (i == CLOSED || i == CLOSE_WAIT) MUST(shutdown(fd[i], SHUT_WR));
    struct pollfd wait = {.fd = connecting, .events = POLLOUT};
    int error = -1;
    socklen_t length = sizeof error;
    CHECK(poll(&wait, 1, 30000) == 1, "it never got there");
    MUST(getsockopt(connecting, SOL_SOCKET, SO_ERROR, &error, &length));
    EQUAL(error, 0);
    EQUAL(write(connecting, bytes, 4), 4);
    MUST(shutdown(connecting, SHUT_WR));
    for (int i = FULL; i < COUNT; i++) read_all(fd[i], from_peer[i], i != FULL && i != SENT_TO, "at the program", i);
    EQUAL(read(fd[FULL], is, 1), 0);
    MUST(shutdown(fd[SENT_TO], SHUT_WR));
    EQUAL(read(fd[SENT_TO], is, 1), 0);
    struct pollfd verdict = {.fd = fd[TALK], .events = POLLIN};
    CHECK(poll(&verdict, 1, 30000) == 1, "the peer says nothing");
    EQUAL(read(fd[TALK], is, 8), 4);
    CHECK(memcmp(is, "good", 4) == 0, "%.4s", is);
    state_pass();
}
