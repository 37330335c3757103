// What every state program shares: how it says ready, waits to go on, and tells its verdict.
//
// A state program is started as `PROGRAM FOLDER [ARG…] [--break]`. It sets its state up, calls
// state_ready(), which returns when the program is told to go on (SIGTERM), checks its state to the
// last detail, keeps using it, and ends with state_pass(). In between it may have been captured,
// ended and restored any number of times: it must not be able to tell.
//
// FOLDER/ready appears when it is ready; FOLDER/result holds "PASS" or the reasons of the failure.
// With --break a program ruins its own state before it checks it: a check that still passes is no
// check.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void state_begin(int argc, char **argv);
// The N-th argument after the folder, --break not counted; NULL when there is none.
const char *state_arg(int n);
bool state_breaking(void);
// FOLDER/NAME; one of a few buffers that are used in turn.
const char *state_path(const char *name);

void state_ready(void);
_Noreturn void state_pass(void);
_Noreturn void state_fail_at(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// Something that this machine can't do: the test is skipped, visibly.
_Noreturn void state_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define state_fail(...) state_fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) state_fail_at(__FILE__, __LINE__, __VA_ARGS__);                               \
    } while (0)
// The value of a call that must not return -1.
#define MUST(call)                                                                                 \
    ({                                                                                             \
        __auto_type must_value = (call);                                                           \
        if (must_value == (__typeof__(must_value))-1)                                              \
            state_fail_at(__FILE__, __LINE__, "%s: %s", #call, strerror(errno));                   \
        must_value;                                                                                \
    })
// A call that returns an error number, as pthread functions do.
#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_error = (call);                                                                     \
        if (ok_error) state_fail_at(__FILE__, __LINE__, "%s: %s", #call, strerror(ok_error));      \
    } while (0)
#define EQUAL(got, want)                                                                           \
    do {                                                                                           \
        long long equal_got = (long long)(got), equal_want = (long long)(want);                    \
        if (equal_got != equal_want)                                                               \
            state_fail_at(__FILE__, __LINE__, "%s is %lld (%#llx), not %lld (%#llx)", #got,        \
                          equal_got, equal_got, equal_want, equal_want);                           \
    } while (0)

// A child process that runs body and exits 0. The call returns once the child has called
// state_child_ready(), which in turn returns in the child when state_child_end() is called on it.
pid_t state_fork(void (*body)(void *), void *arg);
void state_child_ready(void);
// Only the first half of state_child_ready(): for a child that waits in a way of its own.
void state_child_reports(void);
void state_child_waits(void);
// Tells the child to go on, and waits for its end, which must be exit status 0.
void state_child_end(pid_t child);
void state_expect_exit(pid_t child, int status);

// Waits (at most 10 s) until the condition holds.
#define AWAIT(cond, ...)                                                                           \
    do {                                                                                           \
        int await_left = 2000;                                                                     \
        while (!(cond) && await_left-- > 0) usleep(5000);                                          \
        if (!(cond)) state_fail_at(__FILE__, __LINE__, __VA_ARGS__);                               \
    } while (0)

// Bytes that depend on their place and on the seed, and the check that they are still there.
void state_fill(void *memory, size_t size, uint32_t seed);
void state_check_fill(const void *memory, size_t size, uint32_t seed, const char *what);

// The content of a small file as a string, to be freed; fails when it can't be read.
char *state_slurp(const char *path);
// The value of the line "KEY:" of a /proc text such as status, without leading blanks; to be freed.
char *state_field(const char *path, const char *key);

struct state_map {
    uintptr_t start, end;
    char perms[8];
    unsigned long offset;
    unsigned long inode;
    char path[PATH_MAX];
};
// The mapping of this process that holds the address.
bool state_map_at(const void *address, struct state_map *map);
// A value in KiB of that mapping's smaps entry ("Shared_Dirty"), or -1.
long state_smaps(const void *address, const char *key);
// Whether that mapping has the two-letter VmFlag.
bool state_vm_flag(const void *address, const char *flag);
// All VmFlags of that mapping; to be freed.
char *state_vm_flags(const void *address);

// Sends a descriptor over a unix socket, with one byte, and takes it there; `flags` are those of recvmsg.
void state_give(int over, int fd);
int state_take(int over, int flags);

// Makes a process outside of the tree, in a session of its own, that nobody takes for a part of it. Returns true in
// there, and false in the program, once the process has begun.
bool state_outsider(char **argv);
// A cgroup file of /proc, without the hierarchies of other state programs (named torpor-…), which come and go; to be freed.
char *state_cgroups(const char *path);
// Moves this process into a control group; false where it has no such file or takes nobody.
bool state_enter_cgroup(const char *folder);

double state_now(void); // CLOCK_MONOTONIC in seconds
// Writes and reads one byte through a pair of connected descriptors.
void state_ping(int from, int to);
