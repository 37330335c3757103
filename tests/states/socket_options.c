// Every option that a socket of any kind answers to: each that can be set is given another value than a new
// socket has, by trying, and all are what they were afterwards. Then the ones with values of their own shape.
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

enum { MAX = 128, ROOM = 256, SOCKETS = 24, LEVELS = 7 };

struct value {
    socklen_t length; // 0 where the socket has no such option
    unsigned char bytes[ROOM];
};

static struct one {
    const char *name;
    int fd, level[LEVELS];
    struct value before[LEVELS][MAX];
} all[SOCKETS];
static int count;

// What tells and can't be set, or goes on by itself.
static bool passing(int level, int option) {
    if (level == SOL_SOCKET)
        return option == SO_ERROR || option == SO_PEERCRED || option == 77 /* PEERPIDFD */ ||
               option == SO_INCOMING_CPU || option == SO_INCOMING_NAPI_ID || option == SO_COOKIE ||
               option == SO_MEMINFO || option == SO_PEERGROUPS || option == SO_GET_FILTER ||
               option == SO_NETNS_COOKIE || option == SO_PEERSEC;
    if (level == IPPROTO_TCP)
        return option == TCP_INFO || option == TCP_CC_INFO || option == TCP_TIMESTAMP || option == TCP_REPAIR ||
               option == TCP_REPAIR_QUEUE || option == TCP_QUEUE_SEQ || option == TCP_REPAIR_WINDOW ||
               option == TCP_ZEROCOPY_RECEIVE || option == TCP_REPAIR_OPTIONS;
    // The size of the path, which the kernel learns; ancillary data of the past.
    if (level == IPPROTO_IP) return option == IP_MTU || option == IP_PKTOPTIONS || option == 41 || option == 64;
    if (level == IPPROTO_IPV6) return option == 24 || option == 61 || option == 6 || option == 32 || option == 64;
    return false;
}

// Of those that can be set: what changes what the socket is, or how it behaves towards the others here.
static bool left_alone(int level, int option) {
    if (level == SOL_SOCKET)
        return option == SO_SNDBUFFORCE || option == SO_RCVBUFFORCE || option == SO_ATTACH_FILTER ||
               option == SO_DETACH_FILTER || option == SO_LOCK_FILTER || option == SO_BINDTODEVICE ||
               option == SO_BINDTOIFINDEX || option == SO_DEBUG || option == SO_DONTROUTE ||
               option == SO_TIMESTAMP_OLD || option == SO_TIMESTAMP_NEW || option == SO_TIMESTAMPNS_NEW ||
               option == SO_PEEK_OFF || option == SO_RESERVE_MEM;
    if (level == IPPROTO_IP) return option == IP_HDRINCL || option == IP_MULTICAST_IF || option == IP_UNICAST_IF;
    if (level == IPPROTO_IPV6) return option == 1 || option == 17 || option == 76 || option == 26;
    if (level == IPPROTO_TCP) return option == 26 /* SAVED_SYN */ || option == 31 /* ULP */ || option == 36;
    return false;
}

static void read_option(int fd, int level, int option, struct value *value) {
    memset(value, 0, sizeof *value);
    value->length = ROOM;
    if (getsockopt(fd, level, option, value->bytes, &value->length) != 0) value->length = 0;
}

static void change(struct one *it) {
    for (int l = 0; l < LEVELS && it->level[l] >= 0; l++)
        for (int option = 0; option < MAX; option++) {
            int level = it->level[l];
            struct value now;
            if (passing(level, option) || left_alone(level, option)) continue;
            read_option(it->fd, level, option, &now);
            if (now.length != sizeof(int)) continue;
            int was, tries[] = {0, 1, 2, 3, 5, 1};
            memcpy(&was, now.bytes, sizeof was);
            tries[0] = was + 1;
            for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
                int is;
                socklen_t length = sizeof is;
                if (setsockopt(it->fd, level, option, &tries[i], sizeof(int)) == 0 &&
                    getsockopt(it->fd, level, option, &is, &length) == 0 && is != was)
                    break;
            }
        }
}

