// Captured inside nested signal handlers: the frames on the stack lead back through all of them to
// the interrupted computation, with the masks of each level.
#include "state.h"

static volatile int depth, unwound;

static void handler(int signal_number) {
    sigset_t mask;
    int level = signal_number - SIGRTMIN;
    depth = level;
    if (level < 4)
        raise(SIGRTMIN + level + 1);
    else
        state_ready();
    MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
    for (int i = 1; i <= 5; i++)
        CHECK(sigismember(&mask, SIGRTMIN + i) == (i <= level),
              "signal %d in the mask of level %d", i, level);
    EQUAL(depth, 4);
    unwound++;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    for (int i = 1; i <= 4; i++) {
        struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        MUST(sigaction(SIGRTMIN + i, &action, NULL));
    }
    raise(SIGRTMIN + 1);
    EQUAL(unwound, 4);
    sigset_t mask;
    MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
    for (int n = 1; n <= 64; n++) CHECK(sigismember(&mask, n) != 1, "signal %d is blocked", n);
    state_pass();
}
