// SysV shared memory: attached twice, for reading, in part, and in a child; removed while attached;
// with key, id, owner and mode; detached by its address, and found by its key afterwards.
#include <sys/ipc.h>
#include <sys/shm.h>

#include "state.h"

#define SIZE 40000
static unsigned char *first, *removed;

static void child(void *arg) {
    (void)arg;
    state_child_ready();
    state_check_fill(first, 20000, 1, "shared memory in the child");
    state_check_fill(removed, 9000, 2, "removed memory in the child");
    first[20001] = 77;
    MUST(shmdt(removed));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    key_t key = 0x70000000 + getpid();
    int memory = MUST(shmget(key, SIZE, IPC_CREAT | IPC_EXCL | 0640));
    first = MUST(shmat(memory, NULL, 0));
    unsigned char *reader = MUST(shmat(memory, NULL, SHM_RDONLY));
    unsigned char *part = MUST(shmat(memory, NULL, 0));
    MUST(munmap(part, 4096));
    MUST(munmap(part + 3 * 4096, 7 * 4096));
    state_fill(first, 20000, 1);
    int gone = MUST(shmget(IPC_PRIVATE, 9000, 0600));
    removed = MUST(shmat(gone, NULL, 0));
    MUST(shmctl(gone, IPC_RMID, NULL));
    state_fill(removed, 9000, 2);
    pid_t pid = state_fork(child, NULL);
    struct shmid_ds was, is;
    MUST(shmctl(memory, IPC_STAT, &was));

    state_ready();

    EQUAL(shmget(key, 0, 0), memory);
    MUST(shmctl(memory, IPC_STAT, &is));
    EQUAL(is.shm_perm.mode, was.shm_perm.mode);
    EQUAL(is.shm_segsz, SIZE);
    EQUAL(is.shm_nattch, was.shm_nattch);
    EQUAL(is.shm_perm.uid, was.shm_perm.uid);
    state_check_fill(first, 20000, 1, "shared memory");
    CHECK(memcmp(first, reader, SIZE) == 0, "two attachments of one segment differ");
    CHECK(memcmp(first + 4096, part + 4096, 2 * 4096) == 0, "the part differs");
    CHECK(mprotect(reader, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "the reader may write");
    state_check_fill(removed, 9000, 2, "removed memory");
    MUST(shmctl(gone, IPC_STAT, &is));
    CHECK(is.shm_perm.mode & 01000, "it is no longer removed");
    EQUAL(is.shm_nattch, 2);
    state_child_end(pid);
    EQUAL(reader[20001], 77);
    MUST(shmdt(removed));
    CHECK(shmctl(gone, IPC_STAT, &is) == -1, "the removed segment is still there");
    MUST(shmdt(reader));
    MUST(shmdt(first));
    MUST(shmctl(memory, IPC_RMID, NULL));
    state_pass();
}
