// A vfork in progress: the parent waits in the kernel, the child runs in the parent's memory.
#include "state.h"

static volatile int child_said;
static char status_path[64];

// The signal that tells the root to go on stays pending while it is held; the child looks for it.
static bool told_to_go_on(void) {
    char *pending = state_field(status_path, "ShdPnd");
    bool told = strtoull(pending, NULL, 16) & (1ull << (SIGTERM - 1));
    free(pending);
    return told;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pid_t root = getpid();
    snprintf(status_path, sizeof status_path, "/proc/%d/status", root);
    const char *ready = state_path("ready");
    pid_t child = vfork();
    if (child == 0) {
        close(open(ready, O_WRONLY | O_CREAT, 0666));
        while (!told_to_go_on()) usleep(2000);
        child_said = (int)syscall(SYS_getpid);
        _exit(5);
    }
    CHECK(child > 0, "vfork: %s", strerror(errno));
    EQUAL(getpid(), root);
    EQUAL(child_said, child);
    state_expect_exit(child, 5);
    state_pass();
}
