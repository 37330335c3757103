// What a process brings to path names: working directory, umask, and per child different ones; the
// root directory in a chroot.
#include "state.h"

static void in_chroot(void *arg) {
    (void)arg;
    MUST(chroot(state_path("jail")));
    MUST(chdir("/etc"));
    state_child_ready();
    char cwd[PATH_MAX];
    CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, "/etc") == 0, "the folder is %s", cwd);
    CHECK(access("/marker", F_OK) == 0, "the root directory is another");
    CHECK(access("/proc", F_OK) == -1, "the chroot is left");
    int fd = MUST(open("../marker", O_RDONLY));
    char byte;
    EQUAL(read(fd, &byte, 1), 1);
    EQUAL(byte, 'm');
}

static void elsewhere(void *arg) {
    (void)arg;
    MUST(chdir("/usr"));
    umask(0);
    state_child_ready();
    char cwd[PATH_MAX];
    CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, "/usr") == 0, "the folder is %s", cwd);
    EQUAL(umask(077), 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(mkdir(state_path("jail"), 0755));
    MUST(mkdir(state_path("jail/etc"), 0755));
    int marker = MUST(open(state_path("jail/marker"), O_WRONLY | O_CREAT, 0644));
    EQUAL(write(marker, "m", 1), 1);
    close(marker);
    const char *folder = strdup(state_path("deep"));
    MUST(mkdir(folder, 0700));
    MUST(chdir(folder));
    umask(0125);
    pid_t jailed = state_fork(in_chroot, NULL), other = state_fork(elsewhere, NULL);
    state_ready();
    char cwd[PATH_MAX];
    CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, folder) == 0, "the folder is %s", cwd);
    EQUAL(umask(022), 0125);
    state_child_end(jailed);
    state_child_end(other);
    state_pass();
}
