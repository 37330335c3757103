// The thread group's leader has ended by pthread_exit; other threads go on.
#include "state.h"


static void *survivor(void *arg) {
    pthread_join(*(pthread_t *)arg, NULL);
    pid_t pid = getpid(), tid = syscall(SYS_gettid);
    char leader[64];
    snprintf(leader, sizeof leader, "/proc/self/task/%d/status", pid);
    char *state = state_field(leader, "State");
    CHECK(state[0] == 'Z', "the leader is in state %s", state);
    state_ready();
    EQUAL(getpid(), pid);
    EQUAL(syscall(SYS_gettid), tid);
    state = state_field(leader, "State");
    CHECK(state[0] == 'Z', "the leader is in state %s", state);
    state_pass();
}

int main(int argc, char **argv) {
    static pthread_t main_thread;
    state_begin(argc, argv);
    main_thread = pthread_self();
    pthread_t thread;
    OK(pthread_create(&thread, NULL, survivor, &main_thread));
    pthread_exit(NULL);
}
