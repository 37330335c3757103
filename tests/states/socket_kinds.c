// Other sockets (argument: which): netlink with its groups, raw IP, packet, each idle and usable
// afterwards.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include "state.h"

static void netlink(void) {
    int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)), plain = MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE));
    struct sockaddr_nl was = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR}, is = {0};
    MUST(bind(fd, (struct sockaddr *)&was, sizeof was));
    socklen_t length = sizeof was;
    MUST(getsockname(fd, (struct sockaddr *)&was, &length));
    int on = 1;
    MUST(setsockopt(fd, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof on));
    state_ready();
    length = sizeof is;
    MUST(getsockname(fd, (struct sockaddr *)&is, &length));
    CHECK(is.nl_groups == was.nl_groups && is.nl_pid == was.nl_pid, "port %u groups %#x, were %u %#x", is.nl_pid,
          is.nl_groups, was.nl_pid, was.nl_groups);
    EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
    } ask = {{.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 5},
             {.ifi_family = AF_UNSPEC}};
    for (int i = 0; i < 2; i++) {
        int one = i ? plain : fd;
        EQUAL(send(one, &ask, sizeof ask, 0), sizeof ask);
        char answer[16384];
        CHECK(recv(one, answer, sizeof answer, 0) > 0, "no answer: %s", strerror(errno));
        EQUAL(((struct nlmsghdr *)answer)->nlmsg_type, RTM_NEWLINK);
    }
}

static void raw(void) {
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (fd == -1) state_skip("raw socket: %s", strerror(errno));
    int only_reply = ~(1 << ICMP_ECHOREPLY);
    MUST(setsockopt(fd, SOL_RAW, 1 /* ICMP_FILTER */, &only_reply, sizeof only_reply));
    state_ready();
    int filter = 0;
    socklen_t length = sizeof filter;
    MUST(getsockopt(fd, SOL_RAW, 1, &filter, &length));
    EQUAL(filter, only_reply);
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = 7, .sequence = 1}};
    echo.checksum = (uint16_t)~(htons(0x0800) + 7 + 1);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    EQUAL(sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to), sizeof echo);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    EQUAL(poll(&wait, 1, 5000), 1);
    char answer[200];
    CHECK(recv(fd, answer, sizeof answer, 0) >= 28 && answer[20] == ICMP_ECHOREPLY, "no echo");
}

static void packet(void) {
    int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    if (fd == -1) state_skip("packet socket: %s", strerror(errno));
    struct sockaddr_ll was = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = if_nametoindex("lo")}, is = {0};
    MUST(bind(fd, (struct sockaddr *)&was, sizeof was));
    int on = 1, value = 0;
    MUST(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on));
    state_ready();
    socklen_t length = sizeof is;
    MUST(getsockname(fd, (struct sockaddr *)&is, &length));
    EQUAL(is.sll_ifindex, was.sll_ifindex);
    EQUAL(is.sll_protocol, was.sll_protocol);
    length = sizeof value;
    MUST(getsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &value, &length));
    EQUAL(value, 1);
    int udp = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(sendto(udp, "seen?", 5, 0, (struct sockaddr *)&to, sizeof to));
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    EQUAL(poll(&wait, 1, 5000), 1);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *kind = state_arg(0) ? state_arg(0) : "netlink";
    if (strcmp(kind, "netlink") == 0) netlink();
    if (strcmp(kind, "raw") == 0) raw();
    if (strcmp(kind, "packet") == 0) packet();
    state_pass();
}
