// One open description shared by processes: inherited by fork and passed over a socket. A seek or a
// flag set in one is seen in all; the same file opened anew has its own.
#include <sys/socket.h>

#include "state.h"

static int inherited, channel[2];

static void child(void *arg) {
    (void)arg;
    close(channel[0]);
    int mine = MUST(open(state_path("child's file"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(mine, "0123456789", 10), 10);
    state_give(channel[1], mine);
    state_child_ready();
    EQUAL(lseek(inherited, 0, SEEK_CUR), 321);
    EQUAL(lseek(mine, 0, SEEK_CUR), 4);
    MUST(lseek(inherited, 654, SEEK_SET));
    MUST(lseek(mine, 8, SEEK_SET));
    MUST(fcntl(mine, F_SETFL, O_APPEND | O_NONBLOCK));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    inherited = MUST(open(state_path("inherited"), O_RDWR | O_CREAT, 0600));
    int other = MUST(open(state_path("inherited"), O_RDWR));
    MUST(ftruncate(inherited, 2000));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
    pid_t pid = state_fork(child, NULL);
    int received = state_take(channel[0], 0);
    close(channel[0]);
    close(channel[1]);
    MUST(lseek(other, 9, SEEK_SET));

    state_ready();

    MUST(lseek(inherited, 321, SEEK_SET));
    MUST(lseek(received, 4, SEEK_SET));
    state_child_end(pid);
    EQUAL(lseek(inherited, 0, SEEK_CUR), 654);
    EQUAL(lseek(received, 0, SEEK_CUR), 8);
    EQUAL(lseek(other, 0, SEEK_CUR), 9);
    EQUAL(fcntl(received, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
    state_pass();
}
