// Multicast groups with sources: a group of all but some senders, groups of chosen senders only, of both
// families, on a device by its number and by its address; several groups of one socket; who is heard afterwards.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "state.h"

enum { SOURCES = 3 };

static unsigned loopback;
static int v4, v6, any, plain;

static struct in_addr v4_of(const char *text) {
    struct in_addr address;
    CHECK(inet_pton(AF_INET, text, &address) == 1, "%s", text);
    return address;
}

static struct sockaddr_storage address(const char *text) {
    struct sockaddr_storage all = {0};
    if (strchr(text, ':')) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)&all;
        a->sin6_family = AF_INET6;
        CHECK(inet_pton(AF_INET6, text, &a->sin6_addr) == 1, "%s", text);
    } else {
        struct sockaddr_in *a = (struct sockaddr_in *)&all;
        a->sin_family = AF_INET;
        a->sin_addr = v4_of(text);
    }
    return all;
}

static void group(int fd, int level, const char *name) {
    struct group_req request = {.gr_interface = loopback, .gr_group = address(name)};
    CHECK(setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) == 0, "%s: %s", name, strerror(errno));
}

static void source(int fd, int level, int how, const char *name, const char *from) {
    struct group_source_req request = {.gsr_interface = loopback, .gsr_group = address(name), .gsr_source = address(from)};
    CHECK(setsockopt(fd, level, how, &request, sizeof request) == 0, "%s from %s: %s", name, from, strerror(errno));
}

// The list of a group as the socket tells it: mode and sources, in an order that does not matter.
static void check(int fd, int level, const char *name, unsigned mode, int count, const char *sources[]) {
    size_t room = GROUP_FILTER_SIZE(8);
    struct group_filter *filter = calloc(1, room);
    filter->gf_interface = loopback;
    filter->gf_group = address(name);
    filter->gf_numsrc = 8;
    socklen_t length = room;
    CHECK(getsockopt(fd, level, MCAST_MSFILTER, filter, &length) == 0, "%s: %s", name, strerror(errno));
    CHECK(filter->gf_fmode == mode, "%s: the mode is %u", name, filter->gf_fmode);
    CHECK((int)filter->gf_numsrc == count, "%s: %u sources, not %d", name, filter->gf_numsrc, count);
    for (int i = 0; i < count; i++) {
        struct sockaddr_storage want = address(sources[i]);
        bool found = false;
        for (int j = 0; j < count; j++) {
            const void *got = &filter->gf_slist[j];
            if (level == IPPROTO_IP)
                found |= ((const struct sockaddr_in *)got)->sin_addr.s_addr == ((struct sockaddr_in *)&want)->sin_addr.s_addr;
            else
                found |= memcmp(&((const struct sockaddr_in6 *)got)->sin6_addr, &((struct sockaddr_in6 *)&want)->sin6_addr, 16) == 0;
        }
        CHECK(found, "%s: %s is none of the sources", name, sources[i]);
    }
    free(filter);
}

static void send_from(const char *from, const char *to, int port, const char *text) {
    int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = v4_of(from)};
    MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    struct ip_mreqn by = {.imr_ifindex = loopback};
    MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
    a.sin_addr = v4_of(to);
    a.sin_port = htons(port);
    MUST(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&a, sizeof a));
    close(fd);
}

static int port_of(int fd) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    socklen_t length = sizeof a;
    MUST(getsockname(fd, (struct sockaddr *)&a, &length));
    return ntohs(a.sin_port);
}

