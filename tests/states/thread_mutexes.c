// Locks between threads: a robust mutex whose owner ends after the restore, one whose owner was
// dead already, a recursive one held twice, a rwlock, a barrier half full, a condition variable and
// a semaphore with waiters.
#include <semaphore.h>

#include "state.h"

static pthread_mutex_t robust_held, robust_dead, recursive, condition_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static volatile int started, go, fired;

static void *dies_with_lock(void *arg) {
    (void)arg;
    OK(pthread_mutex_lock(&robust_dead));
    return NULL;
}

static void *holds_lock(void *arg) {
    (void)arg;
    OK(pthread_mutex_lock(&robust_held));
    __sync_fetch_and_add(&started, 1);
    while (!go) usleep(2000);
    return NULL; // still holding it
}

static void *waits_condition(void *arg) {
    (void)arg;
    OK(pthread_mutex_lock(&condition_lock));
    __sync_fetch_and_add(&started, 1);
    while (!fired) OK(pthread_cond_wait(&condition, &condition_lock));
    OK(pthread_mutex_unlock(&condition_lock));
    return NULL;
}

static void *waits_barrier(void *arg) {
    (void)arg;
    __sync_fetch_and_add(&started, 1);
    int got = pthread_barrier_wait(&barrier);
    CHECK(got == 0 || got == PTHREAD_BARRIER_SERIAL_THREAD, "barrier: %d", got);
    return NULL;
}

static void *waits_semaphore(void *arg) {
    (void)arg;
    __sync_fetch_and_add(&started, 1);
    CHECK(sem_wait(&semaphore) == 0, "sem_wait: %s", strerror(errno));
    return NULL;
}

static void *waits_rwlock(void *arg) {
    (void)arg;
    __sync_fetch_and_add(&started, 1);
    OK(pthread_rwlock_wrlock(&rwlock));
    OK(pthread_rwlock_unlock(&rwlock));
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_mutexattr_t robust, again;
    OK(pthread_mutexattr_init(&robust));
    OK(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutex_init(&robust_held, &robust));
    OK(pthread_mutex_init(&robust_dead, &robust));
    OK(pthread_mutexattr_init(&again));
    OK(pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE));
    OK(pthread_mutex_init(&recursive, &again));
    OK(pthread_barrier_init(&barrier, NULL, 3));
    MUST(sem_init(&semaphore, 0, 0));

    pthread_t dead, threads[7];
    OK(pthread_create(&dead, NULL, dies_with_lock, NULL));
    OK(pthread_join(dead, NULL));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_rwlock_rdlock(&rwlock));
    void *(*bodies[7])(void *) = {holds_lock,    waits_condition, waits_condition, waits_barrier,
                                  waits_barrier, waits_semaphore, waits_rwlock};
    for (int i = 0; i < 7; i++) OK(pthread_create(&threads[i], NULL, bodies[i], NULL));
    AWAIT(started == 7, "the threads do not start");
    usleep(20000);

    state_ready();

    EQUAL(pthread_mutex_lock(&robust_dead), EOWNERDEAD);
    OK(pthread_mutex_consistent(&robust_dead));
    OK(pthread_mutex_unlock(&robust_dead));
    EQUAL(pthread_mutex_trylock(&robust_held), EBUSY);
    go = 1;
    EQUAL(pthread_mutex_lock(&robust_held), EOWNERDEAD);
    OK(pthread_mutex_unlock(&recursive));
    OK(pthread_mutex_unlock(&recursive));
    EQUAL(pthread_mutex_unlock(&recursive), EPERM);
    OK(pthread_mutex_lock(&condition_lock));
    fired = 1;
    OK(pthread_cond_broadcast(&condition));
    OK(pthread_mutex_unlock(&condition_lock));
    int got = pthread_barrier_wait(&barrier);
    CHECK(got == 0 || got == PTHREAD_BARRIER_SERIAL_THREAD, "barrier: %d", got);
    MUST(sem_post(&semaphore));
    OK(pthread_rwlock_unlock(&rwlock));
    for (int i = 0; i < 7; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
