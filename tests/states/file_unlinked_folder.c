// Removed directories: one that is open, one that is the working directory, one inside another; a
// file in a removed directory; and an open directory read half through.
#include <dirent.h>

#include "state.h"

int main(int argc, char **argv) {
    state_begin(argc, argv);
    const char *gone = strdup(state_path("gone")), *inner = strdup(state_path("gone/inner"));
    const char *cwd = strdup(state_path("cwd")), *full = strdup(state_path("full"));
    MUST(mkdir(gone, 0750));
    MUST(mkdir(inner, 0700));
    MUST(mkdir(cwd, 0700));
    MUST(mkdir(full, 0700));
    int gone_fd = MUST(open(gone, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), inner_fd = MUST(open(inner, O_RDONLY | O_DIRECTORY));
    int file = MUST(openat(inner_fd, "file", O_RDWR | O_CREAT, 0600));
    EQUAL(write(file, "inside", 6), 6);
    MUST(unlinkat(inner_fd, "file", 0));
    MUST(rmdir(inner));
    MUST(rmdir(gone));
    MUST(chdir(cwd));
    MUST(rmdir(cwd));
    for (int i = 0; i < 10; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s/%d", full, i);
        close(MUST(open(name, O_WRONLY | O_CREAT, 0600)));
    }
    DIR *listing = opendir(full);
    CHECK(listing, "opendir: %s", strerror(errno));
    char seen[12][64] = {{0}};
    int count = 0;
    while (count < 4) strcpy(seen[count++], readdir(listing)->d_name);

    state_ready();

    struct stat stat;
    MUST(fstat(gone_fd, &stat));
    CHECK(S_ISDIR(stat.st_mode) && stat.st_nlink == 0 && (stat.st_mode & 0777) == 0750, "mode %o, %ld links",
          stat.st_mode, (long)stat.st_nlink);
    EQUAL(fcntl(gone_fd, F_GETFD), FD_CLOEXEC);
    MUST(fstat(inner_fd, &stat));
    EQUAL(stat.st_nlink, 0);
    CHECK(openat(gone_fd, "new", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT, "a removed folder took a file");
    char text[PATH_MAX] = {0};
    EQUAL(pread(file, text, 6, 0), 6);
    CHECK(strcmp(text, "inside") == 0, "the file in it holds %s", text);
    memset(text, 0, sizeof text);
    MUST(readlink("/proc/self/cwd", text, sizeof text - 1));
    CHECK(strstr(text, "/cwd (deleted)"), "the working directory is %s", text);
    CHECK(access(gone, F_OK) == -1 && access(cwd, F_OK) == -1, "a removed folder is back");
    struct dirent *entry;
    while ((entry = readdir(listing))) {
        for (int i = 0; i < count; i++) CHECK(strcmp(seen[i], entry->d_name) != 0, "%s was listed twice", entry->d_name);
        strcpy(seen[count++], entry->d_name);
    }
    EQUAL(count, 12);
    state_pass();
}
