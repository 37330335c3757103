// A user namespace that the root process is in: with ids and capabilities of its own. Argument: bare for one without
// any ids, nested for a child in one within it that has UTS, network and IPC namespaces, threads for several threads.
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "state.h"

#define NS_GET_USERNS _IO(0xb7, 1)
#define NS_GET_PARENT _IO(0xb7, 2)
#define NS_GET_OWNER_UID _IO(0xb7, 4)

static const char *mode = "";

static void put(pid_t pid, const char *name, const char *text) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path, strerror(errno));
    close(fd);
}

// Makes a user namespace; who stays outside gives it its ids.
static void enter(const char *uids, const char *gids, bool deny) {
    pid_t outside = getpid();
    int go[2];
    MUST(pipe(go));
    pid_t writer = MUST(fork());
    if (writer == 0) {
        char byte;
        close(go[1]);
        EQUAL(read(go[0], &byte, 1), 1);
        if (deny) put(outside, "setgroups", "deny");
        put(outside, "uid_map", uids);
        put(outside, "gid_map", gids);
        _exit(0);
    }
    if (unshare(CLONE_NEWUSER) == -1) state_skip("unshare: %s", strerror(errno));
    EQUAL(write(go[1], "", 1), 1);
    close(go[0]);
    close(go[1]);
    state_expect_exit(writer, 0);
}

struct caps {
    struct __user_cap_data_struct half[2];
};

static struct caps caps_now(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct caps caps;
    MUST(syscall(SYS_capget, &header, caps.half));
    return caps;
}

static ino_t namespace_inode(const char *kind, unsigned long request) {
    char path[64];
    struct stat about;
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    int fd = MUST(open(path, O_RDONLY));
    int other = request ? MUST(ioctl(fd, request)) : fd;
    MUST(fstat(other, &about));
    if (other != fd) close(other);
    close(fd);
    return about.st_ino;
}

static uid_t owner_of_own(void) {
    uid_t uid = -1;
    int fd = MUST(open("/proc/self/ns/user", O_RDONLY));
    MUST(ioctl(fd, NS_GET_OWNER_UID, &uid));
    close(fd);
    return uid;
}

static void lower_caps(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct caps caps = {.half = {{.permitted = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_CHROOT | 1 << CAP_SYS_ADMIN | 1 << CAP_KILL,
                                  .effective = 1 << CAP_SYS_ADMIN | 1 << CAP_KILL,
                                  .inheritable = 1 << CAP_SYS_CHROOT}}};
    // Changing users has left it with the permitted ones only.
    struct caps raised = caps_now();
    for (int i = 0; i < 2; i++) raised.half[i].effective = raised.half[i].permitted;
    MUST(syscall(SYS_capset, &header, raised.half));
    MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME));
    MUST(syscall(SYS_capset, &header, caps.half));
    MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0));
}

