// Keyrings: a named session keyring with keys, one in it with keys of its own, owners, permissions and a time-out; the
// keyrings of the process and of its threads; where requested keys go; a child in the same session, one in an unnamed
// session of its own, and a thread in another.
#include <linux/keyctl.h>

#include "state.h"

enum { LONG = 5000 };

static pthread_barrier_t barrier;
static char long_payload[LONG];

static long add(const char *kind, const char *name, const char *payload, size_t len, long ring) {
    return MUST(syscall(SYS_add_key, kind, name, payload, len, ring));
}

static long find(long ring, const char *kind, const char *name) {
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, ring, kind, name, 0);
    CHECK(key != -1, "%s %s: %s", kind, name, strerror(errno));
    return key;
}

static void expect(long ring, const char *name, const char *payload, size_t len) {
    static __thread char got[LONG + 1];
    EQUAL(syscall(SYS_keyctl, KEYCTL_READ, find(ring, "user", name), got, sizeof got), len);
    CHECK(memcmp(got, payload, len) == 0, "%s has another payload", name);
}

static void describes(long key, const char *text) {
    char got[200] = "";
    MUST(syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, got, sizeof got));
    CHECK(strcmp(got, text) == 0, "%s, not %s", got, text);
}

static long count(long ring) {
    return MUST(syscall(SYS_keyctl, KEYCTL_READ, ring, NULL, 0)) / (long)sizeof(int32_t);
}

static void *body(void *other) {
    add("user", "thread's", "of a thread", 11, KEY_SPEC_THREAD_KEYRING);
    if (other) {
        MUST(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "torpor-state-thread"));
        add("user", "elsewhere", "w", 1, KEY_SPEC_SESSION_KEYRING);
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    expect(KEY_SPEC_THREAD_KEYRING, "thread's", "of a thread", 11);
    EQUAL(count(KEY_SPEC_THREAD_KEYRING), 1);
    expect(KEY_SPEC_PROCESS_KEYRING, "process'", "p", 1);
    if (other) {
        expect(KEY_SPEC_SESSION_KEYRING, "elsewhere", "w", 1);
        EQUAL(count(KEY_SPEC_SESSION_KEYRING), 1);
    } else {
        expect(KEY_SPEC_SESSION_KEYRING, "ward", "secret word", 11);
    }
    return NULL;
}

static void same(void *unused) {
    (void)unused;
    state_child_ready();
    expect(KEY_SPEC_SESSION_KEYRING, "ward", "secret word", 11);
    CHECK(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0) == -1, "a child's process keyring");
    // It is one session: what one adds the other has.
    add("user", "late", "from a child", 12, KEY_SPEC_SESSION_KEYRING);
}

static void own(void *unused) {
    (void)unused;
    MUST(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    add("user", "child's", "c", 1, KEY_SPEC_SESSION_KEYRING);
    state_child_ready();
    expect(KEY_SPEC_SESSION_KEYRING, "child's", "c", 1);
    EQUAL(count(KEY_SPEC_SESSION_KEYRING), 1);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    // Of the same name there may be one of another run.
    char name[64], text[128];
    snprintf(name, sizeof name, "torpor-state-%d", getpid());
    long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    if (ring == -1) state_skip("keyrings: %s", strerror(errno));
    state_fill(long_payload, LONG, 5);
    long ward = add("user", "ward", "secret word", 11, KEY_SPEC_SESSION_KEYRING);
    add("user", "long; with signs", long_payload, LONG, KEY_SPEC_SESSION_KEYRING);
    long inner = add("keyring", "inner", NULL, 0, KEY_SPEC_SESSION_KEYRING);
    long innermost = add("keyring", "innermost", NULL, 0, inner);
    add("user", "deep", "down", 4, innermost);
    long owned = add("user", "owned", "o", 1, inner);
    if (geteuid() == 0) MUST(syscall(SYS_keyctl, KEYCTL_CHOWN, owned, 1234, 4321));
    MUST(syscall(SYS_keyctl, KEYCTL_SETPERM, owned, 0x3f3f0301));
    MUST(syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, ward, 10000));
    add("user", "process'", "p", 1, KEY_SPEC_PROCESS_KEYRING);
    add("user", "leader's", "l", 1, KEY_SPEC_THREAD_KEYRING);
    MUST(syscall(SYS_keyctl, KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_PROCESS_KEYRING));
    pid_t sharing = state_fork(same, NULL), apart = state_fork(own, NULL);
    OK(pthread_barrier_init(&barrier, NULL, 3));
    pthread_t threads[2];
    OK(pthread_create(&threads[0], NULL, body, NULL));
    OK(pthread_create(&threads[1], NULL, body, &barrier));
    pthread_barrier_wait(&barrier);
    state_ready();
    EQUAL(count(KEY_SPEC_SESSION_KEYRING), 3);
    expect(KEY_SPEC_SESSION_KEYRING, "ward", "secret word", 11);
    expect(KEY_SPEC_SESSION_KEYRING, "long; with signs", long_payload, LONG);
    expect(KEY_SPEC_SESSION_KEYRING, "deep", "down", 4);
    inner = find(KEY_SPEC_SESSION_KEYRING, "keyring", "inner");
    EQUAL(count(inner), 2);
    expect(find(inner, "keyring", "innermost"), "deep", "down", 4);
    snprintf(text, sizeof text, "user;%d;%d;3f3f0301;owned", geteuid() ? (int)geteuid() : 1234,
             geteuid() ? (int)getegid() : 4321);
    describes(find(inner, "user", "owned"), text);
    snprintf(text, sizeof text, "keyring;%d;%d;3f130000;%s", geteuid(), getegid(), name);
    describes(KEY_SPEC_SESSION_KEYRING, text);
    expect(KEY_SPEC_PROCESS_KEYRING, "process'", "p", 1);
    EQUAL(count(KEY_SPEC_PROCESS_KEYRING), 1);
    expect(KEY_SPEC_THREAD_KEYRING, "leader's", "l", 1);
    EQUAL(count(KEY_SPEC_THREAD_KEYRING), 1);
    EQUAL(syscall(SYS_keyctl, KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE), KEY_REQKEY_DEFL_PROCESS_KEYRING);
    // Some time is left, and not for ever.
    char *keys = state_slurp("/proc/keys"), *line = strstr(keys, "user      ward: 11");
    CHECK(line != NULL, "the key is not listed");
    while (line > keys && line[-1] != '\n') line--;
    CHECK(strncmp(line + 23, "perm", 4) != 0 && strncmp(line + 23, "expd", 4) != 0, "time-out: %.60s", line);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++) OK(pthread_join(threads[i], NULL));
    state_child_end(sharing);
    expect(KEY_SPEC_SESSION_KEYRING, "late", "from a child", 12);
    state_child_end(apart);
    state_pass();
}
