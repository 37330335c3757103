// Sockets of the other families in odd positions: netlink with groups, an answer not read and a notice queued;
// packet sockets bound, with packets, in a fanout group, with memberships; raw ones bound, connected and with a
// filter of types; vsock listening; a ping socket's number; unix descriptors of who connected; reuse groups of
// listeners.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(fd, level, name, &value, &length) == -1) state_fail("option %d %d: %s", level, name, strerror(errno));
    return value;
}

static void child(void *arg) {
    int fd = *(int *)arg;
    struct ucred me;
    socklen_t length = sizeof me;
    state_child_ready();
    MUST(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &me, &length));
    EQUAL(me.pid, getppid());
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    static char text[65536];
    int netlink = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE));
    struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_NOTIFY}, now = {0};
    MUST(bind(netlink, (void *)&at, sizeof at));
    socklen_t length = sizeof at;
    MUST(getsockname(netlink, (void *)&at, &length));
    int on = 1, group = RTNLGRP_NEIGH;
    MUST(setsockopt(netlink, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
    MUST(setsockopt(netlink, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on));
    int packet = socket(AF_PACKET, SOCK_RAW, 0), fanout[2] = {-1, -1};
    if (packet != -1) {
        struct packet_mreq promiscuous = {.mr_ifindex = if_nametoindex("lo"), .mr_type = PACKET_MR_PROMISC};
        MUST(setsockopt(packet, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous));
        MUST(setsockopt(packet, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on));
        struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = if_nametoindex("lo")};
        MUST(bind(packet, (void *)&where, sizeof where));
        for (int i = 0; i < 2; i++) {
            fanout[i] = MUST(socket(AF_PACKET, SOCK_DGRAM, 0));
            where.sll_protocol = htons(0x88b6);
            MUST(bind(fanout[i], (void *)&where, sizeof where));
            int join = (getpid() & 0xffff) | PACKET_FANOUT_LB << 16;
            MUST(setsockopt(fanout[i], SOL_PACKET, PACKET_FANOUT, &join, sizeof join));
        }
    }
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), plain = socket(AF_INET, SOCK_RAW, 253);
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct icmp6_filter filter, filter_now;
    if (raw != -1) {
        uint32_t types = ~(1u << 8);
        MUST(setsockopt(raw, 255, 1, &types, sizeof types));
        MUST(bind(plain, (void *)&local, sizeof local));
        MUST(connect(plain, (void *)&local, sizeof local));
        MUST(setsockopt(plain, IPPROTO_IP, IP_HDRINCL, &on, sizeof on));
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        MUST(setsockopt(raw6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter));
    }
    int machine = socket(AF_VSOCK, SOCK_STREAM, 0);
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 0x40000000 + getpid()}, vm_now = {0};
    if (machine != -1 && (bind(machine, (void *)&vm, sizeof vm) == -1 || listen(machine, 3) == -1)) {
        close(machine);
        machine = -1;
    }
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    pid_t pid = state_fork(child, &pair[1]);
    // Listeners that share a port.
    int shared[2];
    local.sin_port = 0;
    for (int i = 0; i < 2; i++) {
        shared[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(setsockopt(shared[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
        MUST(bind(shared[i], (void *)&local, sizeof local));
        MUST(listen(shared[i], 5));
        length = sizeof local;
        MUST(getsockname(shared[i], (void *)&local, &length));
    }

    state_ready();

    length = sizeof now;
    MUST(getsockname(netlink, (void *)&now, &length));
    EQUAL(now.nl_pid, at.nl_pid);
    EQUAL(now.nl_groups & 3, at.nl_groups & 3);
    uint32_t groups[4] = {0};
    length = sizeof groups;
    MUST(getsockopt(netlink, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &length));
    CHECK(groups[0] & 1 << (RTNLGRP_NEIGH - 1), "groups %#x", groups[0]);
    EQUAL(option(netlink, SOL_NETLINK, NETLINK_NO_ENOBUFS), 1);
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
    } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}, {.ifi_family = AF_UNSPEC}};
    EQUAL(send(netlink, &ask, sizeof ask, 0), sizeof ask);
    CHECK(recv(netlink, text, sizeof text, 0) > 0, "no answer: %m");
    if (packet != -1) {
        struct sockaddr_ll where = {0};
        length = sizeof where;
        MUST(getsockname(packet, (void *)&where, &length));
        CHECK(where.sll_protocol == htons(0x88b5) && where.sll_ifindex == (int)if_nametoindex("lo"), "bound elsewhere");
        EQUAL(option(packet, SOL_PACKET, PACKET_AUXDATA), 1);
        unsigned char frame[60] = {[12] = 0x88, [13] = 0xb5, [14] = 42};
        struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};
        EQUAL(sendto(packet, frame, sizeof frame, 0, (void *)&to, sizeof to), 60);
        EQUAL(recv(packet, text, sizeof text, MSG_DONTWAIT), 60);
        for (int i = 0; i < 2; i++)
            CHECK((option(fanout[i], SOL_PACKET, PACKET_FANOUT) & 0xffff) == (getpid() & 0xffff), "left the group");
        struct packet_mreq promiscuous = {.mr_ifindex = if_nametoindex("lo"), .mr_type = PACKET_MR_PROMISC};
        MUST(setsockopt(packet, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &promiscuous, sizeof promiscuous));
    }
    if (raw != -1) {
        EQUAL((uint32_t)option(raw, 255, 1), ~(1u << 8));
        EQUAL(option(plain, IPPROTO_IP, IP_HDRINCL), 1);
        struct iphdr header = {.version = 4, .ihl = 5, .protocol = 253, .ttl = 3, .daddr = htonl(INADDR_LOOPBACK)};
        EQUAL(send(plain, &header, sizeof header, 0), sizeof header); // it still knows where to
        length = sizeof filter_now;
        MUST(getsockopt(raw6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter_now, &length));
        CHECK(memcmp(&filter, &filter_now, sizeof filter) == 0, "another filter");
    }
    if (machine != -1) {
        length = sizeof vm_now;
        MUST(getsockname(machine, (void *)&vm_now, &length));
        EQUAL(vm_now.svm_port, vm.svm_port);
        EQUAL(option(machine, SOL_SOCKET, SO_ACCEPTCONN), 1);
    }
    struct ucred who;
    length = sizeof who;
    MUST(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
    EQUAL(who.pid, getpid());
    EQUAL(option(pair[0], SOL_SOCKET, SO_PASSCRED), 1);
    state_child_end(pid);
    int connected[6], taken = 0;
    for (int i = 0; i < 6; i++) {
        connected[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(connect(connected[i], (void *)&local, sizeof local));
    }
    for (int i = 0; i < 2; i++) {
        MUST(fcntl(shared[i], F_SETFL, O_NONBLOCK));
        while (accept(shared[i], NULL, NULL) != -1) taken++;
    }
    EQUAL(taken, 6);
    state_pass();
}
