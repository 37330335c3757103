// Unix sockets whose files are not where they were bound: renamed, with another socket, or a plain file, at the old
// place, in a folder that was left or is gone, with another mode; names that fill their room, abstract ones with a
// NUL; datagrams of several senders with and without a name; packets waiting between named ends; a listener that is
// gone while a connection of it stays.
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static socklen_t at(struct sockaddr_un *a, const char *path) {
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = strlen(path);
    memcpy(a->sun_path, path, length);
    return offsetof(struct sockaddr_un, sun_path) + length + (length < sizeof a->sun_path);
}

static int bound(int type, const char *path) {
    struct sockaddr_un a;
    int fd = MUST(socket(AF_UNIX, type, 0));
    MUST(bind(fd, (void *)&a, at(&a, path)));
    if (type != SOCK_DGRAM) MUST(listen(fd, 5));
    return fd;
}

static int joined(int type, const char *path) {
    struct sockaddr_un a;
    int fd = MUST(socket(AF_UNIX, type, 0));
    MUST(connect(fd, (void *)&a, at(&a, path)));
    return fd;
}

static void named(int fd, const char *path, bool peer) {
    struct sockaddr_un a, want;
    socklen_t length = sizeof a, wanted = at(&want, path);
    if (peer) MUST(getpeername(fd, (void *)&a, &length));
    else MUST(getsockname(fd, (void *)&a, &length));
    CHECK(memcmp(&a, &want, wanted < length ? wanted : length) == 0 && length >= wanted - 1, "the name is %.*s, not %s", (int)length - 2, a.sun_path, path);
}

