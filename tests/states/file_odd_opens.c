// Descriptors that are not quite files: O_PATH of a file, a folder, a symbolic link and a socket;
// O_DIRECT; O_DIRECTORY; a folder's descriptor used by openat; a FIFO without peer; O_PATH of a
// removed file.
#include <sys/socket.h>
#include <sys/un.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = MUST(open(state_path("file"), O_RDWR | O_CREAT, 0644));
    static char page[8192] __attribute__((aligned(4096)));
    state_fill(page, sizeof page, 1);
    EQUAL(write(fd, page, sizeof page), sizeof page);
    MUST(symlink("file", state_path("link")));
    int path_file = MUST(open(state_path("file"), O_PATH)), path_folder = MUST(open(state_path("."), O_PATH | O_DIRECTORY));
    int path_link = MUST(open(state_path("link"), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    int gone = MUST(open(state_path("gone"), O_RDWR | O_CREAT, 0600));
    int path_gone = MUST(open(state_path("gone"), O_PATH));
    MUST(unlink(state_path("gone")));
    close(gone);
    int folder = MUST(open(state_path("."), O_RDONLY | O_DIRECTORY));
    int direct = open(state_path("file"), O_RDWR | O_DIRECT);
    MUST(mkfifo(state_path("fifo"), 0600));
    int path_fifo = MUST(open(state_path("fifo"), O_PATH));

    state_ready();

    CHECK(fcntl(path_file, F_GETFL) & O_PATH, "O_PATH was lost");
    char byte;
    CHECK(read(path_file, &byte, 1) == -1 && errno == EBADF, "an O_PATH descriptor can be read");
    struct stat one, two;
    MUST(fstat(path_file, &one));
    MUST(fstat(fd, &two));
    EQUAL(one.st_ino, two.st_ino);
    CHECK((fcntl(path_folder, F_GETFL) & (O_PATH | O_DIRECTORY)) == (O_PATH | O_DIRECTORY), "flags %#o",
          fcntl(path_folder, F_GETFL));
    int by_path = MUST(openat(path_folder, "file", O_RDONLY));
    EQUAL(read(by_path, &byte, 1), 1);
    char target[16] = {0};
    EQUAL(readlinkat(path_link, "", target, sizeof target), 4);
    CHECK(strcmp(target, "file") == 0, "the link points to %s", target);
    CHECK((fcntl(path_link, F_GETFL) & (O_PATH | O_NOFOLLOW)) == (O_PATH | O_NOFOLLOW), "flags %#o",
          fcntl(path_link, F_GETFL));
    EQUAL(fcntl(path_link, F_GETFD), FD_CLOEXEC);
    MUST(fstat(path_gone, &one));
    EQUAL(one.st_nlink, 0);
    CHECK(fcntl(path_gone, F_GETFL) & O_PATH, "O_PATH was lost");
    MUST(fstat(path_fifo, &one));
    CHECK(S_ISFIFO(one.st_mode), "mode %o", one.st_mode);
    int created = MUST(openat(folder, "made later", O_CREAT | O_WRONLY, 0600));
    close(created);
    MUST(access(state_path("made later"), F_OK));
    if (direct != -1) {
        CHECK(fcntl(direct, F_GETFL) & O_DIRECT, "O_DIRECT was lost");
        static char now[8192] __attribute__((aligned(4096)));
        EQUAL(pread(direct, now, 4096, 4096), 4096);
        CHECK(memcmp(now, page + 4096, 4096) == 0, "other content");
        CHECK(pread(direct, now + 1, 100, 0) == -1 && errno == EINVAL, "it takes unaligned reads");
    }
    state_pass();
}
