// FIFOs: with data and both ends, opened for both directions, with only a reader, with a writer left
// whose reader is gone, removed since, other size.
#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    umask(0);
    const char *names[] = {"both ends", "two ways", "reader only", "writer only", "removed"};
    for (int i = 0; i < 5; i++) MUST(mkfifo(state_path(names[i]), 0620));
    static char bytes[60000], is[70000];
    state_fill(bytes, sizeof bytes, 1);
    int reader = MUST(open(state_path(names[0]), O_RDONLY | O_NONBLOCK)), writer = MUST(open(state_path(names[0]), O_WRONLY));
    MUST(fcntl(reader, F_SETFL, 0));
    EQUAL(write(writer, bytes, sizeof bytes), sizeof bytes);
    int both = MUST(open(state_path(names[1]), O_RDWR | O_CLOEXEC));
    EQUAL(write(both, "two ways", 8), 8);
    MUST(fcntl(both, F_SETPIPE_SZ, 8192));
    int lonely = MUST(open(state_path(names[2]), O_RDONLY | O_NONBLOCK));
    int temporary = MUST(open(state_path(names[3]), O_RDONLY | O_NONBLOCK));
    int widow = MUST(open(state_path(names[3]), O_WRONLY));
    close(temporary);
    int gone_reader = MUST(open(state_path(names[4]), O_RDONLY | O_NONBLOCK)), gone_writer = MUST(open(state_path(names[4]), O_WRONLY));
    EQUAL(write(gone_writer, "no name", 7), 7);
    MUST(unlink(state_path(names[4])));

    state_ready();

    EQUAL(fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
    EQUAL(read(reader, is, sizeof is), sizeof bytes);
    CHECK(memcmp(is, bytes, sizeof bytes) == 0, "the data has changed");
    state_ping(writer, reader);
    // A newcomer finds the same pipe behind the name.
    int newcomer = MUST(open(state_path(names[0]), O_WRONLY | O_NONBLOCK));
    state_ping(newcomer, reader);
    EQUAL(fcntl(both, F_GETFL) & O_ACCMODE, O_RDWR);
    EQUAL(fcntl(both, F_GETFD), FD_CLOEXEC);
    EQUAL(fcntl(both, F_GETPIPE_SZ), 8192);
    EQUAL(read(both, is, sizeof is), 8);
    EQUAL(read(lonely, is, 1), 0);
    int late = MUST(open(state_path(names[2]), O_WRONLY | O_NONBLOCK));
    state_ping(late, lonely);
    CHECK(write(widow, "x", 1) == -1 && errno == EPIPE, "a FIFO without readers takes data");
    CHECK(access(state_path(names[4]), F_OK) == -1, "the removed FIFO is back");
    EQUAL(read(gone_reader, is, sizeof is), 7);
    state_ping(gone_writer, gone_reader);
    struct stat stat;
    MUST(fstat(gone_reader, &stat));
    CHECK(S_ISFIFO(stat.st_mode) && (stat.st_mode & 0777) == 0620, "mode %o", stat.st_mode);
    state_pass();
}
