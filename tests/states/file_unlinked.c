// Unlinked but open files: of 1 byte, of 10 MB, empty, with a hole, open twice and shared, with mode,
// owner and times; O_TMPFILE ones with and without a later name.
#include "state.h"

#define BIG (10 << 20)

static int create_gone(const char *name, size_t size, uint32_t seed) {
    const char *path = state_path(name);
    int fd = MUST(open(path, O_RDWR | O_CREAT | O_EXCL, 0604));
    char *bytes = malloc(size + 1);
    state_fill(bytes, size, seed);
    EQUAL(write(fd, bytes, size), (ssize_t)size);
    free(bytes);
    MUST(unlink(path));
    return fd;
}

static void check_gone(int fd, size_t size, uint32_t seed, const char *what) {
    struct stat stat;
    MUST(fstat(fd, &stat));
    CHECK(stat.st_size == (off_t)size && stat.st_nlink == 0, "%s: size %ld, %ld links", what, (long)stat.st_size,
          (long)stat.st_nlink);
    char *bytes = malloc(size + 1);
    EQUAL(pread(fd, bytes, size + 1, 0), (ssize_t)size);
    state_check_fill(bytes, size, seed, what);
    free(bytes);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int one = create_gone("one", 1, 1), big = create_gone("big", BIG, 2), empty = create_gone("empty", 0, 0);
    int hole = create_gone("hole", 0, 0);
    MUST(ftruncate(hole, 1l << 33));
    EQUAL(pwrite(hole, "middle", 6, 1l << 32), 6);
    MUST(fchmod(one, 0751));
    MUST(fchown(one, 1234, 2345));
    struct timespec times[2] = {{1000000000, 111}, {1100000000, 222}};
    MUST(futimens(one, times));
    MUST(lseek(big, 77777, SEEK_SET));
    // The same unlinked file by a second description, read-only.
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", big);
    int big_again = MUST(open(path, O_RDONLY));
    MUST(lseek(big_again, 5, SEEK_SET));
    // A new file took the name of an unlinked one.
    int replaced = create_gone("taken", 5000, 3);
    int successor = MUST(open(state_path("taken"), O_RDWR | O_CREAT | O_EXCL, 0600));
    EQUAL(write(successor, "new", 3), 3);
    int temporary = MUST(open(state_path("."), O_TMPFILE | O_RDWR, 0600));
    EQUAL(write(temporary, "temporary", 9), 9);
    int sealed = MUST(open(state_path("."), O_TMPFILE | O_RDWR | O_EXCL, 0600));
    EQUAL(write(sealed, "never named", 11), 11);

    state_ready();

    struct stat stat, again;
    MUST(fstat(one, &stat));
    EQUAL(stat.st_mode & 07777, 0751);
    EQUAL(stat.st_uid, 1234);
    EQUAL(stat.st_gid, 2345);
    EQUAL(stat.st_mtim.tv_sec, 1100000000);
    EQUAL(stat.st_mtim.tv_nsec, 222);
    check_gone(one, 1, 1, "one byte");
    EQUAL(lseek(big, 0, SEEK_CUR), 77777);
    EQUAL(lseek(big_again, 0, SEEK_CUR), 5);
    check_gone(big, BIG, 2, "10 MB");
    check_gone(empty, 0, 0, "empty");
    check_gone(replaced, 5000, 3, "replaced");
    MUST(fstat(hole, &stat));
    EQUAL(stat.st_size, 1l << 33);
    CHECK(stat.st_blocks < 1000, "the hole was filled: %ld blocks", (long)stat.st_blocks);
    char text[16] = {0};
    EQUAL(pread(hole, text, 6, 1l << 32), 6);
    CHECK(strcmp(text, "middle") == 0, "the middle is %s", text);
    MUST(fstat(big, &stat));
    MUST(fstat(big_again, &again));
    CHECK(stat.st_ino == again.st_ino && stat.st_dev == again.st_dev, "one file became two");
    CHECK(write(big_again, "x", 1) == -1 && errno == EBADF, "a read-only descriptor can write");
    EQUAL(pwrite(big, "Y", 1, 9), 1);
    EQUAL(pread(big_again, text, 1, 9), 1);
    EQUAL(text[0], 'Y');
    for (int i = 0; i < 5; i++)
        if (i != 3)
            CHECK(access(state_path(((const char *[]){"one", "big", "empty", "", "hole"})[i]), F_OK) == -1,
                  "an unlinked name is back");
    EQUAL(pread(successor, text, 3, 0), 3);
    CHECK(memcmp(text, "new", 3) == 0, "the new file under an old name has changed");
    EQUAL(pread(temporary, text, 9, 0), 9);
    CHECK(memcmp(text, "temporary", 9) == 0, "O_TMPFILE: other content");
    snprintf(path, sizeof path, "/proc/self/fd/%d", temporary);
    MUST(linkat(AT_FDCWD, path, AT_FDCWD, state_path("named at last"), AT_SYMLINK_FOLLOW));
    EQUAL(pread(sealed, text, 11, 0), 11);
    EQUAL(ftruncate(empty, 100), 0);
    state_pass();
}
