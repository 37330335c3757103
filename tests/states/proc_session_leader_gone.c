// A session whose leader has ended: its members keep the session's number, under a subreaper that
// took them over.
#include "state.h"

static int *shared;

static void member(void *arg) {
    (void)arg;
    pid_t session = getsid(0), group = getpgrp();
    shared[1] = getpid();
    state_child_ready();
    EQUAL(getsid(0), session);
    EQUAL(getpgrp(), group);
    EQUAL(session, shared[0]);
}

static void leader(void *arg) {
    (void)arg;
    shared[0] = MUST(setsid());
    state_fork(member, NULL);
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t gone = state_fork(leader, NULL);
    state_child_end(gone);
    EQUAL(getsid(shared[1]), gone);

    state_ready();

    int subreaper = 0;
    MUST(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
    EQUAL(subreaper, 1);
    EQUAL(getsid(shared[1]), gone);
    state_child_end(shared[1]);
    state_pass();
}
