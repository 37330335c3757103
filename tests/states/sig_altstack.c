// Alternative signal stacks: one per thread with its flags, one disabled, and a thread that is
// inside its handler on the alternative stack.
#include "state.h"

#define SIZE 65536
static volatile int inside, go, started;
static char stacks[3][SIZE] __attribute__((aligned(4096)));

static bool on(char *stack) {
    char here;
    return &here >= stack && &here < stack + SIZE;
}

static void handler(int signal_number) {
    (void)signal_number;
    CHECK(on(stacks[1]), "the handler does not run on its stack");
    stack_t now;
    MUST(sigaltstack(NULL, &now));
    CHECK(now.ss_flags & SS_ONSTACK, "flags %#x inside the handler", now.ss_flags);
    inside = 1;
    while (!go) usleep(2000);
    MUST(sigaltstack(NULL, &now));
    CHECK(now.ss_flags & SS_ONSTACK, "flags %#x inside the handler", now.ss_flags);
    CHECK(now.ss_sp == stacks[1] && now.ss_size == SIZE, "another alternative stack");
    CHECK(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL) == -1 && errno == EPERM,
          "the stack in use could be changed");
    inside = 2;
}

static void quick(int signal_number) {
    (void)signal_number;
    CHECK(on(stacks[2]), "the handler does not run on its stack");
    inside++;
}

static void *in_handler(void *arg) {
    (void)arg;
    MUST(sigaltstack(&(stack_t){.ss_sp = stacks[1], .ss_size = SIZE}, NULL));
    raise(SIGUSR1);
    EQUAL(inside, 2);
    stack_t now;
    MUST(sigaltstack(NULL, &now));
    EQUAL(now.ss_flags, 0);
    return NULL;
}

static void *idle(void *arg) {
    (void)arg;
    stack_t was = {.ss_sp = stacks[2], .ss_size = SIZE, .ss_flags = (int)(1u << 31)}, now;
    MUST(sigaltstack(&was, NULL)); // SS_AUTODISARM
    __sync_fetch_and_add(&started, 1);
    while (go < 2) usleep(2000);
    MUST(sigaltstack(NULL, &now));
    CHECK(now.ss_sp == was.ss_sp && now.ss_size == SIZE && now.ss_flags == was.ss_flags,
          "alternative stack %p %zu %#x", now.ss_sp, now.ss_size, now.ss_flags);
    inside = 10;
    raise(SIGUSR2);
    EQUAL(inside, 11);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_ONSTACK}, NULL));
    MUST(sigaction(SIGUSR2, &(struct sigaction){.sa_handler = quick, .sa_flags = SA_ONSTACK}, NULL));
    pthread_t first, second;
    OK(pthread_create(&first, NULL, in_handler, NULL));
    OK(pthread_create(&second, NULL, idle, NULL));
    AWAIT(inside == 1 && started == 1, "the threads do not start");
    stack_t now;
    MUST(sigaltstack(NULL, &now));
    EQUAL(now.ss_flags, SS_DISABLE);
    state_ready();
    MUST(sigaltstack(NULL, &now));
    EQUAL(now.ss_flags, SS_DISABLE);
    go = 1;
    OK(pthread_join(first, NULL));
    go = 2;
    OK(pthread_join(second, NULL));
    state_pass();
}
