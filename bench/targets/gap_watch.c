/*
 * A process of a given size that watches its own clock and reports when it stood still.
 *
 * usage: gap_watch MEGABYTES REPORT-FILE [pages=small|huge] [processes=N] [threads=N] [work=1] [-- PROGRAM ARG…]
 *
 * pages: of what size they are to be (as the system does it, where it is missing). processes: the memory is
 * spread over so many, all but the first of which wait. threads: so many in the first process, all but the
 * first of which wake a hundred times a second. work: write to memory without pause, and say every 20 ms how
 * much was done ("work WRITES REALTIME-NS-AFTER"). A program is started as its child, to be watched with it; it
 * ends with it.
 *
 * It fills its memory with what doesn't compress, then reads the real-time clock without pause. A step of more
 * than a millisecond is a gap: a capture's pause, the time that it was an image, or the scheduler's doing. Before,
 * it forks once and reports how long that took ("fork NS"): what a copy-on-write capture can't do without. Each
 * finding is a line "gap NS REALTIME-NS-AFTER". The file is opened for each line and closed again, so that no
 * open file is part of what is captured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int64_t GAP_NS = 1000000;
static const int64_t WORK_NS = 20000000;

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void report(const char *path, const char *what, int64_t first, int64_t second)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s %lld %lld\n", what, (long long)first,
                          (long long)second);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        _exit(1);
    close(fd);
}

/* A fork of all of it whose child ends at once. */
static int64_t fork_ns(void)
{
    int64_t before = now_ns(CLOCK_MONOTONIC);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    int64_t took = now_ns(CLOCK_MONOTONIC) - before;
    if (child < 0 || waitpid(child, NULL, 0) != child)
        _exit(1);
    return took;
}

/* What comes behind "NAME=" among the arguments, or nothing. */
static const char *option(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);
    for (int index = 3; index < argc; index++)
        if (strncmp(argv[index], name, length) == 0 && argv[index][length] == '=')
            return argv[index] + length + 1;
    return NULL;
}

static int number(const char *text)
{
    return text == NULL ? 1 : atoi(text);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t *filled(size_t size, const char *pages, uint64_t seed)
{
    uint64_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        _exit(1);
    if (pages != NULL)
        madvise(memory, size, strcmp(pages, "huge") == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t index = 0; index < size / sizeof *memory; index++)
        memory[index] = next_random(&seed);
    return memory;
}

static void *wakes(void *unused)
{
    for (;;)
        usleep(10000);
    return unused;
}

/* The others: filled like the first, then still. They end with it. */
static void add_processes(int count, size_t size, const char *pages)
{
    int full[2];
    if (pipe(full) != 0)
        _exit(1);
    for (int index = 1; index < count; index++) {
        pid_t child = fork();
        if (child < 0)
            _exit(1);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            filled(size, pages, 0x9e3779b97f4a7c15u + (uint64_t)index);
            if (write(full[1], "", 1) != 1)
                _exit(1);
            close(full[0]);
            close(full[1]);
            for (;;)
                pause();
        }
    }
    char byte;
    for (int index = 1; index < count; index++)
        if (read(full[0], &byte, 1) != 1)
            _exit(1);
    close(full[0]);
    close(full[1]);
}

/* What is behind "--". */
static void start_program(char **argv)
{
    while (*argv != NULL && strcmp(*argv, "--") != 0)
        argv++;
    if (*argv == NULL)
        return;
    pid_t child = fork();
    if (child < 0)
        _exit(1);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
}

/* A fork leaves every page to be made writable again at its next write: done here, it is not counted as work. */
static void touch(volatile uint64_t *memory, size_t size)
{
    for (size_t index = 0; index < size / sizeof *memory; index += 512)
        memory[index] = memory[index];
}

int main(int argc, char **argv)
{
    if (argc < 3 || atol(argv[1]) < 0) {
        fprintf(stderr, "usage: gap_watch MEGABYTES REPORT-FILE [pages=small|huge] [processes=N] [threads=N] [work=1] [-- PROGRAM ARG…]\n");
        return 2;
    }
    const char *pages = option(argc, argv, "pages");
    int processes = number(option(argc, argv, "processes"));
    int work = option(argc, argv, "work") != NULL;
    size_t size = ((size_t)atol(argv[1]) << 20) / (size_t)processes;
    uint64_t random = 0x9e3779b97f4a7c15u;
    uint64_t *memory = NULL;
    add_processes(processes, size, pages);
    if (size > 0)
        memory = filled(size, pages, random);
    for (int index = 1; index < number(option(argc, argv, "threads")); index++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, wakes, NULL) != 0)
            return 1;
    }
    report(argv[2], "fork", fork_ns(), 0);
    touch(memory, size);
    start_program(argv + 3);
    report(argv[2], "ready", getpid(), (int64_t)size);

    int64_t before = now_ns(CLOCK_REALTIME);
    int64_t written = 0, told = before;
    for (;;) {
        if (work && size > 0) {
            for (int index = 0; index < 1000; index++)
                memory[next_random(&random) % (size / sizeof *memory)] = random;
            written += 1000;
            if (before - told > WORK_NS) {
                report(argv[2], "work", written, before);
                written = 0;
                told = before;
            }
        }
        /* One reading a turn: a stop between two would be seen by one of them only. */
        int64_t now = now_ns(CLOCK_REALTIME);
        if (now - before > GAP_NS) {
            report(argv[2], "gap", now - before, now);
            /* What the report took is not a gap. */
            now = now_ns(CLOCK_REALTIME);
        }
        before = now;
    }
}
