// Sockets bound to addresses that no device of this machine has (IP_FREEBIND): datagram sockets and listeners of both
// families, with the option left on and switched off again after the bind; and a packet ring in a private mapping.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "state.h"

#define KINDS 8

static int is_free(int fd) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(fd, IPPROTO_IP, IP_FREEBIND, &value, &length));
    return value;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sockaddr_in6 names[KINDS], now;
    int fd[KINDS], one = 1, none = 0;
    for (int i = 0; i < KINDS; i++) {
        bool six = i & 1, stream = i & 2, off = i & 4;
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc6336407)};
        struct sockaddr_in6 b = {.sin6_family = AF_INET6};
        inet_pton(AF_INET6, "2001:db8::7:1", &b.sin6_addr);
        fd[i] = socket(six ? AF_INET6 : AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
        if (fd[i] == -1) state_skip("no sockets of IPv6");
        MUST(setsockopt(fd[i], IPPROTO_IP, IP_FREEBIND, &one, sizeof one));
        MUST(bind(fd[i], six ? (void *)&b : (void *)&a, six ? sizeof b : sizeof a));
        if (stream) MUST(listen(fd[i], 3));
        if (off) MUST(setsockopt(fd[i], IPPROTO_IP, IP_FREEBIND, &none, sizeof none));
        socklen_t length = sizeof names[i];
        MUST(getsockname(fd[i], (void *)&names[i], &length));
    }
    int packet = socket(AF_PACKET, SOCK_RAW, 0);
    if (packet == -1) state_skip("packet socket: %s", strerror(errno));
    struct tpacket_req ring = {.tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 1024, .tp_frame_nr = 4};
    MUST(setsockopt(packet, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring));
    MUST(setsockopt(packet, SOL_PACKET, PACKET_TX_RING, &ring, sizeof ring));
    char *area = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, packet, 0));
    struct state_map was, is;
    CHECK(state_map_at(area, &was), "no mapping");

    state_ready();

    for (int i = 0; i < KINDS; i++) {
        EQUAL(is_free(fd[i]), !(i & 4));
        socklen_t length = sizeof now;
        MUST(getsockname(fd[i], (void *)&now, &length));
        CHECK(memcmp(&now, &names[i], length) == 0, "socket %d has another name", i);
    }
    struct stat stat;
    MUST(fstat(packet, &stat));
    CHECK(state_map_at(area, &is) && is.inode == stat.st_ino, "another mapping: %s", is.path);
    CHECK(strcmp(is.perms, was.perms) == 0 && is.end - is.start == was.end - was.start, "it is %s", is.perms);
    state_pass();
}
