// How threads are scheduled: nice, policies other, batch, idle, FIFO, RR with priorities and
// reset-on-fork, deadline, affinity, I/O priority, per thread and for a child.
#include <linux/ioprio.h>

#include "state.h"

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
struct look {
    struct attributes attributes;
    int nice, io_priority;
    cpu_set_t cpus;
};
static volatile int started, go;

static struct look look(void) {
    struct look l = {0};
    MUST(syscall(SYS_sched_getattr, 0, &l.attributes, sizeof l.attributes, 0));
    l.nice = getpriority(PRIO_PROCESS, syscall(SYS_gettid));
    l.io_priority = MUST(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
    MUST(sched_getaffinity(0, sizeof l.cpus, &l.cpus));
    return l;
}

static void same(const struct look *was, long who) {
    struct look is = look();
    const struct attributes *a = &is.attributes, *b = &was->attributes;
    CHECK(a->policy == b->policy && a->flags == b->flags && a->priority == b->priority,
          "thread %ld: policy %u flags %" PRIx64 " priority %u, were %u %" PRIx64 " %u", who, a->policy, a->flags,
          a->priority, b->policy, b->flags, b->priority);
    CHECK(a->runtime == b->runtime && a->deadline == b->deadline && a->period == b->period,
          "thread %ld: runtime %" PRIu64 ", was %" PRIu64, who, a->runtime, b->runtime);
    CHECK(is.nice == was->nice, "thread %ld: nice %d, was %d", who, is.nice, was->nice);
    CHECK(is.io_priority == was->io_priority, "thread %ld: I/O priority %#x, was %#x", who, is.io_priority, was->io_priority);
    CHECK(CPU_EQUAL(&is.cpus, &was->cpus), "thread %ld: other processors", who);
}

static void set_up(long n) {
    struct attributes a = {.size = sizeof a};
    switch (n) {
    case 0: a.nice = 7; break;
    case 1: a.policy = SCHED_BATCH, a.nice = -5; break;
    case 2: a.policy = SCHED_IDLE; break;
    case 3: a.policy = SCHED_FIFO, a.priority = 3; break;
    case 4: a.policy = SCHED_RR, a.priority = 9, a.flags = 1 /* reset on fork */; break;
    case 5: a.policy = 6 /* deadline */, a.runtime = 1000000, a.deadline = 50000000, a.period = 100000000; break;
    }
    if (syscall(SYS_sched_setattr, 0, &a, 0) == -1) CHECK(n == 5 || n == 3 || n == 4, "sched_setattr: %s", strerror(errno));
    if (n < 3) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(n % 2, &one);
        sched_setaffinity(0, sizeof one, &one);
        MUST(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT) | (n + 3)));
    }
}

static void *body(void *arg) {
    long n = (long)arg;
    set_up(n);
    struct look was = look();
    __sync_fetch_and_add(&started, 1);
    while (!go) usleep(5000);
    same(&was, n);
    return NULL;
}

static void child(void *arg) {
    (void)arg;
    MUST(setpriority(PRIO_PROCESS, 0, 12));
    struct look was = look();
    state_child_ready();
    same(&was, -1);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[6];
    for (long i = 0; i < 6; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == 6, "the threads do not start");
    pid_t pid = state_fork(child, NULL);
    MUST(setpriority(PRIO_PROCESS, 0, -3));
    struct look was = look();
    state_ready();
    same(&was, 99);
    go = 1;
    for (int i = 0; i < 6; i++) OK(pthread_join(threads[i], NULL));
    state_child_end(pid);
    state_pass();
}
