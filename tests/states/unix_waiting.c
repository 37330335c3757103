// Descriptors in messages of connections that nobody has accepted yet, one connection for each kind: a pipe's end, an
// epoll instance, an eventfd, an end of a pair with data, of a TCP connection and of a pair that has lost the other
// end, memory, a listener with a connection of its own that has data, a message queue with a message, a client that
// waits at the same listener, and a socket that is in its own connection. And locks of files that are only there.
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static int listen_at(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", state_path(name));
    int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(fd, (void *)&address, sizeof address));
    MUST(listen(fd, 32));
    return fd;
}

static int connect_to(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", state_path(name));
    int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(connect(fd, (void *)&address, sizeof address));
    return fd;
}

static void expect(int fd, const char *text) {
    char found[16] = {0};
    EQUAL(recv(fd, found, sizeof found - 1, MSG_DONTWAIT), (long long)strlen(text));
    CHECK(strcmp(found, text) == 0, "%s, not %s", found, text);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    enum { PIPE, EPOLL, EVENT, PAIR, TCP, WIDOW, MEMORY, LISTENER, QUEUE, WAITS_TOO, ITSELF, FLOCK, OFD, COUNT };
    int listener = listen_at("listener"), clients[COUNT], sent[COUNT];

    int ends[2], pair[2], widow[2];
    MUST(pipe(ends));
    sent[PIPE] = ends[0];
    sent[EPOLL] = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 5};
    MUST(epoll_ctl(sent[EPOLL], EPOLL_CTL_ADD, ends[0], &event));
    sent[EVENT] = MUST(eventfd(7, 0));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    EQUAL(send(pair[1], "pair", 4, 0), 4);
    sent[PAIR] = pair[0];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, widow));
    EQUAL(send(widow[1], "widow", 5, 0), 5);
    sent[WIDOW] = widow[0];
    close(widow[1]);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int server = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(server, (void *)&address, sizeof address));
    MUST(listen(server, 1));
    MUST(getsockname(server, (void *)&address, &len));
    sent[TCP] = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(sent[TCP], (void *)&address, sizeof address));
    int accepted = MUST(accept(server, NULL, NULL));
    EQUAL(send(accepted, "tcp", 3, 0), 3);

    sent[MEMORY] = MUST(memfd_create("given", 0));
    EQUAL(write(sent[MEMORY], "memory", 6), 6);
    sent[LISTENER] = listen_at("second");
    int deep = connect_to("second");
    EQUAL(send(deep, "deep", 4, 0), 4);
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 16};
    sent[QUEUE] = MUST(mq_open("/torpor-unix-waiting", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
    MUST(mq_unlink("/torpor-unix-waiting"));
    MUST(mq_send(sent[QUEUE], "queue", 5, 1));
    sent[FLOCK] = MUST(open(state_path("flock"), O_RDWR | O_CREAT, 0600));
    MUST(flock(sent[FLOCK], LOCK_EX));
    sent[OFD] = MUST(open(state_path("ofd"), O_RDWR | O_CREAT, 0600));
    struct flock range = {.l_type = F_WRLCK, .l_start = 10, .l_len = 20};
    MUST(fcntl(sent[OFD], F_OFD_SETLK, &range));

    for (int i = 0; i < COUNT; i++) clients[i] = connect_to("listener");
    sent[WAITS_TOO] = connect_to("listener");
    sent[ITSELF] = MUST(dup(clients[ITSELF]));
    for (int i = 0; i < COUNT; i++) {
        state_give(clients[i], sent[i]);
        close(sent[i]);
    }

    state_ready();

    int got[COUNT];
    for (int i = 0; i < COUNT; i++) got[i] = state_take(MUST(accept(listener, NULL, NULL)), MSG_DONTWAIT);
    EQUAL(write(ends[1], "p", 1), 1);
    EQUAL(epoll_wait(got[EPOLL], &event, 1, 0), 1);
    EQUAL(event.data.u64, 5);
    char bytes[16] = {0};
    EQUAL(read(got[PIPE], bytes, sizeof bytes), 1);
    uint64_t count;
    EQUAL(read(got[EVENT], &count, sizeof count), 8);
    EQUAL(count, 7);
    expect(got[PAIR], "pair");
    EQUAL(send(got[PAIR], "back", 4, 0), 4);
    expect(pair[1], "back");
    expect(got[TCP], "tcp");
    EQUAL(send(got[TCP], "back", 4, 0), 4);
    AWAIT(recv(accepted, bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK) == 4, "nothing comes back over TCP");
    expect(got[WIDOW], "widow");
    EQUAL(pread(got[MEMORY], bytes, sizeof bytes, 0), 6);
    expect(MUST(accept(got[LISTENER], NULL, NULL)), "deep");
    EQUAL(mq_receive(got[QUEUE], bytes, sizeof bytes, NULL), 5);
    int last = MUST(accept(listener, NULL, NULL));
    EQUAL(send(got[WAITS_TOO], "late", 4, 0), 4);
    expect(last, "late");
    struct stat one, other;
    MUST(fstat(got[ITSELF], &one));
    MUST(fstat(clients[ITSELF], &other));
    EQUAL(one.st_ino, other.st_ino);

    CHECK(flock(MUST(open(state_path("flock"), O_RDWR)), LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK,
          "the lock of a file in a message is gone");
    struct flock held = {.l_type = F_WRLCK};
    MUST(fcntl(MUST(open(state_path("ofd"), O_RDWR)), F_OFD_GETLK, &held));
    EQUAL(held.l_type, F_WRLCK);
    EQUAL(held.l_start, 10);
    EQUAL(held.l_len, 20);
    state_pass();
}
