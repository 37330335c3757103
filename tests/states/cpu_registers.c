// Every register that a program can see, kept in a busy loop: general purpose, SSE and AVX with
// MXCSR, the x87 stack with its control word. Nothing is in memory while it waits.
#include <cpuid.h>
#include <fenv.h>

#include "state.h"

static volatile int stop;
static volatile uint64_t general[14];
static unsigned char vector[16 * 32] __attribute__((aligned(32)));
static unsigned char wanted[16 * 32] __attribute__((aligned(32)));
static long double stack_out[6];

static void on_stop(int signal_number) {
    (void)signal_number;
    stop = 1;
}

static bool has_avx(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && (c & bit_OSXSAVE);
}

// Loads the vector registers, counts general registers' worth of constants, spins, stores all.
#define GENERAL_BODY                                                                               \
    "mov $0x1111111111111101, %%rbx\n mov $0x2222222222222202, %%rcx\n"                            \
    "mov $0x3333333333333303, %%rdx\n mov $0x4444444444444404, %%rsi\n"                            \
    "mov $0x5555555555555505, %%rdi\n mov $0x6666666666666606, %%r8\n"                             \
    "mov $0x7777777777777707, %%r9\n  mov $0x8888888888888808, %%r10\n"                            \
    "mov $0x9999999999999909, %%r11\n mov $0xaaaaaaaaaaaaaa0a, %%r12\n"                            \
    "mov $0xbbbbbbbbbbbbbb0b, %%r13\n mov $0xcccccccccccccc0c, %%r14\n"                            \
    "mov $0xdddddddddddddd0d, %%r15\n"                                                             \
    "std\n"                                                                                        \
    "1: mov stop(%%rip), %%eax\n test %%eax, %%eax\n jz 1b\n"                                      \
    "pushf\n cld\n pop %%rax\n mov %%rax, general+104(%%rip)\n"                                    \
    "mov %%rbx, general+0(%%rip)\n  mov %%rcx, general+8(%%rip)\n"                                 \
    "mov %%rdx, general+16(%%rip)\n mov %%rsi, general+24(%%rip)\n"                                \
    "mov %%rdi, general+32(%%rip)\n mov %%r8, general+40(%%rip)\n"                                 \
    "mov %%r9, general+48(%%rip)\n  mov %%r10, general+56(%%rip)\n"                                \
    "mov %%r11, general+64(%%rip)\n mov %%r12, general+72(%%rip)\n"                                \
    "mov %%r13, general+80(%%rip)\n mov %%r14, general+88(%%rip)\n"                                \
    "mov %%r15, general+96(%%rip)\n"
#define CLOBBERED                                                                                  \
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",       \
        "r15", "memory", "cc"

#define EACH(op)                                                                                   \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)        \
        op(14) op(15)
#define LOAD_Y(n) __asm__ volatile("vmovdqa %0, %%ymm" #n : : "m"(wanted[n * 32]));
#define LOAD_X(n) __asm__ volatile("movdqa %0, %%xmm" #n : : "m"(wanted[n * 32]));
#define STORE_Y(n) __asm__ volatile("vmovdqa %%ymm" #n ", %0" : "=m"(vector[n * 32]));
#define STORE_X(n) __asm__ volatile("movdqa %%xmm" #n ", %0" : "=m"(vector[n * 32]));

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool avx = has_avx();
    state_fill(wanted, sizeof wanted, 7);
    signal(SIGTERM, on_stop);

    // Six values on the x87 stack, rounding toward zero in both units, denormals as zero in SSE.
    MUST(fesetround(FE_TOWARDZERO));
    uint32_t mxcsr, mxcsr_now;
    uint16_t control, control_now;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    mxcsr |= 0x8040;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(control));

    int fd = MUST(open(state_path("ready"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    close(fd);

    __asm__ volatile("fldpi\n fldl2e\n fldln2\n fldlg2\n fldl2t\n fld1\n");
    if (avx) {
        EACH(LOAD_Y)
    } else {
        EACH(LOAD_X)
    }
    __asm__ volatile(GENERAL_BODY : : : CLOBBERED);
    if (avx) {
        EACH(STORE_Y)
    } else {
        EACH(STORE_X)
    }
    for (int i = 0; i < 6; i++) __asm__ volatile("fstpt %0" : "=m"(stack_out[i]));
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr_now));
    __asm__ volatile("fnstcw %0" : "=m"(control_now));

    for (int i = 0; i < 13; i++)
        EQUAL(general[i], (i + 1) * 0x1111111111111100ull + i + 1);
    CHECK(general[13] & 0x400, "the direction flag was lost: flags %#" PRIx64, general[13]);
    for (int i = 0; i < 16; i++)
        CHECK(memcmp(vector + i * 32, wanted + i * 32, avx ? 32 : 16) == 0,
              "vector register %d has changed", i);
    EQUAL(mxcsr_now & ~0x3fu, mxcsr & ~0x3fu);
    EQUAL(control_now, control);
    CHECK(stack_out[0] == 1.0L && stack_out[1] > 3.3219L && stack_out[1] < 3.3220L &&
              stack_out[5] > 3.141592L && stack_out[5] < 3.141593L,
          "the x87 stack has changed");
    EQUAL(fegetround(), FE_TOWARDZERO);
    state_pass();
}
