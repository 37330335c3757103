// Terminals that are nobody's, and nodes of devices that keep nothing: a virtual console with settings of its own,
// the system's console, a tun device that no interface belongs to, a FUSE device that is not mounted, control nodes.
#include <asm/termbits.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "state.h"

static struct {
    const char *name;
    int major, minor, flags, fd;
} nodes[] = {
    {"console", 5, 1, O_RDWR, -1},      {"tun", 10, 200, O_RDWR | O_NONBLOCK, -1},
    {"fuse", 10, 229, O_RDWR, -1},      {"loop-control", 10, 237, O_RDWR | O_CLOEXEC, -1},
    {"autofs", 10, 235, O_RDONLY, -1},  {"btrfs-control", 10, 234, O_RDWR, -1},
    {"hwrng", 10, 183, O_RDONLY, -1},
};
#define NODES (int)(sizeof nodes / sizeof *nodes)

int main(int argc, char **argv) {
    state_begin(argc, argv);
    if (mknod(state_path("vt"), S_IFCHR | 0600, makedev(4, 61)) == -1) state_skip("mknod: %s", strerror(errno));
    int vt = open(state_path("vt"), O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (vt == -1) state_skip("a virtual console: %s", strerror(errno));
    struct termios2 was, now;
    MUST(ioctl(vt, TCGETS2, &was));
    was.c_lflag &= ~(ICANON | ECHO);
    was.c_iflag |= IUTF8;
    was.c_cc[VMIN] = 3;
    MUST(ioctl(vt, TCSETS2, &was));
    MUST(ioctl(vt, TCGETS2, &was));
    struct winsize size, other;
    MUST(ioctl(vt, TIOCGWINSZ, &size));
    int removed = MUST(open(state_path("vt"), O_WRONLY | O_NOCTTY));
    for (int i = 0; i < NODES; i++) {
        MUST(mknod(state_path(nodes[i].name), S_IFCHR | 0600, makedev(nodes[i].major, nodes[i].minor)));
        nodes[i].fd = open(state_path(nodes[i].name), nodes[i].flags | O_NOCTTY);
    }
    MUST(unlink(state_path("vt")));
    int flags[NODES];
    for (int i = 0; i < NODES; i++) flags[i] = nodes[i].fd == -1 ? 0 : fcntl(nodes[i].fd, F_GETFL);

    state_ready();

    struct stat stat;
    MUST(ioctl(vt, TCGETS2, &now));
    CHECK(memcmp(&now, &was, sizeof was) == 0, "the settings of the console: lflag %#x, was %#x", now.c_lflag, was.c_lflag);
    MUST(ioctl(removed, TCGETS2, &now));
    CHECK(memcmp(&now, &was, sizeof was) == 0, "the settings of the console, for writing");
    MUST(ioctl(vt, TIOCGWINSZ, &other));
    EQUAL(other.ws_row, size.ws_row);
    EQUAL(other.ws_col, size.ws_col);
    MUST(fstat(vt, &stat));
    EQUAL(stat.st_rdev, makedev(4, 61));
    EQUAL(fcntl(vt, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EQUAL(fcntl(removed, F_GETFL) & O_ACCMODE, O_WRONLY);
    EQUAL(write(removed, "x", 1), 1);
    EQUAL(open("/dev/tty", O_RDWR), -1);
    for (int i = 0; i < NODES; i++) {
        if (nodes[i].fd == -1) continue;
        MUST(fstat(nodes[i].fd, &stat));
        EQUAL(stat.st_rdev, makedev(nodes[i].major, nodes[i].minor));
        EQUAL(fcntl(nodes[i].fd, F_GETFL), flags[i]);
    }
    char byte;
    if (nodes[2].fd != -1) CHECK(read(nodes[2].fd, &byte, 1) == -1 && errno == EPERM, "a FUSE device: %s", strerror(errno));
    if (nodes[1].fd != -1) CHECK(read(nodes[1].fd, &byte, 1) == -1 && errno == EBADFD, "a tun device: %s", strerror(errno));
    state_pass();
}
