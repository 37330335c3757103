// SysV semaphores with adjustments (SEM_UNDO) in odd positions: of both signs and of the largest size, of several
// processes and of a thread, of semaphores at the ends of their range, cleared and kept, in a large set; a queue that
// is full to the last byte, and one with messages of no length; a segment that nobody has attached.
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "state.h"

enum { SEMAPHORES = 200, FULL = 2000 };
static int set, other;

static void change(int id, int number, int by, int flags) {
    struct sembuf one = {.sem_num = number, .sem_op = by, .sem_flg = flags};
    MUST(semop(id, &one, 1));
}
static int value(int number) { return MUST(semctl(set, number, GETVAL)); }

static void taker(void *arg) {
    (void)arg;
    change(set, 0, -1, SEM_UNDO);
    change(set, 1, -20000, SEM_UNDO);
    change(set, 2, 300, SEM_UNDO);
    change(other, 0, -5, SEM_UNDO);
    change(set, SEMAPHORES - 1, -1, SEM_UNDO);
    state_child_ready();
}
static void giver(void *arg) {
    (void)arg;
    change(set, 1, 7, SEM_UNDO);
    // Adjustments of both signs that cancel each other out.
    change(set, 3, 5, SEM_UNDO);
    change(set, 3, -5, SEM_UNDO);
    // Up and down again without: what is left is 32767, the most there is.
    change(set, 4, -16384, SEM_UNDO);
    change(set, 4, 16384, 0);
    change(set, 4, -16383, SEM_UNDO);
    change(set, 4, 16383, 0);
    state_child_ready();
}
static void *in_thread(void *arg) {
    (void)arg;
    change(set, 5, -2, SEM_UNDO);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int key = 0x70000000 + getpid(), second = 0x71000000 + getpid();
    set = MUST(semget(key, SEMAPHORES, IPC_CREAT | IPC_EXCL | 0600));
    other = MUST(semget(second, 1, IPC_CREAT | IPC_EXCL | 0600));
    unsigned short values[SEMAPHORES];
    for (int i = 0; i < SEMAPHORES; i++) values[i] = 100 + i;
    values[0] = 1, values[1] = 20000, values[2] = 0, values[4] = 16384;
    MUST(semctl(set, 0, SETALL, values));
    MUST(semctl(other, 0, SETVAL, 5));
    pthread_t thread;
    OK(pthread_create(&thread, NULL, in_thread, NULL));
    OK(pthread_join(thread, NULL));
    pid_t one = state_fork(taker, NULL), two = state_fork(giver, NULL);
    change(set, 6, 32767 - 106, 0);
    change(set, 6, -1, SEM_UNDO);
    // An adjustment that was cleared by setting the value.
    change(set, 7, -3, SEM_UNDO);
    MUST(semctl(set, 7, SETVAL, 50));

    int full = MUST(msgget(key, IPC_CREAT | IPC_EXCL | 0600)), empty = MUST(msgget(second, IPC_CREAT | IPC_EXCL | 0600));
    struct msqid_ds is;
    MUST(msgctl(full, IPC_STAT, &is));
    is.msg_qbytes = FULL;
    MUST(msgctl(full, IPC_SET, &is));
    struct {
        long type;
        unsigned char text[FULL];
    } message = {.type = LONG_MAX};
    state_fill(message.text, FULL, 3);
    MUST(msgsnd(full, &message, FULL, 0));
    message.type = 2;
    for (int i = 0; i < 3; i++) MUST(msgsnd(empty, &message, 0, 0));
    int segment = MUST(shmget(key, 9000, IPC_CREAT | IPC_EXCL | 0600));
    unsigned char *memory = MUST(shmat(segment, NULL, 0));
    state_fill(memory, 9000, 4);
    MUST(shmdt(memory));

    state_ready();

    EQUAL(value(0), 0);
    EQUAL(value(1), 7);
    EQUAL(value(2), 300);
    EQUAL(value(3), 103);
    EQUAL(value(4), 16384);
    EQUAL(value(5), 103);
    EQUAL(value(6), 32766);
    EQUAL(value(7), 50);
    for (int i = 8; i < SEMAPHORES - 1; i++) EQUAL(value(i), 100 + i);
    EQUAL(value(SEMAPHORES - 1), 99 + SEMAPHORES - 1);
    EQUAL(semctl(other, 0, GETVAL), 0);
    EQUAL(semctl(set, 0, GETPID), one);
    EQUAL(semctl(set, 1, GETPID), two);
    EQUAL(semctl(set, 6, GETPID), getpid());
    EQUAL(semctl(other, 0, GETPID), one);
    // More would be out of range: it is all there.
    struct sembuf more[] = {{.sem_num = 4, .sem_op = 1}, {.sem_num = 4, .sem_op = -1, .sem_flg = SEM_UNDO}};
    MUST(semop(set, more, 2));
    if (state_breaking()) change(set, 0, 1, 0);
    state_child_end(one);
    EQUAL(value(0), 1);
    EQUAL(value(1), 20007);
    EQUAL(value(2), 0);
    EQUAL(value(SEMAPHORES - 1), 100 + SEMAPHORES - 1);
    EQUAL(semctl(other, 0, GETVAL), 5);
    state_child_end(two);
    EQUAL(value(1), 20000);
    EQUAL(value(3), 103);
    EQUAL(value(4), 32767); // The kernel's limit of a value.

    EQUAL(msgsnd(full, &message, 1, IPC_NOWAIT), -1);
    EQUAL(errno, EAGAIN);
    memset(message.text, 0, FULL);
    EQUAL(msgrcv(full, &message, FULL, LONG_MAX, IPC_NOWAIT), FULL);
    EQUAL(message.type, LONG_MAX);
    state_check_fill(message.text, FULL, 3, "the message");
    for (int i = 0; i < 3; i++) EQUAL(msgrcv(empty, &message, FULL, 2, IPC_NOWAIT), 0);
    EQUAL(msgrcv(empty, &message, FULL, 0, IPC_NOWAIT), -1);
    EQUAL(errno, ENOMSG);
    memory = MUST(shmat(segment, NULL, 0));
    state_check_fill(memory, 9000, 4, "the segment");
    // Its own adjustments: this process' end gives them back, told by a child that sees it. Here they are used.
    struct sembuf back = {.sem_num = 5, .sem_op = 2, .sem_flg = SEM_UNDO};
    MUST(semop(set, &back, 1));
    EQUAL(value(5), 105);
    MUST(semctl(set, 0, IPC_RMID));
    MUST(semctl(other, 0, IPC_RMID));
    MUST(msgctl(full, IPC_RMID, NULL));
    MUST(msgctl(empty, IPC_RMID, NULL));
    MUST(shmctl(segment, IPC_RMID, NULL));
    state_pass();
}
