// Copy-on-write pages shared by a parent and four forked children stay shared: memory does not
// double with a restore. (Argument: MiB.)
#include "state.h"

static unsigned char *area;
static size_t size;

// Pages of the area that this process shares with others, in bytes, by smaps.
static long shared_bytes(void) {
    return (state_smaps(area, "Shared_Clean") + state_smaps(area, "Shared_Dirty")) * 1024;
}

static void child(void *arg) {
    long n = (long)arg;
    state_fill(area + n * 65536, 65536, 100 + n);
    state_child_ready();
    state_check_fill(area + n * 65536, 65536, 100 + n, "a child's own pages");
    CHECK(shared_bytes() > (long)size / 10 * 9, "child %ld shares only %ld of %zu bytes", n,
          shared_bytes(), size);
    for (long other = 0; other < 4; other++)
        if (other != n) state_check_fill(area + other * 65536, 65536, other, "the parent's pages");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    size = (state_arg(0) ? atol(state_arg(0)) : 16) << 20;
    area = MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < size / 65536; i++) state_fill(area + i * 65536, 65536, i);
    pid_t children[4];
    for (long i = 0; i < 4; i++) children[i] = state_fork(child, (void *)i);
    long was = shared_bytes();
    CHECK(was > (long)size / 10 * 9, "shared before: %ld of %zu", was, size);

    state_ready();

    CHECK(shared_bytes() > (long)size / 10 * 9, "the parent shares only %ld of %zu bytes, was %ld",
          shared_bytes(), size, was);
    for (size_t i = 0; i < size / 65536; i++) state_check_fill(area + i * 65536, 65536, i, "the parent's pages");
    for (int i = 0; i < 4; i++) state_child_end(children[i]);
    state_pass();
}
