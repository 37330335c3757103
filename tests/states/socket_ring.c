// Packet sockets with rings: a receive ring and a transmit ring that are mapped, of all three versions, with their
// sizes, both in one mapping; packets arrive in the one and leave by the other afterwards.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "state.h"

enum { BLOCK = 8192, BLOCKS = 4, FRAME = 2048, FRAMES = BLOCK * BLOCKS / FRAME, PROTOCOL = 0x88b5 };

static int ring_socket(int version, int loopback, int kinds) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (fd == -1) state_skip("packet socket: %s", strerror(errno));
    MUST(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version));
    int reserve = 32;
    MUST(setsockopt(fd, SOL_PACKET, PACKET_RESERVE, &reserve, sizeof reserve));
    struct tpacket_req3 ring = {.tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME,
                                .tp_frame_nr = FRAMES, .tp_retire_blk_tov = version == TPACKET_V3 ? 20 : 0};
    size_t size = version == TPACKET_V3 ? sizeof ring : sizeof(struct tpacket_req);
    if (kinds & 1) MUST(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, size));
    ring.tp_retire_blk_tov = 0;
    if (kinds & 2) MUST(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &ring, size));
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(PROTOCOL), .sll_ifindex = loopback};
    MUST(bind(fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

static void fill(char *packet, const char *text) {
    memset(packet, 0, 12);
    packet[12] = PROTOCOL >> 8;
    packet[13] = PROTOCOL & 0xff;
    strcpy(packet + 14, text);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int loopback = if_nametoindex("lo");
    int first = ring_socket(TPACKET_V1, loopback, 1);
    int both = ring_socket(TPACKET_V2, loopback, 3);
    int third = ring_socket(TPACKET_V3, loopback, 1);
    char *one = MUST(mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0));
    char *two = MUST(mmap(NULL, 2 * BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, both, 0));
    char *three = MUST(mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, third, 0));

    state_ready();

    // The mappings are those of the sockets, and shared.
    struct state_map map;
    CHECK(state_map_at(two, &map) && strncmp(map.path, "socket:", 7) == 0, "the ring is %s", map.path);
    EQUAL(map.end - map.start, 2 * BLOCK * BLOCKS);
    int value;
    socklen_t length = sizeof value;
    MUST(getsockopt(third, SOL_PACKET, PACKET_VERSION, &value, &length));
    EQUAL(value, TPACKET_V3);
    MUST(getsockopt(first, SOL_PACKET, PACKET_RESERVE, &value, &length));
    EQUAL(value, 32);
    struct tpacket_req ring = {.tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME, .tp_frame_nr = FRAMES};
    EQUAL(setsockopt(first, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring), -1);
    EQUAL(errno, EBUSY); // Mapped: it can't be made anew.
    // Sent by the transmit ring's first frame.
    struct tpacket2_hdr *out = (void *)(two + BLOCK * BLOCKS);
    char *data = (char *)out + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll);
    fill(data, state_breaking() ? "no ring" : "by the ring");
    out->tp_len = 14 + 12 + 40;
    out->tp_status = TP_STATUS_SEND_REQUEST;
    MUST(send(both, NULL, 0, 0));
    AWAIT(*(volatile __u32 *)&out->tp_status == TP_STATUS_AVAILABLE, "the frame was not sent");
    // What a packet socket sends on the loopback device arrives at the others.
    volatile struct tpacket_hdr *in = (void *)one;
    AWAIT(in->tp_status & TP_STATUS_USER, "nothing in the first ring");
    CHECK(strcmp(one + in->tp_mac + 14, "by the ring") == 0, "the first ring has %s", one + in->tp_mac + 14);
    struct tpacket_block_desc *block = (void *)three;
    AWAIT(*(volatile __u32 *)&block->hdr.bh1.block_status & TP_STATUS_USER, "nothing in the third ring");
    struct tpacket3_hdr *packet = (void *)(three + block->hdr.bh1.offset_to_first_pkt);
    CHECK(strcmp((char *)packet + packet->tp_mac + 14, "by the ring") == 0, "the third ring has something else");
    munmap(one, BLOCK * BLOCKS);
    MUST(setsockopt(first, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){0}, sizeof ring));
    state_pass();
}