static void expect(int fd, const char *text) {
    char got[64] = {0};
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int any = poll(&ready, 1, text ? 5000 : 50);
    CHECK((any == 1) == (text != NULL), text ? "%s did not arrive" : "something arrived%.0s", text ? text : "");
    if (!text) return;
    MUST(recv(fd, got, sizeof got - 1, 0));
    CHECK(strcmp(got, text) == 0, "%s arrived, not %s", got, text);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    loopback = if_nametoindex("lo");
    CHECK(loopback, "no loopback device");
    v4 = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    int port = port_of(v4);
    MUST(setsockopt(v4, IPPROTO_IP, IP_MULTICAST_ALL, &(int){0}, sizeof(int)));
    // All but two senders.
    group(v4, IPPROTO_IP, "239.77.1.1");
    source(v4, IPPROTO_IP, MCAST_BLOCK_SOURCE, "239.77.1.1", "127.0.0.5");
    source(v4, IPPROTO_IP, MCAST_BLOCK_SOURCE, "239.77.1.1", "10.1.2.3");
    // Two senders only; one of them by the older call, with the device's address.
    struct ip_mreq_source old = {.imr_multiaddr = v4_of("232.77.1.2"), .imr_interface = v4_of("127.0.0.1"), .imr_sourceaddr = v4_of("127.0.0.6")};
    MUST(setsockopt(v4, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &old, sizeof old));
    source(v4, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, "232.77.1.2", "10.4.5.6");
    group(v4, IPPROTO_IP, "239.77.1.3");

    any = MUST(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 200));
    source(any, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, "232.77.1.9", "127.0.0.1");

    v6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (v6 >= 0) {
        group(v6, IPPROTO_IPV6, "ff15::77:1");
        source(v6, IPPROTO_IPV6, MCAST_BLOCK_SOURCE, "ff15::77:1", "fd00::1");
        source(v6, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, "ff35::77:2", "fd00::2");
        source(v6, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, "ff35::77:2", "fd00::3");
        source(v6, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, "ff35::77:2", "::1");
        group(v6, IPPROTO_IPV6, "ff15::77:3");
        // An IPv6 socket in a group of the other family.
        group(v6, IPPROTO_IP, "239.77.1.4");
        source(v6, IPPROTO_IP, MCAST_BLOCK_SOURCE, "239.77.1.4", "127.0.0.5");
    }
    plain = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    group(plain, IPPROTO_IP, "239.77.1.8");

    state_ready();

    if (state_breaking()) source(v4, IPPROTO_IP, MCAST_UNBLOCK_SOURCE, "239.77.1.1", "127.0.0.5");
    check(v4, IPPROTO_IP, "239.77.1.1", MCAST_EXCLUDE, 2, (const char *[]){"127.0.0.5", "10.1.2.3"});
    check(v4, IPPROTO_IP, "232.77.1.2", MCAST_INCLUDE, 2, (const char *[]){"127.0.0.6", "10.4.5.6"});
    check(v4, IPPROTO_IP, "239.77.1.3", MCAST_EXCLUDE, 0, NULL);
    check(any, IPPROTO_IP, "232.77.1.9", MCAST_INCLUDE, 1, (const char *[]){"127.0.0.1"});
    if (v6 >= 0) {
        check(v6, IPPROTO_IPV6, "ff15::77:1", MCAST_EXCLUDE, 1, (const char *[]){"fd00::1"});
        check(v6, IPPROTO_IPV6, "ff35::77:2", MCAST_INCLUDE, 3, (const char *[]){"fd00::2", "fd00::3", "::1"});
        check(v6, IPPROTO_IPV6, "ff15::77:3", MCAST_EXCLUDE, 0, NULL);
        check(v6, IPPROTO_IP, "239.77.1.4", MCAST_EXCLUDE, 1, (const char *[]){"127.0.0.5"});
    }
    check(plain, IPPROTO_IP, "239.77.1.8", MCAST_EXCLUDE, 0, NULL);
    send_from("127.0.0.5", "239.77.1.1", port, "blocked");
    expect(v4, NULL);
    send_from("127.0.0.7", "239.77.1.1", port, "heard");
    expect(v4, "heard");
    send_from("127.0.0.7", "232.77.1.2", port, "not asked for");
    expect(v4, NULL);
    send_from("127.0.0.6", "232.77.1.2", port, "chosen");
    expect(v4, "chosen");
    state_pass();
}
