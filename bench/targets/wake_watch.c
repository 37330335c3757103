/*
 * A process of a given size that says when it is ready, and each time that it has been asleep for long.
 *
 * usage: wake_watch MEGABYTES REPORT-FILE
 *
 * It fills its memory with what doesn't compress, reports "ready REALTIME-NS", and then looks at the real-time
 * clock every millisecond. A step of more than 200 ms is a wake out of an image (or a machine that has no time
 * for it): "woken REALTIME-NS", as soon as its instructions run again. The file is opened for each line and
 * closed again, so that no open file is part of what is captured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const int64_t WAKE_NS = 200000000;
static const struct timespec LOOK_EVERY = {.tv_nsec = 1000000};

static int64_t real_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void report(const char *path, const char *what, int64_t at)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%s %lld\n", what, (long long)at);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        _exit(1);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 3 || atol(argv[1]) < 1) {
        fprintf(stderr, "usage: wake_watch MEGABYTES REPORT-FILE\n");
        return 2;
    }
    size_t size = (size_t)atol(argv[1]) << 20;
    uint64_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    uint64_t state = (uint64_t)getpid() * 2654435761u + 1;
    for (size_t i = 0; i < size / sizeof *memory; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memory[i] = state;
    }
    int64_t last = real_ns();
    report(argv[2], "ready", last);
    for (;;) {
        nanosleep(&LOOK_EVERY, NULL);
        int64_t now = real_ns();
        if (now - last > WAKE_NS)
            report(argv[2], "woken", now);
        last = now;
    }
}
