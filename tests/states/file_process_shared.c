// Files of /proc/PID that processes share, each one description: a position that one moves is moved for the other,
// though they are of the parent, of the child, and of a third; and a pidfd that two have.
#include <linux/kcmp.h>

#include "state.h"

#define FILES 4

static int files[FILES], go[2], said[2];
static pid_t parent;

static int open_of(pid_t pid, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return MUST(open(path, O_RDONLY | O_CLOEXEC));
}

static void third(void *arg) {
    (void)arg;
    state_child_ready();
    for (int i = 0; i < FILES; i++)
        EQUAL(syscall(SYS_kcmp, parent, getpid(), KCMP_FILE, files[i], files[i]), 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    parent = getpid();
    // Numbers that the helper has something else under, and one far up.
    files[0] = MUST(open("/proc/self/status", O_RDONLY));
    files[1] = MUST(dup2(open_of(parent, "maps"), 700));
    files[2] = MUST(syscall(SYS_pidfd_open, parent, 0));
    files[3] = 701;
    MUST(pipe(go));
    MUST(pipe(said));
    pid_t child = fork();
    if (child == 0) {
        // What the child opens of itself goes to the parent by way of a third one's copy of its table.
        char byte;
        EQUAL(read(go[0], &byte, 1), 1);
        for (int i = 0; i < 3; i++)
            EQUAL(syscall(SYS_kcmp, parent, getpid(), KCMP_FILE, files[i], files[i]), 0);
        MUST(lseek(files[0], 7, SEEK_SET));
        int again = MUST(dup(files[1]));
        EQUAL(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, again, files[1]), 0);
        EQUAL(write(said[1], "x", 1), 1);
        pause();
        _exit(0);
    }
    MUST(dup2(open_of(child, "status"), files[3]));
    pid_t other = state_fork(third, NULL);
    char byte;
    MUST(lseek(files[0], 5, SEEK_SET));

    state_ready();

    EQUAL(lseek(files[0], 0, SEEK_CUR), 5);
    EQUAL(write(go[1], "x", 1), 1);
    struct pollfd wait = {.fd = said[0], .events = POLLIN};
    CHECK(poll(&wait, 1, 5000) == 1, "the child says nothing");
    EQUAL(read(said[0], &byte, 1), 1);
    EQUAL(lseek(files[0], 0, SEEK_CUR), 7);
    EQUAL(fcntl(files[0], F_GETFD), 0);
    char text[64] = "";
    CHECK(pread(files[3], text, sizeof text - 1, 0) > 20 && strncmp(text, "Name:\tfile_process", 18) == 0, "a status of another: %s", text);
    state_child_end(other);
    MUST(kill(child, SIGKILL));
    EQUAL(waitpid(child, NULL, 0), child);
    state_pass();
}
