// Memory up to the last address that a program can have, shared copy-on-write with a child: there is no page table
// behind it to be read.
#include "state.h"

#define SIZE 0x4000
#define PLACE (0x7ffffffff000 - SIZE)

static void child(void *memory) {
    state_child_ready();
    state_check_fill(memory, SIZE, 3, "the child's");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    void *memory = mmap((void *)PLACE, SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (memory != (void *)PLACE) state_skip("nothing can be mapped there: %s", strerror(errno));
    state_fill(memory, SIZE, 3);
    pid_t other = state_fork(child, memory);
    state_ready();
    state_check_fill(memory, SIZE, 3, "the memory");
    state_child_end(other);
    state_pass();
}
