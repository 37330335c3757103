// A controlling terminal made inside the tree: a child's session with a foreground group and a
// background one; ^C goes to the foreground, the window size's signal too, a hang-up to all.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "state.h"

static int slave, master;
static volatile int *shared;
static volatile sig_atomic_t interrupted, resized, hung_up;

static void handler(int n) {
    if (n == SIGINT) interrupted++;
    if (n == SIGWINCH) resized++;
    if (n == SIGHUP) hung_up++;
}

static void watch(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    MUST(sigaction(SIGINT, &action, NULL));
    MUST(sigaction(SIGWINCH, &action, NULL));
    MUST(sigaction(SIGHUP, &action, NULL));
    signal(SIGTTOU, SIG_IGN);
}

static void background(void *arg) {
    (void)arg;
    watch();
    MUST(setpgid(0, 0));
    shared[0] = getpid();
    state_child_ready();
    EQUAL(interrupted, 0);
    CHECK(tcgetpgrp(slave) != getpgrp(), "the background group is in the foreground");
    int tty = MUST(open("/dev/tty", O_RDWR));
    MUST(tcsetpgrp(tty, getpgrp()));
    EQUAL(tcgetpgrp(slave), getpgrp());
    shared[1] = 1;
    AWAIT(interrupted == 1, "the new foreground group is not interrupted");
    shared[1] = 2;
}

static void leader(void *arg) {
    (void)arg;
    close(master);
    MUST(setsid());
    MUST(ioctl(slave, TIOCSCTTY, 0));
    watch();
    int tty = MUST(open("/dev/tty", O_RDWR | O_CLOEXEC));
    pid_t other = state_fork(background, NULL);
    EQUAL(tcgetpgrp(slave), getpgrp());
    state_child_ready();

    EQUAL(tcgetsid(slave), getpid());
    EQUAL(tcgetpgrp(slave), getpgrp());
    EQUAL(tcgetpgrp(tty), getpgrp());
    shared[2] = 1;
    AWAIT(interrupted == 1 && resized == 1, "interrupted %d, resized %d", interrupted, resized);
    state_child_end(other);
    EQUAL(interrupted, 1);
    shared[2] = 2;
    AWAIT(hung_up == 1, "the hang-up does not arrive");
    char byte;
    EQUAL(read(slave, &byte, 1), 0);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    struct winsize size = {.ws_row = 20, .ws_col = 50};
    MUST(openpty(&master, &slave, NULL, NULL, &size));
    pid_t child = state_fork(leader, NULL);
    close(slave);

    state_ready();

    MUST(kill(child, SIGTERM));
    AWAIT(shared[2] == 1, "the session's leader does not go on");
    EQUAL(write(master, "\x03", 1), 1);
    size.ws_col = 60;
    MUST(ioctl(master, TIOCSWINSZ, &size));
    AWAIT(shared[1] == 1, "the background group does not go on");
    EQUAL(write(master, "\x03", 1), 1);
    AWAIT(shared[2] == 2, "the session's leader does not go on");
    close(master);
    state_expect_exit(child, 0);
    state_pass();
}
