// Everything at once, and all the time: threads that make threads, open and close, map and unmap, send
// numbers and descriptors, sleep, connect over TCP and unix sockets, make and remove files, timers, pseudo-terminals,
// locks and epoll instances. Each checks every result: no call fails that would not have, whenever the capture strikes.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "state.h"

static volatile bool over;
static int stream[2];
// Made once: the buffers of state_path() are no thread's own.
static char file_path[PATH_MAX], socket_path[PATH_MAX], lock_path[PATH_MAX];

static void *give_back(void *arg) { return arg; }

static void make_thread(void) {
    static long turn;
    pthread_t thread;
    void *result;
    OK(pthread_create(&thread, NULL, give_back, (void *)++turn));
    OK(pthread_join(thread, &result));
    EQUAL((long)result, turn);
}

static void open_and_close(void) {
    char bytes[10];
    int fd = MUST(open("/etc/passwd", O_RDONLY));
    EQUAL(read(fd, bytes, sizeof bytes), sizeof bytes);
    EQUAL(lseek(fd, 0, SEEK_CUR), sizeof bytes);
    MUST(close(fd));
}

static void map_and_unmap(void) {
    char *map = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED, "mmap: %s", strerror(errno));
    map[0] = 1;
    map[5000] = 2;
    MUST(mprotect(map, 4096, PROT_READ));
    MUST(mprotect(map, 4096, PROT_READ | PROT_WRITE));
    char *larger = mremap(map, 1 << 16, 1 << 17, MREMAP_MAYMOVE);
    CHECK(larger != MAP_FAILED, "mremap: %s", strerror(errno));
    EQUAL(larger[0], 1);
    EQUAL(larger[5000], 2);
    EQUAL(larger[100000], 0);
    MUST(munmap(larger, 1 << 17));
}

static void send_number(void) {
    static long next;
    EQUAL(send(stream[0], &next, sizeof next, 0), sizeof next);
    next++;
}

static void receive_number(void) {
    static long expected;
    long number;
    EQUAL(recv(stream[1], &number, sizeof number, MSG_WAITALL), sizeof number);
    EQUAL(number, expected);
    expected++;
}

static void send_descriptor(void) {
    static uint64_t count;
    int ends[2], fd = MUST(eventfd(++count, 0));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    state_give(ends[0], fd);
    MUST(close(fd));
    fd = state_take(ends[1], 0);
    uint64_t found;
    EQUAL(read(fd, &found, sizeof found), sizeof found);
    EQUAL(found, count);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

static void sleep_a_little(void) {
    struct timespec time = {0, 3000000};
    double begun = state_now();
    MUST(nanosleep(&time, NULL));
    CHECK(state_now() - begun >= 0.003, "a sleep was too short");
}

static void greet(int listener, int client) {
    char found[8] = {0};
    EQUAL(send(client, "hello", 5, 0), 5);
    int server = MUST(accept(listener, NULL, NULL));
    EQUAL(recv(server, found, 5, MSG_WAITALL), 5);
    CHECK(strcmp(found, "hello") == 0, "%s arrives", found);
    // Not one more port that is waited for.
    struct linger linger = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(client);
    close(server);
    close(listener);
}

static void connect_over_tcp(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(listener, (void *)&address, sizeof address));
    MUST(listen(listener, 1));
    MUST(getsockname(listener, (void *)&address, &len));
    MUST(connect(client, (void *)&address, sizeof address));
    greet(listener, client);
}

static void connect_by_name(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
    unlink(address.sun_path);
    int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(listener, (void *)&address, sizeof address));
    MUST(listen(listener, 1));
    MUST(connect(client, (void *)&address, sizeof address));
    greet(listener, client);
}

static void make_and_remove(void) {
    int fd = MUST(open(file_path, O_RDWR | O_CREAT | O_EXCL, 0600));
    EQUAL(write(fd, "abc", 3), 3);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), found[4] = {0};
    CHECK(map != MAP_FAILED, "mmap: %s", strerror(errno));
    map[1] = 'x';
    MUST(unlink(file_path));
    EQUAL(pread(fd, found, 3, 0), 3);
    CHECK(strcmp(found, "axc") == 0, "the file holds %s", found);
    MUST(munmap(map, 4096));
    MUST(close(fd));
}

static void await_timer(void) {
    struct itimerspec in_a_moment = {.it_value.tv_nsec = 1000000};
    int fd = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    MUST(timerfd_settime(fd, 0, &in_a_moment, NULL));
    uint64_t ticks;
    EQUAL(read(fd, &ticks, sizeof ticks), sizeof ticks);
    EQUAL(ticks, 1);
    close(fd);
    timer_t timer;
    struct sigevent nobody = {.sigev_notify = SIGEV_NONE};
    MUST(timer_create(CLOCK_MONOTONIC, &nobody, &timer));
    MUST(timer_delete(timer));
}

static void type_a_line(void) {
    char name[64], found[8];
    int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    MUST(unlockpt(master));
    OK(ptsname_r(master, name, sizeof name));
    int slave = MUST(open(name, O_RDWR | O_NOCTTY));
    EQUAL(write(master, "ab\n", 3), 3);
    EQUAL(read(slave, found, sizeof found), 3);
    close(slave);
    close(master);
}

static void lock_and_poll(void) {
    int fd = MUST(open(lock_path, O_RDWR | O_CREAT, 0600));
    struct flock range = {.l_type = F_WRLCK, .l_len = 10};
    MUST(fcntl(fd, F_OFD_SETLK, &range));
    range.l_type = F_UNLCK;
    MUST(fcntl(fd, F_OFD_SETLK, &range));
    int epoll = MUST(epoll_create1(0)), event = MUST(eventfd(1, 0));
    struct epoll_event entry = {.events = EPOLLIN, .data.u64 = 3};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &entry));
    EQUAL(epoll_wait(epoll, &entry, 1, 1000), 1);
    close(epoll);
    close(event);
    close(fd);
}

static void (*const works[])(void) = {make_thread,     open_and_close,   map_and_unmap,   send_descriptor,
                                      sleep_a_little,  connect_over_tcp, connect_by_name, make_and_remove,
                                      await_timer,     type_a_line,      lock_and_poll};
#define WORKS (int)(sizeof works / sizeof *works)

static void *work(void *arg) {
    void (*const *one)(void) = arg;
    while (!over) (*one)();
    return NULL;
}

static void *numbers(void *arg) {
    (void)arg;
    while (!over) send_number();
    MUST(shutdown(stream[0], SHUT_WR));
    return NULL;
}

static void *counts(void *arg) {
    (void)arg;
    char next;
    while (recv(stream[1], &next, 1, MSG_PEEK) == 1) receive_number();
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
    strcpy(file_path, state_path("file"));
    strcpy(socket_path, state_path("socket"));
    strcpy(lock_path, state_path("lock"));
    pthread_t threads[WORKS + 2];
    sigset_t go, before;
    sigemptyset(&go);
    sigaddset(&go, SIGTERM);
    OK(pthread_sigmask(SIG_BLOCK, &go, &before));
    for (int i = 0; i < WORKS; i++) OK(pthread_create(&threads[i], NULL, work, (void *)&works[i]));
    OK(pthread_create(&threads[WORKS], NULL, numbers, NULL));
    OK(pthread_create(&threads[WORKS + 1], NULL, counts, NULL));
    OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
    usleep(20000 + getpid() % 7 * 3000);

    state_ready();

    usleep(50000);
    over = true;
    for (int i = 0; i < WORKS + 2; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
