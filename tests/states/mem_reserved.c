// More addresses than the machine has memory: a reservation that was never writable and one with a writable
// part, and memory that became writable piece by piece until all of it together is more than there is.
#include "state.h"

#define PIECE (1ul << 28)
static unsigned char *reserved, *partly, *grown;

static size_t more_than_all_memory(void) {
    char *text = state_field("/proc/meminfo", "MemTotal"), *swap = state_field("/proc/meminfo", "SwapTotal");
    size_t all = (strtoull(text, NULL, 10) + strtoull(swap, NULL, 10)) << 10;
    free(text);
    free(swap);
    return (all / PIECE + 4) * PIECE;
}

static void *reserve(size_t size) {
    // Readable: what lies beside it is not joined with it.
    return MUST(mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void check(size_t size) {
    struct state_map map;
    CHECK(state_map_at(reserved, &map), "the reservation is gone");
    CHECK(strncmp(map.perms, "r--p", 4) == 0, "the reservation is %s", map.perms);
    CHECK(!state_vm_flag(reserved, "ac"), "the reservation is counted as memory");
    CHECK(!state_vm_flag(partly, "ac") && !state_vm_flag(partly + size - 1, "ac"), "so is what is beside memory");
    CHECK(state_vm_flag(partly + PIECE, "ac"), "memory is not counted");
    CHECK(state_vm_flag(grown, "ac"), "memory that grew is not counted");
    CHECK(state_map_at(grown, &map), "memory that grew is gone");
    EQUAL(map.start, (uintptr_t)grown);
    EQUAL(map.end, (uintptr_t)grown + size);
    state_check_fill(partly + PIECE, 65536, 1, "the writable part");
    state_check_fill(grown, 65536, 2, "the first piece");
    state_check_fill(grown + size - 65536, 65536, 3, "the last piece");
    EQUAL(grown[size / 2], 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    size_t size = more_than_all_memory();
    char *policy = state_slurp("/proc/sys/vm/overcommit_memory");
    if (policy[0] == '2') state_skip("this machine promises no more memory than it has (vm.overcommit_memory)");
    free(policy);
    reserved = reserve(size);
    partly = reserve(size);
    MUST(mprotect(partly + PIECE, 65536, PROT_READ | PROT_WRITE));
    state_fill(partly + PIECE, 65536, 1);
    grown = MUST(mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t at = 0; at < size; at += PIECE) MUST(mprotect(grown + at, PIECE, PROT_READ | PROT_WRITE));
    MUST(madvise(grown, size, MADV_NOHUGEPAGE));
    state_fill(grown, 65536, 2);
    state_fill(grown + size - 65536, 65536, 3);
    check(size);

    state_ready();

    if (state_breaking()) grown[size - 1]++;
    check(size);
    MUST(mprotect(reserved + PIECE, 65536, PROT_READ | PROT_WRITE));
    state_fill(reserved + PIECE, 65536, 4);
    state_check_fill(reserved + PIECE, 65536, 4, "what was reserved");
    MUST(munmap(grown, size));
    state_pass();
}
