// A seccomp filter whose decisions another descriptor makes (SECCOMP_FILTER_FLAG_NEW_LISTENER).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
    state_ready();
    state_pass();
}
