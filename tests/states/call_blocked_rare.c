// Threads that are blocked without a limit in calls of a rarer kind: a record lock (POSIX and of the
// description), priority-inheriting and requeueing futexes, several futexes at once, a full message queue, an
// empty one, a POSIX queue, a full socket, splice and tee, a signal by its descriptor, a timer's, a
// child's end by waitid, an O_WRONLY open of a FIFO, a wait on several semaphores.
#include <linux/futex.h>
#include <linux/time_types.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "state.h"

enum { LOCK, OFD, PI, BITSET, WAITV, SEND, RECEIVE, QUEUE, SENDMSG, SPLICE, TEE, SIGNAL, TIMER, CHILD, FIFO, SEMAPHORES, READV, PWAIT, VMSPLICE, COUNT };
static const char *const names[COUNT] = {"record lock", "description's lock", "PI futex", "futex bitset", "futexes", "msgsnd", "msgrcv", "mq_receive", "sendmsg", "splice", "tee", "signalfd", "timerfd", "waitid", "open of a FIFO", "semop", "readv", "epoll_pwait", "vmsplice"};

struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

static volatile int started, done[COUNT];
static int lock_fd[4], full_queue, empty_queue, semaphores, sockets[2], from[2], to[2], teed[2], tee_to[2], signals, timer, read_pipe[2], events, event_pipe[2], spliced[2];
static uint32_t pi, bits, many[3];
static mqd_t queue;
static pid_t child;
static char *fifo;
struct text {
    long type;
    char bytes[100];
};

static void *body(void *arg) {
    long n = (long)arg, got = -1, want = 0;
    char byte, bytes[2];
    struct text text = {.type = 1};
    __sync_fetch_and_add(&started, 1);
    switch (n) {
    case LOCK: got = fcntl(lock_fd[0], F_SETLKW, &(struct flock){.l_type = F_WRLCK, .l_len = 10}); break;
    case OFD: got = fcntl(lock_fd[1], F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK, .l_start = 20, .l_len = 10}); break;
    case PI: got = syscall(SYS_futex, &pi, FUTEX_LOCK_PI, 0, NULL, NULL, 0); break;
    case BITSET: got = syscall(SYS_futex, &bits, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 4); break;
    case WAITV: {
        struct waitv all[3] = {{0, (uintptr_t)&many[0], 2, 0}, {0, (uintptr_t)&many[1], 2, 0}, {0, (uintptr_t)&many[2], 2, 0}};
        got = syscall(449, all, 3, 0, NULL, 0), want = 1;
        break;
    }
    case SEND: got = msgsnd(full_queue, &text, 100, 0); break;
    case RECEIVE: got = msgrcv(empty_queue, &text, 100, -5, 0), want = 7; break;
    case QUEUE: {
        char message[128];
        unsigned priority;
        got = mq_receive(queue, message, sizeof message, &priority), want = 4;
        break;
    }
    case SENDMSG: {
        char large[4096] = {0};
        got = send(sockets[0], large, sizeof large, 0), want = sizeof large;
        break;
    }
    case SPLICE: got = splice(from[0], NULL, to[1], NULL, 3, 0), want = 3; break;
    case TEE: got = tee(teed[0], tee_to[1], 3, 0), want = 3; break;
    case SIGNAL: {
        struct signalfd_siginfo info;
        got = read(signals, &info, sizeof info), want = sizeof info;
        break;
    }
    case TIMER: {
        uint64_t ticks;
        got = read(timer, &ticks, 8), want = 8;
        break;
    }
    case CHILD: {
        siginfo_t info;
        got = waitid(P_PID, child, &info, WEXITED | WNOWAIT);
        break;
    }
    case FIFO: got = open(fifo, O_WRONLY), want = got < 0 ? 0 : got; break;
    case SEMAPHORES: {
        struct sembuf all[2] = {{0, -1, 0}, {1, 0, SEM_UNDO}};
        got = semop(semaphores, all, 2);
        break;
    }
    case READV: {
        struct iovec parts[2] = {{&byte, 1}, {bytes, 1}};
        got = readv(read_pipe[0], parts, 2), want = 2;
        break;
    }
    case PWAIT: {
        struct epoll_event event;
        sigset_t mask;
        sigfillset(&mask);
        got = epoll_pwait(events, &event, 1, -1, &mask), want = 1;
        break;
    }
    case VMSPLICE: {
        char page[10] = "0123456789";
        struct iovec part = {page, sizeof page};
        got = vmsplice(spliced[1], &part, 1, 0), want = 10;
        break;
    }
    }
    CHECK(got == want, "%s: %ld (%s)", names[n], got, got < 0 ? strerror(errno) : "");
    done[n] = 1;
    if (n == PI) CHECK(syscall(SYS_futex, &pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0, "it does not own the futex");
    return NULL;
}

static long fill(int fd) {
    char page[4096] = {0};
    long total = 0, got;
    MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
    while ((got = write(fd, page, sizeof page)) > 0) total += got;
    MUST(fcntl(fd, F_SETFL, 0));
    return total;
}

