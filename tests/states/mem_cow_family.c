// Copy-on-write pages in a family that went separate ways: a grandchild of a child that had written,
// a parent that wrote after a fork, children that moved, dropped, protected and replaced parts, a
// stack that grew, a private file mapping; "orphans": siblings that share what their dead parent had.
#include "state.h"

enum { BLOCK = 65536, BLOCKS = 128, FILE_SIZE = 16 * BLOCK };

static unsigned char *area, *file_area;
static int report[2];

static unsigned char *block(int n) {
    return area + (size_t)n * BLOCK;
}

static long shared_bytes(const void *address) {
    return (state_smaps(address, "Shared_Clean") + state_smaps(address, "Shared_Dirty")) * 1024;
}

static void check_blocks(int from, int to, int but, const char *who) {
    for (int n = from; n < to; n++)
        if (n != but) state_check_fill(block(n), BLOCK, n, who);
}

static void check_zero(const unsigned char *memory, size_t size, const char *what) {
    for (size_t i = 0; i < size; i++) CHECK(memory[i] == 0, "%s: not zero at %zu", what, i);
}

static void check_shared(const void *address, long was, const char *who) {
    long is = shared_bytes(address);
    CHECK(is >= was, "%s shares %ld bytes, shared %ld before", who, is, was);
}

// Of the grandchild: it wrote block 2, its parent block 1; block 3 is as it was before its grandparent
// wrote it.
static void grandchild(void *arg) {
    (void)arg;
    state_fill(block(2), BLOCK, 202);
    long was = shared_bytes(area);
    CHECK(was >= (long)(BLOCKS - 1) * BLOCK, "the grandchild shares only %ld", was);
    state_child_ready();
    check_shared(area, was, "the grandchild");
    state_check_fill(block(1), BLOCK, 201, "its parent's block");
    state_check_fill(block(2), BLOCK, 202, "its own block");
    check_blocks(3, BLOCKS, -1, "the grandparent's blocks");
    state_check_fill(file_area, FILE_SIZE, 9, "the file in memory");
}

static void child(void *arg) {
    (void)arg;
    state_fill(block(1), BLOCK, 201);
    pid_t below = state_fork(grandchild, NULL);
    state_child_reports();
    state_child_waits();
    // Block 1 with the grandchild, block 2 with the parent, block 3 with the grandchild.
    EQUAL(shared_bytes(area), (long)BLOCKS * BLOCK);
    state_check_fill(block(1), BLOCK, 201, "its own block");
    check_blocks(2, BLOCKS, -1, "the parent's blocks");
    // To write is to have a page of one's own: nobody else may see it.
    state_fill(block(2), BLOCK, 7);
    state_child_end(below);
}

