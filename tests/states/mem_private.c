// Private anonymous memory in every protection: written, zero, read-only, execute, none, with holes,
// in a large sparse reservation, at a fixed low and a high address.
#include "state.h"

#define PAGE 4096ul

static void *map(void *at, size_t size, int protection, int flags) {
    return MUST(mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));
}

static void check_protection(void *at, const char *want) {
    struct state_map found;
    CHECK(state_map_at(at, &found), "%p is not mapped", at);
    CHECK(strncmp(found.perms, want, 4) == 0, "%p is %s, not %s", at, found.perms, want);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    unsigned char *written = map(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, 0);
    state_fill(written, 64 * PAGE, 1);
    unsigned char *zero = map(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, 0);
    unsigned char *holes = map(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, 0);
    for (int i = 0; i < 64; i += 3) state_fill(holes + i * PAGE, PAGE, i);
    // Pages that were read only: the zero page; pages written with zeroes.
    volatile unsigned char sum = 0;
    for (int i = 1; i < 64; i += 3) sum += holes[i * PAGE];
    memset(holes + 2 * PAGE, 0, PAGE);
    unsigned char *read_only = map(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, 0);
    state_fill(read_only, 4 * PAGE, 3);
    MUST(mprotect(read_only, 4 * PAGE, PROT_READ));
    unsigned char *none = map(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, 0);
    state_fill(none, 4 * PAGE, 4);
    MUST(mprotect(none, 4 * PAGE, PROT_NONE));
    unsigned char *code = map(NULL, PAGE, PROT_READ | PROT_WRITE, 0);
    memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6); // mov $42, %eax; ret
    MUST(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
    unsigned char *write_only = map(NULL, PAGE, PROT_WRITE, 0);
    write_only[5] = 55;
    unsigned char *vast = map(NULL, 1ul << 40, PROT_NONE, MAP_NORESERVE);
    MUST(mprotect(vast + (1ul << 39), 2 * PAGE, PROT_READ | PROT_WRITE));
    state_fill(vast + (1ul << 39), 2 * PAGE, 6);
    unsigned char *low = map((void *)0x200000, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    state_fill(low, PAGE, 7);
    unsigned char *high = map((void *)0x7ffe00000000, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    state_fill(high, PAGE, 8);
    // Alternating protections: many small neighbours.
    unsigned char *striped = map(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, 0);
    state_fill(striped, 100 * PAGE, 9);
    for (int i = 0; i < 100; i += 2) MUST(mprotect(striped + i * PAGE, PAGE, PROT_READ));

    state_ready();

    if (state_breaking()) written[12345] ^= 1;
    state_check_fill(written, 64 * PAGE, 1, "written");
    for (size_t i = 0; i < 64 * PAGE; i++) CHECK(zero[i] == 0, "a zero page has data");
    for (int i = 0; i < 64; i++) {
        if (i % 3 == 0) state_check_fill(holes + i * PAGE, PAGE, i, "between holes");
        else
            for (size_t j = 0; j < PAGE; j++) CHECK(holes[i * PAGE + j] == 0, "hole %d has data", i);
    }
    check_protection(read_only, "r--p");
    state_check_fill(read_only, 4 * PAGE, 3, "read-only");
    check_protection(none, "---p");
    MUST(mprotect(none, 4 * PAGE, PROT_READ));
    state_check_fill(none, 4 * PAGE, 4, "without permission");
    check_protection(code, "r-xp");
    EQUAL(((int (*)(void))code)(), 42);
    check_protection(write_only, "-w-p");
    write_only[6] = 66;
    EQUAL(write_only[5], 55);
    check_protection(vast, "---p");
    struct state_map found;
    state_map_at(vast, &found);
    EQUAL(found.start, (uintptr_t)vast);
    state_map_at(vast + (1ul << 40) - 1, &found);
    EQUAL(found.end, (uintptr_t)vast + (1ul << 40));
    state_check_fill(vast + (1ul << 39), 2 * PAGE, 6, "in a reservation");
    state_check_fill(low, PAGE, 7, "low");
    state_check_fill(high, PAGE, 8, "high");
    state_check_fill(striped, 100 * PAGE, 9, "striped");
    for (int i = 0; i < 100; i++) {
        state_map_at(striped + i * PAGE, &found);
        CHECK(strncmp(found.perms, i % 2 ? "rw-p" : "r--p", 4) == 0, "stripe %d is %s", i, found.perms);
    }
    state_fill(zero, 64 * PAGE, 10);
    state_check_fill(zero, 64 * PAGE, 10, "written afterwards");
    MUST(munmap(vast, 1ul << 40));
    state_pass();
}
