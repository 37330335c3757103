// Shared anonymous memory, inherited and resized, seen by three processes at different addresses,
// one of which has only a part of it; a futex in it works across them.
#include <linux/futex.h>

#include "state.h"

#define PAGE 4096ul
static unsigned char *area, *moved;

static void first_child(void *arg) {
    (void)arg;
    unsigned char *mine = MUST(mremap(area, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved));
    state_child_ready();
    state_check_fill(mine + PAGE, 15 * PAGE, 1, "in the first child");
    state_fill(mine + PAGE, 4 * PAGE, 2);
    *(volatile int *)mine = 1;
    MUST(syscall(SYS_futex, mine, FUTEX_WAKE, 1, NULL, NULL, 0));
}

static void second_child(void *arg) {
    (void)arg;
    MUST(munmap(area, 8 * PAGE));
    MUST(mprotect(area + 8 * PAGE, 8 * PAGE, PROT_READ));
    state_child_ready();
    CHECK(memcmp(area + 9 * PAGE, area + 9 * PAGE, PAGE) == 0, "unreadable");
    struct state_map map;
    CHECK(!state_map_at(area, &map), "a part that was unmapped is back");
    CHECK(state_map_at(area + 8 * PAGE, &map) && strncmp(map.perms, "r--s", 4) == 0, "%s", map.perms);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    area = MUST(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    moved = MUST(mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    unsigned char *sparse = MUST(mmap(NULL, 1ul << 32, PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    state_fill(sparse + (1ul << 31), PAGE, 8);
    // Written, then hidden: the content belongs to the area, not to the mapping.
    unsigned char *hidden = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    state_fill(hidden, 4 * PAGE, 9);
    MUST(mprotect(hidden, 4 * PAGE, PROT_NONE));
    state_fill(area + PAGE, 15 * PAGE, 1);
    pid_t first = state_fork(first_child, NULL), second = state_fork(second_child, NULL);

    state_ready();

    state_check_fill(area + PAGE, 15 * PAGE, 1, "in the parent");
    state_child_end(second);
    MUST(kill(first, SIGTERM));
    AWAIT(*(volatile int *)area == 1, "the first child's write does not arrive");
    state_expect_exit(first, 0);
    state_check_fill(area + PAGE, 4 * PAGE, 2, "written by the first child");
    state_check_fill(sparse + (1ul << 31), PAGE, 8, "sparse");
    CHECK(sparse[0] == 0 && sparse[(1ul << 32) - 1] == 0, "a hole has data");
    MUST(mprotect(hidden, 4 * PAGE, PROT_READ));
    state_check_fill(hidden, 4 * PAGE, 9, "hidden");
    struct state_map map;
    state_map_at(area, &map);
    CHECK(strncmp(map.perms, "rw-s", 4) == 0 && strstr(map.path, "/dev/zero (deleted)"), "%s %s",
          map.perms, map.path);
    state_pass();
}
