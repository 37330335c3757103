// A pipe that an ordinary user has made is that user's: it can be opened again through /proc.
#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int root_made[2], made[2];
    MUST(pipe(root_made));
    struct stat of_root, before;
    MUST(fstat(root_made[0], &of_root));
    if (geteuid() == 0) {
        MUST(setresgid(3000, 3000, 3000));
        MUST(setresuid(3000, 3000, 3000));
        MUST(prctl(PR_SET_DUMPABLE, 1));
    }
    MUST(pipe(made));
    MUST(fstat(made[0], &before));
    state_ready();
    struct stat now;
    MUST(fstat(root_made[1], &now));
    EQUAL(now.st_uid, of_root.st_uid);
    EQUAL(now.st_gid, of_root.st_gid);
    MUST(fstat(made[1], &now));
    EQUAL(now.st_uid, before.st_uid);
    EQUAL(now.st_gid, before.st_gid);
    EQUAL(now.st_mode, before.st_mode);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", made[0]);
    int again = MUST(open(path, O_RDONLY | O_NONBLOCK));
    state_ping(made[1], again);
    state_pass();
}
