// The executed file is gone from its place: removed, replaced by another, or never had one (a memfd).
// The argument says which; the program executes a copy of itself.
#include "state.h"

static char *slurp_bytes(const char *path, size_t *size) {
    int fd = MUST(open(path, O_RDONLY));
    struct stat stat;
    MUST(fstat(fd, &stat));
    char *bytes = malloc(stat.st_size);
    EQUAL(read(fd, bytes, stat.st_size), stat.st_size);
    close(fd);
    *size = stat.st_size;
    return bytes;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *kind = state_arg(0);
    if (!state_arg(1)) {
        size_t size;
        char *bytes = slurp_bytes("/proc/self/exe", &size);
        char path[PATH_MAX];
        int fd;
        if (strcmp(kind, "memfd") == 0) {
            fd = MUST(memfd_create("program", MFD_CLOEXEC));
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            EQUAL(write(fd, bytes, size), (ssize_t)size);
        } else {
            snprintf(path, sizeof path, "%s", state_path("program"));
            fd = MUST(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
            EQUAL(write(fd, bytes, size), (ssize_t)size);
            close(fd);
        }
        MUST(execl(path, path, argv[1], kind, "again", NULL));
    }
    if (strcmp(kind, "removed") == 0) MUST(unlink(state_path("program")));
    if (strcmp(kind, "replaced") == 0) {
        int fd = MUST(open(state_path("other"), O_WRONLY | O_CREAT, 0755));
        MUST(write(fd, "#!/bin/true\n", 12));
        close(fd);
        MUST(rename(state_path("other"), state_path("program")));
    }
    size_t was_size, is_size;
    char *was = slurp_bytes("/proc/self/exe", &was_size);
    char was_link[PATH_MAX] = {0}, is_link[PATH_MAX] = {0};
    MUST(readlink("/proc/self/exe", was_link, sizeof was_link - 1));
    state_ready();
    char *is = slurp_bytes("/proc/self/exe", &is_size);
    CHECK(is_size == was_size && memcmp(is, was, is_size) == 0, "the executable has other bytes");
    MUST(readlink("/proc/self/exe", is_link, sizeof is_link - 1));
    CHECK(strstr(is_link, "(deleted)") != NULL, "the executable is called %s, was %s", is_link, was_link);
    if (strcmp(kind, "replaced") == 0) EQUAL(access(state_path("program"), F_OK), 0);
    if (strcmp(kind, "removed") == 0) EQUAL(access(state_path("program"), F_OK), -1);
    state_pass();
}
