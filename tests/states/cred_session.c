// What a process got from its login and session: loginuid, the autogroup's nice value; and the
// membarrier commands that it registered for.
#include <linux/membarrier.h>

#include "state.h"

static long registered(void) {
    return syscall(SYS_membarrier, 512 /* MEMBARRIER_CMD_GET_REGISTRATIONS */, 0, 0);
}

static void write_to(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) perror(path);
        close(fd);
    }
}

static void child(void *arg) {
    (void)arg;
    MUST(setsid());
    write_to("/proc/self/autogroup", "7");
    write_to("/proc/self/loginuid", "4242");
    char *group = strstr(state_slurp("/proc/self/autogroup"), "nice"), *login = state_slurp("/proc/self/loginuid");
    state_child_ready();
    char *now = strstr(state_slurp("/proc/self/autogroup"), "nice");
    CHECK(strcmp(group, now) == 0, "autogroup %s, was %s", now, group);
    now = state_slurp("/proc/self/loginuid");
    CHECK(strcmp(login, now) == 0, "loginuid %s, was %s", now, login);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    MUST(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
    long was = registered();
    pid_t pid = state_fork(child, NULL);
    state_ready();
    EQUAL(registered(), was);
    MUST(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    state_child_end(pid);
    state_pass();
}
