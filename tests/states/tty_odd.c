// Pseudo-terminals in odd positions: a slave that was closed, several slaves, exclusive, locked, packet mode with
// news not yet read, output that is stopped, a line that is not complete, raw input, other speeds, a
// terminal of a child's session, /dev/tty there.
#include <asm/termbits.h>
#include <sys/ioctl.h>

#include "state.h"

static int master_of(char *name) {
    int master = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY)), unlock = 0, number;
    MUST(ioctl(master, TIOCSPTLCK, &unlock));
    MUST(ioctl(master, TIOCGPTN, &number));
    sprintf(name, "/dev/pts/%d", number);
    return master;
}

static char session_name[64];
static int session_master;

static void child(void *arg) {
    (void)arg;
    MUST(setsid());
    int slave = MUST(open(session_name, O_RDWR));
    int controlling = MUST(open("/dev/tty", O_RDWR | O_NONBLOCK));
    close(session_master);
    state_child_ready();
    pid_t group = -1;
    MUST(ioctl(slave, TIOCGPGRP, &group));
    EQUAL(group, getpid());
    MUST(ioctl(controlling, TIOCGSID, &group));
    EQUAL(group, getpid());
    EQUAL(fcntl(controlling, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(write(controlling, "here", 4), 4);
    int again = MUST(open("/dev/tty", O_RDWR));
    close(again);
}

static int waiting(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    poll(&poll_fd, 1, 200);
    return poll_fd.revents;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    char name[9][64], text[200];
    int closed = master_of(name[0]);
    int slave = MUST(open(name[0], O_RDWR | O_NOCTTY));
    EQUAL(write(slave, "farewell", 8), 8);
    close(slave);
    int several = master_of(name[1]);
    int one = MUST(open(name[1], O_RDWR | O_NOCTTY)), two = MUST(open(name[1], O_RDONLY | O_NOCTTY | O_NONBLOCK));
    int locked = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    int exclusive = master_of(name[2]), exclusive_slave = MUST(open(name[2], O_RDWR | O_NOCTTY));
    MUST(ioctl(exclusive_slave, TIOCEXCL));
    int packet = master_of(name[3]), packet_slave = MUST(open(name[3], O_RDWR | O_NOCTTY)), on = 1;
    MUST(ioctl(packet, TIOCPKT, &on));
    EQUAL(write(packet_slave, "packet", 6), 6);
    int partial = master_of(name[4]), partial_slave = MUST(open(name[4], O_RDWR | O_NOCTTY | O_NONBLOCK));
    EQUAL(write(partial, "a line\nnot compl", 16), 16);
    int raw = master_of(name[5]), raw_slave = MUST(open(name[5], O_RDWR | O_NOCTTY | O_NONBLOCK));
    struct termios2 settings, now;
    MUST(ioctl(raw_slave, TCGETS2, &settings));
    settings.c_lflag = 0;
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_cc[VMIN] = 3;
    settings.c_cc[VTIME] = 2;
    settings.c_cflag = (settings.c_cflag & ~CBAUD) | BOTHER;
    settings.c_ospeed = settings.c_ispeed = 12345;
    MUST(ioctl(raw_slave, TCSETS2, &settings));
    MUST(ioctl(raw_slave, TCGETS2, &settings));
    EQUAL(write(raw, "raw\x03 bytes", 10), 10);
    struct winsize size = {33, 77, 5, 6}, size_now;
    MUST(ioctl(raw, TIOCSWINSZ, &size));
    int stopped = master_of(name[6]), stopped_slave = MUST(open(name[6], O_RDWR | O_NOCTTY | O_NONBLOCK));
    MUST(ioctl(stopped_slave, TCXONC, TCOOFF));
    int typed = master_of(name[7]), typed_slave = MUST(open(name[7], O_RDWR | O_NOCTTY | O_NONBLOCK));
    EQUAL(write(typed, "\x13", 1), 1); // the STOP character
    AWAIT(write(typed_slave, "z", 1) == -1, "it is not stopped");
    while (waiting(typed) & POLLIN) MUST(read(typed, text, 100));
    session_master = master_of(session_name);
    pid_t pid = state_fork(child, NULL);
    usleep(50000);

    state_ready();

    EQUAL(read(closed, text, 100), 8);
    CHECK(read(closed, text, 100) == -1 && errno == EIO, "the closed slave is open: %m");
    slave = MUST(open(name[0], O_RDWR | O_NOCTTY));
    EQUAL(write(slave, "back", 4), 4);
    EQUAL(read(closed, text, 100), 4);
    EQUAL(write(one, "out", 3), 3);
    CHECK(waiting(several) & POLLIN, "nothing came out");
    EQUAL(read(several, text, 100), 3);
    EQUAL(write(several, "in\n", 3), 3);
    CHECK(waiting(two) & POLLIN, "nothing came in");
    EQUAL(read(two, text, 100), 3);
    CHECK(write(two, "x", 1) == -1 && errno == EBADF, "a slave open for reading can be written");
    int is_locked = 0;
    MUST(ioctl(locked, TIOCGPTLCK, &is_locked));
    EQUAL(is_locked, 1);
    int is_exclusive = 0;
    MUST(ioctl(exclusive_slave, TIOCGEXCL, &is_exclusive));
    EQUAL(is_exclusive, 1);
    CHECK(waiting(packet) & POLLIN, "the packet is gone");
    ssize_t got = MUST(read(packet, text, 100));
    CHECK(got == 7 && text[0] == 0 && memcmp(text + 1, "packet", 6) == 0, "%zd bytes, first %d", got, text[0]);
    EQUAL(read(partial_slave, text, 100), 7);
    CHECK(read(partial_slave, text, 100) == -1 && errno == EAGAIN, "an incomplete line can be read");
    EQUAL(write(partial, "ete\n", 4), 4);
    CHECK(waiting(partial_slave) & POLLIN, "the line is never complete");
    got = MUST(read(partial_slave, text, 100));
    CHECK(got == 13 && memcmp(text, "not complete\n", 13) == 0, "%.*s", (int)got, text);
    MUST(ioctl(raw_slave, TCGETS2, &now));
    CHECK(memcmp(&now, &settings, sizeof now) == 0, "other settings");
    EQUAL(read(raw_slave, text, 100), 10);
    CHECK(memcmp(text, "raw\x03 bytes", 10) == 0, "other input");
    MUST(ioctl(raw_slave, TIOCGWINSZ, &size_now));
    CHECK(memcmp(&size, &size_now, sizeof size) == 0, "%d rows, %d columns", size_now.ws_row, size_now.ws_col);
    got = write(stopped_slave, "x", 1);
    CHECK(got == -1 && errno == EAGAIN, "stopped output goes on: %zd", got);
    MUST(ioctl(stopped_slave, TCXONC, TCOON));
    EQUAL(write(stopped_slave, "y", 1), 1);
    CHECK(waiting(stopped) & POLLIN, "nothing comes out of what was stopped");
    CHECK(open(name[2], O_RDWR | O_NOCTTY) >= 0 || errno == EBUSY, "open: %m");
    EQUAL(write(exclusive_slave, "e", 1), 1);
    EQUAL(read(exclusive, text, 100), 1);
    got = write(typed_slave, "x", 1);
    CHECK(got == -1 && errno == EAGAIN, "output goes on that a character has stopped: %zd", got);
    EQUAL(write(typed, "\x11", 1), 1); // the START character
    AWAIT(write(typed_slave, "x", 1) == 1, "it never goes on");
    state_child_end(pid);
    CHECK(waiting(session_master) & (POLLIN | POLLHUP), "nothing from the child");
    got = MUST(read(session_master, text, 100));
    CHECK(got == 4 && memcmp(text, "here", 4) == 0, "%.*s", (int)got, text);
    state_pass();
}
