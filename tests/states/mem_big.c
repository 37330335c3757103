// 200 MB of patterned memory, and children of it: every byte is checked.
#include "state.h"

#define MIB (1ul << 20)

int main(int argc, char **argv) {
    state_begin(argc, argv);
    size_t size = (state_arg(0) ? atol(state_arg(0)) : 200) * MIB;
    unsigned char *area = MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < size / MIB; i++) state_fill(area + i * MIB, MIB, i);
    memset(area + 10 * MIB, 0, MIB);
    MUST(madvise(area + 20 * MIB, MIB, MADV_DONTNEED));
    state_ready();
    if (state_breaking()) area[size - 1] ^= 1;
    for (size_t i = 0; i < size / MIB; i++) {
        if (i == 10 || i == 20) {
            for (size_t j = 0; j < MIB; j++) CHECK(area[i * MIB + j] == 0, "a zero has become %d", area[i * MIB + j]);
        } else
            state_check_fill(area + i * MIB, MIB, i, "the big area");
    }
    for (size_t i = 0; i < size / MIB; i++) state_fill(area + i * MIB, MIB, i + 7);
    for (size_t i = 0; i < size / MIB; i++) state_check_fill(area + i * MIB, MIB, i + 7, "written anew");
    state_pass();
}
