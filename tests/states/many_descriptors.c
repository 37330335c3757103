// Ten thousand descriptors of several kinds, most of them with a state of their own, at numbers without gaps and
// in an order that has nothing to do with that in which they were opened.
#include "state.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define COUNT 10000
#define FIRST 20
enum kind { EVENT, FILE_AT, PIPE_READ, PIPE_WRITE, PAIR_A, PAIR_B, COPY, NOTHING, KINDS };

// Where the n-th descriptor is, in steps that meet every number once.
static int number(int n) { return FIRST + (int)((long)n * 7919 % COUNT); }

static void place(int n, int fd, bool cloexec) {
    MUST(dup3(fd, number(n), cloexec ? O_CLOEXEC : 0));
    MUST(close(fd));
}

static void make(int n, const char *path) {
    int ends[2];
    switch (n % KINDS) {
    case EVENT: place(n, MUST(eventfd(n, EFD_NONBLOCK)), true); break;
    case FILE_AT: {
        int fd = MUST(open(path, O_RDONLY));
        MUST(lseek(fd, n, SEEK_SET));
        place(n, fd, false);
        break;
    }
    case PIPE_READ:
        MUST(pipe(ends));
        EQUAL(write(ends[1], &n, sizeof n), sizeof n);
        place(n, ends[0], false);
        place(n + 1, ends[1], true);
        break;
    case PAIR_A:
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        EQUAL(write(ends[1], &n, sizeof n), sizeof n);
        place(n, ends[0], true);
        place(n + 1, ends[1], false);
        break;
    // The eventfd of the same eight, once more.
    case COPY: MUST(dup3(number(n - COPY), number(n), 0)); break;
    case NOTHING: place(n, MUST(open("/dev/null", O_RDWR)), false); break;
    default: break;
    }
}

static void check(int n) {
    int fd = number(n), got = 0;
    int flags = MUST(fcntl(fd, F_GETFD));
    bool cloexec = n % KINDS == EVENT || n % KINDS == PIPE_WRITE || n % KINDS == PAIR_A;
    EQUAL(flags, cloexec ? FD_CLOEXEC : 0);
    uint64_t ticks;
    switch (n % KINDS) {
    case EVENT:
        if (n == 0) break;
        EQUAL(read(fd, &ticks, sizeof ticks), sizeof ticks);
        EQUAL(ticks, n);
        ticks = 3;
        EQUAL(write(fd, &ticks, sizeof ticks), sizeof ticks);
        break;
    case FILE_AT: EQUAL(lseek(fd, 0, SEEK_CUR), n); break;
    case PIPE_READ:
    case PAIR_A:
        EQUAL(read(fd, &got, sizeof got), sizeof got);
        EQUAL(got, n);
        EQUAL(write(number(n + 1), &got, sizeof got), sizeof got);
        EQUAL(read(fd, &got, sizeof got), sizeof got);
        EQUAL(got, n);
        break;
    case COPY:
        if (n == COPY) break;
        EQUAL(read(fd, &ticks, sizeof ticks), sizeof ticks);
        EQUAL(ticks, 3);
        break;
    default: break;
    }
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = FIRST + COUNT + 16;
    if (limit.rlim_max < limit.rlim_cur) state_skip("no more than %ld descriptors", (long)limit.rlim_max);
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    const char *path = state_path("file");
    MUST(close(MUST(open(path, O_CREAT | O_RDWR, 0600))));
    for (int n = 0; n < COUNT; n++) make(n, path);
    int epoll = MUST(epoll_create1(0));
    for (int n = PIPE_READ; n < 100 * KINDS; n += KINDS) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = n};
        MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, number(n), &wanted));
    }
    state_ready();
    if (state_breaking()) MUST(dup2(number(1), number(COUNT - 2)));
    struct epoll_event events[128];
    EQUAL(MUST(epoll_wait(epoll, events, 128, 0)), 100);
    for (int n = 0; n < COUNT; n++) check(n);
    EQUAL(MUST(epoll_wait(epoll, events, 128, 0)), 0);
    // The entries are those of these numbers.
    for (int n = PIPE_READ; n < 100 * KINDS; n += KINDS) MUST(epoll_ctl(epoll, EPOLL_CTL_DEL, number(n), NULL));
    errno = 0;
    CHECK(fcntl(FIRST + COUNT + 15, F_GETFD) == -1 && errno == EBADF, "a descriptor that was never open");
    state_pass();
}
