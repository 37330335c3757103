// A pipeline in full flow: one process writes numbers, a second passes them on, a third checks that
// none is lost, doubled or out of order.
#include "state.h"

static int first[2], second[2];
static volatile uint64_t *shared;

static void writes(void *arg) {
    (void)arg;
    close(first[0]), close(second[0]), close(second[1]);
    state_child_reports();
    for (uint64_t n = 1; !shared[0]; n++) {
        EQUAL(write(first[1], &n, sizeof n), sizeof n);
        shared[1] = n;
    }
}

static void passes_on(void *arg) {
    (void)arg;
    close(first[1]), close(second[0]);
    state_child_reports();
    char buffer[1000];
    ssize_t got;
    while ((got = read(first[0], buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < got;) at += MUST(write(second[1], buffer + at, got - at));
    EQUAL(got, 0);
}

static void checks(void *arg) {
    (void)arg;
    close(first[0]), close(first[1]), close(second[1]);
    state_child_reports();
    uint64_t n, want = 1;
    size_t have = 0;
    ssize_t got;
    while ((got = read(second[0], (char *)&n + have, sizeof n - have)) > 0)
        if ((have += got) == sizeof n) {
            EQUAL(n, want);
            shared[2] = want++;
            have = 0;
        }
    EQUAL(got, 0);
    EQUAL(have, 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    MUST(pipe(first));
    MUST(pipe(second));
    pid_t children[3] = {state_fork(writes, NULL), state_fork(passes_on, NULL), state_fork(checks, NULL)};
    close(first[0]), close(first[1]), close(second[0]), close(second[1]);
    AWAIT(shared[2] > 10000, "nothing flows");
    state_ready();
    uint64_t then = shared[2];
    AWAIT(shared[2] > then + 10000, "nothing flows any more");
    shared[0] = 1;
    for (int i = 0; i < 3; i++) state_expect_exit(children[i], 0);
    EQUAL(shared[1], shared[2]);
    state_pass();
}