static void mover(void *arg) {
    (void)arg;
    size_t half = (size_t)BLOCKS / 2 * BLOCK;
    unsigned char *to = MUST(mmap(NULL, half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(mremap(area + half, half, half, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap");
    state_child_ready();
    for (int n = BLOCKS / 2; n < BLOCKS; n++)
        state_check_fill(to + (n - BLOCKS / 2) * (size_t)BLOCK, BLOCK, n, "moved blocks");
    check_blocks(4, BLOCKS / 2, -1, "the mover's blocks");
    state_check_fill(block(3), BLOCK, 103, "a block that the parent wrote");
}

static void cutter(void *arg) {
    (void)arg;
    MUST(munmap(block(10), 2 * BLOCK));
    MUST(madvise(block(20), BLOCK, MADV_DONTNEED));
    MUST(mprotect(block(30), BLOCK, PROT_READ));
    MUST(mprotect(block(31), BLOCK, PROT_NONE));
    MUST(mprotect(block(32), BLOCK, PROT_READ | PROT_WRITE | PROT_EXEC));
    MUST(mmap(block(40), BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    state_fill(block(40), BLOCK / 2, 240);
    int fd = MUST(open(state_path("file"), O_RDONLY | O_CLOEXEC));
    MUST(mmap(block(50), BLOCK, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0));
    MUST(madvise(file_area + BLOCK, BLOCK, MADV_DONTNEED));
    memset(file_area + 2 * BLOCK, 0, BLOCK);
    long was = shared_bytes(block(60));
    state_child_ready();
    check_shared(block(60), was, "the cutter");
    struct state_map map;
    CHECK(!state_map_at(block(10), &map), "what was unmapped is there");
    check_zero(block(20), BLOCK, "what was dropped");
    MUST(mprotect(block(31), BLOCK, PROT_READ));
    check_blocks(4, 10, -1, "the cutter's blocks");
    check_blocks(12, 20, -1, "the cutter's blocks");
    check_blocks(21, 40, -1, "the cutter's blocks");
    state_check_fill(block(40), BLOCK / 2, 240, "what was mapped anew");
    check_zero(block(40) + BLOCK / 2, BLOCK / 2, "the rest of what was mapped anew");
    check_blocks(41, 50, -1, "the cutter's blocks");
    state_check_fill(block(50), BLOCK, 8, "the file");
    check_blocks(51, BLOCKS, -1, "the cutter's blocks");
    // The file holds one long fill; its second block is what a read of it says.
    unsigned char *text = malloc(FILE_SIZE);
    CHECK(pread(fd, text, FILE_SIZE, 0) == FILE_SIZE, "pread");
    CHECK(memcmp(file_area + BLOCK, text + BLOCK, BLOCK) == 0, "a dropped page is not the file's");
    check_zero(file_area + 2 * BLOCK, BLOCK, "zeros over a file");
}

static void __attribute__((noinline)) grown(void) {
    unsigned char deep[600 * 1024];
    state_fill(deep, sizeof deep, 11);
    state_child_ready();
    state_check_fill(deep, sizeof deep, 11, "a stack that grew");
    check_blocks(4, BLOCKS, -1, "the blocks");
}

static void stack_grower(void *arg) {
    (void)arg;
    grown();
}

// One of the orphans: they share block 5 as their dead parent wrote it, and block 3 as it was once.
static void orphan(int n) {
    state_fill(block(60 + n), BLOCK, 300 + n);
    MUST(write(report[1], "r", 1));
    state_child_waits();
    EQUAL(shared_bytes(area), (long)(BLOCKS - 1) * BLOCK);
    MUST(write(report[1], "r", 1));
    state_child_waits();
    state_check_fill(block(5), BLOCK, 205, "the dead parent's block");
    state_check_fill(block(60 + n), BLOCK, 300 + n, "an orphan's block");
    check_blocks(6, 60, -1, "the blocks");
    _exit(0);
}

static void await_report(void) {
    char byte;
    CHECK(read(report[0], &byte, 1) == 1, "no report of an orphan");
}

static pid_t orphans[2];

static void make_orphans(void) {
    pid_t *shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    MUST(pipe2(report, O_CLOEXEC));
    pid_t parent = MUST(fork());
    if (parent == 0) {
        state_fill(block(5), BLOCK, 205);
        for (int n = 0; n < 2; n++) {
            pid_t one = MUST(fork());
            if (one == 0) orphan(n);
            shared[n] = one;
            await_report();
        }
        _exit(0);
    }
    state_expect_exit(parent, 0);
    memcpy(orphans, shared, sizeof orphans);
    MUST(munmap(shared, 4096));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool with_orphans = state_arg(0) && strcmp(state_arg(0), "orphans") == 0;
    // With a gap at either side, so that it stays a mapping of its own.
    size_t size = (size_t)(BLOCKS + 2) * BLOCK;
    area = (unsigned char *)MUST(mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) + BLOCK;
    MUST(mprotect(area, (size_t)BLOCKS * BLOCK, PROT_READ | PROT_WRITE));
    for (int n = 0; n < BLOCKS; n++) state_fill(block(n), BLOCK, n);
    int fd = MUST(open(state_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    unsigned char *text = malloc(FILE_SIZE);
    state_fill(text, FILE_SIZE, 8);
    CHECK(write(fd, text, FILE_SIZE) == FILE_SIZE, "write");
    file_area = MUST(mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    state_fill(file_area, FILE_SIZE, 9);

    pid_t children[4];
    int count = 0;
    if (with_orphans) {
        make_orphans();
        state_fill(block(3), BLOCK, 103);
    } else {
        children[count++] = state_fork(child, NULL);
        state_fill(block(3), BLOCK, 103);
        children[count++] = state_fork(mover, NULL);
        children[count++] = state_fork(cutter, NULL);
        children[count++] = state_fork(stack_grower, NULL);
    }
    long was = shared_bytes(area), file_was = shared_bytes(file_area);

    state_ready();

    for (int n = 0; with_orphans && n < 2; n++) {
        MUST(kill(orphans[n], SIGTERM));
        await_report();
    }
    check_shared(area, was, "the parent");
    check_shared(file_area, file_was, "the parent's file mapping");
    check_blocks(0, BLOCKS, 3, "the parent's blocks");
    state_check_fill(block(3), BLOCK, 103, "the block that it wrote");
    state_check_fill(file_area, FILE_SIZE, 9, "the file in memory");
    for (int i = 0; i < count; i++) state_child_end(children[i]);
    for (int n = 0; with_orphans && n < 2; n++) state_child_end(orphans[n]);
    if (state_breaking()) *block(7) ^= 1;
    check_blocks(4, BLOCKS, -1, "the parent's blocks after all");
    state_pass();
}
