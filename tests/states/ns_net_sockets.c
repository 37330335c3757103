// Sockets in a network namespace that the root process has made for itself: TCP listening, connected and waiting to be
// accepted on a port that is taken outside too, UDP with a datagram, an abstract unix name that is taken outside, a
// pair, and a socket of the network outside that it has kept. A setting of that network is another.
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bound(int type, struct sockaddr_in *at) {
    socklen_t length = sizeof *at;
    int fd = MUST(socket(AF_INET, type, 0));
    MUST(bind(fd, (struct sockaddr *)at, sizeof *at));
    MUST(getsockname(fd, (struct sockaddr *)at, &length));
    return fd;
}

static int abstract(const char *name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strcpy(at.sun_path + 1, name);
    int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(fd, (struct sockaddr *)&at, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
    MUST(listen(fd, 4));
    return fd;
}

static int reach(const char *name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strcpy(at.sun_path + 1, name);
    int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(connect(fd, (struct sockaddr *)&at, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
    return fd;
}

static int to(int type, struct sockaddr_in at) {
    int fd = MUST(socket(AF_INET, type, 0));
    MUST(connect(fd, (struct sockaddr *)&at, sizeof at));
    return fd;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    char name[64];
    snprintf(name, sizeof name, "torpor-state-%d", getpid());
    struct sockaddr_in outside = loopback(0);
    int kept = bound(SOCK_STREAM, &outside), kept_name = abstract(name);
    MUST(listen(kept, 4));
    if (unshare(CLONE_NEWNET) == -1) state_skip("unshare: %s", strerror(errno));
    int setting = MUST(open("/proc/sys/net/ipv4/ip_default_ttl", O_WRONLY));
    EQUAL(write(setting, "77", 2), 2);
    close(setting);
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    MUST(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
    // The same port and the same name as outside.
    struct sockaddr_in at = outside, port = loopback(0);
    int listener = bound(SOCK_STREAM, &at);
    MUST(listen(listener, 4));
    int near = to(SOCK_STREAM, at), far = MUST(accept(listener, NULL, NULL)), waiting = to(SOCK_STREAM, at);
    int receiver = bound(SOCK_DGRAM, &port), sender = to(SOCK_DGRAM, port);
    int named = abstract(name), client = reach(name), served = MUST(accept(named, NULL, NULL)), pair[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    EQUAL(write(near, "on the way", 10), 10);
    EQUAL(write(sender, "datagram", 8), 8);
    EQUAL(write(pair[0], "packet", 6), 6);
    state_ready();
    char text[32] = {0};
    EQUAL(read(far, text, sizeof text), 10);
    CHECK(strcmp(text, "on the way") == 0, "it says %s", text);
    EQUAL(read(receiver, text, sizeof text), 8);
    EQUAL(read(pair[1], text, sizeof text), 6);
    state_ping(far, near);
    state_ping(client, served);
    int late = MUST(accept(listener, NULL, NULL));
    state_ping(waiting, late);
    close(to(SOCK_STREAM, at));
    close(reach(name));
    char *ttl = state_slurp("/proc/sys/net/ipv4/ip_default_ttl");
    EQUAL(atoi(ttl), 77);
    // What it has kept is not reached from in here, but is what it was.
    struct sockaddr_in kept_at;
    socklen_t length = sizeof kept_at;
    MUST(getsockname(kept, (struct sockaddr *)&kept_at, &length));
    EQUAL(kept_at.sin_port, outside.sin_port);
    struct stat own, of;
    int network = MUST(ioctl(kept, 0x894c /* SIOCGSKNS */));
    MUST(fstat(network, &of));
    MUST(stat("/proc/self/ns/net", &own));
    CHECK(of.st_ino != own.st_ino, "the socket of outside is inside");
    network = MUST(ioctl(listener, 0x894c));
    MUST(fstat(network, &of));
    EQUAL(of.st_ino, own.st_ino);
    CHECK(kept_name > 0, "no name outside");
    state_pass();
}
