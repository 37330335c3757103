// A program that checks itself more than a thousand times a second: memory, pipes, signals in their order, system
// calls that must not fail, clocks, and that nothing is in its process that it has not put there itself.
// Started as `self_checker FOLDER`. FOLDER/checks counts its checks (a 64-bit number); at SIGTERM it writes PASS to
// FOLDER/result, and at once what was wrong when a check fails.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 64 * 1024, CHECKED_AT_ONCE = 1024 };

static char folder[512];
static _Atomic uint64_t *checks;
static uint64_t memory[WORDS];
static _Atomic uint64_t waits;

static _Noreturn void finish(const char *format, ...) {
    char path[600], text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(path, sizeof path, "%s/result", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd >= 0 && write(fd, text, strlen(text)) < 0) perror("result");
    _exit(0);
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) finish("FAIL line " __VA_ARGS__);                                        \
    } while (0)

// Entries of a folder of /proc/self.
static int entries(const char *path) {
    DIR *dir = opendir(path);
    CHECK(dir, "%d: %s: %s", __LINE__, path, strerror(errno));
    int count = 0;
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

// All that is mapped, in pages: which neighbours are one mapping is the kernel's affair.
static int mapped(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY);
    CHECK(fd >= 0, "%d: statm: %s", __LINE__, strerror(errno));
    ssize_t got = read(fd, text, sizeof text - 1);
    CHECK(got > 0, "%d: statm: %s", __LINE__, strerror(errno));
    close(fd);
    text[got] = 0;
    return atoi(text);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

// Answers each number with its double; its own signals go to the parent in their order.
static _Noreturn void child(int from, int to, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        uint64_t number;
        ssize_t got = read(from, &number, sizeof number);
        CHECK(got == sizeof number, "%d: the child reads %zd: %s", __LINE__, got, strerror(errno));
        CHECK(sigqueue(parent, SIGRTMIN + 1, (union sigval){.sival_int = (int)number}) == 0,
              "%d: sigqueue: %s", __LINE__, strerror(errno));
        number *= 2;
        got = write(to, &number, sizeof number);
        CHECK(got == sizeof number, "%d: the child writes %zd: %s", __LINE__, got, strerror(errno));
    }
}

// System calls with a limit end by it, and never by anything else.
static void *waiter(void *unused) {
    (void)unused;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    for (;;) {
        int64_t before = now();
        int got = poll(NULL, 0, 1);
        CHECK(got == 0, "%d: poll gives %d: %s", __LINE__, got, strerror(errno));
        CHECK(now() - before >= 1000000, "%d: poll ended early", __LINE__);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 500000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        got = pthread_cond_timedwait(&never, &mutex, &until);
        CHECK(got == ETIMEDOUT || got == 0, "%d: a wait gives %s", __LINE__, strerror(got));
        atomic_fetch_add(&waits, 1);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    snprintf(folder, sizeof folder, "%s", argv[1]);
    char path[600];
    snprintf(path, sizeof path, "%s/checks", folder);
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    if (fd < 0 || ftruncate(fd, 4096) != 0) return 2;
    checks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (checks == MAP_FAILED) return 2;

    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGRTMIN);
    sigaddset(&blocked, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);

    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) return 2;
    pid_t self = getpid(), answerer = fork();
    if (answerer == 0) child(to[0], from[1], self);
    pthread_t thread;
    if (pthread_create(&thread, NULL, waiter, NULL) != 0) return 2;
    for (uint64_t i = 0; i < WORDS; i++) memory[i] = i * 0x9e3779b97f4a7c15;

    // The second look: the first one has made a buffer of the C library's.
    int descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task"), pages = mapped();
    descriptors = entries("/proc/self/fd"), pages = mapped();
    int64_t last = now();
    for (uint64_t n = 1;; n++) {
        for (uint64_t i = n * CHECKED_AT_ONCE % WORDS, k = 0; k < CHECKED_AT_ONCE; k++, i = (i + 1) % WORDS)
            CHECK(memory[i] == i * 0x9e3779b97f4a7c15, "%d: word %" PRIu64 " of the memory", __LINE__, i);

        // Sent to itself and by the child: one each, and the right one.
        CHECK(sigqueue(self, SIGRTMIN, (union sigval){.sival_int = (int)n}) == 0, "%d: sigqueue", __LINE__);
        uint64_t number = n;
        ssize_t got = write(to[1], &number, sizeof number);
        CHECK(got == sizeof number, "%d: a write gives %zd: %s", __LINE__, got, strerror(errno));
        got = read(from[0], &number, sizeof number);
        CHECK(got == sizeof number, "%d: a read gives %zd: %s", __LINE__, got, strerror(errno));
        CHECK(number == 2 * n, "%d: the answer to %" PRIu64 " is %" PRIu64, __LINE__, n, number);
        bool over = false;
        unsigned seen = 0;
        siginfo_t info;
        while (sigtimedwait(&blocked, &info, &(struct timespec){0}) > 0) {
            if (info.si_signo == SIGTERM) {
                over = true;
                continue;
            }
            CHECK(info.si_value.sival_int == (int)n, "%d: signal %d has %d in turn %" PRIu64, __LINE__,
                  info.si_signo, info.si_value.sival_int, n);
            CHECK(info.si_pid == (info.si_signo == SIGRTMIN ? self : answerer), "%d: signal %d of %d", __LINE__,
                  info.si_signo, info.si_pid);
            seen += info.si_signo == SIGRTMIN ? 1 : 16;
        }
        CHECK(errno == EAGAIN, "%d: waiting for signals: %s", __LINE__, strerror(errno));
        CHECK(seen == 17, "%d: signals of turn %" PRIu64 ": %#x", __LINE__, n, seen);

        int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 200000}, NULL);
        CHECK(error == 0, "%d: a sleep gives %s", __LINE__, strerror(error));
        int64_t time = now();
        CHECK(time - last >= 200000, "%d: a sleep was %" PRId64 " ns long", __LINE__, time - last);
        last = time;

        if (n % 64 == 0) {
            int found = entries("/proc/self/fd");
            CHECK(found == descriptors, "%d: %d descriptors, not %d", __LINE__, found, descriptors);
            found = entries("/proc/self/task");
            CHECK(found == threads, "%d: %d threads, not %d", __LINE__, found, threads);
            found = mapped();
            CHECK(found == pages, "%d: %d pages mapped, not %d", __LINE__, found, pages);
            CHECK(getpid() == self && waitpid(-1, NULL, WNOHANG) == 0, "%d: a child that is not ours", __LINE__);
        }
        atomic_fetch_add(checks, 1);
        if (over) {
            CHECK(atomic_load(&waits) > 0, "%d: the waiting thread stands still", __LINE__);
            kill(answerer, SIGKILL);
            finish("PASS");
        }
    }
}
