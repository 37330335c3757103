// What the kernel keeps per thread for the C library: robust list, clear-child-tid, rseq area, GS
// base, FS base, and the scheduling hints that prctl sets.
#include <asm/prctl.h>
#include <sys/rseq.h>

#include "state.h"

struct marks {
    void *robust;
    size_t robust_size;
    int *clear_tid;
    unsigned long gs, fs;
    int slack, tsc;
};
static volatile int started, go;

static struct marks look(void) {
    struct marks m = {0};
    MUST(syscall(SYS_get_robust_list, 0, &m.robust, &m.robust_size));
    if (prctl(PR_GET_TID_ADDRESS, &m.clear_tid) == -1) m.clear_tid = NULL;
    MUST(syscall(SYS_arch_prctl, ARCH_GET_GS, &m.gs));
    MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, &m.fs));
    m.slack = MUST(prctl(PR_GET_TIMERSLACK));
    MUST(prctl(PR_GET_TSC, &m.tsc));
    return m;
}

static void same(const struct marks *was, const struct marks *is, const char *who) {
    CHECK(was->robust == is->robust && was->robust_size == is->robust_size, "%s: robust list", who);
    CHECK(was->clear_tid == is->clear_tid, "%s: clear-child-tid", who);
    CHECK(was->gs == is->gs, "%s: GS base %#lx, was %#lx", who, is->gs, was->gs);
    CHECK(was->fs == is->fs, "%s: FS base", who);
    CHECK(was->slack == is->slack, "%s: timer slack %d, was %d", who, is->slack, was->slack);
    CHECK(was->tsc == is->tsc, "%s: TSC mode", who);
}

// The rseq area that glibc registered: the kernel refuses a second registration there with EBUSY
// and keeps writing the current processor into it.
static void check_rseq(const char *who) {
    if (__rseq_size == 0) return;
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    long again = syscall(SYS_rseq, area, 32, 0, RSEQ_SIG);
    CHECK(again == -1 && errno == EBUSY, "%s: rseq is not registered (%ld, %s)", who, again,
          strerror(errno));
    volatile int *cpu_id = (volatile int *)(area + 4);
    cpu_set_t one;
    for (int cpu = 0; cpu < 2; cpu++) {
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) == -1) continue;
        EQUAL(*cpu_id, cpu);
    }
    memset(&one, 0xff, sizeof one);
    sched_setaffinity(0, sizeof one, &one);
}

static void *body(void *arg) {
    long n = (long)arg;
    MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x10000 * (n + 1)));
    MUST(prctl(PR_SET_TIMERSLACK, 70000 + n));
    struct marks was = look();
    __sync_fetch_and_add(&started, 1);
    while (!go) usleep(5000);
    struct marks is = look();
    char who[32];
    snprintf(who, sizeof who, "thread %ld", n);
    same(&was, &is, who);
    check_rseq(who);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == 3, "the threads do not start");
    struct marks was = look();
    state_ready();
    struct marks is = look();
    same(&was, &is, "the main thread");
    check_rseq("the main thread");
    go = 1;
    for (int i = 0; i < 3; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
