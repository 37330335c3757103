// Sockets of the internet and netlink with what waits in them: a reuse group with a program, IPv6 connections not yet
// accepted with data and their end, a corked stream, streams full both ways, a locked filter, empty datagrams, linger;
// netlink connected with the kernel and with another one, groups beyond the first 32, other protocols.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "state.h"
static void set(int fd, int level, int name, int value) { if (setsockopt(fd, level, name, &value, sizeof value) == -1) state_fail("option %d %d: %m", level, name); }
static int option(int fd, int level, int name) { int v = -1; socklen_t l = sizeof v; MUST(getsockopt(fd, level, name, &v, &l)); return v; }
static struct sockaddr_in6 six(uint16_t port) { return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)}; }

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    char text[4096];
    // A group of listeners, the program takes always the second.
    int group[3];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof a;
    for (int i = 0; i < 3; i++) {
        group[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
        set(group[i], SOL_SOCKET, SO_REUSEPORT, 1);
        MUST(bind(group[i], (void *)&a, sizeof a));
        if (i == 0) MUST(getsockname(group[0], (void *)&a, &length));
        MUST(listen(group[i], 5));
    }
    struct sock_filter second[] = {{BPF_RET | BPF_K, 0, 0, 1}};
    struct sock_fprog program = {1, second};
    MUST(setsockopt(group[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program));
    int try = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(try, (void *)&a, sizeof a));
    struct pollfd ready[3] = {{group[0], POLLIN, 0}, {group[1], POLLIN, 0}, {group[2], POLLIN, 0}};
    MUST(poll(ready, 3, 1000));
    CHECK(ready[1].revents, "the machine does not steer");
    int took = MUST(accept(group[1], NULL, NULL));
    // IPv6, pending with data and without, one gone.
    int l6 = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    struct sockaddr_in6 b = six(0);
    length = sizeof b;
    MUST(bind(l6, (void *)&b, sizeof b));
    MUST(listen(l6, 9));
    MUST(getsockname(l6, (void *)&b, &length));
    int c6[3];
    for (int i = 0; i < 3; i++) {
        c6[i] = MUST(socket(AF_INET6, SOCK_STREAM, 0));
        MUST(connect(c6[i], (void *)&b, sizeof b));
    }
    EQUAL(write(c6[1], "data", 4), 4);
    EQUAL(write(c6[2], "last", 4), 4);
    MUST(shutdown(c6[2], SHUT_WR));
    // Corked.
    int lc = MUST(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in c = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(lc, (void *)&c, sizeof c));
    MUST(listen(lc, 2));
    length = sizeof c;
    MUST(getsockname(lc, (void *)&c, &length));
    int cork = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(cork, (void *)&c, sizeof c));
    int uncorked = MUST(accept(lc, NULL, NULL));
    set(cork, IPPROTO_TCP, TCP_CORK, 1);
    EQUAL(write(cork, "held back", 9), 9);
    // More than the receiver takes, both ways.
    int big = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    set(big, SOL_SOCKET, SO_SNDBUF, 300000);
    connect(big, (void *)&c, sizeof c);
    int big_end = MUST(accept4(lc, NULL, NULL, SOCK_NONBLOCK));
    long sent = 0, back = 0;
    for (int still = 0; still < 5;) { memset(text, (int)(sent % 251), sizeof text); ssize_t n = write(big, text, 4096); if (n > 0) sent += n, still = 0; else usleep(5000), still++; if (n > 0 && n < 4096) break; }
    for (int still = 0; still < 5;) { ssize_t n = write(big_end, text, 4096); if (n > 0) back += n, still = 0; else usleep(5000), still++; if (n > 0 && n < 4096) break; }
    // Linger, and zero linger.
    struct linger was = {1, 7};
    MUST(setsockopt(uncorked, SOL_SOCKET, SO_LINGER, &was, sizeof was));
    // A filter that is locked.
    int filtered = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sock_filter only[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 8}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'y'}, {BPF_RET | BPF_K, 0, 0, 0xffff}, {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog filter = {4, only};
    MUST(setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
    set(filtered, SOL_SOCKET, SO_LOCK_FILTER, 1);
    struct sockaddr_in f = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(filtered, (void *)&f, sizeof f));
    length = sizeof f;
    MUST(getsockname(filtered, (void *)&f, &length));
    int sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    EQUAL(sendto(sender, "yes", 3, 0, (void *)&f, sizeof f), 3);
    EQUAL(sendto(sender, "no", 2, 0, (void *)&f, sizeof f), 2);
    // Six, connected in a pair, with data.
    int u6[2];
    struct sockaddr_in6 n6[2];
    for (int i = 0; i < 2; i++) {
        u6[i] = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
        n6[i] = six(0);
        MUST(bind(u6[i], (void *)&n6[i], sizeof n6[i]));
        length = sizeof n6[i];
        MUST(getsockname(u6[i], (void *)&n6[i], &length));
    }
    for (int i = 0; i < 2; i++) MUST(connect(u6[i], (void *)&n6[1 - i], sizeof n6[0]));
    EQUAL(send(u6[0], "", 0, 0), 0);
    EQUAL(send(u6[0], "after nothing", 13, 0), 13);
    // Netlink: unread, connected to the kernel, with a group above 32, another protocol.
    int route = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    struct sockaddr_nl own = {.nl_family = AF_NETLINK}, kernel = {.nl_family = AF_NETLINK};
    MUST(bind(route, (void *)&own, sizeof own));
    length = sizeof own;
    MUST(getsockname(route, (void *)&own, &length));
    MUST(connect(route, (void *)&kernel, sizeof kernel));
    set(route, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 33);
    int event = MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT));
    struct sockaddr_nl en = {.nl_family = AF_NETLINK, .nl_groups = 1};
    MUST(bind(event, (void *)&en, sizeof en));
    int diag = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
    // Two netlink sockets that talk.
    int talk[2];
    struct sockaddr_nl tn[2];
    for (int i = 0; i < 2; i++) {
        talk[i] = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK));
        tn[i] = (struct sockaddr_nl){.nl_family = AF_NETLINK};
        MUST(bind(talk[i], (void *)&tn[i], sizeof tn[i]));
        length = sizeof tn[i];
        MUST(getsockname(talk[i], (void *)&tn[i], &length));
    }
    MUST(connect(talk[0], (void *)&tn[1], sizeof tn[1]));
    // Raw ICMP with a filter of types.
    int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), drop = 0x55;
    if (icmp >= 0) MUST(setsockopt(icmp, SOL_RAW, 1, &drop, sizeof drop));

    state_ready();

    for (int i = 0; i < 3; i++) {
        int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(connect(client, (void *)&a, sizeof a));
        close(client);
    }
    state_ping(try, took);
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in6 who, want;
        length = sizeof who;
        int server = MUST(accept(l6, (void *)&who, &length));
        length = sizeof want;
        MUST(getsockname(c6[i], (void *)&want, &length));
        EQUAL(ntohs(who.sin6_port), ntohs(want.sin6_port));
        if (i) EQUAL(read(server, text, 64), 4);
        if (i == 2) EQUAL(read(server, text, 64), 0);
        state_ping(server, c6[i]);
    }
    EQUAL(option(cork, IPPROTO_TCP, TCP_CORK), 1);
    set(cork, IPPROTO_TCP, TCP_CORK, 0);
    EQUAL(read(uncorked, text, 64), 9);
    struct linger is;
    length = sizeof is;
    MUST(getsockopt(uncorked, SOL_SOCKET, SO_LINGER, &is, &length));
    CHECK(is.l_onoff == 1 && is.l_linger == 7, "linger %d %d", is.l_onoff, is.l_linger);
    long got = 0;
    for (int still = 0; still < 200 && got < sent;) { ssize_t n = read(big_end, text, sizeof text); if (n > 0) got += n, still = 0; else usleep(5000), still++; }
    EQUAL(got, sent);
    got = 0;
    for (int still = 0; still < 200 && got < back;) { ssize_t n = read(big, text, sizeof text); if (n > 0) got += n, still = 0; else usleep(5000), still++; }
    EQUAL(got, back);
    EQUAL(recv(filtered, text, 64, MSG_DONTWAIT), 3);
    CHECK(recv(filtered, text, 64, MSG_DONTWAIT) == -1 && errno == EAGAIN, "no got through");
    EQUAL(option(filtered, SOL_SOCKET, SO_LOCK_FILTER), 1);
    EQUAL(sendto(sender, "no", 2, 0, (void *)&f, sizeof f), 2);
    EQUAL(sendto(sender, "yet", 3, 0, (void *)&f, sizeof f), 3);
    EQUAL(recv(filtered, text, 64, MSG_DONTWAIT), 3);
    CHECK(memcmp(text, "yet", 3) == 0, "%.3s", text);
    EQUAL(recv(u6[1], text, 64, MSG_DONTWAIT), 0);
    EQUAL(recv(u6[1], text, 64, MSG_DONTWAIT), 13);
    EQUAL(send(u6[1], "z", 1, 0), 1);
    EQUAL(recv(u6[0], text, 64, MSG_DONTWAIT), 1);
    struct sockaddr_nl now;
    length = sizeof now;
    MUST(getsockname(route, (void *)&now, &length));
    EQUAL(now.nl_pid, own.nl_pid);
    length = sizeof now;
    MUST(getpeername(route, (void *)&now, &length));
    EQUAL(now.nl_pid, 0);
    uint32_t groups[4] = {0};
    length = sizeof groups;
    MUST(getsockopt(route, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &length));
    EQUAL(groups[0], 0);
    EQUAL(groups[1], 1);
    length = sizeof now;
    MUST(getsockname(event, (void *)&now, &length));
    EQUAL(now.nl_groups, 1);
    EQUAL(option(diag, SOL_SOCKET, SO_PROTOCOL), NETLINK_SOCK_DIAG);
    length = sizeof now;
    MUST(getpeername(talk[0], (void *)&now, &length));
    EQUAL(now.nl_pid, tn[1].nl_pid);
    struct nlmsghdr word = {.nlmsg_len = sizeof word};
    EQUAL(send(talk[0], &word, sizeof word, 0), sizeof word);
    EQUAL(recv(talk[1], text, 64, MSG_DONTWAIT), sizeof word);
    if (icmp >= 0) EQUAL(option(icmp, SOL_RAW, 1), 0x55);
    state_pass();
}
