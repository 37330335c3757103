// Memory of rare kinds, one by argument: droppable pages, memfds of every flag and seal, guard regions in file
// and shared mappings and in a child, flags of locked and unlocked parts, one file mapped with its parts in
// another order.
#include <linux/memfd.h>
#include <setjmp.h>

#include "state.h"

#define PAGE 4096ul
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC 0x10U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

static sigjmp_buf back;

static void on_fault(int n) {
    siglongjmp(back, n);
}

static int fault(volatile unsigned char *at) {
    int n = sigsetjmp(back, 1);
    if (n) return n;
    (void)*at;
    return 0;
}

static unsigned char *map(size_t size, int flags, int fd) {
    return MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0));
}

static void droppable(void) {
    unsigned char *area = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) state_skip("droppable memory: %s", strerror(errno));
    state_fill(area, 8 * PAGE, 1);
    char *before = state_vm_flags(area);
    state_ready();
    CHECK(strcmp(before, state_vm_flags(area)) == 0, "its flags were %s, are %s", before, state_vm_flags(area));
    // Dropped or not, page by page.
    for (int i = 0; i < 8; i++)
        if (area[i * PAGE] || area[i * PAGE + 1] || area[i * PAGE + 2]) {
            unsigned char want[8 * PAGE];
            state_fill(want, sizeof want, 1);
            CHECK(memcmp(area + i * PAGE, want + i * PAGE, PAGE) == 0, "page %d is something else", i);
        }
    memset(area, 3, 8 * PAGE);
}

static void memfds(void) {
    static const struct {
        unsigned flags;
        int seals;
    } kinds[] = {
        {MFD_ALLOW_SEALING, F_SEAL_GROW},
        {MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_SEAL},
        {MFD_ALLOW_SEALING, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL},
        {MFD_ALLOW_SEALING, F_SEAL_FUTURE_WRITE},
        {MFD_NOEXEC_SEAL, 0},
        {MFD_NOEXEC_SEAL, F_SEAL_WRITE},
        {MFD_EXEC, 0},
        {MFD_EXEC | MFD_ALLOW_SEALING, F_SEAL_EXEC},
        {MFD_CLOEXEC, 0},
    };
    enum { COUNT = sizeof kinds / sizeof *kinds };
    int fds[COUNT], read_only[COUNT], appending[COUNT], seals[COUNT];
    struct stat before[COUNT];
    unsigned char page[PAGE];
    state_fill(page, PAGE, 4);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = memfd_create("kind", kinds[i].flags);
        if (fds[i] == -1) state_skip("memfd flags %#x: %s", kinds[i].flags, strerror(errno));
        EQUAL(write(fds[i], page, PAGE), PAGE);
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fds[i]);
        read_only[i] = MUST(open(path, O_RDONLY | O_CLOEXEC));
        appending[i] = MUST(open(path, O_WRONLY | O_APPEND | O_NONBLOCK));
        EQUAL(lseek(read_only[i], 100, SEEK_SET), 100);
        EQUAL(lseek(fds[i], 200 + i, SEEK_SET), 200 + i);
        if (kinds[i].seals) MUST(fcntl(fds[i], F_ADD_SEALS, kinds[i].seals));
        seals[i] = MUST(fcntl(fds[i], F_GET_SEALS));
        MUST(fstat(fds[i], &before[i]));
    }
    MUST(fchown(fds[0], 12, 34));
    MUST(fchmod(fds[0], 0640));
    MUST(fstat(fds[0], &before[0]));
    state_ready();
    for (int i = 0; i < COUNT; i++) {
        struct stat now;
        unsigned char got[PAGE];
        EQUAL(fcntl(fds[i], F_GET_SEALS), seals[i]);
        EQUAL(lseek(fds[i], 0, SEEK_CUR), 200 + i);
        EQUAL(lseek(read_only[i], 0, SEEK_CUR), 100);
        EQUAL(fcntl(read_only[i], F_GETFL) & O_ACCMODE, O_RDONLY);
        EQUAL(fcntl(appending[i], F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_WRONLY | O_APPEND | O_NONBLOCK);
        MUST(fstat(fds[i], &now));
        EQUAL(now.st_mode, before[i].st_mode);
        EQUAL(now.st_uid, before[i].st_uid);
        EQUAL(now.st_gid, before[i].st_gid);
        EQUAL(now.st_size, before[i].st_size);
        EQUAL(pread(read_only[i], got, PAGE, 0), PAGE);
        CHECK(memcmp(got, page, PAGE) == 0, "memfd %d holds something else", i);
        bool may_write = !(seals[i] & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)), may_grow = !(seals[i] & F_SEAL_GROW);
        EQUAL(pwrite(fds[i], "x", 1, 0), may_write ? 1 : -1);
        EQUAL(write(appending[i], "y", 1), may_write && may_grow ? 1 : -1);
        EQUAL(ftruncate(fds[i], 10), seals[i] & F_SEAL_SHRINK ? -1 : 0);
        bool sealing = !(seals[i] & F_SEAL_SEAL);
        EQUAL(fcntl(fds[i], F_ADD_SEALS, F_SEAL_SEAL), sealing ? 0 : -1);
    }
}

static unsigned char *guarded;

static void with_guard(void *arg) {
    (void)arg;
    MUST(madvise(guarded + 8 * PAGE, PAGE, MADV_GUARD_INSTALL));
    state_child_ready();
    EQUAL(fault(guarded + 2 * PAGE), SIGSEGV);
    EQUAL(fault(guarded + 8 * PAGE), SIGSEGV);
    EQUAL(fault(guarded + 9 * PAGE), 0);
}

