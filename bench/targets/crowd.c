// A process with very many of one thing: `crowd descriptors|threads|mappings COUNT REPORT`. It writes "ready" to
// REPORT once it has them, and then does nothing.
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// Of the kinds that real servers have thousands of, a quarter each.
static void open_descriptors(long count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit");
    for (long i = 0; i < count; i += 4) {
        int ends[2];
        if (open("/dev/null", O_RDWR) < 0) fail("open");
        if (eventfd(1, 0) < 0) fail("eventfd");
        if (pipe(ends) != 0) fail("pipe");
    }
}

static void *wait_for_ever(void *unused) {
    pause();
    return unused;
}

static void start_threads(long count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
    for (long i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, wait_for_ever, NULL) != 0) fail("pthread_create");
    }
}

// One page each, every second one without a right, so that no two are merged.
static void map_pages(long count) {
    long page = sysconf(_SC_PAGESIZE);
    char *area = mmap(NULL, count * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) fail("mmap");
    memset(area, 1, count * page);
    for (long i = 1; i < count; i += 2)
        if (mprotect(area + i * page, page, PROT_READ) != 0) fail("mprotect");
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long count = atol(argv[2]);
    if (strcmp(argv[1], "descriptors") == 0) open_descriptors(count);
    else if (strcmp(argv[1], "threads") == 0) start_threads(count);
    else if (strcmp(argv[1], "mappings") == 0) map_pages(count);
    else return 2;
    FILE *report = fopen(argv[3], "w");
    if (report == NULL) fail(argv[3]);
    fputs("ready\n", report);
    fclose(report);
    for (;;) pause();
}
