// UDP: bound with datagrams not yet read, connected, unbound, IPv6, UDP-Lite, options (broadcast, TTL,
// TOS, packet info, multicast membership).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "state.h"

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif

static struct sockaddr_in name_of(int fd) {
    struct sockaddr_in a = {0};
    socklen_t length = sizeof a;
    MUST(getsockname(fd, (struct sockaddr *)&a, &length));
    return a;
}

static int bound(int protocol) {
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, protocol));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    return fd;
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(fd, level, name, &value, &length));
    return value;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool queued = state_arg(0) != NULL;
    int receiver = bound(0), sender = bound(0), unbound = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    struct sockaddr_in to = name_of(receiver), from = name_of(sender), a;
    MUST(connect(sender, (struct sockaddr *)&to, sizeof to));
    int lite[2] = {-1, -1};
    lite[0] = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
    if (lite[0] != -1) {
        close(lite[0]);
        lite[0] = bound(IPPROTO_UDPLITE);
        lite[1] = bound(IPPROTO_UDPLITE);
        a = name_of(lite[0]);
        MUST(connect(lite[1], (struct sockaddr *)&a, sizeof a));
    }
    int six = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 six_name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (six != -1 && bind(six, (struct sockaddr *)&six_name, sizeof six_name) == -1) six = -1;
    socklen_t length = sizeof six_name;
    if (six != -1) MUST(getsockname(six, (struct sockaddr *)&six_name, &length));
    int on = 1, ttl = 7, tos = 0x10;
    MUST(setsockopt(receiver, SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
    MUST(setsockopt(receiver, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl));
    MUST(setsockopt(receiver, IPPROTO_IP, IP_TOS, &tos, sizeof tos));
    MUST(setsockopt(receiver, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
    MUST(setsockopt(receiver, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl));
    if (queued) {
        EQUAL(write(sender, "first", 5), 5);
        EQUAL(write(sender, "", 0), 0);
        EQUAL(write(sender, "third", 5), 5);
    }

    state_ready();

    a = name_of(receiver);
    CHECK(memcmp(&a, &to, sizeof a) == 0, "the receiver's address has changed");
    a = name_of(sender);
    CHECK(memcmp(&a, &from, sizeof a) == 0, "the sender's address has changed");
    char text[16];
    if (queued) {
        length = sizeof a;
        EQUAL(recvfrom(receiver, text, sizeof text, MSG_DONTWAIT, (struct sockaddr *)&a, &length), 5);
        CHECK(memcmp(text, "first", 5) == 0 && a.sin_port == from.sin_port, "%.5s from port %d", text, ntohs(a.sin_port));
        EQUAL(recv(receiver, text, sizeof text, MSG_DONTWAIT), 0);
        EQUAL(recv(receiver, text, sizeof text, MSG_DONTWAIT), 5);
    }
    CHECK(recv(receiver, text, sizeof text, MSG_DONTWAIT) == -1 && errno == EAGAIN, "a datagram that nobody sent");
    state_ping(sender, receiver);
    EQUAL(sendto(receiver, "reply", 5, 0, (struct sockaddr *)&from, sizeof from), 5);
    EQUAL(read(sender, text, sizeof text), 5);
    EQUAL(sendto(unbound, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    EQUAL(read(receiver, text, sizeof text), 1);
    EQUAL(option(receiver, SOL_SOCKET, SO_BROADCAST), 1);
    EQUAL(option(receiver, IPPROTO_IP, IP_TTL), 7);
    EQUAL(option(receiver, IPPROTO_IP, IP_TOS), 0x10);
    EQUAL(option(receiver, IPPROTO_IP, IP_PKTINFO), 1);
    EQUAL(option(receiver, IPPROTO_IP, IP_MULTICAST_TTL), 7);
    if (lite[0] != -1) {
        state_ping(lite[1], lite[0]);
        EQUAL(option(lite[0], SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDPLITE);
    }
    if (six != -1) {
        int client = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
        EQUAL(sendto(client, "6", 1, 0, (struct sockaddr *)&six_name, sizeof six_name), 1);
        EQUAL(read(six, text, sizeof text), 1);
    }
    state_pass();
}
