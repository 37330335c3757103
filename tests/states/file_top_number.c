// Descriptors at the very top of the limit of open files, above which there is no number left for anybody: of a
// process and of a child that has others there, with an epoll instance that knows one, and a file that is mapped.
#include <sys/epoll.h>

#include "state.h"

static int top;

static void check_file(int fd, const char *text) {
    char got[16] = "";
    EQUAL(pread(fd, got, sizeof got - 1, 0), (ssize_t)strlen(text));
    CHECK(strcmp(got, text) == 0, "descriptor %d holds \"%s\", not \"%s\"", fd, got, text);
}

static void other(void *argument) {
    (void)argument;
    close(top - 1);
    int own = MUST(open(state_path("own"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(own, "own", 3), 3);
    MUST(dup2(own, top - 2));
    state_child_ready();
    check_file(top, "top");
    check_file(top - 2, "own");
    EQUAL(fcntl(top - 1, F_GETFD), -1);
    EQUAL(fcntl(top - 3, F_GETFD), -1);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max < 1 << 20 ? limit.rlim_max : 1 << 20;
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    top = limit.rlim_cur - 1;
    int fd = MUST(open(state_path("file"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(fd, "top", 3), 3);
    char *mapped = MUST(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
    MUST(dup3(fd, top, O_CLOEXEC));
    int ends[2];
    MUST(pipe(ends));
    MUST(dup2(ends[0], top - 1));
    int epoll = MUST(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, top - 1, &event));
    pid_t child = state_fork(other, NULL);

    state_ready();

    check_file(top, "top");
    EQUAL(fcntl(top, F_GETFD), FD_CLOEXEC);
    EQUAL(fcntl(top - 1, F_GETFD), 0);
    EQUAL(fcntl(top - 2, F_GETFD), -1);
    EQUAL(lseek(top, 0, SEEK_CUR), lseek(fd, 0, SEEK_CUR));
    EQUAL(mapped[0], 't');
    EQUAL(epoll_wait(epoll, &event, 1, 0), 0);
    EQUAL(write(ends[1], "x", 1), 1);
    EQUAL(epoll_wait(epoll, &event, 1, 0), 1);
    EQUAL(event.data.u64, 7);
    MUST(getrlimit(RLIMIT_NOFILE, &limit));
    EQUAL((int)limit.rlim_cur - 1, top);
    state_child_end(child);
    state_pass();
}
