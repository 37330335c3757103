// Unix sockets in odd positions: autobound, connected to itself, one-way, two listeners that lost the same
// path, descriptors in flight (nested, in a socket that is in flight in itself, in a connection not yet
// accepted), a peer gone with data left or with data unread, an end that no longer reads, credentials of a child.
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static socklen_t at(struct sockaddr_un *a, const char *path) {
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(a->sun_path, path);
    return sizeof *a;
}

static int bound(int type, const char *path) {
    struct sockaddr_un a;
    socklen_t length = at(&a, path);
    int fd = MUST(socket(AF_UNIX, type, 0));
    MUST(bind(fd, (void *)&a, length));
    return fd;
}

static int joined(int type, const char *path) {
    struct sockaddr_un a;
    socklen_t length = at(&a, path);
    int fd = MUST(socket(AF_UNIX, type, 0));
    MUST(connect(fd, (void *)&a, length));
    return fd;
}

static void give(int to, const int *fds, int count, const char *text) {
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct iovec data = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    MUST(sendmsg(to, &message, 0));
}

static int take(int from, int *fds, char *text) {
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct iovec data = {text, 64};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = MUST(recvmsg(from, &message, MSG_DONTWAIT));
    text[got] = 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header) return 0;
    int count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    return count;
}

