// Threads with a working directory, a root directory and a umask of their own (unshare with CLONE_FS), beside one that
// shares those of the process.
#include "state.h"

static int told[2], asked[2];
static char folder[PATH_MAX];

static void *alone(void *arg) {
    bool changes_root = arg != NULL;
    MUST(unshare(CLONE_FS));
    MUST(chdir(folder));
    umask(changes_root ? 0077 : 0007);
    if (changes_root) MUST(chroot(folder));
    MUST(write(told[1], "r", 1));
    char what;
    MUST(read(asked[0], &what, 1));
    if (state_breaking()) MUST(chdir("/"));
    mode_t mask = umask(0);
    EQUAL(mask, changes_root ? 0077 : 0007);
    struct stat here, there;
    MUST(stat(".", &here));
    MUST(stat(changes_root ? "/" : folder, &there));
    EQUAL(here.st_ino, there.st_ino);
    CHECK(access("mark", F_OK) == 0, "it is somewhere else");
    MUST(write(told[1], "d", 1));
    return NULL;
}

static void *along(void *arg) {
    (void)arg;
    char what;
    MUST(read(asked[0], &what, 1));
    CHECK(access("mark", F_OK) == -1, "it has another thread's folder");
    MUST(write(told[1], "d", 1));
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    strcpy(folder, state_path("own"));
    MUST(mkdir(folder, 0700));
    close(MUST(open(state_path("own/mark"), O_CREAT | O_WRONLY, 0600)));
    MUST(pipe(told));
    MUST(pipe(asked));
    umask(0022);
    char before[PATH_MAX], after[PATH_MAX], got;
    CHECK(getcwd(before, sizeof before), "no folder");
    pthread_t threads[3];
    OK(pthread_create(&threads[0], NULL, alone, NULL));
    OK(pthread_create(&threads[1], NULL, alone, told));
    for (int i = 0; i < 2; i++) MUST(read(told[0], &got, 1));
    OK(pthread_create(&threads[2], NULL, along, NULL));

    state_ready();

    for (int i = 0; i < 3; i++) MUST(write(asked[1], "?", 1));
    for (int i = 0; i < 3; i++) OK(pthread_join(threads[i], NULL));
    CHECK(getcwd(after, sizeof after) && strcmp(before, after) == 0, "the process is in %s", after);
    EQUAL(umask(0), 0022);
    state_pass();
}
