// Datagram sockets of the internet in odd positions: UDP-Lite with its coverage, corked, connected and not any
// more, shut down, a group on one port, bound to a device, multicast of both families, an ICMP error that
// nobody has been told of, ping sockets, options.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "state.h"

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(fd, level, name, &value, &length) == -1) state_fail("option %d %d: %s", level, name, strerror(errno));
    return value;
}

static void set(int fd, int level, int name, int value) {
    if (setsockopt(fd, level, name, &value, sizeof value) == -1) state_fail("option %d %d: %s", level, name, strerror(errno));
}

static struct sockaddr_in local(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

static int bound(int protocol, uint16_t *port) {
    struct sockaddr_in a = local(*port);
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, protocol));
    MUST(bind(fd, (void *)&a, sizeof a));
    socklen_t length = sizeof a;
    MUST(getsockname(fd, (void *)&a, &length));
    *port = ntohs(a.sin_port);
    return fd;
}

static int towards(uint16_t port, int protocol) {
    struct sockaddr_in a = local(port);
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, protocol));
    MUST(connect(fd, (void *)&a, sizeof a));
    return fd;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    char text[65];
    uint16_t port = 0, lite_port = 0, group_port = 0, none = 0, other_port = 0;
    int receiver = bound(0, &port), other = bound(0, &other_port);
    int lite = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
    bool has_lite = lite != -1;
    if (has_lite) {
        close(lite);
        lite = bound(IPPROTO_UDPLITE, &lite_port);
        set(lite, IPPROTO_UDPLITE, 11, 20);
        set(lite, IPPROTO_UDPLITE, 10, 16);
    }
    int corked = towards(port, 0);
    set(corked, IPPROTO_UDP, UDP_CORK, 1);
    int sender = towards(port, 0);
    EQUAL(send(sender, "queued", 6, 0), 6);
    EQUAL(send(sender, "", 0, 0), 0);
    EQUAL(send(sender, "behind", 6, 0), 6);
    int loose = towards(port, 0);
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    MUST(connect(loose, &nobody, sizeof nobody));
    int shut = towards(other_port, 0);
    MUST(shutdown(shut, SHUT_RD));
    // Both have the port.
    struct sockaddr_in a = local(0);
    int group[2];
    for (int i = 0; i < 2; i++) {
        group[i] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
        set(group[i], SOL_SOCKET, SO_REUSEPORT, 1);
        a.sin_port = htons(group_port);
        MUST(bind(group[i], (void *)&a, sizeof a));
        socklen_t length = sizeof a;
        MUST(getsockname(group[i], (void *)&a, &length));
        group_port = ntohs(a.sin_port);
    }
    int device = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(setsockopt(device, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
    int free_bound = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    set(free_bound, IPPROTO_IP, IP_FREEBIND, 1);
    struct sockaddr_in foreign = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("192.0.2.7"), .sin_port = htons(4321)};
    MUST(bind(free_bound, (void *)&foreign, sizeof foreign));
    int multi = MUST(socket(AF_INET, SOCK_DGRAM, 0)), multi6 = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    struct ip_mreqn membership = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = if_nametoindex("lo")};
    MUST(setsockopt(multi, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership));
    MUST(setsockopt(multi, IPPROTO_IP, IP_MULTICAST_IF, &membership, sizeof membership));
    struct ipv6_mreq membership6 = {.ipv6mr_interface = if_nametoindex("lo")};
    inet_pton(AF_INET6, "ff15::77", &membership6.ipv6mr_multiaddr);
    bool has6 = setsockopt(multi6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &membership6, sizeof membership6) == 0;
    set(multi, IPPROTO_IP, IP_MULTICAST_TTL, 9);
    set(multi, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
    static const int options[][3] = {
        {SOL_SOCKET, SO_BROADCAST, 1}, {SOL_SOCKET, SO_RXQ_OVFL, 1}, {SOL_SOCKET, SO_NO_CHECK, 1}, {SOL_SOCKET, SO_TIMESTAMPNS, 1},
        {SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1}, {SOL_SOCKET, SO_MARK, 5}, {SOL_SOCKET, SO_SNDBUF, 50000}, {SOL_SOCKET, SO_RCVBUF, 60000},
        {IPPROTO_IP, IP_PKTINFO, 1}, {IPPROTO_IP, IP_RECVTTL, 1}, {IPPROTO_IP, IP_RECVERR, 1}, {IPPROTO_IP, IP_TRANSPARENT, 1},
        {IPPROTO_IP, IP_RECVORIGDSTADDR, 1}, {IPPROTO_IP, IP_TTL, 12}, {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1},
        {IPPROTO_UDP, UDP_SEGMENT, 1000}, {IPPROTO_UDP, UDP_GRO, 1}, {IPPROTO_UDP, UDP_NO_CHECK6_TX, 1},
    };
    enum { COUNT = sizeof options / sizeof options[0] };
    int tuned = MUST(socket(AF_INET, SOCK_DGRAM, 0)), values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        set(tuned, options[i][0], options[i][1], options[i][2]);
        values[i] = option(tuned, options[i][0], options[i][1]);
    }
    static const int options6[][2] = {
        {IPV6_UNICAST_HOPS, 44}, {IPV6_MULTICAST_HOPS, 3}, {IPV6_MULTICAST_LOOP, 0}, {IPV6_RECVPKTINFO, 1}, {IPV6_RECVHOPLIMIT, 1},
        {IPV6_RECVTCLASS, 1}, {IPV6_TCLASS, 8}, {IPV6_V6ONLY, 1}, {IPV6_RECVERR, 1}, {IPV6_DONTFRAG, 1}, {IPV6_AUTOFLOWLABEL, 0},
    };
    enum { COUNT6 = sizeof options6 / sizeof options6[0] };
    int tuned6 = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    for (int i = 0; i < COUNT6; i++) set(tuned6, IPPROTO_IPV6, options6[i][0], options6[i][1]);
    // Nobody is there: the answer waits to be told.
    int refused_by = bound(0, &none);
    close(refused_by);
    int refused = towards(none, 0);
    EQUAL(send(refused, "x", 1, 0), 1);
    int ping = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    // Only what begins with an a comes through; the filter stays.
    struct sock_filter code[] = {{0x30, 0, 0, 8}, {0x15, 0, 1, 'a'}, {6, 0, 0, 0xffff}, {6, 0, 0, 0}};
    struct sock_fprog program = {4, code};
    uint16_t picky_port = 0;
    int picky = bound(0, &picky_port), to_picky = towards(picky_port, 0);
    MUST(setsockopt(picky, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));

    state_ready();

    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 6);
    CHECK(memcmp(text, "queued", 6) == 0, "%.6s", text);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 0);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 6);
    if (has_lite) {
        EQUAL(option(lite, IPPROTO_UDPLITE, 11), 20);
        EQUAL(option(lite, IPPROTO_UDPLITE, 10), 16);
        int to_lite = towards(lite_port, IPPROTO_UDPLITE);
        EQUAL(send(to_lite, "light and long enough", 21, 0), 21);
        EQUAL(recv(lite, text, 64, MSG_DONTWAIT), 21);
    }
    EQUAL(option(corked, IPPROTO_UDP, UDP_CORK), 1);
    EQUAL(send(corked, "to", 2, 0), 2);
    EQUAL(send(corked, "gether", 6, 0), 6);
    set(corked, IPPROTO_UDP, UDP_CORK, 0);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 8);
    CHECK(send(loose, "x", 1, 0) == -1 && errno == EDESTADDRREQ, "it is connected: %m");
    EQUAL(recv(shut, text, 1, 0), 0);
    EQUAL(send(shut, "out", 3, 0), 3);
    EQUAL(recv(other, text, 64, MSG_DONTWAIT), 3);
    for (int i = 0; i < 2; i++) EQUAL(option(group[i], SOL_SOCKET, SO_REUSEPORT), 1);
    EQUAL(option(receiver, SOL_SOCKET, SO_REUSEADDR), 0);
    char name[IFNAMSIZ] = {0};
    socklen_t length = sizeof name;
    MUST(getsockopt(device, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
    CHECK(strcmp(name, "lo") == 0, "bound to %s", name);
    struct sockaddr_in is;
    length = sizeof is;
    MUST(getsockname(free_bound, (void *)&is, &length));
    CHECK(is.sin_addr.s_addr == foreign.sin_addr.s_addr && is.sin_port == foreign.sin_port, "another address");
    MUST(setsockopt(multi, IPPROTO_IP, IP_DROP_MEMBERSHIP, &membership, sizeof membership));
    EQUAL(option(multi, IPPROTO_IP, IP_MULTICAST_TTL) & 0xff, 9);
    EQUAL(option(multi, IPPROTO_IP, IP_MULTICAST_LOOP) & 0xff, 0);
    struct in_addr through;
    length = sizeof through;
    MUST(getsockopt(multi, IPPROTO_IP, IP_MULTICAST_IF, &through, &length));
    struct ip_mreqn by_index = {0};
    (void)by_index;
    if (has6) MUST(setsockopt(multi6, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &membership6, sizeof membership6));
    for (int i = 0; i < COUNT; i++)
        CHECK(option(tuned, options[i][0], options[i][1]) == values[i], "option %d %d is %d, was %d", options[i][0], options[i][1],
              option(tuned, options[i][0], options[i][1]), values[i]);
    for (int i = 0; i < COUNT6; i++)
        CHECK(option(tuned6, IPPROTO_IPV6, options6[i][0]) == options6[i][1], "IPv6 option %d is %d", options6[i][0],
              option(tuned6, IPPROTO_IPV6, options6[i][0]));
    CHECK(recv(refused, text, 1, MSG_DONTWAIT) == -1 && errno == ECONNREFUSED, "the refusal was lost: %m");
    if (ping != -1) {
        struct sockaddr_in to = local(0);
        unsigned char echo[16] = {8, 0};
        if (sendto(ping, echo, sizeof echo, 0, (void *)&to, sizeof to) == sizeof echo) EQUAL(recv(ping, text, 64, 0), 16);
    }
    EQUAL(send(to_picky, "bad", 3, 0), 3);
    EQUAL(send(to_picky, "a good one", 10, 0), 10);
    EQUAL(recv(picky, text, 64, MSG_DONTWAIT), 10);
    state_pass();
}
