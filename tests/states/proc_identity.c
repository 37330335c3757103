// What a process is known by: arguments, environment, auxiliary vector, comm, executable, PID,
// and the marks of its address space.
#include <sys/auxv.h>

#include "state.h"

extern char **environ;

static uint64_t sum_of(const char *path) {
    int fd = MUST(open(path, O_RDONLY));
    uint64_t sum = 1469598103934665603u;
    unsigned char buffer[4096];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < got; i++) sum = (sum ^ buffer[i]) * 1099511628211u;
    close(fd);
    return sum;
}

// Fields 26 to 28 and 45 to 51 of stat: code, data, brk, arguments, environment.
static void marks(char *text, size_t room) {
    char *stat = state_slurp("/proc/self/stat");
    char *at = strrchr(stat, ')') + 2;
    size_t used = 0;
    int field = 3;
    for (char *word = strtok(at, " \n"); word; word = strtok(NULL, " \n"), field++)
        if ((field >= 26 && field <= 28) || (field >= 45 && field <= 51))
            used += snprintf(text + used, room - used, "%d:%s ", field, word);
    free(stat);
}

int main(int argc, char **argv) {
    setenv("LONG_VALUE", "a value that moves the environment to the heap, with = and blanks", 1);
    state_begin(argc, argv);
    // A name given at run time, as daemons do: both comm and the argument area.
    MUST(prctl(PR_SET_NAME, "bed side \xc3\xa4)("));
    memset(argv[0], 'x', strlen(argv[0]));

    pid_t pid = getpid(), group = getpgrp(), session = getsid(0);
    uint64_t arguments = sum_of("/proc/self/cmdline"), environment = sum_of("/proc/self/environ");
    uint64_t auxiliary = sum_of("/proc/self/auxv");
    unsigned char *random = (unsigned char *)getauxval(AT_RANDOM), random_was[16];
    memcpy(random_was, random, 16);
    unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
    char exe[PATH_MAX] = {0}, exe_now[PATH_MAX] = {0}, was[1024], is[1024], name[32];
    MUST(readlink("/proc/self/exe", exe, sizeof exe - 1));
    void *brk_was = sbrk(0);
    marks(was, sizeof was);

    state_ready();

    if (state_breaking()) prctl(PR_SET_NAME, "another");
    EQUAL(getpid(), pid);
    EQUAL(syscall(SYS_gettid), pid);
    EQUAL(getpgrp(), group);
    EQUAL(getsid(0), session);
    EQUAL(sum_of("/proc/self/cmdline"), arguments);
    EQUAL(sum_of("/proc/self/environ"), environment);
    EQUAL(sum_of("/proc/self/auxv"), auxiliary);
    CHECK(memcmp(random, random_was, 16) == 0, "AT_RANDOM's bytes have changed");
    EQUAL(getauxval(AT_SYSINFO_EHDR), vdso);
    MUST(readlink("/proc/self/exe", exe_now, sizeof exe_now - 1));
    CHECK(strcmp(exe, exe_now) == 0, "executable %s, was %s", exe_now, exe);
    MUST(prctl(PR_GET_NAME, name));
    CHECK(strcmp(name, "bed side \xc3\xa4)(") == 0, "comm is %s", name);
    marks(is, sizeof is);
    CHECK(strcmp(was, is) == 0, "marks of the address space: %s, were %s", is, was);
    CHECK(sbrk(0) == brk_was, "the program break moved");
    CHECK(sbrk(65536) == brk_was && sbrk(0) == (char *)brk_was + 65536, "brk does not grow");
    CHECK(strcmp(getenv("LONG_VALUE") + 2, "value that moves the environment to the heap, with = and blanks") == 0,
          "the environment has changed");
    struct timespec now;
    OK(clock_gettime(CLOCK_REALTIME, &now)); // through the vDSO
    state_pass();
}
