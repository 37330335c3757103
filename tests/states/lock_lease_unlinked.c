// Leases for writing on files that have no name any more: one that is mapped as well, and one that is being broken.
// Nobody can look at such a file by opening it.
#include "state.h"

#define SIZE (3 << 20)

static volatile int told;

static void on_break(int number) {
    (void)number;
    told++;
}

static int make(const char *name) {
    int fd = MUST(open(state_path(name), O_RDWR | O_CREAT, 0600));
    EQUAL(pwrite(fd, name, 4, 0), 4);
    EQUAL(pwrite(fd, name, 4, SIZE - 4), 4);
    MUST(lseek(fd, 5, SEEK_SET));
    return fd;
}

static void check(int fd, const char *name) {
    struct stat now;
    char text[5] = "";
    EQUAL(lseek(fd, 0, SEEK_CUR), 5);
    EQUAL(pread(fd, text, 4, 0), 4);
    CHECK(strcmp(text, name) == 0, "\"%s\" begins with \"%s\"", name, text);
    EQUAL(pread(fd, text, 4, SIZE - 4), 4);
    CHECK(strcmp(text, name) == 0, "\"%s\" ends with \"%s\"", name, text);
    MUST(fstat(fd, &now));
    EQUAL(now.st_size, SIZE);
    EQUAL(now.st_nlink, 0);
    CHECK(now.st_blocks < SIZE / 512, "it has no hole");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGIO, on_break);
    int mapped = make("1234"), broken = make("5678");
    char *memory = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0));
    if (fcntl(mapped, F_SETLEASE, F_WRLCK) == -1) state_skip("no leases on this file system: %s", strerror(errno));
    MUST(fcntl(broken, F_SETLEASE, F_WRLCK));
    EQUAL(open(state_path("5678"), O_RDONLY | O_NONBLOCK), -1);
    AWAIT(told == 1, "told of %d breaks", told);
    MUST(unlink(state_path("1234")));
    MUST(unlink(state_path("5678")));

    state_ready();

    EQUAL(told, 1);
    EQUAL(fcntl(mapped, F_GETLEASE), F_WRLCK);
    EQUAL(fcntl(broken, F_GETLEASE), F_RDLCK);
    check(mapped, "1234");
    check(broken, "5678");
    EQUAL(memory[1], '2');
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", mapped);
    EQUAL(open(path, O_RDONLY | O_NONBLOCK), -1);
    EQUAL(errno, EWOULDBLOCK);
    AWAIT(told == 2, "told of %d breaks", told);
    state_pass();
}
