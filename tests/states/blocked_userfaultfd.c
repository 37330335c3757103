// A userfaultfd of the program's own, with a range registered: faults in flight can't be kept.
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd == -1) state_skip("userfaultfd: %s", strerror(errno));
    struct uffdio_api api = {.api = UFFD_API};
    MUST(ioctl(fd, UFFDIO_API, &api));
    char *area = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    struct uffdio_register range = {.range = {(uintptr_t)area, 8192}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    MUST(ioctl(fd, UFFDIO_REGISTER, &range));
    state_ready();
    struct uffdio_zeropage zero = {.range = {(uintptr_t)area, 8192}};
    MUST(ioctl(fd, UFFDIO_ZEROPAGE, &zero));
    EQUAL(area[0], 0);
    state_pass();
}