static int add(const char *name, int domain, int type, int protocol, int own_level) {
    CHECK(count < SOCKETS, "too many sockets");
    struct one *it = &all[count];
    it->name = name;
    it->fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    if (it->fd == -1 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT || errno == EPERM || errno == EACCES))
        return -1;
    CHECK(it->fd >= 0, "%s: %s", name, strerror(errno));
    count++;
    int l = 0;
    it->level[l++] = SOL_SOCKET;
    if (domain == AF_INET || domain == AF_INET6) it->level[l++] = IPPROTO_IP;
    if (domain == AF_INET6) it->level[l++] = IPPROTO_IPV6;
    if (own_level) it->level[l++] = own_level;
    it->level[l] = -1;
    change(it);
    return it->fd;
}

// Options whose values are no numbers.
static void shape(int fd, int domain, int type) {
    MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1, .l_linger = 7}, sizeof(struct linger)));
    MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 41, .tv_usec = 250000}, sizeof(struct timeval)));
    MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 43}, sizeof(struct timeval)));
    MUST(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING_OLD, &(int){(1 << 3) | (1 << 4)}, sizeof(int)));
    // A bound one can't be given another device to send by.
    bool bound = domain == AF_INET6 || type == SOCK_STREAM;
    if (bound) MUST(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
    struct sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, 0xffff}};
    struct sock_fprog program = {1, code};
    MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    MUST(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){1}, sizeof(int)));
    if (type == SOCK_STREAM) MUST(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    if (domain == AF_INET) {
        struct ip_mreqn by = {.imr_address.s_addr = htonl(INADDR_LOOPBACK), .imr_ifindex = 1};
        if (type != SOCK_STREAM) MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
        if (type != SOCK_STREAM) MUST(setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &(int){htonl(1)}, sizeof(int)));
        unsigned char route[] = {IPOPT_NOP, IPOPT_RR, 7, 4, 0, 0, 0, IPOPT_END};
        MUST(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof route));
    } else {
        unsigned char padding[] = {0, 0, 1, 4, 0, 0, 0, 0};
        MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_HOPOPTS, padding, sizeof padding));
        MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, padding, sizeof padding));
        MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, padding, sizeof padding));
        if (type != SOCK_STREAM) {
            MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &(int){1}, sizeof(int)));
            struct in6_pktinfo info = {.ipi6_addr = in6addr_loopback, .ipi6_ifindex = 1};
            MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info));
        }
    }
}

