// What madvise and friends leave on a mapping: DONTFORK, WIPEONFORK, DONTDUMP, HUGEPAGE, NOHUGEPAGE,
// MERGEABLE, SEQUENTIAL, RANDOM, NORESERVE, UNMERGEABLE, named anonymous areas; and that a fork
// obeys them.
#include "state.h"

#define PAGE 4096ul
#define SIZE (16 * PAGE)
#define COUNT 10
static unsigned char *areas[COUNT];

static void in_child(void *arg) {
    (void)arg;
    struct state_map map;
    CHECK(!state_map_at(areas[0], &map), "a DONTFORK area came along");
    CHECK(areas[1][0] == 0, "a WIPEONFORK area was not wiped");
    CHECK(areas[3][0] == 3 + 1, "an ordinary area did not come along");
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const int advice[COUNT] = {MADV_DONTFORK,  MADV_WIPEONFORK, MADV_DONTDUMP, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
                               MADV_MERGEABLE, MADV_SEQUENTIAL, MADV_RANDOM,   MADV_NORMAL,   MADV_NORMAL};
    char *was[COUNT];
    // Mapped in place of a reservation with gaps, so that no two of them are neighbours.
    unsigned char *room = MUST(mmap(NULL, 2 * COUNT * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < COUNT; i++) {
        areas[i] = MUST(mmap(room + 2 * i * SIZE, SIZE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (i == 8 ? MAP_NORESERVE : 0), -1, 0));
        if (madvise(areas[i], SIZE, advice[i]) == -1 && errno != EINVAL) state_fail("madvise %d", advice[i]);
        memset(areas[i], i + 1, SIZE);
    }
    bool named = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, areas[9], SIZE, "ward list") == 0;
    MUST(madvise(areas[2] + 4 * PAGE, 4 * PAGE, MADV_DODUMP)); // a part without the flag
    for (int i = 0; i < COUNT; i++) was[i] = state_vm_flags(areas[i]);

    state_ready();

    if (state_breaking()) madvise(areas[0], SIZE, MADV_DOFORK);
    for (int i = 0; i < COUNT; i++) {
        char *is = state_vm_flags(areas[i]);
        CHECK(strcmp(was[i], is) == 0, "area %d: VmFlags %s, were %s", i, is, was[i]);
        CHECK(areas[i][SIZE - 1] == i + 1, "area %d: content", i);
    }
    CHECK(!state_vm_flag(areas[2] + 4 * PAGE, "dd"), "DONTDUMP where it was taken back");
    CHECK(state_vm_flag(areas[2] + 8 * PAGE, "dd"), "no DONTDUMP behind the gap");
    struct state_map map;
    state_map_at(areas[9], &map);
    if (named) CHECK(strcmp(map.path, "[anon:ward list]") == 0, "the named area is called %s", map.path);
    state_child_end(state_fork(in_child, NULL));
    state_pass();
}
