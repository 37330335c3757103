// Private file mappings: untouched pages follow the file, written ones are copies; read-only and
// executable ones, with offsets, beyond the end of the file, of a file opened read-only.
#include "state.h"

#define PAGE 4096ul

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *name = state_path("mapped file");
    static unsigned char content[16 * PAGE];
    state_fill(content, sizeof content, 1);
    int fd = MUST(open(name, O_RDWR | O_CREAT, 0600));
    EQUAL(write(fd, content, sizeof content - 100), sizeof content - 100);
    int read_only = MUST(open(name, O_RDONLY));
    unsigned char *copy = MUST(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, read_only, 0));
    for (int i = 0; i < 16; i += 2) state_fill(copy + i * PAGE, PAGE, 50 + i);
    unsigned char *part = MUST(mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, read_only, 8 * PAGE));
    unsigned char *hidden = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4 * PAGE));
    state_fill(hidden + PAGE, PAGE, 77);
    MUST(mprotect(hidden, 4 * PAGE, PROT_NONE));
    unsigned char *beyond = MUST(mmap(NULL, 20 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0));
    close(read_only);
    struct state_map was[4], is;
    unsigned char *areas[4] = {copy, part, hidden, beyond};
    for (int i = 0; i < 4; i++) state_map_at(areas[i], &was[i]);

    state_ready();

    for (int i = 0; i < 4; i++) {
        CHECK(state_map_at(areas[i], &is), "mapping %d is gone", i);
        CHECK(is.start == was[i].start && is.end == was[i].end && is.offset == was[i].offset &&
                  strcmp(is.perms, was[i].perms) == 0 && strcmp(is.path, was[i].path) == 0 &&
                  is.inode == was[i].inode,
              "mapping %d is %s %s at %#lx, was %s %s at %#lx", i, is.path, is.perms, is.offset,
              was[i].path, was[i].perms, was[i].offset);
    }
    state_check_fill(part, 0, 0, "");
    CHECK(memcmp(part, content + 8 * PAGE, 4 * PAGE) == 0, "the part with an offset");
    for (int i = 0; i < 16; i++) {
        if (i % 2 == 0) state_check_fill(copy + i * PAGE, PAGE, 50 + i, "a written page");
        else if (i < 15)
            CHECK(memcmp(copy + i * PAGE, content + i * PAGE, PAGE) == 0, "untouched page %d", i);
    }
    for (int i = 0; i < 100; i++) CHECK(copy[16 * PAGE - 100 + i] == 0, "after the end of the file");
    MUST(mprotect(hidden, 4 * PAGE, PROT_READ));
    CHECK(memcmp(hidden, content + 4 * PAGE, PAGE) == 0, "the hidden mapping's untouched page");
    state_check_fill(hidden + PAGE, PAGE, 77, "the hidden mapping's written page");
    CHECK(memcmp(beyond, content, sizeof content - 100) == 0, "the mapping beyond the end");
    // Untouched pages still follow the file, written ones do not reach it.
    unsigned char fresh[PAGE];
    state_fill(fresh, PAGE, 1234);
    EQUAL(pwrite(fd, fresh, PAGE, 8 * PAGE), PAGE);
    CHECK(memcmp(part, fresh, PAGE) == 0, "an untouched page does not follow the file");
    EQUAL(pread(fd, fresh, PAGE, 0), PAGE);
    CHECK(memcmp(fresh, content, PAGE) == 0, "a private page was written into the file");
    state_fill(copy + PAGE, PAGE, 3);
    EQUAL(pread(fd, fresh, PAGE, PAGE), PAGE);
    CHECK(memcmp(fresh, content + PAGE, PAGE) == 0, "a private page was written into the file");
    state_pass();
}
