// Mappings off the beaten track: a grow-down mapping that grows on, /dev/zero private and shared, a
// file mapping beyond the file's end, guard regions, memory policies, sealed ranges, execute-only, a
// heap that grows on. The argument picks one.
#include <linux/mempolicy.h>
#include <setjmp.h>

#include "state.h"

#define PAGE 4096ul
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
static sigjmp_buf back;

static void on_fault(int n) {
    siglongjmp(back, n);
}

// The signal that reading a byte raises, 0 for none.
static int fault(volatile unsigned char *at) {
    int n = sigsetjmp(back, 1);
    if (n) return n;
    (void)*at;
    return 0;
}

static unsigned char *anonymous(size_t size, int flags) {
    return MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *kind = state_arg(0);
    MUST(sigaction(SIGSEGV, &(struct sigaction){.sa_handler = on_fault}, NULL));
    MUST(sigaction(SIGBUS, &(struct sigaction){.sa_handler = on_fault}, NULL));
    if (strcmp(kind, "grows") == 0) {
        // Room below for it to grow into, beyond the kernel's gap of 1 MiB.
        unsigned char *room = anonymous(64 << 20, 0);
        MUST(munmap(room, 64 << 20));
        unsigned char *top = room + (60 << 20);
        MUST(mmap(top, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
        state_fill(top, 4 * PAGE, 1);
        top[-1] = 7; // grows
        state_ready();
        state_check_fill(top, 4 * PAGE, 1, "the mapping");
        EQUAL(top[-1], 7);
        CHECK(state_vm_flag(top, "gd"), "it no longer grows down");
        for (unsigned char *p = top - 2 * PAGE; p > top - 100 * PAGE; p -= PAGE) *p = 9;
    } else if (strcmp(kind, "zero") == 0) {
        int fd = MUST(open("/dev/zero", O_RDWR));
        unsigned char *own = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
        unsigned char *common = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        state_fill(own + PAGE, PAGE, 1);
        state_fill(common + PAGE, 2 * PAGE, 2);
        state_ready();
        state_check_fill(own + PAGE, PAGE, 1, "private zeros");
        state_check_fill(common + PAGE, 2 * PAGE, 2, "shared zeros");
        EQUAL(own[0] + own[7 * PAGE] + common[0] + common[7 * PAGE], 0);
    } else if (strcmp(kind, "beyond") == 0) {
        int fd = MUST(open(state_path("short"), O_RDWR | O_CREAT, 0600));
        MUST(ftruncate(fd, 6 * PAGE));
        unsigned char *own = MUST(mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
        unsigned char *common = MUST(mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        state_fill(own, PAGE, 1);
        state_fill(common + PAGE, PAGE / 2, 2);
        MUST(ftruncate(fd, PAGE + PAGE / 2));
        state_ready();
        state_check_fill(own, PAGE, 1, "the private page");
        state_check_fill(common + PAGE, PAGE / 2, 2, "the shared page");
        EQUAL(fault(own + 3 * PAGE), SIGBUS);
        EQUAL(fault(common + 3 * PAGE), SIGBUS);
        MUST(ftruncate(fd, 6 * PAGE));
        EQUAL(fault(common + 3 * PAGE), 0);
    } else if (strcmp(kind, "guard") == 0) {
        unsigned char *area = anonymous(16 * PAGE, 0);
        state_fill(area, 16 * PAGE, 1);
        if (madvise(area + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL) == -1) state_skip("guard regions: %s", strerror(errno));
        state_ready();
        state_check_fill(area, 4 * PAGE, 1, "before the guard");
        EQUAL(fault(area + 4 * PAGE), SIGSEGV);
        EQUAL(fault(area + 6 * PAGE - 1), SIGSEGV);
        EQUAL(fault(area + 6 * PAGE), 0);
        EQUAL(fault(area + 15 * PAGE), 0);
    } else if (strcmp(kind, "policy") == 0) {
        unsigned char *area = anonymous(16 * PAGE, 0);
        unsigned long node = 1;
        if (syscall(SYS_mbind, area, 8 * PAGE, MPOL_BIND, &node, 8, 0) == -1) state_skip("mbind: %s", strerror(errno));
        MUST(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &node, 8));
        state_fill(area, 16 * PAGE, 1);
        state_ready();
        int policy = -1;
        node = 0;
        MUST(syscall(SYS_get_mempolicy, &policy, &node, 64, NULL, 0));
        EQUAL(policy, MPOL_INTERLEAVE);
        EQUAL(node, 1);
        MUST(syscall(SYS_get_mempolicy, &policy, &node, 64, area, MPOL_F_ADDR));
        EQUAL(policy, MPOL_BIND);
        state_check_fill(area, 16 * PAGE, 1, "the area");
    } else if (strcmp(kind, "sealed") == 0) {
        unsigned char *area = anonymous(4 * PAGE, 0);
        state_fill(area, 4 * PAGE, 1);
        if (syscall(462, area, 2 * PAGE, 0) == -1) state_skip("mseal: %s", strerror(errno));
        state_ready();
        state_check_fill(area, 4 * PAGE, 1, "the area");
        CHECK(mprotect(area, PAGE, PROT_READ) == -1 && errno == EPERM, "it is no longer sealed");
        MUST(mprotect(area + 2 * PAGE, PAGE, PROT_READ));
    } else if (strcmp(kind, "brk") == 0) {
        unsigned char *start = sbrk(0);
        MUST(sbrk(5 * PAGE));
        state_fill(start, 5 * PAGE, 1);
        state_ready();
        EQUAL((long)sbrk(0), (long)(start + 5 * PAGE));
        MUST(sbrk(9 * PAGE));
        start[13 * PAGE] = 5;
        MUST(sbrk(-10 * PAGE));
        state_check_fill(start, 4 * PAGE, 1, "the heap");
        EQUAL((long)sbrk(0), (long)(start + 4 * PAGE));
    } else if (strcmp(kind, "protections") == 0) {
        unsigned char *area = anonymous(8 * PAGE, MAP_NORESERVE);
        state_fill(area, 8 * PAGE, 1);
        MUST(mprotect(area, PAGE, PROT_NONE));
        MUST(mprotect(area + PAGE, PAGE, PROT_READ));
        MUST(mprotect(area + 2 * PAGE, PAGE, PROT_EXEC));
        unsigned char *common = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        state_fill(common, 8 * PAGE, 2);
        MUST(mprotect(common, PAGE, PROT_NONE));
        MUST(mprotect(common + PAGE, PAGE, PROT_READ));
        MUST(munmap(common + 3 * PAGE, PAGE));
        state_ready();
        EQUAL(fault(area), SIGSEGV);
        EQUAL(fault(common), SIGSEGV);
        EQUAL(fault(common + 3 * PAGE), SIGSEGV);
        MUST(mprotect(area, 8 * PAGE, PROT_READ | PROT_WRITE));
        MUST(mprotect(common, 3 * PAGE, PROT_READ | PROT_WRITE));
        state_check_fill(area, 8 * PAGE, 1, "private");
        state_check_fill(common, 3 * PAGE, 2, "shared");
    } else
        state_fail("no such kind: %s", kind);
    state_pass();
}
