// brk heap, grow-down stacks, guard gaps and deep frames: the main stack with megabytes of frames
// in use, a MAP_GROWSDOWN area that has grown, both able to grow further.
#include <setjmp.h>

#include "state.h"

#define PAGE 4096ul
static unsigned char *down;
static volatile int deepest;

static void descend(int depth) {
    unsigned char frame[4000];
    state_fill(frame, sizeof frame, depth);
    if (depth < 500)
        descend(depth + 1);
    else {
        deepest = depth;
        state_ready();
    }
    state_check_fill(frame, sizeof frame, depth, "a frame of the stack");
}

static sigjmp_buf back;
static void on_fault(int n) {
    (void)n;
    siglongjmp(back, 1);
}

static void grow_main_stack(int depth) {
    volatile unsigned char frame[8192];
    frame[0] = depth;
    frame[8191] = depth;
    if (depth) grow_main_stack(depth - 1);
    CHECK(frame[8191] == (unsigned char)depth, "the grown stack");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    // 64 pages of room below one page that grows down.
    unsigned char *room = MUST(mmap(NULL, 600 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(munmap(room, 600 * PAGE));
    down = MUST(mmap(room + 599 * PAGE, PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0));
    for (int i = 0; i < 8; i++) state_fill(down - i * PAGE, PAGE, i);
    unsigned char *heap = sbrk(50 * PAGE);
    state_fill(heap, 50 * PAGE, 99);
    void *top = sbrk(0);
    struct rlimit stack;
    MUST(getrlimit(RLIMIT_STACK, &stack));

    descend(0);

    EQUAL(deepest, 500);
    CHECK(sbrk(0) == top, "the program break moved");
    CHECK(sbrk(100 * PAGE) == top, "the heap does not grow");
    state_fill(top, 100 * PAGE, 98);
    state_check_fill(heap, 50 * PAGE, 99, "the heap");
    struct state_map found;
    state_map_at(heap, &found);
    CHECK(strcmp(found.path, "[heap]") == 0, "the heap is called %s", found.path);
    state_map_at(&found, &found);
    CHECK(strcmp(found.path, "[stack]") == 0, "the stack is called %s", found.path);
    for (int i = 0; i < 8; i++) state_check_fill(down - i * PAGE, PAGE, i, "the area that grew");
    CHECK(state_vm_flag(down, "gd"), "it can't grow down any more");
    for (int i = 8; i < 20; i++) state_fill(down - i * PAGE, PAGE, i);
    for (int i = 0; i < 20; i++) state_check_fill(down - i * PAGE, PAGE, i, "the area that grows");
    grow_main_stack(700);
    // An address that was never mapped is still a fault.
    signal(SIGSEGV, on_fault);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile int *)16 = 1;
        state_fail("a null pointer could be written");
    }
    state_pass();
}
