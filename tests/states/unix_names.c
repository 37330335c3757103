// Named unix sockets: listening on a path, an abstract and a relative name, with connections not yet
// accepted that have data, accepted ones, a bound datagram socket with queued senders, a connected
// datagram socket, and a listener whose path was removed.
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static socklen_t address(struct sockaddr_un *a, const char *name) {
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    if (name[0] == '@') {
        size_t length = strlen(name);
        memcpy(a->sun_path + 1, name + 1, length - 1);
        return offsetof(struct sockaddr_un, sun_path) + length;
    }
    strcpy(a->sun_path, name);
    return sizeof *a;
}

static int named(int type, const char *name) {
    struct sockaddr_un a;
    socklen_t length = address(&a, name);
    int fd = MUST(socket(AF_UNIX, type, 0));
    MUST(bind(fd, (struct sockaddr *)&a, length));
    if ((type & 0xf) != SOCK_DGRAM) MUST(listen(fd, 7));
    return fd;
}

static int joined(int type, const char *name) {
    struct sockaddr_un a;
    socklen_t length = address(&a, name);
    int fd = MUST(socket(AF_UNIX, type, 0));
    if (connect(fd, (struct sockaddr *)&a, length) == -1) state_fail("connect to %s: %s", name, strerror(errno));
    return fd;
}

static void expect_name(int fd, const char *want, bool of_peer) {
    struct sockaddr_un a = {0}, b;
    socklen_t length = sizeof a, want_length = address(&b, want);
    MUST((of_peer ? getpeername : getsockname)(fd, (struct sockaddr *)&a, &length));
    CHECK(want[0] != '@' || length == want_length, "the name %s has %u bytes", want, length);
    CHECK(memcmp(a.sun_path, b.sun_path, want[0] == '@' ? strlen(want) : strlen(want) + 1) == 0, "the name is %s, not %s",
          a.sun_path[0] ? a.sun_path : a.sun_path + 1, want);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    char abstract[64];
    snprintf(abstract, sizeof abstract, "@torpor-state-%d", getpid());
    const char *path = strdup(state_path("listening")), *gone = strdup(state_path("gone")), *box = strdup(state_path("box"));
    const char *client_box = strdup(state_path("client box"));
    MUST(chdir(state_path(".")));
    int by_path = named(SOCK_STREAM | SOCK_NONBLOCK, path), by_abstract = named(SOCK_SEQPACKET, abstract);
    int relative = named(SOCK_STREAM, "relative name"), removed = named(SOCK_STREAM, gone);
    MUST(chmod(path, 0731));
    MUST(unlink(gone));
    int waiting = joined(SOCK_STREAM, path), second = joined(SOCK_STREAM, path);
    EQUAL(write(waiting, "before accept", 13), 13);
    int gave_up = joined(SOCK_STREAM, path);
    EQUAL(write(gave_up, "bye", 3), 3);
    close(gave_up); // pending, with data, and its client is gone
    int client = joined(SOCK_SEQPACKET, abstract), accepted = MUST(accept(by_abstract, NULL, NULL));
    EQUAL(write(client, "accepted", 8), 8);
    int mailbox = named(SOCK_DGRAM, box), sender = named(SOCK_DGRAM, client_box);
    struct sockaddr_un a;
    socklen_t length = address(&a, box);
    EQUAL(sendto(sender, "letter", 6, 0, (struct sockaddr *)&a, length), 6);
    int connected = joined(SOCK_DGRAM, box);
    EQUAL(write(connected, "anonymous", 9), 9);
    int unbound = MUST(socket(AF_UNIX, SOCK_STREAM, 0));

    state_ready();

    char text[64] = {0};
    expect_name(by_path, path, false);
    expect_name(relative, "relative name", false);
    expect_name(by_abstract, abstract, false);
    expect_name(waiting, path, true);
    expect_name(removed, gone, false);
    struct stat stat_now;
    MUST(stat(path, &stat_now));
    CHECK(S_ISSOCK(stat_now.st_mode) && (stat_now.st_mode & 0777) == 0731, "mode %o", stat_now.st_mode);
    CHECK(access(gone, F_OK) == -1, "the removed name is back");
    EQUAL(fcntl(by_path, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    int one = MUST(accept(by_path, NULL, NULL));
    EQUAL(read(one, text, sizeof text), 13);
    CHECK(strcmp(text, "before accept") == 0, "%s", text);
    state_ping(one, waiting);
    int two = MUST(accept(by_path, NULL, NULL));
    state_ping(second, two);
    int three = MUST(accept(by_path, NULL, NULL));
    EQUAL(read(three, text, sizeof text), 3);
    EQUAL(read(three, text, sizeof text), 0);
    CHECK(accept(by_path, NULL, NULL) == -1 && errno == EAGAIN, "a connection that nobody made");
    EQUAL(read(accepted, text, sizeof text), 8);
    state_ping(accepted, client);
    expect_name(accepted, abstract, false);
    expect_name(client, abstract, true);
    length = sizeof a;
    EQUAL(recvfrom(mailbox, text, sizeof text, 0, (struct sockaddr *)&a, &length), 6);
    CHECK(strcmp(a.sun_path, client_box) == 0, "the letter came from %s", a.sun_path);
    length = sizeof a;
    EQUAL(recvfrom(mailbox, text, sizeof text, 0, (struct sockaddr *)&a, &length), 9);
    state_ping(connected, mailbox);
    EQUAL(sendto(mailbox, "reply", 5, 0, (struct sockaddr *)&a, address(&a, client_box)), 5);
    EQUAL(read(sender, text, sizeof text), 5);
    close(joined(SOCK_STREAM, path)); // newcomers get in by every name
    close(joined(SOCK_STREAM, "relative name"));
    close(joined(SOCK_SEQPACKET, abstract));
    MUST(listen(by_path, 20));
    address(&a, path);
    MUST(connect(unbound, (struct sockaddr *)&a, sizeof a));
    state_pass();
}
