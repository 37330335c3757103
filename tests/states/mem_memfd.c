// memfd: content, size with a hole, seals, names, mapped and not, open twice, write-sealed with a
// read-only mapping, close-on-exec, position, executable bit.
#include "state.h"

#define PAGE 4096ul

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int plain = MUST(memfd_create("plain name", MFD_CLOEXEC));
    int sealed = MUST(memfd_create("sealed", MFD_ALLOW_SEALING));
    int sparse = MUST(memfd_create("", 0));
    static unsigned char bytes[10 * PAGE];
    state_fill(bytes, sizeof bytes, 1);
    EQUAL(write(plain, bytes, sizeof bytes), sizeof bytes);
    MUST(lseek(plain, 1234, SEEK_SET));
    EQUAL(write(sealed, bytes, sizeof bytes), sizeof bytes);
    unsigned char *view = MUST(mmap(NULL, 10 * PAGE, PROT_READ, MAP_SHARED, sealed, 0));
    MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE));
    MUST(ftruncate(sparse, 1ul << 30));
    EQUAL(pwrite(sparse, bytes, PAGE, 1 << 29), PAGE);
    unsigned char *shared = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, plain, 2 * PAGE));
    unsigned char *private = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, plain, 0));
    state_fill(private, PAGE, 3);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
    int again = MUST(open(path, O_RDONLY | O_NONBLOCK)); // a second description of the same file
    MUST(lseek(again, 99, SEEK_SET));
    // Only mapped, with no descriptor left.
    int dropped = MUST(memfd_create("dropped", MFD_ALLOW_SEALING));
    MUST(ftruncate(dropped, 4 * PAGE));
    unsigned char *only = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dropped, 0));
    state_fill(only, 4 * PAGE, 5);
    close(dropped);
    MUST(fchmod(sparse, 0640));

    state_ready();

    EQUAL(lseek(plain, 0, SEEK_CUR), 1234);
    EQUAL(lseek(again, 0, SEEK_CUR), 99);
    EQUAL(fcntl(plain, F_GETFD), FD_CLOEXEC);
    EQUAL(fcntl(sealed, F_GETFD), 0);
    EQUAL(fcntl(again, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
    EQUAL(fcntl(plain, F_GETFL) & O_ACCMODE, O_RDWR);
    EQUAL(fcntl(sealed, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
    EQUAL(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
    struct stat one, two;
    MUST(fstat(plain, &one));
    MUST(fstat(again, &two));
    CHECK(one.st_ino == two.st_ino && one.st_dev == two.st_dev, "one file became two");
    char target[64] = {0};
    MUST(readlink(path, target, sizeof target - 1));
    CHECK(strcmp(target, "/memfd:plain name (deleted)") == 0, "it is called %s", target);
    static unsigned char now[10 * PAGE];
    EQUAL(pread(plain, now, sizeof now, 0), sizeof now);
    CHECK(memcmp(now, bytes, sizeof now) == 0, "the content has changed");
    CHECK(memcmp(view, bytes, sizeof bytes) == 0, "the sealed content has changed");
    CHECK(pwrite(sealed, bytes, 1, 0) == -1 && errno == EPERM, "a sealed file could be written");
    CHECK(ftruncate(sealed, 0) == -1 && errno == EPERM, "a sealed file could be cut");
    MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_SEAL));
    MUST(fstat(sparse, &one));
    EQUAL(one.st_size, 1l << 30);
    EQUAL(one.st_mode & 07777, 0640);
    CHECK(one.st_blocks < 4096, "the hole was filled: %ld blocks", (long)one.st_blocks);
    EQUAL(pread(sparse, now, PAGE, 1 << 29), PAGE);
    CHECK(memcmp(now, bytes, PAGE) == 0, "the page behind the hole");
    state_check_fill(private, PAGE, 3, "a private page");
    CHECK(memcmp(private + PAGE, bytes + PAGE, 3 * PAGE) == 0, "an untouched private page");
    shared[5] ^= 255;
    EQUAL(pread(plain, now, 1, 2 * PAGE + 5), 1);
    EQUAL(now[0], shared[5]);
    state_check_fill(only, 4 * PAGE, 5, "the memfd without a descriptor");
    struct state_map map;
    state_map_at(only, &map);
    CHECK(strcmp(map.path, "/memfd:dropped (deleted)") == 0, "it is called %s", map.path);
    state_pass();
}