static void nested(void *arg) {
    (void)arg;
    enter("7 100 2\n", "8 100 1\n", true);
    MUST(unshare(CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC));
    MUST(sethostname("ward-user", 9));
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    MUST(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
    char *uids = state_slurp("/proc/self/uid_map"), *gids = state_slurp("/proc/self/gid_map");
    char *status = state_field("/proc/self/status", "Uid");
    struct caps caps = caps_now();
    state_child_ready();
    struct caps now = caps_now();
    CHECK(memcmp(&caps, &now, sizeof caps) == 0, "other capabilities");
    CHECK(strcmp(uids, state_slurp("/proc/self/uid_map")) == 0, "other user ids");
    CHECK(strcmp(gids, state_slurp("/proc/self/gid_map")) == 0, "other group ids");
    CHECK(strcmp(status, state_field("/proc/self/status", "Uid")) == 0, "another user");
    CHECK(strncmp(state_slurp("/proc/self/setgroups"), "deny", 4) == 0, "setgroups is allowed");
    for (int i = 0; i < 3; i++) {
        const char *kind = (const char *[]){"uts", "net", "ipc"}[i];
        CHECK(namespace_inode(kind, NS_GET_USERNS) == namespace_inode("user", 0), "%s is of another one", kind);
    }
    char name[64];
    MUST(gethostname(name, sizeof name));
    CHECK(strcmp(name, "ward-user") == 0, "the host is called %s", name);
    MUST(sethostname("other", 5));
}

static void *wait_for_end(void *arg) {
    (void)arg;
    pause();
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    mode = state_arg(0) ? state_arg(0) : "";
    bool bare = strcmp(mode, "bare") == 0, root = strcmp(mode, "nested") == 0;
    gid_t groups[2] = {104, 0};
    if (bare) {
        if (unshare(CLONE_NEWUSER) == -1) state_skip("unshare: %s", strerror(errno));
        EQUAL(getuid(), 65534);
    } else {
        enter("0 0 1\n100 5000 10\n", "0 0 1\n100 6000 10\n", false);
        MUST(setgroups(2, groups));
    }
    pid_t child = strcmp(mode, "nested") == 0 ? state_fork(nested, NULL) : 0;
    if (!bare && !root) {
        MUST(setresgid(101, 102, 103));
        MUST(prctl(PR_SET_SECUREBITS, 1 << 4 /* SECBIT_KEEP_CAPS */));
        MUST(setresuid(101, 102, 103));
        MUST(prctl(PR_SET_DUMPABLE, 1));
        lower_caps();
    }
    pthread_t thread;
    if (strcmp(mode, "threads") == 0) OK(pthread_create(&thread, NULL, wait_for_end, NULL));
    char *uids = state_slurp("/proc/self/uid_map"), *gids = state_slurp("/proc/self/gid_map");
    struct caps caps = caps_now();
    int securebits = MUST(prctl(PR_GET_SECUREBITS));
    uid_t owner = owner_of_own();
    char *all = state_field("/proc/self/status", "CapBnd"), *ambient = state_field("/proc/self/status", "CapAmb");
    state_ready();
    CHECK(strcmp(uids, state_slurp("/proc/self/uid_map")) == 0, "other user ids");
    CHECK(strcmp(gids, state_slurp("/proc/self/gid_map")) == 0, "other group ids");
    CHECK(strncmp(state_slurp("/proc/self/setgroups"), "allow", 5) == 0, "setgroups is denied");
    CHECK(strcmp(all, state_field("/proc/self/status", "CapBnd")) == 0, "another bounding set");
    CHECK(strcmp(ambient, state_field("/proc/self/status", "CapAmb")) == 0, "another ambient set");
    struct caps now = caps_now();
    CHECK(memcmp(&caps, &now, sizeof caps) == 0, "other capabilities");
    EQUAL(prctl(PR_GET_SECUREBITS), securebits);
    EQUAL(owner_of_own(), owner);
    uid_t ids[3];
    MUST(getresuid(&ids[0], &ids[1], &ids[2]));
    for (int i = 0; i < 3; i++) EQUAL(ids[i], bare ? 65534 : root ? 0 : 101 + i);
    MUST(getresgid(&ids[0], &ids[1], &ids[2]));
    for (int i = 0; i < 3; i++) EQUAL(ids[i], bare ? 65534 : root ? 0 : 101 + i);
    if (!bare) {
        gid_t held[4];
        EQUAL(getgroups(4, held), 2);
        CHECK(held[0] + held[1] == 104, "other groups");
        // What its capability is for there.
        MUST(unshare(CLONE_NEWUTS));
        MUST(sethostname("mine", 4));
    }
    if (child) {
        struct stat own, above;
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/ns/user", child);
        int fd = MUST(open(path, O_RDONLY)), parent = MUST(ioctl(fd, NS_GET_PARENT));
        MUST(fstat(parent, &above));
        MUST(stat("/proc/self/ns/user", &own));
        EQUAL(above.st_ino, own.st_ino);
        close(parent);
        close(fd);
    }
    if (child) state_child_end(child);
    state_pass();
}