static int pending_error(int fd) {
    int error = -1;
    socklen_t length = sizeof error;
    MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
    return error;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    char text[65], other[65];
    int fds[8];
    // Autobound: the kernel has chosen an abstract name.
    struct sockaddr_un a = {.sun_family = AF_UNIX}, named = {0}, now = {0};
    int automatic = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(bind(automatic, (void *)&a, sizeof(sa_family_t)));
    socklen_t length = sizeof named, now_length = sizeof now;
    MUST(getsockname(automatic, (void *)&named, &length));
    // Connected to itself.
    const char *own = strdup(state_path("itself"));
    int itself = bound(SOCK_DGRAM, own);
    at(&a, own);
    MUST(connect(itself, (void *)&a, sizeof a));
    EQUAL(send(itself, "to me", 5, 0), 5);
    // One-way: several send, none of them is known to the receiver.
    const char *box = strdup(state_path("box"));
    int receiver = bound(SOCK_DGRAM, box), one = joined(SOCK_DGRAM, box), two = joined(SOCK_DGRAM, box);
    EQUAL(send(one, "one", 3, 0), 3);
    EQUAL(send(two, "two", 3, 0), 3);
    int gone = joined(SOCK_DGRAM, box);
    EQUAL(send(gone, "gone", 4, 0), 4);
    close(gone);
    // Two listeners that have had the same name.
    const char *twice = strdup(state_path("twice"));
    int first = bound(SOCK_STREAM, twice);
    MUST(listen(first, 5));
    int to_first = joined(SOCK_STREAM, twice);
    MUST(unlink(twice));
    int second = bound(SOCK_STREAM, twice);
    MUST(listen(second, 5));
    int to_second = joined(SOCK_STREAM, twice);
    MUST(unlink(twice));
    EQUAL(write(to_first, "first", 5), 5);
    EQUAL(write(to_second, "second", 6), 6);
    // Descriptors in flight: a file and a pipe; inside a socket that is in flight too.
    int carrier[2], inner[2], tube[2], loop[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, carrier));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, inner));
    MUST(pipe(tube));
    int file = MUST(open(state_path("file"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(file, "content", 7), 7);
    give(inner[0], &file, 1, "inner");
    close(file);
    give(carrier[0], (int[]){inner[1], tube[1]}, 2, "outer");
    EQUAL(write(carrier[0], "behind", 6), 6);
    close(inner[1]);
    close(tube[1]);
    // A socket in flight in itself.
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, loop));
    give(loop[0], &loop[1], 1, "loop");
    // In a connection that nobody has accepted.
    const char *door = strdup(state_path("door"));
    int listener = bound(SOCK_STREAM, door);
    MUST(listen(listener, 5));
    int visitor = joined(SOCK_STREAM, door), gift[2];
    MUST(pipe(gift));
    give(visitor, &gift[1], 1, "gift");
    close(gift[1]);
    // Peers that are gone: with data left for us, with our data unread.
    int left[2], unread[2], packets[2], deaf[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, left));
    EQUAL(write(left[1], "testament", 9), 9);
    close(left[1]);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, unread));
    EQUAL(write(unread[0], "never read", 10), 10);
    close(unread[1]);
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
    EQUAL(write(packets[1], "a packet", 8), 8);
    EQUAL(write(packets[1], "another", 7), 7);
    MUST(shutdown(packets[1], SHUT_WR));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, deaf));
    MUST(shutdown(deaf[0], SHUT_RD));
    // Bound and connected, not listening: never used.
    int unused = MUST(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)), half = bound(SOCK_STREAM, strdup(state_path("half")));

    state_ready();

    MUST(getsockname(automatic, (void *)&now, &now_length));
    CHECK(now_length == length && memcmp(&now, &named, length) == 0, "the chosen name has changed");
    EQUAL(recv(itself, text, 64, MSG_DONTWAIT), 5);
    EQUAL(send(itself, "again", 5, 0), 5);
    EQUAL(recv(itself, text, 64, MSG_DONTWAIT), 5);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 3);
    CHECK(memcmp(text, "one", 3) == 0, "%.3s", text);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 3);
    CHECK(memcmp(text, "two", 3) == 0, "%.3s", text);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 4);
    EQUAL(send(two, "2", 1, 0), 1);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 1);
    CHECK(access(twice, F_OK) == -1, "the removed name is back");
    int accepted = MUST(accept(first, NULL, NULL)), accepted_second = MUST(accept(second, NULL, NULL));
    EQUAL(recv(accepted, text, 64, MSG_DONTWAIT), 5);
    EQUAL(recv(accepted_second, text, 64, MSG_DONTWAIT), 6);
    state_ping(accepted, to_first);
    state_ping(to_second, accepted_second);
    EQUAL(take(carrier[1], fds, text), 2);
    CHECK(strcmp(text, "outer") == 0, "%s", text);
    state_ping(fds[1], tube[0]);
    int nested;
    EQUAL(take(fds[0], &nested, text), 1);
    CHECK(strcmp(text, "inner") == 0, "%s", text);
    EQUAL(lseek(nested, 0, SEEK_CUR), 7);
    EQUAL(pread(nested, text, 64, 0), 7);
    EQUAL(recv(carrier[1], text, 64, MSG_DONTWAIT), 6);
    EQUAL(take(loop[1], fds, text), 1);
    EQUAL(write(loop[0], "x", 1), 1);
    EQUAL(read(fds[0], text, 1), 1);
    int server = MUST(accept(listener, NULL, NULL));
    EQUAL(take(server, fds, text), 1);
    state_ping(fds[0], gift[0]);
    state_ping(visitor, server);
    EQUAL(read(left[0], other, 64), 9);
    EQUAL(read(left[0], other, 64), 0);
    CHECK(write(left[0], "x", 1) == -1 && errno == EPIPE, "somebody reads: %m");
    EQUAL(pending_error(unread[0]), ECONNRESET);
    CHECK(write(unread[0], "x", 1) == -1 && errno == EPIPE, "somebody reads: %m");
    EQUAL(read(packets[0], text, 64), 8);
    EQUAL(read(packets[0], text, 64), 7);
    EQUAL(read(packets[0], text, 64), 0);
    state_ping(packets[0], packets[1]);
    EQUAL(read(deaf[0], text, 1), 0);
    CHECK(write(deaf[1], "x", 1) == -1 && errno == EPIPE, "nobody reads: %m");
    state_ping(deaf[0], deaf[1]);
    CHECK(read(unused, text, 1) == -1, "an unused socket can be read");
    MUST(listen(half, 3));
    int late = joined(SOCK_STREAM, state_path("half")), late_end = MUST(accept(half, NULL, NULL));
    state_ping(late, late_end);
    state_pass();
}