static void wake(int n, uint32_t *word, int how, int mask) {
    for (int i = 0; i < 1000 && !done[n]; i++) {
        syscall(SYS_futex, word, how, 1, NULL, NULL, mask);
        usleep(5000);
    }
    CHECK(done[n], "nobody waits for the %s", names[n]);
}

static void sleeper(void *arg) {
    (void)arg;
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &mask, NULL));
    child = state_fork(sleeper, NULL);
    // The locks are held by a child, and by another description.
    for (int i = 0; i < 2; i++) lock_fd[i] = MUST(open(state_path("locked"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    int release[2], held[2];
    MUST(pipe(release));
    MUST(pipe(held));
    pid_t holder = MUST(fork());
    if (holder == 0) {
        int fd = MUST(open(state_path("locked"), O_RDWR | O_CLOEXEC));
        MUST(fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_len = 100}));
        MUST(write(held[1], "x", 1));
        char byte;
        close(release[1]);
        MUST(read(release[0], &byte, 1));
        _exit(0);
    }
    char byte;
    MUST(read(held[0], &byte, 1));
    pi = (uint32_t)syscall(SYS_gettid);
    full_queue = MUST(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    empty_queue = MUST(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    struct text text = {.type = 9};
    while (msgsnd(full_queue, &text, 100, IPC_NOWAIT) == 0) {}
    MUST(msgsnd(empty_queue, &text, 10, 0));
    char name[64];
    snprintf(name, sizeof name, "/torpor-state-%d", getpid());
    queue = MUST(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &(struct mq_attr){.mq_maxmsg = 4, .mq_msgsize = 128}));
    MUST(mq_unlink(name));
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
    long filled = fill(sockets[0]);
    int *const pipes[] = {from, to, teed, tee_to, read_pipe, event_pipe, spliced};
    for (size_t i = 0; i < sizeof pipes / sizeof *pipes; i++) MUST(pipe(pipes[i]));
    fill(spliced[1]);
    signals = MUST(signalfd(-1, &mask, 0));
    timer = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    semaphores = MUST(semget(IPC_PRIVATE, 2, IPC_CREAT | 0600));
    events = MUST(epoll_create1(0));
    MUST(epoll_ctl(events, EPOLL_CTL_ADD, event_pipe[0], &(struct epoll_event){.events = EPOLLIN | EPOLLET | EPOLLONESHOT}));
    fifo = strdup(state_path("fifo"));
    MUST(mkfifo(fifo, 0600));
    pthread_t threads[COUNT];
    for (long i = 0; i < COUNT; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == COUNT, "only %d threads run", started);
    // Until they sleep, as far as one can tell from here.
    usleep(200000);

    for (int i = 0; i < COUNT; i++)
        CHECK(!done[i], "%s did not wait", names[i]);
    state_ready();

    usleep(50000);
    for (int i = 0; i < COUNT; i++)
        CHECK(!done[i], "%s did not wait", names[i]);
    MUST(write(release[1], "x", 1));
    state_expect_exit(holder, 0);
    CHECK(pi & FUTEX_WAITERS, "nobody waits for the futex");
    MUST(syscall(SYS_futex, &pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    EQUAL(syscall(SYS_futex, &bits, FUTEX_WAKE_BITSET, 1, NULL, NULL, 8), 0);
    wake(BITSET, &bits, FUTEX_WAKE_BITSET, 4);
    wake(WAITV, &many[1], FUTEX_WAKE, 0);
    MUST(msgrcv(full_queue, &text, 100, 0, 0));
    text.type = 3;
    MUST(msgsnd(empty_queue, &text, 7, 0));
    MUST(mq_send(queue, "word", 4, 3));
    char large[65536];
    for (long left = filled + 4096; left > 0;) {
        struct pollfd ready = {.fd = sockets[1], .events = POLLIN};
        CHECK(poll(&ready, 1, 5000) == 1, "%ld of %ld bytes are missing", left, filled + 4096);
        left -= MUST(read(sockets[1], large, sizeof large));
    }
    MUST(write(from[1], "abc", 3));
    MUST(write(teed[1], "abc", 3));
    MUST(kill(getpid(), SIGUSR1));
    MUST(timerfd_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000}, NULL));
    MUST(semctl(semaphores, 0, SETVAL, 1));
    MUST(write(read_pipe[1], "ab", 2));
    MUST(write(event_pipe[1], "a", 1));
    MUST(read(spliced[0], large, sizeof large));
    int other = MUST(open(fifo, O_RDONLY));
    MUST(kill(child, SIGTERM));
    for (long i = 0; i < COUNT; i++) OK(pthread_join(threads[i], NULL));
    state_expect_exit(child, 0);
    close(other);
    MUST(msgctl(full_queue, IPC_RMID, NULL));
    MUST(msgctl(empty_queue, IPC_RMID, NULL));
    MUST(semctl(semaphores, 0, IPC_RMID));
    state_pass();
}
