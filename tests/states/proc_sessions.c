// Sessions and process groups: a child with a session of its own, groups of several, a group and a
// session whose leaders are gone, members that outlive them.
#include "state.h"

static pid_t group_of_child;

struct ids {
    pid_t pid, parent, group, session;
};

static struct ids look(void) {
    return (struct ids){getpid(), getppid(), getpgrp(), getsid(0)};
}

static void same(const struct ids *was) {
    struct ids is = look();
    EQUAL(is.pid, was->pid);
    EQUAL(is.parent, was->parent);
    EQUAL(is.group, was->group);
    EQUAL(is.session, was->session);
}

static void stay(void *arg) {
    (void)arg;
    struct ids was = look();
    state_child_ready();
    same(&was);
}

static void leads_group(void *arg) {
    (void)arg;
    MUST(setpgid(0, 0));
    stay(NULL);
}

static void joins_group(void *arg) {
    (void)arg;
    MUST(setpgid(0, group_of_child));
    stay(NULL);
}

static void leads_session(void *arg) {
    (void)arg;
    MUST(setsid());
    pid_t inner = state_fork(leads_group, NULL), plain = state_fork(stay, NULL);
    struct ids was = look();
    state_child_ready();
    same(&was);
    state_child_end(inner);
    state_child_end(plain);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    CHECK(getsid(0) == getpid(), "the runner starts a program in its own session");
    struct ids was = look();
    pid_t leader = state_fork(leads_group, NULL);
    group_of_child = leader;
    pid_t member = state_fork(joins_group, NULL);
    pid_t session = state_fork(leads_session, NULL);

    // A group whose leader is gone: its member keeps the group's number.
    pid_t gone = state_fork(leads_group, NULL);
    group_of_child = gone;
    pid_t orphan_of_group = state_fork(joins_group, NULL);
    state_child_end(gone);
    EQUAL(getpgid(orphan_of_group), gone);

    state_ready();

    same(&was);
    EQUAL(getpgid(member), leader);
    EQUAL(getsid(session), session);
    EQUAL(getpgid(orphan_of_group), gone);
    MUST(kill(-gone, 0)); // the group is still addressed by its number
    // Signals to the group reach its members and nobody else.
    MUST(kill(-leader, SIGTERM));
    state_expect_exit(leader, 0);
    state_expect_exit(member, 0);
    state_child_end(orphan_of_group);
    CHECK(kill(-gone, 0) == -1 && errno == ESRCH, "group %d has members left", gone);
    state_child_end(session);
    state_pass();
}
