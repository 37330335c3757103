// Credentials that differ between the threads of one process, as the raw system calls make them:
// ids, groups, capabilities, no_new_privs.
#include <grp.h>
#include <linux/capability.h>

#include "state.h"

static volatile int started, go;

static char *look(void) {
    char path[64], *text = calloc(1, 1024);
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", syscall(SYS_gettid));
    const char *keys[] = {"Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh", "NoNewPrivs"};
    for (int i = 0; i < 7; i++) {
        char *value = state_field(path, keys[i]);
        snprintf(text + strlen(text), 1024 - strlen(text), "%s %s; ", keys[i], value);
        free(value);
    }
    return text;
}

static void *body(void *arg) {
    long n = (long)arg;
    gid_t groups[3] = {n, n + 10, n + 20};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{1 << CAP_CHOWN, 1 << CAP_CHOWN | 1 << CAP_KILL, n}, {0}};
    MUST(syscall(SYS_setgroups, 3, groups));
    MUST(syscall(SYS_setresgid, 300 + n, 301 + n, 302 + n));
    if (n == 0) MUST(syscall(SYS_setresuid, 400, 401, 402));
    if (n == 1) MUST(syscall(SYS_capset, &header, data));
    if (n == 2) MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    char *was = look();
    __sync_fetch_and_add(&started, 1);
    while (!go) usleep(2000);
    char *is = look();
    CHECK(strcmp(was, is) == 0, "thread %ld: %s, were %s", n, is, was);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) OK(pthread_create(&threads[i], NULL, body, (void *)i));
    AWAIT(started == 3, "the threads do not start");
    prctl(PR_SET_DUMPABLE, 1);
    char *was = look();
    state_ready();
    char *is = look();
    CHECK(strcmp(was, is) == 0, "the main thread: %s, were %s", is, was);
    EQUAL(geteuid(), 0);
    go = 1;
    for (int i = 0; i < 3; i++) OK(pthread_join(threads[i], NULL));
    state_pass();
}
