/*
 * A process of a given size that watches its own clock and reports when it stood still.
 *
 * usage: gap_watch MEGABYTES REPORT-FILE [small|huge]
 *
 * The last word says of what size its pages are to be (as the system does it, where it is missing).
 *
 * It fills its memory with what doesn't compress, then reads two clocks without pause. A step of the
 * monotonic clock of more than a millisecond is a gap: a capture's pause, or the scheduler's doing. In a
 * capsule that clock doesn't run while the process is an image, so a wake shows on the real-time clock
 * only. Before, it forks once and reports how long that took ("fork NS"): what a copy-on-write capture can't
 * do without. Each finding is a line "gap MONOTONIC-NS REALTIME-NS-AFTER". The file is opened for each line
 * and closed again, so that no open file is part of what is captured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int64_t GAP_NS = 1000000;

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

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4 || atol(argv[1]) < 0) {
        fprintf(stderr, "usage: gap_watch MEGABYTES REPORT-FILE [small|huge]\n");
        return 2;
    }
    size_t size = (size_t)atol(argv[1]) << 20;
    if (size > 0) {
        uint64_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 1;
        if (argc == 4)
            madvise(memory, size, strcmp(argv[3], "huge") == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        uint64_t random = 0x9e3779b97f4a7c15u;
        for (size_t index = 0; index < size / sizeof *memory; index++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            memory[index] = random;
        }
    }
    report(argv[2], "fork", fork_ns(), 0);
    report(argv[2], "ready", getpid(), (int64_t)size);

    int64_t monotonic = now_ns(CLOCK_MONOTONIC);
    int64_t realtime = now_ns(CLOCK_REALTIME);
    for (;;) {
        int64_t monotonic_after = now_ns(CLOCK_MONOTONIC);
        int64_t realtime_after = now_ns(CLOCK_REALTIME);
        if (monotonic_after - monotonic > GAP_NS || realtime_after - realtime > GAP_NS) {
            report(argv[2], "gap", monotonic_after - monotonic, realtime_after);
            /* What the report took is not a gap. */
            monotonic_after = now_ns(CLOCK_MONOTONIC);
            realtime_after = now_ns(CLOCK_REALTIME);
        }
        monotonic = monotonic_after;
        realtime = realtime_after;
    }
}
