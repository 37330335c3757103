// A device held open whose state is in the driver: a tun interface, or (argument "kvm") a virtual
// machine.
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool kvm = state_arg(0) != NULL;
    const char *name = kvm ? "/dev/kvm" : "/dev/net/tun";
    int fd = open(name, O_RDWR);
    if (fd == -1) state_skip("%s: %s", name, strerror(errno));
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (!kvm && ioctl(fd, TUNSETIFF, &request) == -1) state_skip("TUNSETIFF: %s", strerror(errno));
    state_ready();
    if (!kvm) MUST(ioctl(fd, TUNGETIFF, &request));
    else
        EQUAL(ioctl(fd, 0xAE00 /* KVM_GET_API_VERSION */, 0), 12);
    state_pass();
}
