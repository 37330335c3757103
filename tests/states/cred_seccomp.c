// seccomp: strict mode in a child, filters in a thread and for all (two on top of each other), with
// the LOG and SPEC_ALLOW flags; what was denied is denied, and what was allowed is allowed.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "state.h"

static volatile int started, go;
static int strict_pipe[2];

static void deny(int call, int error, unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

static char *of_thread(const char *key) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", syscall(SYS_gettid));
    return state_field(path, key);
}

static void *only_this_thread(void *arg) {
    (void)arg;
    deny(SYS_getsid, 77, SECCOMP_FILTER_FLAG_LOG);
    __sync_fetch_and_add(&started, 1);
    while (!go) usleep(2000);
    errno = 0;
    CHECK(syscall(SYS_getsid, 0) == -1 && errno == 77, "getsid is allowed (%s)", strerror(errno));
    EQUAL(atoi(of_thread("Seccomp")), 2);
    EQUAL(atoi(of_thread("Seccomp_filters")), 1);
    return NULL;
}

static void two_filters(void *arg) {
    (void)arg;
    deny(SYS_getpgid, 88, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    deny(SYS_getpgid, 99, 0); // the younger filter's answer is taken, of two errors
    deny(SYS_getppid, 55, 0);
    state_child_ready();
    CHECK(syscall(SYS_getpgid, 0) == -1 && errno == 99, "getpgid: %s", strerror(errno));
    CHECK(syscall(SYS_getppid) == -1 && errno == 55, "getppid: %s", strerror(errno));
    CHECK(syscall(SYS_getuid) != -1, "getuid: %s", strerror(errno));
    EQUAL(atoi(of_thread("Seccomp_filters")), 3);
    EQUAL(atoi(of_thread("NoNewPrivs")), 1);
}

static void strict(void *arg) {
    (void)arg;
    state_child_reports();
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    char byte;
    // Only read, write, _exit and sigreturn are left.
    if (read(strict_pipe[0], &byte, 1) != 1) syscall(SYS_exit, 3);
    if (byte == 'k') syscall(SYS_getpid);
    syscall(SYS_exit, 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(pipe(strict_pipe));
    pid_t in_strict = state_fork(strict, NULL);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", in_strict);
    AWAIT(atoi(state_field(path, "Seccomp")) == 1, "not in strict mode");
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    pid_t filtered = state_fork(two_filters, NULL);
    pthread_t thread;
    OK(pthread_create(&thread, NULL, only_this_thread, NULL));
    AWAIT(started, "the thread does not start");

    state_ready();

    CHECK(syscall(SYS_getsid, 0) != -1, "the main thread got the other's filter");
    EQUAL(atoi(of_thread("Seccomp")), 0);
    go = 1;
    OK(pthread_join(thread, NULL));
    state_child_end(filtered);
    EQUAL(atoi(state_field(path, "Seccomp")), 1);
    EQUAL(write(strict_pipe[1], "k", 1), 1);
    int status;
    EQUAL(waitpid(in_strict, &status, 0), in_strict);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "strict mode is off: status %#x", status);
    state_pass();
}
