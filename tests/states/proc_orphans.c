// Orphans below a subreaper inside the tree, a parent-death signal that is armed, and whom a
// parent's end hands its children to.
#include "state.h"

static volatile pid_t *shared;
static volatile sig_atomic_t death_told;

static void on_death(int signal_number) {
    (void)signal_number;
    death_told = 1;
}

static void orphan(void *arg) {
    (void)arg;
    shared[0] = getpid();
    state_child_ready();
    EQUAL(getppid(), shared[9]);
}

static void middle_gone(void *arg) {
    (void)arg;
    state_fork(orphan, NULL);
    state_child_ready();
}

static void mourner(void *arg) {
    (void)arg;
    signal(SIGUSR2, on_death);
    MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
    shared[1] = getpid();
    state_child_reports();
    int death_signal = 0;
    while (!death_told) {
        usleep(2000);
        MUST(prctl(PR_GET_PDEATHSIG, &death_signal));
        EQUAL(death_signal, SIGUSR2);
    }
    AWAIT(getppid() == shared[9], "the orphan's parent is %d", getppid());
}

static void middle_stays(void *arg) {
    (void)arg;
    state_fork(mourner, NULL);
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    shared[9] = getpid();
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t gone = state_fork(middle_gone, NULL);
    state_child_end(gone);
    pid_t stays = state_fork(middle_stays, NULL);

    state_ready();

    state_child_end(stays); // the mourner learns of it, and is ours now
    state_expect_exit(shared[1], 0);
    state_child_end(shared[0]);
    state_pass();
}
