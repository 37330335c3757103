// Removed files that can't be made again where they were seen. Argument read-only: in a mount that is read-only, of a
// file system that is not, with a folder and a mapping. Argument overlay: on an overlay, whose lower layer keeps the
// names of what was removed.
#include <sys/mount.h>

#include "state.h"

static void make(const char *name, const char *text) {
    int fd = MUST(open(state_path(name), O_RDWR | O_CREAT | O_EXCL, 0640));
    EQUAL(write(fd, text, strlen(text)), (long long)strlen(text));
    close(fd);
}

static bool holds(int fd, const char *text) {
    char found[32] = {0};
    return pread(fd, found, sizeof found - 1, 0) == (ssize_t)strlen(text) && strcmp(found, text) == 0;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    bool overlay = strcmp(state_arg(0), "overlay") == 0;
    MUST(mkdir(state_path("below"), 0755));
    char mounted[PATH_MAX], below[PATH_MAX];
    snprintf(mounted, sizeof mounted, "%s", state_path("mounted"));
    snprintf(below, sizeof below, "%s", state_path("below"));
    MUST(mkdir(mounted, 0755));
    if (overlay) {
        if (mount("none", below, "tmpfs", 0, "") == -1) state_skip("mount: %s", strerror(errno));
        MUST(mkdir(state_path("below/lower"), 0755));
        MUST(mkdir(state_path("below/upper"), 0755));
        MUST(mkdir(state_path("below/work"), 0755));
        make("below/lower/file", "contents");
        char options[3 * PATH_MAX + 64];
        snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", below, below, below);
        if (mount("none", mounted, "overlay", 0, options) == -1) {
            int error = errno;
            umount2(below, MNT_DETACH);
            state_skip("overlay: %s", strerror(error));
        }
    } else {
        make("below/file", "contents");
        MUST(mkdir(state_path("below/folder"), 0750));
        if (mount(below, mounted, NULL, MS_BIND, NULL) == -1) state_skip("mount: %s", strerror(errno));
        MUST(mount(NULL, mounted, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
    }
    int fd = MUST(open(state_path("mounted/file"), O_RDONLY)), other = -1, folder = -1;
    char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED, "mmap: %s", strerror(errno));
    if (overlay) {
        MUST(unlink(state_path("mounted/file")));
    } else {
        other = MUST(open(state_path("mounted/file"), O_RDONLY));
        folder = MUST(open(state_path("mounted/folder"), O_RDONLY | O_DIRECTORY));
        MUST(rmdir(state_path("below/folder")));
        MUST(unlink(state_path("below/file")));
    }

    state_ready();

    struct stat file, same = {0}, removed = {0};
    bool right = holds(fd, "contents") && strncmp(map, "contents", 8) == 0;
    int writable = fcntl(fd, F_GETFL) & O_ACCMODE;
    bool gone = access(state_path("mounted/file"), F_OK) == -1;
    MUST(fstat(fd, &file));
    if (!overlay) MUST(fstat(other, &same));
    if (!overlay) MUST(fstat(folder, &removed));
    close(fd);
    close(other);
    close(folder);
    munmap(map, 4096);
    umount2(mounted, MNT_DETACH);
    if (overlay) umount2(below, MNT_DETACH);
    CHECK(right, "the removed file holds something else");
    CHECK(gone, "its name is back");
    EQUAL(writable, O_RDONLY);
    EQUAL(file.st_mode & 0777, 0640);
    if (!overlay) {
        EQUAL(file.st_nlink, 0);
        EQUAL(file.st_ino, same.st_ino);
        EQUAL(removed.st_mode & 0777, 0750);
    }
    state_pass();
}
