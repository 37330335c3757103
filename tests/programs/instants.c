// Four processes that write all their memory in a pattern which tells one instant from another, all the time.
//
// They take turns by a shared counter. In a turn a process writes every fourth page of its private and of its
// shared memory, word by word, and checks of each word that it is what this process left there; before that it
// checks the shared memory of all the others. So memory of two instants is noticed within a page, between pages and
// between processes: by whoever goes on from it. Beside that each process has a thread that waits for no turn: it
// counts in private memory, then in shared memory, and remembers how far it has seen the others count.
//
// Started as `instants FOLDER`. FOLDER/turn holds the counter (a 64-bit number); FOLDER/first is made with the
// counter in it whenever it is not there. At SIGTERM it writes PASS to FOLDER/result, and at once what was wrong
// when a check fails.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PROCESSES = 4, PAGE_WORDS = 512, PRIVATE_PAGES = 192, SHARED_PAGES = 32, WRITTEN_EVERY = 4 };

struct shared {
    _Atomic uint64_t turn;
    _Atomic uint64_t counts[PROCESSES];
    char rest[4096 - 8 * (1 + PROCESSES)];
    uint64_t pages[PROCESSES][SHARED_PAGES][PAGE_WORDS];
};

static char folder[512];
static struct shared *shared;
static uint64_t (*private)[PAGE_WORDS];
static int me;
static volatile sig_atomic_t ended;

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

// What a word holds once its process has made `round` turns: the last of them in which its page was written.
static uint64_t expected(uint64_t round, uint64_t page, uint64_t word) {
    uint64_t written = round - (round + page) % WRITTEN_EVERY;
    return (written << 32) + (page << 10) + word;
}

static void check(const uint64_t *words, uint64_t round, uint64_t page, int whose, const char *what) {
    for (uint64_t i = 0; i < PAGE_WORDS; i++)
        if (words[i] != expected(round, page, i))
            finish("FAIL process %d: word %" PRIu64 " of page %" PRIu64 " of %s memory of process %d is %" PRIx64
                   ", not %" PRIx64,
                   me, i, page, what, whose, words[i], expected(round, page, i));
}

// Volatile: each word is to be written when its turn comes, after the check of what was there.
static void renew(volatile uint64_t *words, uint64_t round, uint64_t page, const char *what) {
    bool due = (round + page) % WRITTEN_EVERY == 0;
    for (uint64_t i = 0; i < PAGE_WORDS; i++) {
        uint64_t was = words[i];
        if (was != expected(round - 1, page, i))
            finish("FAIL process %d: word %" PRIu64 " of page %" PRIu64 " of its %s memory is %" PRIx64
                   " before turn %" PRIx64,
                   me, i, page, what, was, round);
        if (due) words[i] = expected(round, page, i);
    }
}

static void *count(void *unused) {
    (void)unused;
    uint64_t own = 0, seen[PROCESSES] = {0};
    for (;;) {
        own++;
        uint64_t told = atomic_load(&shared->counts[me]);
        if (told != own - 1) finish("FAIL process %d has counted to %" PRIu64 ", but told %" PRIu64, me, own, told);
        atomic_store(&shared->counts[me], own);
        for (int other = 0; other < PROCESSES; other++) {
            uint64_t now = atomic_load(&shared->counts[other]);
            if (now < seen[other])
                finish("FAIL process %d has seen %d count to %" PRIu64 ", now it is %" PRIu64, me, other,
                       seen[other], now);
            seen[other] = now;
        }
        usleep(50);
    }
    return NULL;
}

// How many turns of a process came before turn `turn` of all.
static uint64_t rounds_before(uint64_t turn, int process) {
    return (turn + PROCESSES - 1 - process) / PROCESSES;
}

static void tell(int file, uint64_t turn) {
    if (pwrite(file, &turn, sizeof turn, 0) != sizeof turn) finish("FAIL writing the turn: %s", strerror(errno));
    char path[600], made[600];
    snprintf(path, sizeof path, "%s/first", folder);
    if (access(path, F_OK) == 0) return;
    // Made whole at once.
    snprintf(made, sizeof made, "%s/first.new", folder);
    int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || write(fd, &turn, sizeof turn) != sizeof turn || close(fd) != 0 || rename(made, path) != 0)
        finish("FAIL writing the first turn: %s", strerror(errno));
}

static _Noreturn void work(void) {
    char path[600];
    snprintf(path, sizeof path, "%s/turn", folder);
    int file = open(path, O_WRONLY | O_CREAT, 0666);
    if (file < 0) finish("FAIL opening %s: %s", path, strerror(errno));
    private = mmap(NULL, sizeof *private * PRIVATE_PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (private == MAP_FAILED) finish("FAIL no memory");
    for (uint64_t page = 0; page < PRIVATE_PAGES; page++)
        for (uint64_t i = 0; i < PAGE_WORDS; i++) private[page][i] = expected(WRITTEN_EVERY, page, i);
    pthread_t thread;
    if (pthread_create(&thread, NULL, count, NULL) != 0) finish("FAIL no thread");
    for (;;) {
        uint64_t turn = atomic_load(&shared->turn);
        if (me == 0 && ended) finish("PASS");
        if (turn % PROCESSES != (uint64_t)me) {
            // Not a loop without a rest: the capture, which gives way to the program, has to get on too.
            usleep(20);
            continue;
        }
        for (int other = 0; other < PROCESSES; other++)
            for (uint64_t page = 0; page < SHARED_PAGES; page++)
                check(shared->pages[other][page], rounds_before(turn, other), page, other, "the shared");
        uint64_t round = rounds_before(turn, me) + 1;
        for (uint64_t page = 0; page < PRIVATE_PAGES; page++) renew(private[page], round, page, "private");
        for (uint64_t page = 0; page < SHARED_PAGES; page++) renew(shared->pages[me][page], round, page, "shared");
        if (me == 0) tell(file, turn);
        atomic_store(&shared->turn, turn + 1);
    }
}

static void on_term(int signal) {
    (void)signal;
    ended = 1;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    snprintf(folder, sizeof folder, "%s", argv[1]);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 2;
    // As if each had made WRITTEN_EVERY turns.
    atomic_store(&shared->turn, WRITTEN_EVERY * PROCESSES);
    for (int process = 0; process < PROCESSES; process++)
        for (uint64_t page = 0; page < SHARED_PAGES; page++)
            for (uint64_t i = 0; i < PAGE_WORDS; i++)
                shared->pages[process][page][i] = expected(WRITTEN_EVERY, page, i);
    for (int process = 1; process < PROCESSES; process++) {
        pid_t pid = fork();
        if (pid < 0) return 2;
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            me = process;
            work();
        }
    }
    signal(SIGTERM, on_term);
    work();
}
