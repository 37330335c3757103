// Memory in a known pattern, and everything that a program can do to memory that is not there yet.
//
// changing FOLDER MIB: fills MIB megabytes, makes FOLDER/ready, and waits for FOLDER/go. Then it moves, drops,
// unmaps, protects and forks parts of its memory at once, while it may still be paged in, and checks every
// byte of it, here and in its children. FOLDER/result says "PASS" or what was wrong. For each FOLDER/again that
// appears (it is removed), it checks all that is left once more, with a line in FOLDER/checked.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define PART (4ul << 20)

static const char *folder;
static unsigned char *memory;
static size_t size;

static const char *in_folder(const char *name) {
    static char text[4096];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static void say(const char *name, const char *text) {
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) _exit(3);
    close(fd);
}

static void fail(const char *what, size_t page, uint64_t is, uint64_t was) {
    char text[256];
    snprintf(text, sizeof text, "FAIL %s: page %zu holds %llx, not %llx\n", what, page,
             (unsigned long long)is, (unsigned long long)was);
    say("result", text);
    _exit(1);
}

// Every word of a page depends on the page, and on its place in it.
static uint64_t word(size_t page, size_t at) { return (page + 1) * 0x9e3779b97f4a7c15ull + at; }

static void fill(unsigned char *to, size_t first, size_t pages) {
    for (size_t p = 0; p < pages; p++) {
        uint64_t *words = (uint64_t *)(to + p * PAGE);
        for (size_t i = 0; i < PAGE / 8; i++) words[i] = word(first + p, i);
    }
}

// From the end on, so that paging in order is of no help.
static void check(const char *what, const unsigned char *at, size_t first, size_t pages) {
    for (size_t p = pages; p-- > 0;) {
        const uint64_t *words = (const uint64_t *)(at + p * PAGE);
        for (size_t i = 0; i < PAGE / 8; i++)
            if (words[i] != word(first + p, i)) fail(what, first + p, words[i], word(first + p, i));
    }
}

static void check_zero(const char *what, const unsigned char *at, size_t pages) {
    for (size_t p = pages; p-- > 0;) {
        const uint64_t *words = (const uint64_t *)(at + p * PAGE);
        for (size_t i = 0; i < PAGE / 8; i++)
            if (words[i] != 0) fail(what, p, words[i], 0);
    }
}

static void must(int ok, const char *what) {
    if (ok) return;
    char text[256];
    snprintf(text, sizeof text, "FAIL %s: %s\n", what, strerror(errno));
    say("result", text);
    _exit(1);
}

static unsigned char *part(size_t n) { return memory + n * PART; }
#define FIRST(n) ((n) * (PART / PAGE))
#define PAGES (PART / PAGE)

static pid_t child_that_checks(const char *what, size_t from) {
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        check(what, memory + from, from / PAGE, (size - from) / PAGE);
        // Its own from now on.
        fill(part(9), 7, PAGES);
        check("what a child has written", part(9), 7, PAGES);
        _exit(0);
    }
    return pid;
}

static void expect(pid_t pid) {
    int status;
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    if (status != 0) {
        say("result", "FAIL in a child\n");
        _exit(1);
    }
}

static void change(void) {
    pid_t early = child_that_checks("in a child born at once", 8 * PART);

    must(madvise(part(0), PART, MADV_DONTNEED) == 0, "MADV_DONTNEED");
    check_zero("dropped with MADV_DONTNEED", part(0), PAGES);

    must(munmap(part(1), PART) == 0, "munmap");
    void *anew = mmap(part(1), PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(anew == part(1), "mmap where something was unmapped");
    check_zero("mapped anew", part(1), PAGES);

    unsigned char *room = mmap(NULL, 3 * PART, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(room != MAP_FAILED, "mmap");
    must(mremap(part(2), PART, PART, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room, "mremap");
    pid_t moved = fork();
    must(moved >= 0, "fork");
    if (moved == 0) {
        check("moved, in a child", room, FIRST(2), PAGES);
        _exit(0);
    }
    check("moved", room, FIRST(2), PAGES);
    unsigned char *grown = mremap(part(3), PART, 2 * PART, MREMAP_MAYMOVE | MREMAP_FIXED, room + PART);
    must(grown == room + PART, "mremap to more");
    check_zero("what a mapping has grown by", grown + PART, PAGES);
    check("moved and grown", grown, FIRST(3), PAGES);

    must(mprotect(part(4), PART, PROT_NONE) == 0, "mprotect to nothing");
    pid_t protected = child_that_checks("while something is protected", 8 * PART);
    must(mprotect(part(4) + PART / 2, PART / 2, PROT_READ) == 0, "mprotect to reading");
    check("protected", part(4) + PART / 2, FIRST(4) + PAGES / 2, PAGES / 2);
    must(mprotect(part(4), PART / 2, PROT_READ | PROT_WRITE) == 0, "mprotect to writing");
    check("protected before", part(4), FIRST(4), PAGES / 2);

    must(madvise(part(5), PART, MADV_FREE) == 0, "MADV_FREE");
    for (size_t p = 0; p < PAGES; p++) {
        uint64_t is = *(uint64_t *)(part(5) + p * PAGE);
        if (is != 0 && is != word(FIRST(5) + p, 0)) fail("given up with MADV_FREE", p, is, 0);
    }
    // Written before it was ever read, a byte in each page.
    for (size_t p = 0; p < PAGES; p++) part(6)[p * PAGE + 8] = 0x5a;
    for (size_t p = 0; p < PAGES; p++) {
        uint64_t was = word(FIRST(6) + p, 1);
        ((unsigned char *)&was)[0] = 0x5a;
        uint64_t is = *(uint64_t *)(part(6) + p * PAGE + 8);
        if (is != was) fail("written before it was read", p, is, was);
    }
    // Read by the kernel, not by us.
    int pipes[2];
    must(pipe(pipes) == 0, "pipe");
    for (size_t p = 0; p < PAGES; p++) {
        uint64_t copy[8];
        must(write(pipes[1], part(7) + p * PAGE, sizeof copy) == sizeof copy, "write to a pipe");
        must(read(pipes[0], copy, sizeof copy) == sizeof copy, "read from a pipe");
        if (copy[3] != word(FIRST(7) + p, 3)) fail("read by the kernel", p, copy[3], word(FIRST(7) + p, 3));
    }
    close(pipes[0]);
    close(pipes[1]);
    pid_t late = child_that_checks("in a child born late", 8 * PART);
    check("the rest", part(8), FIRST(8), size / PAGE - FIRST(8));
    expect(early);
    expect(moved);
    expect(protected);
    expect(late);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    folder = argv[1];
    size = strtoul(argv[2], NULL, 10) << 20;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED && size >= 12 * PART, "mmap");
    fill(memory, 0, size / PAGE);
    say("ready.new", "\n");
    char made[4096];
    snprintf(made, sizeof made, "%s", in_folder("ready.new"));
    if (rename(made, in_folder("ready")) != 0) return 3;
    while (access(in_folder("go"), F_OK) != 0) usleep(300);
    change();
    say("result", "PASS\n");
    for (;;) {
        usleep(1000);
        if (unlink(in_folder("again")) != 0) continue;
        check("once more", part(8), FIRST(8), size / PAGE - FIRST(8));
        say("checked", "x\n");
    }
}
