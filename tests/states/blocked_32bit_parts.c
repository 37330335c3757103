// A 64-bit program with parts for 32-bit code: "thread", one that runs such code, or "segments", of its own.
#include <asm/ldt.h>

#include "state.h"

// Where 32-bit code can reach it.
struct low {
    uint8_t code32[32], code64[32];
    volatile uint32_t turns, leave;
    uint8_t stack[64 * 1024];
};

static void put(uint8_t **at, const uint8_t *code, size_t len, const volatile void *address) {
    memcpy(*at, code, len);
    *at += len;
    if (address == NULL) return;
    uint32_t low = (uint32_t)(uintptr_t)address;
    memcpy(*at, &low, sizeof low);
    *at += sizeof low;
}

// Counts turns in 32-bit code until it is told to leave, and comes back to 64-bit code, which returns.
static void write_code(struct low *low) {
    static const uint8_t count[] = {0xff, 0x05}, compare[] = {0x83, 0x3d}, leave_or_turn[] = {0x00, 0x74, 0xf1},
                         jump_far[] = {0xea}, segment64[] = {0x33, 0x00}, ret[] = {0xc3};
    uint8_t *at = low->code32;
    put(&at, count, sizeof count, &low->turns);
    put(&at, compare, sizeof compare, &low->leave);
    put(&at, leave_or_turn, sizeof leave_or_turn, NULL);
    put(&at, jump_far, sizeof jump_far, low->code64);
    put(&at, segment64, sizeof segment64, NULL);
    at = low->code64;
    put(&at, ret, sizeof ret, NULL);
}

static void *run_code32(void *arg) {
    struct low *low = arg;
    // Its data needs a segment too. The stack is low: of its pointer, 32-bit code may keep the lower half only.
    __asm__ volatile("movl $0x2b, %%eax\n\tmovl %%eax, %%ds\n\tsubq $128, %%rsp\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\t"
                     "pushq $0x23\n\tpushq %0\n\tlretq\n1:\taddq $128, %%rsp"
                     :
                     : "r"((uint64_t)(uintptr_t)low->code32)
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
    return NULL;
}

static void check_thread(void) {
    struct low *low = mmap(NULL, sizeof *low, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED) state_fail("memory below 4 GiB: %m");
    write_code(low);
    pthread_t thread;
    pthread_attr_t attr;
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstack(&attr, low->stack, sizeof low->stack));
    OK(pthread_create(&thread, &attr, run_code32, low));
    AWAIT(low->turns > 0, "no turn in 32-bit code");
    state_ready();
    uint32_t turns = low->turns;
    AWAIT(low->turns != turns, "it turns no more");
    low->leave = 1;
    OK(pthread_join(thread, NULL));
    state_pass();
}

static void check_segments(void) {
    struct user_desc segment = {.entry_number = 5, .base_addr = 0x1234000, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    if (syscall(SYS_modify_ldt, 0x11, &segment, sizeof segment) == -1) state_skip("modify_ldt: %s", strerror(errno));
    uint64_t before[16], after[16];
    EQUAL(syscall(SYS_modify_ldt, 0, before, sizeof before), sizeof before);
    state_ready();
    EQUAL(syscall(SYS_modify_ldt, 0, after, sizeof after), sizeof after);
    CHECK(memcmp(before, after, sizeof after) == 0, "other segments");
    state_pass();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (strcmp(state_arg(0), "thread") == 0) check_thread();
    check_segments();
}
