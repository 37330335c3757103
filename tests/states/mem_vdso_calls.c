// Calls of each function of the vDSO at the address where it was at the program's start, before and after: clocks go
// on and agree with the system calls, getcpu names a processor, getrandom fills with its state in droppable memory.
#include "state.h"

#include <elf.h>
#include <sys/auxv.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

typedef int (*clock_function)(clockid_t, struct timespec *);
typedef int (*day_function)(struct timeval *, void *);
typedef time_t (*time_function)(time_t *);
typedef long (*cpu_function)(unsigned *, unsigned *, void *);
typedef ssize_t (*random_function)(void *, size_t, unsigned, void *, size_t);

static struct {
    clock_function gettime, getres;
    day_function day;
    time_function time;
    cpu_function cpu;
    random_function random;
} vdso;

// What getrandom's state needs, as the function tells when it is asked with a length of -1.
static struct {
    uint32_t size, prot, flags, reserved[13];
} needs;
static void *random_state;
static volatile bool stop;

static void *named(const char *name) {
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    if (!base) state_skip("this kernel maps no vDSO");
    const Elf64_Ehdr *header = (const void *)base;
    const Elf64_Phdr *parts = (const void *)(base + header->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    for (int i = 0; i < header->e_phnum; i++)
        if (parts[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + parts[i].p_vaddr);
    CHECK(dynamic, "the vDSO has no dynamic section");
    const Elf64_Sym *symbols = NULL;
    const char *names = NULL;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB) symbols = (const void *)(base + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB) names = base + dynamic->d_un.d_ptr;
    }
    for (const Elf64_Sym *symbol = symbols; (const char *)symbol < names; symbol++)
        if (strcmp(names + symbol->st_name, name) == 0) return (void *)(base + symbol->st_value);
    return NULL;
}

static int64_t ns(struct timespec at) {
    return at.tv_sec * 1000000000ll + at.tv_nsec;
}

// The clock by the vDSO, which has to lie between two system calls.
static int64_t reads(clockid_t clock) {
    struct timespec before, at, after;
    OK(syscall(SYS_clock_gettime, clock, &before));
    CHECK(vdso.gettime(clock, &at) == 0, "clock %d is refused", clock);
    OK(syscall(SYS_clock_gettime, clock, &after));
    CHECK(ns(before) <= ns(at) && ns(at) <= ns(after), "clock %d: %ld, %ld, %ld", clock, ns(before), ns(at), ns(after));
    return ns(at);
}

static void calls(void) {
    reads(CLOCK_REALTIME);
    reads(CLOCK_MONOTONIC);
    reads(CLOCK_BOOTTIME);
    reads(CLOCK_MONOTONIC_RAW);
    // One that the vDSO leaves to the kernel.
    reads(CLOCK_PROCESS_CPUTIME_ID);
    struct timespec resolution;
    CHECK(vdso.getres(CLOCK_MONOTONIC, &resolution) == 0 && ns(resolution) > 0, "no resolution");
    struct timeval day;
    time_t now = time(NULL), told;
    CHECK(vdso.day(&day, NULL) == 0 && day.tv_sec - now <= 1, "gettimeofday tells %ld at %ld", day.tv_sec, now);
    CHECK(vdso.time(&told) - now <= 1 && told - now <= 1, "time tells %ld at %ld", told, now);
    unsigned cpu = ~0u, node = ~0u;
    CHECK(vdso.cpu(&cpu, &node, NULL) == 0 && cpu < 8192 && node < 1024, "getcpu tells %u, %u", cpu, node);
    if (!vdso.random) return;
    unsigned char bytes[2][64] = {{0}};
    for (int i = 0; i < 2; i++) {
        ssize_t got = vdso.random(bytes[i], sizeof bytes[i], 0, random_state, needs.size);
        CHECK(got == sizeof bytes[i], "getrandom gives %zd bytes", got);
    }
    CHECK(memcmp(bytes[0], bytes[1], sizeof bytes[0]) != 0, "getrandom gives the same twice");
}

static void *busy(void *unused) {
    struct timespec last = {0}, at;
    while (!stop) {
        CHECK(vdso.gettime(CLOCK_MONOTONIC, &at) == 0 && ns(at) >= ns(last), "the clock went back");
        last = at;
    }
    return unused;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    vdso.gettime = (clock_function)named("__vdso_clock_gettime");
    vdso.getres = (clock_function)named("__vdso_clock_getres");
    vdso.day = (day_function)named("__vdso_gettimeofday");
    vdso.time = (time_function)named("__vdso_time");
    vdso.cpu = (cpu_function)named("__vdso_getcpu");
    vdso.random = (random_function)named("__vdso_getrandom");
    CHECK(vdso.gettime && vdso.getres && vdso.day && vdso.time && vdso.cpu, "a function is missing");
    if (vdso.random) {
        CHECK(vdso.random(NULL, 0, 0, &needs, ~0ul) == 0, "getrandom does not tell its needs");
        random_state = MUST(mmap(NULL, 4096, needs.prot, needs.flags, -1, 0));
    }
    calls();
    pthread_t thread;
    OK(pthread_create(&thread, NULL, busy, NULL));
    int64_t before = reads(CLOCK_MONOTONIC);

    state_ready();

    CHECK(reads(CLOCK_MONOTONIC) >= before, "the monotonic clock went back");
    calls();
    stop = true;
    OK(pthread_join(thread, NULL));
    // A child's own program has a vDSO of its own.
    pid_t child = MUST(fork());
    if (child == 0) {
        execl("/bin/date", "date", "+%s", NULL);
        _exit(1);
    }
    int status;
    MUST(waitpid(child, &status, 0));
    CHECK(status == 0, "a child that reads the clock ends with %#x", status);
    state_pass();
}
