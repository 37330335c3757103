// Huge pages: transparent ones stay huge where the kernel gives them, a process with them disabled
// by prctl, and (argument "hugetlb") reserved ones, anonymous and in a memfd.
#include "state.h"

#define HUGE (2ul << 20)

static void hugetlb(void) {
    void *anonymous = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (anonymous == MAP_FAILED) state_skip("no reserved huge pages (vm.nr_hugepages)");
    state_fill(anonymous, 2 * HUGE, 1);
    int fd = MUST(memfd_create("huge", MFD_HUGETLB));
    MUST(ftruncate(fd, 2 * HUGE));
    void *shared = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) state_skip("not enough reserved huge pages (vm.nr_hugepages)");
    state_fill(shared, 2 * HUGE, 2);
    state_ready();
    state_check_fill(anonymous, 2 * HUGE, 1, "anonymous huge pages");
    state_check_fill(shared, 2 * HUGE, 2, "huge pages of a memfd");
    EQUAL(state_smaps(anonymous, "KernelPageSize"), 2048);
    EQUAL(state_smaps(shared, "KernelPageSize"), 2048);
    state_pass();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (state_arg(0) && strcmp(state_arg(0), "hugetlb") == 0) hugetlb();
    bool disabled = state_arg(0) && strcmp(state_arg(0), "disabled") == 0;
    if (disabled) MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    char *raw = MUST(mmap(NULL, 6 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char *area = (char *)(((uintptr_t)raw + HUGE - 1) & ~(HUGE - 1));
    MUST(madvise(area, 4 * HUGE, MADV_HUGEPAGE));
    state_fill(area, 4 * HUGE, 3);
    long was = state_smaps(area, "AnonHugePages");
    if (!disabled && was == 0) state_skip("the kernel gives no transparent huge pages");

    state_ready();

    state_check_fill(area, 4 * HUGE, 3, "transparent huge pages");
    CHECK(state_vm_flag(area, "hg"), "MADV_HUGEPAGE was lost");
    EQUAL(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), disabled);
    state_fill(area, 4 * HUGE, 4);
    if (disabled) EQUAL(state_smaps(area, "AnonHugePages"), 0);
    char *fresh = MUST(mmap(NULL, 6 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(madvise(fresh, 6 * HUGE, MADV_HUGEPAGE));
    memset(fresh, 1, 6 * HUGE);
    EQUAL(state_smaps(fresh, "AnonHugePages") > 0, !disabled);
    state_pass();
}
