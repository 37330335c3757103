// TCP connections over loopback, both ends in the tree (argument: 4 or 6): with data in flight in
// both directions, half closed either way, options, addresses, in one process
// and across two.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "state.h"

static int family, listener;
struct pair {
    int client, server;
};
static struct pair across;

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(fd, level, name, &value, &length));
    return value;
}

static void set(int fd, int level, int name, int value) {
    MUST(setsockopt(fd, level, name, &value, sizeof value));
}

static struct pair join(void) {
    struct pair pair = {.client = MUST(socket(family, SOCK_STREAM, 0))};
    struct sockaddr_storage a;
    socklen_t length = sizeof a;
    MUST(getsockname(listener, (struct sockaddr *)&a, &length));
    MUST(connect(pair.client, (struct sockaddr *)&a, length));
    pair.server = MUST(accept(listener, NULL, NULL));
    return pair;
}

static void names(int fd, char *text, size_t room) {
    struct sockaddr_storage a[2];
    memset(a, 0, sizeof a);
    socklen_t length = sizeof a[0];
    MUST(getsockname(fd, (struct sockaddr *)&a[0], &length));
    length = sizeof a[1];
    MUST(getpeername(fd, (struct sockaddr *)&a[1], &length));
    memcpy(text, a, sizeof a < room ? sizeof a : room);
}

static void child(void *arg) {
    (void)arg;
    close(across.client);
    state_child_ready();
    char text[32] = {0};
    EQUAL(read(across.server, text, sizeof text), 9);
    CHECK(strcmp(text, "to child\n") == 0, "%s", text);
    EQUAL(write(across.server, "to parent", 9), 9);
}

static void read_all(int fd, const char *want, size_t size, const char *what) {
    static char is[1 << 20];
    ssize_t got;
    for (size_t at = 0; at < size; at += got) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        CHECK(poll(&wait, 1, 10000) == 1, "%s: stuck at %zu of %zu", what, at, size);
        got = MUST(read(fd, is, sizeof is));
        CHECK(got > 0, "%s: the end at %zu of %zu", what, at, size);
        CHECK(memcmp(is, want + at, got) == 0, "%s: other data at %zu", what, at);
    }
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    family = state_arg(0) && *state_arg(0) == '6' ? AF_INET6 : AF_INET;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    listener = MUST(socket(family, SOCK_STREAM, 0));
    int bound = family == AF_INET ? bind(listener, (struct sockaddr *)&a, sizeof a)
                                  : bind(listener, (struct sockaddr *)&b, sizeof b);
    if (bound == -1) state_skip("no loopback of family %d: %s", family, strerror(errno));
    MUST(listen(listener, 10));
    static char bytes[1 << 20];
    state_fill(bytes, sizeof bytes, 1);
    struct pair idle = join(), busy = join(), half = join(), ended = join(), tuned = join();
    across = join();
    MUST(fcntl(busy.client, F_SETFL, O_NONBLOCK));
    MUST(fcntl(busy.server, F_SETFL, O_NONBLOCK));
    // More than the receiver's window takes: some is in the sender's queue.
    ssize_t there = 0, back = 0, got;
    while (there < (ssize_t)sizeof bytes && (got = write(busy.client, bytes + there, sizeof bytes - there)) > 0) there += got;
    while (back < 200000 && (got = write(busy.server, bytes + back, 200000 - back)) > 0) back += got;
    EQUAL(write(half.client, "over", 4), 4);
    MUST(shutdown(half.client, SHUT_WR));
    EQUAL(write(ended.server, "testament", 9), 9);
    close(ended.server); // the client has data to read and then the end
    set(tuned.client, IPPROTO_TCP, TCP_NODELAY, 1);
    set(tuned.client, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(tuned.client, IPPROTO_TCP, TCP_KEEPIDLE, 123);
    set(tuned.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 45000);
    set(tuned.client, SOL_SOCKET, SO_RCVBUF, 70000);
    set(tuned.server, IPPROTO_TCP, TCP_CORK, 1);
    char names_was[4][256], names_is[256];
    int named[4] = {idle.client, idle.server, busy.client, across.client};
    for (int i = 0; i < 4; i++) names(named[i], names_was[i], 256);
    EQUAL(write(across.client, "to child\n", 9), 9);
    pid_t pid = state_fork(child, NULL);
    close(across.server);

    state_ready();

    for (int i = 0; i < 4; i++) {
        names(named[i], names_is, 256);
        CHECK(memcmp(names_is, names_was[i], 256) == 0, "connection %d has other addresses", i);
    }
    state_ping(idle.client, idle.server);
    state_ping(idle.server, idle.client);
    EQUAL(fcntl(busy.client, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    read_all(busy.server, bytes, there, "client to server");
    read_all(busy.client, bytes, back, "server to client");
    state_ping(busy.client, busy.server);
    char text[32] = {0};
    EQUAL(read(half.server, text, sizeof text), 4);
    EQUAL(read(half.server, text, sizeof text), 0);
    state_ping(half.server, half.client);
    CHECK(write(half.client, "x", 1) == -1 && errno == EPIPE, "a closed direction takes data");
    EQUAL(read(ended.client, text, sizeof text), 9);
    EQUAL(read(ended.client, text, sizeof text), 0);
    EQUAL(option(tuned.client, IPPROTO_TCP, TCP_NODELAY), 1);
    EQUAL(option(tuned.server, IPPROTO_TCP, TCP_NODELAY), 0);
    EQUAL(option(tuned.client, SOL_SOCKET, SO_KEEPALIVE), 1);
    EQUAL(option(tuned.client, IPPROTO_TCP, TCP_KEEPIDLE), 123);
    EQUAL(option(tuned.client, IPPROTO_TCP, TCP_USER_TIMEOUT), 45000);
    EQUAL(option(tuned.client, SOL_SOCKET, SO_RCVBUF), 140000);
    EQUAL(option(tuned.server, IPPROTO_TCP, TCP_CORK), 1);
    state_child_end(pid);
    EQUAL(read(across.client, text, sizeof text), 9);
    EQUAL(read(across.client, text, sizeof text), 0);
    struct pair late = join(); // the listener works as well
    state_ping(late.client, late.server);
    state_pass();
}
