// A packet socket with a receive ring that is mapped: the ring is the kernel's memory.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
    if (fd == -1) state_skip("packet socket: %s", strerror(errno));
    struct tpacket_req ring = {.tp_block_size = 4096, .tp_block_nr = 4, .tp_frame_size = 2048, .tp_frame_nr = 8};
    MUST(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring));
    char *area = MUST(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    state_ready();
    CHECK(((struct tpacket_hdr *)area)->tp_status <= TP_STATUS_USER, "the ring is broken");
    state_pass();
}
