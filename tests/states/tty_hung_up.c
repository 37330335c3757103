// Terminals whose other side is gone: a slave without master, and a master without slave that has
// data left.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGHUP, SIG_IGN);
    int gone_master, orphan, master, gone_slave;
    MUST(openpty(&gone_master, &orphan, NULL, NULL, NULL));
    close(gone_master);
    MUST(openpty(&master, &gone_slave, NULL, NULL, NULL));
    EQUAL(write(gone_slave, "left", 4), 4);
    close(gone_slave);

    state_ready();

    char text[16];
    EQUAL(read(orphan, text, 1), 0);
    CHECK(write(orphan, "x", 1) == -1 && errno == EIO, "a hung-up terminal takes data");
    struct pollfd wait = {.fd = orphan, .events = POLLIN};
    EQUAL(poll(&wait, 1, 0), 1);
    CHECK(wait.revents & POLLHUP, "events %#x", wait.revents);
    EQUAL(read(master, text, sizeof text), 4);
    CHECK(memcmp(text, "left", 4) == 0, "left: %.4s", text);
    CHECK(read(master, text, 1) == -1 && errno == EIO, "a master without slave gives data");
    // A new slave revives it.
    OK(ptsname_r(master, text, sizeof text));
    int slave = MUST(open(text, O_RDWR | O_NOCTTY));
    EQUAL(write(master, "again\n", 6), 6);
    EQUAL(read(slave, text, sizeof text), 6);
    state_pass();
}
