// A tree four levels deep, three children each: parents, memory that each has of its own, and wait
// statuses that go up the tree.
#include "state.h"

#define DEPTH 3
#define WIDTH 3

static void grow(void *arg) {
    int level = (int)(long)arg;
    pid_t children[WIDTH];
    unsigned char *own = malloc(20000);
    state_fill(own, 20000, getpid());
    pid_t me = getpid(), parent = getppid();
    for (int i = 0; i < WIDTH && level > 0; i++)
        children[i] = state_fork(grow, (void *)(long)(level - 1));
    if (level == DEPTH)
        state_ready();
    else
        state_child_ready();
    EQUAL(getpid(), me);
    if (level != DEPTH) EQUAL(getppid(), parent);
    state_check_fill(own, 20000, me, "a process' own memory");
    for (int i = 0; i < WIDTH && level > 0; i++) state_child_end(children[i]);
    CHECK(wait(NULL) == -1 && errno == ECHILD, "children that nobody knows");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    grow((void *)DEPTH);
    pid_t late = MUST(fork());
    if (late == 0) _exit(9);
    state_expect_exit(late, 9);
    state_pass();
}
