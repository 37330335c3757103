// Robust and priority-inheriting mutexes held by threads that end without unlocking, after the restore.
#include "state.h"

static pthread_mutex_t *robust, inherit, both;
static volatile int held, go;

static void *dies_holding(void *arg) {
    (void)arg;
    OK(pthread_mutex_lock(robust));
    OK(pthread_mutex_lock(&both));
    OK(pthread_mutex_lock(&inherit));
    held = 1;
    while (!go) usleep(2000);
    usleep(30000);
    OK(pthread_mutex_unlock(&inherit));
    return NULL;
}

static void *waits_for_it(void *arg) {
    held++;
    OK(pthread_mutex_lock(&inherit));
    OK(pthread_mutex_unlock(&inherit));
    return arg;
}

static void child(void *arg) {
    (void)arg;
    OK(pthread_mutex_lock(robust + 1));
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    robust = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    OK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutex_init(robust, &attributes));
    OK(pthread_mutex_init(robust + 1, &attributes));
    OK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutex_init(&both, &attributes));
    pthread_mutexattr_t plain;
    pthread_mutexattr_init(&plain);
    OK(pthread_mutexattr_setprotocol(&plain, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutex_init(&inherit, &plain));
    pthread_t holder, waiter;
    OK(pthread_create(&holder, NULL, dies_holding, NULL));
    AWAIT(held == 1, "no lock");
    OK(pthread_create(&waiter, NULL, waits_for_it, NULL));
    AWAIT(held == 2, "no waiter");
    pid_t pid = state_fork(child, NULL);
    usleep(20000);
    state_ready();
    EQUAL(pthread_mutex_trylock(robust), EBUSY);
    EQUAL(pthread_mutex_trylock(robust + 1), EBUSY);
    go = 1;
    OK(pthread_join(holder, NULL));
    OK(pthread_join(waiter, NULL));
    EQUAL(pthread_mutex_lock(robust), EOWNERDEAD);
    EQUAL(pthread_mutex_lock(&both), EOWNERDEAD);
    state_child_end(pid);
    EQUAL(pthread_mutex_lock(robust + 1), EOWNERDEAD);
    state_pass();
}
