// A byte of urgent data that was not received, at a socket of TCP ("tcp") or of the unix family ("unix").
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "state.h"

static void connect_tcp(int ends[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(listener, (struct sockaddr *)&at, len));
    MUST(listen(listener, 4));
    MUST(getsockname(listener, (struct sockaddr *)&at, &len));
    ends[0] = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(ends[0], (struct sockaddr *)&at, sizeof at));
    ends[1] = MUST(accept(listener, NULL, NULL));
    MUST(close(listener));
}

static void check_urgent(int receiver) {
    char got[8] = "";
    EQUAL(recv(receiver, got, sizeof got, 0), 3);
    CHECK(memcmp(got, "abc", 3) == 0, "in front of it is %.3s", got);
    EQUAL(recv(receiver, got, 1, MSG_OOB), 1);
    EQUAL(got[0], '!');
    EQUAL(recv(receiver, got, sizeof got, 0), 2);
    CHECK(memcmp(got, "de", 2) == 0, "behind it is %.2s", got);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int ends[2];
    if (strcmp(state_arg(0), "tcp") == 0) {
        connect_tcp(ends);
    } else {
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    }
    EQUAL(send(ends[0], "abc", 3, 0), 3);
    if (send(ends[0], "!", 1, MSG_OOB) == -1) state_skip("urgent data: %s", strerror(errno));
    EQUAL(send(ends[0], "de", 2, 0), 2);
    struct pollfd urgent = {.fd = ends[1], .events = POLLPRI};
    EQUAL(poll(&urgent, 1, 5000), 1);
    state_ready();
    check_urgent(ends[1]);
    state_pass();
}