static void guards(void) {
    guarded = map(16 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    state_fill(guarded, 16 * PAGE, 1);
    if (madvise(guarded + 2 * PAGE, PAGE, MADV_GUARD_INSTALL) == -1) state_skip("guard regions: %s", strerror(errno));
    int fd = MUST(open(state_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    MUST(ftruncate(fd, 16 * PAGE));
    unsigned char *file = map(16 * PAGE, MAP_PRIVATE, fd);
    unsigned char *common = map(16 * PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
    unsigned char *shared_file = map(16 * PAGE, MAP_SHARED, fd);
    state_fill(file, 16 * PAGE, 2);
    state_fill(common, 16 * PAGE, 3);
    bool of_files = madvise(file + 3 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0;
    if (of_files) {
        MUST(madvise(common + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL));
        MUST(madvise(shared_file + 5 * PAGE, PAGE, MADV_GUARD_INSTALL));
    }
    pid_t child = state_fork(with_guard, NULL);
    state_ready();
    EQUAL(fault(guarded + 2 * PAGE), SIGSEGV);
    EQUAL(fault(guarded + 8 * PAGE), 0);
    if (of_files) {
        EQUAL(fault(file + 3 * PAGE), SIGSEGV);
        EQUAL(fault(file + 2 * PAGE), 0);
        EQUAL(fault(common + 4 * PAGE), SIGSEGV);
        EQUAL(fault(common + 5 * PAGE), SIGSEGV);
        EQUAL(fault(common + 6 * PAGE), 0);
        EQUAL(fault(shared_file + 5 * PAGE), SIGSEGV);
        EQUAL(fault(shared_file + 6 * PAGE), 0);
        // What was in shared memory below a guard is still there.
        MUST(madvise(common + 4 * PAGE, 2 * PAGE, MADV_GUARD_REMOVE));
        state_check_fill(common, 16 * PAGE, 3, "shared memory");
    }
    state_child_end(child);
}

static void locks(void) {
    MUST(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
    unsigned char *area = map(12 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    MUST(munlock(area + 2 * PAGE, 2 * PAGE));
    MUST(mlock(area + 6 * PAGE, 2 * PAGE));
    unsigned char *common = map(4 * PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
    MUST(munlock(common + PAGE, PAGE));
    char *before[6];
    unsigned char *at[6] = {area, area + 2 * PAGE, area + 4 * PAGE, area + 6 * PAGE, common, common + PAGE};
    state_fill(area, 12 * PAGE, 1);
    for (int i = 0; i < 6; i++) before[i] = state_vm_flags(at[i]);
    state_ready();
    for (int i = 0; i < 6; i++) {
        char *now = state_vm_flags(at[i]);
        CHECK(strcmp(before[i], now) == 0, "part %d: the flags were %s, are %s", i, before[i], now);
    }
    state_check_fill(area, 12 * PAGE, 1, "locked memory");
    unsigned char *later = map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    CHECK(state_vm_flag(later, "lo") && state_vm_flag(later, "lf"), "new memory is not locked on fault");
}

static void reordered(void) {
    int fd = MUST(open(state_path("pages"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    unsigned char text[8 * PAGE];
    for (int i = 0; i < 8; i++) memset(text + i * PAGE, 'a' + i, PAGE);
    EQUAL(write(fd, text, sizeof text), sizeof text);
    unsigned char *view = map(8 * PAGE, MAP_SHARED, fd);
    MUST(mprotect(view, PAGE, PROT_READ));
    for (int i = 0; i < 8; i++) MUST(remap_file_pages(view + i * PAGE, PAGE, 0, 7 - i, 0));
    unsigned char *none = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unsigned char *stack = map(16 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_POPULATE, -1);
    state_fill(stack, 16 * PAGE, 5);
    unsigned char *moved = MUST(mremap(stack + 4 * PAGE, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED
                                    ? mremap(stack + 4 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL)
                                    : MAP_FAILED);
    state_ready();
    for (int i = 0; i < 8; i++) EQUAL(view[i * PAGE + 5], 'a' + 7 - i);
    view[2 * PAGE] = 'X';
    unsigned char byte;
    EQUAL(pread(fd, &byte, 1, 5 * PAGE), 1);
    EQUAL(byte, 'X');
    EQUAL(fault(none), SIGSEGV);
    unsigned char want[16 * PAGE];
    state_fill(want, sizeof want, 5);
    CHECK(memcmp(moved, want + 4 * PAGE, 4 * PAGE) == 0, "what was moved is something else");
    EQUAL(stack[5 * PAGE], 0);
    CHECK(memcmp(stack, want, 4 * PAGE) == 0, "what stayed is something else");
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *kind = state_arg(0);
    MUST(sigaction(SIGSEGV, &(struct sigaction){.sa_handler = on_fault}, NULL));
    MUST(sigaction(SIGBUS, &(struct sigaction){.sa_handler = on_fault}, NULL));
    if (strcmp(kind, "droppable") == 0)
        droppable();
    else if (strcmp(kind, "memfds") == 0)
        memfds();
    else if (strcmp(kind, "guards") == 0)
        guards();
    else if (strcmp(kind, "locks") == 0)
        locks();
    else if (strcmp(kind, "reordered") == 0)
        reordered();
    else
        state_fail("no such kind: %s", kind);
    state_pass();
}
