// Leases in odd positions: one for writing of a file that is mapped as well, one that is being broken to one for
// reading, one that is being broken altogether while another process waits in open for that.
#include "state.h"

static volatile int told;

static void on_break(int number) {
    (void)number;
    told++;
}

static void opener(void *name) {
    state_child_reports();
    int fd = open(name, O_WRONLY);
    CHECK(fd != -1, "open: %s", strerror(errno));
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    signal(SIGIO, on_break);
    int mapped = MUST(open(state_path("mapped"), O_RDWR | O_CREAT, 0600));
    MUST(ftruncate(mapped, 4096));
    char *memory = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0));
    *memory = 'm';
    if (fcntl(mapped, F_SETLEASE, F_WRLCK) == -1) state_skip("no leases on this file system: %s", strerror(errno));
    close(MUST(open(state_path("shared"), O_RDWR | O_CREAT, 0600)));
    int shared = MUST(open(state_path("shared"), O_RDONLY));
    MUST(fcntl(shared, F_SETLEASE, F_WRLCK));
    EQUAL(open(state_path("shared"), O_RDONLY | O_NONBLOCK), -1);
    const char *name = strdup(state_path("wanted"));
    close(MUST(open(name, O_RDWR | O_CREAT, 0600)));
    int wanted = MUST(open(name, O_RDONLY));
    MUST(fcntl(wanted, F_SETLEASE, F_RDLCK));
    pid_t child = state_fork(opener, (void *)name);
    AWAIT(told == 2, "told of %d breaks", told);
    EQUAL(fcntl(shared, F_GETLEASE), F_RDLCK);
    EQUAL(fcntl(wanted, F_GETLEASE), F_UNLCK);

    state_ready();

    EQUAL(told, 2);
    EQUAL(fcntl(mapped, F_GETLEASE), F_WRLCK);
    EQUAL(*memory, 'm');
    EQUAL(fcntl(mapped, F_GETOWN), getpid());
    EQUAL(fcntl(shared, F_GETLEASE), F_RDLCK);
    EQUAL(fcntl(shared, F_GETOWN), getpid());
    EQUAL(open(state_path("shared"), O_RDONLY | O_NONBLOCK), -1);
    EQUAL(errno, EWOULDBLOCK);
    MUST(fcntl(shared, F_SETLEASE, F_RDLCK));
    close(MUST(open(state_path("shared"), O_RDONLY | O_NONBLOCK)));
    EQUAL(fcntl(wanted, F_GETLEASE), F_UNLCK);
    EQUAL(waitpid(child, NULL, WNOHANG), 0);
    MUST(fcntl(wanted, F_SETLEASE, F_UNLCK));
    state_expect_exit(child, 0);
    state_pass();
}
