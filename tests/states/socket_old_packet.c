// Packet sockets of the type from before Linux 2.2 (SOCK_PACKET), bound to a device by its name and not bound at all;
// they take packets of their protocol, and no others.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "state.h"

enum { PROTOCOL = 0x88b6, OTHER = 0x88b7 };

static void take(int fd, const char *text, const char *device) {
    struct timeval patience = {.tv_sec = 3};
    MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    char packet[200];
    struct sockaddr from;
    socklen_t length = sizeof from;
    MUST(recvfrom(fd, packet, sizeof packet, 0, &from, &length));
    CHECK(strcmp(packet + 14, text) == 0, "a packet is %s, not %s", packet + 14, text);
    CHECK(strcmp(from.sa_data, device) == 0, "it comes from %s", from.sa_data);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int bound = socket(AF_PACKET, SOCK_PACKET, htons(PROTOCOL)), anywhere = socket(AF_PACKET, SOCK_PACKET, htons(PROTOCOL));
    if (bound == -1) state_skip("packet socket: %s", strerror(errno));
    struct sockaddr name = {.sa_family = AF_PACKET, .sa_data = "lo"};
    MUST(bind(bound, &name, sizeof name));
    int sender = MUST(socket(AF_PACKET, SOCK_DGRAM, 0));

    state_ready();

    int type;
    socklen_t length = sizeof type;
    MUST(getsockopt(bound, SOL_SOCKET, SO_TYPE, &type, &length));
    EQUAL(type, SOCK_PACKET);
    memset(&name, 0, sizeof name);
    length = sizeof name;
    MUST(getsockname(bound, &name, &length));
    CHECK(strcmp(name.sa_data, "lo") == 0, "it is bound to %s", name.sa_data);
    length = sizeof name;
    MUST(getsockname(anywhere, &name, &length));
    EQUAL(name.sa_data[0], 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};
    to.sll_protocol = htons(OTHER);
    MUST(sendto(sender, "other", 6, 0, (struct sockaddr *)&to, sizeof to));
    to.sll_protocol = htons(state_breaking() ? OTHER : PROTOCOL);
    MUST(sendto(sender, "own", 4, 0, (struct sockaddr *)&to, sizeof to));
    take(bound, "own", "lo");
    take(anywhere, "own", "lo");
    state_pass();
}
