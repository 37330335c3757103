// A PTY pair inside the tree: termios with every field, window size, data waiting in both
// directions, packet mode, exclusive mode, locks, and a second pair whose master is closed.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "state.h"

#ifndef TIOCGPKT
#define TIOCGPKT _IOR('T', 0x38, int)
#define TIOCGPTLCK _IOR('T', 0x39, int)
#define TIOCGEXCL _IOR('T', 0x40, int)
#endif

static int get(int fd, unsigned long request) {
    int value = -1;
    MUST(ioctl(fd, request, &value));
    return value;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int master = MUST(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    MUST(grantpt(master));
    MUST(unlockpt(master));
    char name[64], name_now[64];
    OK(ptsname_r(master, name, sizeof name));
    int slave = MUST(open(name, O_RDWR | O_NOCTTY)), twin = MUST(open(name, O_RDWR | O_NOCTTY | O_NONBLOCK));
    struct settings {
        struct termios t;
    } was = {0}, is = {0};
    MUST(tcgetattr(slave, &was.t));
    cfmakeraw(&was.t);
    was.t.c_iflag |= INLCR | IXANY;
    was.t.c_oflag |= OPOST | ONLCR;
    was.t.c_lflag |= TOSTOP;
    was.t.c_cc[VMIN] = 3;
    was.t.c_cc[VTIME] = 7;
    was.t.c_cc[VINTR] = 'Q';
    cfsetispeed(&was.t, B19200);
    cfsetospeed(&was.t, B19200);
    MUST(tcsetattr(slave, TCSANOW, &was.t));
    MUST(tcgetattr(slave, &was.t));
    struct winsize size = {.ws_row = 33, .ws_col = 111, .ws_xpixel = 5, .ws_ypixel = 6}, size_now;
    MUST(ioctl(master, TIOCSWINSZ, &size));
    EQUAL(write(master, "typed", 5), 5);
    EQUAL(write(slave, "shown\n", 6), 6);

    int packet_master, packet_slave, one = 1;
    MUST(openpty(&packet_master, &packet_slave, NULL, NULL, NULL));
    MUST(ioctl(packet_master, TIOCPKT, &one));
    MUST(ioctl(packet_slave, TIOCEXCL, NULL));
    int locked = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    int line_master, line_slave;
    MUST(openpty(&line_master, &line_slave, NULL, NULL, NULL));
    EQUAL(write(line_master, "whole line\nhalf a li", 20), 20); // canonical: only the first can be read

    state_ready();

    if (state_breaking()) ioctl(master, TIOCSWINSZ, &(struct winsize){0});
    OK(ptsname_r(master, name_now, sizeof name_now));
    CHECK(strcmp(name, name_now) == 0, "it is %s, was %s", name_now, name);
    EQUAL(fcntl(master, F_GETFD), FD_CLOEXEC);
    EQUAL(fcntl(twin, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
    MUST(tcgetattr(slave, &is.t));
    CHECK(memcmp(&was, &is, sizeof was) == 0, "termios: i %o o %o c %o l %o, were %o %o %o %o", is.t.c_iflag,
          is.t.c_oflag, is.t.c_cflag, is.t.c_lflag, was.t.c_iflag, was.t.c_oflag, was.t.c_cflag, was.t.c_lflag);
    MUST(ioctl(slave, TIOCGWINSZ, &size_now));
    CHECK(memcmp(&size, &size_now, sizeof size) == 0, "%d×%d", size_now.ws_col, size_now.ws_row);
    char text[32] = {0};
    EQUAL(read(slave, text, sizeof text), 5);
    CHECK(strcmp(text, "typed") == 0, "typed: %s", text);
    memset(text, 0, sizeof text);
    EQUAL(read(master, text, sizeof text), 7);
    CHECK(strcmp(text, "shown\r\n") == 0, "shown: %s", text);
    EQUAL(write(master, "xyz", 3), 3);
    EQUAL(read(twin, text, sizeof text), 3);

    EQUAL(get(packet_master, TIOCGPKT), 1);
    EQUAL(get(packet_slave, TIOCGEXCL) != 0, 1);
    EQUAL(get(master, TIOCGPKT), 0);
    EQUAL(get(locked, TIOCGPTLCK), 1);
    EQUAL(get(master, TIOCGPTLCK), 0);
    EQUAL(write(packet_slave, "p", 1), 1);
    EQUAL(read(packet_master, text, sizeof text), 2); // a control byte before the data
    EQUAL(text[0], TIOCPKT_DATA);
    EQUAL(text[1], 'p');
    memset(text, 0, sizeof text);
    EQUAL(read(line_slave, text, sizeof text), 11);
    CHECK(strcmp(text, "whole line\n") == 0, "the line is %s", text);
    EQUAL(write(line_master, "ne\n", 3), 3);
    memset(text, 0, sizeof text);
    EQUAL(read(line_slave, text, sizeof text), 12);
    CHECK(strcmp(text, "half a line\n") == 0, "the line is %s", text);
    state_pass();
}
