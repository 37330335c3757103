// mlock, mlock2 with MLOCK_ONFAULT, munlocked holes, and (argument "all") mlockall for now and for
// the future.
#include "state.h"

#define PAGE 4096ul

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool all = state_arg(0) != NULL;
    unsigned char *locked = MUST(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    state_fill(locked, 16 * PAGE, 1);
    MUST(mlock(locked, 16 * PAGE));
    MUST(munlock(locked + 4 * PAGE, 4 * PAGE));
    unsigned char *on_fault = MUST(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(mlock2(on_fault, 16 * PAGE, MLOCK_ONFAULT));
    on_fault[0] = 1;
    if (all) MUST(mlockall(MCL_CURRENT | MCL_FUTURE));
    char *was = state_field("/proc/self/status", "VmLck");

    state_ready();

    CHECK(state_vm_flag(locked, "lo"), "the locked area is not locked");
    EQUAL(state_vm_flag(locked + 4 * PAGE, "lo"), all);
    CHECK(state_vm_flag(on_fault, "lo"), "the area locked on fault is not locked");
    state_check_fill(locked, 16 * PAGE, 1, "the locked area");
    if (!all) EQUAL(state_smaps(on_fault, "Rss"), 4);
    on_fault[PAGE] = 2;
    char *is = state_field("/proc/self/status", "VmLck");
    // The heap may grow by what this check itself allocates.
    CHECK(labs(atol(is) - atol(was)) <= 1024, "VmLck is %s, was %s", is, was);
    unsigned char *later = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EQUAL(state_vm_flag(later, "lo"), all);
    if (all) CHECK(state_smaps(later, "Rss") >= 16, "a later area is not filled at once");
    MUST(munlockall());
    CHECK(!state_vm_flag(locked, "lo"), "the area is still locked");
    state_pass();
}
