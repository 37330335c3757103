// Clock reads through the vDSO from busy threads, and (argument "moved") the vDSO and its data at
// another place, where the program itself has moved them.
#include "state.h"

static volatile int stop;

static _Atomic int reading;

static void *reads(void *arg) {
    struct timespec last = {0}, now;
    reading++;
    while (!stop) {
        OK(clock_gettime(CLOCK_MONOTONIC, &now));
        CHECK(now.tv_sec > last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec),
              "the monotonic clock went back from %ld.%09ld to %ld.%09ld", last.tv_sec,
              last.tv_nsec, now.tv_sec, now.tv_nsec);
        last = now;
    }
    return arg;
}

static bool named(const char *name, struct state_map *found) {
    char *text = state_slurp("/proc/self/maps"), *line = strstr(text, name);
    if (!line) return false;
    while (line > text && line[-1] != '\n') line--;
    bool mapped = state_map_at((void *)strtoul(line, NULL, 16), found);
    free(text);
    return mapped;
}

// The data areas and the code lie next to each other and move together. libc keeps the old address,
// so the program may not read a clock through libc afterwards.
static void moved(void) {
    struct state_map code, data, part, now;
    CHECK(named("[vdso]", &code) && named("[vvar]", &data), "no vDSO");
    size_t size = code.end - data.start;
    char *target = MUST(mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (uintptr_t at = data.start; at < code.end; at = part.end) {
        CHECK(state_map_at((void *)at, &part), "a gap before the vDSO");
        if (syscall(SYS_mremap, part.start, part.end - part.start, part.end - part.start,
                    MREMAP_MAYMOVE | MREMAP_FIXED, target + (part.start - data.start)) == -1)
            state_skip("this kernel does not move %s", part.path);
    }
    CHECK(named("[vdso]", &code), "the vDSO is gone");

    state_ready();

    CHECK(named("[vdso]", &now) && now.start == code.start && now.end == code.end, "the vDSO moved");
    CHECK(named("[vvar]", &now) && now.start == (uintptr_t)target, "the vDSO's data moved");
    CHECK(memcmp((void *)code.start, "\177ELF", 4) == 0, "there is no vDSO at its place");
    state_pass();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (state_arg(0)) moved();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) OK(pthread_create(&threads[i], NULL, reads, NULL));
    // Until it runs, a new thread has all signals blocked.
    AWAIT(reading == 2, "a thread does not run");
    state_ready();
    usleep(50000);
    stop = 1;
    for (int i = 0; i < 2; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
