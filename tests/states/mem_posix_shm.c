// POSIX shared memory: named and there, named and unlinked, shared by two processes, a semaphore in
// it.
#include <semaphore.h>

#include "state.h"

#define PAGE 4096ul
static char name[64], gone_name[64];
static unsigned char *named, *gone;

static void child(void *arg) {
    (void)arg;
    state_child_ready();
    state_check_fill(named + PAGE, 7 * PAGE, 1, "named, in the child");
    state_fill(gone + PAGE, 3 * PAGE, 22);
    CHECK(sem_post((sem_t *)gone) == 0, "sem_post: %s", strerror(errno));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    snprintf(name, sizeof name, "/torpor-state-%d-named", getpid());
    snprintf(gone_name, sizeof gone_name, "/torpor-state-%d-gone", getpid());
    int fd = MUST(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    MUST(ftruncate(fd, 8 * PAGE));
    named = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    state_fill(named + PAGE, 7 * PAGE, 1);
    int gone_fd = MUST(shm_open(gone_name, O_RDWR | O_CREAT | O_EXCL, 0600));
    MUST(ftruncate(gone_fd, 8 * PAGE));
    gone = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gone_fd, 0));
    MUST(shm_unlink(gone_name));
    close(gone_fd);
    state_fill(gone + PAGE, 7 * PAGE, 2);
    MUST(sem_init((sem_t *)gone, 1, 0));
    pid_t pid = state_fork(child, NULL);

    state_ready();

    state_check_fill(named + PAGE, 7 * PAGE, 1, "named");
    state_check_fill(gone + PAGE, 7 * PAGE, 2, "unlinked");
    MUST(kill(pid, SIGTERM));
    CHECK(sem_wait((sem_t *)gone) == 0, "sem_wait: %s", strerror(errno));
    state_expect_exit(pid, 0);
    state_check_fill(gone + PAGE, 3 * PAGE, 22, "written by the child");
    unsigned char byte = 0;
    int other = MUST(shm_open(name, O_RDONLY, 0));
    named[PAGE] ^= 255;
    EQUAL(pread(other, &byte, 1, PAGE), 1);
    EQUAL(byte, named[PAGE]);
    CHECK(shm_open(gone_name, O_RDONLY, 0) == -1, "the unlinked name is back");
    MUST(shm_unlink(name));
    state_pass();
}
