// Shared anonymous huge pages, with a child that sees the same memory.
#include "state.h"

#define HUGE_PAGE (2ul << 20)
static unsigned char *area;

static void child(void *arg) {
    (void)arg;
    state_child_ready();
    state_check_fill(area, 5000, 1, "huge pages in the child");
    area[HUGE_PAGE + 5] = 66;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = open("/proc/sys/vm/nr_hugepages", O_RDWR);
    if (fd >= 0 && write(fd, "8", 1) < 0) state_skip("huge pages: %s", strerror(errno));
    area = mmap(NULL, 3 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (area == MAP_FAILED) state_skip("huge pages: %s", strerror(errno));
    state_fill(area, 5000, 1);
    area[2 * HUGE_PAGE + 9] = 5;
    pid_t pid = state_fork(child, NULL);
    state_ready();
    state_check_fill(area, 5000, 1, "huge pages");
    EQUAL(area[2 * HUGE_PAGE + 9], 5);
    state_child_end(pid);
    EQUAL(area[HUGE_PAGE + 5], 66);
    CHECK(state_vm_flag(area, "ht"), "no huge pages any more");
    state_pass();
}
