// Unix sockets of a child in a root folder of its own, with what waits in them; bound ones whose name was removed or is
// a FIFO's by now; datagrams of senders that know a nameless receiver; one whose receiver is gone; full ones; more
// connections not yet accepted than the listener wants, one of them ended; datagram sockets connected in a row.
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

static socklen_t at(struct sockaddr_un *a, const char *p) {
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(a->sun_path, p);
    return offsetof(struct sockaddr_un, sun_path) + strlen(p) + 1;
}

static int bound(int t, const char *p) {
    struct sockaddr_un a;
    int fd = MUST(socket(AF_UNIX, t, 0));
    MUST(bind(fd, (void *)&a, at(&a, p)));
    return fd;
}

static int joined(int t, const char *p) {
    struct sockaddr_un a;
    int fd = MUST(socket(AF_UNIX, t, 0));
    MUST(connect(fd, (void *)&a, at(&a, p)));
    return fd;
}

static char jail[300];
static void child(void *arg) {
    (void)arg;
    MUST(chroot(jail));
    MUST(chdir("/"));
    int abs = bound(SOCK_STREAM, "/abs"), rel = bound(SOCK_DGRAM, "rel");
    MUST(listen(abs, 3));
    int c = joined(SOCK_STREAM, "/abs"), s = MUST(accept(abs, NULL, NULL));
    int d = joined(SOCK_DGRAM, "/rel"), pend = joined(SOCK_STREAM, "/abs");
    EQUAL(write(pend, "pend", 4), 4);
    EQUAL(send(d, "letter", 6, 0), 6);
    state_child_ready();
    char t[64];
    state_ping(c, s);
    struct sockaddr_un a;
    socklen_t l = sizeof a;
    MUST(getsockname(s, (void *)&a, &l));
    CHECK(!strcmp(a.sun_path, "/abs"), "%s", a.sun_path);
    EQUAL(recv(rel, t, 64, MSG_DONTWAIT), 6);
    EQUAL(send(d, "more", 4, 0), 4);
    EQUAL(recv(rel, t, 64, MSG_DONTWAIT), 4);
    int q = MUST(accept(abs, NULL, NULL));
    EQUAL(read(q, t, 64), 4);
    int n = joined(SOCK_STREAM, "/abs");
    int m = MUST(accept(abs, NULL, NULL));
    state_ping(n, m);
    struct ucred u;
    l = sizeof u;
    MUST(getsockopt(q, SOL_SOCKET, SO_PEERCRED, &u, &l));
    EQUAL(u.pid, getpid());
}
int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    char t[64];
    snprintf(jail, sizeof jail, "%s", state_path("jail"));
    MUST(mkdir(jail, 0755));
    pid_t pid = state_fork(child, NULL);
    // standalone unlinked, bound only
    const char *s1 = strdup(state_path("s1")), *s2 = strdup(state_path("s2")), *s3 = strdup(state_path("s3"));
    int one = bound(SOCK_STREAM, s1), two = bound(SOCK_DGRAM, s2);
    MUST(unlink(s1));
    MUST(unlink(s2));
    // a FIFO upon a socket's name
    int three = bound(SOCK_STREAM, s3);
    MUST(listen(three, 1));
    MUST(unlink(s3));
    MUST(mkfifo(s3, 0600));
    int fifo = MUST(open(s3, O_RDWR));
    EQUAL(write(fifo, "ff", 2), 2);
    // dgram ghost with several senders connected after unlink
    const char *g = strdup(state_path("ghost"));
    int ghost = bound(SOCK_DGRAM, g), a = joined(SOCK_DGRAM, g), b = joined(SOCK_DGRAM, g);
    MUST(unlink(g));
    EQUAL(send(a, "a1", 2, 0), 2);
    EQUAL(send(b, "b1", 2, 0), 2);
    // dgram peer closed => ECONNREFUSED
    const char *z = strdup(state_path("z"));
    int gone = bound(SOCK_DGRAM, z), orphan = joined(SOCK_DGRAM, z);
    close(gone);
    // one that is filled to the brim
    int full[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, full));
    int n = 0;
    while (send(full[0], "f", 1, 0) == 1) n++;
    int sfull[2];
    long sn = 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sfull));
    char big[8192];
    memset(big, 7, sizeof big);
    for (ssize_t k; (k = write(sfull[0], big, sizeof big)) > 0;) sn += k;
    // backlog full
    const char *k = strdup(state_path("k"));
    int lk = bound(SOCK_SEQPACKET, k);
    MUST(listen(lk, 2));
    int cl[3];
    for (int i = 0; i < 3; i++) { cl[i] = joined(SOCK_SEQPACKET, k); sprintf(t, "c%d", i); EQUAL(send(cl[i], t, 2, 0), 2); }
    close(cl[1]);
    // three connected in a row a->b->c dgram
    const char *r0 = strdup(state_path("r0")), *r1 = strdup(state_path("r1")), *r2 = strdup(state_path("r2"));
    int ring[3] = {bound(SOCK_DGRAM, r0), bound(SOCK_DGRAM, r1), bound(SOCK_DGRAM, r2)};
    struct sockaddr_un ad;
    EQUAL(sendto(ring[0], "early", 5, 0, (void *)&ad, at(&ad, r2)), 5);
    MUST(connect(ring[0], (void *)&ad, at(&ad, r1)));
    MUST(connect(ring[1], (void *)&ad, at(&ad, r2)));
    state_ready();
    MUST(listen(one, 2));
    CHECK(access(s1, F_OK) && access(s2, F_OK) && access(g, F_OK), "a name is back");
    struct stat st;
    MUST(lstat(s3, &st));
    CHECK(S_ISFIFO(st.st_mode), "no FIFO");
    EQUAL(read(fifo, t, 64), 2);
    EQUAL(recv(ghost, t, 64, MSG_DONTWAIT), 2);
    CHECK(t[0]=='a', "a");
    EQUAL(recv(ghost, t, 64, MSG_DONTWAIT), 2);
    EQUAL(send(b, "b2", 2, 0), 2);
    EQUAL(recv(ghost, t, 64, MSG_DONTWAIT), 2);
    CHECK(send(orphan, "x", 1, 0) == -1 && errno == ECONNREFUSED, "orphan: %m");
    CHECK(send(full[0], "f", 1, 0) == -1 && errno == EAGAIN, "not full: %m");
    for (int i = 0; i < n; i++) EQUAL(recv(full[1], t, 64, 0), 1);
    CHECK(recv(full[1], t, 64, 0) == -1, "more");
    long got = 0; for (ssize_t k2; (k2 = read(sfull[1], big, sizeof big)) > 0;) got += k2;
    EQUAL(got, sn);
    for (int i = 0; i < 3; i++) { int s = MUST(accept(lk, NULL, NULL)); EQUAL(recv(s, t, 64, MSG_DONTWAIT), 2); EQUAL(t[1], '0' + i); if (i == 1) EQUAL(recv(s, t, 64, MSG_DONTWAIT), 0); else state_ping(cl[i], s); }
    EQUAL(recv(ring[2], t, 64, MSG_DONTWAIT), 5);
    (void)two;
    state_child_end(pid);
    state_pass();
}
