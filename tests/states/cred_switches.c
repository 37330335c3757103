// What prctl and arch_prctl switch: per process (no executable writable memory, memory merging, THP
// off but for advised ranges), and per thread (time stamp counter, timer slack, parent-death signal,
// name, speculation, system call dispatch).
#include <ucontext.h>

#include "state.h"

#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58

static volatile int started, go;

static void look(char *text, size_t room) {
    int tsc = -1, death = -1;
    char name[32] = "";
    prctl(PR_GET_TSC, &tsc);
    prctl(PR_GET_PDEATHSIG, &death);
    prctl(PR_GET_NAME, name);
    snprintf(text, room, "mdwe %d merge %d thp %d flusher %d tsc %d death %d slack %d keep %d bits %d name %s store %d branch %d",
             prctl(PR_GET_MDWE, 0, 0, 0, 0), prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0),
             prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), tsc, death,
             prctl(PR_GET_TIMERSLACK), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS), name,
             prctl(PR_GET_SPECULATION_CTRL, 0, 0, 0, 0), prctl(PR_GET_SPECULATION_CTRL, 1, 0, 0, 0));
}

static void same(const char *was, const char *who) {
    char is[512];
    look(is, sizeof is);
    CHECK(strcmp(is, was) == 0, "%s: is\n%s\nwas\n%s", who, is, was);
}

static void *thread(void *arg) {
    (void)arg;
    MUST(prctl(PR_SET_TIMERSLACK, 77777));
    MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
    MUST(prctl(PR_SET_NAME, "other one"));
    MUST(prctl(PR_SET_KEEPCAPS, 1));
    char was[512];
    look(was, sizeof was);
    started = 1;
    while (!go) usleep(2000);
    same(was, "the thread");
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    prctl(PR_SET_THP_DISABLE, 1, 2, 0, 0);
    prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    prctl(PR_SET_SPECULATION_CTRL, 0, 4, 0, 0);
    MUST(prctl(PR_SET_NAME, "a (strange) nam"));
    bool strict = prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0;
    pthread_t other;
    OK(pthread_create(&other, NULL, thread, NULL));
    AWAIT(started, "no thread");
    void *code = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    char was[512];
    look(was, sizeof was);
    state_ready();
    same(was, "the process");
    if (strict) CHECK(mprotect(code, 4096, PROT_READ | PROT_EXEC) == -1, "memory became executable");
    go = 1;
    OK(pthread_join(other, NULL));
    prctl(PR_SET_TSC, PR_TSC_ENABLE);
    state_pass();
}
