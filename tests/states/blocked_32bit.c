// A child that runs 32-bit code: its registers and system calls are of another kind.
#include "state.h"

// A 32-bit ELF program, made here byte by byte: an endless pause().
static const unsigned char program[] = {
    0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1, 0, 0, 0, // ELF32, i386
    0x54, 0x80, 0x04, 0x08, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x34, 0, 0x20, 0, 1, 0, 0, 0,
    0, 0, 0, 0,                                                                     // one program header
    1, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x80, 0x04, 0x08, 0x00, 0x80, 0x04, 0x08,         // PT_LOAD at 0x8048000
    0x60, 0, 0, 0, 0x60, 0, 0, 0, 5, 0, 0, 0, 0, 0x10, 0, 0,
    0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7, // mov $29, %eax (pause); int $0x80; jmp back
    0x90, 0x90, 0x90,
};

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *path = strdup(state_path("small program"));
    int fd = MUST(open(path, O_WRONLY | O_CREAT, 0755));
    EQUAL(write(fd, program, sizeof program), sizeof program);
    close(fd);
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        execl(path, path, state_path("."), NULL); // the folder's name marks it as the test's
        MUST(write(ends[1], "x", 1));
        _exit(1);
    }
    close(ends[1]);
    char byte;
    if (read(ends[0], &byte, 1) != 0) state_skip("this kernel runs no 32-bit programs");
    close(ends[0]);
    state_ready();
    int status;
    EQUAL(waitpid(pid, &status, WNOHANG), 0);
    MUST(kill(pid, SIGKILL));
    EQUAL(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
    state_pass();
}
