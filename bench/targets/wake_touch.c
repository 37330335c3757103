/*
 * A process of a given size that, once woken, touches its memory at random and reports how long that took.
 *
 * usage: wake_touch MEGABYTES REPORT-FILE ORDER-FILE
 *
 * It fills its memory with what doesn't compress, reports "ready", and watches the clock. Where that steps by
 * more than 5 ms and the order file is there, it has been woken. It reports "woken REALTIME-NS", and then
 * either sleeps for good (order "rest"), or reads 10,000 pages at random, the same at every wake, as fast as it
 * can (order "touch") or one each 500 µs (order "pace"), and reports "touched WAITED MEDIAN-NS P99-NS LARGEST-NS ALL-NS". A touch has waited where it was a
 * page fault (getrusage(2)): all of the memory has contents, so a page that is not there has to be brought in.
 * What is touched lies all over its memory and is a sixteenth of it: of all of it no order of reading is
 * better than another.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TOUCHES = 10000, PAGE = 4096 };
static const int64_t GAP_NS = 5000000;
static const int64_t PACE_NS = 500000;
static int64_t latencies[TOUCHES];

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t next_random(uint64_t random)
{
    random ^= random << 13;
    random ^= random >> 7;
    return random ^ random << 17;
}

static void report(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
        _exit(1);
    close(fd);
}

/* The first letter of the order; 0 where there is none. */
static char order_in(const char *path)
{
    char order = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (read(fd, &order, 1) != 1)
        order = 0;
    close(fd);
    return order;
}

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Pages that are touched: 256 KiB of every 4 MiB. */
static size_t hot(size_t page)
{
    return page / 1024 * 1024 + page % 64;
}

static void touch(const volatile unsigned char *memory, size_t pages, int64_t pace, const char *report_file)
{
    uint64_t random = 0x2545f4914f6cdd1du, sum = 0;
    long waited = 0;
    int64_t all = 0, begun = now_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < TOUCHES; i++) {
        random = next_random(random);
        const volatile unsigned char *page = memory + hot(random % pages) * PAGE;
        while (now_ns(CLOCK_MONOTONIC) < begun + i * pace)
            ;
        long faults = page_faults();
        int64_t before = now_ns(CLOCK_MONOTONIC);
        sum += *page;
        int64_t took = now_ns(CLOCK_MONOTONIC) - before;
        waited += page_faults() > faults;
        latencies[i] = took;
        all += took;
    }
    qsort(latencies, TOUCHES, sizeof *latencies, by_size);
    char line[160];
    snprintf(line, sizeof line, "touched %ld %lld %lld %lld %lld %llu\n", waited,
             (long long)latencies[TOUCHES / 2], (long long)latencies[TOUCHES / 100 * 99],
             (long long)latencies[TOUCHES - 1], (long long)all, (unsigned long long)sum);
    report(report_file, line);
}

int main(int argc, char **argv)
{
    if (argc != 4 || atol(argv[1]) < 1) {
        fprintf(stderr, "usage: wake_touch MEGABYTES REPORT-FILE ORDER-FILE\n");
        return 2;
    }
    size_t size = (size_t)atol(argv[1]) << 20;
    uint64_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (size_t index = 0; index < size / sizeof *memory; index++) {
        random = next_random(random);
        memory[index] = random;
    }
    report(argv[2], "ready\n");

    int64_t before = now_ns(CLOCK_REALTIME);
    for (;;) {
        int64_t now = now_ns(CLOCK_REALTIME);
        char order = now - before > GAP_NS ? order_in(argv[3]) : 0;
        if (order != 0) {
            char line[64];
            snprintf(line, sizeof line, "woken %lld\n", (long long)now);
            report(argv[2], line);
            if (order != 'r')
                touch((const volatile unsigned char *)memory, size / PAGE, order == 'p' ? PACE_NS : 0, argv[2]);
            for (;;)
                pause();
        }
        before = now;
    }
}
