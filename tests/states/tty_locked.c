// Settings of a terminal that are locked (TIOCSLCKTRMIOS): nobody without privilege can change them.
#include <sys/ioctl.h>
#include <termios.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    MUST(unlockpt(master));
    int slave = MUST(open(ptsname(master), O_RDWR | O_NOCTTY));
    struct termios locked = {.c_lflag = ECHO, .c_iflag = IXON}, found = {0};
    locked.c_cc[VINTR] = 1;
    if (ioctl(slave, TIOCSLCKTRMIOS, &locked) == -1) state_skip("TIOCSLCKTRMIOS: %s", strerror(errno));

    state_ready();

    MUST(ioctl(slave, TIOCGLCKTRMIOS, &found));
    EQUAL(found.c_lflag, ECHO);
    EQUAL(found.c_iflag, IXON);
    EQUAL(found.c_cc[VINTR], 1);
    EQUAL(found.c_cc[VQUIT], 0);
    struct termios settings;
    MUST(tcgetattr(slave, &settings));
    settings.c_lflag ^= ECHO | ICANON;
    MUST(tcsetattr(slave, TCSANOW, &settings));
    MUST(tcgetattr(slave, &found));
    CHECK((found.c_lflag ^ settings.c_lflag) == ECHO, "what was locked could be changed");
    state_pass();
}
