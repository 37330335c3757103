// SysV IPC: shared memory attached at two addresses and in a child, removed but attached, semaphores
// with undo, a message queue with messages of several types; ids, keys and owners.
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "state.h"

struct letter {
    long type;
    char text[64];
};
static int semaphores, memory, gone;
static unsigned char *first, *removed;

static void child(void *arg) {
    (void)arg;
    struct sembuf down = {.sem_num = 1, .sem_op = -3, .sem_flg = SEM_UNDO};
    MUST(semop(semaphores, &down, 1));
    state_child_ready();
    state_check_fill(first, 20000, 1, "shared memory in the child");
    state_check_fill(removed, 9000, 2, "removed memory in the child");
    first[20001] = 77;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    key_t key = 0x70000000 + getpid();
    memory = MUST(shmget(key, 40000, IPC_CREAT | IPC_EXCL | 0640));
    first = MUST(shmat(memory, NULL, 0));
    unsigned char *second = MUST(shmat(memory, NULL, SHM_RDONLY));
    state_fill(first, 20000, 1);
    gone = MUST(shmget(IPC_PRIVATE, 9000, 0600));
    removed = MUST(shmat(gone, NULL, 0));
    MUST(shmctl(gone, IPC_RMID, NULL));
    state_fill(removed, 9000, 2);
    semaphores = MUST(semget(key, 3, IPC_CREAT | IPC_EXCL | 0604));
    for (int i = 0; i < 3; i++) MUST(semctl(semaphores, i, SETVAL, 10 + i));
    struct sembuf take = {.sem_num = 0, .sem_op = -4, .sem_flg = SEM_UNDO};
    MUST(semop(semaphores, &take, 1));
    int queue = MUST(msgget(key, IPC_CREAT | IPC_EXCL | 0620));
    for (int i = 0; i < 5; i++) {
        struct letter letter = {.type = 1 + i % 3};
        int length = sprintf(letter.text, "letter %d", i);
        MUST(msgsnd(queue, &letter, length + 1, 0));
    }
    struct letter empty = {.type = 99};
    MUST(msgsnd(queue, &empty, 0, 0));
    pid_t pid = state_fork(child, NULL);

    state_ready();

    EQUAL(shmget(key, 0, 0), memory);
    EQUAL(semget(key, 0, 0), semaphores);
    EQUAL(msgget(key, 0), queue);
    struct shmid_ds shm;
    MUST(shmctl(memory, IPC_STAT, &shm));
    EQUAL(shm.shm_perm.mode & 0777, 0640);
    EQUAL(shm.shm_segsz, 40000);
    EQUAL(shm.shm_nattch, 4);
    state_check_fill(first, 20000, 1, "shared memory");
    CHECK(memcmp(first, second, 40000) == 0, "two attachments of one segment differ");
    state_check_fill(removed, 9000, 2, "removed memory");
    EQUAL(semctl(semaphores, 0, GETVAL), 6);
    EQUAL(semctl(semaphores, 1, GETVAL), 8);
    EQUAL(semctl(semaphores, 2, GETVAL), 12);
    EQUAL(semctl(semaphores, 1, GETPID), pid);
    state_child_end(pid);
    EQUAL(semctl(semaphores, 1, GETVAL), 11); // undone by its end
    EQUAL(second[20001], 77);
    struct letter got;
    EQUAL(msgrcv(queue, &got, sizeof got.text, 3, IPC_NOWAIT), 9);
    CHECK(strcmp(got.text, "letter 2") == 0, "type 3 is %s", got.text);
    const char *rest[] = {"letter 0", "letter 1", "letter 3", "letter 4"};
    for (int i = 0; i < 4; i++) {
        EQUAL(msgrcv(queue, &got, sizeof got.text, 0, IPC_NOWAIT), 9);
        CHECK(strcmp(got.text, rest[i]) == 0, "letter %d is %s", i, got.text);
    }
    EQUAL(msgrcv(queue, &got, sizeof got.text, 0, IPC_NOWAIT), 0);
    EQUAL(got.type, 99);
    struct msqid_ds msg;
    MUST(msgctl(queue, IPC_STAT, &msg));
    EQUAL(msg.msg_perm.mode & 0777, 0620);
    MUST(shmctl(memory, IPC_RMID, NULL));
    MUST(semctl(semaphores, 0, IPC_RMID));
    MUST(msgctl(queue, IPC_RMID, NULL));
    MUST(shmdt(second));
    state_pass();
}
