// Locks in memory shared by processes: a robust mutex held by a child that is killed, a PI mutex held
// with a waiter in the kernel, a futex waiter in another process, a condition variable across both.
#include "state.h"

struct area {
    pthread_mutex_t robust, inherits, plain;
    pthread_cond_t condition;
    volatile int stage, woken;
};
static struct area *area;

static void holder(void *arg) {
    (void)arg;
    OK(pthread_mutex_lock(&area->robust));
    state_child_ready(); // ends with the lock held
}

static void waiter(void *arg) {
    (void)arg;
    state_child_reports();
    OK(pthread_mutex_lock(&area->inherits)); // blocked in the kernel until the parent lets go
    area->stage = 2;
    OK(pthread_mutex_unlock(&area->inherits));
    OK(pthread_mutex_lock(&area->plain));
    while (area->stage < 3) OK(pthread_cond_wait(&area->condition, &area->plain));
    area->woken = 1;
    OK(pthread_mutex_unlock(&area->plain));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    area = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pthread_mutexattr_t robust, inherits, plain;
    pthread_condattr_t condition;
    OK(pthread_mutexattr_init(&robust));
    OK(pthread_mutexattr_init(&inherits));
    OK(pthread_mutexattr_init(&plain));
    OK(pthread_condattr_init(&condition));
    OK(pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutexattr_setpshared(&inherits, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutexattr_setprotocol(&inherits, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutexattr_setpshared(&plain, PTHREAD_PROCESS_SHARED));
    OK(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutex_init(&area->robust, &robust));
    OK(pthread_mutex_init(&area->inherits, &inherits));
    OK(pthread_mutex_init(&area->plain, &plain));
    OK(pthread_cond_init(&area->condition, &condition));
    OK(pthread_mutex_lock(&area->inherits));
    pid_t held = state_fork(holder, NULL), waits = state_fork(waiter, NULL);
    usleep(20000);

    state_ready();

    EQUAL(pthread_mutex_trylock(&area->robust), EBUSY);
    EQUAL(area->stage, 0);
    state_child_end(held);
    EQUAL(pthread_mutex_lock(&area->robust), EOWNERDEAD);
    OK(pthread_mutex_unlock(&area->inherits));
    AWAIT(area->stage == 2, "the waiter for the PI mutex does not get it");
    usleep(10000);
    OK(pthread_mutex_lock(&area->plain));
    area->stage = 3;
    OK(pthread_cond_signal(&area->condition));
    OK(pthread_mutex_unlock(&area->plain));
    state_expect_exit(waits, 0);
    EQUAL(area->woken, 1);
    state_pass();
}
