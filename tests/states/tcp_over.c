// TCP connections that are over: ended from both sides with data left to read, and broken off with the
// error not yet told; and a multicast membership.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "state.h"

static struct sockaddr_in name;
static int listener;

static void join(int *client, int *server) {
    *client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(*client, (struct sockaddr *)&name, sizeof name));
    *server = MUST(accept(listener, NULL, NULL));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
    name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    MUST(bind(listener, (struct sockaddr *)&name, sizeof name));
    MUST(listen(listener, 5));
    MUST(getsockname(listener, (struct sockaddr *)&name, &length));
    int ended, broken, server;
    join(&ended, &server);
    EQUAL(write(server, "last", 4), 4);
    MUST(shutdown(server, SHUT_WR));
    MUST(shutdown(ended, SHUT_WR));
    close(server);
    join(&broken, &server);
    EQUAL(write(broken, "x", 1), 1);
    struct pollfd wait = {.fd = server, .events = POLLIN};
    EQUAL(poll(&wait, 1, 3000), 1);
    close(server); // with data that nobody has read: a reset
    int member = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = 1};
    if (setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == -1) member = -1;

    state_ready();

    char text[16];
    EQUAL(read(ended, text, sizeof text), 4);
    EQUAL(read(ended, text, sizeof text), 0);
    CHECK(write(ended, "x", 1) == -1 && errno == EPIPE, "a connection that is over takes data");
    CHECK(read(broken, text, sizeof text) == -1 && errno == ECONNRESET, "the break is not told: %s", strerror(errno));
    if (member != -1)
        CHECK(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == -1 && errno == EADDRINUSE,
              "the membership is gone");
    state_pass();
}
