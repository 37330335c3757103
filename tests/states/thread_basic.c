// Threads (argument: how many): TIDs, names, TLS, signal masks, stacks with data, values kept in
// pthread keys, return values at pthread_join, and new threads afterwards.
#include "state.h"

static __thread int tls_value;
static __thread char tls_text[64];
static pthread_key_t key;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static volatile int started;

static void *body(void *arg) {
    long n = (long)arg;
    unsigned char on_stack[2048];
    char name[16], text[64];
    sigset_t mask, mask_now;
    tls_value = n * 3;
    snprintf(tls_text, sizeof tls_text, "thread %ld", n);
    snprintf(name, sizeof name, "worker-%ld", n);
    OK(pthread_setname_np(pthread_self(), name));
    OK(pthread_setspecific(key, (void *)(n + 1000)));
    state_fill(on_stack, sizeof on_stack, n);
    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN + n % 20);
    sigaddset(&mask, SIGTERM);
    OK(pthread_sigmask(SIG_SETMASK, &mask, NULL));
    pid_t tid = syscall(SYS_gettid);
    pthread_t self = pthread_self();
    __sync_fetch_and_add(&started, 1);

    pthread_mutex_lock(&gate); // held by the main thread until it goes on
    pthread_mutex_unlock(&gate);

    if (state_breaking() && n == 3) tls_value++;
    EQUAL(tls_value, n * 3);
    snprintf(text, sizeof text, "thread %ld", n);
    CHECK(strcmp(tls_text, text) == 0, "TLS text %s", tls_text);
    char now[16];
    OK(pthread_getname_np(self, now, sizeof now));
    CHECK(strcmp(now, name) == 0, "thread %ld is called %s", n, now);
    EQUAL((long)pthread_getspecific(key), n + 1000);
    state_check_fill(on_stack, sizeof on_stack, n, "a thread's stack");
    OK(pthread_sigmask(SIG_SETMASK, NULL, &mask_now));
    CHECK(memcmp(&mask, &mask_now, 8) == 0, "thread %ld: the signal mask has changed", n);
    EQUAL(syscall(SYS_gettid), tid);
    CHECK(pthread_self() == self, "pthread_self() has changed");
    return (void *)(n * 7);
}

static void *late(void *arg) {
    return arg;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int count = state_arg(0) ? atoi(state_arg(0)) : 8;
    pthread_t *threads = calloc(count, sizeof *threads);
    OK(pthread_key_create(&key, NULL));
    pthread_attr_t attributes;
    OK(pthread_attr_init(&attributes));
    OK(pthread_attr_setstacksize(&attributes, 64 * 1024));
    pthread_mutex_lock(&gate);
    for (long i = 0; i < count; i++)
        OK(pthread_create(&threads[i], &attributes, body, (void *)i));
    AWAIT(started == count, "only %d threads started", started);

    state_ready();

    pthread_mutex_unlock(&gate);
    for (long i = 0; i < count; i++) {
        void *value;
        OK(pthread_join(threads[i], &value));
        EQUAL((long)value, i * 7);
    }
    pthread_t more;
    void *value;
    OK(pthread_create(&more, NULL, late, (void *)42));
    OK(pthread_join(more, &value));
    EQUAL((long)value, 42);
    state_pass();
}
