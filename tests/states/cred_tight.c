// Limits of memory that leave no room for anything more, and the name of a thread that is no text.
#include "state.h"

static const char name[] = "a)b (\n\xff\xfe\xc3";

static void *named(void *arg) {
    volatile int *go = arg;
    MUST(prctl(PR_SET_NAME, name));
    go[0] = 1;
    while (!go[1]) usleep(1000);
    char found[17] = {0};
    MUST(prctl(PR_GET_NAME, found));
    CHECK(strcmp(found, name) == 0, "the thread's name is %s", found);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    static volatile int go[2];
    pthread_t thread;
    OK(pthread_create(&thread, NULL, named, (void *)go));
    AWAIT(go[0], "the thread does not begin");
    // What the stack will need is there already.
    volatile char deep[1 << 16];
    for (size_t i = 0; i < sizeof deep; i += 4096) deep[i] = 1;
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    CHECK(statm && fscanf(statm, "%lu", &pages) == 1, "no /proc/self/statm");
    fclose(statm);
    struct rlimit memory = {(pages + 12) * 4096, RLIM_INFINITY}, data = {4096, RLIM_INFINITY}, none = {0, 0}, found;
    MUST(setrlimit(RLIMIT_AS, &memory));
    MUST(setrlimit(RLIMIT_DATA, &data));
    MUST(setrlimit(RLIMIT_MEMLOCK, &none));
    MUST(setrlimit(RLIMIT_SIGPENDING, &none));

    state_ready();

    MUST(getrlimit(RLIMIT_AS, &found));
    EQUAL(found.rlim_cur, memory.rlim_cur);
    MUST(getrlimit(RLIMIT_DATA, &found));
    EQUAL(found.rlim_cur, data.rlim_cur);
    void *more = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(more == MAP_FAILED && errno == ENOMEM, "there is room beyond the limit");
    found = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_AS, &found));
    MUST(setrlimit(RLIMIT_DATA, &found));
    go[1] = 1;
    OK(pthread_join(thread, NULL));
    state_pass();
}
