// Two processes that share their descriptor table (CLONE_FILES) and two that share cwd, root and
// umask (CLONE_FS): what one changes, the other has.
#include "state.h"

static volatile int *shared;
static int pipe_fds[2];

static pid_t clone_sharing(unsigned long flags, void (*body)(void)) {
    pid_t child = MUST(syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL));
    if (child == 0) {
        body();
        _exit(0);
    }
    return child;
}

static void files_body(void) {
    shared[0] = 1;
    while (shared[0] != 2) usleep(2000);
    int fd = MUST(dup2(pipe_fds[0], 77));
    EQUAL(fd, 77);
    shared[0] = 3;
    while (shared[0] != 4) usleep(2000);
}

static void fs_body(void) {
    shared[1] = 1;
    while (shared[1] != 2) usleep(2000);
    MUST(chdir("/usr"));
    umask(0137);
    shared[1] = 3;
    while (shared[1] != 4) usleep(2000);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    MUST(pipe(pipe_fds));
    MUST(chdir("/tmp"));
    pid_t files = clone_sharing(CLONE_FILES, files_body), fs = clone_sharing(CLONE_FS, fs_body);
    AWAIT(shared[0] == 1 && shared[1] == 1, "the children do not start");

    state_ready();

    shared[0] = 2;
    AWAIT(shared[0] == 3, "the child does not go on");
    CHECK(fcntl(77, F_GETFD) != -1, "a descriptor of the shared table is not there");
    state_ping(pipe_fds[1], 77);
    EQUAL(syscall(SYS_kcmp, getpid(), files, 2 /* KCMP_FILES */, 0, 0), 0);
    shared[1] = 2;
    AWAIT(shared[1] == 3, "the child does not go on");
    char cwd[PATH_MAX];
    CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, "/usr") == 0, "the folder is %s", cwd);
    EQUAL(umask(0), 0137);
    EQUAL(syscall(SYS_kcmp, getpid(), fs, 3 /* KCMP_FS */, 0, 0), 0);
    shared[0] = shared[1] = 4;
    state_expect_exit(files, 0);
    state_expect_exit(fs, 0);
    state_pass();
}
