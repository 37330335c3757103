// Shared file mappings: what is written through them is in the file and the other way round, in two
// processes, at two addresses, of a writable file mapped read-only, and of a deleted file.
#include "state.h"

#define PAGE 4096ul
static unsigned char *first, *second, *deleted;

static void child(void *arg) {
    (void)arg;
    state_child_ready();
    state_check_fill(first, 8 * PAGE, 1, "the child's mapping");
    state_check_fill(deleted, 8 * PAGE, 2, "the child's mapping of the deleted file");
    state_fill(first, 8 * PAGE, 11);
    state_fill(deleted, 8 * PAGE, 12);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int kept = MUST(open(state_path("kept"), O_RDWR | O_CREAT, 0600));
    MUST(ftruncate(kept, 8 * PAGE));
    const char *gone_name = state_path("gone");
    int gone = MUST(open(gone_name, O_RDWR | O_CREAT, 0600));
    MUST(ftruncate(gone, 8 * PAGE));
    first = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0));
    second = MUST(mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, kept, 4 * PAGE));
    deleted = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gone, 0));
    MUST(unlink(gone_name));
    close(gone);
    state_fill(first, 8 * PAGE, 1);
    state_fill(deleted, 8 * PAGE, 2);
    pid_t pid = state_fork(child, NULL);

    state_ready();

    struct state_map map;
    state_map_at(first, &map);
    CHECK(strcmp(map.path, state_path("kept")) == 0 && strncmp(map.perms, "rw-s", 4) == 0,
          "%s %s", map.path, map.perms);
    state_map_at(second, &map);
    EQUAL(map.offset, 4 * PAGE);
    state_map_at(deleted, &map);
    CHECK(strstr(map.path, "gone (deleted)"), "the deleted file is called %s", map.path);
    CHECK(access(state_path("gone"), F_OK) == -1, "the deleted file is back");
    state_child_end(pid);
    state_check_fill(first, 8 * PAGE, 11, "what the child wrote");
    CHECK(memcmp(second, first + 4 * PAGE, 4 * PAGE) == 0, "two mappings of one file differ");
    state_check_fill(deleted, 8 * PAGE, 12, "what the child wrote into the deleted file");
    unsigned char page[PAGE];
    EQUAL(pread(kept, page, PAGE, 5 * PAGE), PAGE);
    CHECK(memcmp(page, first + 5 * PAGE, PAGE) == 0, "the file does not have what was written");
    state_fill(page, PAGE, 5);
    EQUAL(pwrite(kept, page, PAGE, 6 * PAGE), PAGE);
    state_check_fill(first + 6 * PAGE, PAGE, 5, "written with pwrite");
    // A mapping of a writable descriptor may be made writable.
    MUST(mprotect(second, 4 * PAGE, PROT_READ | PROT_WRITE));
    second[0] = 1;
    EQUAL(first[4 * PAGE], 1);
    state_pass();
}
