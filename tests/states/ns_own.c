// A namespace that the program made itself (argument: uts, ipc, net, mount, user, cgroup; used-net and used-ipc
// with something in it, socket-net with a socket of it): a child lives in it, and one of its own beside it, the root
// process stays outside.
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/socket.h>

#include "state.h"

static const char *kind, *more = "";
static int flag;
static char outer[64];

static bool is(const char *name) {
    return strcmp(kind, name) == 0;
}

static void link_of(char *text) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", is("mount") ? "mnt" : kind);
    memset(text, 0, 64);
    MUST(readlink(path, text, 63));
}

static int talker = -1, segment = -1, sibling_end;

// Lives in the namespace that its parent has made.
static void beside(void *arg) {
    char own[64];
    state_child_ready();
    link_of(own);
    CHECK(strcmp(own, arg) != 0 || is("user"), "it is in the root's namespace");
    EQUAL(write(sibling_end, own, 64), 64);
}

static void inside(void *arg) {
    (void)arg;
    if (unshare(flag) == -1) state_fail("unshare: %s", strerror(errno));
    char own[64];
    if (is("uts")) {
        MUST(sethostname("bedside-7", 9));
        MUST(setdomainname("ward", 4));
    } else if (is("mount")) {
        MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        MUST(mkdir(state_path("tmpfs"), 0755));
        MUST(mount("none", state_path("tmpfs"), "tmpfs", 0, "size=1m"));
        int fd = MUST(open(state_path("tmpfs/inside"), O_RDWR | O_CREAT, 0600));
        EQUAL(write(fd, "tmpfs content", 13), 13);
        close(fd);
    } else if (is("net")) {
        int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
        struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
        MUST(ioctl(fd, SIOCSIFFLAGS, &request));
        if (*more == 's') talker = fd;
        if (*more == 'u') {
            int setting = MUST(open("/proc/sys/net/ipv4/ip_default_ttl", O_WRONLY));
            EQUAL(write(setting, "77", 2), 2);
            close(setting);
        }
        if (*more != 's') close(fd);
    } else if (is("ipc") && *more == 'u') {
        segment = MUST(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
    } else if (is("user")) {
        char text[64];
        int fd = MUST(open("/proc/self/uid_map", O_WRONLY));
        int length = snprintf(text, sizeof text, "5 0 1");
        CHECK(write(fd, text, length) == length, "uid_map: %s", strerror(errno));
        close(fd);
        EQUAL(getuid(), 5);
    }
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC));
    sibling_end = ends[1];
    pid_t other = state_fork(beside, outer);
    state_child_reports();
    state_child_waits();
    link_of(own);
    CHECK(strcmp(own, outer) != 0, "it is in the root's namespace");
    char its[64];
    state_child_end(other);
    EQUAL(read(ends[0], its, 64), 64);
    CHECK(strcmp(own, its) == 0, "its child is in %s, itself in %s", its, own);
    if (is("uts")) {
        char name[64];
        MUST(gethostname(name, sizeof name));
        CHECK(strcmp(name, "bedside-7") == 0, "the host is called %s", name);
    } else if (is("mount")) {
        char text[16] = {0};
        int fd = MUST(open(state_path("tmpfs/inside"), O_RDONLY));
        EQUAL(read(fd, text, sizeof text), 13);
        close(fd);
        MUST(umount(state_path("tmpfs")));
    } else if (is("net")) {
        struct if_nameindex *all = if_nameindex();
        CHECK(all && strcmp(all[0].if_name, "lo") == 0 && all[1].if_index == 0, "other interfaces");
        int fd = talker >= 0 ? talker : MUST(socket(AF_INET, SOCK_DGRAM, 0));
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        MUST(bind(fd, (struct sockaddr *)&to, sizeof to));
        socklen_t length = sizeof to;
        MUST(getsockname(fd, (struct sockaddr *)&to, &length));
        EQUAL(sendto(fd, "ward", 4, 0, (struct sockaddr *)&to, sizeof to), 4);
        char text[8];
        EQUAL(recv(fd, text, sizeof text, 0), 4);
        if (*more == 'u') {
            char *ttl = state_slurp("/proc/sys/net/ipv4/ip_default_ttl");
            EQUAL(atoi(ttl), 77);
        }
    } else if (is("ipc")) {
        if (segment >= 0) MUST(shmctl(segment, IPC_RMID, NULL));
        MUST(shmctl(MUST(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600)), IPC_RMID, NULL));
    } else if (is("user"))
        EQUAL(getuid(), 5);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    kind = state_arg(0) ? state_arg(0) : "uts";
    if (strchr(kind, '-')) {
        more = kind;
        kind = strchr(kind, '-') + 1;
    }
    flag = is("uts")    ? CLONE_NEWUTS
           : is("ipc")  ? CLONE_NEWIPC
           : is("net")  ? CLONE_NEWNET
           : is("user") ? CLONE_NEWUSER
           : is("cgroup") ? CLONE_NEWCGROUP
                          : CLONE_NEWNS;
    link_of(outer);
    pid_t pid = state_fork(inside, NULL);
    char host[64], host_now[64];
    MUST(gethostname(host, sizeof host));
    state_ready();
    MUST(gethostname(host_now, sizeof host_now));
    CHECK(strcmp(host, host_now) == 0, "the host outside is called %s", host_now);
    state_child_end(pid);
    state_pass();
}
