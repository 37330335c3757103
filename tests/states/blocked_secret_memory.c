// Memory that not even the kernel reads (memfd_secret), by its descriptor and mapped.
#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = (int)syscall(SYS_memfd_secret, 0);
    if (fd == -1) state_skip("memfd_secret: %s", strerror(errno));
    MUST(ftruncate(fd, 8192));
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
    state_fill(memory, 8192, 7);
    state_ready();
    state_check_fill(memory, 8192, 7, "the secret");
    state_pass();
}
