// Descriptors of every kind in flight in unix sockets: an epoll with what it watches in flight too, timers, signals,
// memory with seals, listeners, connections and datagram sockets of the internet, netlink, an unlinked file, one
// twice, a pair that is in flight in itself both ways, a terminal, as many as a message holds.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <linux/netlink.h>

#include "state.h"

static void give(int to, const int *fds, int count, const char *text) {
    char control[CMSG_SPACE(sizeof(int) * 253)] = {0};
    struct iovec data = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    MUST(sendmsg(to, &message, 0));
}

static int take(int from, int *fds, const char *want) {
    char control[CMSG_SPACE(sizeof(int) * 253)] = {0}, text[65];
    struct iovec data = {text, 64};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = MUST(recvmsg(from, &message, MSG_DONTWAIT));
    text[got] = 0;
    CHECK(strcmp(text, want) == 0, "%s, not %s", text, want);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header) return 0;
    int count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    return count;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    int way[2], pair[2], tube[2], cross[2], fds[260];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, way));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    MUST(pipe(tube));
    // An epoll that watches a pipe, which is in flight too, and an eventfd that is not.
    int poller = MUST(epoll_create1(0)), event = MUST(eventfd(3, EFD_NONBLOCK)), timer = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    struct epoll_event watch = {.events = EPOLLIN, .data.u64 = 77};
    MUST(epoll_ctl(poller, EPOLL_CTL_ADD, tube[0], &watch));
    watch.data.u64 = 78;
    MUST(epoll_ctl(poller, EPOLL_CTL_ADD, event, &watch));
    give(way[0], (int[]){poller, tube[0]}, 2, "epoll");
    // Through one that is watched by the poller in flight.
    watch.data.u64 = 79;
    MUST(epoll_ctl(poller, EPOLL_CTL_ADD, way[1], &watch));
    close(poller);
    int keep = MUST(fcntl(tube[0], F_DUPFD_CLOEXEC, 100));
    close(tube[0]);
    struct itimerspec long_time = {.it_value.tv_sec = 5000};
    MUST(timerfd_settime(timer, 0, &long_time, NULL));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    int signals = MUST(signalfd(-1, &set, 0)), memory = MUST(memfd_create("flying", MFD_ALLOW_SEALING));
    EQUAL(write(memory, "memory", 6), 6);
    MUST(fcntl(memory, F_ADD_SEALS, F_SEAL_GROW));
    give(way[0], (int[]){timer, signals, memory}, 3, "anon");
    close(timer); close(signals); close(memory);
    // Sockets.
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), udp = MUST(socket(AF_INET, SOCK_DGRAM, 0)), netlink = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, u = a;
    socklen_t length = sizeof a;
    MUST(bind(listener, (void *)&a, length));
    MUST(listen(listener, 4));
    MUST(getsockname(listener, (void *)&a, &length));
    MUST(bind(udp, (void *)&u, length));
    MUST(getsockname(udp, (void *)&u, &length));
    int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(client, (void *)&a, length));
    int server = MUST(accept(listener, NULL, NULL));
    EQUAL(write(client, "to server", 9), 9);
    int other = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    EQUAL(sendto(other, "gram", 4, 0, (void *)&u, sizeof u), 4);
    give(way[0], (int[]){listener, server, udp, netlink}, 4, "socks");
    close(listener); close(server); close(udp); close(netlink);
    // Files.
    int unlinked = MUST(open(state_path("unlinked"), O_CREAT | O_RDWR, 0600)), folder = MUST(open("/", O_RDONLY | O_DIRECTORY)), path = MUST(open("/", O_PATH));
    EQUAL(write(unlinked, "unlinked", 8), 8);
    MUST(unlink(state_path("unlinked")));
    give(way[0], (int[]){unlinked, folder, path, unlinked, event}, 5, "files");
    close(unlinked); close(folder); close(path);
    // Both ends of a pair within each other, and nobody holds either but the carrier.
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, cross));
    give(cross[0], &cross[0], 1, "own0");
    give(cross[1], &cross[1], 1, "own1");
    give(way[0], cross, 2, "cross");
    close(cross[0]);
    close(cross[1]);
    // As many as one message can hold.
    for (int i = 0; i < 253; i++) fds[i] = event;
    give(pair[0], fds, 253, "full");
    // A datagram and a packet with nothing but descriptors.
    give(pair[0], &keep, 1, "");
    // A terminal.
    int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    give(way[0], (int[]){master}, 1, "rest");
    close(master);

    state_ready();

    EQUAL(take(way[1], fds, "epoll"), 2);
    poller = fds[0];
    struct epoll_event got[4];
    EQUAL(write(tube[1], "x", 1), 1);
    int n = MUST(epoll_wait(poller, got, 4, 0));
    EQUAL(n, 3);
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) sum += got[i].data.u64;
    EQUAL(sum, 77 + 78 + 79);
    char text[65];
    EQUAL(read(fds[1], text, 64), 1);
    state_ping(tube[1], keep);
    EQUAL(take(way[1], fds, "anon"), 3);
    struct itimerspec now;
    MUST(timerfd_gettime(fds[0], &now));
    CHECK(now.it_value.tv_sec > 4000, "the timer has %ld s left", now.it_value.tv_sec);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    struct signalfd_siginfo info;
    EQUAL(read(fds[1], &info, sizeof info), sizeof info);
    EQUAL(info.ssi_signo, SIGUSR2);
    EQUAL(pread(fds[2], text, 64, 0), 6);
    EQUAL(fcntl(fds[2], F_GET_SEALS), F_SEAL_GROW);
    EQUAL(take(way[1], fds, "socks"), 4);
    EQUAL(read(fds[1], text, 64), 9);
    state_ping(client, fds[1]);
    state_ping(fds[1], client);
    int late = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(late, (void *)&a, sizeof a));
    int late_end = MUST(accept(fds[0], NULL, NULL));
    state_ping(late, late_end);
    EQUAL(recv(fds[2], text, 64, MSG_DONTWAIT), 4);
    EQUAL(take(way[1], fds, "files"), 5);
    EQUAL(pread(fds[0], text, 64, 0), 8);
    EQUAL(lseek(fds[0], 2, SEEK_SET), 2);
    EQUAL(lseek(fds[3], 0, SEEK_CUR), 2);
    EQUAL(fcntl(fds[1], F_GETFL) & O_DIRECTORY, O_DIRECTORY);
    EQUAL(fcntl(fds[2], F_GETFL) & O_PATH, O_PATH);
    uint64_t value;
    EQUAL(read(fds[4], &value, 8), 8);
    EQUAL(value, 3);
    EQUAL(take(way[1], cross, "cross"), 2);
    EQUAL(take(cross[1], fds, "own0"), 1);
    EQUAL(take(cross[0], fds + 1, "own1"), 1);
    EQUAL(send(fds[0], "y", 1, 0), 1);
    EQUAL(recv(fds[1], text, 64, MSG_DONTWAIT), 1);
    EQUAL(take(pair[1], fds, "full"), 253);
    value = 9;
    EQUAL(write(fds[252], &value, 8), 8);
    EQUAL(read(event, &value, 8), 8);
    EQUAL(value, 9);
    EQUAL(take(pair[1], fds, ""), 1);
    state_ping(tube[1], fds[0]);
    EQUAL(take(way[1], fds, "rest"), 1);
    CHECK(ptsname(fds[0]) != NULL, "no terminal: %m");
    state_pass();
}
