// Device nodes and files of /proc: null, zero, full, random, urandom, tty-less; /proc/self and
// /proc/PID files of itself and of a child, at a position; sysfs.
#include <sys/sysmacros.h>

#include "state.h"

static void child(void *arg) {
    (void)arg;
    state_child_ready();
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int null = MUST(open("/dev/null", O_RDWR | O_APPEND)), zero = MUST(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    int full = MUST(open("/dev/full", O_WRONLY)), random = MUST(open("/dev/urandom", O_RDONLY));
    unsigned char *zeroes = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0));
    zeroes[4096] = 7;
    pid_t pid = state_fork(child, NULL);
    char name[64];
    int self_status = MUST(open("/proc/self/status", O_RDONLY)), cpuinfo = MUST(open("/proc/cpuinfo", O_RDONLY));
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    int child_status = MUST(open(name, O_RDONLY));
    snprintf(name, sizeof name, "/proc/%d", pid);
    int child_folder = MUST(open(name, O_RDONLY | O_DIRECTORY));
    int fd_folder = MUST(open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
    int memory = MUST(open("/proc/self/mem", O_RDWR)), online = MUST(open("/sys/devices/system/cpu/online", O_RDONLY));
    char head[10], again[10];
    EQUAL(read(cpuinfo, head, 10), 10);
    EQUAL(read(cpuinfo, head, 10), 10);
    MUST(lseek(self_status, 6, SEEK_SET));

    state_ready();

    char buffer[4096];
    EQUAL(write(null, "x", 1), 1);
    EQUAL(read(null, buffer, 1), 0);
    CHECK(fcntl(null, F_GETFL) & O_APPEND, "O_APPEND was lost");
    struct stat stat;
    MUST(fstat(null, &stat));
    EQUAL(stat.st_rdev, makedev(1, 3));
    memset(buffer, 1, sizeof buffer);
    EQUAL(read(zero, buffer, sizeof buffer), sizeof buffer);
    EQUAL(buffer[4095], 0);
    EQUAL(fcntl(zero, F_GETFD), FD_CLOEXEC);
    CHECK(write(full, "x", 1) == -1 && errno == ENOSPC, "/dev/full is not full");
    EQUAL(read(random, buffer, 64), 64);
    CHECK(zeroes[0] == 0 && zeroes[4096] == 7, "the mapping of /dev/zero");
    EQUAL(lseek(self_status, 0, SEEK_CUR), 6);
    EQUAL(read(self_status, buffer, 12), 12);
    CHECK(memcmp(buffer, "file_devices", 12) == 0, "/proc/self/status goes on with %.12s", buffer);
    EQUAL(lseek(cpuinfo, 0, SEEK_CUR), 20);
    EQUAL(pread(cpuinfo, again, 10, 10), 10);
    CHECK(memcmp(head, again, 10) == 0, "another /proc/cpuinfo");
    ssize_t got = read(child_status, buffer, sizeof buffer - 1);
    CHECK(got > 100, "the child's status: %zd", got);
    buffer[got] = 0;
    char want[32];
    snprintf(want, sizeof want, "\nPid:\t%d\n", pid);
    CHECK(strstr(buffer, want), "another process' status");
    int inside = MUST(openat(child_folder, "comm", O_RDONLY));
    close(inside);
    snprintf(name, sizeof name, "%d", null);
    MUST(faccessat(fd_folder, name, F_OK, AT_SYMLINK_NOFOLLOW));
    int value = 5, other = 9;
    EQUAL(pread(memory, &other, sizeof other, (off_t)&value), (ssize_t)sizeof other);
    EQUAL(other, 5);
    CHECK(pread(online, buffer, 10, 0) > 0, "sysfs can't be read");
    state_child_end(pid);
    state_pass();
}