static void serves(int listener, const char *path) {
    int client = joined(SOCK_STREAM, path), server = MUST(accept(listener, NULL, NULL));
    state_ping(client, server);
    state_ping(server, client);
    close(client);
    close(server);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    char text[65];
    // Renamed, and renamed with another socket at its old place.
    const char *old = strdup(state_path("old")), *new = strdup(state_path("new"));
    const char *first = strdup(state_path("first")), *moved = strdup(state_path("moved"));
    int renamed = bound(SOCK_STREAM, old), earlier = bound(SOCK_STREAM, first);
    MUST(rename(old, new));
    MUST(rename(first, moved));
    int later = bound(SOCK_STREAM, first);
    serves(renamed, new);
    serves(earlier, moved);
    serves(later, first);
    // A plain file at its place.
    const char *covered = strdup(state_path("covered"));
    int under = bound(SOCK_STREAM, covered);
    MUST(unlink(covered));
    int file = MUST(open(covered, O_CREAT | O_WRONLY, 0640));
    EQUAL(write(file, "plain", 5), 5);
    close(file);
    // Relative to a folder that was left; to one that is gone.
    const char *home = strdup(state_path("home")), *gone = strdup(state_path("gone"));
    int before = MUST(open(".", O_PATH | O_DIRECTORY));
    MUST(mkdir(home, 0700));
    MUST(mkdir(gone, 0700));
    MUST(chdir(home));
    int relative = bound(SOCK_STREAM, "./inside"), letters = bound(SOCK_DGRAM, "letters");
    MUST(chdir(gone));
    int lost = bound(SOCK_STREAM, "lost");
    int lost_client = joined(SOCK_STREAM, "lost"), lost_server = MUST(accept(lost, NULL, NULL));
    MUST(unlink("lost"));
    MUST(rmdir(gone));
    MUST(fchdir(before));
    // Mode changed.
    MUST(chmod(moved, 0612));
    // Datagrams of several to one.
    const char *box = strdup(state_path("box")), *from_a = strdup(state_path("a")), *from_b = strdup(state_path("b"));
    int receiver = bound(SOCK_DGRAM, box), a = bound(SOCK_DGRAM, from_a), b = bound(SOCK_DGRAM, from_b), plain = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    struct sockaddr_un to;
    socklen_t to_length = at(&to, box);
    EQUAL(sendto(a, "from a", 6, 0, (void *)&to, to_length), 6);
    EQUAL(sendto(b, "from b", 6, 0, (void *)&to, to_length), 6);
    EQUAL(sendto(plain, "nameless", 8, 0, (void *)&to, to_length), 8);
    EQUAL(sendto(a, "", 0, 0, (void *)&to, to_length), 0);
    MUST(unlink(from_b));
    // The sender's name has become another's.
    close(b);
    int b2 = bound(SOCK_DGRAM, from_b);
    // A packet socket with names on both sides and packets waiting.
    const char *house = strdup(state_path("house")), *guest = strdup(state_path("guest"));
    int door = bound(SOCK_SEQPACKET, house), visitor = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    struct sockaddr_un v;
    MUST(bind(visitor, (void *)&v, at(&v, guest)));
    MUST(connect(visitor, (void *)&v, at(&v, house)));
    int host = MUST(accept(door, NULL, NULL));
    EQUAL(send(visitor, "one", 3, MSG_EOR), 3);
    EQUAL(send(visitor, "two two", 7, MSG_EOR), 7);
    EQUAL(send(host, "back", 4, MSG_EOR), 4);
    // The listener goes, what it accepted stays.
    const char *shop = strdup(state_path("shop"));
    int closed = bound(SOCK_STREAM, shop), customer = joined(SOCK_STREAM, shop), clerk = MUST(accept(closed, NULL, NULL));
    close(closed);
    MUST(unlink(shop));
    EQUAL(write(customer, "hello", 5), 5);
    // As long as a name can be, without its NUL.
    char full[109] = {0};
    snprintf(full, sizeof full, "%s/", home);
    if (strlen(full) > 100) state_skip("the folder's name is too long");
    memset(full + strlen(full), 'x', 108 - strlen(full));
    int longest = bound(SOCK_STREAM, full);
    // Abstract with a NUL within.
    struct sockaddr_un odd = {.sun_family = AF_UNIX}, is;
    int odd_length = 2 + snprintf(odd.sun_path + 1, 60, "odd %d", getpid()) + 4;
    int abstract = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(abstract, (void *)&odd, odd_length));
    MUST(listen(abstract, 1));

    state_ready();

    named(renamed, old, false);
    serves(renamed, new);
    CHECK(access(old, F_OK) == -1, "the old name is back");
    named(earlier, first, false);
    serves(earlier, moved);
    named(later, first, false);
    serves(later, first);
    struct stat st;
    MUST(stat(moved, &st));
    EQUAL(st.st_mode & 07777, 0612);
    file = MUST(open(covered, O_RDONLY));
    EQUAL(read(file, text, 64), 5);
    MUST(fstat(file, &st));
    EQUAL(st.st_mode, S_IFREG | 0640);
    named(under, covered, false);
    named(relative, "./inside", false);
    char path[200];
    snprintf(path, sizeof path, "%s/inside", home);
    serves(relative, path);
    named(letters, "letters", false);
    CHECK(access(gone, F_OK) == -1, "the folder is back");
    named(lost, "lost", false);
    named(lost_client, "lost", true);
    named(lost_server, "lost", false);
    state_ping(lost_client, lost_server);
    struct sockaddr_un who;
    socklen_t length = sizeof who;
    EQUAL(recvfrom(receiver, text, 64, MSG_DONTWAIT, (void *)&who, &length), 6);
    CHECK(strcmp(who.sun_path, from_a) == 0, "from %s", who.sun_path);
    length = sizeof who;
    EQUAL(recvfrom(receiver, text, 64, MSG_DONTWAIT, (void *)&who, &length), 6);
    CHECK(strcmp(who.sun_path, from_b) == 0, "from %s", who.sun_path);
    length = sizeof who;
    EQUAL(recvfrom(receiver, text, 64, MSG_DONTWAIT, (void *)&who, &length), 8);
    CHECK(length <= 2, "a nameless sender has a name");
    length = sizeof who;
    EQUAL(recvfrom(receiver, text, 64, MSG_DONTWAIT, (void *)&who, &length), 0);
    EQUAL(sendto(a, "again", 5, 0, (void *)&to, to_length), 5);
    EQUAL(recv(receiver, text, 64, MSG_DONTWAIT), 5);
    struct sockaddr_un to_b;
    EQUAL(sendto(a, "to b", 4, 0, (void *)&to_b, at(&to_b, from_b)), 4);
    EQUAL(recv(b2, text, 64, MSG_DONTWAIT), 4);
    named(visitor, guest, false);
    named(visitor, house, true);
    named(host, house, false);
    named(host, guest, true);
    EQUAL(recv(host, text, 64, MSG_DONTWAIT), 3);
    EQUAL(recv(host, text, 64, MSG_DONTWAIT), 7);
    EQUAL(recv(visitor, text, 64, MSG_DONTWAIT), 4);
    state_ping(visitor, host);
    named(clerk, shop, false);
    named(customer, shop, true);
    EQUAL(read(clerk, text, 64), 5);
    state_ping(clerk, customer);
    CHECK(access(shop, F_OK) == -1, "the shop is back");
    length = sizeof is;
    MUST(getsockname(longest, (void *)&is, &length));
    CHECK(memcmp(is.sun_path, full, 108) == 0, "%.108s", is.sun_path);
    serves(longest, full);
    length = sizeof is;
    MUST(getsockname(abstract, (void *)&is, &length));
    EQUAL(length, odd_length);
    CHECK(memcmp(&is, &odd, length) == 0, "another abstract name");
    state_pass();
}
