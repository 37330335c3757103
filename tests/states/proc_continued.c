// Children that were stopped and continued, which their parent has not waited for yet: a plain one, one with threads,
// one that leads a session, one that handles SIGCONT, one that ignores it, and one whose parent has been told.
#include <pthread.h>
#include "state.h"

enum { PLAIN, THREADS, SESSION, HANDLES, IGNORES, TOLD, CHILDREN };

static volatile int *counts;
static volatile int *handled;

static void *counts_too(void *arg) {
    for (int n = (int)(long)arg;; usleep(1000)) counts[n]++;
    return NULL;
}

static void on_continue(int signal_number) {
    (void)signal_number;
    ++*handled;
}

static void goes_on(void *arg) {
    long n = (long)arg;
    if (n == THREADS) {
        pthread_t thread;
        for (int i = 0; i < 3; i++) EQUAL(pthread_create(&thread, NULL, counts_too, arg), 0);
    }
    if (n == SESSION) MUST(setsid());
    if (n == HANDLES) signal(SIGCONT, on_continue);
    if (n == IGNORES) signal(SIGCONT, SIG_IGN);
    state_child_reports();
    counts_too(arg);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    counts = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    handled = counts + CHILDREN;
    pid_t children[CHILDREN];
    siginfo_t info;
    for (long i = 0; i < CHILDREN; i++) {
        children[i] = state_fork(goes_on, (void *)i);
        MUST(kill(children[i], SIGSTOP));
        MUST(waitid(P_PID, children[i], &info, WSTOPPED));
        MUST(kill(children[i], SIGCONT));
    }
    MUST(waitid(P_PID, children[TOLD], &info, WCONTINUED));
    AWAIT(*handled == 1, "SIGCONT was not handled");

    state_ready();

    for (int i = 0; i < CHILDREN; i++) {
        int was = counts[i];
        AWAIT(counts[i] > was, "child %d does not go on", i);
        memset(&info, 0, sizeof info);
        MUST(waitid(P_PID, children[i], &info, WSTOPPED | WCONTINUED | WNOHANG));
        EQUAL(info.si_pid, i == TOLD ? 0 : children[i]);
        EQUAL(info.si_code, i == TOLD ? 0 : CLD_CONTINUED);
        info.si_pid = 0;
        MUST(waitid(P_PID, children[i], &info, WSTOPPED | WCONTINUED | WNOHANG));
        EQUAL(info.si_pid, 0); // once
    }
    EQUAL(*handled, 1);
    for (int i = 0; i < CHILDREN; i++) {
        MUST(kill(children[i], SIGSTOP));
        MUST(waitid(P_PID, children[i], &info, WSTOPPED));
        EQUAL(info.si_pid, children[i]);
        MUST(kill(children[i], SIGCONT));
        MUST(waitid(P_PID, children[i], &info, WCONTINUED));
        EQUAL(info.si_pid, children[i]);
        // It has yet to get there.
        if (i == HANDLES) AWAIT(*handled == 2, "SIGCONT is not handled");
        MUST(kill(children[i], SIGKILL));
        MUST(waitpid(children[i], NULL, 0));
    }
    EQUAL(*handled, 2);
    state_pass();
}
