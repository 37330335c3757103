// Keyrings: a session keyring of its own with a key in it.
#include <linux/keyctl.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "torpor-state");
    if (ring == -1) state_skip("keyrings: %s", strerror(errno));
    long key = MUST(syscall(SYS_add_key, "user", "ward", "secret word", 11, KEY_SPEC_SESSION_KEYRING));
    MUST(syscall(SYS_add_key, "user", "thread's", "x", 1, KEY_SPEC_THREAD_KEYRING));
    state_ready();
    char text[32] = {0};
    EQUAL(syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "ward", 0), key);
    EQUAL(syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text), 11);
    state_pass();
}
