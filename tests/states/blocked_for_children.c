// What the next children would be in and the process is not: a PID namespace that has no process yet (pid), a time
// namespace (time). And a terminal whose line discipline is not that of terminals (line).
#include <sys/ioctl.h>
#include <termios.h>

#include "state.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define N_NULL 27

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *kind = state_arg(0);
    int slave = -1, line = N_NULL;
    if (strcmp(kind, "line") == 0) {
        int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
        MUST(unlockpt(master));
        slave = MUST(open(ptsname(master), O_RDWR | O_NOCTTY));
        if (ioctl(slave, TIOCSETD, &line) == -1) state_skip("no such line discipline: %s", strerror(errno));
    } else if (unshare(strcmp(kind, "pid") == 0 ? CLONE_NEWPID : CLONE_NEWTIME) == -1) {
        state_skip("unshare: %s", strerror(errno));
    }

    state_ready();

    if (slave != -1) {
        line = -1;
        MUST(ioctl(slave, TIOCGETD, &line));
        EQUAL(line, N_NULL);
    }
    state_pass();
}
