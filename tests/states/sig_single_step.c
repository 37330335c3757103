// A thread that steps through its own code: the trap flag raises SIGTRAP after each instruction, whose handler counts.
// And one that runs into breakpoints of its own.
#include "state.h"

static volatile long steps, breaks;
static volatile bool stop;

static void on_trap(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    if (info->si_code == SI_KERNEL)
        breaks++;
    else
        steps++;
}

static void *stepping(void *unused) {
    (void)unused;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    while (!stop) __asm__ volatile("nop");
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
    return NULL;
}

static void *breaking(void *unused) {
    (void)unused;
    while (!stop) __asm__ volatile("int3");
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGTRAP, &action, NULL));
    pthread_t threads[2];
    OK(pthread_create(&threads[0], NULL, stepping, NULL));
    OK(pthread_create(&threads[1], NULL, breaking, NULL));
    AWAIT(steps > 1000 && breaks > 1000, "%ld steps, %ld breakpoints", steps, breaks);
    state_ready();
    long steps_before = steps, breaks_before = breaks;
    AWAIT(steps > steps_before + 1000, "no more steps");
    AWAIT(breaks > breaks_before + 1000, "no more breakpoints");
    stop = true;
    for (int i = 0; i < 2; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
