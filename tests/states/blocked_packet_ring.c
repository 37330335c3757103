// A packet socket with a mapped receive ring that packets have gone through: where the kernel is in it, it does not
// tell.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "state.h"

enum { PROTOCOL = 0x88b5 };

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = socket(AF_PACKET, SOCK_DGRAM, htons(PROTOCOL));
    if (fd == -1) state_skip("packet socket: %s", strerror(errno));
    struct tpacket_req ring = {.tp_block_size = 4096, .tp_block_nr = 4, .tp_frame_size = 2048, .tp_frame_nr = 8};
    MUST(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring));
    char *area = MUST(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    volatile struct tpacket_hdr *frame = (void *)area;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(PROTOCOL), .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};
    MUST(sendto(fd, "packet", 6, 0, (struct sockaddr *)&to, sizeof to));
    AWAIT(frame->tp_status & TP_STATUS_USER, "the packet has not arrived");
    frame->tp_status = TP_STATUS_KERNEL;
    state_ready();
    MUST(sendto(fd, "another", 7, 0, (struct sockaddr *)&to, sizeof to));
    frame = (void *)(area + 2048);
    AWAIT(frame->tp_status & TP_STATUS_USER, "the ring is broken");
    CHECK(memcmp((char *)frame + frame->tp_net, "another", 7) == 0, "it has another packet");
    state_pass();
}