static void bind_to(int fd, int domain, int port) {
    if (domain == AF_INET) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    } else {
        struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
        MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    }
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = add("TCP", AF_INET, SOCK_STREAM, 0, IPPROTO_TCP);
    fd = add("bound TCP", AF_INET, SOCK_STREAM, 0, IPPROTO_TCP);
    bind_to(fd, AF_INET, 0);
    fd = add("listening TCP", AF_INET, SOCK_STREAM, 0, IPPROTO_TCP);
    bind_to(fd, AF_INET, 0);
    MUST(listen(fd, 5));
    struct sockaddr_in to;
    socklen_t length = sizeof to;
    MUST(getsockname(fd, (struct sockaddr *)&to, &length));
    int listener = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    bind_to(listener, AF_INET, 0);
    MUST(listen(listener, 5));
    MUST(getsockname(listener, (struct sockaddr *)&to, &length));
    fd = add("connected TCP", AF_INET, SOCK_STREAM, 0, IPPROTO_TCP);
    // A connection by a first packet with data is none until there is data.
    MUST(setsockopt(fd, IPPROTO_TCP, 30, &(int){0}, sizeof(int)));
    MUST(connect(fd, (struct sockaddr *)&to, sizeof to));
    int accepted = MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    fd = add("TCP over IPv6", AF_INET6, SOCK_STREAM, 0, IPPROTO_TCP);
    if (fd >= 0) {
        bind_to(fd, AF_INET6, 0);
        MUST(listen(fd, 3));
    }
    fd = add("UDP", AF_INET, SOCK_DGRAM, 0, IPPROTO_UDP);
    MUST(setsockopt(fd, IPPROTO_UDP, 1, &(int){0}, sizeof(int)));
    bind_to(fd, AF_INET, 0);
    fd = add("UDP over IPv6", AF_INET6, SOCK_DGRAM, 0, IPPROTO_UDP);
    if (fd >= 0) bind_to(fd, AF_INET6, 0);
    add("UDP-Lite", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, IPPROTO_UDPLITE);
    add("raw", AF_INET, SOCK_RAW, IPPROTO_ICMP, SOL_RAW);
    add("raw over IPv6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, IPPROTO_ICMPV6);
    add("raw of its own protocol", AF_INET6, SOCK_RAW, 200, SOL_RAW);
    add("unix stream", AF_UNIX, SOCK_STREAM, 0, 0);
    add("unix datagram", AF_UNIX, SOCK_DGRAM, 0, 0);
    add("unix seqpacket", AF_UNIX, SOCK_SEQPACKET, 0, 0);
    add("netlink", AF_NETLINK, SOCK_RAW, 0, SOL_NETLINK);
    add("packet", AF_PACKET, SOCK_RAW, 0, SOL_PACKET);
    add("cooked packet", AF_PACKET, SOCK_DGRAM, 0, SOL_PACKET);
    add("vsock", AF_VSOCK, SOCK_STREAM, 0, AF_VSOCK);
    fd = add("UDP with shapes", AF_INET, SOCK_DGRAM, 0, 0);
    shape(fd, AF_INET, SOCK_DGRAM);
    fd = add("TCP with shapes", AF_INET, SOCK_STREAM, 0, IPPROTO_TCP);
    shape(fd, AF_INET, SOCK_STREAM);
    fd = add("UDP over IPv6 with shapes", AF_INET6, SOCK_DGRAM, 0, 0);
    if (fd >= 0) shape(fd, AF_INET6, SOCK_DGRAM);
    fd = add("TCP over IPv6 with shapes", AF_INET6, SOCK_STREAM, 0, IPPROTO_TCP);
    if (fd >= 0) shape(fd, AF_INET6, SOCK_STREAM);
    for (int i = 0; i < count; i++)
        for (int l = 0; l < LEVELS && all[i].level[l] >= 0; l++)
            for (int option = 0; option < MAX; option++)
                if (!passing(all[i].level[l], option))
                    read_option(all[i].fd, all[i].level[l], option, &all[i].before[l][option]);

    state_ready();

    if (state_breaking()) MUST(setsockopt(all[0].fd, SOL_SOCKET, SO_KEEPALIVE, &(int){0}, sizeof(int)));
    char text[16000] = "";
    int wrong = 0;
    for (int i = 0; i < count; i++)
        for (int l = 0; l < LEVELS && all[i].level[l] >= 0; l++)
            for (int option = 0; option < MAX; option++) {
                if (passing(all[i].level[l], option)) continue;
                struct value now, *was = &all[i].before[l][option];
                read_option(all[i].fd, all[i].level[l], option, &now);
                if (now.length == was->length && memcmp(now.bytes, was->bytes, now.length) == 0) continue;
                int a, b;
                memcpy(&a, was->bytes, sizeof a);
                memcpy(&b, now.bytes, sizeof b);
                size_t at = strlen(text);
                snprintf(text + at, sizeof text - at, " %s: level %d option %d was %d (%#x, %u bytes), is %d (%#x, %u);",
                         all[i].name, all[i].level[l], option, a, a, was->length, b, b, now.length);
                wrong++;
            }
    CHECK(wrong == 0, "%d options:%s", wrong, text);
    state_ping(all[3].fd, accepted);
    state_pass();
}
