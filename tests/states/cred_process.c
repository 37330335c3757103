// Credentials of a process: real, effective, saved and file-system ids, groups, no_new_privs,
// dumpable, securebits, keep-caps, capability sets, bounding and ambient sets. (Argument "drops":
// becomes an ordinary user altogether.)
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

#include "state.h"

static char *look(void) {
    static const char *const keys[] = {"Uid",    "Gid",    "Groups", "CapInh", "CapPrm",     "CapEff",
                                       "CapBnd", "CapAmb", "NoNewPrivs"};
    char *text = calloc(1, 4096);
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char *value = state_field("/proc/self/status", keys[i]);
        snprintf(text + strlen(text), 4096 - strlen(text), "%s: %s\n", keys[i], value);
        free(value);
    }
    snprintf(text + strlen(text), 4096 - strlen(text), "dumpable %d securebits %d keepcaps %d",
             prctl(PR_GET_DUMPABLE), prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS));
    return text;
}

static void set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){effective >> (32 * i), permitted >> (32 * i), inheritable >> (32 * i)};
    MUST(syscall(SYS_capset, &header, data));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool drops = state_arg(0) != NULL;
    gid_t groups[70];
    for (int i = 0; i < 70; i++) groups[i] = 5000 + i * 3;
    MUST(setgroups(70, groups));
    MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE));
    MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT));
    if (drops) {
        MUST(setresgid(1001, 1002, 1003));
        MUST(setresuid(2001, 2001, 2001));
        MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    } else {
        MUST(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NOROOT_LOCKED));
        MUST(setresgid(1001, 1002, 1003));
        setfsgid(1004);
        MUST(setresuid(2001, 0, 2003));
        setfsuid(2004);
        uint64_t kept = 1ull << CAP_KILL | 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_SETUID | 1ull << CAP_CHECKPOINT_RESTORE;
        set_caps(kept, kept | 1ull << CAP_CHOWN, kept);
        MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
        MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHECKPOINT_RESTORE, 0, 0));
    }
    MUST(prctl(PR_SET_DUMPABLE, 1));
    char *was = look();

    state_ready();

    char *is = look();
    CHECK(strcmp(was, is) == 0, "credentials are\n%s\nwere\n%s", is, was);
    if (drops) {
        CHECK(setuid(0) == -1 && errno == EPERM, "it may become root");
    } else {
        EQUAL(setfsuid(2004), 2004);
        MUST(setresuid(-1, 2003, -1)); // CAP_SETUID still works
    }
    state_pass();
}
