// Restartable sequences: threads that are within one nearly all the time. Whoever is stopped inside begins
// anew at its abort address; none comes to its end that was interrupted.
#include <stddef.h>

#include "state.h"

#if defined(__x86_64__)
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

enum { THREADS = 4, SIGNATURE = 0x53053053 };

static volatile int stop;
static long finished[THREADS], aborted[THREADS], torn[THREADS];

struct area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t section;
};

// One sequence: it notes what /proc-like outsiders can't change, a serial number, spins, and finishes. The
// kernel takes the pointer to the section away when it interrupts it, so at the end it must still be there.
static void *runner(void *arg) {
    int n = (int)(intptr_t)arg;
    struct area *area = (struct area *)((char *)__builtin_thread_pointer() + __rseq_offset);
    while (!stop) {
        uint64_t left = 0;
        int result;
        __asm__ volatile(
            ".pushsection .data.rseq_section, \"aw\"\n"
            ".balign 32\n"
            "3: .long 0, 0\n"
            ".quad 1f, (2f - 1f), 4f\n"
            ".popsection\n"
            "lea 3b(%%rip), %%rax\n"
            "mov %%rax, %[section]\n"
            "1:\n"
            "mov $10000, %%ecx\n"
            "5: pause\n"
            "dec %%ecx\n"
            "jnz 5b\n"
            "mov %[section], %[left]\n"
            "mov $1, %[result]\n"
            "2:\n"
            "jmp 6f\n"
            ".byte 0x0f, 0xb9, 0x3d\n"
            ".long 0x53053053\n"
            "4: mov $0, %[result]\n"
            "6:\n"
            : [result] "=&r"(result), [left] "+&r"(left), [section] "+m"(area->section)
            :
            : "rax", "rcx", "memory", "cc");
        if (result == 0)
            aborted[n]++;
        else if (left == 0)
            torn[n]++;
        else
            finished[n]++;
        area->section = 0;
    }
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (!&__rseq_size || __rseq_size == 0) state_skip("this C library does not register restartable sequences");
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) OK(pthread_create(&threads[i], NULL, runner, (void *)i));
    for (int i = 0; i < THREADS; i++) AWAIT(*(volatile long *)&finished[i] + *(volatile long *)&aborted[i] > 1, "thread %d does not run", i);

    state_ready();

    long before[THREADS];
    for (int i = 0; i < THREADS; i++) before[i] = *(volatile long *)&finished[i];
    for (int i = 0; i < THREADS; i++) AWAIT(*(volatile long *)&finished[i] > before[i], "thread %d finishes no sequence any more", i);
    stop = 1;
    for (int i = 0; i < THREADS; i++) OK(pthread_join(threads[i], NULL));
    if (state_breaking()) torn[0]++;
    for (int i = 0; i < THREADS; i++)
        CHECK(torn[i] == 0, "thread %d finished %ld sequences that had been interrupted (%ld aborted, %ld finished)", i, torn[i], aborted[i], finished[i]);
    state_pass();
}
#else
int main(int argc, char **argv) {
    state_begin(argc, argv);
    state_skip("written for x86-64");
}
#endif
